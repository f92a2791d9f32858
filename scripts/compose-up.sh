#!/usr/bin/env bash
# Starts the hub, its database and two workers on this machine, and verifies them:
#
#   scripts/compose-up.sh [ENV_FILE]     default: .env
#
# Creates missing passwords and the workers' token, and keeps existing ones. Run it again to update: it
# rebuilds the image and replaces what has changed. `docker compose down` stops everything and keeps
# the data.
#
# Exit status: that of scripts/verify-agents.sh; 3 if docker is missing or fails.
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
# Hexadecimal, because it is part of a URL.
has GREENLOOP_DB_PASSWORD || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' | put GREENLOOP_DB_PASSWORD

# A configured image is pulled, not built.
has GREENLOOP_IMAGE || "${compose[@]}" build hub || exit 3
"${compose[@]}" up --detach postgres redis hub || exit 3

# `up` does not wait until the hub is healthy; creating a token needs its database.
token() { # NAME SCOPE
  local tries=0 made
  until made=$("${compose[@]}" exec -T hub greenloop hub token create --name "$1" --scope "$2"); do
    tries=$((tries + 1))
    [ "$tries" -lt 30 ] || return 1
    sleep 2
  done
  # Only the token, without the other output.
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
# No graph was submitted yet: no tasks is correct.
status=0
./scripts/verify-agents.sh --expect-agents 2 --allow-empty --settle 60 "http://127.0.0.1:${port:-7474}" || status=$?
echo
echo "dashboard:  http://127.0.0.1:${port:-7474}/"
echo "read token: $GREENLOOP_HUB_TOKEN (GREENLOOP_READ_TOKEN in $file)"
exit "$status"
