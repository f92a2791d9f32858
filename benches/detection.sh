#!/usr/bin/env bash
# How long each kind of broken release takes to be found, beside `kubectl rollout status`, and how
# long after its last needed event a success is told. Both against the API server on the wire of
# tests/kube, whose clock for restarts, back-offs and probes runs ten times as fast.
set -euo pipefail
cd "$(dirname "$0")/.."
export LIBZ_SYS_STATIC=1
cargo test --quiet --test kube -- --ignored --nocapture --test-threads=1 detection:: |
  grep -E '^\||^success lag'
