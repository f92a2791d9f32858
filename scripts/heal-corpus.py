#!/usr/bin/env python3
"""Heals known bugs with known answers, in every answer format and with typical damage by models.

Uses the first cases of `repair/{python,rust,js}.jsonl` in the corpora (HumanEvalFix), creates a git
repository for each, and runs `greenloop heal --apply` with a model server in this process: the author
answers with the known solution, in each accepted format in turn and often damaged; the reviewer
approves. A case is healed if greenloop exits with 0 and reports the heal as proven, the tests pass when
run separately, and the test file is unchanged.

    scripts/heal-corpus.py [--greenloop target/debug/greenloop] [--cases 20] [--keep]

The corpora are in $GREENLOOP_CORPORA; default: ../shared/corpora.
"""

import argparse
import difflib
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from model_server import ModelServer, review

ROOT = Path(__file__).resolve().parent.parent


# --- cases -----------------------------------------------------------------------------------


class Case:
    """One bug: files, the failing command, the file to repair and its correct content."""

    def __init__(self, name, files, command, target, fixed, tests, ignored=""):
        self.name = name
        self.files = files
        self.command = command
        self.target = target
        self.fixed = fixed
        self.tests = tests
        self.ignored = ignored

    @property
    def buggy(self):
        return self.files[self.target]


def python_case(record):
    head, test = record["declaration"], record["test"]
    test_file = "test_solution.py"
    return Case(
        record["task_id"],
        {
            "solution.py": head + record["buggy_solution"],
            test_file: "import unittest\n\nfrom solution import *\n\n\n"
            "class SolutionTest(unittest.TestCase):\n    def test_solution(self):\n"
            + textwrap.indent(test.strip("\n"), " " * 8)
            + "\n",
        },
        "python3 -B -m unittest -v test_solution",
        "solution.py",
        head + record["canonical_solution"],
        [test_file],
    )


def rust_case(record):
    # No crates here: what the first cases use is in the standard library.
    external = re.compile(r"^use (rand|regex|md5)\b.*;\n", re.M)
    head = external.sub("", record["declaration"])
    test_file = "solution_test.rs"
    return Case(
        record["task_id"],
        {
            "solution.rs": head + record["buggy_solution"],
            test_file: 'include!("solution.rs");\n' + record["test"],
        },
        f"rustc --edition 2021 --test -A warnings -o out/tests {test_file} && out/tests",
        "solution.rs",
        head + record["canonical_solution"],
        [test_file],
        ignored="out/\n",
    )


def js_case(record):
    head, test = record["declaration"], record["test"]
    names = sorted(set(re.findall(r"^const (\w+) =", head, re.M)))
    exports = f"\nmodule.exports = {{ {', '.join(names)} }};\n"
    test_file = "solution.test.js"
    prelude = (
        f"const {{ {', '.join(names)} }} = require('./solution.js');\n"
        "// A failed assertion of the console is only printed: make it fail the test.\n"
        "console.assert = require('node:assert').ok;\n"
    )
    return Case(
        record["task_id"],
        {
            "solution.js": head + record["buggy_solution"] + exports,
            test_file: prelude + test,
        },
        f"node --test {test_file}",
        "solution.js",
        head + record["canonical_solution"] + exports,
        [test_file],
    )


LANGUAGES = {
    "python": (python_case, "python3"),
    "rust": (rust_case, "rustc"),
    "js": (js_case, "node"),
}


# --- answers ---------------------------------------------------------------------------------


def hunks(buggy, fixed, context):
    """Groups of (tag, old lines, new lines), each with `context` equal lines around it."""
    old, new = buggy.splitlines(), fixed.splitlines()
    matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
    for group in matcher.get_grouped_opcodes(context):
        yield [(tag, i1, old[i1:i2], new[j1:j2]) for tag, i1, i2, j1, j2 in group]


def occurrences(lines, part):
    return sum(lines[i : i + len(part)] == part for i in range(len(lines) - len(part) + 1))


def search_replace(case, edit):
    """Search/replace blocks with as much context as makes each search unique."""
    lines = case.buggy.splitlines()
    for context in range(1, len(lines) + 1):
        blocks = []
        for hunk in hunks(case.buggy, case.fixed, context):
            search = [line for _, _, old, _ in hunk for line in old]
            replace = [line for tag, _, old, new in hunk for line in (old if tag == "equal" else new)]
            blocks.append((search, replace))
        if all(search and occurrences(lines, search) == 1 for search, _ in blocks):
            break
    text = []
    for search, replace in blocks:
        search, replace = edit.lines(search, keeps=set(replace)), edit.lines(replace, keeps=set(search))
        text += ["<<<<<<< SEARCH", *search, "=======", *replace, ">>>>>>> REPLACE", ""]
    return "\n".join([edit.path(case.target), *text])


def diff_lines(hunk, edit):
    out = []
    for tag, _, old, new in hunk:
        if tag == "equal":
            out += [" " + line for line in edit.lines(old, keeps=set(old))]
        else:
            out += ["-" + line for line in edit.lines(old, keeps=set(old))]
            out += ["+" + line for line in edit.lines(new, keeps=set(), new=True)]
    return out


def unified_diff(case, edit):
    text = [f"--- a/{case.target}", f"+++ b/{case.target}"]
    for hunk in hunks(case.buggy, case.fixed, 3):
        first = hunk[0][1] + 1
        old = sum(len(old) for _, _, old, _ in hunk)
        new = sum(len(old if tag == "equal" else new) for tag, _, old, new in hunk)
        text.append(edit.header(first, old, new))
        text += diff_lines(hunk, edit)
    return "```diff\n" + "\n".join(text) + "\n```\n"


def envelope(case, edit):
    text = ["*** Begin Patch", f"*** Update File: {case.target}"]
    for hunk in hunks(case.buggy, case.fixed, 3):
        text.append("@@")
        text += diff_lines(hunk, edit)
    return "\n".join([*text, "*** End Patch", ""])


def whole_file(case, edit):
    language = Path(case.target).suffix.lstrip(".")
    return f"{edit.path(case.target)}\n```{language}\n{case.fixed}```\n"


class Edit:
    """No damage; subclasses do some."""

    name = "intact"
    path_prefix = ""

    def path(self, path):
        return self.path_prefix + path

    def lines(self, lines, keeps, new=False):
        del keeps, new
        return lines

    def header(self, first, old, new):
        return f"@@ -{first},{old} +{first},{new} @@"

    def answer(self, text):
        return "The tests show what is wrong; this is the right calculation.\n\n" + text


class WrongNumbers(Edit):
    name = "wrong line numbers and counts"

    def header(self, first, old, new):
        return f"@@ -{first + 37},{old + 2} +{first + 41},{new + 5} @@"


class NoNumbers(Edit):
    name = "no line numbers"

    def header(self, first, old, new):
        return "@@ ... @@"


class Shifted(Edit):
    name = "indentation shifted"

    def lines(self, lines, keeps, new=False):
        return ["    " + line if line.strip() else line for line in lines]


class TrailingSpace(Edit):
    name = "trailing white space in context"

    def lines(self, lines, keeps, new=False):
        return lines if new else [line + "  " if line in keeps else line for line in lines]


class Crlf(Edit):
    name = "CRLF"

    def answer(self, text):
        return super().answer(text).replace("\n", "\r\n")


class CurlyQuotes(Edit):
    """In lines that are only looked for or kept: code that comes in keeps its quotes."""

    name = "curly quotes"

    def lines(self, lines, keeps, new=False):
        curly = str.maketrans({"'": "\u2019", '"': "\u201d"})
        return lines if new else [line.translate(curly) if line in keeps else line for line in lines]


class NoFinalNewline(Edit):
    name = "no final newline"

    def answer(self, text):
        return super().answer(text).rstrip("\n")


class Prose(Edit):
    name = "prose and fences around"

    def answer(self, text):
        fenced = text if text.startswith("```") or "\n```" in text else f"```\n{text}```\n"
        return (
            "Let me look at what happens here. The function `f(x)` is called with:\n\n"
            "```\nassert f(1) == 2\n```\n\nSo the fix is small:\n\n"
            f"{fenced}\nThat should do it! Let me know if you need anything else.\n"
        )


class PathPrefix(Edit):
    name = "./ before the path"
    path_prefix = "./"


class GitPath(Edit):
    name = "b/ before the path"
    path_prefix = "b/"


class Thoughts(Edit):
    name = "thoughts before"

    def answer(self, text):
        return "<think>\nPerhaps <<<<<<< SEARCH ... no.\n</think>\n\n" + super().answer(text)


ANSWERS = [
    (search_replace, Edit),
    (unified_diff, WrongNumbers),
    (envelope, Edit),
    (whole_file, Prose),
    (search_replace, Shifted),
    (unified_diff, Crlf),
    (search_replace, CurlyQuotes),
    (envelope, NoFinalNewline),
    (unified_diff, Edit),
    (search_replace, GitPath),
    (whole_file, NoFinalNewline),
    (unified_diff, CurlyQuotes),
    (search_replace, Crlf),
    (envelope, Prose),
    (unified_diff, Shifted),
    (search_replace, Thoughts),
    (unified_diff, NoNumbers),
    (whole_file, PathPrefix),
    (envelope, TrailingSpace),
    (search_replace, Prose),
]


# --- running ---------------------------------------------------------------------------------


def run(command, folder, env=None, timeout=120):
    """Exit status and output; a status of None means that it did not end."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        shell=isinstance(command, str),
        start_new_session=True,
    )
    try:
        output, status = process.communicate(timeout=timeout)[0], process.returncode
    except subprocess.TimeoutExpired:
        # The shell's children too: a bug may be an endless loop.
        os.killpg(process.pid, signal.SIGKILL)
        output, status = process.communicate()[0], None
    return status, output.decode(errors="replace")


def repository(case, folder):
    for path, text in case.files.items():
        (folder / path).write_bytes(text.encode())
    if case.ignored:
        (folder / ".gitignore").write_text(case.ignored)
        for line in case.ignored.split():
            (folder / line).mkdir()
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    author = ["-c", "user.name=Corpus", "-c", "user.email=corpus@localhost"]
    for arguments in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", case.name]):
        subprocess.run(["git", *arguments], cwd=folder, env=env, check=True)


def digests(case, folder):
    return {path: hashlib.sha256((folder / path).read_bytes()).hexdigest() for path in case.tests}


def heal(case, greenloop, models, folder, patience):
    """One case: what is wrong with the outcome, or None; and what greenloop printed."""
    repository(case, folder)
    status, output = run(case.command, folder, timeout=patience)
    if status == 0:
        return "the bug does not show", output
    before = digests(case, folder)
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env |= {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{models.server_port}/v1",
        "OPENAI_API_KEY": "corpus",
        "GREENLOOP_MODEL": "known-solution",
    }
    command = [greenloop, "heal", "--apply", "--timeout", str(patience), "--output", "plain", "--"]
    status, output = run([*command, case.command], folder, env)
    if status != 0:
        return f"greenloop exits with {status}", output
    if "Proven by" not in output:
        return "the heal is not proven", output
    if digests(case, folder) != before:
        return "a test file was changed", output
    status, tests = run(case.command, folder, timeout=patience)
    if status != 0:
        return f"the tests exit with {status}", output + tests
    return None, output


class Attempt:
    """One case with the answer that its author gives."""

    def __init__(self, language, case, write, edit):
        self.language = language
        self.case = case
        self.form = f"{write.__name__.replace('_', ' ')}, {edit.name}"
        self.answer = edit.answer(write(case, edit))


def corpora():
    found = os.environ.get("GREENLOOP_CORPORA")
    return Path(found) if found else ROOT.parent / "shared" / "corpora"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--greenloop", default=str(ROOT / "target" / "debug" / "greenloop"))
    parser.add_argument("--cases", type=int, default=20, help="of each language (20)")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--timeout", type=int, default=20, help="seconds for the tests (20)")
    parser.add_argument("--jobs", type=int, default=2, help="cases at the same time (2)")
    parser.add_argument("--answers-only", action="store_true", help="print the answers, heal nothing")
    parser.add_argument("--keep", action="store_true", help="keep the repositories")
    options = parser.parse_args()

    repair = corpora() / "repair"
    if not repair.is_dir():
        print(f"skipped: no corpora at {repair} (set GREENLOOP_CORPORA)")
        return 0
    if not options.answers_only and not shutil.which(options.greenloop):
        print(f"{options.greenloop} does not exist: run cargo build first", file=sys.stderr)
        return 2

    attempts = []
    for offset, language in enumerate(options.languages.split(",")):
        make, program = LANGUAGES[language]
        if not shutil.which(program):
            print(f"skipped {language}: {program} is not installed")
            continue
        lines = (repair / f"{language}.jsonl").read_text().splitlines()[: options.cases]
        for number, line in enumerate(lines):
            # Another start for each language, so that none has a format to itself.
            write, damage = ANSWERS[(number + 7 * offset) % len(ANSWERS)]
            attempts.append(Attempt(language, make(json.loads(line)), write, damage()))
    if options.answers_only:
        for attempt in attempts:
            print(f"=== {attempt.case.name}: {attempt.form}\n{attempt.answer}")
        return 0

    greenloop = str(Path(options.greenloop).resolve())
    work = Path(tempfile.mkdtemp(prefix="greenloop-corpus-"))
    servers = queue.SimpleQueue()
    for _ in range(options.jobs):
        models = ModelServer(review("The known solution."))
        threading.Thread(target=models.serve_forever, daemon=True).start()
        servers.put(models)

    def one(attempt):
        models = servers.get()
        try:
            folder = work / attempt.case.name.replace("/", "-")
            folder.mkdir()
            models.play(attempt.answer)
            start = time.monotonic()
            trouble, output = heal(attempt.case, greenloop, models, folder, options.timeout)
            seconds = time.monotonic() - start
            asked = models.asked["author"]
        finally:
            servers.put(models)
        verdict = "healed" if trouble is None else trouble
        print(
            f"{attempt.case.name:<14} {attempt.form:<46} {seconds:5.1f} s  asked {asked}x  {verdict}",
            flush=True,
        )
        return attempt, trouble, folder, output

    began = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        done = list(pool.map(one, attempts))
    results = [(attempt.language, trouble) for attempt, trouble, _, _ in done]
    failures = [
        (attempt.case.name, folder, attempt.answer, output)
        for attempt, trouble, folder, output in done
        if trouble is not None
    ]

    for name, folder, answer, output in failures:
        print(f"\n=== {name} ({folder})\n--- answer\n{answer}\n--- output (end)\n{output[-4000:]}")
    print()
    for language in LANGUAGES:
        of_language = [trouble for name, trouble in results if name == language]
        if of_language:
            healed = sum(trouble is None for trouble in of_language)
            print(f"{language:<8} {healed}/{len(of_language)} healed")
    healed, seconds = len(results) - len(failures), time.monotonic() - began
    print(f"{'total':<8} {healed}/{len(results)} healed with their tests unchanged, in {seconds:.0f} s")
    if options.keep or failures:
        print(f"the repositories are in {work}")
    else:
        shutil.rmtree(work)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
