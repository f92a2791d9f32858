//! The terminal's bell and a notification on the desktop at the end of a long run.

use std::io::{self, Write};
use std::time::Duration;

use super::reporter::Reporter;
use super::safe_text;
use super::verdict;
use greenloop_model::{RunEvent, RunHeader, RunSummary, StopReason};

/// Characters of a notification: what does not fit on a desktop's card is cut by it.
const LONGEST: usize = 160;
const NAME: &str = "greenloop";

/// How a terminal is asked to show a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesktopNotification {
    /// It cannot, as far as is known: only the bell rings.
    None,
    /// `OSC 9`: iTerm2, WezTerm, Ghostty, ConEmu.
    Osc9,
    /// `OSC 777`: urxvt, foot, terminals on VTE.
    Osc777,
    /// `OSC 99`: kitty.
    Osc99,
}

impl DesktopNotification {
    fn sequence(self, text: &str) -> String {
        match self {
            Self::None => String::new(),
            Self::Osc9 => format!("\u{1b}]9;{NAME}: {text}\u{1b}\\"),
            // A semicolon would end the text.
            Self::Osc777 => {
                format!("\u{1b}]777;notify;{NAME};{}\u{1b}\\", text.replace(';', ","))
            }
            Self::Osc99 => format!(
                "\u{1b}]99;i={NAME}:d=0;{NAME}\u{1b}\\\u{1b}]99;i={NAME}:d=1:p=body;{text}\u{1b}\\"
            ),
        }
    }
}

/// Rings when a run is over that took `after` or longer.
pub(super) struct Bell<W> {
    out: W,
    after: Duration,
    form: DesktopNotification,
    header: Option<Box<RunHeader>>,
    span: Option<(jiff::Timestamp, jiff::Timestamp)>,
    summary: Option<Box<RunSummary>>,
}

impl<W: Write> Bell<W> {
    pub(super) fn new(out: W, after: Duration, form: DesktopNotification) -> Self {
        Self { out, after, form, header: None, span: None, summary: None }
    }

    /// What is told; `None` where whoever waits knows it: the run was short, or they ended it.
    fn text(&self) -> Option<String> {
        let (first, last) = self.span?;
        let header = self.header.as_deref()?;
        let took = Duration::try_from(last.duration_since(first)).unwrap_or_default();
        let outcome = match self.summary.as_deref() {
            Some(summary) if summary.stop == StopReason::Cancelled => return None,
            Some(summary) => verdict::headline(Some(header), summary),
            None => "ended without a result".to_owned(),
        };
        (took >= self.after).then(|| clean(&format!("{}: {outcome}", header.title)))
    }
}

/// One line without anything that a terminal obeys.
fn clean(text: &str) -> String {
    let visible = safe_text::visible(text);
    let words: Vec<&str> = visible.split_whitespace().collect();
    let text: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl<W: Write> Reporter for Bell<W> {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        self.span = Some((self.span.map_or(at, |(first, _)| first), at));
        if let RunEvent::Started(header) = event {
            self.header = Some(header.clone());
        }
        if let RunEvent::Finished(summary) = event {
            self.summary = Some(summary.clone());
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(text) = self.text() {
            let ring = format!("{}\u{7}", self.form.sequence(&text));
            let _closed = self.out.write_all(ring.as_bytes()).and_then(|()| self.out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reporter::Stamped;
    use crate::{fixtures, verdict};

    fn rung(events: &[Stamped], after: Duration, form: DesktopNotification) -> String {
        let mut out = Vec::new();
        let mut bell = Bell::new(&mut out, after, form);
        for stamped in events {
            bell.event(stamped.at, &stamped.event).unwrap();
        }
        bell.finish();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn it_rings_after_a_long_run_only_and_says_how_it_ended() {
        let events = fixtures::healed();
        let (first, last) = (events[0].at, events.last().unwrap().at);
        let took = Duration::try_from(last.duration_since(first)).unwrap();
        let longer = took + Duration::from_millis(1);
        assert_eq!(rung(&events, longer, DesktopNotification::Osc9), "");
        let Some(RunEvent::Finished(summary)) = events.last().map(|last| &last.event) else {
            panic!()
        };
        let RunEvent::Started(header) = &events[0].event else { panic!() };
        let headline = verdict::headline(Some(header), summary);
        let text = format!("{}: {headline}", header.title);
        for (form, expect) in [
            (DesktopNotification::None, "\u{7}".to_owned()),
            (DesktopNotification::Osc9, format!("\u{1b}]9;greenloop: {text}\u{1b}\\\u{7}")),
            (
                DesktopNotification::Osc777,
                format!("\u{1b}]777;notify;greenloop;{}\u{1b}\\\u{7}", text.replace(';', ",")),
            ),
        ] {
            assert_eq!(rung(&events, took, form), expect);
        }
        let kitty = rung(&events, took, DesktopNotification::Osc99);
        assert!(kitty.contains(&format!(":p=body;{text}\u{1b}\\")), "{kitty:?}");
        let broken_off = rung(&events[..3], Duration::ZERO, DesktopNotification::Osc9);
        assert!(broken_off.contains("ended without a result"), "{broken_off:?}");
        assert_eq!(rung(&[], Duration::ZERO, DesktopNotification::Osc9), "");
    }

    #[test]
    fn nothing_in_it_commands_the_terminal() {
        let mut events = fixtures::healed();
        let RunEvent::Started(header) = &mut events[0].event else { panic!() };
        header.title = format!("a\u{7}\u{1b}]52;c;x\u{9c}\nb {}", "long ".repeat(100));
        for form in [DesktopNotification::Osc9, DesktopNotification::Osc777] {
            let rung = rung(&events, Duration::ZERO, form);
            assert_eq!(rung.matches('\u{1b}').count(), 2, "{rung:?}");
            assert_eq!(rung.chars().filter(|c| c.is_control()).count(), 3, "{rung:?}");
            assert!(rung.chars().count() < 250, "{rung:?}");
        }
    }

    #[test]
    fn who_cancelled_a_run_is_not_told() {
        let mut events = fixtures::healed();
        let Some(Stamped { event: RunEvent::Finished(summary), .. }) = events.last_mut() else {
            panic!()
        };
        summary.stop = StopReason::Cancelled;
        assert_eq!(rung(&events, Duration::ZERO, DesktopNotification::None), "");
    }
}
