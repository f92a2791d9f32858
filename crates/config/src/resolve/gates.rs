//! `quality_gates`

use std::collections::BTreeMap;

use super::values::variables;
use super::{Context, Root, sandbox};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::{list, nearest};
use crate::plan::{GatePlan, SandboxPlan};
use crate::raw::{RawGate, RawGateEnv};
use greenloop_model::{RepoPath, runs_nothing};

const LONGEST_NAME: usize = 80;

pub(super) fn resolve(
    cx: &mut Context<'_>,
    raw: &[RawGate],
    of_all: &SandboxPlan,
) -> Vec<GatePlan> {
    let gates = KeyPath::root().key("quality_gates");
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, gate) in raw.iter().enumerate() {
        let place = gates.index(i).key("name");
        let unfit = gate.name.trim().is_empty()
            || gate.name.chars().count() > LONGEST_NAME
            || gate.name.chars().any(char::is_control);
        if unfit {
            cx.report(
                ProblemKind::InvalidValue,
                &place,
                format!("{} is not a valid name for a gate", quoted(&gate.name)),
                "a name is a single line of at most 80 characters",
            );
        }
        match seen.get(gate.name.as_str()) {
            Some(first) => {
                let line = cx
                    .document
                    .map_or(0, |document| document.position(&gates.index(*first).key("name")).line);
                cx.report(
                    ProblemKind::DuplicateName,
                    &place,
                    format!("duplicate gate {}", quoted(&gate.name)),
                    &format!("the first one is in line {line}; names must be unique"),
                );
            }
            None => {
                seen.insert(&gate.name, i);
            }
        }
    }
    let plans =
        raw.iter().enumerate().map(|(i, gate)| one(cx, gate, of_all, &gates.index(i), &seen));
    let plans: Vec<GatePlan> = plans.collect();
    for circle in circles(raw, &seen) {
        let names: Vec<&str> = circle.iter().map(|i| raw[*i].name.as_str()).collect();
        let (Some(first), Some(last)) = (circle.first(), circle.last()) else { continue };
        let edge = raw[*last].needs.iter().flatten().position(|need| *need == raw[*first].name);
        let place = gates.index(*last).key("needs").index(edge.unwrap_or(0));
        let message = match names.as_slice() {
            [only] => format!("gate {} needs itself", quoted(only)),
            several => {
                format!("gates need each other: {} → {}", several.join(" → "), raw[*first].name)
            }
        };
        cx.report(
            ProblemKind::Cycle,
            &place,
            message,
            "remove one of these `needs`, so that one gate can start",
        );
    }
    plans
}

fn one(
    cx: &mut Context<'_>,
    gate: &RawGate,
    of_all: &SandboxPlan,
    place: &KeyPath,
    known: &BTreeMap<&str, usize>,
) -> GatePlan {
    let command = cx.filled(&gate.command, &place.key("command")).unwrap_or_default();
    if !command.is_empty() && runs_nothing(&command) {
        let place = place.key("command");
        let message = format!("`{place}` contains only a comment: such a gate always passes");
        let help = "use a command that checks something, or remove the gate";
        cx.report(ProblemKind::InvalidValue, &place, message, help);
    }
    let working_directory = gate.working_directory.as_deref().and_then(|text| {
        let path = cx.path(text, &place.key("working_directory"), Root::Allowed)?;
        RepoPath::new(path.to_str()?).ok()
    });
    let needs = gate.needs.clone().unwrap_or_default();
    for (i, need) in needs.iter().enumerate() {
        if known.contains_key(need.as_str()) {
            continue;
        }
        let help = match nearest(need, known.keys().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the gates are {}", list(known.keys().copied())),
        };
        cx.report(
            ProblemKind::UnknownName,
            &place.key("needs").index(i),
            format!("unknown gate {}", quoted(need)),
            &help,
        );
    }
    let reports = patterns(cx, gate.reports.as_deref(), &place.key("reports"));
    let writes = patterns(cx, gate.writes.as_deref(), &place.key("writes"));
    let env: BTreeMap<String, String> = match &gate.env {
        Some(RawGateEnv::Values(values)) => {
            values.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
        }
        Some(RawGateEnv::Names(_)) | None => BTreeMap::new(),
    };
    variables(cx, &env, &place.key("env"));
    let access = sandbox::access(cx, gate, of_all, place);
    GatePlan {
        name: gate.name.clone(),
        command,
        required: gate.required.unwrap_or(true),
        timeout: cx.timeout(gate.timeout.as_ref(), &place.key("timeout")),
        env,
        access,
        working_directory,
        needs,
        reports,
        writes,
    }
}

/// Glob patterns of files below a folder.
pub(super) fn patterns(
    cx: &mut Context<'_>,
    given: Option<&[String]>,
    place: &KeyPath,
) -> Vec<String> {
    let given = given.unwrap_or_default();
    for (i, pattern) in given.iter().enumerate() {
        let outside = pattern.starts_with('/') || pattern.split('/').any(|part| part == "..");
        let fault = match globset::Glob::new(pattern) {
            Err(error) => Some(error.kind().to_string()),
            Ok(_) if pattern.trim().is_empty() => Some("it is empty".to_owned()),
            Ok(_) if outside => Some("it leads outside the folder".to_owned()),
            Ok(_) => None,
        };
        if let Some(fault) = fault {
            cx.report(
                ProblemKind::InvalidValue,
                &place.index(i),
                format!("{} is not a valid file pattern: {fault}", quoted(pattern)),
                "use a path with `*`, `?` or `**`, for example target/surefire-reports/*.xml",
            );
        }
    }
    given.to_vec()
}

/// Every circle of `needs`, each once, as indices in the order of waiting.
fn circles(gates: &[RawGate], index: &BTreeMap<&str, usize>) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let needs = |i: usize| -> Vec<usize> {
        gates[i].needs.iter().flatten().filter_map(|n| index.get(n.as_str()).copied()).collect()
    };
    let mut marks = vec![Mark::New; gates.len()];
    let mut found = Vec::new();
    for start in 0..gates.len() {
        if marks[start] != Mark::New {
            continue;
        }
        marks[start] = Mark::Open;
        let mut path = vec![(start, needs(start).into_iter())];
        while let Some((at, pending)) = path.last_mut() {
            match pending.next() {
                Some(next) if marks[next] == Mark::New => {
                    marks[next] = Mark::Open;
                    path.push((next, needs(next).into_iter()));
                }
                Some(next) if marks[next] == Mark::Open => {
                    let from = path.iter().position(|(i, _)| *i == next).unwrap_or(0);
                    found.push(path[from..].iter().map(|(i, _)| *i).collect());
                }
                Some(_) => {}
                None => {
                    marks[*at] = Mark::Done;
                    path.pop();
                }
            }
        }
    }
    found
}
