#!/usr/bin/env bash
# Compares the hub's queue with other queues in one run: claim and complete, one task at a time, with 1,
# 8 and 64 workers, on PostgreSQL and on a SQLite file, with durable commits. Each round runs all of
# them in turn; the results are medians of the rounds.
#
#   benches/queue.sh [ROUNDS] [TASKS]
#
# Needs npm, and PostgreSQL as for scripts/services.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-3}
tasks=${2:-2000}
export LIBZ_SYS_STATIC=1

folder=$(mktemp -d)
chmod 755 "$folder"
trap 'scripts/services.sh stop "$folder" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT

cargo bench --quiet --bench queue --no-run
ours=$(cargo bench --bench queue --no-run --message-format=json 2>/dev/null |
  python3 -c 'import json, sys
for line in sys.stdin:
    one = json.loads(line)
    if one.get("executable") and one["target"]["name"] == "queue":
        print(one["executable"])')
target=$PWD/target/queue
(cd benches/queue/apalis && CARGO_TARGET_DIR=$target cargo build --quiet --release --locked)
(cd benches/queue/node && npm ci --silent --no-audit --no-fund)

scripts/services.sh start "$folder" postgres
# shellcheck disable=SC1091
. "$folder/env"
server=${GREENLOOP_TEST_POSTGRES%/*}
sql() { psql --quiet --tuples-only --no-align --dbname "$GREENLOOP_TEST_POSTGRES" --command "$1"; }

# One measurement, on a new database: the queue, workers, and how many tasks apalis claims at once.
one() {
  local what=$1 workers=$2 url figure name
  name=bench_$RANDOM$RANDOM
  case $what in
  *sqlite) url=sqlite:$folder/$name.db ;;
  *)
    sql "CREATE DATABASE $name"
    url=$server/$name
    ;;
  esac
  case $what in
  greenloop-*) figure=$("$ours" throughput "$url" "$workers" "$tasks") ;;
  apalis-*) figure=$("$target/release/queue-apalis" "$url" "$workers" "$tasks" 1) ;;
  apalis10-*) figure=$("$target/release/queue-apalis" "$url" "$workers" "$tasks" 10) ;;
  api-postgres) figure=$("$ours" api "$url" "$workers" "$tasks") ;;
  graphile016) figure=$(node benches/queue/node/graphile-worker.js "$url" "$workers" "$tasks" 0.16) ;;
  graphile) figure=$(node benches/queue/node/graphile-worker.js "$url" "$workers" "$tasks" 0.18) ;;
  graphile10) figure=$(node benches/queue/node/graphile-worker.js "$url" "$workers" "$tasks" batches) ;;
  pgboss) figure=$(node benches/queue/node/pg-boss.js "$url" "$workers" "$tasks") ;;
  esac
  case $what in
  *sqlite) rm -f "$folder/$name".db* ;;
  *) sql "DROP DATABASE $name WITH (FORCE)" ;;
  esac
  echo "$what $workers ${figure:-0} -" >>"$folder/figures"
  echo "$what, $workers workers: $figure" >&2
}

load_before=$(cut -d' ' -f1-3 /proc/loadavg)
for _ in $(seq "$rounds"); do
  for workers in 1 8 64; do
    for what in greenloop-postgres api-postgres apalis-postgres apalis10-postgres graphile016 \
      graphile graphile10 pgboss \
      greenloop-sqlite apalis-sqlite apalis10-sqlite; do
      one "$what" "$workers"
    done
  done
done

sql "CREATE DATABASE bench_latency"
sql "CREATE DATABASE bench_agents"
sql "CREATE DATABASE bench_import"
echo
echo "pick-up by an idle agent, submitted at another hub (PostgreSQL): $("$ours" latency "$server/bench_latency" 300)"
echo "pick-up by an idle agent (SQLite): $("$ours" latency "sqlite:$folder/latency.db" 300)"
echo "1000 agents and their tasks heartbeat (PostgreSQL): $("$ours" agents "$server/bench_agents" 1000)"
echo "1000 agents and their tasks heartbeat (SQLite): $("$ours" agents "sqlite:$folder/agents.db" 1000)"
echo "a graph of 100,000 tasks and 400,000 edges (PostgreSQL): $("$ours" import "$server/bench_import" 100000 400000)"
echo "a graph of 100,000 tasks and 400,000 edges (SQLite): $("$ours" import "sqlite:$folder/import.db" 100000 400000)"
echo
echo "Claimed and completed a second, $tasks tasks, medians of $rounds rounds; load $load_before before, $(cut -d' ' -f1-3 /proc/loadavg) after; $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
echo
python3 - "$folder/figures" <<'END'
import statistics, sys

figures, wal = {}, {}
for line in open(sys.argv[1]):
    what, workers, figure, written = line.split()[:4]
    figures.setdefault((what, int(workers)), []).append(float(figure))
    if written != "-":
        wal.setdefault(what, {}).setdefault(int(workers), []).append(float(written))
median = {key: statistics.median(all) for key, all in figures.items()}
others = {
    "postgres": ["apalis-postgres", "apalis10-postgres", "graphile016", "graphile", "graphile10", "pgboss"],
    "sqlite": ["apalis-sqlite", "apalis10-sqlite"],
}
names = {
    "apalis-postgres": "apalis-postgres",
    "apalis10-postgres": "apalis-postgres, 10 at once",
    "graphile016": "graphile-worker 0.16.6",
    "graphile": "graphile-worker 0.18.0",
    "graphile10": "graphile-worker 0.18.0, local queue and batched completions",
    "pgboss": "pg-boss",
    "apalis-sqlite": "apalis-sqlite",
    "apalis10-sqlite": "apalis-sqlite, 10 at once",
}
def log(what):
    return ", ".join(f"{statistics.median(wal[what][n]):.0f}" for n in (1, 8, 64)) if what in wal else ""
print("| | 1 worker | 8 workers | 64 workers | ratio of Greenloop to it | WAL per task, bytes |")
print("|---|---|---|---|---|---|")
for store, all in others.items():
    ours = [median[f"greenloop-{store}", n] for n in (1, 8, 64)]
    name = "PostgreSQL" if store == "postgres" else "SQLite"
    print(f"| **Greenloop, {name}** | " + " | ".join(f"{it:.0f}" for it in ours) + f" | | {log(f'greenloop-{store}')} |")
    if store == "postgres":
        api = [median["api-postgres", n] for n in (1, 8, 64)]
        ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(api, [median["graphile016", n] for n in (1, 8, 64)]))
        print("| **Greenloop, whole HTTP API** | " + " | ".join(f"{it:.0f}" for it in api) + f" | to graphile-worker 0.16.6: {ratios} | {log('api-postgres')} |")
    for other in all:
        theirs = [median[other, n] for n in (1, 8, 64)]
        ratios = ", ".join(f"{a / b:.2f}" if b else "-" for a, b in zip(ours, theirs))
        print(f"| {names[other]} | " + " | ".join(f"{it:.0f}" for it in theirs) + f" | {ratios} | {log(other)} |")
END
