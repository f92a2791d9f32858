//! What puts a queue on hold, and what lets it go on: a target that does not pass its own gates,
//! and one that was moved other than forward.

use std::time::Duration;

use super::approval::Clearance;
use super::candidate::{MergeCandidate, NO_ENTRY, Staged, bring, brings, forget, leads_to, stage};
use super::gates::GateOutcome;
use super::stop::{QueueExit, Stop};
use super::worker::{HAS_IT_AGAIN, Worker, overtaken};
use crate::store::{NewHold, TargetRecord};
use greenloop_hub_api::types::MergeHold;
use greenloop_model::CommitId;
use greenloop_model::task::{HoldDecision, HoldReason, MergeId};
use greenloop_workspace::git::{Git, GitErrorKind, Mirror, Tip};

/// A broken target that does not move is tested again after so long: what was broken may have
/// been something outside.
const RETEST: Duration = Duration::from_secs(600);
/// Tips of the target that are looked back at for one that passed.
const LOOK_BACK: usize = 100;
/// Lines about commits and merges in a hold.
const LINES: usize = 20;

impl Worker {
    /// A queue whose target is broken rests until the target moves or passes, or the merge of one
    /// of its `entries` passes.
    pub(super) async fn keep_to_the_hold(
        &self,
        (hold, target): (&MergeHold, &TargetRecord),
        entries: &[MergeCandidate],
        tip: &CommitId,
        rewound: &[CommitId],
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        let Some(first) = entries.first() else { return Ok(()) };
        match hold.reason {
            // It contains again what it was left with.
            HoldReason::TargetRewound => {
                self.store.lift_hold(&self.lease, HAS_IT_AGAIN).await?;
            }
            HoldReason::TargetBroken => {
                if hold.tip.as_deref() == Some(tip.as_str()) && target.tested_for < RETEST {
                    let untried = entries.iter().filter(|it| !target.tried.contains(&it.id));
                    return Err(self.repair(untried, tip, rewound, mirror, git).await?);
                }
                match self.test_tip(first, tip, mirror).await {
                    GateOutcome::Passed => {
                        self.store.note_tip_passes(&self.lease, tip.as_str(), &first.gates).await?;
                        let text = format!("{} passes its gates again", tip.short());
                        self.store.lift_hold(&self.lease, &text).await?;
                    }
                    GateOutcome::Failed { headline, evidence: _, gates: _ } => {
                        return Err(self
                            .hold_broken(tip, &headline, Vec::new(), mirror, git)
                            .await?);
                    }
                    GateOutcome::Unavailable(reason) => return Err(Stop::Unavailable(reason)),
                    GateOutcome::Cancelled => return Err(Stop::Exit(QueueExit::Stopped)),
                }
            }
        }
        Ok(())
    }

    /// Tries the merge of the first of the entries that can be merged with a broken tip: it may be
    /// what repairs it. One that does not pass waits at its place, and nothing counts against it.
    async fn repair(
        &self,
        entries: impl Iterator<Item = &MergeCandidate>,
        tip: &CommitId,
        rewound: &[CommitId],
        mirror: &Mirror,
        git: &Git,
    ) -> Result<Stop, Stop> {
        let redos = self.store.redos(&self.lease).await?;
        let unapproved = self.store.unapproved_merges(&self.lease).await?;
        for entry in entries {
            if !bring(mirror, entry, git).await?
                || brings(mirror, entry, rewound.to_vec(), tip).await?.is_some()
            {
                self.store.hold_tried(&self.lease, entry.id).await?;
                continue;
            }
            if overtaken(entry, &redos, tip, mirror, git).await?.is_some() {
                continue;
            }
            match self.clearance(entry, &unapproved, tip, mirror).await? {
                Clearance::Go => {}
                Clearance::Waits(_) => continue,
                Clearance::Asks => return Ok(Stop::Moved),
            }
            let commit = match stage(mirror, tip, entry).await {
                Staged::Commit(commit) => commit,
                Staged::Nothing | Staged::Conflict(_) => {
                    self.store.hold_tried(&self.lease, entry.id).await?;
                    continue;
                }
                Staged::Unavailable(reason) => return Err(Stop::Unavailable(reason)),
            };
            self.store.merge_testing(&self.lease, entry.id, commit.as_str()).await?;
            let verdict = self.gates.test(mirror, &commit, entry, &self.cancel).await;
            let settled = match verdict {
                GateOutcome::Passed if entry.wants_approval => {
                    self.ask(entry, &commit, tip, mirror, git).await.map(|()| false)
                }
                GateOutcome::Passed => self.land(entry, &commit, tip, mirror, git).await,
                GateOutcome::Failed { headline: _, evidence: _, gates: _ } => {
                    self.store.hold_tried(&self.lease, entry.id).await?;
                    Ok(false)
                }
                GateOutcome::Unavailable(reason) => Err(Stop::Unavailable(reason)),
                GateOutcome::Cancelled => Err(Stop::Exit(QueueExit::Stopped)),
            };
            forget(mirror, entry.id).await;
            if settled? {
                let text = format!("{} repairs it: {}", entry.title, commit.short());
                self.store.lift_hold(&self.lease, &text).await?;
            }
            // Gates take their time: the target is looked at before the next entry is tried.
            return Ok(Stop::Moved);
        }
        self.store.rest_merges(&self.lease, self.options.recheck, None).await?;
        Ok(Stop::Exit(QueueExit::Held))
    }

    /// Puts the queue on hold when `tip`, as it is, fails one of the `gates` that an entry on top
    /// of it failed.
    pub(super) async fn hold_when_broken(
        &self,
        entry: &MergeCandidate,
        tip: &CommitId,
        gates: &[String],
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        match self.test_tip(entry, tip, mirror).await {
            GateOutcome::Passed => {
                Ok(self.store.note_tip_passes(&self.lease, tip.as_str(), &entry.gates).await?)
            }
            GateOutcome::Failed { headline, evidence: _, gates: failed } => {
                if failed.iter().any(|it| gates.contains(it)) {
                    let tried = vec![entry.id];
                    Err(self.hold_broken(tip, &headline, tried, mirror, git).await?)
                } else {
                    Ok(())
                }
            }
            GateOutcome::Unavailable(reason) => Err(Stop::Unavailable(reason)),
            GateOutcome::Cancelled => Err(Stop::Exit(QueueExit::Stopped)),
        }
    }

    async fn test_tip(
        &self,
        entry: &MergeCandidate,
        tip: &CommitId,
        mirror: &Mirror,
    ) -> GateOutcome {
        let bare = MergeCandidate { id: MergeId(NO_ENTRY), ..entry.clone() };
        self.gates.test(mirror, tip, &bare, &self.cancel).await
    }

    /// The target does not pass its own gates: nothing is merged before it moves, but an entry that
    /// repairs it. Those that were `tried` do not.
    pub(super) async fn hold_broken(
        &self,
        tip: &CommitId,
        headline: &str,
        tried: Vec<MergeId>,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<Stop, Stop> {
        let tips = mirror.first_parents(tip, LOOK_BACK, git).await?;
        let commits: Vec<String> = tips.iter().map(|it| it.commit.to_string()).collect();
        let good = self.store.known_good(&self.lease, &commits).await?;
        let passed = tips.iter().position(|it| good.iter().any(|good| good == it.commit.as_str()));
        let (text, since) = broken_text(&self.lease.target, &tips, passed, headline);
        let hold = NewHold {
            reason: HoldReason::TargetBroken,
            tip: Some(tip.to_string()),
            expected: passed.and_then(|at| commits.get(at).cloned()),
            commit: Some(since.map_or_else(|| tip.to_string(), |it| it.commit.to_string())),
            author: since.map(|it| self.redacted(&it.author)),
            text: self.redacted(&text),
            lost: Vec::new(),
            tried,
        };
        // Entries that may repair it are tried at once.
        self.store.hold_merges(&self.lease, &hold, Duration::ZERO).await?;
        tracing::warn!(branch = self.lease.target, hold.text, "the merge queue is on hold");
        Ok(Stop::Exit(QueueExit::Held))
    }

    /// Holds a target that was moved other than forward to what a person decides. `there` is where
    /// the remote has it.
    pub(super) async fn keep_to_the_rewind(
        &self,
        target: &TargetRecord,
        there: Option<&CommitId>,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<(), Stop> {
        let Some(expected) = target.tip.as_deref().and_then(|it| it.parse::<CommitId>().ok())
        else {
            return Ok(());
        };
        let branch = &self.lease.target;
        let now = match there {
            Some(tip) if *tip == expected => return Ok(()),
            Some(_) => Some(mirror.fetch(branch, git).await?),
            None => None,
        };
        if let Some(now) = &now
            && leads_to(mirror, &expected, now).await?
        {
            return Ok(());
        }
        let mut lost = Vec::new();
        for merged in self.store.merged_commits(&self.lease).await? {
            let Ok(commit) = merged.sha.parse::<CommitId>() else { continue };
            if let Some(now) = &now
                && leads_to(mirror, &commit, now).await?
            {
                // Those before it are as well.
                break;
            }
            lost.push((merged.id, commit, merged.title));
        }
        let asked = target.hold.as_ref().filter(|it| {
            it.reason == HoldReason::TargetRewound
                && it.tip.as_deref() == now.as_ref().map(CommitId::as_str)
                && it.decision.is_some()
        });
        let decision = asked.and_then(|it| it.decision).or(self.options.on_rewind);
        let ids: Vec<MergeId> = lost.iter().map(|(id, ..)| *id).collect();
        let lines: Vec<String> = lost
            .iter()
            .take(LINES)
            .map(|(_, commit, title)| format!("{} {title}", commit.short()))
            .map(|line| self.redacted(&line))
            .collect();
        let mut why = None;
        match decision {
            Some(HoldDecision::Follow) => {
                let mut gone = vec![expected.to_string()];
                gone.extend(lost.last().map(|(_, commit, _)| commit.to_string()));
                self.store
                    .follow_rewind(&self.lease, &ids, &gone, now.as_ref().map(CommitId::as_str))
                    .await?;
                tracing::info!(branch, lost = ids.len(), "accepted a rewind");
                return Err(Stop::Moved);
            }
            Some(HoldDecision::Restore) => {
                why = self.restore(&expected, now.as_ref(), mirror, git).await?;
                if why.is_none() {
                    return Err(Stop::Moved);
                }
            }
            Some(HoldDecision::Retry) | None => {}
        }
        let author = match &now {
            Some(now) => mirror.first_parents(now, 1, git).await?.pop().map(|it| it.author),
            None => None,
        };
        let waits = target.hold.as_ref().is_some_and(|it| {
            it.reason == HoldReason::TargetRewound
                && it.tip.as_deref() == now.as_ref().map(CommitId::as_str)
                && it.decision.is_none()
        });
        if waits {
            self.store.rest_merges(&self.lease, self.options.recheck, None).await?;
            return Err(Stop::Exit(QueueExit::Held));
        }
        let mut text = rewound_text(branch, &expected, now.as_ref(), ids.len());
        if let Some(why) = why {
            text = format!("{why}. {text}");
        }
        let hold = NewHold {
            reason: HoldReason::TargetRewound,
            commit: now.as_ref().map(CommitId::to_string),
            tip: now.map(|it| it.to_string()),
            expected: Some(expected.to_string()),
            author: author.map(|it| self.redacted(&it)),
            text: self.redacted(&text),
            lost: lines,
            tried: Vec::new(),
        };
        self.store.hold_merges(&self.lease, &hold, self.options.recheck).await?;
        tracing::warn!(branch, hold.text, "the merge queue is on hold");
        Err(Stop::Exit(QueueExit::Held))
    }

    /// Gives the target what it had, or says why that cannot be.
    async fn restore(
        &self,
        expected: &CommitId,
        now: Option<&CommitId>,
        mirror: &Mirror,
        git: &Git,
    ) -> Result<Option<String>, Stop> {
        let branch = &self.lease.target;
        // Another hub may have pushed it, and the branch that led to it is gone.
        let held = leads_to(mirror, expected, expected).await?
            || mirror.fetch_commit(expected, git).await.is_ok();
        let forward = match now {
            Some(now) => leads_to(mirror, now, expected).await?,
            None => true,
        };
        if !held {
            return Ok(Some(format!(
                "{branch} was not restored: neither this hub nor the remote still has the commit \
                 {}; push it yourself, or accept the rewind with `greenloop tasks queue follow`",
                expected.short()
            )));
        }
        if !forward {
            return Ok(Some(format!(
                "{branch} was not restored: it has commits that are not in {} and would be lost; \
                 merge the two yourself, or accept the rewind with `greenloop tasks queue follow`",
                expected.short()
            )));
        }
        match mirror.push_from(now, expected, branch, git).await {
            Ok(()) => {
                let text = format!("restored to {}", expected.short());
                self.store.lift_hold(&self.lease, &text).await?;
                Ok(None)
            }
            Err(error) if error.kind == GitErrorKind::Rejected => {
                let tip = mirror.remote_tip(branch, git).await?;
                if tip.as_ref() == now {
                    return Ok(Some(format!("{branch} was not restored: {error}")));
                }
                // It was moved once more.
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn redacted(&self, text: &str) -> String {
        self.options.redactor.redact(text).into_owned()
    }
}

/// What to say of a broken target, and the one commit since which it is, as far as that is known.
/// `passed` is the place of the last tip that is known to have passed.
fn broken_text<'t>(
    target: &str,
    tips: &'t [Tip],
    passed: Option<usize>,
    headline: &str,
) -> (String, Option<&'t Tip>) {
    let line = |it: &Tip| format!("{} by {}: {}", it.commit.short(), it.author, it.subject);
    let tip = tips.first();
    let at = tip.map(line).unwrap_or_default();
    match passed {
        Some(1) => (format!("{target} is broken since commit {at}. {headline}"), tip),
        Some(0) => {
            (format!("{target} is broken at commit {at}, which passed before. {headline}"), tip)
        }
        Some(count) => {
            let good = tips.get(count).map(|it| it.commit.short().to_owned()).unwrap_or_default();
            let suspects: Vec<String> = tips.iter().take(count.min(LINES)).map(line).collect();
            let text = format!(
                "{target} is broken at commit {at}. It passed at {good}, {count} commits before. \
                 {headline}\n{}",
                suspects.join("\n")
            );
            (text, tip)
        }
        None => {
            let text = format!(
                "{target} is broken at commit {at}. No earlier commit is known to pass. {headline}"
            );
            (text, tip)
        }
    }
}

fn rewound_text(
    target: &str,
    expected: &CommitId,
    now: Option<&CommitId>,
    merges: usize,
) -> String {
    let what = match now {
        Some(now) => {
            format!("{target} was moved from {} to {}", expected.short(), now.short())
        }
        None => format!("{target} was deleted; it was at {}", expected.short()),
    };
    let lost = match merges {
        0 => "no merge is".to_owned(),
        1 => "1 merge is".to_owned(),
        many => format!("{many} merges are"),
    };
    format!(
        "{what}: {lost} missing. Decide: `greenloop tasks queue follow` accepts this and redoes \
         the missing merges; `greenloop tasks queue restore` pushes the missing commits again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip(sha: char, author: &str) -> Tip {
        let commit = sha.to_string().repeat(40).parse().unwrap();
        Tip { commit, author: author.to_owned(), subject: "work".to_owned() }
    }

    #[test]
    fn the_commit_that_broke_a_target_is_named_as_far_as_it_is_known() {
        let tips = [tip('c', "Cy"), tip('b', "Bo"), tip('a', "An")];
        let text = |passed| broken_text("main", &tips, passed, "gate 1 failed").0;
        assert!(
            text(Some(1)).starts_with("main is broken since commit cccccccc"),
            "{}",
            text(Some(1))
        );
        assert!(text(Some(1)).contains("by Cy: work"));
        assert!(text(Some(2)).contains("2 commits before") && text(Some(2)).contains("by Bo"));
        assert!(!text(Some(2)).contains("since commit") && !text(Some(2)).contains("by An"));
        assert!(text(Some(0)).contains("passed before"));
        assert!(text(None).contains("No earlier commit"));
    }
}
