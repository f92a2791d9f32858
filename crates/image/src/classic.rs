//! The classic builder's stream: one step after the other.

use std::collections::HashMap;

use bollard::models::{BuildInfo, BuildInfoAux};

use super::watch::{StepEnd, Watch};

/// What is known of a stream so far.
#[derive(Debug, Default)]
pub(super) struct Classic {
    /// The step that runs: its number, which is also its id.
    step: Option<usize>,
    steps: usize,
    cached: bool,
    /// Bytes had and expected of each layer that is pulled.
    layers: HashMap<String, (u64, u64)>,
}

impl Classic {
    /// The next message.
    pub(super) fn take(&mut self, info: BuildInfo, watch: &mut Watch<'_>) {
        if let Some(BuildInfoAux::Default(image)) = info.aux
            && let Some(id) = image.id
        {
            watch.built(id);
        }
        if let Some(text) = &info.stream {
            self.line(text, watch);
        }
        if let (Some(id), Some(progress)) = (info.id, info.progress_detail)
            && let (Some(done), Some(total)) = (progress.current, progress.total)
            && let (Ok(done), Ok(total)) = (u64::try_from(done), u64::try_from(total))
            // Unpacking counts the same bytes once more.
            && info.status.as_deref() == Some("Downloading")
        {
            self.layers.insert(id, (done.min(total), total));
            let done = self.layers.values().map(|(done, _)| done).sum();
            let total = self.layers.values().map(|(_, total)| total).sum();
            watch.measure("pull", done, Some(total));
        }
    }

    /// The stream ended well.
    pub(super) fn finish(&mut self, watch: &mut Watch<'_>) {
        self.end(watch);
    }

    fn line(&mut self, text: &str, watch: &mut Watch<'_>) {
        if let Some((number, of)) = step(text)
            && (self.steps == 0 || (of == self.steps && Some(number) > self.step))
        {
            self.end(watch);
            self.step = Some(number);
            self.steps = of;
            watch.begin(&number.to_string(), text);
            return;
        }
        match text.trim_end() {
            "" => {}
            " ---> Using cache" => self.cached = true,
            line if line.starts_with(" ---> ")
                || line.starts_with("Removing intermediate container ")
                || line.starts_with("Successfully built ")
                || line.starts_with("Successfully tagged ") => {}
            _ => {
                if let Some(number) = self.step {
                    watch.print(&number.to_string(), text.as_bytes());
                }
            }
        }
    }

    fn end(&mut self, watch: &mut Watch<'_>) {
        if let Some(number) = self.step {
            let how = if self.cached { StepEnd::Cached } else { StepEnd::Ran };
            watch.end(&number.to_string(), how, true);
        }
        self.cached = false;
    }
}

/// `Step 3/5 : RUN true`, which the builder sends as a message of its own, without a line end.
fn step(text: &str) -> Option<(usize, usize)> {
    if text.contains('\n') {
        return None;
    }
    let (numbers, _) = text.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = numbers.split_once('/')?;
    Some((number.parse().ok()?, of.parse().ok()?))
}
