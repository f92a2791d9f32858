//! Live events: one reader of the outbox for the whole hub, and as many followers as there are
//! connections.
//!
//! The reader writes each event once, as it goes over the line, and puts it into one buffer that
//! all followers read from: a connection costs a position, not a queue. A follower that falls
//! behind by the whole buffer is dropped with a reason; it never holds up anything.

mod feed;
mod follower;
mod reader;

pub(super) use feed::Feed;
pub(super) use follower::{End, Follower, Next};
pub(super) use reader::{begin, read};
