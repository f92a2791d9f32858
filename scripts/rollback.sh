#!/usr/bin/env bash
# Lets the last verified release serve again, and says what serves afterwards.
#
#   scripts/rollback.sh ENVIRONMENT [RELEASE]
#
# RELEASE   an id that `greenloop status` lists; default: the verified one before what serves
#
# Exit status: greenloop's own (0 rolled back and verified, see `greenloop rollback --help`).
set -euo pipefail

environment=${1:-}
release=${2:-}
if [ -z "$environment" ]; then
  sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi

outcome=0
greenloop rollback --environment "$environment" ${release:+--to-release "$release"} || outcome=$?
echo
greenloop status --environment "$environment" || true
exit "$outcome"
