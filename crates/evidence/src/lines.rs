//! Bytes in, lines out: `\n`, `\r\n` and a lone `\r` each end one.

/// Bytes of a line that are looked at; the rest is counted and dropped. Error messages stand at
/// the beginning of a line, and a gigabyte without a line end must not be held.
const MAX_LINE: usize = 8 * 1024;

/// The splitter's state between two pushes.
#[derive(Default)]
pub(super) struct Lines {
    /// Beginning of a line whose end has not been seen, at most [`MAX_LINE`] bytes.
    partial: Vec<u8>,
    /// Whether a line is under way, though `partial` may be empty.
    open: bool,
    /// The last byte was a `\r`: a `\n` right after it belongs to the same line end.
    after_cr: bool,
    /// Lines ended so far.
    count: u64,
}

impl Lines {
    /// Calls `each` with the 1-based number and the bytes of every line that ends in `bytes`.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(u64, &[u8])) {
        if self.after_cr
            && let Some((first, rest)) = bytes.split_first()
        {
            self.after_cr = false;
            if *first == b'\n' {
                bytes = rest;
            }
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            let line = bytes.get(..at).unwrap_or_default();
            self.count += 1;
            if self.partial.is_empty() {
                each(self.count, head(line, MAX_LINE));
            } else {
                self.partial.extend_from_slice(head(line, MAX_LINE - self.partial.len()));
                each(self.count, &self.partial);
                self.partial.clear();
            }
            self.open = false;
            let mut next = at + 1;
            if bytes.get(at) == Some(&b'\r') {
                match bytes.get(next) {
                    Some(b'\n') => next += 1,
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
            bytes = bytes.get(next..).unwrap_or_default();
        }
        if !bytes.is_empty() {
            self.open = true;
            self.partial.extend_from_slice(head(bytes, MAX_LINE - self.partial.len()));
        }
    }

    /// Hands out a last line that has no end, and returns the number of lines.
    pub(super) fn finish(self, mut each: impl FnMut(u64, &[u8])) -> u64 {
        if self.open {
            each(self.count + 1, &self.partial);
            return self.count + 1;
        }
        self.count
    }
}

fn head(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        let mut numbers = Vec::new();
        let mut each = |no: u64, line: &[u8]| {
            numbers.push(no);
            out.push(String::from_utf8_lossy(line).into_owned());
        };
        for chunk in chunks {
            lines.push(chunk, &mut each);
        }
        let count = lines.finish(&mut each);
        assert_eq!(count, out.len() as u64);
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        out
    }

    #[test]
    fn every_kind_of_end_counts_once() {
        for (input, expect) in [
            (&[&b"a\nb\n"[..]][..], &["a", "b"][..]),
            (&[b"a\r\nb"], &["a", "b"]),
            (&[b"1%\r2%\r3%\n"], &["1%", "2%", "3%"]),
            (&[b"a\r", b"\nb\n"], &["a", "b"]),
            (&[b"a\r", b"b\n"], &["a", "b"]),
            (&[b"\n\n"], &["", ""]),
            (&[b""], &[]),
            (&[b"ab", b"cd", b"\n", b"e"], &["abcd", "e"]),
        ] {
            assert_eq!(split(input), expect, "{input:?}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_held() {
        let mut lines = Lines::default();
        let block = vec![b'x'; 1 << 16];
        for _ in 0..64 {
            lines.push(&block, |_, _| unreachable!());
        }
        assert!(lines.partial.capacity() <= 2 * MAX_LINE);
        lines.push(b"\nnext\n", |no, line| match no {
            1 => assert_eq!(line.len(), MAX_LINE),
            _ => assert_eq!(line, b"next"),
        });
    }
}
