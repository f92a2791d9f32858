//! The hub from outside: the real program, over HTTP. SQLite always; PostgreSQL as well when
//! `GREENLOOP_TEST_POSTGRES` names a server (`postgres://USER@HOST:PORT/DATABASE`) whose user may
//! make databases.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod bad_requests;
mod crash;
mod doors;
mod farm;
mod live;
mod merging;
mod pair;
mod program;
mod routes;
mod stores;
mod tls;
mod waiting;
mod work;
mod workers;
