//! The dashboard in a real browser: Chromium, driven through chromedriver (Debian's packages
//! `chromium` and `chromium-driver`).
//!
//! `whole.rs` uses the real hub. The other tests use a server that implements only the API's
//! contract (`stage.rs`), so that they can create every scenario: a burst of events, a silent
//! connection, a hostile title. The page, its CSP and its files come from the real program.

mod accessibility;
mod acting;
mod approving;
mod browser;
mod keyboard;
mod large;
mod live;
mod logic;
mod pictures;
mod searching;
mod seed;
mod shown;
mod stage;
mod whole;
