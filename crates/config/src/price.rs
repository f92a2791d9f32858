//! List prices of well-known models, so that a cost can be told without configuring one.

/// US dollars per million tokens sent and received, by the beginning of the model's name; the
/// longest beginning that fits is taken. As published by OpenAI; a file's own prices win.
const LIST: &[(&str, f64, f64)] = &[
    ("gpt-3.5-turbo", 0.50, 1.50),
    ("gpt-4", 30.00, 60.00),
    ("gpt-4-turbo", 10.00, 30.00),
    ("gpt-4-1106-preview", 10.00, 30.00),
    ("gpt-4-0125-preview", 10.00, 30.00),
    ("gpt-4.1", 2.00, 8.00),
    ("gpt-4.1-mini", 0.40, 1.60),
    ("gpt-4.1-nano", 0.10, 0.40),
    ("gpt-4o", 2.50, 10.00),
    ("gpt-4o-mini", 0.15, 0.60),
    ("gpt-5", 1.25, 10.00),
    ("gpt-5-mini", 0.25, 2.00),
    ("gpt-5-nano", 0.05, 0.40),
    ("o3", 2.00, 8.00),
    ("o3-mini", 1.10, 4.40),
    ("o4-mini", 1.10, 4.40),
];

/// What `model` costs, when it is known.
pub(super) fn of(model: &str) -> Option<(f64, f64)> {
    LIST.iter()
        .filter(|(name, _, _)| {
            model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
        .max_by_key(|(name, _, _)| name.len())
        .map(|(_, input, output)| (*input, *output))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_wins() {
        for (model, expect) in [
            ("gpt-4-turbo-preview", Some((10.0, 30.0))),
            ("gpt-4.1", Some((2.0, 8.0))),
            ("gpt-4.1-mini-2025-04-14", Some((0.4, 1.6))),
            ("gpt-4o-mini", Some((0.15, 0.6))),
            ("gpt-4", Some((30.0, 60.0))),
            ("gpt-4.12", None),
            ("qwen2.5-coder", None),
        ] {
            assert_eq!(of(model), expect, "{model}");
        }
    }
}
