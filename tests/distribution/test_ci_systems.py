"""The files for GitHub Actions, GitLab CI, Azure Pipelines, Jenkins and any shell: checked with the
systems' schemas, and their scripts run against a server of releases."""

import base64
import json
import os
import shutil
import subprocess
import unittest
from pathlib import Path

import yaml

from support import ROOT, Scratch, Server, program, repository, run, tool

VERSION = "9.8.7"
MUSL = "x86_64-unknown-linux-musl"
TASK = ROOT / "pipelines/azure-task/GreenloopV0"


def schema(name: str, *files, transform=None):
    more = ["--data-transform", transform] if transform else []
    run(
        tool("check-jsonschema"), "--regex-variant", "nonunicode",
        "--builtin-schema", f"vendor.{name}", *more, *files,
    )  # fmt: skip


class Schemas(Scratch):
    def test_github(self):
        schema("github-actions", ROOT / "action.yml")
        schema("github-workflows", ROOT / "pipelines/examples/github.yml")

    def test_gitlab(self):
        schema("gitlab-ci", ROOT / "pipelines/examples/gitlab.yml", transform="gitlab-ci")
        # A component is two documents; the second is a configuration once its inputs are filled.
        text = (ROOT / "templates/greenloop.yml").read_text()
        spec, rest = text.split("\n---\n")
        inputs = yaml.safe_load(spec)["spec"]["inputs"]
        image = {"image": "registry.example.org/tools@sha256:" + "0" * 64}
        (self.folder / "filled.yml").write_text(fill(rest, inputs, image))
        schema("gitlab-ci", self.folder / "filled.yml", transform="gitlab-ci")
        for name, given in inputs.items():
            self.assertEqual("default" in given, name != "image", name)
            self.assertIn(f"$[[ inputs.{name} ]]", rest)
        spec, rest = (ROOT / "templates/apply-on-comment.yml").read_text().split("\n---\n")
        apply = yaml.safe_load(spec)["spec"]["inputs"]
        (self.folder / "apply.yml").write_text(fill(rest, apply, image))
        schema("gitlab-ci", self.folder / "apply.yml", transform="gitlab-ci")
        for name, given in apply.items():
            self.assertEqual("default" in given, name != "image", name)
            self.assertIn(f"$[[ inputs.{name} ]]", rest)
        for include in yaml.safe_load((ROOT / "pipelines/examples/gitlab.yml").read_text())["include"]:
            self.assertLessEqual(set(include["inputs"]), set(inputs))
            self.assertIn("image", include["inputs"])

    def test_azure_pipelines(self):
        # Their schema wants text where YAML has numbers and booleans, but for some keys.
        for name in ("azure-pipelines.yml", "templates/greenloop.yml", "templates/deploy.yml",
                     "templates/install.yml", "templates/heal-and-accept.yml",
                     "templates/apply-on-comment.yml", "examples/azure-apply-on-comment.yml",
                     "examples/azure-pipelines.yml"):  # fmt: skip
            text = (ROOT / "pipelines" / name).read_text()
            for given in yaml.safe_load(text).get("parameters", []):
                # As a template is expanded, where it is a text.
                expression = "${{ parameters.%s }}" % given["name"]
                text = text.replace(expression, str(given.get("default") or "given"))
            data = as_text(yaml.safe_load(text))
            # Parameters of a template and jobs of kind `deployment` are not in it as they are
            # documented; tests/e2e/pipelines knows them.
            found = {k: v for k, v in data.items() if k != "parameters"}
            path = self.folder / name.replace("/", "-")
            path.write_text(json.dumps(without_deployments(found)))
            schema("azure-pipelines", path, transform="azure-pipelines")

    def test_example_gives_only_parameters_that_the_template_has(self):
        example = yaml.safe_load((ROOT / "pipelines/examples/azure-pipelines.yml").read_text())
        path, _, repository = example["extends"]["template"].partition("@")
        self.assertEqual(repository, example["resources"]["repositories"][0]["repository"])
        template = yaml.safe_load((ROOT / path).read_text())
        known = {it["name"]: it for it in template["parameters"]}
        given = set(example["extends"]["parameters"])
        self.assertLessEqual(given, set(known))
        needed = {name for name, it in known.items() if "default" not in it}
        self.assertLessEqual(needed, given)
        # Nothing compiles the program.
        text = json.dumps([example, template])
        self.assertNotIn("cargo", text)


def fill(text: str, inputs: dict, values: dict) -> str:
    for name, given in inputs.items():
        value = values.get(name, (given or {}).get("default"))
        value = str(value).lower() if isinstance(value, bool) else str(value)
        text = text.replace(f"$[[ inputs.{name} ]]", value)
    return text


def as_text(value):
    if isinstance(value, dict):
        typed = ("inputs", "continueOnError", "enabled")
        return {key: it if key in typed else as_text(it) for key, it in value.items()}
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def without_deployments(value):
    if isinstance(value, dict):
        if "deployment" in value:
            steps = value["strategy"]["runOnce"]["deploy"]["steps"]
            return {"job": value["deployment"], "steps": without_deployments(steps)}
        # A number for a step and a text for a job.
        rest = {key: item for key, item in value.items() if key != "timeoutInMinutes"}
        return {key: without_deployments(item) for key, item in rest.items()}
    return [without_deployments(item) for item in value] if isinstance(value, list) else value


# A program that tells what it was given, and ends as CODE says.
FAKE = """#!/bin/sh
if [ "$1" = --version ]; then echo "greenloop 9.8.7"; exit 0; fi
{ echo "args: $*"; env; } >"$TOLD"
[ -z "${GITHUB_OUTPUT:-}" ] || echo "outcome=verified" >>"$GITHUB_OUTPUT"
if [ -n "${WAIT:-}" ]; then
  trap 'echo interrupted >>"$TOLD"; exit 130' INT TERM
  echo ready >"$WAIT"
  while :; do sleep 0.1; done
fi
exit "${CODE:-0}"
"""


class WithRelease(unittest.TestCase):
    """A served release whose program is `FAKE`, signed."""

    @classmethod
    def setUpClass(cls):
        import tempfile

        cls.base = Path(tempfile.mkdtemp(prefix="greenloop-"))
        cls.addClassCleanup(shutil.rmtree, cls.base)
        cls.tree = repository(cls.base / "tree")
        key = cls.base / "pem"
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", key)
        cls.key = base64.b64encode(
            subprocess.run(
                ["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"],
                stdout=subprocess.PIPE, check=True,
            ).stdout
        ).decode()  # fmt: skip
        fake = cls.base / "fake"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        cls.release = cls.base / "release"
        run(
            cls.tree / "scripts/release.sh", VERSION, "--dry-run", "--out", cls.release,
            "--program", f"{MUSL}={fake}", "--sign", key, "--url", "http://127.0.0.1:1",
        )  # fmt: skip

    def setUp(self):
        import tempfile

        self.at = Path(tempfile.mkdtemp(dir=self.base))
        self.served = self.at / "served"
        (self.served / "download").mkdir(parents=True)
        (self.served / "latest").mkdir()
        self.files = self.served / "download" / f"v{VERSION}"
        shutil.copytree(self.release, self.files)
        (self.served / "latest/download").symlink_to(self.files)
        self.server = Server(self.served)
        self.addCleanup(self.server.close)
        self.told = self.at / "told"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.at), "TOLD": str(self.told)}

    def arguments(self) -> str:
        return self.told.read_text().splitlines()[0].removeprefix("args: ")

    def given(self, name: str) -> str | None:
        for line in self.told.read_text().splitlines():
            if line.startswith(f"{name}="):
                return line.removeprefix(f"{name}=")
        return None

    def archive(self) -> Path:
        return next(self.files.glob("*.tar.gz"))


class GitHub(WithRelease):
    def action(self, inputs: dict, **env):
        """The steps of action.yml as a runner does them."""
        action = yaml.safe_load((ROOT / "action.yml").read_text())
        values = {name: it.get("default", "") for name, it in action["inputs"].items()}
        self.assertLessEqual(set(inputs), set(values))
        values |= inputs
        output, path = self.at / "output", self.at / "path"
        output.write_text("")
        path.write_text("")
        common = self.env | env | {
            "GITHUB_ACTION_PATH": str(ROOT), "RUNNER_TEMP": str(self.at),
            "GITHUB_OUTPUT": str(output), "GITHUB_PATH": str(path),
        }  # fmt: skip
        log = ""
        for step in action["runs"]["steps"]:
            own = {}
            for name, text in step["env"].items():
                key = text.removeprefix("${{ inputs.").removesuffix(" }}")
                own[name] = values[key]
            added = ":".join(path.read_text().split())
            searched = f"{added}:{common['PATH']}" if added else common["PATH"]
            done = run(
                "bash", "-c", step["run"], cwd=self.at, check=False,
                env=common | own | {"PATH": searched},
            )  # fmt: skip
            log += done.stdout
            if done.returncode != 0:
                break
        outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode, log, outputs

    def test_installs_a_verified_release_and_runs_it(self):
        code, log, outputs = self.action(
            {"environment": "staging", "releases": self.server.url, "public-key": self.key,
             "max-iterations": "2", "approved": "true", "args": "--debug --dry-run"}
        )  # fmt: skip
        self.assertEqual(code, 0, log)
        self.assertEqual(
            self.arguments(),
            "run --environment staging --max-iterations 2 --yes --output github --debug --dry-run",
        )
        self.assertEqual(outputs, {"outcome": "verified", "exit-code": "0"})

    def test_heals_a_command_as_it_is_written(self):
        code, log, _ = self.action(
            {"command": "heal", "heal": "npm ci && npm test -- 'a b'", "releases": self.server.url}
        )
        self.assertEqual(code, 0, log)
        self.assertEqual(self.arguments(), "heal --output github -- npm ci && npm test -- 'a b'")

    def test_checks_a_pull_request(self):
        code, log, _ = self.action({"command": "pr", "releases": self.server.url})
        self.assertEqual(code, 0, log)
        self.assertEqual(self.arguments(), "pr --output github")

    def test_says_what_an_exit_code_means(self):
        for expected, says, outcome in [
            (1, "needs a person", None),
            (2, "arguments are invalid", "unusable"),
            (4, "last verified release was restored", None),
            (5, "another run holds", "held"),
        ]:
            code, log, outputs = self.action({"releases": self.server.url}, CODE=str(expected))
            self.assertEqual((code, outputs["exit-code"]), (expected, str(expected)))
            self.assertRegex(log, f"::error title=Greenloop::.*{says}")
            if outcome:
                self.assertEqual(outputs["outcome"], outcome)

    def test_a_changed_download_is_an_annotation_and_runs_nothing(self):
        self.archive().write_bytes(b"something else")
        code, log, _ = self.action({"releases": self.server.url})
        self.assertEqual(code, 1)
        self.assertRegex(log, "::error title=Greenloop::.*the checksum is wrong")
        self.assertFalse(self.told.exists())

    def test_unknown_commands_are_refused(self):
        code, log, outputs = self.action({"command": "destroy", "releases": self.server.url})
        self.assertEqual((code, outputs["outcome"]), (2, "unusable"))
        self.assertIn("use run, verify, pr or heal", log)


class GitLab(WithRelease):
    def job(self, values: dict, **env):
        spec, rest = (ROOT / "templates/greenloop.yml").read_text().split("\n---\n")
        inputs = yaml.safe_load(spec)["spec"]["inputs"]
        job = yaml.safe_load(fill(rest, inputs, values))[values.get("job", "greenloop")]
        (script,) = job["script"]
        variables = {name: str(value or "") for name, value in job["variables"].items()}
        return run(
            "sh", "-c", script, cwd=self.at, env=self.env | variables | env, check=False
        )

    def release_of(self, sha256=None):
        import hashlib

        digest = hashlib.sha256(self.archive().read_bytes()).hexdigest()
        url = f"{self.server.url}/latest/download/{self.archive().name}"
        return {"release_url": url, "release_sha256": sha256 or digest}

    def test_fetches_a_verified_release_and_runs_it(self):
        done = self.job(self.release_of() | {"environment": "staging", "max_iterations": 3})
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(
            self.arguments(), "run --environment staging --max-iterations 3 --output gitlab"
        )
        self.assertEqual(self.given("GREENLOOP_CONFIG"), "config.yaml")
        variables = (self.at / "logs/greenloop.env").read_text()
        self.assertIn("GREENLOOP_OUTCOME=verified\n", variables)
        done = self.job(self.release_of() | {"verify_only": True})
        self.assertEqual(self.arguments(), "verify --output gitlab")
        done = self.job(self.release_of() | {"approved": True}, CODE="4")
        self.assertEqual(done.returncode, 4)
        variables = (self.at / "logs/greenloop.env").read_text()
        self.assertIn("GREENLOOP_OUTCOME=restored\n", variables)
        self.assertEqual(self.arguments(), "run --max-iterations 5 --yes --output gitlab")

    def test_a_comment_s_text_meets_no_shell(self):
        spec, rest = (ROOT / "templates/apply-on-comment.yml").read_text().split("\n---\n")
        inputs = yaml.safe_load(spec)["spec"]["inputs"]
        job = yaml.safe_load(fill(rest, inputs, self.release_of()))["greenloop-apply"]
        variables = {name: str(value or "") for name, value in job["variables"].items()}
        payload = self.at / "payload"
        payload.write_text(json.dumps({"object_attributes": {"note": f"$(touch {self.at}/run)"}}))
        env = self.env | variables | {"TRIGGER_PAYLOAD": str(payload)}
        done = run("sh", "-c", job["script"][0], cwd=self.at, env=env, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.arguments(), "pr --on-comment")
        self.assertFalse((self.at / "run").exists())
        # Nothing else of the pipeline is started by it, and no branch of a merge request.
        (rule,) = job["rules"]
        for said in ('CI_PIPELINE_SOURCE == "trigger"', "CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"):
            self.assertIn(said, rule["if"])

    def test_azure_s_payload_is_a_number_or_nothing(self):
        template = yaml.safe_load((ROOT / "pipelines/templates/apply-on-comment.yml").read_text())
        (step,) = [it for it in template["steps"] if "bash" in it and "PULL_REQUEST" in it["env"]]
        self.assertNotIn("${{", step["bash"])
        folder = self.at / "bin"
        folder.mkdir()
        fake = folder / "greenloop"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        for number in ("7", f"7; touch {self.at}/run", f"$(touch {self.at}/run)"):
            env = self.env | {"PULL_REQUEST": number, "TARGET_ENVIRONMENT": "staging"}
            env["PATH"] = f"{folder}:{env['PATH']}"
            done = run("bash", "-c", step["bash"], cwd=self.at, env=env, check=False)
            self.assertEqual(done.returncode, 0, done.stdout)
            told = f"pr --on-comment --number {number} --environment staging"
            self.assertEqual(self.arguments(), told)
            self.assertFalse((self.at / "run").exists())
        example = (ROOT / "pipelines/examples/azure-apply-on-comment.yml").read_text()
        example = yaml.safe_load(example)
        given = set(example["steps"][0]["parameters"])
        self.assertLessEqual(given, {it["name"] for it in template["parameters"]})
        self.assertEqual(example["resources"]["webhooks"][0]["webhook"], "WebHook")

    def test_another_checksum_runs_nothing(self):
        done = self.job(self.release_of(sha256="0" * 64))
        self.assertEqual(done.returncode, 2)
        self.assertIn("the checksum is wrong", done.stdout)
        self.assertFalse(self.told.exists())


class Shell(WithRelease):
    def test_installs_runs_and_keeps_the_records(self):
        (self.at / "logs/runs/0190").mkdir(parents=True)
        (self.at / "logs/runs/0190/summary.md").write_text("x")
        env = self.env | {"RELEASES": self.server.url, "ENVIRONMENT": "staging",
                          "RECORDS": str(self.at / "kept"), "PUBLIC_KEY": self.key, "CODE": "4"}  # fmt: skip
        script = ROOT / "pipelines/examples/shell.sh"
        done = run("sh", script, cwd=self.at, env=env, check=False)
        self.assertEqual(done.returncode, 4, done.stdout)
        self.assertIn("the last verified release serves again", done.stdout)
        self.assertEqual(self.arguments(), "run --environment staging --output plain")
        self.assertTrue((self.at / "kept/0190/summary.md").exists())

    def test_the_jenkinsfile_runs_the_same(self):
        text = (ROOT / "pipelines/examples/Jenkinsfile").read_text()
        script = text.split("sh '''")[1].split("'''")[0]
        env = self.env | {"GREENLOOP_RELEASES": self.server.url, "WORKSPACE_TMP": str(self.at / "t")}
        done = run("sh", "-ec", script, cwd=self.at, env=env, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.arguments(), "run --environment staging --output plain")
        self.assertEqual(text.count("{"), text.count("}"))


class AzureTask(WithRelease):
    """The task as an agent runs it: inputs and secrets in the environment, commands in the log."""

    def setUp(self):
        super().setUp()
        self.node = tool("node")

    def task(self, inputs: dict, **env):
        known = {it["name"] for it in json.loads((TASK / "task.json").read_text())["inputs"]}
        self.assertLessEqual(set(inputs), known)
        given = {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
        agent = {"AGENT_TOOLSDIRECTORY": str(self.at / "tools"), "BUILD_SOURCESDIRECTORY": str(self.at)}
        return run(
            self.node, TASK / "index.js", cwd=self.at, env=self.env | agent | given | env, check=False
        )

    def test_fetches_verifies_caches_and_runs(self):
        inputs = {"command": "run", "environment": "staging", "maxIterations": "2",
                  "approved": "true", "releases": self.server.url, "publicKey": self.key}  # fmt: skip
        secret = {
            "ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN": "job-token",
            "SECRET_PASSWORD": "hunter2", "MINE": "kept",
        }  # fmt: skip
        done = self.task(inputs, **secret)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(
            self.arguments(),
            "run --environment staging --max-iterations 2 --yes --output azure",
        )
        self.assertEqual(self.given("SYSTEM_ACCESSTOKEN"), "job-token")
        self.assertEqual(self.given("MINE"), "kept")
        text = self.told.read_text()
        for hidden in ("INPUT_", "ENDPOINT_", "hunter2"):
            self.assertNotIn(hidden, text)
        fetched = self.server.asked.count(f"/latest/download/{self.archive().name}")
        self.assertEqual(fetched, 1)
        # The second job on the agent downloads nothing but the checksums.
        self.assertEqual(self.task(inputs).returncode, 0)
        self.assertEqual(
            self.server.asked.count(f"/latest/download/{self.archive().name}"), 1
        )

    def test_signs_in_by_workload_identity_only(self):
        connection = {
            "ENDPOINT_AUTH_SCHEME_id1": "WorkloadIdentityFederation",
            "ENDPOINT_AUTH_PARAMETER_id1_TENANTID": "tenant",
            "ENDPOINT_AUTH_PARAMETER_id1_SERVICEPRINCIPALID": "client",
        }
        inputs = {"azureSubscription": "id1", "releases": self.server.url}
        self.assertEqual(self.task(inputs, **connection).returncode, 0)
        for name, value in [
            ("AZURE_TENANT_ID", "tenant"),
            ("AZURE_CLIENT_ID", "client"),
            ("AZURE_SERVICE_CONNECTION_ID", "id1"),
        ]:
            self.assertEqual(self.given(name), value)
        connection["ENDPOINT_AUTH_SCHEME_id1"] = "ServicePrincipal"
        done = self.task(inputs, **connection)
        self.assertIn("use workload identity federation", done.stdout)
        self.assertIn("task.complete result=Failed;", done.stdout)

    def test_every_command(self):
        for inputs, arguments in [
            ({"command": "verify", "environment": "prod"}, "verify --environment prod --output azure"),
            ({"command": "rollback"}, "rollback --output azure"),
            ({"command": "pr", "environment": "staging"}, "pr --environment staging --output azure"),
            ({"command": "heal", "heal": "npm test"}, "heal --output azure -- npm test"),
            # The agent fills an empty path with the sources' folder.
            ({"config": str(self.at)}, "run --output azure"),
        ]:
            done = self.task(inputs | {"releases": self.server.url})
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertEqual(self.arguments(), arguments)

    def test_says_what_an_exit_code_means(self):
        for code, says, outcome in [(1, "needs a person", None), (5, "another run holds", "held"),
                                    (2, "are invalid", "unusable")]:  # fmt: skip
            done = self.task({"releases": self.server.url}, CODE=str(code))
            self.assertEqual(done.returncode, code)
            self.assertRegex(done.stdout, rf"##vso\[task.logissue type=error;\].*{says}")
            self.assertIn("##vso[task.complete result=Failed;]", done.stdout)
            if outcome:
                self.assertIn(f"variable=outcome;isOutput=true]{outcome}", done.stdout)

    def test_nothing_unverified_runs(self):
        def refused(says, inputs=None):
            done = self.task({"releases": self.server.url, "publicKey": self.key} | (inputs or {}))
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(says, done.stdout)
            self.assertFalse(self.told.exists())

        refused("not the base64 of an Ed25519", {"publicKey": "bm90IGEga2V5"})
        refused("the server answered 404", {"version": "1.0.0"})
        self.server.cut.add(self.archive().name)
        refused(self.archive().name)
        self.server.cut.clear()
        self.archive().write_bytes(b"another archive")
        refused("the checksum is wrong")
        with (self.files / "SHA256SUMS").open("a") as sums:
            sums.write(f"{'0' * 64}  more\n")
        refused("the signature is not by publicKey")
        (self.files / "SHA256SUMS.ed25519").unlink()
        refused("the server answered 404")

    def test_a_cancelled_job_lets_the_program_end(self):
        import signal
        import time

        ready = self.at / "ready"
        env = self.env | {
            "AGENT_TOOLSDIRECTORY": str(self.at / "tools"), "WAIT": str(ready),
            "INPUT_RELEASES": self.server.url,
        }  # fmt: skip
        process = subprocess.Popen(
            [self.node, TASK / "index.js"], cwd=self.at, env=env,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not ready.exists():
            self.assertIsNone(process.poll())
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        log, _ = process.communicate()
        self.assertEqual(process.returncode, 130, log)
        self.assertIn("interrupted", self.told.read_text())
        self.assertIn("task.complete result=Cancelled;", log)

    def test_the_manifests_are_of_the_documented_form(self):
        """The keys and values of tasks.schema.json (azure-pipelines-task-lib) and of the
        extension manifest's reference that are used here."""
        task = json.loads((TASK / "task.json").read_text())
        known = {
            "$schema", "id", "name", "friendlyName", "description", "helpMarkDown", "category",
            "visibility", "runsOn", "author", "version", "minimumAgentVersion", "demands",
            "instanceNameFormat", "groups", "inputs", "outputVariables", "execution",
        }  # fmt: skip
        self.assertEqual(set(task), known)
        self.assertRegex(task["id"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertRegex(task["name"], r"^[A-Za-z0-9-]+$")
        self.assertIn(task["category"], ["Build", "Utility", "Test", "Package", "Deploy"])
        self.assertEqual(set(task["version"]), {"Major", "Minor", "Patch"})
        self.assertLessEqual(len(task["friendlyName"]), 40)
        # An agent that has Node 20: 3.232.1.
        self.assertEqual(task["minimumAgentVersion"], "3.232.1")
        groups = {it["name"] for it in task["groups"]}
        names = set()
        for given in task["inputs"]:
            self.assertRegex(given["name"], r"^[A-Za-z][A-Za-z0-9]*$")
            self.assertIn(given["type"], ["boolean", "filePath", "pickList", "string",
                                          "connectedService:AzureRM"])  # fmt: skip
            self.assertIn(given.get("groupName"), groups | {None})
            self.assertEqual("options" in given, given["type"] == "pickList")
            if rule := given.get("visibleRule"):
                self.assertIn(rule.split()[0], names)
                self.assertIn(rule.split()[2], task["inputs"][0]["options"])
            names.add(given["name"])
        (execution,) = task["execution"].items()
        self.assertEqual(execution[0], "Node20_1")
        self.assertTrue((TASK / execution[1]["target"]).is_file())
        script = (TASK / "index.js").read_text()
        for name in names:
            self.assertIn(f"input('{name}')", script)
        extension = json.loads((TASK.parent / "vss-extension.json").read_text())
        (contribution,) = extension["contributions"]
        self.assertEqual(contribution["type"], "ms.vss-distributed-task.task")
        self.assertTrue((TASK.parent / contribution["properties"]["name"] / "task.json").is_file())
        self.assertIn({"path": contribution["properties"]["name"]}, extension["files"])
        self.assertTrue((TASK.parent / extension["content"]["details"]["path"]).is_file())
        version = ".".join(str(task["version"][part]) for part in ("Major", "Minor", "Patch"))
        self.assertEqual(extension["version"], version)

    def test_is_packaged(self):
        tfx = ROOT / "target/tools/node/node_modules/.bin/tfx"
        if not tfx.exists():
            self.skipTest("tfx-cli is not installed: scripts/test-distribution.sh --install does, with npm")
        package = self.at / "greenloop.vsix"
        run(
            self.node, tfx, "extension", "create", "--no-prompt", "--manifest-globs",
            "vss-extension.json", "--output-path", package, cwd=TASK.parent,
        )  # fmt: skip
        import zipfile

        names = set(zipfile.ZipFile(package).namelist())
        self.assertLessEqual({"GreenloopV0/task.json", "GreenloopV0/index.js"}, names)


if __name__ == "__main__":
    unittest.main()
