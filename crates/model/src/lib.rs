//! The nouns of Greenloop, which every other crate uses.
//!
//! Lives here: plain data with validated constructors, small pure functions over it, and the form in
//! which it is recorded or sent (serde). Must not be here: tokio, the file system, the network.

mod approval;
mod change;
mod count;
mod error_chain;
mod evaluation;
mod event;
mod evidence;
mod failure;
mod gate;
mod ids;
mod image;
mod invocation;
mod limits;
pub mod millis;
mod network;
mod notification;
mod outcome;
mod path;
mod proof;
mod proposal;
mod release;
mod review;
mod secret_name;
mod stage;
mod stop;
mod summary;
mod target_at_end;
pub mod task;
mod usage;
mod words;

pub use approval::{ApprovalState, ApprovalSubject};
pub use change::{FileChange, FileContent, FileMode};
pub use count::{counted, times};
pub use error_chain::error_chain;
pub use evaluation::{Decision, Evaluation, RuleMatch};
pub use event::{EventSink, Notice, RunEvent, RunHeader, RunKind};
pub use evidence::{CodeContext, Evidence, Excerpt, Exit, HttpExchange, Location, Remedy};
pub use failure::{Failure, FailureClass, FailureSummary, Fingerprint, Progress, compare};
pub use gate::{GateResult, GateStatus};
pub use ids::{CommitId, EnvironmentName, InvalidId, ReleaseId, RunId, TreeId};
pub use image::ImageRef;
pub use invocation::{Invocation, runs_nothing, shell_word};
pub use limits::Limits;
pub use network::{HostPattern, InvalidHost, Network};
pub use notification::{NotificationForm, NotificationKind};
pub use outcome::StageOutcome;
pub use path::{InvalidPath, RepoPath};
pub use proof::{GateProof, Proof, ProofBasis, TestCounts};
pub use proposal::{Attempt, AttemptOutcome, NoPatch, NoPatchClass};
pub use release::{
    Condition, Endpoint, Release, ReleaseState, Restoration, RunningNow, TargetKind,
    USUAL_HEALTH_PATHS,
};
pub use review::{Review, ReviewVerdict, Risk};
pub use secret_name::{may_name_secret, names_secret};
pub use stage::Stage;
pub use stop::{Repeated, StopReason};
pub use summary::{FixPlace, NextStep, RunSummary, SummaryPatch};
pub use target_at_end::TargetAtEnd;
pub use usage::{ModelUsage, Usage};
