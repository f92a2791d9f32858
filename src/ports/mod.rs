//! The seams: traits with more than one real implementation, and the types they speak.

mod model;
mod target;

pub use model::{
    JsonSchema, Message, Model, ModelError, ModelErrorKind, ModelReply, ModelRequest, ToolCall,
    ToolSpec,
};
pub use target::{
    Deployed, Restored, RolloutRequest, Target, TargetError, TargetErrorKind, TargetStatus,
};
