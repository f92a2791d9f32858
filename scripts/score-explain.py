#!/usr/bin/env python3
"""Scores `greenloop explain` on labelled build logs.

    scripts/score-explain.py [CORPORA] [--greenloop PROGRAM] [--floor]

CORPORA contains build-logs/<case>/{fail.log,groundtruth}. Default: GREENLOOP_CORPORA, then
../shared/corpora next to the repository. A groundtruth line `E a-b` labels lines that state an error,
`C a-b` lines of context (1-based, inclusive).

hit        share of the E blocks with at least one kept line inside
precision  share of the kept lines that lie inside an E or a C block, over all lines of all logs,
           and as the mean of the shares per log
median     kept lines of a log, median

With --floor, exits 1 unless hit >= 0.95, both precisions >= 0.5 and median <= 80.
Without a corpus, it prints a message and exits 0.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def program(given):
    """The program to score: the one given, or the newest one that is built."""
    if given:
        return given
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [target / kind / "greenloop" for kind in ("debug", "release")]
    built = [path for path in built if path.exists()]
    if not built:
        sys.exit("no greenloop is built: run `cargo build`, or name one with --greenloop")
    return max(built, key=lambda path: path.stat().st_mtime)


def labels(path):
    """The (kind, first, last) of every label."""
    found = []
    for line in path.read_text().splitlines():
        kind, _, lines = line.partition(" ")
        first, _, last = lines.partition("-")
        if kind in ("E", "C") and first.strip().isdigit():
            found.append((kind, int(first), int(last or first)))
    return found


def kept_lines(greenloop, log):
    """The numbers of the lines that `explain` keeps."""
    done = subprocess.run(
        [greenloop, "explain", "--output", "json", log], stdout=subprocess.PIPE, check=True
    )
    answer = json.loads(done.stdout)
    return {n for e in answer["excerpts"] for n in range(e["start"], e["end"] + 1)}


def main():
    arguments = argparse.ArgumentParser(description="Scores `greenloop explain`.")
    arguments.add_argument("corpora", nargs="?")
    arguments.add_argument("--greenloop")
    arguments.add_argument("--floor", action="store_true")
    arguments = arguments.parse_args()
    corpora = arguments.corpora or os.environ.get("GREENLOOP_CORPORA") or ROOT / "../shared/corpora"
    logs = pathlib.Path(corpora) / "build-logs"
    if not logs.is_dir():
        print(f"skipped: no {logs}")
        return 0
    greenloop = program(arguments.greenloop)
    blocks = hits = 0
    kept_all, right_all, shares = [], 0, []
    for case in sorted(path for path in logs.iterdir() if (path / "groundtruth").exists()):
        found = labels(case / "groundtruth")
        kept = kept_lines(greenloop, case / "fail.log")
        errors = [(a, b) for kind, a, b in found if kind == "E"]
        missed = [(a, b) for a, b in errors if not any(a <= n <= b for n in kept)]
        right = sum(any(a <= n <= b for _, a, b in found) for n in kept)
        blocks += len(errors)
        hits += len(errors) - len(missed)
        kept_all.append(len(kept))
        right_all += right
        shares.append(right / max(len(kept), 1))
        note = "".join(f"  missed {a}-{b}" for a, b in missed)
        print(
            f"{case.name:24} blocks {len(errors) - len(missed):2}/{len(errors):2}"
            f"  kept {len(kept):3}  in labels {right:3}{note}"
        )
    if not kept_all:
        print(f"skipped: no labelled log in {logs}")
        return 0
    hit = hits / max(blocks, 1)
    over_lines = right_all / max(sum(kept_all), 1)
    over_logs = statistics.mean(shares)
    median = statistics.median(kept_all)
    print(
        f"hit {hit:.3f} ({hits}/{blocks}), precision {over_lines:.3f} over all lines,"
        f" {over_logs:.3f} as the mean of the logs, median {median:g} lines"
    )
    good = hit >= 0.95 and min(over_lines, over_logs) >= 0.5 and median <= 80
    return 0 if good or not arguments.floor else 1


if __name__ == "__main__":
    sys.exit(main())
