//! Throughput of the evidence extractor and of the line redactor on generated logs.
//!
//! `cargo bench --bench evidence` measures; `cargo bench --bench evidence -- --memory` reads
//! 2 GiB instead, once as ordinary lines and once as a single line, and prints the peak of
//! resident memory.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput};
use greenloop_evidence::{ExtractLimits, Extractor, Redactor};

/// A small generator of numbers, so that every run reads the same log.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// A log of about `bytes` bytes as a large build writes it: downloads, compilation, passing
/// tests, coloured lines, timestamps, carriage-return progress, warnings, and one failure in
/// about two thousand lines.
fn log(bytes: usize) -> String {
    let mut n = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut out = String::with_capacity(bytes + 4096);
    while out.len() < bytes {
        let (a, b) = (n.next(1000), n.next(100_000));
        let _ = match n.next(2000) {
            0 => write!(
                out,
                "error[E0308]: mismatched types in item {b}\n --> src/module{a}.rs:{b}:5\n  |\n{a} |     let x: u32 = y;\n  |            ^^^ expected `u32`, found `i64`\n\n"
            ),
            1..=120 => writeln!(out, "   Compiling crate-name-{a} v1.{a}.{b}"),
            121..=400 => writeln!(
                out,
                "[INFO] Downloaded from central: https://repo.maven.apache.org/maven2/org/acme/artifact-{a}/{b}/artifact-{a}-{b}.jar (380 kB at 2.1 MB/s)"
            ),
            401..=800 => {
                writeln!(out, "test module{a}::tests::handles_case_{b}_as_expected ... ok")
            }
            801..=1000 => writeln!(
                out,
                "2024-05-30T09:11:02.{b:05}77Z  > Task :module{a}:compileJava UP-TO-DATE"
            ),
            1001..=1200 => writeln!(
                out,
                "\x1b[1;34mINFO\x1b[m {b} resolved \x1b[32mmodule{a}\x1b[0m in workspace /home/runner/work/project/{a}"
            ),
            1201..=1300 => write!(out, "Progress (1): {a}/{b} kB\r"),
            1301..=1340 => {
                writeln!(out, "warning: unused variable: `value_{a}` in function handle_error_{b}")
            }
            1341..=1360 => writeln!(out, "ok  \texample.com/app/errors/error_{a}_test\t0.{a}s"),
            1361..=1500 => writeln!(
                out,
                "gcc -Wall -Werror -O2 -Iinclude -DVERSION={b} -c -o build/obj_{a}.o src/unit_{a}/source_{b}.c"
            ),
            _ => writeln!(
                out,
                "[{a}/{b}] building target //services/backend/module{a}:library_{b} with toolchain default, cache hit, digest {b:016x}"
            ),
        };
    }
    out
}

fn extract(chunks: impl Iterator<Item = impl AsRef<[u8]>>) -> usize {
    let mut extractor = Extractor::new(ExtractLimits::default());
    for chunk in chunks {
        extractor.push(chunk.as_ref());
    }
    extractor.finish(&Redactor::default()).excerpts.len()
}

fn throughput(criterion: &mut Criterion) {
    let log = log(32 << 20);
    let secrets = ["a-secret-value-of-some-length", "another-secret-value"].map(str::to_owned);
    let redactor = Redactor::new(secrets);
    let mut group = criterion.benchmark_group("evidence");
    group.throughput(Throughput::Bytes(log.len() as u64)).sample_size(10);
    group.bench_function("extract", |bencher| {
        bencher.iter(|| extract(black_box(log.as_bytes()).chunks(64 << 10)));
    });
    group.bench_function("redact-lines", |bencher| {
        let mut out = Vec::with_capacity(128 << 10);
        bencher.iter(|| {
            let mut lines = redactor.line_redactor();
            for chunk in black_box(log.as_bytes()).chunks(64 << 10) {
                out.clear();
                lines.push(chunk, &mut out);
            }
            lines.finish(&mut out);
        });
    });
    group.finish();
}

/// Peak of resident memory so far, in KiB.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn memory() {
    let mut out = std::io::stdout();
    let piece = log(8 << 20);
    let before = peak();
    let lines = extract(std::iter::repeat_n(&piece, 256));
    let of_lines = peak();
    let block = vec![b'x'; 1 << 20];
    let line = extract(std::iter::repeat_n(&block, 2048));
    let _ = writeln!(
        out,
        "peak RSS in KiB: {before:?} with an 8 MiB log built in memory, {of_lines:?} after 2 GiB of lines ({lines} excerpts), {:?} after one line of 2 GiB ({line} excerpts)",
        peak()
    );
}

fn main() {
    if std::env::args().any(|argument| argument == "--memory") {
        return memory();
    }
    let mut criterion = Criterion::default().configure_from_args();
    throughput(&mut criterion);
    criterion.final_summary();
}
