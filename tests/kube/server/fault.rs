//! Faults injected by a scenario: for matching requests, a number of times.

use std::time::Duration;

use super::call::Call;

/// A fault of a request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Rejected with this status before anything is done.
    Status { code: u16, retry_after: Option<u32> },
    /// Answered after this time.
    Slow(Duration),
    /// Done, but the connection breaks before the answer.
    LoseAnswer,
}

type Matcher = Box<dyn Fn(&Call) -> bool + Send>;

/// A pending fault.
pub(crate) struct PendingFault {
    matcher: Matcher,
    times: usize,
    fault: Fault,
}

/// All pending faults.
#[derive(Default)]
pub(crate) struct Faults {
    waiting: Vec<PendingFault>,
    met: usize,
}

impl Faults {
    pub(crate) fn add(
        &mut self,
        times: usize,
        fault: Fault,
        matcher: impl Fn(&Call) -> bool + Send + 'static,
    ) {
        self.waiting.push(PendingFault { matcher: Box::new(matcher), times, fault });
    }

    /// Removes all faults.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The fault for this request.
    pub(crate) fn meet(&mut self, call: &Call) -> Option<Fault> {
        let fault =
            self.waiting.iter_mut().find(|fault| fault.times > 0 && (fault.matcher)(call))?;
        fault.times -= 1;
        self.met += 1;
        Some(fault.fault.clone())
    }

    /// Whether no fault has occurred yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.met == 0
    }

    /// Whether all faults have occurred.
    pub(crate) fn spent(&self) -> bool {
        self.waiting.iter().all(|fault| fault.times == 0)
    }
}
