//! Image: asks for the image of the work tree, and turns errors into a failure.

use std::collections::BTreeSet;

use super::StageContext;
use super::identity::combined;
use greenloop_evidence::normalise;
use greenloop_model::{Failure, Stage, error_chain};
use greenloop_ports::{Image, ImageError, ImageErrorKind, ImageRequest, ImageSource};

/// How the image stage ended.
#[derive(Debug)]
pub enum ImageOutcome {
    /// The image is in its registry.
    Ready(Image),
    /// There is none.
    Failed(Box<Failure>),
    /// The build was cancelled.
    Cancelled,
}

/// Where the whole output of a build goes, relative to the run's folder.
pub fn image_log(context: &StageContext<'_>) -> String {
    context.log_name(Stage::Image, "build")
}

/// Has the image made; `log` is where its output went, relative to the run's folder.
pub async fn make_image(
    source: &dyn ImageSource,
    request: &ImageRequest,
    log: &str,
    context: &StageContext<'_>,
) -> ImageOutcome {
    match source.image(request, context.events, context.cancel).await {
        Ok(image) => ImageOutcome::Ready(image),
        Err(error) => match error.kind {
            ImageErrorKind::Cancelled => ImageOutcome::Cancelled,
            ImageErrorKind::Build | ImageErrorKind::Engine | ImageErrorKind::Registry => {
                let log = request.log.is_file().then(|| log.to_owned());
                ImageOutcome::Failed(Box::new(failure(error, log)))
            }
        },
    }
}

fn failure(error: ImageError, log: Option<String>) -> Failure {
    let message = error_chain(&error);
    let name = match error.kind {
        ImageErrorKind::Build => "build",
        ImageErrorKind::Engine => "engine",
        ImageErrorKind::Registry => "registry",
        ImageErrorKind::Cancelled => "cancelled",
    };
    let telling = normalise(&error.message);
    let lines: Vec<String> = error
        .evidence
        .excerpts
        .iter()
        .flat_map(|excerpt| excerpt.text.lines().map(normalise))
        .collect();
    let mut identity = vec!["image", name, telling.as_str()];
    identity.extend(lines.iter().map(String::as_str));
    let mut evidence = *error.evidence;
    evidence.log = evidence.log.or(log);
    Failure {
        stage: Stage::Image,
        name: name.to_owned(),
        headline: message,
        class: error.class,
        fingerprint: combined(&identity),
        // What may pass when it is tried again was tried again before it failed.
        flaky_suspect: false,
        symptoms: BTreeSet::from([format!("image: {telling}")]),
        evidence,
    }
}
