//! What happens to a run whose process is gone.
//!
//! Two ways, both safe to be killed in and to be done again:
//!
//! - [`resume`]: the same run goes on. The branch is the truth about patches: its tip is either
//!   the old or the new commit, and the work tree is made to follow it. Whatever else was under
//!   way is done again from the iteration's first stage.
//! - [`abandon`]: the next run cleans up: the work tree is as before the run, candidates are
//!   stopped, a release that was never verified has given way, the log has an end.
//!
//! In both, processes that the dead run left behind are killed first.

use std::path::Path;

use serde_json::json;

use super::driver::Continuation;
use super::machine::{Event, Input, step};
use super::record::{write_effect, write_input};
use super::record_forms::stop_word;
use super::replay::{ReplayError, replay};
use greenloop_audit::{
    Actor, AuditError, AuditErrorKind, FILE_NAME, RUN_FINISHED, Record, Redact, Writer,
};
use greenloop_model::{
    Attempt, AttemptOutcome, CommitId, Decision, Evaluation, InvalidId, RepoPath, Review,
    ReviewVerdict, Risk, RuleMatch, RunId, StopReason, SummaryPatch, counted,
};
use greenloop_ports::{Target, TargetError};
use greenloop_workspace::{Workspace, WorkspaceError, WorkspaceErrorKind};

/// A dead run that could not be taken over or cleaned up.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// Its log.
    #[error("its audit log failed")]
    Audit(#[from] AuditError),
    /// Its log, as a run.
    #[error("could not replay its audit log")]
    Replay(#[from] ReplayError),
    #[error("the repository failed")]
    Workspace(#[from] WorkspaceError),
    #[error("the target failed")]
    Target(#[from] TargetError),
    /// Its folder.
    #[error("its folder failed")]
    Folder(#[source] std::io::Error),
    /// It ended as it should.
    #[error("the run has ended ({0}); there is nothing to resume")]
    Ended(String),
    /// It is another kind of run, or one of another environment.
    #[error("the run is `{is}`, not `{wanted}`")]
    Another { is: String, wanted: String },
    /// The log names no commit.
    #[error("its audit log contains no commit to restore")]
    Base(#[from] InvalidId),
    /// Tracked files differ from both the run's commits and the branch.
    #[error("the work tree contains changes that the run did not make")]
    Foreign,
    /// Somebody has committed, or switched to another commit.
    #[error("HEAD is not at {}, the commit that the run started from", .base.short())]
    HeadMoved { base: CommitId },
}

/// What the log says a run started from.
fn base_of(records: &[Record]) -> Result<CommitId, RecoverError> {
    let text = records
        .iter()
        .find(|r| r.event == "run.started")
        .and_then(|r| r.data.get("commit"))
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    Ok(text.parse()?)
}

fn end_of(records: &[Record]) -> Option<String> {
    let record = records.iter().rev().find(|r| r.event == RUN_FINISHED)?;
    Some(text_of(&record.data, "outcome"))
}

fn files(paths: &[RepoPath]) -> String {
    counted(paths.len(), "file", "files")
}

fn text_of(data: &serde_json::Value, key: &str) -> String {
    data.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// Whether the run whose log is in `folder` can go on as `title`. Changes nothing.
///
/// # Errors
/// [`RecoverError::Ended`] when it ended as it should, [`RecoverError::Another`] when it is not
/// a run of that title, others when its log does not say.
pub fn check_resumable(folder: &Path, title: &str) -> Result<(), RecoverError> {
    let records = greenloop_audit::read(&folder.join(FILE_NAME))?;
    if let Some(stop) = end_of(&records) {
        return Err(RecoverError::Ended(stop));
    }
    let start = records.iter().find(|r| r.event == "run.started").ok_or(ReplayError::Unborn)?;
    let is = text_of(&start.data, "title");
    if is != title {
        return Err(RecoverError::Another { is, wanted: title.to_owned() });
    }
    Ok(())
}

/// Takes over a dead run: its processes are gone, the work tree is at the branch's tip, its
/// candidates are stopped.
///
/// # Errors
/// [`RecoverError::Ended`] when it ended as it should, [`RecoverError::Foreign`] or
/// [`RecoverError::HeadMoved`] when somebody has changed tracked files or HEAD meanwhile.
pub async fn resume(
    workspace: &Workspace,
    target: Option<&dyn Target>,
    run: RunId,
    folder: &Path,
    redact: Redact,
) -> Result<(Writer, Continuation, CommitId, Vec<String>), RecoverError> {
    let records = greenloop_audit::read(&folder.join(FILE_NAME))?;
    if let Some(stop) = end_of(&records) {
        return Err(RecoverError::Ended(stop));
    }
    let base = base_of(&records)?;
    greenloop_exec::kill_marked(run);
    let tip = workspace.tip(run)?.unwrap_or_else(|| base.clone());
    if !workspace.is_head(&base)? {
        return Err(RecoverError::HeadMoved { base });
    }
    let mut done = Vec::new();
    done.extend(put_judges_back(workspace, &records, &tip)?);
    if !workspace.ours(&base, &tip)? {
        return Err(RecoverError::Foreign);
    }
    let written = workspace.restore(&base, &tip)?;
    if !written.is_empty() {
        done.push(format!("finished writing {} of the branch's tip", files(&written)));
    }
    if let Some(target) = target {
        done.extend(target.clean_up(run).await?);
    }
    let (mut writer, records, torn) = Writer::resume(&folder.join(FILE_NAME), redact)?;
    if torn.is_some() {
        done.push(
            "removed a truncated last record from the audit log (kept in a separate file)".into(),
        );
    }
    let replayed = replay(&records)?;
    let mut state = replayed.state;
    let tip_tree = workspace.tree_id(&tip)?;
    if &tip_tree != state.tree() {
        // The branch moved and the log does not know yet: a lost acknowledgement.
        let applied = Input {
            at: state.elapsed(),
            spent: greenloop_model::Usage::default(),
            what: if state.runs_tasks() {
                Event::TasksMerged { tree: tip_tree }
            } else {
                Event::Applied { tree: tip_tree }
            },
        };
        writer.append(&Actor::Machine, "input", write_input(&applied).map_err(record_error)?)?;
        let (next, effect) =
            step(state, applied).map_err(|source| ReplayError::OutOfOrder { seq: 0, source })?;
        writer.append(&Actor::Machine, "intent", write_effect(&effect))?;
        state = next;
        done.push(format!("the branch was already at {}", tip.short()));
    }
    writer.append(&Actor::Machine, "run.resumed", json!({"did": done}))?;
    let attempts = attempts_of(&records);
    let patches = patches_of(&records, &base, &tip);
    Ok((writer, Continuation { state, attempts, patches }, base, done))
}

/// A run that died while its gates ran with what they judge by as it was before the patches has
/// left the work tree so.
fn put_judges_back(
    workspace: &Workspace,
    records: &[Record],
    tip: &CommitId,
) -> Result<Option<String>, RecoverError> {
    let judging = |record: &&Record| matches!(record.event.as_str(), "judge.intent" | "judge.done");
    let last = records.iter().rev().find(judging);
    let Some(intent) = last.filter(|record| record.event == "judge.intent") else {
        return Ok(None);
    };
    let paths = intent.data.get("paths").and_then(serde_json::Value::as_array);
    let paths: Vec<RepoPath> =
        paths.into_iter().flatten().filter_map(|path| RepoPath::new(path.as_str()?).ok()).collect();
    workspace.write_paths(&paths, tip)?;
    Ok(Some(format!("restored the patched version of {} that gates judge by", files(&paths))))
}

fn record_error(source: super::record::RecordError) -> ReplayError {
    ReplayError::Record { seq: 0, source }
}

/// Cleans up after a dead run. What it could not do is returned in words and recorded: the next
/// run decides for itself whether it can start.
pub async fn abandon(
    workspace: &Workspace,
    target: Option<&dyn Target>,
    run: RunId,
    folder: &Path,
    redact: impl Fn() -> Redact,
) -> Result<Vec<String>, RecoverError> {
    let mut done = Vec::new();
    let killed = greenloop_exec::kill_marked(run);
    if killed > 0 {
        done.push(format!(
            "killed {} that it left behind",
            counted(killed, "process", "processes")
        ));
    }
    let path = folder.join(FILE_NAME);
    let (writer, records) = match Writer::resume(&path, redact()) {
        Ok((writer, records, _torn)) => (Some(writer), records),
        // It died before its first record, so it did nothing; its log begins with its end.
        Err(AuditError { kind: AuditErrorKind::Empty, .. }) => {
            let torn = folder.join(format!("{FILE_NAME}.torn-0"));
            std::fs::rename(&path, torn).map_err(RecoverError::Folder)?;
            (Some(Writer::create(&path, run, redact())?), Vec::new())
        }
        Err(_) if !path.exists() => (None, Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let unfinished = end_of(&records).is_none();
    let copied = workspace.is_copied(run);
    if unfinished && records.iter().any(|r| r.event == "run.started") {
        let base = base_of(&records)?;
        if let Some(tip) = workspace.tip(run)?
            && tip != base
        {
            if copied {
                done.extend(put_fix_back(workspace, run)?);
            } else if !workspace.is_head(&base)? {
                done.push(left_as_they_are(&format!(
                    "the commit it started from, {}",
                    base.short()
                )));
            } else {
                done.extend(put_judges_back(workspace, &records, &tip)?);
                if !workspace.ours(&base, &tip)? {
                    return Err(RecoverError::Foreign);
                }
                let written = workspace.restore(&tip, &base)?;
                if !written.is_empty() {
                    done.push(format!("restored {} in the work tree", files(&written)));
                }
                workspace.forget_fix(run)?;
            }
            done.push(format!("its patches are on {}", run.branch()));
        }
    }
    if copied {
        if workspace.remove_copy(run)? {
            done.push("removed its copy of the work tree".to_owned());
        }
        workspace.unmark_copied(run)?;
    }
    if let Some(target) = target {
        done.extend(target.clean_up(run).await?);
    }
    if let Some(writer) = writer.filter(|_| unfinished) {
        let reason = StopReason::Abandoned;
        let data =
            json!({"outcome": stop_word(&reason), "reason": reason.to_string(), "did": done});
        writer.close(&Actor::Machine, data, folder)?;
    }
    Ok(done)
}

/// Whoever moved HEAD went on from the files as they were, patches included: to put them back
/// would undo what may be committed by now.
fn left_as_they_are(from: &str) -> String {
    format!("did not change the files of the work tree, because HEAD is no longer at {from}")
}

/// A run in a copy writes to the work tree only at its very end. Died in that, it has written
/// some of the files.
fn put_fix_back(workspace: &Workspace, run: RunId) -> Result<Option<String>, RecoverError> {
    let Some(fix) = workspace.fixes()?.into_iter().find(|fix| fix.run == run) else {
        return Ok(None);
    };
    if !workspace.is_on_head(&fix.before)? {
        let left = left_as_they_are("the commit its fix was made on");
        return Ok(Some(format!("{left}; `greenloop heal --undo {run}` removes the fix")));
    }
    match workspace.restore(&fix.after, &fix.before) {
        Ok(written) => {
            workspace.forget_fix(run)?;
            Ok(Some(format!("restored {} in the work tree", files(&written))))
        }
        // Somebody has gone on working: nothing of theirs is touched.
        Err(error) if matches!(error.kind, WorkspaceErrorKind::InTheWay { .. }) => {
            Ok(Some(format!("left its fix in the work tree: {error}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// What was tried, from the records: what the author is shown of it.
fn attempts_of(records: &[Record]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut headline = String::new();
    let mut diff = String::new();
    let mut evaluation = Evaluation::new(Vec::new());
    for record in records {
        let data = &record.data;
        let iteration =
            data.get("iteration").and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
        let outcome = match record.event.as_str() {
            "stage.failed" => {
                headline = text_of(data, "headline");
                let last = attempts.last_mut().map(|attempt: &mut Attempt| &mut attempt.outcome);
                if let Some(AttemptOutcome::Applied { next_failure }) = last
                    && next_failure.is_none()
                {
                    *next_failure = Some(headline.clone());
                }
                continue;
            }
            "author.proposed" => {
                diff = text_of(data, "diff");
                continue;
            }
            "author.refused" => {
                diff = text_of(data, "answer");
                AttemptOutcome::Refused { reason: text_of(data, "reason") }
            }
            "policy.evaluated" => {
                evaluation = evaluation_of(data);
                if evaluation.decision() != Decision::Forbid {
                    continue;
                }
                AttemptOutcome::Forbidden { evaluation: evaluation.clone() }
            }
            "human.missing" => AttemptOutcome::WantsPerson { evaluation: evaluation.clone() },
            "reviewer.reviewed" if text_of(data, "verdict") == "reject" => {
                AttemptOutcome::Rejected { review: review_of(record) }
            }
            "apply.done" => AttemptOutcome::Applied { next_failure: None },
            _other => continue,
        };
        let (headline, diff) = (headline.clone(), diff.clone());
        Attempt::add(&mut attempts, Attempt { iteration, headline, diff, outcome, times: 1 });
    }
    attempts
}

/// What the policy found. Of a match that this program cannot read it is the strictest.
fn evaluation_of(data: &serde_json::Value) -> Evaluation {
    let matches = data.get("matches").and_then(serde_json::Value::as_array);
    let one = |found: &serde_json::Value| RuleMatch {
        rule: text_of(found, "rule"),
        decision: Decision::from_name(&text_of(found, "decision")).unwrap_or(Decision::Forbid),
        path: RepoPath::new(text_of(found, "path")).ok(),
        line: found.get("line").and_then(serde_json::Value::as_u64),
        detail: text_of(found, "detail"),
    };
    Evaluation::new(matches.into_iter().flatten().map(one).collect())
}

fn review_of(record: &Record) -> Review {
    let data = &record.data;
    let risk = match text_of(data, "risk").as_str() {
        "low" => Risk::Low,
        "medium" => Risk::Medium,
        _unknown => Risk::High,
    };
    Review {
        verdict: if text_of(data, "verdict") == "approve" {
            ReviewVerdict::Approve
        } else {
            ReviewVerdict::Reject
        },
        risk,
        reason: text_of(data, "reason"),
        suggestion: data
            .get("suggestion")
            .and_then(serde_json::Value::as_str)
            .map(ToOwned::to_owned),
        reviewer: match &record.actor {
            Actor::Reviewer(name) => name.clone(),
            Actor::Machine | Actor::Author(_) | Actor::Human(_) => String::new(),
        },
    }
}

/// The applied patches, from the records. The last one may be on the branch without a record of
/// it; its tip is then the commit.
fn patches_of(records: &[Record], base: &CommitId, tip: &CommitId) -> Vec<SummaryPatch> {
    let mut patches: Vec<SummaryPatch> = Vec::new();
    let mut failure = String::new();
    let mut proposed: Option<&Record> = None;
    let mut review: Option<Review> = None;
    let mut intent: Option<CommitId> = None;
    let mut confirmed_by = None;
    for record in records {
        match record.event.as_str() {
            "stage.failed" => failure = text_of(&record.data, "headline"),
            "author.proposed" => {
                proposed = Some(record);
                confirmed_by = None;
            }
            "reviewer.reviewed" => review = Some(review_of(record)),
            "human.decided" => {
                if let Actor::Human(who) = &record.actor {
                    confirmed_by = Some(who.clone());
                }
            }
            "apply.intent" => intent = text_of(&record.data, "commit").parse().ok(),
            _other => continue,
        }
        if record.event != "apply.intent" {
            continue;
        }
        if let (Some(proposed), Some(review), Some(commit)) =
            (proposed, review.take(), intent.take())
        {
            patches.push(SummaryPatch {
                iteration: proposed
                    .data
                    .get("iteration")
                    .and_then(serde_json::Value::as_u64)
                    .unwrap_or(0) as u32,
                failure: failure.clone(),
                reason: text_of(&proposed.data, "reason"),
                diff: text_of(&proposed.data, "diff"),
                review,
                commit,
                confirmed_by: confirmed_by.take(),
            });
        }
    }
    // An intent that never came to be: the branch does not end in it.
    if patches.last().is_some_and(|p| &p.commit != tip) || tip == base {
        patches.pop();
    }
    patches
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
