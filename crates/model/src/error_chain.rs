//! Errors in one line.

use std::error::Error;
use std::fmt::Write as _;

/// An error with all that lies beneath it: `failed to x: no such file`.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let part = error.to_string();
        if !text.ends_with(&part) {
            let _infallible = write!(text, ": {part}");
        }
        source = error.source();
    }
    text
}
