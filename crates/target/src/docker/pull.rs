//! Getting a release's image from its registry to the engine.

use std::collections::HashMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures::StreamExt as _;
use tokio::time::Instant;

use greenloop_image::engine::{Engine, EngineError, EngineErrorKind};
use greenloop_model::ImageRef;

/// Between two reports of how far a pull has come.
const REPORT: Duration = Duration::from_millis(200);
/// A pull in which nothing moves for this long is given up.
const STALLED: Duration = Duration::from_secs(300);

/// The registry's host in an image's name: `docker.io` when it names none.
pub(super) fn registry(image: &ImageRef) -> &str {
    match image.repository().split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        Some(_) | None => "docker.io",
    }
}

/// What a pull came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulled {
    /// The engine has it already.
    Before,
    /// With this many bytes.
    Now { bytes: u64 },
}

/// Gets `image`; `report` receives the bytes that are there, and the bytes there will be.
pub(super) async fn pull(
    engine: &Engine,
    image: &ImageRef,
    credentials: Option<DockerCredentials>,
    report: impl Fn(u64, u64),
) -> Result<Pulled, EngineError> {
    let name = image.to_string();
    match engine.docker().inspect_image(&name).await.map_err(|error| engine.error(error)) {
        Ok(_) => return Ok(Pulled::Before),
        Err(error) if error.kind == EngineErrorKind::Refused(404) => {}
        Err(error) => return Err(error),
    }
    let options =
        CreateImageOptions { from_image: Some(name.clone()), ..CreateImageOptions::default() };
    let steps = engine.docker().create_image(Some(options), None, credentials);
    let mut steps = std::pin::pin!(steps);
    let mut layers = Layers::default();
    let mut reported = Instant::now();
    loop {
        let step = tokio::time::timeout(STALLED, steps.next())
            .await
            .map_err(|_elapsed| engine.error(bollard::errors::Error::RequestTimeoutError))?;
        let Some(step) = step else { break };
        layers.note(step.map_err(|error| engine.error(error))?);
        if reported.elapsed() >= REPORT {
            reported = Instant::now();
            let (done, total) = layers.bytes();
            report(done, total);
        }
    }
    let (done, total) = layers.bytes();
    report(done, total);
    Ok(Pulled::Now { bytes: total })
}

/// Bytes that are there and that will be, by layer.
#[derive(Default)]
struct Layers(HashMap<String, (u64, u64)>);

impl Layers {
    fn note(&mut self, step: CreateImageInfo) {
        let Some((id, detail)) = step.id.zip(step.progress_detail) else { return };
        let size = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        if let Some(total) = size(detail.total) {
            let layer = self.0.entry(id).or_default();
            // Unpacking counts from the beginning again.
            layer.0 = layer.0.max(size(detail.current).unwrap_or_default().min(total));
            layer.1 = layer.1.max(total);
        }
    }

    fn bytes(&self) -> (u64, u64) {
        self.0.values().fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1))
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn an_image_names_its_registry() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for (repository, expect) in [
            ("fleet.azurecr.io/team/api", "fleet.azurecr.io"),
            ("127.0.0.1:5000/api", "127.0.0.1:5000"),
            ("localhost/api", "localhost"),
            ("library/nginx", "docker.io"),
            ("nginx", "docker.io"),
        ] {
            assert_eq!(registry(&ImageRef::new(repository, &digest).unwrap()), expect);
        }
    }

    #[test]
    fn layers_are_counted_once() {
        let mut layers = Layers::default();
        let mut step = |id: &str, current, total| {
            layers.note(CreateImageInfo {
                id: Some(id.to_owned()),
                progress_detail: Some(ProgressDetail { current, total }),
                ..CreateImageInfo::default()
            });
        };
        step("a", Some(5), Some(10));
        step("b", Some(1), Some(20));
        step("a", Some(10), Some(10));
        step("a", Some(2), Some(10));
        step("c", None, None);
        assert_eq!(layers.bytes(), (11, 30));
    }
}
