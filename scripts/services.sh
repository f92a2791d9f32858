#!/usr/bin/env bash
# The servers that tests talk to: a Docker Engine and a registry, both of their own, so that
# nothing on this machine is touched.
#
#   scripts/services.sh start FOLDER   starts them; `source FOLDER/env` tells tests where they are
#   scripts/services.sh stop FOLDER    stops what was started there, and nothing else
set -euo pipefail

command=${1:-}
folder=${2:-}
if [ -z "$folder" ]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0"
  exit 2
fi
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

start() {
  [ "$(id -u)" -eq 0 ] || die "a Docker Engine can only be started by root: run it with sudo"
  local socket="$folder/docker.sock" port
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

  cat >"$folder/env" <<END
export GREENLOOP_TEST_DOCKER=unix://$socket
export GREENLOOP_TEST_REGISTRY=127.0.0.1:$port
END
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
  local name pid
  for name in registry docker; do
    [ -f "$folder/$name.pid" ] || continue
    pid=$(cat "$folder/$name.pid")
    kill "$pid" 2>/dev/null || true
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
