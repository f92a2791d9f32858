//! What a server can do, found out by what it takes.
//!
//! Servers that speak the chat-completions form differ in what they accept of it. A request that
//! is refused as a whole is tried with fewer optional parts; what worked is remembered. The
//! structured fields of the refusal say where to begin; its text is never looked at.

use std::sync::{Mutex, PoisonError};

use super::round_trip::Refusal;
use greenloop_ports::ModelRequest;

/// How the form of an answer can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `response_format: json_schema`
    Schema,
    /// `response_format: json_object`
    Object,
    /// Not at all; the prompt says it.
    Prompt,
}

/// How the longest answer can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenLimit {
    /// `max_tokens`, the older name that most servers know.
    MaxTokens,
    /// `max_completion_tokens`, the only one OpenAI's newer models take.
    MaxCompletionTokens,
}

/// What is sent to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Abilities {
    pub(super) form: Form,
    pub(super) tools: bool,
    pub(super) stream_options: bool,
    pub(super) stream: bool,
    pub(super) token_limit: TokenLimit,
    pub(super) temperature: bool,
    /// `prompt_cache_key`: requests that begin alike go where their beginning is cached.
    pub(super) cache_key: bool,
}

impl Abilities {
    /// Everything that servers in general take, which is what one is first asked for.
    pub(super) const fn all(token_limit: TokenLimit) -> Self {
        Self {
            form: Form::Schema,
            tools: true,
            stream_options: true,
            stream: true,
            token_limit,
            temperature: true,
            cache_key: false,
        }
    }

    /// Without one optional part that `request` makes use of; `None` when there is nothing to
    /// leave out.
    fn without(self, part: RequestPart, request: &ModelRequest) -> Option<Self> {
        match part {
            RequestPart::Form => {
                request.schema.as_ref()?;
                let form = match self.form {
                    Form::Schema => Form::Object,
                    Form::Object => Form::Prompt,
                    Form::Prompt => return None,
                };
                Some(Self { form, ..self })
            }
            RequestPart::Tools => {
                (self.tools && !request.tools.is_empty()).then_some(Self { tools: false, ..self })
            }
            RequestPart::StreamOptions => {
                self.stream_options.then_some(Self { stream_options: false, ..self })
            }
            // The options go with it: they mean nothing without a stream.
            RequestPart::Stream => {
                self.stream.then_some(Self { stream: false, stream_options: false, ..self })
            }
            RequestPart::TokenLimit => {
                request.max_tokens?;
                let token_limit = match self.token_limit {
                    TokenLimit::MaxTokens => TokenLimit::MaxCompletionTokens,
                    TokenLimit::MaxCompletionTokens => TokenLimit::MaxTokens,
                };
                Some(Self { token_limit, ..self })
            }
            RequestPart::Temperature => {
                request.temperature?;
                self.temperature.then_some(Self { temperature: false, ..self })
            }
            RequestPart::CacheKey => self.cache_key.then_some(Self { cache_key: false, ..self }),
        }
    }
}

/// An optional part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestPart {
    Form,
    Tools,
    StreamOptions,
    TokenLimit,
    Temperature,
    CacheKey,
    Stream,
}

impl RequestPart {
    /// In the order in which servers most often lack them.
    const ALL: [Self; 7] = [
        Self::Form,
        Self::Tools,
        Self::StreamOptions,
        Self::TokenLimit,
        Self::Temperature,
        Self::CacheKey,
        Self::Stream,
    ];

    /// The part that a refusal's `param` names: `tools`, `tools[0].function`,
    /// `response_format.json_schema`.
    fn named(param: &str) -> Option<Self> {
        let end = param.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        Some(match &param[..end.unwrap_or(param.len())] {
            "response_format" | "guided_json" => Self::Form,
            "tools" | "tool_choice" | "functions" => Self::Tools,
            "stream_options" => Self::StreamOptions,
            "max_tokens" | "max_completion_tokens" => Self::TokenLimit,
            "temperature" => Self::Temperature,
            "prompt_cache_key" => Self::CacheKey,
            "stream" => Self::Stream,
            _ => return None,
        })
    }
}

/// Codes of refusals that leaving something out cannot repair.
const FINAL_CODES: [&str; 9] = [
    "context_length_exceeded",
    "string_above_max_length",
    "model_not_found",
    "DeploymentNotFound",
    "invalid_api_key",
    "content_filter",
    "content_policy_violation",
    "insufficient_quota",
    "billing_hard_limit_reached",
];

/// The way down for one request: which abilities to try next.
pub(super) struct Fallbacks {
    tried: Vec<Abilities>,
}

impl Fallbacks {
    /// At most this many further requests.
    const STEPS: usize = 8;

    /// Begins with what the first request was sent with.
    pub(super) fn new(start: Abilities) -> Self {
        Self { tried: vec![start] }
    }

    /// What to try after `refusal` of a request that was sent with `now`; `None` when the refusal
    /// is to be believed. A part that the refusal names is left out for good; otherwise each is
    /// left out alone, so that one that is missing does not cost the others, then all together.
    pub(super) fn next(
        &mut self,
        request: &ModelRequest,
        refusal: &Refusal,
        now: Abilities,
    ) -> Option<Abilities> {
        let code_is_final = refusal.codes.iter().any(|code| FINAL_CODES.contains(&code.as_str()));
        if !matches!(refusal.status, 400 | 404 | 422) || code_is_final {
            return None;
        }
        let named = refusal.params.iter().filter_map(|param| RequestPart::named(param));
        if let Some(next) =
            named.filter_map(|part| now.without(part, request)).find(|n| !self.tried.contains(n))
        {
            // The server names what it refuses: attempts without a name are forgotten.
            self.tried.insert(0, next);
            return self.within_bounds(next);
        }
        // A parameter that is named and is none of ours to leave out.
        if !refusal.params.is_empty() && refusal.status != 404 {
            return None;
        }
        let start = *self.tried.first()?;
        // "Not found" is nearly always the model or the path; some routers say it of a model
        // without tools or structured answers.
        let parts = match refusal.status {
            404 => &RequestPart::ALL[..2],
            _ => &RequestPart::ALL[..],
        };
        let alone = parts.iter().filter_map(|part| start.without(*part, request));
        let prompt_only = start
            .without(RequestPart::Form, request)
            .map(|less| Abilities { form: Form::Prompt, ..less });
        let together = parts.iter().fold(prompt_only.unwrap_or(start), |less, part| match part {
            RequestPart::Form => less,
            RequestPart::Tools
            | RequestPart::StreamOptions
            | RequestPart::TokenLimit
            | RequestPart::Temperature
            | RequestPart::CacheKey
            | RequestPart::Stream => less.without(*part, request).unwrap_or(less),
        });
        let mut candidates: Vec<Abilities> = alone.collect();
        if let Some(prompt_only) = prompt_only {
            candidates.insert(1, prompt_only);
        }
        candidates.push(together);
        let next = candidates.into_iter().find(|next| !self.tried.contains(next))?;
        self.tried.push(next);
        self.within_bounds(next)
    }

    fn within_bounds(&self, next: Abilities) -> Option<Abilities> {
        (self.tried.len() <= Self::STEPS + 1).then_some(next)
    }
}

/// What is known of a server, for as long as its client lives.
#[derive(Debug)]
pub(super) struct ServerAbilities(Mutex<Abilities>);

impl ServerAbilities {
    pub(super) const fn new(abilities: Abilities) -> Self {
        Self(Mutex::new(abilities))
    }

    /// What to send.
    pub(super) fn get(&self) -> Abilities {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with these was answered.
    pub(super) fn remember(&self, abilities: Abilities) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = abilities;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_ports::{JsonSchema, ToolSpec};
    use serde_json::json;

    fn request(tools: bool, schema: bool) -> ModelRequest {
        let tool = ToolSpec { name: "t", description: "", parameters: json!({}) };
        ModelRequest {
            system: String::new(),
            messages: Vec::new(),
            tools: if tools { vec![tool] } else { Vec::new() },
            schema: schema.then(|| JsonSchema { name: "s", schema: json!({}) }),
            temperature: Some(0.2),
            max_tokens: Some(9),
        }
    }

    fn walk(request: &ModelRequest, refusal: &Refusal) -> Vec<Abilities> {
        let mut now = Abilities::all(TokenLimit::MaxTokens);
        let mut fallbacks = Fallbacks::new(now);
        let mut steps = Vec::new();
        while let Some(next) = fallbacks.next(request, refusal, now) {
            steps.push(next);
            now = next;
        }
        steps
    }

    fn refusal(status: u16, params: &[&str], codes: &[&str]) -> Refusal {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        Refusal { status, params: owned(params), codes: owned(codes), ..Refusal::default() }
    }

    #[test]
    fn a_named_part_is_left_out_first() {
        let all = Abilities::all(TokenLimit::MaxTokens);
        for (param, expect) in [
            ("temperature", Abilities { temperature: false, ..all }),
            ("tools[0].function", Abilities { tools: false, ..all }),
            ("response_format.json_schema", Abilities { form: Form::Object, ..all }),
            ("max_tokens", Abilities { token_limit: TokenLimit::MaxCompletionTokens, ..all }),
            ("stream_options", Abilities { stream_options: false, ..all }),
            ("stream", Abilities { stream: false, stream_options: false, ..all }),
        ] {
            let steps = walk(&request(true, true), &refusal(400, &[param], &["unsupported"]));
            assert_eq!(steps.first(), Some(&expect), "{param}");
        }
    }

    #[test]
    fn a_server_that_refuses_the_cache_key_is_asked_without() {
        let all = Abilities { cache_key: true, ..Abilities::all(TokenLimit::MaxTokens) };
        let request = request(true, false);
        let without = Some(Abilities { cache_key: false, ..all });
        let named = refusal(400, &["prompt_cache_key"], &["unknown_parameter"]);
        assert_eq!(Fallbacks::new(all).next(&request, &named, all), without);
        // Where it was not sent, there is nothing to leave out.
        let bare = Abilities { cache_key: false, ..all };
        assert_eq!(Fallbacks::new(bare).next(&request, &named, bare), None);
    }

    #[test]
    fn what_cannot_be_mended_costs_no_request() {
        for (status, params, codes) in [
            (400, &[][..], &["context_length_exceeded"][..]),
            (404, &["model"][..], &["model_not_found"][..]),
            (400, &["messages"][..], &[][..]),
            (401, &[][..], &[][..]),
        ] {
            let steps = walk(&request(true, true), &refusal(status, params, codes));
            assert!(steps.is_empty(), "{status} {params:?} {codes:?}");
        }
        // Nothing optional is left to leave out.
        let bare = ModelRequest { temperature: None, max_tokens: None, ..request(false, false) };
        assert_eq!(walk(&bare, &refusal(404, &[], &[])).len(), 0);
    }

    #[test]
    fn without_a_name_each_part_goes_alone_then_all() {
        let all = Abilities::all(TokenLimit::MaxTokens);
        let steps = walk(&request(true, false), &refusal(400, &[], &[]));
        assert_eq!(steps.len(), 6);
        assert_eq!(steps[0], Abilities { tools: false, ..all });
        assert_eq!(steps[1], Abilities { stream_options: false, ..all });
        assert_eq!(
            steps[5],
            Abilities {
                form: Form::Schema,
                tools: false,
                stream_options: false,
                stream: false,
                token_limit: TokenLimit::MaxCompletionTokens,
                temperature: false,
                cache_key: false
            }
        );
        let steps = walk(&request(false, true), &refusal(422, &[], &[]));
        assert_eq!(steps[0].form, Form::Object);
        assert_eq!(steps[1].form, Form::Prompt);
        assert!(steps.len() <= Fallbacks::STEPS);
        assert_eq!(walk(&request(true, true), &refusal(404, &[], &[])).len(), 4);
    }
}
