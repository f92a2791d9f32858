#!/usr/bin/env bash
# Starts the servers for the tests: a Docker Engine, a registry, PostgreSQL and Redis, separate from
# those of this machine.
#
#   scripts/services.sh start FOLDER [engine] [registry] [postgres] [redis]
#       starts all, or the given ones; FOLDER/env contains their addresses
#   scripts/services.sh run FOLDER COMMAND...
#       runs a command, for example the tests, with access to them and their addresses
#   scripts/services.sh stop FOLDER
#       stops what was started there, and nothing else
#
# A Docker Engine creates bridges, routes and packet filters, and removes those of others. So with an
# engine, all servers run in separate network and mount namespaces, which `run` enters: their
# addresses on 127.0.0.1 do not exist on this machine, and the namespaces end with them. Without an
# engine, `source FOLDER/env` is enough.
set -euo pipefail

command=${1:-}
folder=${2:-}
if [ -z "$folder" ]; then
  sed -n '2,16s/^# \{0,1\}//p' "$0"
  exit 2
fi
shift 2
wanted=("$@")
[ "$command" != start ] || [ ${#wanted[@]} -gt 0 ] || wanted=(engine registry postgres redis)
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
bridge=greenloop0

die() { echo "services: $*" >&2; exit 1; }

free_port() {
  enter python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A process that keeps the namespaces, with a loopback interface and a /run for the engine.
hold_namespaces() {
  [ "$(id -u)" -eq 0 ] || die "only root can start a Docker Engine: use sudo"
  # shellcheck disable=SC2016
  unshare --net --mount --propagation private sh -c '
    ip link set lo up &&
      mount -t tmpfs -o mode=755 tmpfs /run &&
      touch "$1/namespaces.ready" && exec sleep infinity' sh "$folder" \
    </dev/null >"$folder/namespaces.log" 2>&1 &
  echo $! >"$folder/namespaces.pid"
  wait_for "the network namespace" "$folder/namespaces.log" test -e "$folder/namespaces.ready"
}

# Runs a command in the namespaces, in this folder; without namespaces, runs it directly.
enter() {
  if [ -f "$folder/namespaces.pid" ]; then
    # shellcheck disable=SC2016
    nsenter --target "$(cat "$folder/namespaces.pid")" --net --mount -- \
      sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" "$@"
  else
    "$@"
  fi
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
  local socket="$folder/docker.sock"
  enter ip link add name "$bridge" type bridge
  enter ip addr add 172.31.20.1/24 dev "$bridge"
  # Without a fixed MAC address, the bridge gets a new one with every container, and packets in flight
  # are lost.
  enter ip link set "$bridge" address 02:67:6c:00:00:01
  enter ip link set "$bridge" up
  enter dockerd --data-root "$folder/docker" --exec-root "$folder/docker-exec" \
    --pidfile "$folder/docker.pid" --host "unix://$socket" --bridge "$bridge" \
    </dev/null >"$folder/docker.log" 2>&1 &
  wait_for "the Docker Engine" "$folder/docker.log" \
    curl -sf --unix-socket "$socket" http://localhost/_ping

  # Started with sudo, for tests of the calling user.
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
  background registry docker-registry serve "$folder/registry.yml"
  wait_for "the registry" "$folder/registry.log" enter curl -sf "http://127.0.0.1:$port/v2/"
  echo "export GREENLOOP_TEST_REGISTRY=127.0.0.1:$port" >>"$folder/env"
}

# NAME COMMAND...: starts a server, with its pid in NAME.pid and its output in NAME.log.
background() {
  local name=$1
  shift
  # shellcheck disable=SC2016
  enter sh -c 'echo $$ >"$1" && shift && exec "$@"' sh "$folder/$name.pid" "$@" \
    </dev/null >>"$folder/$name.log" 2>&1 &
}

# A program of PostgreSQL, which Debian installs outside the PATH, in one folder per version.
postgres_program() {
  local found
  found=$(find /usr/lib/postgresql -path "*/bin/$1" 2>/dev/null | sort -V | tail -1 || true)
  [ -n "$found" ] || found=$(command -v "$1") || die "$1 is missing: install postgresql"
  echo "$found"
}

# Durable as in production: benchmarks and crash tests need that.
start_postgres() {
  local port data="$folder/postgres" as=()
  port=$(free_port)
  mkdir -p "$data"
  # It refuses to run as root.
  if [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid postgres --regid postgres --init-groups --)
    chown postgres "$data"
    "${as[@]}" test -w "$data" || die "the user postgres cannot write to $folder"
  fi
  # A folder that this user can enter.
  cd /
  [ -e "$data/data/PG_VERSION" ] || "${as[@]}" "$(postgres_program initdb)" --pgdata "$data/data" --username greenloop \
    --auth trust --encoding UTF8 --no-locale >"$folder/postgres.log" 2>&1 ||
    { tail -20 "$folder/postgres.log" >&2; die "initdb failed; its log is above"; }
  background postgres "${as[@]}" "$(postgres_program postgres)" -D "$data/data" -p "$port" \
    -k "$data" -c listen_addresses=127.0.0.1 -c max_connections=300 -c shared_buffers=256MB \
    -c fsync=on -c synchronous_commit=on -c full_page_writes=on
  wait_for "PostgreSQL" "$folder/postgres.log" \
    enter "$(postgres_program pg_isready)" -q -h 127.0.0.1 -p "$port" -U greenloop
  echo "export GREENLOOP_TEST_POSTGRES=postgres://greenloop@127.0.0.1:$port/postgres" \
    >>"$folder/env"
}

start_redis() {
  local port
  port=$(free_port)
  mkdir -p "$folder/redis"
  background redis redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/redis" --save '' \
    --daemonize no
  wait_for "Redis" "$folder/redis.log" enter redis-cli -h 127.0.0.1 -p "$port" ping
  echo "export GREENLOOP_TEST_REDIS=redis://127.0.0.1:$port" >>"$folder/env"
}

# Leftovers of a failed start would keep addresses, and the folder's socket, in use.
stop_after_failure() {
  local status=$?
  [ "$status" -eq 0 ] || (stop) || true
  exit "$status"
}

start() {
  local one running
  for running in "$folder"/*.pid; do
    ! { [ -e "$running" ] && kill -0 "$(cat "$running")" 2>/dev/null; } ||
      die "servers are already running in $folder: stop them first"
  done
  trap stop_after_failure EXIT
  : >"$folder/env"
  rm -f "$folder/namespaces.ready"
  case " ${wanted[*]} " in *" engine "*) hold_namespaces ;; esac
  for one in "${wanted[@]}"; do
    case $one in
    engine | registry | postgres | redis) "start_$one" ;;
    *) die "unknown server $one: engine, registry, postgres or redis" ;;
    esac
  done
}

# As the calling user if started with sudo.
run() {
  local as=()
  [ ${#wanted[@]} -gt 0 ] || die "run needs a command: scripts/services.sh run FOLDER COMMAND..."
  if [ -n "${SUDO_UID:-}" ] && [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --init-groups --)
  fi
  # shellcheck disable=SC1091
  . "$folder/env"
  enter "${as[@]}" "${wanted[@]}"
}

# Kills what tests and servers left running in the namespaces.
end_the_rest() {
  local holder namespace process
  [ -f "$folder/namespaces.pid" ] || return 0
  holder=$(cat "$folder/namespaces.pid")
  namespace=$(readlink "/proc/$holder/ns/net") || return 0
  [ "$namespace" != "$(readlink /proc/self/ns/net)" ] || die "do not call stop within run"
  for process in /proc/[0-9]*; do
    if [ "${process#/proc/}" != "$holder" ] &&
      [ "$(readlink "$process/ns/net" 2>/dev/null)" = "$namespace" ]; then
      kill -KILL "${process#/proc/}" 2>/dev/null || true
    fi
  done
}

stop() {
  local name pid signal
  for name in redis postgres registry docker namespaces; do
    [ "$name" != namespaces ] || end_the_rest
    [ -f "$folder/$name.pid" ] || continue
    pid=$(cat "$folder/$name.pid")
    # SIGINT ends PostgreSQL without waiting for its clients.
    signal=TERM
    [ "$name" != postgres ] || signal=INT
    kill -s "$signal" "$pid" 2>/dev/null || true
    # An engine gives its containers 15 s to stop.
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    rm -f "$folder/$name.pid"
  done
}

case $command in
start) start ;;
run) run ;;
stop) stop ;;
*) die "unknown command $command: start, run or stop" ;;
esac
