#!/usr/bin/env bash
# Measures how long the detection of each kind of broken release takes, compared with
# `kubectl rollout status`, and how long after the last event that it needs a success is reported. Both
# use the simulated API server of tests/kube, whose clock for restarts, back-offs and probes runs ten
# times as fast as a real one.
set -euo pipefail
cd "$(dirname "$0")/.."
export LIBZ_SYS_STATIC=1
cargo test --quiet --test kube -- --ignored --nocapture --test-threads=1 detection:: |
  grep -E '^\||^success lag'
