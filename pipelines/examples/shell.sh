#!/bin/sh
# Any other CI system, or cron: install a release, run, keep the records.
#
#   RELEASES=URL ENVIRONMENT=staging sh shell.sh
#
# PUBLIC_KEY: who signs the releases. RECORDS: a folder that keeps the runs' records.
set -eu

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
if command -v curl >/dev/null 2>&1; then
  curl --fail --silent --show-error --location -o "$bin/install.sh" "$RELEASES/latest/download/install.sh"
else
  wget --quiet -O "$bin/install.sh" "$RELEASES/latest/download/install.sh"
fi
sh "$bin/install.sh" --to "$bin" --from "$RELEASES" ${PUBLIC_KEY:+--key "$PUBLIC_KEY"}

code=0
"$bin/greenloop" run --environment "$ENVIRONMENT" --output plain || code=$?
if [ -n "${RECORDS:-}" ] && [ -d logs/runs ]; then
  mkdir -p "$RECORDS"
  cp -R logs/runs/. "$RECORDS/"
fi
case $code in
0) echo "verified" ;;
4) echo "the deployment failed; the last verified release serves again" >&2 ;;
5) echo "another run holds $ENVIRONMENT: try again later" >&2 ;;
*) echo "greenloop ended with exit code $code: see logs/runs/*/summary.md" >&2 ;;
esac
exit "$code"
