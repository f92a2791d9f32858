//! A graph as text, for Graphviz and for Mermaid.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{counted, hours, summary};
use greenloop_hub_api::graph::{TaskGraph, TaskSpec, epic_progress};

/// Deeper than this the tree is not indented any further.
const DEEPEST: usize = 24;

/// Each task below the need that comes last when everything begins as soon as its needs allow;
/// its other needs stand beside it. The only dependant of a task stands at the same depth, so
/// that chains run straight down.
pub(super) fn tree(graph: &TaskGraph) -> String {
    let mut out = format!("{}: {}\n", graph.name, summary(graph));
    for (epic, progress) in graph.epics.iter().zip(epic_progress(graph)) {
        line(
            &mut out,
            format_args!(
                "epic {}  {}  {}, {} h, {:.0} % done",
                epic.key,
                epic.title,
                counted(progress.tasks, "task"),
                hours(progress.hours),
                progress.percent()
            ),
        );
    }
    out.push('\n');
    let parents = parents(graph);
    let mut children = vec![Vec::new(); graph.tasks.len()];
    let mut roots = Vec::new();
    for (task, parent) in parents.iter().enumerate() {
        match parent {
            Some(parent) => children[*parent].push(task),
            None => roots.push(task),
        }
    }
    // The prefix of what stands below, and the task with the branch that leads to it.
    let mut open: Vec<(String, &str, usize)> =
        roots.iter().rev().map(|root| (String::new(), "", *root)).collect();
    while let Some((prefix, branch, task)) = open.pop() {
        line(&mut out, format_args!("{prefix}{branch}{}", label(graph, task, parents[task])));
        let below = match branch {
            "├─ " => format!("{prefix}│  "),
            "└─ " => format!("{prefix}   "),
            _ => prefix,
        };
        let below = if below.chars().count() > 3 * DEEPEST { String::from("⋯  ") } else { below };
        let last = children[task].last().copied();
        for child in children[task].iter().rev() {
            let branch = match children[task].as_slice() {
                [_] => "↓ ",
                _ if Some(*child) == last => "└─ ",
                _ => "├─ ",
            };
            open.push((below.clone(), branch, *child));
        }
    }
    out
}

/// Of each task, the need that comes last.
fn parents(graph: &TaskGraph) -> Vec<Option<usize>> {
    let mut ends: Vec<Option<f64>> = vec![None; graph.tasks.len()];
    let mut open: Vec<usize> = (0..graph.tasks.len()).rev().collect();
    while let Some(task) = open.last().copied() {
        if ends[task].is_some() {
            open.pop();
            continue;
        }
        let spec = &graph.tasks[task];
        let before = open.len();
        open.extend(spec.needs.iter().filter(|need| ends[**need].is_none()));
        if open.len() > before {
            continue;
        }
        open.pop();
        let own = if spec.done { 0.0 } else { spec.hours };
        let begin = spec.needs.iter().filter_map(|need| ends[*need]).fold(0.0, f64::max);
        ends[task] = Some(begin + own);
    }
    let end = |task: usize| ends[task].unwrap_or(0.0);
    let last =
        |needs: &Vec<usize>| needs.iter().copied().max_by(|a, b| end(*a).total_cmp(&end(*b)));
    graph.tasks.iter().map(|task| last(&task.needs)).collect()
}

fn label(graph: &TaskGraph, task: usize, parent: Option<usize>) -> String {
    let spec = &graph.tasks[task];
    let mut text = format!("{}  {}  {} h", spec.key, spec.title, hours(spec.hours));
    if let Some(role) = &spec.role {
        let _infallible = write!(text, ", {role}");
    }
    if spec.done {
        text.push_str(", done");
    } else {
        let _infallible = write!(text, ", P{}, rank {}", spec.priority, hours(spec.rank));
    }
    let others: Vec<&str> = spec
        .needs
        .iter()
        .filter(|need| Some(**need) != parent)
        .map(|need| graph.tasks[*need].key.as_str())
        .collect();
    if !others.is_empty() {
        let _infallible = write!(text, "; also needs {}", others.join(", "));
    }
    let conditions: Vec<String> = spec
        .conditions
        .iter()
        .map(|c| format!("{} is at {} %", graph.epics[c.epic].key, c.at_least))
        .collect();
    if !conditions.is_empty() {
        let _infallible = write!(text, "; when epic {}", conditions.join(", "));
    }
    text
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(out, "{text}");
}

/// What is waited for besides tasks: a share of an epic.
fn gates(graph: &TaskGraph) -> BTreeSet<(usize, u8)> {
    let conditions = graph.tasks.iter().flat_map(|task| &task.conditions);
    conditions.map(|condition| (condition.epic, condition.at_least)).collect()
}

fn members(graph: &TaskGraph, epic: Option<usize>) -> impl Iterator<Item = (usize, &TaskSpec)> {
    graph.tasks.iter().enumerate().filter(move |(_, task)| task.epic == epic)
}

/// Epics are boxes, conditions dashed.
pub(super) fn dot(graph: &TaskGraph) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut out = format!("digraph {} {{\n", quoted(&graph.name));
    out.push_str("  rankdir=LR; compound=true; node [shape=box, fontname=\"sans-serif\"];\n");
    let node = |out: &mut String, indent: &str, i: usize, task: &TaskSpec| {
        // `\n` is Graphviz' own line break: it is put in after the quoting.
        let text = quoted(&format!("{} {}\u{0}{} h", task.key, task.title, hours(task.hours)));
        let style = if task.done { ", style=filled, fillcolor=gray85" } else { "" };
        line(out, format_args!("{indent}t{i} [label={}{style}];", text.replace('\0', "\\n")));
    };
    for (e, epic) in graph.epics.iter().enumerate() {
        line(&mut out, format_args!("  subgraph cluster_{e} {{"));
        let title = quoted(&format!("{} {}", epic.key, epic.title));
        line(&mut out, format_args!("    label={title};"));
        for (i, task) in members(graph, Some(e)) {
            node(&mut out, "    ", i, task);
        }
        out.push_str("  }\n");
    }
    for (i, task) in members(graph, None) {
        node(&mut out, "  ", i, task);
    }
    for (i, task) in graph.tasks.iter().enumerate() {
        for need in &task.needs {
            line(&mut out, format_args!("  t{need} -> t{i};"));
        }
        for condition in &task.conditions {
            let (epic, share) = (condition.epic, condition.at_least);
            line(&mut out, format_args!("  g{epic}_{share} -> t{i} [style=dashed];"));
        }
    }
    for (epic, share) in gates(graph) {
        let label = quoted(&format!("{} at {share} %", graph.epics[epic].key));
        line(
            &mut out,
            format_args!("  g{epic}_{share} [label={label}, shape=ellipse, style=dashed];"),
        );
        if let Some((last, _)) = members(graph, Some(epic)).last() {
            line(
                &mut out,
                format_args!("  t{last} -> g{epic}_{share} [style=dashed, ltail=cluster_{epic}];"),
            );
        }
    }
    out.push_str("}\n");
    out
}

/// The same for Mermaid.
pub(super) fn mermaid(graph: &TaskGraph) -> String {
    let quoted = |text: &str| {
        let text = text.replace('#', "#35;").replace('"', "#quot;");
        format!("\"{}\"", text.replace('<', "#lt;").replace('>', "#gt;").replace('`', "#96;"))
    };
    let mut out = String::from("flowchart LR\n");
    let node = |out: &mut String, indent: &str, i: usize, task: &TaskSpec| {
        let text = quoted(&format!("{} {} ({} h)", task.key, task.title, hours(task.hours)));
        let style = if task.done { ":::done" } else { "" };
        line(out, format_args!("{indent}t{i}[{text}]{style}"));
    };
    for (e, epic) in graph.epics.iter().enumerate() {
        let title = quoted(&format!("{} {}", epic.key, epic.title));
        line(&mut out, format_args!("  subgraph e{e}[{title}]"));
        for (i, task) in members(graph, Some(e)) {
            node(&mut out, "    ", i, task);
        }
        out.push_str("  end\n");
    }
    for (i, task) in members(graph, None) {
        node(&mut out, "  ", i, task);
    }
    for (i, task) in graph.tasks.iter().enumerate() {
        for need in &task.needs {
            line(&mut out, format_args!("  t{need} --> t{i}"));
        }
        for condition in &task.conditions {
            line(&mut out, format_args!("  g{}_{} -.-> t{i}", condition.epic, condition.at_least));
        }
    }
    for (epic, share) in gates(graph) {
        let label = quoted(&format!("{} at {share} %", graph.epics[epic].key));
        line(&mut out, format_args!("  e{epic} -.-> g{epic}_{share}([{label}])"));
    }
    out.push_str("  classDef done fill:#ddd,stroke:#999\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_hub_api::graph;

    const TEXT: &str = "
project: {name: p}
epics: [{key: 1, title: 'One \"first\"'}]
tasks:
  - {key: a, title: A, epic: 1, command: x, hours: 2, done: true}
  - {key: b, title: B, epic: 1, command: x, hours: 2, needs: [a]}
  - {key: c, title: C, epic: 1, command: x, hours: 1.5, needs: [b], role: backend}
  - {key: d, title: D, epic: 1, command: x, hours: 4, needs: [b]}
  - {key: e, title: E, command: x, needs: [c, d], conditions: [{epic: 1, at_least: 50%}]}
";

    fn check(draw: fn(&TaskGraph) -> String, expect: &str) {
        let drawn = draw(&graph::parse(TEXT, "tasks.yaml").unwrap());
        assert_eq!(drawn.trim_end(), expect.trim(), "{drawn}");
    }

    #[test]
    fn a_tree_shows_what_waits_for_what() {
        check(
            tree,
            "
p: 5 tasks in 1 epic, 10.5 h; 1 done, 8.5 h left, the critical path is 7 h
epic 1  One \"first\"  4 tasks, 9.5 h, 21 % done

a  A  2 h, done
↓ b  B  2 h, P2, rank 7
├─ c  C  1.5 h, backend, P2, rank 2.5
└─ d  D  4 h, P2, rank 5
   ↓ e  E  1 h, P2, rank 1; also needs c; when epic 1 is at 50 %",
        );
    }

    #[test]
    fn graphviz_and_mermaid_show_epics_and_conditions() {
        check(
            dot,
            r#"
digraph "p" {
  rankdir=LR; compound=true; node [shape=box, fontname="sans-serif"];
  subgraph cluster_0 {
    label="1 One \"first\"";
    t0 [label="a A\n2 h", style=filled, fillcolor=gray85];
    t1 [label="b B\n2 h"];
    t2 [label="c C\n1.5 h"];
    t3 [label="d D\n4 h"];
  }
  t4 [label="e E\n1 h"];
  t0 -> t1;
  t1 -> t2;
  t1 -> t3;
  t2 -> t4;
  t3 -> t4;
  g0_50 -> t4 [style=dashed];
  g0_50 [label="1 at 50 %", shape=ellipse, style=dashed];
  t3 -> g0_50 [style=dashed, ltail=cluster_0];
}"#,
        );
        check(
            mermaid,
            r#"
flowchart LR
  subgraph e0["1 One #quot;first#quot;"]
    t0["a A (2 h)"]:::done
    t1["b B (2 h)"]
    t2["c C (1.5 h)"]
    t3["d D (4 h)"]
  end
  t4["e E (1 h)"]
  t0 --> t1
  t1 --> t2
  t1 --> t3
  t2 --> t4
  t3 --> t4
  g0_50 -.-> t4
  e0 -.-> g0_50(["1 at 50 %"])
  classDef done fill:#ddd,stroke:#999"#,
        );
    }

    #[test]
    fn a_long_chain_and_a_deep_comb_are_drawn() {
        let mut text =
            String::from("project: {name: p}\ntasks:\n  - {key: t0, title: T, command: x}\n");
        for i in 1..3_000 {
            let before = i - 1;
            text.push_str(&format!(
                "  - {{key: t{i}, title: T, command: x, needs: [t{before}]}}\n"
            ));
            text.push_str(&format!(
                "  - {{key: s{i}, title: T, command: x, needs: [t{before}]}}\n"
            ));
        }
        let drawn = tree(&graph::parse(&text, "tasks.yaml").unwrap());
        assert_eq!(drawn.lines().count(), 2 + 1 + 2 * 2_999);
        assert!(drawn.lines().all(|line| line.chars().count() < 200));
    }
}
