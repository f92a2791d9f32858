//! The scenario folders: `tests/fixtures/patches/NNN_name/` with `input/` (a tree), `answer.md`
//! or `answer.diff`, and either `expected/` (a tree) or `refusal.txt` (lines that the refusal
//! has to contain). What is accepted also has to be accepted by `git apply` as the canonical
//! diff, with the same outcome.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Answer, MemoryTree, ParsedPatch, Refusal, ResolveOptions, parse_answer, resolve};
use greenloop_model::{FileContent, FileMode, RepoPath};

/// How many there have to be at least.
const FEWEST: usize = 60;

fn scenarios() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/patches");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn read_tree(root: &Path) -> MemoryTree {
    fn walk(root: &Path, folder: &Path, tree: &mut MemoryTree) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let kind = fs::symlink_metadata(&path).expect("metadata");
            if kind.is_dir() {
                if path.file_name().is_none_or(|name| name != ".git") {
                    walk(root, &path, tree);
                }
                continue;
            }
            let name = path.strip_prefix(root).expect("below the root").to_str().expect("UTF-8");
            let content = if kind.is_symlink() {
                let to = fs::read_link(&path).expect("a link");
                let bytes = to.to_str().expect("UTF-8").as_bytes().to_vec();
                FileContent { bytes, mode: FileMode::Symlink }
            } else {
                let executable = kind.permissions().mode() & 0o100 != 0;
                let mode = if executable { FileMode::Executable } else { FileMode::Regular };
                FileContent { bytes: fs::read(&path).expect("a file"), mode }
            };
            tree.insert(RepoPath::new(name).expect("a path"), content);
        }
    }
    let mut tree = MemoryTree::new();
    if root.exists() {
        walk(root, root, &mut tree);
    }
    tree
}

fn write_tree(root: &Path, tree: &MemoryTree) {
    for (path, content) in tree.iter() {
        let file = root.join(path.to_os_path());
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        if content.mode == FileMode::Symlink {
            let to = std::str::from_utf8(&content.bytes).expect("UTF-8");
            std::os::unix::fs::symlink(to, &file).expect("a link");
            continue;
        }
        fs::write(&file, &content.bytes).expect("a file");
        let mode = if content.mode == FileMode::Executable { 0o755 } else { 0o644 };
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("permissions");
    }
}

fn run(folder: &Path, tree: &MemoryTree) -> Result<ParsedPatch, Refusal> {
    let answer = ["answer.md", "answer.diff"]
        .iter()
        .find_map(|name| fs::read_to_string(folder.join(name)).ok())
        .expect("an answer");
    match parse_answer(&answer)? {
        Answer::Edits(edits) => {
            let options = ResolveOptions { roots: vec![b"/home/dev/shop".to_vec()] };
            resolve(&edits, tree, &options)
        }
        Answer::NoPatch(no_patch) => panic!("{}: {no_patch:?}", folder.display()),
    }
}

fn applied(patch: &ParsedPatch, tree: &MemoryTree) -> MemoryTree {
    let mut tree = tree.clone();
    for change in patch.changes() {
        tree.remove(change.moved_from.as_ref().unwrap_or(&change.path));
        if let Some(after) = &change.after {
            tree.insert(change.path.clone(), after.clone());
        }
    }
    tree
}

fn git(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("git")
        .args(["-c", "core.autocrlf=false", "-c", "apply.whitespace=nowarn"])
        .args(arguments)
        .current_dir(root)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", root)
        .env("GIT_CEILING_DIRECTORIES", root.parent().expect("a parent"))
        .output()
        .expect("git runs");
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// What `git apply` makes of the canonical diff.
fn applied_by_git(patch: &ParsedPatch, tree: &MemoryTree) -> Result<MemoryTree, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("repo");
    fs::create_dir(&root).expect("a folder");
    write_tree(&root, tree);
    let diff = folder.path().join("canonical.diff");
    fs::write(&diff, patch.to_unified_diff()).expect("a file");
    let diff = diff.to_str().expect("UTF-8");
    git(&root, &["init", "--quiet"])?;
    git(&root, &["apply", "--check", diff])?;
    git(&root, &["apply", diff])?;
    Ok(read_tree(&root))
}

#[test]
fn every_scenario() {
    let folders = scenarios();
    assert!(folders.len() >= FEWEST, "only {} scenarios", folders.len());
    let mut wrong = Vec::new();
    for folder in &folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let input = read_tree(&folder.join("input"));
        let refusal = fs::read_to_string(folder.join("refusal.txt")).ok();
        match (run(folder, &input), refusal) {
            (Ok(patch), None) => {
                let expected = read_tree(&folder.join("expected"));
                let diff = String::from_utf8_lossy(&patch.to_unified_diff()).into_owned();
                if applied(&patch, &input) != expected {
                    wrong.push(format!("{name}: another tree\n{diff}"));
                }
                match applied_by_git(&patch, &input) {
                    Ok(tree) if tree == expected => {}
                    Ok(_) => wrong.push(format!("{name}: git makes another tree of\n{diff}")),
                    Err(error) => wrong.push(format!("{name}: git refuses: {error}\n{diff}")),
                }
            }
            (Err(refusal), Some(lines)) => {
                let text = refusal.to_string();
                for line in lines.lines().filter(|line| !text.contains(*line)) {
                    wrong.push(format!("{name}: no {line:?} in\n{text}"));
                }
            }
            (Ok(patch), Some(_)) => {
                let diff = String::from_utf8_lossy(&patch.to_unified_diff()).into_owned();
                wrong.push(format!("{name}: not refused\n{diff}"));
            }
            (Err(refusal), None) => wrong.push(format!("{name}: refused\n{refusal}")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn a_hundred_hunks_in_a_megabyte() {
    // Made of few different lines, as data files are.
    let line = |number: usize| match number % 250 {
        0 => format!("\"row {number}\": {{\n"),
        249 => "},\n".to_owned(),
        other => format!("    \"field\": [{}, {}],\n", other % 7, other % 5),
    };
    let text: String = (0..50_000).map(line).collect();
    assert!(text.len() > 1_000_000);
    let mut answer = String::new();
    let mut expected = text.clone();
    for row in 0..100 {
        let head = format!("\"row {}\": {{\n", row * 250);
        let (old, new) =
            (format!("{head}    \"field\":  [1, 1],\n"), format!("{head}    \"x\",\n"));
        answer.push_str(&format!("d.json\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"));
        expected = expected.replace(&old.replace(":  [", ": ["), &new);
    }
    let path = RepoPath::new("d.json").expect("a path");
    let tree: MemoryTree = [(path, FileContent::regular(text))].into_iter().collect();
    let Ok(Answer::Edits(edits)) = parse_answer(&answer) else { panic!("no edits") };
    let patch = resolve(&edits, &tree, &ResolveOptions::default()).expect("a patch");
    assert!(!patch.to_unified_diff().is_empty());
    let after = patch.changes()[0].after.as_ref().expect("a file");
    assert!(after.bytes == expected.as_bytes());
}
