//! Output of attempts and of gates: appended in pieces, kept deflated, up to a limit.
//!
//! # Guarantees
//! - A piece is added once, however often it is sent: its place in the whole says which it is.
//! - Only who holds the task's lease, or merges its work, adds to a log.
//! - Of a long log the beginning and the end are kept.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::attempts::stale;
use super::columns::time;
use super::connect::TaskStore;
use super::error::{StoreError, StoreErrorKind};
use super::record::Record;
use super::tx::{Done, Tx};
use super::value::args;
use greenloop_hub_api::types::{LogMatch, LogMatches, LogPart, TaskLog};
use greenloop_model::task::{GraphId, Lease, TaskId};

/// Bytes of the beginning that are kept.
const HEAD: i64 = 1 << 20;
/// Bytes of the end that are kept, at least.
const TAIL: i64 = 7 << 20;
/// The longest piece, in bytes.
const PIECE: usize = 256 << 10;
/// Bytes of text that one reading gives, about.
const READ: usize = 512 << 10;
/// Lines that a search finds at most.
const MATCHES: usize = 200;
/// Bytes of text that a search looks through at most.
const SEARCHED: u64 = 256 << 20;
/// Bytes of a line that a search shows.
const LINE: usize = 500;
/// Pieces that are read at a time.
const PIECES: i64 = 32;

/// Who adds to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWriter {
    /// Whoever holds the lease of the attempt.
    Attempt,
    /// The merge queue, while the attempt's work is in it.
    MergeQueue,
}

/// Where to search for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSearch {
    /// Not empty; capitals do not count.
    pub text: String,
    /// Only in logs of this task.
    pub task: Option<TaskId>,
    /// Only in logs of this graph's tasks.
    pub graph: Option<GraphId>,
}

impl TaskStore {
    /// Adds a piece to a log; how long the log is then. Without an `offset` it is added to the end,
    /// however often it is sent.
    ///
    /// # Errors
    /// `StaleLease`; `Invalid` for one that is too long.
    pub async fn append_log(
        &self,
        lease: Lease,
        source: &str,
        writer: LogWriter,
        offset: Option<u64>,
        text: &str,
    ) -> Result<u64, StoreError> {
        if text.len() > PIECE {
            return Err(StoreError::invalid("a piece of a log is at most 256 KiB long"));
        }
        let offset = offset.map(i64::try_from).transpose();
        let offset = offset.map_err(|_too_far| StoreError::invalid("no log is that long"))?;
        let asked = Arc::new((source.to_owned(), text.to_owned(), deflated(text)));
        let size = self
            .write(move |tx| {
                let asked = Arc::clone(&asked);
                Box::pin(async move {
                    let (source, text, data) = &*asked;
                    append(tx, lease, source, writer, offset, text, data).await
                })
            })
            .await?;
        Ok(size.max(0).cast_unsigned())
    }

    /// The logs of a task, in the order of its attempts.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn logs(&self, task: TaskId) -> Result<Vec<TaskLog>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader.tx().all(LOGS, args![task.0, None::<i64>, None::<&str>]).await?;
        rows.iter().map(view).collect()
    }

    /// A part of a log: that of the latest attempt, unless `epoch` names another.
    ///
    /// # Errors
    /// `NotFound` when there is no such log (yet).
    pub async fn read_log(
        &self,
        task: TaskId,
        epoch: Option<i64>,
        source: &str,
        offset: u64,
    ) -> Result<LogPart, StoreError> {
        let mut reader = self.reader().await?;
        let tx = &mut reader.tx();
        let rows = tx.all(LOGS, args![task.0, epoch, source]).await?;
        let row = rows
            .last()
            .ok_or_else(|| StoreError::not_found(format_args!("log `{source}` of task {task}")))?;
        let log = view(row)?;
        let from = i64::try_from(offset).unwrap_or(i64::MAX);
        let pieces = tx
            .all(
                "SELECT place, length, data FROM log_chunks WHERE log_id = $1 \
                 AND place + length > $2 ORDER BY place LIMIT $3",
                args![row.int("id")?, from, PIECES],
            )
            .await?;
        let (mut text, mut first, mut next) = (String::new(), None, from);
        for piece in pieces {
            let place = piece.int("place")?;
            // What is between two pieces is not kept: one reading ends there.
            if first.is_some() && place > next || text.len() >= READ {
                break;
            }
            let whole = inflated(&piece.bytes("data")?)?;
            let begin = usize::try_from((from - place).max(0)).unwrap_or(usize::MAX);
            let begin = (begin..=whole.len()).find(|at| whole.is_char_boundary(*at));
            text.push_str(begin.and_then(|at| whole.get(at..)).unwrap_or_default());
            first.get_or_insert(place.max(from));
            next = place + piece.int("length")?;
        }
        Ok(LogPart {
            epoch: log.epoch,
            source: log.source,
            offset: first.unwrap_or(from).max(0).cast_unsigned(),
            text,
            next: next.max(0).cast_unsigned(),
            size: log.size,
            ended: log.ended,
        })
    }

    /// Lines in which a text is.
    ///
    /// # Errors
    /// `Invalid` without a text.
    pub async fn search_logs(&self, search: &LogSearch) -> Result<LogMatches, StoreError> {
        let wanted = search.text.to_lowercase();
        if wanted.is_empty() {
            return Err(StoreError::invalid("there is nothing to search for"));
        }
        let logs = {
            let mut reader = self.reader().await?;
            reader
                .tx()
                .all(
                    "SELECT l.id, l.task_id, l.epoch, l.source FROM logs l \
                     JOIN tasks t ON t.id = l.task_id WHERE ($1 IS NULL OR l.task_id = $1) \
                     AND ($2 IS NULL OR t.graph_id = $2) ORDER BY l.id DESC",
                    args![search.task.map(|it| it.0), search.graph.map(|it| it.0)],
                )
                .await?
        };
        let mut found = LogMatches { items: Vec::new(), complete: true };
        let mut searched = 0;
        for log in logs {
            let mut lines = Lines::default();
            let mut after = -1;
            loop {
                let pieces = {
                    let mut reader = self.reader().await?;
                    reader
                        .tx()
                        .all(
                            "SELECT place, length, data FROM log_chunks WHERE log_id = $1 \
                             AND place > $2 ORDER BY place LIMIT $3",
                            args![log.int("id")?, after, PIECES],
                        )
                        .await?
                };
                let Some(last) = pieces.last() else { break };
                after = last.int("place")?;
                for piece in pieces {
                    searched += piece.count("length")?;
                    let (place, text) = (piece.count("place")?, inflated(&piece.bytes("data")?)?);
                    lines.add(place, &text);
                    lines.take(&wanted, false, |offset, line| {
                        found.items.push(matched(&log, offset, line)?);
                        Ok(())
                    })?;
                }
                if found.items.len() >= MATCHES || searched >= SEARCHED {
                    found.items.truncate(MATCHES);
                    found.complete = false;
                    return Ok(found);
                }
            }
            lines.take(&wanted, true, |offset, line| {
                found.items.push(matched(&log, offset, line)?);
                Ok(())
            })?;
        }
        Ok(found)
    }
}

fn matched(log: &Record, offset: u64, line: &str) -> Result<LogMatch, StoreError> {
    let end = (0..=LINE.min(line.len())).rev().find(|at| line.is_char_boundary(*at));
    Ok(LogMatch {
        task: TaskId(log.int("task_id")?),
        epoch: log.int("epoch")?,
        source: log.text("source")?,
        offset,
        line: line.get(..end.unwrap_or(0)).unwrap_or_default().to_owned(),
    })
}

/// Lines that may begin in one piece and end in the next.
#[derive(Default)]
struct Lines {
    place: u64,
    text: String,
}

impl Lines {
    fn add(&mut self, place: u64, text: &str) {
        if self.place + self.text.len() as u64 != place {
            // What is between them is not kept.
            self.text.clear();
        }
        if self.text.is_empty() {
            self.place = place;
        }
        self.text.push_str(text);
    }

    /// Gives the lines with `wanted` in them: whole ones, and at the end also the last.
    fn take(
        &mut self,
        wanted: &str,
        end: bool,
        mut found: impl FnMut(u64, &str) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // A line without an end is cut: nobody reads it.
        let whole = match self.text.rfind('\n') {
            _ if end || self.text.len() > PIECE => self.text.len(),
            Some(last) => last + 1,
            None => 0,
        };
        let rest = self.text.split_off(whole);
        let mut place = self.place;
        for line in self.text.split_inclusive('\n') {
            let plain = greenloop_evidence::plain_text(line.trim_end());
            if plain.to_lowercase().contains(wanted) {
                found(place, &plain)?;
            }
            place += line.len() as u64;
        }
        self.place = place;
        self.text = rest;
        Ok(())
    }
}

const LOGS: &str = "SELECT l.*, CASE WHEN a.state = 'running' THEN 0 WHEN l.source <> 'attempt' \
    AND EXISTS (SELECT 1 FROM merge_queue m WHERE m.task_id = l.task_id AND m.epoch = l.epoch \
    AND m.state IN ('queued', 'testing')) THEN 0 ELSE 1 END AS ended FROM logs l \
    JOIN attempts a ON a.task_id = l.task_id AND a.epoch = l.epoch WHERE l.task_id = $1 \
    AND ($2 IS NULL OR l.epoch = $2) AND ($3 IS NULL OR l.source = $3) \
    ORDER BY l.epoch, l.id";

fn view(row: &Record) -> Result<TaskLog, StoreError> {
    Ok(TaskLog {
        task: TaskId(row.int("task_id")?),
        epoch: row.int("epoch")?,
        source: row.text("source")?,
        size: row.count("bytes")?,
        ended: row.flag("ended")?,
        created_at: time(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

async fn append(
    tx: &mut Tx<'_>,
    lease: Lease,
    source: &str,
    writer: LogWriter,
    offset: Option<i64>,
    text: &str,
    data: &[u8],
) -> Done<i64> {
    let held = match writer {
        LogWriter::Attempt => {
            tx.maybe(
                "SELECT id FROM attempts WHERE task_id = $1 AND epoch = $2 AND state = 'running'",
                args![lease.task.0, lease.epoch],
            )
            .await?
        }
        LogWriter::MergeQueue => {
            tx.maybe(
                "SELECT id FROM merge_queue WHERE task_id = $1 AND epoch = $2 \
                 AND state IN ('queued', 'testing')",
                args![lease.task.0, lease.epoch],
            )
            .await?
        }
    };
    held.ok_or_else(|| stale(lease))?;
    // Holds the log: two who send the same piece do so one after the other.
    let log = tx
        .one(
            "INSERT INTO logs (task_id, epoch, source, bytes, created_at, updated_at) \
             VALUES ($1, $2, $3, 0, {now}, {now}) ON CONFLICT (task_id, epoch, source) \
             DO UPDATE SET updated_at = excluded.updated_at RETURNING id, bytes",
            args![lease.task.0, lease.epoch, source],
        )
        .await?;
    let (id, before) = (log.int("id")?, log.int("bytes")?);
    let offset = offset.unwrap_or(before);
    let end = offset + i64::try_from(text.len()).unwrap_or(i64::MAX / 2);
    if end <= before {
        return Ok(before);
    }
    let (place, length, data) = if offset >= before {
        (offset, end - offset, data.to_vec())
    } else {
        // The beginning of it is there.
        let known = usize::try_from(before - offset).unwrap_or(usize::MAX);
        let known = (known..=text.len()).find(|at| text.is_char_boundary(*at));
        let rest = known.and_then(|at| text.get(at..)).unwrap_or_default();
        (end - i64::try_from(rest.len()).unwrap_or(0), rest.len() as i64, deflated(rest))
    };
    tx.run(
        "INSERT INTO log_chunks (log_id, place, length, data) VALUES ($1, $2, $3, $4)",
        args![id, place, length, data],
    )
    .await?;
    tx.run("UPDATE logs SET bytes = $2 WHERE id = $1", args![id, end]).await?;
    if end > HEAD + TAIL {
        tx.run(
            "DELETE FROM log_chunks WHERE log_id = $1 AND place >= $2 AND place + length <= $3",
            args![id, HEAD, end - TAIL],
        )
        .await?;
    }
    Ok(end)
}

fn deflated(text: &str) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.try_finish());
    match written {
        Ok(()) => encoder.finish().unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

fn inflated(data: &[u8]) -> Result<String, StoreError> {
    let mut text = String::new();
    // No piece is longer when it is put in.
    let mut decoder = DeflateDecoder::new(data).take(PIECE as u64 + 1);
    decoder.read_to_string(&mut text).map_err(|error| {
        StoreError::with(StoreErrorKind::Corrupt, "a piece of a log is not understood", error)
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_comes_out_as_it_went_in() {
        for text in ["", "one\n", "\u{1b}[31mred\u{1b}[0m äöü\n"] {
            assert_eq!(inflated(&deflated(text)).unwrap(), text);
        }
    }

    #[test]
    fn lines_are_found_across_pieces_and_not_across_gaps() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut take = |lines: &mut Lines, end| {
            lines
                .take("error", end, |at, line| {
                    found.push((at, line.to_owned()));
                    Ok(())
                })
                .unwrap();
        };
        lines.add(0, "fine\n\u{1b}[31mErr");
        take(&mut lines, false);
        lines.add(13, "or\u{1b}[0m: it\nlast er");
        take(&mut lines, false);
        // Bytes are missing in between.
        lines.add(100, "ror\nerror at the end");
        take(&mut lines, true);
        assert_eq!(found, [(5, "Error: it".to_owned()), (104, "error at the end".to_owned())]);
    }
}
