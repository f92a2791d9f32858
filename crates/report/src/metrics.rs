//! `metrics/deployments.json`: what was deployed and what it comes to, for dashboards and for
//! people with `jq`.
//!
//! ```json
//! { "summary": { "all": {…}, "staging": {…} }, "deployments": [ { "kind": "deployment", … } ] }
//! ```
//!
//! Earlier versions wrote the bare list; it is taken over.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::file;
use super::reporter::Reporter;
use greenloop_model::{RunEvent, RunHeader, RunKind, RunSummary, StopReason, millis};

/// Deployments that are kept, the newest last.
const MOST: usize = 1_000;
/// The `kind` of an entry that is no deployment of a commit: it is listed, and counted apart.
const ROLLBACK: &str = "rollback";
/// A file larger than this is not ours.
const LARGEST: u64 = 16 << 20;

/// Appends to the list when a run of an environment ends.
#[derive(Debug)]
pub(super) struct Metrics {
    path: PathBuf,
    header: Option<Box<RunHeader>>,
    /// When the release failed that has not been taken back yet.
    failed_at: Option<jiff::Timestamp>,
    /// From the failure of a release to the last good one serving; the last of the run.
    time_to_restore: Option<Duration>,
}

impl Metrics {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, header: None, failed_at: None, time_to_restore: None }
    }
}

impl Reporter for Metrics {
    fn event(&mut self, at: jiff::Timestamp, event: &RunEvent) -> io::Result<()> {
        if let RunEvent::Started(header) = event {
            self.header = Some(header.clone());
        }
        if let RunEvent::StageFailed { .. } = event {
            self.failed_at = Some(at);
        }
        if let RunEvent::Restored { ok: true, .. } = event {
            let failed_at = self.failed_at.take();
            self.time_to_restore =
                failed_at.and_then(|since| at.duration_since(since).try_into().ok());
        }
        if let RunEvent::Finished(summary) = event
            && let Some(header) = self.header.as_deref()
            && header.environment.is_some()
        {
            append(&self.path, entry(header, summary, self.time_to_restore, at))?;
        }
        Ok(())
    }

    fn finish(&mut self) {}
}

fn entry(
    header: &RunHeader,
    summary: &RunSummary,
    time_to_restore: Option<Duration>,
    at: jiff::Timestamp,
) -> Value {
    json!({
        "run": header.run.to_string(),
        "environment": header.environment.as_ref().map(|name| name.as_str()),
        "kind": if header.task == RunKind::RollBack { ROLLBACK } else { "deployment" },
        "timestamp": format!("{at:.3}"),
        "success": summary.stop == StopReason::Verified,
        "iterations": summary.iterations,
        "duration_s": millis::of(summary.elapsed) as f64 / 1000.0,
        "patches": summary.patches.len(),
        "cost_usd": summary.usage.cost_usd,
        "restored": summary.is_restored(),
        "time_to_restore_s": time_to_restore.map(|time| millis::of(time) as f64 / 1000.0),
    })
}

/// What the deployments come to, over all and for each environment. A figure that nothing tells
/// is null.
fn summary(deployments: &[Value]) -> Value {
    let mut groups: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for deployment in deployments {
        groups.entry("all").or_default().push(deployment);
        if let Some(environment) = deployment["environment"].as_str() {
            groups.entry(environment).or_default().push(deployment);
        }
    }
    groups.into_iter().map(|(name, group)| (name.to_owned(), figures(&group))).collect()
}

fn figures(all: &[&Value]) -> Value {
    let group: Vec<&Value> =
        all.iter().copied().filter(|deployment| deployment["kind"] != ROLLBACK).collect();
    let mean = |numbers: &[f64]| {
        (!numbers.is_empty()).then(|| rounded(numbers.iter().sum::<f64>() / numbers.len() as f64))
    };
    let succeeded = |deployment: &&&Value| deployment["success"] == true;
    let healed: Vec<&&Value> = group
        .iter()
        .filter(succeeded)
        .filter(|deployment| deployment["patches"].as_u64() > Some(0))
        .collect();
    let numbers = |list: &[&&Value], key: &str| -> Vec<f64> {
        list.iter().filter_map(|deployment| deployment[key].as_f64()).collect()
    };
    let every: Vec<&&Value> = group.iter().collect();
    let successes = group.iter().filter(succeeded).count();
    json!({
        "deployments": group.len(),
        "rollbacks": all.len() - group.len(),
        "success_rate": (!group.is_empty()).then(|| rounded(successes as f64 / group.len() as f64)),
        "healed": healed.len(),
        "cost_per_healed_deploy_usd": mean(&numbers(&healed, "cost_usd")),
        "mean_time_to_restore_s": mean(&numbers(&every, "time_to_restore_s")),
        "mean_duration_s": mean(&numbers(&every, "duration_s")),
    })
}

/// To four places: what a person reads.
fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

fn append(path: &Path, entry: Value) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // Held until the end: of two runs that end at once none loses its entry. On the folder, so
    // that no further file lies there.
    let lock = std::fs::File::open(folder)?;
    lock.lock()?;
    let mut list = match known(path) {
        Ok(list) => list,
        Err(ReadError::None) => Vec::new(),
        Err(ReadError::Corrupt) => {
            set_aside(path)?;
            Vec::new()
        }
        Err(ReadError::Io(error)) => return Err(error),
    };
    list.push(entry);
    list.drain(..list.len().saturating_sub(MOST));
    let whole = json!({ "summary": summary(&list), "deployments": list });
    let mut bytes = serde_json::to_vec_pretty(&whole)?;
    bytes.push(b'\n');
    file::replace(path, &bytes)
}

enum ReadError {
    None,
    Corrupt,
    Io(io::Error),
}

fn known(path: &Path) -> Result<Vec<Value>, ReadError> {
    let file = match std::fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReadError::None),
        Err(error) => return Err(ReadError::Io(error)),
    };
    if file.len() > LARGEST {
        return Err(ReadError::Corrupt);
    }
    let bytes = std::fs::read(path).map_err(ReadError::Io)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Array(list)) => Ok(list),
        Ok(Value::Object(mut whole)) => match whole.remove("deployments") {
            Some(Value::Array(list)) => Ok(list),
            _ => Err(ReadError::Corrupt),
        },
        _ => Err(ReadError::Corrupt),
    }
}

/// Nothing that somebody wrote is thrown away.
fn set_aside(path: &Path) -> io::Result<()> {
    let now = jiff::Timestamp::now().as_millisecond();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".corrupt-{now}"));
    tracing::warn!(path = %path.display(), "renamed a metrics file that Greenloop did not write");
    std::fs::rename(path, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn run(path: &Path) {
        let mut metrics = Metrics::new(path.to_owned());
        for stamped in fixtures::healed() {
            metrics.event(stamped.at, &stamped.event).unwrap();
        }
    }

    fn whole(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn list(path: &Path) -> Vec<Value> {
        whole(path)["deployments"].as_array().unwrap().clone()
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
    fn the_summary_tells_rates_and_costs() {
        let deployment = |environment: &str, success: bool, patches: u32, restore: Option<f64>| {
            json!({
                "environment": environment, "success": success, "patches": patches,
                "cost_usd": 0.5, "duration_s": 10.0, "time_to_restore_s": restore,
            })
        };
        let told = summary(&[
            deployment("staging", true, 0, None),
            deployment("staging", true, 2, Some(4.0)),
            deployment("staging", false, 1, Some(6.0)),
            json!({ "environment": "staging", "success": false, "kind": "rollback" }),
            deployment("prod", true, 0, None),
        ]);
        let staging = json!({
            "deployments": 3, "rollbacks": 1, "success_rate": 0.6667, "healed": 1,
            "cost_per_healed_deploy_usd": 0.5, "mean_time_to_restore_s": 5.0,
            "mean_duration_s": 10.0,
        });
        assert_eq!(told["staging"], staging);
        assert_eq!(told["all"]["success_rate"], 0.75);
        assert_eq!(told["prod"]["mean_time_to_restore_s"], Value::Null);
    }

    #[test]
    fn time_to_restore_is_from_the_failure_to_the_restore() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deployments.json");
        let mut metrics = Metrics::new(path.clone());
        let start = fixtures::restored()[0].at;
        for (n, stamped) in fixtures::restored().into_iter().enumerate() {
            let at = start + Duration::from_secs(n as u64);
            metrics.event(at, &stamped.event).unwrap();
        }
        let took = list(&path)[0]["time_to_restore_s"].as_f64().unwrap();
        assert!((1.0..=5.0).contains(&took), "{took}");
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
    fn runs_that_end_at_once_lose_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics/deployments.json");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..5).for_each(|_| run(&path)));
            }
        });
        assert_eq!(list(&path).len(), 40);
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1, "no lock, no draft");
    }

    #[test]
    fn healing_a_command_is_no_deployment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deployments.json");
        let mut metrics = Metrics::new(path.clone());
        for mut stamped in fixtures::healed() {
            if let RunEvent::Started(header) = &mut stamped.event {
                header.environment = None;
            }
            metrics.event(stamped.at, &stamped.event).unwrap();
        }
        assert!(!path.exists());
    }
}
