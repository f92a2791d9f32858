#!/usr/bin/env bash
# Runs at the first boot of a VM of deploy/cloud-init/; run it again after a change of a secret or
# of the release in /etc/greenloop/place.env. It reads the secrets from the key vault with the VM's
# managed identity, then runs install.sh.
#
# No secret is in the user data, because every process on the VM can read it.
set -euo pipefail
umask 077

place=${PLACE:-/etc/greenloop/place.env}
metadata=${METADATA:-http://169.254.169.254}
here=$(cd "$(dirname "$0")" && pwd)

set -a
# shellcheck disable=SC1090 # settings of this machine
. "$place"
set +a

# The role assignment of a new VM may take minutes to become effective.
fetch() { # URL HEADER
  printf 'url = "%s"\nheader = "%s"\n' "$1" "$2" |
    curl --fail --silent --show-error --retry "${RETRIES:-20}" --retry-delay 15 \
      --retry-all-errors --max-time 30 --config -
}

if [ -n "${VAULT:-}" ]; then
  token=$(fetch "$metadata/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net" \
    "Metadata: true" | jq -er .access_token)
  # NAME_SECRET in place.env is the name of the vault secret for NAME.
  for name in BINARY_URL GIT_CREDENTIALS TLS_CERT TLS_KEY STORE REDIS HUB_TOKEN HUB_CA; do
    secret=${name}_SECRET
    [ -n "${!secret:-}" ] || continue
    value=$(fetch "${VAULT%/}/secrets/${!secret}?api-version=7.4" "Authorization: Bearer $token" |
      jq -er .value) || {
      echo "greenloop: could not read the secret ${!secret} from the key vault: does it exist, and may this VM's identity read it?" >&2
      exit 1
    }
    export "$name=$value"
  done
fi

"$here/install.sh"
