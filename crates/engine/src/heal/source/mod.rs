//! What a source file defines and which files it imports, read by tables: no compiler, no parser.
//!
//! Lives here: `languages.yaml` and what reads it, the extents of definitions, the files that an
//! import may mean. Pure. What it cannot tell it leaves out: the author has tools.

mod imports;
mod languages;
mod outline;

pub(super) use imports::{Files, imported, is_test, stem, tested_by};
pub(super) use languages::{Language, of_path};
pub(super) use outline::{Definition, definitions, enclosing};
