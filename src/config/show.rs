//! The effective plan for a person or a program to read: `greenloop config show`.
//!
//! A record of its own, apart from the plan's types, so that the plan can change without its
//! readers noticing; [`VERSION`] counts what they would notice. It holds no secret, because no
//! plan does: keys are named, never read. A value under a name that says it is one is hidden
//! all the same.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::duration::render;
use super::plan::{
    AzurePlan, BuildPlan, Builder, DeployPlan, DockerPlan, Expectation, FlowStep, GatePlan,
    KubernetesPlan, LogPiece, LoggingPlan, Manifests, ProcessPlan, Provider, PullRequestPlan,
    PullRequestProvider, RolePlan, Rollback, RunPlan, StepBody, TasksPlan, TelemetryPlan,
    VerificationPlan,
};
use super::secrets;
use super::vault::reference;
use crate::model::RepoPath;

/// The version of the record.
const VERSION: u32 = 1;

/// The plan as a record.
pub fn to_json(plan: &RunPlan) -> Json {
    json!({
        "version": VERSION,
        "environment": {
            "name": plan.environment.name.as_str(),
            "namespace": plan.environment.namespace,
            "url": plan.environment.url,
            "health_endpoint": plan.environment.health_endpoint,
            "require_approval": plan.environment.require_approval,
        },
        "build": plan.build.as_ref().map(build),
        "quality_gates": plan.gates.iter().map(gate).collect::<Vec<_>>(),
        "deploy": deploy(&plan.deploy),
        "verification": verification(&plan.verification),
        "agents": { "codex": role(&plan.author), "jules": role(&plan.reviewer) },
        "safety": {
            "max_iterations": plan.limits.max_iterations,
            "no_progress_threshold": plan.limits.no_progress_threshold,
            "max_tokens": plan.limits.max_tokens,
            "max_cost_usd": plan.limits.max_cost_usd,
            "max_duration": plan.limits.max_duration.map(render),
            "never_delete": plan.policy.never_delete,
            "require_confirmation": plan.policy.require_confirmation,
            "max_files": plan.policy.max_files,
            "max_changed_lines": plan.policy.max_changed_lines,
            "max_file_bytes": plan.policy.max_file_bytes,
            "config_path": plan.policy.config_path.as_ref().map(RepoPath::to_string_lossy),
            "confirm_every_patch": plan.policy.confirm_every_patch,
        },
        "logging": logging(&plan.logging),
        "metrics": plan.metrics.as_deref().map(path),
        "azure": azure(&plan.azure),
        "pull_request": plan.pull_request.as_ref().map(pull_request),
        "telemetry": plan.telemetry.as_ref().map(telemetry),
        "tasks": plan.tasks.as_ref().map(tasks),
    })
}

/// The plan as YAML.
pub fn to_yaml(plan: &RunPlan) -> Result<String, serde_yaml::SerializeError> {
    serde_yaml::to_string(&to_json(plan))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn variables(env: &BTreeMap<String, String>) -> Json {
    env.iter()
        .map(|(name, value)| {
            let hidden = (secrets::is_secret_name(name) && reference(value).is_none())
                || secrets::find(value).is_some();
            (name.clone(), Json::from(if hidden { "(hidden)" } else { value.as_str() }))
        })
        .collect()
}

fn build(plan: &BuildPlan) -> Json {
    json!({
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
    })
}

fn gate(plan: &GatePlan) -> Json {
    json!({
        "name": plan.name,
        "command": plan.command,
        "required": plan.required,
        "timeout": plan.timeout.map(render),
        "env": variables(&plan.env),
        "working_directory": plan.working_directory.as_ref().map(RepoPath::to_string_lossy),
        "needs": plan.needs,
    })
}

fn deploy(plan: &DeployPlan) -> Json {
    json!({
        "method": plan.target.name(),
        "manifest_path": plan.manifest_path.as_deref().map(path),
        "wait_timeout": render(plan.wait_timeout),
        "rollback": match plan.rollback {
            Rollback::Allowed => "allowed",
            Rollback::Forbidden => "forbidden",
        },
        "process": plan.process.as_ref().map(process),
        "docker": plan.docker.as_ref().map(docker),
        "kubernetes": plan.kubernetes.as_ref().map(kubernetes),
    })
}

fn process(plan: &ProcessPlan) -> Json {
    json!({
        "command": plan.command,
        "artifacts": plan.artifacts.iter().map(|p| path(p)).collect::<Vec<_>>(),
        "env": variables(&plan.env),
        "drain_timeout": render(plan.drain_timeout),
        "keep_releases": plan.keep_releases,
    })
}

fn docker(plan: &DockerPlan) -> Json {
    json!({
        "docker_host": plan.docker_host,
        "container_port": plan.container_port,
        "command": plan.command,
        "env": variables(&plan.env),
        "volumes": plan.volumes,
        "network": plan.network,
        "memory": plan.memory,
        "drain_timeout": render(plan.drain_timeout),
        "keep_releases": plan.keep_releases,
    })
}

fn kubernetes(plan: &KubernetesPlan) -> Json {
    let manifests = match &plan.manifests {
        Manifests::Files(files) => json!({ "files": path(files) }),
        Manifests::Kustomize(folder) => json!({ "kustomize": path(folder) }),
        Manifests::Helm { chart, release, values } => json!({
            "helm": {
                "chart": path(chart),
                "release": release,
                "values": values.iter().map(|p| path(p)).collect::<Vec<_>>(),
            }
        }),
    };
    json!({
        "manifests": manifests,
        "namespace": plan.namespace,
        "kubeconfig": plan.kubeconfig.as_deref().map(path),
        "context": plan.context,
        "aks": plan.aks.as_ref().map(|aks| json!({
            "subscription": aks.subscription,
            "resource_group": aks.resource_group,
            "cluster": aks.cluster,
        })),
        "variables": variables(&plan.variables),
        "service": plan.service.as_ref().map(|service| json!({
            "name": service.name,
            "port": service.port,
        })),
        "soak": plan.soak.map(render),
        "lease_wait": render(plan.lease_wait),
        "history": plan.history,
    })
}

fn azure(plan: &AzurePlan) -> Json {
    json!({
        "tenant_id": plan.tenant_id,
        "client_id": plan.client_id,
        "service_connection_id": plan.service_connection_id,
        "key_vault": plan.key_vault,
        "authority_host": plan.authority_host,
        "resource_manager": plan.resource_manager,
    })
}

fn pull_request(plan: &PullRequestPlan) -> Json {
    json!({
        "provider": plan.provider.map(|provider| match provider {
            PullRequestProvider::AzureDevops => "azure_devops",
            PullRequestProvider::Github => "github",
        }),
        "target_branch": plan.target_branch,
        "remote": plan.remote,
        "token_env": plan.token_env,
        "api_url": plan.api_url,
        "draft": plan.draft,
    })
}

fn telemetry(plan: &TelemetryPlan) -> Json {
    json!({
        "otlp_endpoint": plan.otlp_endpoint,
        "headers_env": plan.headers_env,
        "service_name": plan.service_name,
    })
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
    json!({
        "health_check": {
            "endpoint": plan.health.endpoint,
            "timeout": render(plan.health.timeout),
            "retries": plan.health.retries,
            "backoff": render(plan.health.backoff),
        },
        "smoke_tests": plan.script.as_ref().map(|script| json!({
            "script": path(&script.script),
            "timeout": render(script.timeout),
        })),
        "user_flows": plan.flows.iter().map(|flow| json!({
            "name": flow.name,
            "steps": flow.steps.iter().map(step).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn step(step: &FlowStep) -> Json {
    json!({
        "request": format!("{} {}", step.method, step.path),
        "headers": variables(&step.headers),
        "body": step.body.as_ref().map(|body| match body {
            StepBody::Text(text) => Json::from(text.as_str()),
            StepBody::Json(json) => json.clone(),
        }),
        "expect": expectation(&step.expect),
        "timeout": render(step.timeout),
    })
}

fn expectation(expect: &Expectation) -> Json {
    json!({
        "status": expect.status,
        "body_contains": expect.body_contains,
        "json": expect.json,
        "headers": variables(&expect.headers),
    })
}

fn role(plan: &RolePlan) -> Json {
    let provider = match &plan.provider {
        Provider::OpenAi { base_url, api_key_env } => json!({
            "name": "openai", "base_url": base_url, "api_key_env": api_key_env,
        }),
        Provider::Azure { endpoint, deployment, api_version, api_key_env } => json!({
            "name": "azure",
            "endpoint": endpoint,
            "deployment": deployment,
            "api_version": api_version,
            "api_key_env": api_key_env,
        }),
        Provider::Replay { path: transcript } => json!({
            "name": "replay", "transcript": path(transcript),
        }),
    };
    json!({
        "provider": provider,
        "model": plan.model,
        "temperature": plan.temperature.map(short),
        "max_tokens": plan.max_tokens,
        "system_prompt": plan.system_prompt,
        "timeout": render(plan.timeout),
        "max_retries": plan.max_retries,
        "input_price": plan.input_price,
        "output_price": plan.output_price,
        "tool_steps": plan.tool_steps,
    })
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
    use crate::config::{Overrides, parse};

    #[test]
    fn the_record_reads_back_as_yaml_and_hides_what_is_named_a_secret() {
        let text = "environments: { local: { url: 'http://127.0.0.1:8087' } }\n\
                    quality_gates: [{ name: a, command: 'true', env: { DB_PASSWORD: test, MODE: 'no' } }]\n\
                    deploy: { method: process, process: { command: ./x } }\n";
        let plan =
            parse(text, "c.yaml").unwrap().plan("local", &Overrides::default(), &|_| None).unwrap();
        let yaml = to_yaml(&plan).unwrap();
        let back: Json = serde_yaml::from_str(&yaml).unwrap();
        assert_eq!(back, to_json(&plan), "{yaml}");
        assert_eq!(back["quality_gates"][0]["env"]["DB_PASSWORD"], "(hidden)");
        assert_eq!(back["quality_gates"][0]["env"]["MODE"], "no");
        assert_eq!(back["agents"]["jules"]["provider"]["api_key_env"], "OPENAI_API_KEY");
    }
}
