"""Every example, as a repository of its own: deployed, verified, broken, and still served."""

import json
import os
import re
import shutil
import signal
import socket
import time
import unittest
import urllib.request
from pathlib import Path

import yaml

from support import GREENLOOP, IDENTITY, ROOT, Scratch, run, tool
from test_ci_systems import as_text, fill, schema

EXAMPLES = ROOT / "examples"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def processes_of(folder: Path) -> list[int]:
    """Processes that were started in or from a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder).encode() in words or Path(where).is_relative_to(folder):
            found.append(int(entry.name))
    return [process for process in found if process != os.getpid()]


class Deployed(Scratch):
    """An example as a repository, and what was started for it, which ends with the test."""

    def setUp(self):
        super().setUp()
        self.tree = self.folder / "repository"
        # Before the folder is removed.
        self.addCleanup(self.stop)

    def stop(self):
        while there := processes_of(self.folder):
            for process in there:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

    def take(self, name: str) -> dict[str, int]:
        """The example as a repository on free ports, by environment."""
        ignore = shutil.ignore_patterns("target", "__pycache__", "logs", "metrics")
        shutil.copytree(EXAMPLES / name, self.tree, ignore=ignore)
        path = self.tree / "config.yaml"
        text = path.read_text()
        ports = {}
        for environment, settings in yaml.safe_load(text)["environments"].items():
            port = free_port()
            text = text.replace(settings["url"], f"http://127.0.0.1:{port}")
            ports[environment] = port
        # What does not answer is not waited for.
        path.write_text(re.sub(r"^( *)method: process$", r"\g<0>\n\1wait_timeout: 5", text, flags=re.M))
        run("git", "init", "--quiet", "--initial-branch=main", self.tree)
        self.commit("Start")
        return ports

    def commit(self, message: str):
        run("git", "-C", self.tree, *IDENTITY, "add", "--all")
        run("git", "-C", self.tree, *IDENTITY, "commit", "--quiet", "--message", message)

    def greenloop(self, *arguments):
        unset = ("OPENAI_", "GREENLOOP_", "TF_BUILD", "GITHUB_", "GITLAB_", "CI_")
        env = {name: text for name, text in os.environ.items() if not name.startswith(unset)}
        return run(GREENLOOP, *arguments, cwd=self.tree, env=env, check=False)

    def get(self, port: int, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.read().decode()

    def deploy(self, environment: str):
        done = self.greenloop("run", "--environment", environment, "--output", "plain")
        self.assertEqual(done.returncode, 0, done.stdout)


@unittest.skipUnless(GREENLOOP.exists(), f"{GREENLOOP} is not built")
class Examples(Deployed):
    def served(self, name: str, path: str, says: str, change: tuple[str, str, str]):
        """Verified at first; a change that breaks the service does not replace it."""
        ((environment, port),) = self.take(name).items()
        self.deploy(environment)
        self.assertIn(says, self.get(port, path))
        status = self.greenloop("status", "--environment", environment, "--output", "json")
        head = run("git", "-C", self.tree, "rev-parse", "HEAD").stdout.strip()
        self.assertEqual(json.loads(status.stdout)["serving"]["release"]["commit"], head)
        # What a run leaves is ignored by git.
        self.assertEqual(run("git", "-C", self.tree, "status", "--porcelain").stdout, "")
        file, old, new = change
        text = (self.tree / file).read_text()
        self.assertIn(old, text)
        (self.tree / file).write_text(text.replace(old, new))
        self.commit("Break it")
        done = self.greenloop("run", "--environment", environment, "--output", "plain")
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn(says, self.get(port, path))

    def test_python(self):
        self.served("python", "/range?fuel=40", "500 km", ("server.py", "litres / 8", "litres / 9"))

    def test_node(self):
        tool("node")
        self.served("node", "/range?fuel=40", "500 km", ("server.js", "'/health'", "'/healthy'"))

    def test_rust(self):
        tool("cargo")
        self.served("rust", "/range?fuel=40", "500 km", ("src/main.rs", "litres / 8.0", "litres / 9.0"))

    def test_static_files(self):
        self.served("static", "/depots.html", "Aachen", ("site/index.html", "depots.html", "depot.html"))

    def test_monorepo(self):
        ports = self.take("monorepo")
        for environment in ports:
            self.deploy(environment)
        self.assertIn("500 km", self.get(ports["api"], "/range?fuel=40"))
        self.assertIn("How far", self.get(ports["web"], "/index.html"))
        # A broken service keeps the other one from being deployed with it.
        (self.tree / "web/style.css").write_text("")
        self.commit("Empty the style")
        done = self.greenloop("run", "--environment", "api", "--output", "plain")
        self.assertNotEqual(done.returncode, 0, done.stdout)
        self.assertIn("500 km", self.get(ports["api"], "/range?fuel=40"))

    def test_the_table_lists_every_example(self):
        listed = set(re.findall(r"^\| \[(\w+)\]", (EXAMPLES / "README.md").read_text(), re.M))
        there = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
        self.assertEqual(listed, there)

    def test_pipeline_files(self):
        for name in ("node", "monorepo"):
            schema("github-workflows", EXAMPLES / name / "deploy.yml")
        schema("gitlab-ci", EXAMPLES / "rust/gitlab-ci.yml", transform="gitlab-ci")
        pipeline = as_text(yaml.safe_load((EXAMPLES / "python/azure-pipelines.yml").read_text()))
        path = self.folder / "azure-pipelines.yml"
        path.write_text(json.dumps(pipeline))
        schema("azure-pipelines", path, transform="azure-pipelines")
        # They give only what there is to be given, and name environments that there are.
        action = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
        for name in ("node", "monorepo"):
            job = yaml.safe_load((EXAMPLES / name / "deploy.yml").read_text())["jobs"]["deploy"]
            self.assertLessEqual(set(job["steps"][1]["with"]), set(action))
        given = pipeline["steps"][0]["parameters"]
        template = yaml.safe_load((ROOT / "pipelines/templates/greenloop.yml").read_text())
        self.assertLessEqual(set(given), {it["name"] for it in template["parameters"]})


if __name__ == "__main__":
    unittest.main()
