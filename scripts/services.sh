#!/usr/bin/env bash
# The servers that tests talk to: a Docker Engine, a registry, PostgreSQL and Redis, all of their
# own, so that nothing on this machine is touched.
#
#   scripts/services.sh start FOLDER [engine] [registry] [postgres] [redis]
#       starts them, or those that are named; `source FOLDER/env` tells tests where they are
#   scripts/services.sh stop FOLDER
#       stops what was started there, and nothing else
set -euo pipefail

command=${1:-}
folder=${2:-}
if [ -z "$folder" ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0"
  exit 2
fi
shift 2
wanted=("$@")
[ ${#wanted[@]} -gt 0 ] || wanted=(engine registry postgres redis)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
bridge="gl-$(printf '%s' "$folder" | cksum | cut -d' ' -f1 | cut -c1-9)"

die() { echo "services: $*" >&2; exit 1; }

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# The first private /24 that no interface of this machine has.
free_network() {
  local n
  for n in $(seq 20 254); do
    ip -4 addr show | grep -q "inet 172\.31\.$n\." || { echo "172.31.$n.1/24"; return; }
  done
  die "no free network for the engine's bridge"
}

wait_for() { # what, log file, command...
  local what=$1 log=$2
  shift 2
  for _ in $(seq 150); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.2
  done
  tail -20 "$log" >&2
  die "$what did not start within 30 s; its log is above"
}

start_engine() {
  [ "$(id -u)" -eq 0 ] || die "a Docker Engine can only be started by root: run it with sudo"
  local socket="$folder/docker.sock"
  # A bridge of its own: two engines on one bridge give the same addresses twice.
  ip link add name "$bridge" type bridge
  ip addr add "$(free_network)" dev "$bridge"
  # Docker gives a bridge without an address of its own a new one whenever a container comes,
  # and packets in flight are lost with the old one.
  ip link set "$bridge" address "$(cat "/sys/class/net/$bridge/address")"
  ip link set "$bridge" up
  dockerd --data-root "$folder/docker" --exec-root "$folder/docker-exec" \
    --pidfile "$folder/docker.pid" --host "unix://$socket" --bridge "$bridge" \
    >"$folder/docker.log" 2>&1 &
  wait_for "the Docker Engine" "$folder/docker.log" \
    curl -sf --unix-socket "$socket" http://localhost/_ping

  # Started by sudo for somebody's tests.
  [ -z "${SUDO_USER:-}" ] || chmod 666 "$socket"
  echo "export GREENLOOP_TEST_DOCKER=unix://$socket" >>"$folder/env"
}

start_registry() {
  local port
  port=$(free_port)
  cat >"$folder/registry.yml" <<END
version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: $folder/registry }, delete: { enabled: true } }
http: { addr: 127.0.0.1:$port }
END
  docker-registry serve "$folder/registry.yml" >"$folder/registry.log" 2>&1 &
  echo $! >"$folder/registry.pid"
  wait_for "the registry" "$folder/registry.log" curl -sf "http://127.0.0.1:$port/v2/"
  echo "export GREENLOOP_TEST_REGISTRY=127.0.0.1:$port" >>"$folder/env"
}

# A program of PostgreSQL, which Debian keeps beside the path, one folder a version.
postgres_program() {
  local found
  found=$(find /usr/lib/postgresql -path "*/bin/$1" 2>/dev/null | sort -V | tail -1 || true)
  [ -n "$found" ] || found=$(command -v "$1") || die "$1 is missing: install postgresql"
  echo "$found"
}

# Durable as in production: the figures and the tests that kill it count on that.
start_postgres() {
  local port data="$folder/postgres" as=()
  port=$(free_port)
  mkdir -p "$data"
  # It refuses to run as root.
  if [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid postgres --regid postgres --init-groups --)
    chown postgres "$data"
    "${as[@]}" test -w "$data" || die "the user postgres cannot get into $folder"
  fi
  # From a folder that this user may enter.
  cd /
  "${as[@]}" "$(postgres_program initdb)" --pgdata "$data/data" --username greenloop \
    --auth trust --encoding UTF8 --no-locale >"$folder/postgres.log" 2>&1 ||
    { tail -20 "$folder/postgres.log" >&2; die "the database's folder was not made"; }
  "${as[@]}" "$(postgres_program postgres)" -D "$data/data" -p "$port" -k "$data" \
    -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=256MB \
    -c fsync=on -c synchronous_commit=on -c full_page_writes=on \
    >>"$folder/postgres.log" 2>&1 &
  echo $! >"$folder/postgres.pid"
  wait_for "PostgreSQL" "$folder/postgres.log" \
    "$(postgres_program pg_isready)" -q -h 127.0.0.1 -p "$port" -U greenloop
  echo "export GREENLOOP_TEST_POSTGRES=postgres://greenloop@127.0.0.1:$port/postgres" \
    >>"$folder/env"
}

start_redis() {
  local port
  port=$(free_port)
  mkdir -p "$folder/redis"
  redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/redis" --save '' \
    --daemonize no >"$folder/redis.log" 2>&1 &
  echo $! >"$folder/redis.pid"
  wait_for "Redis" "$folder/redis.log" redis-cli -h 127.0.0.1 -p "$port" ping
  echo "export GREENLOOP_TEST_REDIS=redis://127.0.0.1:$port" >>"$folder/env"
}

start() {
  local one
  : >"$folder/env"
  for one in "${wanted[@]}"; do
    case $one in
    engine | registry | postgres | redis) "start_$one" ;;
    *) die "unknown server $one: engine, registry, postgres or redis" ;;
    esac
  done
}

# An engine leaves the network namespace of its host networking mounted, now and then an overlay
# too, and a folder that holds a mount can't be removed.
unmount_all() {
  findmnt --raw --noheadings --output TARGET | awk -v root="$folder/" 'index($0, root) == 1' | sort -r |
    while IFS= read -r target; do
      umount "$target" 2>/dev/null || umount --lazy "$target" || true
    done
}

stop() {
  local name pid signal
  for name in redis postgres registry docker; do
    [ -f "$folder/$name.pid" ] || continue
    pid=$(cat "$folder/$name.pid")
    # SIGINT ends PostgreSQL without waiting for its clients.
    signal=TERM
    [ "$name" != postgres ] || signal=INT
    kill -s "$signal" "$pid" 2>/dev/null || true
    # An engine gives its containers 15 s to end.
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    rm -f "$folder/$name.pid"
  done
  unmount_all
  ip link del "$bridge" 2>/dev/null || true
}

case $command in
start) start ;;
stop) stop ;;
*) die "unknown command $command: start or stop" ;;
esac
