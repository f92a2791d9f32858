//! Hyperlinks of terminals (OSC 8), and paths as they are shown to people.
//!
//! <https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda>

use std::path::{Component, Path, PathBuf};

use url::Url;

/// Folders that a relative path leads up at the most; beyond that a whole path is easier to read.
const MOST_UP: usize = 4;

/// A part of a line, in bytes, and the address it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) to: String,
}

/// Begins a link.
pub(super) fn open(to: &str) -> String {
    format!("\u{1b}]8;;{}\u{1b}\\", printable(to))
}

/// Ends it.
pub(super) fn close() -> String {
    "\u{1b}]8;;\u{1b}\\".to_owned()
}

/// An address of printable ASCII only: what else is in it stands as `%xx`.
fn printable(address: &str) -> String {
    let plain = |b: u8| (0x21..0x7f).contains(&b);
    let byte = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    address.bytes().map(byte).collect()
}

/// The addresses of web pages in `text`.
pub(super) fn addresses(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find("http") {
        let start = from + found;
        from = start + 4;
        let rest = &text[start..];
        if text[..start].ends_with(char::is_alphanumeric) {
            continue;
        }
        let Some(scheme) = ["https://", "http://"].into_iter().find(|it| rest.starts_with(it))
        else {
            continue;
        };
        let part_of = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'<>`│".contains(c);
        let length = rest.find(|c| !part_of(c)).unwrap_or(rest.len());
        // What ends a sentence is no part of an address in it.
        let address = rest[..length].trim_end_matches(['.', ',', ';', ':', '!', ')', ']']);
        if address.len() > scheme.len() {
            let end = start + address.len();
            links.push(Link { start, end, to: address.to_owned() });
            from = end;
        }
    }
    links
}

/// How paths are shown: relative to where the reader stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    /// `None` shows whole paths.
    here: Option<PathBuf>,
    host: String,
}

impl Paths {
    /// For a person at a terminal of this process.
    pub(super) fn from_here() -> Self {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy().into_owned();
        Self { here: std::env::current_dir().ok(), host }
    }

    /// The path as it is shown.
    pub(super) fn shown(&self, path: &Path) -> String {
        self.here
            .as_deref()
            .map_or_else(|| path.to_string_lossy().into_owned(), |here| relative(path, here))
    }

    /// The path of a file of the run as it is shown; where paths are shown whole, as it is named
    /// within the run's folder.
    pub(super) fn below(&self, path: &Path, name: &str) -> String {
        self.here.as_deref().map_or_else(|| name.to_owned(), |here| relative(path, here))
    }

    /// The files that `text` names as a reader here would type them, with line and column or
    /// without.
    pub(super) fn files(&self, text: &str) -> Vec<Link> {
        let Some(here) = self.here.as_deref() else { return Vec::new() };
        let mut links = Vec::new();
        let mut from = 0;
        for word in text.split(|c: char| c.is_whitespace() || "\"'`()[]<>│,;".contains(c)) {
            let start = from;
            from += word.len() + text[from + word.len()..].chars().next().map_or(0, char::len_utf8);
            let name = word.trim_end_matches(['.', ':', '!']);
            let place = |name: &str| {
                let (path, number) = name.rsplit_once(':')?;
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                digits.then(|| path.to_owned())
            };
            let path = place(name).map(|path| place(&path).unwrap_or(path));
            let path = path.as_deref().unwrap_or(name);
            // A name without either is a word that happens to be a file's.
            if !path.contains(['/', '.']) || path.contains("://") {
                continue;
            }
            let file = here.join(path);
            if file.is_file()
                && let Some(to) = self.link(&file)
            {
                links.push(Link { start, end: start + name.len(), to });
            }
        }
        links
    }

    /// The address of a file, with the name of the machine that has it: the terminal may be on
    /// another.
    pub(super) fn link(&self, path: &Path) -> Option<String> {
        let mut address = Url::from_file_path(path).ok()?;
        // A name that is no host's leaves the address without one.
        let _unnamed = address.set_host(Some(&self.host));
        Some(address.into())
    }
}

/// `path` as a reader in the folder `here` types it; whole where the two have little in common.
pub fn relative(path: &Path, here: &Path) -> String {
    let whole = || path.to_string_lossy().into_owned();
    if !path.is_absolute() {
        return whole();
    }
    let common = path.components().zip(here.components()).take_while(|(a, b)| a == b).count();
    let up = here.components().count() - common;
    let is_named = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let shared = here.components().take(common).filter(is_named).count();
    if up > MOST_UP || (up > 0 && shared == 0) {
        return whole();
    }
    let steps = std::iter::repeat_n(Component::ParentDir, up);
    let shown: PathBuf = steps.chain(path.components().skip(common)).collect();
    if shown.as_os_str().is_empty() { ".".to_owned() } else { shown.to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Line, Paint};
    use super::*;

    #[test]
    fn paths_are_shown_as_one_would_type_them() {
        for (path, here, expect) in [
            ("/srv/fleet/logs/a", "/srv/fleet", "logs/a"),
            ("/srv/fleet/logs/a", "/srv/fleet/web/src", "../../logs/a"),
            ("/srv/fleet", "/srv/fleet", "."),
            ("/srv/fleet", "/srv/fleet/web", ".."),
            ("/var/cache/x", "/srv/fleet", "/var/cache/x"),
            ("/srv/a", "/srv/1/2/3/4/5", "/srv/a"),
            ("logs/a", "/srv", "logs/a"),
            ("/srv/fleet-2/a", "/srv/fleet", "../fleet-2/a"),
        ] {
            assert_eq!(relative(Path::new(path), Path::new(here)), expect, "{path} from {here}");
        }
    }

    #[test]
    fn files_that_a_text_names_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        for file in ["greenloop.yaml", "src/main.rs", "Makefile"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let paths = Paths { here: Some(folder.path().to_owned()), host: "box".into() };
        let whole = folder.path().join("src/main.rs").display().to_string();
        for (text, expect) in [
            ("wrote greenloop.yaml", vec!["greenloop.yaml"]),
            (
                "`src/main.rs:3:5`: mismatched (greenloop.yaml:4).",
                vec!["src/main.rs:3:5", "greenloop.yaml:4"],
            ),
            (&format!("see {whole}."), vec![whole.as_str()]),
            ("│ 漢字 src/main.rs: gone", vec!["src/main.rs"]),
            ("Makefile, src, none.yaml, http://src/main.rs and 1:2", vec![]),
        ] {
            let links = paths.files(text);
            let named: Vec<&str> = links.iter().map(|link| &text[link.start..link.end]).collect();
            assert_eq!(named, expect, "{text}");
            for link in links {
                assert!(link.to.starts_with("file://box/"), "{}", link.to);
                assert!(!link.to.ends_with(|c: char| c.is_ascii_digit()), "{}", link.to);
            }
        }
        assert_eq!(Paths::default().files("greenloop.yaml"), []);
    }

    #[test]
    fn addresses_and_files_can_be_opened() {
        let links = Paint { color: false, links: true };
        let line = Line::new().plain("serving at http://127.0.0.1:80/a?b=1, see (https://x.io/).");
        assert_eq!(
            line.painted(links),
            "serving at \u{1b}]8;;http://127.0.0.1:80/a?b=1\u{1b}\\http://127.0.0.1:80/a?b=1\
             \u{1b}]8;;\u{1b}\\, see (\u{1b}]8;;https://x.io/\u{1b}\\https://x.io/\
             \u{1b}]8;;\u{1b}\\)."
        );
        assert_eq!(
            line.render(false),
            "serving at http://127.0.0.1:80/a?b=1, see (https://x.io/)."
        );
        let paths = Paths { here: Some("/srv/fleet".into()), host: "box".into() };
        let path = Path::new("/srv/fleet/logs/ä b.html");
        let line = Line::indent(2).linked(paths.shown(path), paths.link(path));
        assert_eq!(
            line.painted(links),
            "  \u{1b}]8;;file://box/srv/fleet/logs/%C3%A4%20b.html\u{1b}\\logs/ä b.html\
             \u{1b}]8;;\u{1b}\\"
        );
        let evil = Line::new().plain("http://x/\u{1b}]8;;http://y\u{7} http:// nothttp://z");
        let opened = evil.painted(links);
        assert_eq!(opened.matches("\u{1b}]8;;http").count(), 1, "{opened:?}");
        assert!(!opened.contains('\u{7}') && !opened.contains("8;;http://y\u{1b}"), "{opened:?}");
    }
}
