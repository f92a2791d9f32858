#!/usr/bin/env bash
# Tests the hub's API against its own OpenAPI description with schemathesis: generated requests, valid
# and invalid, must be answered as described.
#
#   scripts/schemathesis.sh [--seconds N] [PROGRAM]
#
# --seconds N  how long requests are generated (60)
# PROGRAM      defaults to target/debug/greenloop
#
# Installs schemathesis into target/tools/schemathesis. Left out are
# - `positive_data_acceptance`: a cursor of another list, for example, is refused although it is a
#   string;
# - `ignored_auth`: it sends a wrong token to every operation, and the hub answers whoever guesses
#   tokens with 429 soon (`every_route_asks_for_its_scope` and `who_guesses_tokens_is_soon_slow` in
#   tests/hub/doors.rs check both);
# - streams, which never end.
#
# Exit status: 0 everything is as described, 1 something is not, 3 schemathesis cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=60 program=target/debug/greenloop
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help)
    sed -n '2,/^# Exit status/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  --seconds)
    [[ ${2:-} =~ ^[0-9]+$ ]] || { echo "schemathesis: $1 takes a number" >&2; exit 2; }
    seconds=$2
    shift
    ;;
  -*) echo "schemathesis: unknown option $1" >&2; exit 2 ;;
  *) program=$1 ;;
  esac
  shift
done

tools=$PWD/target/tools/schemathesis
if [ ! -x "$tools/bin/st" ]; then
  { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet schemathesis==4.32.5; } >&2 || {
    rm -rf "$tools"
    echo "schemathesis cannot be installed on this machine" >&2
    exit 3
  }
fi

folder=$(mktemp -d)
hub=''
finish() {
  [ -z "$hub" ] || { kill "$hub" 2>/dev/null && wait "$hub" 2>/dev/null; } || true
  rm -rf "$folder"
}
trap finish EXIT

export GREENLOOP_STORE=sqlite:$folder/hub.db
token=$("$program" hub token create --name schemathesis --scope admin 2>/dev/null)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$program" hub serve --listen "127.0.0.1:$port" --rate 0 --no-merges --read-token-required \
  >"$folder/hub.log" 2>&1 &
hub=$!
url=http://127.0.0.1:$port
api() { curl --silent --fail --header "Authorization: Bearer $token" "$@"; }
for _ in $(seq 100); do
  ! api "$url/api/v1/health" >/dev/null || break
  sleep 0.2
done
# Something for requests with the ids 1 to 3 to find.
api --output /dev/null --json '{"project": "p", "name": "n", "target": "main", "tasks": [
  {"key": "a", "title": "A", "action": {"command": "true"}},
  {"key": "b", "title": "B", "action": {"command": "true"}, "needs": ["a"]},
  {"key": "c", "title": "C", "action": "agent"}]}' "$url/api/v1/graphs"
api --output /dev/null --json '{"agent": "w", "instance": "1", "roles": [], "lease_seconds": 600}' \
  "$url/api/v1/claims"

# Its notes about the environment go where the run's files go.
cd "$folder"
"$tools/bin/st" run "$url/api/v1/openapi.json" --header "Authorization: Bearer $token" \
  --phases examples,coverage,fuzzing --exclude-checks positive_data_acceptance,ignored_auth \
  --exclude-path-regex '/(ws|events)$' --max-time "$seconds" --seed 1 --no-color --warnings off
kill -0 "$hub" || { echo "the hub ended" >&2; exit 1; }
