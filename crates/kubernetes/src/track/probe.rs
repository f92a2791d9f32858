//! What a container's probes promise: windows and ports.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use greenloop_model::counted;

fn seconds(value: Option<i32>, default: i32) -> Duration {
    Duration::from_secs(u64::try_from(value.unwrap_or(default)).unwrap_or(0))
}

/// The time that a probe gives: `initialDelaySeconds + periodSeconds × failureThreshold +
/// timeoutSeconds`.
pub(super) fn window(probe: &Probe) -> Duration {
    let tries = u32::try_from(probe.failure_threshold.unwrap_or(3)).unwrap_or(0).max(1);
    seconds(probe.initial_delay_seconds, 0)
        + period(probe) * tries
        + seconds(probe.timeout_seconds, 1)
}

/// `periodSeconds`, 10 s when it is not said.
pub(super) fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds, 10).max(Duration::from_secs(1))
}

/// The container of that name, init containers included.
pub(super) fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let init = spec.init_containers.iter().flatten();
    spec.containers.iter().chain(init).find(|container| container.name == name)
}

/// Whether a probe tells when the container is ready.
pub(super) fn is_probed(pod: &Pod, name: &str) -> bool {
    container(pod, name)
        .is_some_and(|spec| spec.readiness_probe.is_some() || spec.startup_probe.is_some())
}

/// The port that a probe asks, a named one resolved.
pub(super) fn port(container: &Container, probe: &Probe) -> Option<u16> {
    let asked = match (&probe.http_get, &probe.tcp_socket, &probe.grpc) {
        (Some(http), _, _) => &http.port,
        (None, Some(tcp), _) => &tcp.port,
        (None, None, Some(grpc)) => return u16::try_from(grpc.port).ok(),
        (None, None, None) => return None,
    };
    match asked {
        IntOrString::Int(port) => u16::try_from(*port).ok(),
        IntOrString::String(name) => {
            let ports = container.ports.iter().flatten();
            let named = ports.into_iter().find(|port| port.name.as_deref() == Some(name));
            u16::try_from(named?.container_port).ok()
        }
    }
}

/// The port that the readiness probe asks.
pub(super) fn readiness_port(container: &Container) -> Option<u16> {
    port(container, container.readiness_probe.as_ref()?)
}

/// Ports that programs in containers usually listen on.
const USUAL: &[u16] =
    &[80, 443, 3000, 4000, 5000, 8000, 8001, 8080, 8081, 8443, 8888, 9000, 9090, 50051];

/// The ports where the container may listen when it does not listen where it is asked: those it
/// declares and those its environment names, and, when it is alone in its pod, the usual ones.
pub(super) fn other_ports(pod: &Pod, container: &Container) -> Vec<u16> {
    let declared = container.ports.iter().flatten();
    let mut ports: Vec<u16> =
        declared.filter_map(|port| u16::try_from(port.container_port).ok()).collect();
    let variables = container.env.iter().flatten();
    ports.extend(
        variables
            .filter(|variable| variable.name.to_ascii_uppercase().ends_with("PORT"))
            .filter_map(|variable| variable.value.as_deref()?.parse::<u16>().ok()),
    );
    let containers = pod.spec.as_ref().map_or(0, |spec| {
        let init = spec.init_containers.iter().flatten();
        let sidecars = init.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        spec.containers.len() + sidecars.count()
    });
    if containers == 1 {
        ports.extend(USUAL);
    }
    let asked = readiness_port(container);
    ports.retain(|port| Some(*port) != asked && *port != 0);
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// One line that says what the probe asks: `GET :8080/health every 5 s, 3 failures allowed`.
pub(super) fn describe(container: &Container, probe: &Probe) -> String {
    let port = port(container, probe).map_or_else(|| "?".to_owned(), |port| port.to_string());
    let what = match (&probe.http_get, &probe.tcp_socket, &probe.exec, &probe.grpc) {
        (Some(http), _, _, _) => {
            format!("GET :{port}{}", http.path.as_deref().unwrap_or("/"))
        }
        (None, Some(_), _, _) => format!("connect :{port}"),
        (None, None, Some(exec), _) => {
            format!("run {}", exec.command.as_deref().unwrap_or_default().join(" "))
        }
        (None, None, None, _) => format!("gRPC :{port}"),
    };
    format!(
        "{what} after {} s, every {} s, {} allowed, {} s each",
        probe.initial_delay_seconds.unwrap_or(0),
        probe.period_seconds.unwrap_or(10),
        counted(
            usize::try_from(probe.failure_threshold.unwrap_or(3)).unwrap_or(0),
            "failure",
            "failures"
        ),
        probe.timeout_seconds.unwrap_or(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(json: serde_json::Value) -> Pod {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_window_is_computed_from_the_probe() {
        for (json, expect) in [
            (serde_json::json!({}), 31),
            (serde_json::json!({"periodSeconds": 1, "failureThreshold": 3}), 4),
            (
                serde_json::json!({"initialDelaySeconds": 5, "periodSeconds": 2, "timeoutSeconds": 3,
                                   "failureThreshold": 4}),
                16,
            ),
        ] {
            let probe: Probe = serde_json::from_value(json).unwrap();
            assert_eq!(window(&probe), Duration::from_secs(expect));
        }
    }

    #[test]
    fn only_a_lone_container_is_asked_at_usual_ports() {
        let web = serde_json::json!({
            "name": "web",
            "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9443}],
            "env": [{"name": "METRICS_PORT", "value": "9102"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
        });
        let lone = pod(serde_json::json!({"spec": {"containers": [web]}}));
        let container = &lone.spec.as_ref().unwrap().containers[0];
        assert_eq!(readiness_port(container), Some(8080));
        let ports = other_ports(&lone, container);
        assert!(ports.contains(&9443) && ports.contains(&9102) && ports.contains(&3000));
        assert!(!ports.contains(&8080), "the probe's own port is not another one");
        let two = pod(serde_json::json!({"spec": {"containers": [web, {"name": "proxy"}]}}));
        assert_eq!(other_ports(&two, &two.spec.as_ref().unwrap().containers[0]), [9102, 9443]);
    }
}
