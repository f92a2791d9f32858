//! Where SQLite and PostgreSQL differ. Statements are written once, with these marks in them:
//!
//! | Mark | Means |
//! |---|---|
//! | `{now}` | microseconds since the epoch, by the database's clock, fixed for one statement |
//! | `{in $1}` | the strings of a JSON array, as a sub-select |
//! | `{ids $1}` | the numbers of a JSON array, as a sub-select |
//! | `{subset a b}` | whether all strings of one JSON array are in the other |
//! | `{lock}` | hold the rows that were read until the transaction ends |
//! | `{lock free}` | the same, but pass over rows that others hold |
//! | `{lock free t}` | the same, but only of the rows of `t` |
//! | `{lock end}` | hold the rows of tasks that are about to end; conflicts with `{share}` |
//! | `{share}` | keep a task from ending until the transaction ends; it can be claimed all the same |
//! | `{share free}` | the same, but pass over tasks that are about to end |
//! | `{share free t}` | the same, but only of the rows of `t` |
//! | `{outbox}` | the table that a transaction leaves its events in |

use std::borrow::Cow;

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// One writer at a time: locks on rows mean nothing.
    Sqlite,
    /// Read committed: each statement sees what is committed when it starts.
    Postgres,
}

impl Dialect {
    /// The statement as this database understands it. A mark that is none stays as it is: no
    /// database takes it.
    pub(super) fn write(self, template: &str) -> Cow<'_, str> {
        if !template.contains('{') {
            return Cow::Borrowed(template);
        }
        let mut out = String::with_capacity(template.len() + 128);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let (mark, after) = after.split_once('}').unwrap_or((after, ""));
            match self.expand(mark) {
                Some(text) => out.push_str(&text),
                None => out.extend(["{", mark, "}"]),
            }
            rest = after;
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn expand(self, mark: &str) -> Option<Cow<'static, str>> {
        let fixed = match (mark, self) {
            ("now", Self::Sqlite) => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
            ("now", Self::Postgres) => {
                "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)"
            }
            (
                "lock" | "lock free" | "lock free t" | "lock end" | "share" | "share free"
                | "share free t",
                Self::Sqlite,
            ) => "",
            ("lock", Self::Postgres) => "FOR NO KEY UPDATE",
            ("lock free", Self::Postgres) => "FOR NO KEY UPDATE SKIP LOCKED",
            ("lock free t", Self::Postgres) => "FOR NO KEY UPDATE OF t SKIP LOCKED",
            ("lock end", Self::Postgres) => "FOR UPDATE",
            ("share", Self::Postgres) => "FOR KEY SHARE",
            ("share free", Self::Postgres) => "FOR KEY SHARE SKIP LOCKED",
            ("share free t", Self::Postgres) => "FOR KEY SHARE OF t SKIP LOCKED",
            ("outbox", Self::Sqlite) => "outbox",
            ("outbox", Self::Postgres) => "outbox_pending",
            (list, _) => {
                let words: Vec<&str> = list.split(' ').collect();
                return Some(self.list(words.as_slice())?.into());
            }
        };
        Some(fixed.into())
    }

    /// Lists are JSON arrays in a column or a parameter.
    fn list(self, mark: &[&str]) -> Option<String> {
        match (mark, self) {
            (["in" | "ids", list], Self::Sqlite) => {
                Some(format!("(SELECT value FROM json_each({list}))"))
            }
            (["in", list], Self::Postgres) => {
                Some(format!("(SELECT jsonb_array_elements_text(CAST({list} AS jsonb)))"))
            }
            (["ids", list], Self::Postgres) => Some(format!(
                "(SELECT CAST(v AS BIGINT) FROM \
                 jsonb_array_elements_text(CAST({list} AS jsonb)) v)"
            )),
            (["subset", one, other], Self::Sqlite) => Some(format!(
                "NOT EXISTS (SELECT 1 FROM json_each({one}) one WHERE one.value NOT IN \
                 (SELECT value FROM json_each({other})))"
            )),
            (["subset", one, other], Self::Postgres) => {
                Some(format!("CAST({one} AS jsonb) <@ CAST({other} AS jsonb)"))
            }
            _no_mark => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_become_what_the_database_understands() {
        for (template, sqlite, postgres) in [
            ("SELECT 1", "SELECT 1", "SELECT 1"),
            ("SELECT {noww}", "SELECT {noww}", "SELECT {noww}"),
            (
                "SELECT id FROM t {lock free}",
                "SELECT id FROM t ",
                "SELECT id FROM t FOR NO KEY UPDATE SKIP LOCKED",
            ),
            (
                "x IN {in $2} AND y",
                "x IN (SELECT value FROM json_each($2)) AND y",
                "x IN (SELECT jsonb_array_elements_text(CAST($2 AS jsonb))) AND y",
            ),
            (
                "x IN {ids $1}",
                "x IN (SELECT value FROM json_each($1))",
                "x IN (SELECT CAST(v AS BIGINT) FROM jsonb_array_elements_text(CAST($1 AS jsonb)) v)",
            ),
            (
                "{subset a $1}",
                "NOT EXISTS (SELECT 1 FROM json_each(a) one WHERE one.value NOT IN \
                 (SELECT value FROM json_each($1)))",
                "CAST(a AS jsonb) <@ CAST($1 AS jsonb)",
            ),
            (
                "INSERT INTO {outbox} (at)",
                "INSERT INTO outbox (at)",
                "INSERT INTO outbox_pending (at)",
            ),
        ] {
            assert_eq!(Dialect::Sqlite.write(template), sqlite);
            assert_eq!(Dialect::Postgres.write(template), postgres);
        }
    }
}
