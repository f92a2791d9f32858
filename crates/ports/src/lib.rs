//! The seams: traits with more than one real implementation, and the types they speak.

pub mod environment;
mod image;
mod model;
mod pull_request;
mod secret;
mod target;
mod tasks;

pub use image::{Image, ImageError, ImageErrorKind, ImageRequest, ImageSource};
pub use model::{
    JsonSchema, Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, ToolCall,
    ToolSpec,
};
pub use pull_request::{
    Proposed, PullRequest, PullRequestError, PullRequestErrorKind, PullRequests,
};
pub use secret::{SecretError, SecretErrorKind, SecretSource};
pub use target::{
    Deployed, Earlier, Restored, RolloutRequest, Target, TargetError, TargetErrorKind, TargetStatus,
};
pub use tasks::{
    FailedTask, MergedWork, Submitted, TaskNews, TaskRunner, TasksEnd, TasksError, TasksErrorKind,
    TasksRequest,
};
