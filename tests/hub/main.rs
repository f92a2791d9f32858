//! The hub from outside: the real program, over HTTP, on SQLite and on PostgreSQL
//! (`GREENLOOP_TEST_POSTGRES`: `postgres://USER@HOST:PORT/DATABASE` whose user may make databases,
//! or `skip`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod actions;
mod approvals;
mod bad_requests;
mod badges;
mod branches;
mod checkpoints;
mod crash;
mod dashboard;
mod doors;
mod examples;
mod farm;
mod flakes;
mod full_disk;
mod live;
mod logs;
mod merge_approvals;
mod merging;
mod notifications;
mod pair;
mod partition;
mod program;
mod reports;
mod routes;
mod stores;
mod tls;
mod unfit;
mod waiting;
mod work;
mod workers;
