//! Commands in containers: level C of the sandbox.
//!
//! # Guarantees
//!
//! - The container has no capability, gains none, has a read-only root, no network unless the
//!   command may use it, and sees of the machine what is mounted.
//! - It is removed when the command ends, is cancelled or is late; one that a killed Greenloop left
//!   ends with its command, and the engine removes it.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, ResourcesUlimits};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, InspectContainerOptions,
    RemoveContainerOptions, StartContainerOptions, StopContainerOptions, WaitContainerOptions,
};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use greenloop_exec::sandbox::{ContainerEnd, ContainerEngine, ContainerJob, Mount};
use greenloop_image::engine::{Engine, EngineError};
use greenloop_model::Exit;

/// For a request of the engine that is no wait for the command.
const REQUEST: Duration = Duration::from_secs(60);
/// Seconds from the polite signal to the one that cannot be refused.
const GRACE: i32 = 2;
/// How long output may take to arrive when the command has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// Runs commands in containers of one image.
#[derive(Debug, Clone)]
pub struct CommandContainers {
    engine: Engine,
    image: String,
}

impl CommandContainers {
    /// Of an image that the engine has, or the command does not begin.
    pub fn new(engine: Engine, image: String) -> Self {
        Self { engine, image }
    }

    fn body(&self, job: &ContainerJob) -> ContainerCreateBody {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut binds = Vec::new();
        let mut empty = HashMap::new();
        for mount in &job.mounts {
            let at = mount.at().display();
            match mount {
                Mount::Read(path) => binds.push(format!("{}:{at}:ro", path.display())),
                Mount::Write(path) => binds.push(format!("{}:{at}", path.display())),
                Mount::WriteAt(path, _) => binds.push(format!("{}:{at}", path.display())),
                Mount::Empty(_) => {
                    empty.insert(at.to_string(), "mode=0755".to_owned());
                }
            }
        }
        let limit = |name: &str, most: i64| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(most),
            hard: Some(most),
        };
        let host = HostConfig {
            binds: Some(binds),
            tmpfs: (!empty.is_empty()).then_some(empty),
            network_mode: Some(if job.network { "bridge" } else { "none" }.to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            readonly_rootfs: Some(true),
            memory: Some(bytes(job.memory)),
            memory_swap: Some(bytes(job.memory)),
            pids_limit: Some(i64::try_from(job.processes).unwrap_or(i64::MAX)),
            ulimits: Some(vec![limit("fsize", bytes(job.file_bytes)), limit("core", 0)]),
            init: Some(true),
            auto_remove: Some(false),
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(Vec::new()),
            cmd: Some(job.command.clone()),
            env: Some(
                job.environment.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            ),
            working_dir: Some(job.cwd.display().to_string()),
            user: Some(job.user.clone()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }

    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, EngineError> {
        let late = bollard::errors::Error::RequestTimeoutError;
        let answer = tokio::time::timeout(REQUEST, request).await.unwrap_or(Err(late));
        answer.map_err(|error| self.engine.error(error))
    }

    async fn carry_out(
        &self,
        id: &str,
        job: &ContainerJob,
        output: &mut (dyn FnMut(&[u8]) + Send),
        cancel: &CancellationToken,
    ) -> Result<ContainerEnd, EngineError> {
        let docker = self.engine.docker();
        let options =
            AttachContainerOptionsBuilder::default().stdout(true).stderr(true).stream(true).build();
        let mut printed = self.within(docker.attach_container(id, Some(options))).await?.output;
        self.within(docker.start_container(id, None::<StartContainerOptions>)).await?;
        let ends = docker.wait_container(id, None::<WaitContainerOptions>);
        let mut ends = Box::pin(ends);
        let until = async {
            match job.timeout {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(until);
        let (mut cancelled, mut late, mut open) = (false, false, true);
        loop {
            tokio::select! {
                piece = printed.next(), if open => match piece {
                    Some(Ok(piece)) => output(&piece.into_bytes()),
                    Some(Err(_)) | None => open = false,
                },
                // Its status is looked at below, in one form whatever it is.
                _ended = ends.next() => break,
                () = cancel.cancelled(), if !cancelled && !late => {
                    cancelled = true;
                    self.stop(id).await?;
                }
                () = &mut until, if !cancelled && !late => {
                    late = true;
                    self.stop(id).await?;
                }
            }
        }
        while open {
            match tokio::time::timeout(DRAIN, printed.next()).await {
                Ok(Some(Ok(piece))) => output(&piece.into_bytes()),
                Ok(Some(Err(_)) | None) | Err(_) => open = false,
            }
        }
        let state = docker.inspect_container(id, None::<InspectContainerOptions>);
        let state = self.within(state).await?.state.unwrap_or_default();
        let code = state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
        let exit = match (late, job.timeout) {
            (true, Some(after)) => Exit::TimedOut(after),
            // Its first process ended like a shell's command that a signal ends.
            _ if cancelled && code > 128 => Exit::Signal(code - 128),
            _ => Exit::Code(code),
        };
        let exceeded = state.oom_killed.unwrap_or(false).then(|| "its limit of memory".to_owned());
        Ok(ContainerEnd { exit, cancelled, exceeded })
    }

    async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let options = StopContainerOptions { t: Some(GRACE), signal: None };
        self.within(self.engine.docker().stop_container(id, Some(options))).await
    }

    async fn remove(&self, id: &str) {
        let options = RemoveContainerOptions { force: true, v: true, link: false };
        let removed = self.engine.docker().remove_container(id, Some(options));
        if let Err(error) = self.within(removed).await {
            tracing::warn!(%error, "the container of a command could not be removed");
        }
    }
}

impl ContainerEngine for CommandContainers {
    fn run<'a>(
        &'a self,
        job: ContainerJob,
        output: &'a mut (dyn FnMut(&[u8]) + Send),
        cancel: &'a CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ContainerEnd> + Send + 'a>> {
        Box::pin(async move {
            let failed = |error: EngineError| ContainerEnd {
                exit: Exit::NotStarted(format!(
                    "the container could not be made: {}",
                    error.message
                )),
                cancelled: false,
                exceeded: None,
            };
            let options = CreateContainerOptions {
                name: Some(job.name.clone()),
                ..CreateContainerOptions::default()
            };
            let made = self.engine.docker().create_container(Some(options), self.body(&job));
            let id = match self.within(made).await {
                Ok(made) => made.id,
                Err(error) => return failed(error),
            };
            // Removed also when this future is dropped half-way.
            let guard = Removal { containers: self.clone(), id: Some(id.clone()) };
            let end = self.carry_out(&id, &job, output, cancel).await.unwrap_or_else(failed);
            guard.now().await;
            end
        })
    }
}

/// Removes a container when it is dropped.
struct Removal {
    containers: CommandContainers,
    id: Option<String>,
}

impl Removal {
    async fn now(mut self) {
        if let Some(id) = self.id.take() {
            self.containers.remove(&id).await;
        }
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) {
            let containers = self.containers.clone();
            runtime.spawn(async move { containers.remove(&id).await });
        }
    }
}
