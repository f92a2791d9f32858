//! Stub
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
mod control;
mod program;
mod server;
