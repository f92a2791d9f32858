//! Tokens and money.

use greenloop_config::plan::RolePlan;
use greenloop_model::Usage;
use greenloop_ports::{Message, ModelRequest, ToolCall};

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    input: f64,
    cached: f64,
    output: f64,
}

/// The tokens of one answered request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) sent: u64,
    /// Of those sent, what the provider had in its cache.
    pub(super) cached: u64,
    pub(super) received: u64,
}

impl Price {
    pub(super) const fn of(plan: &RolePlan) -> Self {
        Self { input: plan.input_price, cached: plan.cached_input_price, output: plan.output_price }
    }

    /// What one answered request comes to.
    pub(super) fn usage(self, Tokens { sent, cached, received }: Tokens) -> Usage {
        let cost = |tokens: u64, price: f64| tokens as f64 / 1e6 * price;
        // A server that counts more as cached than as sent counts them apart.
        let cached = cached.min(sent);
        Usage {
            requests: 1,
            input_tokens: sent,
            cached_tokens: cached,
            output_tokens: received,
            cost_usd: cost(sent - cached, self.input)
                + cost(cached, self.cached)
                + cost(received, self.output),
        }
    }
}

/// About how many tokens `bytes` of text are, for servers that do not count.
pub(super) const fn estimate(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(4)
}

/// About how many tokens a request sends.
pub(super) fn estimate_request(request: &ModelRequest) -> u64 {
    let messages = request.messages.iter().map(|message| match message {
        Message::User(text) | Message::ToolResult { text, .. } => text.len(),
        Message::Assistant { text, tool_calls } => text.len() + calls(tool_calls),
    });
    estimate(request.system.len() + messages.sum::<usize>())
}

/// About how many tokens an answer is.
pub(super) fn estimate_answer(text: &str, tool_calls: &[ToolCall]) -> u64 {
    estimate(text.len() + calls(tool_calls))
}

fn calls(tool_calls: &[ToolCall]) -> usize {
    tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_tokens_cost_what_they_cost() {
        let price = Price { input: 2.0, cached: 0.5, output: 8.0 };
        let million = 1_000_000;
        let usage = price.usage(Tokens { sent: 3 * million, cached: million, received: million });
        assert!((usage.cost_usd - 12.5).abs() < 1e-9, "{}", usage.cost_usd);
        assert_eq!((usage.input_tokens, usage.cached_tokens), (3 * million, million));
        let usage = price.usage(Tokens { sent: 1, cached: 9, received: 0 });
        assert_eq!(usage.cached_tokens, 1);
    }
}
