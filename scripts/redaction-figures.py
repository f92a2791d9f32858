#!/usr/bin/env python3
"""What the redactor finds, what it hides by mistake, and how fast it is.

    scripts/redaction-figures.py [--logs FOLDER]

Prints how many of about 50 secrets, each in 11 forms and known by value or by shape only, are
shown; how many lines of the logs in FOLDER ($GREENLOOP_LOGS), which hold no secrets, are changed;
and the throughput of an optimised build. The cases are in `crates/evidence/tests/redaction.rs`,
which fails when more than one in twenty is shown.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logs", default=os.environ.get("GREENLOOP_LOGS"))
    options = parser.parse_args()
    environment = dict(os.environ)
    if options.logs:
        environment["GREENLOOP_LOGS"] = str(Path(options.logs).resolve())
    command = ["cargo", "test", "--release", "--locked", "-q", "-p", "greenloop-evidence"]
    command += ["--test", "redaction", "--", "--nocapture", "--test-threads", "1"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
