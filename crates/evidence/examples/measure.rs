//! Processor time of the extractor or of the redactor, in one thread.
//!
//! `cargo run --release -p greenloop-evidence --example measure -- [redact] [FILE...]` prints the
//! time the first small log takes in a fresh process (the tables are built in it), then the
//! throughput on every file, or on generated logs that are dense with warnings when none is named.
//! A file is read again and again until 32 MiB have gone through, as one log.
//!
//! With `redact`, the stream redactor is measured, which knows two values: by the clock and by
//! processor time, the median of nine rounds. The last column is the digest of what comes out, so
//! that two builds can be compared.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use greenloop_evidence::{ExtractLimits, Extractor, Redactor};
use sha2::{Digest as _, Sha256};

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
    let tools: [(&str, Print); 12] = [
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
        ("coloured, cargo", |out, n| {
            let _ = write!(
                out,
                "\x1b[0m\x1b[0m\x1b[1m\x1b[32m   Compiling\x1b[0m crate-name-{n} v1.{n}.0 (/home/runner/work/project/crates/name-{n})\n\x1b[0m\x1b[1m\x1b[33mwarning\x1b[0m\x1b[0m\x1b[1m: unused variable: `value_{n}`\x1b[0m\n\x1b[0m \x1b[0m\x1b[0m\x1b[1m\x1b[38;5;12m--> \x1b[0m\x1b[0msrc/module{n}.rs:{n}:9\x1b[0m\n"
            );
        }),
        ("coloured, services", |out, n| {
            let _ = writeln!(
                out,
                "\x1b[36mweb-{}  |\x1b[0m \x1b[32mINFO\x1b[0m [2024-05-30 09:11:02,{:03}] \x1b[1mGET\x1b[0m /api/v1/orders/{n}?page=2&size=50 \x1b[33m200\x1b[0m in {} ms",
                n % 3,
                n % 1000,
                n % 77
            );
        }),
        ("escapes, JSON", |out, n| {
            let _ = writeln!(
                out,
                "{{\"level\":\"info\",\"time\":\"2024-05-30T09:11:02.{:03}Z\",\"msg\":\"GET \\\"/orders/{n}?q=a%20b%2Fc\\\" took {} ms\\n\",\"path\":\"C:\\\\src\\\\module{n}\"}}",
                n % 1000,
                n % 77
            );
        }),
        ("digests", |out, n| {
            let hash = hex(&Sha256::digest(n.to_le_bytes()));
            let _ = writeln!(out, "#{n} [build 3/9] sha256:{hash} {}kB / 9MB done", n % 9000);
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

/// Redacts a log so many times as one; the digest of what comes out.
fn redact(redactor: &Redactor, log: &[u8], times: usize) -> String {
    let mut digest = Sha256::new();
    let mut out = Vec::with_capacity(256 << 10);
    let mut lines = redactor.line_redactor();
    for round in 0..times {
        for chunk in log.chunks(64 << 10) {
            lines.push(chunk, &mut out);
            if round == 0 {
                digest.update(&out);
            }
            out.clear();
        }
    }
    lines.finish(&mut out);
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn measure_redactor(
    out: &mut std::io::Stdout,
    logs: Vec<(String, Vec<u8>)>,
) -> std::io::Result<()> {
    let secrets = ["a-secret-value-of-some-length", "another-secret-value"].map(str::to_owned);
    let redactor = Redactor::new(secrets);
    for (name, log) in logs {
        let times = (ENOUGH / 4) / log.len().max(1) + 1;
        let bytes = (log.len() * times) as f64 / 1e6;
        let mut digest = String::new();
        let mut rounds: Vec<(f64, f64)> = (0..9)
            .map(|_| {
                let (clock, processor) = (std::time::Instant::now(), on_processor());
                digest = redact(&redactor, &log, times);
                let spent = (on_processor() - processor) as f64 / 1e9;
                (bytes / clock.elapsed().as_secs_f64(), bytes / spent)
            })
            .collect();
        let mut median = |column: fn(&(f64, f64)) -> f64| {
            rounds.sort_by(|a, b| column(a).total_cmp(&column(b)));
            rounds.get(rounds.len() / 2).map_or(0.0, column)
        };
        let (clock, processor) = (median(|round| round.0), median(|round| round.1));
        writeln!(out, "{clock:6.0} {processor:6.0} MB/s  {name}  {digest:.12}")?;
    }
    Ok(())
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    let mut arguments = std::env::args_os().skip(1).peekable();
    let redacts = arguments.next_if(|argument| argument == "redact").is_some();
    let begun = on_processor();
    extract(b"a first line\nsrc/main.c:3:5: error: 'x' undeclared\nmake: *** [all] Error 2\n", 1);
    let first = on_processor() - begun;
    writeln!(out, "first log: {:.1} ms of processor time", first as f64 / 1e6)?;
    let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    let mut logs = Vec::new();
    for file in &files {
        logs.push((file.display().to_string(), std::fs::read(file)?));
    }
    if files.is_empty() {
        logs.extend(generated().into_iter().map(|(name, log)| (name.to_owned(), log.into_bytes())));
    }
    if redacts {
        return measure_redactor(&mut out, logs);
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
