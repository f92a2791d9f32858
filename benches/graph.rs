//! Reading, ranking and playing graphs of tasks.
//!
//! `cargo bench --bench graph` measures a graph of 100,000 tasks and one of the size of
//! `examples/tasks/`; `cargo bench --bench graph -- --memory` reads the large one once and
//! prints the peak of resident memory.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput};
use greenloop_hub_api::graph::{self, Team};

const SMALL: &str = include_str!("../examples/tasks/fleet-remediation.yaml");

/// A small generator of numbers, so that every run reads the same graph.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below as u64) as usize
    }
}

/// Epics of a hundred tasks; each task needs up to three of the two hundred before it, and the
/// first of every epic waits for half of an epic that is not too near.
fn text(tasks: usize) -> String {
    let mut n = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut out = String::from("project: { name: large }\nepics:\n");
    for epic in 0..tasks.div_ceil(100) {
        let _ = writeln!(out, "  - {{ key: e{epic}, title: Epic {epic} }}");
    }
    out.push_str("tasks:\n");
    for task in 0..tasks {
        let epic = task / 100;
        let mut needs: Vec<usize> =
            (0..n.next(4)).filter_map(|_| task.checked_sub(1 + n.next(200))).collect();
        needs.sort_unstable();
        needs.dedup();
        let needs: Vec<String> = needs.iter().map(|need| format!("t{need}")).collect();
        let _ = write!(
            out,
            "  - key: t{task}\n    title: Task number {task} of the large graph\n    epic: e{epic}\n    \
             role: role-{}\n    priority: P{}\n    hours: {}\n    needs: [{}]\n    \
             command: ./scripts/do-what-is-asked.sh --task {task}\n",
            n.next(5),
            n.next(4),
            4 + 4 * n.next(10),
            needs.join(", ")
        );
        if task % 100 == 0 && epic > 4 {
            let _ = writeln!(out, "    conditions: [{{ epic: e{}, at_least: 50% }}]", epic - 4);
        }
    }
    out
}

fn measure(criterion: &mut Criterion) {
    let large = text(100_000);
    let mut group = criterion.benchmark_group("graph");
    group.sample_size(10);
    for (name, text) in [("28 tasks", SMALL), ("100000 tasks", large.as_str())] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(format!("read, check, rank/{name}"), |b| {
            b.iter(|| graph::parse(black_box(text), "tasks.yaml"));
        });
        let Ok(parsed) = graph::parse(text, "tasks.yaml") else { continue };
        group.throughput(Throughput::Elements(parsed.tasks.len() as u64));
        group.bench_function(format!("rank/{name}"), |b| {
            let mut graph = parsed.clone();
            b.iter(|| graph::rank(black_box(&mut graph)));
        });
        let team = Team::of_all_trades(&parsed, 100);
        group.bench_function(format!("simulate with 100 agents/{name}"), |b| {
            b.iter(|| graph::simulate(black_box(&parsed), &team));
        });
    }
    group.finish();
}

fn memory() -> std::io::Result<()> {
    let text = text(100_000);
    let read = graph::parse(&text, "tasks.yaml").map(|graph| graph.tasks.len());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    writeln!(std::io::stdout(), "{read:?} tasks of {} bytes: {peak}", text.len())
}

fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--memory") {
        return memory();
    }
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion);
    criterion.final_summary();
    Ok(())
}
