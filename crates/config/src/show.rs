//! The effective plan as a configuration again: `greenloop config show`. It has one environment,
//! every default filled in and every template expanded; `greenloop config check` accepts it, and
//! it means the same.
//!
//! It holds no secret, because no plan does: keys are named, never read, and `keyvault:NAME`
//! stays what it is. A value under a name that says it is a secret is hidden all the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::duration::render;
use super::plan::{
    ApplyPolicy, AzurePlan, BuildPlan, Builder, DeployPlan, DockerPlan, Expectation, FetchPlan,
    FlowStep, GatePlan, KubernetesPlan, LogPiece, LoggingPlan, Manifests, NotificationPlan,
    ProcessPlan, Provider, PullRequestPlan, PullRequestProvider, RolePlan, Rollback, RunPlan,
    SandboxLevel, SandboxPlan, StepBody, TasksPlan, TelemetryPlan, VerificationPlan,
};
use super::secrets;
use super::template::literal;
use super::vault_reference::reference;
use greenloop_model::{Network, RepoPath};

/// The plan as the configuration of its environment.
pub fn to_json(plan: &RunPlan) -> Json {
    let environment = given(json!({
        "namespace": plan.environment.namespace,
        "url": plan.environment.url,
        "health_endpoint": plan.environment.health_endpoint,
        "require_approval": plan.environment.require_approval,
    }));
    given(json!({
        "environments": { plan.environment.name.as_str(): environment },
        "build": plan.build.as_ref().map(build),
        "quality_gates": plan.gates.iter().map(gate).collect::<Vec<_>>(),
        "sandbox": sandbox(&plan.sandbox),
        "deploy": deploy(&plan.deploy),
        "verification": verification(&plan.verification),
        "agents": { "codex": author(&plan.author), "jules": role(&plan.reviewer) },
        "safety": given(json!({
            "max_iterations": plan.limits.max_iterations,
            "no_progress_threshold": plan.limits.no_progress_threshold,
            "max_tokens": plan.limits.max_tokens,
            "max_cost_usd": plan.limits.max_cost_usd,
            "max_duration": plan.limits.max_duration.map(render),
            "approval_timeout": render(plan.approval_timeout),
            "never_delete": plan.policy.never_delete,
            "require_confirmation": plan.policy.require_confirmation,
            "max_files": plan.policy.max_files,
            "max_changed_lines": plan.policy.max_changed_lines,
            "max_file_bytes": plan.policy.max_file_bytes,
        })),
        "logging": logging(&plan.logging),
        "metrics": match plan.metrics.as_deref() {
            Some(file) => json!({ "enabled": true, "path": path(file) }),
            None => json!({ "enabled": false }),
        },
        "azure": azure(&plan.azure),
        "pull_request": plan.pull_request.as_ref().map(pull_request),
        "telemetry": plan.telemetry.as_ref().map(telemetry),
        "tasks": plan.tasks.as_ref().map(tasks),
        "notifications": (!plan.notifications.is_empty())
            .then(|| plan.notifications.iter().map(notification).collect::<Vec<_>>()),
    }))
}

/// The plan as YAML.
pub fn to_yaml(plan: &RunPlan) -> Result<String, serde_yaml::SerializeError> {
    serde_yaml::to_string(&to_json(plan))
}

/// Without the keys that have no value: left out, they mean what they meant.
fn given(json: Json) -> Json {
    match json {
        Json::Object(map) => {
            map.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// A value that was written, which may be `null`.
fn with(mut json: Json, key: &str, value: Option<Json>) -> Json {
    if let (Some(map), Some(value)) = (json.as_object_mut(), value) {
        map.insert(key.to_owned(), value);
    }
    json
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn variables(env: &BTreeMap<String, String>) -> Option<Json> {
    let shown = env
        .iter()
        .map(|(name, value)| {
            let hidden = (greenloop_model::names_secret(name) && reference(value).is_none())
                || secrets::find(value).is_some();
            (name.clone(), Json::from(if hidden { "(hidden)" } else { value.as_str() }))
        })
        .collect();
    (!env.is_empty()).then_some(shown)
}

/// A text that is a template in the configuration.
fn expanded(text: &str) -> Json {
    literal(text).into()
}

fn expanded_all(value: Json) -> Json {
    match value {
        Json::String(text) => expanded(&text),
        Json::Array(items) => items.into_iter().map(expanded_all).collect(),
        Json::Object(map) => map
            .into_iter()
            .map(|(key, value)| (key, expanded_all(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

fn sandbox(plan: &SandboxPlan) -> Json {
    let paths = |paths: &[PathBuf]| paths.iter().map(|it| path(it)).collect::<Vec<_>>();
    given(json!({
        "level": match plan.level {
            SandboxLevel::A => "A",
            SandboxLevel::B => "B",
            SandboxLevel::C => "C",
            SandboxLevel::D => "D",
            SandboxLevel::Off => "off",
        },
        "network": network(&plan.network),
        "container": plan.container.as_ref().map(|container| {
            given(json!({"image": container.image, "docker_host": container.docker_host}))
        }),
        "env": plan.env,
        "read": paths(&plan.read),
        "cache": paths(&plan.cache),
        "memory": plan.memory,
        "processes": plan.processes,
    }))
}

/// Values by name, and names without a value.
fn gate_env(plan: &GatePlan) -> Option<Json> {
    let names = plan.access.env.iter().map(|name| (name.clone(), Json::Null));
    match variables(&plan.env) {
        None if plan.access.env.is_empty() => None,
        None => Some(plan.access.env.clone().into()),
        Some(Json::Object(map)) => Some(map.into_iter().chain(names).collect::<Map<_, _>>().into()),
        Some(other) => Some(other),
    }
}

fn build(plan: &BuildPlan) -> Json {
    given(json!({
        "registry": plan.registry,
        "image_name": plan.image_name,
        "dockerfile_path": path(&plan.dockerfile_path),
        "context_path": path(&plan.context_path),
        "args": variables(&plan.args),
        "target": plan.target,
        "labels": variables(&plan.labels),
        "platform": plan.platform,
        "tags": plan.tags,
        "builder": match plan.builder {
            Builder::Auto => "auto",
            Builder::Buildkit => "buildkit",
            Builder::Classic => "classic",
        },
        "docker_host": plan.docker_host,
    }))
}

fn network(network: &Network) -> Json {
    match network {
        Network::None => false.into(),
        Network::All => true.into(),
        Network::Hosts(hosts) => hosts.iter().map(ToString::to_string).collect(),
    }
}

/// `fetch` where there is no command that says so.
fn fetch_network(fetch: &FetchPlan) -> Json {
    match (&fetch.command, &fetch.network) {
        (None, _) => "fetch".into(),
        (Some(_), given) => network(given),
    }
}

fn gate(plan: &GatePlan) -> Json {
    given(json!({
        "name": plan.name,
        "command": plan.command,
        "required": plan.required,
        "timeout": plan.timeout.map(render),
        "env": gate_env(plan),
        "network": match &plan.access.fetch {
            Some(fetch) => fetch_network(fetch),
            None => network(&plan.access.network),
        },
        "fetch": plan.access.fetch.as_ref().and_then(|fetch| fetch.command.as_ref()),
        "memory": plan.access.memory,
        "cache": (!plan.access.cache.is_empty())
            .then(|| plan.access.cache.iter().map(|it| path(it)).collect::<Vec<_>>()),
        "working_directory": plan.working_directory.as_ref().map(RepoPath::to_string_lossy),
        "needs": plan.needs,
        "reports": plan.reports,
        "writes": plan.writes,
    }))
}

fn deploy(plan: &DeployPlan) -> Json {
    given(json!({
        "method": plan.target.name(),
        "manifest_path": plan.manifest_path.as_deref().map(|file| expanded(&path(file))),
        "wait_timeout": render(plan.wait_timeout),
        "rollback": match plan.rollback {
            Rollback::Allowed => "allowed",
            Rollback::Forbidden => "forbidden",
        },
        "process": plan.process.as_ref().map(process),
        "docker": plan.docker.as_ref().map(docker),
        "kubernetes": plan.kubernetes.as_ref().map(kubernetes),
    }))
}

fn process(plan: &ProcessPlan) -> Json {
    given(json!({
        "command": plan.command,
        "artifacts": plan.artifacts.iter().map(|p| path(p)).collect::<Vec<_>>(),
        "env": variables(&plan.env),
        "drain_timeout": render(plan.drain_timeout),
        "keep_releases": plan.keep_releases,
    }))
}

fn docker(plan: &DockerPlan) -> Json {
    given(json!({
        "docker_host": plan.docker_host,
        "container_port": plan.container_port,
        "command": (!plan.command.is_empty()).then_some(&plan.command),
        "env": variables(&plan.env),
        "volumes": plan.volumes,
        "network": plan.network,
        "memory": plan.memory,
        "drain_timeout": render(plan.drain_timeout),
        "keep_releases": plan.keep_releases,
    }))
}

fn kubernetes(plan: &KubernetesPlan) -> Json {
    let (kustomize, helm) = match &plan.manifests {
        // `deploy.manifest_path`
        Manifests::Files(_) => (None, None),
        Manifests::Kustomize(folder) => (Some(path(folder)), None),
        Manifests::Helm { chart, release, values } => {
            let helm = json!({
                "chart": path(chart),
                "release": release,
                "values": values.iter().map(|p| path(p)).collect::<Vec<_>>(),
            });
            (None, Some(helm))
        }
    };
    given(json!({
        "kustomize": kustomize,
        "helm": helm,
        "kubeconfig": plan.kubeconfig.as_deref().map(path),
        "context": plan.context,
        "aks": plan.aks.as_ref().map(|aks| json!({
            "subscription": aks.subscription,
            "resource_group": aks.resource_group,
            "cluster": aks.cluster,
        })),
        "variables": variables(&plan.variables),
        "service": plan.service.as_ref().map(|service| match service.port {
            Some(port) => format!("{}:{port}", service.name),
            None => service.name.clone(),
        }),
        "soak": plan.soak.map(render),
        "lease_wait": (!plan.lease_wait.is_zero()).then(|| render(plan.lease_wait)),
        "history": plan.history,
        "prune": plan.prune,
    }))
}

fn azure(plan: &AzurePlan) -> Json {
    given(json!({
        "tenant_id": plan.tenant_id,
        "client_id": plan.client_id,
        "service_connection_id": plan.service_connection_id,
        "key_vault": plan.key_vault,
        "authority_host": plan.authority_host,
        "resource_manager": plan.resource_manager,
    }))
}

fn pull_request(plan: &PullRequestPlan) -> Json {
    given(json!({
        "provider": plan.provider.map(|provider| match provider {
            PullRequestProvider::AzureDevops => "azure_devops",
            PullRequestProvider::Github => "github",
            PullRequestProvider::Gitlab => "gitlab",
        }),
        "target_branch": plan.target_branch,
        "remote": plan.remote,
        "token_env": plan.token_env,
        "api_url": plan.api_url,
        "draft": plan.draft,
        "apply": match plan.apply {
            ApplyPolicy::OnRequest => "on_request",
            ApplyPolicy::Always => "always",
        },
    }))
}

fn telemetry(plan: &TelemetryPlan) -> Json {
    given(json!({
        "otlp_endpoint": plan.otlp_endpoint,
        "headers_env": plan.headers_env,
        "service_name": plan.service_name,
    }))
}

fn notification(plan: &NotificationPlan) -> Json {
    let events: Vec<&str> = plan.events.iter().map(|it| it.name()).collect();
    given(json!({
        "name": plan.name,
        "form": plan.form.name(),
        "url_env": plan.url_env,
        "secret_env": plan.secret_env,
        "events": (!events.is_empty()).then_some(events),
    }))
}

fn tasks(plan: &TasksPlan) -> Json {
    json!({
        "file": path(&plan.file),
        "hub": plan.hub,
        "token_env": plan.token_env,
        "timeout": render(plan.timeout),
    })
}

fn verification(plan: &VerificationPlan) -> Json {
    given(json!({
        "health_check": {
            "endpoint": expanded(&plan.health.endpoint),
            "timeout": render(plan.health.timeout),
            "retries": plan.health.retries,
            "backoff": render(plan.health.backoff),
        },
        "smoke_tests": plan.script.as_ref().map(|script| json!({
            "script": expanded(&path(&script.script)),
            "timeout": render(script.timeout),
            "writes": script.writes,
        })),
        "user_flows": plan.flows.iter().map(|flow| json!({
            "name": flow.name,
            "steps": flow.steps.iter().map(step).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    }))
}

fn step(step: &FlowStep) -> Json {
    let body = step.body.as_ref().map(|body| match body {
        StepBody::Text(text) => expanded(text),
        StepBody::Json(json) => expanded_all(json.clone()),
    });
    let json = given(json!({
        "request": expanded(&format!("{} {}", step.method, step.path)),
        "headers": variables(&step.headers).map(expanded_all),
        "expect": expectation(&step.expect),
        "timeout": render(step.timeout),
    }));
    with(json, "body", body)
}

fn expectation(expect: &Expectation) -> Json {
    let json = given(json!({
        "status": (!expect.status.is_empty()).then_some(&expect.status),
        "body_contains": expect.body_contains.as_deref().map(expanded),
        "headers": variables(&expect.headers).map(expanded_all),
    }));
    with(json, "json", expect.json.clone().map(expanded_all))
}

/// The reviewer gets no tools.
fn author(plan: &RolePlan) -> Json {
    if let Some(agent) = &plan.agent {
        return given(json!({
            "command": agent.command,
            "pass_env": agent.pass_env,
            "network": network(&agent.network),
            "read": agent.read,
            "cache": agent.cache,
            "timeout": render(plan.timeout),
        }));
    }
    let author = with(role(plan), "tool_steps", Some(plan.tool_steps.into()));
    let mut author = with(author, "mode", plan.explores.then(|| "agent".into()));
    if !plan.next.is_empty()
        && let Some(fields) = author.as_object_mut()
    {
        let models = std::iter::once(plan).chain(&plan.next).map(|plan| plan.model.as_str());
        fields.insert("models".to_owned(), models.collect());
        // Deployments have the models' names; prices that differ are the models' own.
        for key in ["model", "deployment"] {
            fields.remove(key);
        }
        let prices =
            |plan: &RolePlan| (plan.input_price, plan.cached_input_price, plan.output_price);
        if plan.next.iter().any(|next| prices(next) != prices(plan)) {
            for key in ["input_price", "cached_input_price", "output_price"] {
                fields.remove(key);
            }
        }
    }
    author
}

fn role(plan: &RolePlan) -> Json {
    let connection = match &plan.provider {
        Provider::OpenAi { base_url, api_key_env } => json!({
            "provider": "openai", "base_url": base_url, "api_key_env": api_key_env,
        }),
        Provider::Azure { endpoint, deployment, api_version, api_key_env } => json!({
            "provider": "azure",
            "endpoint": endpoint,
            "deployment": deployment,
            "api_version": api_version,
            "api_key_env": api_key_env,
        }),
        Provider::Replay { path: transcript } => json!({
            "provider": "replay", "transcript": path(transcript),
        }),
    };
    let settings = json!({
        "model": plan.model,
        "temperature": plan.temperature.map(short),
        "max_tokens": plan.max_tokens,
        "system_prompt": plan.system_prompt,
        "timeout": render(plan.timeout),
        "max_retries": plan.max_retries,
        "input_price": plan.input_price,
        "cached_input_price": plan.cached_input_price,
        "output_price": plan.output_price,
    });
    let mut role = Map::new();
    for part in [given(connection), given(settings)] {
        if let Json::Object(part) = part {
            role.extend(part);
        }
    }
    role.into()
}

/// 0.2 rather than 0.20000000298023224.
fn short(value: f32) -> Json {
    value.to_string().parse::<f64>().map_or(Json::Null, Json::from)
}

fn logging(plan: &LoggingPlan) -> Json {
    let format: String = plan
        .format
        .iter()
        .map(|piece| match piece {
            LogPiece::Text(text) => text.replace('%', "%%"),
            LogPiece::Time => "%(asctime)s".to_owned(),
            LogPiece::Name => "%(name)s".to_owned(),
            LogPiece::Level => "%(levelname)s".to_owned(),
            LogPiece::Message => "%(message)s".to_owned(),
        })
        .collect();
    json!({ "level": plan.level, "file": plan.file, "format": format })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Overrides, parse};

    fn plan_of(text: &str, environment: &str) -> RunPlan {
        let config = parse(text, "config.yaml").unwrap_or_else(|error| panic!("{error}: {text}"));
        config
            .plan(environment, &Overrides::default(), &|_| None)
            .unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What is shown is accepted, and means what the file meant.
    fn round_trip(text: &str) {
        let config = parse(text, "config.yaml").unwrap();
        let names: Vec<String> = config.environments().iter().map(ToString::to_string).collect();
        assert!(!names.is_empty());
        for name in names {
            let plan = plan_of(text, &name);
            let shown = to_yaml(&plan).unwrap();
            assert_eq!(plan_of(&shown, &name), plan, "{shown}");
            assert_eq!(to_yaml(&plan_of(&shown, &name)).unwrap(), shown);
        }
    }

    #[test]
    fn what_is_shown_is_a_configuration_that_means_the_same() {
        for text in [
            include_str!("../../../config.yaml"),
            include_str!("../../../tests/fixtures/config/fleet.yaml"),
        ] {
            round_trip(text);
        }
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        round_trip(
            "environments:\n  a-1:\n    url: http://127.0.0.1:8087\n    require_approval: true\n\
             deploy:\n  method: process\n  wait_timeout: 90.5\n\
             \x20 process: { command: 'x --y \"a b\"', artifacts: [x], env: { A: 'no', B: '0644', C: '' } }\n\
             verification:\n  user_flows:\n    - name: f\n      steps:\n\
             \x20       - GET /\n\
             \x20       - { request: 'POST /a?x=1', body: null, expect: { status: 204, json: null } }\n\
             \x20       - { request: PUT /b, body: { a: [1, null, '{{ env.name }}'] }, headers: { X: '1' } }\n\
             \x20       - { request: 'GET /c', body: \"{{ '{{ x }} {% y {# z' }}\", expect: { status: [200, 404] } }\n\
             agents:\n  codex: { provider: azure, endpoint: 'https://x.openai.azure.com', temperature: 0.2, tool_steps: 0 }\n\
             \x20 jules: { model: other, max_tokens: 1000, input_price: 0.25, output_price: 2 }\n\
             safety: { never_delete: [], require_confirmation: [], max_cost_usd: 1.5, max_duration: 1h30m }\n\
             logging: { level: warning, format: '100%% %(message)s' }\n\
             metrics: { enabled: false }\n\
             tasks: { hub: 'https://hub.example.org', timeout: 20m }\n\
             telemetry: { otlp_endpoint: 'http://localhost:4318' }\n\
             pull_request: { draft: true, provider: github }\n",
        );
        round_trip(
            "environments: { k: { url: 'http://x.example.org', namespace: n } }\n\
             build: { registry: r.example.org/f, image_name: i, args: { A: 'keyvault:a-1' }, tags: [t] }\n\
             azure: { key_vault: 'https://v.vault.azure.net', tenant_id: t }\n\
             deploy:\n  method: kubernetes\n  rollback: forbidden\n  kubernetes:\n\
             \x20   helm: { chart: charts/a, release: a, values: [v.yaml] }\n\
             \x20   service: s:80\n    soak: 5s\n    lease_wait: 1m\n    variables: { V: '1' }\n",
        );
        round_trip(
            "environments: { d: { url: 'http://127.0.0.1:8087' } }\n\
             build: { registry: localhost:5000, image_name: i, builder: classic, context_path: . }\n\
             deploy:\n  method: docker\n  docker: { memory: 512m, volumes: ['v:/data'], command: [a, b] }\n",
        );
    }

    #[test]
    fn what_is_named_a_secret_is_hidden_and_a_reference_stays() {
        let text = "environments: { local: { url: 'http://127.0.0.1:8087' } }\n\
                    azure: { key_vault: 'https://v.vault.azure.net' }\n\
                    quality_gates: [{ name: a, command: 'true', env: { DB_PASSWORD: test, DB_PASSWORD_PROD: staging, DB_PASS: test, MODE: 'no', TOKEN: 'keyvault:t' } }]\n\
                    deploy: { method: process, process: { command: ./x } }\n";
        let shown = to_yaml(&plan_of(text, "local")).unwrap();
        let back = to_json(&plan_of(&shown, "local"));
        assert_eq!(back["quality_gates"][0]["env"]["DB_PASSWORD"], "(hidden)");
        assert_eq!(back["quality_gates"][0]["env"]["MODE"], "no");
        assert_eq!(back["quality_gates"][0]["env"]["TOKEN"], "keyvault:t");
        assert_eq!(back["agents"]["jules"]["api_key_env"], "OPENAI_API_KEY");
    }
}
