//! Whether the models answer that tasks of the author need.

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;

use super::Environment;
use greenloop_azure::Identity;
use greenloop_config::plan::{AzurePlan, RolePlan};
use greenloop_model::FailureClass;
use greenloop_ports::{Message, Model, ModelError, ModelErrorKind, ModelRequest};
use greenloop_worker::{Fault, ModelCheck};

/// The models of two roles; each asked once when they are the same.
#[derive(Clone)]
pub(super) struct Models(Vec<Arc<dyn Model>>);

impl Models {
    /// Those that `plans` mean; the error of the first that is not available.
    pub(super) fn connect(
        plans: [(&str, &RolePlan); 2],
        root: &Path,
        env: &Environment,
    ) -> Result<Self, ModelError> {
        let azure = Identity::new(&AzurePlan::default(), &|name| env(name));
        let mut models: Vec<Arc<dyn Model>> = Vec::new();
        // A program of the user's own is no model that could be asked.
        for (role, plan) in plans.into_iter().filter(|(_, plan)| plan.agent.is_none()) {
            let model =
                greenloop_llm::connect(role, plan, root, &|name| env(name), azure.as_ref())?;
            if models.iter().all(|known| known.label() != model.label()) {
                models.push(model);
            }
        }
        Ok(Self(models))
    }

    /// Asks each for nothing but whether it is there.
    pub(super) async fn check(&self) -> Result<(), Fault> {
        for model in &self.0 {
            model.check().await.map_err(|error| fault(&error))?;
        }
        Ok(())
    }

    /// Has each say a word: whoever has used up what it may use is found out only so.
    pub(super) async fn speak(&self) -> Result<(), Fault> {
        let request = ModelRequest {
            system: "Answer with one word.".to_owned(),
            messages: vec![Message::User("Say OK.".to_owned())],
            tools: Vec::new(),
            schema: None,
            temperature: None,
            max_tokens: Some(16),
        };
        for model in &self.0 {
            match model.complete(&request).await {
                Ok(_) => {}
                Err(error) => match error.kind {
                    // It has answered, if not much.
                    ModelErrorKind::Cut | ModelErrorKind::Rejected => {}
                    ModelErrorKind::NotConfigured
                    | ModelErrorKind::Auth
                    | ModelErrorKind::RateLimited
                    | ModelErrorKind::Unreachable
                    | ModelErrorKind::Timeout
                    | ModelErrorKind::Protocol
                    | ModelErrorKind::NoRecording => return Err(fault(&error)),
                },
            }
        }
        Ok(())
    }

    /// As a worker calls it.
    pub(super) fn as_check(&self, thorough: bool) -> ModelCheck {
        let models = self.clone();
        Arc::new(move || {
            let models = models.clone();
            async move {
                match thorough {
                    true => models.speak().await,
                    false => models.check().await,
                }
            }
            .boxed()
        })
    }
}

/// The check of the models that the environment names; `None` when it names none that can be
/// asked.
pub(super) fn of_environment(env: &Environment) -> Option<ModelCheck> {
    let plan = greenloop_config::heal_plan(&|name: &str| env(name)).ok()?;
    let plans = [("author", &plan.author), ("reviewer", &plan.reviewer)];
    let models = Models::connect(plans, Path::new("."), env).ok()?;
    Some(models.as_check(false))
}

/// A model's error, as what it says of the machine that asks.
pub(super) fn fault(error: &ModelError) -> Fault {
    let (class, what) = match error.kind {
        ModelErrorKind::NotConfigured => {
            let what = "set it in the worker's environment and start the worker again";
            (FailureClass::Infrastructure, what)
        }
        ModelErrorKind::Auth => (FailureClass::Auth, "the model rejected the key"),
        ModelErrorKind::RateLimited => (FailureClass::Quota, "the model's limit has been reached"),
        ModelErrorKind::Unreachable
        | ModelErrorKind::Timeout
        | ModelErrorKind::Cut
        | ModelErrorKind::Rejected
        | ModelErrorKind::Protocol
        | ModelErrorKind::NoRecording => {
            (FailureClass::Infrastructure, "the model does not answer")
        }
    };
    Fault::new(class, format!("{error} ({what})"))
}
