//! The versioned records of the event stream: one JSON object for each event.
//!
//! `docs/events.md` describes them for their readers. A field may be added within a version; a
//! field that changes its meaning or goes away needs a new one.

use serde::{Deserialize, Serialize};

/// The version that is written.
pub(super) const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventRecord {
    pub(super) v: u32,
    pub(super) run: Option<String>,
    pub(super) at: jiff::Timestamp,
    #[serde(flatten)]
    pub(super) event: EventForm,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum EventForm {
    Started(Box<HeaderForm>),
    Notice {
        level: String,
        text: String,
    },
    IterationStarted {
        iteration: u32,
        of: u32,
        commit: String,
    },
    StageStarted {
        iteration: u32,
        stage: String,
        parts: Vec<String>,
    },
    PartStarted {
        stage: String,
        name: String,
        command: String,
    },
    Output {
        stage: String,
        name: String,
        text: String,
    },
    GateFinished {
        iteration: u32,
        gate: GateForm,
    },
    StepFinished {
        stage: String,
        name: String,
        ok: bool,
        detail: String,
        elapsed_ms: u64,
    },
    StagePassed {
        iteration: u32,
        stage: String,
        elapsed_ms: u64,
    },
    StageFailed {
        iteration: u32,
        failure: Box<FailureForm>,
        progress: Option<String>,
        elapsed_ms: u64,
    },
    FlakyRerun {
        stage: String,
        name: String,
        passed: Option<bool>,
    },
    Restored {
        release: Option<String>,
        ok: bool,
        detail: String,
    },
    AuthorAsked {
        iteration: u32,
        model: String,
    },
    AuthorLooked {
        iteration: u32,
        call: String,
    },
    PatchProposed {
        iteration: u32,
        reason: String,
        diff: String,
        usage: UsageForm,
    },
    PatchRefused {
        iteration: u32,
        reason: String,
        usage: UsageForm,
    },
    NoPatch {
        iteration: u32,
        class: String,
        reason: String,
    },
    ReviewerAsked {
        iteration: u32,
        model: String,
    },
    Reviewed {
        iteration: u32,
        review: ReviewForm,
        usage: UsageForm,
    },
    Evaluated {
        iteration: u32,
        decision: String,
        matches: Vec<RuleMatchForm>,
    },
    HumanDecided {
        iteration: u32,
        approved: bool,
        who: String,
    },
    PatchApplied {
        iteration: u32,
        commit: String,
        files: Vec<String>,
    },
    Progress {
        stage: String,
        name: String,
        done: u64,
        total: Option<u64>,
    },
    ImageReady {
        image: String,
        tags: Vec<String>,
        reused: bool,
    },
    Switched {
        release: String,
        url: String,
    },
    Finished(Box<SummaryForm>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeaderForm {
    pub(super) task: String,
    pub(super) title: String,
    pub(super) environment: Option<String>,
    pub(super) commit: String,
    pub(super) commit_subject: String,
    pub(super) target: Option<String>,
    pub(super) author: String,
    pub(super) reviewer: String,
    pub(super) limits: LimitsForm,
    pub(super) repository: String,
    pub(super) invocation: InvocationForm,
    pub(super) folder: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct InvocationForm {
    pub(super) program: String,
    pub(super) git: String,
    pub(super) arguments: String,
    pub(super) tail: String,
    pub(super) options: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LimitsForm {
    pub(super) max_iterations: u32,
    pub(super) no_progress_threshold: u32,
    pub(super) max_tokens: Option<u64>,
    pub(super) max_cost_usd: Option<f64>,
    pub(super) max_duration_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GateForm {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) status: GateStatusForm,
    pub(super) duration_ms: u64,
    pub(super) output_bytes: u64,
    pub(super) log: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GateStatusForm {
    Passed,
    Failed(ExitForm),
    Flaky,
    Skipped { needs: String },
    Cancelled,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExitForm {
    Code(i32),
    Signal(i32),
    TimedOutMs(u64),
    NotStarted(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FailureForm {
    pub(super) stage: String,
    pub(super) name: String,
    pub(super) headline: String,
    pub(super) class: String,
    pub(super) fingerprint: String,
    pub(super) flaky_suspect: bool,
    pub(super) symptoms: Vec<String>,
    pub(super) evidence: EvidenceForm,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EvidenceForm {
    pub(super) command: Option<String>,
    pub(super) exit: Option<ExitForm>,
    pub(super) excerpts: Vec<ExcerptForm>,
    pub(super) log_lines: u64,
    pub(super) log: Option<String>,
    pub(super) failing_tests: Vec<String>,
    pub(super) code: Vec<CodeForm>,
    pub(super) http: Vec<HttpForm>,
    pub(super) service_log: Option<String>,
    pub(super) notes: Vec<String>,
    /// Not in the events of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<RemedyForm>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RemedyForm {
    pub(super) what: String,
    pub(super) command: Option<String>,
    pub(super) person_only: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LocationForm {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) column: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExcerptForm {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) locations: Vec<LocationForm>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CodeForm {
    pub(super) path: String,
    pub(super) first_line: u64,
    pub(super) text: String,
    pub(super) about: LocationForm,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HttpForm {
    pub(super) request: String,
    pub(super) status: Option<u16>,
    pub(super) response: String,
    pub(super) complaint: String,
    pub(super) elapsed_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReviewForm {
    pub(super) verdict: String,
    pub(super) risk: String,
    pub(super) reason: String,
    pub(super) suggestion: Option<String>,
    pub(super) reviewer: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RuleMatchForm {
    pub(super) rule: String,
    pub(super) decision: String,
    pub(super) path: Option<String>,
    pub(super) line: Option<u64>,
    pub(super) detail: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UsageForm {
    pub(super) requests: u32,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) cost_usd: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum StopForm {
    Verified,
    MaxIterations {
        limit: u32,
    },
    NoProgress {
        repeats: u32,
    },
    RepeatedAnswer {
        what: String,
        reason: String,
    },
    RepeatedTree {
        swing: bool,
    },
    Budget {
        what: String,
    },
    NotHealable {
        class: String,
        stage: String,
    },
    NoPatch {
        class: String,
        reason: String,
    },
    NeedsHuman {
        request: String,
    },
    Declined {
        reason: String,
    },
    NoHealing {
        stage: String,
    },
    ModelUnavailable {
        #[serde(default)]
        failure: Option<FailureSummaryForm>,
        reason: String,
    },
    /// A failure that no model was there to repair.
    Failed {
        failure: Option<FailureSummaryForm>,
        no_model: String,
    },
    /// What earlier programs wrote for it.
    NoModel {
        reason: String,
    },
    Internal {
        reason: String,
    },
    Cancelled,
    Abandoned,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FailureSummaryForm {
    pub(super) stage: String,
    pub(super) name: String,
    pub(super) class: String,
    pub(super) fingerprint: String,
    pub(super) headline: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SummaryForm {
    /// Why it ended, for programs.
    pub(super) stop: StopForm,
    /// The same for people; not read back.
    #[serde(skip_deserializing)]
    pub(super) verdict: String,
    pub(super) iterations: u32,
    pub(super) patches: Vec<PatchForm>,
    pub(super) failure: Option<FailureForm>,
    pub(super) serving: Option<ServingForm>,
    /// Why it is not known what serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) serving_unknown: Option<String>,
    pub(super) restored: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restoration: Option<RestorationForm>,
    pub(super) branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<FixForm>,
    /// Not in the events of older programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) flaky: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) proof: Option<ProofForm>,
    pub(super) usage: UsageForm,
    pub(super) elapsed_ms: u64,
    pub(super) next_steps: Vec<NextStepForm>,
}

/// What the tests show of the patches.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProofForm {
    pub(super) proven: bool,
    /// The same for people; not read back.
    #[serde(skip_deserializing)]
    pub(super) verdict: String,
    pub(super) gates: Vec<GateProofForm>,
    /// Files that gates judge by, and as they were before the patches when the gates passed too.
    pub(super) judged_without: Vec<String>,
    pub(super) passes: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) accepted_by: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GateProofForm {
    pub(super) gate: String,
    /// `report`, `names`, `counts` or `nothing`.
    pub(super) basis: String,
    pub(super) proven: bool,
    pub(super) before: Option<TestCountsForm>,
    pub(super) after: Option<TestCountsForm>,
    /// FAIL_TO_PASS, as far as the tests are named; bounded.
    pub(super) fixed: Vec<String>,
    pub(super) fixed_total: u64,
    /// The number of PASS_TO_PASS.
    pub(super) kept: u64,
    pub(super) renamed: Vec<(String, String)>,
    pub(super) complaints: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TestCountsForm {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FixForm {
    /// `work_tree`, `branch`, `snapshot_branch` or `not_brought_back`.
    pub(super) place: String,
    /// Why it was not brought back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// `false` where it could not be remembered; absent otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) can_undo: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NextStepForm {
    pub(super) what: String,
    pub(super) command: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServingForm {
    pub(super) release: String,
    pub(super) url: String,
    /// `serving`, `partly`, `down` or `unknown`; absent before it was asked for.
    #[serde(default)]
    pub(super) condition: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RestorationForm {
    /// `restored`, `untouched`, `nothing` or `unconfirmed`.
    pub(super) outcome: String,
    pub(super) release: Option<String>,
    /// `null` when that was not waited for.
    pub(super) serving_after_ms: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PatchForm {
    pub(super) iteration: u32,
    pub(super) failure: String,
    pub(super) reason: String,
    pub(super) diff: String,
    pub(super) review: ReviewForm,
    pub(super) commit: String,
    pub(super) confirmed_by: Option<String>,
}
