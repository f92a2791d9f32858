//! The queue on real repositories, with a store in memory that keeps the rules of a real one.

mod approvals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::{
    ConflictReport, GateRecord, LogWriter, MergeQuestion, MergedCommit, NewHold, QueueEntry,
    QueueLease, Redo, StoreError, StoreErrorKind, TargetRecord, UnapprovedMerge,
};
use greenloop_evidence::Redactor;
use greenloop_hub_api::types::{MergeHold, Timestamp};
use greenloop_model::task::{HoldDecision, HoldReason, Lease, MergeId, MergeState, TaskId};

#[derive(Debug, Default)]
struct Inner {
    queue: Vec<(QueueEntry, MergeState)>,
    writer: Option<(String, i64, Instant)>,
    epoch: i64,
    /// By commit: whether its gates passed.
    judged: BTreeMap<String, bool>,
    /// When they did.
    judged_at: BTreeMap<String, Instant>,
    merged: Vec<(i64, String)>,
    texts: BTreeMap<i64, String>,
    pauses: Vec<String>,
    rests_until: Option<Instant>,
    tip: Option<String>,
    hold: Option<(NewHold, Instant, Option<HoldDecision>)>,
    /// Entries that did not repair a broken target.
    tried: Vec<MergeId>,
    lifted: Vec<String>,
    rewound: Vec<String>,
    /// Bare tips whose gates passed, and when.
    passes: Vec<(String, Instant)>,
    /// By entry: the files in conflict.
    files: BTreeMap<i64, Vec<String>>,
    /// When the target was looked at.
    looked: Option<Instant>,
    /// Tasks that somebody does again, and what entries wait for.
    redone: Vec<Redo>,
    waits_for: Option<String>,
    /// What people were asked, and which entries they approved.
    questions: Vec<(MergeId, MergeQuestion)>,
    given: BTreeSet<i64>,
}

struct InMemory {
    lease: QueueLease,
    inner: Mutex<Inner>,
}

impl InMemory {
    fn check(inner: &Inner, lease: &QueueLease) -> Result<(), StoreError> {
        match &inner.writer {
            Some((_, epoch, until)) if *epoch == lease.epoch && *until > Instant::now() => Ok(()),
            _ => Err(StoreError {
                kind: StoreErrorKind::StaleLease,
                message: lease.target.clone(),
                source: None,
            }),
        }
    }

    fn change(
        &self,
        lease: &QueueLease,
        change: impl FnOnce(&mut Inner),
    ) -> Result<(), StoreError> {
        let mut inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        change(&mut inner);
        Ok(())
    }

    fn set(inner: &mut Inner, id: MergeId, state: MergeState) {
        let found = inner.queue.iter_mut().find(|(entry, _)| entry.id == id).unwrap();
        found.1 = state;
    }

    fn states(&self) -> Vec<MergeState> {
        self.inner.lock().unwrap().queue.iter().map(|(_, state)| *state).collect()
    }
}

fn waits(state: MergeState) -> bool {
    matches!(state, MergeState::Queued | MergeState::Testing)
}

#[async_trait]
impl MergeStore for InMemory {
    async fn note_gate_failure(
        &self,
        lease: &QueueLease,
        _id: MergeId,
        _title: &str,
        _body: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |_inner| {})
    }

    async fn append_log(
        &self,
        _lease: Lease,
        _source: &str,
        _writer: LogWriter,
        _offset: Option<u64>,
        text: &str,
    ) -> Result<u64, StoreError> {
        Ok(text.len() as u64)
    }

    async fn claim_merges(
        &self,
        holder: &str,
        lasts: Duration,
    ) -> Result<Option<QueueLease>, StoreError> {
        let mut inner = self.inner.lock().unwrap();
        let now = Instant::now();
        let held = inner.writer.as_ref().is_some_and(|(_, _, until)| *until > now);
        let rests = inner.rests_until.is_some_and(|until| until > now);
        let decided = inner.hold.as_ref().is_some_and(|(_, _, decision)| decision.is_some());
        let open = decided || inner.queue.iter().any(|(_, state)| waits(*state));
        if held || rests || !open {
            return Ok(None);
        }
        inner.epoch += 1;
        inner.looked = Some(now);
        inner.writer = Some((holder.to_owned(), inner.epoch, now + lasts));
        Ok(Some(QueueLease { epoch: inner.epoch, ..self.lease.clone() }))
    }

    async fn watch_merges(
        &self,
        holder: &str,
        lasts: Duration,
        every: Duration,
    ) -> Result<Option<QueueLease>, StoreError> {
        let mut inner = self.inner.lock().unwrap();
        let now = Instant::now();
        let held = inner.writer.as_ref().is_some_and(|(_, _, until)| *until > now);
        let rests = inner.rests_until.is_some_and(|until| until > now);
        let seen = inner.looked.is_none_or(|looked| looked + every > now);
        if held || rests || seen || inner.tip.is_none() {
            return Ok(None);
        }
        inner.epoch += 1;
        inner.looked = Some(now);
        inner.writer = Some((holder.to_owned(), inner.epoch, now + lasts));
        Ok(Some(QueueLease { epoch: inner.epoch, ..self.lease.clone() }))
    }

    async fn repositories(&self) -> Result<Vec<String>, StoreError> {
        Ok(vec![self.lease.repository.clone()])
    }

    async fn known_merges(&self, ids: &[i64]) -> Result<Vec<i64>, StoreError> {
        let inner = self.inner.lock().unwrap();
        let there = |id: &&i64| inner.queue.iter().any(|(entry, _)| entry.id.0 == **id);
        Ok(ids.iter().filter(there).copied().collect())
    }

    async fn extend_merges(&self, lease: &QueueLease, lasts: Duration) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            inner.writer = Some(("kept".to_owned(), lease.epoch, Instant::now() + lasts));
        })
    }

    async fn release_merges(&self, lease: &QueueLease) -> Result<(), StoreError> {
        self.change(lease, |inner| inner.writer = None)
    }

    async fn next_merges(
        &self,
        lease: &QueueLease,
        limit: u32,
    ) -> Result<Vec<QueueEntry>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let open = inner.queue.iter().filter(|(_, state)| waits(*state));
        Ok(open.map(|(entry, _)| entry.clone()).take(limit as usize).collect())
    }

    async fn merge_testing(
        &self,
        lease: &QueueLease,
        id: MergeId,
        _staged: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            found.1 = MergeState::Testing;
            found.0.landing = None;
        })
    }

    async fn record_gates(
        &self,
        lease: &QueueLease,
        record: &GateRecord,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            inner.judged.insert(record.sha.clone(), record.passed);
            inner.judged_at.insert(record.sha.clone(), Instant::now());
        })
    }

    async fn merge_landing(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            assert_eq!(inner.judged.get(sha), Some(&true));
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            assert!(!found.0.wants_approval, "nobody approved it");
            found.0.landing = Some(sha.to_owned());
        })
    }

    async fn merge_landed(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let found = inner.queue.iter().find(|(other, _)| other.id == id).unwrap();
            assert_eq!(found.0.landing.as_deref(), Some(sha));
            Self::set(inner, id, MergeState::Merged);
            inner.tip = Some(sha.to_owned());
            inner.merged.push((id.0, sha.to_owned()));
        })
    }

    async fn target_record(&self, lease: &QueueLease) -> Result<TargetRecord, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let hold = inner.hold.as_ref().map(|(hold, _, decision)| MergeHold {
            reason: hold.reason,
            tip: hold.tip.clone(),
            expected: hold.expected.clone(),
            commit: hold.commit.clone(),
            author: hold.author.clone(),
            text: hold.text.clone(),
            lost: hold.lost.clone(),
            decision: *decision,
            since: Timestamp(0),
        });
        Ok(TargetRecord {
            tip: inner.tip.clone(),
            tested_for: inner.hold.as_ref().map(|it| it.1.elapsed()).unwrap_or_default(),
            tried: if hold.is_some() { inner.tried.clone() } else { Vec::new() },
            hold,
            rewound: inner.rewound.clone(),
        })
    }

    async fn note_tip(&self, lease: &QueueLease, tip: &str) -> Result<(), StoreError> {
        self.change(lease, |inner| inner.tip = Some(tip.to_owned()))
    }

    async fn hold_merges(
        &self,
        lease: &QueueLease,
        hold: &NewHold,
        rest: Duration,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let same = inner.hold.as_ref().is_some_and(|(before, _, _)| before.tip == hold.tip);
            if !same {
                inner.tried.clear();
            }
            inner.tried.extend_from_slice(&hold.tried);
            inner.hold = Some((hold.clone(), Instant::now(), None));
            for (_, state) in &mut inner.queue {
                if *state == MergeState::Testing {
                    *state = MergeState::Queued;
                }
            }
            inner.writer = None;
            inner.rests_until = Some(Instant::now() + rest);
        })
    }

    async fn rest_merges(
        &self,
        lease: &QueueLease,
        rest: Duration,
        waits_for: Option<&str>,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            inner.waits_for = waits_for.map(str::to_owned);
            inner.writer = None;
            inner.rests_until = Some(Instant::now() + rest);
        })
    }

    async fn hold_tried(&self, lease: &QueueLease, id: MergeId) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            if found.1 == MergeState::Testing {
                found.1 = MergeState::Queued;
            }
            inner.tried.push(id);
        })
    }

    async fn ask_for_approval(
        &self,
        lease: &QueueLease,
        id: MergeId,
        question: &MergeQuestion,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            Self::set(inner, id, MergeState::Waiting);
            inner.questions.push((id, question.clone()));
        })
    }

    async fn unapproved_merges(
        &self,
        lease: &QueueLease,
    ) -> Result<Vec<UnapprovedMerge>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let wanted = inner.queue.iter().filter(|(entry, _)| entry.wants_approval);
        let unapproved = wanted.map(|(entry, state)| UnapprovedMerge {
            id: entry.id,
            key: entry.id.0.to_string(),
            commit: entry.commit.clone(),
            open: waits(*state) || *state == MergeState::Waiting,
        });
        Ok(unapproved.collect())
    }

    async fn want_approval(&self, lease: &QueueLease, id: MergeId) -> Result<bool, StoreError> {
        let mut wanted = false;
        self.change(lease, |inner| {
            wanted = !inner.given.contains(&id.0);
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            found.0.wants_approval = wanted;
        })?;
        Ok(wanted)
    }

    async fn merge_found(
        &self,
        lease: &QueueLease,
        id: MergeId,
        sha: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            (found.0.wants_approval, found.0.landing) = (false, Some(sha.to_owned()));
        })?;
        self.merge_landed(lease, id, sha).await
    }

    async fn merge_refused(&self, lease: &QueueLease, id: MergeId) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == id).unwrap();
            found.0.landing = None;
        })
    }

    async fn lift_hold(&self, lease: &QueueLease, text: &str) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            inner.hold = None;
            inner.lifted.push(text.to_owned());
        })
    }

    async fn tip_passes(
        &self,
        lease: &QueueLease,
        sha: &str,
        _gates: &[String],
        within: Duration,
    ) -> Result<bool, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let recent = |at: &Instant| at.elapsed() < within;
        let merged =
            inner.judged.get(sha) == Some(&true) && inner.judged_at.get(sha).is_some_and(recent);
        Ok(merged || inner.passes.iter().any(|(tip, at)| tip == sha && recent(at)))
    }

    async fn note_tip_passes(
        &self,
        lease: &QueueLease,
        sha: &str,
        _gates: &[String],
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| inner.passes.push((sha.to_owned(), Instant::now())))
    }

    async fn known_good(
        &self,
        lease: &QueueLease,
        shas: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let good = |it: &&String| {
            inner.passes.iter().any(|(tip, _)| tip == *it)
                || inner.judged.get(it.as_str()) == Some(&true)
        };
        Ok(shas.iter().filter(good).cloned().collect())
    }

    async fn merged_commits(&self, lease: &QueueLease) -> Result<Vec<MergedCommit>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let landed = inner.merged.iter().rev().map(|(id, sha)| MergedCommit {
            id: MergeId(*id),
            sha: sha.clone(),
            title: format!("Task {id}"),
        });
        Ok(landed.collect())
    }

    async fn follow_rewind(
        &self,
        lease: &QueueLease,
        lost: &[MergeId],
        gone: &[String],
        tip: Option<&str>,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            for id in lost {
                Self::set(inner, *id, MergeState::Ejected);
                inner.merged.retain(|(other, _)| *other != id.0);
            }
            inner.rewound.extend_from_slice(gone);
            inner.tip = tip.map(str::to_owned);
            inner.hold = None;
        })
    }

    async fn redo_merge(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.merge_ejected(lease, id, reason, true).await
    }

    async fn merge_conflicting(
        &self,
        lease: &QueueLease,
        id: MergeId,
        conflict: &ConflictReport,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            Self::set(inner, id, MergeState::Conflict);
            inner.texts.insert(id.0, conflict.brief.clone());
            inner.files.insert(id.0, conflict.files.clone());
        })
    }

    async fn redos(&self, lease: &QueueLease) -> Result<Vec<Redo>, StoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, lease)?;
        let redo = |(id, files): (&i64, &Vec<String>)| Redo {
            task: TaskId(*id),
            key: id.to_string(),
            place: MergeId(*id),
            files: files.clone(),
            unclaimed: true,
            // Nobody does them again: they keep nobody waiting.
            queued: true,
        };
        Ok(inner.redone.iter().cloned().chain(inner.files.iter().map(redo)).collect())
    }

    async fn add_to_brief(
        &self,
        lease: &QueueLease,
        task: TaskId,
        text: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            let brief = inner.texts.get_mut(&task.0).unwrap();
            brief.push_str("\n\n");
            brief.push_str(text);
        })
    }

    async fn merge_ejected(
        &self,
        lease: &QueueLease,
        id: MergeId,
        reason: &str,
        _retry: bool,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            Self::set(inner, id, MergeState::Ejected);
            inner.texts.insert(id.0, reason.to_owned());
        })
    }

    async fn pause_merges(
        &self,
        lease: &QueueLease,
        lasts: Duration,
        reason: &str,
    ) -> Result<(), StoreError> {
        self.change(lease, |inner| {
            inner.pauses.push(reason.to_owned());
            inner.writer = None;
            inner.rests_until = Some(Instant::now() + lasts);
        })
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn entry(id: i64, branch: &str, commit: &str) -> QueueEntry {
    QueueEntry {
        id: MergeId(id),
        lease: Lease { task: TaskId(id), epoch: 1 },
        title: format!("Task {id}"),
        branch: branch.to_owned(),
        commit: commit.to_owned(),
        gates: vec!["test ! -e bad".to_owned()],
        base: None,
        state: MergeState::Queued,
        wants_approval: false,
        landing: None,
    }
}

fn lease(repository: &str, target: &str) -> QueueLease {
    let (repository, target) = (repository.to_owned(), target.to_owned());
    QueueLease { project: 1, repository, target, epoch: 0 }
}

/// A store that has only these entries, merged.
pub(super) fn in_memory(ids: &[i64]) -> Arc<dyn MergeStore> {
    let entry = |id: &i64| entry(*id, "", &"a".repeat(40));
    let queue = ids.iter().map(|id| (entry(id), MergeState::Merged)).collect();
    let lease = lease("", "main");
    Arc::new(InMemory { lease, inner: Mutex::new(Inner { queue, ..Inner::default() }) })
}

/// A project whose gate wants every number in `n/` to be on its own and `bad` to be absent.
struct Project {
    folder: tempfile::TempDir,
    first: String,
    /// How often the target of an empty lane is looked at.
    watch: Duration,
}

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(24 * 3600);

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q", "-b", "main", "work"]);
        let work = folder.path().join("work");
        std::fs::write(work.join("shared"), "nobody\n").unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "first"]);
        git(folder.path(), &["clone", "-q", "--bare", "work", "remote.git"]);
        git(&work, &["remote", "add", "origin", "../remote.git"]);
        let first = git(&work, &["rev-parse", "HEAD"]);
        Self { folder, first, watch: NEVER }
    }

    fn remote(&self) -> PathBuf {
        self.folder.path().join("remote.git")
    }

    /// The commit of a task's branch that writes a file.
    fn branch(&self, n: i64, path: &str, text: &str) -> QueueEntry {
        let work = self.folder.path().join("work");
        let branch = format!("task/{n}/e1");
        git(&work, &["checkout", "-q", "-b", &branch, &self.first]);
        std::fs::write(work.join(path), text).unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", &format!("task {n}")]);
        git(&work, &["push", "-q", "origin", &branch]);
        entry(n, &branch, &git(&work, &["rev-parse", "HEAD"]))
    }

    fn store(&self, target: &str, entries: Vec<QueueEntry>) -> Arc<InMemory> {
        let base = (target != "main").then(|| "main".to_owned());
        let with_base = |entry| QueueEntry { base: base.clone(), ..entry };
        let queue = entries.into_iter().map(|e| (with_base(e), MergeState::Queued)).collect();
        Arc::new(InMemory {
            lease: lease(self.remote().to_str().unwrap(), target),
            inner: Mutex::new(Inner { queue, ..Inner::default() }),
        })
    }

    /// Runs hubs on the store until nothing waits any more.
    async fn settle(&self, store: &Arc<InMemory>, hubs: usize, window: usize, lease: Duration) {
        let done = |inner: &Inner| !inner.queue.iter().any(|(_, state)| waits(*state));
        self.run_until(store, hubs, window, lease, done).await;
    }

    /// Runs hubs on the store until it is as it should be.
    async fn run_until(
        &self,
        store: &Arc<InMemory>,
        hubs: usize,
        window: usize,
        lease: Duration,
        done: impl Fn(&Inner) -> bool,
    ) {
        let cancel = CancellationToken::new();
        let mut running = Vec::new();
        for n in 0..hubs {
            let options = MergeOptions {
                work: self.folder.path().join(format!("hub{n}")),
                holder: format!("hub{n}"),
                lease,
                look: Duration::from_millis(20),
                window,
                recheck: Duration::from_millis(50),
                watch: self.watch,
                tidy: NEVER,
                on_rewind: None,
                env_remove: Vec::new(),
                sandbox: None,
                redactor: Redactor::default(),
            };
            let store: Arc<dyn MergeStore> = Arc::clone(store) as _;
            let wake = Arc::new(tokio::sync::Notify::new());
            let queue = MergeQueue::open(options).unwrap();
            running.push(tokio::spawn(queue.run(store, wake, cancel.clone())));
        }
        let began = Instant::now();
        while !done(&store.inner.lock().unwrap()) {
            let seen = || (store.states(), store.inner.lock().unwrap().hold.clone());
            assert!(began.elapsed() < Duration::from_secs(120), "{:?}", seen());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
        for hub in running {
            hub.await.unwrap();
        }
    }

    /// A commit of a person on top of another, on `main`.
    fn person(&self, base: &str, author: &str, change: impl FnOnce(&Path)) -> String {
        let work = self.folder.path().join("work");
        git(&work, &["fetch", "-q", "origin"]);
        git(&work, &["checkout", "-q", "--detach", base]);
        change(&work);
        git(&work, &["add", "-A"]);
        let author = format!("{author} <p@localhost>");
        git(&work, &["commit", "-q", "-m", "by hand", "--author", &author]);
        git(&work, &["push", "-q", "--force", "origin", "HEAD:refs/heads/main"]);
        git(&work, &["rev-parse", "HEAD"])
    }

    fn main(&self) -> String {
        git(&self.remote(), &["rev-parse", "main"])
    }

    /// Every tip that the branch has had since the beginning passed its gates.
    fn check_every_tip(&self, store: &InMemory, branch: &str) -> usize {
        let range = format!("{}..{branch}", self.first);
        let tips = git(&self.remote(), &["rev-list", "--first-parent", &range]);
        let inner = store.inner.lock().unwrap();
        for tip in tips.lines() {
            assert_eq!(inner.judged.get(tip), Some(&true), "{tip} on {branch}");
        }
        tips.lines().count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_work_is_merged_bad_work_leaves_and_conflicts_wait() {
    let project = Project::new();
    let store = project.store(
        "main",
        vec![
            project.branch(1, "one", "1\n"),
            project.branch(2, "bad", "2\n"),
            project.branch(3, "shared", "three\n"),
            project.branch(4, "shared", "four\n"),
            project.branch(5, "five", "5\n"),
        ],
    );
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(
        store.states(),
        [
            MergeState::Merged,
            MergeState::Ejected,
            MergeState::Merged,
            MergeState::Conflict,
            MergeState::Merged,
        ]
    );
    assert_eq!(project.check_every_tip(&store, "main"), 3);
    let inner = store.inner.lock().unwrap();
    assert!(
        inner.texts[&4].contains("- shared: the same lines were changed on both sides"),
        "{:?}",
        inner.texts
    );
    assert!(inner.texts[&2].contains("test ! -e bad") || inner.texts[&2].contains("gate"));
    let conflict = git(&project.remote(), &["rev-parse", "conflict/4"]);
    assert_eq!(conflict, inner.queue[3].0.commit);
    assert_eq!(inner.merged.last().unwrap().1, git(&project.remote(), &["rev-parse", "main"]));
    assert!(inner.writer.is_none(), "given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_race_and_every_tip_was_tested() {
    let project = Project::new();
    let entries: Vec<QueueEntry> = (1..=9)
        .map(|n| match n {
            4 | 7 => project.branch(n, "bad", &format!("{n}\n")),
            n => project.branch(n, &format!("file{n}"), "x\n"),
        })
        .collect();
    let store = project.store("main", entries);
    // Two repositories of hubs, a lease that is lost now and then, tips tried on top of others.
    let robber = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for _ in 0..6 {
                tokio::time::sleep(Duration::from_millis(350)).await;
                store.inner.lock().unwrap().writer = None;
            }
        })
    };
    project.settle(&store, 2, 4, Duration::from_millis(900)).await;
    robber.abort();
    for (entry, state) in &store.inner.lock().unwrap().queue {
        let expect =
            if [4, 7].contains(&entry.id.0) { MergeState::Ejected } else { MergeState::Merged };
        assert_eq!(*state, expect, "{}", entry.branch);
    }
    assert_eq!(project.check_every_tip(&store, "main"), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_somebody_moves_is_tested_anew() {
    let project = Project::new();
    let mut entry = project.branch(1, "one", "1\n");
    let other = project.branch(2, "two", "2\n");
    // The gate itself moves the target, the first time.
    let push = format!(
        "test -e {0}/moved || {{ touch {0}/moved; git -C {1} update-ref refs/heads/main {2}; }}",
        project.folder.path().display(),
        project.remote().display(),
        other.commit
    );
    entry.gates.push(push);
    let store = project.store("main", vec![entry]);
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(store.states(), [MergeState::Merged]);
    let files = git(&project.remote(), &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "one\nshared\ntwo");
    // Two merges were tested, and only the second one became a tip.
    let inner = store.inner.lock().unwrap();
    assert_eq!(inner.judged.len(), 2);
    assert!(inner.judged[&git(&project.remote(), &["rev-parse", "main"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_whose_record_was_lost_is_only_recorded() {
    let project = Project::new();
    let entry = project.branch(1, "one", "1\n");
    let store = project.store("main", vec![entry]);
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    let tip = git(&project.remote(), &["rev-parse", "main"]);
    // As after a crash between the push and the record of it.
    store.inner.lock().unwrap().queue[0].1 = MergeState::Testing;
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(git(&project.remote(), &["rev-parse", "main"]), tip);
    assert_eq!(store.inner.lock().unwrap().merged, vec![(1, tip.clone()), (1, tip)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_all_wait_for_a_redo_say_for_which() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(2, "shared", "two\n")]);
    store.inner.lock().unwrap().redone.push(Redo {
        task: TaskId(9),
        key: "1.9".to_owned(),
        place: MergeId(1),
        files: vec!["shared".to_owned()],
        unclaimed: true,
        queued: false,
    });
    project.run_until(&store, 1, 1, LEASE, |inner| inner.waits_for.is_some()).await;
    {
        let inner = store.inner.lock().unwrap();
        assert!(inner.waits_for.as_ref().unwrap().ends_with("redone: 1.9"), "{inner:?}");
        assert!(inner.pauses.is_empty() && inner.hold.is_none(), "{inner:?}");
    }
    assert_eq!(store.states(), [MergeState::Queued]);
    store.inner.lock().unwrap().redone.clear();
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Merged]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_commit_is_none_leaves_the_queue() {
    let project = Project::new();
    let entries = vec![entry(1, "task/1/e1", "HEAD"), project.branch(2, "two", "2\n")];
    let store = project.store("main", entries);
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Ejected, MergeState::Merged]);
    let inner = store.inner.lock().unwrap();
    assert_eq!(inner.texts[&1], "what is in the queue is not a commit of a task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epics_branch_begins_where_the_project_is() {
    let project = Project::new();
    let store = project.store("epic-1/repositories", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(store.states(), [MergeState::Merged]);
    assert_eq!(project.check_every_tip(&store, "epic-1/repositories"), 1);
    assert_eq!(git(&project.remote(), &["rev-parse", "main"]), project.first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_is_away_lets_the_lane_wait() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    let away = project.folder.path().join("away.git");
    std::fs::rename(project.remote(), &away).unwrap();
    let back = {
        let (store, remote) = (Arc::clone(&store), project.remote());
        tokio::spawn(async move {
            while store.inner.lock().unwrap().pauses.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            std::fs::rename(&away, remote).unwrap();
        })
    };
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    back.await.unwrap();
    assert_eq!(store.states(), [MergeState::Merged]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_pushed_has_to_pass_as_well() {
    let project = Project::new();
    let good = project.branch(1, "one", "1\n");
    let store = project.store("main", vec![good.clone()]);
    git(&project.remote(), &["update-ref", "refs/heads/main", &good.commit]);
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(store.states(), [MergeState::Merged]);
    assert_eq!(project.check_every_tip(&store, "main"), 1);
}

/// The text of the hold and what it is for.
fn held(store: &InMemory) -> NewHold {
    store.inner.lock().unwrap().hold.clone().expect("the lane is on hold").0
}

fn decide(store: &InMemory, decision: HoldDecision) {
    let mut inner = store.inner.lock().unwrap();
    inner.hold.as_mut().unwrap().2 = Some(decision);
    inner.rests_until = None;
}

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_broken_blames_no_entry_and_is_tried_again_when_it_moves() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, LEASE).await;
    let good = project.main();
    let more = [2, 3, 4].map(|n| project.branch(n, &format!("file{n}"), "x\n"));
    let bad = project.person(&good, "Ada", |work| std::fs::write(work.join("bad"), "").unwrap());
    let queue = more.into_iter().map(|entry| (entry, MergeState::Queued));
    store.inner.lock().unwrap().queue.extend(queue);
    // Two hubs, entries tried on top of each other: they agree. None of the entries repairs it.
    let all_tried = |inner: &Inner| inner.hold.is_some() && inner.tried.len() == 3;
    project.run_until(&store, 2, 3, LEASE, all_tried).await;
    let waiting = [MergeState::Merged, MergeState::Queued, MergeState::Queued, MergeState::Queued];
    assert_eq!(store.states(), waiting);
    let hold = held(&store);
    assert_eq!((hold.reason, hold.author.as_deref()), (HoldReason::TargetBroken, Some("Ada")));
    assert_eq!(hold.commit.as_deref(), Some(bad.as_str()));
    assert_eq!(hold.expected.as_deref(), Some(good.as_str()));
    assert!(hold.text.contains("main is broken since commit"), "{}", hold.text);
    // Another commit on top does not help: the range is reported.
    let worse = project.person(&bad, "Bob", |work| std::fs::write(work.join("more"), "").unwrap());
    let at = |inner: &Inner, tip: &str| {
        inner.hold.as_ref().is_some_and(|it| it.0.tip.as_ref().unwrap().as_str() == tip)
    };
    project.run_until(&store, 2, 3, LEASE, |inner| at(inner, &worse) && all_tried(inner)).await;
    let text = held(&store).text;
    assert!(text.contains("2 commits before") && text.contains("by Ada"), "{text}");
    assert_eq!(store.states(), waiting);
    let fixed = project.person(&worse, "Cy", |work| {
        std::fs::remove_file(work.join("bad")).unwrap();
    });
    project.settle(&store, 2, 3, LEASE).await;
    assert_eq!(store.states(), [MergeState::Merged; 4]);
    let inner = store.inner.lock().unwrap();
    assert!(inner.hold.is_none() && inner.lifted.iter().any(|it| it.contains(&fixed[..7])));
    assert!(!inner.texts.contains_key(&2), "{:?}", inner.texts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_is_neither_undone_nor_followed_before_somebody_says_so() {
    for decision in [HoldDecision::Follow, HoldDecision::Restore] {
        let project = Project::new();
        let entries = [1, 2, 3].map(|n| project.branch(n, &format!("file{n}"), "x\n"));
        let store = project.store("main", entries.into());
        project.settle(&store, 1, 1, LEASE).await;
        let (before, merged) = (project.main(), store.inner.lock().unwrap().merged.clone());
        // Back to the first merge; a task has begun on what was there before.
        git(&project.remote(), &["update-ref", "refs/heads/main", &merged[0].1]);
        let stale = Project { first: before.clone(), ..project };
        let work = stale.folder.path().join("work");
        git(&work, &["fetch", "-q", "../remote.git", &before]);
        let late = stale.branch(4, "file4", "x\n");
        let project = stale;
        store.inner.lock().unwrap().queue.push((late, MergeState::Queued));
        project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_some()).await;
        let hold = held(&store);
        assert_eq!(hold.reason, HoldReason::TargetRewound);
        assert_eq!(hold.lost.len(), 2, "{:?}", hold.lost);
        assert!(hold.lost[0].contains("Task 3") && hold.text.contains("2 merges are missing"));
        assert_eq!(project.main(), merged[0].1, "nothing came back");
        decide(&store, decision);
        project.settle(&store, 2, 1, LEASE).await;
        let (merged_state, ejected) = (MergeState::Merged, MergeState::Ejected);
        if decision == HoldDecision::Follow {
            assert_eq!(store.states(), [merged_state, ejected, ejected, ejected]);
            assert_eq!(project.main(), merged[0].1, "what stood on it does not bring it back");
            assert!(store.inner.lock().unwrap().texts[&4].contains("was removed from"));
        } else {
            assert_eq!(store.states(), [merged_state; 4]);
            git(&project.remote(), &["merge-base", "--is-ancestor", &before, "main"]);
        }
        assert!(store.inner.lock().unwrap().hold.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_is_noticed_while_nothing_waits_to_be_merged() {
    let project = Project { watch: Duration::from_millis(50), ..Project::new() };
    let entries = [1, 2, 3].map(|n| project.branch(n, &format!("file{n}"), "x\n"));
    let store = project.store("main", entries.into());
    project.settle(&store, 1, 1, LEASE).await;
    let (before, merged) = (project.main(), store.inner.lock().unwrap().merged.clone());

    // Forward is no rewind, however often it is looked at; nothing is written down of it.
    let ahead = project.person(&before, "Ann", |work| {
        std::fs::write(work.join("by-hand"), "1\n").unwrap();
    });
    let looked = store.inner.lock().unwrap().epoch;
    project.run_until(&store, 2, 1, LEASE, |inner| inner.epoch > looked + 2).await;
    assert!(store.inner.lock().unwrap().hold.is_none());
    assert_eq!(project.main(), ahead);

    // Back behind two merges.
    git(&project.remote(), &["update-ref", "refs/heads/main", &merged[0].1]);
    project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_some()).await;
    let hold = held(&store);
    assert_eq!((hold.reason, hold.lost.len()), (HoldReason::TargetRewound, 2));
    assert_eq!(project.main(), merged[0].1, "nothing came back");

    // Whoever did it takes it back: there is nothing to decide any more.
    git(&project.remote(), &["update-ref", "refs/heads/main", &before]);
    project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_none()).await;
    let lifted = store.inner.lock().unwrap().lifted.clone();
    assert_eq!(lifted.len(), 1, "{lifted:?}");

    // Again, and a person follows it.
    git(&project.remote(), &["update-ref", "refs/heads/main", &merged[0].1]);
    project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_some()).await;
    decide(&store, HoldDecision::Follow);
    project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_none()).await;
    let (merged_state, ejected) = (MergeState::Merged, MergeState::Ejected);
    assert_eq!(store.states(), [merged_state, ejected, ejected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_is_away_does_not_pause_an_empty_lane() {
    let project = Project { watch: Duration::from_millis(20), ..Project::new() };
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, LEASE).await;
    let away = project.folder.path().join("away.git");
    std::fs::rename(project.remote(), &away).unwrap();
    let looked = store.inner.lock().unwrap().epoch;
    project.run_until(&store, 1, 1, LEASE, |inner| inner.epoch > looked + 2).await;
    let inner = store.inner.lock().unwrap();
    assert!(inner.pauses.is_empty() && inner.hold.is_none(), "{:?}", inner.pauses);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_during_the_gates_is_not_pushed_over() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, LEASE).await;
    let mut entry = project.branch(2, "two", "2\n");
    // A plain push would be a step forward from there.
    entry.gates.push(format!(
        "git -C {} update-ref refs/heads/main {}",
        project.remote().display(),
        project.first
    ));
    store.inner.lock().unwrap().queue.push((entry, MergeState::Queued));
    project.run_until(&store, 1, 1, LEASE, |inner| inner.hold.is_some()).await;
    assert_eq!(project.main(), project.first);
    assert_eq!(held(&store).reason, HoldReason::TargetRewound);
    assert_eq!(store.states(), [MergeState::Merged, MergeState::Queued]);
    // A person moves it forward again: nobody is asked any more.
    let tip = held(&store).expected.unwrap();
    git(&project.remote(), &["update-ref", "refs/heads/main", &tip]);
    project.run_until(&store, 1, 1, LEASE, |inner| !inner.lifted.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_history_is_not_overwritten_and_a_deleted_branch_is_made_again() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, LEASE).await;
    let before = project.main();
    let work = project.folder.path().join("work");
    git(&work, &["checkout", "-q", "--orphan", "foreign"]);
    git(&work, &["commit", "-q", "-m", "foreign"]);
    git(&work, &["push", "-q", "--force", "origin", "HEAD:refs/heads/main"]);
    let foreign = project.main();
    let next = project.branch(2, "two", "2\n");
    store.inner.lock().unwrap().queue.push((next, MergeState::Queued));
    project.run_until(&store, 1, 1, LEASE, |inner| inner.hold.is_some()).await;
    decide(&store, HoldDecision::Restore);
    let refused = |inner: &Inner| {
        inner.hold.as_ref().is_some_and(|it| it.2.is_none() && it.0.text.contains("not restored"))
    };
    project.run_until(&store, 1, 1, LEASE, refused).await;
    assert_eq!(project.main(), foreign);
    // Deleted: it is made again as it was.
    git(&project.remote(), &["update-ref", "-d", "refs/heads/main"]);
    let deleted = |inner: &Inner| inner.hold.as_ref().is_some_and(|it| it.0.tip.is_none());
    project.run_until(&store, 1, 1, LEASE, deleted).await;
    decide(&store, HoldDecision::Restore);
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Merged, MergeState::Merged]);
    git(&project.remote(), &["merge-base", "--is-ancestor", &before, "main"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_conflicts_is_told_what_the_target_got_before_and_since() {
    let project = Project::new();
    let entries = vec![
        project.branch(1, "shared", "one\n"),
        project.branch(2, "shared", "two\n"),
        project.branch(3, "shared2", "three\n"),
    ];
    let store = project.store("main", entries);
    project.settle(&store, 1, 1, LEASE).await;
    let brief = store.inner.lock().unwrap().texts[&2].clone();
    assert!(brief.contains("Merge task/1/e1 into main: Task 1"), "{brief}");
    assert!(brief.contains("-nobody") && brief.contains("+one"), "{brief}");
    assert!(!brief.contains("three"), "{brief}");
    let later = Project { first: project.main(), ..project };
    let work = later.folder.path().join("work");
    git(&work, &["fetch", "-q", "origin"]);
    let entry = later.branch(4, "shared", "four\n");
    store.inner.lock().unwrap().queue.push((entry, MergeState::Queued));
    later.settle(&store, 1, 1, LEASE).await;
    let brief = store.inner.lock().unwrap().texts[&2].clone();
    assert!(brief.contains("Then main got Task 4") && brief.contains("+four"), "{brief}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_merge_that_mends_a_broken_target_is_found_wherever_it_waits() {
    for hubs in [1, 2] {
        let project = Project::new();
        project.person(&project.first, "Ada", |work| {
            std::fs::write(work.join("status"), "bad\n").unwrap();
        });
        let mut entries = [("one", "1\n"), ("two", "2\n"), ("repair", "ok\n"), ("four", "4\n")]
            .into_iter()
            .zip(1..)
            .map(|((path, text), n)| project.branch(n, path, text))
            .collect::<Vec<_>>();
        for entry in &mut entries {
            entry.gates = vec!["grep -qs ok status repair".to_owned()];
        }
        let store = project.store("main", entries);
        project.settle(&store, hubs, 2, LEASE).await;
        // Nothing is reported of the others, and are merged behind it.
        assert_eq!(store.states(), [MergeState::Merged; 4]);
        let inner = store.inner.lock().unwrap();
        assert!(inner.texts.is_empty(), "{:?}", inner.texts);
        assert_eq!(inner.merged.first().map(|it| it.0), Some(3));
        assert!(inner.hold.is_none());
        assert!(
            inner.lifted.iter().any(|it| it.contains("Task 3 repairs it")),
            "{:?}",
            inner.lifted
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_away_around_a_target_that_passed_blames_no_entry() {
    let project = Project::new();
    let service = project.folder.path().join("service");
    std::fs::write(&service, "").unwrap();
    let gate = format!("test -e {}", service.display());
    let entry = |n: i64| QueueEntry {
        gates: vec![gate.clone()],
        ..project.branch(n, &format!("file{n}"), "x\n")
    };
    let store = project.store("main", vec![entry(1)]);
    project.settle(&store, 1, 1, LEASE).await;
    std::fs::remove_file(&service).unwrap();
    let more = (2..6).map(|n| (entry(n), MergeState::Queued));
    store.inner.lock().unwrap().queue.extend(more);
    project.run_until(&store, 1, 2, LEASE, |inner| inner.tried.len() == 4).await;
    assert_eq!(held(&store).reason, HoldReason::TargetBroken);
    assert_eq!(store.states()[1..], [MergeState::Queued; 4], "nothing is counted");
    assert!(store.inner.lock().unwrap().texts.is_empty());
    // A person brings it back, and asks for another try.
    std::fs::write(&service, "").unwrap();
    {
        let mut inner = store.inner.lock().unwrap();
        inner.hold = None;
        inner.tried.clear();
        inner.rests_until = None;
    }
    project.settle(&store, 1, 2, LEASE).await;
    assert_eq!(store.states(), [MergeState::Merged; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_about_a_rewind_that_was_taken_back_ends_the_hold() {
    for decision in [HoldDecision::Follow, HoldDecision::Restore] {
        let project = Project { watch: Duration::from_millis(50), ..Project::new() };
        let entries = [1, 2].map(|n| project.branch(n, &format!("file{n}"), "x\n"));
        let store = project.store("main", entries.into());
        project.settle(&store, 1, 1, LEASE).await;
        let (before, merged) = (project.main(), store.inner.lock().unwrap().merged.clone());
        git(&project.remote(), &["update-ref", "refs/heads/main", &merged[0].1]);
        project.run_until(&store, 1, 1, LEASE, |inner| inner.hold.is_some()).await;
        // Forward again, beyond what was merged, before the hub acts on the decision.
        let work = project.folder.path().join("work");
        git(&work, &["fetch", "-q", "../remote.git", &before]);
        project.person(&before, "Ann", |work| std::fs::write(work.join("more"), "").unwrap());
        decide(&store, decision);
        project.run_until(&store, 2, 1, LEASE, |inner| inner.hold.is_none()).await;
        assert_eq!(store.states(), [MergeState::Merged; 2]);
        let inner = store.inner.lock().unwrap();
        assert_eq!(inner.lifted.len(), 1, "{:?}", inner.lifted);
        assert!(inner.pauses.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_a_guard_refuses_leaves_nothing_on_its_way() {
    let project = Project::new();
    let hook = project.remote().join("hooks/update");
    std::fs::write(&hook, "#!/bin/sh\ntest \"$1\" != refs/heads/main\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&hook, executable).unwrap();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.run_until(&store, 1, 1, LEASE, |inner| !inner.pauses.is_empty()).await;
    {
        let inner = store.inner.lock().unwrap();
        assert_eq!(inner.queue[0].0.landing, None, "a person may cancel it");
        assert!(inner.pauses[0].contains("main"), "{:?}", inner.pauses);
    }
    std::fs::remove_file(&hook).unwrap();
    store.inner.lock().unwrap().rests_until = None;
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Merged]);
}

fn files_below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, end));
        } else if path.ends_with(end) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_cannot_be_read_is_no_rewind() {
    let project = Project::new();
    let store = project.store("main", vec![project.branch(1, "one", "1\n")]);
    project.settle(&store, 1, 1, LEASE).await;
    let tip = project.main();
    // The merge's commit, damaged where this hub keeps it.
    let objects = project.folder.path().join("hub0");
    let (dir, file) = tip.split_at(2);
    let damaged = files_below(&objects, &format!("objects/{dir}/{file}"));
    assert!(!damaged.is_empty());
    for object in damaged {
        std::fs::remove_file(&object).unwrap();
        std::fs::write(&object, "damaged").unwrap();
    }
    project.person(&tip, "Ann", |work| std::fs::write(work.join("more"), "").unwrap());
    let next = project.branch(2, "two", "2\n");
    store.inner.lock().unwrap().queue.push((next, MergeState::Queued));
    let ended = |inner: &Inner| inner.hold.is_some() || !inner.pauses.is_empty();
    project.run_until(&store, 1, 1, LEASE, ended).await;
    let inner = store.inner.lock().unwrap();
    assert!(inner.hold.is_none(), "{:?}", inner.hold);
    assert!(inner.pauses[0].contains(&tip[..7]), "{:?}", inner.pauses);
}
