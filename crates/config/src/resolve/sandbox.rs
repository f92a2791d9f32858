//! `sandbox`, and what a gate may do beyond it.

use std::path::PathBuf;

use super::Context;
use super::values::{bytes, variable_names};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::{AccessPlan, ContainerPlan, FetchPlan, SandboxLevel, SandboxPlan};
use crate::raw::{RawGate, RawGateEnv, RawNetwork, RawNetworkWord, RawSandbox, RawSandboxLevel};
use greenloop_model::Network;

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
            Some(RawSandboxLevel::C) => SandboxLevel::C,
            Some(RawSandboxLevel::D) => SandboxLevel::D,
            Some(RawSandboxLevel::Off) => SandboxLevel::Off,
        },
        network: network(cx, raw.network.as_ref(), &place.key("network")).unwrap_or_default(),
        container: raw.container.as_ref().and_then(|container| {
            let image = cx.filled(&container.image, &place.key("container").key("image"))?;
            Some(ContainerPlan { image, docker_host: container.docker_host.clone() })
        }),
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
    let (network, fetch) = fetch(cx, gate, of_all, place);
    AccessPlan {
        network,
        fetch,
        env,
        cache: folders(cx, gate.cache.as_deref(), &place.key("cache")),
        memory: gate.memory.as_ref().and_then(|size| bytes(cx, size, &memory)),
    }
}

/// What a gate may reach, and what runs before it.
fn fetch(
    cx: &mut Context<'_>,
    gate: &RawGate,
    of_all: &SandboxPlan,
    place: &KeyPath,
) -> (Network, Option<FetchPlan>) {
    let words = matches!(gate.network, Some(RawNetwork::Word(RawNetworkWord::Fetch)));
    let given = gate.network.as_ref().filter(|_| !words);
    let given = network(cx, given, &place.key("network"));
    let command = gate.fetch.as_ref().and_then(|command| cx.filled(command, &place.key("fetch")));
    if command.is_none() && !words {
        return (given.unwrap_or_else(|| of_all.network.clone()), None);
    }
    if given == Some(Network::None) {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("network"),
            "`fetch` needs the network, and `network` is false".to_owned(),
            "remove `network: false`: the gate itself has no network with `fetch`",
        );
    }
    let all = Network::All;
    (Network::None, Some(FetchPlan { command, network: given.unwrap_or(all) }))
}

/// What is given; `None` for nothing.
pub(super) fn network(
    cx: &mut Context<'_>,
    raw: Option<&RawNetwork>,
    place: &KeyPath,
) -> Option<Network> {
    Some(match raw? {
        RawNetwork::All(all) => Network::all_or_none(*all),
        RawNetwork::Word(RawNetworkWord::Fetch) => {
            cx.report(
                ProblemKind::InvalidValue,
                place,
                "`fetch` is for a gate".to_owned(),
                "write true, false or a list of hosts",
            );
            Network::None
        }
        RawNetwork::Hosts(hosts) => {
            if hosts.is_empty() {
                cx.report(
                    ProblemKind::InvalidValue,
                    place,
                    "the list of hosts is empty".to_owned(),
                    "write `network: false` for none",
                );
            }
            let mut patterns = Vec::new();
            for (nth, text) in hosts.iter().enumerate() {
                match text.parse() {
                    Ok(pattern) => patterns.push(pattern),
                    Err(_) => cx.report(
                        ProblemKind::InvalidValue,
                        &place.index(nth),
                        format!("{} is not a host", quoted(text)),
                        "write crates.io, \"*.npmjs.org\" or nexus.example.org:8443, without https://",
                    ),
                }
            }
            Network::Hosts(patterns)
        }
    })
}

/// Absolute folders, or folders below the home folder.
pub(super) fn folders(
    cx: &mut Context<'_>,
    given: Option<&[String]>,
    place: &KeyPath,
) -> Vec<PathBuf> {
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
