//! The labelled logs in `fixtures/labelled/`, each of one tool, in the format that it prints.
//!
//! A file begins with `key: value` lines: `class`; `tests`, the failing tests, ` | ` between them;
//! `flaky: yes` where a rerun may pass; `headline`. After `---` every line of the log has a label
//! in its first two columns: `! ` states the cause, `~ ` belongs to it, blank is neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{ExtractLimits, Redactor, extract};

/// What one file came to.
struct Score {
    name: String,
    /// Runs of lines that state a cause, and whether one of their lines is kept.
    causes: Vec<(bool, usize, usize)>,
    kept: usize,
    right: usize,
    wrong: Vec<String>,
    shown: String,
}

fn score(path: &Path) -> Score {
    let text = std::fs::read_to_string(path).expect("the file");
    let (head, body) = text.split_once("\n---\n").expect("a line of ---");
    let head: BTreeMap<&str, &str> =
        head.lines().filter_map(|line| line.split_once(": ")).collect();
    let labels: Vec<char> = body.lines().map(|line| line.chars().next().unwrap_or(' ')).collect();
    let log: String =
        body.lines().map(|line| format!("{}\n", line.get(2..).unwrap_or_default())).collect();
    let found = extract(log.as_bytes(), ExtractLimits::default(), &Redactor::default());
    let kept: BTreeSet<usize> =
        found.excerpts.iter().flat_map(|e| e.start as usize..=e.end as usize).collect();
    let label = |line: usize| labels.get(line - 1).copied().unwrap_or(' ');
    let mut causes: Vec<(bool, usize, usize)> = Vec::new();
    for line in (1..=labels.len()).filter(|line| label(*line) == '!') {
        match causes.last_mut().filter(|(_, _, last)| *last + 1 == line) {
            Some((hit, _, last)) => {
                *hit |= kept.contains(&line);
                *last = line;
            }
            None => causes.push((kept.contains(&line), line, line)),
        }
    }
    let mut wrong = Vec::new();
    let class = head.get("class").expect("a class");
    if found.class.name() != *class {
        wrong.push(format!("class {}, {class} expected", found.class));
    }
    if found.flaky_suspect != head.contains_key("flaky") {
        wrong.push(format!("flaky_suspect is {}", found.flaky_suspect));
    }
    let tests: BTreeSet<String> =
        head.get("tests").iter().flat_map(|list| list.split(" | ")).map(str::to_owned).collect();
    if found.failing_tests != tests {
        wrong.push(format!("failing tests {:?}, {tests:?} expected", found.failing_tests));
    }
    if let Some(headline) = head.get("headline").filter(|expected| ***expected != found.headline) {
        wrong.push(format!("headline {:?}, {headline:?} expected", found.headline));
    }
    let shown: Vec<String> = kept
        .iter()
        .map(|line| {
            let text = log.lines().nth(line - 1).unwrap_or_default();
            format!("    {line:3} {} {}", label(*line), super::clean::bounded(text, 110))
        })
        .collect();
    Score {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        right: kept.iter().filter(|line| label(**line) != ' ').count(),
        kept: kept.len(),
        causes,
        wrong,
        shown: format!("{}\n    headline: {}", shown.join("\n"), found.headline),
    }
}

#[test]
fn causes_are_kept_and_little_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/labelled");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= 80, "{}", files.len());
    let scores: Vec<Score> = files.iter().map(|file| score(file)).collect();
    let ratio = |a: usize, b: usize| a as f64 / b.max(1) as f64;
    for score in &scores {
        let missed: Vec<String> = score
            .causes
            .iter()
            .filter(|(hit, ..)| !hit)
            .map(|(_, first, last)| format!("lines {first}-{last} are not kept"))
            .collect();
        let precision = ratio(score.right, score.kept);
        if !score.wrong.is_empty() || !missed.is_empty() || precision < 0.8 {
            println!("{}: {}/{} of the kept lines labelled", score.name, score.right, score.kept);
            for what in missed.iter().chain(&score.wrong) {
                println!("  {what}");
            }
            println!("{}", score.shown);
        }
    }
    let sum = |of: fn(&Score) -> usize| scores.iter().map(of).sum::<usize>();
    let causes = sum(|score| score.causes.len());
    let hits = sum(|score| score.causes.iter().filter(|(hit, ..)| *hit).count());
    let precision = ratio(sum(|score| score.right), sum(|score| score.kept));
    let wrong = sum(|score| score.wrong.len());
    println!(
        "{} logs: hit {:.3} ({hits}/{causes}), precision {precision:.3}, {wrong} wrong classes, tests and headlines",
        scores.len(),
        ratio(hits, causes)
    );
    assert_eq!(hits, causes);
    assert!(precision >= 0.9, "{precision}");
    assert_eq!(wrong, 0);
}
