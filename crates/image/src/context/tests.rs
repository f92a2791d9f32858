use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use futures::{Stream, StreamExt};

use super::*;

/// A folder with these files; a name that ends with a slash is a folder, each file holds its own
/// name.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }
    dir
}

fn scan(dir: &Path) -> BuildContext {
    BuildContext::scan(dir, &dir.join("Dockerfile"), None).unwrap()
}

/// What a classic build, or one by BuildKit, gets.
async fn received(stream: impl Stream<Item = std::io::Result<bytes::Bytes>>) -> Vec<u8> {
    let mut stream = std::pin::pin!(stream);
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    bytes
}

/// Names and contents.
fn unpacked(archive: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    use std::io::Read;
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path_bytes().into_owned(), content)
    });
    entries.collect()
}

fn names(context: &BuildContext) -> Vec<String> {
    let name = |entry: &Entry| {
        let slash = if matches!(entry.kind, Kind::Folder) { "/" } else { "" };
        format!("{}{slash}", String::from_utf8_lossy(&entry.path))
    };
    context.entries.iter().map(name).collect()
}

const TREE: &[&str] = &[
    ".dockerignore",
    ".env",
    "Dockerfile",
    "a[1].txt",
    "a*b",
    "docs/README.md",
    "docs/api/index.md",
    "docs/api/keep.md",
    "empty/",
    "notes.md",
    "src/lib.rs",
    "src/target/x.o",
    "target/x.o",
    "src/vendor/deep/keep.txt",
    "src/vendor/deep/other.txt",
];

/// Each row was compared with what the docker command line 28.2.2 sends for the same folder (its
/// request was recorded; so were those of 6 100 random folders and ignore files, which differ in
/// nothing else). Rows with a wildcard in an exception follow BuildKit: the classic builder misses
/// what they keep below an ignored folder.
#[test]
fn ignore_files_mean_what_they_mean_to_docker() {
    let all = [
        ".dockerignore",
        ".env",
        "Dockerfile",
        "a*b",
        "a[1].txt",
        "docs/",
        "docs/README.md",
        "docs/api/",
        "docs/api/index.md",
        "docs/api/keep.md",
        "empty/",
        "notes.md",
        "src/",
        "src/lib.rs",
        "src/target/",
        "src/target/x.o",
        "src/vendor/",
        "src/vendor/deep/",
        "src/vendor/deep/keep.txt",
        "src/vendor/deep/other.txt",
        "target/",
        "target/x.o",
    ];
    let under = |folder: &str| -> Vec<&str> {
        all.iter().copied().filter(|name| name.starts_with(folder)).collect()
    };
    let only = |kept: &[&str]| -> Vec<&str> {
        all.iter().copied().filter(|name| !kept.contains(name)).collect()
    };
    let cases: Vec<(&str, Vec<&str>)> = vec![
        ("", vec![]),
        ("# target\n\n   \n", vec![]),
        ("\u{feff}target\r\n", under("target/")),
        ("target", under("target/")),
        ("/target/", under("target/")),
        ("./target", under("target/")),
        ("x/../target/.", under("target/")),
        ("../target", vec![]),
        (".", vec![]),
        ("/", vec![]),
        ("*/target", under("src/target/")),
        ("**/target", [under("src/target/"), under("target/")].concat()),
        ("*.md", vec!["notes.md"]),
        ("**/*.md", vec!["docs/README.md", "docs/api/index.md", "docs/api/keep.md", "notes.md"]),
        ("*.md\n!notes.md", vec![]),
        ("!notes.md\n*.md", vec!["notes.md"]),
        (".*", vec![".dockerignore", ".env"]),
        ("docs/*\n!docs/api", vec!["docs/README.md"]),
        ("docs\n!docs/api/keep.md", vec!["docs/README.md", "docs/api/index.md"]),
        (
            "docs\n!docs/*.md",
            under("docs/api/")
                .into_iter()
                .chain(["docs/README.md"])
                .filter(|n| *n != "docs/README.md")
                .collect(),
        ),
        ("docs/**", under("docs/").into_iter().filter(|name| *name != "docs/").collect()),
        ("*\n!src", only(&[&under("src/")[..]].concat())),
        ("*\n!src\nsrc/vendor/deep/*\n!**/keep.txt", {
            let mut kept = under("src/");
            kept.retain(|name| !name.ends_with("other.txt"));
            only(&kept)
        }),
        (
            "**\n!**/keep.*",
            only(&[
                "docs/",
                "docs/api/",
                "docs/api/keep.md",
                "src/",
                "src/vendor/",
                "src/vendor/deep/",
                "src/vendor/deep/keep.txt",
            ]),
        ),
        ("src/vendor\n!**/keep.txt", vec!["src/vendor/deep/other.txt"]),
        // An exception for a folder does not bring back what was ignored by its own name.
        ("**/*.o\n!target", vec!["src/target/x.o", "target/x.o"]),
        ("**/x.o\n!target/x.o", vec!["src/target/x.o"]),
        (r"a\[1\].txt", vec!["a[1].txt"]),
        ("a[1].txt", vec![]),
        (r"a\*b", vec!["a*b"]),
        ("a?b", vec!["a*b"]),
        ("Docker*\n.docker*", vec![".dockerignore", "Dockerfile"]),
        ("  notes.md  ", vec!["notes.md"]),
        ("  # notes.md", vec![]),
    ];
    for (ignore, ignored) in cases {
        let dir = folder(TREE);
        fs::write(dir.path().join(".dockerignore"), ignore).unwrap();
        assert_eq!(names(&scan(dir.path())), only(&ignored), "{ignore:?}");
    }
}

#[test]
fn a_refused_line_is_named() {
    for (ignore, line, pattern) in
        [("a\n!\n", 2, "!"), ("\n[", 2, "["), ("x\\", 1, "x\\"), ("*.md\n\n[z-a]", 3, "[z-a]")]
    {
        let dir = folder(&["Dockerfile", "f"]);
        fs::write(dir.path().join(".dockerignore"), ignore).unwrap();
        let error =
            BuildContext::scan(dir.path(), &dir.path().join("Dockerfile"), None).unwrap_err();
        let ContextErrorKind::Pattern { line: at, pattern: found, .. } = &error.kind else {
            panic!("{error}");
        };
        assert_eq!((*at, found.as_str()), (line, pattern));
        assert!(error.path.ends_with(".dockerignore"));
    }
}

/// An exception that is not needed is not looked at, by Docker neither.
#[test]
fn a_bad_exception_that_nothing_needs_is_no_error() {
    let dir = folder(&["Dockerfile", "f"]);
    fs::write(dir.path().join(".dockerignore"), "!a/*/[^\n").unwrap();
    assert_eq!(names(&scan(dir.path())), [".dockerignore", "Dockerfile", "f"]);
}

struct Sent {
    dockerfile: String,
    classic: BTreeMap<Vec<u8>, Vec<u8>>,
    buildkit: BTreeMap<Vec<u8>, Vec<u8>>,
}

async fn sent(folder: &Path, dockerfile: &Path) -> Sent {
    let scan = || BuildContext::scan(folder, dockerfile, None).unwrap();
    Sent {
        dockerfile: scan().dockerfile_name().to_owned(),
        classic: unpacked(&received(scan().tar()).await),
        buildkit: unpacked(&received(scan().tar_for_buildkit()).await),
    }
}

fn keys(files: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<&str> {
    files.keys().map(|name| std::str::from_utf8(name).unwrap()).collect()
}

fn text<'a>(files: &'a BTreeMap<Vec<u8>, Vec<u8>>, name: &str) -> &'a str {
    std::str::from_utf8(&files[name.as_bytes()]).unwrap()
}

const HIDDEN: &str = ".dockerfile.greenloop";

#[tokio::test]
async fn build_files_that_the_image_may_see_travel_as_they_are() {
    let dir = folder(&["Dockerfile", "f", "junk"]);
    fs::write(dir.path().join(".dockerignore"), "junk\n").unwrap();
    let sent = sent(dir.path(), &dir.path().join("Dockerfile")).await;
    assert_eq!(sent.dockerfile, "Dockerfile");
    assert_eq!(keys(&sent.classic), [".dockerignore", "Dockerfile", "f"]);
    assert_eq!(sent.classic, sent.buildkit);
    assert_eq!(text(&sent.classic, ".dockerignore"), "junk\n");
}

#[tokio::test]
async fn ignored_build_files_are_sent_for_the_engine_to_take_out() {
    let dir = folder(&["build/Dockerfile", "build/junk", "f"]);
    fs::write(dir.path().join(".dockerignore"), ".*\nbuild\n").unwrap();
    let sent = sent(dir.path(), &dir.path().join("build/Dockerfile")).await;
    assert_eq!(sent.dockerfile, HIDDEN);
    assert_eq!(keys(&sent.classic), [HIDDEN, ".dockerignore", "f"]);
    // `.*` covers the reserved name already.
    assert_eq!(text(&sent.classic, ".dockerignore"), ".*\nbuild\n");
    assert_eq!(text(&sent.classic, HIDDEN), "build/Dockerfile");
    assert_eq!(keys(&sent.buildkit), [HIDDEN, "f"]);
}

#[tokio::test]
async fn a_dockerfile_from_outside_is_hidden() {
    let outside = folder(&["Dockerfile"]);
    let dir = folder(&["f", ".dockerfile.greenloop"]);
    let dockerfile = outside.path().join("Dockerfile");
    let sent = sent(dir.path(), &dockerfile).await;
    assert_eq!(sent.dockerfile, ".dockerfile.greenloop.1", "the name is taken");
    assert_eq!(text(&sent.classic, ".dockerfile.greenloop.1"), "Dockerfile");
    assert_eq!(text(&sent.classic, ".dockerignore"), ".dockerignore\n.dockerfile.greenloop.1\n");
    assert!(!sent.buildkit.contains_key(&b".dockerignore"[..]));

    fs::write(dir.path().join(".dockerignore"), "junk").unwrap();
    let sent = self::sent(dir.path(), &dockerfile).await;
    assert_eq!(text(&sent.classic, ".dockerignore"), "junk\n.dockerfile.greenloop.1\n");
    assert_eq!(text(&sent.buildkit, ".dockerignore"), "junk");
}

#[tokio::test]
async fn the_dockerfiles_own_ignore_file_goes_first() {
    let dir = folder(&["app.Dockerfile", "f", "g"]);
    fs::write(dir.path().join(".dockerignore"), "*\n").unwrap();
    fs::write(dir.path().join("app.Dockerfile.dockerignore"), "g\n").unwrap();
    let sent = sent(dir.path(), &dir.path().join("app.Dockerfile")).await;
    let all = [".dockerignore", "app.Dockerfile", "app.Dockerfile.dockerignore", "f"];
    assert_eq!(keys(&sent.classic), all);
    // The classic engine reads this file and must not take out what the other lets pass.
    let expect = "*\n\n!app.Dockerfile\n!.dockerignore\n";
    assert_eq!(text(&sent.classic, ".dockerignore"), expect);
    assert_eq!(text(&sent.buildkit, ".dockerignore"), "*\n");
}

#[tokio::test]
async fn links_pipes_sockets_and_odd_names_travel_as_docker_sends_them() {
    let dir = folder(&["Dockerfile", "exe", "folder/"]);
    let at = |name: &str| dir.path().join(name);
    fs::set_permissions(at("exe"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("no/where", at("dangling")).unwrap();
    symlink(".", at("folder/loop")).unwrap();
    fs::hard_link(at("exe"), at("hard")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o640),
        0,
    )
    .unwrap();
    let long = format!("{}/{}", "d".repeat(120), "ü".repeat(100));
    fs::create_dir(at(&"d".repeat(120))).unwrap();
    fs::write(at(&long), "long").unwrap();
    symlink(&long, at("to-long")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"odd \xff\n name");
    fs::write(dir.path().join(odd), "odd").unwrap();

    let archive = received(scan(dir.path()).tar()).await;
    let mut reader = tar::Archive::new(archive.as_slice());
    let mut found = BTreeMap::new();
    for entry in reader.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        assert_eq!(header.mtime().unwrap(), 499_162_500);
        let target = entry.link_name_bytes().map(|target| target.into_owned());
        let mode = header.mode().unwrap();
        found.insert(entry.path_bytes().into_owned(), (header.entry_type(), mode, target));
    }
    use tar::EntryType::{Directory, Fifo, Regular, Symlink};
    for (name, kind, target) in [
        ("absolute", Symlink, Some("/etc/passwd")),
        ("dangling", Symlink, Some("no/where")),
        ("folder/", Directory, None),
        ("folder/loop", Symlink, Some(".")),
        ("exe", Regular, None),
        ("hard", Regular, None),
        ("pipe", Fifo, None),
        (&long, Regular, None),
        ("to-long", Symlink, Some(&*long)),
    ] {
        let (is, _, points) = &found[name.as_bytes()];
        assert_eq!(*is, kind, "{name}");
        assert_eq!(points.as_deref(), target.map(str::as_bytes), "{name}");
    }
    assert_eq!(found[&b"exe"[..]].1, 0o4755);
    assert!(found.contains_key(odd.as_bytes()));
    assert!(!found.contains_key(&b"socket"[..]));
}

/// `docker build` on another machine, a minute later, by another user, must get the same bytes.
#[tokio::test]
async fn the_same_files_give_the_same_bytes_and_any_change_another_digest() {
    let names = ["Dockerfile", "b/c", "b/a", "a"];
    let (one, two) = (folder(&names), folder(&names));
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = fs::File::options().write(true).open(two.path().join("a")).unwrap();
    file.set_modified(old).unwrap();
    assert_eq!(scan(one.path()).digest(), scan(two.path()).digest());
    let bytes = received(scan(one.path()).tar()).await;
    assert_eq!(bytes, received(scan(two.path()).tar()).await);

    let mut seen = std::collections::BTreeSet::from([scan(one.path()).digest().to_owned()]);
    let at = |name: &str| one.path().join(name);
    let changes: [(&str, &dyn Fn()); 8] = [
        ("content", &|| fs::write(at("a"), "b").unwrap()),
        ("dockerfile", &|| fs::write(at("Dockerfile"), "FROM scratch").unwrap()),
        ("mode", &|| fs::set_permissions(at("a"), fs::Permissions::from_mode(0o755)).unwrap()),
        ("name", &|| fs::rename(at("a"), at("z")).unwrap()),
        ("folder", &|| fs::create_dir(at("empty")).unwrap()),
        ("link", &|| symlink("x", at("link")).unwrap()),
        ("target", &|| {
            fs::remove_file(at("link")).unwrap();
            symlink("y", at("link")).unwrap();
        }),
        ("gone", &|| fs::remove_file(at("z")).unwrap()),
    ];
    for (what, change) in changes {
        change();
        assert!(seen.insert(scan(one.path()).digest().to_owned()), "{what}");
    }
}

#[test]
fn what_is_ignored_is_no_part_of_the_digest() {
    let dir = folder(&["Dockerfile", "f", "junk"]);
    fs::write(dir.path().join(".dockerignore"), "junk\n.dockerignore\nother\n").unwrap();
    let before = scan(dir.path()).digest().to_owned();
    fs::write(dir.path().join("junk"), "more").unwrap();
    fs::write(dir.path().join(".dockerignore"), "junk\n.dockerignore\n# other\n").unwrap();
    assert_eq!(scan(dir.path()).digest(), before);
    let context = scan(dir.path());
    assert_eq!((context.files(), context.bytes()), (2, 11));
    assert_eq!(context.dockerfile_text(), b"Dockerfile");
}

#[test]
fn the_cache_gives_the_same_digest_and_never_an_old_one() {
    let dir = folder(&["Dockerfile", "f", "g"]);
    let caches = tempfile::tempdir().unwrap();
    let cache = caches.path().join("sub/cache");
    let cached = || {
        let dockerfile = dir.path().join("Dockerfile");
        BuildContext::scan(dir.path(), &dockerfile, Some(&cache)).unwrap().digest().to_owned()
    };
    let first = cached();
    assert_eq!((cached(), first.as_str()), (first.clone(), scan(dir.path()).digest()));
    // The same size within the same tick: only reading tells.
    for content in ["1", "2", "3"] {
        fs::write(dir.path().join("f"), content).unwrap();
        assert_eq!(cached(), scan(dir.path()).digest(), "{content}");
    }
    fs::write(&cache, "damaged").unwrap();
    assert_eq!(cached(), scan(dir.path()).digest());
    // A cache that cannot be written is as good as none.
    let dockerfile = dir.path().join("Dockerfile");
    let nowhere = Path::new("/proc/none/cache");
    assert!(BuildContext::scan(dir.path(), &dockerfile, Some(nowhere)).is_ok());
}

/// That files are not read again is seen from a cache that says something else of them.
#[test]
fn a_known_file_is_not_read_again() {
    use std::time::{Duration, SystemTime};
    let dir = folder(&["Dockerfile", "f"]);
    let caches = tempfile::tempdir().unwrap();
    let cache = caches.path().join("cache");
    let path = dir.path().join("f");
    let (_, stat) = content::open(&path).unwrap();
    let mut known = StatCache::default();
    let later = SystemTime::now() + Duration::from_secs(60);
    known.keep(stat, blake3::hash(b"as if it held this"), later);
    known.write(&cache).unwrap();
    let dockerfile = dir.path().join("Dockerfile");
    let context = BuildContext::scan(dir.path(), &dockerfile, Some(&cache)).unwrap();
    assert_ne!(context.digest(), scan(dir.path()).digest());
}

/// The error comes as the stream's last item; what came before it is no whole archive.
#[tokio::test]
async fn a_file_that_changes_before_it_is_sent_is_an_error() {
    type Change<'a> = (&'a str, &'a dyn Fn(&Path));
    let changes: [Change; 5] = [
        ("longer", &|path| fs::write(path, "longer than before").unwrap()),
        ("shorter", &|path| fs::write(path, "").unwrap()),
        ("as long", &|path| fs::write(path, "F").unwrap()),
        ("gone", &|path| fs::remove_file(path).unwrap()),
        ("a link", &|path| {
            fs::remove_file(path).unwrap();
            symlink("/etc/passwd", path).unwrap();
        }),
    ];
    for (what, change) in changes {
        let dir = folder(&["Dockerfile", "f"]);
        let context = scan(dir.path());
        // The clock that stamps files ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        change(&dir.path().join("f"));
        let items: Vec<_> = context.tar().collect().await;
        let error = items.last().unwrap().as_ref().unwrap_err();
        assert!(error.to_string().contains("/f: "), "{what}: {error}");
    }
}

#[tokio::test]
async fn dropping_the_stream_stops_the_reading() {
    let dir = folder(&["Dockerfile"]);
    let file = fs::File::create(dir.path().join("large")).unwrap();
    file.set_len(1 << 40).unwrap();
    drop(file);
    let (_, stat) = content::open(&dir.path().join("large")).unwrap();
    let path = b"large".to_vec();
    let kind = Kind::File { stat, hash: None, copy: None };
    let entries = Arc::new(vec![Entry { path, kind, mode: 0o644 }]);
    let root = dir.path().to_owned();
    let mut stream = Box::pin(Archive { root, entries, copies: None, extra: Vec::new() }.stream());
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    let open = || {
        let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.ends_with("large"))
    };
    for _ in 0..200 {
        if !open() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the file is still open");
}

#[test]
fn what_cannot_be_scanned_is_named() {
    let dir = folder(&["Dockerfile", "folder/", "ok"]);
    let at = |name: &str| dir.path().join(name);
    for (folder, dockerfile, path, kind) in [
        ("none", "Dockerfile", "none", ContextErrorKind::NotFound),
        ("ok", "Dockerfile", "ok", ContextErrorKind::NotAFolder),
        ("", "none", "none", ContextErrorKind::NotFound),
        ("", "folder", "folder", ContextErrorKind::NotAFile),
    ] {
        let error = BuildContext::scan(&at(folder), &at(dockerfile), None).unwrap_err();
        assert_eq!((&error.path, &error.kind), (&at(path), &kind), "{error}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named_unless_it_is_ignored() {
    if rustix::process::geteuid().is_root() {
        return; // who may read everything
    }
    let dir = folder(&["Dockerfile", "secret", "closed/f"]);
    for name in ["secret", "closed"] {
        let none = fs::Permissions::from_mode(0o000);
        fs::set_permissions(dir.path().join(name), none).unwrap();
    }
    let dockerfile = dir.path().join("Dockerfile");
    for (ignore, path) in [("secret", "closed"), ("closed", "secret")] {
        fs::write(dir.path().join(".dockerignore"), ignore).unwrap();
        let error = BuildContext::scan(dir.path(), &dockerfile, None).unwrap_err();
        assert_eq!(error.kind, ContextErrorKind::Unreadable);
        assert!(error.path.ends_with(path), "{error}");
    }
    fs::write(dir.path().join(".dockerignore"), "secret\nclosed\n").unwrap();
    assert!(BuildContext::scan(dir.path(), &dockerfile, None).is_ok());
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(dir.path().join("closed"), open).unwrap();
}

fn scan_with(dir: &Path, options: ScanOptions<'_>) -> BuildContext {
    BuildContext::scan_with(dir, &dir.join("Dockerfile"), options).unwrap()
}

#[test]
fn greenloops_own_files_are_never_in_a_context() {
    let theirs = ["Dockerfile", "app/main.rs", "logs/nginx/access.log", "out/report.txt"];
    let own = [
        ".git/greenloop/claims/x",
        "logs/runs/1/audit.jsonl",
        "logs/orchestrator_20260102.log",
        "var/metrics/deployments.json",
        "var/metrics/.greenloop-Xy12",
        "var/metrics/deployments.json.corrupt-7",
        "out/record.json",
        "elsewhere/runs/2/audit.jsonl",
    ];
    let clean = folder(&theirs);
    fs::create_dir_all(clean.path().join(".git")).unwrap();
    fs::write(clean.path().join(".git/HEAD"), ".git/HEAD").unwrap();
    let dir = folder(&[&theirs[..], &own[..], &[".git/HEAD"]].concat());
    // A folder that is reached through a link is the folder.
    symlink(dir.path().join("elsewhere"), dir.path().join("linked")).unwrap();
    symlink(dir.path().join("elsewhere"), clean.path().join("linked")).unwrap();
    let root = dir.path();
    let files = OwnFiles::default()
        .with_folder(root.join("logs/runs"))
        .with_folder(root.join("linked/runs"))
        .with_folder(root.join(".git/greenloop"))
        .with_folder(root.join("not/there/yet"))
        .with_folder(Path::new("/somewhere/else").to_owned())
        .with_files(root.join("logs"), "orchestrator_", ".log")
        .with_files(root.join("var/metrics"), "deployments.json", "")
        .with_files(root.join("var/metrics"), ".greenloop-", "")
        .with_files(root.join("out"), "record.json", "");
    let options = ScanOptions { own: Some(&files), ..ScanOptions::default() };
    // What was never there does not count, and neither does a folder that holds nothing else.
    for (ignore, dockerfile) in [
        ("", "FROM scratch\nCOPY . /\n"),
        ("", "FROM scratch\nCOPY .git /git\n"),
        ("*\n!.git\n!logs\n!var\n!out\n!elsewhere/runs\n", "FROM scratch\n"),
    ] {
        for at in [root, clean.path()] {
            fs::write(at.join(".dockerignore"), ignore).unwrap();
            fs::write(at.join("Dockerfile"), dockerfile).unwrap();
        }
        let context = scan_with(root, options);
        let expect = scan(clean.path());
        assert_eq!(names(&context), names(&expect), "{ignore}");
        assert_eq!(context.digest(), expect.digest(), "{ignore}");
        assert!(names(&context).contains(&"logs/nginx/access.log".to_owned()));
    }
}

#[test]
fn the_repository_is_left_out_unless_it_is_named() {
    let git = [".git/HEAD", ".git/refs/heads/main"];
    let check = |dockerfile: &str, ignore: &str, kept: bool, told: bool| {
        let dir = folder(&[&git[..], &["src/a", "sub/.git/HEAD", ".gitignore"]].concat());
        fs::write(dir.path().join("Dockerfile"), dockerfile).unwrap();
        fs::write(dir.path().join(".dockerignore"), ignore).unwrap();
        let args = [("WHAT".to_owned(), ".git".to_owned())].into();
        let context =
            scan_with(dir.path(), ScanOptions { args: Some(&args), ..ScanOptions::default() });
        let names = names(&context);
        let has = |name: &str| names.iter().any(|found| found == name);
        assert_eq!(has(".git/HEAD"), kept, "{dockerfile:?} {ignore:?}");
        assert_eq!(context.git_excluded().is_some(), told, "{dockerfile:?} {ignore:?}");
        assert!(ignore.starts_with('*') || has("sub/.git/HEAD") && has(".gitignore"));
    };
    for everything in [
        "COPY . /\n",
        "COPY * /\n",
        "COPY --from=a .git /\n",
        "ADD https://example.org/.git /\n",
        "COPY sub/.git /\n",
        "COPY .github /\n",
        "COPY [\"src\", \".git\"]\n",
        "RUN --mount=type=bind,source=.,target=/x git describe\n",
        "RUN --mount=type=bind,from=a,source=.git,target=/x true\n",
        "",
    ] {
        check(&format!("FROM scratch\n{everything}"), "", false, true);
    }
    for named in [
        "COPY .git /\n",
        "COPY ./.git/ /\n",
        "COPY --chown=1 src /.git/HEAD /\n",
        "COPY .git* /\n",
        "ADD [\".git\", \"/\"]\n",
        "ARG WHAT\nCOPY $WHAT /\n",
        "ENV G=.git\nCOPY ${G}/refs /\n",
        "RUN --mount=type=bind,source=.git,target=/src/.git git describe\n",
    ] {
        check(&format!("FROM scratch\n{named}"), "", true, false);
    }
    // The ignore file has said it already, or says that it is wanted.
    check("FROM scratch\nCOPY . /\n", ".git\n", false, false);
    check("FROM scratch\nCOPY . /\n", "*\n!src\n", false, false);
    check("FROM scratch\nCOPY . /\n", "*\n!.git\n", true, false);

    // A work tree that git made beside the first has a file there; a context may lie above the
    // work tree, or below.
    let dir = folder(&["Dockerfile", "repo/.git", "repo/src/f"]);
    let repo = dir.path().join("repo");
    let options = ScanOptions { work_tree: Some(&repo), ..ScanOptions::default() };
    let context = scan_with(dir.path(), options);
    assert_eq!(context.git_excluded(), Some("repo/.git"));
    assert_eq!(names(&context), ["Dockerfile", "repo/", "repo/src/", "repo/src/f"]);
    let dockerfile = dir.path().join("Dockerfile");
    let below = BuildContext::scan_with(&repo.join("src"), &dockerfile, options).unwrap();
    assert_eq!((names(&below), below.git_excluded()), (vec!["f".to_owned()], None));
}

/// The second scan sends what it has hashed, whatever the file does afterwards.
#[tokio::test]
async fn files_that_have_changed_since_the_last_scan_are_sent_from_a_copy() {
    let dir = folder(&["Dockerfile", "a.log", "b.log", "new/", "still"]);
    let write = |name: &str, text: &str| {
        // The clock that stamps files ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(dir.path().join(name), text).unwrap();
    };
    let first = scan(dir.path()).scanned_files();
    write("a.log", "second");
    write("b.log", "second too");
    write("new/c.log", "appeared");
    let options = ScanOptions { earlier: Some(&first), ..ScanOptions::default() };
    let again = scan_with(dir.path(), options);
    let expect = scan(dir.path()).digest().to_owned();
    assert_eq!(again.digest(), expect);
    write("a.log", "third");
    write("b.log", "");
    fs::remove_file(dir.path().join("new/c.log")).unwrap();
    let sent = unpacked(&received(again.tar()).await);
    assert_eq!(text(&sent, "a.log"), "second");
    assert_eq!(text(&sent, "b.log"), "second too");
    assert_eq!(text(&sent, "new/c.log"), "appeared");
    assert_eq!(text(&sent, "still"), "still");
    // One that has not changed since the first scan must not change now either.
    let again = scan_with(dir.path(), options);
    write("still", "no more");
    let items: Vec<_> = again.tar().collect().await;
    assert!(items.last().unwrap().as_ref().unwrap_err().to_string().contains("/still: "));
}

/// Kernel files come to be when they are read: their size is never what was promised.
#[test]
fn a_file_that_never_stands_still_is_named() {
    let dir = folder(&["Dockerfile"]);
    let kernel = Path::new("/proc/sys/kernel/random");
    let error = BuildContext::scan(kernel, &dir.path().join("Dockerfile"), None).unwrap_err();
    assert_eq!(error.kind, ContextErrorKind::Changed);
    assert!(error.path.starts_with(kernel) && error.path != kernel, "{error}");
}

#[test]
fn files_and_folders_that_come_and_go_do_not_fail_a_scan() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = folder(&["Dockerfile", "still"]);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let coming = dir.path().join("coming");
                fs::create_dir_all(coming.join("deep")).unwrap();
                fs::write(coming.join("deep/f"), "f").unwrap();
                symlink("nowhere", coming.join("link")).unwrap();
                fs::remove_dir_all(&coming).unwrap();
                fs::write(&coming, "a file now").unwrap();
                fs::remove_file(&coming).unwrap();
            }
        });
        for _ in 0..300 {
            let names = BuildContext::scan(dir.path(), &dir.path().join("Dockerfile"), None)
                .map(|context| names(&context));
            if !names.as_ref().is_ok_and(|names| names.contains(&"still".to_owned())) {
                over.store(true, Ordering::Relaxed);
            }
            assert!(names.unwrap().contains(&"still".to_owned()));
        }
        over.store(true, Ordering::Relaxed);
    });
}
