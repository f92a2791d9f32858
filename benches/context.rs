//! Build contexts: how fast one that did not change is known again, and what one takes in memory
//! on its way to the engine.
//!
//! `cargo bench --bench context` scans 200 MiB in 20 000 files: for the first time, unchanged,
//! and with one file changed. `cargo bench --bench context -- --memory` streams 1 GiB instead,
//! half of it a single file, and prints the peak of resident memory. Both write their files into
//! the folder for temporary files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use futures::StreamExt as _;
use greenloop_image::context::BuildContext;

const FILES: usize = 20_000;
const FILE: usize = 10 << 10;

/// A folder with a Dockerfile, an ignore file of some lines, and `files` files of `FILE` bytes.
fn folder(files: usize) -> std::io::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\nCOPY . /\n")?;
    let ignore = "**/node_modules\n**/target\n*.log\n.git\ndocs/**/*.md\n!docs/README.md\n";
    fs::write(dir.path().join(".dockerignore"), ignore)?;
    for n in 0..files {
        let folder = dir.path().join(format!("src/part{}/of{}", n / 1000, n / 100));
        if n % 100 == 0 {
            fs::create_dir_all(&folder)?;
        }
        let mut content = n.to_string().into_bytes();
        content.resize(FILE, b'x');
        fs::write(folder.join(format!("file{n}.ts")), content)?;
    }
    Ok(dir)
}

fn scan(dir: &Path, cache: Option<&PathBuf>) -> Option<BuildContext> {
    BuildContext::scan(dir, &dir.join("Dockerfile"), cache.map(PathBuf::as_path)).ok()
}

fn unchanged(criterion: &mut Criterion) -> std::io::Result<()> {
    let dir = folder(FILES)?;
    let caches = tempfile::tempdir()?;
    let cache = caches.path().join("stat-cache");
    // A file that has only just been written is not trusted yet.
    std::thread::sleep(Duration::from_secs(4));
    let mut group = criterion.benchmark_group("context");
    group.throughput(Throughput::Bytes((FILES * FILE) as u64)).sample_size(20);
    group.bench_function("first", |bencher| bencher.iter(|| scan(dir.path(), None)));
    scan(dir.path(), Some(&cache));
    group.bench_function("unchanged", |bencher| {
        bencher.iter(|| scan(dir.path(), Some(&cache)));
    });
    let mut n = 0;
    group.bench_function("one-file-changed", |bencher| {
        bencher.iter(|| {
            n += 1;
            let written = fs::write(dir.path().join("src/part0/of0/file0.ts"), n.to_string());
            written.ok().and_then(|()| scan(dir.path(), Some(&cache)))
        });
    });
    group.finish();
    Ok(())
}

/// Peak of resident memory so far, in KiB.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn memory() -> std::io::Result<()> {
    let dir = folder((512 << 20) / FILE)?;
    let mut large = fs::File::create(dir.path().join("large"))?;
    for n in 0..512_u32 {
        large.write_all(&vec![n as u8; 1 << 20])?;
    }
    drop(large);
    let before = peak();
    let began = Instant::now();
    let Some(context) = scan(dir.path(), None) else {
        return Err(std::io::Error::other("the context cannot be scanned"));
    };
    let (scanned, took, files) = (peak(), began.elapsed(), context.files());
    let began = Instant::now();
    let sent = futures::executor::block_on(async {
        let mut stream = std::pin::pin!(context.tar());
        let mut sent = 0;
        while let Some(piece) = stream.next().await {
            sent += piece?.len();
        }
        std::io::Result::Ok(sent)
    })?;
    let speed = sent as f64 / began.elapsed().as_secs_f64() / 1e6;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{files} files: peak RSS in KiB {before:?} before, {scanned:?} after the scan ({took:?}), \
         {:?} after {sent} bytes were streamed ({speed:.0} MB/s)",
        peak()
    )
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--memory") {
        return memory();
    }
    let mut criterion = Criterion::default().configure_from_args();
    unchanged(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
