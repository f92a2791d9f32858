//! `deploy`, with the environment's own merged over it, and `build`.

use std::path::PathBuf;
use std::time::Duration;

use super::values::variables;
use super::words::words;
use super::{Context, Root, cluster};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::plan::{BuildPlan, Builder, DeployPlan, EnvironmentPlan, ProcessPlan, Rollback};
use crate::raw::{
    RawBuild, RawBuilder, RawConfig, RawDeploy, RawDocker, RawKubernetes, RawMethod, RawProcess,
    RawRollback,
};
use greenloop_model::TargetKind;

pub(super) fn resolve(
    cx: &mut Context<'_>,
    raw: &RawConfig,
    name: &str,
    environment: Option<&EnvironmentPlan>,
) -> Option<DeployPlan> {
    let own = KeyPath::root().key("environments").key(name).key("deploy");
    let shared = KeyPath::root().key("deploy");
    let over = raw.environments.get(name).and_then(|e| e.deploy.as_ref());
    let deploy = merge(raw.deploy.as_ref(), over);
    let at = |cx: &Context<'_>, key: &str| cx.existing([own.key(key), shared.key(key)]);
    let Some(method) = deploy.method else {
        let place = cx.existing([own.clone(), shared]);
        cx.report(
            ProblemKind::MissingKey,
            &place,
            format!("environment `{name}` has no target: `deploy.method` is missing"),
            "it must be `process`, `docker` or `kubernetes`",
        );
        return None;
    };
    let target = match method {
        RawMethod::Process => TargetKind::Process,
        RawMethod::Docker => TargetKind::Docker,
        RawMethod::Kubernetes | RawMethod::Kubectl => TargetKind::Kubernetes,
    };
    let place = at(cx, "wait_timeout");
    let wait_timeout = cx.timeout(deploy.wait_timeout.as_ref(), &place).unwrap_or(match target {
        TargetKind::Process => Duration::from_secs(60),
        TargetKind::Docker | TargetKind::Kubernetes => Duration::from_secs(300),
    });
    let place = at(cx, "manifest_path");
    let manifest_path = deploy.manifest_path.as_deref().and_then(|text| {
        let text = cx.expand(text, environment?, &place)?;
        cx.path(&text, &place, Root::Refused)
    });
    let method_place = at(cx, "method");
    let process = match target {
        TargetKind::Process => {
            if let Some(environment) = environment {
                listens(cx, environment, name, "process");
            }
            let Some(process) = &deploy.process else {
                cx.report(
                    ProblemKind::MissingKey,
                    &method_place,
                    "the process target needs `deploy.process.command`".to_owned(),
                    "for example `process: { command: ./server, artifacts: [target/debug/server] }`",
                );
                return None;
            };
            Some(one_process(cx, process, [own.key("process"), shared.key("process")])?)
        }
        TargetKind::Docker | TargetKind::Kubernetes => None,
    };
    if target == TargetKind::Docker && raw.build.is_none() {
        cx.report(
            ProblemKind::MissingKey,
            &method_place,
            "the docker target needs `build`, which defines the image".to_owned(),
            "for example `build: { registry: registry.example.org, image_name: app }`",
        );
    }
    let docker = (target == TargetKind::Docker).then(|| {
        if let Some(environment) = environment {
            listens(cx, environment, name, "docker");
        }
        let docker = deploy.docker.clone().unwrap_or_default();
        cluster::docker(cx, &docker, [own.key("docker"), shared.key("docker")])
    });
    let kubernetes = match (target, environment) {
        (TargetKind::Kubernetes, Some(environment)) => {
            let settings = deploy.kubernetes.clone().unwrap_or_default();
            let places = [own.key("kubernetes"), shared.key("kubernetes")];
            let method = &method_place;
            let files = manifest_path.clone();
            let given = deploy.manifest_path.is_some();
            cluster::kubernetes(cx, &settings, places, environment, (files, given), method)
        }
        _ => None,
    };
    let rollback = match deploy.rollback {
        None | Some(RawRollback::Allowed) => Rollback::Allowed,
        Some(RawRollback::Forbidden) => Rollback::Forbidden,
    };
    if target == TargetKind::Process && rollback == Rollback::Forbidden {
        cx.report(
            ProblemKind::InvalidValue,
            &at(cx, "rollback"),
            "the process target always restores the last verified release".to_owned(),
            "`rollback: forbidden` applies only to the docker and kubernetes targets",
        );
        return None;
    }
    Some(DeployPlan { target, manifest_path, wait_timeout, rollback, process, docker, kubernetes })
}

/// Key by key, what the environment says over what all share.
fn merge(shared: Option<&RawDeploy>, own: Option<&RawDeploy>) -> RawDeploy {
    let shared = shared.cloned().unwrap_or_default();
    let own = own.cloned().unwrap_or_default();
    let process = match (shared.process, own.process) {
        (None, process) | (process, None) => process,
        (Some(shared), Some(own)) => Some(RawProcess {
            command: own.command.or(shared.command),
            artifacts: own.artifacts.or(shared.artifacts),
            env: own.env.or(shared.env),
            drain_timeout: own.drain_timeout.or(shared.drain_timeout),
            keep_releases: own.keep_releases.or(shared.keep_releases),
        }),
    };
    let docker = match (shared.docker, own.docker) {
        (None, docker) | (docker, None) => docker,
        (Some(shared), Some(own)) => Some(RawDocker {
            docker_host: own.docker_host.or(shared.docker_host),
            container_port: own.container_port.or(shared.container_port),
            command: own.command.or(shared.command),
            env: own.env.or(shared.env),
            volumes: own.volumes.or(shared.volumes),
            network: own.network.or(shared.network),
            memory: own.memory.or(shared.memory),
            drain_timeout: own.drain_timeout.or(shared.drain_timeout),
            keep_releases: own.keep_releases.or(shared.keep_releases),
        }),
    };
    let kubernetes = match (shared.kubernetes, own.kubernetes) {
        (None, kubernetes) | (kubernetes, None) => kubernetes,
        (Some(shared), Some(own)) => Some(RawKubernetes {
            kustomize: own.kustomize.or(shared.kustomize),
            helm: own.helm.or(shared.helm),
            kubeconfig: own.kubeconfig.or(shared.kubeconfig),
            context: own.context.or(shared.context),
            aks: own.aks.or(shared.aks),
            variables: own.variables.or(shared.variables),
            service: own.service.or(shared.service),
            soak: own.soak.or(shared.soak),
            lease_wait: own.lease_wait.or(shared.lease_wait),
            history: own.history.or(shared.history),
            prune: own.prune.or(shared.prune),
        }),
    };
    RawDeploy {
        method: own.method.or(shared.method),
        manifest_path: own.manifest_path.or(shared.manifest_path),
        wait_timeout: own.wait_timeout.or(shared.wait_timeout),
        rollback: own.rollback.or(shared.rollback),
        process,
        docker,
        kubernetes,
    }
}

fn one_process(
    cx: &mut Context<'_>,
    process: &RawProcess,
    places: [KeyPath; 2],
) -> Option<ProcessPlan> {
    let [own, shared] = &places;
    let at = |cx: &Context<'_>, key: &str| cx.existing([own.key(key), shared.key(key)]);
    let place = at(cx, "command");
    let command = words(cx, process.command.as_ref(), &place)?;
    if command.first().is_none_or(|program| program.trim().is_empty()) {
        let place = cx.existing([place, cx.existing(places.clone())]);
        cx.report(
            ProblemKind::MissingKey,
            &place,
            "the process target needs a program: `deploy.process.command` is missing or empty"
                .to_owned(),
            "for example `command: ./server --quiet`",
        );
    }
    let place = at(cx, "artifacts");
    let mut artifacts: Vec<PathBuf> = Vec::new();
    for (i, text) in process.artifacts.iter().flatten().enumerate() {
        let Some(path) = cx.path(text, &place.index(i), Root::Refused) else { continue };
        if artifacts.iter().any(|earlier| earlier.file_name() == path.file_name()) {
            cx.report(
                ProblemKind::DuplicateName,
                &place.index(i),
                format!("two artifacts have the name of {}", quoted(text)),
                "each is copied into the release's folder under its own name",
            );
        }
        artifacts.push(path);
    }
    let place = at(cx, "env");
    let env = process.env.clone().unwrap_or_default();
    variables(cx, &env, &place);
    if env.contains_key("PORT") {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("PORT"),
            "`PORT` is set by Greenloop, so that two releases can run at the same time".to_owned(),
            "remove it; the public address is the environment's `url`",
        );
    }
    let place = at(cx, "drain_timeout");
    let drain_timeout = cx.duration(process.drain_timeout.as_ref(), &place);
    Some(ProcessPlan {
        command,
        artifacts,
        env,
        drain_timeout: drain_timeout.unwrap_or(Duration::from_secs(5)),
        keep_releases: process.keep_releases.unwrap_or(3),
    })
}

/// The front listener of the process and docker targets speaks plain HTTP on an address of this machine.
fn listens(cx: &mut Context<'_>, environment: &EnvironmentPlan, name: &str, target: &str) {
    let Ok(url) = url::Url::parse(&environment.url) else { return };
    let here = match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost",
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        None => false,
    };
    if url.scheme() != "http" || !here || url.path() != "/" {
        cx.report(
            ProblemKind::InvalidUrl,
            &KeyPath::root().key("environments").key(name).key("url"),
            format!(
                "the {target} target listens on this machine, but {} is another host",
                quoted(&environment.url)
            ),
            "use http://127.0.0.1:PORT",
        );
    }
}

/// `build`
pub(super) fn build(cx: &mut Context<'_>, raw: &RawBuild) -> BuildPlan {
    let place = KeyPath::root().key("build");
    let registry = raw.registry.trim().trim_end_matches('/').to_owned();
    if registry.is_empty() || registry.contains("://") || registry.contains(char::is_whitespace) {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("registry"),
            format!("{} is not a registry host", quoted(&raw.registry)),
            "use the host without a scheme, for example fleetproductionacr.azurecr.io",
        );
    }
    let image_name = raw.image_name.trim().to_owned();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
    if image_name.is_empty()
        || !image_name.bytes().all(plain)
        || image_name.split('/').any(|part| !part.starts_with(|c: char| c.is_ascii_alphanumeric()))
    {
        cx.report(
            ProblemKind::InvalidValue,
            &place.key("image_name"),
            format!("{} is not a valid image name", quoted(&raw.image_name)),
            "use lower-case letters, digits, `.`, `_`, `-` and `/`, without a tag: fleet-frontend",
        );
    }
    let tags = raw.tags.clone().unwrap_or_default();
    for (i, tag) in tags.iter().enumerate() {
        // The grammar of the distribution specification.
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let rest = |b: u8| word(b) || b == b'.' || b == b'-';
        if !(1..=128).contains(&tag.len())
            || !tag.bytes().take(1).all(word)
            || !tag.bytes().all(rest)
        {
            cx.report(
                ProblemKind::InvalidValue,
                &place.key("tags").index(i),
                format!("{} is not a valid tag", quoted(tag)),
                "use at most 128 letters, digits, `_`, `.` and `-`, beginning with a letter or \
                 digit",
            );
        }
    }
    let dockerfile = raw.dockerfile_path.as_deref().unwrap_or("Dockerfile");
    let context = raw.context_path.as_deref().unwrap_or(".");
    BuildPlan {
        registry,
        image_name,
        dockerfile_path: cx
            .path(dockerfile, &place.key("dockerfile_path"), Root::Refused)
            .unwrap_or_default(),
        context_path: cx
            .path(context, &place.key("context_path"), Root::Allowed)
            .unwrap_or_default(),
        args: raw.args.clone().unwrap_or_default(),
        target: raw.target.clone(),
        labels: raw.labels.clone().unwrap_or_default(),
        platform: raw.platform.clone(),
        tags,
        builder: match raw.builder {
            None | Some(RawBuilder::Auto) => Builder::Auto,
            Some(RawBuilder::Buildkit) => Builder::Buildkit,
            Some(RawBuilder::Classic) => Builder::Classic,
        },
        docker_host: raw.docker_host.clone(),
    }
}
