#!/usr/bin/env bash
# The hub, its database and two workers on this machine, from nothing to verified:
#
#   scripts/compose-up.sh [ENV_FILE]     default: .env
#
# Makes what is missing (passwords, the workers' token) and leaves what is there, so it is also
# how to update: it builds the image again and replaces what has changed. `docker compose down`
# stops everything and keeps the data.
#
# Exit status: that of scripts/verify-agents.sh; 3 when docker is missing or refuses.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077

file=${1:-.env}
touch "$file"
chmod 600 "$file"
has() { grep -Eq "^$1=.+" "$file"; }
put() { # NAME, value on stdin
  local value
  value=$(cat)
  { grep -v "^$1=" "$file" || true; printf '%s=%s\n' "$1" "$value"; } >"$file.new"
  mv -f "$file.new" "$file"
}

if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
elif command -v docker-compose >/dev/null; then
  compose=(docker-compose)
else
  echo "compose-up: docker with its compose plugin is missing (Debian: docker-compose)" >&2
  exit 3
fi
compose+=(--env-file "$file")

has COMPOSE_PROJECT_NAME || echo greenloop | put COMPOSE_PROJECT_NAME
# Hexadecimal: it stands in an address.
has GREENLOOP_DB_PASSWORD || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | put GREENLOOP_DB_PASSWORD

# A given image is pulled, not built.
has GREENLOOP_IMAGE || "${compose[@]}" build hub || exit 3
"${compose[@]}" up --detach postgres redis hub || exit 3

# `up` does not wait for the hub's health; a token needs its database.
token() { # NAME SCOPE
  local tries=0 made
  until made=$("${compose[@]}" exec -T hub greenloop hub token create --name "$1" --scope "$2"); do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || return 1
    sleep 2
  done
  # Whatever is said around it.
  grep -oE 'glh_[A-Za-z0-9_-]+' <<<"$made" | head -n 1
}
if ! has GREENLOOP_HUB_TOKEN; then
  token compose-workers work | put GREENLOOP_HUB_TOKEN
fi
if ! has GREENLOOP_READ_TOKEN; then
  token compose-verify read | put GREENLOOP_READ_TOKEN
fi
"${compose[@]}" up --detach --remove-orphans || exit 3

port=$(sed -n 's/^GREENLOOP_HUB_PORT=//p' "$file")
GREENLOOP_HUB_TOKEN=$(sed -n 's/^GREENLOOP_READ_TOKEN=//p' "$file")
export GREENLOOP_HUB_TOKEN
# Nothing has been asked of it yet: no tasks is right.
status=0
./scripts/verify-agents.sh --expect-agents 2 --allow-empty --settle 60 "http://127.0.0.1:${port:-7474}" || status=$?
echo
echo "dashboard:  http://127.0.0.1:${port:-7474}/"
echo "read token: $GREENLOOP_HUB_TOKEN (GREENLOOP_READ_TOKEN in $file)"
exit "$status"
