//! The hub from outside: the real program, over HTTP, on SQLite and on PostgreSQL
//! (`GREENLOOP_TEST_POSTGRES`: `postgres://USER@HOST:PORT/DATABASE` whose user may make databases,
//! or `skip`).

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod bad_requests;
mod branches;
mod crash;
mod dashboard;
mod doors;
mod examples;
mod farm;
mod live;
mod merging;
mod pair;
mod partition;
mod program;
mod routes;
mod stores;
mod tls;
mod unfit;
mod waiting;
mod work;
mod workers;
