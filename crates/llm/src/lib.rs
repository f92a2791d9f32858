//! Language models: OpenAI, Azure OpenAI, every server that speaks the chat-completions form,
//! and recorded answers.
//!
//! Lives here: the wire and its failures (retries, cut streams, servers that lack a feature),
//! tokens and cost, recordings. Must not be here: prompts, and any idea of what an answer means.
//!
//! Invariants: an answer that was cut is an error, never a reply; what kind of error is decided
//! by status and structured fields, never by text; no key appears in an error or in `Debug`
//! output; in the ordinary case one call is exactly one HTTP request.

mod abilities;
mod address;
mod body;
mod chat;
mod draft;
mod price;
mod recorder;
mod replay;
mod round_trip;
mod token;
mod transcript;

use std::path::Path;
use std::sync::Arc;

use greenloop_azure::{AzureError, Identity};
use greenloop_config::plan::{Provider, RolePlan};
use greenloop_evidence::Redactor;
use greenloop_ports::{Model, ModelError, ModelErrorKind};

pub use recorder::Recorder;
pub use replay::Replay;

/// Names the file that answers are recorded to, see [`Recorder`].
pub const RECORD_VARIABLE: &str = "GREENLOOP_RECORD";

/// The model that answers for `role` (`author` or `reviewer`). `root` is what a recording's
/// path is relative to; `env` looks up environment variables; `azure` is who asks for a Microsoft
/// Entra token where there is no key. Nothing is sent yet.
///
/// Errors: [`ModelErrorKind::NotConfigured`], naming the variable or the file that is missing.
pub fn connect(
    role: &str,
    plan: &RolePlan,
    root: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    azure: Result<&Identity, &AzureError>,
) -> Result<Arc<dyn Model>, ModelError> {
    let model: Arc<dyn Model> = match &plan.provider {
        Provider::Replay { path } => return Ok(Arc::new(Replay::open(role, plan, root, path)?)),
        Provider::OpenAi { base_url, api_key_env } => {
            let address = address::Address::open_ai(&plan.model, base_url, api_key_env, env)?;
            Arc::new(chat::ChatModel::new(address, plan)?)
        }
        Provider::Azure { endpoint, deployment, api_version, api_key_env } => {
            let key_variable = api_key_env.as_deref();
            let (deployment, version) = (deployment.as_str(), api_version.as_str());
            let address =
                address::Address::azure(endpoint, deployment, version, key_variable, env, azure)?;
            Arc::new(chat::ChatModel::new(address, plan)?)
        }
    };
    match env(RECORD_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => {
            let redactor = Redactor::from_env();
            Ok(Arc::new(Recorder::new(model, role, Path::new(&path), redactor)?))
        }
        None => Ok(model),
    }
}

/// An error before anything was sent.
fn not_configured(
    model: impl Into<String>,
    message: impl Into<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> ModelError {
    ModelError {
        model: model.into(),
        kind: ModelErrorKind::NotConfigured,
        message: message.into(),
        usage: greenloop_model::Usage::default(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenloop_ports::{Message, ModelRequest};
    use std::time::Duration;

    /// A plan with prices of 2 and 10 dollars a million, and one second for a request.
    pub(super) fn plan_for(provider: Provider) -> RolePlan {
        RolePlan {
            provider,
            model: "test-model".into(),
            temperature: Some(0.2),
            max_tokens: Some(1000),
            system_prompt: None,
            timeout: Duration::from_secs(1),
            max_retries: 2,
            input_price: 2.0,
            cached_input_price: 2.0,
            output_price: 10.0,
            tool_steps: 0,
            explores: false,
            agent: None,
            next: Vec::new(),
        }
    }

    pub(super) fn request(text: &str) -> ModelRequest {
        ModelRequest {
            system: "be brief".into(),
            messages: vec![Message::User(text.into())],
            tools: Vec::new(),
            schema: None,
            temperature: Some(0.2),
            max_tokens: Some(1000),
        }
    }

    #[test]
    fn connecting_says_which_variable_is_missing() {
        let open_ai = Provider::OpenAi {
            base_url: "https://api.openai.com/v1".into(),
            api_key_env: "OPENAI_API_KEY".into(),
        };
        let plan = plan_for(open_ai);
        let unused = AzureError::for_test();
        let azure = Err(&unused);
        let error = connect("author", &plan, Path::new("."), &|_| None, azure).err().unwrap();
        assert_eq!(error.kind, ModelErrorKind::NotConfigured);
        assert!(error.to_string().contains("OPENAI_API_KEY"), "{error}");
        let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-x".into());
        let model = connect("author", &plan, Path::new("."), &env, azure).unwrap();
        assert_eq!(model.label(), "test-model at api.openai.com");
    }
}
