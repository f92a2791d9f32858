//! The seams: traits with more than one real implementation, and the types they speak.

mod approval;
pub mod environment;
mod image;
mod model;
mod pull_request;
mod secret;
mod target;
mod tasks;

pub use approval::{ApprovalNews, ApprovalQuestion, RemoteApprovals, RemoteDecision};
pub use image::{Image, ImageError, ImageErrorKind, ImageRequest, ImageSource};
pub use model::{
    JsonSchema, Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, ModelWait,
    Served, SilentWaits, ToolCall, ToolSpec, Waits,
};
pub use pull_request::{
    Proposed, PullRequest, PullRequestError, PullRequestErrorKind, PullRequests,
};
pub use secret::{SecretError, SecretErrorKind, SecretSource};
pub use target::{
    Deployed, Earlier, PartLog, Restored, RolloutRequest, Stopped, Target, TargetError,
    TargetErrorKind, TargetStatus,
};
pub use tasks::{
    FailedTask, MergedWork, Submitted, TaskNews, TaskRunner, TasksEnd, TasksError, TasksErrorKind,
    TasksRequest,
};
