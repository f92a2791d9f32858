//! The rule table as a page of documentation.

use super::cause;
use super::rule::{Deferral, Rule, Source, When};
use super::rules::rules;

const HEAD: &str = "# Rollout rules

When Greenloop gives a rollout up, and when it goes on waiting. Made from the rule table in
`crates/kubernetes/src/track/rules/`; `just generate` writes it again.

Only pods of the revision that the run itself created are judged; trouble of older pods is theirs.
The first row that fits a sign counts. *Transient* rows never end a rollout: they are shown, and
name the class when the deadline comes.
";

pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| Rule | Looks at | Reasons | Final | Class | What it is for |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for rule in rules() {
        let reasons: Vec<String> =
            rule.reasons.iter().map(|reason| format!("`{reason}`")).collect();
        let class = match rule.log_class {
            true => format!("from the log, otherwise {}", rule.class),
            false => rule.class.to_string(),
        };
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | {class} | {} |\n",
            rule.id,
            source(rule.source),
            reasons.join(", "),
            when(rule),
            rule.about,
        ));
    }
    page.push_str(WAITING);
    for (id, verdict, examples) in cause::rows() {
        let examples: Vec<String> = examples
            .iter()
            .take(3)
            .map(|example| format!("`{}`", example.replace('|', "\\|")))
            .collect();
        page.push_str(&format!("| `{id}` | {verdict} | {} |\n", examples.join("; ")));
    }
    page
}

const WAITING: &str = "
## What waiting can change

*Something else moves* when another container of the release is being created, runs and is not
ready yet, or lasts longer than it ever did; when a Job or an init container is at work; when a
controller has yet to make its pods. A crash counts only if that run began after the last of them
had become ready or was done. Where a container without a probe may be what is waited for (the words
are of waiting, or name a file in a folder that a container beside it writes to), it is given a
minute. A run that lasts half as long again as all before it, or writes a quarter more, is
progress too.

What a crash says is read off the lines that matter in its log, or its termination message
(`crates/kubernetes/src/track/cause.rs`). Of two lines that say different things the later one
decides. Only code, the name of a variable and a program that cannot be executed are final whatever
else moves; everything else that lasts is final once nothing else in the release moves.

| Kind | Waiting | Examples |
|---|---|---|
";

fn source(source: Source) -> &'static str {
    match source {
        Source::Workload => "workload",
        Source::Create => "pod creation",
        Source::Pod => "pod",
        Source::Schedule => "scheduling",
        Source::Setup => "pod events",
        Source::Waiting => "waiting container",
        Source::Start => "container start",
        Source::Crash => "crash",
        Source::Kill => "probe kill",
        Source::Probe => "readiness",
        Source::Clock => "clock",
    }
}

/// When it is final.
fn when(rule: &Rule) -> String {
    let deferral = match rule.deferral {
        Deferral::None => "",
        Deferral::Moving => "; not while something else moves",
        Deferral::Made => "; not while something can still make it",
    };
    format!("{}{deferral}", by_itself(rule))
}

fn by_itself(rule: &Rule) -> String {
    let plural = |times: u32| match times {
        2 => "the second time".to_owned(),
        3 => "the third time".to_owned(),
        times => format!("after {times} times"),
    };
    match rule.when {
        When::Now => "at once".to_owned(),
        When::After(age) => format!("after {} s", age.as_secs_f64()),
        When::Times(times) => plural(times),
        When::TimesOrAfter(times, age) => {
            format!("{}, or after {} s", plural(times), age.as_secs_f64())
        }
        When::Window(least) => {
            format!("after the probe's window, at least {} s", least.as_secs_f64())
        }
        When::Never => "transient".to_owned(),
    }
}
