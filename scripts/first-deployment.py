#!/usr/bin/env python3
"""Measures how long it takes from a repository without a configuration to a verified deployment.

    scripts/first-deployment.py [--greenloop target/debug/greenloop] [--runs 5]

For the sources of four examples (the files of Greenloop and of CI systems left out) it does what the
README says under "Deploy a service": the commands are read from there. After them the service has to
answer, and `greenloop status` has to call the release verified. Prints a Markdown table: the number
of commands, the median time of each in seconds, and the sum of a run.

Needs git, and what the services need: python3, node, cargo. What is missing is left out.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SOURCES = ("config.yaml", "azure-pipelines.yml", "deploy.yml", "gitlab-ci.yml", "Jenkinsfile")
# The example, what it needs, a path of the service, and what that answers.
SERVICES = [
    ("Python", "python", "python3", "/range?fuel=40", "500 km"),
    ("Node", "node", "node", "/range?fuel=40", "500 km"),
    ("Rust", "rust", "cargo", "/range?fuel=40", "500 km"),
    ("Static files", "static/site", "python3", "/depots.html", "Aachen"),
]


def commands() -> list[str]:
    """The commands of the README."""
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```sh\n(greenloop init .*?)```", text, re.S)
    return block[1].strip().splitlines()


class Failed(Exception):
    pass


def run(command: str, tree: Path, env: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(["bash", "-c", command], cwd=tree, env=env, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise Failed(f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return took


def deploy(example: str, path: str, answer: str, greenloop: str) -> list[float]:
    """The seconds of each command for a new repository."""
    with tempfile.TemporaryDirectory(prefix="greenloop-first-") as work:
        tree, programs = Path(work) / "service", Path(work) / "bin"
        ignore = shutil.ignore_patterns(*NOT_SOURCES, "target", "__pycache__", "logs", "metrics")
        shutil.copytree(ROOT / "examples" / example, tree, ignore=ignore)
        programs.mkdir()
        (programs / "greenloop").symlink_to(greenloop)
        env = {name: os.environ[name] for name in ("HOME", "LANG", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
        identity = {"AUTHOR_NAME": "t", "AUTHOR_EMAIL": "t@example.org", "COMMITTER_NAME": "t", "COMMITTER_EMAIL": "t@example.org"}
        env |= {f"GIT_{name}": value for name, value in identity.items()}
        env["PATH"] = f"{programs}:{os.environ['PATH']}"
        run("git init --quiet --initial-branch main", tree, env)
        try:
            took = [run(command, tree, env) for command in commands()]
            check(tree, env, path, answer)
        finally:
            subprocess.run([greenloop, "stop", "--yes"], cwd=tree, env=env, capture_output=True, check=False)
        return took


def check(tree: Path, env: dict[str, str], path: str, answer: str):
    said = subprocess.run(["greenloop", "status", "--output", "json"], cwd=tree, env=env, capture_output=True, check=True)
    release = json.loads(said.stdout)["serving"]["release"]
    if not release["verified_at"]:
        raise Failed(f"the release is not verified: {release}")
    url = re.search(r"url: (http://\S+)", (tree / "greenloop.yaml").read_text())[1]
    with urllib.request.urlopen(url + path) as response:
        if answer not in response.read().decode():
            raise Failed(f"{url}{path} does not answer {answer!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--greenloop", default=str(ROOT / "target" / "debug" / "greenloop"))
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    greenloop = str(Path(options.greenloop).resolve(strict=True))
    print("| | Commands | init | commit | run | From nothing to verified |")
    print("|---|---|---|---|---|---|")
    for name, example, needs, path, answer in SERVICES:
        if not shutil.which(needs):
            print(f"{name}: {needs} is not installed", file=sys.stderr)
            continue
        try:
            runs = [deploy(example, path, answer, greenloop) for _ in range(options.runs)]
        except Failed as error:
            sys.exit(f"{name}: {error}")
        each = " | ".join(f"{statistics.median(times):.1f} s" for times in zip(*runs, strict=True))
        whole = statistics.median(sum(times) for times in runs)
        print(f"| {name} | {len(runs[0])} | {each} | {whole:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
