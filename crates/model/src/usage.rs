//! Tokens and money.

use serde::{Deserialize, Serialize};

/// What model calls used. Adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Number of requests that were answered.
    pub requests: u32,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Of the tokens sent, those that the provider had in its cache and charges less for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// US dollars, by the configured prices; zero where no price is configured.
    pub cost_usd: f64,
}

/// Left out where a provider has no cache, as in records of older programs.
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Sent and received.
    pub const fn tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

/// What one model used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelUsage {
    /// `gpt-4o at api.openai.com`
    pub model: String,
    /// In all of its answers, including those without a result.
    pub usage: Usage,
}

impl ModelUsage {
    /// Adds to what `model` has used; models stand in the order in which they were first asked.
    pub fn add(used: &mut Vec<Self>, model: String, usage: Usage) {
        if usage == Usage::default() {
            return;
        }
        match used.iter_mut().find(|known| known.model == model) {
            Some(known) => known.usage += usage,
            None => used.push(Self { model, usage }),
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.input_tokens += other.input_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_usd += other.cost_usd;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_its_own_sum() {
        let used = |tokens| Usage { requests: 1, input_tokens: tokens, ..Usage::default() };
        let mut sums = Vec::new();
        for (model, usage) in [
            ("small", used(3)),
            ("silent", Usage::default()),
            ("large", used(5)),
            ("small", used(2)),
        ] {
            ModelUsage::add(&mut sums, model.to_owned(), usage);
        }
        let sums: Vec<_> = sums
            .iter()
            .map(|sum| (sum.model.as_str(), sum.usage.requests, sum.usage.input_tokens))
            .collect();
        assert_eq!(sums, [("small", 2, 5), ("large", 1, 5)]);
    }
}
