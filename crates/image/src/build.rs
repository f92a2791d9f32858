//! One build on an engine.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bollard::auth::DockerCredentials;
use bollard::errors::Error as BollardError;
use bollard::query_parameters::{BuildImageOptionsBuilder, BuilderVersion};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::buildkit::BuildKit;
use super::classic::Classic;
use super::context::{BuildContext, ContextError, ContextErrorKind};
use super::pace::ProgressThrottle;
use super::watch::Watch;
use crate::engine::Engine;
use greenloop_config::plan::BuildPlan;
use greenloop_model::EventSink;

/// The upload of the context, in events.
const UPLOAD: &str = "context";

/// What to build.
pub(super) struct BuildRequest<'a> {
    pub engine: &'a Engine,
    pub plan: &'a BuildPlan,
    pub context: BuildContext,
    pub labels: HashMap<String, String>,
    /// For the registries that base images come from.
    pub logins: HashMap<String, DockerCredentials>,
    pub buildkit: bool,
    pub events: &'a EventSink,
}

/// Why there is no image.
#[derive(Debug)]
pub(super) enum BuildError {
    /// It was told to stop; dropping the stream has stopped the engine.
    Cancelled,
    /// A file of the context changed after the context was scanned; its path.
    Changed(PathBuf),
    /// A file of the context could not be read.
    Context(String),
    /// What the engine says.
    Engine(BollardError),
    /// The stream ended well, without an image.
    NoImage,
}

/// Why the context was not sent to its end.
#[derive(Debug)]
enum StreamError {
    /// A file that is no longer what was scanned.
    Changed(PathBuf),
    Unreadable(String),
}

fn unsent(error: &io::Error) -> StreamError {
    let context = error.get_ref().and_then(|inner| inner.downcast_ref::<ContextError>());
    match context {
        Some(error) if error.kind == ContextErrorKind::Changed => {
            StreamError::Changed(error.path.clone())
        }
        _ => StreamError::Unreadable(error.to_string()),
    }
}

/// Builds, and gives the image's id on the engine. Nothing is tagged.
pub(super) async fn build(
    order: BuildRequest<'_>,
    watch: &mut Watch<'_>,
    cancel: &CancellationToken,
) -> Result<String, BuildError> {
    let mut options = BuildImageOptionsBuilder::default()
        .dockerfile(order.context.dockerfile_name())
        .rm(true)
        .forcerm(true)
        .buildargs(&order.plan.args.clone().into_iter().collect::<HashMap<_, _>>())
        .labels(&order.labels);
    if let Some(target) = &order.plan.target {
        options = options.target(target);
    }
    if let Some(platform) = &order.plan.platform {
        options = options.platform(platform);
    }
    if order.buildkit {
        let session = uuid::Uuid::new_v4().to_string();
        options = options.version(BuilderVersion::BuilderBuildKit).session(&session);
    }

    let mut pace = ProgressThrottle::new(UPLOAD, order.events);
    let total = order.context.bytes();
    let mut sent = 0;
    let fetch_error = Arc::new(OnceLock::new());
    let told = Arc::clone(&fetch_error);
    let tar = if order.buildkit {
        order.context.tar_for_buildkit().left_stream()
    } else {
        order.context.tar().right_stream()
    };
    let tar = tar.map(move |piece| match piece {
        Ok(bytes) => {
            sent += bytes.len() as u64;
            // The archive's own frame is a little more than the files.
            pace.at(sent.min(total), Some(total));
            Ok(bytes)
        }
        Err(error) => {
            let kind = error.kind();
            let _first = told.set(unsent(&error));
            Err(io::Error::from(kind))
        }
    });
    let body = bollard::body_try_stream(tar);
    let docker = order.engine.docker();
    let mut stream = docker.build_image(options.build(), Some(order.logins), Some(body));
    let mut classic = Classic::default();
    let mut buildkit = BuildKit::default();
    loop {
        let next = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(BuildError::Cancelled),
            next = stream.next() => next,
        };
        match next {
            Some(Ok(info)) if order.buildkit => buildkit.take(info, watch),
            Some(Ok(info)) => classic.take(info, watch),
            Some(Err(error)) => {
                return Err(match fetch_error.get() {
                    Some(StreamError::Changed(path)) => BuildError::Changed(path.clone()),
                    Some(StreamError::Unreadable(text)) => BuildError::Context(text.clone()),
                    None => BuildError::Engine(error),
                });
            }
            None => break,
        }
    }
    if !order.buildkit {
        classic.finish(watch);
    }
    watch.image().ok_or(BuildError::NoImage)
}
