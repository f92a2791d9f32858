//! The Kubernetes target as the rest of the program sees it.

mod leftovers;
mod others;
mod rollback;
mod rollout;
mod secrets;
mod status;
mod stop;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{workload_kind, workload_of};
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::diff;
use crate::dry_run::{self, NamespaceState, PlannedObject, Purpose};
use crate::error::{KubernetesError, KubernetesErrorKind};
use crate::lease;
use crate::lease::held::HeldLease;
use crate::manifest::labels::Stamp;
use crate::manifest::render::{Missing, Variables};
use crate::manifest::source::Reading;
use crate::manifest::waves::Occasion;
use crate::manifest::{Manifest, ObjectId, parse, pin, render, source};
use crate::origin::Repository;
use crate::permissions::{self, Permission, Scope};
use crate::port_forward::{self, PortForward};
use crate::prune;
use crate::record::{ENVIRONMENT, REPOSITORY, ROOT_COMMIT, Record, slug};
use crate::secrets::KnownSecrets;
use crate::store::{History, Store};
use crate::track::{self, Workload};
use greenloop_config::plan::{EnvironmentPlan, KubernetesPlan, Rollback};
use greenloop_evidence::Redactor;
use greenloop_model::{
    CommitId, Endpoint, EventSink, Evidence, FailureClass, ImageRef, Notice, ReleaseId, RunEvent,
    RunId, Stage, TargetKind,
};
use greenloop_ports::{
    Deployed, Earlier, PartLog, Restored, RolloutRequest, Stopped, Target, TargetError,
    TargetErrorKind, TargetStatus,
};

/// How long a release may take to become ready where nobody has said.
pub(crate) const USUAL_WAIT: Duration = Duration::from_secs(300);

/// By how much earlier than its release was made a pod may say that it has started.
const SKEW: Duration = Duration::from_secs(5);

/// Releases as workloads in a cluster. See the module's documentation.
pub struct KubernetesTarget {
    pub(crate) plan: KubernetesPlan,
    environment: EnvironmentPlan,
    pub(crate) rollback: Rollback,
    work_tree: PathBuf,
    connection: Connection,
    redactor: Redactor,
    secrets: KnownSecrets,
    env_remove: Vec<OsString>,
    pub(crate) repository: Repository,
    cluster: OnceCell<Cluster>,
    held: Mutex<Option<Arc<HeldLease>>>,
    forward: Mutex<Option<PortForward>>,
}

/// An error of whatever kind.
type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// The environment's lease, for one piece of work.
pub(crate) struct HeldFor {
    pub(crate) hold: Arc<HeldLease>,
    /// Whether it was taken for this piece of work alone.
    temporary: bool,
}

/// What manifests are rendered for.
pub(crate) struct RenderFor<'a> {
    pub(crate) run: RunId,
    pub(crate) release: ReleaseId,
    pub(crate) commit: Option<&'a CommitId>,
    pub(crate) image: Option<&'a ImageRef>,
    pub(crate) missing: Missing,
}

impl KubernetesTarget {
    /// The target of one environment; nobody is called yet. `rollback` is what the commit at
    /// hand says of its own release.
    pub fn new(
        plan: &KubernetesPlan,
        environment: &EnvironmentPlan,
        rollback: Rollback,
        work_tree: PathBuf,
        connection: Connection,
        redactor: Redactor,
    ) -> Self {
        Self {
            plan: plan.clone(),
            environment: environment.clone(),
            rollback,
            work_tree,
            connection,
            redactor,
            secrets: KnownSecrets::default(),
            env_remove: Vec::new(),
            repository: Repository::default(),
            cluster: OnceCell::new(),
            held: Mutex::new(None),
            forward: Mutex::new(None),
        }
    }

    /// Names variables, such as a model's key, that tools which render manifests do not inherit.
    #[must_use]
    pub fn env_remove(mut self, names: impl IntoIterator<Item = OsString>) -> Self {
        self.env_remove.extend(names);
        self
    }

    /// Names the repository that its releases come from: those of another one are refused.
    #[must_use]
    pub fn of_repository(mut self, repository: Repository) -> Self {
        self.repository = repository;
        self
    }

    /// The API server's version, `v1.36.0`.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn server_version(&self) -> Result<String, KubernetesError> {
        let cluster = self.cluster().await?;
        let answer = cluster.ask(|| cluster.client().apiserver_version()).await;
        match answer {
            Ok(version) => Ok(version.git_version),
            Err(error) => {
                Err(self.with_address(KubernetesError::of("read the API server's version", error)))
            }
        }
    }

    /// What a run needs the account to be able to do, and whether it may: for the lease, the
    /// records, what a rollout is judged by, every kind of object in the manifests, and the
    /// environment's namespace where that has yet to be made.
    ///
    /// # Errors
    /// When the API server cannot be reached or the manifests cannot be read.
    pub async fn permissions(&self) -> Result<Vec<Permission>, KubernetesError> {
        let cluster = self.cluster().await?;
        let objects = self.render_names(&CancellationToken::new()).await?;
        let mut kinds = Vec::new();
        for object in &objects {
            if let Some(kind) = cluster.kind(object.api_version(), object.kind()).await? {
                let place = match kind.namespaced {
                    true => Scope::Namespace(
                        object.namespace().unwrap_or(&self.plan.namespace).to_owned(),
                    ),
                    false => Scope::Cluster(object.id().name),
                };
                kinds.push((kind, place));
            }
        }
        if self.plan.prune {
            kinds.extend(self.kinds_to_prune(&cluster, &objects).await?);
        }
        match dry_run::namespace_state(&cluster, &self.plan.namespace).await? {
            NamespaceState::Active => {}
            NamespaceState::Ending(error) => return Err(error),
            NamespaceState::Missing => {
                if let Some(kind) = cluster.kind("v1", "Namespace").await? {
                    kinds.push((kind, Scope::Cluster(self.plan.namespace.clone())));
                }
            }
        }
        let forwards = self.plan.service.is_some();
        let needs = permissions::needs(&self.plan.namespace, forwards, &kinds);
        permissions::ask(&cluster, needs).await
    }

    pub(crate) async fn cluster(&self) -> Result<Cluster, KubernetesError> {
        let connect = || async { self.connection.client().await.map(Cluster::new) };
        self.cluster.get_or_try_init(connect).await.cloned()
    }

    /// The cluster, written to with the permit of the lease that is held, if one is.
    pub(crate) async fn guarded(&self) -> Result<Cluster, KubernetesError> {
        let cluster = self.cluster().await?;
        Ok(match self.held.lock().await.as_ref() {
            Some(hold) => cluster.guarded(hold),
            None => cluster,
        })
    }

    pub(crate) fn store(&self) -> Store {
        Store { namespace: self.plan.namespace.clone(), slug: slug(&self.environment.name) }
    }

    /// The records, whose Secrets the redactor knows from then on.
    ///
    /// # Errors
    /// When the API server does not answer, or the environment is another repository's.
    pub(crate) async fn history(&self, cluster: &Cluster) -> Result<History, KubernetesError> {
        let history = self.own_history(cluster).await?;
        let contents = || history.records.iter().map(|record| &record.content);
        let objects: Vec<&serde_json::Value> =
            contents().flat_map(|content| content.objects.iter().chain(&content.before)).collect();
        self.learn_values(&objects);
        Ok(history)
    }

    async fn own_history(&self, cluster: &Cluster) -> Result<History, KubernetesError> {
        let history = self.store().load(cluster).await?;
        let foreign = |record: &&Record| self.repository.is_other_than(&record.repository);
        if let Some(other) = history.records.iter().find(foreign) {
            let (name, namespace) = (self.environment_name(), &self.plan.namespace);
            let message = format!(
                "the environment {name} in namespace {namespace} is deployed from another \
                 repository, {}; this one is {}: use another namespace or environment name, or \
                 take the environment over with `kubectl annotate secret --namespace {namespace} \
                 --selector {ENVIRONMENT}={} {REPOSITORY}- {ROOT_COMMIT}-`",
                other.repository.in_words(),
                self.repository.in_words(),
                self.store().slug
            );
            return Err(KubernetesError::new(KubernetesErrorKind::Setup, message));
        }
        Ok(history)
    }

    pub(crate) fn known_secrets(&self) -> &KnownSecrets {
        &self.secrets
    }

    pub(crate) fn environment_name(&self) -> &str {
        self.environment.name.as_str()
    }

    fn lease_name(&self) -> String {
        format!("greenloop-{}", slug(&self.environment.name))
    }

    /// The lease: the one that is held, or one for this piece of work.
    pub(crate) async fn acquire_lease(
        &self,
        cluster: &Cluster,
        run: RunId,
    ) -> Result<HeldFor, KubernetesError> {
        if let Some(hold) = self.held.lock().await.as_ref() {
            hold.permit().await?;
            return Ok(HeldFor { hold: hold.clone(), temporary: false });
        }
        let hold = self.claim_lease(cluster, run).await?;
        Ok(HeldFor { hold: Arc::new(hold), temporary: true })
    }

    async fn claim_lease(
        &self,
        cluster: &Cluster,
        run: RunId,
    ) -> Result<HeldLease, KubernetesError> {
        dry_run::make_namespace(cluster, &self.plan.namespace).await?;
        // A Lease that somebody deleted starts again; its numbers must not.
        let floor = self.own_history(cluster).await?.fencing();
        let wanted = lease::Wanted {
            namespace: &self.plan.namespace,
            name: &self.lease_name(),
            run,
            floor,
            wait: self.plan.lease_wait,
        };
        lease::claim(cluster, &wanted).await
    }

    /// Gives back what was taken for one piece of work.
    pub(crate) async fn release_lease(&self, held: HeldFor) {
        if held.temporary {
            held.hold.release().await;
        }
    }

    /// The objects that the manifests describe, rendered, images pinned; not in their namespaces yet.
    pub(crate) async fn render(
        &self,
        what: &RenderFor<'_>,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Vec<Manifest>, KubernetesError> {
        let reading = Reading {
            root: &self.work_tree,
            run: what.run,
            namespace: &self.plan.namespace,
            env_remove: &self.env_remove,
            cancel,
        };
        let mut sources = source::read(&self.plan.manifests, &reading).await?;
        let variables = Variables {
            image: what.image,
            environment: self.environment.name.as_str(),
            namespace: &self.plan.namespace,
            run: what.run,
            release: what.release,
            commit: what.commit,
            vars: &self.plan.variables,
        };
        let mut objects = Vec::new();
        for source in &mut sources {
            if source::are_templates(&self.plan.manifests) {
                render::render(source, &variables, what.missing)?;
            }
            objects.extend(parse::parse(source)?);
        }
        self.learn_written(&objects);
        if objects.is_empty() {
            let message = "the manifests contain no object";
            return Err(KubernetesError::new(KubernetesErrorKind::Manifest, message));
        }
        if let Some(image) = what.image {
            report_pins(&pin::pin(&mut objects, image), image, events);
        }
        Ok(objects)
    }

    /// The manifests' objects for their names alone: what has no value yet is empty.
    pub(crate) async fn render_names(
        &self,
        cancel: &CancellationToken,
    ) -> Result<Vec<Manifest>, KubernetesError> {
        let what = RenderFor {
            run: RunId::generate(),
            release: ReleaseId::generate(),
            commit: None,
            image: None,
            missing: Missing::Empty,
        };
        self.render(&what, &EventSink::null(), cancel).await
    }

    /// What the release would do, object by object.
    pub(crate) async fn planned(
        &self,
        cluster: &Cluster,
        request: &RolloutRequest,
        history: &History,
    ) -> Result<Vec<PlannedObject>, KubernetesError> {
        let what = RenderFor {
            run: request.run,
            release: request.release,
            commit: Some(&request.commit),
            image: request.image.as_ref(),
            missing: Missing::Refused,
        };
        let objects = self.render(&what, cluster.events(), cluster.cancel()).await?;
        self.learn(cluster, &objects).await?;
        let stamp =
            Stamp { run: request.run, release: request.release, commit: request.commit.clone() };
        let occasion = match history.records.iter().any(Record::is_good) {
            true => Occasion::Upgrade,
            false => Occasion::Install,
        };
        let namespace = &self.plan.namespace;
        let objects = dry_run::stamped(cluster, objects, namespace, &stamp, occasion).await?;
        self.refuse_other_configuration(history, &objects)?;
        let steps = dry_run::dry_run(cluster, objects, Purpose::Rollout).await?;
        self.refuse_workloads_of_others(cluster, &steps).await?;
        Ok(steps)
    }

    /// The request as far as it can be looked at: what serves stands for an image that is not
    /// built yet, so that the rest of the release can be seen.
    async fn previewed(
        &self,
        cluster: &Cluster,
        request: &RolloutRequest,
    ) -> Result<RolloutRequest, KubernetesError> {
        let mut request = request.clone();
        if let Some(unbuilt) = request.image.as_ref().filter(|image| !image.is_built()) {
            let history = self.history(cluster).await?;
            let serving = history.serving().and_then(|record| record.release.image.clone());
            let same = serving.filter(|image| image.repository() == unbuilt.repository());
            request.image = same.or(request.image);
        }
        Ok(request)
    }

    /// The environment's own address: a port-forward's is dead as soon as the run is over.
    pub(crate) fn deployed(&self, release: ReleaseId) -> Deployed {
        Deployed { release, endpoint: self.endpoint() }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { url: self.environment.url.trim_end_matches('/').to_owned() }
    }

    /// The address of the port-forward, where one is wanted.
    async fn forwarded_endpoint(&self) -> Result<Option<Endpoint>, KubernetesError> {
        let Some(service) = &self.plan.service else { return Ok(None) };
        let mut forward = self.forward.lock().await;
        if let Some(open) = forward.as_ref().filter(|forward| forward.is_open()) {
            open.check().await?;
            return Ok(Some(Endpoint { url: open.url() }));
        }
        let cluster = self.cluster().await?;
        let opened = port_forward::open(&cluster, &self.plan.namespace, service).await?;
        let endpoint = Endpoint { url: opened.url() };
        *forward = Some(opened);
        Ok(Some(endpoint))
    }

    /// The workloads among `ids` as they are now.
    pub(crate) async fn workloads(
        &self,
        cluster: &Cluster,
        ids: &[ObjectId],
    ) -> Result<Vec<Workload>, KubernetesError> {
        let mut workloads = Vec::new();
        for id in ids {
            let Some(kind) = workload_kind(id) else { continue };
            let Some(served) = cluster.kind(&id.api_version, &id.kind).await? else { continue };
            if let Some(live) = cluster.get(&served, id).await? {
                workloads.push(workload_of(kind, &live, false));
            }
        }
        Ok(workloads)
    }

    /// The run that holds the lease through this target, in words; empty for none.
    pub(crate) async fn lease_holder(&self) -> String {
        let held = self.held.lock().await;
        held.as_ref().map(|hold| hold.run().to_string()).unwrap_or_default()
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    pub(crate) fn redacted(&self, text: &str) -> String {
        self.redactor.redact(text).into_owned()
    }

    /// With the address of an API server that gave no answer: it may be the wrong one.
    fn with_address(&self, mut error: KubernetesError) -> KubernetesError {
        if error.kind == KubernetesErrorKind::Unreachable
            && let Some(address) = self.connection.address()
        {
            error.message = format!("the API server {address} failed: {}", error.message);
        }
        error
    }

    /// For the port: what the API server or a tool said may hold a secret.
    pub(crate) fn target_error(&self, error: KubernetesError) -> TargetError {
        let mut error = TargetError::from(self.with_address(error));
        error.message = self.redacted(&error.message);
        for note in &mut error.evidence.notes {
            *note = self.redacted(note);
        }
        error.source = error.source.map(|source| self.redacted_source(source));
        error
    }

    /// What lies under an error, as it is where no secret is in it, as redacted text otherwise.
    fn redacted_source(&self, source: BoxedError) -> BoxedError {
        let text = greenloop_model::error_chain(source.as_ref());
        match self.redactor.redact(&text) {
            std::borrow::Cow::Borrowed(_) => source,
            std::borrow::Cow::Owned(redacted) => redacted.into(),
        }
    }
}

fn report_pins(pins: &pin::Pins, image: &ImageRef, events: &EventSink) {
    let notice = if !pins.replaced.is_empty() {
        Notice::Info(format!(
            "pinned to {}@{}…: {}",
            image.repository(),
            image.digest().get(..19).unwrap_or_default(),
            pins.replaced.join(", ")
        ))
    } else if pins.already == 0 {
        Notice::Warning(format!(
            "no container in the manifests uses {}: the built image would not be deployed",
            image.repository()
        ))
    } else {
        return;
    };
    events.send(RunEvent::Notice(notice));
}

/// Sends how a step of a rollout went.
pub(crate) fn step(events: &EventSink, name: &str, ok: bool, detail: String, since: Instant) {
    events.send(RunEvent::StepFinished {
        stage: Stage::Rollout,
        name: name.to_owned(),
        ok,
        detail,
        elapsed: since.elapsed(),
    });
}

pub(crate) fn cancelled() -> TargetError {
    TargetError {
        kind: TargetErrorKind::Cancelled,
        message: "the rollout was cancelled".to_owned(),
        class: FailureClass::Unknown,
        evidence: Box::default(),
        source: None,
    }
}

/// An error of the target that is none of the cluster's.
pub(crate) fn refused(kind: TargetErrorKind, message: String) -> TargetError {
    let evidence = Evidence { notes: vec![message.clone()], ..Evidence::default() };
    TargetError {
        kind,
        message,
        class: FailureClass::Infrastructure,
        evidence: Box::new(evidence),
        source: None,
    }
}

#[async_trait]
impl Target for KubernetesTarget {
    fn kind(&self) -> TargetKind {
        TargetKind::Kubernetes
    }

    async fn claim(
        &self,
        run: RunId,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<(), TargetError> {
        let mut held = self.held.lock().await;
        if let Some(hold) = held.as_ref().filter(|hold| hold.run() == run)
            && !hold.lost().is_cancelled()
        {
            return Ok(());
        }
        if let Some(old) = held.take() {
            old.release().await;
        }
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let cluster = cluster.during(events, cancel);
        let hold =
            self.claim_lease(&cluster, run).await.map_err(|error| self.target_error(error))?;
        *held = Some(Arc::new(hold));
        Ok(())
    }

    async fn release_claim(&self) {
        if let Some(hold) = self.held.lock().await.take() {
            hold.release().await;
        }
    }

    async fn preview(&self, request: &RolloutRequest) -> Result<String, TargetError> {
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let request =
            self.previewed(&cluster, request).await.map_err(|error| self.target_error(error))?;
        let history = self.history(&cluster).await.map_err(|error| self.target_error(error))?;
        let steps = self.planned(&cluster, &request, &history).await;
        let steps = steps.map_err(|error| self.target_error(error))?;
        let diff = diff::joined(steps.iter().map(PlannedObject::diff));
        let mut shown = String::new();
        if !diff.is_empty() {
            let order = rollout::waves_of(&steps);
            shown.extend(order.lines().map(|line| format!("# {line}\n")));
            shown.push_str(&self.redacted(&diff));
        }
        let named: Vec<ObjectId> = steps.iter().map(|step| step.object.id()).collect();
        let leftovers = self.leftovers(&cluster, &history, &named).await;
        for line in prune::in_words(&leftovers.map_err(|e| self.target_error(e))?, self.plan.prune)
        {
            shown.push_str(&format!("# {line}\n"));
        }
        if let Some(note) = self.secrets.note() {
            shown.push_str(&format!("# {note}\n"));
        }
        Ok(shown)
    }

    async fn smoke_endpoint(&self) -> Result<Option<Endpoint>, TargetError> {
        self.forwarded_endpoint().await.map_err(|error| self.target_error(error))
    }

    async fn endpoint_error(&self) -> Option<TargetError> {
        let trouble = self.forward.lock().await.as_ref()?.trouble()?;
        Some(self.target_error(trouble))
    }

    async fn roll_out(
        &self,
        request: &RolloutRequest,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let cluster = cluster.during(events, cancel);
        let held = self
            .acquire_lease(&cluster, request.run)
            .await
            .map_err(|error| self.target_error(error))?;
        let cluster = cluster.guarded(&held.hold);
        let outcome = self.roll_out_held(&cluster, &held.hold, request).await;
        self.release_lease(held).await;
        outcome
    }

    async fn mark_verified(&self, release: ReleaseId) -> Result<(), TargetError> {
        self.verified(release).await.map_err(|error| self.target_error(error))
    }

    async fn prune(&self, release: ReleaseId, events: &EventSink, cancel: &CancellationToken) {
        self.prune_after(release, events, cancel).await;
    }

    async fn service_log(&self, release: ReleaseId) -> Result<String, TargetError> {
        let logs = self.part_logs(release).await?;
        let named = |log: PartLog| format!("--- {}\n{}", log.part, log.text);
        Ok(logs.into_iter().filter(|log| !log.text.is_empty()).map(named).collect())
    }

    async fn part_logs(&self, release: ReleaseId) -> Result<Vec<PartLog>, TargetError> {
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let history = self.history(&cluster).await.map_err(|error| self.target_error(error))?;
        let Some(record) = history.get(release) else { return Ok(Vec::new()) };
        let objects = record.objects();
        self.learn(&cluster, &objects).await.map_err(|error| self.target_error(error))?;
        let ids: Vec<ObjectId> = objects.iter().map(Manifest::id).collect();
        let workloads =
            self.workloads(&cluster, &ids).await.map_err(|error| self.target_error(error))?;
        // Its pods write from their start on, before they serve. The client rounds to seconds, up
        // as well as down, and the nodes' clocks are not this machine's.
        let since = record.release.created_at.checked_sub(SKEW).ok();
        track::pod_logs(cluster.client(), &workloads, since, &self.redactor)
            .await
            .map_err(|error| self.untracked(error))
    }

    async fn restore(
        &self,
        failed: ReleaseId,
        events: &EventSink,
        hurry: &CancellationToken,
    ) -> Result<Restored, TargetError> {
        self.restore_previous(failed, events, hurry).await
    }

    async fn roll_back(
        &self,
        earlier: Earlier,
        events: &EventSink,
        cancel: &CancellationToken,
    ) -> Result<Deployed, TargetError> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let cluster = cluster.during(events, cancel);
        let run = RunId::generate();
        let held =
            self.acquire_lease(&cluster, run).await.map_err(|error| self.target_error(error))?;
        let cluster = cluster.guarded(&held.hold);
        let outcome = self.roll_back_held(&cluster, &held.hold, earlier).await;
        self.release_lease(held).await;
        outcome
    }

    async fn stop(&self) -> Result<Stopped, TargetError> {
        self.stop_serving().await.map_err(|error| self.target_error(error))
    }

    async fn status(&self) -> Result<TargetStatus, TargetError> {
        self.read_status().await.map_err(|error| self.target_error(error))
    }

    async fn clean_up(&self, run: RunId) -> Result<Vec<String>, TargetError> {
        let cluster = self.cluster().await.map_err(|error| self.target_error(error))?;
        let name = self.lease_name();
        let holder = lease::holder_of(&cluster, &self.plan.namespace, &name).await;
        let holder = holder.map_err(|error| self.target_error(error))?;
        self.clean_up_after(&cluster, run, holder).await
    }
}
