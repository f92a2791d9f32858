//! The answer that no patch is right.

use greenloop_model::{NoPatch, NoPatchClass};

use super::refusal::{Finding, RefusalKind};

/// The most of a reason that is kept, in characters.
const LONGEST_REASON: usize = 4_000;

/// Whether a fence's language says so.
pub(super) fn is_no_patch(language: &str) -> bool {
    matches!(language, "no-patch" | "no_patch" | "nopatch")
}

/// Reads the lines within the fence.
pub(super) fn read(lines: &[&str]) -> Result<NoPatch, Finding> {
    let mut class = None;
    let mut reason: Option<String> = None;
    for line in lines {
        let line = line.trim();
        let field = |name: &str| {
            let (key, value) = line.split_once(':')?;
            key.trim()
                .trim_matches(['*', '`', '-', ' '])
                .eq_ignore_ascii_case(name)
                .then(|| value.trim().trim_matches(['*', '`', '"']).trim().to_owned())
        };
        if let (None, None, Some(value)) = (&class, &reason, field("class")) {
            class = Some(value);
        } else if let (None, Some(value)) = (&reason, field("reason")) {
            reason = Some(value);
        } else if let (None, Some(value)) = (&class, field("class")) {
            class = Some(value);
        } else if let Some(reason) = &mut reason {
            reason.push('\n');
            reason.push_str(line);
        }
    }
    let wrong = |text: String| Finding::new(RefusalKind::Malformed, "the no-patch block", text);
    let class = class.ok_or_else(|| {
        wrong("no `class:` line in it; it takes infrastructure, flaky or needs human".to_owned())
    })?;
    let class = NoPatchClass::from_answer(&class).ok_or_else(|| {
        wrong(format!("no class {class:?}; it is one of infrastructure, flaky, needs human"))
    })?;
    let reason: String = reason.unwrap_or_default().trim().chars().take(LONGEST_REASON).collect();
    if reason.is_empty() {
        return Err(wrong("no `reason:` line in it; say why no patch is right".to_owned()));
    }
    Ok(NoPatch { class, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_class_and_reason() {
        let expect = |class, reason: &str| Ok(NoPatch { class, reason: reason.to_owned() });
        assert_eq!(
            read(&["class: needs_human", "reason: two ways", "", "either breaks: something"]),
            expect(NoPatchClass::NeedsHuman, "two ways\n\neither breaks: something")
        );
        assert_eq!(
            read(&["Reason: the mirror is down", "Class: Infrastructure"]),
            expect(NoPatchClass::Infrastructure, "the mirror is down")
        );
        for lines in [&["reason: x"][..], &["class: flaky"], &["class: bored", "reason: x"]] {
            assert!(read(lines).is_err(), "{lines:?}");
        }
    }
}
