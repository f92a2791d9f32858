#!/usr/bin/env bash
# Builds Greenloop from this checkout and installs it.
#
#   scripts/install.sh [FOLDER]     default: ~/.local/bin
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-$HOME/.local/bin}
for tool in cargo cc; do
  command -v "$tool" >/dev/null || {
    echo "install: $tool is missing: install a Rust toolchain (https://rustup.rs) and a C compiler (gcc)" >&2
    exit 1
  }
done

export LIBZ_SYS_STATIC=1
cargo build --release --locked --bin greenloop
mkdir -p "$folder"
# Renamed into place, so that a running greenloop is not disturbed.
install -m 755 target/release/greenloop "$folder/.greenloop.new"
mv -f "$folder/.greenloop.new" "$folder/greenloop"
"$folder/greenloop" --version
case ":$PATH:" in
*":$folder:"*) ;;
*) echo "add $folder to your PATH" ;;
esac
