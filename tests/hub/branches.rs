//! Branches of ended tasks are deleted; moved branches and branches of open tasks stay.

use std::time::Duration;

use greenloop_evidence::Redactor;
use greenloop_hub::merge_queue::conflict_branches;
use greenloop_hub::retention::{BranchPlan, branches};
use greenloop_hub::store::{MergeFilter, PageRequest, StoreErrorKind, StoreOptions, TaskStore};
use greenloop_hub_api::graph::{TaskGraph, TaskSpec};
use greenloop_hub_api::types::{Action, ClaimRequest, Completion, TaskSubmission};
use greenloop_model::task::{GraphId, Lease};
use tokio_util::sync::CancellationToken;

use super::farm::Farm;
use super::program::until;
use super::stores::Place;

fn task(key: &str) -> TaskSpec {
    let action = Action::Command("true".to_owned());
    TaskSpec::new(TaskSubmission { hours: 1.0, ..TaskSubmission::new(key, key, action) })
}

struct Scene {
    store: TaskStore,
    farm: Farm,
    next: u32,
}

impl Scene {
    async fn submit(&self, count: usize) -> GraphId {
        let graph = TaskGraph {
            project: "farm".to_owned(),
            repository: Some(self.farm.remote().display().to_string()),
            target: "main".to_owned(),
            gates: Vec::new(),
            merge_approval: false,
            name: "g".to_owned(),
            epics: Vec::new(),
            tasks: (0..count).map(|n| task(&n.to_string())).collect(),
        };
        self.store.submit(&graph, None, None).await.unwrap().id
    }

    /// An attempt whose commit is on its branch.
    async fn pushed(&mut self) -> Lease {
        let request = ClaimRequest {
            agent: "w".to_owned(),
            instance: "1".to_owned(),
            roles: Vec::new(),
            labels: Vec::new(),
            lease_seconds: 60,
            wait_seconds: 0,
            unreachable: Vec::new(),
        };
        let lease = self.store.claim(&request, None).await.unwrap().unwrap().lease();
        let commit = self.commit();
        self.farm.git(&["update-ref", &format!("refs/heads/{}", lease.branch()), &commit]);
        let completion = Completion { commit: Some(commit), ..Completion::default() };
        self.store.complete(lease, &completion, None).await.unwrap();
        lease
    }

    /// A new commit.
    fn commit(&mut self) -> String {
        self.next += 1;
        let message = format!("work {}", self.next);
        self.farm.git(&["commit-tree", "-p", "main", "-m", &message, "main^{tree}"])
    }

    fn standing(&self) -> Vec<String> {
        let names = self.farm.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"]);
        names.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn branches_of_tasks_that_ended_go_and_no_others() {
    for place in Place::all() {
        let store = TaskStore::open(&place.url, StoreOptions::default()).await.unwrap();
        let mut scene = Scene { store: store.clone(), farm: Farm::new(&[("a", "a\n")]), next: 0 };
        // Sixty ended tasks, more than one batch; one of their branches was moved, and one does not
        // exist any more.
        let over = scene.submit(60).await;
        let mut ended = Vec::new();
        for _ in 0..60 {
            ended.push(scene.pushed().await);
        }
        store.cancel_graph(over, None).await.unwrap();
        let moved = ended[7].branch();
        let elsewhere = scene.commit();
        scene.farm.git(&["update-ref", &format!("refs/heads/{moved}"), &elsewhere]);
        scene.farm.git(&["update-ref", "-d", &format!("refs/heads/{}", ended[8].branch())]);
        // A task that waits to be merged, and a similar branch that no attempt of this hub pushed.
        scene.submit(1).await;
        let waits = scene.pushed().await;
        scene.farm.git(&["update-ref", "refs/heads/task/9999/e1", "main"]);
        assert_eq!(scene.standing().len(), 1 + 59 + 2);
        // The merge queue's branches of conflicting commits: of two attempts, of one that a person
        // has changed, and of the waiting task.
        let entries = store.merges(&MergeFilter::default(), PageRequest::first(100)).await.unwrap();
        let conflict = |lease: Lease, nth: usize| {
            let entry = entries.items.iter().find(|it| it.lease() == lease).unwrap();
            conflict_branches(lease.task, entry.id)[nth].clone()
        };
        let commit_of = |lease: Lease| scene.farm.git(&["rev-parse", &lease.branch()]);
        for (lease, nth) in [(ended[0], 0), (ended[0], 1), (ended[1], 1), (waits, 0)] {
            let branch = format!("refs/heads/{}", conflict(lease, nth));
            scene.farm.git(&["update-ref", &branch, &commit_of(lease)]);
        }
        let by_hand = conflict(ended[2], 0);
        scene.farm.git(&["update-ref", &format!("refs/heads/{by_hand}"), &elsewhere]);

        let end = CancellationToken::new();
        let hub = |work: &str| {
            let plan = BranchPlan {
                after: Duration::ZERO,
                every: Duration::from_millis(50),
                work: place.folder.path().join(work),
                redactor: Redactor::default(),
            };
            tokio::spawn(branches(store.clone(), plan, end.clone()))
        };
        // Two hubs of one store.
        let hubs = [hub("one"), hub("two")];
        let mut stays = vec![
            "main".to_owned(),
            moved.clone(),
            waits.branch(),
            "task/9999/e1".to_owned(),
            by_hand,
            conflict(waits, 0),
        ];
        stays.sort();
        until("the branches are gone", async || (scene.standing() == stays).then_some(())).await;
        until("all were looked at", async || {
            let hold = Duration::from_secs(1);
            let left = store.take_spent_branches(Duration::ZERO, hold, 1).await.unwrap();
            left.is_empty().then_some(())
        })
        .await;
        end.cancel();
        for hub in hubs {
            hub.await.unwrap();
        }
        assert_eq!(scene.farm.git(&["rev-parse", &moved]), elsewhere);
        // A deleted branch can no longer be merged.
        let page = PageRequest::first(100);
        let entries = store.merges(&MergeFilter::default(), page).await.unwrap().items;
        let entry = entries.iter().find(|it| it.lease() == ended[0]).unwrap();
        let refused = store.retry_merge(entry.id).await.unwrap_err();
        assert_eq!(refused.kind, StoreErrorKind::Conflict);
        assert!(refused.message.contains(&ended[0].branch()), "{}", refused.message);
    }
}
