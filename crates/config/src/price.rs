//! List prices of well-known models, so that a cost can be told without configuring one.

/// US dollars per million tokens sent, of those that the provider had in its cache, and received, by
/// the beginning of the model's name; the longest beginning that fits is taken. As published by
/// OpenAI; a file's own prices win.
const LIST: &[(&str, f64, f64, f64)] = &[
    ("gpt-3.5-turbo", 0.50, 0.50, 1.50),
    ("gpt-4", 30.00, 30.00, 60.00),
    ("gpt-4-turbo", 10.00, 10.00, 30.00),
    ("gpt-4-1106-preview", 10.00, 10.00, 30.00),
    ("gpt-4-0125-preview", 10.00, 10.00, 30.00),
    ("gpt-4.1", 2.00, 0.50, 8.00),
    ("gpt-4.1-mini", 0.40, 0.10, 1.60),
    ("gpt-4.1-nano", 0.10, 0.025, 0.40),
    ("gpt-4o", 2.50, 1.25, 10.00),
    ("gpt-4o-mini", 0.15, 0.075, 0.60),
    ("gpt-5", 1.25, 0.125, 10.00),
    ("gpt-5-mini", 0.25, 0.025, 2.00),
    ("gpt-5-nano", 0.05, 0.005, 0.40),
    ("o3", 2.00, 0.50, 8.00),
    ("o3-mini", 1.10, 0.55, 4.40),
    ("o4-mini", 1.10, 0.275, 4.40),
];

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Price {
    pub(super) input: f64,
    /// Of what the provider had in its cache.
    pub(super) cached: f64,
    pub(super) output: f64,
}

/// What `model` costs, when it is known.
pub(super) fn of(model: &str) -> Option<Price> {
    LIST.iter()
        .filter(|(name, ..)| {
            model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
        .max_by_key(|(name, ..)| name.len())
        .map(|(_, input, cached, output)| Price { input: *input, cached: *cached, output: *output })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cached_costs_no_more() {
        assert!(LIST.iter().all(|(_, input, cached, _)| cached <= input));
        assert_eq!(of("gpt-4.1").map(|price| price.cached), Some(0.5));
    }

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
            let price = of(model).map(|price| (price.input, price.output));
            assert_eq!(price, expect, "{model}");
        }
    }
}
