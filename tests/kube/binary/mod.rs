//! The program, from a commit to a cluster: the simulated API server, whose kubelet pulls from a
//! real registry what a real Docker Engine has built.

mod delivery;
mod doctor;
mod ending;
mod failure;
mod held;
mod readme;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use serde_json::Value;

use crate::program::Program;
use crate::repository::{Outcome, Repository};
use crate::services::services;
use crate::world::World;

/// A repository whose service is an image, and its cluster.
struct Shop {
    repository: Repository,
    world: World,
    /// Without a tag.
    image: String,
}

/// The Dockerfile's last line, which defines the service.
fn command(program: &Program) -> String {
    format!("CMD {}", program.command())
}

fn dockerfile(program: &Program) -> String {
    format!(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
         {}\n",
        command(program)
    )
}

const MANIFESTS: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: web
data:
  greeting: hello
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
    - {port: 80, targetPort: 8080}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  selector:
    matchLabels: {app: web}
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {app: web}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: "{{ image }}"
          envFrom:
            - configMapRef: {name: web}
          ports:
            - containerPort: 8080
          readinessProbe:
            httpGet: {path: /, port: 8080}
            periodSeconds: 1
"#;

impl Shop {
    /// With the service in its first commit; `None` to skip these tests.
    async fn new(program: &Program, transcript: &str) -> Option<Self> {
        let (docker, registry) = services()?;
        let world = World::on_wire().await;
        let name = format!("greenloop-e2e/web-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
        let (namespace, kubeconfig) = (&world.namespace, world.kubeconfig());
        let config = format!(
            r#"environments:
  staging:
    namespace: {namespace}
    url: http://web.example.com
quality_gates:
  - name: command
    command: grep -q ^CMD Dockerfile
    required: true
build:
  registry: {registry}
  image_name: {name}
  docker_host: {docker}
deploy:
  method: kubernetes
  manifest_path: k8s/app.yaml
  wait_timeout: 60
  kubernetes:
    kubeconfig: {kubeconfig}
    service: web:80
    soak: 1s
verification:
  health_check: {{ endpoint: /, timeout: 5, retries: 3 }}
  user_flows:
    - name: page
      steps:
        - request: GET /
          expect: {{ status: 200, body_contains: {page} }}
agents:
  codex: {{ provider: replay, transcript: transcript.jsonl }}
  jules: {{ provider: replay, transcript: transcript.jsonl }}
"#,
            kubeconfig = kubeconfig.display(),
            page = "ok",
        );
        let repository = Repository::new(&[
            ("config.yaml", &config),
            ("Dockerfile", &dockerfile(program)),
            ("k8s/app.yaml", MANIFESTS),
            ("transcript.jsonl", transcript),
            (".gitignore", "/busybox\n"),
            (".dockerignore", "*\n!busybox\n"),
        ]);
        std::fs::copy("/bin/busybox", repository.path().join("busybox")).unwrap();
        Some(Self { repository, world, image: format!("{registry}/{name}") })
    }

    /// Runs the program; the server keeps running meanwhile.
    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all = arguments.to_vec();
        all.extend(["--environment", "staging"]);
        // Wide output, so that no searched sentence is wrapped.
        self.repository.greenloop().env("COLUMNS", "500").args(all).output().unwrap().into()
    }

    /// Runs it, and expects this exit code.
    fn ends(&self, arguments: &[&str], code: i32) -> Outcome {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(code), "{arguments:?}: {}", outcome.all());
        outcome
    }

    fn status(&self) -> Value {
        let status = self.ends(&["status", "--output", "json"], 0);
        serde_json::from_str(&status.stdout).unwrap()
    }

    /// Another version of the service, committed.
    fn change(&self, program: &Program, message: &str) {
        self.repository.write("Dockerfile", &dockerfile(program));
        self.repository.commit(message);
    }

    /// The required content of the page.
    fn expect_page(&self, page: &str) {
        let config = self.repository.read("config.yaml");
        let config = config.replace("body_contains: ok", &format!("body_contains: {page}"));
        self.repository.write("config.yaml", &config);
    }

    /// The image of the Deployment; `None` without one.
    async fn applied(&self) -> Option<String> {
        let web = self.world.api::<Deployment>().get_opt("web").await.unwrap()?;
        web.spec?.template.spec?.containers.into_iter().next()?.image
    }

    /// The records of releases in the cluster.
    async fn records(&self) -> usize {
        let labels = ListParams::default().labels("greenloop.dev/environment=staging");
        self.world.api::<Secret>().list(&labels).await.unwrap().items.len()
    }

    /// The program's writes to the cluster so far.
    fn writes(&self) -> Vec<String> {
        let journal = self.world.wire().server.journal();
        let calls = journal.entries().iter().map(|entry| &entry.call);
        calls.filter(|call| call.writes()).map(|call| call.told()).collect()
    }
}
