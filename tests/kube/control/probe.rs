//! Probes of running containers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::clock;
use crate::program::{Life, PORT};

/// The address of pods in messages.
pub(crate) const POD_ADDRESS: &str = "10.244.0.5";

/// One probe of one life.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    next: Option<Instant>,
    failures: i64,
    /// Its result; `None` until there is one.
    pub(crate) passes: Option<bool>,
}

/// The result of one probe.
pub(crate) enum Turn {
    Quiet,
    /// It failed, and why; whether its threshold is reached.
    Failed(String, bool),
}

fn port(spec: &Value, container: &Value) -> u16 {
    let number = match spec.as_str() {
        Some(name) => container["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|port| port["name"] == name)
            .and_then(|port| port["containerPort"].as_u64()),
        None => spec.as_u64(),
    };
    number.and_then(|number| u16::try_from(number).ok()).unwrap_or(0)
}

fn ask(spec: &Value, container: &Value, life: &Life, age: Duration) -> Result<(), String> {
    let serves = life.serves.is_some() && age >= clock::scaled(life.wakes);
    if let Some(get) = spec.get("httpGet") {
        let (port, path) = (port(&get["port"], container), get["path"].as_str().unwrap_or("/"));
        if !serves || port != PORT {
            return Err(format!(
                "Get \"http://{POD_ADDRESS}:{port}{path}\": dial tcp {POD_ADDRESS}:{port}: \
                 connect: connection refused"
            ));
        }
        if !life.paths.contains(&path) {
            return Err("HTTP probe failed with statuscode: 404".to_owned());
        }
    } else if let Some(socket) = spec.get("tcpSocket") {
        let port = port(&socket["port"], container);
        if !serves || port != PORT {
            return Err(format!("dial tcp {POD_ADDRESS}:{port}: connect: connection refused"));
        }
    } else if spec["exec"]["command"].to_string().contains("exit 1") {
        return Err("command terminated with exit code 1".to_owned());
    }
    Ok(())
}

impl Probe {
    /// Runs the probe, if it is due.
    pub(crate) fn turn(
        &mut self,
        spec: &Value,
        container: &Value,
        life: &Life,
        started: Instant,
        now: Instant,
    ) -> Turn {
        let delay = clock::seconds(spec["initialDelaySeconds"].as_i64().unwrap_or(0));
        let due = *self.next.get_or_insert(started + delay + clock::SECOND / 5);
        if now < due {
            return Turn::Quiet;
        }
        self.next = Some(now + clock::seconds(spec["periodSeconds"].as_i64().unwrap_or(10)));
        match ask(spec, container, life, now.duration_since(started)) {
            Ok(()) => {
                self.failures = 0;
                self.passes = Some(true);
                Turn::Quiet
            }
            Err(why) => {
                self.failures += 1;
                let reached = self.failures >= spec["failureThreshold"].as_i64().unwrap_or(3);
                if reached {
                    self.passes = Some(false);
                }
                Turn::Failed(why, reached)
            }
        }
    }
}
