//! `notifications`

use super::Context;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::NotificationPlan;
use crate::raw::{RawNotification, RawNotificationForm, RawNotificationKind};
use greenloop_model::{NotificationForm, NotificationKind};

/// The receivers.
pub(in crate::resolve) fn resolve(
    cx: &mut Context<'_>,
    raw: &[RawNotification],
) -> Vec<NotificationPlan> {
    let root = KeyPath::root().key("notifications");
    let mut plans: Vec<NotificationPlan> = Vec::new();
    for (nth, sink) in raw.iter().enumerate() {
        let place = root.index(nth);
        let Some(name) = cx.filled(&sink.name, &place.key("name")) else { continue };
        if plans.iter().any(|it| it.name == name) {
            cx.report(
                ProblemKind::DuplicateName,
                &place.key("name"),
                format!("two notifications have the name {}", quoted(&name)),
                "",
            );
        }
        for (key, variable) in
            [("url_env", Some(&sink.url_env)), ("secret_env", sink.secret_env.as_ref())]
        {
            if let Some(variable) = variable {
                variable_name(cx, variable, &place.key(key));
            }
        }
        plans.push(NotificationPlan {
            name,
            form: sink.form.map_or(NotificationForm::Generic, form),
            url_env: sink.url_env.clone(),
            secret_env: sink.secret_env.clone(),
            events: sink.events.iter().flatten().copied().map(kind).collect(),
        });
    }
    plans
}

/// An address where the name of a variable belongs would be a secret in the file.
fn variable_name(cx: &mut Context<'_>, name: &str, place: &KeyPath) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(plain)
    {
        cx.report(
            ProblemKind::InvalidValue,
            place,
            format!("`{place}` must be the name of an environment variable"),
            "set the variable to the address or the secret, and write its name here",
        );
    }
}

const fn form(raw: RawNotificationForm) -> NotificationForm {
    match raw {
        RawNotificationForm::Generic => NotificationForm::Generic,
        RawNotificationForm::Slack => NotificationForm::Slack,
        RawNotificationForm::Teams => NotificationForm::Teams,
    }
}

const fn kind(raw: RawNotificationKind) -> NotificationKind {
    match raw {
        RawNotificationKind::RunVerified => NotificationKind::RunVerified,
        RawNotificationKind::RunHealed => NotificationKind::RunHealed,
        RawNotificationKind::RunStopped => NotificationKind::RunStopped,
        RawNotificationKind::RunRolledBack => NotificationKind::RunRolledBack,
        RawNotificationKind::ApprovalWanted => NotificationKind::ApprovalWanted,
        RawNotificationKind::ApprovalDecided => NotificationKind::ApprovalDecided,
        RawNotificationKind::GraphDone => NotificationKind::GraphDone,
        RawNotificationKind::GraphFailed => NotificationKind::GraphFailed,
        RawNotificationKind::Conflict => NotificationKind::Conflict,
        RawNotificationKind::WorkerLost => NotificationKind::WorkerLost,
        RawNotificationKind::MainBroken => NotificationKind::MainBroken,
    }
}
