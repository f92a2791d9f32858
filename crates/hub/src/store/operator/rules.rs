//! What people may do, where a hub's options say so; a change of that is recorded.

use serde_json::json;

use super::{Change, Operator, insert_action};
use crate::store::connect::TaskStore;
use crate::store::error::StoreError;
use crate::store::value::args;

/// The action's name in the record.
const SELF_APPROVAL: &str = "hub.self_approval";

impl TaskStore {
    /// Records whether people may approve what they requested themselves, when that is not what
    /// was recorded last. A hub does so when it starts.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn note_self_approval(&self) -> Result<(), StoreError> {
        let allowed = self.options().self_approval;
        self.write(move |tx| {
            Box::pin(async move {
                let last = tx
                    .maybe(
                        "SELECT became FROM operator_actions WHERE name = $1 \
                         ORDER BY id DESC LIMIT 1",
                        args![SELF_APPROVAL],
                    )
                    .await?;
                let record = |allowed: bool| json!({"self_approval": allowed});
                let last = last.map(|row| row.text("became")).transpose()?;
                let last = last.and_then(|text| serde_json::from_str(&text).ok());
                let before = last == Some(record(true));
                if before == allowed {
                    return Ok(());
                }
                let operator = Operator {
                    token: String::new(),
                    agent: None,
                    name: "hub".to_owned(),
                    reason: "the hub was started with this".to_owned(),
                };
                let change =
                    Change { before: record(before), after: record(allowed), ..Change::default() };
                insert_action(tx, SELF_APPROVAL, &operator, change).await
            })
        })
        .await
    }
}
