#!/usr/bin/env bash
# Builds one program so that the same sources give the same bytes, wherever they lie.
#
#   scripts/release/build.sh SOURCE BIN TARGET OUT [--twice]
#
# --twice builds a second time from a copy in another folder, and fails if the two differ.
# Needs SOURCE_DATE_EPOCH (seconds; the release sets it to the commit's time).
# CARGO_TARGET_DIR keeps what is compiled; --twice never reads it for its second build.
set -euo pipefail

die() { echo "build: $*" >&2; exit 1; }
[ $# -ge 4 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
source=$(realpath "$1") bin=$2 target=$3 out=$4 twice=${5:-}
: "${SOURCE_DATE_EPOCH:?build: SOURCE_DATE_EPOCH is not set}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Paths of this machine are replaced by fixed ones, in Rust and in the C dependencies.
compile() { # SOURCE, TARGET FOLDER
  local from=$1 folder=$2 cargo sysroot
  cargo=${CARGO_HOME:-$HOME/.cargo} sysroot=$(rustc --print sysroot)
  local flags="--remap-path-prefix=$from=/greenloop --remap-path-prefix=$folder=/target"
  flags+=" --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$sysroot=/rust"
  local c="-ffile-prefix-map=$from=/greenloop -ffile-prefix-map=$folder=/target -ffile-prefix-map=$cargo=/cargo"
  (
    cd "$from"
    export SOURCE_DATE_EPOCH CARGO_INCREMENTAL=0 LIBZ_SYS_STATIC=1 LC_ALL=C TZ=UTC
    export RUSTFLAGS="${RUSTFLAGS:-} $flags" CFLAGS="${CFLAGS:-} $c" CXXFLAGS="${CXXFLAGS:-} $c"
    CARGO_TARGET_DIR=$folder cargo build --quiet --release --locked --bin "$bin" --target "$target"
  )
}

first=${CARGO_TARGET_DIR:-$scratch/first}
compile "$source" "$first"
install -m 755 "$first/$target/release/$bin" "$out"
if [ "$twice" = --twice ]; then
  mkdir -p "$scratch/elsewhere/copy"
  # Without what was compiled in the folder itself.
  tar -C "$source" --exclude=./target --exclude=./.git -c . | tar -C "$scratch/elsewhere/copy" -x
  compile "$scratch/elsewhere/copy" "$scratch/second"
  if ! cmp "$out" "$scratch/second/$target/release/$bin"; then
    die "$bin for $target is not reproducible: two builds of the same sources differ"
  fi
  echo "build: reproducible: two builds of $bin for $target in different folders have the same bytes" >&2
fi
