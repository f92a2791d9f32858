//! Redaction of a stream, line by line.

use super::key::{KeyLine, KeyState};
use super::{MARKER, Redactor, replace};

/// Bytes of a line that are held before a part of it is let go.
const MAX_LINE: usize = 64 * 1024;
/// Bytes at the end of such a part that are held back at least: a secret may begin there.
const HELD: usize = 4 * 1024;

/// Redacts bytes as they come, cut anywhere. Line ends stay as they are.
pub struct LineRedactor {
    redactor: Redactor,
    line: Vec<u8>,
    key: KeyState,
    /// Part of this line has been let go already.
    begun: bool,
}

impl LineRedactor {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, line: Vec::new(), key: KeyState::default(), begun: false }
    }

    /// Takes bytes in and appends to `out` what is certain to be free of secrets: all lines that
    /// have ended, and the beginning of one that is overlong.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(at);
            self.extend(line, out);
            self.end(out);
            let (end, rest) = rest.split_at(1);
            out.extend_from_slice(end);
            bytes = rest;
        }
        self.extend(bytes, out);
    }

    /// The end of the stream: appends what was held back.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.end(out);
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
        self.begun = true;
        let held = HELD.max(2 * self.redactor.known().longest).min(self.line.len() / 2);
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

    fn end(&mut self, out: &mut Vec<u8>) {
        let begun = std::mem::take(&mut self.begun);
        if self.line.is_empty() && !self.key.is_inside() {
            return;
        }
        let inside = !begun && self.key.line(&self.line) == KeyLine::Inside;
        if inside && !self.line.is_empty() {
            out.extend_from_slice(MARKER.as_bytes());
        } else {
            let spans = self.redactor.spans(&self.line);
            replace(&self.line, &spans, out);
        }
        self.line.clear();
        self.line.shrink_to(MAX_LINE);
    }
}

#[cfg(test)]
mod tests {
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
            "a\r\n[redacted]\n[redacted]\n[redacted]\n[redacted]\nafter it all\n"
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
    fn bytes_that_are_not_text_pass() {
        let bytes = b"\xff\xfe bin \x00\r\r\n\n\xc3";
        assert_eq!(stream(&Redactor::default(), &[bytes]), bytes);
    }
}
