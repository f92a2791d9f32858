//! Tokens and money.

use greenloop_config::plan::RolePlan;
use greenloop_model::Usage;
use greenloop_ports::{Message, ModelRequest, ToolCall};

/// US dollars per million tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Price {
    input: f64,
    output: f64,
}

impl Price {
    pub(super) const fn of(plan: &RolePlan) -> Self {
        Self { input: plan.input_price, output: plan.output_price }
    }

    /// What one answered request comes to.
    pub(super) fn usage(self, input_tokens: u64, output_tokens: u64) -> Usage {
        let millions = |tokens: u64| tokens as f64 / 1e6;
        Usage {
            requests: 1,
            input_tokens,
            output_tokens,
            cost_usd: millions(input_tokens) * self.input + millions(output_tokens) * self.output,
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
