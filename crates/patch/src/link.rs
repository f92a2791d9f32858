//! Where a symbolic link of the tree leads.

use greenloop_model::{FileMode, RepoPath};

use super::tree::Tree;

/// What to do in place of a patch of `link`, which holds `target`, or of `below` it: names a file
/// only where that is one of the tree.
pub(super) fn instead(tree: &dyn Tree, link: &RepoPath, target: &[u8], below: &[u8]) -> String {
    let Some(bytes) = leads_to(link, target, below) else {
        return "that is outside the repository: no patch can change it; replace the link, or \
                change a file of the repository"
            .to_owned();
    };
    let path = RepoPath::new(&bytes).ok();
    let there = path.as_ref().and_then(|path| tree.read(path).ok()).flatten();
    match (path, there) {
        (Some(path), Some(file)) if file.mode != FileMode::Submodule => {
            format!("patch `{path}` instead")
        }
        _ => "there is no such file; replace the link, or create the file".to_owned(),
    }
}

/// The path in the repository that `target`, and `below` it, is; `None` outside.
fn leads_to(link: &RepoPath, target: &[u8], below: &[u8]) -> Option<Vec<u8>> {
    if target.starts_with(b"/") {
        return None;
    }
    let mut parts: Vec<&[u8]> = link.as_bytes().split(|b| *b == b'/').collect();
    parts.pop();
    for part in target.split(|b| *b == b'/').chain(below.split(|b| *b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use greenloop_model::{FileContent, FileMode, RepoPath};

    use crate::{Answer, MemoryTree, ResolveOptions, parse_answer, resolve};

    fn refused(path: &str) -> String {
        let link = |target: &str| FileContent {
            bytes: target.as_bytes().to_vec(),
            mode: FileMode::Symlink,
        };
        let files = [
            ("src/real/a.py", FileContent::regular(b"x = 1\n".to_vec())),
            ("lib", link("src/real")),
            ("deep/lib", link("../src/./real/")),
            ("a.py", link("src/real/a.py")),
            ("out.py", link("/etc/hostname")),
            ("up.py", link("../up.py")),
            ("outer", link("..")),
            ("gone.py", link("src/gone.py")),
        ];
        let files = files.map(|(path, file)| (RepoPath::new(path).unwrap(), file));
        let tree: MemoryTree = files.into_iter().collect();
        let answer = format!("--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-x = 1\n+x = 2\n");
        match parse_answer(&answer).unwrap() {
            Answer::Edits(edits) => {
                resolve(&edits, &tree, &ResolveOptions::default()).unwrap_err().to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_file_behind_a_link_is_named_where_it_is_of_the_tree() {
        for (path, told) in [
            ("a.py", "patch `src/real/a.py` instead"),
            ("lib/a.py", "`lib` is a symbolic link to `src/real`; patch `src/real/a.py` instead"),
            ("deep/lib/a.py", "patch `src/real/a.py` instead"),
            ("lib/b.py", "no such file"),
            ("out.py", "outside the repository"),
            ("up.py", "outside the repository"),
            ("outer/x.py", "outside the repository"),
            ("gone.py", "no such file"),
        ] {
            let refusal = refused(path);
            assert!(refusal.contains(told), "{path}: {refusal}");
            for outside in ["patch `/", "patch `..", "patch `src/gone"] {
                assert!(!refusal.contains(outside), "{path}: {refusal}");
            }
        }
    }
}
