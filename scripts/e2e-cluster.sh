#!/usr/bin/env bash
# Runs the Kubernetes scenarios (tests/kube) against a real cluster. Each creates a namespace and
# deletes it.
#
#   KUBECONFIG                the cluster; default: a new kind cluster, if kind is installed
#   GREENLOOP_TEST_REGISTRY   a registry that the nodes can reach, `registry.example.com:5000`
#   GREENLOOP_TEST_IMAGE      an image with a static busybox (sh, httpd) that the nodes can pull
#
#   scripts/e2e-cluster.sh [FILTER...]     only scenarios whose names contain one of these words
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\033[1m== %s\033[0m\n' "$*" >&2; }
fail() {
  printf 'e2e-cluster: %s\n' "$*" >&2
  exit 1
}

made=''
work=$(mktemp -d)
clean_up() {
  [ -z "$made" ] || kind delete cluster --name "$made" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap clean_up EXIT

if [ -z "${KUBECONFIG:-}" ]; then
  command -v kind >/dev/null || fail 'set KUBECONFIG to a cluster, or install kind (https://kind.sigs.k8s.io)'
  command -v docker >/dev/null || fail 'kind needs docker'
  made="greenloop-$$"
  export KUBECONFIG="$work/kubeconfig"
  say "create the kind cluster $made"
  kind create cluster --name "$made" --kubeconfig "$KUBECONFIG" --wait 120s
  if [ -z "${GREENLOOP_TEST_IMAGE:-}" ]; then
    say 'load busybox into it'
    GREENLOOP_TEST_IMAGE=greenloop-test/busybox:1
    docker pull --quiet busybox:stable-musl >/dev/null
    docker tag busybox:stable-musl "$GREENLOOP_TEST_IMAGE"
    kind load docker-image --name "$made" "$GREENLOOP_TEST_IMAGE"
  fi
  # Nothing is pushed to it: it is only queried for images that do not exist.
  : "${GREENLOOP_TEST_REGISTRY:=registry.k8s.io}"
fi
[ -r "${KUBECONFIG%%:*}" ] || fail "cannot read $KUBECONFIG"
[ -n "${GREENLOOP_TEST_IMAGE:-}" ] || fail 'set GREENLOOP_TEST_IMAGE to an image with busybox that the nodes can pull'
[ -n "${GREENLOOP_TEST_REGISTRY:-}" ] || fail 'set GREENLOOP_TEST_REGISTRY to a registry that the nodes can reach'
export KUBECONFIG GREENLOOP_TEST_IMAGE GREENLOOP_TEST_REGISTRY
export LIBZ_SYS_STATIC=1

say 'run the scenarios'
# Scenarios mostly wait, so many can run in parallel.
cargo test --locked --test kube -- --ignored --test-threads="${GREENLOOP_TEST_THREADS:-12}" \
  --skip detection:: "${@:-::cluster::}"
