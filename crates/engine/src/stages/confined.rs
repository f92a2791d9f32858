//! What the sandbox of a command means for a stage: what a gate may do, and what a command's end
//! says of its limits.

use std::sync::LazyLock;

use regex::Regex;

use super::StageContext;
use greenloop_config::plan::{AccessPlan, GatePlan};
use greenloop_evidence::Extraction;
use greenloop_exec::Outcome;
use greenloop_exec::sandbox::{Grant, Level};
use greenloop_model::{FailureClass, Network, Notice, Remedy, RunEvent};

/// How programs say that they were refused a connection, which may be to a server of the machine
/// that the sandbox keeps away, or to one of their own that was not ready.
static REFUSED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\bECONNREFUSED\b|connection refused").ok());

/// How programs say that they did not reach the network.
static UNREACHABLE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?ix)
        \b(?:EAI_AGAIN|EAI_FAIL|ENOTFOUND|ENETUNREACH|EHOSTUNREACH)\b
        | name\ resolution | name\ or\ service\ not\ known | no\ such\ host
        | could(?:\ not|n't)\ resolve | unable\ to\ resolve | nodename\ nor\ servname
        | UnknownHostException | remote\ name\ could\ not\ be\ resolved
        | network\ is\ unreachable | no\ route\ to\ host | network\ unreachable
        | (?:socket|connect|dial|listen|bind)\w*\b.{0,80}(?:operation\ not\ permitted|EPERM)
        | (?:operation\ not\ permitted|EPERM).{0,80}\b(?:socket|connect|listen|bind)
        | failed\ to\ (?:download|fetch)\ | could\ not\ (?:download|fetch|transfer)
        | error\ sending\ request | max\ retries\ exceeded",
    )
    .ok()
});

/// What a gate may do.
pub(crate) fn grant(gate: &GatePlan) -> Grant {
    let AccessPlan { network, fetch, env, cache, memory } = gate.access.clone();
    Grant { network, fetched: fetch.is_some(), memory, cache, env }
}

/// Whether a gate runs where there is no network.
pub(super) fn is_offline(gate: &GatePlan, context: &StageContext<'_>) -> bool {
    !gate.access.network.is_some()
        && context.sandbox.is_some_and(|sandbox| sandbox.level() > Level::D)
}

/// Whether a gate has said something that one of the patterns finds.
fn says(extraction: &Extraction, pattern: &LazyLock<Option<Regex>>) -> bool {
    let Some(pattern) = pattern.as_ref() else { return false };
    std::iter::once(extraction.headline.as_str())
        .chain(extraction.excerpts.iter().map(|excerpt| excerpt.text.as_str()))
        .any(|text| pattern.is_match(text))
}

/// Whether a gate failed because it did not reach the network.
pub(super) fn misses_network(extraction: &Extraction) -> bool {
    extraction.class == FailureClass::Infrastructure && says(extraction, &UNREACHABLE)
}

/// That the network is off, where what a gate printed may come of that.
pub(super) fn network_note(gate: &GatePlan, extraction: &Extraction) -> Option<String> {
    (says(extraction, &UNREACHABLE) || says(extraction, &REFUSED)).then(|| {
        let (what, Remedy { what: remedy, .. }) = offline(gate);
        format!("{what}: {remedy}")
    })
}

/// The same as a cause: what is wrong, and what to do.
pub(super) fn offline(gate: &GatePlan) -> (String, Remedy) {
    let what = "network is off in the sandbox, and the command seems to want it".to_owned();
    let remedy = Remedy {
        what: format!(
            "set `network: true` for gate {} in the configuration (`greenloop heal --network` \
             without one), if it is to reach the network",
            gate.name
        ),
        command: None,
        person_only: true,
    };
    (what, remedy)
}

/// That a gate names a variable in its command or its failure that is set here, and that the sandbox
/// does not pass on.
pub(super) fn hidden_variable(
    gate: &GatePlan,
    extraction: &Extraction,
    context: &StageContext<'_>,
) -> Option<Remedy> {
    const SHORTEST: usize = 3;
    let sandbox = context.sandbox?;
    let grant = grant(gate);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let said = extraction.excerpts.iter().map(|excerpt| excerpt.text.as_str());
    let name = [gate.command.as_str(), extraction.headline.as_str()]
        .into_iter()
        .chain(said)
        .flat_map(|text| text.split(|c| !is_part(c)))
        .filter(|word| word.len() >= SHORTEST && !word.bytes().any(|b| b.is_ascii_lowercase()))
        .find(|word| {
            !gate.env.contains_key(*word)
                && sandbox.hides_variable(word, &grant, context.env_remove)
        })?;
    Some(Remedy {
        what: format!(
            "{name} is set here, but the sandbox does not pass it on: if gate {} needs it, add \
             `env: [{name}]` to it in the configuration (`greenloop heal --env {name}` without one)",
            gate.name
        ),
        command: None,
        person_only: false,
    })
}

/// What its proxy refused, for people and the author.
pub(super) fn refused_note(gate: &GatePlan, outcome: &Outcome) -> Option<String> {
    (!outcome.refused_hosts.is_empty()).then(|| {
        format!(
            "the sandbox refused gate {} connections to {}: its `network` does not list them, which \
             is for a person to change",
            gate.name,
            outcome.refused_hosts.join(", ")
        )
    })
}

/// That only a list of hosts is reached, and how, where what a gate printed may come of that.
pub(super) fn listed_note(gate: &GatePlan, extraction: &Extraction) -> Option<String> {
    let listed = matches!(gate.access.network, Network::Hosts(_));
    (listed && (says(extraction, &UNREACHABLE) || says(extraction, &REFUSED))).then(|| {
        format!(
            "gate {} reaches the hosts that its `network` lists, by the proxy that HTTPS_PROXY \
             names: a program that does not use it reaches nothing",
            gate.name
        )
    })
}

/// The limit that a command was ended for: what is wrong, and what to do.
pub(super) fn over_limit(outcome: &Outcome) -> Option<(String, Remedy)> {
    let limit = outcome.exceeded.as_ref()?;
    let what = format!("it was ended for going over a limit of its sandbox: {limit}");
    let remedy = Remedy {
        what: "let it use less, or raise the limit: `memory` of the gate, `sandbox.memory` and \
               `sandbox.processes` of the configuration"
            .to_owned(),
        command: None,
        person_only: true,
    };
    Some((what, remedy))
}

/// Tells of files of git that a command changed and that were put back.
pub(super) fn report_put_back(
    name: &str,
    outcome: &Outcome,
    context: &StageContext<'_>,
) -> Option<String> {
    if outcome.put_back.is_empty() {
        return None;
    }
    let files: Vec<String> = outcome
        .put_back
        .iter()
        .map(|path| path.strip_prefix(context.root).unwrap_or(path).display().to_string())
        .collect();
    let text = format!(
        "{name} changed files that make git run programs; they were put back: {}",
        files.join(", ")
    );
    let text = context.redactor.redact(&text).into_owned();
    context.events.send(RunEvent::Notice(Notice::Warning(text.clone())));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_evidence::{ExtractLimits, Redactor, extract};

    #[test]
    fn what_a_missing_network_makes_programs_say_is_known() {
        let gate = GatePlan::new("deps", "npm ci");
        for (log, expect) in [
            ("npm error code EAI_AGAIN\nnpm error request to https://r failed\n", true),
            ("curl: (6) Could not resolve host: example.com\n", true),
            (
                "error: failed to get `serde`\n\nCaused by:\n  failed to download from `https://x`\n",
                true,
            ),
            ("OSError: socket: [Errno 1] Operation not permitted\n", true),
            ("error[E0425]: cannot find value `x` in this scope\n --> src/a.rs:1:1\n", false),
        ] {
            let extraction =
                extract(log.as_bytes(), ExtractLimits::default(), &Redactor::default());
            let note = network_note(&gate, &extraction);
            assert_eq!(note.is_some(), expect, "{log}");
            assert!(note.is_none_or(|note| note.contains("network: true")), "{log}");
            let mut listed = gate.clone();
            assert_eq!(listed_note(&listed, &extraction), None);
            listed.access.network = Network::Hosts(Vec::new());
            let note = listed_note(&listed, &extraction);
            assert_eq!(note.is_some(), expect, "{log}");
            assert!(note.is_none_or(|note| note.contains("HTTPS_PROXY")), "{log}");
        }
    }
}
