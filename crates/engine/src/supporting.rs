//! The records that an input of the machine rests on: what a run may tell the machine only after
//! it has recorded it. A log whose input stands without them, or against them, was cut or made up.

use serde_json::Value;

use super::machine::{Event, FailureInput, RunSpec};
use greenloop_audit::{Actor, Record};
use greenloop_model::{ReviewVerdict, Stage};

/// The first record that `what` needs, and that is not among those `since` the machine's last
/// decision, an effect of the word `doing`; in words that follow "there is no record of".
pub(super) fn missing(
    what: &Event,
    spec: &RunSpec,
    doing: Option<&str>,
    since: &[&Record],
) -> Option<String> {
    let machine = |actor: &Actor| *actor == Actor::Machine;
    let author = |actor: &Actor| matches!(actor, Actor::Author(_));
    let search = Search(since);
    match what {
        Event::StagePassed => search.lacks("a stage that passed", machine, "stage.passed", &[]),
        // The branch of a process that died is ahead of its log: recovery tells the machine.
        Event::TasksMerged { .. } => {
            search.lacks("the tasks that were begun", machine, "tasks.intent", &[])
        }
        Event::StageFailed(symptom) => search.lacks_failure(symptom),
        // Of some of a gate's tests alone, a rerun has no failure of its own.
        Event::RerunFailed(symptom) => search
            .lacks("a rerun that failed", machine, "rerun", &[("passed", false.into())])
            .and_then(|_| search.lacks_failure(symptom)),
        Event::Doubted { symptom, .. } => search
            .lacks("what the tests prove", machine, "gates.proof", &[])
            .or_else(|| search.lacks_failure(symptom)),
        Event::RerunPassed => {
            search.lacks("a rerun that passed", machine, "rerun", &[("passed", true.into())])
        }
        Event::Restored { .. } => {
            search.lacks("a restore", machine, "restore", &[("ok", true.into())])
        }
        Event::Proposed { tree, decision, .. } => {
            let of_tree = [("tree", tree.to_string().into())];
            let decided = [("decision", decision.name().into())];
            search
                .lacks("the author's patch of this tree", author, "author.proposed", &of_tree)
                .or_else(|| {
                    search.lacks("the policy's decision", machine, "policy.evaluated", &decided)
                })
        }
        Event::Refused { .. } => {
            search.lacks("the author's refused answer", author, "author.refused", &[])
        }
        Event::NoPatch { .. } => {
            search.lacks("the author's answer", author, "author.no_patch", &[])
        }
        Event::Reviewed { verdict, .. } => {
            let word = if *verdict == ReviewVerdict::Approve { "approve" } else { "reject" };
            let reviewer = |actor: &Actor| matches!(actor, Actor::Reviewer(_));
            let verdict = [("verdict", word.into())];
            search.lacks("the review with this verdict", reviewer, "reviewer.reviewed", &verdict)
        }
        Event::HumanDecided { approved: Some(approved), .. } => {
            let human = |actor: &Actor| matches!(actor, Actor::Human(_));
            let decided = [("approved", (*approved).into())];
            search.lacks("the person's decision", human, "human.decided", &decided)
        }
        Event::HumanDecided { approved: None, .. } => {
            search.lacks("the question to a person", machine, "human.asked", &[])
        }
        Event::Applied { tree } => {
            let of_tree = [("tree", tree.to_string().into())];
            search.lacks("the commit of this tree", machine, "apply.intent", &of_tree)
        }
        // A run that rolls nothing out has no release to record.
        Event::MarkedVerified if spec.stages.contains(&Stage::Rollout) => {
            search.lacks("the verified release", machine, "release.verified", &[])
        }
        Event::Declined { .. } if doing == Some("run_stage") => {
            search.lacks("this failure", machine, "stage.failed", &[])
        }
        Event::MarkedVerified
        | Event::Started
        | Event::Resumed { .. }
        | Event::RestoreFailed { .. }
        | Event::Declined { .. }
        | Event::ModelFailed { .. }
        | Event::Broke { .. }
        | Event::Cancelled => None,
    }
}

/// The record among those `since` the machine's last decision that says otherwise than `what`; in
/// words that follow "there is a record of".
pub(super) fn contradicting(what: &Event, since: &[&Record]) -> Option<&'static str> {
    let speaks_against = |record: &&Record| {
        let complaints = record.data.get("complaints").and_then(Value::as_array);
        record.event == "gates.proof" && complaints.is_some_and(|all| !all.is_empty())
    };
    (matches!(what, Event::StagePassed) && since.iter().any(speaks_against))
        .then_some("tests that speak against the patch (gates.proof)")
}

struct Search<'r>(&'r [&'r Record]);

impl Search<'_> {
    fn lacks(
        &self,
        what: &str,
        actor: impl Fn(&Actor) -> bool,
        event: &str,
        fields: &[(&str, Value)],
    ) -> Option<String> {
        let holds = |record: &&Record| {
            record.event == event
                && actor(&record.actor)
                && fields.iter().all(|(key, value)| record.data.get(key) == Some(value))
        };
        (!self.0.iter().any(holds)).then(|| format!("{what} ({event})"))
    }

    fn lacks_failure(&self, symptom: &FailureInput) -> Option<String> {
        let of_failure = [("fingerprint", symptom.fingerprint.as_str().into())];
        let machine = |actor: &Actor| *actor == Actor::Machine;
        self.lacks("this failure", machine, "stage.failed", &of_failure)
    }
}
