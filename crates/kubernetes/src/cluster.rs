//! The API server, asked with patience: what is lost on the way is asked again, what is refused
//! is refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::core::GroupVersion;
use kube::discovery::{ApiResource, Scope};
use kube::{Api, Client, Resource as _};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission_error;
use super::error::{KubernetesError, KubernetesErrorKind, NotPermitted, causes, is_transient};
use super::lease::held::HeldLease;
use super::manifest::labels::MANAGER;
use super::manifest::{Manifest, ObjectId};
use greenloop_model::{EventSink, Notice, RunEvent};

/// How long an API server that has answered before may be away.
const OUTAGE: Duration = Duration::from_secs(120);
/// How long one that has never answered is waited for: its address may be wrong.
const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(45);
/// Silence after which a person is told.
const TELL: Duration = Duration::from_secs(3);
/// Between two tries.
const RETRY: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();
/// The longest pause that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(10);
/// How often a server error (500) is met with another try where it may mean that the request was
/// wrong.
const DOUBTFUL_TRIES: u32 = 3;
const DOUBTFUL_PAUSE: Duration = Duration::from_millis(500);

/// A kind of object as the API server serves it.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

/// A right that the account may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessRequest<'a> {
    /// `patch`
    pub(super) verb: &'a str,
    pub(super) resource: &'a ApiResource,
    /// `log`
    pub(super) subresource: Option<&'a str>,
    /// The whole cluster, or what stands in no namespace, for `None`.
    pub(super) namespace: Option<&'a str>,
    /// Whatever its name, for `None`.
    pub(super) name: Option<&'a str>,
}

/// Whether a write is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteMode {
    /// The server goes all the way and keeps nothing.
    Dry,
    /// It is.
    Real,
}

/// Whether fields of other managers are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// A conflict is an answer.
    Respected,
    /// The fields become ours.
    Taken,
}

/// Why an object was not applied.
#[derive(Debug)]
pub(super) enum ApplyError {
    /// Other managers own these fields, as the server writes paths.
    Conflict(Vec<String>),
    Failed(KubernetesError),
}

/// No answer came in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", ANSWER.as_secs())]
struct NoAnswer;

/// An API server and what is known of it. Cheap to clone.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    shared: Arc<Shared>,
    /// AccessRequest before each try of a write.
    guard: Option<Arc<HeldLease>>,
    cancel: CancellationToken,
    events: EventSink,
}

#[derive(Default)]
struct Shared {
    /// By `group/version`.
    kinds: Mutex<BTreeMap<String, Vec<Kind>>>,
    reached: AtomicBool,
}

impl Cluster {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            shared: Arc::default(),
            guard: None,
            cancel: CancellationToken::new(),
            events: EventSink::null(),
        }
    }

    /// The same server, for one piece of work: `cancel` ends waiting, never a request.
    pub(super) fn during(&self, events: &EventSink, cancel: &CancellationToken) -> Self {
        Self { cancel: cancel.clone(), events: events.clone(), ..self.clone() }
    }

    /// The same server, written to only while the lease is held: a try that follows an outage
    /// must not land in another run's time.
    pub(super) fn guarded(&self, hold: &Arc<HeldLease>) -> Self {
        Self { guard: Some(hold.clone()), ..self.clone() }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn events(&self) -> &EventSink {
        &self.events
    }

    pub(super) fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// How long the API server is waited for when it gives no good answer.
    pub(super) fn outage_limit(&self) -> Duration {
        if self.shared.reached.load(Ordering::Relaxed) { OUTAGE } else { FIRST_CONTACT }
    }

    /// Asks until there is an answer, through lost connections and errors of the server.
    pub(super) async fn ask<T, F>(&self, call: impl FnMut() -> F) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.ask_while(is_transient, call).await
    }

    /// The same for a write, each try of it with the lease's permit.
    pub(super) async fn write<T, F>(&self, call: impl FnMut() -> F) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        self.write_while(is_transient, call).await
    }

    async fn write_while<T, F>(
        &self,
        again: fn(&kube::Error) -> bool,
        mut call: impl FnMut() -> F,
    ) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let permitted = || {
            let request = call();
            async {
                let Some(hold) = &self.guard else { return request.await };
                hold.permit().await.map_err(not_permitted)?;
                tokio::select! {
                    answer = request => answer,
                    () = hold.lost().cancelled() => {
                        hold.permit().await.map_err(not_permitted)?;
                        Err(kube::Error::Service(Box::new(NoAnswer)))
                    }
                }
            }
        };
        self.ask_while(again, permitted).await
    }

    /// The same as [`Cluster::ask`], where `again` says what is worth another try.
    async fn ask_while<T, F>(
        &self,
        again: fn(&kube::Error) -> bool,
        mut call: impl FnMut() -> F,
    ) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let started = Instant::now();
        let mut delays = RETRY.build();
        let mut told = false;
        loop {
            let error = match tokio::time::timeout(ANSWER, call()).await {
                Ok(Ok(answer)) => {
                    self.shared.reached.store(true, Ordering::Relaxed);
                    if told {
                        let text = "the API server answers again".to_owned();
                        self.events.send(RunEvent::Notice(Notice::Info(text)));
                    }
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(_) => kube::Error::Service(Box::new(NoAnswer)),
            };
            if !again(&error) {
                if matches!(error, kube::Error::Api(_)) {
                    self.shared.reached.store(true, Ordering::Relaxed);
                }
                return Err(error);
            }
            let limit = self.outage_limit();
            let delay = delays.next().unwrap_or_default();
            let wait = asked_to_wait(&error).unwrap_or(delay);
            if started.elapsed() + wait > limit {
                return Err(error);
            }
            if !told && started.elapsed() > TELL {
                told = true;
                let text =
                    format!("the API server does not answer; retrying for {} s", limit.as_secs());
                self.events.send(RunEvent::Notice(Notice::Warning(text)));
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.cancel.cancelled() => return Err(error),
            }
        }
    }

    /// The kind, or `None` when the API server does not know it.
    pub(super) async fn kind(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, KubernetesError> {
        let of = |kinds: &[Kind]| kinds.iter().find(|known| known.resource.kind == kind).cloned();
        let cached = {
            let kinds = self.shared.kinds.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.get(api_version).and_then(|kinds| of(kinds))
        };
        if cached.is_some() {
            return Ok(cached);
        }
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let asked = GroupVersion::gv(group, version);
        let answer = self.ask(|| kube::discovery::pinned_group(&self.client, &asked)).await;
        let group = match answer {
            Ok(group) => group,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => {
                let what = format!("read the kinds of {api_version}");
                return Err(KubernetesError::of(&what, error));
            }
        };
        let kinds: Vec<Kind> = group
            .versioned_resources(version)
            .into_iter()
            .map(|(resource, abilities)| Kind {
                resource,
                namespaced: matches!(abilities.scope, Scope::Namespaced),
            })
            .collect();
        let found = of(&kinds);
        let mut known = self.shared.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(api_version.to_owned(), kinds);
        Ok(found)
    }

    pub(super) fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if kind.namespaced => {
                Api::namespaced_with(self.client.clone(), namespace, &kind.resource)
            }
            Some(_) | None => Api::all_with(self.client.clone(), &kind.resource),
        }
    }

    /// The object as it is, or `None`.
    pub(super) async fn get(
        &self,
        kind: &Kind,
        id: &ObjectId,
    ) -> Result<Option<DynamicObject>, KubernetesError> {
        let api = self.api(kind, id.namespace.as_deref());
        let answer = self.ask(|| api.get_opt(&id.name)).await;
        answer.map_err(|error| KubernetesError::of(&format!("read {id}"), error))
    }

    /// Objects of a kind in a namespace, by label.
    pub(super) async fn list(
        &self,
        kind: &Kind,
        namespace: &str,
        labels: &str,
    ) -> Result<Vec<DynamicObject>, KubernetesError> {
        let api = self.api(kind, Some(namespace));
        let asked = ListParams::default().labels(labels);
        let answer = self.ask(|| api.list(&asked)).await;
        answer.map(|list| list.items).map_err(|error| {
            KubernetesError::of(&format!("list {} in {namespace}", kind.resource.plural), error)
        })
    }

    /// Server-side apply. Repeating it after a lost answer changes nothing.
    pub(super) async fn apply(
        &self,
        kind: &Kind,
        object: &Manifest,
        write: WriteMode,
        ownership: Ownership,
    ) -> Result<DynamicObject, ApplyError> {
        let api = self.api(kind, object.namespace());
        let mut asked = PatchParams::apply(MANAGER).validation_strict();
        asked.force = ownership == Ownership::Taken;
        asked.dry_run = write == WriteMode::Dry;
        let patch = Patch::Apply(object.value());
        // A server error may mean a field that the schema does not have.
        let again = |error: &kube::Error| {
            is_transient(error) && !matches!(error, kube::Error::Api(status) if status.code == 500)
        };
        for tried in 1.. {
            let call = || api.patch(object.name(), &asked, &patch);
            let answer = match write {
                WriteMode::Dry => self.ask_while(again, call).await,
                WriteMode::Real => self.write_while(again, call).await,
            };
            let error = match answer {
                Ok(object) => return Ok(object),
                Err(error) => error,
            };
            if let kube::Error::Api(status) = &error
                && status.code == 409
                && let Some(details) = &status.details
                && details.causes.iter().any(|cause| !cause.field.is_empty())
            {
                return Err(ApplyError::Conflict(
                    details.causes.iter().map(|cause| cause.field.clone()).collect(),
                ));
            }
            let doubtful = matches!(&error, kube::Error::Api(status) if status.code == 500);
            if doubtful {
                if let Some(fault) = self.strictly(kind, object).await {
                    return Err(ApplyError::Failed(fault));
                }
                if tried < DOUBTFUL_TRIES && !self.cancel.is_cancelled() {
                    tokio::time::sleep(DOUBTFUL_PAUSE * tried).await;
                    continue;
                }
            }
            return Err(ApplyError::Failed(self.explain(kind, object, error).await));
        }
        Err(ApplyError::Failed(KubernetesError::new(
            KubernetesErrorKind::Unreachable,
            format!("could not apply {}", object.id()),
        )))
    }

    /// What is wrong with the object itself, as a creation tells it that is only a dry run:
    /// server-side apply answers a field that the schema does not have with an error of its own
    /// (500), a creation names it.
    async fn strictly(&self, kind: &Kind, object: &Manifest) -> Option<KubernetesError> {
        let namespace = object.namespace().filter(|_| kind.namespaced);
        let path = DynamicObject::url_path(&kind.resource, namespace);
        let query = format!("{path}?dryRun=All&fieldManager={MANAGER}&fieldValidation=Strict");
        let body = object.value().to_string().into_bytes();
        let request = http::Request::post(query)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)
            .ok()?;
        let answer = tokio::time::timeout(ANSWER, self.client.request::<Value>(request)).await;
        match answer {
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 422) => {
                let message =
                    format!("{}: {} is not valid: {}", object.origin, object.id(), status.message);
                Some(
                    KubernetesError::new(KubernetesErrorKind::Manifest, message)
                        .noting(causes(&status)),
                )
            }
            _ => None,
        }
    }

    /// An error about an object, with its place; for a refusal, who refused it.
    async fn explain(&self, kind: &Kind, object: &Manifest, error: kube::Error) -> KubernetesError {
        let mut told = KubernetesError::of(&format!("apply {}", object.id()), error);
        if told.kind == KubernetesErrorKind::Refused {
            let mut allowed = true;
            for verb in ["patch", "create"] {
                let answer = self
                    .may(&AccessRequest {
                        verb,
                        resource: &kind.resource,
                        subresource: None,
                        namespace: object.namespace().filter(|_| kind.namespaced),
                        name: Some(&object.id().name),
                    })
                    .await;
                allowed &= answer.unwrap_or(false);
            }
            if allowed {
                told.kind = match admission_error::is_quota(&told.message) {
                    true => KubernetesErrorKind::Quota,
                    false => KubernetesErrorKind::Denied,
                };
            }
        }
        told.message = format!("{}: {}", object.origin, told.message);
        told
    }

    /// Whether this account may; asked of the API server itself.
    pub(super) async fn may(&self, asked: &AccessRequest<'_>) -> Result<bool, KubernetesError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "metadata": {},
            "spec": {"resourceAttributes": {
                "verb": asked.verb,
                "group": asked.resource.group,
                "version": asked.resource.version,
                "resource": asked.resource.plural,
                "subresource": asked.subresource,
                "namespace": asked.namespace,
                "name": asked.name,
            }},
        });
        let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        let body = review.to_string().into_bytes();
        let answer = self
            .ask(|| {
                let request = http::Request::post(path)
                    .header(http::header::CONTENT_TYPE, "application/json")
                    .body(body.clone())
                    .map_err(kube::Error::HttpError);
                async { self.client.request::<Value>(request?).await }
            })
            .await;
        let answer = answer.map_err(|error| {
            let about = format!("{} {}", asked.verb, asked.resource.plural);
            KubernetesError::of(&format!("check the permission to {about}"), error)
        })?;
        Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or(false))
    }

    /// Removes the object of this uid with what belongs to it; one that is gone is removed.
    pub(super) async fn delete(
        &self,
        kind: &Kind,
        id: &ObjectId,
        uid: Option<&str>,
    ) -> Result<(), KubernetesError> {
        let api = self.api(kind, id.namespace.as_deref());
        let mut asked = DeleteParams::background();
        asked.preconditions =
            uid.map(|uid| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let answer = self.write(|| api.delete(&id.name, &asked)).await;
        match answer {
            Ok(_) => Ok(()),
            // Gone, or another object has its name by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(KubernetesError::of(&format!("remove {id}"), error)),
        }
    }
}

fn not_permitted(error: KubernetesError) -> kube::Error {
    kube::Error::Service(Box::new(NotPermitted(error)))
}

/// What the server itself asks for, within reason.
fn asked_to_wait(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref().map(|details| details.retry_after_seconds)?;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)).min(LONGEST_ASKED))
}
