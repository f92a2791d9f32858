//! What Kubernetes manifests and Helm charts say.

use regex::Regex;
use serde_json::Value;

use crate::files::{Files, folder_of};

/// Kinds of objects that run something.
const WORKLOADS: &[&str] = &["Deployment", "StatefulSet", "DaemonSet"];

/// What is deployed to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) source: Source,
    /// The namespace that the objects name.
    pub(crate) namespace: Option<String>,
    /// `registry.example.org/team/fleet`, without tag: the image of the first workload.
    pub(crate) image: Option<String>,
    /// `fleet:80`
    pub(crate) service: Option<String>,
    /// The host of an ingress.
    pub(crate) host: Option<String>,
}

/// Where the objects come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A folder of manifests, or one file.
    Manifests(String),
    Kustomize(String),
    /// A chart's folder and its name.
    Helm {
        chart: String,
        name: String,
    },
}

/// What the repository deploys to a cluster; a chart before a kustomization before plain manifests.
pub(crate) fn cluster(files: &Files) -> Option<Cluster> {
    let texts: Vec<(&str, std::sync::Arc<str>)> = files
        .matching("", "**/*.{yaml,yml}")
        .into_iter()
        .filter_map(|path| Some((path, files.text(path)?)))
        .collect();
    let objects = texts.iter().filter(|(path, _)| !path.contains("templates/"));
    let objects: Vec<(&str, Value)> = objects
        .filter(|(_, text)| text.contains("apiVersion:") && text.contains("kind:"))
        .flat_map(|(path, text)| {
            let read = serde_yaml::from_multiple::<Value>(text).unwrap_or_default();
            read.into_iter().map(move |object| (*path, object))
        })
        .collect();
    let of_kind = |kinds: &'static [&'static str]| {
        objects.iter().filter(move |(_, object)| {
            object["kind"].as_str().is_some_and(|kind| kinds.contains(&kind))
        })
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let source = source(files, of_kind(WORKLOADS).map(|(path, _)| *path).collect())?;
    let containers = |object: &Value| {
        let list = object.pointer("/spec/template/spec/containers")?.as_array()?;
        list.iter().find_map(|container| text(&container["image"]))
    };
    let service = of_kind(&["Service"]).find_map(|(_, object)| {
        let name = object.pointer("/metadata/name")?.as_str()?;
        let port = object.pointer("/spec/ports/0/port")?.as_u64()?;
        Some(format!("{name}:{port}"))
    });
    Some(Cluster {
        source,
        namespace: of_kind(WORKLOADS)
            .find_map(|(_, object)| object.pointer("/metadata/namespace").and_then(text)),
        image: of_kind(WORKLOADS)
            .find_map(|(_, object)| containers(object))
            .filter(|image| !image.contains("{{"))
            .map(|image| without_tag(&image)),
        service,
        host: of_kind(&["Ingress"])
            .find_map(|(_, object)| object.pointer("/spec/rules/0/host").and_then(text)),
    })
}

fn source(files: &Files, workloads: Vec<&str>) -> Option<Source> {
    if let Some(chart) = files.matching("", "{,*/,*/*/}Chart.yaml").first() {
        let name = Regex::new(r#"(?m)^name:\s*["']?([\w.-]+)"#).ok()?;
        let text = files.text(chart)?;
        let name = name.captures(&text)?.get(1)?.as_str().to_owned();
        return Some(Source::Helm { chart: folder_of(chart).to_owned(), name });
    }
    let mut kustomizations = files.matching("", "{,*/,*/*/,*/*/*/}kustomization.y{,a}ml");
    // An overlay before its base, and of several the first by name.
    kustomizations.sort_by_key(|path| (path.contains("/base/"), path.to_string()));
    if let Some(kustomization) = kustomizations.first() {
        return Some(Source::Kustomize(folder_of(kustomization).to_owned()));
    }
    let first = workloads.first()?;
    let in_one_folder = workloads.iter().all(|path| folder_of(path) == folder_of(first));
    Some(Source::Manifests(match (in_one_folder, folder_of(first)) {
        // The root holds other files that are YAML, too.
        (true, ".") => (*first).to_owned(),
        (_, at) => at.to_owned(),
    }))
}

/// `registry:5000/team/fleet:1.2@sha256:…` as `registry:5000/team/fleet`.
fn without_tag(image: &str) -> String {
    let image = image.split('@').next().unwrap_or_default();
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name.to_owned(),
        Some(_) | None => image.to_owned(),
    }
}

/// Registry and repository of an image; `None` for one without a registry.
pub(crate) fn registry(image: &str) -> Option<(&str, &str)> {
    let (host, name) = image.split_once('/')?;
    (host.contains(['.', ':']) || host == "localhost").then_some((host, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: fleet, namespace: fleet-staging}
spec:
  template:
    spec:
      containers:
        - {name: fleet, image: registry.example.org:5000/team/fleet:1.2}
---
apiVersion: v1
kind: Service
metadata: {name: fleet}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: fleet}
spec: {rules: [{host: fleet.example.org}]}
";

    fn of(content: &[(&str, &str)]) -> Option<Cluster> {
        let (_folder, files) = crate::files::tests::written(content.iter().copied());
        cluster(&files)
    }

    #[test]
    fn manifests_say_namespace_image_service_and_host() {
        let found = of(&[("k8s/all.yaml", OBJECTS), ("ci.yml", "kind: x\n")]).unwrap();
        assert_eq!(found.source, Source::Manifests("k8s".into()));
        assert_eq!(found.namespace.as_deref(), Some("fleet-staging"));
        assert_eq!(found.image.as_deref(), Some("registry.example.org:5000/team/fleet"));
        assert_eq!(found.service.as_deref(), Some("fleet:80"));
        assert_eq!(found.host.as_deref(), Some("fleet.example.org"));
        let image = found.image.unwrap();
        assert_eq!(registry(&image), Some(("registry.example.org:5000", "team/fleet")));
        assert_eq!(registry("team/fleet"), None);
    }

    #[test]
    fn a_chart_comes_before_a_kustomization_before_manifests() {
        let chart = ("deploy/chart/Chart.yaml", "apiVersion: v2\nname: fleet\n");
        let kustomization = ("k8s/kustomization.yaml", "resources: [all.yaml]\n");
        let manifests = ("k8s/all.yaml", OBJECTS);
        let helm = Source::Helm { chart: "deploy/chart".into(), name: "fleet".into() };
        assert_eq!(of(&[chart, kustomization, manifests]).unwrap().source, helm);
        let found = of(&[kustomization, manifests]).unwrap().source;
        assert_eq!(found, Source::Kustomize("k8s".into()));
        assert_eq!(
            of(&[("all.yaml", OBJECTS)]).unwrap().source,
            Source::Manifests("all.yaml".into())
        );
        assert_eq!(of(&[("a.yaml", "x: 1\n")]), None);
    }
}
