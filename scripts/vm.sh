#!/usr/bin/env bash
# Installs or updates the hub or workers on Azure VMs, through `az vm run-command`: no open port,
# no ssh. Shows the plan first; when run again, it changes only what differs.
#
#   scripts/vm.sh hub    --vm GROUP/NAME [OPTION…]
#   scripts/vm.sh worker --vm GROUP/NAME --worker INSTANCE:ROLE[,ROLE…][:SLOTS]…
#                        [--vm GROUP/NAME --worker …]… --hub-url URL [OPTION…]
#   scripts/vm.sh status --vm GROUP/NAME…
#
# --binary-url URL --sha256 HEX   download of greenloop; default: the VM has it already
# --git-credentials FILE          lines of https://USER:TOKEN@HOST, for git on the VM
# --subscription ID               default: that of `az account show`
# --dry-run                       show the plan and exit
# --yes                           do not ask for confirmation
#
# hub:    --listen ADDR:PORT      default: unchanged; at first, the VM only
#         --tls-cert F --tls-key F | --insecure-http
#         --store-env NAME        variable with the store's URL (default: SQLite on the VM)
#         --redis-env NAME        variable with the URL of Redis
# worker: --token-env NAME        variable with the workers' token (default: GREENLOOP_HUB_TOKEN);
#                                 unset: the VM keeps the token it has
#         --hub-ca FILE           CA of the hub's certificate, if it is private
#         Other workers of the VM drain and are removed.
#
# Secrets come from variables and files, are sent as protected parameters (encrypted, never returned
# by Azure) and reach the script on the VM in its environment, never on a command line. The VM runs
# deploy/vm/install.sh; deploy/cloud-init/ does the same at a VM's first boot.
#
# Exit status: 0 done, 1 a VM could not be changed, 2 wrong usage, 3 az is missing or fails.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
  sed -n '2,/^# Exit status/s/^# \{0,1\}//p' scripts/vm.sh
}
wrong() {
  printf 'vm.sh: %s\nvm.sh: see --help\n' "$*" >&2
  exit 2
}

part=${1:-}
case $part in
hub | worker | status) shift ;;
-h | --help | help)
  usage
  exit 0
  ;;
*) wrong "the first argument must be hub, worker or status" ;;
esac

vms=()
declare -A workers=()
binary_url='' sha256='' git_credentials='' subscription='' dry_run=no yes=no
listen='' tls_cert='' tls_key='' insecure='' store_env='' redis_env=''
hub_url='' token_env=GREENLOOP_HUB_TOKEN hub_ca=''

while [ $# -gt 0 ]; do
  flag=$1
  shift
  case $flag in
  --dry-run) dry_run=yes && continue ;;
  --yes) yes=yes && continue ;;
  --insecure-http) insecure=yes && continue ;;
  -h | --help)
    usage
    exit 0
    ;;
  esac
  [ $# -gt 0 ] || wrong "$flag needs a value"
  value=$1
  shift
  # az reads a value that begins with @ as a file name.
  case $value in @*) wrong "$flag: a value cannot begin with @" ;; esac
  case $part:$flag in
  *:--vm)
    [[ $value =~ ^[A-Za-z0-9._()-]+/[A-Za-z0-9._-]+$ ]] || wrong "--vm GROUP/NAME: $value"
    vms+=("$value")
    workers[$value]=''
    ;;
  *:--subscription) subscription=$value ;;
  hub:--binary-url | worker:--binary-url) binary_url=$value ;;
  hub:--sha256 | worker:--sha256)
    [[ $value =~ ^[0-9a-f]{64}$ ]] || wrong "--sha256 takes 64 hexadecimal digits"
    sha256=$value
    ;;
  hub:--git-credentials | worker:--git-credentials) git_credentials=$value ;;
  hub:--listen) listen=$value ;;
  hub:--tls-cert) tls_cert=$value ;;
  hub:--tls-key) tls_key=$value ;;
  hub:--store-env) store_env=$value ;;
  hub:--redis-env) redis_env=$value ;;
  worker:--hub-url)
    [[ $value =~ ^https?://[^[:space:]]+$ ]] || wrong "--hub-url takes http:// or https://: $value"
    hub_url=$value
    ;;
  worker:--token-env) token_env=$value ;;
  worker:--hub-ca) hub_ca=$value ;;
  worker:--worker)
    [ ${#vms[@]} -gt 0 ] || wrong "--worker belongs to the --vm before it: give --vm first"
    [[ $value =~ ^[a-z0-9][a-z0-9.-]*:[a-z0-9._-]+(,[a-z0-9._-]+)*(:[0-9]+)?$ ]] ||
      wrong "--worker INSTANCE:ROLE[,ROLE…][:SLOTS]: $value"
    workers[${vms[-1]}]+="${workers[${vms[-1]}]:+ }$value"
    ;;
  *) wrong "$part has no $flag" ;;
  esac
done

[ ${#vms[@]} -gt 0 ] || wrong "--vm GROUP/NAME is missing"
[ -z "$binary_url" ] || [ -n "$sha256" ] || wrong "--binary-url needs --sha256"
for file in "$git_credentials" "$tls_cert" "$tls_key" "$hub_ca"; do
  [ -z "$file" ] || [ -r "$file" ] || wrong "cannot read $file"
done
for name in "$store_env" "$redis_env"; do
  [ -z "$name" ] || [ -n "${!name:-}" ] || wrong "the variable $name is empty"
done
case $part in
hub)
  [ ${#vms[@]} -eq 1 ] || wrong "the hub runs on exactly one --vm"
  [ -n "$tls_cert" ] && [ -z "$tls_key" ] && wrong "--tls-cert needs --tls-key"
  [ -n "$tls_key" ] && [ -z "$tls_cert" ] && wrong "--tls-key needs --tls-cert"
  case $listen in
  '' | 127.* | localhost:* | '[::1]:'*) ;;
  *) [ -n "$tls_cert$insecure" ] || wrong "--listen $listen: give --tls-cert and --tls-key, or --insecure-http on a network you trust" ;;
  esac
  ;;
worker)
  [ -n "$hub_url" ] || wrong "--hub-url is missing"
  for vm in "${vms[@]}"; do
    [ -n "${workers[$vm]}" ] || wrong "$vm: --worker is missing"
  done
  ;;
esac

# The plan: public parameters with their values, secrets with their source.
parameters() { # VM: NAME=VALUE lines
  printf 'PART=%s\n' "$part"
  [ -z "$binary_url" ] || printf 'BINARY_SHA256=%s\n' "$sha256"
  case $part in
  hub)
    [ -z "$listen" ] || printf 'HUB_LISTEN=%s\n' "$listen"
    [ -z "$insecure" ] || printf 'HUB_INSECURE=yes\n'
    ;;
  worker)
    printf 'HUB_URL=%s\nWORKERS=%s\n' "$hub_url" "${workers[$1]}"
    ;;
  esac
}
secrets() { # NAME SOURCE lines
  # The URL of a download often contains a signature.
  [ -z "$binary_url" ] || echo "BINARY_URL --binary-url"
  [ -z "$git_credentials" ] || echo "GIT_CREDENTIALS $git_credentials"
  case $part in
  hub)
    [ -z "$tls_cert" ] || echo "TLS_CERT $tls_cert"
    [ -z "$tls_key" ] || echo "TLS_KEY $tls_key"
    [ -z "$store_env" ] || echo "STORE \$$store_env"
    [ -z "$redis_env" ] || echo "REDIS \$$redis_env"
    ;;
  worker)
    [ -z "${!token_env:-}" ] || echo "HUB_TOKEN \$$token_env"
    [ -z "$hub_ca" ] || echo "HUB_CA $hub_ca"
    ;;
  esac
}

if [ "$part" != status ]; then
  echo "Plan:"
  for vm in "${vms[@]}"; do
    echo "  $vm"
    parameters "$vm" | sed 's/^/    /'
    secrets | while read -r name source; do echo "    $name=(secret, from ${source%%\?*})"; done
  done
  if [ "$dry_run" = yes ]; then
    echo "Nothing was changed: --dry-run."
    exit 0
  fi
fi

for tool in az jq; do
  command -v "$tool" >/dev/null || {
    echo "vm.sh: $tool is missing" >&2
    exit 3
  }
done
az=(az)
common=(--only-show-errors)
[ -z "$subscription" ] || common+=(--subscription "$subscription")

if [ "$part" = status ]; then
  failed=0
  for vm in "${vms[@]}"; do
    echo "== $vm"
    # No secret is involved, so the older command, which leaves nothing on the VM, is enough.
    "${az[@]}" vm run-command invoke --resource-group "${vm%%/*}" --name "${vm#*/}" \
      --command-id RunShellScript \
      --scripts "/usr/local/bin/greenloop --version; systemctl list-units --all --plain --no-legend 'greenloop-*'; journalctl --no-pager -n 20 -u 'greenloop-*'" \
      --query 'value[0].message' --output tsv "${common[@]}" || failed=1
  done
  exit "$failed"
fi

if [ "$yes" != yes ]; then
  [ -t 0 ] || wrong "cannot ask for confirmation, stdin is not a terminal: give --yes (or --dry-run)"
  read -r -p "Apply this plan? [y/N] " answer
  case $answer in y | Y | yes) ;; *) echo "Nothing was changed." && exit 0 ;; esac
fi

umask 077
scratch=$(mktemp -d)
running=()
# shellcheck disable=SC2317 # the trap below calls it
finish() {
  # A script that stays on the VM could be run again; deleting it also ends a failed one.
  [ ${#running[@]} -eq 0 ] || "${az[@]}" vm run-command delete "${running[@]}" --yes --output none || true
  rm -rf "$scratch"
}
trap finish EXIT

# One script with everything: the units, the decoding of the secrets, install.sh.
{
  cat <<'END'
#!/usr/bin/env bash
set -euo pipefail
umask 077
UNITS=$(mktemp -d)
export UNITS
trap 'rm -rf "$UNITS"' EXIT
END
  for unit in deploy/systemd/*.service; do
    # shellcheck disable=SC2016 # the VM's $UNITS
    printf 'cat >"$UNITS/%s" <<"END_OF_UNIT"\n' "${unit##*/}"
    cat "$unit"
    echo END_OF_UNIT
  done
  cat <<'END'
for name in BINARY_URL GIT_CREDENTIALS TLS_CERT TLS_KEY STORE REDIS HUB_TOKEN HUB_CA; do
  encoded=${name}_B64
  [ -n "${!encoded:-}" ] || continue
  export "$name=$(printf %s "${!encoded}" | base64 -d)"
  unset "$encoded"
done
END
  cat deploy/vm/install.sh
} >"$scratch/script"

# Base64, so that no character of a secret needs quoting; in files, so that no secret is on a command
# line of this machine.
secrets | while read -r name source; do
  case $source in
  --binary-url) printf %s "$binary_url" ;;
  \$*)
    variable=${source#\$}
    printf %s "${!variable}"
    ;;
  *) cat "$source" ;;
  esac | base64 -w0 >"$scratch/$name"
done
protected=()
while read -r name _; do
  protected+=("${name}_B64=@$scratch/$name")
done < <(secrets)

failed=0
for vm in "${vms[@]}"; do
  group=${vm%%/*}
  name=${vm#*/}
  echo "== $vm"
  if ! location=$("${az[@]}" vm show --resource-group "$group" --name "$name" --query location --output tsv "${common[@]}"); then
    echo "vm.sh: could not read VM $vm: does it exist, and are you logged in (az login)?" >&2
    exit 3
  fi
  place=(--resource-group "$group" --vm-name "$name" --run-command-name "greenloop-$part" "${common[@]}")
  mapfile -t public < <(parameters "$vm")
  running=("${place[@]}")
  if ! "${az[@]}" vm run-command create "${place[@]}" --location "$location" \
    --script "@$scratch/script" --timeout-in-seconds 900 --async-execution false \
    --parameters "${public[@]}" ${protected[@]+--protected-parameters "${protected[@]}"} \
    --output none; then
    echo "vm.sh: $vm: Azure could not run the script: are the VM and its agent running?" >&2
    failed=1
  else
    # `create` succeeds if the script ran, whatever its exit code.
    view=$("${az[@]}" vm run-command show "${place[@]}" --instance-view --query instanceView --output json)
    jq -r '.output // "", .error // "" | select(. != "")' <<<"$view"
    code=$(jq -r '.exitCode // "unknown"' <<<"$view")
    if [ "$code" != 0 ]; then
      echo "vm.sh: $vm: the script failed with exit code $code ($(jq -r '.executionState // "unknown"' <<<"$view"))" >&2
      failed=1
    fi
  fi
  "${az[@]}" vm run-command delete "${place[@]}" --yes --output none || failed=1
  running=()
done
exit "$failed"
