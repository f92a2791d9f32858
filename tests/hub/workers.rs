//! Workers as processes on a real hub: killed, stopped past their lease, drained, timed out.

use std::path::PathBuf;

use serde_json::json;

use super::farm::{Farm, attempts, command, id_of};
use super::program::{Hub, until};
use super::stores::Place;

/// The first attempt takes long; each writes a mark, and its epoch to a file.
fn first_is_slow(farm: &Farm, seconds: u32) -> String {
    format!(
        "touch {}/e$GREENLOOP_TASK_EPOCH; echo $GREENLOOP_TASK_EPOCH > who; \
         test $GREENLOOP_TASK_EPOCH != 1 || sleep {seconds}",
        farm.marks().display()
    )
}

async fn mark(farm: &Farm, name: &str) {
    until(name, async || farm.marked(name).then_some(())).await;
}

/// `other` gets the task of a stopped worker, which then continues.
async fn zombie(other: &str) {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let work = first_is_slow(&farm, 3);
    let graph = admin.post("/graphs", farm.graph(json!([command("a", &work)]))).await.expect(201);
    let (graph, task) = (graph["id"].as_i64().unwrap(), 1);
    let zombie = farm.worker(&hub, &token, "w1").lease(2).start();
    mark(&farm, "e1").await;
    zombie.signal("STOP");
    let elsewhere = farm.path().join("elsewhere");
    let _another = farm.worker(&hub, &token, other).at(elsewhere).start();
    farm.ended(&admin, graph, "done").await;
    let before = admin.get(&format!("/tasks/{task}")).await.expect(200);
    let tip = farm.git(&["rev-parse", "main"]);
    zombie.signal("CONT");
    let said = "discarded";
    until(said, async || zombie.log().contains(said).then_some(())).await;
    assert!(zombie.log().contains("Stale"), "{}", zombie.log());
    let late = json!({"commit": tip, "summary": "late"});
    let late = admin.post(&format!("/tasks/{task}/attempts/1/complete"), late).await;
    late.problem(409, "stale-lease");
    assert_eq!(admin.get(&format!("/tasks/{task}")).await.expect(200), before);
    assert_eq!(attempts(&admin, task).await, ["lost", "succeeded"]);
    assert_eq!(farm.git(&["rev-parse", "main"]), tip);
    assert_eq!(farm.git(&["show", "main:who"]), "2");
    assert_eq!(farm.git(&["for-each-ref", "--format=%(refname)", "refs/heads/task/1/e1"]), "");
}

#[tokio::test]
async fn a_zombie_changes_nothing() {
    zombie("w2").await;
}

#[tokio::test]
async fn a_zombie_whose_name_is_in_use_again_changes_nothing() {
    zombie("w1").await;
}

#[tokio::test]
async fn a_killed_workers_task_goes_to_another() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let work = first_is_slow(&farm, 300);
    let graph = admin.post("/graphs", farm.graph(json!([command("a", &work)]))).await.expect(201);
    let mut first = farm.worker(&hub, &token, "w1").lease(2).start();
    mark(&farm, "e1").await;
    let second = farm.worker(&hub, &token, "w2").start();
    first.kill();
    until("the loss is noticed", async || (attempts(&admin, 1).await == ["lost"]).then_some(()))
        .await;
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    assert_eq!(attempts(&admin, 1).await, ["lost", "succeeded"]);
    // The next worker of its name cleans up its leftovers.
    let left = farm.path().join("workers/w1/tasks/1-e1");
    assert!(left.exists());
    let _again = farm.worker(&hub, &token, "w1").start();
    until("the clean-up", async || (!left.exists()).then_some(())).await;
    drop(second);
}

#[tokio::test]
async fn a_busy_worker_is_not_taken_for_dead() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // Longer than the hub's start-up grace and several leases, with all cores busy.
    let work = "for n in 1 2 3 4 5 6; do nice timeout 14 sh -c 'while :; do :; done' & done; wait; \
                echo 'progress: 80%'; sleep 2; date > who";
    let graph = admin.post("/graphs", farm.graph(json!([command("a", work)]))).await.expect(201);
    let _worker = farm.worker(&hub, &token, "w1").lease(5).start();
    let percent = async || {
        let task = admin.get("/tasks/1").await.expect(200);
        (task["percent"] == 80).then_some(())
    };
    until("what it says of itself", percent).await;
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    assert_eq!(attempts(&admin, 1).await, ["succeeded"]);
}

#[tokio::test]
async fn sigterm_lets_a_task_end_and_takes_no_other() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let slow = format!("touch {}/begun; sleep 2; date > who", farm.marks().display());
    let tasks = json!([command("a", &slow), command("b", "true")]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let mut worker = farm.worker(&hub, &token, "w1").start();
    mark(&farm, "begun").await;
    worker.signal("TERM");
    worker.ended().await;
    assert_eq!(attempts(&admin, 1).await, ["succeeded"]);
    assert_eq!(attempts(&admin, 2).await, [] as [&str; 0]);
    let _next = farm.worker(&hub, &token, "w2").start();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
}

#[tokio::test]
async fn a_worker_that_may_wait_no_longer_hands_its_task_back() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let work = first_is_slow(&farm, 300);
    let graph = admin.post("/graphs", farm.graph(json!([command("a", &work)]))).await.expect(201);
    let mut worker = farm.worker(&hub, &token, "w1").with(&["--grace", "1"]).start();
    mark(&farm, "e1").await;
    worker.signal("TERM");
    worker.ended().await;
    assert_eq!(attempts(&admin, 1).await, ["returned"]);
    assert_eq!(admin.get("/tasks/1").await.expect(200)["attempts"], 0);
    assert_eq!(processes_in(&farm), Vec::<PathBuf>::new());
    let _next = farm.worker(&hub, &token, "w2").start();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
}

/// Working directories of processes in the workers' folders.
fn processes_in(farm: &Farm) -> Vec<PathBuf> {
    let workers = farm.path().join("workers");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let folders = all.filter_map(|entry| std::fs::read_link(entry.path().join("cwd")).ok());
    folders.filter(|cwd| cwd.starts_with(&workers)).collect()
}

#[tokio::test]
async fn a_cancel_ends_what_runs() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let slow = format!("touch {}/begun; date > who; sleep 300", farm.marks().display());
    let tasks = json!([command("a", &slow), command("b", "true")]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let worker = farm.worker(&hub, &token, "w1").start();
    mark(&farm, "begun").await;
    let task = id_of(&admin, graph, "a").await;
    admin.post(&format!("/tasks/{task}/cancel"), json!({})).await.expect(200);
    until("its end", async || processes_in(&farm).is_empty().then_some(())).await;
    until("the next task", async || {
        (attempts(&admin, id_of(&admin, graph, "b").await).await == ["succeeded"]).then_some(())
    })
    .await;
    assert_eq!(attempts(&admin, task).await, ["cancelled"]);
    assert!(worker.log().contains("Cancelled"), "{}", worker.log());
    assert_eq!(farm.git(&["for-each-ref", "--format=%(refname)", "refs/heads/task"]), "");
}

/// The library that changes a process's clock, from Debian's package `faketime` or from
/// `GREENLOOP_TEST_FAKETIME`; `None` if that is `skip`.
fn faketime() -> Option<PathBuf> {
    let named = std::env::var_os("GREENLOOP_TEST_FAKETIME").map(PathBuf::from);
    if named.as_deref().is_some_and(|it| it.as_os_str() == "skip") {
        return None;
    }
    let places = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let packaged = places.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    let found = named.into_iter().chain(packaged).find(|path| path.exists());
    Some(found.expect("install faketime, or set GREENLOOP_TEST_FAKETIME to its library, or `skip`"))
}

#[tokio::test]
async fn workers_with_wrong_clocks_keep_their_leases() {
    let Some(library) = faketime() else { return };
    let (place, farm) = (Place::sqlite(), Farm::new(&[("who", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // Longer than the hub's start-up grace and several leases.
    let line =
        |key: &str| format!("date +%s > {}/{key}; sleep 14; date > {key}", farm.marks().display());
    let tasks = json!([command("a", &line("a")), command("b", &line("b"))]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let skewed = |name: &str, by: &str| {
        farm.worker(&hub, &token, name)
            .lease(5)
            .env("LD_PRELOAD", library.to_str().unwrap())
            .env("FAKETIME", by)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_RESET", "1")
            .start()
    };
    let _workers = [skewed("early", "-10m"), skewed("late", "+10m")];
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    let now = jiff::Timestamp::now();
    let mut off = Vec::new();
    for (task, key) in [(1, "a"), (2, "b")] {
        assert_eq!(attempts(&admin, task).await, ["succeeded"]);
        let attempt = admin.get(&format!("/tasks/{task}/attempts")).await.expect(200);
        let began: jiff::Timestamp =
            attempt["items"][0]["started_at"].as_str().unwrap().parse().unwrap();
        assert!(now.duration_since(began).as_secs().abs() < 60, "{began}: the database's time");
        let theirs = std::fs::read_to_string(farm.marks().join(key)).unwrap();
        off.push((theirs.trim().parse::<i64>().unwrap() - began.as_second()) / 60);
    }
    off.sort_unstable();
    assert!(off[0] <= -9 && off[1] >= 9, "their clocks were wrong: {off:?}");
}
