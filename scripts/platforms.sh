#!/usr/bin/env bash
# Checks that Greenloop compiles for the other systems it supports, as far as this machine has what
# that takes: Rust's standard library for the target (rustup target add TARGET) and a C compiler
# for it (macOS: `pip install ziglang cargo-zigbuild`). Nothing is run there.
set -euo pipefail
cd "$(dirname "$0")/.."

checked=0
skip() { echo "skipped: $1: $2"; }
installed() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1" ]; }

for target in x86_64-apple-darwin aarch64-apple-darwin; do
  if ! installed "$target"; then
    skip "$target" "rustup target add $target"
  elif ! command -v cargo-zigbuild >/dev/null; then
    skip "$target" "pip install ziglang cargo-zigbuild"
  else
    echo "$target: the whole program"
    cargo-zigbuild check --locked --workspace --lib --bins --target "$target"
    checked=$((checked + 1))
  fi
done

target=x86_64-pc-windows-gnu
if ! installed "$target"; then
  skip "$target" "rustup target add $target"
elif ! command -v x86_64-w64-mingw32-gcc >/dev/null; then
  skip "$target" "needs mingw-w64"
else
  echo "$target: the libraries for logs, patches and policy"
  AWS_LC_SYS_PREBUILT_NASM=1 cargo check --locked --target "$target" \
    --package greenloop-evidence --package greenloop-patch --package greenloop-policy
  checked=$((checked + 1))
fi
echo "$checked targets checked"
