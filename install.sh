#!/bin/sh
# Installs a release of Greenloop: downloads it, verifies checksum and signature, puts it on the PATH.
#
#   sh install.sh [--version VERSION] [--to FOLDER] [--from URL] [--key PUBLIC_KEY]
#
#   --version   default: the latest release
#   --to        default: /usr/local/bin as root, otherwise ~/.local/bin
#   --from      where releases lie (GREENLOOP_RELEASES): URL/download/vVERSION/FILE and
#               URL/latest/download/FILE, as on GitHub
#   --key       who signs them (GREENLOOP_PUBLIC_KEY): `ssh-ed25519 AAAA…`, a minisign key `RW…`, or
#               base64 of an Ed25519 public key in DER. With a key, an unsigned release is refused
#
# Linux on x86_64 and aarch64. Changes nothing but the one file FOLDER/greenloop.
set -eu

RELEASES=${GREENLOOP_RELEASES:-}
PUBLIC_KEY=${GREENLOOP_PUBLIC_KEY:-}

die() {
  printf 'greenloop: %s\n' "$*" >&2
  exit 1
}

# All in functions: a script that was cut off in a pipe does nothing.
fetch() { # URL FILE
  if command -v curl >/dev/null 2>&1; then
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$2" "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget --quiet --tries=3 --timeout=60 --output-document="$2" "$1"
  else
    die "curl or wget is needed to download $1"
  fi
}

platform() {
  [ "$(uname -s)" = Linux ] ||
    die "there is no release for $(uname -s): Greenloop runs on Linux (on Windows in WSL)"
  case $(uname -m) in
  x86_64 | amd64) echo x86_64 ;;
  aarch64 | arm64) echo aarch64 ;;
  *) die "there is no release for $(uname -m): x86_64 and aarch64 are built" ;;
  esac
}

needs() { # TOOL PACKAGE
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing, which verifies the signature (Debian: $2)"
}

# Verifies the signature of SHA256SUMS.
verify() { # FOLDER
  case $PUBLIC_KEY in
  ssh-* | ecdsa-* | sk-*)
    needs ssh-keygen openssh-client
    fetch "$base/SHA256SUMS.sig" "$1/SHA256SUMS.sig" || die "the release is not signed: $base/SHA256SUMS.sig"
    printf 'greenloop %s\n' "$PUBLIC_KEY" >"$1/signers"
    ssh-keygen -q -Y verify -f "$1/signers" -I greenloop -n greenloop-release \
      -s "$1/SHA256SUMS.sig" <"$1/SHA256SUMS" >/dev/null || die "$base/SHA256SUMS: the signature is not by the given key"
    ;;
  RW*)
    needs minisign minisign
    fetch "$base/SHA256SUMS.minisig" "$1/SHA256SUMS.minisig" || die "the release is not signed: $base/SHA256SUMS.minisig"
    minisign -Vq -P "$PUBLIC_KEY" -m "$1/SHA256SUMS" >/dev/null || die "$base/SHA256SUMS: the signature is not by the given key"
    ;;
  *)
    needs openssl openssl
    fetch "$base/SHA256SUMS.ed25519" "$1/SHA256SUMS.ed25519" || die "the release is not signed: $base/SHA256SUMS.ed25519"
    printf '%s' "$PUBLIC_KEY" | openssl base64 -d -A >"$1/key.der"
    openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey "$1/key.der" -in "$1/SHA256SUMS" \
      -sigfile "$1/SHA256SUMS.ed25519" >/dev/null 2>&1 || die "$base/SHA256SUMS: the signature is not by the given key"
    ;;
  esac
}

main() {
  version='' to=''
  while [ $# -gt 0 ]; do
    case $1 in
    --version | --to | --from | --key)
      [ $# -gt 1 ] || die "$1 needs a value"
      case $1 in
      --version) version=${2#v} ;;
      --to) to=$2 ;;
      --from) RELEASES=$2 ;;
      --key) PUBLIC_KEY=$2 ;;
      esac
      shift
      ;;
    *) die "unknown argument $1: --version, --to, --from and --key are known" ;;
    esac
    shift
  done
  [ -n "$RELEASES" ] || die "where do releases lie? --from URL or GREENLOOP_RELEASES"
  machine=$(platform)
  if [ -z "$to" ]; then
    if [ "$(id -u)" -eq 0 ]; then to=/usr/local/bin; else to=$HOME/.local/bin; fi
  fi
  base=${RELEASES%/}/latest/download
  [ -z "$version" ] || base=${RELEASES%/}/download/v$version
  # The scratch folder is removed, and a download that failed leaves nothing.
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  trap 'exit 130' INT TERM

  fetch "$base/SHA256SUMS" "$scratch/SHA256SUMS" || die "could not download $base/SHA256SUMS"
  if [ -n "$PUBLIC_KEY" ]; then
    verify "$scratch"
  else
    echo "greenloop: the signature is not verified: --key says whose it must be" >&2
  fi
  # A static program is preferred; the other one needs this machine's C library.
  archive=''
  for libc in musl gnu; do
    found=$(sed -n "s/^[0-9a-f]\{64\} [ *]\(greenloop-[0-9][0-9A-Za-z.-]*-$machine-unknown-linux-$libc\.tar\.gz\)\$/\1/p" "$scratch/SHA256SUMS")
    if [ -z "$archive" ] && [ -n "$found" ]; then archive=$(printf '%s\n' "$found" | head -n 1); fi
  done
  [ -n "$archive" ] || die "the release at $base has no program for $machine"
  fetch "$base/$archive" "$scratch/$archive" || die "could not download $base/$archive"
  grep -F " $archive" "$scratch/SHA256SUMS" >"$scratch/sum"
  (cd "$scratch" && sha256sum -c sum >/dev/null 2>&1) ||
    die "$base/$archive: the checksum is wrong: it was not downloaded whole, or was changed. Nothing was installed"

  folder=${archive%.tar.gz}
  tar -xzf "$scratch/$archive" -C "$scratch" "$folder/greenloop"
  "$scratch/$folder/greenloop" --version >/dev/null 2>&1 ||
    die "$archive does not run on this machine: $("$scratch/$folder/greenloop" --version 2>&1 | head -n 1)"
  mkdir -p "$to" || die "$to cannot be created: choose a folder with --to"
  # Renamed into place, so that a running greenloop is not disturbed.
  cp "$scratch/$folder/greenloop" "$to/.greenloop.new" || die "$to cannot be written to: choose a folder with --to"
  chmod 755 "$to/.greenloop.new"
  mv -f "$to/.greenloop.new" "$to/greenloop"
  echo "$("$to/greenloop" --version) is installed as $to/greenloop"
  case ":$PATH:" in
  *":$to:"*) ;;
  *) echo "add $to to your PATH" ;;
  esac
}

main "$@"
