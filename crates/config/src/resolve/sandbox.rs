//! `sandbox`, and what a gate may do beyond it.

use std::path::PathBuf;

use super::Context;
use super::cluster::bytes;
use super::gates::variable_names;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::{AccessPlan, SandboxLevel, SandboxPlan};
use crate::raw::{RawGate, RawGateEnv, RawSandbox, RawSandboxLevel};

pub(crate) fn resolve(cx: &mut Context<'_>, raw: Option<&RawSandbox>) -> SandboxPlan {
    let Some(raw) = raw else { return SandboxPlan::default() };
    let place = KeyPath::root().key("sandbox");
    let env = raw.env.clone().unwrap_or_default();
    variable_names(cx, &env, &place.key("env"));
    let memory = place.key("memory");
    SandboxPlan {
        level: match raw.level {
            None | Some(RawSandboxLevel::B) => SandboxLevel::B,
            Some(RawSandboxLevel::A) => SandboxLevel::A,
            Some(RawSandboxLevel::D) => SandboxLevel::D,
            Some(RawSandboxLevel::Off) => SandboxLevel::Off,
        },
        network: raw.network.unwrap_or(false),
        env,
        read: folders(cx, raw.read.as_deref(), &place.key("read")),
        cache: folders(cx, raw.cache.as_deref(), &place.key("cache")),
        memory: raw.memory.as_ref().and_then(|size| bytes(cx, size, &memory)),
        processes: raw.processes,
    }
}

/// What a gate may do, where `of_all` is what all may.
pub(super) fn access(
    cx: &mut Context<'_>,
    gate: &RawGate,
    of_all: &SandboxPlan,
    place: &KeyPath,
) -> AccessPlan {
    let env = match &gate.env {
        Some(RawGateEnv::Names(names)) => names.clone(),
        Some(RawGateEnv::Values(values)) => values
            .iter()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name.clone())
            .collect(),
        None => Vec::new(),
    };
    variable_names(cx, &env, &place.key("env"));
    let memory = place.key("memory");
    AccessPlan {
        network: gate.network.unwrap_or(of_all.network),
        env,
        cache: folders(cx, gate.cache.as_deref(), &place.key("cache")),
        memory: gate.memory.as_ref().and_then(|size| bytes(cx, size, &memory)),
    }
}

/// Absolute folders, or folders below the home folder.
fn folders(cx: &mut Context<'_>, given: Option<&[String]>, place: &KeyPath) -> Vec<PathBuf> {
    let home = cx.variable("HOME").map(PathBuf::from);
    let mut found = Vec::new();
    for (i, text) in given.unwrap_or_default().iter().enumerate() {
        let path = match text.strip_prefix("~/") {
            // Only judged: whoever runs it has a home.
            Some(below) => home.clone().unwrap_or_else(|| "/".into()).join(below),
            None => PathBuf::from(text),
        };
        let up = path.components().any(|part| part == std::path::Component::ParentDir);
        if path.is_absolute() && path.parent().is_some() && !up && !text.contains('\0') {
            found.push(path);
            continue;
        }
        cx.report(
            ProblemKind::InvalidPath,
            &place.index(i),
            format!("{} is not an absolute path", quoted(text)),
            "write /path/to/folder, or ~/folder for one below the home folder",
        );
    }
    found
}
