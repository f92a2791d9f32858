//! The report files that a gate's test runner wrote.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use greenloop_config::plan::GatePlan;
use greenloop_evidence::{Knowledge, TestRun, read_report};

/// Report files of one gate that are read.
const MOST_FILES: usize = 2_000;
/// Entries of folders that are looked at for them.
const MOST_ENTRIES: usize = 50_000;
/// Bytes of one report that are read.
const MOST_BYTES: u64 = 64 << 20;
/// What file systems may round a time of change by.
const ROUNDING: Duration = Duration::from_secs(2);

/// What ran: by the report files that the gate names, and where there are none, by what it printed.
/// Reports older than `began` are those of another run.
pub(super) fn tests(
    gate: &GatePlan,
    folder: &Path,
    began: SystemTime,
    console: TestRun,
    notes: &mut Vec<String>,
) -> TestRun {
    if gate.reports.is_empty() {
        return console;
    }
    let mut run: Option<TestRun> = None;
    let since = began.checked_sub(ROUNDING).unwrap_or(began);
    for path in find(&gate.reports, folder, since) {
        let read = File::open(&path)
            .map_err(greenloop_evidence::ReportError::from)
            .and_then(|file| read_report(BufReader::new(file), MOST_BYTES));
        match (read, &mut run) {
            (Ok(report), Some(run)) => run.merge(report),
            (Ok(report), None) => run = Some(report),
            (Err(error), _) => notes.push(format!(
                "ignored the report {} of gate {}: {error}",
                path.strip_prefix(folder).unwrap_or(&path).display(),
                gate.name
            )),
        }
    }
    match run.filter(|run| run.knowledge() > Knowledge::Nothing) {
        Some(run) => run,
        None => {
            notes.push(format!(
                "gate {} wrote no report that matches {}: using its output instead",
                gate.name,
                gate.reports.join(", ")
            ));
            console
        }
    }
}

/// Files that match a pattern and were changed since then, sorted; at most [`MOST_FILES`].
fn find(patterns: &[String], folder: &Path, since: SystemTime) -> Vec<PathBuf> {
    let Some(set) = compiled(patterns) else { return Vec::new() };
    let mut found = Vec::new();
    let mut left = MOST_ENTRIES;
    let mut folders: Vec<PathBuf> =
        patterns.iter().map(|pattern| folder.join(fixed(pattern))).collect();
    folders.sort_unstable();
    folders.dedup();
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            if left == 0 || found.len() >= MOST_FILES {
                break;
            }
            // Not `metadata`: a link may lead anywhere.
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            let relative = path.strip_prefix(folder).unwrap_or(&path);
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(path);
            } else if kind.is_file()
                && set.is_match(relative)
                && entry.metadata().and_then(|data| data.modified()).is_ok_and(|at| at >= since)
            {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn compiled(patterns: &[String]) -> Option<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        set.add(GlobBuilder::new(pattern).literal_separator(true).build().ok()?);
    }
    set.build().ok()
}

/// The folder of a pattern before its first special character.
fn fixed(pattern: &str) -> &str {
    let special = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    pattern.get(..special).and_then(|head| head.rsplit_once('/')).map_or("", |(head, _)| head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_evidence::{Outcome, Source, TestReader};

    fn gate(reports: &[&str]) -> GatePlan {
        GatePlan {
            reports: reports.iter().map(|report| (*report).to_owned()).collect(),
            ..GatePlan::new("test", "true")
        }
    }

    #[test]
    fn only_reports_of_this_run_count_and_the_console_is_the_fallback() {
        let dir = tempfile::tempdir().unwrap();
        let began = SystemTime::now();
        let write = |path: &str, test: &str, age: u64| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = format!("<testsuite><testcase name=\"{test}\"/></testsuite>");
            std::fs::write(&path, text).unwrap();
            let at = SystemTime::now() - Duration::from_secs(age);
            File::open(&path).unwrap().set_modified(at).unwrap();
        };
        write("target/reports/a.xml", "a", 0);
        write("target/reports/deep/b.xml", "b", 0);
        write("target/reports/old.xml", "old", 60);
        write("elsewhere/c.xml", "c", 0);
        let mut console = TestReader::new();
        console.push(b"ok 1 - printed\n");
        let console = console.finish();
        let read = |patterns: &[&str]| {
            let mut notes = Vec::new();
            let run = tests(&gate(patterns), dir.path(), began, console.clone(), &mut notes);
            let names: Vec<String> = run.named(Outcome::Passed).map(str::to_owned).collect();
            (run.source(), names, notes.len())
        };
        let names =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(read(&["target/reports/*.xml"]), (Source::Report, names(&["a"]), 0));
        assert_eq!(read(&["./target/**/*.xml"]), (Source::Report, names(&["a", "b"]), 0));
        assert_eq!(read(&["none/*.xml"]), (Source::Console, names(&["printed"]), 1));
        assert_eq!(read(&[]), (Source::Console, names(&["printed"]), 0));
        std::fs::write(dir.path().join("target/reports/bad.xml"), "<testsuite><x").unwrap();
        assert_eq!(read(&["target/reports/*.xml"]), (Source::Report, names(&["a"]), 1));
    }
}
