#!/usr/bin/env bash
# Every check, on a fresh Debian machine with a Rust toolchain. Installs what it needs by
# package name, starts nothing that it does not stop.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# libz-sys would otherwise link the system's zlib where there is one: no unusual shared library.
export LIBZ_SYS_STATIC=1
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
# A run must not depend on who runs it: no model, no pipeline, no configuration of git.
unset OPENAI_API_KEY OPENAI_BASE_URL GREENLOOP_MODEL GREENLOOP_CONFIG TF_BUILD

need=()
command -v git >/dev/null || need+=(git)
command -v cc >/dev/null || need+=(gcc libc6-dev)
command -v curl >/dev/null || need+=(curl)
command -v python3 >/dev/null || need+=(python3)
if [ ${#need[@]} -gt 0 ]; then
  step "install ${need[*]}"
  sudo=''
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo apt-get install -y -qq --no-install-recommends "${need[@]}"
fi

step "format"
cargo fmt --check

step "clippy"
cargo clippy --locked --all-targets --quiet -- -D warnings

step "build"
cargo build --locked --quiet

step "tests"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run --locked --no-fail-fast --show-progress none --status-level slow --final-status-level fail
else
  cargo test --locked --quiet
fi

step "generated files"
bin=target/debug/greenloop
generated=$(mktemp -d)
trap 'rm -rf "$generated"' EXIT
"$bin" config schema >"$generated/config.schema.json"
diff -u docs/config.schema.json "$generated/config.schema.json" || {
  echo "docs/config.schema.json is out of date: just generate" >&2
  exit 1
}
"$bin" config check

step "demo"
./scripts/demo-check.sh "$bin"

step "heal the public repair cases (skipped where they are not present)"
python3 scripts/heal-corpus.py --greenloop "$bin"

echo
echo "all checks passed"
