//! Commands that destroy what cannot be brought back, whatever the configured words are.
//!
//! Judged on what a text would run ([`super::shell`]), so that a message, a comment or a pattern
//! that names such a command is none. Temporary folders may be removed.

use std::sync::LazyLock;

use regex::Regex;

use super::shell::{Command, SHELLS};

/// A destructive use of a program.
struct DestructiveUse {
    /// The program; several names separated by `|`.
    program: &'static str,
    /// Its operands, in order, other words between them allowed; each may be several, by `|`.
    /// `*` stands at an end for any rest: `delete-*`.
    operands: &'static [&'static str],
    /// One of these options must be there; empty when none is needed. Short ones are sought in
    /// clusters too.
    options: &'static [&'static str],
    /// None of these may be there.
    unless: &'static [&'static str],
    /// What it does, for a person.
    what: &'static str,
}

const fn danger(
    program: &'static str,
    operands: &'static [&'static str],
    options: &'static [&'static str],
    what: &'static str,
) -> DestructiveUse {
    DestructiveUse { program, operands, options, unless: &[], what }
}

const fn unless(unless: &'static [&'static str], mut danger: DestructiveUse) -> DestructiveUse {
    danger.unless = unless;
    danger
}

#[rustfmt::skip]
const DANGERS: &[DestructiveUse] = &[
    unless(&["--soft"], danger("git", &["reset"], &["--hard", "--merge", "--keep"], "discards uncommitted changes")),
    unless(&["-n", "--dry-run"], danger("git", &["clean"], &["-f", "--force"], "deletes untracked files")),
    unless(&["-n", "--dry-run"], danger("git", &["push"], &["-f", "--force", "--mirror", "--prune"], "rewrites the remote's history")),
    unless(&["-n", "--dry-run"], danger("git", &["push"], &["-d", "--delete"], "deletes a remote branch")),
    danger("git", &["branch"], &["-D"], "deletes a branch that may not be merged"),
    danger("git", &["stash", "drop|clear"], &[], "discards stashed changes"),
    danger("git", &["checkout"], &["-f", "--force"], "discards uncommitted changes"),
    danger("git", &["switch"], &["-f", "--force", "--discard-changes"], "discards uncommitted changes"),
    danger("git", &["reflog", "expire|delete"], &[], "deletes the reflog, so old commits become \
        unreachable"),
    danger("git", &["filter-branch|filter-repo"], &[], "rewrites history"),
    danger("git", &["update-ref"], &["-d", "--delete"], "deletes a ref"),
    danger("git", &["worktree", "remove"], &["-f", "--force"], "deletes a work tree with its changes"),
    unless(&["--cached", "-n", "--dry-run"], danger("git", &["rm"], &["-f", "--force"], "deletes files with their changes")),
    danger("mkfs*|wipefs|shred|fdisk|sfdisk|parted|mke2fs", &[], &[], "overwrites a disk or a file for good"),
    danger("shutdown|reboot|halt|poweroff", &[], &[], "stops the machine"),
    danger("crontab", &[], &["-r"], "deletes all cron jobs"),
    danger("userdel|deluser", &[], &[], "deletes a user"),
    danger("iptables|ip6tables", &[], &["-F", "--flush"], "removes all firewall rules"),
    danger("docker|podman|nerdctl", &["system|volume|image|container|network|builder", "prune"], &[], "deletes \
        everything that no container uses"),
    danger("docker|podman|nerdctl", &["volume", "rm|remove"], &[], "deletes volumes with their data"),
    danger("docker|podman|nerdctl", &["compose", "down"], &["-v", "--volumes"], "deletes volumes with their data"),
    danger("docker-compose|podman-compose", &["down"], &["-v", "--volumes"], "deletes volumes with their data"),
    unless(&["--dry-run"], danger("kubectl|oc", &["delete", "namespace*|ns|ns/*|pv|pvc|persistentvolume*|node|node/*|nodes|crd|crds|customresourcedefinition*|project|all|statefulset*|sts"], &[], "deletes \
        cluster objects with their content")),
    unless(&["--dry-run"], danger("kubectl|oc", &["delete"], &["--all", "-A", "--all-namespaces"], "deletes all objects of a kind")),
    danger("kubectl|oc", &["drain"], &[], "evicts all pods from a node"),
    unless(&["--dry-run"], danger("helm", &["uninstall|delete|del"], &[], "removes a release")),
    danger("terraform|tofu|terragrunt|pulumi|cdk|sam|eksctl|vagrant", &["destroy|delete"], &[], "destroys infrastructure"),
    danger("terraform|tofu|terragrunt", &["apply"], &["-destroy", "--destroy"], "destroys infrastructure"),
    danger("terraform|tofu|terragrunt", &["state", "rm"], &[], "removes infrastructure from the \
        state"),
    danger("serverless|sls", &["remove"], &[], "destroys infrastructure"),
    danger("aws", &["s3", "rb"], &[], "deletes a bucket"),
    unless(&["--dryrun"], danger("aws", &["s3", "rm"], &["--recursive"], "deletes many objects")),
    unless(&["--dry-run"], danger("aws", &["*", "delete-*|terminate-*|deregister-*|purge-*"], &[], "deletes cloud resources")),
    danger("az|gcloud", &["delete|purge"], &[], "deletes cloud resources"),
    danger("gsutil", &["rb"], &[], "deletes a bucket"),
    danger("gsutil", &["rm"], &["-r", "-R", "-a"], "deletes many objects"),
    danger("gh", &["repo|release|secret|variable", "delete|archive"], &[], "deletes it on the server"),
    danger("npm|pnpm|yarn", &["unpublish"], &[], "removes a published package"),
    danger("dropdb|dropuser", &[], &[], "deletes a database or its user"),
    danger("mysqladmin", &["drop"], &[], "deletes a database"),
    danger("redis-cli|valkey-cli", &["flushall|flushdb|FLUSHALL|FLUSHDB"], &[], "deletes all keys"),
    danger("rails|rake", &["db:drop*|db:reset|db:schema:load|db:purge"], &[], "deletes the database"),
    danger("prisma", &["migrate", "reset"], &[], "deletes the database"),
    danger("python|python3|django-admin", &["flush|reset_db"], &[], "deletes the database"),
    danger("php|artisan", &["migrate:fresh|migrate:reset|migrate:refresh|db:wipe"], &[], "deletes the database"),
    danger("vssadmin", &["delete"], &[], "deletes backups"),
];

/// Options before git's subcommand that take a value.
const GIT_VALUES: &[&str] =
    &["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"];

/// Command-line clients that run SQL given as an argument.
const SQL_CLIENTS: &[&str] =
    &["psql", "mysql", "mariadb", "sqlite3", "sqlcmd", "clickhouse-client"];

/// Programs that turn text that nobody can read into text that can be run.
const DECODERS: &[&str] =
    &["base64", "base32", "basenc", "xxd", "openssl", "uudecode", "rev", "gunzip", "zcat"];

/// Interpreters that run a program given as an argument.
const INTERPRETERS: &[&str] = &[
    "python",
    "python2",
    "python3",
    "node",
    "deno",
    "bun",
    "perl",
    "ruby",
    "php",
    "pwsh",
    "powershell",
];

/// SQL that removes more than a named row.
static SQL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(drop\s+(table|database|schema|user|role|owned)\b|truncate\s+(table\s+)?\w|delete\s+from\s+[\w.\x22`]+\s*(;|$))",
    )
    .ok()
});

/// Calls in a program that remove whole trees, or run a shell.
static CALLS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\b(shutil\.rmtree|rmtree|rm_rf|rimraf(\.sync)?|rmSync|rmdirSync|remove_dir_all|remove-item)\b",
    )
    .ok()
});

/// What a script in another language hands to a shell.
static LITERALS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#""([^"\n]{2,4096})"|'([^'\n]{2,4096})'"#).ok());

/// Folders whose contents are meant to go.
const TEMPORARY: &[&str] = &[
    "/tmp/",
    "/var/tmp/",
    "$TMPDIR/",
    "${TMPDIR}/",
    "${TMPDIR:-/tmp}/",
    "$TMP/",
    "${TMP}/",
    "$TEMP/",
    "${TEMP}/",
    "$RUNNER_TEMP/",
    "${RUNNER_TEMP}/",
    "/private/tmp/",
];

/// Caches of package managers, removed in every second Dockerfile.
const CACHES: &[&str] = &[
    "/var/lib/apt/lists",
    "/var/cache/",
    "/root/.cache",
    "/root/.npm",
    "/root/.cargo/registry",
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/local/cargo/registry",
    "/var/log/apt",
    "~/.cache/",
    "$HOME/.cache/",
    "/usr/src/*.tar",
];

/// What the command would destroy, if anything.
pub(super) fn destroys(command: &Command, next: Option<&Command>) -> Option<&'static str> {
    let program = command.program();
    let words = command.words.get(1..).unwrap_or_default();
    if let Some(next) = next
        && command.is_piped()
        && (SHELLS.contains(&next.program()) || INTERPRETERS.contains(&next.program()))
        && !next.words.iter().any(|w| w == "-c" || w == "-m" || w.ends_with(".py"))
    {
        if matches!(program, "curl" | "wget" | "fetch") {
            return Some("runs what it downloads");
        }
        if DECODERS.contains(&program) {
            return Some("runs what it decodes");
        }
    }
    // `R=rm; $R -rf x`: no name to judge, only what no harmless program is given.
    if program.starts_with('$')
        && (has_option(words, "-r") || has_option(words, "-R"))
        && has_option(words, "-f")
    {
        return Some("may delete a whole folder: its path is in a variable");
    }
    if words.iter().any(|w| w == "--help" || w == "--version") {
        return None;
    }
    if words.iter().any(|w| w.starts_with(">/dev/")) {
        return Some("overwrites a disk");
    }
    match program {
        "rm" if !powershell_recursive(words) => return removes(command, words),
        "dd" if words
            .iter()
            .any(|w| w.starts_with("of=/dev/") && !w.starts_with("of=/dev/null")) =>
        {
            return Some("overwrites a disk");
        }
        "chmod" | "chown" | "chgrp"
            if has_option(words, "-R") || has_option(words, "--recursive") =>
        {
            let wide = words.iter().any(|w| is_root_or_home(w));
            return wide.then_some("changes the rights of a whole system");
        }
        "find" if words.iter().any(|w| w == "-delete") => {
            let wide = words.first().is_some_and(|w| is_root_or_home(w));
            return wide.then_some("deletes a whole system's files");
        }
        "mv" if words.last().is_some_and(|w| w == "/dev/null") => {
            return Some("discards files by moving them to /dev/null");
        }
        "rd" | "rmdir" | "del" | "erase" if has_slash_option(words, 's') => {
            return Some("deletes a whole folder");
        }
        "format" | "format.com" if words.first().is_some_and(|w| is_drive(w)) => {
            return Some("overwrites a disk");
        }
        _ => {}
    }
    if is_remove_item(program) && powershell_recursive(words) {
        return Some("deletes a whole folder");
    }
    if SQL_CLIENTS.contains(&program) && words.iter().any(|w| is_match(&SQL, w)) {
        return Some("deletes data");
    }
    if matches!(program, "mongo" | "mongosh")
        && words.iter().any(|w| w.contains("dropDatabase") || w.contains(".drop("))
    {
        return Some("deletes data");
    }
    if INTERPRETERS.contains(&program)
        && let Some(script) = inline_script(words)
    {
        if is_match(&CALLS, script) {
            return Some("deletes a whole folder");
        }
        let runs_some = LITERALS.as_ref().is_some_and(|literals| {
            literals.captures_iter(script).any(|found| {
                let text = found.get(1).or_else(|| found.get(2)).map_or("", |m| m.as_str());
                first_destructive(text).is_some()
            })
        });
        if runs_some {
            return Some("runs a destructive command");
        }
    }
    if program == "git" {
        return git(words);
    }
    let words = if matches!(program, "npx" | "pnpx" | "bunx") { words } else { &command.words };
    let program = words.first().map_or("", |w| w.rsplit('/').next().unwrap_or(w));
    table(program, words.get(1..).unwrap_or_default())
}

/// What the first destructive command in `text` does.
pub(super) fn first_destructive(text: &str) -> Option<&'static str> {
    let commands = super::shell::commands(text);
    commands.iter().enumerate().find_map(|(i, c)| destroys(c, commands.get(i + 1)))
}

fn is_match(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn git(words: &[String]) -> Option<&'static str> {
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if GIT_VALUES.contains(&word.as_str()) {
            index += 2;
        } else if word.starts_with('-') {
            index += 1;
        } else {
            break;
        }
    }
    let words = words.get(index..)?;
    let rest = words.get(1..)?;
    match words.first()?.as_str() {
        "help" => return None,
        "push" if !has_option(rest, "-n") && !has_option(rest, "--dry-run") && rewrites(rest) => {
            return Some("rewrites the remote's history");
        }
        "branch"
            if (has_option(rest, "-d") || has_option(rest, "--delete"))
                && (has_option(rest, "-f") || has_option(rest, "--force")) =>
        {
            return Some("deletes a branch that may not be merged");
        }
        "checkout" => {
            let separator = rest.iter().position(|w| w == "--");
            let paths = separator.is_some_and(|at| at + 1 < rest.len());
            if paths || operands(rest).any(|w| w == ".") {
                return Some("discards uncommitted changes");
            }
        }
        "restore" => {
            let staged = has_option(rest, "--staged") || has_option(rest, "-S");
            let tree = has_option(rest, "--worktree") || has_option(rest, "-W");
            if (!staged || tree) && operands(rest).next().is_some() {
                return Some("discards uncommitted changes");
            }
        }
        "gc" if rest.iter().any(|w| w == "--prune=now" || w == "--prune=all") => {
            return Some("deletes the reflog, so old commits become unreachable");
        }
        _ => {}
    }
    table("git", words)
}

/// Whether a refspec forces (`+main`) or deletes (`:main`).
fn rewrites(words: &[String]) -> bool {
    operands(words).any(|w| w.starts_with('+') || (w.starts_with(':') && w.len() > 1))
}

fn table(program: &str, words: &[String]) -> Option<&'static str> {
    DANGERS.iter().find(|danger| matches(danger, program, words)).map(|danger| danger.what)
}

fn matches(danger: &DestructiveUse, program: &str, words: &[String]) -> bool {
    if !any_of(danger.program, program) {
        return false;
    }
    // Git's operands begin with its subcommand: a file may well be called `clean`.
    let mut given = operands(words);
    for wanted in danger.operands {
        let exact = danger.program == "git";
        let hit = if exact {
            given.next().is_some_and(|word| any_of(wanted, word))
        } else {
            given.any(|word| any_of(wanted, word))
        };
        if !hit {
            return false;
        }
    }
    let has = |option: &&str| has_option(words, option);
    (danger.options.is_empty() || danger.options.iter().any(has)) && !danger.unless.iter().any(has)
}

/// Whether `word` is one of the names in `list`, separated by `|`.
fn any_of(list: &str, word: &str) -> bool {
    list.split('|').any(|name| match name.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => name == word,
    })
}

/// The words that are no options.
fn operands(words: &[String]) -> impl Iterator<Item = &str> {
    words.iter().map(String::as_str).filter(|w| !w.starts_with('-') || *w == "-")
}

/// Whether `option` is there: `-f` also within `-xf`, `--force` also as `--force=x`.
fn has_option(words: &[String], option: &str) -> bool {
    let words = words.iter().take_while(|w| *w != "--");
    match option.strip_prefix('-') {
        Some(letter) if letter.len() == 1 => words
            .filter(|w| !w.starts_with("--"))
            .filter_map(|w| w.strip_prefix('-'))
            .any(|cluster| {
                cluster.contains(letter) && cluster.chars().all(|c| c.is_ascii_alphanumeric())
            }),
        _ => words.filter_map(|w| w.split('=').next()).any(|name| name == option),
    }
}

/// `rm`: what it removes recursively, unless all of it lies in temporary folders.
fn removes(command: &Command, words: &[String]) -> Option<&'static str> {
    if words.iter().any(|w| w == "--no-preserve-root") {
        return Some("deletes a whole system's files");
    }
    let long = |full: &str, least: usize| {
        words.iter().any(|w| w.len() >= least && full.starts_with(w.as_str()))
    };
    let recursive = has_option(words, "-r") || has_option(words, "-R") || long("--recursive", 5);
    let force = has_option(words, "-f") || long("--force", 4);
    let targets: Vec<&str> = operands(words).collect();
    if !recursive {
        return None;
    }
    if targets.iter().any(|target| is_root_or_home(target)) {
        return Some("deletes a whole system's or home's files");
    }
    if !force {
        let wide = targets.iter().any(|t| matches!(*t, "*" | "." | ".." | "./*" | ".*" | ".git"));
        return wide.then_some("deletes whole folders");
    }
    let harmless = targets.iter().all(|target| is_temporary(target) || is_cache(target));
    if targets.is_empty() && !command.open_ended {
        return None;
    }
    (!harmless || targets.is_empty()).then_some("deletes whole folders")
}

fn climbs(target: &str) -> bool {
    target.split('/').any(|part| part == "..")
}

fn is_temporary(target: &str) -> bool {
    !climbs(target)
        && TEMPORARY.iter().any(|folder| {
            target.strip_prefix(folder).is_some_and(|rest| !rest.trim_matches('/').is_empty())
        })
}

fn is_cache(target: &str) -> bool {
    !climbs(target) && CACHES.iter().any(|folder| target.starts_with(folder))
}

/// Whether a command removes nothing but what a build makes again: what a build file's targets
/// are for.
pub(super) fn removes_outputs(command: &Command) -> bool {
    let words = command.words.get(1..).unwrap_or_default();
    let mut targets = operands(words).peekable();
    command.program() == "rm" && targets.peek().is_some() && targets.all(is_output)
}

/// Folders and files of the repository that a build makes again.
const OUTPUTS: &[&str] = &[
    "build",
    "dist",
    "out",
    "target",
    "node_modules",
    "coverage",
    "htmlcov",
    "obj",
    "_build",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".cache",
    ".tox",
    ".nox",
    ".next",
    ".nuxt",
    ".turbo",
    ".parcel-cache",
    ".eggs",
    ".nyc_output",
    ".gradle",
    ".svelte-kit",
    "bazel-out",
];

/// Whether a path within the repository is what a build makes: no variable, no climbing.
fn is_output(target: &str) -> bool {
    let plain = target.trim_start_matches("./").trim_end_matches('/');
    let first = plain.split('/').next().unwrap_or_default();
    let extension = plain.rsplit_once('.').map_or("", |(_, extension)| extension);
    !climbs(target)
        && !target.starts_with(['/', '~', '$'])
        && !target.contains(['$', '`'])
        && (OUTPUTS.contains(&first)
            || first.ends_with(".egg-info")
            || (plain.starts_with("*.")
                && ["o", "a", "so", "pyc", "pyo", "class", "log", "tmp", "d", "gcda", "gcno"]
                    .contains(&extension)))
}

fn is_root_or_home(target: &str) -> bool {
    let trimmed = target.trim_end_matches(['/', '*', '.']);
    if target.starts_with('/') && trimmed.is_empty() {
        return true;
    }
    matches!(trimmed, "~" | "$HOME" | "${HOME}" | "%USERPROFILE%" | "$env:USERPROFILE")
        || [
            "/etc", "/usr", "/var", "/home", "/root", "/boot", "/bin", "/sbin", "/lib", "/opt",
            "/dev", "/proc", "/sys", "/srv", "/System", "/Users", "/Library", "C:", "C:\\",
        ]
        .contains(&trimmed)
}

fn has_slash_option(words: &[String], letter: char) -> bool {
    words.iter().any(|w| {
        w.strip_prefix('/').is_some_and(|rest| {
            let mut letters = rest.chars();
            letters.next().is_some_and(|c| c.eq_ignore_ascii_case(&letter))
                && letters.next().is_none_or(|c| c == '/')
        })
    })
}

fn is_drive(word: &str) -> bool {
    let mut chars = word.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.next() == Some(':')
        && chars.next().is_none_or(|c| matches!(c, '\\' | '/'))
}

fn is_remove_item(program: &str) -> bool {
    ["remove-item", "ri"].iter().any(|name| program.eq_ignore_ascii_case(name))
        || matches!(program, "rm" | "rd" | "del" | "rmdir" | "erase")
}

fn powershell_recursive(words: &[String]) -> bool {
    let given = |full: &str, least: usize| {
        words.iter().any(|w| {
            let w = w.to_ascii_lowercase();
            w.len() > least && full.starts_with(&w)
        })
    };
    given("-recurse", 2) && given("-force", 2)
}

/// The text after `-c`, `-e`, `-r` or `--eval`.
fn inline_script(words: &[String]) -> Option<&str> {
    let flag = words.iter().position(|w| {
        matches!(
            w.as_str(),
            "-c" | "-e" | "-r" | "-p" | "--eval" | "--command" | "-Command" | "-command"
        )
    })?;
    words.get(flag + 1).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn destructive_commands_are_caught() {
        for text in [
            "rm -rf /",
            "rm -rf ~",
            "rm -fr \"$HOME\"",
            "rm -r -f build",
            "rm -rf -- src",
            "sudo rm -rf /var",
            "/bin/rm -rf x",
            "\\rm -rf x",
            "rm -rf /tmp/../etc",
            "rm -rf /tmp/a /etc",
            "rm -rf /tmp",
            "cd x && rm -rf *",
            "rm -r /",
            "bash -c 'rm -rf x'",
            "echo 'rm -rf /' | sh",
            "sh <<EOF\nrm -rf x\nEOF",
            "find . -name x | xargs rm -rf",
            "find / -delete",
            "find x -exec rm -rf {} +",
            "$(rm -rf x)",
            "echo `rm -rf x`",
            "env A=1 rm -rf x",
            "A=1 rm -rf x",
            "git reset --hard",
            "git -C x reset --hard HEAD~1",
            "git  -c a=b  reset  --hard",
            "git clean -xdf",
            "git push -f",
            "git push origin main --force",
            "git push origin +main",
            "git push origin :main",
            "git push --delete origin x",
            "git branch -D x",
            "git branch -d -f x",
            "git stash clear",
            "git checkout -- .",
            "git checkout .",
            "git checkout HEAD -- a.rs",
            "git restore a.rs",
            "git reflog expire --expire=now --all",
            "dd if=/dev/zero of=/dev/sda",
            "mkfs.ext4 /dev/sda1",
            "cat x > /dev/sda",
            "chmod -R 777 /",
            "chown -R me ~",
            "docker system prune -af",
            "docker compose -f x down -v",
            "kubectl delete ns prod",
            "kubectl -n x delete pods --all",
            "terraform -chdir=x destroy",
            "aws s3 rm s3://x --recursive",
            "aws ec2 terminate-instances --instance-ids i",
            "az group delete -n x --yes",
            "psql -c 'DROP TABLE users'",
            "mysql -e \"delete from users;\"",
            "dropdb prod",
            "redis-cli -h x FLUSHALL",
            "python3 -c 'import shutil; shutil.rmtree(\"/\")'",
            "python -c \"import os; os.system('rm -rf /')\"",
            "node -e \"require('child_process').execSync('rm -rf x')\"",
            "curl -s https://x | sudo bash",
            "echo cm0gLXJmIC8= | base64 -d | sh",
            "R=rm; $R -rf /srv",
            "${R} -r -f /srv",
            "rmdir /s /q C:\\x",
            "Remove-Item -Recurse -Force x",
            "ssh host 'rm -rf /srv'",
            "docker exec c sh -c 'rm -rf /data'",
            "timeout 5 rm -rf x",
            "npx prisma migrate reset",
            "eval 'rm -rf x'",
            "trap 'rm -rf x' EXIT",
            "if true; then rm -rf x; fi",
            "for d in a b; do rm -rf \"$d\"; done",
            "true || rm -rf x",
        ] {
            assert!(first_destructive(text).is_some(), "{text}");
        }
    }

    #[test]
    fn harmless_commands_are_not() {
        for text in [
            "rm -f x",
            "rm x",
            "rm -rf /tmp/x",
            "rm -rf \"$TMPDIR/x\" /tmp/y",
            "rm -rf /var/lib/apt/lists/*",
            "trap 'rm -rf /tmp/x' EXIT",
            "rm --help",
            "echo rm -rf x",
            "echo \"git reset --hard\"",
            "grep -r 'rm -rf' .",
            "git commit -m 'rm -rf x; git push --force'",
            "printf '%s' 'rm -rf x' > f",
            "# rm -rf x",
            "cat <<EOF\nrm -rf x\nEOF",
            "git push --force-with-lease",
            "git push -u origin x",
            "git clean -n",
            "git clean -nfd",
            "git reset --soft HEAD~1",
            "git checkout -b x",
            "git checkout main",
            "git restore --staged x",
            "git branch -d x",
            "git log --grep='reset --hard'",
            "git help reset",
            "git stash",
            "git stash push -m drop",
            "kubectl delete pod x",
            "kubectl get ns",
            "docker rm -f x",
            "docker compose down",
            "terraform plan -destroy=false",
            "terraform plan",
            "aws s3 ls",
            "az group list",
            "npm run clean",
            "rm -rf",
            "find . -name '*.pyc' -delete",
            "dd if=x of=/dev/null",
            "psql -c 'select 1'",
            "curl -fsSL https://x -o y",
            "chmod -R 755 build",
            "curl -s https://x | jq .",
            "curl x | python3 -m json.tool",
            "base64 -d x | tar xz",
            "$CC -f x",
            "format disk --help",
            "command -v rm",
            "which rm",
            "sed -i 's/rm -rf x//' f",
            "firmware -rf",
            "rmdir x",
            "test -d x || mkdir x",
            "ls -la > out.txt 2>&1",
        ] {
            assert_eq!(first_destructive(text), None, "{text}");
        }
    }

    #[test]
    fn the_public_corpus_is_told_apart() {
        let root = std::env::var_os("GREENLOOP_CORPORA").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
            PathBuf::from,
        );
        let folder = root.join("commands");
        if !folder.is_dir() {
            println!("skipped: no corpus at {} (set GREENLOOP_CORPORA)", folder.display());
            return;
        }
        for (name, expect) in [("true_positives", true), ("false_positives", false)] {
            let commands = corpus(&folder.join(name));
            assert!(commands.len() > 10, "{name}: {}", commands.len());
            let wrong: Vec<_> =
                commands.iter().filter(|c| first_destructive(c).is_some() != expect).collect();
            println!("{name}: {} of {} right", commands.len() - wrong.len(), commands.len());
            assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        }
    }

    /// The `command = "…"` lines of a folder's files: basic TOML strings.
    fn corpus(folder: &std::path::Path) -> Vec<String> {
        let mut commands = Vec::new();
        for entry in std::fs::read_dir(folder).expect("folder") {
            let text = std::fs::read_to_string(entry.expect("entry").path()).expect("file");
            for line in text.lines() {
                if let Some(value) = line.strip_prefix("command = ") {
                    // The escapes these files use are JSON's too.
                    commands.push(serde_json::from_str(value).expect("a string"));
                }
            }
        }
        commands
    }
}
