//! The instructions of docs/deploy.md for a process and for a Docker Engine. `tests/kube/binary/readme.rs`
//! tests those for Kubernetes.

use crate::readme_paths::{put, repository, section, works};
use crate::repository::{free_port, get, page_service};
use crate::services::services;

#[test]
fn the_way_to_a_process_works_as_it_is_written() {
    let section = section("To a process");
    // The service is a build output: untracked, but part of the release.
    let repository = repository(&[(".gitignore", "/fleet\n"), ("page.txt", "hello\n")]);
    std::fs::copy(page_service(), repository.path().join("fleet")).unwrap();
    let port = free_port();
    repository.write("config.yaml", &put(&section.config, "8087", &port.to_string()));
    for line in &section.commands {
        works(&repository, line, &[]);
    }
    assert_eq!(get(port, "/health"), Some((200, "ok".to_owned())));
    let status = works(&repository, "greenloop status --environment local", &[]);
    assert!(status.stdout.contains("verified"), "{}", status.all());
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

const DOCKERFILE: &str = r#"FROM scratch
COPY busybox /bin/busybox
COPY . /src
RUN ["/bin/busybox", "test", "!", "-e", "/src/.git"]
RUN ["/bin/busybox", "test", "!", "-e", "/src/logs"]
CMD ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/src"]
"#;

#[test]
fn the_way_to_a_docker_engine_works_as_it_is_written() {
    let Some((docker, registry)) = services() else { return };
    let section = section("To a Docker Engine");
    let repository = repository(&[
        ("Dockerfile", DOCKERFILE),
        ("health", "ok\n"),
        ("index.html", "hello\n"),
        // Makes the content of the image unique.
        ("unique", &uuid::Uuid::new_v4().to_string()),
        (".gitignore", "/busybox\n"),
    ]);
    std::fs::copy("/bin/busybox", repository.path().join("busybox")).unwrap();
    let port = free_port();
    // All tests share one engine: the environment's name is unique to this test.
    let environment = format!("staging-{port}");
    let config = put(&section.config, "http://127.0.0.1:8080", &format!("http://127.0.0.1:{port}"));
    let config = put(&config, "127.0.0.1:5000", &registry);
    repository.write("config.yaml", &put(&config, "  staging:", &format!("  {environment}:")));
    let variables = [("DOCKER_HOST", docker.as_str())];
    for line in &section.commands {
        if line.starts_with("docker run ") {
            // "unless a registry already runs": it does.
            assert!(line.contains("registry:2"), "{line}");
            continue;
        }
        let line = line.replace("--environment staging", &format!("--environment {environment}"));
        let outcome = works(&repository, &line, &variables);
        if line.starts_with("greenloop") {
            // A note says that `.git` is left out; there is none for Greenloop's own files.
            let words = outcome.all().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains("`COPY .git .git`"), "{}", outcome.all());
        }
    }
    assert_eq!(get(port, "/health"), Some((200, "ok\n".to_owned())));
    // Once more: the run's files do not change the content key.
    let again = format!("greenloop --environment {environment}");
    let again = works(&repository, &again, &variables);
    assert!(again.all().contains("already in the registry"), "{}", again.all());
    remove_containers(&docker, &environment);
}

fn remove_containers(docker: &str, environment: &str) {
    let socket = docker.strip_prefix("unix://").expect("a local engine");
    let label = format!("dev.greenloop.environment={environment}");
    let script = r#"curl -sg --unix-socket "$1" \
        "http://x/containers/json?all=1&filters=%7B%22label%22%3A%5B%22$2%22%5D%7D" | jq -r '.[].Id' |
        while read -r id; do
            curl -sg -X DELETE --unix-socket "$1" "http://x/containers/$id?force=1"
        done"#;
    let removed =
        std::process::Command::new("sh").args(["-c", script, "sh", socket, &label]).status();
    assert!(removed.unwrap().success());
}
