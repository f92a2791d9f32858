#!/usr/bin/env bash
# Runs every check on a fresh Debian machine with a Rust toolchain. Installs packages by name, and
# stops everything that it starts.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

# Without this, libz-sys links the system's zlib if there is one.
export LIBZ_SYS_STATIC=1
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
# Results must not depend on the user's environment: no model, no pipeline, no git configuration.
unset OPENAI_API_KEY OPENAI_BASE_URL GREENLOOP_MODEL GREENLOOP_CONFIG TF_BUILD
unset GREENLOOP_HUB_URL GREENLOOP_HUB_TOKEN GREENLOOP_STORE GREENLOOP_REDIS

need=()
command -v git >/dev/null || need+=(git)
command -v cc >/dev/null || need+=(gcc libc6-dev)
command -v curl >/dev/null || need+=(curl)
# Level A of the sandbox is tested where the machine allows user namespaces.
command -v bwrap >/dev/null || need+=(bubblewrap)
command -v python3 >/dev/null || need+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || need+=(python3-venv)
# Kinds of signatures that releases can have.
command -v ssh-keygen >/dev/null || need+=(openssh-client)
command -v minisign >/dev/null || need+=(minisign)
command -v dockerd >/dev/null || need+=(docker.io)
command -v docker-registry >/dev/null || need+=(docker-registry)
command -v iptables >/dev/null || need+=(iptables)
command -v ip >/dev/null || need+=(iproute2)
command -v jq >/dev/null || need+=(jq)
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || need+=(postgresql)
command -v redis-server >/dev/null || need+=(redis-server)
command -v openssl >/dev/null || need+=(openssl)
# The dashboard is tested in a real browser.
command -v chromium >/dev/null || need+=(chromium)
command -v chromedriver >/dev/null || need+=(chromium-driver)
command -v node >/dev/null || need+=(nodejs)
# Workers are tested with wrong clocks.
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || need+=(faketime)
command -v shellcheck >/dev/null || need+=(shellcheck)
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null || need+=(docker-compose)
# Base images are built from a static program, because tests cannot pull images.
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || need+=(busybox-static)
sudo=''
[ "$(id -u)" -eq 0 ] || sudo=sudo
if [ ${#need[@]} -gt 0 ]; then
  step "install ${need[*]}"
  # Only the programs are needed: prevent installed services from starting.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
    $sudo chmod 755 $policy
    trap '$sudo rm -f $policy' EXIT
  fi
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${need[@]}"
  [ -z "$(trap -p EXIT)" ] || { $sudo rm -f $policy; trap - EXIT; }
fi

step "format"
cargo fmt --all --check

# The first time, cargo compiles about 500 crates.
step "clippy (the first build takes minutes: several on two quiet cores, far more on busy ones)"
cargo clippy --locked --workspace --all-targets -- -D warnings

# Advisories need the internet: `just deny` checks them.
step "licences, sources and unused dependencies"
export PATH="$PATH:$PWD/target/tools/bin"
for tool in cargo-deny@0.20.2 cargo-machete@0.9.2; do
  command -v "${tool%@*}" >/dev/null ||
    cargo install --quiet --locked --debug --root target/tools "$tool"
done
cargo deny --locked check bans licenses sources
cargo machete

# Without dev-dependencies, because a feature that only they enable would be missing in a build.
step "the program alone"
cargo check --locked

step "build the tests"
nextest=false
if cargo nextest --version >/dev/null 2>&1; then
  nextest=true
  cargo nextest run --locked --workspace --no-run
else
  cargo test --locked --workspace --no-run
fi

step "start a Docker Engine, a registry, PostgreSQL and Redis"
# A short path, because socket paths are limited in length.
scratch=$(mktemp -d /tmp/gl.XXXXXX)
# PostgreSQL runs as another user, who must be able to enter.
chmod 711 "$scratch"
finish() {
  $sudo ./scripts/services.sh stop "$scratch/services" || true
  $sudo rm -rf "$scratch"
}
trap finish EXIT
# What an engine could remove of another one: bridges, packet filters, mounts.
machine() {
  ip -o link | sed 's/ state .*//' || true
  $sudo iptables-save 2>/dev/null | sed '/^#/d; s/\[[0-9:]*\]//' || true
  findmnt --raw --noheadings --output TARGET || true
}
machine >"$scratch/machine"
$sudo ./scripts/services.sh start "$scratch/services"

# In the servers' namespaces: all dependencies have already been fetched.
among_services() {
  local enter=()
  [ -z "$sudo" ] || enter=(sudo --preserve-env env PATH="$PATH" HOME="$HOME")
  TMPDIR=$scratch/t CARGO_NET_OFFLINE=true \
    ${enter[@]+"${enter[@]}"} ./scripts/services.sh run "$scratch/services" "$@"
}
mkdir "$scratch/t"

if [ "$(id -u)" -ne 0 ]; then
  echo "skipped: network partitions and second engines need root"
  export GREENLOOP_TEST_NAMESPACES=skip
fi

step "tests"
if [ "$nextest" = true ]; then
  progress=none
  [ ! -t 2 ] || progress=bar
  among_services cargo nextest run --locked --workspace --no-fail-fast --show-progress "$progress" \
    --status-level slow --final-status-level fail
else
  among_services cargo test --locked --workspace --quiet
fi

# nextest does not run these.
step "examples in the documentation"
cargo test --locked --workspace --doc --quiet

step "an engine whose disk is full"
if [ "$(id -u)" -eq 0 ]; then
  among_services cargo test --locked --quiet --workspace --lib -- --ignored an_engine_whose_disk_is_full
else
  echo "skipped: an engine on a small separate disk needs root"
fi

step "what the tests leave behind"
left=$(find "$scratch/t" -mindepth 1 -maxdepth 1)
if [ -n "$left" ]; then
  printf 'left in the temporary folder:\n%s\n' "$left" >&2
  exit 1
fi
machine | diff -u "$scratch/machine" - || {
  echo "the tests changed this machine's links, packet filters or mounts" >&2
  exit 1
}

step "generated files"
bin=target/debug/greenloop
"$bin" config schema >"$scratch/config.schema.json"
diff -u docs/config.schema.json "$scratch/config.schema.json" || {
  echo "docs/config.schema.json is out of date: just generate" >&2
  exit 1
}
"$bin" config check

step "the API against its description"
./scripts/schemathesis.sh --seconds 20 "$bin" || [ $? -eq 3 ]

step "releases, install.sh, chart, pipelines, examples and book"
# Packages come from outside the services' namespaces.
if ./scripts/test-distribution.sh --install; then
  among_services ./scripts/test-distribution.sh "$bin"
else
  [ $? -eq 3 ]
fi

step "a release of this program, without its build"
version=$("$bin" --version)
./scripts/release.sh "${version#greenloop }" --dry-run --program "$bin" --out "$scratch/dist"
tar -xzOf "$scratch/dist/"*.tar.gz --wildcards '*/greenloop' | cmp "$bin" -

step "demo"
./scripts/demo-check.sh "$bin"

step "heal the public repair cases (skipped where they are not present)"
python3 scripts/heal-corpus.py --greenloop "$bin"

step "patches that fake a pass, and honest ones (every fourth; all of them: scripts/false-green.sh)"
./scripts/false-green.sh --greenloop "$bin" --every 4

echo
echo "all checks passed"
