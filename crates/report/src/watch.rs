//! One run of a command that is watched: why it fails, and what the agents say. How it ended is
//! said by whoever watches.

use std::io::{self, Write};

use super::format;
use super::human::{Screen, columns};
use super::line::{Line, Paint, Tone};
use super::link::Paths;
use super::narrate::{Detail, Narrator};
use super::reporter::Reporter;
use super::verdict::{self, Conclusion};
use greenloop_model::{RunEvent, RunKind, RunSummary, Usage};

pub(super) struct Watch<W> {
    out: W,
    paint: Paint,
    width: usize,
    narrator: Narrator,
    drafting: bool,
}

impl<W: Write> Watch<W> {
    pub(super) fn new(out: W, paint: Paint, screen: Screen) -> Self {
        let width = match screen {
            Screen::None => usize::MAX,
            Screen::Columns(columns) => columns,
            Screen::Dumb | Screen::Terminal => columns(),
        };
        let narrator = Narrator::new(Detail::Results, width.min(columns()));
        Self { out, paint, width, narrator: narrator.at(Paths::from_here()), drafting: false }
    }
}

/// Whether it is told while the command is watched.
fn is_told(event: &RunEvent) -> bool {
    match event {
        RunEvent::StageFailed { .. }
        | RunEvent::FlakyRerun { .. }
        | RunEvent::PatchProposed { .. }
        | RunEvent::PatchRefused { .. }
        | RunEvent::NoPatch { .. }
        | RunEvent::Reviewed { .. }
        | RunEvent::Evaluated { .. }
        | RunEvent::HumanDecided { .. } => true,
        RunEvent::Started(_)
        | RunEvent::Notice(_)
        | RunEvent::IterationStarted { .. }
        | RunEvent::StageStarted { .. }
        | RunEvent::PartStarted { .. }
        | RunEvent::Output { .. }
        | RunEvent::Progress { .. }
        | RunEvent::GateFinished { .. }
        | RunEvent::StepFinished { .. }
        | RunEvent::ImageReady { .. }
        | RunEvent::StagePassed { .. }
        | RunEvent::Restored { .. }
        | RunEvent::AuthorAsked { .. }
        | RunEvent::AuthorLooked { .. }
        | RunEvent::ReviewerAsked { .. }
        | RunEvent::PatchApplied { .. }
        | RunEvent::Switched { .. }
        | RunEvent::Finished(_) => false,
    }
}

impl<W: Write> Reporter for Watch<W> {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        // What is left out is part of what comes after it.
        let mut lines = self.narrator.tell(event);
        if !is_told(event) {
            lines.clear();
        }
        if let RunEvent::AuthorAsked { model, .. } = event
            && !std::mem::replace(&mut self.drafting, true)
        {
            lines.push(
                Line::indent(2).dim("author").pad_to(12).dim(format!("drafts a fix · {model}")),
            );
        }
        for line in lines.into_iter().flat_map(|line| line.wrapped(self.width)) {
            writeln!(self.out, "{}", line.painted(self.paint))?;
        }
        self.out.flush()
    }

    fn finish(&mut self) {}
}

/// How a watched run ended, on one line: `✓ It passes … · 1.2s`, and what was spent since the watch
/// began.
pub(super) fn end(summary: &RunSummary, spent: &Usage) -> Line {
    let (tone, mark) = match verdict::conclusion(summary) {
        Conclusion::Success => (Tone::Good, "✓"),
        Conclusion::Undecided => (Tone::Warn, "?"),
        Conclusion::Failure => (Tone::Bad, "✗"),
    };
    let headline = verdict::headline_of(RunKind::Heal, summary);
    let line = Line::new().push(tone, mark).plain(format!(" {headline}")).hanging(2);
    let line = line.dim(format!(" · {}", format::duration(summary.elapsed)));
    if spent.requests == 0 {
        return line;
    }
    line.dim(format!(" · so far {}", format::usage(spent)))
}
