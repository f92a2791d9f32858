//! Each type as it is on the wire: `tests/golden/NAME.json`, written and read.
//!
//! `GREENLOOP_UPDATE=1 cargo nextest run -p greenloop-hub-api types::golden` writes the files again;
//! other people's programs read what is in them.

use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use greenloop_model::task::{
    AgentState, AttemptState, EventId, EvidenceKind, GraphId, GraphState, HoldDecision, HoldReason,
    MergeId, MergeState, TaskEventKind, TaskId, TaskState,
};
use greenloop_model::{ApprovalState, ApprovalSubject};

const AT: Timestamp = Timestamp(1_700_000_000_123_456);
const LATER: Timestamp = Timestamp(1_700_000_060_000_000);

/// Holds a value to its file, and the file to the value. Returns the file's name.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) -> String {
    let file = format!("{name}.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("GREENLOOP_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{name} is not what {} says", path.display());
    assert_eq!(serde_json::from_str::<T>(&kept).unwrap(), *value, "{name} is read otherwise");
    file
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn task() -> Task {
    Task {
        id: TaskId(7),
        graph: GraphId(3),
        key: text("1.2"),
        title: text("Repositories"),
        description: text("Move the queries"),
        epic: some("1"),
        role: some("backend"),
        labels: vec![text("gpu")],
        priority: 2,
        rank_hours: 12.5,
        hours: 4.0,
        branch: some("people/name"),
        files: vec![text("api/**")],
        needs: vec![TaskId(5), TaskId(6)],
        conditions: vec![ConditionSubmission { epic: text("0"), at_least: 80 }],
        action: Action::Command(text("just check")),
        timeout_seconds: Some(3600),
        state: TaskState::Running,
        reason: some("why"),
        epoch: 2,
        attempts: 1,
        max_attempts: 3,
        percent: 40,
        agent: some("w1"),
        assigned: some("w1"),
        excluded: vec![text("w2")],
        commit: some("c0ffee"),
        updated_at: AT,
    }
}

fn hold() -> MergeHold {
    MergeHold {
        reason: HoldReason::TargetRewound,
        tip: some("aa"),
        expected: some("bb"),
        commit: some("aa"),
        author: some("Ann"),
        text: text("main was moved"),
        lost: vec![text("bb 1.1 Title")],
        decision: Some(HoldDecision::Follow),
        since: AT,
    }
}

fn graphs_and_tasks() -> Vec<String> {
    let short = TaskSubmission::new("1.1", "Pool", Action::Agent);
    let submission = TaskSubmission {
        description: text("Move the queries"),
        epic: some("1"),
        role: some("backend"),
        labels: vec![text("gpu")],
        priority: 2,
        hours: 4.0,
        branch: some("people/name"),
        files: vec![text("api/**")],
        needs: vec![text("1.1")],
        conditions: vec![ConditionSubmission { epic: text("1"), at_least: 80 }],
        timeout_seconds: Some(3600),
        done: true,
        approval: true,
        merge_approval: true,
        ..TaskSubmission::new("1.2", "Repositories", Action::Command(text("just check")))
    };
    let epic = EpicSubmission { key: text("1"), title: text("Data"), branch: some("epic-1") };
    let graph = GraphSubmission {
        project: text("fleet"),
        repository: some("https://example.org/fleet.git"),
        target: text("main"),
        gates: vec![text("just check")],
        merge_approval: true,
        name: text("sprint"),
        run: some("0198"),
        epics: vec![epic],
        tasks: vec![short, submission],
    };
    let shown = Graph {
        id: GraphId(3),
        project: text("fleet"),
        name: text("sprint"),
        repository: None,
        target: text("main"),
        state: GraphState::Running,
        paused_since: Some(LATER),
        run: None,
        tasks: [(TaskState::Waiting, 2), (TaskState::Ready, 1), (TaskState::Done, 4)].into(),
        percent: 33.3,
        created_at: AT,
        ended_at: None,
    };
    vec![
        golden("graph_submission", &graph),
        golden("graph", &shown),
        golden("task", &task()),
        golden("page_of_tasks", &Page { items: vec![task()], next: some("8") }),
    ]
}

fn work() -> Vec<String> {
    let claim = ClaimRequest {
        agent: text("w1"),
        instance: text("5f0c"),
        roles: vec![text("backend")],
        labels: vec![text("gpu")],
        lease_seconds: 90,
        wait_seconds: 20,
        unreachable: vec![text("https://example.org/away.git")],
    };
    let reachable = ClaimRequest { unreachable: Vec::new(), ..claim.clone() };
    let claimed = Claimed {
        task: task(),
        epoch: 2,
        lease_seconds: 90,
        repository: some("https://example.org/fleet.git"),
        target: text("main"),
        branch: text("task/7/e2"),
        gates: vec![text("just check")],
        previous: some("it did not merge"),
    };
    let heartbeat = AttemptHeartbeat { percent: Some(40), message: some("compiling") };
    let evidence = NewEvidence {
        kind: EvidenceKind::PullRequest,
        title: text("#12"),
        body: text("merged"),
        url: some("https://example.org/12"),
    };
    let kept = Evidence {
        id: 9,
        task: TaskId(7),
        epoch: 2,
        agent: text("w1"),
        kind: EvidenceKind::Log,
        title: text("the end"),
        body: text("error"),
        url: None,
        created_at: AT,
    };
    let completion = Completion { commit: some("c0ffee"), summary: text("done"), branch: None };
    let elsewhere = Completion { branch: some("task/7/e2-c0ffee"), ..completion.clone() };
    let failure = AttemptFailure {
        class: text("code"),
        message: text("a test failed"),
        fingerprint: some("f1"),
        retry: true,
        uncounted: false,
        quarantine: None,
        unreachable: false,
    };
    let returned = AttemptFailure {
        uncounted: true,
        quarantine: some("the disk is full"),
        unreachable: true,
        ..failure.clone()
    };
    let attempt = Attempt {
        task: TaskId(7),
        epoch: 2,
        agent: text("w1"),
        state: AttemptState::Failed,
        percent: 40,
        message: some("compiling"),
        commit: None,
        class: some("code"),
        fingerprint: some("f1"),
        started_at: AT,
        ended_at: Some(LATER),
    };
    vec![
        golden("claim_request", &claim),
        golden("claim_request_short", &reachable),
        golden("claimed", &claimed),
        golden("attempt_heartbeat", &heartbeat),
        golden("attempt_lease", &AttemptLease { lease_seconds: 90, cancel: false }),
        golden("new_evidence", &evidence),
        golden("evidence", &kept),
        golden("completion", &completion),
        golden("completion_elsewhere", &elsewhere),
        golden("attempt_failure", &failure),
        golden("attempt_failure_returned", &returned),
        golden("attempt", &attempt),
    ]
}

fn agents() -> Vec<String> {
    let heartbeat = AgentHeartbeat {
        name: text("w1"),
        instance: text("5f0c"),
        roles: vec![text("backend")],
        labels: Vec::new(),
        host: text("vm-1"),
        version: text("0.1.0"),
        cpu_percent: Some(12.5),
        memory_bytes: Some(1 << 30),
        draining: false,
        quarantine: None,
        period_seconds: None,
        unreachable: Vec::new(),
    };
    let unfit = AgentHeartbeat {
        quarantine: some("the disk is full"),
        period_seconds: Some(30),
        unreachable: vec![text("https://example.org/away.git")],
        ..heartbeat.clone()
    };
    let agent = Agent {
        name: text("w1"),
        roles: vec![text("backend")],
        labels: Vec::new(),
        host: text("vm-1"),
        version: text("0.1.0"),
        state: AgentState::Working,
        quarantine: None,
        quarantined_since: None,
        drain: true,
        task: Some(TaskId(7)),
        percent: Some(40),
        cpu_percent: Some(12.5),
        memory_bytes: Some(1 << 30),
        succeeded: 3,
        failed: 1,
        last_heartbeat: AT,
    };
    let alert = Alert {
        kind: text("no_worker"),
        text: text("no live worker has the role `gpu`"),
        role: some("gpu"),
        labels: Vec::new(),
        count: 1,
        tasks: vec![AlertTask { id: TaskId(7), graph: GraphId(3), key: text("1.2") }],
        agent: None,
        since: AT,
    };
    let progress = AgentProgress {
        name: text("w1"),
        state: AgentState::Idle,
        task: None,
        percent: None,
        succeeded: 3,
        failed: 1,
        busy_hours: 1.5,
        first_seen: AT,
    };
    vec![
        golden("agent_heartbeat", &heartbeat),
        golden("agent_heartbeat_unfit", &unfit),
        golden("agent_leaving", &AgentLeaving { instance: text("5f0c") }),
        golden("agent", &agent),
        golden("alert", &alert),
        golden("agent_progress", &progress),
    ]
}

fn merges() -> Vec<String> {
    let merge = Merge {
        id: MergeId(4),
        project: text("fleet"),
        task: TaskId(7),
        epoch: 2,
        branch: text("task/7/e2"),
        commit: text("c0ffee"),
        target: text("main"),
        state: MergeState::Merged,
        merged: some("bb"),
        reason: None,
        unsolved: false,
        approval: Some(4),
        created_at: AT,
        ended_at: Some(LATER),
    };
    let branch = Branch {
        name: text("main"),
        kind: text("target"),
        project: some("fleet"),
        repository: some("https://example.org/fleet.git"),
        commit: some("bb"),
        task: None,
        writer: some("hub-1"),
        queued: 2,
        testing: 1,
        merged: 8,
        paused_until: Some(LATER),
        reason: some("the network is down"),
        paused_since: Some(LATER),
        hold: Some(hold()),
    };
    let decision = HoldDecisionRequest {
        project: None,
        target: some("main"),
        decision: HoldDecision::Restore,
        reason: text("the push was a mistake"),
    };
    vec![
        golden("merge", &merge),
        golden("branch", &branch),
        golden("hold_decision", &decision),
        golden("ejection", &Ejection { reason: text("not now") }),
    ]
}

fn logs() -> Vec<String> {
    let log = TaskLog {
        task: TaskId(7),
        epoch: 2,
        source: text("gate 1"),
        size: 4096,
        ended: true,
        created_at: AT,
        updated_at: LATER,
    };
    let part = LogPart {
        epoch: 2,
        source: text("attempt"),
        offset: 0,
        text: text("\u{1b}[31merror\u{1b}[0m: no\n"),
        next: 21,
        size: 21,
        ended: false,
    };
    let found = LogMatch {
        task: TaskId(7),
        epoch: 2,
        source: text("attempt"),
        offset: 0,
        line: text("error: no"),
    };
    vec![
        golden("log_append", &LogAppend { offset: 4096, text: text("next\n") }),
        golden("log_size", &LogSize { size: 4101 }),
        golden("task_log", &log),
        golden("log_part", &part),
        golden("log_matches", &LogMatches { items: vec![found], complete: true }),
    ]
}

fn actions() -> Vec<String> {
    let reason = || text("the disk is replaced");
    let edit = TaskEdit {
        reason: reason(),
        title: some("Repositories"),
        description: some("Move the queries"),
        command: some("./move"),
        files: Some(vec![text("api/**")]),
        priority: Some(1),
        max_attempts: Some(5),
    };
    let new = NewTask {
        graph: GraphId(3),
        task: TaskSubmission::new("1.3", "Views", Action::Agent),
        reason: reason(),
    };
    let assignment =
        TaskAssignment { agent: some("w1"), exclude: vec![text("w2")], reason: reason() };
    let resolution =
        Resolution { commit: "a".repeat(40), branch: some("fix/views"), reason: reason() };
    let queue = QueueRequest { project: some("fleet"), target: some("main"), reason: reason() };
    let action = OperatorAction {
        id: 4,
        at: AT,
        operator: text("alice"),
        token: text("3f0c12ab98de"),
        action: text("task.retry"),
        reason: reason(),
        graph: Some(GraphId(3)),
        task: Some(TaskId(7)),
        agent: None,
        merge: None,
        target: None,
        before: serde_json::json!({"state": "failed"}),
        after: serde_json::json!({"state": "ready"}),
    };
    vec![
        golden("action_request", &ActionRequest { reason: reason() }),
        golden("retry_request", &RetryRequest { reason: reason(), dependants: true }),
        golden("task_edit", &edit),
        golden("new_task", &new),
        golden("task_assignment", &assignment),
        golden("resolution", &resolution),
        golden("queue_request", &queue),
        golden("operator_action", &action),
        golden("session", &Session { name: some("alice"), scope: text("admin") }),
    ]
}

fn approvals() -> Vec<String> {
    let submission = ApprovalSubmission {
        run: text("0198"),
        environment: text("staging"),
        subject: ApprovalSubject::Patch,
        iteration: 1,
        commit: some("c0ffee"),
        base_tree: text("aa"),
        new_tree: text("bb"),
        policy: text("cc"),
        request: text("apply the patch?"),
        diff: text("--- a/x"),
        evidence: text("error: x"),
        review: text("approve: right"),
        timeout_seconds: 3600,
        lease_seconds: 60,
    };
    let approval = Approval {
        id: 4,
        subject: ApprovalSubject::Patch,
        state: ApprovalState::Approved,
        scope: text("dd"),
        run: some("0198"),
        environment: some("staging"),
        iteration: 1,
        graph: None,
        task: None,
        merge: None,
        commit: some("c0ffee"),
        base_tree: some("aa"),
        new_tree: some("bb"),
        policy: some("cc"),
        request: text("apply the patch?"),
        diff: text("--- a/x"),
        evidence: text("error: x"),
        review: text("approve: right"),
        created_at: AT,
        expires_at: Some(LATER),
        ended_at: Some(LATER),
        requested_by: some("ci"),
        decided_by: some("alice"),
        reason: text("it is right"),
    };
    let decision = ApprovalDecision { reason: text("it is right"), scope: some("dd") };
    vec![
        golden("approval_submission", &submission),
        golden("approval", &approval),
        golden("approval_decision", &decision),
    ]
}

fn the_rest() -> Vec<String> {
    let event = Event {
        id: EventId(41),
        at: AT,
        kind: TaskEventKind::TaskDone,
        graph: Some(GraphId(3)),
        task: Some(TaskId(7)),
        epoch: Some(2),
        agent: some("w1"),
        merge: Some(MergeId(4)),
        percent: Some(100),
        text: some("done"),
    };
    let note = LiveNote { note: text("bye"), reason: some("slow"), after: 41 };
    let epic = EpicProgress {
        graph: GraphId(3),
        key: text("1"),
        title: text("Data"),
        tasks: 4,
        tasks_done: 1,
        hours: 16.0,
        hours_done: 4.0,
        percent: 25.0,
    };
    let summary = Summary {
        tasks: [(TaskState::Waiting, 3), (TaskState::Done, 1)].into(),
        hours: 16.0,
        hours_done: 4.0,
        percent: 25.0,
        tasks_last_hour: 1,
        velocity: Some(2.0),
        eta_hours: Some([4.5, 6.0, 9.0]),
        epics: vec![epic],
    };
    let snapshot = Snapshot {
        at: AT,
        graph: GraphId(3),
        tasks_done: 1,
        tasks: 4,
        hours_done: 4.0,
        hours: 16.0,
    };
    let report = RunReport {
        id: text("0198"),
        environment: text("staging"),
        state: text("running"),
        commit: some("c0ffee"),
        iterations: 2,
        summary: text("the gates run"),
        report: text("# Run"),
    };
    let run = Run {
        id: text("0198"),
        environment: text("staging"),
        state: text("verified"),
        commit: None,
        iterations: 2,
        summary: String::new(),
        report: String::new(),
        started_at: AT,
        updated_at: LATER,
        ended_at: Some(LATER),
    };
    let dependency = Dependency {
        name: text("redis"),
        status: text("down"),
        optional: true,
        detail: some("connection refused"),
        latency_ms: None,
    };
    let health = Health {
        status: text("degraded"),
        store: text("ok"),
        notifications: text("ok"),
        redis: text("down"),
        version: text("0.1.0"),
        uptime_seconds: 60,
        dependencies: vec![dependency],
    };
    let problem = Problem {
        kind: text("urn:greenloop:problem:stale-lease"),
        title: text("Stale lease"),
        status: 409,
        detail: text("another has the task"),
    };
    vec![
        golden("event", &event),
        golden("live_note", &note),
        golden("summary", &summary),
        golden("snapshot", &snapshot),
        golden("snapshots_taken", &SnapshotsTaken { graphs: 2 }),
        golden("run_report", &report),
        golden(
            "flake_report",
            &FlakeReport {
                repository: text("github.com/acme/fleet"),
                tests: vec![text("tests::routes_are_short")],
            },
        ),
        golden("flake", &Flake { test: text("tests::routes_are_short"), seen_at: AT }),
        golden("run", &run),
        golden("health", &health),
        golden("problem", &problem),
    ]
}

fn reports() -> Vec<String> {
    let graph = Graph {
        id: GraphId(3),
        project: text("fleet"),
        name: text("sprint"),
        repository: None,
        target: text("main"),
        state: GraphState::Done,
        paused_since: None,
        run: None,
        tasks: [(TaskState::Done, 1)].into(),
        percent: 100.0,
        created_at: AT,
        ended_at: Some(LATER),
    };
    let report = GraphReport {
        at: LATER,
        graph,
        started_at: Some(AT),
        elapsed_seconds: Some(59.5),
        estimates: ReportEstimates {
            hours: 2.5,
            tasks_without_estimate: 0,
            compared_tasks: 1,
            compared_hours: Some(2.5),
            compared_seconds: Some(30.5),
        },
        speed_up: Some(SpeedUp {
            work_seconds: 30.5,
            unmeasured_tasks: 0,
            elapsed_seconds: 59.5,
            reached: 0.5,
            workers: 1,
            critical_path_seconds: 30.5,
            critical_path: vec![text("1.2")],
            critical_path_tasks: 1,
            bound_seconds: 30.5,
            largest: 1.0,
            unsuccessful_seconds: 5.5,
            idle_seconds: 23.5,
        }),
        contributors: vec![Contributor {
            name: text("w1"),
            succeeded: 1,
            failed: 1,
            lost: 0,
            other: 0,
            running: 0,
            worked_seconds: Some(36.0),
        }],
        actions: vec![ActionCount { operator: text("anna"), action: text("task.retry"), count: 1 }],
        costs: ReportCosts {
            models: vec![ModelCost {
                model: text("large at models.example.org"),
                requests: 2,
                input_tokens: 1500,
                output_tokens: 20,
                cost_usd: None,
            }],
            unreported_attempts: 1,
        },
        merges: ReportMerges {
            merged: 1,
            average_seconds: Some(2.5),
            conflicts: 1,
            ejected: 0,
            open: 0,
            unsuccessful: vec![UnsuccessfulMerge {
                id: MergeId(4),
                task: TaskId(7),
                key: text("1.2"),
                state: MergeState::Conflict,
                target: text("main"),
                reason: some("src/lib.rs"),
                ended_at: Some(LATER),
            }],
        },
        unsuccessful: vec![UnsuccessfulAttempt {
            task: TaskId(7),
            key: text("1.2"),
            epoch: 1,
            agent: text("w1"),
            state: AttemptState::Failed,
            class: some("code"),
            message: some("exit 1"),
            seconds: Some(5.5),
        }],
        unsuccessful_total: 1,
        tasks: vec![ReportTask {
            id: TaskId(7),
            key: text("1.2"),
            title: text("Repositories"),
            epic: some("1"),
            state: TaskState::Done,
            agent: some("w1"),
            attempts: 2,
            conflicts: 1,
            estimate_hours: Some(2.5),
            actual_seconds: Some(30.5),
        }],
        tasks_total: 1,
    };
    let mut tasks = GraphTasks::new(GraphId(3), vec![text("1")]);
    tasks.push(GraphTask {
        id: TaskId(7),
        key: text("1.2"),
        title: text("Repositories"),
        state: TaskState::Running,
        epic: Some(0),
        role: some("backend"),
        labels: vec![text("gpu")],
        hours: 4.0,
        epoch: 2,
        percent: 40,
        agent: some("w1"),
        reason: None,
        updated_at: AT,
        needs: Vec::new(),
    });
    let timeline = Timeline {
        graph: GraphId(3),
        started_at: Some(AT),
        until: LATER,
        workers: vec![text("w1")],
        tasks: vec![TaskId(7), TaskId(7)],
        epochs: vec![1, 2],
        worker: vec![0, 0],
        states: vec![AttemptState::Failed, AttemptState::Running],
        begins: vec![0.0, 12.5],
        ends: vec![Some(2.5), None],
        more: false,
    };
    vec![
        golden("graph_report", &report),
        golden("graph_tasks", &tasks),
        golden("timeline", &timeline),
    ]
}

#[test]
fn every_type_is_on_the_wire_what_its_file_says() {
    let mut held = [
        graphs_and_tasks(),
        work(),
        agents(),
        merges(),
        actions(),
        logs(),
        approvals(),
        reports(),
        the_rest(),
    ]
    .concat();
    held.sort();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut files: Vec<String> = files.map(|name| name.into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, held, "each file is of a type");
}

/// What a program of an earlier version sends: the optional fields left out.
#[test]
fn what_may_be_left_out_is_not_asked_for() {
    let task = r#"{"key":"1","title":"t","action":"agent"}"#;
    let read: TaskSubmission = serde_json::from_str(task).unwrap();
    assert_eq!(read, TaskSubmission::new("1", "t", Action::Agent));
    let claim = r#"{"agent":"w","instance":"1","roles":[],"lease_seconds":60}"#;
    let read: ClaimRequest = serde_json::from_str(claim).unwrap();
    assert_eq!((read.wait_seconds, read.labels.len(), read.unreachable.len()), (0, 0, 0));
    let failure = r#"{"class":"code","message":"m","retry":true}"#;
    let read: AttemptFailure = serde_json::from_str(failure).unwrap();
    assert!(!read.uncounted && !read.unreachable && read.quarantine.is_none());
    serde_json::from_str::<Completion>("{}").unwrap();
    serde_json::from_str::<AttemptHeartbeat>("{}").unwrap();
    serde_json::from_str::<ClaimRequest>(r#"{"agent":"w","unknown":1}"#).unwrap_err();
}
