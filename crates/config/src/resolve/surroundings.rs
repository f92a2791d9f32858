//! `azure`, `pull_request` and `telemetry`: what lies around the loop.

use super::Context;
use super::bare;
use crate::document::KeyPath;
use crate::plan::{ApplyPolicy, AzurePlan, PullRequestPlan, PullRequestProvider, TelemetryPlan};
use crate::raw::{RawApplyPolicy, RawAzure, RawPullRequest, RawPullRequestProvider, RawTelemetry};

pub(crate) fn azure(cx: &mut Context<'_>, raw: Option<&RawAzure>) -> AzurePlan {
    let raw = raw.cloned().unwrap_or_default();
    let place = KeyPath::root().key("azure");
    let mut url = |text: Option<&String>, key: &str| {
        let place = place.key(key);
        text.and_then(|text| cx.url(text, &place, &format!("`{place}`"))).map(|url| bare(&url))
    };
    let key_vault = url(raw.key_vault.as_ref(), "key_vault");
    let authority_host = url(raw.authority_host.as_ref(), "authority_host");
    let resource_manager = url(raw.resource_manager.as_ref(), "resource_manager");
    let or = |given: Option<String>, name: &str| given.or_else(|| cx.variable(name));
    AzurePlan {
        tenant_id: or(raw.tenant_id, "AZURE_TENANT_ID"),
        client_id: or(raw.client_id, "AZURE_CLIENT_ID"),
        service_connection_id: or(raw.service_connection_id, "AZURE_SERVICE_CONNECTION_ID"),
        key_vault,
        authority_host: or(authority_host, "AZURE_AUTHORITY_HOST"),
        resource_manager,
    }
}

pub(crate) fn pull_request(
    cx: &mut Context<'_>,
    raw: Option<&RawPullRequest>,
) -> Option<PullRequestPlan> {
    let raw = raw?;
    let place = KeyPath::root().key("pull_request");
    let provider = raw.provider.map(|provider| match provider {
        RawPullRequestProvider::AzureDevops => PullRequestProvider::AzureDevops,
        RawPullRequestProvider::Github => PullRequestProvider::Github,
        RawPullRequestProvider::Gitlab => PullRequestProvider::Gitlab,
    });
    let api_url = raw.api_url.as_ref().and_then(|text| {
        let place = place.key("api_url");
        cx.url(text, &place, &format!("`{place}`")).map(|url| bare(&url))
    });
    Some(PullRequestPlan {
        provider,
        target_branch: raw.target_branch.clone(),
        remote: raw.remote.clone().unwrap_or_else(|| "origin".to_owned()),
        token_env: raw.token_env.clone(),
        api_url,
        draft: raw.draft.unwrap_or(false),
        apply: match raw.apply {
            Some(RawApplyPolicy::Always) => ApplyPolicy::Always,
            Some(RawApplyPolicy::OnRequest) | None => ApplyPolicy::OnRequest,
        },
    })
}

pub(super) fn telemetry(cx: &mut Context<'_>, raw: Option<&RawTelemetry>) -> Option<TelemetryPlan> {
    const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let place = KeyPath::root().key("telemetry").key("otlp_endpoint");
    let given = raw.and_then(|raw| raw.otlp_endpoint.clone());
    let (text, name) = match given {
        Some(text) => (text, format!("`{place}`")),
        None => (cx.variable(ENDPOINT)?, ENDPOINT.to_owned()),
    };
    let url = cx.url(&text, &place, &name)?;
    Some(TelemetryPlan {
        otlp_endpoint: bare(&url),
        headers_env: raw.and_then(|raw| raw.headers_env.clone()),
        service_name: raw
            .and_then(|raw| raw.service_name.clone())
            .or_else(|| cx.variable("OTEL_SERVICE_NAME"))
            .unwrap_or_else(|| "greenloop".to_owned()),
    })
}
