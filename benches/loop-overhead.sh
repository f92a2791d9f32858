#!/usr/bin/env bash
# Measures the overhead of the loop: `greenloop run` compared with the same commands in a shell script.
#
#   benches/loop-overhead.sh [PAIRS]       default: 15
#
# Both take a new commit of a small repository through three trivial gates, start the service of
# examples/service at a free port, wait until it is healthy, send the smoke test's requests and stop the
# previous process. Greenloop also syncs an audit log to disk, switches its proxy without losing
# connections, keeps the old release until the new one is verified, and writes the reports. The pairs
# alternate, so that load on the machine affects both.
#
# GREENLOOP   the program to measure; default: built with `cargo build --profile bench`
set -euo pipefail
cd "$(dirname "$0")/.."
export LIBZ_SYS_STATIC=1

pairs=${1:-15}
if [ -z "${GREENLOOP:-}" ]; then
  cargo build --locked --quiet --profile bench --bin greenloop
  GREENLOOP=${CARGO_TARGET_DIR:-target}/release/greenloop
fi
bin=$(realpath "$GREENLOOP")

work=$(mktemp -d)
repo=$work/repo
plain_pid=
clean_up() {
  local process
  cd /
  [ -z "$plain_pid" ] || kill "$plain_pid" 2>/dev/null || true
  # The serving process and its supervisor.
  for process in /proc/[0-9]*; do
    case $(cat "$process/cmdline" 2>/dev/null | tr "\0" " ") in
      *" supervise "*"$work/"*) kill "${process#/proc/}" 2>/dev/null || true ;;
    esac
  done
  for _ in $(seq 50); do
    pgrep -f "$work/" >/dev/null || break
    sleep 0.1
  done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
median() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

CARGO_TARGET_DIR=$work/service cargo build --quiet --manifest-path examples/service/Cargo.toml
mkdir "$repo"
cp "$work/service/debug/fleet" "$repo/fleet"
cd "$repo"
cat >config.yaml <<YAML
environments:
  local: {url: "http://127.0.0.1:$(free_port)", health_endpoint: /health}
quality_gates:
  - {name: present, command: test -s fleet}
  - {name: marked, command: grep -q change change.txt}
  - {name: tidy, command: git diff --check HEAD~1 HEAD}
deploy:
  method: process
  process: {command: [./fleet], artifacts: [fleet]}
verification:
  health_check: {endpoint: /health}
  user_flows:
    - {name: Dashboard, steps: [GET /, GET /version, GET /api/v1/vehicles]}
YAML
printf 'logs/\n' >.gitignore
commit() {
  echo "change $1" >change.txt
  git add -A
  git -c user.name=Bench -c user.email=bench@localhost commit --quiet -m "Change $1"
}
git init --quiet
commit 0

cat >"$work/plain.sh" <<'SH'
# The same commands: OLD is the process that serves, PORT a free port. Prints the new process.
set -e
test -s fleet
grep -q change change.txt
git diff --check HEAD~1 HEAD
mkdir "$RELEASE"
cp fleet "$RELEASE/"
(cd "$RELEASE" && PORT=$PORT exec ./fleet >log.txt 2>&1) &
new=$!
until curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$PORT/health"; do
  sleep 0.01
done
for path in /health / /version /api/v1/vehicles; do
  curl --silent --fail --max-time 5 --output /dev/null "http://127.0.0.1:$PORT$path"
done
[ -z "$OLD" ] || kill "$OLD"
echo "$new"
SH

run_greenloop() {
  "$bin" --environment local --output plain >"$work/greenloop.txt" 2>&1 </dev/null || {
    cat "$work/greenloop.txt" >&2
    exit 1
  }
}
run_plain() {
  plain_pid=$(OLD=$plain_pid PORT=$1 RELEASE=$work/release-$1 sh "$work/plain.sh")
}

: >"$work/pairs.txt"
for n in $(seq 0 "$pairs"); do
  commit "$((n + 1))"
  port=$(free_port)
  began=$(now_us)
  run_plain "$port"
  between=$(now_us)
  run_greenloop
  ended=$(now_us)
  # The first pair is a warm-up: the supervisor starts, and nothing served before.
  [ "$n" -eq 0 ] || echo "$((between - began)) $((ended - between))" >>"$work/pairs.txt"
done

awk '{ printf "%.1f ms plain  %.1f ms greenloop  %.2f times\n", $1 / 1000, $2 / 1000, $2 / $1 }' "$work/pairs.txt"
echo
awk '{ print $1 / 1000 }' "$work/pairs.txt" | median | sed 's/^/median plain script, ms:  /'
awk '{ print $2 / 1000 }' "$work/pairs.txt" | median | sed 's/^/median greenloop, ms:     /'
awk '{ print ($2 - $1) / 1000 }' "$work/pairs.txt" | median | sed 's/^/median overhead, ms:      /'
awk '{ print $2 / $1 }' "$work/pairs.txt" | median | sed 's/^/median ratio:             /'
