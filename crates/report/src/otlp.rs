//! OpenTelemetry: a run as one trace, and what deployments come to as metrics, over OTLP/HTTP.
//!
//! The exporters have threads and bounded queues of their own. A receiver that is slow or gone
//! costs spans, and at the end of the run at most [`FLUSH`]; it never costs the run anything
//! else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use super::reporter::Reporter;
use greenloop_config::plan::TelemetryPlan;
use greenloop_http::checked;
use greenloop_model::{
    Failure, GateStatus, ReviewVerdict, RunEvent, RunHeader, RunSummary, StopReason, Usage,
};

/// How long the end of a run waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(5);

/// Sends a run to a receiver.
pub(super) struct Otlp {
    plan: TelemetryPlan,
    /// With every request; may hold a secret.
    headers: HashMap<String, String>,
    live: Option<Live>,
}

impl Otlp {
    pub(super) fn new(plan: TelemetryPlan, headers: HashMap<String, String>) -> Self {
        Self { plan, headers, live: None }
    }
}

impl Reporter for Otlp {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        let at = SystemTime::from(at);
        match (&mut self.live, event) {
            // Here and not before: the exporters' client must not be made on a thread of the
            // asynchronous runtime.
            (live @ None, RunEvent::Started(header)) => {
                *live = Some(Live::begin(&self.plan, &self.headers, header, at)?);
            }
            (Some(live), event) => live.add(at, event),
            (None, _) => {}
        }
        Ok(())
    }

    fn finish(&mut self) {
        if let Some(live) = self.live.take() {
            live.finish();
        }
    }
}

/// A client that looks at what it sends.
#[derive(Debug, Clone)]
struct CheckedClient(reqwest::blocking::Client);

#[async_trait::async_trait]
impl HttpClient for CheckedClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let covered = match checked("the telemetry receiver", request.body()) {
            Cow::Owned(covered) => Some(covered),
            Cow::Borrowed(_) => None,
        };
        let request = match covered {
            Some(body) => request.map(|_| Bytes::from(body)),
            None => request,
        };
        self.0.send_bytes(request).await
    }
}

/// A span that is open, as the context of those within it.
struct OpenSpan(Context);

impl OpenSpan {
    fn set(&self, attribute: KeyValue) {
        self.0.span().set_attribute(attribute);
    }

    fn fail(&self, why: &str) {
        self.0.span().set_status(Status::error(why.to_owned()));
    }

    fn end(self, at: SystemTime) {
        self.0.span().end_with_timestamp(at);
    }
}

struct Instruments {
    deployments: Counter<u64>,
    duration: Histogram<f64>,
    restore: Histogram<f64>,
    patches: Counter<u64>,
    tokens: Counter<u64>,
    cost: Counter<f64>,
}

struct Live {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    tracer: SdkTracer,
    instruments: Instruments,
    environment: String,
    run: Option<OpenSpan>,
    iteration: Option<OpenSpan>,
    stage: Option<OpenSpan>,
    agent: Option<OpenSpan>,
    /// When the release failed that has not been taken back yet.
    failed_at: Option<SystemTime>,
}

impl Live {
    fn begin(
        plan: &TelemetryPlan,
        headers: &HashMap<String, String>,
        header: &RunHeader,
        at: SystemTime,
    ) -> io::Result<Self> {
        let environment = header.environment.as_ref().map_or("", |name| name.as_str()).to_owned();
        let resource = Resource::builder()
            .with_service_name(plan.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("service.instance.id", header.run.to_string()),
                KeyValue::new("deployment.environment.name", environment.clone()),
            ])
            .build();
        let client = reqwest::blocking::Client::builder()
            .timeout(FLUSH)
            .build()
            .map_err(io::Error::other)?;
        let client = CheckedClient(client);
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", plan.otlp_endpoint))
            .with_headers(headers.clone())
            .build()
            .map_err(io::Error::other)?;
        let points = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/metrics", plan.otlp_endpoint))
            .with_headers(headers.clone())
            .build()
            .map_err(io::Error::other)?;
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_batch_exporter(spans)
            .build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(points)
            .build();
        let tracer = traces.tracer("greenloop");
        let meter = metrics.meter("greenloop");
        let instruments = Instruments {
            deployments: meter
                .u64_counter("greenloop.deployments")
                .with_description("runs of an environment that ended, by outcome")
                .build(),
            duration: meter
                .f64_histogram("greenloop.deployment.duration")
                .with_unit("s")
                .with_description("from the start of a run to its end")
                .build(),
            restore: meter
                .f64_histogram("greenloop.time_to_restore")
                .with_unit("s")
                .with_description(
                    "from the failure of a release until the last verified one \
                    serves",
                )
                .build(),
            patches: meter
                .u64_counter("greenloop.patches")
                .with_description("patches that were applied")
                .build(),
            tokens: meter
                .u64_counter("greenloop.model.tokens")
                .with_description("tokens sent to and received from models")
                .build(),
            cost: meter
                .f64_counter("greenloop.model.cost")
                .with_unit("{USD}")
                .with_description("by the configured prices")
                .build(),
        };
        let mut live = Self {
            traces,
            metrics,
            tracer,
            instruments,
            environment,
            run: None,
            iteration: None,
            stage: None,
            agent: None,
            failed_at: None,
        };
        let attributes = vec![
            KeyValue::new("greenloop.run", header.run.to_string()),
            KeyValue::new("greenloop.task", header.task.name()),
            KeyValue::new("deployment.environment.name", live.environment.clone()),
            KeyValue::new("vcs.ref.head.revision", header.commit.to_string()),
            KeyValue::new("greenloop.target", header.target.map_or("none", |kind| kind.name())),
        ];
        live.run = Some(live.open(header.title.clone(), at, attributes));
        Ok(live)
    }

    /// Opens a span within the innermost open one.
    fn open(&self, name: String, at: SystemTime, attributes: Vec<KeyValue>) -> OpenSpan {
        let builder = SpanBuilder::from_name(name).with_start_time(at).with_attributes(attributes);
        let span = self.tracer.build_with_context(builder, &self.parent());
        OpenSpan(Context::new().with_span(span))
    }

    fn parent(&self) -> Context {
        let innermost = [&self.agent, &self.stage, &self.iteration, &self.run];
        innermost.into_iter().flatten().next().map_or_else(Context::new, |open| open.0.clone())
    }

    /// Something that is over already and took `elapsed`.
    fn past(
        &self,
        name: String,
        at: SystemTime,
        elapsed: Duration,
        failed: Option<&str>,
        attributes: Vec<KeyValue>,
    ) {
        let start = at.checked_sub(elapsed).unwrap_or(at);
        let builder =
            SpanBuilder::from_name(name).with_start_time(start).with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder, &self.parent());
        if let Some(why) = failed {
            span.set_status(Status::error(why.to_owned()));
        }
        span.end_with_timestamp(at);
    }

    fn close_agent(&mut self, at: SystemTime, outcome: &'static str, usage: Option<&Usage>) {
        let Some(agent) = self.agent.take() else { return };
        agent.set(KeyValue::new("greenloop.outcome", outcome));
        if let Some(usage) = usage {
            agent.set(KeyValue::new("gen_ai.usage.input_tokens", signed(usage.input_tokens)));
            let cached = signed(usage.cached_tokens);
            agent.set(KeyValue::new("gen_ai.usage.cache_read.input_tokens", cached));
            agent.set(KeyValue::new("gen_ai.usage.output_tokens", signed(usage.output_tokens)));
            agent.set(KeyValue::new("greenloop.cost_usd", usage.cost_usd));
        }
        agent.end(at);
    }

    fn close_stage(&mut self, at: SystemTime, failure: Option<&Failure>) {
        let Some(stage) = self.stage.take() else { return };
        if let Some(failure) = failure {
            stage.set(KeyValue::new("greenloop.failure.name", failure.name.clone()));
            stage.set(KeyValue::new("error.type", failure.class.name()));
            stage.set(KeyValue::new(
                "greenloop.failure.fingerprint",
                failure.fingerprint.to_string(),
            ));
            stage.fail(&failure.headline);
        }
        stage.end(at);
    }

    fn close_iteration(&mut self, at: SystemTime) {
        self.close_agent(at, "ended", None);
        self.close_stage(at, None);
        if let Some(iteration) = self.iteration.take() {
            iteration.end(at);
        }
    }

    fn mark(&self, name: &'static str, at: SystemTime, attributes: Vec<KeyValue>) {
        self.parent().span().add_event_with_timestamp(name, at, attributes);
    }

    fn add(&mut self, at: SystemTime, event: &RunEvent) {
        match event {
            RunEvent::IterationStarted { iteration, of: _, commit } => {
                self.close_iteration(at);
                let attributes = vec![
                    KeyValue::new("greenloop.iteration", i64::from(*iteration)),
                    KeyValue::new("vcs.ref.head.revision", commit.to_string()),
                ];
                self.iteration = Some(self.open(format!("iteration {iteration}"), at, attributes));
            }
            RunEvent::StageStarted { stage, .. } => {
                self.close_agent(at, "ended", None);
                self.close_stage(at, None);
                let attributes = vec![KeyValue::new("greenloop.stage", stage.name())];
                self.stage = Some(self.open(stage.name().to_owned(), at, attributes));
            }
            RunEvent::GateFinished { result, .. } => {
                let failed = match &result.status {
                    GateStatus::Failed(exit) => Some(exit.to_string()),
                    GateStatus::Passed
                    | GateStatus::Flaky
                    | GateStatus::Skipped { .. }
                    | GateStatus::Cancelled => None,
                };
                let attributes = vec![KeyValue::new("greenloop.required", result.required)];
                let name = format!("gate {}", result.name);
                self.past(name, at, result.duration, failed.as_deref(), attributes);
            }
            RunEvent::StepFinished { stage: _, name, ok, detail, elapsed } => {
                let failed = (!ok).then_some(detail.as_str());
                self.past(name.clone(), at, *elapsed, failed, Vec::new());
            }
            RunEvent::StagePassed { .. } => self.close_stage(at, None),
            RunEvent::StageFailed { failure, .. } => {
                self.failed_at = Some(at);
                self.close_stage(at, Some(failure));
            }
            RunEvent::Restored { release, ok, detail } => {
                let release = release.map(|id| id.to_string()).unwrap_or_default();
                let attributes = vec![
                    KeyValue::new("greenloop.release", release),
                    KeyValue::new("greenloop.ok", *ok),
                    KeyValue::new("greenloop.detail", detail.clone()),
                ];
                self.mark("restored", at, attributes);
                if let Some(since) = self.failed_at.take().filter(|_| *ok) {
                    let took = at.duration_since(since).unwrap_or_default().as_secs_f64();
                    self.instruments.restore.record(took, &[self.environment()]);
                }
            }
            RunEvent::AuthorAsked { model, .. } => {
                let attributes = vec![KeyValue::new("gen_ai.request.model", model.clone())];
                self.agent = Some(self.open("author".to_owned(), at, attributes));
            }
            RunEvent::ReviewerAsked { model, .. } => {
                let attributes = vec![KeyValue::new("gen_ai.request.model", model.clone())];
                self.agent = Some(self.open("reviewer".to_owned(), at, attributes));
            }
            RunEvent::PatchProposed { usage, .. } => {
                self.close_agent(at, "proposed", Some(usage));
            }
            RunEvent::PatchRefused { usage, .. } => self.close_agent(at, "refused", Some(usage)),
            RunEvent::NoPatch { .. } => self.close_agent(at, "no patch", None),
            RunEvent::Reviewed { review, usage, .. } => {
                let outcome = match review.verdict {
                    ReviewVerdict::Approve => "approved",
                    ReviewVerdict::Reject => "rejected",
                };
                self.close_agent(at, outcome, Some(usage));
            }
            RunEvent::Evaluated { evaluation, .. } => {
                let decision = KeyValue::new("greenloop.decision", evaluation.decision().name());
                self.mark("evaluated", at, vec![decision]);
            }
            RunEvent::HumanDecided { approved, .. } => {
                self.mark("person decided", at, vec![KeyValue::new("greenloop.ok", *approved)]);
            }
            RunEvent::PatchApplied { commit, .. } => {
                let commit = KeyValue::new("vcs.ref.head.revision", commit.to_string());
                self.mark("patch applied", at, vec![commit]);
            }
            RunEvent::ImageReady { image, reused, .. } => {
                let attributes = vec![
                    KeyValue::new("container.image.name", image.repository().to_owned()),
                    KeyValue::new("container.image.id", image.digest().to_owned()),
                    KeyValue::new("greenloop.reused", *reused),
                ];
                self.mark("image ready", at, attributes);
            }
            RunEvent::Switched { release, .. } => {
                let release = KeyValue::new("greenloop.release", release.to_string());
                self.mark("switched", at, vec![release]);
            }
            RunEvent::Finished(summary) => self.finished(at, summary),
            RunEvent::Started(_)
            | RunEvent::Notice(_)
            | RunEvent::PartStarted { .. }
            | RunEvent::Output { .. }
            | RunEvent::Progress { .. }
            | RunEvent::FlakyRerun { .. }
            | RunEvent::AuthorLooked { .. } => {}
        }
    }

    fn environment(&self) -> KeyValue {
        KeyValue::new("deployment.environment.name", self.environment.clone())
    }

    fn finished(&mut self, at: SystemTime, summary: &RunSummary) {
        self.close_iteration(at);
        let outcome = match &summary.stop {
            StopReason::Verified if summary.patches.is_empty() => "verified",
            StopReason::Verified => "healed",
            _ if summary.is_restored() => "restored",
            _ => "stopped",
        };
        let labels = [self.environment(), KeyValue::new("greenloop.outcome", outcome)];
        self.instruments.deployments.add(1, &labels);
        self.instruments.duration.record(summary.elapsed.as_secs_f64(), &labels);
        let environment = [self.environment()];
        self.instruments.patches.add(summary.patches.len() as u64, &environment);
        self.instruments.cost.add(summary.usage.cost_usd.max(0.0), &environment);
        for (kind, count) in
            [("input", summary.usage.input_tokens), ("output", summary.usage.output_tokens)]
        {
            let labels = [self.environment(), KeyValue::new("gen_ai.token.type", kind)];
            self.instruments.tokens.add(count, &labels);
        }
        let Some(run) = self.run.take() else { return };
        run.set(KeyValue::new("greenloop.outcome", outcome));
        run.set(KeyValue::new("greenloop.iterations", i64::from(summary.iterations)));
        run.set(KeyValue::new("greenloop.patches", signed(summary.patches.len() as u64)));
        run.set(KeyValue::new("greenloop.cost_usd", summary.usage.cost_usd));
        if summary.stop != StopReason::Verified {
            run.fail(&summary.stop.to_string());
        }
        run.end(at);
    }

    fn finish(mut self) {
        // A run whose end never came.
        self.close_iteration(SystemTime::now());
        drop(self.run.take());
        let (traces, metrics) = (self.traces, self.metrics);
        // Beside each other: a receiver that is gone is waited for once. What cannot be sent is
        // lost, and is no concern of the run's.
        let points = std::thread::spawn(move || metrics.shutdown_with_timeout(FLUSH));
        if let Err(error) = traces.shutdown_with_timeout(FLUSH) {
            tracing::warn!(%error, "could not send the run's trace");
        }
        if let Ok(Err(error)) = points.join() {
            tracing::warn!(%error, "could not send the run's metrics");
        }
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::trace::v1::Span;
    use prost::Message as _;
    use wiremock::matchers::{header, method};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::{Stamped, fixtures, replay};

    fn plan(otlp_endpoint: String) -> TelemetryPlan {
        TelemetryPlan { otlp_endpoint, headers_env: None, service_name: "greenloop".into() }
    }

    /// On a thread of its own, as the reporters' is.
    fn send(plan: TelemetryPlan, events: Vec<Stamped>) {
        let headers = HashMap::from([("x-key".to_owned(), "secret-value".to_owned())]);
        std::thread::spawn(move || replay(vec![Box::new(Otlp::new(plan, headers))], &events))
            .join()
            .unwrap();
    }

    async fn receiver() -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .and(header("x-key", "secret-value"))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        server
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_secret_that_reached_a_span_is_not_sent() {
        let _guard = greenloop_evidence::Redactor::new(["Otlp-Exit-7-x".to_owned()]).guard_exits();
        let server = receiver().await;
        let mut plan = plan(server.uri());
        plan.service_name = "shop Otlp-Exit-7-x".into();
        send(plan, fixtures::restored());
        let sent = server.received_requests().await.unwrap();
        let traces = sent.iter().find(|request| request.url.path() == "/v1/traces").unwrap();
        let said = ExportTraceServiceRequest::decode(traces.body.as_slice()).unwrap();
        let said = format!("{said:?}");
        assert!(said.contains("shop *************") && !said.contains("Otlp-Exit"), "{said}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_is_one_trace_with_its_stages_within() {
        let server = receiver().await;
        send(plan(server.uri()), fixtures::restored());
        let mut spans: Vec<Span> = Vec::new();
        let mut points = Vec::new();
        for request in server.received_requests().await.unwrap() {
            match request.url.path() {
                "/v1/traces" => {
                    let sent = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
                    let scopes = sent.resource_spans.into_iter().flat_map(|r| r.scope_spans);
                    spans.extend(scopes.flat_map(|scope| scope.spans));
                }
                "/v1/metrics" => {
                    let sent =
                        ExportMetricsServiceRequest::decode(request.body.as_slice()).unwrap();
                    let scopes = sent.resource_metrics.into_iter().flat_map(|r| r.scope_metrics);
                    points.extend(scopes.flat_map(|s| s.metrics).map(|metric| metric.name));
                }
                other => panic!("{other}"),
            }
        }
        let named = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
        let root = spans.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
        assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
        assert_eq!(spans.iter().filter(|span| span.parent_span_id.is_empty()).count(), 1);
        let iteration = named("iteration 1");
        assert_eq!(iteration.parent_span_id, root.span_id);
        let smoke = named("smoke");
        assert_eq!(smoke.parent_span_id, iteration.span_id);
        // 2 is an error.
        assert_eq!(smoke.status.as_ref().unwrap().code, 2);
        assert_eq!(named("report").parent_span_id, smoke.span_id);
        assert!(named("gate build").end_time_unix_nano > named("gate build").start_time_unix_nano);
        for name in ["greenloop.deployments", "greenloop.time_to_restore"] {
            assert!(points.iter().any(|point| point == name), "{name}: {points:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_receiver_is_not_waited_for() {
        let server = MockServer::start().await;
        let delay = Duration::from_secs(600);
        let slow = ResponseTemplate::new(200).set_delay(delay);
        Mock::given(method("POST")).respond_with(slow).mount(&server).await;
        let began = std::time::Instant::now();
        send(plan(server.uri()), fixtures::healed());
        assert!(began.elapsed() < delay, "it waited for the answer");
    }
}
