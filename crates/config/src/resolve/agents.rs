//! `agents`: the same with and without a file, so `greenloop heal` uses it too.
//!
//! What the file says wins; then the variables `OPENAI_BASE_URL`, `GREENLOOP_MODEL` and
//! `GREENLOOP_REVIEWER_MODEL`; then the defaults. The reviewer takes the connection and the
//! model from the author where the file says nothing of its own.

use std::time::Duration;

use super::sandbox::{folders, network};
use super::{Context, Root, bare};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::{AgentPlan, Provider, RolePlan};
use crate::price::{self, Price};
use crate::raw::{RawAgent, RawAgents, RawAuthorMode, RawProvider};
use crate::vault_reference::reference;

/// What is asked when nothing names a model.
const DEFAULT_MODEL: &str = "gpt-4.1";
const OPENAI: &str = "https://api.openai.com/v1";
const AZURE_API_VERSION: &str = "2024-10-21";
const TOOL_STEPS: u32 = 12;
const MOST_MODELS: usize = 8;
/// How long a program of the user's own may take for one proposal.
const AGENT_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Both roles.
pub(crate) struct Roles {
    pub(crate) author: RolePlan,
    pub(crate) reviewer: RolePlan,
    /// The roles, by their key, whose model has no known price.
    pub(super) unpriced: Vec<&'static str>,
}

/// The author's and the reviewer's plan.
pub(crate) fn roles(cx: &mut Context<'_>, raw: Option<&RawAgents>) -> Roles {
    let place = KeyPath::root().key("agents");
    let raw = raw.cloned().unwrap_or_default();
    let codex = raw.codex.unwrap_or_default();
    let jules = raw.jules.unwrap_or_default();
    let author_place = place.key("codex");
    let place = place.key("jules");

    let agent = own_agent(cx, &codex, &author_place);
    let models = models(cx, &codex, &author_place);
    let model = models.first().cloned().or_else(|| codex.model.clone());
    let model = model.or_else(|| cx.variable("GREENLOOP_MODEL"));
    let (provider, model) = connection(cx, &codex, &author_place, model);
    let tool_steps = codex.tool_steps.unwrap_or(TOOL_STEPS);
    let (author_price, known) = prices(&codex, &provider, &model, None);
    let mut unpriced = Vec::new();
    if !known && agent.is_none() {
        unpriced.push("codex");
    }
    let mut author = role(cx, &codex, &author_place, provider, model, author_price, tool_steps);
    if agent.is_some() && codex.timeout.is_none() {
        author.timeout = AGENT_TIMEOUT;
    }
    author.agent = agent;
    author.explores = codex.mode == Some(RawAuthorMode::Agent);
    if author.explores && author.tool_steps == 0 {
        cx.report(
            ProblemKind::InvalidValue,
            &author_place.key("mode"),
            "`mode: agent` needs tool calls, and `tool_steps` allows none".to_owned(),
            "raise `tool_steps`, or remove `mode`",
        );
    }
    for model in models.into_iter().skip(1) {
        let provider = with_model(&author.provider, &author.model, &model);
        let (price, known) = prices(&codex, &provider, &model, None);
        if !known && !unpriced.contains(&"codex") {
            unpriced.push("codex");
        }
        let Price { input, cached, output } = price;
        author.next.push(RolePlan {
            provider,
            model,
            input_price: input,
            cached_input_price: cached,
            output_price: output,
            next: Vec::new(),
            ..author.clone()
        });
    }

    let own = jules.provider.is_some()
        || jules.base_url.is_some()
        || jules.api_key_env.is_some()
        || jules.endpoint.is_some()
        || jules.deployment.is_some()
        || jules.api_version.is_some()
        || jules.transcript.is_some();
    let named = jules.model.clone().or_else(|| cx.variable("GREENLOOP_REVIEWER_MODEL"));
    let (provider, model) = if own {
        let model = named.or_else(|| cx.variable("GREENLOOP_MODEL"));
        connection(cx, &jules, &place, model)
    } else {
        let shared = named.clone().unwrap_or_else(|| author.model.clone());
        let provider = match named {
            Some(model) => with_model(&author.provider, &author.model, &model),
            None => author.provider.clone(),
        };
        (provider, shared)
    };
    for (key, given) in [
        ("command", jules.command.is_some()),
        ("pass_env", jules.pass_env.is_some()),
        ("network", jules.network.is_some()),
        ("read", jules.read.is_some()),
        ("cache", jules.cache.is_some()),
        ("mode", jules.mode.is_some()),
    ] {
        if given {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key(key),
                "the reviewer is a model, and only reads".to_owned(),
                "write it under `agents.codex`",
            );
        }
    }
    if jules.models.is_some() {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("models"),
            "the reviewer is one model".to_owned(),
            "write `model` in place of `models`",
        );
    }
    if jules.tool_steps.is_some_and(|steps| steps > 0) {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("tool_steps"),
            "the reviewer has no tools: it evaluates the diff and the evidence".to_owned(),
            "remove `tool_steps` from `agents.jules`",
        );
    }
    let same = !own && model == author.model && known;
    let (price, known) = prices(&jules, &provider, &model, same.then_some(author_price));
    if !known {
        unpriced.push("jules");
    }
    let reviewer = role(cx, &jules, &place, provider, model, price, 0);
    Roles { author, reviewer, unpriced }
}

/// The program that is the author, where there is one.
fn own_agent(cx: &mut Context<'_>, codex: &RawAgent, place: &KeyPath) -> Option<AgentPlan> {
    let pass_env = codex.pass_env.clone().unwrap_or_default();
    let Some(command) = &codex.command else {
        for (key, given) in [
            ("pass_env", codex.pass_env.is_some()),
            ("network", codex.network.is_some()),
            ("read", codex.read.is_some()),
            ("cache", codex.cache.is_some()),
        ] {
            if given {
                cx.report(
                    ProblemKind::InvalidValue,
                    &place.key(key),
                    format!("`{key}` is for the program of `command`, and there is none"),
                    &format!("remove `{key}`"),
                );
            }
        }
        return None;
    };
    for (key, given) in [
        ("provider", codex.provider.is_some()),
        ("model", codex.model.is_some()),
        ("models", codex.models.is_some()),
        ("base_url", codex.base_url.is_some()),
        ("temperature", codex.temperature.is_some()),
        ("max_tokens", codex.max_tokens.is_some()),
        ("tool_steps", codex.tool_steps.is_some()),
        ("mode", codex.mode.is_some()),
        ("max_retries", codex.max_retries.is_some()),
        ("system_prompt", codex.system_prompt.is_some()),
    ] {
        if given {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key(key),
                format!("`{key}` is for a model, and `command` is a program"),
                "remove it; the reviewer's model stands under `agents.jules`",
            );
        }
    }
    for (nth, word) in command.iter().enumerate().take(1) {
        if word.trim().is_empty() {
            cx.filled(word, &place.key("command").index(nth));
        }
    }
    for (nth, name) in pass_env.iter().enumerate() {
        let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key("pass_env").index(nth),
                "`pass_env` has names of variables, not their values".to_owned(),
                "write a name such as OPENAI_API_KEY",
            );
        }
    }
    Some(AgentPlan {
        command: command.clone(),
        pass_env,
        network: network(cx, codex.network.as_ref(), &place.key("network")).unwrap_or_default(),
        read: folders(cx, codex.read.as_deref(), &place.key("read")),
        cache: folders(cx, codex.cache.as_deref(), &place.key("cache")),
    })
}

/// The author's models, in the order in which they are asked; none where there is no list.
fn models(cx: &mut Context<'_>, codex: &RawAgent, place: &KeyPath) -> Vec<String> {
    let Some(models) = &codex.models else { return Vec::new() };
    let at = place.key("models");
    if codex.model.is_some() {
        cx.report(
            ProblemKind::InvalidValue,
            &at,
            "`model` and `models` both say who is asked".to_owned(),
            "write all models into `models`, the one to be asked first at its beginning",
        );
    }
    if models.len() > MOST_MODELS {
        cx.report(
            ProblemKind::InvalidValue,
            &at,
            format!("`models` has {} entries", models.len()),
            &format!("name at most {MOST_MODELS} models"),
        );
    }
    if codex.provider == Some(RawProvider::Replay) {
        cx.report(
            ProblemKind::InvalidValue,
            &at,
            "a recording is one model".to_owned(),
            "remove `models`",
        );
    }
    if codex.deployment.is_some() {
        cx.report(
            ProblemKind::InvalidValue,
            &at,
            "with `models` each deployment has its model's name".to_owned(),
            "remove `deployment`, and write the deployments' names into `models`",
        );
    }
    for (nth, model) in models.iter().enumerate() {
        if model.trim().is_empty() {
            cx.filled(model, &at.index(nth));
        }
    }
    models.clone()
}

/// The same server with another model: a deployment that was named after the model follows it.
fn with_model(provider: &Provider, named_after: &str, model: &str) -> Provider {
    match provider {
        Provider::Azure { endpoint, deployment, api_version, api_key_env }
            if deployment == named_after =>
        {
            Provider::Azure {
                endpoint: endpoint.clone(),
                deployment: model.to_owned(),
                api_version: api_version.clone(),
                api_key_env: api_key_env.clone(),
            }
        }
        Provider::Azure { .. } | Provider::OpenAi { .. } | Provider::Replay { .. } => {
            provider.clone()
        }
    }
}

fn connection(
    cx: &mut Context<'_>,
    raw: &RawAgent,
    place: &KeyPath,
    model: Option<String>,
) -> (Provider, String) {
    let kind = raw.provider.unwrap_or(RawProvider::Openai);
    out_of_place(cx, raw, place, kind);
    let default = match kind {
        RawProvider::Openai | RawProvider::Azure => DEFAULT_MODEL,
        RawProvider::Replay => "recorded answers",
    };
    let model = model.unwrap_or_else(|| default.to_owned());
    if model.trim().is_empty() {
        cx.filled(&model, &place.key("model"));
    }
    let provider = match kind {
        RawProvider::Openai => Provider::OpenAi {
            base_url: base_url(cx, raw.base_url.as_deref(), &place.key("base_url")),
            api_key_env: key_name(cx, raw, place).unwrap_or_else(|| "OPENAI_API_KEY".to_owned()),
        },
        RawProvider::Azure => Provider::Azure {
            endpoint: azure_endpoint(cx, raw, place),
            deployment: raw.deployment.clone().unwrap_or_else(|| model.clone()),
            api_version: raw.api_version.clone().unwrap_or_else(|| AZURE_API_VERSION.to_owned()),
            api_key_env: key_name(cx, raw, place)
                .or_else(|| Some("AZURE_OPENAI_API_KEY".to_owned())),
        },
        RawProvider::Replay => {
            let path = match &raw.transcript {
                Some(text) => cx.path(text, &place.key("transcript"), Root::Refused),
                None => {
                    cx.report(
                        ProblemKind::MissingKey,
                        &place.key("provider"),
                        format!("`{place}` replays recorded answers, but `transcript` is missing"),
                        "set it to the file or folder with the recorded answers",
                    );
                    None
                }
            };
            Provider::Replay { path: path.unwrap_or_default() }
        }
    };
    (provider, model)
}

fn base_url(cx: &mut Context<'_>, own: Option<&str>, place: &KeyPath) -> String {
    let url = match own {
        Some(text) => cx.url(text, place, &format!("`{place}`")),
        None => match cx.variable("OPENAI_BASE_URL") {
            Some(text) => {
                let before = cx.problems.len();
                let url = cx.url(&text, place, "the variable OPENAI_BASE_URL");
                for problem in &mut cx.problems[before..] {
                    problem.kind = ProblemKind::Variable;
                    problem.position = None;
                    problem.help = Some(
                        "set it to a base URL, for example http://localhost:11434/v1".to_owned(),
                    );
                }
                url
            }
            None => return OPENAI.to_owned(),
        },
    };
    url.map_or_else(|| OPENAI.to_owned(), |url| bare(&url))
}

fn azure_endpoint(cx: &mut Context<'_>, raw: &RawAgent, place: &KeyPath) -> String {
    match &raw.endpoint {
        Some(text) => {
            let at = place.key("endpoint");
            cx.url(text, &at, &format!("`{at}`")).map(|url| bare(&url)).unwrap_or_default()
        }
        None => {
            cx.report(
                ProblemKind::MissingKey,
                &place.key("provider"),
                format!("`{place}` uses Azure OpenAI, but `endpoint` is missing"),
                "for example `endpoint: https://NAME.openai.azure.com`",
            );
            String::new()
        }
    }
}

/// The name of a variable or of a secret in the key vault, which a key itself is not.
fn key_name(cx: &mut Context<'_>, raw: &RawAgent, place: &KeyPath) -> Option<String> {
    let name = raw.api_key_env.as_ref()?;
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits && reference(name).is_none() {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("api_key_env"),
            "`api_key_env` must be the name of a variable, not a key".to_owned(),
            "use a name such as OPENAI_API_KEY and export the key under it, or keyvault:NAME",
        );
    }
    Some(name.clone())
}

/// Keys that belong to another provider say that something else was meant.
fn out_of_place(cx: &mut Context<'_>, raw: &RawAgent, place: &KeyPath, kind: RawProvider) {
    let name = |kind| match kind {
        RawProvider::Openai => "openai",
        RawProvider::Azure => "azure",
        RawProvider::Replay => "replay",
    };
    for (key, given, home) in [
        ("base_url", raw.base_url.is_some(), RawProvider::Openai),
        ("endpoint", raw.endpoint.is_some(), RawProvider::Azure),
        ("deployment", raw.deployment.is_some(), RawProvider::Azure),
        ("api_version", raw.api_version.is_some(), RawProvider::Azure),
        ("transcript", raw.transcript.is_some(), RawProvider::Replay),
    ] {
        if given && kind != home {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key(key),
                format!(
                    "{} is for provider `{}`, but the provider is `{}`",
                    quoted(key),
                    name(home),
                    name(kind)
                ),
                &format!("remove it, or set `provider: {}`", name(home)),
            );
        }
    }
}

fn role(
    cx: &mut Context<'_>,
    raw: &RawAgent,
    place: &KeyPath,
    provider: Provider,
    model: String,
    price: Price,
    tool_steps: u32,
) -> RolePlan {
    RolePlan {
        temperature: raw.temperature,
        max_tokens: raw.max_tokens,
        system_prompt: raw.system_prompt.clone().filter(|prompt| !prompt.trim().is_empty()),
        timeout: cx
            .timeout(raw.timeout.as_ref(), &place.key("timeout"))
            .unwrap_or(Duration::from_secs(120)),
        max_retries: raw.max_retries.unwrap_or(3),
        input_price: price.input,
        cached_input_price: price.cached,
        output_price: price.output,
        tool_steps,
        explores: false,
        agent: None,
        next: Vec::new(),
        provider,
        model,
    }
}

/// Dollars per million tokens sent and received, and whether they are known. A recording costs
/// nothing, and so does a server of one's own unless the file says more.
fn prices(
    raw: &RawAgent,
    provider: &Provider,
    model: &str,
    inherited: Option<Price>,
) -> (Price, bool) {
    let free = match provider {
        Provider::OpenAi { base_url, .. } => base_url != OPENAI,
        Provider::Azure { .. } => false,
        Provider::Replay { .. } => true,
    };
    let listed = inherited.or(if free { Some(Price::default()) } else { price::of(model) });
    let Price { input, cached, output } = listed.unwrap_or_default();
    let given = raw.input_price.is_some() && raw.output_price.is_some();
    // An own price for what is sent is one for all of it, where nothing else is said.
    let cached = raw.cached_input_price.or(raw.input_price).unwrap_or(cached);
    let price = Price {
        input: raw.input_price.unwrap_or(input),
        cached,
        output: raw.output_price.unwrap_or(output),
    };
    (price, given || listed.is_some())
}
