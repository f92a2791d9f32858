//! The reading of files, and what is found in them.

use proptest::prelude::*;

use super::*;
use crate::types::Action;
use greenloop_config::ProblemKind;

/// The graph of a text without `project`.
pub(super) fn graph(text: &str) -> TaskGraph {
    parse(&format!("project: {{name: p}}\n{text}"), "tasks.yaml").unwrap()
}

fn refused(text: &str) -> String {
    match parse(text, "tasks.yaml") {
        Ok(graph) => panic!("accepted: {graph:?}"),
        Err(error) => error.plain(),
    }
}

const FULL: &str = "\
project:
  name: fleet
  repository: https://example.org/fleet.git
  target: develop
  gates: [cargo test, npm run lint]
name: remediation
epics:
  - {key: 1, title: Backend, branch: epic-1/repositories}
tasks:
  - key: 1.10
    title: Base repositories
    command: echo base
    hours: 16
    done: true
  - key: 1.2
    title: Routes
    description: Migrate 186 routes
    epic: 1
    role: backend
    labels: [node]
    priority: P1
    hours: 2.5
    branch: agent-m/routes
    files: ['routes/*.ts']
    needs: [1.10]
    command: |
      echo one
      echo two
    timeout: 2h
    max_attempts: 2
  - key: review
    title: Review
    priority: 7
    conditions: [{epic: 1, at_least: 50%}]
    agent: Review the routes.
";

#[test]
fn a_file_means_what_it_says() {
    let graph = parse(FULL, "tasks.yaml").unwrap();
    assert_eq!((graph.project.as_str(), graph.name.as_str()), ("fleet", "remediation"));
    assert_eq!(graph.repository.as_deref(), Some("https://example.org/fleet.git"));
    assert_eq!((graph.target.as_str(), graph.gates.len()), ("develop", 2));
    assert_eq!(graph.epics[0].branch.as_deref(), Some("epic-1/repositories"));
    let [base, routes, review] = graph.tasks.as_slice() else { panic!("three tasks") };
    // A key is text: 1.10 is not 1.1.
    assert_eq!((base.key.as_str(), base.done, base.priority), ("1.10", true, 2));
    assert_eq!((routes.needs.as_slice(), routes.epic), (&[0][..], Some(0)));
    assert_eq!((routes.role.as_deref(), routes.labels.len()), (Some("backend"), 1));
    assert_eq!((routes.priority, routes.hours, routes.max_attempts), (1, 2.5, 2));
    assert_eq!(routes.timeout_seconds, Some(7200));
    assert_eq!(routes.action, Action::Command("echo one\necho two\n".into()));
    assert_eq!(
        (review.action.clone(), review.description.as_str()),
        (Action::Agent, "Review the routes.")
    );
    assert_eq!((review.priority, review.hours, review.max_attempts), (7, 1.0, 3));
    assert_eq!((review.conditions[0].epic, review.conditions[0].at_least), (0, 50));
    assert_eq!((routes.rank, review.rank), (3.5, 1.0));
}

#[test]
fn what_a_person_approves_is_said_for_each_task_and_for_all_merges() {
    for (written, start, merge) in [
        ("", false, false),
        (", approval: false", false, false),
        (", approval: true", true, false),
        (", approval: start", true, false),
        (", approval: merge", false, true),
        (", approval: [merge, start]", true, true),
        (", approval: []", false, false),
    ] {
        let graph = graph(&format!("tasks: [{{key: a, title: A, command: x{written}}}]"));
        let task = &graph.tasks[0];
        assert_eq!((task.approval, task.merge_approval), (start, merge), "{written}");
        assert!(!graph.merge_approval);
    }
    let text = "project: {name: p, approval: merge}\ntasks: [{key: a, title: A, command: x}]";
    assert!(parse(text, "tasks.yaml").unwrap().merge_approval);
    for (wrong, part) in [
        ("project: {name: p, approval: true}\ntasks: [{key: a, title: A, command: x}]", "merge"),
        ("project: {name: p}\ntasks: [{key: a, title: A, command: x, approval: mrege}]", "merge"),
        ("project: {name: p}\ntasks: [{key: a, title: A, command: x, approval: [both]}]", "both"),
    ] {
        let error = refused(wrong);
        assert!(error.contains(part), "{error}");
    }
}

/// Each is reported once: its line, what stands there, what is wrong, the way out.
#[test]
fn mistakes_are_told_with_their_place() {
    let task = |body: &str| format!("project: {{name: p}}\ntasks:\n  - {body}\n");
    let two = |a: &str, b: &str| {
        format!(
            "project: {{name: p}}\nepics: [{{key: one, title: One}}, {{key: two, title: Two}}]\n\
             tasks:\n  - {{key: alpha, title: A, command: x, {a}}}\n  \
             - {{key: beta, title: B, command: x, {b}}}\n"
        )
    };
    for (text, expect) in [
        (
            task("{key: a, title: A, command: x, titel: B}"),
            "3 titel: unknown key `titel` in `tasks[0]`\n  help: did you mean `title`?\n",
        ),
        (
            two("needs: [bta]", "hours: 1"),
            "4 bta: no task has the key `bta`\n  help: did you mean `beta`?\n",
        ),
        (
            two("epic: oen", "hours: 1"),
            "4 oen: no epic has the key `oen`\n  help: did you mean `one`?\n",
        ),
        (
            two("conditions: [{epic: three, at_least: 50%}]", "hours: 1"),
            "4 three: no epic has the key `three`\n  help: the epics are `one` and `two`\n",
        ),
        (
            task("{key: a, title: A, command: x}\n  - {key: a, title: B, command: y}"),
            "4 a: two tasks have the key `a`\n  help: the first one is in line 3; keys must be unique\n",
        ),
        (
            two("needs: [beta]", "needs: [alpha]"),
            "5 alpha: tasks need each other: alpha → beta → alpha\n  help: remove one of these `needs`, so that one task can start\n",
        ),
        (
            two("needs: [alpha]", "hours: 1"),
            "4 alpha: task `alpha` needs itself\n  help: remove one of these `needs`, so that one task can start\n",
        ),
        (
            two("needs: [beta, beta]", "hours: 1"),
            "4 beta: `beta` is listed twice\n  help: remove one of them\n",
        ),
        (
            two("epic: one, conditions: [{epic: one, at_least: 60%}]", "epic: one"),
            "4 60%: task `alpha` waits for 60% of epic `one`, which cannot exceed 50%\n  help: these tasks of the epic cannot start before: alpha\n",
        ),
        (
            two("conditions: [{epic: two, at_least: 1%}]", "epic: one"),
            "4 1%: task `alpha` waits for 1% of epic `two`, which cannot exceed 0%\n  help: no task belongs to epic `two`\n",
        ),
        (
            two("conditions: [{epic: one, at_least: 101%}]", "epic: one"),
            "4 101%: `101%` is not a valid percentage of an epic\n  help: use a whole percentage from 1% to 100%, for example 50%\n",
        ),
        (
            task("{key: a, title: A, command: x, hours: -1}"),
            "3 -1: `tasks[0].hours` is -1; it must be between 0 and 10000\n",
        ),
        (
            task("{key: a, title: A, command: x, hours: 1e9}"),
            "3 1e9: `tasks[0].hours` is 1000000000; it must be between 0 and 10000\n",
        ),
        (
            task("{key: a, title: A, command: x, max_attempts: 0}"),
            "3 0: `tasks[0].max_attempts` is 0; it must be between 1 and 20\n",
        ),
        (
            task("{key: a, title: A, command: x, priority: P7}"),
            "3 P7: `P7` is not a priority\n  help: use P0 (most urgent) to P3, or a number from 0 to 1000\n",
        ),
        (
            task("{key: a, title: A, command: x, timeout: 0s}"),
            "3 0s: `0s` is not a valid duration for an attempt\n  help: use seconds (90) or a number with a unit (90s, 5m, 2h), at most 7d\n",
        ),
        (task("{key: a, title: A, command: ' '}"), "3 ' ': `tasks[0].command` is empty\n"),
        (
            task("{key: a, title: A}"),
            "3 a: the task has nothing to do\n  help: add a `command`, or instructions under `agent`\n",
        ),
        (
            task("{key: a, title: A, command: x, agent: y}"),
            "3 y: a task has a `command` or an `agent`, not both\n  help: split it into two tasks, one of which needs the other\n",
        ),
        (
            task("{key: a, title: A, agent: x, description: y}"),
            "3 y: the task has two descriptions: `description` and `agent`\n  help: put everything that the agent must know under `agent`\n",
        ),
        (
            task("{key: a, title: A, command: x, branch: 'a b'}"),
            "3 'a b': `a b` is not a valid branch name\n  help: see `git help check-ref-format`\n",
        ),
        (
            task("{key: a, title: A, command: x, files: [../x]}"),
            "3 ../x: `../x` is not a valid file pattern\n  help: use a pattern relative to the repository's root: src/routes/*.ts\n",
        ),
        (
            "project: {name: p, repository: --upload-pack=x}\ntasks: [{key: a, title: A, command: x}]\n".into(),
            "1 --upload-pack=x: `--upload-pack=x` is not a valid repository address\n  help: use a form that `git clone` accepts: https://…, ssh://…, or a path\n",
        ),
        ("project: {name: p}\ntasks: []\n".into(), "2 tasks: `tasks` must not be empty\n"),
        (
            "project: {name: p}\n".into(),
            "1 project: `tasks` is missing\n  help: The tasks, in any order.\n",
        ),
    ] {
        let error = parse(&text, "tasks.yaml").unwrap_err();
        let problem = &error.problems()[0];
        let at = problem.position.as_ref().unwrap();
        let shown = &text[at.span.clone()];
        let help = problem.help.as_ref().map(|help| format!("  help: {help}\n"));
        let told = format!("{} {shown}: {problem}\n{}", at.line, help.unwrap_or_default());
        assert_eq!((told.as_str(), error.problems().len()), (expect, 1), "{text}");
    }
}

#[test]
fn every_mistake_is_told_at_once_and_many_are_bounded() {
    let mut text = String::from("project: {name: p}\ntasks:\n");
    for i in 0..3 {
        text.push_str(&format!("  - {{key: t{i}, title: T, command: x, needs: [nobody{i}]}}\n"));
    }
    assert_eq!(refused(&text).matches("no task has the key").count(), 3);
    for i in 3..2_000 {
        text.push_str(&format!("  - {{key: t{i}, title: T, command: x, need: [nobody{i}]}}\n"));
    }
    let error = parse(&text, "tasks.yaml").unwrap_err();
    assert_eq!(error.problems().len(), TASKS.most_problems);
}

/// A file of one long line would otherwise be printed whole beside each of its mistakes.
#[test]
fn mistakes_in_long_lines_show_the_part_around_them() {
    let tasks: Vec<String> = (0..500)
        .map(|i| format!("{{key: t{i}, title: Ä, command: x, need: [nobody{i}]}}"))
        .collect();
    let text = format!("project: {{name: p}}\ntasks: [{}]\n", tasks.join(", "));
    let error = parse(&text, "tasks.yaml").unwrap_err();
    for (one, problem) in error.each().zip(error.problems()) {
        let at = problem.position.as_ref().unwrap();
        let span = one.problems()[0].position.as_ref().unwrap().span.clone();
        let source = miette::Diagnostic::source_code(&one).unwrap();
        let span = miette::SourceSpan::new(span.start.into(), span.len());
        let shown = source.read_span(&span, 1, 1).unwrap();
        assert!(shown.data().len() < 500, "{}", shown.data().len());
        let marked = source.read_span(&span, 0, 0).unwrap();
        assert_eq!(marked.data(), &text.as_bytes()[at.span.clone()], "{problem}");
    }
}

#[test]
fn a_secret_is_refused_and_not_shown() {
    let token = format!("ghp_{}", "a1".repeat(18));
    let text = format!(
        "project: {{name: p}}\ntasks:\n  - {{key: a, title: A, command: 'push {token}'}}\n"
    );
    let error = parse(&text, "tasks.yaml").unwrap_err();
    assert_eq!(error.problems()[0].kind, ProblemKind::Secret);
    assert_eq!((error.line(), error.column()), (Some(3), Some(33)));
    assert!(!error.plain().contains(&token));
}

#[test]
fn too_much_is_refused() {
    let mut text = String::from("project: {name: p}\nepics:\n");
    for i in 0..=MOST_EPICS {
        text.push_str(&format!("  - {{key: e{i}, title: E}}\n"));
    }
    text.push_str("tasks: [{key: a, title: A, command: x}]\n");
    assert!(refused(&text).contains("has 1001 epics; the maximum is 1000"));
    let long = "# x\n".repeat(TASKS.longest / 4 + 1);
    assert_eq!(parse(&long, "tasks.yaml").unwrap_err().problems()[0].kind, ProblemKind::TooLarge);
}

#[test]
fn what_waits_for_a_condition_in_a_circle_is_found() {
    let text = "
epics: [{key: one, title: One}, {key: two, title: Two}]
tasks:
  - {key: a, title: A, command: x, epic: one, conditions: [{epic: two, at_least: 50%}]}
  - {key: b, title: B, command: x, epic: two, conditions: [{epic: one, at_least: 50%}]}
  - {key: c, title: C, command: x, needs: [a]}";
    let error = refused(&format!("project: {{name: p}}{text}"));
    assert!(error.contains("task `a` waits for 50% of epic `two`"), "{error}");
    assert!(error.contains("task `b` waits for 50% of epic `one`"), "{error}");
    assert!(!error.contains("task `c`"), "a consequence: {error}");
}

proptest! {
    /// Whatever is added to a sound graph as a need: it is refused exactly when the new need
    /// leads back to the task, and the cycle that is shown is one.
    #[test]
    fn cycles_are_found_and_are_cycles(seed in any::<u64>(), from in 0usize..40, to in 0usize..40) {
        let mut graph = fixtures::graph(seed);
        let count = graph.tasks.len();
        let (from, to) = (from % count, to % count);
        for task in &mut graph.tasks {
            task.conditions.clear();
        }
        let mut reachable = vec![to];
        let mut at = 0;
        while let Some(task) = reachable.get(at).copied() {
            at += 1;
            for need in &graph.tasks[task].needs {
                if !reachable.contains(need) {
                    reachable.push(*need);
                }
            }
        }
        if !graph.tasks[from].needs.contains(&to) {
            graph.tasks[from].needs.push(to);
        }
        let found = faults(&graph);
        prop_assert_eq!(!found.is_empty(), reachable.contains(&from));
        for fault in found {
            let Fault::Cycle(tasks) = fault else { panic!("there are no conditions") };
            for (i, task) in tasks.iter().enumerate() {
                prop_assert!(graph.tasks[*task].needs.contains(&tasks[(i + 1) % tasks.len()]));
            }
        }
    }

    /// A graph is refused for its conditions exactly when working through it in another order,
    /// one task after the other, gets stuck too; and what is named is stuck.
    #[test]
    fn what_is_refused_can_never_be_finished(
        seed in any::<u64>(),
        conditions in prop::collection::vec((0usize..40, 0usize..4, 1u8..=100), 0..4),
    ) {
        let mut graph = fixtures::graph(seed);
        for (task, epic, at_least) in conditions {
            let (task, epic) = (task % graph.tasks.len(), epic % graph.epics.len());
            graph.tasks[task].conditions.push(Condition { epic, at_least });
        }
        let mut done: Vec<bool> = graph.tasks.iter().map(|task| task.done).collect();
        loop {
            let mut now = graph.clone();
            for (task, done) in now.tasks.iter_mut().zip(&done) {
                task.done = *done;
            }
            let epics = epic_progress(&now);
            let next = (0..graph.tasks.len()).rev().find(|i| {
                let task = &graph.tasks[*i];
                !done[*i]
                    && task.needs.iter().all(|need| done[*need])
                    && task.conditions.iter().all(|c| epics[c.epic].has_reached(c.at_least))
            });
            let Some(next) = next else { break };
            done[next] = true;
        }
        let found = faults(&graph);
        prop_assert_eq!(found.is_empty(), done.iter().all(|done| *done));
        for fault in found {
            let Fault::Unmet { task, stuck, .. } = fault else { panic!("there are no cycles") };
            prop_assert!(!done[task] && stuck.iter().all(|task| !done[*task]));
        }
    }

    /// No text makes it panic.
    #[test]
    fn any_text_is_read_or_refused(text in "(project: \\{name: p\\}\n)?(tasks:\n)?( {0,2}[a-z\\-\\[\\]{}:,%.0-9 ]{0,12}\n){0,6}") {
        let _read_or_refused = parse(&text, "tasks.yaml");
    }
}
