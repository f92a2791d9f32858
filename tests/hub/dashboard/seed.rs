//! The data of a test's hub: the graph of the example project, half done.

use std::collections::BTreeMap;

use greenloop_hub_api::types::{
    Action, Agent, Attempt, EpicProgress, Event, Evidence, Graph, Merge, Snapshot, Summary, Task,
    Timestamp,
};
use greenloop_model::task::{
    AgentState, AttemptState, EventId, EvidenceKind, GraphId, GraphState, MergeId, MergeState,
    TaskEventKind, TaskId, TaskState,
};
use jiff::SignedDuration;

use super::stage::World;

/// Key, title, epic, hours, needs, state.
type Row = (&'static str, &'static str, &'static str, f64, &'static [&'static str], &'static str);

const TASKS: &[Row] = &[
    ("1.1", "Base repository and connection pool", "1", 16.0, &[], "done"),
    ("1.2", "Vehicles and drivers repositories", "1", 16.0, &["1.1"], "done"),
    ("1.3", "Maintenance domain repositories", "1", 24.0, &["1.1"], "running"),
    ("1.4", "Facilities and assets repositories", "1", 20.0, &["1.1"], "running"),
    ("1.5", "Incidents and compliance repositories", "1", 20.0, &["1.1"], "blocked"),
    ("1.6", "Remaining domain repositories", "1", 24.0, &["1.1"], "merging"),
    (
        "1.7",
        "Migrate 186 routes to repositories",
        "1",
        40.0,
        &["1.2", "1.3", "1.4", "1.5", "1.6"],
        "waiting",
    ),
    ("2.1", "Update the container configuration", "2", 16.0, &["1.1"], "ready"),
    ("2.2", "Register services by interface", "2", 12.0, &["2.1"], "waiting"),
    ("2.3", "Request-scoped contexts", "2", 12.0, &["2.1"], "waiting"),
    ("2.4", "Replace manual wiring in routes", "2", 12.0, &["1.7", "2.2", "2.3"], "waiting"),
    ("2.5", "Remove the old singletons", "2", 8.0, &["2.4"], "waiting"),
    ("3.1", "Reusable component library", "3", 16.0, &[], "done"),
    ("3.2", "Garage view refactoring", "3", 24.0, &["3.1"], "running"),
    ("3.3", "Inventory view refactoring", "3", 24.0, &["3.1"], "running"),
    ("3.4", "Task view refactoring", "3", 24.0, &["3.1"], "running"),
    (
        "3.5",
        "Apply the pattern to the remaining components",
        "3",
        32.0,
        &["3.2", "3.3", "3.4"],
        "waiting",
    ),
    ("4.1", "Vehicle schemas", "4", 8.0, &[], "done"),
    ("4.2", "Maintenance schemas", "4", 8.0, &[], "done"),
    ("4.3", "Work order schemas", "4", 8.0, &[], "done"),
    ("4.4", "User and role schemas", "4", 8.0, &["4.1"], "done"),
    ("4.5", "Schema middleware", "4", 8.0, &["4.1", "4.2", "4.3"], "done"),
    ("5.1", "Fix existing test errors", "5", 12.0, &[], "failed"),
    ("5.2", "Backend unit tests", "5", 40.0, &["1.7", "4.5", "5.1"], "waiting"),
    ("5.3", "Frontend unit tests", "5", 32.0, &["3.5", "5.1"], "waiting"),
    ("5.4", "Complete accessibility", "5", 24.0, &["3.1"], "running"),
    ("5.5", "End-to-end journeys", "5", 24.0, &["2.5", "5.2", "5.3"], "waiting"),
    ("5.6", "Security review and sign-off", "5", 20.0, &["2.5", "5.5"], "waiting"),
];

const EPICS: &[(&str, &str)] = &[
    ("1", "Backend repository layer"),
    ("2", "Container integration"),
    ("3", "Frontend components"),
    ("4", "Validation schemas"),
    ("5", "Testing and quality"),
];

const DIFF: &str = "\
diff --git a/api/src/routes/maintenance.ts b/api/src/routes/maintenance.ts
--- a/api/src/routes/maintenance.ts
+++ b/api/src/routes/maintenance.ts
@@ -41,6 +41,5 @@ router.get('/maintenance/:id', async (req, res) => {
   const { id } = req.params
-  const rows = await pool.query(
-    `SELECT * FROM maintenance WHERE id = ${id}`
-  )
-  res.json(rows[0])
+  const record = await maintenance.byId(Number(id))
+  if (!record) return res.status(404).end()
+  res.json(record)
 })
";

fn ago(minutes: i64) -> Timestamp {
    Timestamp((jiff::Timestamp::now() - SignedDuration::from_mins(minutes)).as_microsecond())
}

fn commit(number: usize) -> String {
    let digits = format!("{:016x}", (number as u64 + 7).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    digits.repeat(3)[..40].to_owned()
}

/// Who works on what, and how far it is.
const WORKING: &[(&str, &str, u8, &str)] = &[
    ("agent-d", "1.3", 62, "12 of 14 tests pass"),
    ("agent-e", "1.4", 35, "drafting the change"),
    ("agent-h", "3.2", 81, "the reviewer asks for a smaller component"),
    ("agent-i", "3.3", 18, "reading the files it may touch"),
    ("agent-j", "3.4", 54, "gates: lint"),
    ("agent-k", "5.4", 47, "labelling buttons"),
];

/// Everything at once: all states, all kinds of alerts, all panels filled.
pub(crate) fn project() -> World {
    let mut world = World { tasks: tasks(), agents: agents(), ..World::default() };
    for (index, (agent, key, percent, message)) in WORKING.iter().enumerate() {
        let task = world.task(key);
        task.agent = Some((*agent).to_owned());
        task.percent = *percent;
        let id = task.id;
        world.attempts.push(attempt(
            id,
            1,
            agent,
            AttemptState::Running,
            *percent,
            message,
            30 + 9 * index as i64,
        ));
    }
    world.task("3.4").updated_at = ago(41);
    world.task("1.5").reason = Some("it does not merge with 1.4".to_owned());
    world.task("5.1").reason = Some("3 of 3 attempts failed: 17 type errors remain".to_owned());
    world.task("5.1").attempts = 3;
    world.merges = merges(&mut world);
    world.evidence = evidence(world.task("1.6").id);
    let merging = world.task("1.6").id;
    world.attempts.push(Attempt {
        class: None,
        fingerprint: None,
        ended_at: Some(ago(4)),
        commit: Some(commit(6)),
        ..attempt(merging, 1, "agent-g", AttemptState::Succeeded, 100, "done", 64)
    });
    world.history = history(world.tasks.len() as u64);
    world.summary = Some(summary(&world.tasks));
    world.branches = WORKING
        .iter()
        .enumerate()
        .map(|(index, (_, key, ..))| {
            let id = world.task(key).id;
            serde_json::json!({ "name": format!("task/{id}/e1"), "task": id, "commit": commit(40 + index) })
        })
        .collect();
    world.runs = vec![
        serde_json::json!({ "id": "01JD3K9Y6W", "environment": "staging", "state": "verified", "commit": commit(80),
            "summary": "verified in 2 iterations, 1 patch", "started_at": ago(300), "ended_at": ago(293) }),
        serde_json::json!({ "id": "01JD3H2M4A", "environment": "production", "state": "restored", "commit": commit(81),
            "summary": "the smoke test failed, the last good release serves again", "started_at": ago(1620), "ended_at": ago(1616) }),
    ];
    world.graph = Some(graph(&world.tasks));
    world
}

/// A graph of `count` open tasks.
pub(crate) fn large(count: usize) -> World {
    let tasks: Vec<Task> = (0..count)
        .map(|index| {
            let mut needs = Vec::new();
            if index >= 10 {
                needs.extend(
                    [index - 1 - (index * 7) % 10, index - 1 - (index * 3) % 8]
                        .map(|at| TaskId(at as i64 + 1)),
                );
                needs.dedup();
            }
            let state = if index < 10 { "ready" } else { "waiting" };
            Task {
                needs,
                ..task(
                    TaskId(index as i64 + 1),
                    &format!("{}", index + 1),
                    &format!("Task {}", index + 1),
                    "1",
                    4.0,
                    state,
                )
            }
        })
        .collect();
    World {
        graph: Some(graph(&tasks)),
        summary: Some(summary(&tasks)),
        tasks,
        agents: agents(),
        ..World::default()
    }
}

/// An event of the first graph; the hub adds its number and time.
pub(crate) fn event(kind: &str) -> Event {
    Event {
        id: EventId(0),
        at: Timestamp(0),
        kind: TaskEventKind::from_name(kind).unwrap(),
        graph: Some(GraphId(1)),
        task: None,
        epoch: None,
        agent: None,
        merge: None,
        percent: None,
        text: None,
    }
}

fn graph(tasks: &[Task]) -> Graph {
    Graph {
        id: GraphId(1),
        project: "fleet".to_owned(),
        name: "Architecture remediation".to_owned(),
        repository: Some("https://git.example/fleet.git".to_owned()),
        target: "main".to_owned(),
        state: GraphState::Running,
        paused_since: None,
        run: None,
        tasks: by_state(tasks),
        percent: summary(tasks).percent,
        created_at: ago(660),
        ended_at: None,
    }
}

fn task(id: TaskId, key: &str, title: &str, epic: &str, hours: f64, state: &str) -> Task {
    let begun = !matches!(state, "waiting" | "ready");
    Task {
        id,
        graph: GraphId(1),
        key: key.to_owned(),
        title: title.to_owned(),
        description: format!(
            "{title}.\n\nDone when every query is parameterised and the gates pass."
        ),
        epic: Some(epic.to_owned()),
        role: Some(if matches!(epic, "3") { "frontend" } else { "backend" }.to_owned()),
        labels: Vec::new(),
        priority: 1,
        rank_hours: hours * 3.0,
        hours,
        branch: Some(format!("agent/{key}")),
        files: vec!["api/src/**".to_owned()],
        needs: Vec::new(),
        conditions: Vec::new(),
        action: Action::Agent,
        timeout_seconds: Some(7200),
        state: TaskState::from_name(state).unwrap(),
        reason: None,
        epoch: i64::from(begun),
        attempts: u32::from(begun),
        max_attempts: 3,
        percent: if state == "done" { 100 } else { 0 },
        agent: None,
        assigned: None,
        excluded: Vec::new(),
        commit: None,
        updated_at: ago(3),
    }
}

fn tasks() -> Vec<Task> {
    let place = |key: &str| TASKS.iter().position(|row| row.0 == key).unwrap() as i64 + 1;
    let place = |key: &str| TaskId(place(key));
    TASKS
        .iter()
        .map(|(key, title, epic, hours, needs, state)| Task {
            needs: needs.iter().map(|key| place(key)).collect(),
            ..task(place(key), key, title, epic, *hours, state)
        })
        .collect()
}

fn agents() -> Vec<Agent> {
    let hosts =
        ["hub-vm", "hub-vm", "hub-vm", "worker-vm-1", "worker-vm-1", "worker-vm-2", "worker-vm-2"];
    ('a'..='p')
        .enumerate()
        .map(|(index, letter)| {
            let name = format!("agent-{letter}");
            let work = WORKING.iter().find(|(agent, ..)| *agent == name);
            let state = match (letter, work) {
                ('p', _) => AgentState::Down,
                ('o', _) => AgentState::Draining,
                (_, Some(_)) => AgentState::Working,
                (_, None) => AgentState::Idle,
            };
            Agent {
                name,
                roles: vec![
                    if (7..12).contains(&index) { "frontend" } else { "backend" }.to_owned(),
                ],
                labels: Vec::new(),
                host: hosts.get(index).map_or_else(
                    || format!("cluster-node-{}", index - 6),
                    |host| (*host).to_owned(),
                ),
                version: "0.1.0".to_owned(),
                state,
                quarantine: None,
                quarantined_since: None,
                drain: false,
                task: work.map(|(_, key, ..)| {
                    TaskId(TASKS.iter().position(|row| row.0 == *key).unwrap() as i64 + 1)
                }),
                percent: work.map(|(_, _, percent, _)| *percent),
                cpu_percent: Some(7.0 + (index * 37 % 80) as f64),
                memory_bytes: Some((180 + index as u64 * 97 % 900) << 20),
                succeeded: index as u64 % 4,
                failed: index as u64 % 2,
                last_heartbeat: if letter == 'p' { ago(7) } else { ago(0) },
            }
        })
        .collect()
}

fn attempt(
    task: TaskId,
    epoch: i64,
    agent: &str,
    state: AttemptState,
    percent: u8,
    message: &str,
    minutes: i64,
) -> Attempt {
    Attempt {
        class: None,
        fingerprint: None,
        task,
        epoch,
        agent: agent.to_owned(),
        state,
        percent,
        message: Some(message.to_owned()),
        commit: None,
        started_at: ago(minutes),
        ended_at: None,
    }
}

fn merges(world: &mut World) -> Vec<Merge> {
    [
        ("1.1", "merged", None, 540),
        ("1.2", "merged", None, 300),
        ("3.1", "merged", None, 240),
        ("4.5", "merged", None, 120),
        ("1.5", "conflict", Some("api/src/routes/incidents.ts: both changed lines 40 to 71"), 9),
        ("1.6", "testing", None, 3),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (key, state, reason, minutes))| {
        let task = world.task(key);
        let merged = (state == "merged").then(|| commit(20 + index));
        Merge {
            id: MergeId(index as i64 + 1),
            project: "fleet".to_owned(),
            task: task.id,
            epoch: 1,
            branch: format!("task/{}/e1", task.id),
            commit: commit(index),
            target: format!("epic-{}", task.epic.clone().unwrap_or_default()),
            state: MergeState::from_name(state).unwrap(),
            merged,
            reason: reason.map(str::to_owned),
            unsolved: state == "conflict",
            approval: None,
            created_at: ago(minutes + 1),
            ended_at: (state != "testing").then(|| ago(minutes)),
        }
    })
    .collect()
}

fn evidence(task: TaskId) -> Vec<Evidence> {
    [
        ("diff", "1 file, +3 −4", DIFF, None),
        (
            "test",
            "14 tests passed",
            "test repositories::by_id ... ok\n\ntest result: ok. 14 passed",
            None,
        ),
        (
            "review",
            "approved: the query is parameterised",
            "The query takes its value as a parameter.",
            None,
        ),
        (
            "commit",
            "Put maintenance behind a repository",
            "",
            Some("https://git.example/fleet/commit/1"),
        ),
        ("citation", "a link that no browser may follow", "", Some("javascript:window.pwned=1")),
    ]
    .into_iter()
    .enumerate()
    .map(|(index, (kind, title, body, url))| Evidence {
        id: index as i64 + 1,
        task,
        epoch: 1,
        agent: "agent-g".to_owned(),
        kind: EvidenceKind::from_name(kind).unwrap(),
        title: title.to_owned(),
        body: body.to_owned(),
        url: url.map(str::to_owned),
        created_at: ago(6 - index as i64),
    })
    .collect()
}

fn history(tasks: u64) -> Vec<Snapshot> {
    let steps: [(i64, u64, f64); 9] = [
        (640, 0, 0.0),
        (560, 1, 8.0),
        (500, 2, 16.0),
        (400, 3, 32.0),
        (330, 4, 40.0),
        (250, 5, 48.0),
        (190, 6, 64.0),
        (110, 7, 80.0),
        (30, 8, 96.0),
    ];
    steps
        .iter()
        .map(|(minutes, tasks_done, hours_done)| Snapshot {
            at: ago(*minutes),
            graph: GraphId(1),
            tasks_done: *tasks_done,
            tasks,
            hours_done: *hours_done,
            hours: 532.0,
        })
        .collect()
}

fn by_state(tasks: &[Task]) -> BTreeMap<TaskState, u64> {
    let mut found = BTreeMap::new();
    for task in tasks {
        *found.entry(task.state).or_insert(0) += 1;
    }
    found
}

fn summary(tasks: &[Task]) -> Summary {
    let epic = |(key, title): &(&str, &str)| {
        let all: Vec<&Task> =
            tasks.iter().filter(|task| task.epic.as_deref() == Some(key)).collect();
        let (hours, done) = work(all.iter().copied());
        (!all.is_empty()).then(|| EpicProgress {
            graph: GraphId(1),
            key: (*key).to_owned(),
            title: (*title).to_owned(),
            tasks: all.len() as u64,
            tasks_done: all.iter().filter(|task| task.state == TaskState::Done).count() as u64,
            hours,
            hours_done: done,
            percent: 100.0 * done / hours,
        })
    };
    let (hours, hours_done) = work(tasks.iter());
    let velocity = (hours_done > 0.0).then_some(9.2);
    Summary {
        tasks: by_state(tasks),
        hours,
        hours_done,
        percent: 100.0 * hours_done / hours,
        tasks_last_hour: 2,
        velocity,
        eta_hours: velocity
            .map(|v| [0.75, 1.0, 1.5].map(|factor| factor * (hours - hours_done) / v)),
        epics: EPICS.iter().filter_map(epic).collect(),
    }
}

fn work<'a>(tasks: impl Iterator<Item = &'a Task>) -> (f64, f64) {
    tasks.fold((0.0, 0.0), |(all, done), task| {
        (all + task.hours, if task.state == TaskState::Done { done + task.hours } else { done })
    })
}
