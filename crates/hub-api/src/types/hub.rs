//! The hub itself: its health, pages of lists, problems.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether the hub can do its work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`; `degraded` when something is away that it can do without; `down`
    pub status: String,
    /// The database: `ok`, `down`
    pub store: String,
    /// Wake-ups from the database: `ok`, `down`, `off`
    pub notifications: String,
    /// Wake-ups over Redis: `ok`, `down`, `off`
    pub redis: String,
    /// Of greenloop.
    pub version: String,
    /// Since it was started.
    pub uptime_seconds: u64,
    /// What it relies on, one by one.
    pub dependencies: Vec<Dependency>,
}

/// Something that the hub relies on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Dependency {
    /// `sqlite`, `postgres`, `notifications`, `redis`
    pub name: String,
    /// `ok`, `down`
    pub status: String,
    /// Whether the hub can do its work without it, only more slowly.
    pub optional: bool,
    /// Why it is down.
    pub detail: Option<String>,
    /// How long it took to answer.
    pub latency_ms: Option<f64>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Hand it in as `cursor` for the next page; absent on the last.
    pub next: Option<String>,
}

/// A problem after RFC 9457 (`application/problem+json`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:greenloop:problem:stale-lease`, `…:not-found`, `…:conflict`, `…:invalid`,
    /// `…:malformed`, `…:unauthorised`, `…:forbidden`, `…:method-not-allowed`, `…:misdirected`,
    /// `…:too-large`, `…:unsupported-media-type`, `…:too-many-requests`, `…:timeout`,
    /// `…:unavailable`, `…:internal`
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
}
