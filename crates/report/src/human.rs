//! Lines for a person at a terminal: colour, and what is under way below them.

use std::io::{self, Write};

use super::line::Paint;
use super::link::Paths;
use super::live::{Live, LiveView};
use super::narrate::{Detail, Narrator};
use super::reporter::Reporter;
use greenloop_model::RunEvent;

/// Columns where there is no terminal to ask.
const WIDTH: usize = 80;
/// Text is not wrapped wider than this, however wide the terminal is.
const WIDEST: usize = 100;
/// Nor narrower than this.
const NARROWEST: usize = 40;

/// What the lines are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A file or a pipe.
    None,
    /// A file or a pipe whose reader has so many columns.
    Columns(usize),
    /// A terminal that cannot move its cursor (`TERM=dumb`): nothing is redrawn.
    Dumb,
    /// A terminal.
    Terminal,
}

/// The human reporter.
pub(super) struct Human<W> {
    out: W,
    paint: Paint,
    narrator: Narrator,
    /// The width is that of a terminal, which may be resized.
    follows: bool,
    /// No line is wider than that, whatever it holds.
    folds: bool,
    /// What is under way; `None` where the output is no terminal.
    live: Option<Live>,
}

impl<W: Write> Human<W> {
    pub(super) fn new(out: W, paint: Paint, screen: Screen) -> Self {
        let (width, follows, moves) = match screen {
            Screen::None => (WIDTH, false, false),
            Screen::Columns(columns) => (columns, false, false),
            Screen::Dumb => (columns(), true, false),
            Screen::Terminal => (columns(), true, true),
        };
        // A path in a file is found by who looks for it as a whole.
        let folds = screen != Screen::None;
        let narrator = Narrator::new(Detail::Results, width);
        // Whoever reads it later stands elsewhere.
        let narrator = if follows { narrator.at(Paths::from_here()) } else { narrator };
        Self { out, paint, narrator, follows, folds, live: moves.then(|| Live::new(paint.color)) }
    }

    /// With all that is known of each failure, where `whole`.
    pub(super) fn whole(self, whole: bool) -> Self {
        Self { narrator: self.narrator.whole(whole), ..self }
    }
}

impl<W> Human<W> {
    /// What is under way, for whoever wants to see more of it.
    pub(super) fn view(&self) -> Option<LiveView> {
        self.live.as_ref().map(Live::view)
    }
}

impl<W: Write> Reporter for Human<W> {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        if self.follows {
            self.narrator.set_width(columns());
        }
        let mut text = String::new();
        let width = if self.folds { self.narrator.width() } else { usize::MAX };
        for line in self.narrator.tell(event).into_iter().flat_map(|line| line.wrapped(width)) {
            text.push_str(&line.painted(self.paint));
            text.push('\n');
        }
        let Some(live) = &mut self.live else {
            self.out.write_all(text.as_bytes())?;
            return self.out.flush();
        };
        live.before(event);
        if !text.is_empty() {
            live.aside(|| {
                self.out.write_all(text.as_bytes())?;
                self.out.flush()
            })?;
        }
        live.after(event);
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(live) = &mut self.live {
            live.finish();
        }
    }
}

/// The terminal's columns, as text is wrapped on it.
pub fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout())
        .or_else(|_| rustix::termios::tcgetwinsize(io::stderr()));
    match size {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col).clamp(NARROWEST, WIDEST),
        Ok(_) | Err(_) => WIDTH,
    }
}
