//! The environment of a scenario: the simulated server or a real cluster, with the same objects and
//! target.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures::FutureExt as _;
use greenloop_config::plan::{EnvironmentPlan, KubernetesPlan, Manifests, Rollback};
use greenloop_evidence::Redactor;
use greenloop_kubernetes::{Connection, KubernetesTarget, Repository};
use greenloop_model::{CommitId, EventSink, ReleaseId, RunId};
use greenloop_ports::{Deployed, RolloutRequest, Target as _, TargetError};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::program::Program;
use crate::server::{Pages, Server};

/// The simulated server and cluster, for scenarios that need them.
pub(crate) struct Wire {
    pub(crate) server: Arc<Server>,
    pub(crate) control: Control,
}

/// The environment of one scenario: a namespace, a work tree with manifests, and a plan.
pub(crate) struct World {
    pub(crate) namespace: String,
    /// A client for the scenario itself.
    pub(crate) client: Client,
    pub(crate) wire: Option<Wire>,
    /// busybox, as the nodes pull it.
    pub(crate) image: String,
    /// As the nodes see it.
    pub(crate) registry: String,
    pub(crate) plan: KubernetesPlan,
    pub(crate) rollback: Rollback,
    /// The repository of the releases.
    pub(crate) repository: Repository,
    pub(crate) environment: EnvironmentPlan,
    /// How long a rollout may take.
    pub(crate) wait: Duration,
    folder: TempDir,
}

/// A rollout that was tried.
pub(crate) struct Attempt {
    pub(crate) release: ReleaseId,
    pub(crate) target: KubernetesTarget,
    pub(crate) outcome: Result<Deployed, TargetError>,
    pub(crate) took: Duration,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The servers behind the ports of simulated pods, one per page.
async fn pages() -> Pages {
    let mut pages = Pages::new();
    for page in Program::pages() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        pages.insert(page, listener.local_addr().unwrap());
        let router = Router::new().fallback(async move || page);
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    pages
}

fn plan(namespace: &str, kubeconfig: PathBuf, soak: Option<Duration>) -> KubernetesPlan {
    KubernetesPlan {
        manifests: Manifests::Files("k8s".into()),
        namespace: namespace.to_owned(),
        kubeconfig: Some(kubeconfig),
        context: None,
        aks: None,
        variables: Default::default(),
        service: None,
        soak,
        lease_wait: Duration::ZERO,
        history: 10,
        prune: false,
    }
}

fn environment(namespace: &str) -> EnvironmentPlan {
    EnvironmentPlan {
        name: "staging".parse().unwrap(),
        namespace: Some(namespace.to_owned()),
        url: "http://web.example.com".to_owned(),
        health_endpoint: "/".to_owned(),
        require_approval: false,
    }
}

impl World {
    /// A new simulated server with an empty namespace.
    pub(crate) async fn on_wire() -> Self {
        let server = Server::start(pages().await).await;
        let control = Control::start(&server);
        let namespace = "shop".to_owned();
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig(&namespace)).unwrap();
        let wire = Some(Wire { server, control });
        let soak = Some(Duration::from_secs(1));
        let (image, registry) = ("registry.test/busybox:1.36", "registry.test");
        Self::make(namespace, kubeconfig, folder, wire, soak, image, registry).await
    }

    /// A new namespace in the cluster that `KUBECONFIG` names.
    pub(crate) async fn on_cluster(name: &str) -> Self {
        let given = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} must be set for the tests that need a cluster: see scripts/e2e-cluster.sh")
            })
        };
        let kubeconfig = PathBuf::from(given("KUBECONFIG"));
        let (image, registry) = (given("GREENLOOP_TEST_IMAGE"), given("GREENLOOP_TEST_REGISTRY"));
        let random = uuid::Uuid::new_v4().simple().to_string();
        let short: String = name.replace('_', "-").chars().take(40).collect();
        let namespace = format!("gl-{}-{}", short.trim_end_matches('-'), &random[..6]);
        let folder = tempfile::tempdir().unwrap();
        let soak = Some(Duration::from_secs(3));
        Self::make(namespace, kubeconfig, folder, None, soak, &image, &registry).await
    }

    async fn make(
        namespace: String,
        kubeconfig: PathBuf,
        folder: TempDir,
        wire: Option<Wire>,
        soak: Option<Duration>,
        image: &str,
        registry: &str,
    ) -> Self {
        std::fs::create_dir(folder.path().join("k8s")).unwrap();
        let config = Kubeconfig::read_from(&kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(config, &options).await.unwrap();
        let on_wire = wire.is_some();
        let world = Self {
            client: Client::try_from(config).unwrap(),
            wire,
            image: image.to_owned(),
            registry: registry.to_owned(),
            plan: plan(&namespace, kubeconfig, soak),
            rollback: Rollback::Allowed,
            repository: Repository::default(),
            wait: Duration::from_secs(if on_wire { 75 } else { 180 }),
            environment: environment(&namespace),
            folder,
            namespace,
        };
        world.create_namespace(&json!({})).await;
        world
    }

    async fn create_namespace(&self, labels: &Value) {
        let namespace: Namespace = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels},
        }))
        .unwrap();
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await.unwrap();
        // Controllers create its default objects; a pod without its ServiceAccount is rejected.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = self.api();
        let patience = Instant::now() + Duration::from_secs(30);
        while accounts.get_opt("default").await.unwrap().is_none() && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Adds labels to the namespace.
    pub(crate) async fn label_namespace(&self, labels: &Value) {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let change = json!({"metadata": {"labels": labels}});
        let patch = kube::api::Patch::Merge(&change);
        api.patch(&self.namespace, &Default::default(), &patch).await.unwrap();
    }

    /// Removes what [`World::on_cluster`] made.
    async fn leave(&self) {
        if self.wire.is_none() {
            let api: Api<Namespace> = Api::all(self.client.clone());
            let _gone = api.delete(&self.namespace, &DeleteParams::background()).await;
        }
    }

    /// The objects of a kind in the scenario's namespace.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// `wire` on the simulated server, `cluster` on a real one: how long things take differs.
    pub(crate) fn time(&self, wire: Duration, cluster: Duration) -> Duration {
        if self.wire.is_some() { wire } else { cluster }
    }

    /// The kubeconfig's path.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.plan.kubeconfig.clone().unwrap()
    }

    /// Writes the manifests that the next rollout reads.
    pub(crate) fn manifests(&self, objects: &[Value]) {
        let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
        let path = self.folder.path().join("k8s/app.yaml");
        std::fs::write(path, documents.join("\n---\n")).unwrap();
    }

    /// Writes a file into the work tree.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Removes a file from the work tree.
    pub(crate) fn remove_file(&self, path: &str) {
        std::fs::remove_file(self.folder.path().join(path)).unwrap();
    }

    /// A target, as in a new process.
    pub(crate) fn target(&self) -> KubernetesTarget {
        let connection = Connection::new(&self.plan, None, Arc::new(|_| None));
        KubernetesTarget::new(
            &self.plan,
            &self.environment,
            self.rollback,
            self.folder.path().to_owned(),
            connection,
            Redactor::default(),
        )
        .of_repository(self.repository.clone())
    }

    pub(crate) fn request(&self, run: RunId) -> RolloutRequest {
        RolloutRequest {
            release: ReleaseId::generate(),
            commit: COMMIT.parse::<CommitId>().unwrap(),
            run,
            image: None,
            work_tree: self.folder.path().to_owned(),
            wait: self.wait,
        }
    }

    /// Claims the environment for a new run and rolls the manifests out.
    pub(crate) async fn roll_out(&self) -> Attempt {
        let target = self.target();
        let run = RunId::generate();
        let cancel = CancellationToken::new();
        target.claim(run, &EventSink::null(), &cancel).await.unwrap();
        self.roll_out_with(target, run).await
    }

    /// Rolls the manifests out in a run that has already claimed the environment.
    pub(crate) async fn roll_out_with(&self, target: KubernetesTarget, run: RunId) -> Attempt {
        let request = self.request(run);
        let begun = Instant::now();
        let cancel = CancellationToken::new();
        let outcome = target.roll_out(&request, &EventSink::null(), &cancel).await;
        Attempt { release: request.release, target, outcome, took: begun.elapsed() }
    }

    /// Rolls the manifests out and marks the release as verified.
    pub(crate) async fn release(&self) -> ReleaseId {
        let attempt = self.roll_out().await;
        if let Err(error) = &attempt.outcome {
            panic!("the release was to succeed: {error}: {:#?}", error.evidence);
        }
        attempt.target.mark_verified(attempt.release).await.unwrap();
        attempt.target.prune(attempt.release, &EventSink::null(), &CancellationToken::new()).await;
        attempt.target.release_claim().await;
        attempt.release
    }

    /// Creates an object as another user.
    pub(crate) async fn create(&self, object: &Value) -> DynamicObject {
        let resource = crate::objects::resource(object);
        let served = crate::server::resource::by_kind(&resource.kind);
        let api: Api<DynamicObject> = match served.namespaced {
            true => Api::namespaced_with(self.client.clone(), &self.namespace, &resource),
            false => Api::all_with(self.client.clone(), &resource),
        };
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    pub(crate) fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("a scenario of the wire only")
    }
}

/// Runs a scenario on a new simulated server.
pub(crate) async fn on_wire(scenario: impl AsyncFn(&mut World)) {
    let mut world = World::on_wire().await;
    scenario(&mut world).await;
}

/// Runs a scenario in a new namespace, which is always removed.
pub(crate) async fn on_cluster(name: &str, scenario: impl AsyncFn(&mut World)) {
    let mut world = World::on_cluster(name).await;
    let outcome = AssertUnwindSafe(scenario(&mut world)).catch_unwind().await;
    world.leave().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// Creates a simulated test for each scenario of a module, and a cluster test for each that is not
/// in `wire`; `broken` are rows of the table of failing releases.
macro_rules! scenarios {
    (
        $(broken: $($broken:ident),* $(;)?)?
        $(broken_on_wire: $($refused:ident),* $(;)?)?
        $(both: $($both:ident),* $(;)?)?
        $(wire: $($wire:ident),* $(;)?)?
    ) => {
        mod wire {
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $broken() {
                    crate::world::on_wire(async |world| super::$broken(world).play(world).await)
                        .await;
                }
            )*)?
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $refused() {
                    crate::world::on_wire(async |world| super::$refused(world).play(world).await)
                        .await;
                }
            )*)?
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $both() {
                    crate::world::on_wire(super::$both).await;
                }
            )*)?
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $wire() {
                    crate::world::on_wire(super::$wire).await;
                }
            )*)?
        }

        $crate::world::on_clusters! {
            $($($broken: async |world| super::$broken(world).play(world).await,)*)?
            $($($both: super::$both,)*)?
        }
    };
}

/// The part of [`scenarios`] that needs a cluster.
macro_rules! on_clusters {
    () => {};
    ($($name:ident: $scenario:expr,)+) => {
        mod cluster {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs a cluster"]
                async fn $name() {
                    crate::world::on_cluster(stringify!($name), $scenario).await;
                }
            )+
        }
    };
}
pub(crate) use {on_clusters, scenarios};
