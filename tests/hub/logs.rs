//! Output of attempts and gates: sent while it is written, kept, and found again.

use serde_json::{Value, json};

use super::farm::{Farm, command, id_of};
use super::program::{Client, Hub, greenloop, reports, tasks, until};
use super::stores::Place;

/// The log from `offset` on, as one text.
async fn whole(client: &Client, path: &str) -> (String, Value) {
    let (mut text, mut offset) = (String::new(), 0);
    loop {
        let part = client.get(&format!("{path}&offset={offset}")).await.expect(200);
        text.push_str(part["text"].as_str().unwrap());
        if part["next"] == offset {
            return (text, part);
        }
        offset = part["next"].as_i64().unwrap();
    }
}

#[tokio::test]
async fn a_piece_is_added_once_and_only_by_who_holds_the_lease() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        admin.submit(tasks(1)).await;
        let claimed = admin.claim("w1", 0).await.unwrap();
        let (at, id) = (reports(&claimed), &claimed["task"]["id"]);
        let append = async |offset: usize, text: &str| {
            admin.post(&format!("{at}/log"), json!({"offset": offset, "text": text})).await
        };
        let red = "\u{1b}[31mred\u{1b}[0m\n";
        assert_eq!(append(0, red).await.expect(200)["size"], red.len());
        // Again; and again with more behind it.
        assert_eq!(append(0, red).await.expect(200)["size"], red.len());
        let longer = format!("{red}Error: it broke\n");
        assert_eq!(append(0, &longer).await.expect(200)["size"], longer.len());
        let path = format!("/tasks/{id}/log?epoch=1");
        let (text, part) = whole(&admin, &path).await;
        assert_eq!((text.as_str(), &part["ended"]), (longer.as_str(), &json!(false)));
        // A gap, which is passed over.
        append(longer.len() + 100, "after\n").await.expect(200);
        let part = admin.get(&format!("{path}&offset={}", longer.len())).await.expect(200);
        assert_eq!(
            (&part["text"], &part["offset"]),
            (&json!("after\n"), &json!(longer.len() + 100))
        );
        append(0, &"x".repeat((256 << 10) + 1)).await.problem(422, "invalid");

        let found = admin.get(&format!("/logs/search?q=ERROR&task={id}")).await.expect(200);
        let line = json!({"task": id, "epoch": 1, "source": "attempt", "offset": red.len(), "line": "Error: it broke"});
        assert_eq!(found, json!({"items": [line], "complete": true}));
        let none = admin.get("/logs/search?q=nowhere").await.expect(200);
        assert_eq!(none["items"], json!([]));

        let other = hub.client(&place.token(&["--scope", "work", "--agent", "w2"]));
        let theirs = other.post(&format!("{at}/log"), json!({"offset": 0, "text": "x"})).await;
        theirs.problem(403, "forbidden");
        admin.post(&format!("{at}/complete"), json!({})).await.expect(200);
        append(longer.len() + 106, "late\n").await.problem(409, "stale-lease");
        let logs = admin.get(&format!("/tasks/{id}/logs")).await.expect(200);
        assert_eq!(logs["items"][0]["ended"], true, "{logs:#}");
        admin.get("/tasks/4711/logs").await.problem(404, "not-found");
        admin.get("/tasks/4711/log?wait=5").await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn of_a_long_log_the_beginning_and_the_end_are_kept() {
    for place in Place::all() {
        let hub = Hub::start(&place);
        let admin = hub.admin(&place);
        admin.submit(tasks(1)).await;
        let claimed = admin.claim("w1", 0).await.unwrap();
        let (at, id) = (reports(&claimed), &claimed["task"]["id"]);
        let (piece, count) = (256 << 10, 48);
        for nth in 0..count {
            let mut text = format!("piece {nth}\n");
            text.push_str(&"-".repeat(piece - text.len() - 1));
            text.push('\n');
            let body = json!({"offset": nth * piece, "text": text});
            admin.post(&format!("{at}/log"), body).await.expect(200);
        }
        let (text, part) = whole(&admin, &format!("/tasks/{id}/log?epoch=1")).await;
        assert_eq!(part["size"], count * piece);
        assert!(text.len() <= 9 << 20, "{} bytes", text.len());
        let kept: Vec<&str> = text.lines().filter(|it| it.starts_with("piece")).collect();
        assert_eq!(kept[..4], ["piece 0", "piece 1", "piece 2", "piece 3"]);
        assert_eq!(*kept.last().unwrap(), "piece 47");
        assert!(!kept.contains(&"piece 10"), "{kept:?}");
    }
}

#[tokio::test]
async fn output_of_a_worker_and_of_gates_can_be_followed() {
    let (place, farm) = (Place::sqlite(), Farm::new(&[("shared", "nobody\n")]));
    let hub = Hub::start(&place);
    let admin = hub.admin(&place);
    let (token, marks) = (place.token(&["--scope", "work"]), farm.marks());
    let (go, gate) = (marks.join("go"), marks.join("gate"));
    let wait =
        |file: &std::path::Path| format!("while ! test -e {}; do sleep 0.1; done", file.display());
    let secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
    let line = format!(
        "printf '\\033[32mbuilding\\033[0m with {secret}\\nlinking them all\\n'; {}; echo built; echo x > new",
        wait(&go)
    );
    let mut body = farm.graph(json!([command("a", &line)]));
    let gates = format!(
        "echo checking; {}; echo \"error: new is not wanted\" >&2; test ! -e new",
        wait(&gate)
    );
    body["gates"] = json!([gates]);
    body["tasks"][0]["max_attempts"] = json!(1);
    let graph = admin.post("/graphs", body).await.expect(201)["id"].as_i64().unwrap();
    let _worker = farm.worker(&hub, &token, "w1").start();
    let id = id_of(&admin, graph, "a").await;

    // While the command waits.
    let part = until("output", async || {
        let part = admin.get(&format!("/tasks/{id}/log?wait=5")).await;
        (part.status == 200 && part.body["text"] != "").then_some(part.body)
    })
    .await;
    let text = part["text"].as_str().unwrap();
    assert!(text.starts_with("\u{1b}[32mbuilding\u{1b}[0m"), "{text}");
    assert!(!text.contains(secret), "{text}");
    assert_eq!(part["ended"], false);
    std::fs::write(&go, "").unwrap();

    // While the gate waits.
    let gate_log = format!("/tasks/{id}/log?source=gate%201");
    until("output of the gate", async || {
        let part = admin.get(&format!("{gate_log}&wait=5")).await;
        (part.status == 200 && part.body["text"].as_str().unwrap().contains("checking"))
            .then_some(())
    })
    .await;
    assert_eq!(admin.get(&gate_log).await.expect(200)["ended"], false);
    std::fs::write(&gate, "").unwrap();
    farm.ended(&admin, graph, "failed").await;
    let (text, part) = whole(&admin, &gate_log).await;
    assert!(text.contains("error: new is not wanted"), "{text}");
    assert_eq!(part["ended"], true);

    // What matters of it is evidence of the task.
    let evidence = admin.get(&format!("/tasks/{id}/evidence")).await.expect(200);
    let gate =
        evidence["items"].as_array().unwrap().iter().find(|it| it["kind"] == "test").unwrap();
    assert!(gate["title"].as_str().unwrap().starts_with("gates failed on"), "{gate:#}");
    assert!(gate["body"].as_str().unwrap().contains("error: new is not wanted"), "{gate:#}");

    let cli = |arguments: &[&str]| {
        let output = greenloop()
            .args(["tasks", "log", &id.to_string(), "--hub", &hub.url("")])
            .args(arguments)
            .env("GREENLOOP_HUB_TOKEN", &token)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = cli(&["--follow"]);
    assert!(printed.starts_with("building with ") && printed.ends_with("built\n"), "{printed}");
    assert!(cli(&["--list"]).contains("gate 1"));
    assert!(cli(&["--search", "NOT WANTED"]).contains("gate 1: error: new is not wanted"));
}
