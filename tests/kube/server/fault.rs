//! Trouble that a scenario orders: for matching requests, a number of times.

use std::time::Duration;

use super::call::Call;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// Refused with this status before anything is done.
    Status { code: u16, retry_after: Option<u32> },
    /// Answered after this time.
    Slow(Duration),
    /// Done, but the connection breaks before the answer.
    LoseAnswer,
}

type Matcher = Box<dyn Fn(&Call) -> bool + Send>;

/// Trouble waiting for its requests.
pub(crate) struct Fault {
    matcher: Matcher,
    times: usize,
    trouble: Trouble,
}

/// All trouble that waits.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(
        &mut self,
        times: usize,
        trouble: Trouble,
        matcher: impl Fn(&Call) -> bool + Send + 'static,
    ) {
        self.0.push(Fault { matcher: Box::new(matcher), times, trouble });
    }

    /// From now on all is well.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The trouble this request meets.
    pub(crate) fn meet(&mut self, call: &Call) -> Option<Trouble> {
        let fault = self.0.iter_mut().find(|fault| fault.times > 0 && (fault.matcher)(call))?;
        fault.times -= 1;
        Some(fault.trouble.clone())
    }

    /// Whether all of it was met.
    pub(crate) fn spent(&self) -> bool {
        self.0.iter().all(|fault| fault.times == 0)
    }
}
