//! The dashboard in a real browser: Chromium, driven through chromedriver (Debian's packages
//! `chromium` and `chromium-driver`).
//!
//! The hub behind it is the wire contract and nothing else (`hub.rs`), so that every scenario,
//! a burst of events, a silent line, a hostile title, can be had at will. The page, its policy
//! and its files come out of the program as users get them.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod accessibility;
mod browser;
mod hub;
mod keyboard;
mod live;
mod logic;
mod pictures;
mod seed;
mod shown;
