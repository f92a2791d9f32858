//! `tasks`

use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Root, bare};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::{list, nearest};
use crate::plan::TasksPlan;
use crate::raw::RawConfig;

const FILE: &str = "tasks.yaml";
pub(super) const URL_VARIABLE: &str = "GREENLOOP_HUB_URL";
const TOKEN_VARIABLE: &str = "GREENLOOP_HUB_TOKEN";
const TIMEOUT: Duration = Duration::from_secs(8 * 60 * 60);

/// The graph that `environment` has done, if it has one. Everything is judged all the same, so
/// that one check finds every mistake.
pub(super) fn resolve(
    cx: &mut Context<'_>,
    raw: &RawConfig,
    environment: &str,
) -> Option<TasksPlan> {
    let place = KeyPath::root().key("tasks");
    let tasks = raw.tasks.as_ref()?;
    let names = || raw.environments.keys().map(String::as_str);
    for (nth, name) in tasks.environments.iter().flatten().enumerate() {
        if raw.environments.contains_key(name) {
            continue;
        }
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the environments are {}", list(names())),
        };
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("environments").index(nth),
            format!("unknown environment {}", quoted(name)),
            &help,
        );
    }
    let file = match &tasks.file {
        Some(text) => cx.path(text, &place.key("file"), Root::Refused),
        None => Some(PathBuf::from(FILE)),
    };
    let timeout = cx.timeout(tasks.timeout.as_ref(), &place.key("timeout")).unwrap_or(TIMEOUT);
    let wanted =
        tasks.environments.as_ref().is_none_or(|names| names.iter().any(|n| n == environment));
    let hub = match &tasks.hub {
        Some(text) => {
            let place = place.key("hub");
            cx.url(text, &place, &format!("`{place}`"))
        }
        None => match cx.variable(URL_VARIABLE) {
            Some(text) => cx.url(&text, &place, URL_VARIABLE),
            None if wanted => {
                cx.report(
                    ProblemKind::MissingKey,
                    &place,
                    "`tasks` has no hub".to_owned(),
                    &format!("set `hub: https://…` or the variable {URL_VARIABLE}"),
                );
                None
            }
            None => None,
        },
    };
    let plan = TasksPlan {
        file: file?,
        hub: bare(&hub?),
        token_env: tasks.token_env.clone().unwrap_or_else(|| TOKEN_VARIABLE.to_owned()),
        timeout,
    };
    wanted.then_some(plan)
}
