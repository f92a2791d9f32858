//! Against servers on the wire: the two REST APIs as they are documented, and git's own
//! `http-backend` behind a server that asks for a password.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::remote::{Remote, Repository};
use super::*;
use greenloop_model::RunId;
use greenloop_ports::{Proposed, PullRequestErrorKind};

fn plan(provider: PullRequestProvider, api_url: Option<String>) -> PullRequestPlan {
    PullRequestPlan {
        provider: Some(provider),
        target_branch: None,
        remote: "origin".into(),
        token_env: None,
        api_url,
        ..PullRequestPlan::default()
    }
}

const TOKEN: &str = "token-0123456789";

fn env(name: &str) -> Option<String> {
    matches!(name, "SYSTEM_ACCESSTOKEN" | "GITHUB_TOKEN" | "GITLAB_TOKEN").then(|| TOKEN.to_owned())
}

fn proposed(branch: &str, failure: u8) -> Proposed {
    Proposed {
        branch: branch.into(),
        base: "main".into(),
        title: "Repair: the page is misspelt".into(),
        body: format!("What broke\n{}", "evidence ".repeat(100)),
        fingerprint: Fingerprint::from_digest([failure; 8]),
        draft: true,
    }
}

/// A provider, as far as pull requests go. What is in `kind` comes before anything is done,
/// or, when `after`, in the place of the answer to what was done.
#[derive(Default)]
struct State {
    pulls: Vec<Value>,
    comments: Vec<(u64, Value)>,
    labels: HashMap<u64, Vec<String>>,
    seen: Vec<String>,
    kind: Vec<(&'static str, u16, bool)>,
    labels_forbidden: bool,
}

type Shared = Arc<Mutex<State>>;

impl State {
    fn troubled(&mut self, method: &str, after: bool) -> Option<ResponseTemplate> {
        let at = self.kind.iter().position(|(m, _, a)| *m == method && *a == after)?;
        let (_, status, _) = self.kind.remove(at);
        let answer = ResponseTemplate::new(status);
        Some(match status {
            203 => answer.set_body_raw("<html>Sign In</html>", "text/html"),
            429 => answer.insert_header("retry-after", "0"),
            _ => answer.set_body_json(json!({"message": format!("no, {TOKEN} is no good")})),
        })
    }
}

fn query(request: &Request) -> HashMap<String, String> {
    request.url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

fn page(list: Vec<Value>, skip: usize, top: usize) -> Vec<Value> {
    list.into_iter().skip(skip).take(top).collect()
}

struct Azure(Shared);

impl Respond for Azure {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let method = request.method.as_str();
        state.seen.push(format!("{method} {}", request.url.path()));
        if request.headers.get("authorization").map(|v| v.to_str().unwrap())
            != Some(&format!("Bearer {TOKEN}"))
        {
            return ResponseTemplate::new(302).insert_header("location", "/_signin");
        }
        if let Some(kind) = state.troubled(method, false) {
            return kind;
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let root = "/tfs/Main/Fleet%20App/_apis/git/repositories/web";
        let path = request.url.path().strip_prefix(root).expect("the repository's API").to_owned();
        let query = query(request);
        assert!(query.contains_key("api-version"));
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let answer = match (method, segments.as_slice()) {
            ("GET", ["pullrequests"]) => {
                assert_eq!(query["searchCriteria.status"], "active");
                let fits = |pull: &&Value| {
                    let is = |key: &str, criterion: &str| {
                        query.get(criterion).is_none_or(|wanted| pull[key] == **wanted)
                    };
                    is("targetRefName", "searchCriteria.targetRefName")
                        && is("sourceRefName", "searchCriteria.sourceRefName")
                };
                let found = state.pulls.iter().filter(fits).cloned().map(|mut pull| {
                    let text = pull["description"].as_str().unwrap_or_default();
                    pull["description"] = text.chars().take(400).collect::<String>().into();
                    pull
                });
                let number = |key: &str| query[key].parse().unwrap();
                let value = page(found.collect(), number("$skip"), number("$top"));
                (200, json!({"count": value.len(), "value": value}))
            }
            ("POST", ["pullrequests"]) => {
                let text = body["description"].as_str().unwrap();
                assert!(text.encode_utf16().count() <= 4000);
                let there = state.pulls.iter().any(|pull| {
                    ["sourceRefName", "targetRefName"].iter().all(|key| pull[key] == body[key])
                });
                if there {
                    return ResponseTemplate::new(409).set_body_json(json!({
                        "message": "TF401179: An active pull request for the source and target branch already exists.",
                        "typeKey": "GitPullRequestExistsException",
                    }));
                }
                let mut pull = body;
                pull["pullRequestId"] = json!(state.pulls.len() + 1);
                pull["repository"] =
                    json!({"webUrl": "https://tfs.corp/tfs/Main/Fleet%20App/_git/web"});
                state.pulls.push(pull.clone());
                (201, pull)
            }
            ("POST", ["pullRequests", number, "threads"]) => {
                let comment = body["comments"][0]["content"].clone();
                state.comments.push((number.parse().unwrap(), comment));
                (200, json!({"id": 1}))
            }
            ("POST", ["pullRequests", number, "labels"]) => {
                if state.labels_forbidden {
                    return ResponseTemplate::new(403).set_body_json(json!({"message": "TF..."}));
                }
                let name = body["name"].as_str().unwrap().to_owned();
                state.labels.entry(number.parse().unwrap()).or_default().push(name);
                (200, json!({"active": true}))
            }
            other => panic!("no such resource: {other:?}"),
        };
        match state.troubled(method, true) {
            Some(kind) => kind,
            None => ResponseTemplate::new(answer.0).set_body_json(answer.1),
        }
    }
}

struct Hub(Shared);

impl Respond for Hub {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let method = request.method.as_str();
        state.seen.push(format!("{method} {}", request.url.path()));
        let header = |name: &str| request.headers.get(name).map(|v| v.to_str().unwrap());
        assert!(header("user-agent").is_some_and(|agent| agent.starts_with("greenloop/")));
        assert_eq!(header("accept"), Some("application/vnd.github+json"));
        assert_eq!(header("x-github-api-version"), Some("2022-11-28"));
        if header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return ResponseTemplate::new(401).set_body_json(json!({"message": "Bad credentials"}));
        }
        if let Some(kind) = state.troubled(method, false) {
            return kind;
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request.url.path().strip_prefix("/api/v3/repos/acme/fleet/").unwrap().to_owned();
        let query = query(request);
        let segments: Vec<&str> = path.split('/').collect();
        let answer = match (method, segments.as_slice()) {
            ("GET", ["pulls"]) => {
                assert_eq!(query["state"], "open");
                let fits = |pull: &&Value| pull["base"]["ref"] == query["base"].as_str();
                let found = state.pulls.iter().filter(fits).cloned().collect();
                let number = |key: &str| query[key].parse::<usize>().unwrap();
                let size = number("per_page");
                (200, Value::from(page(found, (number("page") - 1) * size, size)))
            }
            ("POST", ["pulls"]) => {
                let there = state.pulls.iter().any(|pull| {
                    pull["head"]["ref"] == body["head"] && pull["base"]["ref"] == body["base"]
                });
                if there {
                    return ResponseTemplate::new(422).set_body_json(json!({
                        "message": "Validation Failed",
                        "errors": [{"message": "A pull request already exists for acme:x."}],
                    }));
                }
                let number = state.pulls.len() + 1;
                let repo = json!({"full_name": "acme/fleet"});
                let pull = json!({
                    "number": number,
                    "html_url": format!("https://github.corp/acme/fleet/pull/{number}"),
                    "title": body["title"], "body": body["body"], "draft": body["draft"],
                    "head": {"ref": body["head"], "repo": repo},
                    "base": {"ref": body["base"], "repo": repo},
                });
                state.pulls.push(pull.clone());
                (201, pull)
            }
            ("POST", ["issues", number, "comments"]) => {
                state.comments.push((number.parse().unwrap(), body["body"].clone()));
                (201, json!({"id": 1}))
            }
            ("POST", ["issues", number, "labels"]) => {
                if state.labels_forbidden {
                    return ResponseTemplate::new(403).set_body_json(json!({"message": "no"}));
                }
                let names = body["labels"].as_array().unwrap().iter();
                let names = names.map(|name| name.as_str().unwrap().to_owned());
                state.labels.entry(number.parse().unwrap()).or_default().extend(names);
                (200, json!([]))
            }
            other => panic!("no such resource: {other:?}"),
        };
        match state.troubled(method, true) {
            Some(kind) => kind,
            None => ResponseTemplate::new(answer.0).set_body_json(answer.1),
        }
    }
}

/// A provider that is running, and a client of it that does not wait long.
struct Lab(Shared);

impl Respond for Lab {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.0.lock().unwrap();
        let method = request.method.as_str();
        state.seen.push(format!("{method} {}", request.url.path()));
        if request.headers.get("authorization").map(|v| v.to_str().unwrap())
            != Some(&format!("Bearer {TOKEN}"))
        {
            return ResponseTemplate::new(401)
                .set_body_json(json!({"message": "401 Unauthorized"}));
        }
        if let Some(kind) = state.troubled(method, false) {
            return kind;
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let root = "/api/v4/projects/acme%2Ffleet/";
        let path = request.url.path().strip_prefix(root).expect("the project's API").to_owned();
        let query = query(request);
        let segments: Vec<&str> = path.split('/').collect();
        let answer = match (method, segments.as_slice()) {
            ("GET", ["merge_requests"]) => {
                assert_eq!(query["state"], "opened");
                let fits = |it: &&Value| it["target_branch"] == query["target_branch"].as_str();
                let found = state.pulls.iter().filter(fits).cloned().collect();
                let number = |key: &str| query[key].parse::<usize>().unwrap();
                let size = number("per_page");
                (200, Value::from(page(found, (number("page") - 1) * size, size)))
            }
            ("POST", ["merge_requests"]) => {
                let there = state.pulls.iter().any(|pull| {
                    ["source_branch", "target_branch"].iter().all(|key| pull[key] == body[key])
                });
                if there {
                    return ResponseTemplate::new(409).set_body_json(json!({
                        "message": ["Another open merge request already exists for this source branch: !1"],
                    }));
                }
                let number = state.pulls.len() as u64 + 1;
                let labels = body["labels"].as_str().unwrap().split(',').map(str::to_owned);
                state.labels.insert(number, labels.collect());
                let mut pull = body;
                pull["iid"] = number.into();
                pull["web_url"] =
                    format!("https://gitlab.corp/acme/fleet/-/merge_requests/{number}").into();
                pull["draft"] = pull["title"].as_str().unwrap().starts_with("Draft: ").into();
                pull["source_project_id"] = 3.into();
                pull["target_project_id"] = 3.into();
                state.pulls.push(pull.clone());
                (201, pull)
            }
            ("POST", ["merge_requests", number, "notes"]) => {
                state.comments.push((number.parse().unwrap(), body["body"].clone()));
                (201, json!({"id": 1}))
            }
            other => panic!("no such resource: {other:?}"),
        };
        match state.troubled(method, true) {
            Some(kind) => kind,
            None => ResponseTemplate::new(answer.0).set_body_json(answer.1),
        }
    }
}

struct Running {
    _server: MockServer,
    state: Shared,
    client: Box<dyn PullRequests>,
}

async fn start(provider: PullRequestProvider, token: &str) -> Running {
    let server = MockServer::start().await;
    let state = Shared::default();
    let mock = match provider {
        PullRequestProvider::AzureDevops => {
            Mock::given(any()).respond_with(Azure(Arc::clone(&state)))
        }
        PullRequestProvider::Github => Mock::given(any()).respond_with(Hub(Arc::clone(&state))),
        PullRequestProvider::Gitlab => Mock::given(any()).respond_with(Lab(Arc::clone(&state))),
    };
    mock.mount(&server).await;
    let (address, api) = match provider {
        PullRequestProvider::AzureDevops => {
            (format!("{}/tfs/Main/Fleet%20App/_git/web", server.uri()), None)
        }
        PullRequestProvider::Github => {
            ("git@github.corp:acme/fleet.git".to_owned(), Some(format!("{}/api/v3/", server.uri())))
        }
        PullRequestProvider::Gitlab => {
            ("git@gitlab.corp:acme/fleet.git".to_owned(), Some(format!("{}/api/v4/", server.uri())))
        }
    };
    let plan = plan(provider, api);
    let env = |name: &str| {
        matches!(name, "SYSTEM_ACCESSTOKEN" | "GITHUB_TOKEN" | "GITLAB_TOKEN")
            .then(|| token.to_owned())
    };
    let repository = Remote::parse(&address).repository(&plan, &env).unwrap();
    let token = Token::find(&plan, provider, &env).unwrap();
    let mut wire = Wire::new(token, &Redactor::default()).unwrap();
    wire.retry = wire.retry.with_min_delay(Duration::from_millis(5));
    let client: Box<dyn PullRequests> = match repository {
        Repository::AzureDevops(place) => Box::new(AzureRepos::new(place, wire)),
        Repository::Github(place) => Box::new(GitHub::new(place, wire)),
        Repository::Gitlab(place) => Box::new(Gitlab::new(place, wire)),
    };
    Running { _server: server, state, client }
}

const ALL: [PullRequestProvider; 3] =
    [PullRequestProvider::AzureDevops, PullRequestProvider::Github, PullRequestProvider::Gitlab];

fn text(state: &Shared, at: usize) -> String {
    let state = state.lock().unwrap();
    let pull = &state.pulls[at];
    pull.get("description").or_else(|| pull.get("body")).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_pull_request_stays_open_for_one_failure() {
    for provider in ALL {
        let running = start(provider, TOKEN).await;
        let first = running.client.open(&proposed("greenloop/1", 1)).await.unwrap();
        assert_eq!((first.number, first.reused), (1, false), "{provider:?}");
        assert!(first.url.ends_with("/1"), "{}", first.url);
        assert!(text(&running.state, 0).starts_with("<!-- greenloop:fingerprint=01"));
        {
            let state = running.state.lock().unwrap();
            assert_eq!(state.labels[&1], ["greenloop", "greenloop-0101010101010101"]);
            let pull = &state.pulls[0];
            let draft = if pull["draft"].is_null() { &pull["isDraft"] } else { &pull["draft"] };
            assert_eq!(*draft, true);
        }

        let again = running.client.open(&proposed("greenloop/2", 1)).await.unwrap();
        assert_eq!((again.number, again.reused), (1, true), "{provider:?}");
        assert_eq!(again.url, first.url);
        {
            let state = running.state.lock().unwrap();
            let (number, said) = &state.comments[0];
            assert_eq!(*number, 1);
            assert!(said.as_str().unwrap().contains("`greenloop/2`"), "{said}");
        }
        // The very branch that is open already needs no comment.
        let same = running.client.open(&proposed("greenloop/1", 1)).await.unwrap();
        assert_eq!((same.number, same.reused), (1, true));
        assert_eq!(running.state.lock().unwrap().comments.len(), 1);

        let other = running.client.open(&proposed("greenloop/3", 2)).await.unwrap();
        assert_eq!((other.number, other.reused), (2, false), "{provider:?}");
        let elsewhere = Proposed { base: "develop".into(), ..proposed("greenloop/4", 1) };
        assert!(!running.client.open(&elsewhere).await.unwrap().reused, "{provider:?}");
    }
}

#[tokio::test]
async fn a_secret_that_reached_the_description_is_not_sent() {
    let _guard = Redactor::new(["Pull-Exit-7-x".to_owned()]).guard_exits();
    for provider in ALL {
        let running = start(provider, TOKEN).await;
        let mut proposed = proposed("greenloop/1", 1);
        proposed.body = "the key is Pull-Exit-7-x, it says".into();
        running.client.open(&proposed).await.unwrap();
        let said = text(&running.state, 0);
        assert!(said.contains("the key is *************, it says"), "{said}");
    }
}

#[tokio::test]
async fn a_marker_in_somebody_elses_pull_request_counts_for_nothing() {
    let marker = marker(&Fingerprint::from_digest([1; 8]));
    let azure = start(PullRequestProvider::AzureDevops, TOKEN).await;
    let pull = |source: &str, fork: Value| {
        json!({
            "pullRequestId": 9, "sourceRefName": source, "targetRefName": "refs/heads/main",
            "description": marker, "forkSource": fork,
        })
    };
    azure.state.lock().unwrap().pulls = vec![
        pull("refs/heads/feature", Value::Null),
        pull("refs/heads/greenloop/9", json!({"repository": {"id": "x"}})),
    ];
    assert!(!azure.client.open(&proposed("greenloop/1", 1)).await.unwrap().reused);

    let hub = start(PullRequestProvider::Github, TOKEN).await;
    let pull = |branch: &str, repo: Value| {
        json!({
            "number": 9, "html_url": "https://github.corp/9", "body": marker,
            "head": {"ref": branch, "repo": repo},
            "base": {"ref": "main", "repo": {"full_name": "acme/fleet"}},
        })
    };
    hub.state.lock().unwrap().pulls = vec![
        pull("feature", json!({"full_name": "acme/fleet"})),
        pull("greenloop/9", json!({"full_name": "mallory/fleet"})),
        pull("greenloop/9", Value::Null),
    ];
    assert!(!hub.client.open(&proposed("greenloop/1", 1)).await.unwrap().reused);
}

#[tokio::test]
async fn the_open_one_is_found_beyond_the_first_page() {
    for provider in ALL {
        let running = start(provider, TOKEN).await;
        running.client.open(&proposed("greenloop/1", 1)).await.unwrap();
        {
            let mut state = running.state.lock().unwrap();
            let own = state.pulls.remove(0);
            let mut other = own.clone();
            for key in ["description", "body"] {
                if other.get(key).is_some() {
                    other[key] = "".into();
                }
            }
            match provider {
                PullRequestProvider::AzureDevops => {
                    other["sourceRefName"] = "refs/heads/x".into();
                }
                PullRequestProvider::Github => other["head"]["ref"] = "x".into(),
                PullRequestProvider::Gitlab => other["source_branch"] = "x".into(),
            }
            state.pulls = vec![other; 150];
            state.pulls.push(own);
        }
        let again = running.client.open(&proposed("greenloop/2", 1)).await.unwrap();
        assert!(again.reused, "{provider:?}");
    }
}

#[tokio::test]
async fn trouble_that_passes_is_waited_out_and_a_lost_answer_makes_no_second_one() {
    for provider in ALL {
        for kind in [
            vec![("GET", 503, false), ("GET", 429, false)],
            vec![("POST", 503, false), ("POST", 429, false)],
            // Creation, but the answer was lost: looked for, and found.
            vec![("POST", 502, true)],
        ] {
            let running = start(provider, TOKEN).await;
            running.state.lock().unwrap().kind = kind.clone();
            let made = running.client.open(&proposed("greenloop/1", 1)).await.unwrap();
            assert_eq!((made.number, made.reused), (1, false), "{provider:?} {kind:?}");
            let state = running.state.lock().unwrap();
            assert_eq!(state.pulls.len(), 1);
            assert!(state.kind.is_empty(), "{provider:?} {kind:?}");
        }
        let running = start(provider, TOKEN).await;
        running.state.lock().unwrap().kind = vec![("GET", 500, false); 10];
        let error = running.client.open(&proposed("greenloop/1", 1)).await.unwrap_err();
        assert_eq!(error.kind, PullRequestErrorKind::Unreachable);
        assert_eq!(running.state.lock().unwrap().seen.len(), 4);
    }
}

#[tokio::test]
async fn refusals_name_the_missing_permission_and_no_secret() {
    for provider in ALL {
        let right = match provider {
            PullRequestProvider::AzureDevops => "Contribute to pull requests",
            PullRequestProvider::Github => "pull-requests: write",
            PullRequestProvider::Gitlab => "the scope api",
        };
        for (status, kind, says) in [
            (403, PullRequestErrorKind::Auth, right),
            (401, PullRequestErrorKind::Auth, right),
            (404, PullRequestErrorKind::Auth, right),
            (203, PullRequestErrorKind::Auth, right),
            (400, PullRequestErrorKind::Rejected, " request: HTTP 400"),
        ] {
            let running = start(provider, TOKEN).await;
            running.state.lock().unwrap().kind = vec![("POST", status, false)];
            let error = running.client.open(&proposed("greenloop/1", 1)).await.unwrap_err();
            assert_eq!(error.kind, kind, "{provider:?} {status}");
            assert!(error.message.contains(says), "{error}");
            assert!(!error.message.contains(TOKEN), "{error}");
        }
        let running = start(provider, "wrong").await;
        let error = running.client.open(&proposed("greenloop/1", 1)).await.unwrap_err();
        assert_eq!(error.kind, PullRequestErrorKind::Auth, "{error}");
        assert_eq!(running.state.lock().unwrap().seen.len(), 1, "no second try");

        // Labels are a convenience.
        let running = start(provider, TOKEN).await;
        running.state.lock().unwrap().labels_forbidden = true;
        assert!(running.client.open(&proposed("greenloop/1", 1)).await.is_ok());
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable() {
    let plan = plan(PullRequestProvider::Github, Some("http://127.0.0.1:1".into()));
    let token = Token::find(&plan, PullRequestProvider::Github, &env).unwrap();
    let mut wire = Wire::new(token, &Redactor::default()).unwrap();
    wire.retry = wire.retry.with_min_delay(Duration::from_millis(1));
    let Ok(Repository::Github(place)) =
        Remote::parse("git@github.com:acme/fleet").repository(&plan, &env)
    else {
        panic!("a repository at GitHub");
    };
    let error = GitHub::new(place, wire).open(&proposed("greenloop/1", 1)).await.unwrap_err();
    assert_eq!(error.kind, PullRequestErrorKind::Unreachable);
    assert!(error.message.contains("127.0.0.1"), "{error}");
}

#[test]
fn labels_say_who_keeps_the_repository() {
    for (address, label, limit) in [
        (
            "https://me@dev.azure.com/fleet/Fleet/_git/web",
            "Azure Repos dev.azure.com/fleet/Fleet/web",
            3_936,
        ),
        ("git@github.com:acme/fleet.git", "GitHub acme/fleet", 65_024),
    ] {
        let mut plan = plan(PullRequestProvider::Github, None);
        plan.provider = None;
        let connected = connect(&plan, address, &env, &Redactor::default()).unwrap();
        assert_eq!((connected.label().as_str(), connected.body_limit()), (label, limit));
    }
}

// --- Pushing --------------------------------------------------------------------------------

/// A clone with a bare repository behind it.
struct Clones {
    folder: tempfile::TempDir,
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Clones {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self { folder };
        git(made.folder.path(), &["init", "-q", "--bare", "-b", "main", "web.git"]);
        git(&made.bare(), &["config", "http.receivepack", "true"]);
        git(made.folder.path(), &["init", "-q", "-b", "main", "work"]);
        git(&made.work(), &["commit", "-q", "--allow-empty", "-m", "first"]);
        git(&made.work(), &["branch", "greenloop/1"]);
        made
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("web.git")
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn pushed(&self, branch: &str) -> Option<String> {
        let found = git(&self.bare(), &["for-each-ref", "--format=%(objectname)", branch]);
        (!found.is_empty()).then_some(found)
    }

    async fn push(&self, address: &str, plan: &PullRequestPlan) -> Result<(), PullRequestError> {
        let mut pusher = Pusher::new(plan, address, &env, &Redactor::default())?;
        pusher.retry = pusher.retry.with_min_delay(Duration::from_millis(5));
        let cancel = CancellationToken::new();
        pusher.push(&self.work(), "greenloop/1", RunId::generate(), &cancel).await
    }
}

/// What the server in front of git does.
#[derive(Default)]
struct Front {
    /// Every `Authorization` header of every request.
    seen: Vec<Vec<String>>,
    wanted: String,
    /// Answers this many requests with 503 first.
    unwell: usize,
    /// The status of a refusal.
    refusal: u16,
}

/// git's own server behind one that asks for a token. Returns its address.
async fn serve(root: &Path, front: Arc<Mutex<Front>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let root = root.to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (root, front) = (root.clone(), Arc::clone(&front));
            tokio::spawn(async move { answer(stream, &root, &front).await });
        }
    });
    address
}

async fn answer(mut stream: TcpStream, root: &Path, front: &Mutex<Front>) {
    let mut received = Vec::new();
    let head = loop {
        let mut piece = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut piece).await else { return };
        received.extend_from_slice(&piece[..length]);
        if let Some(at) = received.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
    };
    let head_text = String::from_utf8(received[..head].to_vec()).unwrap();
    let mut lines = head_text.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
    let length: usize = header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut body = received[head + 4..].to_vec();
    while body.len() < length {
        let mut piece = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut piece).await else { return };
        body.extend_from_slice(&piece[..read]);
    }
    let refused = {
        let mut front = front.lock().unwrap();
        let sent: Vec<String> =
            headers.iter().filter(|(n, _)| n == "authorization").map(|(_, v)| v.clone()).collect();
        let known = sent == [front.wanted.clone()];
        front.seen.push(sent);
        if front.unwell > 0 {
            front.unwell -= 1;
            Some(503)
        } else {
            (!known).then_some(front.refusal)
        }
    };
    if let Some(status) = refused {
        let text =
            format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _gone = stream.write_all(text.as_bytes()).await;
        return;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = path.strip_prefix("/fleet/Fleet/_git").unwrap_or(path);
    let mut backend = tokio::process::Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REMOTE_USER", "t")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", length.to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = backend.stdin.take().unwrap();
    stdin.write_all(&body).await.unwrap();
    drop(stdin);
    let output = backend.wait_with_output().await.unwrap().stdout;
    let at = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let cgi = String::from_utf8(output[..at].to_vec()).unwrap();
    let status = cgi.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK");
    let mut text = format!("HTTP/1.1 {status}\r\n{cgi}\r\nconnection: close\r\n");
    text.push_str(&format!("content-length: {}\r\n\r\n", output.len() - at - 4));
    let _gone = stream.write_all(text.as_bytes()).await;
    let _gone = stream.write_all(&output[at + 4..]).await;
}

#[tokio::test]
async fn a_branch_is_pushed_with_the_token_and_nothing_else() {
    let clones = Clones::new();
    let wanted = format!("Bearer {TOKEN}");
    let front =
        Arc::new(Mutex::new(Front { wanted: wanted.clone(), refusal: 401, ..Front::default() }));
    let base = serve(clones.folder.path(), Arc::clone(&front)).await;
    let address = format!("{base}/fleet/Fleet/_git/web.git");
    let plan = plan(PullRequestProvider::AzureDevops, None);

    // What a pipeline's checkout leaves behind, and a hook that would send the token away.
    git(
        &clones.work(),
        &[
            "config",
            &format!("http.{address}.extraheader"),
            "AUTHORIZATION: bearer of-the-checkout",
        ],
    );
    let hooks = clones.folder.path().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let spied = clones.folder.path().join("spied");
    for name in ["pre-push", "reference-transaction"] {
        let script = format!("#!/bin/sh\nenv >>'{}'\n", spied.display());
        std::fs::write(hooks.join(name), script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(hooks.join(name), mode).unwrap();
    }
    git(&clones.work(), &["config", "core.hooksPath", hooks.to_str().unwrap()]);

    // A user name in the remote's address would make git ask for a password.
    let with_user = address.replace("http://", "http://fleet@");
    clones.push(&with_user, &plan).await.unwrap();
    let head = git(&clones.work(), &["rev-parse", "greenloop/1"]);
    assert_eq!(clones.pushed("refs/heads/greenloop/1"), Some(head));
    assert!(!spied.exists(), "a hook ran and knew the token");
    for sent in &front.lock().unwrap().seen {
        assert_eq!(sent.as_slice(), std::slice::from_ref(&wanted));
    }
    let kept = git(&clones.work(), &["config", "--local", "--list"]);
    assert!(!kept.contains(TOKEN), "{kept}");

    // The same again says the same.
    clones.push(&address, &plan).await.unwrap();
}

#[tokio::test]
async fn a_push_waits_out_trouble_and_says_which_permission_is_missing() {
    let clones = Clones::new();
    let front = Arc::new(Mutex::new(Front {
        wanted: format!("Bearer {TOKEN}"),
        unwell: 2,
        refusal: 403,
        ..Front::default()
    }));
    let base = serve(clones.folder.path(), Arc::clone(&front)).await;
    let address = format!("{base}/fleet/Fleet/_git/web.git");
    let azure = plan(PullRequestProvider::AzureDevops, None);
    clones.push(&address, &azure).await.unwrap();
    assert!(clones.pushed("refs/heads/greenloop/1").is_some());

    front.lock().unwrap().wanted = "another".into();
    let github = plan(PullRequestProvider::Github, None);
    for (plan, says) in [(&azure, "Contribute and Create branch"), (&github, "contents: write")] {
        let error = clones.push(&address, plan).await.unwrap_err();
        assert_eq!(error.kind, PullRequestErrorKind::Auth);
        assert!(error.message.contains(says), "{error}");
        assert!(!error.message.contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn what_the_remote_does_not_take_is_told_and_not_forced() {
    let clones = Clones::new();
    let address = format!("file://{}", clones.bare().display());
    let plan = plan(PullRequestProvider::Github, None);
    clones.push(&address, &plan).await.unwrap();
    let theirs = clones.pushed("refs/heads/greenloop/1").unwrap();

    git(&clones.work(), &["checkout", "-q", "--orphan", "other"]);
    git(&clones.work(), &["commit", "-q", "--allow-empty", "-m", "another first"]);
    git(&clones.work(), &["branch", "-f", "greenloop/1", "HEAD"]);
    let error = clones.push(&address, &plan).await.unwrap_err();
    assert_eq!(error.kind, PullRequestErrorKind::Rejected, "{error}");
    assert!(error.message.contains("rejected greenloop/1"), "{error}");
    assert_eq!(clones.pushed("refs/heads/greenloop/1"), Some(theirs));

    let gone = format!("file://{}/nowhere", clones.folder.path().display());
    let error = clones.push(&gone, &plan).await.unwrap_err();
    assert_eq!(error.kind, PullRequestErrorKind::Unreachable, "{error}");

    let cancel = CancellationToken::new();
    cancel.cancel();
    let pusher = Pusher::new(&plan, &address, &env, &Redactor::default()).unwrap();
    let error =
        pusher.push(&clones.work(), "greenloop/1", RunId::generate(), &cancel).await.unwrap_err();
    assert_eq!(error.kind, PullRequestErrorKind::Cancelled);
}

#[test]
fn a_push_over_https_needs_a_token() {
    let plan = plan(PullRequestProvider::Github, None);
    let nothing = |_: &str| None;
    let redactor = Redactor::default();
    let error =
        Pusher::new(&plan, "https://github.com/acme/fleet", &nothing, &redactor).unwrap_err();
    assert_eq!(error.kind, PullRequestErrorKind::NoToken);
    assert!(Pusher::new(&plan, "/srv/git/fleet", &nothing, &redactor).is_ok());
}
