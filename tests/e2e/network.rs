//! `network: [hosts]` and `fetch:` of gates, with local servers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::repository::{Outcome, Repository, deployable, free_port};

/// A server that answers every connection with a page, and counts them.
struct Pages {
    port: u16,
    served: Arc<AtomicUsize>,
}

impl Pages {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let mut bytes = [0; 4096];
                let _request = stream.read(&mut bytes);
                let _gone = stream.write_all(
                    b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\nthe page",
                );
            }
        });
        Self { port, served }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

/// Tries what a program could: `page` by the proxy, `tunnel` through it, and `direct` past it.
const PROBE: &str = r#"
import http.client, os, socket, sys, urllib.parse

def proxy():
    address = urllib.parse.urlsplit(os.environ["HTTPS_PROXY"])
    return http.client.HTTPConnection(address.hostname, address.port, timeout=20)

def page(port):
    connection = proxy()
    connection.request("GET", f"http://127.0.0.1:{port}/a")
    answer = connection.getresponse()
    return f"{answer.status} {answer.read().decode()}"

def tunnel(port):
    connection = proxy()
    connection.set_tunnel("127.0.0.1", port)
    try:
        connection.request("GET", "/a")
    except OSError as error:
        return str(error)
    return f"{connection.getresponse().status}"

def direct(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return "connected"
    except OSError:
        return "no connection"

def datagram(port):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"out", ("127.0.0.1", port))
        return "sent"
    except OSError:
        return "not sent"

listed, other, udp = map(int, sys.argv[1:4])
said = [page(listed), tunnel(listed), page(other), tunnel(other), direct(listed), direct(other),
        datagram(udp)]
for line in said:
    print("probe:", line)
sys.exit(int(sys.argv[4]))
"#;

fn repository(hosts: &str) -> Repository {
    let config = format!(
        "environments:\n  local:\n    url: http://127.0.0.1:1\n    health_endpoint: /\n\
         deploy:\n  method: process\n  process:\n    command: [x]\n    artifacts: [x]\n\
         sandbox:\n  network: {hosts}\n"
    );
    Repository::new(&[("config.yaml", &config), ("probe.py", PROBE)])
}

#[test]
fn a_command_reaches_the_listed_hosts_through_the_proxy_and_no_others() {
    for level in ["A", "B"] {
        let (listed, other) = (Pages::start(), Pages::start());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        let repository = repository(&format!("['127.0.0.1:{}']", listed.port));
        let probe = |code: u32| {
            let line = format!(
                "python3 probe.py {} {} {} {code}",
                listed.port,
                other.port,
                udp.local_addr().unwrap().port()
            );
            let mut command = repository.greenloop();
            command.args(["heal", "--", &line]).env("GREENLOOP_SANDBOX_AT_MOST", level);
            command.env("HTTPS_PROXY", "").env("NO_PROXY", "*");
            let outcome: Outcome = command.output().unwrap().into();
            let logs = repository.run_folder().join("stages");
            let log = std::fs::read_dir(logs).unwrap().next().unwrap().unwrap().path();
            (outcome, std::fs::read_to_string(log).unwrap())
        };
        let (outcome, log) = probe(0);
        assert_eq!(outcome.code, Some(0), "{level}: {}", outcome.all());
        let said: Vec<&str> = log.lines().filter_map(|it| it.strip_prefix("probe: ")).collect();
        assert_eq!(said[0], "200 the page", "{level}: {log}");
        assert_eq!(said[1], "200", "{level}: {log}");
        assert!(said[2].starts_with("403 the sandbox refuses 127.0.0.1:"), "{level}: {log}");
        assert!(said.iter().any(|it| it.contains("Tunnel connection failed: 403")), "{log}");
        let direct = said.iter().filter(|it| **it == "no connection").count();
        assert_eq!(direct, 2, "{level}: {log}");
        assert_eq!((listed.served(), other.served()), (2, 0), "{level}");
        assert!(udp.recv(&mut [0; 8]).is_err(), "{level}: a datagram came out");

        // What was refused is part of what a failure is told with.
        let (outcome, _) = probe(1);
        let refused = format!("connections to 127.0.0.1:{}", other.port);
        assert!(outcome.all().contains(&refused), "{level}: {}", outcome.all());
    }
}

#[test]
fn a_list_that_is_none_is_a_mistake_in_the_configuration() {
    for (hosts, says) in [
        ("['https://crates.io']", "is not a host"),
        ("['*.io']", "is not a host"),
        ("[]", "the list of hosts is empty"),
        ("fetch", "`fetch` is for a gate"),
    ] {
        let outcome = repository(hosts).run(&["config", "check"]);
        assert_eq!(outcome.code, Some(2), "{hosts}: {}", outcome.all());
        assert!(outcome.all().contains(says), "{hosts}: {}", outcome.all());
    }
    let good = repository("[crates.io, '*.npmjs.org', 'nexus.example.org:8443']");
    let outcome = good.run(&["config", "check"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.all());
    let shown = good.run(&["config", "show"]);
    assert!(shown.all().contains("nexus.example.org:8443"), "{}", shown.all());
}

/// Prints the page at the port, by the proxy where there is one.
const GET: &str = r#"
import http.client, os, sys, urllib.parse
port = int(sys.argv[1])
address = urllib.parse.urlsplit(os.environ.get("HTTP_PROXY") or f"http://127.0.0.1:{port}")
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
connection.request("GET", f"http://127.0.0.1:{port}/")
answer = connection.getresponse()
assert answer.status == 200, answer.status
print(answer.read().decode())
"#;

#[test]
fn dependencies_are_fetched_with_the_network_and_the_gate_runs_without() {
    for (network, level) in [("true", "A"), ("true", "B"), ("['127.0.0.1:PORT']", "A")] {
        let pages = Pages::start();
        let repository = deployable(free_port(), "the page\n", "page", "");
        let get = format!("python3 get.py {}", pages.port);
        let gate = format!(
            "    fetch: '{get} >\"$HOME/fetched\"'\n    network: {}\n",
            network.replace("PORT", &pages.port.to_string())
        );
        let config = repository.read("config.yaml").replace(
            "    command: \"! grep -n teh page.txt\"\n",
            &format!("    command: 'grep -q page \"$HOME/fetched\" && ! {get}'\n{gate}"),
        );
        assert!(config.contains("fetch:"), "{config}");
        repository.write("config.yaml", &config);
        repository.write("get.py", GET);
        repository.commit("a gate with dependencies");
        let run = || {
            let mut command = repository.greenloop();
            command.args(["run", "--environment", "local"]);
            command.env("GREENLOOP_SANDBOX_AT_MOST", level).env_remove("HTTP_PROXY");
            Outcome::from(command.output().unwrap())
        };
        let outcome = run();
        assert_eq!(outcome.code, Some(0), "{network} {level}: {}", outcome.all());
        assert_eq!(pages.served(), 1, "{network} {level}");

        // What cannot be fetched keeps the gate from running, and says so.
        repository.write("config.yaml", &config.replace("fetch: 'python3", "fetch: 'false &&"));
        repository.commit("no dependencies");
        let outcome = run();
        assert_ne!(outcome.code, Some(0), "{}", outcome.all());
        let says = "could not be fetched";
        assert!(outcome.all().contains(says), "{network} {level}: {}", outcome.all());
        assert_eq!(pages.served(), 1, "{network} {level}");
    }
}

#[test]
fn a_gate_without_a_known_lock_file_is_told_to_name_its_command() {
    let repository = deployable(free_port(), "the page\n", "page", "");
    let config = repository
        .read("config.yaml")
        .replace("    required: true\n", "    required: true\n    network: fetch\n");
    repository.write("config.yaml", &config);
    repository.commit("fetch");
    let outcome = repository.run(&["run", "--environment", "local"]);
    assert_ne!(outcome.code, Some(0), "{}", outcome.all());
    assert!(outcome.all().contains("finds no lock file"), "{}", outcome.all());
}
