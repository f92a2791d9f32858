#!/usr/bin/env python3
"""What the policy says of hostile patches and of real fixes, where collections of them are at hand.

    scripts/policy-figures.py [--hostile FOLDER] [--fixes FOLDER] [--extract REPOSITORY ...]

HOSTILE ($GREENLOOP_HOSTILE) holds `patches.jsonl` (a case a line: name, want, forms) and `tree/`,
the repository that the patches apply to. FIXES ($GREENLOOP_FIXES) holds a folder for each fix:
`base/`, the files before, and `patch.diff`. `--extract` fills it from git repositories: commits
that say they fix something and change source code. What is not there is skipped with a word.

The verdicts come from `crates/policy/tests/corpus.rs`; it fails when more than one hostile patch
in fifty is allowed.
"""

import argparse
import os
import random
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIX = re.compile(r"\b(fix|fixes|fixed|bug)\b", re.I)
OTHER = re.compile(r"typo|readme|docs?\b|changelog|\bci\b|bump|release|lint|deps|workflow|merge", re.I)
SOURCE = re.compile(r"\.(js|ts|py|go|rs|java|c|rb)$")
TEST = re.compile(r"test|spec", re.I)
# What the policy reads beside the files that change.
BESIDE = re.compile(r"(package\.json|Makefile|\.github/workflows/.*|\.travis\.yml|.*\.sh)$")


def git(repository, *arguments):
    command = ["git", "-C", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, check=True).stdout


def fixes(repository, most):
    """Commits that fix something, some of them, always the same ones."""
    log = git(repository, "log", "--no-merges", "--format=%H %s", "-n", "4000", "HEAD")
    lines = [line for line in log.decode(errors="replace").splitlines() if FIX.search(line)]
    lines = [line for line in lines if not OTHER.search(line)]
    random.Random(7).shuffle(lines)
    found = 0
    for line in lines:
        commit = line.split()[0]
        names = git(repository, "show", "--format=", "--name-only", commit)
        files = names.decode(errors="replace").split()
        source = [name for name in files if SOURCE.search(name) and not TEST.search(name)]
        if not source or len(files) > 12:
            continue
        diff = git(repository, "diff", "--no-color", f"{commit}^", commit)
        if not diff or len(diff) > 60_000 or b"Binary files" in diff or b"GIT binary" in diff:
            continue
        yield commit, files, diff
        found += 1
        if found == most:
            return


def extract(repository, folder, most):
    name = Path(repository).resolve().name
    for commit, files, diff in fixes(repository, most):
        case = folder / f"{name}-{commit[:8]}"
        listed = git(repository, "ls-tree", "-r", "--name-only", f"{commit}^")
        there = set(listed.decode(errors="replace").splitlines())
        for path in there & (set(files) | {path for path in there if BESIDE.match(path)}):
            target = case / "base" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(git(repository, "show", f"{commit}^:{path}"))
        (case / "base").mkdir(parents=True, exist_ok=True)
        (case / "patch.diff").write_bytes(diff)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hostile", default=os.environ.get("GREENLOOP_HOSTILE"))
    parser.add_argument("--fixes", default=os.environ.get("GREENLOOP_FIXES"))
    parser.add_argument("--extract", nargs="*", default=[], metavar="REPOSITORY")
    parser.add_argument("--most", type=int, default=18, help="fixes taken from a repository")
    options = parser.parse_args()
    environment = dict(os.environ)
    if options.extract:
        if not options.fixes:
            parser.error("--extract needs --fixes FOLDER to write to")
        for repository in options.extract:
            extract(repository, Path(options.fixes), options.most)
    for name, folder, sign in [
        ("GREENLOOP_HOSTILE", options.hostile, "patches.jsonl"),
        ("GREENLOOP_FIXES", options.fixes, ""),
    ]:
        environment.pop(name, None)
        if folder and (Path(folder) / sign).exists():
            environment[name] = str(Path(folder).resolve())
        else:
            print(f"skipped: {name} names no collection")
    command = ["cargo", "test", "--locked", "-q", "-p", "greenloop-policy", "--test", "corpus", "--", "--nocapture"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
