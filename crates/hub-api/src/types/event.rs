//! Events, and what a live connection says beside them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timestamp::Timestamp;
use greenloop_model::task::{EventId, GraphId, MergeId, TaskEventKind, TaskId};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Rises; resume after it.
    #[schema(value_type = i64)]
    pub id: EventId,
    /// When it happened.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// `task.ready`, `merge.done` …
    #[schema(value_type = String)]
    pub kind: TaskEventKind,
    /// The graph concerned.
    #[schema(value_type = Option<i64>)]
    pub graph: Option<GraphId>,
    /// The task concerned.
    #[schema(value_type = Option<i64>)]
    pub task: Option<TaskId>,
    /// The attempt of that task.
    pub epoch: Option<i64>,
    /// The worker concerned.
    pub agent: Option<String>,
    /// The entry of the merge queue.
    #[schema(value_type = Option<i64>)]
    pub merge: Option<MergeId>,
    /// Progress of the attempt, 0 to 100.
    pub percent: Option<u8>,
    /// More, for people.
    pub text: Option<String>,
}

/// What a live connection says beside events: over WebSocket as a message of its own, in a
/// stream of events as the event of that name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveNote {
    /// `gap`: events between the one asked for and the next one are not kept any more; read what
    /// matters again. `bye`: the hub ends the connection.
    pub note: String,
    /// Of a `bye`: `slow`, `shutdown`, `revoked`, `unavailable`
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// Go on after this event.
    pub after: i64,
}
