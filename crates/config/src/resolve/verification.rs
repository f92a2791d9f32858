//! `verification`, its templates expanded for one environment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::environment::endpoint;
use super::gates::patterns;
use super::{Context, Root};
use crate::document::KeyPath;
use crate::error::{ProblemKind, quoted};
use crate::nearest::{choice, nearest};
use crate::plan::{
    EnvironmentPlan, Expectation, FlowPlan, FlowStep, HealthPlan, ScriptPlan, StepBody,
    VerificationPlan,
};
use crate::raw::{
    RawExpect, RawFlow, RawHealthCheck, RawLongStep, RawStatus, RawStep, RawVerification,
};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn resolve(
    cx: &mut Context<'_>,
    raw: Option<&RawVerification>,
    environment: &EnvironmentPlan,
) -> VerificationPlan {
    let place = KeyPath::root().key("verification");
    let raw = raw.cloned().unwrap_or_default();
    let mut section = Section { cx, environment };
    let health = section.health(&raw.health_check.unwrap_or_default(), &place.key("health_check"));
    let script = raw.smoke_tests.and_then(|tests| {
        let place = place.key("smoke_tests");
        let text = section.expand(&tests.script, &place.key("script"))?;
        Some(ScriptPlan {
            script: section.cx.path(&text, &place.key("script"), Root::Refused)?,
            timeout: section
                .cx
                .timeout(tests.timeout.as_ref(), &place.key("timeout"))
                .unwrap_or(Duration::from_secs(60)),
            writes: patterns(section.cx, tests.writes.as_deref(), &place.key("writes")),
        })
    });
    let place = place.key("user_flows");
    let flows = raw.user_flows.unwrap_or_default();
    let mut plans: Vec<FlowPlan> = Vec::new();
    for (i, flow) in flows.iter().enumerate() {
        if plans.iter().any(|earlier| earlier.name == flow.name) {
            section.cx.report(
                ProblemKind::DuplicateName,
                &place.index(i).key("name"),
                format!("duplicate flow {}", quoted(&flow.name)),
                "names must be unique",
            );
        }
        plans.push(section.flow(flow, &place.index(i)));
    }
    VerificationPlan { health, script, flows: plans }
}

struct Section<'a, 'b> {
    cx: &'a mut Context<'b>,
    environment: &'a EnvironmentPlan,
}

impl Section<'_, '_> {
    fn expand(&mut self, text: &str, place: &KeyPath) -> Option<String> {
        self.cx.expand(text, self.environment, place)
    }

    fn health(&mut self, raw: &RawHealthCheck, place: &KeyPath) -> HealthPlan {
        let at = place.key("endpoint");
        let text = raw.endpoint.as_deref().unwrap_or("{{ env.health_endpoint }}");
        let endpoint =
            self.expand(text, &at).and_then(|expanded| endpoint(self.cx, &expanded, &at));
        HealthPlan {
            endpoint: endpoint.unwrap_or_default(),
            timeout: self
                .cx
                .timeout(raw.timeout.as_ref(), &place.key("timeout"))
                .unwrap_or(REQUEST_TIMEOUT),
            retries: raw.retries.unwrap_or(3),
            backoff: self
                .cx
                .duration(raw.backoff.as_ref(), &place.key("backoff"))
                .unwrap_or(Duration::from_secs(1)),
        }
    }

    fn flow(&mut self, flow: &RawFlow, place: &KeyPath) -> FlowPlan {
        self.cx.filled(&flow.name, &place.key("name"));
        let steps = place.key("steps");
        FlowPlan {
            name: flow.name.clone(),
            steps: flow
                .steps
                .iter()
                .enumerate()
                .filter_map(|(i, step)| self.step(step, &steps.index(i)))
                .collect(),
        }
    }

    fn step(&mut self, step: &RawStep, place: &KeyPath) -> Option<FlowStep> {
        match step {
            RawStep::Short(request) => {
                let (method, path) = self.request(request, place)?;
                Some(FlowStep {
                    method,
                    path,
                    headers: BTreeMap::new(),
                    body: None,
                    expect: Expectation::default(),
                    timeout: REQUEST_TIMEOUT,
                })
            }
            RawStep::Long(step) => self.long_step(step, place),
        }
    }

    fn long_step(&mut self, step: &RawLongStep, place: &KeyPath) -> Option<FlowStep> {
        let request = self.request(&step.request, &place.key("request"));
        let headers = self.headers(step.headers.as_ref(), &place.key("headers"));
        let at = place.key("body");
        let body = match &step.body {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => self.expand(text, &at).map(StepBody::Text),
            Some(json) => Some(StepBody::Json(self.json(json, &at))),
        };
        let expect = self.expect(step.expect.as_ref(), &place.key("expect"));
        let timeout = self.cx.timeout(step.timeout.as_ref(), &place.key("timeout"));
        let (method, path) = request?;
        Some(FlowStep {
            method,
            path,
            headers,
            body,
            expect,
            timeout: timeout.unwrap_or(REQUEST_TIMEOUT),
        })
    }

    /// `GET /login` in its two parts.
    fn request(&mut self, text: &str, place: &KeyPath) -> Option<(String, String)> {
        let expanded = self.expand(text, place)?;
        let Some((method, path)) = expanded.trim().split_once(char::is_whitespace) else {
            self.cx.report(
                ProblemKind::InvalidValue,
                place,
                format!("{} is not a valid request", quoted(text)),
                "use a method and a path: GET /login",
            );
            return None;
        };
        let upper = method.to_ascii_uppercase();
        if !METHODS.contains(&upper.as_str()) {
            let help = match nearest(method, METHODS.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it must be {}", choice(METHODS.iter().copied())),
            };
            self.cx.report(
                ProblemKind::InvalidValue,
                place,
                format!("{} is not an HTTP method", quoted(method)),
                &help,
            );
            return None;
        }
        Some((upper, endpoint(self.cx, path, place)?))
    }

    fn headers(
        &mut self,
        raw: Option<&BTreeMap<String, String>>,
        place: &KeyPath,
    ) -> BTreeMap<String, String> {
        let mut headers = BTreeMap::new();
        for (name, value) in raw.into_iter().flatten() {
            let at = place.key(name);
            let Some(value) = self.expand(value, &at) else { continue };
            let name_fits = http::HeaderName::from_bytes(name.as_bytes()).is_ok();
            if !name_fits || http::HeaderValue::from_str(&value).is_err() {
                self.cx.report(
                    ProblemKind::InvalidValue,
                    &at,
                    format!("{} is not a valid HTTP header", quoted(name)),
                    "a name consists of letters, digits and `-`; a value is a single line",
                );
            }
            headers.insert(name.clone(), value);
        }
        headers
    }

    fn expect(&mut self, raw: Option<&RawExpect>, place: &KeyPath) -> Expectation {
        let Some(raw) = raw else { return Expectation::default() };
        let status = match &raw.status {
            None => Vec::new(),
            Some(RawStatus::One(status)) => vec![*status],
            Some(RawStatus::Any(statuses)) => statuses.clone(),
        };
        let at = place.key("body_contains");
        Expectation {
            status,
            body_contains: raw.body_contains.as_deref().and_then(|text| self.expand(text, &at)),
            json: raw.json.as_ref().map(|json| self.json(json, &place.key("json"))),
            headers: self.headers(raw.headers.as_ref(), &place.key("headers")),
        }
    }

    /// The texts inside are templates too.
    fn json(&mut self, json: &Json, place: &KeyPath) -> Json {
        match json {
            Json::String(text) => Json::String(self.expand(text, place).unwrap_or_default()),
            Json::Array(items) => {
                items.iter().enumerate().map(|(i, item)| self.json(item, &place.index(i))).collect()
            }
            Json::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), self.json(value, &place.key(key))))
                .collect(),
            Json::Null | Json::Bool(_) | Json::Number(_) => json.clone(),
        }
    }
}
