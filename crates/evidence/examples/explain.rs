//! What matters in a log, as JSON: the library alone, without the program around it.
//!
//! `cargo run -p greenloop-evidence --example explain -- FILE`

use std::io::Write as _;

use greenloop_evidence::{ExtractLimits, Redactor, explain_json, extract};

fn main() -> std::io::Result<()> {
    let Some(file) = std::env::args_os().next_back() else { return Ok(()) };
    let log = std::fs::read(file)?;
    let found = extract(&log, ExtractLimits::default(), &Redactor::from_env());
    writeln!(std::io::stdout(), "{}", explain_json(&found))
}
