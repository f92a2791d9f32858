#!/usr/bin/env bash
# The servers that tests talk to: a Docker Engine, a registry, PostgreSQL and Redis, all of their
# own, so that nothing on this machine is touched.
#
#   scripts/services.sh start FOLDER [engine] [registry] [postgres] [redis]
#       starts them, or those that are named; FOLDER/env tells tests where they are
#   scripts/services.sh run FOLDER COMMAND...
#       runs a command, the tests, where it reaches them and knows where they are
#   scripts/services.sh stop FOLDER
#       stops what was started there, and nothing else
#
# An engine sets up bridges, routes and packet filters, and takes away those of others. So with an
# engine all of them run in network and mount namespaces of their own, which `run` enters: their
# addresses on 127.0.0.1 are no addresses of this machine, and the namespaces end with them.
# Without an engine `source FOLDER/env` is enough.
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

# What holds the namespaces, and in a container of its own would be the machine: loopback, and a
# /run where an engine leaves what it leaves.
hold_namespaces() {
  [ "$(id -u)" -eq 0 ] || die "a Docker Engine can only be started by root: run it with sudo"
  # shellcheck disable=SC2016
  unshare --net --mount --propagation private sh -c '
    ip link set lo up &&
      mount -t tmpfs -o mode=755 tmpfs /run &&
      touch "$1/namespaces.ready" && exec sleep infinity' sh "$folder" \
    </dev/null >"$folder/namespaces.log" 2>&1 &
  echo $! >"$folder/namespaces.pid"
  wait_for "a network namespace" "$folder/namespaces.log" test -e "$folder/namespaces.ready"
}

# A command in the namespaces, from this folder; as it is where there are none.
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
  # Docker gives a bridge without an address of its own a new one whenever a container comes,
  # and packets in flight are lost with the old one.
  enter ip link set "$bridge" address 02:67:6c:00:00:01
  enter ip link set "$bridge" up
  enter dockerd --data-root "$folder/docker" --exec-root "$folder/docker-exec" \
    --pidfile "$folder/docker.pid" --host "unix://$socket" --bridge "$bridge" \
    </dev/null >"$folder/docker.log" 2>&1 &
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
  background registry docker-registry serve "$folder/registry.yml"
  wait_for "the registry" "$folder/registry.log" enter curl -sf "http://127.0.0.1:$port/v2/"
  echo "export GREENLOOP_TEST_REGISTRY=127.0.0.1:$port" >>"$folder/env"
}

# NAME COMMAND...: a server that ends with its pid in NAME.pid, its output in NAME.log.
background() {
  local name=$1
  shift
  # shellcheck disable=SC2016
  enter sh -c 'echo $$ >"$1" && shift && exec "$@"' sh "$folder/$name.pid" "$@" \
    </dev/null >>"$folder/$name.log" 2>&1 &
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
  [ -e "$data/data/PG_VERSION" ] || "${as[@]}" "$(postgres_program initdb)" --pgdata "$data/data" --username greenloop \
    --auth trust --encoding UTF8 --no-locale >"$folder/postgres.log" 2>&1 ||
    { tail -20 "$folder/postgres.log" >&2; die "the database's folder was not made"; }
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

# What is left of a start that failed would hold addresses, and the folder's socket, for ever.
stop_after_failure() {
  local status=$?
  [ "$status" -eq 0 ] || (stop) || true
  exit "$status"
}

start() {
  local one running
  for running in "$folder"/*.pid; do
    ! { [ -e "$running" ] && kill -0 "$(cat "$running")" 2>/dev/null; } ||
      die "servers are running in $folder already: stop them first"
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

# As who asked for it, when that was somebody's sudo.
run() {
  local as=()
  [ ${#wanted[@]} -gt 0 ] || die "run what? scripts/services.sh run FOLDER COMMAND..."
  if [ -n "${SUDO_UID:-}" ] && [ "$(id -u)" -eq 0 ]; then
    as=(setpriv --reuid "$SUDO_UID" --regid "$SUDO_GID" --init-groups --)
  fi
  # shellcheck disable=SC1091
  . "$folder/env"
  enter "${as[@]}" "${wanted[@]}"
}

# What tests and servers have left running in the namespaces: nothing else can be there.
end_the_rest() {
  local holder namespace process
  [ -f "$folder/namespaces.pid" ] || return 0
  holder=$(cat "$folder/namespaces.pid")
  namespace=$(readlink "/proc/$holder/ns/net") || return 0
  [ "$namespace" != "$(readlink /proc/self/ns/net)" ] || die "stop is not to be run by run"
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
    # An engine gives its containers 15 s to end.
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
