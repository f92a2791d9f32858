//! Processor time of the extractor, in one thread.
//!
//! `cargo run --release -p greenloop-evidence --example measure -- [FILE...]` prints the time the
//! first small log takes in a fresh process (the tables are built in it), then the throughput on
//! every file, or on generated logs that are dense with warnings when none is named. A file is
//! read again and again until 32 MiB have gone through, as one log.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use greenloop_evidence::{ExtractLimits, Extractor, Redactor};

/// Bytes read of every log.
const ENOUGH: usize = 32 << 20;

/// Nanoseconds this thread has spent on a processor.
fn on_processor() -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn extract(log: &[u8], times: usize) -> usize {
    let mut extractor = Extractor::new(ExtractLimits::default());
    for _ in 0..times {
        for chunk in log.chunks(256 << 10) {
            extractor.push(chunk);
        }
    }
    extractor.finish(&Redactor::default()).excerpts.len()
}

/// Prints what a tool has to say the so-manieth time.
type Print = fn(&mut String, usize);

/// Logs of about a MiB, in which nearly every line is a warning of one tool.
fn generated() -> Vec<(&'static str, String)> {
    let tools: [(&str, Print); 8] = [
        ("gcc warnings", |out, n| {
            let _ = write!(
                out,
                "src/unit_{n}.c: In function 'handle_error_{n}':\nsrc/unit_{n}.c:{n}:12: warning: unused variable 'failed_{n}' [-Wunused-variable]\n   {n} |     int failed_{n} = compute(error, {n});\n      |         ^~~~~~\n"
            );
        }),
        ("rustc warnings", |out, n| {
            let _ = write!(
                out,
                "warning: unused variable: `error_{n}`\n  --> src/module{n}.rs:{n}:9\n   |\n{n} |     let error_{n} = fails({n});\n   |         ^^^^^ help: if this is intentional, prefix it with an underscore: `_error_{n}`\n\n"
            );
        }),
        ("maven warnings", |out, n| {
            let _ = writeln!(
                out,
                "[WARNING] /app/src/main/java/com/acme/Errors{n}.java:[{n},22] [deprecation] fail(java.lang.String) in com.acme.Failure has been deprecated"
            );
        }),
        ("eslint warnings", |out, n| {
            let _ = write!(
                out,
                "/app/src/error{n}.js\n  {n}:5  warning  Unexpected console statement in error handler  no-console\n  {n}:9  warning  'failed' is assigned a value but never used      no-unused-vars\n\n"
            );
        }),
        ("npm warnings", |out, n| {
            let _ = writeln!(
                out,
                "npm warn deprecated error-package-{n}@1.{n}.0: This module is not supported, and fails with newer versions"
            );
        }),
        ("msbuild warnings", |out, n| {
            let _ = writeln!(
                out,
                "/app/src/Error{n}.cs({n},17): warning CS8618: Non-nullable property 'Failure{n}' must contain a non-null value when exiting constructor. [/app/App.csproj]"
            );
        }),
        ("log lines that speak of errors", |out, n| {
            let _ = writeln!(
                out,
                "2024-05-30 09:11:02,{:03} WARN  [worker-{n}] com.acme.ErrorHandler - retrying request {n} after failure: connection timeout, attempt 2 of 5",
                n % 1000
            );
        }),
        ("github warnings", |out, n| {
            let _ = writeln!(
                out,
                "2024-05-30T09:11:02.{n:07}Z ##[warning]src/error{n}.ts({n},5): the type of 'failed' could not be resolved, any is used"
            );
        }),
    ];
    tools
        .into_iter()
        .map(|(name, line)| {
            let mut out = String::new();
            let mut n = 1;
            while out.len() < 1 << 20 {
                line(&mut out, n);
                n += 1;
            }
            (name, out)
        })
        .collect()
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let begun = on_processor();
    extract(b"a first line\nsrc/main.c:3:5: error: 'x' undeclared\nmake: *** [all] Error 2\n", 1);
    let first = on_processor() - begun;
    writeln!(out, "first log: {:.1} ms of processor time", first as f64 / 1e6)?;
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut logs = Vec::new();
    for file in &files {
        logs.push((file.display().to_string(), std::fs::read(file)?));
    }
    if files.is_empty() {
        logs.extend(generated().into_iter().map(|(name, log)| (name.to_owned(), log.into_bytes())));
    }
    for (name, log) in logs {
        let times = ENOUGH / log.len().max(1) + 1;
        let begun = on_processor();
        let excerpts = extract(&log, times);
        let spent = (on_processor() - begun) as f64 / 1e9;
        let bytes = (log.len() * times) as f64 / 1e6;
        writeln!(out, "{:7.0} MB/s  {excerpts:3} excerpts  {name}", bytes / spent)?;
    }
    Ok(())
}
