//! Which file of the tree a written path means.

use std::cell::{Cell, OnceCell};
use std::io;

use greenloop_model::{FileContent, FileMode, InvalidPath, RepoPath};

use super::link;
use super::refusal::{Finding, RefusalKind};
use super::spaced_path;
use super::tree::Tree;
use super::written_path::{WrittenPath, named_in};

/// What a resolution has to know beyond the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolveOptions {
    /// Absolute paths of the repository's root, as it may be written (with and without its
    /// symbolic links resolved): absolute paths below them are taken as paths in the tree.
    pub roots: Vec<Vec<u8>>,
}

impl ResolveOptions {
    /// For a tree whose root lies at these places.
    pub fn new<P: AsRef<std::path::Path>>(roots: impl IntoIterator<Item = P>) -> Self {
        let bytes = |root: P| root.as_ref().as_os_str().as_encoded_bytes().to_vec();
        Self { roots: roots.into_iter().map(bytes).collect() }
    }
}

/// Looks paths up in a tree, and remembers its list of files.
pub(super) struct Locator<'t> {
    pub(super) tree: &'t dyn Tree,
    pub(super) options: &'t ResolveOptions,
    files: OnceCell<Vec<RepoPath>>,
    hints: Cell<usize>,
}

/// A path and, when it was not written so, what was forgiven.
pub(super) struct Located<T> {
    pub(super) path: RepoPath,
    pub(super) content: T,
    pub(super) leniency: Option<String>,
}

/// Unknown paths that nearest names are looked up for.
const MOST_HINTS: usize = 8;
/// More files than this are not searched for likenesses.
const MOST_COMPARED: usize = 20_000;

impl<'t> Locator<'t> {
    pub(super) fn new(tree: &'t dyn Tree, options: &'t ResolveOptions) -> Self {
        Self { tree, options, files: OnceCell::new(), hints: Cell::new(0) }
    }

    pub(super) fn read(&self, path: &RepoPath) -> Result<Option<FileContent>, Finding> {
        self.tree.read(path).map_err(|error| unreadable(path, &error))
    }

    fn files(&self) -> Result<&[RepoPath], Finding> {
        if self.files.get().is_none() {
            let files = self.tree.files().map_err(|error| {
                Finding::new(
                    RefusalKind::Unreadable,
                    "",
                    format!("the tree's files could not be listed: {error}"),
                )
            })?;
            let _ = self.files.set(files);
        }
        Ok(self.files.get().map_or(&[], Vec::as_slice))
    }

    /// The file that is meant by a path to something that is there.
    /// A shortened path is taken, where `shortened`, when only one file's path ends so.
    pub(super) fn existing(
        &self,
        written: &WrittenPath,
        shortened: bool,
    ) -> Result<Located<FileContent>, Finding> {
        if written.is_unclear {
            return self.whole_line(written);
        }
        let meanings = self.meanings(written)?;
        if let Some(located) = self.spaced(written, &meanings)? {
            return Ok(located);
        }
        if let Some(located) = self.first_there(written, &meanings)? {
            return Ok(located);
        }
        let files = self.files()?;
        for (path, _) in meanings.iter().filter(|_| shortened) {
            let end = [b"/", path.as_bytes()].concat();
            let fitting: Vec<&RepoPath> =
                files.iter().filter(|file| file.as_bytes().ends_with(&end)).take(12).collect();
            match fitting.as_slice() {
                [] => {}
                [only] => {
                    if let Some(content) = self.read(only)? {
                        let path = (*only).clone();
                        let leniency = Some(leniency(written, &path, "the only file that ends so"));
                        return Ok(Located { path, content, leniency });
                    }
                }
                several => {
                    let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                    return Err(Finding::new(
                        RefusalKind::AmbiguousPath,
                        written.shown.clone(),
                        format!(
                            "it fits several files: {}; write the path from the root of the \
                             repository",
                            names.join(", ")
                        ),
                    ));
                }
            }
        }
        for (path, _) in &meanings {
            self.refuse_link(path, written)?;
        }
        Err(Finding::new(
            RefusalKind::UnknownFile,
            written.shown.clone(),
            format!("there is no such file{}", self.hint(&meanings[0].0)?),
        ))
    }

    /// The only file of an unclear line, or the refusal that names those in it.
    fn whole_line(&self, written: &WrittenPath) -> Result<Located<FileContent>, Finding> {
        if let Ok(path) = RepoPath::new(written.shown.as_bytes())
            && let Some(content) = self.read(&path)?
        {
            return Ok(Located { path, content, leniency: None });
        }
        let line = written.shown.as_str();
        let named = spaced_path::files_in(line, self.files()?, &self.options.roots, true);
        if let [only] = named.as_slice()
            && only.file.as_bytes().contains(&b' ')
            && named_in(&line.replace(&only.file.to_string_lossy(), "")).is_none()
            && let Some(content) = self.read(only.file)?
        {
            return Ok(Located { path: only.file.clone(), content, leniency: None });
        }
        let names: Vec<String> = named.iter().map(|named| format!("`{}`", named.file)).collect();
        let what = if names.len() > 1 {
            format!("it names several files: {}", names.join(", "))
        } else {
            "it names no file surely".to_owned()
        };
        Err(Finding::new(
            RefusalKind::Malformed,
            format!("the line `{line}`"),
            format!("{what}; put the path on a line of its own above the block"),
        ))
    }

    /// The file with spaces that the line of `written` names.
    fn spaced(
        &self,
        written: &WrittenPath,
        meanings: &[(RepoPath, Option<&'static str>)],
    ) -> Result<Option<Located<FileContent>>, Finding> {
        let Some(line) = written.line.as_deref() else { return Ok(None) };
        let named = spaced_path::files_in(line, self.files()?, &self.options.roots, false);
        let mut all: Vec<&RepoPath> = named.iter().map(|named| named.file).collect();
        let holds = |named: &spaced_path::Named<'_>, there: &RepoPath| {
            named.file == there || named.file.to_string_lossy().ends_with(&written.shown)
        };
        // The path without spaces is elsewhere on the line, and is a file too.
        let apart = match self.first_there(written, meanings)? {
            Some(Located { path, .. }) if !named.iter().any(|named| holds(named, &path)) => {
                Some(path)
            }
            Some(_) | None => None,
        };
        match (all.as_slice(), &apart) {
            ([], _) => Ok(None),
            ([only], None) => {
                let content = self.read(only)?;
                Ok(content.map(|content| {
                    let path = (*only).clone();
                    let how = "the longest path on its line";
                    let leniency = (path.to_string_lossy() != written.shown)
                        .then(|| leniency(written, &path, how));
                    Located { path, content, leniency }
                }))
            }
            (_, apart) => {
                all.extend(apart);
                let names: Vec<String> = all.iter().map(|file| format!("`{file}`")).collect();
                Err(Finding::new(
                    RefusalKind::AmbiguousPath,
                    format!("the line `{line}`"),
                    format!(
                        "it names several files: {}; put only the path on the line above the block",
                        names.join(", ")
                    ),
                ))
            }
        }
    }

    fn first_there(
        &self,
        written: &WrittenPath,
        meanings: &[(RepoPath, Option<&'static str>)],
    ) -> Result<Option<Located<FileContent>>, Finding> {
        for (path, how) in meanings {
            if let Some(content) = self.read(path)? {
                let leniency = how.map(|how| leniency(written, path, how));
                return Ok(Some(Located { path: path.clone(), content, leniency }));
            }
        }
        Ok(None)
    }

    /// The file that is meant, whether it is there or not.
    pub(super) fn either(
        &self,
        written: &WrittenPath,
    ) -> Result<Located<Option<FileContent>>, Finding> {
        if written.is_unclear {
            let Located { path, content, leniency } = self.whole_line(written)?;
            return Ok(Located { path, content: Some(content), leniency });
        }
        let meanings = self.meanings(written)?;
        let there = match self.spaced(written, &meanings)? {
            Some(located) => Some(located),
            None => self.first_there(written, &meanings)?,
        };
        match there {
            Some(Located { path, content, leniency }) => {
                Ok(Located { path, content: Some(content), leniency })
            }
            None => self.fresh(written),
        }
    }

    /// The path that is meant for something that is not there yet.
    pub(super) fn fresh(
        &self,
        written: &WrittenPath,
    ) -> Result<Located<Option<FileContent>>, Finding> {
        let meanings = self.meanings(written)?;
        // Git's escape for a byte that no path has; not a folder after a backslash.
        if written.shown.contains("\\000") {
            return Err(Finding::new(
                RefusalKind::BadPath,
                written.shown.clone(),
                "a path with a null byte in it",
            ));
        }
        let files = self.files()?;
        let spaced = written
            .line
            .as_deref()
            .and_then(|line| spaced_path::in_folder(line, &written.shown, files));
        if let Some(path) = spaced {
            let content = self.read(&path)?;
            if content.is_none() {
                self.check_room(&path, written)?;
            }
            let leniency = Some(leniency(written, &path, "its folder has a space"));
            return Ok(Located { path, content, leniency });
        }
        // A backslash in a new file's name is a separator, and `a/` or `b/` is git's unless
        // there is such a directory.
        let (path, how) = meanings
            .iter()
            .filter(|(path, _)| !path.as_bytes().contains(&b'\\'))
            .find(|(path, _)| {
                let side = path.as_bytes().get(..2).filter(|side| matches!(*side, b"a/" | b"b/"));
                side.is_none_or(|side| files.iter().any(|file| file.as_bytes().starts_with(side)))
            })
            .unwrap_or(&meanings[0]);
        let content = self.read(path)?;
        if content.is_none() {
            self.check_room(path, written)?;
        }
        let leniency = how.map(|how| leniency(written, path, how));
        Ok(Located { path: path.clone(), content, leniency })
    }

    /// A path that leads through a symbolic link is refused with the path behind it.
    fn refuse_link(&self, path: &RepoPath, written: &WrittenPath) -> Result<(), Finding> {
        let bytes = path.as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let Ok(above) = RepoPath::new(&bytes[..at]) else { continue };
            let Some(found) = self.read(&above)? else { continue };
            if found.mode == FileMode::Symlink {
                let to = String::from_utf8_lossy(&found.bytes);
                let instead = link::instead(self.tree, &above, &found.bytes, &bytes[at + 1..]);
                return Err(Finding::new(
                    RefusalKind::BadPath,
                    written.shown.clone(),
                    format!("`{above}` is a symbolic link to `{to}`; {instead}"),
                ));
            }
        }
        Ok(())
    }

    /// A new path must not lead through a file, nor be a directory.
    fn check_room(&self, path: &RepoPath, written: &WrittenPath) -> Result<(), Finding> {
        let bytes = path.as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let Ok(above) = RepoPath::new(&bytes[..at]) else { continue };
            if self.read(&above)?.is_some() {
                return Err(Finding::new(
                    RefusalKind::BadPath,
                    written.shown.clone(),
                    format!("`{above}` is a file or a link, not a directory"),
                ));
            }
        }
        let below = [bytes, b"/"].concat();
        if self.files()?.iter().any(|file| file.as_bytes().starts_with(&below)) {
            return Err(Finding::new(
                RefusalKind::BadPath,
                written.shown.clone(),
                "it is a directory",
            ));
        }
        Ok(())
    }

    /// The paths within the repository that the written one can mean, the likeliest first.
    fn meanings(
        &self,
        written: &WrittenPath,
    ) -> Result<Vec<(RepoPath, Option<&'static str>)>, Finding> {
        let mut meanings: Vec<(RepoPath, Option<&'static str>)> = Vec::new();
        let mut refused: Option<InvalidPath> = None;
        for (number, reading) in written.readings.iter().enumerate() {
            let git = (number > 0).then_some("git's prefix apart");
            for (path, how) in self.variants(reading) {
                match RepoPath::new(&path) {
                    Ok(path) if meanings.iter().all(|(known, _)| *known != path) => {
                        meanings.push((path, how.or(git)));
                    }
                    Ok(_) => {}
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
        let bad = |text: String| Finding::new(RefusalKind::BadPath, written.shown.clone(), text);
        if meanings.is_empty() || refused.is_some() {
            let text = refused.map_or_else(|| "not a path".to_owned(), |error| error.to_string());
            return Err(bad(text));
        }
        if let Some((path, _)) = meanings.iter().find(|(path, _)| is_git_internal(path)) {
            return Err(bad(format!("{path} belongs to git itself and is never changed")));
        }
        if meanings
            .iter()
            .any(|(path, _)| path.as_bytes().iter().any(|b| matches!(b, b'\n' | b'\r')))
        {
            return Err(bad("a path with a line break in it".to_owned()));
        }
        Ok(meanings)
    }

    fn variants(&self, reading: &[u8]) -> Vec<(Vec<u8>, Option<&'static str>)> {
        let slashes: Vec<u8> =
            reading.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
        let drive =
            matches!(reading, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
        for root in &self.options.roots {
            let root: Vec<u8> = if drive {
                root.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect()
            } else {
                root.clone()
            };
            let root = root.strip_suffix(b"/").unwrap_or(&root);
            let path = if drive { &slashes } else { reading };
            // `a/home/me/repo/x`: git's prefix took the place of the leading slash.
            let bare = root.strip_prefix(b"/").filter(|bare| !bare.is_empty());
            let inner = path
                .strip_prefix(root)
                .or_else(|| path.strip_prefix(bare?))
                .and_then(|rest| rest.strip_prefix(b"/"));
            if let Some(inner) = inner.filter(|_| !root.is_empty()) {
                return vec![(inner.to_vec(), Some("absolute"))];
            }
        }
        if drive {
            // Outside, in the words of the other absolute paths.
            return vec![([b"/", reading].concat(), None)];
        }
        let mut variants = vec![(reading.to_vec(), None)];
        if slashes != reading {
            variants.push((slashes.clone(), Some("backslashes")));
        }
        for root in &self.options.roots {
            let name = root.strip_suffix(b"/").unwrap_or(root).rsplit(|b| *b == b'/').next();
            let inner = name
                .filter(|name| !name.is_empty())
                .and_then(|name| reading.strip_prefix(name))
                .and_then(|rest| rest.strip_prefix(b"/"));
            if let Some(inner) = inner {
                let known = RepoPath::new(inner).ok().and_then(|path| self.tree.read(&path).ok());
                if known.flatten().is_some() {
                    variants.push((inner.to_vec(), Some("the repository's own name apart")));
                }
            }
        }
        variants
    }

    fn hint(&self, path: &RepoPath) -> Result<String, Finding> {
        self.hints.set(self.hints.get() + 1);
        if self.hints.get() > MOST_HINTS {
            return Ok(String::new());
        }
        let wanted = path.to_string_lossy();
        let name = String::from_utf8_lossy(path.file_name()).into_owned();
        let mut likest: Vec<(f64, &RepoPath)> = self
            .files()?
            .iter()
            .take(MOST_COMPARED)
            .map(|file| {
                let file_name = String::from_utf8_lossy(file.file_name());
                let likeness = strsim::jaro_winkler(&wanted, &file.to_string_lossy())
                    .max(strsim::jaro_winkler(&name, &file_name));
                (likeness, file)
            })
            .filter(|(likeness, _)| *likeness >= 0.8)
            .collect();
        likest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
        let names: Vec<String> = likest.iter().take(3).map(|(_, file)| file.to_string()).collect();
        Ok(if names.is_empty() {
            "; a new file takes a block with an empty SEARCH part".to_owned()
        } else {
            format!("; the nearest names are {}", names.join(", "))
        })
    }
}

fn leniency(written: &WrittenPath, path: &RepoPath, how: &str) -> String {
    format!("path `{}` taken for {path} ({how})", written.shown)
}

fn unreadable(path: &RepoPath, error: &io::Error) -> Finding {
    Finding::new(
        RefusalKind::Unreadable,
        path.to_string(),
        format!("it could not be read: {error}"),
    )
}

/// Whether a component is git's own directory, in any spelling that some file system takes for
/// it.
fn is_git_internal(path: &RepoPath) -> bool {
    path.components().any(|part| {
        let lower: String = String::from_utf8_lossy(part)
            .chars()
            .filter(|c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
            .collect::<String>()
            .to_ascii_lowercase();
        let lower = lower.trim_end_matches(['.', ' ']);
        lower == ".git" || lower.starts_with(".git:") || lower == "git~1"
    })
}
