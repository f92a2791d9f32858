//! Random sequences of calls on the store and on a small model: the same answers, the same states,
//! and consistent tables.

use std::collections::BTreeSet;

use greenloop_hub::store::{StoreErrorKind, SweepOptions, TaskStore};
use greenloop_hub_api::types::{AttemptHeartbeat, ClaimRequest, Completion};
use greenloop_model::task::{GraphId, GraphState, Lease, TaskId, TaskState};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::invariants;
use crate::place::{BackDoor, Place};
use crate::work::{agent, beat, failure, graph, ids, task};

const AGENTS: [&str; 3] = ["a", "b", "c"];

/// A call; numbers select among the existing objects.
#[derive(Debug, Clone, Copy)]
enum Op {
    Claim(usize),
    Heartbeat(usize),
    /// The lease expires, and a hub detects it.
    Expire(usize),
    /// The lease expires, but its holder is faster.
    Overdue(usize),
    Complete(usize),
    Fail(usize, bool),
    Cancel(usize),
    Retry(usize),
    CancelGraph,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3_usize).prop_map(Op::Claim),
        2 => any::<usize>().prop_map(Op::Heartbeat),
        2 => any::<usize>().prop_map(Op::Expire),
        1 => any::<usize>().prop_map(Op::Overdue),
        5 => any::<usize>().prop_map(Op::Complete),
        3 => (any::<usize>(), prop::bool::weighted(0.7)).prop_map(|(n, it)| Op::Fail(n, it)),
        1 => any::<usize>().prop_map(Op::Cancel),
        2 => any::<usize>().prop_map(Op::Retry),
        1 => prop::bool::weighted(0.2).prop_map(|it| if it { Op::CancelGraph } else { Op::Claim(0) }),
    ]
}

/// Needs of each task: any of those before it. And how often it may be tried.
fn shape() -> impl Strategy<Value = Vec<(Vec<usize>, u32, i64)>> {
    prop::collection::vec((prop::collection::vec(any::<usize>(), 0..3), 1..4_u32, 0..3_i64), 1..6)
        .prop_map(|tasks| {
            let needs_of = |n: usize, needs: Vec<usize>| -> Vec<usize> {
                if n == 0 {
                    return Vec::new();
                }
                let some: BTreeSet<usize> = needs.into_iter().map(|it| it % n).collect();
                some.into_iter().collect()
            };
            tasks
                .into_iter()
                .enumerate()
                .map(|(n, (needs, tries, priority))| (needs_of(n, needs), tries, priority))
                .collect()
        })
}

#[derive(Debug, Clone)]
struct Modelled {
    needs: Vec<usize>,
    max_attempts: u32,
    priority: i64,
    state: TaskState,
    epoch: i64,
    attempts: u32,
    deaths: u32,
    /// The agents that failed or lost an attempt at it.
    tried: BTreeSet<usize>,
    /// Whether the current attempt was cancelled.
    cancelled: bool,
}

/// The model of the store.
#[derive(Debug, Clone)]
struct Model {
    tasks: Vec<Modelled>,
    graph: GraphState,
    /// All leases that were ever given: task, epoch, agent.
    leases: Vec<(usize, i64, usize)>,
}

impl Model {
    fn new(shape: &[(Vec<usize>, u32, i64)]) -> Self {
        let tasks = shape.iter().map(|(needs, max_attempts, priority)| Modelled {
            needs: needs.clone(),
            max_attempts: *max_attempts,
            priority: *priority,
            state: if needs.is_empty() { TaskState::Ready } else { TaskState::Waiting },
            epoch: 0,
            attempts: 0,
            deaths: 0,
            tried: BTreeSet::new(),
            cancelled: false,
        });
        Self { tasks: tasks.collect(), graph: GraphState::Running, leases: Vec::new() }
    }

    fn unmet(&self, task: usize) -> bool {
        self.tasks[task].needs.iter().any(|need| self.tasks[*need].state != TaskState::Done)
    }

    fn claim(&mut self, who: usize) -> Option<(usize, i64)> {
        let mut fitting: Vec<usize> = (0..self.tasks.len())
            .filter(|n| {
                let tried = &self.tasks[*n].tried;
                let others = (0..AGENTS.len()).filter(|it| *it != who);
                self.tasks[*n].state == TaskState::Ready
                    && (!tried.contains(&who) || others.into_iter().all(|it| tried.contains(&it)))
            })
            .collect();
        fitting.sort_by_key(|n| (self.tasks[*n].priority, *n));
        let task = *fitting.first()?;
        let one = &mut self.tasks[task];
        one.state = TaskState::Running;
        one.epoch += 1;
        one.attempts += 1;
        one.cancelled = false;
        self.leases.push((task, one.epoch, who));
        Some((task, one.epoch))
    }

    fn is_current(&self, task: usize, epoch: i64) -> bool {
        let one = &self.tasks[task];
        one.state == TaskState::Running && one.epoch == epoch
    }

    fn complete(&mut self, task: usize, epoch: i64) -> Option<TaskState> {
        if !self.is_current(task, epoch) {
            return None;
        }
        self.tasks[task].state = TaskState::Done;
        for n in 0..self.tasks.len() {
            if self.tasks[n].state == TaskState::Waiting && !self.unmet(n) {
                self.tasks[n].state = TaskState::Ready;
            }
        }
        self.settle();
        Some(TaskState::Done)
    }

    fn set_back(
        &mut self,
        (task, epoch, who): (usize, i64, usize),
        retry: bool,
        death: bool,
    ) -> Option<TaskState> {
        if !self.is_current(task, epoch) {
            return None;
        }
        let one = &mut self.tasks[task];
        one.tried.insert(who);
        one.deaths += u32::from(death);
        let again = retry && one.attempts < one.max_attempts && !(death && one.deaths >= 3);
        one.state = if again { TaskState::Ready } else { TaskState::Failed };
        let state = one.state;
        self.settle();
        Some(state)
    }

    fn cancel(&mut self, task: usize) {
        let one = &mut self.tasks[task];
        if !one.state.is_final() {
            one.cancelled |= one.state == TaskState::Running;
            one.state = TaskState::Cancelled;
            self.settle();
        }
    }

    fn cancel_graph(&mut self) {
        if self.graph == GraphState::Running {
            for one in &mut self.tasks {
                if !one.state.is_final() {
                    one.cancelled |= one.state == TaskState::Running;
                    one.state = TaskState::Cancelled;
                }
            }
            self.graph = GraphState::Cancelled;
        }
    }

    fn retry(&mut self, task: usize) -> bool {
        if !matches!(self.tasks[task].state, TaskState::Failed | TaskState::Cancelled) {
            return false;
        }
        let waits = self.unmet(task);
        let one = &mut self.tasks[task];
        one.state = if waits { TaskState::Waiting } else { TaskState::Ready };
        (one.attempts, one.deaths) = (0, 0);
        self.graph = GraphState::Running;
        self.settle();
        true
    }

    fn settle(&mut self) {
        let has = |state| self.tasks.iter().any(|it| it.state == state);
        if self.graph != GraphState::Running || has(TaskState::Ready) || has(TaskState::Running) {
            return;
        }
        self.graph = if self.tasks.iter().all(|it| it.state == TaskState::Done) {
            GraphState::Done
        } else if !has(TaskState::Failed) && has(TaskState::Cancelled) {
            GraphState::Cancelled
        } else {
            GraphState::Failed
        };
    }
}

/// The store and the model.
struct Pair<'a> {
    store: &'a TaskStore,
    door: &'a BackDoor,
    model: Model,
    graph: GraphId,
    tasks: Vec<TaskId>,
}

fn same<T: PartialEq + std::fmt::Debug>(
    got: &T,
    expect: &T,
    what: &str,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(got, expect, "{}", what);
    Ok(())
}

impl Pair<'_> {
    fn lease(&self, n: usize) -> Option<((usize, i64, usize), Lease)> {
        let count = self.model.leases.len();
        let one = *self.model.leases.get(n.checked_rem(count)?)?;
        Some((one, Lease { task: self.tasks[one.0], epoch: one.1 }))
    }

    async fn meddle(&self, lease: Lease) {
        let sql = format!(
            "UPDATE attempts SET expires_at = 1 WHERE task_id = {} AND epoch = {}",
            lease.task, lease.epoch
        );
        self.door.run(&sql).await.unwrap();
    }

    async fn step(&mut self, op: Op) -> Result<(), TestCaseError> {
        let stale = StoreErrorKind::StaleLease;
        let count = self.tasks.len();
        match op {
            Op::Claim(who) => {
                let request = ClaimRequest { lease_seconds: 600, ..agent(AGENTS[who]) };
                let got = self.store.claim(&request, None).await.unwrap().map(|it| it.lease());
                let expect = self.model.claim(who);
                let expect = expect.map(|(task, epoch)| Lease { task: self.tasks[task], epoch });
                same(&got, &expect, "claim")
            }
            Op::Heartbeat(n) | Op::Overdue(n) => {
                let Some(((task, epoch, _), lease)) = self.lease(n) else { return Ok(()) };
                if matches!(op, Op::Overdue(_)) {
                    self.meddle(lease).await;
                }
                let news = AttemptHeartbeat { percent: Some((n % 101) as u8), message: None };
                let got = self.store.heartbeat(lease, &news).await;
                let one = &self.model.tasks[task];
                let expect = if self.model.is_current(task, epoch) {
                    Ok(false)
                } else if one.epoch == epoch && one.cancelled {
                    Ok(true)
                } else {
                    Err(stale)
                };
                same(&got.map(|it| it.cancel).map_err(|it| it.kind), &expect, "heartbeat")
            }
            Op::Expire(n) => {
                let Some((one, lease)) = self.lease(n) else { return Ok(()) };
                self.meddle(lease).await;
                let swept = self.store.sweep(&SweepOptions::default()).await.unwrap();
                let expect = self.model.set_back(one, true, true).map(|_| lease);
                same(&swept.lost.first().copied(), &expect, "sweep")
            }
            Op::Complete(n) => {
                let Some(((task, epoch, _), lease)) = self.lease(n) else { return Ok(()) };
                let got = self.store.complete(lease, &Completion::default(), None).await;
                let expect = self.model.complete(task, epoch).ok_or(stale);
                same(&got.map_err(|it| it.kind), &expect, "complete")
            }
            Op::Fail(n, retry) => {
                let Some((one, lease)) = self.lease(n) else { return Ok(()) };
                let got = self.store.fail(lease, &failure(retry), None).await;
                let expect = self.model.set_back(one, retry, false).ok_or(stale);
                same(&got.map_err(|it| it.kind), &expect, "fail")
            }
            Op::Cancel(n) => {
                self.store.cancel_task(self.tasks[n % count], None).await.unwrap();
                self.model.cancel(n % count);
                Ok(())
            }
            Op::Retry(n) => {
                let got = self.store.retry_task(self.tasks[n % count], None).await;
                let expect = self.model.retry(n % count).then_some(());
                let got = got.map(drop).map_err(|it| it.kind);
                same(&got, &expect.ok_or(StoreErrorKind::Conflict), "retry")
            }
            Op::CancelGraph => {
                self.store.cancel_graph(self.graph, None).await.unwrap();
                self.model.cancel_graph();
                Ok(())
            }
        }
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let graph = self.store.graph(self.graph).await.unwrap();
        same(&graph.state, &self.model.graph, "the graph")?;
        let mut got = Vec::new();
        for id in &self.tasks {
            let task = self.store.task(*id).await.unwrap();
            let deaths = format!("SELECT deaths FROM tasks WHERE id = {id}");
            let deaths = self.door.number(&deaths).await.unwrap();
            got.push((task.state, task.epoch, task.attempts, deaths));
        }
        let expect: Vec<_> = self
            .model
            .tasks
            .iter()
            .map(|it| (it.state, it.epoch, it.attempts, i64::from(it.deaths)))
            .collect();
        same(&got, &expect, "the tasks")
    }
}

/// The store does what the model does.
pub(crate) async fn any_order_of_calls(place: &Place) {
    const CASES: u32 = 48;

    let store = place.open().await;
    for name in AGENTS {
        store.agent_heartbeat(&beat(name)).await.unwrap();
    }
    let door = place.back_door().await;
    let runtime = tokio::runtime::Handle::current();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let outcome = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(
            &(shape(), prop::collection::vec(op(), 1..40)),
            |(shape, ops)| {
                runtime.block_on(async {
                    let model = Model::new(&shape);
                    let tasks = shape.iter().enumerate().map(|(n, (needs, tries, priority))| {
                        let mut one = task(&n.to_string());
                        one.needs.clone_from(needs);
                        one.max_attempts = *tries;
                        one.priority = *priority;
                        one
                    });
                    let spec = graph(tasks.collect());
                    let id = store.submit(&spec, None, None).await.unwrap().id;
                    let tasks = ids(&store, id).await;
                    let mut pair = Pair { store: &store, door: &door, model, graph: id, tasks };
                    let mut outcome = Ok(());
                    for op in ops {
                        outcome = pair.step(op).await;
                        if outcome.is_err() {
                            break;
                        }
                    }
                    let outcome = match outcome {
                        Ok(()) => pair.compare().await,
                        failed => failed,
                    };
                    // The next case must not claim tasks of this one.
                    store.cancel_graph(id, None).await.unwrap();
                    let broken = invariants::broken(place, &door).await;
                    prop_assert_eq!(broken.as_str(), "");
                    outcome
                })
            },
        )
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    door.close().await;
}
