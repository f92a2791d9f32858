//! Measured on build logs that others have labelled (see `benches/README.md`).

use std::path::{Path, PathBuf};

use super::{ExtractLimits, Extraction, Redactor, extract};

/// The folder of labelled logs, if this machine has it.
fn corpus() -> Option<PathBuf> {
    let root = match std::env::var_os("GREENLOOP_CORPORA") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"),
    };
    let logs = root.join("build-logs");
    logs.is_dir().then_some(logs)
}

/// What one log came to.
struct Score {
    case: String,
    blocks: Vec<(bool, u64, u64)>,
    kept: usize,
    right: usize,
}

fn score(case: &Path) -> Score {
    let log = std::fs::read(case.join("fail.log")).expect("the log");
    let truth = std::fs::read_to_string(case.join("groundtruth")).expect("the labels");
    let labels: Vec<(bool, u64, u64)> = truth
        .lines()
        .filter_map(|line| {
            let (kind, range) = line.split_once(' ')?;
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            Some((kind == "E", from.trim().parse().ok()?, to.trim().parse().ok()?))
        })
        .collect();
    let found = extract(&log, ExtractLimits::default(), &Redactor::default());
    let kept = kept(&found);
    let hit = |from: u64, to: u64| kept.iter().any(|line| (from..=to).contains(line));
    Score {
        case: case.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        right: kept
            .iter()
            .filter(|line| labels.iter().any(|(_, from, to)| (from..=to).contains(line)))
            .count(),
        kept: kept.len(),
        blocks: labels
            .iter()
            .filter(|(error, ..)| *error)
            .map(|(_, from, to)| (hit(*from, *to), *from, *to))
            .collect(),
    }
}

fn kept(found: &Extraction) -> Vec<u64> {
    found.excerpts.iter().flat_map(|excerpt| excerpt.start..=excerpt.end).collect()
}

#[test]
fn labelled_errors_are_found_and_little_else() {
    let Some(corpus) = corpus() else {
        println!("skipped: no ../shared/corpora/build-logs, and GREENLOOP_CORPORA is not set");
        return;
    };
    let mut cases: Vec<PathBuf> = std::fs::read_dir(corpus)
        .expect("the folder")
        .map(|e| e.expect("an entry").path())
        .collect();
    cases.sort();
    let scores: Vec<Score> = cases.iter().map(|case| score(case)).collect();
    for score in &scores {
        let missed: Vec<String> = score
            .blocks
            .iter()
            .filter(|(hit, ..)| !hit)
            .map(|(_, from, to)| format!("{from}-{to}"))
            .collect();
        println!(
            "{:24} blocks {:2}/{:2}  kept {:3}  in labels {:3}  missed {missed:?}",
            score.case,
            score.blocks.len() - missed.len(),
            score.blocks.len(),
            score.kept,
            score.right
        );
    }
    let blocks: usize = scores.iter().map(|score| score.blocks.len()).sum();
    let hits = scores.iter().flat_map(|score| &score.blocks).filter(|(hit, ..)| *hit).count();
    let all: usize = scores.iter().map(|score| score.kept).sum();
    let right: usize = scores.iter().map(|score| score.right).sum();
    let mut kept: Vec<usize> = scores.iter().map(|score| score.kept).collect();
    kept.sort_unstable();
    let median = kept.get(kept.len() / 2).copied().unwrap_or_default();
    let ratio = |a: usize, b: usize| a as f64 / b.max(1) as f64;
    let per_log: f64 = scores.iter().map(|score| ratio(score.right, score.kept)).sum::<f64>()
        / scores.len().max(1) as f64;
    println!(
        "hit {:.3} ({hits}/{blocks}), precision {:.3} over all lines, {per_log:.3} as the mean of the logs, median {median} lines",
        ratio(hits, blocks),
        ratio(right, all),
    );
    assert!(ratio(hits, blocks) >= 0.95);
    assert!(ratio(right, all) >= 0.5 && per_log >= 0.5);
    assert!(median <= 80);
}
