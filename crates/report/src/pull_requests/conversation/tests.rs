//! Against servers on the wire: the three REST APIs as they are documented.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::*;
use crate::pull_requests::remote::{AzurePlace, GithubPlace, GitlabPlace};
use crate::review_comment::{CheckConclusion, TakeOver};
use crate::{Links, fixtures};
use greenloop_config::plan::PullRequestProvider;

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "token-0123456789";
const ALL: [PullRequestProvider; 3] =
    [PullRequestProvider::Github, PullRequestProvider::AzureDevops, PullRequestProvider::Gitlab];

/// A comment as it is kept: where it is attached, and its text.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    id: u64,
    body: String,
    at: Option<(String, u64)>,
    status: u64,
    by: &'static str,
    /// Seconds of the server's clock.
    written: u64,
    changed: u64,
}

impl Kept {
    fn times(&self) -> [String; 2] {
        [self.written, self.changed].map(|seconds| format!("2026-11-30T15:00:{seconds:02}.123Z"))
    }
}

/// People: what Azure Repos, GitLab and GitHub know them by.
const PEOPLE: [(&str, &str, u64); 4] = [
    ("greenloop", "00000000-0000-4000-8000-000000000001", 1),
    ("ada", "00000000-0000-4000-8000-000000000002", 2),
    ("eve", "00000000-0000-4000-8000-000000000003", 3),
    ("zoe", "00000000-0000-4000-8000-000000000004", 4),
];

fn person(name: &str) -> (&'static str, &'static str, u64) {
    *PEOPLE.iter().find(|person| person.0 == name).unwrap()
}

#[derive(Debug, Default)]
struct State {
    comments: Vec<Kept>,
    /// Lines that are in the diff of the pull request: others take no comment.
    diff: Vec<u64>,
    checks: Vec<Value>,
    writes: usize,
    /// The next answer to something that was made is lost.
    lose: bool,
    /// Seconds that have gone by.
    clock: u64,
}

impl State {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

struct Server(PullRequestProvider, Arc<Mutex<State>>);

impl Respond for Server {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let mut state = self.1.lock().unwrap();
        let header = request.headers.get("authorization").map(|value| value.to_str().unwrap());
        assert_eq!(header, Some(format!("Bearer {TOKEN}").as_str()));
        let method = request.method.as_str();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request.url.path().to_owned();
        let (status, answer) = match self.0 {
            PullRequestProvider::Github => github(&mut state, method, &path, &body),
            PullRequestProvider::AzureDevops => azure(&mut state, method, &request.url, &body),
            PullRequestProvider::Gitlab => gitlab(&mut state, method, &path, &body),
        };
        if method != "GET" && status < 300 {
            state.writes += 1;
            if std::mem::take(&mut state.lose) {
                return ResponseTemplate::new(502);
            }
        }
        ResponseTemplate::new(status).set_body_json(answer)
    }
}

fn keep(state: &mut State, body: &Value, at: Option<(String, u64)>) -> Kept {
    let id = 100 + state.comments.len() as u64;
    let now = state.tick();
    let body = body.as_str().unwrap().to_owned();
    let kept = Kept { id, body, at, status: 1, by: "greenloop", written: now, changed: now };
    state.comments.push(kept.clone());
    kept
}

fn change(state: &mut State, id: &str, with: impl FnOnce(&mut Kept)) {
    let id: u64 = id.parse().unwrap();
    let now = state.tick();
    let with = |kept: &mut Kept| {
        kept.changed = now;
        with(kept);
    };
    with(state.comments.iter_mut().find(|kept| kept.id == id).unwrap());
}

fn github(state: &mut State, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let path = path.strip_prefix("/repos/acme/fleet/").expect("the repository's API");
    let segments: Vec<&str> = path.split('/').collect();
    let listed = |anchored: bool| {
        let fits = state.comments.iter().filter(|kept| kept.at.is_some() == anchored);
        let shown = |kept: &Kept| {
            let [written, changed] = kept.times();
            json!({
                "id": kept.id, "body": kept.body, "user": {"login": kept.by},
                "created_at": written, "updated_at": changed,
            })
        };
        fits.map(shown).collect::<Vec<_>>()
    };
    match (method, segments.as_slice()) {
        ("GET", ["pulls", "7"]) => {
            let repo = json!({"full_name": "acme/fleet"});
            let head = json!({"ref": "fuel", "sha": HEAD, "repo": repo});
            (200, json!({"number": 7, "state": "open", "head": head, "base": {"repo": repo}}))
        }
        ("GET", ["issues", "7", "comments"]) => (200, listed(false).into()),
        ("GET", ["pulls", "7", "comments"]) => (200, listed(true).into()),
        ("POST", ["issues", "7", "comments"]) => {
            let kept = keep(state, &body["body"], None);
            (201, json!({"id": kept.id, "body": kept.body}))
        }
        ("POST", ["pulls", "7", "comments"]) => {
            assert_eq!((&body["commit_id"], &body["side"]), (&HEAD.into(), &"RIGHT".into()));
            let line = body["line"].as_u64().unwrap();
            let first = body["start_line"].as_u64().unwrap_or(line);
            assert!(first <= line);
            if !(first..=line).all(|line| state.diff.contains(&line)) {
                let why = json!({"message": "Validation Failed", "errors": [{"field": "line"}]});
                return (422, why);
            }
            let path = body["path"].as_str().unwrap().to_owned();
            let kept = keep(state, &body["body"], Some((path, line)));
            (201, json!({"id": kept.id, "body": kept.body}))
        }
        ("PATCH", [list @ ("issues" | "pulls"), "comments", id]) => {
            change(state, id, |kept| {
                assert_eq!(kept.at.is_some(), *list == "pulls");
                kept.body = body["body"].as_str().unwrap().to_owned();
            });
            (200, json!({"id": 1}))
        }
        ("POST", ["check-runs"]) => {
            state.checks.push(body.clone());
            (201, json!({"id": 1}))
        }
        ("GET", ["collaborators", user, "permission"]) => match *user {
            "ada" => (200, json!({"permission": "write"})),
            "eve" => (200, json!({"permission": "read"})),
            "zoe" => (403, json!({"message": "Forbidden"})),
            _ => (404, json!({"message": "Not Found"})),
        },
        other => panic!("no such resource: {other:?}"),
    }
}

fn azure(state: &mut State, method: &str, url: &url::Url, body: &Value) -> (u16, Value) {
    let path = url.path();
    let query = |name: &str| {
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    if path == "/fleet/_apis/identities" {
        let id = query("identityIds");
        let known = PEOPLE.iter().find(|person| person.1 == id);
        let list: Vec<Value> = known
            .map(|person| json!({"id": id, "descriptor": format!("Claims;{}", person.0)}))
            .into_iter()
            .collect();
        return (200, json!({"count": list.len(), "value": list}));
    }
    if path == "/fleet/_apis/accesscontrollists/2e9eb7ed-3c0a-47d4-87c1-0ffdd275fd87" {
        assert_eq!(query("token"), "repoV2/p-1/r-1");
        assert_eq!(query("includeExtendedInfo"), "true");
        let descriptor = query("descriptors");
        let info = match descriptor.as_str() {
            // Contribute by a group; read alone; contribute by a group and denied.
            "Claims;ada" => json!({"effectiveAllow": 4 | 2, "inheritedAllow": 2}),
            "Claims;eve" => json!({"effectiveAllow": 2}),
            "Claims;zoe" => json!({"effectiveAllow": 4 | 2, "effectiveDeny": 4}),
            other => panic!("not asked for: {other}"),
        };
        let entry = json!({"descriptor": &descriptor, "allow": 0, "deny": 0, "extendedInfo": info});
        let list = json!({"inheritPermissions": true, "acesDictionary": {descriptor: entry}});
        return (200, json!({"count": 1, "value": [list]}));
    }
    let root = "/fleet/Fleet/_apis/git/repositories/web";
    let path = path.strip_prefix(root).expect("the repository's API");
    if path.is_empty() {
        return (200, json!({"id": "r-1", "name": "web", "project": {"id": "p-1"}}));
    }
    let path = path.strip_prefix('/').unwrap();
    let segments: Vec<&str> = path.split('/').collect();
    let thread = |kept: &Kept| {
        let context = kept.at.as_ref().map(|(path, _)| json!({"filePath": path}));
        json!({
            "id": kept.id, "status": kept.status, "threadContext": context,
            "comments": [{
                "id": 1, "content": kept.body, "commentType": "text",
                "author": {"id": person(kept.by).1, "displayName": kept.by},
                "publishedDate": kept.times()[0], "lastContentUpdatedDate": kept.times()[1],
            }],
        })
    };
    match (method, segments.as_slice()) {
        ("GET", ["pullrequests", "7"]) => (
            200,
            json!({
                "pullRequestId": 7, "status": "active", "sourceRefName": "refs/heads/fuel",
                "lastMergeSourceCommit": {"commitId": HEAD}, "forkSource": null,
            }),
        ),
        ("GET", ["pullRequests", "7", "threads"]) => {
            let mut threads: Vec<Value> = state.comments.iter().map(thread).collect();
            threads.insert(0, json!({"id": 1, "isDeleted": true, "comments": []}));
            (200, json!({"value": threads, "count": threads.len()}))
        }
        ("POST", ["pullRequests", "7", "threads"]) => {
            let comment = &body["comments"][0];
            assert_eq!(
                (&comment["parentCommentId"], &comment["commentType"]),
                (&0.into(), &1.into())
            );
            let context = &body["threadContext"];
            let at = context.as_object().map(|context| {
                let line = context["rightFileEnd"]["line"].as_u64().unwrap();
                assert!(context["rightFileEnd"]["offset"].as_u64().unwrap() >= 1);
                (context["filePath"].as_str().unwrap().to_owned(), line)
            });
            if at.as_ref().is_some_and(|(path, line)| {
                assert!(path.starts_with('/'));
                !state.diff.contains(line)
            }) {
                return (400, json!({"message": "The line is not in the file."}));
            }
            let kept = keep(state, &comment["content"], at);
            (200, thread(&kept))
        }
        ("PATCH", ["pullRequests", "7", "threads", id, "comments", "1"]) => {
            change(state, id, |kept| kept.body = body["content"].as_str().unwrap().to_owned());
            (200, json!({"id": 1}))
        }
        ("PATCH", ["pullRequests", "7", "threads", id]) => {
            change(state, id, |kept| kept.status = body["status"].as_u64().unwrap());
            (200, json!({"id": 1}))
        }
        ("POST", ["pullRequests", "7", "statuses"]) => {
            state.checks.push(body.clone());
            (200, json!({"id": 1}))
        }
        other => panic!("no such resource: {other:?}"),
    }
}

fn gitlab(state: &mut State, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let path = path.strip_prefix("/api/v4/projects/acme%2Ffleet/").expect("the project's API");
    let segments: Vec<&str> = path.split('/').collect();
    let note = |kept: &Kept| {
        let position =
            kept.at.as_ref().map(|(path, line)| json!({"new_path": path, "new_line": line}));
        let [written, changed] = kept.times();
        json!({
            "id": kept.id, "body": kept.body, "position": position, "system": false,
            "author": {"id": person(kept.by).2, "username": kept.by},
            "created_at": written, "updated_at": changed,
        })
    };
    match (method, segments.as_slice()) {
        ("GET", ["merge_requests", "7"]) => (
            200,
            json!({
                "iid": 7, "state": "opened", "source_branch": "fuel", "sha": HEAD,
                "source_project_id": 3, "target_project_id": 3,
                "diff_refs": {"base_sha": "b", "start_sha": "s", "head_sha": HEAD},
            }),
        ),
        ("GET", ["merge_requests", "7", "notes"]) => {
            (200, state.comments.iter().map(note).collect::<Vec<_>>().into())
        }
        ("POST", ["merge_requests", "7", "notes"]) => {
            let kept = keep(state, &body["body"], None);
            (201, note(&kept))
        }
        ("POST", ["merge_requests", "7", "discussions"]) => {
            let position = &body["position"];
            assert_eq!((&position["head_sha"], &position["base_sha"]), (&HEAD.into(), &"b".into()));
            let line = position["new_line"].as_u64().unwrap();
            if !state.diff.contains(&line) {
                return (400, json!({"message": "400 Bad request - Note {:line_code=>[…]}"}));
            }
            let path = position["new_path"].as_str().unwrap().to_owned();
            let kept = keep(state, &body["body"], Some((path, line)));
            (201, json!({"id": "d1", "notes": [note(&kept)]}))
        }
        ("PUT", ["merge_requests", "7", "notes", id]) => {
            change(state, id, |kept| kept.body = body["body"].as_str().unwrap().to_owned());
            (200, json!({"id": 1}))
        }
        ("GET", ["members", "all", id]) => match *id {
            "2" => (200, json!({"id": 2, "state": "active", "access_level": 30})),
            "3" => (200, json!({"id": 3, "state": "active", "access_level": 20})),
            "4" => (200, json!({"id": 4, "state": "blocked", "access_level": 40})),
            _ => (404, json!({"message": "404 Not found"})),
        },
        ("POST", ["statuses", HEAD]) => {
            state.checks.push(body.clone());
            (201, json!({"id": 1}))
        }
        other => panic!("no such resource: {other:?}"),
    }
}

struct Running {
    _server: MockServer,
    state: Arc<Mutex<State>>,
    conversation: Box<dyn Conversation>,
    request: ReviewedRequest,
}

impl Running {
    async fn start(provider: PullRequestProvider) -> Self {
        let server = MockServer::start().await;
        let state = Arc::<Mutex<State>>::default();
        Mock::given(any()).respond_with(Server(provider, Arc::clone(&state))).mount(&server).await;
        let plan = PullRequestPlan { provider: Some(provider), ..PullRequestPlan::default() };
        let env = |name: &str| {
            matches!(name, "SYSTEM_ACCESSTOKEN" | "GITHUB_TOKEN" | "GITLAB_TOKEN")
                .then(|| TOKEN.to_owned())
        };
        let token = Token::find(&plan, provider, &env).unwrap();
        let mut wire = Wire::new(token, &Redactor::default()).unwrap();
        wire.retry = wire.retry.with_min_delay(Duration::from_millis(5));
        let uri = server.uri();
        let conversation: Box<dyn Conversation> = match provider {
            PullRequestProvider::Github => {
                let place = GithubPlace { api: uri, owner: "acme".into(), name: "fleet".into() };
                Box::new(GithubConversation::new(place, wire))
            }
            PullRequestProvider::AzureDevops => {
                let place = AzurePlace {
                    collection: format!("{uri}/fleet"),
                    project: "Fleet".into(),
                    repository: "web".into(),
                };
                Box::new(AzureConversation::new(place, wire))
            }
            PullRequestProvider::Gitlab => {
                let place =
                    GitlabPlace { api: format!("{uri}/api/v4"), project: "acme%2Ffleet".into() };
                Box::new(GitlabConversation::new(place, wire))
            }
        };
        let request = conversation.request(7).await.unwrap();
        assert_eq!((request.branch.as_str(), request.head.as_str()), ("fuel", HEAD));
        assert!(request.open && !request.fork);
        Self { _server: server, state, conversation, request }
    }

    async fn tell(&self, comment: Option<&ReviewComment>, offer: Option<&Offer>) -> Told {
        tell(self.conversation.as_ref(), &self.request, comment, offer).await.unwrap()
    }

    fn comments(&self) -> Vec<Kept> {
        self.state.lock().unwrap().comments.clone()
    }
}

fn comment(suggestion: Option<&str>) -> ReviewComment {
    let how = TakeOver { by_comment: Some("/greenloop apply"), ..TakeOver::default() };
    let mut made = ReviewComment::of(&fixtures::healed(), Links::default(), how).unwrap();
    made.suggestion = suggestion.map(|diff| Suggestion::of_diff(diff).unwrap());
    made
}

const DIFF: &str = "--- a/src/fuel.rs\n+++ b/src/fuel.rs\n@@ -4,3 +4,3 @@\n a\n-b\n-c\n+B\n+C\n";

fn offer() -> Offer {
    Offer {
        head: HEAD.into(),
        base: "b".repeat(40),
        fix: "f".repeat(40),
        branch: "greenloop/0190".into(),
    }
}

#[tokio::test]
async fn one_comment_is_kept_up_to_date() {
    for provider in ALL {
        let running = Running::start(provider).await;
        // Nothing is wrong, and nothing was.
        assert_eq!(running.tell(None, None).await, Told::Nothing, "{provider:?}");
        assert_eq!(running.state.lock().unwrap().writes, 0);

        let said = comment(None);
        assert_eq!(running.tell(Some(&said), Some(&offer())).await, Told::Posted);
        assert_eq!(running.tell(Some(&said), Some(&offer())).await, Told::Unchanged);
        let there = running.comments();
        assert_eq!(there.len(), 1, "{provider:?}");
        assert!(there[0].body.contains("`/greenloop apply`"), "{}", there[0].body);
        let found = offered(running.conversation.as_ref(), &running.request).await.unwrap();
        assert_eq!(found, Some(offer()), "{provider:?}");

        // A new fix replaces what the comment says.
        let other = Offer { branch: "greenloop/0191".into(), ..offer() };
        assert_eq!(running.tell(Some(&said), Some(&other)).await, Told::Updated);
        let found = offered(running.conversation.as_ref(), &running.request).await.unwrap();
        assert_eq!(found, Some(other), "{provider:?}");

        // Then the gates pass.
        assert_eq!(running.tell(None, None).await, Told::Updated);
        assert_eq!(running.tell(None, None).await, Told::Unchanged);
        let there = running.comments();
        assert_eq!(there.len(), 1, "{provider:?}");
        assert!(there[0].body.contains("settled"), "{}", there[0].body);
        if provider == PullRequestProvider::AzureDevops {
            assert_eq!(there[0].status, 2, "the thread is resolved");
        }
        let found = offered(running.conversation.as_ref(), &running.request).await.unwrap();
        assert_eq!(found, None);
    }
}

#[tokio::test]
async fn a_suggestion_is_attached_to_its_lines_or_told_plainly() {
    for provider in ALL {
        let said = comment(Some(DIFF));
        let running = Running::start(provider).await;
        running.state.lock().unwrap().diff = vec![5, 6];
        running.tell(Some(&said), Some(&offer())).await;
        let there = running.comments();
        let (path, line) = there[0].at.clone().expect("attached");
        assert_eq!((path.trim_start_matches('/'), line), ("src/fuel.rs", 6), "{provider:?}");
        assert!(there[0].body.contains("```suggestion"), "{}", there[0].body);
        if provider == PullRequestProvider::Gitlab {
            assert!(there[0].body.contains("```suggestion:-1+0\n"), "{}", there[0].body);
        }
        // Somewhere else, the comment that is attached here must not be accepted.
        let elsewhere = comment(Some(&DIFF.replace("-4,3 +4,3", "-40,3 +40,3")));
        running.tell(Some(&elsewhere), Some(&offer())).await;
        let there = running.comments();
        assert_eq!(there.len(), 1, "{provider:?}");
        assert!(!there[0].body.contains("```suggestion"), "{}", there[0].body);

        // Lines that are not in the diff of the pull request.
        let running = Running::start(provider).await;
        running.tell(Some(&said), Some(&offer())).await;
        let there = running.comments();
        assert_eq!((there.len(), &there[0].at), (1, &None), "{provider:?}");
        assert!(!there[0].body.contains("```suggestion"), "{}", there[0].body);
        assert!(there[0].body.contains("In `src/fuel.rs`, lines 5 to 6"), "{}", there[0].body);
    }
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_comment() {
    for provider in ALL {
        for suggestion in [None, Some(DIFF)] {
            let running = Running::start(provider).await;
            {
                let mut state = running.state.lock().unwrap();
                state.diff = vec![5, 6];
                state.lose = true;
            }
            let told = running.tell(Some(&comment(suggestion)), None).await;
            assert_eq!(told, Told::Posted, "{provider:?}");
            assert_eq!(running.comments().len(), 1, "{provider:?} {suggestion:?}");
        }
    }
}

#[tokio::test]
async fn the_head_gets_a_state_and_github_annotations() {
    let report = CheckReport {
        conclusion: CheckConclusion::Failed,
        title: "cargo test failed".into(),
        summary: "cargo test failed".into(),
        annotations: vec![Annotation {
            path: "src/fuel.rs".into(),
            line: 5,
            message: "mismatched types".into(),
        }],
        url: Some("https://ci.example.org/1".into()),
    };
    for provider in ALL {
        let running = Running::start(provider).await;
        running.conversation.check(&running.request, &report).await.unwrap();
        let checks = running.state.lock().unwrap().checks.clone();
        let check = &checks[0];
        match provider {
            PullRequestProvider::Github => {
                assert_eq!(
                    (&check["head_sha"], &check["conclusion"]),
                    (&HEAD.into(), &"failure".into())
                );
                let annotation = &check["output"]["annotations"][0];
                assert_eq!(annotation["path"], "src/fuel.rs");
                assert_eq!(annotation["start_line"], 5);
            }
            PullRequestProvider::AzureDevops => {
                assert_eq!(check["state"], "failed");
                assert_eq!(check["context"]["genre"], "greenloop");
            }
            PullRequestProvider::Gitlab => assert_eq!(check["state"], "failed"),
        }
    }
}

#[tokio::test]
async fn who_may_push_is_asked_where_the_provider_says_it() {
    let running = Running::start(PullRequestProvider::Github).await;
    for (user, expect) in
        [("ada", true), ("eve", false), ("nobody", false), ("a/../../x", false), ("", false)]
    {
        let may = running.conversation.may_push(user).await.unwrap();
        assert_eq!(may, Some(expect), "{user}");
    }
    let [ada, eve, zoe] = ["ada", "eve", "zoe"].map(person);
    for (provider, cases) in [
        (
            PullRequestProvider::Gitlab,
            [("2", true), ("3", false), ("4", false), ("9", false), ("2/../3", false), ("", false)],
        ),
        (
            PullRequestProvider::AzureDevops,
            [
                (ada.1, true),
                (eve.1, false),
                (zoe.1, false),
                ("ada", false),
                ("&x=", false),
                ("", false),
            ],
        ),
    ] {
        let running = Running::start(provider).await;
        for (user, expect) in cases {
            let may = running.conversation.may_push(user).await.unwrap();
            assert_eq!(may, Some(expect), "{provider:?} {user}");
        }
    }
    // An identity that Azure DevOps does not know.
    let running = Running::start(PullRequestProvider::AzureDevops).await;
    let unknown = "00000000-0000-4000-8000-00000000000f";
    assert_eq!(running.conversation.may_push(unknown).await.unwrap(), None);
}

#[tokio::test]
async fn only_who_may_push_and_has_asked_since_the_offer_is_heard() {
    const WORDS: &str = "/greenloop apply";
    for provider in ALL {
        let running = Running::start(provider).await;
        let says = |by: &'static str, text: &str| {
            let mut state = running.state.lock().unwrap();
            let kept = keep(&mut state, &text.into(), None);
            state.comments.iter_mut().find(|it| it.id == kept.id).unwrap().by = by;
        };
        let heard =
            async || asked(running.conversation.as_ref(), &running.request, WORDS).await.unwrap();
        // For a fix that was not offered yet.
        says("ada", WORDS);
        assert_eq!(heard().await, Asked::Nobody, "{provider:?}");
        let said = comment(None);
        running.tell(Some(&said), Some(&offer())).await;
        assert_eq!(heard().await, Asked::Nobody, "{provider:?}");
        says("ada", "I would say: /greenloop apply");
        says("ada", "> /greenloop apply");
        assert_eq!(heard().await, Asked::Nobody, "{provider:?}");
        says("eve", WORDS);
        assert_eq!(heard().await, Asked::Refused(vec!["eve".to_owned()]), "{provider:?}");
        says("ada", "/greenloop apply\nthank you");
        let Asked::By(author, asked_for) = heard().await else { panic!("{provider:?}") };
        assert_eq!((author.name.as_str(), asked_for), ("ada", offer()), "{provider:?}");
        // Another fix takes its place: what was asked for was the one before.
        let other = Offer { branch: "greenloop/0191".into(), ..offer() };
        running.tell(Some(&said), Some(&other)).await;
        assert_eq!(heard().await, Asked::Nobody, "{provider:?}");
        says("ada", WORDS);
        assert!(matches!(heard().await, Asked::By(_, taken) if taken == other), "{provider:?}");
        settle(running.conversation.as_ref(), &running.request, "done").await.unwrap();
        assert_eq!(heard().await, Asked::Nobody, "{provider:?}");
    }
}

#[tokio::test]
async fn who_asks_gets_the_fix_that_the_comment_of_record_offers() {
    let running = Running::start(PullRequestProvider::Github).await;
    let says = |by: &'static str, text: &str, at: Option<(String, u64)>| {
        let mut state = running.state.lock().unwrap();
        let kept = keep(&mut state, &text.into(), at);
        state.comments.iter_mut().find(|it| it.id == kept.id).unwrap().by = by;
    };
    let (conversation, request) = (running.conversation.as_ref(), &running.request);
    let other = Offer { branch: "greenloop/0191".into(), ..offer() };
    says("greenloop", &format!("{MARKER}{}-->\n", offer().fields()), None);
    // Later, but beside a line: GitHub lists these elsewhere.
    says("greenloop", &format!("{MARKER}{}-->\n", other.fields()), Some(("a.rs".into(), 5)));
    // More than are looked up, before the one who may push; and one who cannot be looked up, after.
    for stranger in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"] {
        says(stranger, "/greenloop apply", None);
    }
    says("zoe", "/greenloop apply", None);
    let Asked::Refused(names) = asked(conversation, request, "/greenloop apply").await.unwrap()
    else {
        panic!("nobody of these may push");
    };
    assert!(names[0].starts_with("zoe ("), "{names:?}");
    says("ada", "/greenloop apply", None);
    says("zoe", "/greenloop apply", None);
    let found = asked(conversation, request, "/greenloop apply").await.unwrap();
    let Asked::By(author, asked_for) = found else { panic!("{found:?}") };
    assert_eq!(author.name, "ada");
    assert_eq!(Some(asked_for), offered(conversation, request).await.unwrap());
}

#[test]
fn an_offer_is_read_only_from_a_marker_of_its_form() {
    let offer = offer();
    let body = format!("{MARKER}{}-->\ntext", offer.fields());
    assert_eq!(Offer::read(&body), Some(offer));
    for body in [
        "text",
        "<!-- greenloop:pull-request -->\n",
        &body.replace("branch=greenloop/0190", "branch=main"),
        &body.replace(HEAD, "HEAD"),
        &format!("text\n{body}"),
    ] {
        assert_eq!(Offer::read(body), None, "{body}");
    }
}
