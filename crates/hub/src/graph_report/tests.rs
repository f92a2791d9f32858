use super::*;
use crate::store::{MergeFacts, ReportFacts, ShareFacts, TaskFacts};
use greenloop_hub_api::types::{
    ActionCount, Graph, Timestamp, UnsuccessfulAttempt, UnsuccessfulMerge,
};
use greenloop_model::task::{
    AttemptState, GraphId, GraphState, MergeId, MergeState, TaskId, TaskState,
};
use greenloop_model::{ModelUsage, Usage};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_700_000_000 * SECOND;

/// A task without needs that nobody has worked on.
pub(super) fn task(place: usize, key: &str) -> TaskFacts {
    TaskFacts {
        id: TaskId(place as i64 + 1),
        key: key.to_owned(),
        title: format!("The task {key}"),
        epic: None,
        state: TaskState::Done,
        hours: 0.0,
        attempts: 0,
        conflicts: 0,
        agent: None,
        worked: None,
        needs: Vec::new(),
    }
}

fn minutes(minutes: u64) -> u64 {
    minutes * 60_000_000
}

fn share(agent: &str, state: AttemptState, attempts: u64, worked: Option<u64>) -> ShareFacts {
    ShareFacts { agent: agent.to_owned(), state, attempts, worked }
}

/// Four tasks by two workers and a person, with a conflict, a retry and a task without an estimate.
fn facts() -> ReportFacts {
    let unsuccessful =
        |epoch, agent: &str, state, class: Option<&str>, message: &str| UnsuccessfulAttempt {
            task: TaskId(2),
            key: "b|1".to_owned(),
            epoch,
            agent: agent.to_owned(),
            state,
            class: class.map(str::to_owned),
            message: Some(message.to_owned()),
            seconds: Some(300.0),
        };
    ReportFacts {
        now: Timestamp(START + 10_000 * SECOND),
        graph: Graph {
            id: GraphId(7),
            project: "fleet <2>".to_owned(),
            name: "sprint *12*".to_owned(),
            repository: None,
            target: "main".to_owned(),
            state: GraphState::Done,
            paused_since: None,
            run: None,
            tasks: [(TaskState::Done, 4)].into(),
            percent: 100.0,
            created_at: Timestamp(START),
            ended_at: Some(Timestamp(START + 7_200 * SECOND)),
        },
        started_at: Some(Timestamp(START)),
        tasks: vec![
            TaskFacts {
                hours: 1.0,
                attempts: 1,
                agent: Some("w1".to_owned()),
                worked: Some(minutes(60)),
                epic: Some("1".to_owned()),
                ..task(0, "a")
            },
            TaskFacts {
                title: "<b>Second</b>\n| row".to_owned(),
                hours: 0.5,
                attempts: 3,
                conflicts: 1,
                agent: Some("w2".to_owned()),
                worked: Some(minutes(30)),
                needs: vec![0],
                ..task(1, "b|1")
            },
            TaskFacts {
                attempts: 1,
                agent: Some("w2".to_owned()),
                worked: Some(minutes(45)),
                ..task(2, "c")
            },
            TaskFacts {
                hours: 2.0,
                attempts: 1,
                agent: Some("operator anna".to_owned()),
                needs: vec![1, 2],
                ..task(3, "d")
            },
        ],
        shares: vec![
            share("operator anna", AttemptState::Succeeded, 1, None),
            share("w1", AttemptState::Succeeded, 1, Some(minutes(60))),
            share("w1", AttemptState::Failed, 1, Some(minutes(5))),
            share("w2", AttemptState::Ejected, 1, Some(minutes(5))),
            share("w2", AttemptState::Succeeded, 2, Some(minutes(75))),
        ],
        unsuccessful: vec![
            unsuccessful(1, "w1", AttemptState::Failed, Some("code"), "exit 1\n`rm -rf /`"),
            unsuccessful(2, "w2", AttemptState::Ejected, None, "src/lib.rs"),
        ],
        merges: vec![
            MergeFacts { state: MergeState::Merged, entries: 3, took: minutes(3) },
            MergeFacts { state: MergeState::Conflict, entries: 1, took: minutes(1) },
        ],
        unsuccessful_merges: vec![UnsuccessfulMerge {
            id: MergeId(4),
            task: TaskId(2),
            key: "b|1".to_owned(),
            state: MergeState::Conflict,
            target: "main".to_owned(),
            reason: Some("src/lib.rs conflicts with <a>".to_owned()),
            ended_at: Some(Timestamp(START + 3_600 * SECOND)),
        }],
        actions: vec![ActionCount {
            operator: "anna".to_owned(),
            action: "task.resolve".to_owned(),
            count: 1,
        }],
        usage: vec![
            ModelUsage {
                model: "large at models.example.org".to_owned(),
                usage: Usage {
                    requests: 4,
                    input_tokens: 12_345,
                    output_tokens: 678,
                    cost_usd: 0.42,
                    ..Usage::default()
                },
            },
            ModelUsage {
                model: "own at localhost".to_owned(),
                usage: Usage {
                    requests: 2,
                    input_tokens: 900,
                    output_tokens: 80,
                    ..Usage::default()
                },
            },
        ],
        unreported: 1,
    }
}

/// Nothing has begun, and nobody has said anything.
fn nothing() -> ReportFacts {
    let facts = facts();
    ReportFacts {
        graph: Graph {
            state: GraphState::Running,
            tasks: [(TaskState::Ready, 1)].into(),
            ended_at: None,
            ..facts.graph
        },
        started_at: None,
        tasks: vec![TaskFacts { state: TaskState::Ready, ..task(0, "a") }],
        shares: Vec::new(),
        unsuccessful: Vec::new(),
        merges: Vec::new(),
        unsuccessful_merges: Vec::new(),
        actions: Vec::new(),
        usage: Vec::new(),
        unreported: 0,
        now: facts.now,
    }
}

#[test]
fn a_graph_with_a_conflict_a_retry_and_no_estimate_in_markdown() {
    insta::assert_snapshot!("markdown", markdown(&report(facts())));
}

#[test]
fn a_graph_with_a_conflict_a_retry_and_no_estimate_in_html() {
    insta::assert_snapshot!("html", html(&report(facts())));
}

#[test]
fn what_is_not_known_is_not_zero() {
    let report = report(nothing());
    assert!(report.speed_up.is_none() && report.elapsed_seconds.is_none());
    assert_eq!((report.estimates.compared_hours, report.tasks[0].estimate_hours), (None, None));
    insta::assert_snapshot!("nothing", markdown(&report));
}

#[test]
fn the_speed_up_is_held_against_the_bound() {
    let report = report(facts());
    let speed_up = report.speed_up.unwrap();
    // 135 minutes of work in 120, by two workers; a and b have to follow each other.
    assert_eq!((speed_up.work_seconds, speed_up.elapsed_seconds), (8_100.0, 7_200.0));
    assert_eq!((speed_up.workers, speed_up.critical_path_seconds), (2, 5_400.0));
    assert_eq!(speed_up.critical_path, ["a", "b|1"]);
    assert_eq!((speed_up.bound_seconds, speed_up.largest), (5_400.0, 1.5));
    assert!(speed_up.reached <= speed_up.largest);
    // Of 240 minutes, 135 were of use and 10 were not.
    assert_eq!((speed_up.unsuccessful_seconds, speed_up.idle_seconds), (600.0, 5_700.0));
    assert_eq!(speed_up.unmeasured_tasks, 1);
}

#[test]
fn with_few_workers_the_work_is_the_bound() {
    let mut facts = facts();
    facts.shares.retain(|share| share.agent == "w1");
    let speed_up = report(facts).speed_up.unwrap();
    assert_eq!((speed_up.workers, speed_up.bound_seconds), (1, 8_100.0));
}

/// More tasks than are listed: the sums are of all of them.
#[test]
fn a_large_graph_is_listed_in_part() {
    let mut facts = facts();
    facts.tasks = (0..20_000_usize)
        .map(|place| TaskFacts {
            hours: 1.0,
            worked: Some(minutes(1)),
            agent: Some("w1".to_owned()),
            needs: place.checked_sub(4).into_iter().collect(),
            ..task(place, &format!("t{place}"))
        })
        .collect();
    let report = report(facts);
    assert_eq!((report.tasks.len(), report.tasks_total), (5_000, 20_000));
    assert_eq!(report.estimates.compared_tasks, 20_000);
    let speed_up = report.speed_up.as_ref().unwrap();
    assert_eq!((speed_up.critical_path_tasks, speed_up.critical_path.len()), (5_000, 100));
    let (text, page) = (markdown(&report), html(&report));
    assert!(text.contains("15,000 more are not listed.") && page.contains("15,000 more"));
    assert_eq!(text.lines().filter(|line| line.starts_with("| t")).count(), 5_000);
}

#[test]
fn users_text_is_no_markup_in_either_format() {
    let mut facts = facts();
    let evil = "</td><script>alert(1)</script> | [x](javascript:x) \u{202e}";
    facts.graph.name = evil.to_owned();
    facts.tasks[0].title = evil.to_owned();
    facts.shares[1].agent = evil.to_owned();
    facts.unsuccessful[0].message = Some(evil.to_owned());
    facts.unsuccessful_merges[0].reason = Some(evil.to_owned());
    facts.usage[0].model = evil.to_owned();
    let report = report(facts);
    for text in [markdown(&report), html(&report)] {
        assert!(!text.contains("<script") && !text.contains('\u{202e}'), "{text}");
    }
    let text = markdown(&report);
    for line in text.lines().filter(|line| line.starts_with("| ") && line.contains("alert")) {
        let cells = line.replace(r"\|", "").matches('|').count();
        assert!([6, 7, 8, 10].contains(&cells), "{line}");
        assert!(!line.contains("[x]("), "{line}");
    }
}
