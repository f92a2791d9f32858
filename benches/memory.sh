#!/usr/bin/env bash
# Measures peak resident memory and throughput with a log of 2 GiB: of a gate that prints it and fails
# (streamed, redacted, written to the run's folder, searched for errors), and of `greenloop explain` that
# reads it from a file and from a pipe. Once as ordinary build output, once as a single line without a
# line break.
#
#   benches/memory.sh [MIB]       default: 2048; needs that on the disk of $TMPDIR
#
# GREENLOOP   the program to measure; default: built with `cargo build --profile bench`
#
# Exit status: 0 if no peak exceeds 64 MiB, otherwise 1.
set -euo pipefail
cd "$(dirname "$0")/.."
export LIBZ_SYS_STATIC=1

mib=${1:-2048}
if [ -z "${GREENLOOP:-}" ]; then
  cargo build --locked --quiet --profile bench --bin greenloop
  GREENLOOP=${CARGO_TARGET_DIR:-target}/release/greenloop
fi
bin=$(realpath "$GREENLOOP")
resident=$PWD/benches/resident.py

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The log of benches/evidence.rs: downloads, compilation, passing tests, colours, progress by
# carriage return, warnings, and a failure in about every two thousandth line. 4 MiB, repeated.
cat >"$work/generate.py" <<'PYTHON'
import random
import sys

size, form = int(sys.argv[1]) << 20, sys.argv[2]
FAILURE = (
    "error[E0308]: mismatched types in item {b}\n --> src/module{a}.rs:{b}:5\n  |\n"
    "{a} |     let x: u32 = y;\n  |            ^^^ expected `u32`, found `i64`\n\n"
)
# The kinds of lines, up to which number of two thousand.
MIX = [
    (1, FAILURE),
    (121, "   Compiling crate-name-{a} v1.{a}.{b}\n"),
    (401, "[INFO] Downloaded from central: https://repo.maven.apache.org/maven2/org/acme/artifact-{a}/{b}/artifact-{a}-{b}.jar (380 kB at 2.1 MB/s)\n"),
    (801, "test module{a}::tests::handles_case_{b}_as_expected ... ok\n"),
    (1001, "2024-05-30T09:11:02.{b:05}77Z  > Task :module{a}:compileJava UP-TO-DATE\n"),
    (1201, "\x1b[1;34mINFO\x1b[m {b} resolved \x1b[32mmodule{a}\x1b[0m in workspace /home/runner/work/project/{a}\n"),
    (1301, "Progress (1): {a}/{b} kB\r"),
    (1341, "warning: unused variable: `value_{a}` in function handle_error_{b}\n"),
    (1361, "ok  \texample.com/app/errors/error_{a}_test\t0.{a}s\n"),
    (1501, "gcc -Wall -Werror -O2 -Iinclude -DVERSION={b} -c -o build/obj_{a}.o src/unit_{a}/source_{b}.c\n"),
    (2000, "[{a}/{b}] building target //services/backend/module{a}:library_{b} with toolchain default, cache hit, digest {b:016x}\n"),
]
r = random.Random(7)
lines, length = [], 0
while length < 4 << 20:
    kind, a, b = r.randrange(2000), r.randrange(1000), r.randrange(100_000)
    text = next(text for below, text in MIX if kind < below).format(a=a, b=b)
    lines.append(text)
    length += len(text)
block = "".join(lines).encode()[: 4 << 20]
if form == "line":
    block = block.replace(b"\n", b" ").replace(b"\r", b" ")
for _ in range(size // len(block)):
    sys.stdout.buffer.write(block)
PYTHON

worst=0
report() { # WHAT SECONDS PROCESSOR_SECONDS KIB
  awk -v what="$1" -v s="$2" -v cpu="$3" -v k="$4" -v m="$mib" 'BEGIN {
    mb = m * 1.048576
    printf "%-28s %5.1f s %5.0f MB/s   processor %5.1f s %5.0f MB/s   peak %4.1f MiB\n", \
      what, s, mb / s, cpu, mb / (cpu > 0 ? cpu : s), k / 1024 }'
  [ "$4" -le "$worst" ] || worst=$4
}

gate() { # FORM
  local repo=$work/$1 measured seconds processor kib status log
  mkdir -p "$repo"
  # In the sandbox, the temporary folder is a private one.
  cp "$work/generate.py" "$repo/"
  cat >"$repo/config.yaml" <<YAML
environments:
  local: {url: "http://127.0.0.1:9"}
quality_gates:
  - {name: noisy, command: "python3 generate.py $mib $1; exit 1"}
deploy:
  method: process
  process: {command: ["true"]}
agents:
  codex: {provider: replay, transcript: answers.jsonl}
  jules: {provider: replay, transcript: answers.jsonl}
YAML
  printf '%s\n' '{"role": "author", "answer": "```no-patch\nclass: needs human\nreason: the log is generated\n```\n"}' >"$repo/answers.jsonl"
  printf 'logs/\n' >"$repo/.gitignore"
  git -C "$repo" init --quiet
  git -C "$repo" add -A
  git -C "$repo" -c user.name=Bench -c user.email=bench@localhost commit --quiet -m Bench
  measured=$(cd "$repo" && python3 "$resident" -- "$bin" --environment local --output plain)
  read -r seconds processor kib status <<<"$measured"
  # A stage's log ends at 64 MiB, whatever the gate prints.
  least=$((mib < 64 ? mib - 5 : 59))
  log=$(find "$repo/logs" -name '*-gates-noisy.log' -size +"$least"M | head -n 1)
  [ "$status" -eq 1 ] && [ -n "$log" ] || {
    echo "the gate's run ended with $status, its log is ${log:-too short}" >&2
    exit 1
  }
  report "gate, $2" "$seconds" "$processor" "$kib"
  rm -rf "$repo"
}

explain() { # FORM
  local seconds processor kib status
  python3 "$work/generate.py" "$mib" "$1" >"$work/log"
  read -r seconds processor kib status <<<"$(python3 "$resident" --stdin "$work/log" -- "$bin" explain -)"
  [ "$status" -eq 0 ] || { echo "explain ended with $status" >&2; exit 1; }
  report "explain -, $2" "$seconds" "$processor" "$kib"
  rm "$work/log"
}

read -r seconds _ <<<"$(python3 "$resident" -- python3 "$work/generate.py" "$mib" lines)"
echo "the generator alone, to /dev/null: $seconds s"
gate lines "lines of a build"
gate line "a single line"
explain lines "lines of a build"
explain line "a single line"
awk -v k="$worst" 'BEGIN { printf "highest peak %.1f MiB (at most 64)\n", k / 1024 }'
[ "$worst" -le 65536 ]
