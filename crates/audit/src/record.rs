//! One record and its exact form on disk.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::FaultKind;
use super::hex::hex;
use greenloop_model::RunId;

/// Who did what a record tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Greenloop itself.
    Machine,
    /// The author model, by its label.
    Author(String),
    /// The reviewer model, by its label.
    Reviewer(String),
    /// A person, by the name they are known by.
    Human(String),
}

/// Which record an append wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordId {
    /// Counts from 0.
    pub seq: u64,
    /// The record's hash; the head of the chain at that moment.
    pub hash: String,
}

/// A record that was read and verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Counts from 0.
    pub seq: u64,
    /// The previous record's hash.
    pub prev: String,
    /// This record's hash.
    pub hash: String,
    /// When it was written.
    pub wall: jiff::Timestamp,
    /// Milliseconds since the log was created.
    pub mono_ms: u64,
    pub run: RunId,
    /// Who did it.
    pub actor: Actor,
    /// What happened: `stage.intent`.
    pub event: String,
    /// What there is to know of it.
    pub data: serde_json::Value,
}

/// What the first record's hash covers in place of a previous hash.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const BEFORE_HASH: &[u8] = b"{\"h\":\"";
const HASH_LEN: usize = 64;
const BEFORE_BODY: &[u8] = b"\",\"body\":";
const BODY_AT: usize = BEFORE_HASH.len() + HASH_LEN + BEFORE_BODY.len();

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActorForm<'a> {
    kind: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct BodyOut<'a> {
    seq: u64,
    prev: &'a str,
    wall: String,
    mono_ms: u64,
    run: String,
    actor: ActorForm<'a>,
    event: &'a str,
    data: &'a serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BodyIn {
    seq: u64,
    prev: String,
    wall: jiff::Timestamp,
    mono_ms: u64,
    run: String,
    actor: ActorForm<'static>,
    event: String,
    data: serde_json::Value,
}

impl Actor {
    fn form(&self) -> ActorForm<'_> {
        let (kind, name) = match self {
            Self::Machine => ("machine", None),
            Self::Author(name) => ("author", Some(name)),
            Self::Reviewer(name) => ("reviewer", Some(name)),
            Self::Human(name) => ("human", Some(name)),
        };
        ActorForm { kind: kind.into(), name: name.map(|name| name.as_str().into()) }
    }

    fn from_form(form: ActorForm<'_>) -> Option<Self> {
        let name = form.name.map(Cow::into_owned);
        match (form.kind.as_ref(), name) {
            ("machine", None) => Some(Self::Machine),
            ("author", Some(name)) => Some(Self::Author(name)),
            ("reviewer", Some(name)) => Some(Self::Reviewer(name)),
            ("human", Some(name)) => Some(Self::Human(name)),
            (_, _) => None,
        }
    }
}

fn hash(prev: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(prev.as_bytes());
    digest.update(body);
    hex(&digest.finalize())
}

/// What a record says, before it has a hash.
pub(super) struct Draft<'a> {
    pub(super) seq: u64,
    pub(super) prev: &'a str,
    pub(super) wall: jiff::Timestamp,
    pub(super) mono_ms: u64,
    pub(super) run: RunId,
    pub(super) actor: &'a Actor,
    pub(super) event: &'a str,
    pub(super) data: &'a serde_json::Value,
}

impl Draft<'_> {
    /// The whole line with its `\n`, and the record's hash.
    pub(super) fn line(&self) -> Result<(Vec<u8>, String), serde_json::Error> {
        let body = serde_json::to_vec(&BodyOut {
            seq: self.seq,
            prev: self.prev,
            wall: format!("{:.3}", self.wall),
            mono_ms: self.mono_ms,
            run: self.run.to_string(),
            actor: self.actor.form(),
            event: self.event,
            data: self.data,
        })?;
        let hash = hash(self.prev, &body);
        let line = [BEFORE_HASH, hash.as_bytes(), BEFORE_BODY, body.as_slice(), b"}\n"].concat();
        Ok((line, hash))
    }
}

/// Reads one line (without its `\n`) as the record that follows `prev`.
pub(super) fn parse(
    line: &[u8],
    seq: u64,
    prev: &str,
    run: Option<RunId>,
) -> Result<Record, FaultKind> {
    let layout_holds = line.len() > BODY_AT + 1
        && line.starts_with(BEFORE_HASH)
        && line[BEFORE_HASH.len() + HASH_LEN..].starts_with(BEFORE_BODY)
        && line.ends_with(b"}");
    if !layout_holds {
        return Err(FaultKind::Layout);
    }
    let claimed = &line[BEFORE_HASH.len()..BEFORE_HASH.len() + HASH_LEN];
    let body_bytes = &line[BODY_AT..line.len() - 1];
    let actual = hash(prev, body_bytes);
    let body = serde_json::from_slice::<BodyIn>(body_bytes)
        .map_err(|error| FaultKind::Body(error.to_string()));
    if actual.as_bytes() != claimed {
        // The hash of a record that stands elsewhere fails too; tell the two apart.
        return Err(match body {
            Ok(body) if body.prev != prev => FaultKind::Chain,
            Ok(_) | Err(_) => FaultKind::Hash,
        });
    }
    let body = body?;
    if body.prev != prev {
        return Err(FaultKind::Chain);
    }
    if body.seq != seq {
        return Err(FaultKind::Sequence { found: body.seq });
    }
    let own_run: RunId =
        body.run.parse().map_err(|_| FaultKind::Body(format!("{:?} is not a run id", body.run)))?;
    if run.is_some_and(|run| run != own_run) {
        return Err(FaultKind::Run);
    }
    let actor =
        Actor::from_form(body.actor).ok_or_else(|| FaultKind::Body("unknown actor".to_owned()))?;
    Ok(Record {
        seq,
        prev: body.prev,
        hash: actual,
        wall: body.wall,
        mono_ms: body.mono_ms,
        run: own_run,
        actor,
        event: body.event,
        data: body.data,
    })
}
