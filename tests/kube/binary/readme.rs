//! The instructions of docs/deploy.md for a Kubernetes cluster.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::binary::command;
use crate::kubectl;
use crate::program::HEALTHY;
use crate::readme_paths::{put, repository, section, works};
use crate::services::services;
use crate::world::World;

const NAMESPACE: &str = "fleet-management-staging";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_a_cluster_works_as_it_is_written() {
    let Some((docker, registry)) = services() else { return };
    let section = section("To a Kubernetes cluster");
    let world = World::on_wire().await;
    let dockerfile = format!(
        "FROM scratch\n\
         COPY busybox /bin/busybox\n\
         COPY . /src\n\
         RUN [\"/bin/busybox\", \"test\", \"!\", \"-e\", \"/src/logs\"]\n\
         RUN [\"/bin/busybox\", \"test\", \"!\", \"-e\", \"/src/.git\"]\n{}\n",
        command(&HEALTHY)
    );
    let repository = repository(&[
        ("Dockerfile", &dockerfile),
        // Makes the content of the image unique.
        ("unique", &uuid::Uuid::new_v4().to_string()),
        (".gitignore", "/busybox\n"),
    ]);
    std::fs::copy("/bin/busybox", repository.path().join("busybox")).unwrap();
    repository
        .write("config.yaml", &put(&section.config, "fleetproductionacr.azurecr.io", &registry));
    let kubeconfig = world.kubeconfig().display().to_string();
    let variables = [("DOCKER_HOST", docker.as_str()), ("KUBECONFIG", kubeconfig.as_str())];
    let has_kubectl = kubectl::installed();
    if !has_kubectl {
        // Without kubectl its lines are skipped; the namespace that they create is created here.
        let namespace: Namespace = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        }))
        .unwrap();
        let namespaces: Api<Namespace> = Api::all(world.client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    }
    for line in &section.commands {
        let line = line.replace("/path/to/greenloop", env!("CARGO_MANIFEST_DIR"));
        if line.starts_with("kubectl ") {
            if has_kubectl {
                works(&repository, &line, &variables);
            }
        } else {
            works(&repository, &line, &variables);
        }
    }
    let fleet: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
    let containers = fleet.get("fleet").await.unwrap().spec.unwrap().template.spec.unwrap();
    let image = containers.containers[0].image.clone().unwrap();
    assert!(image.starts_with(&format!("{registry}/fleet-service@sha256:")), "{image}");
}
