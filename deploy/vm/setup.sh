#!/usr/bin/env bash
# What a VM of deploy/cloud-init/ does at its first start, and whenever somebody runs it again
# (after a secret or the release in /etc/greenloop/place.env has changed): takes its secrets from
# the key vault as the VM's own managed identity, then runs install.sh.
#
# A VM's user data can be read by whatever runs on it, so no secret stands there.
set -euo pipefail
umask 077

place=${PLACE:-/etc/greenloop/place.env}
metadata=${METADATA:-http://169.254.169.254}
here=$(cd "$(dirname "$0")" && pwd)

set -a
# shellcheck disable=SC1090 # settings of this machine
. "$place"
set +a

# A new VM's right to the vault may take minutes to arrive.
fetch() { # URL HEADER
  printf 'url = "%s"\nheader = "%s"\n' "$1" "$2" |
    curl --fail --silent --show-error --retry "${RETRIES:-20}" --retry-delay 15 \
      --retry-all-errors --max-time 30 --config -
}

if [ -n "${VAULT:-}" ]; then
  token=$(fetch "$metadata/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net" \
    "Metadata: true" | jq -er .access_token)
  # NAME_SECRET in place.env names the vault's secret for NAME.
  for name in BINARY_URL GIT_CREDENTIALS TLS_CERT TLS_KEY STORE REDIS HUB_TOKEN HUB_CA; do
    secret=${name}_SECRET
    [ -n "${!secret:-}" ] || continue
    value=$(fetch "${VAULT%/}/secrets/${!secret}?api-version=7.4" "Authorization: Bearer $token" |
      jq -er .value) || {
      echo "greenloop: the vault does not give ${!secret}: is it there, and may this VM's identity read it?" >&2
      exit 1
    }
    export "$name=$value"
  done
fi

"$here/install.sh"
