//! BuildKit's stream: a graph of steps, several at a time.

use std::collections::{HashMap, HashSet};

use bollard::models::{BuildInfo, BuildInfoAux};

use super::dockerfile::StepName;
use super::watch::{StepEnd, Watch};

/// The error of a step that was stopped because of another one.
const STOPPED: &str = "context canceled";

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub(super) struct BuildKit {
    /// Steps that have ended: the stream reports some ends twice.
    ended: HashSet<String>,
    /// Bytes had and expected of each layer that is pulled.
    layers: HashMap<String, (u64, u64)>,
}

impl BuildKit {
    /// The next message.
    pub(super) fn take(&mut self, info: BuildInfo, watch: &mut Watch<'_>) {
        let status = match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => status,
            Some(BuildInfoAux::Default(image)) => {
                if let Some(id) = image.id {
                    watch.built(id);
                }
                return;
            }
            None => return,
        };
        // Ends are reported after the output that came with them.
        let mut ended = Vec::new();
        for vertex in status.vertexes {
            if self.ended.contains(&vertex.digest) && vertex.error.is_empty() {
                continue;
            }
            if vertex.started.is_some() || vertex.completed.is_some() {
                watch.begin(&vertex.digest, &vertex.name);
            }
            if vertex.completed.is_some() {
                self.ended.insert(vertex.digest.clone());
                let how = match (vertex.error.as_str(), vertex.cached) {
                    ("", true) => StepEnd::Cached,
                    ("", false) => StepEnd::Ran,
                    // Not at fault: another step failed, and this one was stopped.
                    (error, _) if error.ends_with(STOPPED) => StepEnd::Stopped,
                    (_, _) => StepEnd::Failed,
                };
                let shown = StepName::of_vertex(&vertex.name).is_some() || how == StepEnd::Failed;
                ended.push((vertex.digest, how, shown && how != StepEnd::Stopped));
            }
        }
        for log in status.logs {
            watch.print(&log.vertex, &log.msg);
        }
        for layer in status.statuses {
            if let (Ok(done), Ok(total)) =
                (u64::try_from(layer.current), u64::try_from(layer.total))
                && total > 0
            {
                self.layers.insert(layer.id, (done.min(total), total));
                let done = self.layers.values().map(|(done, _)| done).sum();
                let total = self.layers.values().map(|(_, total)| total).sum();
                watch.measure("layers", done, Some(total));
            }
        }
        for (id, how, shown) in ended {
            watch.end(&id, how, shown);
        }
    }
}
