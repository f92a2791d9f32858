//! Takes secrets out of what a build prints: those the run knows, and those among the build
//! arguments, whose values a builder repeats in its steps.

use std::collections::BTreeMap;

use greenloop_evidence::{LineRedactor, Redactor};

/// Two redactors, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Secrets {
    run: Redactor,
    args: Redactor,
}

/// The same for output that streams.
pub(super) struct SecretLines {
    run: LineRedactor,
    args: LineRedactor,
    between: Vec<u8>,
}

impl Secrets {
    /// The run's own, and the values of those arguments whose names look secret.
    pub(super) fn new(run: Redactor, args: &BTreeMap<String, String>) -> Self {
        let args = args.iter().map(|(name, value)| (name.into(), value.into()));
        Self { run, args: Redactor::from_vars(args) }
    }

    /// The text without secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.run.redact(&self.args.redact(text)).into_owned()
    }

    /// For output that streams.
    pub(super) fn lines(&self) -> SecretLines {
        SecretLines {
            run: self.run.line_redactor(),
            args: self.args.line_redactor(),
            between: Vec::new(),
        }
    }

    /// For what has been through [`Secrets::lines`] already.
    pub(super) fn run(&self) -> &Redactor {
        &self.run
    }
}

impl SecretLines {
    /// Takes bytes in and appends to `out` what is certain to be free of secrets.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.args.push(bytes, &mut self.between);
        self.run.push(&self.between, out);
        self.between.clear();
    }

    /// The end of the stream.
    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.args.finish(&mut self.between);
        self.run.push(&self.between, out);
        self.run.finish(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_argument_is_taken_out_wherever_it_stands() {
        let args = BTreeMap::from([
            ("NPM_TOKEN".to_owned(), "s3cr3t-value".to_owned()),
            ("VERSION".to_owned(), "12.34.56".to_owned()),
        ]);
        let secrets = Secrets::new(Redactor::new(["run-secret".to_owned()]), &args);
        let text = "npm s3cr3t-value 12.34.56 run-secret";
        assert_eq!(secrets.redact(text), "npm [redacted] 12.34.56 [redacted]");
        let mut lines = secrets.lines();
        let mut out = Vec::new();
        lines.push(b"npm s3cr3t-", &mut out);
        lines.push(b"value\nrun-sec", &mut out);
        lines.push(b"ret", &mut out);
        lines.finish(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "npm [redacted]\n[redacted]");
    }
}
