//! A failure's evidence as sections of a prompt.

use super::budget::{Keep, Section};
use super::looks::numbered;
use greenloop_model::{Excerpt, Failure};

/// What is known of a failure, in the order in which it is read.
pub(super) fn sections(failure: &Failure) -> Vec<Section> {
    let evidence = &failure.evidence;
    let mut list = vec![section("What is known", "the failure in short", known(failure), 4_000, 0)];
    let excerpts: Vec<String> =
        evidence.excerpts.iter().map(|e| excerpt(e, evidence.log_lines)).collect();
    list.push(section(
        "What the log says",
        "excerpts of the log, with its line numbers",
        excerpts.join("\n"),
        16_000,
        1,
    ));
    let exchanges: Vec<String> = evidence
        .http
        .iter()
        .map(|exchange| {
            let status = exchange.status.map_or_else(|| "none".to_owned(), |s| s.to_string());
            format!(
                "{}\ncomplaint: {}\nstatus: {status}, after {} ms\n{}\n",
                exchange.request,
                exchange.complaint,
                exchange.elapsed.as_millis(),
                exchange.response
            )
        })
        .collect();
    list.push(section("Requests that failed", "HTTP", exchanges.join("\n"), 5_000, 1));
    let log = evidence.service_log.clone().unwrap_or_default();
    let mut log = section("The service's own log", "the end of the log", log, 6_000, 2);
    log.keep = Keep::End;
    list.push(log);
    list
}

fn section(heading: &str, label: &str, text: String, most: usize, rank: u8) -> Section {
    Section { heading: heading.into(), label: label.into(), text, most, rank, keep: Keep::Ends }
}

fn known(failure: &Failure) -> String {
    let mut text = format!("{}\n", failure.headline);
    for note in &failure.evidence.notes {
        text.push_str(&format!("{note}\n"));
    }
    if let Some(remedy) = &failure.evidence.remedy {
        text.push_str(&format!("what may help: {}\n", remedy.what));
    }
    if !failure.evidence.failing_tests.is_empty() {
        text.push_str("failing tests:\n");
        for test in &failure.evidence.failing_tests {
            text.push_str(&format!("- {test}\n"));
        }
    }
    text
}

/// The lines with their numbers in the log, where each still stands for one.
fn excerpt(excerpt: &Excerpt, of: u64) -> String {
    let lines: Vec<&str> = excerpt.text.lines().collect();
    let head = format!("[{}] lines {}-{} of {of}:\n", excerpt.kind, excerpt.start, excerpt.end);
    if lines.len() as u64 == excerpt.end + 1 - excerpt.start.min(excerpt.end + 1) {
        format!("{head}{}", numbered(excerpt.start, &lines))
    } else {
        format!("{head}{}\n", excerpt.text)
    }
}
