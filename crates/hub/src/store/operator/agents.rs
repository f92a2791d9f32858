//! Actions on a worker.

use serde_json::json;

use super::{Change, Operator};
use crate::store::error::StoreError;
use crate::store::record::Record;
use crate::store::tx::{Done, NewEvent, Tx};
use crate::store::value::args;
use greenloop_model::task::TaskEventKind;

async fn shown(tx: &mut Tx<'_>, name: &str) -> Done<Record> {
    let row = tx
        .maybe(
            "SELECT active, drain, barred, left_at, quarantine FROM agents WHERE name = $1 {lock}",
            args![name],
        )
        .await?;
    Ok(row.ok_or_else(|| StoreError::not_found(format_args!("agent {name}")))?)
}

fn change(name: &str, before: &Record, after: &Record) -> Result<Change, StoreError> {
    let record = |row: &Record| -> Result<serde_json::Value, StoreError> {
        Ok(json!({
            "active": row.flag("active")?,
            "drain": row.flag("drain")?,
            "quarantine": row.opt_text("barred")?,
        }))
    };
    Ok(Change {
        agent: Some(name.to_owned()),
        before: record(before)?,
        after: record(after)?,
        ..Change::default()
    })
}

pub(super) async fn set_active(tx: &mut Tx<'_>, name: &str, active: bool) -> Done<Change> {
    let before = shown(tx, name).await?;
    if before.flag("active")? != active {
        crate::store::agents::activate(tx, name, active).await?;
    }
    let after = shown(tx, name).await?;
    Ok(change(name, &before, &after)?)
}

pub(super) async fn drain(tx: &mut Tx<'_>, name: &str) -> Done<Change> {
    let before = shown(tx, name).await?;
    if before.opt_int("left_at")?.is_some() {
        return Err(StoreError::conflict(format!("agent {name} has stopped already")).into());
    }
    // From now on it is given nothing, also before it has read that.
    tx.run("UPDATE agents SET drain = 1, draining = 1 WHERE name = $1", args![name]).await?;
    let after = shown(tx, name).await?;
    Ok(change(name, &before, &after)?)
}

pub(super) async fn bar(tx: &mut Tx<'_>, name: &str, operator: &Operator) -> Done<Change> {
    let before = shown(tx, name).await?;
    let why = match operator.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let reason = format!("put in quarantine by {}{why}", operator.name);
    tx.run(
        "UPDATE agents SET barred = $2, quarantine = $2, \
         quarantined_at = COALESCE(quarantined_at, {now}) WHERE name = $1",
        args![name, &reason],
    )
    .await?;
    let after = shown(tx, name).await?;
    let change = change(name, &before, &after)?;
    if change.before != change.after {
        tx.emit(NewEvent::new(TaskEventKind::AgentQuarantined).agent(name).text(reason));
    }
    Ok(change)
}

/// Its own quarantine, if it has one, goes on: with its next heartbeat it says so.
pub(super) async fn release(tx: &mut Tx<'_>, name: &str) -> Done<Change> {
    let before = shown(tx, name).await?;
    let released = tx
        .run(
            "UPDATE agents SET barred = NULL, \
             quarantined_at = CASE WHEN quarantine = barred THEN NULL ELSE quarantined_at END, \
             quarantine = CASE WHEN quarantine = barred THEN NULL ELSE quarantine END \
             WHERE name = $1 AND barred IS NOT NULL",
            args![name],
        )
        .await?;
    if released == 0 && before.opt_text("quarantine")?.is_some() {
        return Err(StoreError::conflict(format!(
            "agent {name} is in quarantine because its self-check fails: it ends by itself once \
             that passes"
        ))
        .into());
    }
    if released > 0 {
        tx.emit(NewEvent::new(TaskEventKind::AgentUp).agent(name));
    }
    let after = shown(tx, name).await?;
    Ok(change(name, &before, &after)?)
}

pub(super) async fn remove(tx: &mut Tx<'_>, name: &str) -> Done<Change> {
    crate::store::agents::removal(tx, name).await?;
    Ok(Change {
        agent: Some(name.to_owned()),
        before: json!({"removed": false}),
        after: json!({"removed": true}),
        ..Change::default()
    })
}
