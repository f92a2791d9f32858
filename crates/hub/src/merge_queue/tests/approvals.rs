//! Entries that a person has to approve, on real repositories.

use super::*;

const LEASE: Duration = Duration::from_secs(10);

fn asks(entry: QueueEntry) -> QueueEntry {
    QueueEntry { wants_approval: true, ..entry }
}

fn decide(store: &InMemory, id: i64, approve: bool) {
    let mut inner = store.inner.lock().unwrap();
    let found = inner.queue.iter_mut().find(|(entry, _)| entry.id.0 == id).unwrap();
    assert_eq!(found.1, MergeState::Waiting);
    found.1 = if approve { MergeState::Queued } else { MergeState::Ejected };
    if approve {
        found.0.wants_approval = false;
        inner.given.insert(id);
    }
    inner.rests_until = None;
}

fn files(project: &Project, at: &str) -> String {
    git(&project.remote(), &["ls-tree", "--name-only", at])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_waits_for_a_person_while_the_queue_goes_on() {
    for window in [1, 3] {
        let project = Project::new();
        let entries = vec![
            asks(project.branch(1, "one", "1\n")),
            project.branch(2, "two", "2\n"),
            project.branch(3, "three", "3\n"),
        ];
        let store = project.store("main", entries);
        project.settle(&store, 1, window, LEASE).await;
        let (waiting, merged) = (MergeState::Waiting, MergeState::Merged);
        assert_eq!(store.states(), [waiting, merged, merged]);
        assert!(!files(&project, "main").contains("one"), "nobody approved it");

        let (id, question) = store.inner.lock().unwrap().questions[0].clone();
        assert_eq!(id, MergeId(1));
        assert!(question.diff.starts_with("diff --git a/one b/one"), "{}", question.diff);
        assert!(question.diff.contains("\n+1\n"), "{}", question.diff);
        for part in ["- passed: test ! -e bad", "A one", "task/1/e1"] {
            assert!(question.evidence.contains(part), "{part}: {}", question.evidence);
        }
        assert_ne!(question.base_tree, question.new_tree);
        assert_eq!(question.new_tree.len(), 40);

        // Approved, it is merged with what the target is by now.
        decide(&store, 1, true);
        project.settle(&store, 1, window, LEASE).await;
        assert_eq!(store.states(), [merged; 3]);
        assert_eq!(files(&project, "main"), "one\nshared\nthree\ntwo");
        assert_eq!(store.inner.lock().unwrap().questions.len(), 1, "nobody is asked twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unapproved_work_does_not_come_along_with_another_branch() {
    let project = Project::new();
    let first = asks(project.branch(1, "one", "1\n"));
    // The branch of the second stands on that of the first.
    let work = project.folder.path().join("work");
    git(&work, &["checkout", "-q", "-b", "task/2/e1", &first.commit]);
    std::fs::write(work.join("two"), "2\n").unwrap();
    git(&work, &["add", "-A"]);
    git(&work, &["commit", "-q", "-m", "task 2"]);
    git(&work, &["push", "-q", "origin", "task/2/e1"]);
    let second = entry(2, "task/2/e1", &git(&work, &["rev-parse", "HEAD"]));
    let third = project.branch(3, "three", "3\n");
    let store = project.store("main", vec![first, second, third]);
    let rests = |inner: &Inner| inner.waits_for.as_deref().is_some_and(|it| it.contains("approve"));
    project.run_until(&store, 1, 2, LEASE, rests).await;
    let (waiting, queued, merged) = (MergeState::Waiting, MergeState::Queued, MergeState::Merged);
    assert_eq!(store.states(), [waiting, queued, merged], "only what depends on it waits");
    assert!(!files(&project, "main").contains("one"));

    // Rejected, its work is in the other one still: a person sees it there.
    decide(&store, 1, false);
    project.settle(&store, 1, 2, LEASE).await;
    assert_eq!(store.states(), [MergeState::Ejected, waiting, merged]);
    let questions = store.inner.lock().unwrap().questions.clone();
    assert_eq!(questions.len(), 2);
    assert!(questions[1].1.diff.contains("b/one") && questions[1].1.diff.contains("b/two"));
    assert_eq!(files(&project, "main"), "shared\nthree");

    // Approved with that work in it, it is merged, and nobody is asked again.
    decide(&store, 2, true);
    project.settle(&store, 1, 2, LEASE).await;
    assert_eq!(store.states(), [MergeState::Ejected, merged, merged]);
    assert_eq!(files(&project, "main"), "one\nshared\nthree\ntwo");
    assert_eq!(store.inner.lock().unwrap().questions.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_entries_of_one_commit_are_each_decided_on() {
    let project = Project::new();
    let first = asks(project.branch(1, "one", "1\n"));
    let second = asks(entry(2, &first.branch, &first.commit));
    // Of another graph, which does not ask.
    let third = entry(3, &first.branch, &first.commit);
    let store = project.store("main", vec![first, second, third]);
    project.settle(&store, 1, 2, LEASE).await;
    let (waiting, merged) = (MergeState::Waiting, MergeState::Merged);
    assert_eq!(store.states(), [waiting; 3]);
    assert_eq!(files(&project, "main"), "shared");
    decide(&store, 2, true);
    project.settle(&store, 1, 2, LEASE).await;
    assert_eq!(store.states(), [waiting, merged, waiting]);
    decide(&store, 1, true);
    decide(&store, 3, false);
    project.settle(&store, 1, 2, LEASE).await;
    assert_eq!(store.states(), [merged, merged, MergeState::Ejected]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broken_target_has_already_still_wants_its_approval() {
    let project = Project::new();
    let flag = project.folder.path().join("flag");
    let gates = vec![format!("test -e {}", flag.display())];
    let there = QueueEntry { gates, ..asks(project.branch(1, "one", "1\n")) };
    git(&project.folder.path().join("work"), &["push", "-q", "origin", "task/1/e1:main"]);
    let store = project.store("main", vec![there]);
    project.run_until(&store, 1, 1, LEASE, |inner| inner.hold.is_some()).await;
    assert!(store.inner.lock().unwrap().queue[0].0.wants_approval);
    // The target loses it, and does not get it back unasked.
    std::fs::write(flag, "").unwrap();
    project.person(&project.first, "p", |work| std::fs::write(work.join("x"), "x\n").unwrap());
    {
        let mut inner = store.inner.lock().unwrap();
        (inner.hold, inner.tip, inner.rests_until) = (None, None, None);
    }
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Waiting]);
    assert_eq!(files(&project, "main"), "shared\nx");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_about_what_fails_or_is_merged_already() {
    let project = Project::new();
    let bad = asks(project.branch(1, "bad", "1\n"));
    let there = asks(project.branch(2, "two", "2\n"));
    // Somebody pushed the second one to the target.
    git(&project.folder.path().join("work"), &["push", "-q", "origin", "task/2/e1:main"]);
    let store = project.store("main", vec![bad, there]);
    project.settle(&store, 1, 1, LEASE).await;
    assert_eq!(store.states(), [MergeState::Ejected, MergeState::Merged]);
    assert!(store.inner.lock().unwrap().questions.is_empty());
}
