//! `docker-compose.yml`.

use std::process::Command;

use serde_json::{Map, Value};

use super::{grace, installed, is_secret, read, root, text};

/// The services, with their `<<` merges resolved.
fn services() -> Map<String, Value> {
    let compose: Value = serde_yaml::from_str(&read("docker-compose.yml")).unwrap();
    let mut services = compose["services"].as_object().unwrap().clone();
    services.values_mut().for_each(merge);
    services
}

fn merge(value: &mut Value) {
    let Some(map) = value.as_object_mut() else { return };
    if let Some(mut base) = map.remove("<<") {
        merge(&mut base);
        for (key, value) in base.as_object().unwrap() {
            map.entry(key).or_insert_with(|| value.clone());
        }
    }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().map(|all| all.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

#[test]
fn no_service_can_do_more_than_it_must() {
    let services = services();
    assert_eq!(
        services.keys().map(String::as_str).collect::<Vec<_>>(),
        ["postgres", "redis", "hub", "worker-1", "worker-2"]
    );
    for (name, service) in &services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(service["restart"], "unless-stopped", "{name}");
        let user = service["user"].as_str().unwrap();
        assert!(!user.starts_with("0") && !user.starts_with("root"), "{name}: {user}");
        for absent in ["privileged", "cap_add", "network_mode", "pid", "ipc", "devices"] {
            assert!(service.get(absent).is_none(), "{name}: {absent}");
        }
        assert!(service["healthcheck"]["test"].is_array(), "{name}");
        for limit in ["cpus", "memory"] {
            let limits = &service["deploy"]["resources"]["limits"];
            assert!(limits[limit].is_string(), "{name}: no limit of {limit}");
        }
        assert!(service["pids_limit"].is_u64(), "{name}");
        let image = service["image"].as_str().unwrap();
        assert!(image.starts_with("${") && image.contains(":-"), "{name}: {image}");
    }
}

#[test]
fn secrets_come_from_outside() {
    for (name, service) in services() {
        let nothing = Map::new();
        let environment = service["environment"].as_object().unwrap_or(&nothing);
        for (key, value) in environment.iter().filter(|(key, _)| is_secret(key)) {
            let value = value.as_str().unwrap();
            assert!(value.contains("${"), "{name}: {key} is written down");
        }
        // Every process of the container can read it.
        for word in strings(&service["command"]) {
            let secret = word.split('{').nth(1).is_some_and(is_secret);
            assert!(!secret, "{name}: {word} on the command line");
        }
    }
    let example = read("deploy/compose.env.example");
    for line in example.lines().filter(|line| !line.starts_with('#')) {
        let Some((key, value)) = line.split_once('=') else { continue };
        assert!(!is_secret(key) || value.is_empty(), "{line}");
    }
    assert!(read(".gitignore").lines().any(|line| line == ".env"));
}

/// `compose.env.example` explains every `${NAME}` of the file.
#[test]
fn every_variable_is_in_the_example() {
    let example = read("deploy/compose.env.example");
    let compose = read("docker-compose.yml");
    let mut seen = 0;
    for part in compose.split("${").skip(1) {
        let end = part.find([':', '}']).unwrap();
        let name = part.get(..end).unwrap();
        let there = example
            .lines()
            .any(|line| line.trim_start_matches('#').starts_with(&format!("{name}=")));
        assert!(there, "{name}");
        seen += 1;
    }
    assert!(seen >= 10);
}

#[test]
fn the_order_of_starting_and_the_reach_of_each() {
    let services = services();
    for (name, on) in
        [("hub", &["postgres", "redis"][..]), ("worker-1", &["hub"]), ("worker-2", &["hub"])]
    {
        let depends = services[name]["depends_on"].as_object().unwrap();
        assert_eq!(depends.keys().map(String::as_str).collect::<Vec<_>>(), on);
        assert!(depends.values().all(|on| on["condition"] == "service_healthy"), "{name}");
    }
    for (name, networks) in [
        ("postgres", &["store"][..]),
        ("redis", &["store"]),
        ("hub", &["store", "workers"]),
        // A task cannot reach the database.
        ("worker-1", &["workers"]),
        ("worker-2", &["workers"]),
    ] {
        assert_eq!(strings(&services[name]["networks"]), networks, "{name}");
        let ports = strings(&services[name]["ports"]);
        assert_eq!(ports.is_empty(), name != "hub", "{name}");
        assert!(ports.iter().all(|port| port.starts_with("127.0.0.1:")), "{ports:?}");
    }
    let compose: Value = serde_yaml::from_str(&read("docker-compose.yml")).unwrap();
    for (name, service) in &services {
        for volume in strings(&service["volumes"]) {
            let (volume, _) = volume.split_once(':').unwrap();
            assert!(compose["volumes"].get(volume).is_some(), "{name}: {volume}");
        }
        if name.starts_with("worker") {
            let grace = grace(strings(&service["command"])).expect("--grace");
            let minutes = service["stop_grace_period"].as_str().unwrap();
            let minutes: u64 = minutes.strip_suffix('m').unwrap().parse().unwrap();
            assert!(minutes * 60 >= grace + 30, "{name}");
        }
    }
}

#[test]
fn compose_accepts_the_file() {
    let file = root().join("docker-compose.yml");
    let plugin = Command::new("docker").args(["compose", "version"]).output();
    let mut command = if plugin.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("docker");
        command.arg("compose");
        command
    } else {
        Command::new("docker-compose")
    };
    let example = root().join("deploy/compose.env.example");
    command.arg("--env-file").arg(example).arg("-f").arg(file).args(["config", "--quiet"]);
    let Some(output) = installed(&mut command) else { return };
    assert!(output.status.success(), "{}", text(&output));
}
