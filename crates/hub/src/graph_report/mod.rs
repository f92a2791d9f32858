//! The completion report of a graph, as data, Markdown and HTML.
//!
//! Lives here: what follows from the store's facts ([`report`]), and how it is written. Pure: reads
//! no store and no clock. Text of users is escaped where it is written, in both formats.

mod critical_path;
mod html;
mod markdown;
mod sections;
mod summary;
#[cfg(test)]
mod tests;
mod words;

pub use html::html;
pub use markdown::markdown;
pub use summary::report;
