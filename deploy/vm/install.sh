#!/usr/bin/env bash
# Installs or updates a hub or workers on this machine (systemd). Run it as root, repeatedly if
# needed: it changes and restarts only what differs.
#
#   PART=hub|worker [NAME=VALUE…] deploy/vm/install.sh
#
# All values are environment variables, because every user of the machine can read arguments. A
# variable that is not set keeps the value of an earlier run.
#
#   BINARY_URL, BINARY_SHA256   download of greenloop; default: it is installed already
#   GIT_CREDENTIALS             lines of https://USER:TOKEN@HOST, for git
#   PART=hub
#     HUB_LISTEN                ADDR:PORT (default: 127.0.0.1:7474, this machine only)
#     HUB_INSECURE              yes: plain HTTP for other machines
#     TLS_CERT, TLS_KEY         certificate and key, PEM
#     STORE, REDIS              URLs with passwords (default store: SQLite in the hub's folder)
#   PART=worker
#     HUB_URL, HUB_TOKEN
#     WORKERS                   INSTANCE:ROLE[,ROLE…][:SLOTS], separated by spaces; other
#                               workers of this machine drain and are removed
#     HUB_CA                    CA of the hub's certificate, PEM
#
# ROOT: prefix of all paths (tests).
set -euo pipefail
umask 077

root=${ROOT:-}
etc=$root/etc/greenloop
system=$root/etc/systemd/system
binary=$root/usr/local/bin/greenloop
units=${UNITS:-$(cd "$(dirname "$0")/../systemd" && pwd)}
changed=no

say() { printf 'greenloop: %s\n' "$*"; }
die() {
  printf 'greenloop: %s\n' "$*" >&2
  exit 1
}

# Writes a new file and renames it, so that no reader sees half of it. Never use it at the end of a
# pipe: the variable that it sets would be lost with the subshell.
place() { # FILE MODE, contents on stdin
  cat >"$1.new"
  chmod "$2" "$1.new"
  if cmp -s "$1.new" "$1"; then
    rm -f "$1.new"
  else
    mv -f "$1.new" "$1"
    changed=yes
    say "wrote ${1#"$root"}"
  fi
}

# One setting of an EnvironmentFile; an empty value keeps the existing one.
setting() { # FILE NAME VALUE
  local file=$1 name=$2 value=$3
  [ -n "$value" ] || return 0
  case $value in *"'"* | *$'\n'*) die "$name must not contain a quote or a line break" ;; esac
  if grep -qxF "$name='$value'" <(cat "$file" 2>/dev/null || true); then return 0; fi
  place "$file" 600 < <(
    grep -v "^$name=" "$file" 2>/dev/null || true
    printf "%s='%s'\n" "$name" "$value"
  )
}

# A secret that a unit loads as a credential: the file must exist, even if empty.
secret() { # FILE VALUE
  if [ -n "$2" ]; then
    place "$1" 600 < <(printf '%s\n' "$2")
  elif [ ! -e "$1" ]; then
    place "$1" 600 </dev/null
  fi
}

packages() {
  local need=()
  command -v git >/dev/null || need+=(git)
  command -v curl >/dev/null || need+=(curl)
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
    need+=(ca-certificates)
  [ ${#need[@]} -gt 0 ] || return 0
  say "installing ${need[*]}"
  if command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}"
  elif command -v dnf >/dev/null; then
    dnf install -y -q "${need[@]}"
  else
    die "install ${need[*]} first"
  fi
}

sum() { sha256sum "$1" | cut -d' ' -f1; }

program() {
  local url=${BINARY_URL:-} want=${BINARY_SHA256:-}
  if [ -z "$url" ]; then
    [ -x "$binary" ] || die "${binary#"$root"} is missing: set BINARY_URL"
    return 0
  fi
  [ ${#want} -eq 64 ] || die "BINARY_SHA256 must be 64 hexadecimal digits"
  if [ -x "$binary" ] && [ "$(sum "$binary")" = "$want" ]; then return 0; fi
  say "downloading greenloop"
  [ -d "${binary%/*}" ] || install -d -m 755 "${binary%/*}"
  # A URL with a signature is a secret: curl reads it from a pipe.
  printf 'url = "%s"\n' "$url" |
    curl --fail --silent --show-error --location --retry 5 --retry-all-errors \
      --proto '=https,http,file' --output "$binary.new" --config -
  local got
  got=$(sum "$binary.new")
  if [ "$got" != "$want" ]; then
    rm -f "$binary.new"
    die "the download has SHA-256 $got, expected $want: nothing was changed"
  fi
  chmod 755 "$binary.new"
  mv -f "$binary.new" "$binary"
  changed=yes
  say "installed $("$binary" --version)"
}

unit() { # NAME
  place "$system/$1" 644 <"$units/$1"
}

hub() {
  unit greenloop-hub.service
  local credentials=/run/credentials/greenloop-hub.service options=
  secret "$etc/tls.crt" "${TLS_CERT:-}"
  secret "$etc/tls.key" "${TLS_KEY:-}"
  [ -z "${HUB_LISTEN:-}" ] || options="--listen $HUB_LISTEN"
  if [ -s "$etc/tls.crt" ] && [ -s "$etc/tls.key" ]; then
    options+=" --tls-cert $credentials/tls.crt --tls-key $credentials/tls.key"
  elif [ "${HUB_INSECURE:-}" = yes ]; then
    options+=" --insecure-http"
  fi
  # Without an address, the options of an earlier run stay.
  if [ -n "${HUB_LISTEN:-}" ]; then
    setting "$etc/hub.env" GREENLOOP_HUB_OPTIONS "$options"
  fi
  setting "$etc/hub.env" GREENLOOP_STORE "${STORE:-}"
  setting "$etc/hub.env" GREENLOOP_REDIS "${REDIS:-}"
  grep -q '^GREENLOOP_STORE=' "$etc/hub.env" 2>/dev/null ||
    setting "$etc/hub.env" GREENLOOP_STORE "sqlite:///var/lib/greenloop-hub/hub.db"
  # Tokens are created in the hub's store, as the hub's user.
  [ -d "$root/usr/local/sbin" ] || install -d -m 755 "$root/usr/local/sbin"
  place "$root/usr/local/sbin/greenloop-hub-token" 755 <<'END'
#!/bin/sh
# greenloop-hub-token create|list|revoke …: tokens of the hub on this machine.
exec systemd-run --quiet --pipe --wait --collect --property=DynamicUser=yes \
  --property=User=greenloop-hub --property=StateDirectory=greenloop-hub \
  --property=EnvironmentFile=/etc/greenloop/hub.env --property=UMask=0077 \
  /usr/local/bin/greenloop hub token "$@"
END
  systemctl daemon-reload
  systemctl enable --quiet greenloop-hub.service
  if [ "$changed" = yes ] || ! systemctl is-active --quiet greenloop-hub.service; then
    systemctl restart greenloop-hub.service
    say "restarted greenloop-hub"
  else
    say "greenloop-hub is up to date"
  fi
}

workers() {
  local all=$changed entry instance roles slots
  changed=no
  unit greenloop-worker@.service
  [ -z "${HUB_CA:-}" ] || {
    install -d -m 755 "$root/usr/local/share/greenloop"
    # In addition to the system's CAs, which git needs.
    place "$root/usr/local/share/greenloop/ca.crt" 644 < <(
      cat /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt 2>/dev/null || true
      printf '%s\n' "$HUB_CA"
    )
    setting "$etc/worker.env" SSL_CERT_FILE /usr/local/share/greenloop/ca.crt
  }
  setting "$etc/worker.env" GREENLOOP_HUB_URL "${HUB_URL:-}"
  setting "$etc/worker.env" GREENLOOP_HUB_TOKEN "${HUB_TOKEN:-}"
  grep -q '^GREENLOOP_HUB_TOKEN=' "$etc/worker.env" 2>/dev/null ||
    die "HUB_TOKEN is not set, and ${etc#"$root"}/worker.env has none"
  [ "$changed" = no ] || all=yes

  local wanted=" "
  for entry in ${WORKERS:-}; do
    [[ $entry =~ ^[a-z0-9][a-z0-9.-]*:[a-z0-9._-]+(,[a-z0-9._-]+)*(:[0-9]+)?$ ]] ||
      die "WORKERS takes INSTANCE:ROLE[,ROLE…][:SLOTS]: $entry"
    IFS=: read -r instance roles slots <<<"$entry"
    wanted+="$instance "
    changed=no
    setting "$etc/worker-$instance.env" GREENLOOP_WORKER_OPTIONS \
      "--role ${roles//,/ } --slots ${slots:-1}"
    systemctl daemon-reload
    systemctl enable --quiet "greenloop-worker@$instance.service"
    if [ "$all" = yes ] || [ "$changed" = yes ] ||
      ! systemctl is-active --quiet "greenloop-worker@$instance.service"; then
      # Its tasks may run for minutes before it stops: do not wait.
      systemctl restart --no-block "greenloop-worker@$instance.service"
      say "greenloop-worker@$instance restarts when its tasks have ended"
    else
      say "greenloop-worker@$instance is up to date"
    fi
  done
  [ "$wanted" != " " ] || return 0
  local file
  for file in "$etc"/worker-*.env; do
    [ -e "$file" ] || continue
    instance=${file##*/worker-}
    instance=${instance%.env}
    case $wanted in *" $instance "*) continue ;; esac
    systemctl disable --quiet "greenloop-worker@$instance.service"
    systemctl stop --no-block "greenloop-worker@$instance.service"
    rm -f "$file"
    say "greenloop-worker@$instance drains and is removed"
  done
}

[ -n "$root" ] || [ "$(id -u)" -eq 0 ] || die "run it as root"
mkdir -p "$etc"
[ -d "$system" ] || install -d -m 755 "$system"
case ${PART:-} in
hub | worker) ;;
*) die "PART must be hub or worker" ;;
esac
packages
program
secret "$etc/git-credentials" "${GIT_CREDENTIALS:-}"
case $PART in
hub) hub ;;
worker) workers ;;
esac
