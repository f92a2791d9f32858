//! `metrics/deployments.json`: a list of what was deployed, for dashboards and for people with
//! `jq`.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::file;
use super::json::millis;
use super::reporter::Reporter;
use crate::model::{RunEvent, RunHeader, RunSummary, StopReason};

/// Deployments that are kept, the newest last.
const MOST: usize = 1_000;
/// A file larger than this is not ours.
const LARGEST: u64 = 16 << 20;

/// Appends to the list when a run of an environment ends.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    header: Option<Box<RunHeader>>,
}

impl Metrics {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, header: None }
    }
}

impl Reporter for Metrics {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        if let RunEvent::Started(header) = event {
            self.header = Some(header.clone());
        }
        if let RunEvent::Finished(summary) = event
            && let Some(header) = self.header.as_deref()
            && header.environment.is_some()
        {
            append(&self.path, entry(header, summary, at))?;
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

fn entry(header: &RunHeader, summary: &RunSummary, at: jiff::Timestamp) -> Value {
    json!({
        "run": header.run.to_string(),
        "environment": header.environment.as_ref().map(|name| name.as_str()),
        "timestamp": format!("{at:.3}"),
        "success": summary.stop == StopReason::Verified,
        "iterations": summary.iterations,
        "duration_s": millis(summary.elapsed) as f64 / 1000.0,
        "patches": summary.patches.len(),
        "cost_usd": summary.usage.cost_usd,
        "restored": summary.restored,
    })
}

fn append(path: &Path, entry: Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut list = match known(path) {
        Ok(list) => list,
        Err(Trouble::None) => Vec::new(),
        Err(Trouble::Corrupt) => {
            set_aside(path)?;
            Vec::new()
        }
        Err(Trouble::Io(error)) => return Err(error),
    };
    list.push(entry);
    list.drain(..list.len().saturating_sub(MOST));
    let mut bytes = serde_json::to_vec_pretty(&list)?;
    bytes.push(b'\n');
    file::replace(path, &bytes)
}

enum Trouble {
    None,
    Corrupt,
    Io(io::Error),
}

fn known(path: &Path) -> Result<Vec<Value>, Trouble> {
    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::None),
        Err(error) => return Err(Trouble::Io(error)),
    };
    if file.len() > LARGEST {
        return Err(Trouble::Corrupt);
    }
    let bytes = std::fs::read(path).map_err(Trouble::Io)?;
    serde_json::from_slice(&bytes).map_err(|_| Trouble::Corrupt)
}

/// Nothing that somebody wrote is thrown away.
fn set_aside(path: &Path) -> io::Result<()> {
    let now = jiff::Timestamp::now().as_millisecond();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{now}"));
    tracing::warn!(path = %path.display(), "the metrics are no JSON list and are set aside");
    std::fs::rename(path, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn run(path: &Path) {
        let mut metrics = Metrics::new(path.to_owned());
        for stamped in samples::healed() {
            metrics.event(stamped.at, &stamped.event).unwrap();
        }
    }

    fn list(path: &Path) -> Vec<Value> {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn deployments_are_appended_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics/deployments.json");
        run(&path);
        run(&path);
        let first = &list(&path)[0];
        assert_eq!(first["environment"], "local");
        assert_eq!((&first["success"], &first["patches"]), (&json!(true), &json!(2)));
        assert_eq!((&first["duration_s"], &first["cost_usd"]), (&json!(41.2), &json!(0.0414)));
        let many: Vec<Value> = (0..MOST).map(|n| json!({ "run": n })).collect();
        std::fs::write(&path, serde_json::to_vec(&many).unwrap()).unwrap();
        run(&path);
        let bounded = list(&path);
        assert_eq!((bounded.len(), &bounded[0]["run"]), (MOST, &json!(1)));
    }

    #[test]
    fn a_corrupt_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deployments.json");
        for corrupt in ["{\"a\": 1}", "[{]", ""] {
            std::fs::write(&path, corrupt).unwrap();
            run(&path);
            assert_eq!(list(&path).len(), 1, "{corrupt:?}");
            let kept = std::fs::read_dir(dir.path())
                .unwrap()
                .flatten()
                .find(|entry| entry.file_name().to_string_lossy().contains("corrupt"))
                .unwrap();
            assert_eq!(std::fs::read_to_string(kept.path()).unwrap(), corrupt);
            std::fs::remove_file(kept.path()).unwrap();
        }
    }

    #[test]
    fn healing_a_command_is_no_deployment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deployments.json");
        let mut metrics = Metrics::new(path.clone());
        for mut stamped in samples::healed() {
            if let RunEvent::Started(header) = &mut stamped.event {
                header.environment = None;
            }
            metrics.event(stamped.at, &stamped.event).unwrap();
        }
        assert!(!path.exists());
    }
}
