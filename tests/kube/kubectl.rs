//! Tests the simulated server with kubectl, if it is installed: commands work as on a real cluster.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::objects::{config_map, deployment, first, service};
use crate::program;
use crate::world::World;

/// The output and exit code of a command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
}

/// Whether kubectl is installed.
pub(crate) fn installed() -> bool {
    std::process::Command::new("kubectl")
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs kubectl in the scenario's namespace.
pub(crate) async fn run(world: &World, arguments: &[&str]) -> Said {
    let kubeconfig = world.kubeconfig();
    let cache = kubeconfig.with_file_name("cache");
    let begun = Instant::now();
    let output = tokio::process::Command::new("kubectl")
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--cache-dir={}", cache.display()))
        .arg(format!("--namespace={}", world.namespace))
        .args(arguments)
        .env("KUBECTL_EXTERNAL_DIFF", "diff -u -N")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
        took: begun.elapsed(),
    }
}

async fn says(world: &World, arguments: &[&str], parts: &[&str]) -> String {
    let said = run(world, arguments).await;
    assert_eq!(said.code, Some(0), "{arguments:?}: {said:?}");
    for part in parts {
        assert!(said.out.contains(part), "{part:?} is not in what {arguments:?} says: {said:?}");
    }
    said.out
}

fn write(world: &World, name: &str, objects: &[serde_json::Value]) -> String {
    let path = world.kubeconfig().with_file_name(name);
    let documents: Vec<String> =
        objects.iter().map(|object| serde_yaml::to_string(object).unwrap()).collect();
    std::fs::write(&path, documents.join("---\n")).unwrap();
    Path::to_str(&path).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_rolls_out_and_undoes() {
    if !installed() {
        return;
    }
    let world = World::on_wire().await;
    let one = write(
        &world,
        "one.yaml",
        &[
            config_map("settings", serde_json::json!({"A": "1"})),
            service(),
            deployment(&world, &program::HEALTHY),
        ],
    );
    let two = write(&world, "two.yaml", &[deployment(&world, &program::HEALTHY_TOO)]);
    let server = ["apply", "--server-side", "-f"];
    says(&world, &[&server[..], &[&one]].concat(), &["deployment.apps/web serverside-applied"])
        .await;
    let status = ["rollout", "status", "deployment/web", "--timeout=10s"];
    says(&world, &status, &["successfully rolled out"]).await;
    says(&world, &["get", "deployment,pods", "-o", "wide"], &["web"]).await;
    says(&world, &["get", "deploy", "web", "-o", "yaml"], &["availableReplicas: 1"]).await;

    let diff = run(&world, &["diff", "--server-side", "-f", &two]).await;
    assert_eq!(diff.code, Some(1), "{diff:?}");
    assert!(diff.out.contains("echo two >"), "{diff:?}");

    says(&world, &["apply", "-f", &two], &["configured"]).await;
    says(&world, &status, &["successfully rolled out"]).await;
    says(&world, &["rollout", "history", "deployment/web"], &["1", "2"]).await;
    says(&world, &["rollout", "undo", "deployment/web"], &["rolled back"]).await;
    says(&world, &status, &["successfully rolled out"]).await;
    let web = says(&world, &["get", "deploy", "web", "-o", "json"], &["echo ok"]).await;
    assert!(web.contains("\"deployment.kubernetes.io/revision\": \"3\""), "{web}");
    says(&world, &["scale", "deploy/web", "--replicas=2"], &["scaled"]).await;
    says(&world, &status, &["successfully rolled out"]).await;
    says(&world, &["logs", "deploy/web"], &["listening on 8080"]).await;
    says(&world, &["describe", "deploy/web"], &["ScalingReplicaSet", "NewReplicaSetAvailable"])
        .await;
    says(&world, &["set", "env", "deploy/web", "B=2"], &["env updated"]).await;
    says(&world, &status, &["successfully rolled out"]).await;
    says(&world, &["delete", "-f", &one, "--timeout=10s"], &["deleted"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuses_and_shows_as_a_cluster_does() {
    if !installed() {
        return;
    }
    let world = World::on_wire().await;
    let mut unknown = deployment(&world, &program::HEALTHY);
    first(&mut unknown)["imge"] = serde_json::json!("x");
    let unknown = write(&world, "unknown.yaml", &[unknown]);
    let refused = run(&world, &["apply", "-f", &unknown]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("unknown field \"spec.template.spec.containers[0].imge\""),
        "{refused:?}"
    );
    let missing = run(&world, &["get", "deploy", "nope"]).await;
    assert!(
        missing.err.contains("Error from server (NotFound): deployments.apps \"nope\" not found"),
        "{missing:?}"
    );

    let crash = write(&world, "crash.yaml", &[deployment(&world, &program::PANICS)]);
    says(&world, &["apply", "-f", &crash], &["created"]).await;
    let restarted = [
        "wait",
        "pod",
        "-l",
        "app=web",
        "--timeout=10s",
        "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
    ];
    says(&world, &restarted, &["condition met"]).await;
    let previous = ["logs", "--previous", "-l", "app=web"];
    says(&world, &previous, &["missing DATABASE_URL"]).await;
    let events = says(&world, &["events"], &["Created container: web"]).await;
    assert!(events.contains("Back-off") || events.contains("Started"), "{events}");
    // kubectl never fails early: only its own time limit ends it.
    let mut absent = deployment(&world, &program::HEALTHY);
    first(&mut absent)["image"] = format!("{}/greenloop/missing:1", world.registry).into();
    let absent = write(&world, "absent.yaml", &[absent]);
    says(&world, &["apply", "-f", &absent], &["configured"]).await;
    let status = run(&world, &["rollout", "status", "deploy/web", "--timeout=2s"]).await;
    assert_ne!(status.code, Some(0), "{status:?}");
    assert!(status.took >= Duration::from_secs(2), "{status:?}");
}
