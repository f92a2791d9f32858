//! Merge queues of real hubs, with real workers.

use std::collections::BTreeSet;

use greenloop_hub::store::{StoreOptions, TaskStore};
use serde_json::{Value, json};

use super::farm::{Farm, attempts, command, git, id_of};
use super::program::{Hub, greenloop, until};
use super::stores::Place;

/// Checks that every tip of `main` since its first commit has a passing record of exactly that
/// commit. Returns the number of tips.
async fn every_tip_was_tested(place: &Place, farm: &Farm, branch: &str) -> usize {
    let options = StoreOptions { connections: 1, ..StoreOptions::default() };
    let store = TaskStore::open(&place.url, options).await.unwrap();
    let first = farm.git(&["rev-list", "--max-parents=0", branch]);
    let tips = farm.git(&["rev-list", "--first-parent", &format!("{first}..{branch}")]);
    for tip in tips.lines() {
        let record = store.gate_record(1, branch, tip).await.unwrap();
        assert!(record.is_some_and(|it| it.passed), "{tip} on {branch} has no passing record");
    }
    tips.lines().count()
}

/// The only entry of the task's last attempt, if it exists.
async fn queue(client: &super::program::Client) -> Vec<Value> {
    client.get("/merge-queue?limit=100").await.expect(200)["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn two_hubs_race_for_one_branch_and_one_is_killed() {
    let Some(place) = Place::postgres() else {
        eprintln!("skipped: GREENLOOP_TEST_POSTGRES names no server");
        return;
    };
    let farm = Farm::new(&[("shared", "nobody\n")]);
    let ahead = ["--listen", "127.0.0.1:0", "--speculate", "3"];
    let (mut one, two) = (Hub::start_with(&place, &ahead), Hub::start_with(&place, &ahead));
    let admin = two.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // The first attempts of two of them fail the gates.
    let tasks = (0..12).map(|n| {
        let bad =
            if [3, 7].contains(&n) { "test $GREENLOOP_TASK_EPOCH != 1 || touch bad;" } else { "" };
        command(&n.to_string(), &format!("{bad} echo {n} > file{n}"))
    });
    let graph = admin.post("/graphs", farm.graph(tasks.collect())).await.expect(201);
    let _workers: Vec<_> = (0..3)
        .map(|n| {
            let hub = if n == 0 { &one } else { &two };
            farm.worker(hub, &token, &format!("w{n}")).start()
        })
        .collect();
    until("some merges", async || {
        let merged = queue(&admin).await.iter().filter(|it| it["state"] == "merged").count();
        (merged >= 3).then_some(())
    })
    .await;
    one.kill();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    assert_eq!(every_tip_was_tested(&place, &farm, "main").await, 12);
    let files = farm.git(&["ls-tree", "--name-only", "main"]);
    let files: BTreeSet<&str> = files.lines().collect();
    assert_eq!(files.len(), 13, "{files:?}");
    let queue = queue(&admin).await;
    let of = |state: &str| queue.iter().filter(|it| it["state"] == state).count();
    assert_eq!((of("merged"), of("ejected"), queue.len()), (12, 2, 14), "{queue:#?}");
}

#[tokio::test]
async fn conflicts_are_done_anew_and_then_wait_while_the_queue_goes_on() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    // Whenever this task has finished, somebody else has changed the same file.
    let clash = format!(
        "echo \"$GREENLOOP_TASK_PREVIOUS\" >> {marks}/previous; git clone -q {remote} ../other-$GREENLOOP_TASK_EPOCH && \
         cd ../other-$GREENLOOP_TASK_EPOCH && echo other $GREENLOOP_TASK_EPOCH > shared && \
         git -c user.name=o -c user.email=o@localhost commit -qam other && git push -q && \
         cd - && rm -rf ../other-$GREENLOOP_TASK_EPOCH && echo mine $GREENLOOP_TASK_EPOCH > shared",
        marks = farm.marks().display(),
        remote = farm.remote().display(),
    );
    let mut after = command("after", "echo fine > after");
    after["priority"] = json!(9);
    let mut clash = command("clash", &clash);
    clash["max_attempts"] = json!(1);
    let tasks = json!([clash, after]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let graph = graph["id"].as_i64().unwrap();
    let _worker = farm.worker(&hub, &token, "w1").start();
    let task = id_of(&admin, graph, "clash").await;
    let blocked = until("a person is asked for", async || {
        let task = admin.get(&format!("/tasks/{task}")).await.expect(200);
        (task["state"] == "blocked").then_some(task)
    })
    .await;
    assert!(
        blocked["reason"].as_str().unwrap().contains("- shared: the same lines were changed"),
        "{blocked:#}"
    );
    assert_eq!(attempts(&admin, task).await, ["ejected", "ejected"]);
    let previous = std::fs::read_to_string(farm.marks().join("previous")).unwrap();
    assert!(previous.trim_start().contains("conflicts with main"), "{previous}");
    // The work is on a branch for a person, both times.
    let refs = farm.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads/conflict"]);
    assert_eq!(refs.lines().count(), 2, "{refs}");
    assert_eq!(farm.git(&["show", &format!("conflict/{task}:shared")]), "mine 1");
    let after = id_of(&admin, graph, "after").await;
    until("the other task is merged", async || {
        (admin.get(&format!("/tasks/{after}")).await.expect(200)["state"] == "done").then_some(())
    })
    .await;
    // The person rejects it.
    admin.post(&format!("/tasks/{task}/cancel"), json!({})).await.expect(200);
    farm.ended(&admin, graph, "cancelled").await;
    assert_eq!(farm.git(&["show", "main:shared"]), "other 2");
}

#[tokio::test]
async fn an_epics_branch_goes_to_main_when_the_epic_is_done() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let mut tasks: Vec<Value> = ["1.1", "1.2", "1.3"]
        .map(|key| {
            let mut task = command(key, &format!("echo {key} > {key}"));
            task["epic"] = json!("1");
            task
        })
        .into();
    tasks[2]["needs"] = json!(["1.1", "1.2"]);
    tasks[2]["action"]["command"] = json!("cat 1.1 1.2 > 1.3");
    tasks.push(command("2", "test ! -e 1.3; echo 2 > 2"));
    let mut last = command("3", "cat 1.3 2 > 3");
    last["conditions"] = json!([{"epic": "1", "at_least": 100}]);
    last["needs"] = json!(["2"]);
    tasks.push(last);
    let mut body = farm.graph(json!(tasks));
    body["epics"] = json!([{"key": "1", "title": "Repositories", "branch": "epic-1/repositories"}]);
    let graph = admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap();
    let _workers = ["w1", "w2"].map(|name| farm.worker(&hub, &token, name).start());
    farm.ended(&admin, graph, "done").await;
    assert_eq!(every_tip_was_tested(&place, &farm, "epic-1/repositories").await, 3);
    assert_eq!(every_tip_was_tested(&place, &farm, "main").await, 3);
    assert_eq!(farm.git(&["show", "main:3"]), "1.1\n1.2\n2");
    let home = id_of(&admin, graph, "1-merge").await;
    let task = admin.get(&format!("/tasks/{home}")).await.expect(200);
    assert_eq!(task["title"], "Merge epic-1/repositories into main");
    let tip = farm.git(&["rev-parse", "epic-1/repositories"]);
    farm.git(&["merge-base", "--is-ancestor", &tip, "main"]);
}

#[tokio::test]
async fn a_repository_that_is_away_only_lets_the_queue_wait() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start_with(&place, &["--listen", "127.0.0.1:0", "--no-merges"]);
    let admin = hub.admin(&place);
    let token = place.token(&["--scope", "work"]);
    let tasks = json!([command("a", "echo a > a")]);
    let graph = admin.post("/graphs", farm.graph(tasks)).await.expect(201);
    let _worker = farm.worker(&hub, &token, "w1").start();
    until("its commit waits", async || {
        (queue(&admin).await.first()?["state"] == "queued").then_some(())
    })
    .await;
    let away = farm.path().join("away.git");
    std::fs::rename(farm.remote(), &away).unwrap();
    let merging = Hub::start(&place);
    until("the branch rests", async || {
        let branches =
            merging.client(admin.token.as_ref().unwrap()).get("/branches").await.expect(200);
        let resting =
            branches["items"].as_array().unwrap().iter().any(|it| it["reason"].is_string());
        resting.then_some(())
    })
    .await;
    assert_eq!(queue(&admin).await[0]["state"], "queued");
    std::fs::rename(&away, farm.remote()).unwrap();
    farm.ended(&admin, graph["id"].as_i64().unwrap(), "done").await;
    assert_eq!(every_tip_was_tested(&place, &farm, "main").await, 1);
}

/// The hold of `main` in the API.
async fn hold(client: &super::program::Client) -> Option<Value> {
    let branches = client.get("/branches").await.expect(200);
    let items = branches["items"].as_array().unwrap();
    let main = items.iter().find(|it| it["name"] == "main" && it["kind"] == "target")?;
    main.get("hold").filter(|it| it.is_object()).cloned()
}

/// A person's commit on `main`, with `--force` if it is not a fast-forward.
fn by_hand(farm: &Farm, name: &str, from: &str, change: &str) -> String {
    let place = farm.path().join(format!("person-{name}"));
    git(farm.path(), &["clone", "-q", "remote.git", place.to_str().unwrap()]);
    git(&place, &["checkout", "-q", "--detach", from]);
    let changed =
        std::process::Command::new("sh").args(["-c", change]).current_dir(&place).status();
    assert!(changed.unwrap().success(), "{change}");
    git(&place, &["add", "-A"]);
    let author = format!("{name} <p@localhost>");
    git(&place, &["commit", "-q", "--allow-empty", "-m", "by hand", "--author", &author]);
    git(&place, &["push", "-q", "--force", "origin", "HEAD:refs/heads/main"]);
    git(&place, &["rev-parse", "HEAD"])
}

/// `greenloop tasks …` against a hub.
fn tasks(hub: &Hub, token: &str, arguments: &[&str]) -> String {
    let output = greenloop()
        .arg("tasks")
        .args(arguments)
        .args(["--hub", &hub.url("")])
        .env("GREENLOOP_HUB_TOKEN", token)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

async fn all_tasks(client: &super::program::Client, graph: i64) -> Vec<Value> {
    let tasks = client.get(&format!("/tasks?graph={graph}&limit=100")).await.expect(200);
    tasks["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_target_broken_by_hand_blames_no_task() {
    for place in Place::all() {
        let farm = Farm::new(&[("shared", "nobody\n")]);
        let (mut hub, other) = (Hub::start(&place), Hub::start(&place));
        let admin = other.admin(&place);
        let secret = admin.token.clone().unwrap();
        let token = place.token(&["--scope", "work"]);
        let _workers = ["w1", "w2"].map(|name| farm.worker(&other, &token, name).start());
        let first = farm.graph(json!([command("0", "echo 0 > file0")]));
        let first = admin.post("/graphs", first).await.expect(201)["id"].as_i64().unwrap();
        farm.ended(&admin, first, "done").await;
        let bad = by_hand(&farm, "Ada", "origin/main", "touch bad");
        let six = (1..=6).map(|n| command(&n.to_string(), &format!("echo {n} > file{n}")));
        let graph = admin.post("/graphs", farm.graph(six.collect())).await.expect(201);
        let graph = graph["id"].as_i64().unwrap();
        let held = until("the queue is on hold", async || hold(&admin).await).await;
        assert_eq!((&held["reason"], &held["author"]), (&json!("target_broken"), &json!("Ada")));
        assert_eq!(held["commit"], json!(bad));
        assert!(held["text"].as_str().unwrap().contains("broken since commit"), "{held:#}");
        until("all six wait in the queue", async || {
            let all = all_tasks(&admin, graph).await;
            all.iter().all(|it| it["state"] == "merging").then_some(())
        })
        .await;
        // The hub that detected it stops; the hold stays.
        hub.kill();
        let _later = Hub::start(&place);
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        for task in all_tasks(&admin, graph).await {
            let (state, attempts) = (&task["state"], &task["attempts"]);
            assert_eq!((state, attempts), (&json!("merging"), &json!(1)), "{task:#}");
        }
        assert!(hold(&admin).await.is_some());
        let shown = tasks(&other, &secret, &["status"]);
        assert!(shown.contains("on hold since") && shown.contains("by Ada"), "{shown}");
        let ejected = admin.get("/merge-queue?state=ejected").await.expect(200);
        assert_eq!(ejected["items"], json!([]));
        by_hand(&farm, "Bob", "origin/main", "rm bad");
        farm.ended(&admin, graph, "done").await;
        assert_eq!(hold(&admin).await, None);
        for task in all_tasks(&admin, graph).await {
            assert_eq!(attempts(&admin, task["id"].as_i64().unwrap()).await, ["succeeded"]);
        }
    }
}

#[tokio::test]
async fn a_rewind_waits_for_a_person_and_is_followed() {
    for place in Place::all() {
        let farm = Farm::new(&[("shared", "nobody\n")]);
        let (hub, other) = (Hub::start(&place), Hub::start(&place));
        let admin = hub.admin(&place);
        let secret = admin.token.clone().unwrap();
        let token = place.token(&["--scope", "work"]);
        let _worker = farm.worker(&hub, &token, "w1").start();
        let begin = farm.git(&["rev-parse", "main"]);
        let three = (1..=3).map(|n| command(&n.to_string(), &format!("echo {n} > file{n}")));
        let graph = admin.post("/graphs", farm.graph(three.collect())).await.expect(201);
        let graph = graph["id"].as_i64().unwrap();
        farm.ended(&admin, graph, "done").await;
        // Work that starts here has all three; then a person removes them.
        let go = farm.marks().join("go");
        let began = farm.marks().join("began");
        let line = format!(
            "touch {}; until test -e {}; do sleep 0.05; done; echo 4 > file4",
            began.display(),
            go.display()
        );
        let late = farm.graph(json!([command("4", &line)]));
        let late = admin.post("/graphs", late).await.expect(201)["id"].as_i64().unwrap();
        until("it is worked on", async || began.exists().then_some(())).await;
        farm.git(&["update-ref", "refs/heads/main", &begin]);
        std::fs::write(&go, "").unwrap();
        let held = until("the queue is on hold", async || hold(&admin).await).await;
        assert_eq!(held["reason"], "target_rewound");
        assert_eq!(held["lost"].as_array().unwrap().len(), 3, "{held:#}");
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        assert_eq!(farm.git(&["rev-parse", "main"]), begin, "nothing came back");
        let shown = tasks(&other, &secret, &["queue"]);
        assert!(shown.contains("missing:") && shown.contains("Task 3"), "{shown}");
        std::fs::remove_file(&go).unwrap();
        tasks(&other, &secret, &["queue", "follow"]);
        until("what was rewound is open again", async || {
            let open = all_tasks(&admin, graph).await;
            open.iter().all(|it| it["state"] != "done").then_some(())
        })
        .await;
        std::fs::write(&go, "").unwrap();
        farm.ended(&admin, graph, "done").await;
        farm.ended(&admin, late, "done").await;
        // Everything is there, redone, without the removed commits.
        let files = farm.git(&["ls-tree", "--name-only", "main"]);
        assert_eq!(files, "file1\nfile2\nfile3\nfile4\nshared");
        assert_eq!(farm.git(&["rev-list", "--first-parent", "--count", "main"]), "5");
        let four = all_tasks(&admin, late).await.remove(0);
        assert_eq!(attempts(&admin, four["id"].as_i64().unwrap()).await, ["ejected", "succeeded"]);
        assert_eq!(four["attempts"], 1, "an attempt that was not to blame does not count");
    }
}

#[tokio::test]
async fn ten_tasks_on_one_line_are_all_merged() {
    for place in Place::all() {
        let farm = Farm::new(&[("shared", "names:\n"), ("aside", "")]);
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        let token = place.token(&["--scope", "work"]);
        let tell = format!("echo \"$GREENLOOP_TASK_PREVIOUS\" >> {}/told", farm.marks().display());
        let ten = (0..10).map(|n| {
            let mut task =
                command(&format!("t{n}"), &format!("{tell}; sed -i 's/$/ t{n}/' shared"));
            task["max_attempts"] = json!(2);
            task
        });
        let graph = admin.post("/graphs", farm.graph(ten.collect())).await.expect(201);
        let graph = graph["id"].as_i64().unwrap();
        let _workers: Vec<_> =
            (0..4).map(|n| farm.worker(&hub, &token, &format!("w{n}")).start()).collect();
        farm.ended(&admin, graph, "done").await;
        let line = farm.git(&["show", "main:shared"]);
        let names: BTreeSet<&str> = line.trim().split(' ').skip(1).collect();
        assert_eq!(names.len(), 10, "{line}");
        for task in all_tasks(&admin, graph).await {
            assert_eq!(task["attempts"], 1, "a conflict is nobody's fault: {task:#}");
            let tries = attempts(&admin, task["id"].as_i64().unwrap()).await;
            assert!(tries.len() <= 2, "one conflict each at most: {tries:?}");
        }
        let queue = queue(&admin).await;
        assert!(queue.iter().all(|it| it["unsolved"] == false), "{queue:#?}");
        let told = std::fs::read_to_string(farm.marks().join("told")).unwrap();
        assert!(told.contains("conflicts with main"), "{told}");
        assert!(told.contains("Merge task/") && told.contains("+names:"), "{told}");
    }
}
