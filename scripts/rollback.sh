#!/usr/bin/env bash
# Rolls back to the previous verified release, and prints what serves afterwards.
#
#   scripts/rollback.sh ENVIRONMENT [RELEASE]
#
# RELEASE   an id from `greenloop status`; default: the verified release before the serving one
#
# Exit status: that of greenloop (0: rolled back and verified).
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
