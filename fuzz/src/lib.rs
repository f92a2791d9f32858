//! What is fed with bytes that nobody has checked: each function takes any bytes and panics when
//! something does not hold. `cargo fuzz` calls them (`fuzz_targets/`), and so does a bounded test
//! (`crates/hub-api/tests/hostile_inputs.rs`).

use std::path::Path;

use greenloop_audit::Checkpoint;
use greenloop_evidence::{ExtractLimits, Extractor, Redactor};
use greenloop_hub_api::{graph, types};
use greenloop_model::{FileContent, RepoPath};
use greenloop_patch::{Answer, MemoryTree, ResolveOptions, parse_answer, resolve};

/// Bytes of the longest error for a person.
const LONGEST_ERROR: usize = 64 << 10;

/// A model's answer or a diff, against a tree that it may fit.
pub fn patch(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut tree = MemoryTree::new();
    for (path, content) in [
        ("src/a.rs", "fn a() -> u32 {\n    1\n}\n"),
        ("a.txt", "one\ntwo\nthree\n"),
        ("b.txt", "no end of line"),
    ] {
        if let Ok(path) = RepoPath::new(path) {
            tree.insert(path, FileContent::regular(content));
        }
    }
    let refusal = match parse_answer(&text) {
        Ok(Answer::Edits(edits)) => {
            match resolve(&edits, &tree, &ResolveOptions::new([Path::new("/repo")])) {
                Ok(patch) => {
                    for change in patch.changes() {
                        assert!(change.before.is_some() || change.after.is_some());
                        let path = change.path.to_string();
                        assert!(
                            !path.starts_with('/') && !path.split('/').any(|part| part == "..")
                        );
                    }
                    // What was understood can be written down.
                    let _diff = patch.to_unified_diff();
                    return;
                }
                Err(refusal) => refusal.to_string(),
            }
        }
        Ok(Answer::NoPatch(_)) => return,
        Err(refusal) => refusal.to_string(),
    };
    assert!(refusal.len() <= LONGEST_ERROR, "an error of {} bytes", refusal.len());
}

/// A build log, in pieces that are cut anywhere.
pub fn extract(data: &[u8]) {
    let known = "Fuzz-Known-Value-1";
    let redactor = Redactor::new([known.to_owned()]);
    let mut extractor = Extractor::new(ExtractLimits::default());
    let mut stream = redactor.line_redactor();
    let mut out = Vec::new();
    for piece in data.chunks(97) {
        extractor.push(piece);
        stream.push(piece, &mut out);
    }
    stream.finish(&mut out);
    let ends = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(ends(&out), ends(data), "redaction keeps the lines");
    assert!(!String::from_utf8_lossy(&out).contains(known));
    let found = extractor.finish(&redactor);
    for excerpt in &found.excerpts {
        assert!(!excerpt.text.contains(known));
    }
}

/// A `config.yaml`.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let told = |error: greenloop_config::ConfigError| {
        let plain = error.plain();
        assert!(plain.len() <= LONGEST_ERROR, "an error of {} bytes", plain.len());
    };
    match greenloop_config::parse(text, "config.yaml") {
        Err(error) => told(error),
        Ok(config) => {
            for name in config.environments() {
                let overrides = greenloop_config::Overrides::default();
                if let Err(error) = config.plan(name.as_str(), &overrides, &|_: &str| None) {
                    told(error);
                }
            }
        }
    }
}

/// An audit log, and a checkpoint.
pub fn audit(data: &[u8]) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let log = folder.path().join(greenloop_audit::FILE_NAME);
    if std::fs::write(&log, data).is_err() {
        return;
    }
    if let Ok(verified) = greenloop_audit::verify(&log) {
        let records = greenloop_audit::read(&log).map(|records| records.len() as u64);
        assert_eq!(records.ok(), Some(verified.records), "what is verified can be read");
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(checkpoint) = text.parse::<Checkpoint>()
    {
        assert_eq!(checkpoint.to_string().parse(), Ok(checkpoint));
    }
    let tagged = std::str::from_utf8(data).map(Checkpoint::of_build_tags);
    for checkpoint in tagged.ok().and_then(Result::ok).unwrap_or_default() {
        let tags = checkpoint.to_build_tags().join("\n");
        assert_eq!(Checkpoint::of_build_tags(&tags), Ok(vec![checkpoint]));
    }
}

/// The body of a request to the hub.
pub fn hub_body(data: &[u8]) {
    /// What is read is written as something that is read as the same.
    fn body<T>(data: &[u8])
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        if let Ok(read) = serde_json::from_slice::<T>(data) {
            let written = serde_json::to_vec(&read).unwrap_or_default();
            assert_eq!(serde_json::from_slice::<T>(&written).ok(), Some(read));
        }
    }
    body::<types::ClaimRequest>(data);
    body::<types::AttemptHeartbeat>(data);
    body::<types::NewEvidence>(data);
    body::<types::Completion>(data);
    body::<types::AttemptFailure>(data);
    body::<types::AgentHeartbeat>(data);
    body::<types::RunReport>(data);
    body::<types::HoldDecisionRequest>(data);
    if let Ok(submission) = serde_json::from_slice::<types::GraphSubmission>(data) {
        match graph::check(submission) {
            Ok(mut checked) => graph::rank(&mut checked),
            Err(mistakes) => assert!(mistakes.len() <= graph::MOST_MISTAKES),
        }
    }
}

/// A `tasks.yaml`.
pub fn tasks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = graph::parse(text, "tasks.yaml") {
        let plain = error.plain();
        assert!(plain.len() <= LONGEST_ERROR, "an error of {} bytes", plain.len());
    }
}
