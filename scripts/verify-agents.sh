#!/usr/bin/env bash
# Verifies a hub and its workers with seven checks; each failure is printed with what to do.
#
#   scripts/verify-agents.sh [OPTION…] [HUB_URL]
#
# HUB_URL   defaults to $GREENLOOP_HUB_URL, then http://127.0.0.1:7474
#
# --expect-agents N     at least N agents must have a recent heartbeat (default: 1)
# --agents NAME,NAME…   these agents must be among them
# --expect-tasks N      exactly N tasks must be loaded
# --allow-empty         having no tasks is no failure
# --max-age SECONDS     older heartbeats are stale (default: 90)
# --wait SECONDS        how long to wait for the first live update (default: 20)
# --settle SECONDS      how long to repeat the checks until all pass (default: 0)
# --json                one JSON object instead of lines
#
# The token (scope `read`) comes from $GREENLOOP_HUB_TOKEN; curl reads it from a pipe. For a private
# CA, set CURL_CA_BUNDLE. Needs curl and jq.
#
# Exit status: 0 all checks passed, 1 a check failed, 2 wrong usage or a missing tool.
#
# shellcheck disable=SC2016 # the programs in single quotes are jq's
set -euo pipefail

expect_agents=1 agents='' expect_tasks='' allow_empty=false max_age=90 patience=20 settle=0 json=no
hub=${GREENLOOP_HUB_URL:-http://127.0.0.1:7474}

wrong() {
  printf 'verify-agents: %s\n' "$*" >&2
  exit 2
}
number() { [[ $2 =~ ^[0-9]+$ ]] || wrong "$1 takes a number: $2"; }

while [ $# -gt 0 ]; do
  case $1 in
  --json) json=yes ;;
  --allow-empty) allow_empty=true ;;
  --expect-agents | --expect-tasks | --max-age | --wait | --settle)
    [ $# -gt 1 ] || wrong "$1 needs a value"
    number "$1" "$2"
    case $1 in
    --expect-agents) expect_agents=$2 ;;
    --expect-tasks) expect_tasks=$2 ;;
    --max-age) max_age=$2 ;;
    --wait) patience=$2 ;;
    --settle) settle=$2 ;;
    esac
    shift
    ;;
  --agents)
    [ $# -gt 1 ] || wrong "$1 needs a value"
    agents=$2
    shift
    ;;
  -h | --help)
    sed -n '2,/^# Exit status/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*) wrong "unknown option $1" ;;
  *) hub=$1 ;;
  esac
  shift
done
[[ $hub =~ ^https?://[^[:space:]]+$ ]] || wrong "HUB_URL must begin with http:// or https://: $hub"
hub=${hub%/}
for tool in curl jq; do
  command -v "$tool" >/dev/null || wrong "$tool is missing"
done

scratch=$(mktemp -d)
stream=
# shellcheck disable=SC2317 # the trap below calls it
finish() {
  [ -z "$stream" ] || kill "$stream" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

token() {
  [ -z "${GREENLOOP_HUB_TOKEN:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$GREENLOOP_HUB_TOKEN"
}

# get PATH: sets $status (000: no answer) and writes the body to $body.
body=$scratch/body
get() {
  status=$(token | curl --config - --silent --max-time 15 --header 'Accept: application/json' \
    --dump-header "$scratch/headers" --output "$body" --write-out '%{http_code}' \
    "$hub/api/v1/$1") || status=000
  [ "$status" = 200 ] || return 1
  jq -e . "$body" >/dev/null 2>&1 || {
    status='no JSON'
    return 1
  }
}

# list PATH: all pages, as one array.
list() {
  local path=$1 cursor='' pages=0
  local join='?'
  case $path in *\?*) join='&' ;; esac
  : >"$scratch/pages"
  while :; do
    get "$path${join}limit=200${cursor:+&cursor=$cursor}" || return 1
    jq -c .items "$body" >>"$scratch/pages"
    cursor=$(jq -r '.next // "" | @uri' "$body")
    pages=$((pages + 1))
    if [ -z "$cursor" ] || [ "$pages" -ge 100 ]; then break; fi
  done
  jq -cs 'map(. // []) | add' "$scratch/pages" >"$body"
}

# The meaning of the last status, and what to do.
unreached() {
  case $status in
  000) found="no answer from $hub" && what_to_do="check that the hub runs (systemctl status greenloop-hub, docker compose ps, kubectl get pods) and that this machine can reach it" ;;
  401) found="the hub requires a token" && what_to_do="greenloop hub token create --name verify --scope read, then export GREENLOOP_HUB_TOKEN" ;;
  403) found="the token has not the scope read" && what_to_do="use a token with the scope read" ;;
  404) found="404: this is not a hub, or another version" && what_to_do="check the address, and greenloop --version on the hub" ;;
  503) found="503: $(jq -r '[(.detail // empty), (to_entries[] | select(.value | type == "string") | select(.key != "detail") | "\(.key) \(.value)")] | first // "unavailable"' "$body" 2>/dev/null || echo unavailable)" && what_to_do="check the hub's store; the hub's log says what it cannot reach" ;;
  *) found="status $status" && what_to_do="read the hub's log" ;;
  esac
}

results=()
verdict() { # NUMBER NAME: $ok, $found and $what_to_do
  results+=("$(jq -cn --argjson check "$1" --arg name "$2" --argjson ok "$ok" --arg found "$found" \
    --arg remedy "$what_to_do" '{check: $check, name: $name, ok: $ok, found: $found, do: (if $ok then null else $remedy end)}')")
}
# judge PROGRAM [JQ_ARGUMENT…]: the program makes {ok, found, do} of $body.
judge() {
  local program=$1 answer
  shift
  if answer=$(jq -r "$@" "$program"' | .ok, .found, (.do // "") | tostring | gsub("\n"; " ")' "$body" 2>"$scratch/jq"); then
    { read -r ok && read -r found && read -r what_to_do; } <<<"$answer" || true
  else
    ok=false found="unexpected answer: $(head -n 1 "$scratch/jq")" what_to_do="use the script of the hub's version"
  fi
}
reach() { # list|get PATH
  # Report it only once.
  if [ -z "$barred" ] && "$@"; then return 0; fi
  ok=false
  if [ -n "$barred" ]; then
    found="skipped" what_to_do="see above"
  else
    unreached
  fi
  case $status in 000 | 401 | 403 | 404) barred=yes ;; esac
  return 1
}

health() {
  if reach get health; then
    judge '
      [to_entries[] | select(.key | IN("version", "uptime_seconds", "time") | not)
        | {name: .key, state: (.value | if type == "object" then (.status // .state) else . end)}
        | select(.state | type == "string")] as $parts
      | ($parts | map(select(.state | IN("ok", "healthy", "up", "off", "not configured", "none", "disabled") | not))) as $bad
      | {ok: ($bad == [] and ($parts | length) > 0),
         found: ($parts | map("\(.name) \(.state)") | join(", ")),
         do: "start or repair \($bad | map(.name) | join(" and ")); the hub continues automatically afterwards"}'
  fi
  verdict 1 health
}

registered() {
  if reach list agents; then
    # Ages use the hub's clock, not this machine's.
    local now
    now=$(sed -n 's/^[Dd]ate: *\(.*\)\r$/\1/p' "$scratch/headers" | tail -n 1)
    cp "$body" "$scratch/agents"
    judge '
      def time: sub("\\.[0-9]+"; "") | sub("\\+00:00$"; "Z") | fromdateiso8601;
      ($now | if . == "" then (now | floor) else strptime("%a, %d %b %Y %H:%M:%S GMT") | mktime end) as $now
      | map(select(.state | IN("inactive", "left") | not) | . + {age: ($now - (.last_heartbeat | time))}) as $all
      | ($all | map(select((.state | IN("idle", "working", "draining")) and .age <= $max))) as $fresh
      # A dead agent without a task was removed: a pod, a spot machine.
      | ($all | map(select(.state == "down" and .task == null))) as $gone
      | ($all - $fresh - $gone) as $stale
      | ($wanted - ($fresh | map(.name))) as $missing
      | {ok: (($fresh | length) >= $expect and $missing == [] and $stale == []),
         found: ("\($fresh | length) of \($all - $gone | length) fresh"
           + (if $fresh == [] then "" else ", last heartbeat \($fresh | map(.age) | max | if . < 0 then 0 else . end) s ago at most" end)
           + (if $gone == [] then "" else "; \($gone | length) gone" end)
           + (if $stale == [] then "" else "; stale: \($stale | map("\(.name) (\(.state), \(.quarantine // "\(.age) s"))") | join(", "))" end)
           + (if $missing == [] then "" else "; missing: \($missing | join(", "))" end)),
         do: (if $stale != [] then
             "on \($stale | map(.host) | unique | join(", ")): check that the worker runs (systemctl status greenloop-worker@*, kubectl get pods) and can reach the hub. The reason of a quarantine is shown above. For a worker that is gone for good: greenloop tasks agents remove NAME"
           elif $missing != [] then "start \($missing | join(", "))"
           else "start workers: greenloop worker --hub URL --name NAME --role ROLE; \($fresh | length) of \($expect) are running" end)}' \
      --arg now "$now" --argjson max "$max_age" --argjson expect "$expect_agents" \
      --argjson wanted "$(jq -cn --arg names "$agents" '$names | split(",") | map(select(. != ""))')"
  else
    echo '[]' >"$scratch/agents"
  fi
  verdict 2 agents
}

loaded() {
  if reach get progress/summary; then
    cp "$body" "$scratch/summary"
    judge '
      ([.tasks[]] | add // 0) as $count
      | {ok: (if $expect != null then $count == $expect else $count > 0 or $empty end),
         found: "\($count) tasks, \(.hours) hours, \(.epics | length) epics, \(.percent | round) % done",
         do: (if $expect != null and $count > 0 then "\($expect) were expected: see GET /api/v1/graphs"
           else "submit a graph: greenloop tasks import tasks.yaml" end)}' \
      --argjson expect "${expect_tasks:-null}" --argjson empty "$allow_empty"
  else
    echo '{"tasks": {}}' >"$scratch/summary"
  fi
  verdict 3 tasks
}

ready() {
  if reach list tasks/ready; then
    cp "$body" "$scratch/ready"
    judge '
      ($summary[0].tasks) as $n
      | (map(.role // empty) | unique) as $roles
      | ($roles - ($agents[0] | map(select(.state | IN("idle", "working")) | .roles[]) | unique)) as $nobody
      | (($n.running // 0) + ($n.merging // 0)) as $going
      | {ok: ($nobody == [] and (length > 0 or $going > 0 or ($n.waiting // 0) + ($n.blocked // 0) == 0)),
         found: ("\(length) ready, \($n.running // 0) running, \($n.merging // 0) merging, \($n.waiting // 0) waiting, \($n.blocked // 0) blocked, \($n.failed // 0) failed"
           + (if $nobody == [] then "" else "; no worker has the role \($nobody | join(", "))" end)),
         do: (if $nobody != [] then "start a worker with --role \($nobody | join(" or "))"
           elif ($n.blocked // 0) > 0 then "blocked tasks wait for a person: see GET /api/v1/tasks?state=blocked"
           else "their dependencies have failed: see GET /api/v1/tasks?state=failed, then POST /api/v1/tasks/ID/retry" end)}' \
      --slurpfile summary "$scratch/summary" --slurpfile agents "$scratch/agents"
  else
    echo '[]' >"$scratch/ready"
  fi
  verdict 4 ready
}

claims() {
  if reach list 'assignments?state=running'; then
    judge '
      ($agents[0]) as $agents
      | (map(.agent) | unique) as $busy
      | ($busy - ($agents | map(select(.state | IN("idle", "working", "draining")) | .name))) as $lost
      | ($agents | map(select(.state == "idle"))) as $idle
      | ($ready[0] | map(select(.role as $role | $idle | any($role == null or (.roles | index($role)))))) as $open
      | {ok: ($lost == [] and (length > 0 or $open == [])),
         found: (if length > 0 then "\(length) running on \($busy | join(", "))"
             elif $ready[0] == [] then "none, and nothing is ready"
             else "none, with \($ready[0] | length) ready and \($idle | length) idle agents" end
           + (if $lost == [] then "" else "; held by agents without a heartbeat: \($lost | join(", "))" end)),
         do: (if $lost != [] then "nothing: other workers get the tasks when the leases expire"
           else "compare the labels of ready tasks with the agents'\''; otherwise read a worker'\''s log (journalctl -u greenloop-worker@*): it says why it claims nothing" end)}' \
      --slurpfile agents "$scratch/agents" --slurpfile ready "$scratch/ready"
  fi
  verdict 5 claims
}

live() {
  local began=$SECONDS type line=
  if [ -n "$barred" ]; then
    ok=false found="skipped" what_to_do="see above"
    verdict 6 live
    return
  fi
  : >"$scratch/events"
  : >"$scratch/headers"
  # From the first event that the hub still has, so that an event arrives.
  token | curl --config - --silent --no-buffer --max-time $((patience + 5)) --header 'Accept: text/event-stream' \
    --dump-header "$scratch/headers" --output "$scratch/events" "$hub/api/v1/events?after=0" &
  stream=$!
  while [ $((SECONDS - began)) -le "$patience" ]; do
    line=$(grep -Em 1 '^(data|:)' "$scratch/events" || true)
    [ -z "$line" ] || break
    kill -0 "$stream" 2>/dev/null || break
    sleep 0.1
  done
  # A stream that has just ended has written everything.
  [ -n "$line" ] || line=$(grep -Em 1 '^(data|:)' "$scratch/events" || true)
  kill "$stream" 2>/dev/null || true
  wait "$stream" 2>/dev/null || true
  stream=
  status=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$scratch/headers" | tail -n 1)
  type=$(sed -n 's/^[Cc]ontent-[Tt]ype: *\([^;]*\).*/\1/p' "$scratch/headers" | tr -d '\r ' | tail -n 1)
  ok=false
  if [ "${status:-000}" != 200 ]; then
    status=${status:-000}
    cp "$scratch/events" "$body"
    unreached
  elif [ "$type" != text/event-stream ]; then
    found="content type $type" what_to_do="check whether a proxy answers in place of the hub"
  elif [ -z "$line" ]; then
    found="open, but silent for $patience s" what_to_do="a proxy buffers the events: switch off buffering for /api/v1/events (nginx: proxy_buffering off)"
  else
    ok=true what_to_do=
    case $line in
    :*) found="open; keep-alive, but no event yet" ;;
    *) found="event $(jq -r '"\(.id) \(.kind) at \(.at)"' <<<"${line#data:}" 2>/dev/null || echo "in an unknown format")" ;;
    esac
  fi
  verdict 6 live
}

merges() {
  if reach list merge-queue; then
    cp "$body" "$scratch/merges"
    # Branches have no pages, and the hub rejects unknown parameters.
    if reach get branches; then
      judge '
        (.items | length) as $branches
        | ($merges[0] | group_by(.state) | map({key: .[0].state, value: length}) | from_entries) as $n
        | ($merges[0] | map(select(.state == "conflict" and .unsolved != false))) as $conflicts
        | {ok: ($conflicts == []),
           found: ("\($n.queued // 0) queued, \($n.testing // 0) testing, \($n.merged // 0) merged, \($conflicts | length) in conflict, \($n.ejected // 0) ejected; \($branches) branches"),
           do: "resolve \($conflicts | map("\(.branch): \(.reason // "conflict")") | join("; ")), then POST /api/v1/merge-queue/ID/retry, or …/eject"}' \
        --slurpfile merges "$scratch/merges"
    fi
  fi
  verdict 7 git
}

began=$SECONDS
while :; do
  results=()
  ok='' found='' what_to_do='' barred=''
  health
  registered
  loaded
  ready
  claims
  live
  merges
  printf '%s\n' "${results[@]}" | jq -cs --arg hub "$hub" '{hub: $hub, ok: all(.ok), checks: .}' >"$scratch/verdict"
  all=$(jq -r .ok "$scratch/verdict")
  if [ "$all" = true ] || [ $((SECONDS - began)) -ge "$settle" ]; then break; fi
  sleep 2
done

if [ "$json" = yes ]; then
  jq . "$scratch/verdict"
else
  # The hub's texts are untrusted: replace control characters.
  jq -r '
    "verification of \(.hub)",
    (.checks[] | "\(if .ok then "ok  " else "FAIL" end) \(.check) \(.name): \(.found)", (.do // empty | "       do: \(.)")),
    (.checks | map(select(.ok | not)) | length | if . == 0 then "all checks passed" else "\(.) of 7 checks failed" end)
    | gsub("[\\p{Cc}]"; "?")' "$scratch/verdict"
fi
[ "$all" = true ]
