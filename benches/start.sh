#!/usr/bin/env bash
# Measures start-up: the time of `greenloop --version`, and resident memory.
#
#   benches/start.sh [RUNS]       default: 50
#
# Each time is from before the process is created until its end is observed, with the program in the
# page cache. `/bin/true` is measured in the same way for comparison.
#
# GREENLOOP   the program to measure; default: built with `cargo build --profile bench`
set -euo pipefail
cd "$(dirname "$0")/.."
export LIBZ_SYS_STATIC=1

runs=${1:-50}
if [ -z "${GREENLOOP:-}" ]; then
  cargo build --locked --quiet --profile bench --bin greenloop
  GREENLOOP=${CARGO_TARGET_DIR:-target}/release/greenloop
fi
bin=$(realpath "$GREENLOOP")

python3 - "$bin" "$runs" <<'PYTHON'
import statistics
import subprocess
import sys
import time

program, runs = sys.argv[1], int(sys.argv[2])


def seconds(command):
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


for command in ([program, "--version"], [program, "--help"], ["/bin/true"]):
    seconds(command)
    times = sorted(seconds(command) for _ in range(runs))
    name = " ".join(command).replace(program, "greenloop")
    print(f"{name:<20} median {statistics.median(times) * 1000:5.1f} ms  best {times[0] * 1000:5.1f} ms")
PYTHON
for _ in 1 2 3 4 5; do
  python3 benches/resident.py --full-pipe -- "$bin" --version
done | sort -n -k 3 | awk 'NR == 3 { printf "greenloop --version  resident at its end %.1f MiB (median of 5)\n", $3 / 1024 }'
printf 'size of the program  %.1f MiB\n' "$(stat --format %s "$bin" | awk '{ print $1 / 1048576 }')"
