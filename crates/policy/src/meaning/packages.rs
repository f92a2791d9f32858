//! Which reader reads a file of a package manager, and what its change asks of an install.

use std::collections::BTreeSet;

use super::install::{self, Install, added, changed_versions, compare as compare_installs};
use super::{Finding, cargo, go, hosts_in, jvm, npm, other, python, settings};
use crate::rules;
use crate::syntax::SourceFile;

pub(super) type Read = fn(&str) -> Option<Install>;

/// The reader for a file of this name.
fn reader(file: &SourceFile) -> Option<Read> {
    let path = file.path.as_str();
    let below = |folder: &str| path.starts_with(folder) || path.contains(&format!("/{folder}"));
    let reader: Read = match file.name.as_str() {
        "package.json" => npm::manifest,
        "package-lock.json" | "npm-shrinkwrap.json" => npm::lock,
        "yarn.lock" => npm::yarn,
        "pnpm-lock.yaml" => npm::pnpm,
        "bun.lock" => npm::bun,
        "cargo.toml" => cargo::manifest,
        "cargo.lock" => cargo::lock,
        "config.toml" | "config" if below(".cargo/") => cargo::config,
        "pyproject.toml" => python::pyproject,
        "poetry.lock" | "uv.lock" | "pdm.lock" => python::lock,
        "pipfile" => python::pipfile,
        "pipfile.lock" => python::pipfile_lock,
        "go.mod" | "go.work" => go::module,
        "go.sum" | "go.work.sum" => go::sums,
        "gemfile" => other::gemfile,
        "gemfile.lock" => other::gemfile_lock,
        "composer.json" => other::composer,
        "composer.lock" => other::composer_lock,
        "packages.lock.json" => other::nuget_lock,
        ".terraform.lock.hcl" => other::terraform_lock,
        "verification-metadata.xml" => jvm::verification,
        "gradle-wrapper.properties" | "maven-wrapper.properties" => jvm::wrapper,
        "pom.xml"
        | "settings.xml"
        | "extensions.xml"
        | "nuget.config"
        | "packages.config"
        | "directory.build.props"
        | "directory.build.targets"
        | "directory.packages.props" => jvm::xml,
        ".npmrc" => settings::npmrc,
        "pip.conf" | "pip.ini" | ".pypirc" | "pydistutils.cfg" => settings::pairs,
        ".yarnrc" => settings::yarnrc,
        ".yarnrc.yml" | ".condarc" | "pnpm-workspace.yaml" | ".gemrc" => settings::yaml,
        "uv.toml" | "bunfig.toml" | "poetry.toml" => settings::table,
        ".bowerrc" | "auth.json" => settings::json,
        name if name.starts_with("pylock") && name.ends_with(".toml") => python::lock,
        _ if matches!(file.extension.as_str(), "csproj" | "fsproj" | "vbproj") => jvm::xml,
        _ if path.ends_with(".gradle") || path.ends_with(".gradle.kts") => jvm::gradle,
        name if is_requirements(path, name) => python::requirements,
        _ => return None,
    };
    Some(reader)
}

fn is_requirements(path: &str, name: &str) -> bool {
    let text = name.ends_with(".txt") || name.ends_with(".in") || name.ends_with(".lock");
    let named = name.starts_with("requirements") || name.starts_with("constraints");
    text && (named || path.contains("requirements/"))
}

/// What the change asks of an install that was not asked before; `manifest` says whether the file
/// is one of a package manager by its kind.
pub(super) fn compare(
    file: &SourceFile,
    manifest: bool,
    before: &str,
    after: &str,
) -> Vec<Finding> {
    let Some(read) = reader(file) else {
        return if manifest { new_hosts(before, after) } else { Vec::new() };
    };
    let Some(new) = read(after) else {
        let detail = "the file cannot be read as what its name says";
        return vec![Finding::new(rules::DEPENDENCY_SOURCE, detail)];
    };
    // A file that could not be read is compared as if it were new.
    let old = read(before).unwrap_or_default();
    compare_installs(&old, &new)
}

/// For formats without a reader. What a comment names is not fetched from.
fn new_hosts(before: &str, after: &str) -> Vec<Finding> {
    let hosts = |text: &str| -> BTreeSet<String> {
        text.lines()
            .filter(|line| !line.trim_start().starts_with(['#', ';']))
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(hosts_in)
            .collect()
    };
    hosts(after)
        .difference(&hosts(before))
        .map(|host| Finding::new(rules::DEPENDENCY_SOURCE, format!("`{host}` is a new host")))
        .collect()
}

/// Whether the file is one whose meaning is read.
pub(crate) fn is_read(file: &SourceFile) -> bool {
    reader(file).is_some()
}

/// Whether the manifest differs in versions of dependencies alone, and the lockfile has each; as
/// their names. A lockfile is given with its file.
pub(crate) fn takes_locked_versions(
    file: &SourceFile,
    before: &str,
    after: &str,
    lock: (&SourceFile, &str),
) -> Option<bool> {
    let read = reader(file)?;
    let lock = reader(lock.0)?(lock.1)?;
    let changed = changed_versions(&read(before)?, &read(after)?)?;
    let has = |(name, version): &(String, String)| install::has(&lock, name, version);
    Some(!changed.is_empty() && changed.iter().all(has))
}

/// The names of the dependencies that the change adds, or whose version it changes, when it does
/// nothing else, each comes from the registry, and each is pinned: by the lockfile, or by a
/// checksum in the file itself.
pub(crate) fn adds_pinned_dependencies(
    file: &SourceFile,
    before: &str,
    after: &str,
    lock: Option<(&SourceFile, &str)>,
) -> Option<Vec<String>> {
    let read = reader(file)?;
    let new = read(after)?;
    let added = added(&read(before)?, &new)?;
    let pinned = |name: &str, version: &str| match lock {
        Some((file, text)) => reader(file)
            .and_then(|read| read(text))
            .is_some_and(|it| install::has(&it, name, version)),
        None => new
            .pins
            .iter()
            .any(|((other, _), pin)| install::same_name(other, name) && !pin.checksums.is_empty()),
    };
    let all = added.iter().all(|it| pinned(&it.name, &it.version));
    (all && !added.is_empty()).then(|| added.into_iter().map(|it| it.name).collect())
}

/// Whether a lockfile's change brings in no source, no script and no other checksum; `None` when
/// the format has no reader.
pub(crate) fn keeps_sources(file: &SourceFile, before: &str, after: &str) -> Option<bool> {
    let read = reader(file)?;
    let (Some(old), Some(new)) = (read(before), read(after)) else { return Some(false) };
    Some(compare_installs(&old, &new).is_empty() && old.wants == new.wants)
}

/// Whether every package that a lockfile newly pins is one that `is_named`, or is needed by one.
pub(crate) fn pins_only_what_is_needed(
    file: &SourceFile,
    before: &str,
    after: &str,
    is_named: &dyn Fn(&str) -> bool,
) -> bool {
    let Some(read) = reader(file) else { return false };
    let (Some(old), Some(new)) = (read(before), read(after)) else { return false };
    let roots: BTreeSet<String> =
        new.pins.keys().map(|(name, _)| name).filter(|name| is_named(name)).cloned().collect();
    !roots.is_empty() && install::unneeded(&old, &new, &roots).is_empty()
}

/// Whether a text names a package as a word of its own, in the spelling of indexes and of code.
pub(crate) fn names_package(text: &str, name: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '/');
    text.split(|c: char| !part(c)).map(|word| word.trim_matches(['.', '/'])).any(|word| {
        let module = word.split(['.', '/']).next().unwrap_or(word);
        install::same_name(word, name)
                || (!word.starts_with('@') && install::same_name(module, name))
                // `@1.2.3` behind it.
                || word.rsplit_once('@').is_some_and(|(word, _)| install::same_name(word, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_model::RepoPath;

    fn file(path: &str) -> SourceFile {
        SourceFile::new(&RepoPath::new(path).expect("a path"), b"")
    }

    fn found(path: &str, before: &str, after: &str) -> Vec<&'static str> {
        compare(&file(path), true, before, after).into_iter().map(|finding| finding.rule).collect()
    }

    const SOURCE: &str = rules::DEPENDENCY_SOURCE;
    const SCRIPT: &str = rules::INSTALL_SCRIPT;
    const SUM: &str = rules::INTEGRITY;

    const NPM_LOCK: &str = r#"{"packages": {"node_modules/a": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/a/-/a-1.0.0.tgz", "integrity": "sha512-A"}}}"#;
    const WRAPPER: &str = "distributionUrl=https\\://services.gradle.org/distributions/gradle-8.5-bin.zip\ndistributionSha256Sum=aa\n";

    /// A file, its content, a text of it, what takes its place, and the rule that matches then.
    const CASES: &[(&str, &str, &str, &str, &str)] = &[
        // npm
        (
            "package.json",
            r#"{"dependencies": {"a": "^1.0.0"}, "scripts": {"test": "jest"}}"#,
            "^1.0.0",
            "^1.1.0",
            "",
        ),
        ("package.json", r#"{"dependencies": {"a": "^1.0.0"}}"#, "^1.0.0", "x/a#main", SOURCE),
        (
            "web/package.json",
            r#"{"dependencies": {"a": "^1.0.0"}}"#,
            "^1.0.0",
            "https://x.example/a.tgz",
            SOURCE,
        ),
        ("package.json", r#"{"dependencies": {"a": "^1.0.0"}}"#, "^1.0.0", "npm:b@1.0.0", SOURCE),
        ("package.json", r#"{"dependencies": {"a": "^1.0.0"}}"#, "^1.0.0", "file:../a", SOURCE),
        ("package.json", r#"{"dependencies": {"a": "^1.0.0"}}"#, "^1.0.0", "workspace:*", ""),
        (
            "package.json",
            r#"{"overrides": {"a": {"b": "1"}}}"#,
            r#""b": "1""#,
            r#""b": "git@x.example:b""#,
            SOURCE,
        ),
        (
            "package.json",
            r#"{"scripts": {"test": "jest"}}"#,
            r#""test""#,
            r#""prepare": "husky", "test""#,
            SCRIPT,
        ),
        ("package.json", r#"{"scripts": {"test": "jest"}}"#, r#""jest""#, r#""jest --ci""#, ""),
        (
            "package.json",
            r#"{"bin": {"a": "a.js"}}"#,
            r#""a": "#,
            r#""jest": "x.js", "a": "#,
            SCRIPT,
        ),
        ("package.json", r#"{"pnpm": {"onlyBuiltDependencies": []}}"#, "[]", r#"["x"]"#, SCRIPT),
        // package-lock.json
        ("package-lock.json", NPM_LOCK, "sha512-A", "sha512-B", SUM),
        ("package-lock.json", NPM_LOCK, r#", "integrity": "sha512-A""#, "", SUM),
        ("package-lock.json", NPM_LOCK, "registry.npmjs.org", "x.example", SOURCE),
        (
            "package-lock.json",
            NPM_LOCK,
            r#""version": "1.0.0""#,
            r#""hasInstallScript": true, "version": "1.0.0""#,
            SCRIPT,
        ),
        (
            "package-lock.json",
            NPM_LOCK,
            "}}}",
            r#"}, "node_modules/b": {"version": "2.0.0", "resolved": "https://registry.npmjs.org/b/-/b-2.0.0.tgz", "integrity": "sha512-B"}}}"#,
            "",
        ),
        (
            "package-lock.json",
            NPM_LOCK,
            "}}}",
            r#"}, "node_modules/b": {"version": "2.0.0", "resolved": "https://registry.npmjs.org/b/-/b-2.0.0.tgz"}}}"#,
            SUM,
        ),
        ("package-lock.json", NPM_LOCK, "/a/-/a-1.0.0", "/b/-/b-1.0.0", SOURCE),
        ("package-lock.json", NPM_LOCK, "/a/-/a-1.0.0", "/a/-/../../b/-/b-1.0.0", SOURCE),
        ("package-lock.json", NPM_LOCK, "/a/-/a-1.0.0", "/a/-/%2e%2e/b", SOURCE),
        (
            "package-lock.json",
            NPM_LOCK,
            "registry.npmjs.org/a/-/a-1.0.0",
            "registry.yarnpkg.com/a/-/a-1.0.0",
            SOURCE,
        ),
        (
            "package-lock.json",
            NPM_LOCK,
            "}}}",
            r#"}, "node_modules/b": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/c/-/c-1.0.0.tgz", "integrity": "sha512-B"}}}"#,
            SOURCE,
        ),
        (
            "package-lock.json",
            NPM_LOCK,
            "}}}",
            r#"}, "node_modules/@s/b": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/@s/b/-/b-1.0.0.tgz", "integrity": "sha512-B"}}}"#,
            "",
        ),
        (
            "yarn.lock",
            "a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#aa\"\n",
            "a@^1",
            "b@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/c/-/c-1.0.0.tgz#aa\"\na@^1",
            SOURCE,
        ),
        (
            "package-lock.json",
            r#"{"dependencies": {"a": {"version": "1.0.0", "integrity": "sha512-A"}}}"#,
            "1.0.0",
            "git+ssh://git@x.example/a.git#1",
            SOURCE,
        ),
        // Yarn and pnpm
        (
            "yarn.lock",
            "a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#aa\"\n  integrity sha512-A\n",
            "sha512-A",
            "sha512-B",
            SUM,
        ),
        (
            "yarn.lock",
            "a@^1.0.0:\n  version \"1.0.0\"\n  resolved \"https://registry.yarnpkg.com/a/-/a-1.0.0.tgz#aa\"\n  integrity sha512-A\n",
            "registry.yarnpkg.com",
            "x.example",
            SOURCE,
        ),
        (
            "yarn.lock",
            "__metadata:\n  version: 8\n\n\"a@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  checksum: 10/aa\n",
            "10/aa",
            "10/bb",
            SUM,
        ),
        (
            "yarn.lock",
            "__metadata:\n  version: 8\n\n\"a@npm:^1.0.0\":\n  version: 1.0.0\n  resolution: \"a@npm:1.0.0\"\n  checksum: 10/aa\n",
            "a@npm:1.0.0",
            "a@https://x.example/a.git#commit=1",
            SOURCE,
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '9.0'\npackages:\n  a@1.0.0:\n    resolution: {integrity: sha512-A}\n",
            "{integrity: sha512-A}",
            "{tarball: https://x.example/a.tgz}",
            SOURCE,
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '6.0'\npackages:\n  /@s/a@1.0.0(b@2.0.0):\n    resolution: {integrity: sha512-A}\n",
            "sha512-A",
            "sha512-B",
            SUM,
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: 5.4\npackages:\n  /a/1.0.0:\n    resolution: {integrity: sha512-A}\n",
            "resolution",
            "requiresBuild: true\n    resolution",
            SCRIPT,
        ),
        (
            "bun.lock",
            "{\"lockfileVersion\": 1, \"packages\": {\"a\": [\"a@1.0.0\", \"\", {}, \"sha512-A\"],}}",
            "sha512-A",
            "sha512-B",
            SUM,
        ),
        // Cargo
        (
            "Cargo.toml",
            "[dependencies]\na = \"1\"\n",
            "\"1\"",
            "{ git = \"https://x.example/a\" }",
            SOURCE,
        ),
        (
            "Cargo.toml",
            "[dependencies]\na = \"1\"\n",
            "\"1\"",
            "{ package = \"b\", version = \"1\" }",
            SOURCE,
        ),
        ("Cargo.toml", "[dependencies]\na = \"1\"\n", "\"1\"", "\"1.2\"", ""),
        (
            "Cargo.toml",
            "[target.'cfg(unix)'.dependencies]\na = \"1\"\n",
            "\"1\"",
            "{ path = \"../../a\" }",
            SOURCE,
        ),
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\n",
            "[package]\n",
            "[package]\nbuild = \"other.rs\"\n",
            SCRIPT,
        ),
        (
            "Cargo.toml",
            "[package]\nname = \"x\"\n",
            "\"x\"\n",
            "\"x\"\n[patch.crates-io]\na = { path = \"a\" }\n",
            SOURCE,
        ),
        (
            "Cargo.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"aa\"\n",
            "\"aa\"",
            "\"bb\"",
            SUM,
        ),
        (
            "Cargo.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"aa\"\n",
            "registry+https://github.com/rust-lang/crates.io-index",
            "git+https://x.example/a#1",
            SOURCE,
        ),
        (
            "Cargo.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"aa\"\n",
            "\"1.0.0\"",
            "\"1.0.1\"",
            "",
        ),
        (
            ".cargo/config.toml",
            "[net]\nretry = 2\n",
            "[net]",
            "[build]\nrustc-wrapper = \"./x\"\n[net]",
            SCRIPT,
        ),
        (
            ".cargo/config.toml",
            "[net]\nretry = 2\n",
            "[net]",
            "[target.x86_64-unknown-linux-gnu]\nrunner = [\"./x\"]\n[net]",
            SCRIPT,
        ),
        (
            ".cargo/config.toml",
            "[net]\nretry = 2\n",
            "[net]",
            "[source.crates-io]\nreplace-with = \"m\"\n[net]",
            SOURCE,
        ),
        (".cargo/config.toml", "[net]\nretry = 2\n", "retry = 2", "retry = 3", ""),
        // Python
        (
            "requirements.txt",
            "a==1.0 --hash=sha256:aa\n",
            "--hash=sha256:aa",
            "--hash=sha256:aa --hash=sha256:bb",
            SUM,
        ),
        ("requirements.txt", "a==1.0 \\\n  --hash=sha256:aa\n", " \\\n  --hash=sha256:aa", "", SUM),
        ("requirements.txt", "a==1.0\n", "a==1.0", "--index-url https://x.example\na==1.0", SOURCE),
        ("requirements.txt", "a==1.0\n", "a==1.0", "--trusted-host x.example\na==1.0", SUM),
        ("requirements.txt", "a==1.0\n", "a==1.0", "a @ git+https://x.example/a", SOURCE),
        ("requirements-dev.txt", "a==1.0\n", "a==1.0", "./wheels/a-1.0-py3-none-any.whl", SOURCE),
        ("requirements.txt", "a==1.0\n", "1.0", "1.1", ""),
        (
            "requirements.txt",
            "a==1.0\n",
            "a==",
            "# why \\\n--index-url https://x.example\na==",
            SOURCE,
        ),
        (
            "requirements.txt",
            "a==1.0\n",
            "a==",
            "# why\u{c}b @ https://x.example/b.zip\na==",
            SOURCE,
        ),
        ("requirements.txt", "a==1.0\n", "a==", "# why \\\na==", ""),
        ("requirements.txt", "a==1.0\n", "1.0", "1.0\t# https://x.example/a.zip", ""),
        ("requirements.txt", "a==1.0\n", "a==", "-ihttps://x.example\na==", SOURCE),
        (
            "requirements.txt",
            "a==1.0\n",
            "a==",
            "--pre --extra-index=https://x.example\na==",
            SOURCE,
        ),
        ("requirements.txt", "a==1.0\n", "a==", "--pre '--find-links' x\na==", SOURCE),
        ("requirements.txt", "a==1.0\n", "a==", "-fx\na==", SOURCE),
        ("requirements.txt", "a==1.0\n", "a==", "-egit+https://x.example/a\na==", SOURCE),
        ("requirements.txt", "a==1.0\n", "1.0", "1.0 --index-url https://x.example", SOURCE),
        ("requirements.txt", "a==1.0\n", "1.0", "1.0 --trusted-host x.example", SUM),
        ("requirements.txt", "a==1.0\n", "1.0", "1.0 --config-settings=a=b", SCRIPT),
        ("requirements.txt", "--require-hashes\na==1.0\n", "--require-hashes", "", SUM),
        ("requirements.txt", "a==1.0 --hash sha256:aa\n", " --hash sha256:aa", "", SUM),
        ("requirements.txt", "a==1.0 --hash=sha256:aa\n", "==1.0 --hash=sha256:aa", ">=1.0", SUM),
        ("requirements.txt", "./a.whl --hash=sha256:aa\n", " --hash=sha256:aa", "", SUM),
        (
            "pyproject.toml",
            "[project]\ndependencies = [\"a>=1\"]\n",
            "a>=1",
            "a @ https://x.example/a.zip",
            SOURCE,
        ),
        (
            "pyproject.toml",
            "[project]\ndependencies = [\"a>=1\"]\n",
            "[project]",
            "[tool.uv.sources]\na = { git = \"https://x.example/a\" }\n[project]",
            SOURCE,
        ),
        (
            "pyproject.toml",
            "[project]\ndependencies = [\"a>=1\"]\n",
            "[project]",
            "[[tool.uv.index]]\nurl = \"https://x.example\"\n[project]",
            SOURCE,
        ),
        (
            "pyproject.toml",
            "[build-system]\nrequires = [\"setuptools\"]\n",
            "requires",
            "build-backend = \"x\"\nbackend-path = [\".\"]\nrequires",
            SCRIPT,
        ),
        (
            "poetry.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0\"\nfiles = [{file = \"a.whl\", hash = \"sha256:aa\"}]\n",
            "sha256:aa",
            "sha256:bb",
            SUM,
        ),
        (
            "uv.lock",
            "[[package]]\nname = \"a\"\nversion = \"1.0\"\nsource = { registry = \"https://pypi.org/simple\" }\nwheels = [{ url = \"https://files.pythonhosted.org/a.whl\", hash = \"sha256:aa\" }]\n",
            "files.pythonhosted.org",
            "x.example",
            SOURCE,
        ),
        (
            "Pipfile.lock",
            "{\"default\": {\"a\": {\"hashes\": [\"sha256:aa\"], \"version\": \"==1.0\"}}}",
            "[\"sha256:aa\"]",
            "[]",
            SUM,
        ),
        (
            "pip.conf",
            "[global]\ntimeout = 60\n",
            "timeout = 60",
            "timeout = 60\nextra-index-url =\n  https://x.example",
            SOURCE,
        ),
        ("pip.conf", "[global]\ntimeout = 60\n", "60", "90", ""),
        // Go
        ("go.mod", "module a\n\nrequire (\n\tx.example/b v1.0.0\n)\n", "v1.0.0", "v1.0.1", ""),
        (
            "go.mod",
            "module a\n\nrequire x.example/b v1.0.0\n",
            "require",
            "replace x.example/b => ../b\n\nrequire",
            SOURCE,
        ),
        (
            "go.mod",
            "module a\n\nrequire x.example/b v1.0.0\n",
            "require",
            "replace (\n\tx.example/b => y.example/b v1.0.0\n)\n\nrequire",
            SOURCE,
        ),
        ("go.sum", "x.example/b v1.0.0 h1:aa=\n", "h1:aa=", "h1:bb=", SUM),
        // Ruby, PHP, .NET
        (
            "Gemfile",
            "source 'https://rubygems.org'\ngem 'a', '~> 1.0'\n",
            "'~> 1.0'",
            "github: 'x/a'",
            SOURCE,
        ),
        (
            "Gemfile",
            "source 'https://rubygems.org'\ngem 'a', '~> 1.0'\n",
            "rubygems.org",
            "x.example",
            SOURCE,
        ),
        ("Gemfile", "source 'https://rubygems.org'\ngem 'a', '~> 1.0'\n", "1.0", "1.1", ""),
        (
            "Gemfile.lock",
            "GEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n\nCHECKSUMS\n  a (1.0) sha256=aa\n",
            "sha256=aa",
            "sha256=bb",
            SUM,
        ),
        (
            "Gemfile.lock",
            "GEM\n  remote: https://rubygems.org/\n  specs:\n    a (1.0)\n",
            "https://rubygems.org/",
            "https://x.example/",
            SOURCE,
        ),
        (
            "composer.json",
            "{\"require\": {\"a/b\": \"1\"}}",
            "{\"require\"",
            "{\"scripts\": {\"post-install-cmd\": \"x\"}, \"require\"",
            SCRIPT,
        ),
        (
            "composer.json",
            "{\"require\": {\"a/b\": \"1\"}}",
            "{\"require\"",
            "{\"repositories\": [{\"type\": \"vcs\", \"url\": \"https://x.example/b\"}], \"require\"",
            SOURCE,
        ),
        (
            "composer.lock",
            "{\"packages\": [{\"name\": \"a/b\", \"version\": \"1\", \"dist\": {\"url\": \"https://api.github.com/z\", \"shasum\": \"aa\"}}]}",
            "\"aa\"",
            "\"bb\"",
            SUM,
        ),
        (
            "NuGet.config",
            "<configuration><packageSources><add key=\"n\" value=\"https://api.nuget.org/v3/index.json\"/></packageSources></configuration>",
            "</packageSources>",
            "<add key=\"x\" value=\"https://x.example\"/></packageSources>",
            SOURCE,
        ),
        (
            "NuGet.config",
            "<configuration><packageSources><add key=\"n\" value=\"https://api.nuget.org/v3/index.json\"/></packageSources></configuration>",
            "</packageSources>",
            "<add key=\"x\" value=\"./packages\"/></packageSources>",
            SOURCE,
        ),
        (
            "app.csproj",
            "<Project><ItemGroup><PackageReference Include=\"A\" Version=\"1\"/></ItemGroup></Project>",
            "<ItemGroup>",
            "<Target Name=\"t\"><Exec Command=\"id\"/></Target><ItemGroup>",
            SCRIPT,
        ),
        (
            "app.csproj",
            "<Project><ItemGroup><PackageReference Include=\"A\" Version=\"1\"/></ItemGroup></Project>",
            "\"1\"",
            "\"2\"",
            "",
        ),
        (
            "packages.lock.json",
            "{\"dependencies\": {\"net8.0\": {\"A\": {\"resolved\": \"1.0.0\", \"contentHash\": \"aa\"}}}}",
            "aa",
            "bb",
            SUM,
        ),
        // The JVM
        (
            "pom.xml",
            "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency></dependencies></project>",
            "<dependencies>",
            "<repositories><repository><url>http://x.example</url></repository></repositories><dependencies>",
            SOURCE,
        ),
        (
            "pom.xml",
            "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency></dependencies></project>",
            "<dependencies>",
            "<build><plugins><plugin><groupId>g</groupId><artifactId>p</artifactId><version>1</version></plugin></plugins></build><dependencies>",
            SCRIPT,
        ),
        (
            "pom.xml",
            "<project><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency></dependencies></project>",
            "<version>1</version>",
            "<version>2</version>",
            "",
        ),
        (
            "pom.xml",
            "<project><dependencies/></project>",
            "<dependencies/>",
            "<url>https://x.example</url><dependencies/>",
            "",
        ),
        (
            "build.gradle.kts",
            "dependencies { implementation(\"g:a:1.0\") }\n",
            "dependencies",
            "repositories { maven { url = uri(\"https://x.example\") } }\ndependencies",
            SOURCE,
        ),
        (
            "build.gradle",
            "plugins { id 'java' }\n",
            "id 'java'",
            "id 'java'\n id 'x.y' version '1'",
            SCRIPT,
        ),
        ("build.gradle", "dependencies { implementation 'g:a:1.0' }\n", "1.0", "1.1", ""),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            "distributionUrl=https\\://services.gradle.org/distributions/gradle-8.5-bin.zip\ndistributionSha256Sum=aa\n",
            "=aa",
            "=bb",
            SUM,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            "distributionUrl=https\\://services.gradle.org/distributions/gradle-8.5-bin.zip\ndistributionSha256Sum=aa\n",
            "services.gradle.org",
            "x.example",
            SOURCE,
        ),
        (
            "gradle/verification-metadata.xml",
            "<verification-metadata><components><component group=\"g\" name=\"a\" version=\"1\"><artifact name=\"a.jar\"><sha256 value=\"aa\"/></artifact></component></components></verification-metadata>",
            "\"aa\"",
            "\"bb\"",
            SUM,
        ),
        // Settings
        (".npmrc", "save-exact=true\n", "save", "@x:registry=https://x.example\nsave", SOURCE),
        (".npmrc", "save-exact=true\n", "save", "strict-ssl=false\nsave", SUM),
        (".npmrc", "ignore-scripts=true\n", "true", "false", SCRIPT),
        (".npmrc", "ignore-scripts=true\n", "ignore-scripts=true", "", SUM),
        (".npmrc", "x=1\n", "x=1", "ignore-scripts=true", ""),
        (".npmrc", "save-exact=true\n", "true", "false", ""),
        (".yarnrc", "lastUpdateCheck 1\n", "last", "registry \"https://x.example\"\nlast", SOURCE),
        (".npmrc", "save-exact=true\n", "true", "true\n  registry=https://x.example", SOURCE),
        (".npmrc", "save-exact=true\n", "true", "true\r  registry=https://x.example", SOURCE),
        (".npmrc", "save-exact=true\n", "true", "true\n  ignore-scripts=false", SCRIPT),
        (".npmrc", "save-exact=true\n", "true", "true\n\"script-shel\\u006c\"=./x", SCRIPT),
        (
            ".npmrc",
            "save-exact=true\n",
            "true",
            "true\n@x:registry=https://x.example\n@x:a=1\nca[]=a\nca[]=b",
            SOURCE,
        ),
        ("gradle/wrapper/gradle-wrapper.properties", WRAPPER, "gradle-8.5", "gradle-8.6", ""),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "services.gradle.org",
            "x.example",
            SOURCE,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "/distributions/gradle-8.5",
            "/distributions/other-8.5",
            SOURCE,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "distributionSha256Sum=aa\n",
            "",
            SUM,
        ),
        ("gradle/wrapper/gradle-wrapper.properties", WRAPPER, "=aa", "=bb", SUM),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "8.5-bin.zip\ndistributionSha256Sum=aa",
            "8.6-bin.zip",
            SUM,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "=aa\n",
            "=aa\n  distributionUrl=https\\://x.example/gradle-8.5-bin.zip\n",
            SOURCE,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "=aa\n",
            "=aa\ndistribution\\u0055rl https\\://x.example/gradle-8.5-bin.zip\n",
            SOURCE,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "=aa\n",
            "=aa\n# why \\\ndistributionUrl=https\\://x.example/gradle-8.5-bin.zip\n",
            SOURCE,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "=aa\n",
            "=aa\nvalidateDistributionUrl=fal\\\n  se\n",
            SUM,
        ),
        (
            "gradle/wrapper/gradle-wrapper.properties",
            WRAPPER,
            "=aa\n",
            "=aa\nwrapperUrl=https\\://x.example/a.jar\n",
            SOURCE,
        ),
        (
            ".yarnrc.yml",
            "nodeLinker: node-modules\n",
            "node",
            "npmScopes:\n  x:\n    npmRegistryServer: 'https://x.example'\nnode",
            SOURCE,
        ),
        (
            ".yarnrc.yml",
            "nodeLinker: node-modules\n",
            "node",
            "plugins:\n  - path: .yarn/x.cjs\nnode",
            SCRIPT,
        ),
        (
            ".terraform.lock.hcl",
            "provider \"registry.terraform.io/a/b\" {\n  version = \"1.0.0\"\n  hashes = [\n    \"h1:aa\",\n  ]\n}\n",
            "h1:aa",
            "h1:bb",
            SUM,
        ),
        // No reader: hosts alone.
        (
            "pubspec.yaml",
            "dependencies:\n  a: ^1.0.0\n",
            "^1.0.0",
            "{git: 'https://x.example/a'}",
            SOURCE,
        ),
    ];

    #[test]
    fn what_an_install_is_asked_is_compared() {
        for (path, before, from, to, rule) in CASES {
            let after = before.replacen(from, to, 1);
            assert_ne!(after, *before, "{path}: {from}");
            let rules = found(path, before, &after);
            match *rule {
                "" => assert!(
                    rules.is_empty(),
                    "{path}: {to}: {:?}",
                    compare(&file(path), true, before, &after)
                ),
                rule => assert!(
                    rules.contains(&rule),
                    "{path}: {to}: {:?}",
                    compare(&file(path), true, before, &after)
                ),
            }
        }
    }

    #[test]
    fn any_part_of_a_file_can_be_compared() {
        for (path, before, from, to, _) in CASES {
            let after = before.replacen(from, to, 1);
            for (at, _) in after.char_indices() {
                let _findings = compare(&file(path), true, before, &after[..at]);
                let _findings = compare(&file(path), true, &after[..at], &after[at..]);
            }
        }
    }

    #[test]
    fn layout_and_order_mean_nothing() {
        for (path, before, after) in [
            (
                "package.json",
                r#"{"a": 1, "dependencies": {"x": "1", "y": "2"}}"#,
                "{\n  \"dependencies\": {\"y\": \"2\", \"x\": \"1\"},\n  \"a\": 1\n}",
            ),
            (
                "Cargo.toml",
                "[dependencies]\na = \"1\"\nb = { git = \"https://x.example\" }\n",
                "[dependencies.b]\ngit = \"https://x.example\"\n\n[dependencies]\na = '1'\n",
            ),
            (
                "requirements.txt",
                "b==1\na @ https://x.example/a.zip\n",
                "# why\na @ https://x.example/a.zip\nb==1  # here\n",
            ),
            (
                "go.mod",
                "module a\nrequire x.example/b v1.0.0\n",
                "module a\n\nrequire (\n\tx.example/b v1.0.0 // indirect\n)\n",
            ),
        ] {
            assert_eq!(compare(&file(path), true, before, after), [], "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (path, after) in [("package.json", "{"), ("Cargo.toml", "[a"), ("pom.xml", "<a>")] {
            assert_eq!(found(path, "", after), [SOURCE], "{path}");
        }
    }

    #[test]
    fn a_requirement_without_a_number_is_in_no_lockfile() {
        let lock = r#"{"packages": {"node_modules/a": {"version": "1.4.0"}}}"#;
        for (wanted, expect) in
            [("^1.3.0", true), ("^latest", false), ("~x", false), ("^", true), (">=2", false)]
        {
            let manifest = |version: &str| format!(r#"{{"dependencies": {{"a": "{version}"}}}}"#);
            let found = takes_locked_versions(
                &file("package.json"),
                &manifest("9"),
                &manifest(wanted),
                (&file("package-lock.json"), lock),
            );
            assert_eq!(found, Some(expect), "{wanted}");
        }
    }

    #[test]
    fn packages_are_named_as_code_names_them() {
        for (text, name, expect) in [
            ("ModuleNotFoundError: No module named 'httpx'", "httpx", true),
            ("No module named 'typing_extensions.x'", "typing-extensions", true),
            ("Cannot find module '@scope/a/b'", "@scope/a", false),
            ("Cannot find module '@scope/a'", "@scope/a", true),
            ("npm error Missing: left-pad@1.3.0 from lock file", "left-pad", true),
            ("the http client failed", "httpx", false),
        ] {
            assert_eq!(names_package(text, name), expect, "{text}");
        }
    }
}
