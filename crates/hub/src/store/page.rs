//! Parts of lists.

/// A part of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Hand it in for the next part; `None` after the last.
    pub next: Option<i64>,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// [`Page::next`] of the part before.
    pub cursor: Option<i64>,
    /// At most so many; from 1 to 500.
    pub limit: u32,
}

impl PageRequest {
    /// The first `limit` ones.
    pub const fn first(limit: u32) -> Self {
        Self { cursor: None, limit }
    }

    pub(super) fn limit(self) -> i64 {
        i64::from(self.limit.clamp(1, 500))
    }

    /// Cuts off the one row more that was asked for to see whether there is a next part.
    pub(super) fn cut<T>(self, mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Page<T> {
        let limit = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(id) } else { None };
        Page { items, next }
    }
}
