//! Random graphs, the same for the same seed.

use super::checked::{Condition, TaskGraph, TaskSpec};
use crate::types::{Action, EpicSubmission, TaskSubmission};

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `low` to `high`, both included.
    fn within(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.within(1, 100) <= percent
    }
}

fn empty(epics: usize) -> TaskGraph {
    let epic = |i: usize| EpicSubmission {
        key: (i + 1).to_string(),
        title: "An epic".into(),
        branch: None,
    };
    TaskGraph {
        project: "random".into(),
        repository: None,
        target: "main".into(),
        gates: Vec::new(),
        merge_approval: false,
        name: "random".into(),
        epics: (0..epics).map(epic).collect(),
        tasks: Vec::new(),
    }
}

fn add(graph: &mut TaskGraph, epic: Option<usize>, hours: f64, needs: Vec<usize>) -> usize {
    let key = graph.tasks.len().to_string();
    let action = Action::Command("true".into());
    let submission =
        TaskSubmission { priority: 2, hours, ..TaskSubmission::new(key.clone(), key, action) };
    graph.tasks.push(TaskSpec { epic, needs, ..TaskSpec::new(submission) });
    graph.tasks.len() - 1
}

/// Any sound graph of up to forty tasks: needs and epics that are waited for lead backwards, so
/// it can be finished. Some tasks have no hours, some are done, some have roles.
pub(super) fn graph(seed: u64) -> TaskGraph {
    let mut n = Numbers(seed);
    let epics = n.within(1, 4);
    let mut graph = empty(epics);
    for i in 0..n.within(1, 40) {
        let needs = (0..i).filter(|_| n.chance(12)).collect();
        let epic = n.chance(80).then(|| n.within(0, epics - 1));
        let hours = n.within(0, 9) as f64 / 2.0;
        let task = add(&mut graph, epic, hours, needs);
        let spec = &mut graph.tasks[task];
        spec.priority = n.within(0, 3) as i64;
        spec.role = n.chance(30).then(|| format!("role {}", n.within(1, 2)));
        spec.done = n.chance(10) && spec.needs.is_empty();
    }
    // Whoever waits for a share of an epic stands behind all of its tasks.
    for epic in 0..epics {
        let Some(last) = graph.tasks.iter().rposition(|task| task.epic == Some(epic)) else {
            continue;
        };
        for task in last + 1..graph.tasks.len() {
            if n.chance(25) && !graph.tasks[task].done {
                let at_least = n.within(1, 100) as u8;
                graph.tasks[task].conditions.push(Condition { epic, at_least });
            }
        }
    }
    graph
}

/// One epic of the documents' shape: a chain of tasks, then a fan of tasks that need its end,
/// sometimes joined by a last one that needs two to four of them.
struct Shape {
    tasks: usize,
    /// In steps of four, from and to.
    hours: (usize, usize),
    chain: (usize, usize),
    join_percent: usize,
    /// Of what comes first in the epic.
    conditions: Vec<(usize, u8)>,
}

fn epic(graph: &mut TaskGraph, n: &mut Numbers, epic: usize, shape: &Shape) {
    let hours = |n: &mut Numbers| 4.0 * n.within(shape.hours.0 / 4, shape.hours.1 / 4) as f64;
    let conditions = |graph: &mut TaskGraph, task: usize| {
        let conditions = shape.conditions.iter();
        graph.tasks[task].conditions = conditions
            .map(|(epic, at_least)| Condition { epic: *epic, at_least: *at_least })
            .collect();
    };
    let chain = n.within(shape.chain.0, shape.chain.1);
    let join = n.chance(shape.join_percent);
    let mut end = None;
    for _ in 0..chain {
        let own = hours(n);
        let task = add(graph, Some(epic), own, end.into_iter().collect());
        if end.is_none() {
            conditions(graph, task);
        }
        end = Some(task);
    }
    let mut fan = Vec::new();
    for _ in 0..shape.tasks - chain - usize::from(join) {
        let own = hours(n);
        let task = add(graph, Some(epic), own, end.into_iter().collect());
        if end.is_none() {
            conditions(graph, task);
        }
        fan.push(task);
    }
    if join {
        for kept in (1..fan.len()).rev() {
            fan.swap(kept, n.within(0, kept));
        }
        fan.truncate(n.within(2, 4));
        let own = hours(n);
        add(graph, Some(epic), own, fan);
    }
}

/// A graph of the shape of `examples/tasks/fleet-remediation.yaml`, nothing done yet: 27 or 28
/// tasks in five epics of seven, five, five, five and six (or five); chains that fan out to up
/// to six tasks and join again; the second epic begins when the first is half done, most of the
/// fifth when the others have reached 80 %; hours in steps of four, within each epic's range
/// there. All tasks have the same priority, as in the documents.
pub(super) fn of_the_documents_shape(seed: u64) -> TaskGraph {
    let mut n = Numbers(seed);
    let mut graph = empty(5);
    let last = n.within(5, 6);
    let free = n.within(1, 2);
    let shape = |tasks, hours, chain, join_percent, conditions| Shape {
        tasks,
        hours,
        chain,
        join_percent,
        conditions,
    };
    let late = (0..4).map(|epic| (epic, 80)).collect();
    for (i, shape) in [
        shape(7, (16, 40), (1, 2), 80, Vec::new()),
        shape(5, (8, 16), (1, 2), 50, vec![(0, 50)]),
        shape(5, (16, 32), (1, 2), 50, Vec::new()),
        shape(5, (4, 12), (0, 1), 50, Vec::new()),
        shape(last - free, (8, 40), (0, 0), 30, late),
    ]
    .iter()
    .enumerate()
    {
        epic(&mut graph, &mut n, i, shape);
    }
    for _ in 0..free {
        let hours = 4.0 * n.within(2, 10) as f64;
        add(&mut graph, Some(4), hours, Vec::new());
    }
    graph
}
