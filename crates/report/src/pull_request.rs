//! The text of a pull request with a run's patches: what broke, the evidence, why this change,
//! who reviewed it, where the audit log is.
//!
//! Invariant: what stands in it from outside mentions nobody, closes no issue and is no markup,
//! and the whole is never longer than asked for: excerpts shrink first, then reasons.

use std::fmt::Write as _;

use super::format;
use super::markdown::{block_of, escaped};
use super::reporter::Stamped;
use super::run_history::RunHistory;
use super::safe_text::{head, visible};
use super::verdict;
use super::wording;
use greenloop_model::{Failure, Fingerprint, RunEvent, RunHeader, RunSummary, StopReason};

/// The longest title, in characters.
const LONGEST_TITLE: usize = 120;

/// Where a reader finds more; from the pipeline's variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// The page of the pipeline's run.
    pub build: Option<String>,
    /// The page with what it published.
    pub artifacts: Option<String>,
}

impl Links {
    /// What Azure Pipelines, GitHub Actions and GitLab CI say of the job that runs.
    pub fn of_pipeline(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let azure = || {
            let (collection, project, id) =
                (env("SYSTEM_COLLECTIONURI")?, env("SYSTEM_TEAMPROJECT")?, env("BUILD_BUILDID")?);
            let collection = collection.trim_end_matches('/');
            let mut url =
                url::Url::parse(&format!("{collection}/{project}/_build/results")).ok()?;
            url.query_pairs_mut().append_pair("buildId", &id);
            let build = String::from(url.clone());
            url.query_pairs_mut()
                .append_pair("view", "artifacts")
                .append_pair("type", "publishedArtifacts");
            Some(Self { build: Some(build), artifacts: Some(url.into()) })
        };
        let github = || {
            let (server, repository, id) =
                (env("GITHUB_SERVER_URL")?, env("GITHUB_REPOSITORY")?, env("GITHUB_RUN_ID")?);
            let url = url::Url::parse(&format!("{server}/{repository}/actions/runs/{id}")).ok()?;
            Some(Self { build: Some(url.clone().into()), artifacts: None })
        };
        let gitlab = || {
            let url = url::Url::parse(&env("CI_JOB_URL")?).ok()?;
            let artifacts = url::Url::parse(&format!("{url}/artifacts/browse")).ok()?;
            Some(Self { build: Some(url.into()), artifacts: Some(artifacts.into()) })
        };
        azure().or_else(github).or_else(gitlab).unwrap_or_default()
    }
}

/// What a pull request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequestText {
    /// One line.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// The failure that was repaired first: what broke the commit the run began with.
    pub fingerprint: Fingerprint,
}

/// The text for a run that ended verified with patches; `None` for every other. The body has at
/// most `limit` bytes.
pub fn pull_request(events: &[Stamped], links: &Links, limit: usize) -> Option<PullRequestText> {
    let history = RunHistory::of(events);
    let header = history.header.as_deref()?;
    let summary = history.summary.as_deref()?;
    let first = summary.patches.first()?;
    if summary.stop != StopReason::Verified {
        return None;
    }
    let fingerprint = failure_of(&history, first.iteration)?.fingerprint.clone();
    let headline = wording::shortened(&first.failure);
    let title: String = visible(headline.trim()).replace('\n', " ");
    let mut title = format!("Repair: {title}");
    if title.chars().count() > LONGEST_TITLE {
        title = title.chars().take(LONGEST_TITLE - 1).collect();
        title.push('…');
    }
    let page = |detail: &Detail| {
        let mut page = String::new();
        // Writing into a string cannot fail.
        let _infallible = write(&mut page, &history, header, summary, links, detail);
        page
    };
    let body = DETAILS.iter().map(page).find(|page| page.len() <= limit);
    let body = body.unwrap_or_else(|| {
        let shortest = page(&SHORTEST);
        head(&shortest, limit).to_owned()
    });
    Some(PullRequestText { title, body, fingerprint })
}

/// How much of everything is shown.
pub(super) struct Detail {
    /// Bytes of a failure's evidence.
    pub(super) evidence: usize,
    /// Bytes of a reason.
    pub(super) reason: usize,
    /// Patches.
    pub(super) patches: usize,
}

pub(super) const DETAILS: [Detail; 5] = [
    Detail { evidence: 8_000, reason: 4_000, patches: 50 },
    Detail { evidence: 2_500, reason: 1_500, patches: 50 },
    Detail { evidence: 1_000, reason: 600, patches: 20 },
    Detail { evidence: 350, reason: 300, patches: 10 },
    SHORTEST,
];
const SHORTEST: Detail = Detail { evidence: 0, reason: 160, patches: 5 };

/// The failure that the patch of `iteration` repaired.
fn failure_of(history: &RunHistory, iteration: u32) -> Option<&Failure> {
    let events = history.passes.iter().flat_map(|pass| &pass.events);
    let mut failures = events.filter_map(|stamped| {
        let RunEvent::StageFailed { iteration: at, failure, .. } = &stamped.event else {
            return None;
        };
        (*at == iteration).then_some(failure.as_ref())
    });
    failures.next()
}

pub(super) fn write(
    page: &mut String,
    history: &RunHistory,
    header: &RunHeader,
    summary: &RunSummary,
    links: &Links,
    detail: &Detail,
) -> std::fmt::Result {
    writeln!(
        page,
        "**{}.** {} started from {} ({}).\n",
        verdict::headline(Some(header), summary),
        text(&header.title, 200),
        header.commit.short(),
        text(&header.commit_subject, 200),
    )?;
    if verdict::is_recorded(header) {
        writeln!(page, "> {}\n", verdict::RECORDED)?;
    }
    writeln!(page, "## What broke, and what was changed\n")?;
    for (n, patch) in summary.patches.iter().take(detail.patches).enumerate() {
        let headline = wording::shortened(&patch.failure);
        writeln!(page, "### {}. {}\n", n + 1, text(&headline, 300))?;
        if let Some(failure) = failure_of(history, patch.iteration) {
            evidence(page, failure, detail.evidence)?;
        }
        writeln!(page, "**Why this change.** {}\n", text(&patch.reason, detail.reason))?;
        let review = &patch.review;
        write!(
            page,
            "**Review.** Approved by {} ({} risk): {}",
            text(&review.reviewer, 100),
            review.risk.name(),
            text(&review.reason, detail.reason)
        )?;
        if let Some(who) = &patch.confirmed_by {
            write!(page, " Confirmed by {}.", text(who, 100))?;
        }
        writeln!(page, "\n")?;
        for (_, evaluation) in history.evaluations().filter(|(at, _)| *at == patch.iteration) {
            for found in evaluation.matches().iter().take(5) {
                let said = text(&wording::rule_match(found), detail.reason);
                writeln!(page, "**Policy.** {said}\n")?;
            }
        }
        writeln!(page, "Commit {}.\n", patch.commit.short())?;
    }
    let left = summary.patches.len().saturating_sub(detail.patches);
    if left > 0 {
        writeln!(page, "… and {}.\n", format::counted(left as u64, "more", "more"))?;
    }
    let proof = verdict::proof(summary);
    if !proof.is_empty() {
        writeln!(page, "## What the tests show\n")?;
        for line in &proof {
            writeln!(page, "- {}", text(line, detail.reason))?;
        }
        writeln!(page)?;
    }
    writeln!(page, "## Run\n")?;
    writeln!(page, "- {} · {}", header.run, verdict::measure(summary))?;
    let (author, reviewer) = (text(&header.author, 100), text(&header.reviewer, 100));
    writeln!(page, "- author: {author}; reviewer: {reviewer}")?;
    if summary.usage.requests > 0 {
        writeln!(page, "- {}", format::usage(&summary.usage))?;
    }
    if let Some(build) = &links.build {
        writeln!(page, "- [the pipeline's run](<{build}>)")?;
    }
    let log = greenloop_audit::FILE_NAME;
    match &links.artifacts {
        Some(artifacts) => {
            let name = super::azure::artifact_name(header);
            writeln!(page, "- audit log: {log} in the artifact [{name}](<{artifacts}>)")?;
        }
        None => writeln!(page, "- audit log: {log} in the run's folder")?,
    }
    writeln!(page, "- check the audit log: `greenloop audit verify {}`", header.run)
}

/// The lines that tell most, in one block.
pub(super) fn evidence(page: &mut String, failure: &Failure, limit: usize) -> std::fmt::Result {
    if limit == 0 {
        return Ok(());
    }
    let class = wording::class(failure.class);
    writeln!(page, "{}/{} · {class}\n", failure.stage, text(&failure.name, 100))?;
    let evidence = &failure.evidence;
    let mut lines = String::new();
    // A request stands with its answer below.
    if let Some(command) = evidence.command.as_ref().filter(|_| evidence.http.is_empty()) {
        writeln!(lines, "{command}")?;
    }
    if let Some(exit) = &evidence.exit {
        writeln!(lines, "{exit}")?;
    }
    for excerpt in &evidence.excerpts {
        writeln!(lines, "{}", excerpt.text.trim_end())?;
    }
    for exchange in &evidence.http {
        writeln!(lines, "{}: {}\n{}", exchange.request, exchange.complaint, exchange.response)?;
    }
    for note in &evidence.notes {
        writeln!(lines, "{note}")?;
    }
    if let Some(log) = &evidence.service_log {
        writeln!(lines, "{log}")?;
    }
    if lines.trim().is_empty() {
        return Ok(());
    }
    let mut block = String::new();
    block_of(&mut block, "text", &lines, limit)?;
    page.push_str(&quiet(&block));
    Ok(())
}

/// One line that is only text, shortened to some bytes.
pub(super) fn text(text: &str, limit: usize) -> String {
    let text = text.trim();
    let short = head(text, limit);
    let more = if short.len() < text.len() { "…" } else { "" };
    quiet(&format!("{}{more}", escaped(short)))
}

/// No mention of a person, no link to an issue, a work item or another pull request: not `@ada`,
/// `#12`, `!12`, `AB#12`, `GH-12`, by which providers also act, and that in titles of logs too,
/// since some look at the text before it is markup.
fn quiet(text: &str) -> String {
    const JOINER: char = '\u{2060}';
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        out.push(c);
        let Some(&next) = chars.peek() else { break };
        let calls = match c {
            '@' => next != JOINER,
            '#' | '!' => next.is_ascii_digit(),
            '-' => next.is_ascii_digit() && out.to_ascii_uppercase().ends_with("GH-"),
            _ => false,
        };
        if calls {
            out.push(JOINER);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    fn links() -> Links {
        Links::of_pipeline(&|name| {
            let value = match name {
                "SYSTEM_COLLECTIONURI" => "https://dev.azure.com/fleet/",
                "SYSTEM_TEAMPROJECT" => "Fleet App",
                "BUILD_BUILDID" => "4711",
                _ => return None,
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn links_of_pipelines() {
        let links = links();
        let build = "https://dev.azure.com/fleet/Fleet%20App/_build/results?buildId=4711";
        assert_eq!(links.build.as_deref(), Some(build));
        let artifacts = format!("{build}&view=artifacts&type=publishedArtifacts");
        assert_eq!(links.artifacts, Some(artifacts));
        assert_eq!(Links::of_pipeline(&|_| None), Links::default());
        let github = Links::of_pipeline(&|name| {
            let value = match name {
                "GITHUB_SERVER_URL" => "https://github.com",
                "GITHUB_REPOSITORY" => "acme/fleet",
                "GITHUB_RUN_ID" => "9",
                _ => return None,
            };
            Some(value.to_owned())
        });
        assert_eq!(github.build.as_deref(), Some("https://github.com/acme/fleet/actions/runs/9"));
    }

    #[test]
    fn the_text_of_a_run_that_healed() {
        let text = pull_request(&fixtures::healed(), &links(), 60_000).unwrap();
        insta::assert_snapshot!("pull_request", format!("{}\n\n{}", text.title, text.body));
        assert_eq!(text.fingerprint, Fingerprint::from_digest([1, 2, 3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn only_a_run_that_healed_has_one() {
        assert_eq!(pull_request(&fixtures::restored(), &links(), 60_000), None);
        assert_eq!(pull_request(&[], &links(), 60_000), None);
    }

    #[test]
    fn the_limit_holds_and_the_links_stay() {
        let long = "word ".repeat(4_000);
        let mut events = fixtures::healed();
        for stamped in &mut events {
            if let RunEvent::StageFailed { failure, .. } = &mut stamped.event {
                for excerpt in &mut failure.evidence.excerpts {
                    excerpt.text.push_str(&long);
                }
            }
            if let RunEvent::Finished(summary) = &mut stamped.event {
                for patch in &mut summary.patches {
                    patch.reason.push_str(&long);
                    patch.review.reason.push_str(&long);
                }
            }
        }
        for limit in [60_000, 10_000, 3_936] {
            let body = pull_request(&events, &links(), limit).unwrap().body;
            assert!(body.len() <= limit, "{} of {limit}", body.len());
            assert!(body.contains("greenloop audit verify"), "{body}");
            assert!(body.contains("buildId=4711"), "{body}");
            assert_eq!(body.matches("```").count() % 2, 0, "{body}");
        }
        assert_eq!(pull_request(&events, &links(), 100).unwrap().body.len(), 100);
    }

    #[test]
    fn nobody_is_called_and_nothing_is_closed() {
        for (input, expect) in [
            ("fixes #12 and AB#7", "fixes \\#\u{2060}12 and AB\\#\u{2060}7"),
            ("see !5 or gh-6", "see \\!\u{2060}5 or gh-\u{2060}6"),
            ("@ada", "@\u{2060}ada"),
            ("<!-- greenloop:fingerprint=0 -->", "\\<\\!-- greenloop:fingerprint=0 --\\>"),
            ("a - 3 x-1", "a - 3 x-1"),
        ] {
            assert_eq!(text(input, 100), expect, "{input}");
        }
        assert_eq!(quiet("@<guid> #c"), "@\u{2060}<guid> #c");
    }
}
