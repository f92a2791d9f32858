//! Lists in parts: keyset cursors that mean nothing to clients.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::problem::Problem;
use crate::store::{self, PageRequest};
use greenloop_hub_api::types;

/// How many items a part has when nothing is said.
const USUAL: u32 = 50;
/// The most it may have.
const MOST: u32 = 500;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the part before.
    cursor: Option<String>,
    /// How many at most: 1 to 500, 50 when nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A list, so that a cursor of one is not taken for another's.
#[derive(Debug, Clone, Copy)]
pub(super) struct List(pub(super) &'static str);

impl List {
    /// The part as the store understands it.
    pub(super) fn request(self, part: &PageQuery) -> Result<PageRequest, Problem> {
        let limit = part.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(Problem::invalid("limit", format!("it must be from 1 to {MOST}")));
        }
        let cursor =
            part.cursor.as_deref().map(|text| self.read(text).ok_or_else(no_cursor)).transpose()?;
        Ok(PageRequest { cursor, limit })
    }

    /// The same for a list whose places are texts.
    pub(super) fn text_request<T>(
        self,
        part: &PageQuery,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<(Option<T>, u32), Problem> {
        let PageQuery { cursor, limit } = part;
        let limit = self.request(&PageQuery { cursor: None, limit: *limit })?.limit;
        let cursor = cursor.as_deref().map(|text| self.place(text).and_then(|it| read(&it)));
        match cursor {
            None => Ok((None, limit)),
            Some(Some(cursor)) => Ok((Some(cursor), limit)),
            Some(None) => Err(no_cursor()),
        }
    }

    fn read(self, cursor: &str) -> Option<i64> {
        self.place(cursor)?.parse().ok()
    }

    fn place(self, cursor: &str) -> Option<String> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (list, place) = text.split_once(' ')?;
        if list == self.0 { Some(place.to_owned()) } else { None }
    }

    pub(super) fn cursor(self, place: impl std::fmt::Display) -> String {
        URL_SAFE_NO_PAD.encode(format!("{} {place}", self.0))
    }

    /// A part of the store's as clients see it.
    pub(super) fn page<T>(self, page: store::Page<T>) -> types::Page<T> {
        types::Page { next: page.next.map(|id| self.cursor(id)), items: page.items }
    }

    /// A part of a list that is at hand whole, in the order of its ids.
    pub(super) fn cut<T>(
        self,
        items: Vec<T>,
        request: PageRequest,
        id: impl Fn(&T) -> i64,
    ) -> types::Page<T> {
        let after = request.cursor.unwrap_or(i64::MIN);
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let mut rest = items.into_iter().filter(|item| id(item) > after);
        let items: Vec<T> = rest.by_ref().take(limit).collect();
        let next = match rest.next() {
            Some(_more) => items.last().map(|item| self.cursor(id(item))),
            None => None,
        };
        types::Page { items, next }
    }
}

fn no_cursor() -> Problem {
    Problem::invalid("cursor", "it is not a cursor of this list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_at_hand_is_cut_as_one_in_the_store() {
        let list = List("numbers");
        let mut part = PageQuery { cursor: None, limit: Some(2) };
        let mut seen = Vec::new();
        loop {
            let request = list.request(&part).unwrap();
            let page = list.cut(vec![1, 2, 3, 4, 5], request, |it| *it);
            seen.push(page.items);
            match page.next {
                Some(next) => part.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, [vec![1, 2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = List("numbers").cursor(7);
        let part = PageQuery { cursor: Some(cursor), limit: None };
        assert_eq!(List("numbers").request(&part).unwrap().cursor, Some(7));
        List("words").request(&part).unwrap_err();
        for cursor in ["", "7", "!", "bnVtYmVycyB4"] {
            let part = PageQuery { cursor: Some(cursor.to_owned()), limit: None };
            List("numbers").request(&part).unwrap_err();
        }
        for limit in [0, 501] {
            List("numbers").request(&PageQuery { cursor: None, limit: Some(limit) }).unwrap_err();
        }
    }
}
