//! The queue on real repositories, with a store in memory that keeps the rules of a real one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::evidence::Redactor;
use crate::model::CommitId;
use crate::model::task::{MergeId, MergeState, TaskId};

#[derive(Default)]
struct Inner {
    queue: Vec<(Entry, MergeState)>,
    writer: Option<(String, i64, Instant)>,
    epoch: i64,
    /// By commit: whether its gates passed.
    judged: BTreeMap<String, bool>,
    merged: Vec<(i64, String)>,
    texts: BTreeMap<i64, String>,
    pauses: Vec<String>,
    rests_until: Option<Instant>,
}

struct InMemory {
    lane: Lane,
    inner: Mutex<Inner>,
}

impl InMemory {
    fn check(inner: &Inner, writer: &Writer) -> Result<(), MergeStoreError> {
        match &inner.writer {
            Some((_, epoch, until)) if *epoch == writer.epoch && *until > Instant::now() => Ok(()),
            _ => Err(MergeStoreError::Superseded(writer.lane.target.clone())),
        }
    }

    fn change(
        &self,
        writer: &Writer,
        change: impl FnOnce(&mut Inner),
    ) -> Result<(), MergeStoreError> {
        let mut inner = self.inner.lock().unwrap();
        Self::check(&inner, writer)?;
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
    async fn take(&self, holder: &str, lasts: Duration) -> Result<Option<Writer>, MergeStoreError> {
        let mut inner = self.inner.lock().unwrap();
        let now = Instant::now();
        let held = inner.writer.as_ref().is_some_and(|(_, _, until)| *until > now);
        let rests = inner.rests_until.is_some_and(|until| until > now);
        if held || rests || !inner.queue.iter().any(|(_, state)| waits(*state)) {
            return Ok(None);
        }
        inner.epoch += 1;
        inner.writer = Some((holder.to_owned(), inner.epoch, now + lasts));
        Ok(Some(Writer { lane: self.lane.clone(), epoch: inner.epoch }))
    }

    async fn keep(&self, writer: &Writer, lasts: Duration) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            inner.writer = Some(("kept".to_owned(), writer.epoch, Instant::now() + lasts));
        })
    }

    async fn release(&self, writer: &Writer) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| inner.writer = None)
    }

    async fn entries(&self, writer: &Writer, most: usize) -> Result<Vec<Entry>, MergeStoreError> {
        let inner = self.inner.lock().unwrap();
        Self::check(&inner, writer)?;
        let open = inner.queue.iter().filter(|(_, state)| waits(*state));
        Ok(open.map(|(entry, _)| entry.clone()).take(most).collect())
    }

    async fn testing(
        &self,
        writer: &Writer,
        entry: &Entry,
        _commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == entry.id).unwrap();
            found.1 = MergeState::Testing;
            found.0.landing = None;
        })
    }

    async fn judged(
        &self,
        writer: &Writer,
        _entry: &Entry,
        verdict: &GateVerdict,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            inner.judged.insert(verdict.commit.to_string(), verdict.passed);
        })
    }

    async fn landing(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            assert_eq!(inner.judged.get(commit.as_str()), Some(&true));
            let found = inner.queue.iter_mut().find(|(other, _)| other.id == entry.id).unwrap();
            found.0.landing = Some(commit.clone());
        })
    }

    async fn merged(
        &self,
        writer: &Writer,
        entry: &Entry,
        commit: &CommitId,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            let found = inner.queue.iter().find(|(other, _)| other.id == entry.id).unwrap();
            assert_eq!(found.0.landing.as_ref(), Some(commit));
            Self::set(inner, entry.id, MergeState::Merged);
            inner.merged.push((entry.id.0, commit.to_string()));
        })
    }

    async fn conflict(
        &self,
        writer: &Writer,
        entry: &Entry,
        text: &str,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            Self::set(inner, entry.id, MergeState::Conflict);
            inner.texts.insert(entry.id.0, text.to_owned());
        })
    }

    async fn eject(
        &self,
        writer: &Writer,
        entry: &Entry,
        reason: &str,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
            Self::set(inner, entry.id, MergeState::Ejected);
            inner.texts.insert(entry.id.0, reason.to_owned());
        })
    }

    async fn pause(
        &self,
        writer: &Writer,
        reason: &str,
        lasts: Duration,
    ) -> Result<(), MergeStoreError> {
        self.change(writer, |inner| {
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

/// A project whose gate wants every number in `n/` to be on its own and `bad` to be absent.
struct Project {
    folder: tempfile::TempDir,
    first: String,
}

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
        Self { folder, first }
    }

    fn remote(&self) -> PathBuf {
        self.folder.path().join("remote.git")
    }

    /// The commit of a task's branch that writes a file.
    fn branch(&self, n: i64, path: &str, text: &str) -> Entry {
        let work = self.folder.path().join("work");
        let branch = format!("task/{n}/e1");
        git(&work, &["checkout", "-q", "-b", &branch, &self.first]);
        std::fs::write(work.join(path), text).unwrap();
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", &format!("task {n}")]);
        git(&work, &["push", "-q", "origin", &branch]);
        Entry {
            id: MergeId(n),
            task: TaskId(n),
            title: format!("Task {n}"),
            commit: git(&work, &["rev-parse", "HEAD"]).parse().unwrap(),
            branch,
            gates: vec!["test ! -e bad".to_owned()],
            base: None,
            landing: None,
        }
    }

    fn store(&self, target: &str, entries: Vec<Entry>) -> Arc<InMemory> {
        let base = (target != "main").then(|| "main".to_owned());
        let with_base = |entry| Entry { base: base.clone(), ..entry };
        let queue = entries.into_iter().map(|e| (with_base(e), MergeState::Queued)).collect();
        Arc::new(InMemory {
            lane: Lane {
                project: 1,
                repository: self.remote().to_str().unwrap().to_owned(),
                target: target.to_owned(),
            },
            inner: Mutex::new(Inner { queue, ..Inner::default() }),
        })
    }

    /// Runs hubs on the store until nothing waits any more.
    async fn settle(&self, store: &Arc<InMemory>, hubs: usize, window: usize, lease: Duration) {
        let cancel = CancellationToken::new();
        let mut running = Vec::new();
        for n in 0..hubs {
            let options = MergeOptions {
                work: self.folder.path().join(format!("hub{n}")),
                holder: format!("hub{n}"),
                lease,
                look: Duration::from_millis(20),
                window,
                withheld: Vec::new(),
                redactor: Redactor::default(),
            };
            let store: Arc<dyn MergeStore> = Arc::clone(store) as _;
            let wake = Arc::new(tokio::sync::Notify::new());
            let queue = MergeQueue::open(options).unwrap();
            running.push(tokio::spawn(queue.run(store, wake, cancel.clone())));
        }
        let began = Instant::now();
        while store.states().into_iter().any(waits) {
            assert!(began.elapsed() < Duration::from_secs(120), "{:?}", store.states());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        cancel.cancel();
        for hub in running {
            hub.await.unwrap();
        }
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
    assert!(inner.texts[&4].contains("- shared: both changed the same lines"), "{:?}", inner.texts);
    assert!(inner.texts[&2].contains("test ! -e bad") || inner.texts[&2].contains("gate"));
    let conflict = git(&project.remote(), &["rev-parse", "conflict/4"]);
    assert_eq!(conflict, inner.queue[3].0.commit.as_str());
    assert_eq!(inner.merged.last().unwrap().1, git(&project.remote(), &["rev-parse", "main"]));
    assert!(inner.writer.is_none(), "given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hubs_race_and_every_tip_was_tested() {
    let project = Project::new();
    let entries: Vec<Entry> = (1..=9)
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
    git(&project.remote(), &["update-ref", "refs/heads/main", good.commit.as_str()]);
    project.settle(&store, 1, 1, Duration::from_secs(30)).await;
    assert_eq!(store.states(), [MergeState::Merged]);
    assert_eq!(project.check_every_tip(&store, "main"), 1);
}
