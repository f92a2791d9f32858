"""`greenloop pr`, the real program with real git: a played GitHub, a played model."""

import json
import os
import sys
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from support import GREENLOOP, IDENTITY, ROOT, Scratch, run

sys.path.insert(0, str(ROOT / "scripts"))
from model_server import ModelServer, review  # noqa: E402

TOKEN = "ghp-played-token"
FIX = """The total is the sum.

total.py
<<<<<<< SEARCH
def total(numbers):
    return 0
=======
def total(numbers):
    return sum(numbers)
>>>>>>> REPLACE
"""
CONFIG = """
environments:
  local: {{ url: "http://127.0.0.1:9" }}
quality_gates:
  - name: test
    command: python3 -B -m unittest -v test_total
sandbox: {{ level: off }}
deploy:
  method: process
  process: {{ command: [./x], artifacts: [total.py] }}
agents:
  codex: {{ model: played, base_url: "{model}" }}
  jules: {{ model: played, base_url: "{model}" }}
pull_request:
  provider: github
  api_url: {api}
  apply: {apply}
"""


class GitHub(ThreadingHTTPServer):
    """One repository's API, as far as an open pull request goes. The head is read from git."""

    daemon_threads = True

    def __init__(self, bare: Path):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bare = bare
        self.fork = False
        self.comments: dict[int, str] = {}
        self.attached: dict[int, tuple] = {}
        self.checks: list[dict] = []
        self.permissions = {"ada": "write"}
        self.url = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, daemon=True).start()

    def head(self) -> str:
        return run("git", "-C", self.bare, "rev-parse", "refs/heads/fuel").stdout.strip()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status: int, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do(self, method: str):
        hub = self.server
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"message": "Bad credentials"})
        path = self.path.split("?")[0].removeprefix("/repos/acme/fleet/").split("/")
        shown = lambda anchored: [
            {"id": id, "body": text}
            for id, text in hub.comments.items()
            if (id in hub.attached) == anchored
        ]
        match [method, *path]:
            case ["GET", "pulls", "7"]:
                own = {"full_name": "acme/fleet"}
                of_head = {"full_name": "mallory/fleet"} if hub.fork else own
                return self.answer(200, {
                    "number": 7, "state": "open", "base": {"repo": own},
                    "head": {"ref": "fuel", "sha": hub.head(), "repo": of_head},
                })  # fmt: skip
            case ["GET", "issues", "7", "comments"]:
                return self.answer(200, shown(False))
            case ["GET", "pulls", "7", "comments"]:
                return self.answer(200, shown(True))
            case ["POST", "issues" | "pulls" as kind, "7", "comments"]:
                id = len(hub.comments) + 1
                if kind == "pulls":
                    # The pull request changes total.py, all of whose lines are in its diff.
                    if body["commit_id"] != hub.head() or body["path"] != "total.py":
                        return self.answer(422, {"message": "Validation Failed"})
                    hub.attached[id] = (body["path"], body.get("start_line", body["line"]), body["line"])
                hub.comments[id] = body["body"]
                return self.answer(201, {"id": id, "body": body["body"]})
            case ["PATCH", "issues" | "pulls", "comments", id]:
                hub.comments[int(id)] = body["body"]
                return self.answer(200, {"id": int(id), "body": body["body"]})
            case ["POST", "check-runs"]:
                hub.checks.append(body)
                return self.answer(201, {"id": 1})
            case ["GET", "collaborators", user, "permission"]:
                permission = hub.permissions.get(user)
                if permission is None:
                    return self.answer(404, {"message": "Not Found"})
                return self.answer(200, {"permission": permission})
        return self.answer(404, {"message": f"no such resource: {method} {path}"})

    def do_GET(self):
        self.do("GET")

    def do_POST(self):
        self.do("POST")

    def do_PATCH(self):
        self.do("PATCH")

    def log_message(self, *_):
        pass


class GitLab(ThreadingHTTPServer):
    """One project's API, as far as an open merge request goes. Its clock ticks with every note."""

    daemon_threads = True
    # By the number of the user: name and role.
    PEOPLE = {1: ("bot", 30), 2: ("ada", 30), 3: ("eve", 20)}

    def __init__(self, bare: Path):
        super().__init__(("127.0.0.1", 0), GitLabHandler)
        self.bare = bare
        self.clock = 0
        self.notes: list[dict] = []
        self.states: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        Thread(target=self.serve_forever, daemon=True).start()

    def head(self) -> str:
        return run("git", "-C", self.bare, "rev-parse", "refs/heads/fuel").stdout.strip()

    def now(self) -> str:
        self.clock += 1
        return f"2026-11-30T15:{self.clock // 60:02}:{self.clock % 60:02}.000Z"

    def say(self, user: int, body: str) -> dict:
        now = self.now()
        note = {
            "id": len(self.notes) + 1, "body": body, "system": False, "created_at": now,
            "updated_at": now, "author": {"id": user, "username": self.PEOPLE[user][0]},
        }  # fmt: skip
        self.notes.append(note)
        return note


class GitLabHandler(Handler):
    def do(self, method: str):
        lab = self.server
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            return self.answer(401, {"message": "401 Unauthorized"})
        path = self.path.split("?")[0].removeprefix("/api/v4/projects/3/").split("/")
        match [method, *path]:
            case ["GET", "merge_requests", "7"]:
                return self.answer(200, {
                    "iid": 7, "state": "opened", "source_branch": "fuel", "sha": lab.head(),
                    "source_project_id": 3, "target_project_id": 3,
                })  # fmt: skip
            case ["GET", "merge_requests", "7", "notes"]:
                return self.answer(200, lab.notes)
            case ["POST", "merge_requests", "7", "notes"]:
                return self.answer(201, lab.say(1, body["body"]))
            case ["PUT", "merge_requests", "7", "notes", id]:
                note = lab.notes[int(id) - 1]
                note |= {"body": body["body"], "updated_at": lab.now()}
                return self.answer(200, note)
            case ["POST", "statuses", _]:
                lab.states.append(body["state"])
                return self.answer(201, {"id": 1})
            case ["GET", "members", "all", id]:
                if int(id) not in lab.PEOPLE:
                    return self.answer(404, {"message": "404 Not found"})
                role = lab.PEOPLE[int(id)][1]
                return self.answer(200, {"id": int(id), "state": "active", "access_level": role})
        return self.answer(404, {"message": f"no such resource: {method} {path}"})

    def do_PUT(self):
        self.do("PUT")


class Requested(Scratch):
    """A pull request with a broken change, at a played provider."""

    SERVER = GitHub

    def setUp(self):
        super().setUp()
        self.bare = self.folder / "acme/fleet.git"
        self.bare.mkdir(parents=True)
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare)
        self.hub = self.SERVER(self.bare)
        self.addCleanup(self.hub.server_close)
        self.addCleanup(self.hub.shutdown)
        self.model = ModelServer(review("the sum is right"), FIX)
        Thread(target=self.model.serve_forever, daemon=True).start()
        self.addCleanup(self.model.server_close)
        self.addCleanup(self.model.shutdown)
        self.tree = self.folder / "tree"
        run("git", "init", "--quiet", "--initial-branch=main", self.tree)
        self.git("remote", "add", "origin", self.bare)
        self.begin()

    def git(self, *arguments) -> str:
        return run("git", "-C", self.tree, *IDENTITY, *arguments).stdout.strip()

    def write(self, name: str, text: str):
        (self.tree / name).write_text(text)

    def commit(self, message: str):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def begin(self, apply="on_request", broken="    return 0\n"):
        """main, a branch fuel with a broken change, and the merge of the two checked out."""
        address = f"http://127.0.0.1:{self.model.server_port}/v1"
        self.write("config.yaml", CONFIG.format(model=address, api=self.hub.url, apply=apply))
        self.write(".gitignore", "logs/\n")
        self.write("README", "fleet\n")
        self.commit("start")
        self.git("push", "--quiet", "origin", "main")
        self.git("checkout", "--quiet", "-b", "fuel")
        self.write("total.py", f"def total(numbers):\n{broken}")
        self.write(
            "test_total.py",
            "import unittest\nfrom total import total\n\nclass Total(unittest.TestCase):\n"
            "    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n",
        )
        self.commit("Add the total")
        self.git("push", "--quiet", "origin", "fuel")
        # main goes on, so that the merge is a commit of its own.
        self.git("checkout", "--quiet", "main")
        self.write("README", "fleet, and more\n")
        self.commit("Say more")
        self.git("push", "--quiet", "origin", "main")
        self.merge()

    def merge(self):
        self.git("checkout", "--quiet", "--detach", "main")
        self.git("merge", "--quiet", "--no-ff", "--message", "Merge", "fuel")

    def pr(self, *arguments, **env):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env = kept | {"GITHUB_TOKEN": TOKEN, "OPENAI_API_KEY": "k", "TMPDIR": str(self.folder)} | env
        return run(GREENLOOP, "pr", "--output", "plain", *arguments, cwd=self.tree, env=env, check=False)

    def job(self, *arguments, **env):
        return self.pr(*arguments, GITHUB_REF="refs/pull/7/merge", **env)


@unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
class PullRequest(Requested):
    def comment_event(self, text: str, user: str):
        path = self.folder / "event.json"
        path.write_text(json.dumps({
            "issue": {"number": 7, "pull_request": {"url": "x"}},
            "comment": {"body": text, "user": {"login": user}},
        }))  # fmt: skip
        return self.pr(GITHUB_EVENT_NAME="issue_comment", GITHUB_EVENT_PATH=str(path))

    def branches(self) -> list[str]:
        return run("git", "-C", self.bare, "branch", "--format=%(refname:short)").stdout.split()

    def test_a_fix_is_offered_once_and_applied_on_request(self):
        head = self.hub.head()
        done = self.job()
        # The pull request as it is does not pass.
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(len(self.hub.comments), 1, done.stdout)
        (text,) = self.hub.comments.values()
        self.assertIn("there is a fix", text)
        self.assertIn("```suggestion\n    return sum(numbers)\n```", text)
        self.assertEqual(list(self.hub.attached.values()), [("total.py", 2, 2)])
        for said in ("/greenloop apply", "the sum is right", "test_sum", "tokens"):
            self.assertIn(said, text)
        self.assertNotIn(TOKEN, text + done.stdout)
        (check,) = self.hub.checks
        self.assertEqual((check["head_sha"], check["conclusion"]), (head, "failure"))
        (branch,) = [name for name in self.branches() if name.startswith("greenloop/")]
        self.assertEqual(self.git("status", "--porcelain"), "")

        # Another run of the same job: the comment is changed, none is added.
        self.assertEqual(self.job().returncode, 1)
        self.assertEqual(len(self.hub.comments), 1)

        # Only who may push is heard, and only the exact words.
        for said, user, code in [
            ("I like it", "ada", 0),
            ("> /greenloop apply", "ada", 0),
            ("/greenloop apply", "eve", 1),
        ]:
            done = self.comment_event(said, user)
            self.assertEqual(done.returncode, code, done.stdout)
            self.assertEqual(self.hub.head(), head)
        done = self.comment_event("/greenloop apply\n", "ada")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertNotEqual(self.hub.head(), head)
        fixed = run("git", "-C", self.bare, "show", "fuel:total.py").stdout
        self.assertIn("sum(numbers)", fixed)
        # On top of the branch, not of the merge: nothing of main came along.
        self.assertEqual(run("git", "-C", self.bare, "show", "fuel:README").stdout, "fleet\n")
        parent = run("git", "-C", self.bare, "rev-parse", "fuel^").stdout.strip()
        self.assertEqual(parent, head)
        (text,) = self.hub.comments.values()
        self.assertIn("as ada asked", text)
        # A second request finds nothing to do.
        self.assertEqual(self.comment_event("/greenloop apply", "ada").returncode, 1)

        # The next check passes, and says so where something was said before.
        self.git("fetch", "--quiet", "origin", "fuel:fuel")
        self.merge()
        done = self.job()
        self.assertEqual(done.returncode, 0, done.stdout)
        (text,) = self.hub.comments.values()
        self.assertIn("settled", text)
        self.assertEqual(self.hub.checks[-1]["conclusion"], "success")
        self.assertEqual(self.git("worktree", "list", "--porcelain").count("worktree "), 1)

    def test_says_nothing_where_nothing_is_wrong(self):
        self.git("checkout", "--quiet", "fuel")
        self.write("total.py", "def total(numbers):\n    return sum(numbers)\n")
        self.commit("Fix it myself")
        self.git("push", "--quiet", "origin", "fuel")
        self.merge()
        done = self.job()
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.hub.comments, {})
        self.assertEqual(self.model.asked, {"author": 0, "reviewer": 0})

    def test_a_fork_is_checked_and_meets_no_model_and_no_push(self):
        self.hub.fork = True
        head = self.hub.head()
        done = self.job()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(self.model.asked, {"author": 0, "reviewer": 0})
        self.assertEqual(sorted(self.branches()), ["fuel", "main"])
        (text,) = self.hub.comments.values()
        self.assertIn("The gates of this pull request fail.", text)
        self.assertNotIn("/greenloop apply", text)
        done = self.pr("--apply", "--number", "7")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("comes from a fork", done.stdout)
        self.assertEqual(self.hub.head(), head)

    def test_without_a_token_the_gates_still_decide(self):
        done = self.job(GITHUB_TOKEN="")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("nothing can be said in pull request 7", done.stdout)
        self.assertEqual(self.model.asked["author"], 0)
        self.assertEqual((self.hub.comments, self.hub.checks), ({}, []))

    def test_new_commits_since_the_fix_are_not_built_on(self):
        self.assertEqual(self.job().returncode, 1)
        self.git("checkout", "--quiet", "fuel")
        self.write("other.py", "pass\n")
        self.commit("Go on")
        self.git("push", "--quiet", "origin", "fuel")
        head = self.hub.head()
        done = self.comment_event("/greenloop apply", "ada")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("has new commits since", done.stdout)
        self.assertEqual(self.hub.head(), head)

    def test_a_forged_offer_is_not_applied(self):
        self.assertEqual(self.job().returncode, 1)
        # Somebody edits the comment: the same branch, another commit of the repository.
        (id,) = self.hub.comments
        main = run("git", "-C", self.bare, "rev-parse", "main").stdout.strip()
        words = self.hub.comments[id].split(" ")
        words = [f"fix={main}" if word.startswith("fix=") else word for word in words]
        self.hub.comments[id] = " ".join(words)
        head = self.hub.head()
        done = self.comment_event("/greenloop apply", "ada")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("is not the fix", done.stdout)
        self.assertEqual(self.hub.head(), head)

    def test_the_policy_may_apply_at_once(self):
        self.git("checkout", "--quiet", "main")
        config = (self.tree / "config.yaml").read_text().replace("on_request", "always")
        self.write("config.yaml", config)
        self.commit("Apply at once")
        self.git("push", "--quiet", "origin", "main")
        self.merge()
        head = self.hub.head()
        done = self.job()
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("is committed to fuel", done.stdout)
        self.assertEqual(run("git", "-C", self.bare, "rev-parse", "fuel^").stdout.strip(), head)
        (text,) = self.hub.comments.values()
        self.assertIn("It is in this pull request now.", text)
        self.assertNotIn("```suggestion", text)

    def test_elsewhere_than_in_a_pull_request(self):
        done = self.pr()
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("--number N", done.stdout)


@unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
class OnComment(Requested):
    """A webhook for comments triggers a pipeline of GitLab CI."""

    SERVER = GitLab

    def begin(self, **given):
        super().begin(**given)
        self.git("checkout", "--quiet", "main")
        config = (self.tree / "config.yaml").read_text().replace("provider: github", "provider: gitlab")
        lines = [line for line in config.splitlines() if "api_url" not in line]
        self.write("config.yaml", "\n".join(lines) + "\n")
        self.commit("GitLab")
        self.git("push", "--quiet", "origin", "main")
        self.merge()

    def lab(self, *arguments, **env):
        place = {"CI_API_V4_URL": f"{self.hub.url}/api/v4", "CI_PROJECT_ID": "3", "GITLAB_TOKEN": TOKEN}
        return self.pr(*arguments, GITHUB_TOKEN="", **place, **env)

    def webhook(self, text: str, project=3, of="MergeRequest"):
        path = self.folder / "payload"
        path.write_text(json.dumps({
            "object_kind": "note", "project": {"id": project}, "user": {"id": 2, "username": "ada"},
            "object_attributes": {"note": text, "noteable_type": of},
            "merge_request": {"iid": 7},
        }))  # fmt: skip
        self.git("checkout", "--quiet", "main")
        trigger = {"CI_PIPELINE_SOURCE": "trigger", "TRIGGER_PAYLOAD": str(path)}
        return self.lab("--on-comment", **trigger)

    def test_only_what_the_provider_says_is_believed(self):
        head = self.hub.head()
        done = self.lab(CI_MERGE_REQUEST_IID="7")
        self.assertEqual(done.returncode, 1, done.stdout)
        (note,) = self.hub.notes
        self.assertIn("/greenloop apply", note["body"])
        for text, given, said in [
            # The payload alone says so: nobody has written it.
            ("/greenloop apply", {}, "nobody has asked"),
            ("/greenloop apply", {"project": 4}, "asks for nothing"),
            ("/greenloop apply", {"of": "Issue"}, "asks for nothing"),
            (f"$(touch {self.folder}/run)", {}, "asks for nothing"),
        ]:
            done = self.webhook(text, **given)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn(said, done.stdout)
        self.assertFalse((self.folder / "run").exists())
        self.hub.say(3, "/greenloop apply")
        done = self.webhook("/greenloop apply")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("eve may not push", done.stdout)
        self.assertEqual(self.hub.head(), head)

        self.hub.say(2, "/greenloop apply\nthank you")
        done = self.webhook("/greenloop apply")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("sum(numbers)", run("git", "-C", self.bare, "show", "fuel:total.py").stdout)
        self.assertEqual(run("git", "-C", self.bare, "rev-parse", "fuel^").stdout.strip(), head)
        self.assertIn("as ada asked", note["body"])
        self.assertNotIn(TOKEN, done.stdout)
        # The same comment once more, and without a webhook: it was for that fix.
        head = self.hub.head()
        for done in (
            self.webhook("/greenloop apply"),
            self.lab("--on-comment", "--number", "7"),
        ):
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertIn("nobody has asked", done.stdout)
        self.assertEqual(self.hub.head(), head)


if __name__ == "__main__":
    unittest.main()
