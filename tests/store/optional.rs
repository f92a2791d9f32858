//! Optional columns and filters: each first absent and then present, and the other way round, on
//! connections that cache prepared statements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use greenloop_hub::store::{
    AttemptFilter, GateRecord, MergeFilter, NewHold, PageRequest, Scope, StoreOptions, TaskFilter,
    TaskStore, TokenRequest,
};
use greenloop_hub_api::graph::TaskGraph;
use greenloop_hub_api::types::{
    Action, AgentHeartbeat, AttemptFailure, AttemptHeartbeat, ClaimRequest, Completion,
    EpicSubmission, NewEvidence, RunReport,
};
use greenloop_model::task::{
    AttemptState, EvidenceKind, GraphId, HoldDecision, HoldReason, Lease, MergeState, TaskState,
};

use crate::place::{BackDoor, Place, options};
use crate::work::{agent, beat, epic, graph, task};

const LEASE: Duration = Duration::from_secs(60);

/// What only people's actions and notifications fill, in `tests/hub/actions.rs` and
/// `tests/hub/notifications.rs` on both databases.
const ELSEWHERE: &[&str] = &[
    "agents.barred",
    "graphs.paused_at",
    "merge_targets.paused_at",
    "notification_deliveries.",
    "operator_actions.",
    "tasks.assigned",
];

/// The values seen in optional columns.
struct Watch {
    door: BackDoor,
    columns: Vec<String>,
    /// By column: whether NULL (`false`) and whether a value (`true`) was seen in it.
    seen: BTreeMap<String, BTreeSet<bool>>,
}

/// The optional columns of the schema, `table.column`. PostgreSQL's pending events are moved
/// quickly; the outbox has the same columns.
async fn optional_columns(place: &Place, door: &BackDoor) -> Vec<String> {
    let sql = if place.is_postgres() {
        "SELECT CAST(c.table_name || '.' || c.column_name AS TEXT) \
         FROM information_schema.columns c JOIN information_schema.tables t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' \
         AND c.is_nullable = 'YES' AND c.table_name <> 'outbox_pending' ORDER BY 1"
    } else {
        "SELECT m.name || '.' || c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' AND c.\"notnull\" = 0 AND c.pk = 0 ORDER BY 1"
    };
    door.texts(sql).await.unwrap()
}

impl Watch {
    /// Adds the current values of the columns.
    async fn look(&mut self) {
        let parts: Vec<String> = self
            .columns
            .iter()
            .flat_map(|name| {
                let (table, column) = name.split_once('.').unwrap();
                [(0, "IS NULL"), (1, "IS NOT NULL")].map(|(value, is)| {
                    format!(
                        "SELECT '{name} {value}' WHERE EXISTS \
                         (SELECT 1 FROM {table} WHERE {column} {is})"
                    )
                })
            })
            .collect();
        // Compound statements are limited in length.
        for part in parts.chunks(100) {
            for found in self.door.texts(&part.join(" UNION ALL ")).await.unwrap() {
                let (name, value) = found.rsplit_once(' ').unwrap();
                self.seen.entry(name.to_owned()).or_default().insert(value == "1");
            }
        }
    }
}

fn spec(number: usize, there: bool) -> TaskGraph {
    let mut tasks: Vec<_> = (0..6).map(|n| task(&n.to_string())).collect();
    let mut epics = Vec::new();
    if there {
        let branch = Some(format!("epic/{number}"));
        epics.push(EpicSubmission { branch, ..epic("1") });
        epics.push(epic("2"));
        tasks.iter_mut().for_each(|it| it.epic = Some(1));
        tasks[0].epic = Some(0);
        tasks[0].role = Some("dev".to_owned());
        tasks[0].branch = Some("people/name".to_owned());
        tasks[0].timeout_seconds = Some(5);
        tasks[5].done = true;
    } else {
        epics.push(epic("1"));
        tasks[0].action = Action::Agent;
    }
    let mut spec = graph(tasks);
    spec.project = format!("project-{number}");
    spec.epics = epics;
    if !there {
        spec.repository = None;
    }
    spec
}

async fn next(store: &TaskStore, key: Option<&str>) -> Lease {
    let request = ClaimRequest { roles: vec!["dev".to_owned()], ..agent("optional") };
    store.claim(&request, key).await.unwrap().expect("a task to claim").lease()
}

/// Every call that writes an optional column, once with and once without.
async fn calls(store: &TaskStore, number: usize, there: bool, watch: &mut Watch) -> GraphId {
    let text = |name: &str| there.then(|| format!("{name}-{number}"));
    let heartbeat = AgentHeartbeat {
        cpu_percent: there.then_some(1.5),
        memory_bytes: there.then_some(7),
        ..beat("optional")
    };
    store.agent_heartbeat(&heartbeat).await.unwrap();
    if there {
        let ill = AgentHeartbeat { quarantine: text("quarantine"), ..heartbeat.clone() };
        store.agent_heartbeat(&ill).await.unwrap();
        watch.look().await;
        store.agent_leaves("optional", "1").await.unwrap();
        watch.look().await;
        store.agent_heartbeat(&heartbeat).await.unwrap();
    }
    let run = RunReport {
        id: format!("run-{number}"),
        environment: "production".to_owned(),
        state: "running".to_owned(),
        commit: text("commit"),
        iterations: 1,
        summary: String::new(),
        report: String::new(),
    };
    store.report_run(&run).await.unwrap();
    let token = TokenRequest {
        name: "t".to_owned(),
        agent: text("agent"),
        scopes: vec![Scope::Read],
        valid_for: there.then_some(LEASE),
    };
    let token = store.create_token(&token).await.unwrap().token;
    if there {
        store.revoke_token(&token.id).await.unwrap();
    }
    let key = |name: &str| text(name);
    let id = store
        .submit(&spec(number, there), text("run").as_deref(), key("submit").as_deref())
        .await
        .unwrap()
        .id;
    // A failure, then a task with a commit, then one without.
    let lease = next(store, key("claim-1").as_deref()).await;
    watch.look().await;
    let news = AttemptHeartbeat { percent: there.then_some(3), message: text("message") };
    store.heartbeat(lease, &news).await.unwrap();
    let evidence = NewEvidence {
        kind: EvidenceKind::Log,
        title: "log".to_owned(),
        body: String::new(),
        url: text("url"),
    };
    store.add_evidence(lease, &evidence, key("evidence").as_deref()).await.unwrap();
    let failure = AttemptFailure {
        class: "code".to_owned(),
        message: "no".to_owned(),
        fingerprint: text("fingerprint"),
        retry: true,
        uncounted: false,
        quarantine: None,
        unreachable: false,
    };
    store.fail(lease, &failure, key("fail").as_deref()).await.unwrap();
    for n in 0..3 {
        let lease = next(store, key(&format!("merge-{n}")).as_deref()).await;
        let completion = Completion {
            commit: Some(format!("c{number}{n}")),
            summary: String::new(),
            branch: text("branch"),
        };
        store.complete(lease, &completion, key(&format!("end-{n}")).as_deref()).await.unwrap();
    }
    let lease = next(store, key("alone").as_deref()).await;
    store.complete(lease, &Completion::default(), key("end-alone").as_deref()).await.unwrap();
    watch.look().await;
    merges(store, number, there, watch).await;
    store.snapshot(key("snapshot").as_deref()).await.unwrap();
    id
}

/// One entry lands, one is ejected by its writer, one by a person.
async fn merges(store: &TaskStore, number: usize, there: bool, watch: &mut Watch) {
    let (mut count, mut rested) = (0, !there);
    while let Some(writer) = store.claim_merges("h", LEASE).await.unwrap() {
        watch.look().await;
        if !rested {
            rested = true;
            store.rest_merges(&writer, Duration::ZERO, Some("another")).await.unwrap();
            watch.look().await;
            continue;
        }
        for entry in store.next_merges(&writer, 10).await.unwrap() {
            count += 1;
            match (count, there) {
                (1, _) => {
                    let sha = format!("m{number}{}", entry.id);
                    store.merge_testing(&writer, entry.id, &sha).await.unwrap();
                    let record =
                        GateRecord { sha: sha.clone(), passed: true, detail: String::new() };
                    store.record_gates(&writer, &record).await.unwrap();
                    store.merge_landing(&writer, entry.id, &sha).await.unwrap();
                    store.merge_landed(&writer, entry.id, &sha).await.unwrap();
                }
                (2, true) | (3, false) => {
                    store.merge_conflict(&writer, entry.id, "both changed a", true).await.unwrap();
                }
                _person => {
                    store.eject_merge(entry.id, "a person says so").await.unwrap();
                }
            }
        }
        let text = |it: &str| there.then(|| it.to_owned());
        let hold = NewHold {
            reason: HoldReason::TargetRewound,
            tip: text("tip"),
            expected: text("expected"),
            commit: text("commit"),
            author: text("author"),
            text: "hold".to_owned(),
            lost: Vec::new(),
            tried: Vec::new(),
        };
        store.hold_merges(&writer, &hold, Duration::ZERO).await.unwrap();
        watch.look().await;
        let (project, target) =
            (there.then(|| format!("project-{number}")), there.then_some(&writer.target));
        let decision = HoldDecision::Follow;
        store.decide_hold(project.as_deref(), target.map(String::as_str), decision).await.unwrap();
        watch.look().await;
        let writer = store.claim_merges("h", LEASE).await.unwrap().unwrap();
        let tip = there.then_some("tip");
        store.follow_rewind(&writer, &[], &["gone".to_owned()], tip).await.unwrap();
        if there {
            store.pause_merges(&writer, Duration::ZERO, "no network").await.unwrap();
        } else {
            store.release_merges(&writer).await.unwrap();
        }
    }
    assert!(count >= 3, "{count} entries");
}

/// Every filter, with and without.
async fn filters(store: &TaskStore, graph: GraphId, there: bool) {
    let page = PageRequest::first(10);
    let text = |it: &str| there.then(|| it.to_owned());
    let filter = TaskFilter {
        graph: there.then_some(graph),
        state: there.then_some(TaskState::Done),
        epic: text("1"),
        role: text("dev"),
    };
    store.tasks(&filter, page).await.unwrap();
    store.ready(there.then_some(graph), 10).await.unwrap();
    store.summary(there.then_some(graph)).await.unwrap();
    let filter = MergeFilter {
        graph: there.then_some(graph),
        state: there.then_some(MergeState::Merged),
        target: text("main"),
    };
    store.merges(&filter, page).await.unwrap();
    let task = store.tasks(&TaskFilter::default(), page).await.unwrap().items[0].id;
    let filter = AttemptFilter {
        agent: text("optional"),
        task: there.then_some(task),
        state: there.then_some(AttemptState::Failed),
    };
    store.assignments(&filter, page).await.unwrap();
    store.graphs(page).await.unwrap();
    store.agents().await.unwrap();
    store.branches().await.unwrap();
    store.history(graph, page).await.unwrap();
    store.attempts(task, page).await.unwrap();
    store.evidence(task, page).await.unwrap();
}

pub(crate) async fn in_either_order(place: &Place) {
    for (round, order) in [[false, true], [true, false]].into_iter().enumerate() {
        // One connection of each kind: the second call uses the statements prepared by the first.
        let store = TaskStore::open(&place.url, StoreOptions { connections: 1, ..options() });
        let store = store.await.unwrap();
        let door = place.back_door().await;
        let mut columns = optional_columns(place, &door).await;
        columns.retain(|name| !ELSEWHERE.iter().any(|elsewhere| name.starts_with(elsewhere)));
        assert!(columns.len() > 40, "{columns:?}");
        let mut watch = Watch { door, columns, seen: BTreeMap::new() };
        for (n, there) in order.into_iter().enumerate() {
            let graph = calls(&store, 2 * round + n, there, &mut watch).await;
            watch.look().await;
            filters(&store, graph, there).await;
            let cpu = store.agent("optional").await.unwrap().cpu_percent;
            assert_eq!(cpu, there.then_some(1.5));
            store.cancel_graph(graph, None).await.unwrap();
            crate::work::events(&store).await;
            watch.look().await;
        }
        let both = BTreeSet::from([false, true]);
        let missed: Vec<&String> =
            watch.columns.iter().filter(|it| watch.seen.get(*it) != Some(&both)).collect();
        assert!(
            missed.is_empty(),
            "add calls that leave these columns NULL, and such that fill them: {missed:?}"
        );
        watch.door.close().await;
    }
}
