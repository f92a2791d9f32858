//! A stand-in with the evidence layer's signatures, until that layer lands.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::model::{CodeContext, Excerpt, FailureClass, Fingerprint};

/// Keeps secrets in.
#[derive(Debug, Default)]
pub struct Redactor(());

impl Redactor {
    /// Of the process's environment.
    pub fn from_env() -> Self {
        Self(())
    }

    /// The text without secrets.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }

    /// The same for a stream.
    pub fn line_redactor(&self) -> LineRedactor {
        LineRedactor(())
    }
}

/// The same for a stream.
#[derive(Debug)]
pub struct LineRedactor(());

impl LineRedactor {
    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
    }

    /// The end.
    pub fn finish(self, _out: &mut Vec<u8>) {}
}

/// How much is kept.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractLimits(());

/// How much code is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeLimits(());

/// What matters in a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Extraction {
    pub lines: u64,
    pub bytes: u64,
    pub excerpts: Vec<Excerpt>,
    pub fingerprint: Fingerprint,
    pub failing_tests: BTreeSet<String>,
    pub class: FailureClass,
    pub flaky_suspect: bool,
    pub symptoms: BTreeSet<String>,
    pub headline: String,
}

/// Reads a log as it comes.
#[derive(Debug, Default)]
pub struct Extractor {
    bytes: u64,
    lines: u64,
    last: VecDeque<u8>,
}

impl Extractor {
    /// At the beginning of a log.
    pub fn new(_limits: ExtractLimits) -> Self {
        Self::default()
    }

    /// The next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.lines += bytes.iter().filter(|b| **b == b'\n').count() as u64;
        self.last.extend(bytes.iter().rev().take(1000).rev());
        let beyond = self.last.len().saturating_sub(1000);
        self.last.drain(..beyond);
    }

    /// The end.
    pub fn finish(self, _redactor: &Redactor) -> Extraction {
        let bytes: Vec<u8> = self.last.into_iter().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let headline = text.lines().last().unwrap_or_default().to_owned();
        Extraction {
            lines: self.lines,
            bytes: self.bytes,
            fingerprint: fingerprint([&text]),
            excerpts: vec![Excerpt {
                start: 1,
                end: self.lines.max(1),
                kind: "tail".into(),
                text,
                locations: Vec::new(),
            }],
            failing_tests: BTreeSet::new(),
            class: FailureClass::Unknown,
            flaky_suspect: false,
            symptoms: BTreeSet::from([headline.clone()]),
            headline,
        }
    }
}

/// The code around what the excerpts name.
pub fn read_code(
    _root: &Path,
    _excerpts: &[Excerpt],
    _limits: CodeLimits,
    _redactor: &Redactor,
) -> Vec<CodeContext> {
    Vec::new()
}

/// The line without what changes.
pub fn normalise(line: &str) -> String {
    line.to_owned()
}

/// The identity of a failure.
pub fn fingerprint(parts: impl IntoIterator<Item = impl AsRef<str>>) -> Fingerprint {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_ref());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&digest.finalize()[..8]);
    Fingerprint::from_digest(first)
}
