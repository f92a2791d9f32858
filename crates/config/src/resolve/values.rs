//! Values that settings of several sections have.

use std::collections::BTreeMap;

use super::Context;
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::raw::RawSize;

/// An amount of memory.
pub(super) fn bytes(cx: &mut Context<'_>, raw: &RawSize, place: &KeyPath) -> Option<u64> {
    let read = match raw {
        RawSize::Bytes(bytes) => Some(*bytes),
        RawSize::Text(text) => {
            let text = text.trim().to_ascii_lowercase();
            let text = text.strip_suffix('b').unwrap_or(&text);
            let text = text.strip_suffix('i').unwrap_or(text);
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let unit = match text.get(digits.len()..) {
                Some("") => Some(1),
                Some("k") => Some(1 << 10),
                Some("m") => Some(1 << 20),
                Some("g") => Some(1 << 30),
                _ => None,
            };
            let number: Option<u64> = digits.trim().parse().ok();
            number.zip(unit).and_then(|(number, unit)| number.checked_mul(unit))
        }
    };
    // What the engine itself refuses to go below.
    let read = read.filter(|bytes| *bytes >= 6 << 20);
    if read.is_none() {
        cx.report(
            ProblemKind::InvalidValue,
            place,
            format!("`{place}` must be an amount of memory of at least 6 MiB"),
            "write bytes or a number with a unit: 512m, 2g, 4Gi",
        );
    }
    read
}

/// Names that a process's environment can have.
pub(super) fn variables(cx: &mut Context<'_>, env: &BTreeMap<String, String>, place: &KeyPath) {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key(name),
                format!("{} is not a valid environment variable", quoted(name)),
                "the name must not be empty or contain `=`; neither name nor value may contain a \
                 NUL byte",
            );
        }
    }
}

/// Names of variables that are inherited; one may end in `*`.
pub(super) fn variable_names(cx: &mut Context<'_>, names: &[String], place: &KeyPath) {
    for (i, name) in names.iter().enumerate() {
        let start = name.strip_suffix('*').unwrap_or(name);
        if start.is_empty() || start.contains(['=', '\0', '*', ' ']) {
            cx.report(
                ProblemKind::InvalidValue,
                &place.index(i),
                format!("{} is not the name of a variable", quoted(name)),
                "write a name, or how names begin with a `*`: DATABASE_URL, MY_*; a value is \
                 written as NAME: value",
            );
        }
    }
}
