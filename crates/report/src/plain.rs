//! Lines for logs and pipes: no colour, no cursor movement, nothing that is redrawn.

use std::io::{self, Write};

use super::narrate::{Detail, Narrator};
use super::reporter::Reporter;
use greenloop_model::RunEvent;

/// Columns that text is wrapped at where there is no terminal to ask.
pub(super) const WIDTH: usize = 100;

/// The plain reporter.
#[derive(Debug)]
pub(super) struct Plain<W> {
    out: W,
    narrator: Narrator,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, narrator: Narrator::new(Detail::Everything, WIDTH) }
    }
}

impl<W: Write> Reporter for Plain<W> {
    fn event(&mut self, _at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let mut text = String::new();
        for line in self.narrator.tell(event) {
            text.push_str(&line.render(false));
            text.push('\n');
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn finish(&mut self) {}
}
