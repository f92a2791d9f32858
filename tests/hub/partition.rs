//! A network partition between a worker and its hub, and its end. The worker runs in a separate
//! network namespace: this needs root and `ip` (Debian: iproute2), or
//! `GREENLOOP_TEST_NAMESPACES=skip`.

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::farm::{Farm, attempts, command};
use super::program::{Hub, until};
use super::stores::Place;

/// A veth pair from this machine to a namespace; removed on drop.
struct Cable {
    name: String,
    subnet: u8,
}

impl Cable {
    /// `None` to skip these tests.
    fn new(subnet: u8) -> Option<Self> {
        if std::env::var("GREENLOOP_TEST_NAMESPACES").is_ok_and(|it| it == "skip") {
            return None;
        }
        let cable = Self { name: format!("gl{}-{subnet}", std::process::id() % 100_000), subnet };
        let Self { name, .. } = &cable;
        let inside = format!("{name}i");
        ip(&["netns", "add", name]);
        ip(&["link", "add", name, "type", "veth", "peer", "name", &inside, "netns", name]);
        ip(&["addr", "add", &format!("{}/30", cable.here()), "dev", name]);
        ip(&["link", "set", name, "up"]);
        let there = format!("10.213.{subnet}.2/30");
        ip(&["-n", name, "addr", "add", &there, "dev", &inside]);
        ip(&["-n", name, "link", "set", &inside, "up"]);
        ip(&["-n", name, "link", "set", "lo", "up"]);
        Some(cable)
    }

    fn here(&self) -> String {
        format!("10.213.{}.1", self.subnet)
    }

    /// Silently drops packets from now on.
    fn cut(&self) {
        ip(&["link", "set", &self.name, "down"]);
    }

    fn repair(&self) {
        ip(&["link", "set", &self.name, "up"]);
    }

    /// A hub that listens at this end.
    fn hub(&self, place: &Place) -> Hub {
        let listen = format!("{}:0", self.here());
        Hub::start_with(place, &["--listen", &listen, "--insecure-http"])
    }

    /// The command that starts a program at the other end.
    fn other_end(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["link", "del", &self.name]).output();
        let _gone = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?} (as root): {output:?}");
}

#[tokio::test]
async fn a_worker_that_was_cut_off_for_too_long_changes_nothing() {
    let Some(cable) = Cable::new(1) else { return };
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = cable.hub(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // It continues and finishes during the partition.
    let work = format!(
        "touch {}/e$GREENLOOP_TASK_EPOCH; echo $GREENLOOP_TASK_EPOCH > who; \
         test $GREENLOOP_TASK_EPOCH != 1 || sleep 2",
        farm.marks().display()
    );
    let graph = admin.post("/graphs", farm.graph(json!([command("a", &work)]))).await.expect(201);
    let far = farm.worker(&hub, &token, "far").lease(2).through(&cable.other_end()).start();
    until("it works", async || farm.marked("e1").then_some(())).await;
    cable.cut();
    let _near = farm.worker(&hub, &token, "near").at(farm.path().join("near")).start();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    let tip = farm.git(&["rev-parse", "main"]);

    cable.repair();
    until("what it did is of no use", async || far.log().contains("Stale").then_some(())).await;
    assert_eq!(attempts(&admin, 1).await, ["lost", "succeeded"]);
    assert_eq!(farm.git(&["rev-parse", "main"]), tip);
    assert_eq!(farm.git(&["show", "main:who"]), "2");
    // Afterwards it works normally.
    let heard = async || {
        let agent = admin.get("/agents/far").await.expect(200);
        (agent["state"] == "idle").then_some(())
    };
    until("it is heard of again", heard).await;
}

#[tokio::test]
async fn a_worker_that_was_cut_off_for_a_moment_goes_on() {
    let Some(cable) = Cable::new(2) else { return };
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = cable.hub(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let work = format!(
        "touch {}/e$GREENLOOP_TASK_EPOCH; sleep 3; echo $GREENLOOP_TASK_EPOCH > who",
        farm.marks().display()
    );
    let graph = admin.post("/graphs", farm.graph(json!([command("a", &work)]))).await.expect(201);
    let _far = farm.worker(&hub, &token, "far").lease(30).through(&cable.other_end()).start();
    until("it works", async || farm.marked("e1").then_some(())).await;
    cable.cut();
    tokio::time::sleep(Duration::from_secs(5)).await;
    cable.repair();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    assert_eq!(attempts(&admin, 1).await, ["succeeded"]);
    assert_eq!(farm.git(&["show", "main:who"]), "1");
}
