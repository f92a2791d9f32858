#!/usr/bin/env bash
# Tests releases, install.sh, the Helm chart, the CI systems' files, the examples and the book.
#
#   scripts/test-distribution.sh [GREENLOOP] [TEST...]      default: target/debug/greenloop, all
#   scripts/test-distribution.sh --install                  only installs the packages
#
# Installs the Python packages of tests/distribution/requirements.txt into target/tools/python. Tests
# of a tool that is not there are skipped, and the end says which.
#
# Exit status: 3 the packages cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

python=target/tools/python
wanted=$(sha256sum tests/distribution/requirements.txt)
if [ "$(cat $python/installed 2>/dev/null)" != "$wanted" ]; then
  {
    python3 -m venv $python &&
      $python/bin/pip install --quiet --disable-pip-version-check \
        --requirement tests/distribution/requirements.txt
  } >&2 || {
    echo "the packages of tests/distribution/requirements.txt cannot be installed on this machine" >&2
    exit 3
  }
  echo "$wanted" >$python/installed
fi
node=target/tools/node
if [ "${1:-}" = --install ]; then
  if [ ! -x $node/node_modules/.bin/tfx ] && command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix $node tfx-cli@0.23.1 >&2 ||
      echo "tfx-cli cannot be installed: the packaging of the Azure DevOps task is not tested" >&2
  fi
  exit 0
fi
GREENLOOP=$(realpath "${1:-target/debug/greenloop}")
export GREENLOOP
shift || true
python=$PWD/$python/bin/python
cd tests/distribution
export PYTHONDONTWRITEBYTECODE=1
if [ $# -gt 0 ]; then
  exec "$python" -m unittest -v "$@"
fi
exec "$python" -m unittest discover -v
