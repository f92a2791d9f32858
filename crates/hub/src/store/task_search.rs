//! Tasks of all graphs by what people remember of them: an id, a key, words of the texts, a branch,
//! a commit, who worked on it.
//!
//! # Guarantees
//! - One call looks at no more than [`WINDOW`] tasks, the latest first, and at the one task whose id
//!   was given: how long it takes does not grow with the store.

use super::connect::TaskStore;
use super::error::StoreError;
use super::page::{Page, PageRequest};
use super::tasks::views;
use super::value::args;
use greenloop_hub_api::types::Task;

/// Tasks that one call looks at.
const WINDOW: i64 = 20_000;

/// 1 the first id beyond, 2 the first id, 3 what is sought in lower case, 4 as it was written, 5 how
/// many. What is sought is a pattern of LIKE.
const SEARCH: &str = "SELECT t.*, e.key AS epic_key, a.agent AS agent, a.percent AS percent \
    FROM tasks t JOIN graphs g ON g.id = t.graph_id AND g.purged = 0 \
    LEFT JOIN epics e ON e.id = t.epic_id \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch \
    WHERE t.id < $1 AND t.id >= $2 AND (LOWER(t.title) LIKE $3 ESCAPE '!' \
    OR LOWER(t.key) LIKE $3 ESCAPE '!' OR LOWER(t.description) LIKE $3 ESCAPE '!' \
    OR LOWER(COALESCE(t.branch, '')) LIKE $3 ESCAPE '!' \
    OR LOWER(COALESCE(t.command, '')) LIKE $3 ESCAPE '!' \
    OR COALESCE(t.commit_sha, '') LIKE $3 ESCAPE '!' \
    OR t.title LIKE $4 ESCAPE '!' OR t.description LIKE $4 ESCAPE '!' \
    OR LOWER(COALESCE(t.assigned, '')) LIKE $3 ESCAPE '!' \
    OR EXISTS (SELECT 1 FROM attempts w WHERE w.task_id = t.id \
        AND (LOWER(w.agent) LIKE $3 ESCAPE '!' OR COALESCE(w.branch, '') LIKE $4 ESCAPE '!' \
        OR 'task/' || w.task_id || '/e' || w.epoch LIKE $3 ESCAPE '!'))) \
    ORDER BY t.id DESC LIMIT $5";
const BY_ID: &str = "SELECT t.*, e.key AS epic_key, a.agent AS agent, a.percent AS percent \
    FROM tasks t JOIN graphs g ON g.id = t.graph_id AND g.purged = 0 \
    LEFT JOIN epics e ON e.id = t.epic_id \
    LEFT JOIN attempts a ON a.task_id = t.id AND a.epoch = t.epoch WHERE t.id = $1";

impl TaskStore {
    /// Tasks that `text` is found in, the latest first; one with that id comes before them. A part
    /// may have fewer than its limit, or none, and yet a next one.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn search_tasks(
        &self,
        text: &str,
        page: PageRequest,
    ) -> Result<Page<Task>, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let id = text.trim().trim_start_matches('#').parse::<i64>().ok();
        let mut items = Vec::new();
        if let (Some(id), None) = (id, page.cursor) {
            let rows = tx.all(BY_ID, args![id]).await?;
            items = views(tx, rows).await?;
        }
        let before = match page.cursor {
            Some(before) => before,
            None => {
                let last = tx.one("SELECT COALESCE(MAX(id), 0) AS id FROM tasks", args![]).await?;
                last.int("id")?.saturating_add(1)
            }
        };
        let from = before.saturating_sub(WINDOW).max(0);
        let (lower, exact) = (pattern(&text.to_lowercase()), pattern(text));
        let limit = page.limit() - i64::try_from(items.len()).unwrap_or(0);
        if limit < 1 {
            return Ok(Page { items, next: Some(before) });
        }
        let rows = tx.all(SEARCH, args![before, from, lower, exact, limit + 1]).await?;
        let request = PageRequest::first(u32::try_from(limit).unwrap_or(u32::MAX));
        let found = request.cut(views(tx, rows).await?, |task| task.id.0);
        let next = found.next.or((from > 0).then_some(from));
        items.extend(found.items.into_iter().filter(|task| Some(task.id.0) != id));
        Ok(Page { items, next })
    }
}

/// What LIKE finds anywhere in a text.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.trim().chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sought_is_no_pattern_of_its_own() {
        assert_eq!(pattern(" a%b_c!d\\ "), "%a!%b!_c!!d\\%");
    }
}
