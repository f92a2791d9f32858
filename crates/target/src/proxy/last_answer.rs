//! The head of the last answer on a connection: it says that the connection will close.

/// Where the head ends, its empty line included.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4)
}

/// `bytes`, which begin with an answer's head, with `connection: close` in it; `None` when the
/// head is not whole, the real answer is yet to come (1xx), or the connection becomes another
/// protocol's.
pub(super) fn rewritten(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = end_of_head(bytes)?;
    let (head, rest) = bytes.split_at(end);
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let status = lines.next()?;
    if status.split(|byte| *byte == b' ').nth(1)?.first() == Some(&b'1') {
        return None;
    }
    let mut last = Vec::with_capacity(bytes.len() + 24);
    last.extend_from_slice(status);
    for line in lines {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let said =
            name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"keep-alive");
        if !said && line != b"\r\n" {
            last.extend_from_slice(line);
        }
    }
    last.extend_from_slice(b"connection: close\r\n\r\n");
    last.extend_from_slice(rest);
    Some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_closes() {
        for (answer, expect) in [
            (
                "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nA: b\r\n\r\nbody",
                Some("HTTP/1.1 200 OK\r\nA: b\r\nconnection: close\r\n\r\nbody"),
            ),
            ("HTTP/1.0 404 Not\r\n\r\n", Some("HTTP/1.0 404 Not\r\nconnection: close\r\n\r\n")),
            ("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\n\r\n", None),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", None),
            ("HTTP/1.1\r\n\r\n", None),
        ] {
            let found = rewritten(answer.as_bytes());
            assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{answer:?}");
        }
    }
}
