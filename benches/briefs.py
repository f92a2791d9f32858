#!/usr/bin/env python3
"""Counts what the author's first prompt is made of, and whether the decisive code is in it.

Each case becomes a git repository with a command that fails. `greenloop heal` is run on it with a
model server in this process that keeps the first request of the author and declines to answer.
Nothing else is asked, so the figures need no model and no network.

    benches/briefs.py [--greenloop target/debug/greenloop] [--jobs 2] [--only NAME] [--show NAME]

Cases:
- `benches/briefs/*.case`: small repositories, and the same kind of fault within four hundred
  generated files (`size: large`). The log is a recorded one, printed by a program of the command's
  name, so no toolchain is needed.
- The first HumanEvalFix cases of `scripts/heal-corpus.py`, really run, where the corpora are
  present ($GREENLOOP_CORPORA, else ../shared/corpora).

Decisive code: the lines of the broken file that the known right fix removes or changes, and the
line before each place where it only adds some. A case counts when every one of these lines, as it
stands in the file (a line number before it is allowed), is in the messages of the first request.
Where the file holds the same line more than once, any of them counts.

Tokens are counted by the pre-tokenizer of OpenAI's o200k encoding with a fixed charge for long
pieces; over these prompts that is within 5 % of the real encoding.
"""

import argparse
import difflib
import importlib.util
import json
import os
import queue
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

sys.path.insert(0, str(ROOT / "scripts"))
from model_server import ModelServer  # noqa: E402

spec = importlib.util.spec_from_file_location("heal_corpus", ROOT / "scripts" / "heal-corpus.py")
corpus = importlib.util.module_from_spec(spec)
spec.loader.exec_module(corpus)


# --- tokens ----------------------------------------------------------------------------------

PIECE = re.compile(r"[^\r\n\w]?[A-Za-z]+|\d{1,3}| ?[^\s\w]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+|\w+")
WORD_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Za-z]")


def tokens(text):
    """About how many tokens of o200k_base `text` is."""
    count = 0
    for piece in PIECE.findall(text):
        letters = piece.lstrip()
        if piece.isspace():
            count += 1
        elif letters[:1].isalpha() or letters[1:2].isalpha():
            count += sum(1 + (len(part) > 8) for part in WORD_PIECE.findall(letters)) or 1
        else:
            count += 1 + (len(letters) - 1) // 4
    return count


# --- cases -----------------------------------------------------------------------------------


class Case:
    def __init__(self, name, size, language, base, broken, command, log=None, later=(), ignored=""):
        self.name = name
        self.size = size
        self.language = language
        self.base = base  # the right files; None where only the broken ones are known
        self.broken = broken  # path -> broken content
        self.command = command
        self.log = log
        self.later = later  # commits after the one that broke it: lists of (path, content)
        self.ignored = ignored

    def decisive(self):
        """The lines that the fix changes, with their paths."""
        found = []
        for path, broken in self.broken.items():
            old, new = broken.splitlines(), self.base[path].splitlines()
            matcher = difflib.SequenceMatcher(a=old, b=new, autojunk=False)
            for tag, i1, i2, _, _ in matcher.get_opcodes():
                if tag in ("replace", "delete"):
                    found += [(path, line) for line in old[i1:i2] if line.strip()]
                elif tag == "insert":
                    before = [line for line in old[:i1] if line.strip()]
                    found += [(path, before[-1])] if before else []
        return found


def read_case(path):
    """`key: value` lines, then `== base PATH`, `== broken PATH`, `== later PATH` and `== log`."""
    head, *parts = re.split(r"^== ", path.read_text(), flags=re.M)
    keys = dict(line.split(": ", 1) for line in head.splitlines() if line)
    files = {"base": {}, "broken": {}, "later": {}}
    log = ""
    for part in parts:
        title, _, text = part.partition("\n")
        if title == "log":
            log = text
        else:
            kind, file = title.split(" ", 1)
            files[kind][file] = text
    return Case(
        path.stem,
        keys["size"],
        keys["language"],
        files["base"],
        files["broken"],
        keys["command"],
        log,
        [list(files["later"].items())] if files["later"] else [],
    )


def corpus_cases(count):
    repair = corpus.corpora() / "repair"
    if not repair.is_dir():
        print(f"skipped: there are no corpora at {repair} (set GREENLOOP_CORPORA)")
        return
    for language, (make, program) in corpus.LANGUAGES.items():
        if not corpus.shutil.which(program):
            print(f"skipped {language}: there is no {program}")
            continue
        for line in (repair / f"{language}.jsonl").read_text().splitlines()[:count]:
            case = make(json.loads(line))
            yield Case(
                case.name.replace("/", "-"),
                "small",
                language,
                {**case.files, case.target: case.fixed},
                {case.target: case.buggy},
                case.command,
                ignored=case.ignored,
            )


# --- filler ----------------------------------------------------------------------------------

WORDS = (
    "account address archive batch billing branch bucket cache calendar catalog channel customer "
    "delivery device discount document domain export feature filter folder gateway group history "
    "import index inventory invoice label ledger locale market message metric notice offer order "
    "package payment period policy portal profile project quota rate receipt refund region report "
    "request reward role route rule sales schedule schema segment session setting shipment signal "
    "source stock storage summary supplier survey target template tenant ticket token transfer user "
    "vendor voucher wallet warehouse webhook widget workflow zone"
).split()
VERBS = "apply build check collect compute convert count create find format group load merge".split()

FUNCTION = {
    "python": (
        "def {verb}_{a}_{b}({a}, {b}=None, limit={n}):\n    \"\"\"{Verb} the {a} of a {b}.\"\"\"\n"
        "    if {b} is None:\n        {b} = []\n    found = [item for item in {a} if item not in {b}]\n"
        "    if len(found) > limit:\n        found = found[:limit]\n    return found\n\n\n"
    ),
    "rust": (
        "/// {Verb} the {a} of a {b}.\npub fn {verb}_{a}_{b}({a}: &[u32], {b}: &[u32]) -> Vec<u32> {{\n"
        "    let mut found: Vec<u32> = {a}.iter().copied().filter(|x| !{b}.contains(x)).collect();\n"
        "    found.truncate({n});\n    found\n}}\n\n"
    ),
    "js": (
        "/** {Verb} the {a} of a {b}. */\nexport function {verb}{A}{B}({a}, {b} = [], limit = {n}) {{\n"
        "  const found = {a}.filter((item) => !{b}.includes(item));\n"
        "  return found.length > limit ? found.slice(0, limit) : found;\n}}\n\n"
    ),
    "go": (
        "// {Verb}{A}{B} {verb}s the {a} of a {b}.\nfunc {Verb}{A}{B}({a} []int, {b} map[int]bool) []int {{\n"
        "\tvar found []int\n\tfor _, item := range {a} {{\n\t\tif !{b}[item] {{\n"
        "\t\t\tfound = append(found, item)\n\t\t}}\n\t}}\n\treturn found\n}}\n\n"
    ),
    "java": (
        "    /** {Verb} the {a} of a {b}. */\n    public static List<Integer> {verb}{A}{B}(List<Integer> {a}, Set<Integer> {b}) {{\n"
        "        List<Integer> found = new ArrayList<>();\n        for (Integer item : {a}) {{\n"
        "            if (!{b}.contains(item)) {{\n                found.add(item);\n            }}\n        }}\n"
        "        return found;\n    }}\n\n"
    ),
    "c": (
        "/* {Verb} the {a} of a {b}. */\nint {verb}_{a}_{b}(const int *{a}, int length, int {b})\n{{\n"
        "    int found = 0;\n    for (int i = 0; i < length; i++) {{\n        if ({a}[i] != {b})\n"
        "            found++;\n    }}\n    return found > {n} ? {n} : found;\n}}\n\n"
    ),
}
FILE = {
    "python": ("src/{a}/{b}.py", "{}"),
    "rust": ("crates/{a}/src/{b}.rs", "{}"),
    "js": ("packages/{a}/src/{b}.ts", "{}"),
    "go": ("internal/{a}/{b}.go", "package {a}\n\n{}"),
    "java": (
        "src/main/java/com/acme/{a}/{B}Service.java",
        "package com.acme.{a};\n\nimport java.util.*;\n\npublic final class {B}Service {{\n{}}}\n",
    ),
    "c": ("lib/{a}/{b}.c", "#include <stddef.h>\n\n{}"),
}


def filler(language, files=400):
    """The same files every time; none has a name of the case's own."""
    dice = random.Random(10)
    made = {}
    place, frame = FILE[language]
    while len(made) < files:
        a, b = dice.sample(WORDS, 2)
        text = ""
        for _ in range(dice.randint(3, 12)):
            c, d = dice.sample(WORDS, 2)
            verb = dice.choice(VERBS)
            text += FUNCTION[language].format(
                verb=verb, Verb=verb.title(), a=c, b=d, A=c.title(), B=d.title(), n=dice.randint(5, 500)
            )
        path = place.format(a=a, b=b, B=b.title())
        made[path] = frame.replace("{a}", a).replace("{B}", b.title()).replace("{{", "{").replace("}}", "}").replace("{}", text)
    return made


# --- the model server ------------------------------------------------------------------------

DECLINES = "I only keep what I am asked.\n\n```no-patch\nclass: needs human\nreason: a measurement\n```\n"


# --- running ---------------------------------------------------------------------------------


def git(folder, *arguments):
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Briefs", "-c", "user.email=briefs@localhost", "-c", "gc.auto=0"]
    subprocess.run(["git", *who, *arguments], cwd=folder, env=env, check=True)


def write(folder, files):
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def repository(case, folder):
    files = dict(case.base)
    if case.size == "large":
        files = {**filler(case.language), **files}
    if case.log is None:
        files |= case.broken
    write(folder, files)
    if case.ignored:
        (folder / ".gitignore").write_text(case.ignored)
        for line in case.ignored.split():
            (folder / line).mkdir()
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Begin")
    if case.log is None:
        return
    for number, path in enumerate(("docs/a.md", "docs/b.md", "docs/c.md")):
        write(folder, {path: f"Notes, part {number}.\n"})
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", f"Write part {number} of the notes")
    write(folder, case.broken)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Tidy up")
    for commit in case.later:
        write(folder, dict(commit))
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "Go on")


def first_request(case, greenloop, models, work):
    folder = work / case.name / "repo"
    folder.mkdir(parents=True)
    repository(case, folder)
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    env |= {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{models.server_port}/v1",
        "OPENAI_API_KEY": "briefs",
        "GREENLOOP_MODEL": "none",
        "XDG_CACHE_HOME": str(work / "cache"),
    }
    if case.log is not None:
        log, programs = work / case.name / "log", work / case.name / "bin"
        log.write_text(case.log)
        programs.mkdir()
        program = programs / case.command.split()[0]
        program.write_text(f"#!/bin/sh\ncat '{log}'\nexit 1\n")
        program.chmod(0o755)
        env["PATH"] = f"{programs}:{env['PATH']}"
    models.first = None
    command = [greenloop, "heal", "--timeout", "60", "--output", "plain", "--", *(["sh", "-c", case.command] if case.log is None else case.command.split())]
    _, output = corpus.run(command, folder, env)
    if models.first is None:
        raise SystemExit(f"{case.name}: the author was not asked:\n{output}")
    return models.first


# --- what a prompt is made of ----------------------------------------------------------------

# The first pattern that a heading matches names the section.
SECTIONS = [
    ("code", r"^(other )?code|^[\w./-]+\.\w+(,|:|\s|$)"),
    ("log", r"what the log says|^log"),
    ("known", r"what failed|what is known|worth thinking|the failure"),
    ("history", r"commit|history|changed last|suspect"),
    ("earlier tries", r"tried before"),
    ("paths", r"repository's files|files of the repository"),
    ("limits", r"limits you work under"),
]


def sections(request):
    """Tokens for each section of the request."""
    count = Counter()
    if request.get("tools"):
        count["tool specs"] = tokens(json.dumps(request["tools"]))
    for message in request["messages"]:
        text = message["content"]
        if message["role"] in ("system", "developer"):
            count["system"] += tokens(text)
            continue
        name, part, fenced = "known", [], False
        for line in text.splitlines(keepends=True):
            if line.startswith(("<<<data ", "<<<end ")):
                fenced = line.startswith("<<<data ")
            heading = re.match("=== (.+)" if fenced else "##? (.+)", line)
            if heading:
                count[name] += tokens("".join(part))
                title = heading.group(1).lower()
                name = next((n for n, pattern in SECTIONS if re.search(pattern, title)), name)
                part = []
            part.append(line)
        count[name] += tokens("".join(part))
    return count


def missing(case, request):
    """Decisive lines that the messages lack."""
    text = "\n".join(m["content"] for m in request["messages"] if m["role"] == "user")
    shown = set()
    for line in text.splitlines():
        line = re.sub(r"^ *\d+\| ?", "", line)
        shown |= {line.strip(), line[1:].strip()}
    return [(path, line) for path, line in case.decisive() if line.strip() not in shown]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--greenloop", default=str(ROOT / "target" / "debug" / "greenloop"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--corpus", type=int, default=8, help="corpus cases of each language (8)")
    parser.add_argument("--only", help="cases whose name has this in it")
    parser.add_argument("--show", action="store_true", help="print the requests")
    options = parser.parse_args()
    greenloop = str(Path(options.greenloop).resolve())

    cases = [read_case(path) for path in sorted((ROOT / "benches" / "briefs").glob("*.case"))]
    cases += corpus_cases(options.corpus)
    cases = [case for case in cases if options.only is None or options.only in case.name]
    servers = queue.SimpleQueue()
    for _ in range(options.jobs):
        models = ModelServer(answer=DECLINES)
        threading.Thread(target=models.serve_forever, daemon=True).start()
        servers.put(models)

    with tempfile.TemporaryDirectory(prefix="greenloop-briefs-") as work:

        def one(case):
            models = servers.get()
            try:
                return case, first_request(case, greenloop, models, Path(work))
            finally:
                servers.put(models)

        with ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(one, cases))

    sums, totals, decisive = {}, {}, {}
    for case, request in results:
        if options.show:
            for tool in request.get("tools", []):
                print(json.dumps(tool))
            for message in request["messages"]:
                print(f"--- {message['role']}\n{message['content']}")
        count, lacks = sections(request), missing(case, request)
        sums.setdefault(case.size, Counter()).update(count)
        totals.setdefault(case.size, []).append(sum(count.values()))
        decisive.setdefault(case.size, []).append(not lacks)
        lack = f"  lacks {lacks[0][0]}: {lacks[0][1].strip()}" if lacks else ""
        print(f"{case.size:<6} {case.name:<28} {sum(count.values()):>6} tokens{lack}")
    names = [name for name, _ in SECTIONS] + ["system", "tool specs"]
    print(f"\n| | cases | median | most | {' | '.join(names)} | decisive code |")
    print("|---" * (len(names) + 5) + "|")
    for size, all_tokens in totals.items():
        mean = [str(round(sums[size][name] / len(all_tokens))) for name in names]
        share = f"{sum(decisive[size])} of {len(decisive[size])}"
        middle = round(statistics.median(all_tokens))
        print(f"| {size} | {len(all_tokens)} | {middle} | {max(all_tokens)} | {' | '.join(mean)} | {share} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
