#!/usr/bin/env bash
# Runs two hubs on one PostgreSQL with workers and a real repository while everything around them
# fails, then checks that nothing was lost and nothing was done twice. Linux only.
#
#   scripts/chaos.sh [--short] [--seconds N] [--seed N] [--keep] [PROGRAM]
#
# --short      every kind of failure once, about two minutes
# --seconds N  how long failures go on (300)
# --seed N     their order; printed, so that a run can be repeated
# --keep       keep the folder with the logs also after a success
# PROGRAM      defaults to target/debug/greenloop, which is built if it is missing
#
# The failures: SIGKILL of a hub, of a worker and of Redis; an immediate restart of PostgreSQL; TCP
# resets; a hub and a worker that stand still (SIGSTOP); a broken main; a rewound main; changes of
# many tasks to the same lines; a full disk of a worker (as root: on a small tmpfs); a role that no
# worker has.
#
# Exit status: 0 every invariant holds, 1 one is violated, 2 wrong usage or a missing tool.
set -euo pipefail
cd "$(dirname "$0")/.."

arguments=() program=''
while [ $# -gt 0 ]; do
  case $1 in
  -h | --help)
    sed -n '2,/^# Exit status/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  --short | --keep) arguments+=("$1") ;;
  --seconds | --seed)
    [[ ${2:-} =~ ^[0-9]+$ ]] || { echo "chaos: $1 takes a number" >&2; exit 2; }
    arguments+=("$1" "$2")
    shift
    ;;
  -*) echo "chaos: unknown option $1" >&2; exit 2 ;;
  *) program=$1 ;;
  esac
  shift
done
for tool in git python3 redis-server; do
  command -v "$tool" >/dev/null || { echo "chaos: $tool is missing" >&2; exit 2; }
done
if [ -z "$program" ]; then
  program=target/debug/greenloop
  [ -x "$program" ] || LIBZ_SYS_STATIC=1 cargo build --locked --quiet
fi
exec python3 scripts/chaos.py --program "$(realpath "$program")" ${arguments[@]+"${arguments[@]}"}
