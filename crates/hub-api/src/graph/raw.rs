//! What `tasks.yaml` says, key for key. The schema that holds every file is derived from these
//! types: the doc comments are what an error shows, the ranges what it names.
//!
//! Nothing here fills a default or judges a value; [`read`](super::read) does.

use schemars::JsonSchema;
use serde::Deserialize;

/// A graph of tasks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Greenloop tasks")]
pub(super) struct RawGraph {
    /// What the tasks change.
    pub(super) project: RawProject,
    /// What this graph is called; the project's name when it is left out.
    pub(super) name: Option<String>,
    /// Groups of tasks, whose progress conditions can wait for.
    pub(super) epics: Option<Vec<RawEpic>>,
    /// The tasks, in any order.
    #[schemars(length(min = 1))]
    pub(super) tasks: Vec<RawTask>,
}

/// What the tasks change.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProject {
    /// One line.
    pub(super) name: String,
    /// The repository's address, when tasks change code.
    pub(super) repository: Option<String>,
    /// The branch that the work ends in; `main` when it is left out.
    pub(super) target: Option<String>,
    /// Commands that every merge must pass, on the very commit.
    pub(super) gates: Option<Vec<String>>,
    /// `merge`: a person has to approve every merge into the target. When it is left out, merges need
    /// no approval.
    pub(super) approval: Option<RawMergeApproval>,
}

/// A group of tasks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEpic {
    /// Unique among the epics: `1`.
    pub(super) key: String,
    /// One line.
    pub(super) title: String,
    /// Where its tasks are merged, when not straight into the project's branch.
    pub(super) branch: Option<String>,
}

/// One task: a `command`, or work for an `agent`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTask {
    /// Unique among the tasks: `1.3`.
    pub(super) key: String,
    /// One line.
    pub(super) title: String,
    /// Details, for people.
    pub(super) description: Option<String>,
    /// The epic it belongs to, by key.
    pub(super) epic: Option<String>,
    /// Who may do it; anybody when it is left out.
    pub(super) role: Option<String>,
    /// What a worker must have, such as `gpu`.
    pub(super) labels: Option<Vec<String>>,
    /// `P0` (most urgent) to `P3`, or a number from 0 to 1000; `P2` when it is left out.
    pub(super) priority: Option<RawPriority>,
    /// Estimated work in hours, 0 to 10000; 1 when it is left out.
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub(super) hours: Option<f64>,
    /// A branch name for people.
    pub(super) branch: Option<String>,
    /// What it is expected to touch, as globs.
    pub(super) files: Option<Vec<String>>,
    /// Tasks that must be done before, by key.
    pub(super) needs: Option<Vec<String>>,
    /// How far epics must have come before; all must be met.
    pub(super) conditions: Option<Vec<RawCondition>>,
    /// Runs in a shell.
    pub(super) command: Option<String>,
    /// What an agent is asked to do.
    pub(super) agent: Option<String>,
    /// How long one attempt may take: `90s`, `2h`.
    pub(super) timeout: Option<RawDuration>,
    /// How often it is tried, 1 to 20; 3 when it is left out.
    #[schemars(range(min = 1, max = 20))]
    pub(super) max_attempts: Option<u32>,
    /// Whether it was finished before.
    pub(super) done: Option<bool>,
    /// What of it a person has to approve: `start` (or `true`), `merge`, or both as a list; nothing
    /// when it is left out.
    pub(super) approval: Option<RawApproval>,
}

/// What of a task a person has to approve.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawApproval {
    /// `true`: its start.
    Start(bool),
    /// One of them.
    One(RawApproved),
    /// Both of them.
    Several(Vec<RawApproved>),
}

impl RawApproval {
    /// Whether a person has to approve this.
    pub(super) fn covers(&self, what: RawApproved) -> bool {
        match self {
            Self::Start(start) => *start && what == RawApproved::Start,
            Self::One(one) => *one == what,
            Self::Several(several) => several.contains(&what),
        }
    }
}

/// What a person can approve of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawApproved {
    /// Its start.
    Start,
    /// The merge of its branch.
    Merge,
}

/// What a person can approve of a whole graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMergeApproval {
    /// Every merge into the target.
    Merge,
}

/// An urgency.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawPriority {
    /// Smaller is more urgent.
    Number(#[schemars(range(min = 0, max = 1000))] i64),
    /// `P0` to `P3`.
    Name(String),
}

/// An epic must have come this far.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCondition {
    /// The epic, by key.
    pub(super) epic: String,
    /// A share of the epic's estimated hours, `1%` to `100%`.
    pub(super) at_least: String,
}

/// A length of time.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawDuration {
    /// Seconds.
    Seconds(f64),
    /// With units: `90s`, `2h`.
    Text(String),
}
