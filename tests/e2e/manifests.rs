//! The manifests in `k8s/`: each document is valid for its kind, without unknown keys.

use std::path::{Path, PathBuf};

use k8s_openapi::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|e| e == "yaml")
            // Not an object of a cluster: `places::cluster` checks its output.
            && path.file_name().is_some_and(|name| name != "kustomization.yaml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let digest = format!("sha256:{}", "0".repeat(64));
    let values = minijinja::context! {
        image => format!("registry.example.org/fleet@{digest}"),
        digest,
        environment => "staging",
        run => "0190aaaa-bbbb-7ccc-8ddd-eeeeeeeeffff",
        vars => std::collections::BTreeMap::<String, String>::new(),
    };
    let mut environment = minijinja::Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let rendered = environment.render_str(&text, values).unwrap();
    serde_yaml::from_multiple(&rendered).unwrap()
}

/// The keys that the typed form has lost, because the kind does not know them.
fn lost(written: &Value, typed: &Value, place: &str, into: &mut Vec<String>) {
    match (written, typed) {
        (Value::Object(written), Value::Object(typed)) => {
            for (key, value) in written {
                let place = format!("{place}.{key}");
                match typed.get(key) {
                    Some(other) => lost(value, other, &place, into),
                    // Empty maps and lists are left out when they are written again.
                    None if value == &Value::Object(serde_json::Map::new()) => {}
                    None => into.push(place),
                }
            }
        }
        (Value::Array(written), Value::Array(typed)) => {
            for (n, (value, other)) in written.iter().zip(typed).enumerate() {
                lost(value, other, &format!("{place}[{n}]"), into);
            }
        }
        (written, typed) => {
            if written != typed {
                into.push(format!("{place}: {written} became {typed}"));
            }
        }
    }
}

fn check<K: Resource + Serialize + DeserializeOwned>(document: &Value) -> Vec<String> {
    let kind: K = match serde_json::from_value(document.clone()) {
        Ok(kind) => kind,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    lost(document, &serde_json::to_value(kind).unwrap(), "", &mut wrong);
    wrong
}

#[test]
fn every_manifest_is_what_its_kind_allows() {
    use k8s_openapi::api::{apps, batch, core, networking, policy, rbac};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s");
    let mut kinds = Vec::new();
    for path in files(&folder) {
        for document in documents(&path) {
            let kind = format!(
                "{}/{}",
                document["apiVersion"].as_str().unwrap(),
                document["kind"].as_str().unwrap()
            );
            let wrong = match kind.as_str() {
                "v1/ConfigMap" => check::<core::v1::ConfigMap>(&document),
                "v1/Namespace" => check::<core::v1::Namespace>(&document),
                "v1/Service" => check::<core::v1::Service>(&document),
                "v1/PersistentVolumeClaim" => check::<core::v1::PersistentVolumeClaim>(&document),
                "v1/ServiceAccount" => check::<core::v1::ServiceAccount>(&document),
                "apps/v1/Deployment" => check::<apps::v1::Deployment>(&document),
                "batch/v1/Job" => check::<batch::v1::Job>(&document),
                "batch/v1/CronJob" => check::<batch::v1::CronJob>(&document),
                "rbac.authorization.k8s.io/v1/Role" => check::<rbac::v1::Role>(&document),
                "rbac.authorization.k8s.io/v1/RoleBinding" => {
                    check::<rbac::v1::RoleBinding>(&document)
                }
                "rbac.authorization.k8s.io/v1/ClusterRole" => {
                    check::<rbac::v1::ClusterRole>(&document)
                }
                "rbac.authorization.k8s.io/v1/ClusterRoleBinding" => {
                    check::<rbac::v1::ClusterRoleBinding>(&document)
                }
                "networking.k8s.io/v1/NetworkPolicy" => {
                    check::<networking::v1::NetworkPolicy>(&document)
                }
                "policy/v1/PodDisruptionBudget" => {
                    check::<policy::v1::PodDisruptionBudget>(&document)
                }
                // KEDA's kind; `places::cluster` checks its keys.
                "keda.sh/v1alpha1/ScaledObject" => Vec::new(),
                other => panic!("{}: {other} has no check", path.display()),
            };
            assert!(wrong.is_empty(), "{}: {kind}: {wrong:#?}", path.display());
            kinds.push(kind);
        }
    }
    assert!(kinds.len() >= 24, "{kinds:?}");
}

/// The context of Greenloop's image: everything that its Dockerfile copies, and nothing that is
/// generated or stored elsewhere.
#[test]
fn the_image_of_greenloop_is_built_from_its_sources() {
    use greenloop_image::context::BuildContext;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = BuildContext::scan(root, &root.join("Dockerfile"), None).unwrap();
    let dockerfile = String::from_utf8(context.dockerfile_text().to_vec()).unwrap();
    let bytes = futures::executor::block_on(async {
        let mut stream = std::pin::pin!(context.tar());
        let mut bytes = Vec::new();
        while let Some(piece) = futures::StreamExt::next(&mut stream).await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    });
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap())
        .collect();
    let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    for line in copied.filter(|line| !line.starts_with("--from")) {
        let sources: Vec<&str> = line.split(' ').collect();
        let (_, sources) = sources.split_last().unwrap();
        for source in sources.iter().filter(|source| !source.ends_with('*')) {
            let found = names.iter().any(|name| name.trim_end_matches('/') == *source);
            assert!(found, "COPY {source}");
        }
    }
    let foreign = |name: &&String| {
        [".git/", "target/", "examples/service/target/", "logs/", "tests/"]
            .iter()
            .any(|folder| name.starts_with(folder))
    };
    assert_eq!(names.iter().find(foreign), None);
}
