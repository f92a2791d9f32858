//! A command that is started without a shell.

use super::Context;
use crate::command;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::raw::RawCommand;

/// Program and arguments; empty when there are none.
pub(super) fn words(
    cx: &mut Context<'_>,
    command: Option<&RawCommand>,
    place: &KeyPath,
) -> Option<Vec<String>> {
    match command {
        None => Some(Vec::new()),
        Some(RawCommand::List(words)) => Some(words.clone()),
        Some(RawCommand::Line(line)) => match command::split(line) {
            Ok(words) => Some(words),
            Err(error) => {
                cx.report(
                    ProblemKind::InvalidValue,
                    place,
                    format!("{} cannot be started: {error}", quoted(line)),
                    "for a shell command line, use [sh, -c, \"…\"]",
                );
                None
            }
        },
    }
}
