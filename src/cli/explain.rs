//! `greenloop explain`.

use std::io::{IsTerminal as _, Read, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::error::{CommandError, Exit};
use super::output;
use greenloop_evidence::{ExtractLimits, Extraction, Extractor, Redactor, explain_json};

/// Which log to explain, and how.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// Build log; `-` reads standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Output format
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Text)]
    output: ExplainOutput,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainOutput {
    /// Excerpts with line numbers
    #[value(alias = "human", alias = "plain", alias = "auto")]
    Text,
    /// One JSON object
    Json,
}

pub(super) fn explain(args: ExplainArgs) -> Result<Exit, CommandError> {
    let ExplainArgs { file, output } = args;
    let shown = file.display().to_string();
    let failed = |error| CommandError::usage(format!("failed to read {shown}")).because(error);
    let input: Box<dyn Read> = if file.as_os_str() == "-" {
        if std::io::stdin().is_terminal() {
            output::tell("reading the log from standard input; Ctrl-D ends it\n");
        }
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&file).map_err(failed)?)
    };
    let extraction = read(input).map_err(failed)?;
    match output {
        ExplainOutput::Json => {
            output::print_json_text(&format!("{}\n", explain_json(&extraction)))?;
        }
        ExplainOutput::Text => output::print(&text(&extraction))?,
    }
    Ok(Exit::Ok)
}

fn read(mut input: impl Read) -> std::io::Result<Extraction> {
    let mut extractor = Extractor::new(ExtractLimits::default());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => extractor.push(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(extractor.finish(&Redactor::from_env()))
}

fn text(extraction: &Extraction) -> String {
    let mut out = Vec::new();
    let width = extraction.lines.to_string().len();
    for (i, excerpt) in extraction.excerpts.iter().enumerate() {
        if i > 0 {
            let _infallible = writeln!(out, "{:>width$} ⋮", "");
        }
        for (offset, line) in excerpt.text.lines().enumerate() {
            let line = greenloop_report::safe_text::safe(line);
            let _infallible = writeln!(out, "{:>width$} │ {line}", excerpt.start + offset as u64);
        }
    }
    let kept: u64 = extraction.excerpts.iter().map(|e| e.end - e.start + 1).sum();
    let _infallible = writeln!(
        out,
        "\n{kept} of {} lines · class {} · fingerprint {}",
        extraction.lines,
        extraction.class.name(),
        extraction.fingerprint
    );
    if !extraction.failing_tests.is_empty() {
        let _infallible = writeln!(out, "failing tests:");
        for test in &extraction.failing_tests {
            let _infallible = writeln!(out, "  {}", greenloop_report::safe_text::safe(test));
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
