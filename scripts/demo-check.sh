#!/usr/bin/env bash
# Tests the demo end to end: three failures healed in three stages, one review rejected, the service
# serves the fixed version, the audit log verifies, and nothing is left running.
#
#   scripts/demo-check.sh [GREENLOOP]      default: target/debug/greenloop
#
# DEMO_TIMEOUT   seconds the demo may take (default: 240)
#
# Exit status: 0 passed, 1 failed. Leaves nothing behind in either case.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$(realpath "${1:-target/debug/greenloop}")
[ -x "$bin" ] || { echo "demo: $bin does not exist: run cargo build" >&2; exit 1; }

work=$(mktemp -d)
folder=$work/demo
output=$work/output.txt

# Processes whose executable or working directory is in the folder, or that have it in their arguments.
running() {
  local process
  for process in /proc/[0-9]*; do
    if [ "${process#/proc/}" != $$ ] && {
      [[ $(readlink "$process/exe" 2>/dev/null) == "$work"/* ]] ||
        [[ $(readlink "$process/cwd" 2>/dev/null) == "$work"/* ]] ||
        grep -qsF "$work/" "$process/cmdline" 2>/dev/null
    }; then
      echo "${process#/proc/}"
    fi
  done
}

clean_up() {
  local left
  cd /
  timeout 30 "$bin" demo --stop --folder "$folder" >/dev/null 2>&1 || true
  left=$(running)
  # shellcheck disable=SC2086
  [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
  echo "demo: $*" >&2
  [ ! -s "$output" ] || { echo "--- the end of the demo's output" >&2; tail -n 60 "$output" >&2; }
  exit 1
}

began=$SECONDS
timeout --kill-after=20 "${DEMO_TIMEOUT:-240}" \
  "$bin" demo --folder "$folder" --output plain >"$output" 2>&1 </dev/null ||
  fail "exit status $? (124: not within ${DEMO_TIMEOUT:-240} s)"
took=$((SECONDS - began))

for text in 'answer from a recorded transcript; no model is asked' \
  'Healed, deployed and verified' 'serves again after'; do
  grep -qF "$text" "$output" || fail "the output does not contain: $text"
done

# --- the events of the healing run -------------------------------------
cd "$folder"
run=$(grep -l '"event":"patch_applied"' logs/runs/*/events.jsonl | xargs -n1 dirname | xargs -n1 basename) ||
  fail "no run applied a patch"
[ "$(wc -w <<<"$run")" -eq 1 ] || fail "more than one run applied patches: $run"

python3 - "logs/runs/$run/events.jsonl" <<'PYTHON' || fail "unexpected events in logs/runs/$run/events.jsonl"
import json
import sys

events = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]


def of(kind):
    return [event for event in events if event["event"] == kind]


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: expected {wanted}, got {found}")


failed = [(e["failure"]["stage"], e["failure"]["name"]) for e in of("stage_failed")]
broken = [(stage, "" if stage == "smoke" else name) for stage, name in failed]
expect("failures", broken, [("gates", "build"), ("gates", "test"), ("smoke", "")])
# Failing tests run once more before the author is asked; a compiler error does not.
reruns = [(e["name"], e["passed"]) for e in of("flaky_rerun") if e["passed"] is not None]
expect("reruns", reruns, [("test", False)])
expect("patches applied", len(of("patch_applied")), 3)
verdicts = [e["review"]["verdict"] for e in of("reviewed")]
expect("reviews", verdicts, ["approve", "reject", "approve", "approve"])
expect("restores", [e["ok"] for e in of("restored")], [True])
expect("switches", len(of("switched")), 2)
[finished] = of("finished")
expect("verdict", finished["verdict"], "verified")
expect("what stopped it", finished["stop"], {"kind": "verified"})
PYTHON

# --- the service ---------------------------------------------------------------------------
url=$(sed -n 's|^ *curl \(http://[^/]*\)/.*|\1|p' "$output")
[ -n "$url" ] || fail "the output contains no address"
get() { curl --silent --show-error --fail --max-time 10 "$url$1" || fail "GET $1 fails at $url"; }
get /health >/dev/null
get /api/v1/vehicles >"$work/vehicles.json"
get /api/v1/summary >"$work/summary.json"
python3 - "$work/vehicles.json" "$work/summary.json" <<'PYTHON' || fail "unexpected content at $url"
import json
import sys

vehicles, summary = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
named = [(vehicle["id"], vehicle["name"]) for vehicle in vehicles["vehicles"]]
assert named == [(1, "Transit"), (2, "Škoda Enyaq"), (3, "Sprinter")], named
assert vehicles["count"] == 3, vehicles
assert summary == {"total": 3, "active": 3}, summary
PYTHON

# --- the run's files --------------------------------------------------------------------
for file in report.html summary.md junit.xml audit.jsonl patches/patch_1.diff; do
  [ -s "logs/runs/$run/$file" ] || fail "logs/runs/$run/$file is missing or empty"
done
python3 -c 'import sys, xml.dom.minidom as x; x.parse(sys.argv[1])' "logs/runs/$run/junit.xml" ||
  fail "junit.xml is not well-formed"
"$bin" audit verify >"$work/verify.txt" 2>&1 || { cat "$work/verify.txt" >&2; fail "audit verify"; }
"$bin" audit replay "$run" >"$work/replay.txt" 2>&1 || { cat "$work/replay.txt" >&2; fail "audit replay"; }
[ -z "$(git status --porcelain)" ] || fail "the work tree is not clean"
[ "$(git rev-list --count "main..greenloop/$run")" -eq 3 ] || fail "greenloop/$run does not have three commits"

# A changed byte in the log is detected.
cp "logs/runs/$run/audit.jsonl" "$work/audit.jsonl"
sed -i '3s/"seq":/"sEq":/' "logs/runs/$run/audit.jsonl"
! cmp -s "$work/audit.jsonl" "logs/runs/$run/audit.jsonl" || fail "could not change the audit log"
! "$bin" audit verify "$run" >/dev/null 2>&1 || fail "audit verify does not detect a changed record"

# --- stop ---------------------------------------------------------------------------------
cd "$work"
timeout 60 "$bin" demo --stop --folder "$folder" >>"$output" 2>&1 || fail "demo --stop failed"
[ ! -e "$folder" ] || fail "demo --stop did not remove $folder"
for _ in $(seq 50); do
  left=$(running)
  [ -n "$left" ] || break
  sleep 0.1
done
[ -z "$left" ] || fail "still running after demo --stop: $(for p in $left; do tr '\0' ' ' <"/proc/$p/cmdline"; echo; done)"
! curl --silent --max-time 2 "$url/health" >/dev/null || fail "a server still answers at $url"

echo "demo: three failures healed, one review rejected, served at $url and stopped (${took} s)"
