//! What is asked of the engine about a target's containers. Each request is bounded in time.

use std::collections::HashMap;
use std::net::TcpListener;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, ContainerSummaryStateEnum, ContainerUpdateBody,
    EventMessage, HealthStatusEnum, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptions, EventsOptions, InspectContainerOptions, ListContainersOptions,
    LogsOptionsBuilder, RemoveContainerOptions, RemoveImageOptions, RenameContainerOptions,
    StartContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::labels::{FoundContainer, TARGET, labels, name};
use super::record::ReleaseRecord;
use greenloop_image::engine::{Engine, EngineError, EngineErrorKind};
use greenloop_model::{EnvironmentName, Exit, ImageRef};

/// For a request that only looks.
const INSPECT_TIMEOUT: Duration = Duration::from_secs(20);
/// For one that starts, stops or removes.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(90);
/// Seconds from the polite signal to the one that cannot be refused.
const GRACE: i32 = 10;
/// Lines of a log that are asked for at most.
const LOG_LINES: &str = "20000";
/// Of one file of a container's log, and how many there are, where the engine keeps files.
const LOG_FILE: [(&str, &str); 2] = [("max-size", "8m"), ("max-file", "2")];
/// Ports that neither outgoing connections nor the engine choose by themselves.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The containers of one target.
#[derive(Debug, Clone)]
pub(super) struct Containers {
    pub(super) engine: Engine,
    pub(super) environment: EnvironmentName,
    /// The mark they carry.
    pub(super) mark: String,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContainerState {
    pub(super) up: bool,
    /// How it ended, when it is not up or is between two starts.
    pub(super) exit: Option<Exit>,
    /// It was ended for using more memory than it may.
    pub(super) out_of_memory: bool,
    /// When it last ended, by the engine's clock.
    pub(super) ended_at: Option<Timestamp>,
    /// Why the engine could not start it.
    pub(super) error: Option<String>,
    /// Starts by the engine after it had ended by itself.
    pub(super) restarts: u32,
    /// The image's own health check says that it is not well: what its last tries said.
    pub(super) unhealthy: Option<Vec<HealthTry>>,
}

/// One try of the image's own health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HealthTry {
    pub(super) exit: i64,
    pub(super) said: String,
}

/// Something that happened to a container of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ContainerEvent {
    Started,
    Died(Exit),
    OutOfMemory,
}

impl Containers {
    /// The machine of the engine, as seen from here.
    pub(super) fn host(&self) -> String {
        let address = self.engine.address();
        if self.engine.is_local() {
            return "127.0.0.1".to_owned();
        }
        let host = url::Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        host.trim_matches(['[', ']']).to_owned()
    }

    /// All of them, running or not.
    pub(super) async fn list(&self) -> Result<Vec<FoundContainer>, EngineError> {
        let mark = format!("{TARGET}={}", self.mark);
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([("label".to_owned(), vec![mark])])),
            ..ListContainersOptions::default()
        };
        let found = self
            .within(INSPECT_TIMEOUT, self.engine.docker().list_containers(Some(options)))
            .await?;
        let found = found.into_iter().filter_map(|summary| {
            let name = summary.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            Some(FoundContainer {
                id: summary.id?,
                name: name.trim_start_matches('/').to_owned(),
                up: matches!(
                    summary.state,
                    Some(
                        ContainerSummaryStateEnum::RUNNING
                            | ContainerSummaryStateEnum::RESTARTING
                            | ContainerSummaryStateEnum::PAUSED
                    )
                ),
                labels: summary.labels.unwrap_or_default(),
            })
        });
        Ok(found.collect())
    }

    /// The container of `record`'s release; a running one when there should be two.
    pub(super) async fn find(
        &self,
        record: &ReleaseRecord,
    ) -> Result<Option<FoundContainer>, EngineError> {
        let mut found: Vec<FoundContainer> = self.list().await?;
        found.retain(|found| found.release() == Some(record.id));
        found.sort_by_key(|found| !found.up);
        Ok(found.into_iter().next())
    }

    /// Makes the release's container, reachable at `port` of the engine's machine. It is not
    /// started again when it ends: that begins with [`Self::set_restart`].
    pub(super) async fn create(
        &self,
        record: &ReleaseRecord,
        port: u16,
    ) -> Result<String, EngineError> {
        let launch = &record.detail.launch;
        let inside = if launch.on_host_network() { port } else { launch.port };
        let mut env: Vec<String> =
            launch.env.iter().map(|(name, v)| format!("{name}={v}")).collect();
        env.push(format!("PORT={inside}"));
        let exposed = format!("{inside}/tcp");
        // Only this machine may come past the front, except where the front is on another one.
        let host_ip = if self.engine.is_local() { "127.0.0.1" } else { "" };
        let binding =
            PortBinding { host_ip: Some(host_ip.to_owned()), host_port: Some(port.to_string()) };
        let published = !launch.on_host_network();
        let bytes = launch.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        let body = ContainerCreateBody {
            image: Some(record.detail.image.to_string()),
            cmd: (!launch.command.is_empty()).then(|| launch.command.clone()),
            env: Some(env),
            exposed_ports: published.then(|| vec![exposed.clone()]),
            labels: Some(
                labels(&self.mark, &self.environment, record, port)
                    .map_err(|error| self.engine.error(error.into()))?,
            ),
            host_config: Some(HostConfig {
                binds: (!launch.volumes.is_empty()).then(|| launch.volumes.clone()),
                network_mode: launch.network.clone(),
                port_bindings: published.then(|| HashMap::from([(exposed, Some(vec![binding]))])),
                memory: bytes,
                // What may not be used as memory may not be used as swap either.
                memory_swap: bytes,
                restart_policy: Some(policy(RestartPolicyNameEnum::NO)),
                log_config: self.log_config().await?,
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptions {
            name: Some(name(&self.environment, record)),
            ..CreateContainerOptions::default()
        };
        let made = self.engine.docker().create_container(Some(options), body);
        Ok(self.within(CHANGE_TIMEOUT, made).await?.id)
    }

    /// Bounds the log where the engine keeps files; a driver of the administrator's choice
    /// stays as it is.
    async fn log_config(&self) -> Result<Option<HostConfigLogConfig>, EngineError> {
        let info = self.within(INSPECT_TIMEOUT, self.engine.docker().info()).await?;
        let files = info.logging_driver.filter(|driver| driver == "json-file" || driver == "local");
        Ok(files.map(|driver| HostConfigLogConfig {
            typ: Some(driver),
            config: Some(LOG_FILE.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()),
        }))
    }

    pub(super) async fn start(&self, id: &str) -> Result<(), EngineError> {
        let docker = self.engine.docker();
        self.within(CHANGE_TIMEOUT, docker.start_container(id, None::<StartContainerOptions>)).await
    }

    /// Whether the engine starts it again whenever it ends by itself, from now on.
    pub(super) async fn set_restart(&self, id: &str, keep: bool) -> Result<(), EngineError> {
        let name =
            if keep { RestartPolicyNameEnum::UNLESS_STOPPED } else { RestartPolicyNameEnum::NO };
        let body = ContainerUpdateBody { restart_policy: Some(policy(name)), ..Default::default() };
        self.within(CHANGE_TIMEOUT, self.engine.docker().update_container(id, body)).await
    }

    /// Politely first. One that is gone, or does not run, is stopped.
    pub(super) async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let options = StopContainerOptions { t: Some(GRACE), signal: None };
        gone_is_fine(
            self.within(CHANGE_TIMEOUT, self.engine.docker().stop_container(id, Some(options)))
                .await,
        )
    }

    /// With its anonymous volumes, running or not.
    pub(super) async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self.engine.docker().remove_container(id, Some(options));
        match gone_is_fine(self.within(CHANGE_TIMEOUT, removed).await) {
            // It is being removed already.
            Err(error) if error.kind == EngineErrorKind::Refused(409) => Ok(()),
            other => other,
        }
    }

    /// The image, unless somebody else uses it.
    pub(super) async fn remove_image(&self, image: &ImageRef) -> Result<(), EngineError> {
        let name = image.to_string();
        let docker = self.engine.docker();
        let removed = docker.remove_image(&name, None::<RemoveImageOptions>, None);
        match gone_is_fine(self.within(CHANGE_TIMEOUT, removed).await.map(|_| ())) {
            Err(error) if error.kind == EngineErrorKind::Refused(409) => Ok(()),
            other => other,
        }
    }

    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        let options = RenameContainerOptions { name: name.to_owned() };
        gone_is_fine(
            self.within(CHANGE_TIMEOUT, self.engine.docker().rename_container(id, options)).await,
        )
    }

    /// `None` when there is no such container.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerState>, EngineError> {
        let docker = self.engine.docker();
        let looked = self
            .within(INSPECT_TIMEOUT, docker.inspect_container(id, None::<InspectContainerOptions>))
            .await;
        let seen = match looked {
            Ok(seen) => seen,
            Err(error) if error.kind == EngineErrorKind::Refused(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = seen.state.unwrap_or_default();
        let status = state.status;
        let up = matches!(
            status,
            Some(
                ContainerStateStatusEnum::RUNNING
                    | ContainerStateStatusEnum::RESTARTING
                    | ContainerStateStatusEnum::PAUSED
            )
        );
        let running = status == Some(ContainerStateStatusEnum::RUNNING);
        let unhealthy = state
            .health
            .filter(|health| health.status == Some(HealthStatusEnum::UNHEALTHY))
            .map(|health| {
                let tries = health.log.unwrap_or_default().into_iter();
                tries
                    .map(|one| HealthTry {
                        exit: one.exit_code.unwrap_or_default(),
                        said: one.output.unwrap_or_default(),
                    })
                    .collect()
            });
        Ok(Some(ContainerState {
            up,
            exit: state.exit_code.filter(|_| !running).map(exit),
            ended_at: state.finished_at.and_then(|text| text.parse().ok()),
            out_of_memory: state.oom_killed.unwrap_or_default(),
            error: state.error.filter(|text| !text.is_empty()),
            restarts: u32::try_from(seen.restart_count.unwrap_or_default()).unwrap_or_default(),
            unhealthy,
        }))
    }

    /// Returns when the container is not running, or the engine cannot be asked.
    pub(super) async fn until_ended(&self, id: &str) -> Result<(), EngineError> {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let mut waited = std::pin::pin!(self.engine.docker().wait_container(id, Some(options)));
        match waited.next().await {
            // An end that is not a success comes as an error.
            None | Some(Ok(_) | Err(BollardError::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) => gone_is_fine(Err(self.engine.error(error))),
        }
    }

    /// At most the last `limit` bytes of what it has said since `since`, from a line's beginning.
    pub(super) async fn log(
        &self,
        id: &str,
        since: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<u8>, EngineError> {
        let seconds = since.map_or(0, |since| i32::try_from(since.as_second()).unwrap_or(0));
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .since(seconds)
            .timestamps(since.is_some())
            .tail(LOG_LINES)
            .build();
        let read = async {
            let mut said = Tail::new(limit);
            let mut pieces = std::pin::pin!(self.engine.docker().logs(id, Some(options)));
            while let Some(piece) = pieces.try_next().await? {
                let (LogOutput::StdErr { message }
                | LogOutput::StdOut { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message }) = piece;
                match since {
                    Some(since) => said.push(after(&message, since)),
                    None => said.push(&message),
                }
            }
            Ok(said.finish())
        };
        self.within(INSPECT_TIMEOUT, read).await
    }

    /// What happens to the target's containers from now on, with the release and the container.
    pub(super) fn events(
        &self,
    ) -> impl Stream<Item = Result<(String, ContainerEvent), EngineError>> + Send + use<> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![format!("{TARGET}={}", self.mark)]),
            ("event".to_owned(), ["start", "die", "oom"].map(str::to_owned).to_vec()),
        ]);
        let options = EventsOptions { filters: Some(filters), ..EventsOptions::default() };
        let engine = self.engine.clone();
        let events = engine.docker().clone().events(Some(options));
        events.filter_map(move |event| {
            let told = match event {
                Ok(event) => container_event(event).map(Ok),
                Err(error) => Some(Err(engine.error(error))),
            };
            std::future::ready(told)
        })
    }

    /// A port of the engine's machine that nobody listens at. On another machine it can only be
    /// drawn; a start that finds it taken draws again.
    pub(super) fn free_port(&self) -> u16 {
        for _ in 0..64 {
            let port = fastrand::u16(PORTS);
            let free = !self.engine.is_local() || TcpListener::bind(("127.0.0.1", port)).is_ok();
            if free {
                return port;
            }
        }
        PORTS.start
    }

    async fn within<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, BollardError>>,
    ) -> Result<T, EngineError> {
        match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer.map_err(|error| self.engine.error(error)),
            Err(_elapsed) => Err(self.engine.error(BollardError::RequestTimeoutError)),
        }
    }
}

fn policy(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

fn gone_is_fine(answer: Result<(), EngineError>) -> Result<(), EngineError> {
    match answer {
        Err(error) if matches!(error.kind, EngineErrorKind::Refused(304 | 404)) => Ok(()),
        other => other,
    }
}

/// The engine tells a signal as a shell does.
fn exit(code: i64) -> Exit {
    let code = i32::try_from(code).unwrap_or(i32::MAX);
    match code.checked_sub(128) {
        Some(signal) if Exit::signal_name(signal).is_some() => Exit::Signal(signal),
        _ => Exit::Code(code),
    }
}

fn container_event(event: EventMessage) -> Option<(String, ContainerEvent)> {
    let actor = event.actor?;
    let event = match event.action.as_deref()? {
        "start" => ContainerEvent::Started,
        "oom" => ContainerEvent::OutOfMemory,
        "die" => {
            let code = actor.attributes.as_ref()?.get("exitCode")?.parse().ok()?;
            ContainerEvent::Died(exit(code))
        }
        _ => return None,
    };
    Some((actor.id?, event))
}

/// A line without its time, when it was said after `since`.
fn after(line: &[u8], since: Timestamp) -> &[u8] {
    let Some(space) = line.iter().position(|byte| *byte == b' ') else { return line };
    let said = std::str::from_utf8(&line[..space]).ok().and_then(|t| t.parse::<Timestamp>().ok());
    match said {
        Some(at) if at < since => &[],
        Some(_) => &line[space + 1..],
        // The continuation of a long line.
        None => line,
    }
}

/// The end of a log, bounded.
struct Tail {
    bytes: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Tail {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, cut: false }
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
        if self.bytes.len() > 2 * self.limit {
            self.shorten();
        }
    }

    fn shorten(&mut self) {
        let beyond = self.bytes.len().saturating_sub(self.limit);
        self.cut |= beyond > 0;
        self.bytes.drain(..beyond);
    }

    fn finish(mut self) -> Vec<u8> {
        self.shorten();
        if self.cut
            && let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n')
        {
            self.bytes.drain(..=end);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_end() {
        let mut tail = Tail::new(10);
        for line in ["first\n", "second\n", "third\n", "4\n"] {
            tail.push(line.as_bytes());
        }
        assert_eq!(tail.finish(), b"third\n4\n");
        let mut short = Tail::new(10);
        short.push(b"whole\n");
        assert_eq!(short.finish(), b"whole\n");
    }

    #[test]
    fn what_was_said_before_is_left_out() {
        let since: Timestamp = "2026-11-21T06:14:42.5Z".parse().unwrap();
        for (line, expect) in [
            ("2026-11-21T06:14:42.335830383Z before\n", ""),
            ("2026-11-21T06:14:42.64366674Z after all\n", "after all\n"),
            ("no time here\n", "no time here\n"),
        ] {
            assert_eq!(after(line.as_bytes(), since), expect.as_bytes(), "{line}");
        }
    }

    #[test]
    fn the_engine_tells_signals_as_shells_do() {
        assert_eq!(exit(137), Exit::Signal(9));
        assert_eq!(exit(3), Exit::Code(3));
        assert_eq!(exit(255), Exit::Code(255));
    }
}
