//! `deploy.docker` and `deploy.kubernetes`.

use std::path::PathBuf;
use std::time::Duration;

use super::values::{bytes, variables};
use super::words::words;
use super::{Context, Root};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::{AksPlan, DockerPlan, EnvironmentPlan, KubernetesPlan, Manifests, ServicePlan};
use crate::raw::{RawDocker, RawKubernetes};

pub(super) fn docker(cx: &mut Context<'_>, raw: &RawDocker, places: [KeyPath; 2]) -> DockerPlan {
    let [own, shared] = &places;
    let at = |cx: &Context<'_>, key: &str| cx.existing([own.key(key), shared.key(key)]);
    let place = at(cx, "command");
    let command = words(cx, raw.command.as_ref(), &place).unwrap_or_default();
    let place = at(cx, "env");
    let env = raw.env.clone().unwrap_or_default();
    variables(cx, &env, &place);
    let place = at(cx, "volumes");
    let volumes = raw.volumes.clone().unwrap_or_default();
    for (i, volume) in volumes.iter().enumerate() {
        let parts: Vec<&str> = volume.split(':').collect();
        let right = match parts.as_slice() {
            [from, to] | [from, to, "ro" | "rw"] => !from.is_empty() && to.starts_with('/'),
            _ => false,
        };
        if !right {
            cx.report(
                ProblemKind::InvalidValue,
                &place.index(i),
                format!("{} is not a volume", quoted(volume)),
                "use name:/path, /host/path:/path or /host/path:/path:ro",
            );
        }
    }
    let place = at(cx, "memory");
    let memory = raw.memory.as_ref().and_then(|size| bytes(cx, size, &place));
    let place = at(cx, "drain_timeout");
    let drain_timeout = cx.duration(raw.drain_timeout.as_ref(), &place);
    DockerPlan {
        docker_host: raw.docker_host.clone(),
        container_port: raw.container_port.unwrap_or(8080),
        command,
        env,
        volumes,
        network: raw.network.clone(),
        memory,
        drain_timeout: drain_timeout.unwrap_or(Duration::from_secs(5)),
        keep_releases: raw.keep_releases.unwrap_or(3),
    }
}

pub(super) fn kubernetes(
    cx: &mut Context<'_>,
    raw: &RawKubernetes,
    places: [KeyPath; 2],
    environment: &EnvironmentPlan,
    (files, files_given): (Option<PathBuf>, bool),
    method: &KeyPath,
) -> Option<KubernetesPlan> {
    let [own, shared] = &places;
    let at = |cx: &Context<'_>, key: &str| cx.existing([own.key(key), shared.key(key)]);
    let given = [files_given, raw.kustomize.is_some(), raw.helm.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        cx.report(
            ProblemKind::MissingKey,
            method,
            if given.contains(&true) {
                "the kubernetes target takes its objects from one source, but several are \
                 configured"
                    .to_owned()
            } else {
                "the kubernetes target needs `deploy.manifest_path`".to_owned()
            },
            "for example `manifest_path: k8s/deployment.yaml`, or one of \
             `kubernetes.kustomize` and `kubernetes.helm`",
        );
        return None;
    }
    let manifests = if let Some(folder) = &raw.kustomize {
        let place = at(cx, "kustomize");
        Manifests::Kustomize(cx.path(folder, &place, Root::Allowed)?)
    } else if let Some(helm) = &raw.helm {
        let place = at(cx, "helm");
        let chart = cx.path(&helm.chart, &place.key("chart"), Root::Allowed)?;
        let release = cx.filled(&helm.release, &place.key("release"))?;
        let values = helm.values.iter().flatten().enumerate();
        let values = values
            .filter_map(|(i, file)| cx.path(file, &place.key("values").index(i), Root::Refused))
            .collect();
        Manifests::Helm { chart, release, values }
    } else {
        Manifests::Files(files?)
    };
    let place = at(cx, "service");
    let service = raw.service.as_deref().and_then(|text| {
        let (name, port) = match text.split_once(':') {
            None => (text, Some(None)),
            Some((name, port)) => (name, port.parse().ok().map(Some)),
        };
        match port {
            Some(port) if !name.trim().is_empty() => {
                Some(ServicePlan { name: name.trim().to_owned(), port })
            }
            _ => {
                cx.report(
                    ProblemKind::InvalidValue,
                    &place,
                    format!("{} is not the name of a service", quoted(text)),
                    "use NAME or NAME:PORT",
                );
                None
            }
        }
    });
    let place = at(cx, "soak");
    let soak = cx.duration(raw.soak.as_ref(), &place);
    let place = at(cx, "lease_wait");
    let lease_wait = cx.duration(raw.lease_wait.as_ref(), &place).unwrap_or_default();
    Some(KubernetesPlan {
        manifests,
        namespace: environment.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        kubeconfig: raw.kubeconfig.as_ref().map(PathBuf::from),
        context: raw.context.clone(),
        aks: raw.aks.as_ref().map(|aks| AksPlan {
            subscription: aks.subscription.clone(),
            resource_group: aks.resource_group.clone(),
            cluster: aks.cluster.clone(),
        }),
        variables: raw.variables.clone().unwrap_or_default(),
        service,
        soak,
        lease_wait,
        history: raw.history.unwrap_or(10),
        prune: raw.prune.unwrap_or(false),
    })
}
