//! How many entries are tried at the same time.

/// Grows by one with each success and halves with each failure, between 1 and a limit: when
/// merges fail, trying them on top of each other is work thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    size: usize,
    limit: usize,
}

impl Window {
    /// One entry at a time to begin with, `limit` at the most.
    pub(super) fn new(limit: usize) -> Self {
        Self { size: 1, limit: limit.max(1) }
    }

    /// Entries to try at the same time.
    pub(super) fn size(self) -> usize {
        self.size
    }

    pub(super) fn succeeded(&mut self) {
        self.size = (self.size + 1).min(self.limit);
    }

    pub(super) fn failed(&mut self) {
        self.size = (self.size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_slowly_and_shrinks_fast() {
        let mut window = Window::new(4);
        let mut sizes = vec![window.size()];
        for success in [true, true, true, true, false, true, false, false, false] {
            if success {
                window.succeeded()
            } else {
                window.failed()
            }
            sizes.push(window.size());
        }
        assert_eq!(sizes, [1, 2, 3, 4, 4, 2, 3, 1, 1, 1]);
        assert_eq!(Window::new(0).size(), 1);
    }
}
