//! Redaction of a stream, line by line.

use super::key::{KEY_MARKER, KeyLine, KeyState};
use super::{Hidden, Redactor, merged, replace, value_index, wrapped};

/// Bytes of a line that are held before a part of it is let go.
const MAX_LINE: usize = 64 * 1024;
/// Bytes at the end of such a part that are held back at least: a secret may begin there.
const HELD: usize = 4 * 1024;

/// Lines that wait for the next one at the most, because a secret may go on there.
const MOST_WAITING: usize = 64;
/// Bytes of what was let go that a secret's first bytes are looked for in.
const CONTEXT: usize = 8;

/// Redacts bytes as they come, cut anywhere. Line ends stay as they are.
///
/// A line is let go when it has ended, unless it may end within a secret that was wrapped: then
/// it waits for the next one, or for [`LineRedactor::idle`].
pub struct LineRedactor {
    redactor: Redactor,
    line: Vec<u8>,
    key: KeyState,
    /// Part of this line has been let go already.
    begun: bool,
    /// Whole lines, with their ends, that have not been let go.
    lines: Vec<u8>,
    /// Bytes of `lines` that were looked at and have to wait.
    waiting: usize,
    /// Bytes of `lines` that were shown in a pause; they are kept for what goes on in the next line.
    shown: usize,
    /// The end of what was let go.
    context: Vec<u8>,
}

impl LineRedactor {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self {
            redactor,
            line: Vec::new(),
            key: KeyState::default(),
            begun: false,
            lines: Vec::new(),
            waiting: 0,
            shown: 0,
            context: Vec::new(),
        }
    }

    /// Takes bytes in and appends to `out` what is certain to be free of secrets: lines that
    /// have ended, and the beginning of one that is overlong.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        let mut any = false;
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(at);
            self.extend(line, out);
            let (end, rest) = rest.split_at(1);
            self.end(end, out);
            bytes = rest;
            any = true;
            if self.lines.len() >= MAX_LINE {
                self.settle(out);
            }
        }
        if any && !self.wrap_goes_on() {
            self.settle(out);
        }
        self.extend(bytes, out);
    }

    /// No more output has come for a while: lets the lines go that wait for the next one, so that
    /// who follows the output sees them.
    ///
    /// What may be the first part of a secret is hidden in them, for good: it cannot be taken back
    /// when the next line turns out to be the rest. The lines stay known as what stands before the
    /// next one, so a pause within a secret shows neither part. A line that has not ended is held
    /// until it ends.
    pub fn idle(&mut self, out: &mut Vec<u8>) {
        self.settle(out);
        if self.shown == self.lines.len() {
            return;
        }
        let mut spans = self.spans();
        let mut from = 0;
        for line in self.lines.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let start = from + self.redactor.last_part(line);
            let end = from + line.trim_ascii_end().len();
            spans.push(Hidden { start, end: end.max(start), what: "" });
            from += line.len();
        }
        self.show(&merged(spans), self.lines.len(), out);
        self.shown = self.lines.len();
    }

    /// Whether the lines since those that wait only go on with a wrapped value, as far as can be
    /// told: with each of them all would be looked at again.
    fn wrap_goes_on(&self) -> bool {
        let new = self.lines.get(self.waiting..).unwrap_or_default();
        let ended = new.strip_suffix(b"\n").unwrap_or(new);
        self.waiting > 0
            && self.lines.len() < MAX_LINE / 2
            && memchr::memchr_iter(b'\n', new).count() < MOST_WAITING
            && ended.split(|byte| *byte == b'\n').all(wrapped::is_one_word)
    }

    /// The end of the stream: appends what was held back.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.end(b"", out);
        self.release(out);
    }

    fn extend(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = MAX_LINE.saturating_sub(self.line.len()).max(1);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.line.extend_from_slice(now);
            bytes = later;
            if self.line.len() >= MAX_LINE {
                self.flush(out);
            }
        }
    }

    /// Lets the beginning of an overlong line go, up to where a secret could still begin.
    fn flush(&mut self, out: &mut Vec<u8>) {
        self.release(out);
        self.begun = true;
        let held = HELD.max(2 * self.redactor.known().index.longest()).min(self.line.len() / 2);
        let mut cut = self.line.len() - held;
        let spans = self.redactor.spans(&self.line);
        if let Some(span) = spans.iter().find(|span| span.start < cut && cut < span.end) {
            // One that runs to the end may go on: what is there of it is hidden now, the rest
            // is seen as a secret again by its context or is no longer one.
            cut = span.end;
        }
        let before: Vec<_> = spans.into_iter().filter(|span| span.end <= cut).collect();
        replace(self.line.get(..cut).unwrap_or_default(), &before, out);
        self.line.drain(..cut);
    }

    /// A line has ended, with these bytes.
    fn end(&mut self, end: &[u8], out: &mut Vec<u8>) {
        let begun = std::mem::take(&mut self.begun);
        let is_key = |key: &mut KeyState, line: &[u8]| key.line(line) == KeyLine::Inside;
        if (!self.line.is_empty() || self.key.is_inside())
            && !begun
            && is_key(&mut self.key, &self.line)
            && !self.line.is_empty()
        {
            self.release(out);
            out.extend_from_slice(KEY_MARKER.as_bytes());
            out.extend_from_slice(end);
            self.line.clear();
            return;
        }
        self.lines.append(&mut self.line);
        self.lines.extend_from_slice(end);
        self.line.shrink_to(MAX_LINE);
        if begun {
            self.release(out);
        }
    }

    /// Lets the lines go but for those at the end that a secret may go on from.
    fn settle(&mut self, out: &mut Vec<u8>) {
        let spans = self.spans();
        let mut to = self.first_waiting(&spans);
        if let Some(span) = spans.iter().find(|span| span.start < to && to < span.end) {
            let before = self.lines.get(..span.start).unwrap_or_default();
            to = memchr::memrchr2(b'\n', b'\r', before).map_or(0, |end| end + 1);
        }
        self.write(&spans, to, out);
        self.waiting = self.lines.len();
    }

    /// Lets all lines go.
    fn release(&mut self, out: &mut Vec<u8>) {
        if !self.lines.is_empty() {
            let spans = self.spans();
            self.write(&spans, self.lines.len(), out);
        }
        self.waiting = 0;
    }

    /// Where the lines begin that have to wait.
    fn first_waiting(&self, spans: &[Hidden]) -> usize {
        let all = self.lines.len();
        let mut waiting = all;
        let mut end = self.lines.trim_ascii_end().len();
        if let Some(at) = self.redactor.known().index.parts_begin_at(&self.lines) {
            let before = self.lines.get(..at).unwrap_or_default();
            let from = memchr::memrchr2(b'\n', b'\r', before).map_or(0, |end| end + 1);
            let after = self.lines.get(from..).unwrap_or_default();
            if memchr::memchr_iter(b'\n', after).count() <= MOST_WAITING {
                waiting = from;
            }
        }
        for _ in 0..MOST_WAITING {
            let before = self.lines.get(..end).unwrap_or_default();
            let from = memchr::memrchr2(b'\n', b'\r', before).map_or(0, |end| end + 1);
            let line = before.get(from..).unwrap_or_default();
            let hidden_to_its_end = spans.iter().any(|span| span.end == end);
            if all - from > MAX_LINE / 2 {
                break;
            }
            if hidden_to_its_end || self.redactor.may_go_on(line) {
                waiting = waiting.min(from);
            }
            // The lines of a wrapped value are filled; one that is hidden may have its name above it.
            if from == 0 || !(hidden_to_its_end || wrapped::is_one_word(line)) {
                break;
            }
            end = before.get(..from).unwrap_or_default().trim_ascii_end().len();
        }
        waiting
    }

    /// The secrets of the lines, also those that begin in what was let go.
    fn spans(&self) -> Vec<Hidden> {
        let before = self.context.len();
        let text = [self.context.as_slice(), &self.lines].concat();
        let spans = self.redactor.spans(&text).into_iter().filter(|span| span.end > before);
        let start = |span: &Hidden| span.start.saturating_sub(before);
        spans.map(|span| Hidden { start: start(&span), end: span.end - before, ..span }).collect()
    }

    /// Lets the lines go up to a place.
    fn write(&mut self, spans: &[Hidden], to: usize, out: &mut Vec<u8>) {
        if to == 0 {
            return;
        }
        self.show(spans, to, out);
        let text = self.lines.get(..to).unwrap_or_default();
        self.context.extend_from_slice(text.get(to.saturating_sub(CONTEXT)..).unwrap_or_default());
        let from = self.context.len().saturating_sub(CONTEXT);
        self.context.drain(..from);
        let first = value_index::last_first_bytes(&self.context);
        self.context.drain(..first);
        self.lines.drain(..to);
        self.lines.shrink_to(2 * MAX_LINE);
        self.shown = self.shown.saturating_sub(to);
    }

    /// Appends the lines up to a place, but for those that were shown, without their secrets.
    fn show(&self, spans: &[Hidden], to: usize, out: &mut Vec<u8>) {
        let from = self.shown.min(to);
        let hidden = spans.iter().filter(|span| from < span.end && span.end <= to);
        let hidden = hidden.map(|span| Hidden {
            start: span.start.saturating_sub(from),
            end: span.end - from,
            what: span.what,
        });
        let hidden: Vec<_> = hidden.collect();
        replace(self.lines.get(from..to).unwrap_or_default(), &hidden, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::MARKER;
    use super::*;

    fn stream(redactor: &Redactor, chunks: &[&[u8]]) -> Vec<u8> {
        let mut stream = redactor.line_redactor();
        let mut out = Vec::new();
        for chunk in chunks {
            stream.push(chunk, &mut out);
        }
        stream.finish(&mut out);
        out
    }

    #[test]
    fn keys_are_hidden_across_lines_and_pushes() {
        let out = stream(
            &Redactor::default(),
            &[
                b"a\r\n-----BEGIN OPENSSH PRIV",
                b"ATE KEY-----\nb3BlbnNzaC1r",
                b"ZXk\n2024-01-01T00:00:00Z AAAAB3Nz\n-----END OPENSSH PRIVATE KEY-----\nafter it all\n",
            ],
        );
        assert_eq!(
            String::from_utf8_lossy(&out),
            "a\r\n{0}\n{0}\n{0}\n{0}\nafter it all\n".replace("{0}", KEY_MARKER)
        );
    }

    #[test]
    fn an_endless_line_is_not_held_and_hides_what_it_must() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        let mut stream = redactor.line_redactor();
        let mut out = Vec::new();
        let mut sent = 0;
        for i in 0..400 {
            let filler = vec![b'a' + (i % 26) as u8; 997 + i % 13];
            stream.push(&filler, &mut out);
            stream.push(b" hunter2h", &mut out);
            stream.push(b"unter2 ", &mut out);
            sent += filler.len();
            assert!(stream.line.capacity() <= 4 * MAX_LINE);
        }
        stream.finish(&mut out);
        assert!(memchr::memmem::find(&out, b"hunter2hunter2").is_none());
        assert_eq!(memchr::memmem::find_iter(&out, MARKER.as_bytes()).count(), 400);
        assert_eq!(out.len(), sent + 400 * (MARKER.len() + 2));
    }

    #[test]
    fn an_ordinary_line_does_not_wait_and_half_a_credential_does() {
        let redactor = Redactor::new(["correct-horse-battery".to_owned()]);
        for (line, waits) in [
            ("Listening on http://127.0.0.1:8080\n", false),
            ("see https://example.org/a/b\n", false),
            ("Starting task-runner\n", false),
            ("waiting for key-server\n", false),
            ("commit 3f2a1bc94d5e6f708192a3b4c5d6e7f801234567\n", false),
            ("downloading src/main/java/org/example/OrderServiceImplementation\n", false),
            ("token ghp_aB3dE6gH9jK2\n", true),
            ("it is correct-hor\n", true),
            ("RUN a && \\\n", true),
        ] {
            let mut stream = redactor.line_redactor();
            let mut out = Vec::new();
            stream.push(line.as_bytes(), &mut out);
            assert_eq!(out.is_empty(), waits, "{line}");
            stream.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), line);
        }
    }

    #[test]
    fn a_pause_shows_no_part_of_a_secret_and_nothing_waits() {
        let redactor = Redactor::new(["correct horse battery staple".to_owned()]);
        for (first, second, shown, rest) in [
            (
                "it is correct hor",
                "se battery staple, yes",
                "it is [redacted]\n",
                "[redacted], yes\n",
            ),
            (
                "token ghp_aB3dE6gH9jK2mN5p",
                "Q8sT1vW4yZ7bC0dF3gH6",
                "token [redacted]\n",
                "[redacted: github-token]\n",
            ),
            ("curl -u \\", "  deploy:hunter2hunter9", "curl [redacted]\n", "  deploy:[redacted]\n"),
            // What comes is no rest of anything: only the word stays hidden.
            ("token ghp_aB3dE6", "all is well", "token [redacted]\n", "all is well\n"),
            ("an ordinary line", "and another", "an ordinary line\n", "and another\n"),
        ] {
            let mut stream = redactor.line_redactor();
            let mut out = Vec::new();
            stream.push(format!("{first}\n").as_bytes(), &mut out);
            stream.idle(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), shown);
            // Another pause has nothing to let go.
            stream.idle(&mut out);
            assert_eq!(out.len(), shown.len());
            stream.push(format!("{second}\n").as_bytes(), &mut out);
            stream.finish(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), format!("{shown}{rest}"));
        }
    }

    #[test]
    fn a_value_of_several_words_below_its_name_is_hidden_wherever_the_stream_is_cut() {
        let text = "password: |\n  correct horse\n  battery staple\nnext: shown\n";
        for cut in 0..=text.len() {
            let mut stream = Redactor::default().line_redactor();
            let mut out = Vec::new();
            let (first, second) = text.split_at(cut);
            stream.push(first.as_bytes(), &mut out);
            stream.push(second.as_bytes(), &mut out);
            stream.finish(&mut out);
            let out = String::from_utf8(out).unwrap();
            assert!(!out.contains("horse") && !out.contains("battery"), "{cut}: {out}");
            assert!(out.contains("next: shown"), "{cut}: {out}");
        }
    }

    #[test]
    fn a_pause_at_any_place_of_a_wrapped_secret_shows_none_of_it() {
        let value: String = (0..90).map(|n| char::from(b'a' + (n * 7 % 26) as u8)).collect();
        let redactor = Redactor::new([value.clone()]);
        for width in [10, 30, 45] {
            let lines: Vec<&str> =
                value.as_bytes().chunks(width).map(|l| std::str::from_utf8(l).unwrap()).collect();
            for pause in 0..lines.len() {
                let mut stream = redactor.line_redactor();
                let mut out = Vec::new();
                for (number, line) in lines.iter().enumerate() {
                    stream.push(format!("{line}\n").as_bytes(), &mut out);
                    if number == pause {
                        stream.idle(&mut out);
                        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), number + 1);
                    }
                }
                stream.finish(&mut out);
                let out = String::from_utf8(out).unwrap();
                assert!(
                    lines.iter().all(|line| !out.contains(&line[..8])),
                    "{width} {pause}: {out}"
                );
                assert_eq!(out.lines().count(), lines.len());
            }
        }
    }

    #[test]
    fn lines_of_a_long_wrap_are_not_looked_at_again_with_each_that_comes() {
        let mut stream = Redactor::default().line_redactor();
        let mut out = Vec::new();
        let (mut settled, mut last) = (0, 0);
        stream.push(b"ghp_aB3dE6gH9jK2mN5p\n", &mut out);
        for number in 0..1000 {
            stream.push(format!("aB3dE6gH9jK2mN5p{number}\n").as_bytes(), &mut out);
            if stream.waiting != last {
                (settled, last) = (settled + 1, stream.waiting);
            }
        }
        assert!(settled <= 1000 / (MOST_WAITING - 1) + 1, "{settled}");
        stream.finish(&mut out);
        assert_eq!(memchr::memchr_iter(b'\n', &out).count(), 1001);
    }

    #[test]
    fn bytes_that_are_not_text_pass() {
        let bytes = b"\xff\xfe bin \x00\r\r\n\n\xc3";
        assert_eq!(stream(&Redactor::default(), &[bytes]), bytes);
    }
}
