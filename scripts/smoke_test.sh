#!/usr/bin/env bash
# Smoke test of a running service: health, front page, time budget.
#
#   scripts/smoke_test.sh [BASE_URL] [PATH...]
#
# BASE_URL   defaults to $GREENLOOP_URL, then $PRODUCTION_URL.
# PATH...    paths that must answer with a status below 400; default: /
#
# SMOKE_HEALTH    path of the health check                      (default: /health)
# SMOKE_RETRIES   retries of the health check                   (default: 5)
# SMOKE_TIMEOUT   seconds for one request                       (default: 10)
# SMOKE_BUDGET    seconds for the whole script                  (default: 60)
# SMOKE_SLOW      maximum milliseconds of one answer            (default: 2000)
#
# Exit status: 0 all passed, 1 something failed, 2 no URL.
# Uses curl if it is installed, otherwise bash's /dev/tcp (http only).
set -u

base=${1:-${GREENLOOP_URL:-${PRODUCTION_URL:-}}}
[ $# -gt 0 ] && shift
if [ -z "$base" ]; then
  echo "usage: $0 BASE_URL [PATH...]   (or set GREENLOOP_URL)" >&2
  exit 2
fi
base=${base%/}
health=${SMOKE_HEALTH:-/health}
retries=${SMOKE_RETRIES:-5}
timeout=${SMOKE_TIMEOUT:-10}
budget=${SMOKE_BUDGET:-60}
slow=${SMOKE_SLOW:-2000}
[ $# -gt 0 ] || set -- /

failures=0
pass() { printf '\342\234\223 %s\n' "$*"; }
fail() { printf '\342\234\227 %s\n' "$*"; failures=$((failures + 1)); }

body=$(mktemp) || exit 1
trap 'rm -f "$body"' EXIT

now_ms() {
  local now=${EPOCHREALTIME:-}
  if [ -n "$now" ]; then now=${now/[.,]/}; echo $((now / 1000)); else echo $(($(date +%s) * 1000)); fi
}

# request PATH: sets $status (000: no answer) and $ms, and writes the body to $body.
if command -v curl >/dev/null 2>&1; then
  request() {
    local began; began=$(now_ms)
    status=$(curl --silent --show-error --max-time "$timeout" --output "$body" \
      --write-out '%{http_code}' "$base$1" 2>/dev/null) || status=000
    ms=$(($(now_ms) - began))
  }
else
  case $base in
    http://*) ;;
    *) echo "without curl, only http:// is supported: $base" >&2; exit 2 ;;
  esac
  authority=${base#http://}; authority=${authority%%/*}
  prefix=${base#http://"$authority"}
  host=${authority%:*}; port=${authority##*:}
  [ "$port" = "$authority" ] && port=80
  exchange() {
    exec 3<>"/dev/tcp/$host/$port" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n' "$prefix$1" "$authority" >&3
    cat <&3
  }
  request() {
    local began pid waited=0
    began=$(now_ms)
    { exchange "$1" >"$body"; } 2>/dev/null &
    pid=$!
    while kill -0 "$pid" 2>/dev/null && [ "$waited" -lt $((timeout * 10)) ]; do
      sleep 0.1; waited=$((waited + 1))
    done
    kill "$pid" 2>/dev/null && : >"$body"
    wait "$pid" 2>/dev/null
    status=000
    local version code
    read -r version code _ <"$body" 2>/dev/null && case $version in HTTP/*) status=$code ;; esac
    ms=$(($(now_ms) - began))
  }
fi

ok() { [ "$status" -ge 200 ] 2>/dev/null && [ "$status" -lt 400 ]; }
excerpt() { LC_ALL=C tr -d '\000-\010\013-\037\177' <"$body" | tail -n 3 | cut -c 1-200; }
explain() {
  if [ "$status" = 000 ]; then echo "no answer within ${timeout} s"; else echo "status $status"; fi
}

echo "smoke test of $base"
SECONDS=0

# A service that has just started may need a moment.
try=0
while request "$health"; ! ok; do
  if [ "$try" -ge "$retries" ] || [ "$SECONDS" -ge "$budget" ]; then
    break
  fi
  try=$((try + 1))
  sleep "$((try < 4 ? try : 4))"
done
if ok; then
  pass "GET $health: $status in ${ms} ms$([ "$try" -gt 0 ] && echo " after $try retries")"
else
  fail "GET $health: $(explain) after $((try + 1)) attempts"
  excerpt | sed 's/^/    /'
fi

for path in "$@"; do
  request "$path"
  if ! ok; then
    fail "GET $path: $(explain)"
    excerpt | sed 's/^/    /'
  elif [ "$ms" -gt "$slow" ]; then
    fail "GET $path: $status, but it took ${ms} ms (limit: $slow ms)"
  else
    pass "GET $path: $status in ${ms} ms"
  fi
done

if [ "$SECONDS" -gt "$budget" ]; then
  fail "took ${SECONDS} s (limit: $budget s)"
fi

if [ "$failures" -eq 0 ]; then
  echo "all checks passed"
else
  echo "$failures checks failed"
  exit 1
fi
