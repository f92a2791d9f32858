//! `pods/log`: the output of containers, per run.

use std::collections::BTreeMap;

use serde_json::Value;

use super::call::Call;
use super::status::Refusal;

/// One line with the time it was written.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: jiff::Timestamp,
    pub(crate) text: String,
}

/// The output of each run of each container, by the pod's uid and the container's name; the current
/// run is the last.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lives: BTreeMap<(String, String), Vec<Vec<Line>>>,
    /// Pods (uid) whose previous logs the node has lost: the answer is a success with an error
    /// text.
    pub(crate) lost: Vec<String>,
    /// Lines that every run adds to those of its program: a log of many MiB.
    pub(crate) flood: usize,
}

fn key(uid: &str, container: &str) -> (String, String) {
    (uid.to_owned(), container.to_owned())
}

impl Logs {
    /// A new run starts.
    pub(crate) fn begin(&mut self, uid: &str, container: &str) {
        self.lives.entry(key(uid, container)).or_default().push(Vec::new());
    }

    pub(crate) fn write(&mut self, uid: &str, container: &str, text: &str) {
        if let Some(life) = self.lives.get_mut(&key(uid, container)).and_then(|l| l.last_mut()) {
            life.push(Line { at: jiff::Timestamp::now(), text: text.to_owned() });
        }
    }

    /// The answer to a log request about `pod`.
    pub(crate) fn read(&self, pod: &Value, call: &Call) -> Result<String, Refusal> {
        let name = &call.name;
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        let container = container(pod, call)?;
        let status = |list: &str| {
            pod["status"][list]
                .as_array()
                .and_then(|all| all.iter().find(|status| status["name"] == container.as_str()))
                .cloned()
        };
        let status = status("containerStatuses").or_else(|| status("initContainerStatuses"));
        let previous = call.query("previous").is_some_and(|value| value == "true");
        let started = status
            .as_ref()
            .is_some_and(|s| ["running", "terminated"].iter().any(|t| s["state"].get(t).is_some()));
        let died = status.as_ref().is_some_and(|s| s["lastState"].get("terminated").is_some());
        if previous && !died {
            return Err(Refusal::bad_request(format!(
                "previous terminated container {container:?} in pod {name:?} not found"
            )));
        }
        if !started && !died {
            let reason = status
                .as_ref()
                .and_then(|s| s["state"]["waiting"]["reason"].as_str())
                .unwrap_or("ContainerCreating");
            let why = match reason {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                reason => reason,
            };
            return Err(Refusal::bad_request(format!(
                "container {container:?} in pod {name:?} is waiting to start: {why}"
            )));
        }
        if previous && self.lost.iter().any(|lost| lost == uid) {
            let id = status.as_ref().map(|s| s["lastState"]["terminated"]["containerID"].clone());
            return Ok(format!(
                "unable to retrieve container logs for {}",
                id.as_ref().and_then(Value::as_str).unwrap_or("containerd://")
            ));
        }
        let empty = Vec::new();
        let lives = self.lives.get(&key(uid, &container)).unwrap_or(&empty);
        // While it waits for its restart, the previous run is the newest.
        let back = usize::from(previous && started);
        let lines = lives.len().checked_sub(1 + back).map(|place| lives[place].as_slice());
        let mut lines = lines.unwrap_or_default().to_vec();
        if let Some(at) = lines.last().map(|line| line.at) {
            let more =
                (0..self.flood).map(|i| format!("INFO request {i} was served in {} ms", i % 97));
            lines.extend(more.map(|text| Line { at, text }));
        }
        Ok(cut(&lines, call))
    }
}

fn container(pod: &Value, call: &Call) -> Result<String, Refusal> {
    let names = |list: &str| -> Vec<String> {
        pod["spec"][list]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|container| container["name"].as_str().map(str::to_owned))
            .collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    match call.query("container") {
        Some(name) if main.iter().chain(&init).any(|known| known == name) => Ok(name.to_owned()),
        Some(name) => Err(Refusal::bad_request(format!(
            "container {name} is not valid for pod {}",
            call.name
        ))),
        None if main.len() == 1 => Ok(main[0].clone()),
        None => {
            let mut choice = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                call.name,
                main.join(" ")
            );
            if !init.is_empty() {
                choice.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
            }
            Err(Refusal::bad_request(choice))
        }
    }
}

fn cut(lines: &[Line], call: &Call) -> String {
    let number = |name: &str| call.query(name).and_then(|value| value.parse::<i64>().ok());
    let since = call
        .query("sinceTime")
        .and_then(|time| time.parse::<jiff::Timestamp>().ok())
        .or_else(|| {
            let seconds = number("sinceSeconds")?;
            Some(jiff::Timestamp::now() - jiff::SignedDuration::from_secs(seconds))
        });
    let stamps = call.query("timestamps").is_some_and(|value| value == "true");
    let mut kept: Vec<&Line> =
        lines.iter().filter(|line| since.is_none_or(|since| line.at >= since)).collect();
    if let Some(tail) = number("tailLines").and_then(|tail| usize::try_from(tail).ok()) {
        let from = kept.len().saturating_sub(tail);
        kept.drain(..from);
    }
    let mut text = String::new();
    for line in kept {
        if stamps {
            text.push_str(&line.at.strftime("%Y-%m-%dT%H:%M:%S%.9fZ ").to_string());
        }
        text.push_str(&line.text);
        text.push('\n');
    }
    if let Some(limit) = number("limitBytes").and_then(|limit| usize::try_from(limit).ok()) {
        let mut end = limit.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
