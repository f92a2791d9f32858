//! The canonical unified diff between two trees.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use greenloop_model::{FileChange, FileContent, FileMode, RepoPath};

const CONTEXT: usize = 3;

/// The diff of all changes.
pub(super) fn unified_diff(changes: &[FileChange]) -> Vec<u8> {
    let mut diff = Vec::new();
    for change in changes {
        file_diff(&mut diff, change);
    }
    diff
}

const fn mode(mode: FileMode) -> &'static str {
    match mode {
        FileMode::Regular => "100644",
        FileMode::Executable => "100755",
        FileMode::Symlink => "120000",
        FileMode::Submodule => "160000",
    }
}

fn file_diff(diff: &mut Vec<u8>, change: &FileChange) {
    let new = side("b", &change.path);
    let old = side("a", change.moved_from.as_ref().unwrap_or(&change.path));
    push(diff, &[b"diff --git ", &old, b" ", &new, b"\n"]);
    let bytes = |content: &Option<FileContent>| {
        content.as_ref().map(|content| content.bytes.clone()).unwrap_or_default()
    };
    let (before, after) = (bytes(&change.before), bytes(&change.after));
    let (old_lines, new_lines) = (lines(&before), lines(&after));
    let ops = capture_diff_slices(Algorithm::Myers, &old_lines, &new_lines);
    match (&change.before, &change.after) {
        (None, Some(content)) => {
            push(diff, &[b"new file mode ", mode(content.mode).as_bytes(), b"\n"]);
        }
        (Some(content), None) => {
            push(diff, &[b"deleted file mode ", mode(content.mode).as_bytes(), b"\n"]);
        }
        (Some(before), Some(after)) if before.mode != after.mode => {
            push(diff, &[b"old mode ", mode(before.mode).as_bytes(), b"\n"]);
            push(diff, &[b"new mode ", mode(after.mode).as_bytes(), b"\n"]);
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if let Some(from) = &change.moved_from {
        let similarity = format!("{}", similarity(&ops, &old_lines, before.len(), after.len()));
        push(diff, &[b"similarity index ", similarity.as_bytes(), b"%\n"]);
        push(diff, &[b"rename from ", &quoted(from.as_bytes()), b"\n"]);
        push(diff, &[b"rename to ", &quoted(change.path.as_bytes()), b"\n"]);
    }
    if before == after {
        return;
    }
    let header = |path: &Vec<u8>| {
        let mut header = path.clone();
        // Git ends a name with spaces in it by a tab, so that nothing is taken for a date.
        if !header.starts_with(b"\"") && header.contains(&b' ') {
            header.push(b'\t');
        }
        header
    };
    let null = b"/dev/null".to_vec();
    let old = if change.before.is_some() { header(&old) } else { null.clone() };
    let new = if change.after.is_some() { header(&new) } else { null };
    push(diff, &[b"--- ", &old, b"\n+++ ", &new, b"\n"]);
    for group in group_diff_ops(ops, CONTEXT) {
        hunk(diff, &group, &old_lines, &new_lines);
    }
}

fn push(diff: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        diff.extend_from_slice(part);
    }
}

fn hunk(diff: &mut Vec<u8>, ops: &[DiffOp], old: &[&[u8]], new: &[&[u8]]) {
    let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return };
    let range = |start: usize, end: usize| match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        count => format!("{},{count}", start + 1),
    };
    let old_range = range(first.old_range().start, last.old_range().end);
    let new_range = range(first.new_range().start, last.new_range().end);
    push(diff, &[b"@@ -", old_range.as_bytes(), b" +", new_range.as_bytes(), b" @@\n"]);
    for op in ops {
        let (old, new) = (&old[op.old_range()], &new[op.new_range()]);
        if let DiffOp::Equal { .. } = op {
            old.iter().for_each(|text| line(diff, b' ', text));
        } else {
            old.iter().for_each(|text| line(diff, b'-', text));
            new.iter().for_each(|text| line(diff, b'+', text));
        }
    }
}

fn line(diff: &mut Vec<u8>, sign: u8, text: &[u8]) {
    diff.push(sign);
    diff.extend_from_slice(text);
    if !text.ends_with(b"\n") {
        diff.extend_from_slice(b"\n\\ No newline at end of file\n");
    }
}

/// Lines with their endings.
fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').collect()
}

/// How much of the larger file is in both, in percent: 100 only when they are the same.
fn similarity(ops: &[DiffOp], old: &[&[u8]], before: usize, after: usize) -> usize {
    let same: usize = ops
        .iter()
        .filter(|op| matches!(op, DiffOp::Equal { .. }))
        .flat_map(|op| old[op.old_range()].iter())
        .map(|line| line.len())
        .sum();
    match before.max(after) {
        0 => 100,
        larger => same * 100 / larger,
    }
}

fn side(side: &str, path: &RepoPath) -> Vec<u8> {
    quoted(&[side.as_bytes(), b"/", path.as_bytes()].concat())
}

/// A path as git quotes it.
fn quoted(path: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| (b' '..0x7f).contains(b) && !matches!(b, b'"' | b'\\');
    if path.iter().all(plain) {
        return path.to_vec();
    }
    let mut quoted = vec![b'"'];
    for byte in path {
        match byte {
            b'"' | b'\\' => quoted.extend([b'\\', *byte]),
            b'\t' => quoted.extend(b"\\t"),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            byte if plain(byte) => quoted.push(*byte),
            byte => quoted.extend(format!("\\{byte:03o}").into_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> RepoPath {
        RepoPath::new(path).expect("a path")
    }

    fn check(change: FileChange, expect: &str) {
        assert_eq!(String::from_utf8_lossy(&unified_diff(&[change])), expect);
    }

    #[test]
    fn diffs_of_each_kind() {
        let file = |text: &str| Some(FileContent::regular(text));
        check(
            FileChange {
                path: path("a b.txt"),
                moved_from: None,
                before: file("1\n2\n3\n4\n5\n6\n7"),
                after: file("1\n2\n3\n4\n5\n6\n8"),
            },
            "diff --git a/a b.txt b/a b.txt\n--- a/a b.txt\t\n+++ b/a b.txt\t\n@@ -4,4 +4,4 @@\n 4\n \
             5\n 6\n-7\n\\ No newline at end of file\n+8\n\\ No newline at end of file\n",
        );
        check(
            FileChange { path: path("\u{e4}"), moved_from: None, before: None, after: file("") },
            "diff --git \"a/\\303\\244\" \"b/\\303\\244\"\nnew file mode 100644\n",
        );
        check(
            FileChange {
                path: path("y"),
                moved_from: Some(path("x")),
                before: file("1\n"),
                after: file("1\n"),
            },
            "diff --git a/x b/y\nsimilarity index 100%\nrename from x\nrename to y\n",
        );
        check(
            FileChange { path: path("x"), moved_from: None, before: file("1\n"), after: None },
            "diff --git a/x b/x\ndeleted file mode 100644\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n",
        );
    }
}
