//! The requests to the server, in order.

use super::call::Call;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) call: Call,
    /// The status of the answer, if there is one.
    pub(crate) code: Option<u16>,
}

/// The requests of one scenario.
#[derive(Debug, Default)]
pub(crate) struct Journal(Vec<Entry>);

impl Journal {
    /// Records a request, and returns its index.
    pub(crate) fn note(&mut self, call: &Call) -> usize {
        self.0.push(Entry { call: call.clone(), code: None });
        self.0.len() - 1
    }

    pub(crate) fn answered(&mut self, place: usize, code: u16) {
        self.0[place].code = Some(code);
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }
}
