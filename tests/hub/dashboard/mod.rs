//! The dashboard in a real browser: Chromium, driven through chromedriver (Debian's packages
//! `chromium` and `chromium-driver`).
//!
//! `whole.rs` has the real hub behind it. Elsewhere the hub is the wire contract and nothing else
//! (`stage.rs`), so that every scenario, a burst of events, a silent line, a hostile title, can be
//! had at will. The page, its policy and its files come out of the program as users get them.

mod accessibility;
mod browser;
mod keyboard;
mod live;
mod logic;
mod pictures;
mod seed;
mod shown;
mod stage;
mod whole;
