#!/usr/bin/env bash
# Installs Greenloop for the steps of this job (action.yml).
set -euo pipefail

if [ -z "${GREENLOOP_RELEASES:-}" ]; then
  command -v greenloop >/dev/null && exit 0
  echo "::error title=Greenloop::greenloop is not on this runner: give the action \`releases\`"
  exit 1
fi
folder=$RUNNER_TEMP/greenloop-${VERSION:-latest}
arguments=(--to "$folder")
[ -z "${VERSION:-}" ] || arguments+=(--version "$VERSION")
if ! said=$(sh "$(dirname "$0")/../../install.sh" "${arguments[@]}" 2>&1); then
  printf '%s\n' "$said"
  echo "::error title=Greenloop::$(printf '%s\n' "$said" | grep '^greenloop:' | tail -n 1 | tr -d '\r')"
  exit 1
fi
printf '%s\n' "$said"
echo "$folder" >>"$GITHUB_PATH"
