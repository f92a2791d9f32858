#!/usr/bin/env python3
"""Writes where a release's files come from, as an in-toto statement with SLSA provenance v1.

    scripts/release/provenance.py COMMIT VERSION REPOSITORY TARGETS FILE... > STATEMENT

The files are the subjects, by SHA-256. TARGETS is a list with commas; REPOSITORY is the address of
the sources, or empty. Unsigned: SHA256SUMS covers the statement, and its signature with it.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tool(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def main() -> None:
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    commit, version, repository, targets, *files = sys.argv[1:]
    time = int(os.environ["SOURCE_DATE_EPOCH"])
    source = {"digest": {"gitCommit": commit}, "name": "greenloop"}
    if repository:
        source["uri"] = f"git+{repository}@refs/tags/v{version}"
    lock = Path("Cargo.lock")
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": path.name, "digest": {"sha256": digest(path)}}
            for path in sorted(map(Path, files))
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": f"{repository or 'urn:greenloop'}#scripts/release.sh",
                "externalParameters": {"version": version, "targets": targets.split(",")},
                "internalParameters": {
                    "rustc": tool("rustc", "--version"),
                    "cargo": tool("cargo", "--version"),
                    "sourceDateEpoch": time,
                },
                "resolvedDependencies": [
                    source,
                    {"name": "Cargo.lock", "digest": {"sha256": digest(lock)}},
                ],
            },
            "runDetails": {
                # The person or pipeline that ran the script; the signature says who vouches.
                "builder": {"id": os.environ.get("BUILDER_ID", "urn:greenloop:release.sh")},
                "metadata": {"invocationId": f"{version}-{commit[:12]}"},
            },
        },
    }
    json.dump(statement, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
