#!/usr/bin/env bash
# Makes a release from the last commit: program, archive, checksums, SBOM, changelog, tag. Pushes
# nothing.
#
#   scripts/release.sh VERSION [--out FOLDER] [--sign KEY]
#       builds in a separate work tree, then commits the version and the changelog and tags the commit
#   scripts/release.sh VERSION --dry-run [--out FOLDER] [--program FILE]
#       changes no commits and tags; --program packs that program instead of building one
#
# FOLDER defaults to dist/. KEY is a private SSH key; verify the signature with its public key:
# ssh-keygen -Y verify.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

die() { echo "release: $*" >&2; exit 2; }
say() { echo "release: $*" >&2; }

version='' out=$root/dist dry=false program='' key=''
while [ $# -gt 0 ]; do
  case $1 in
  --dry-run) dry=true ;;
  --out | --program | --sign)
    [ $# -gt 1 ] || die "$1 needs a value"
    case $1 in
    --out) out=$2 ;;
    --program) program=$(realpath "$2") ;;
    --sign) key=$(realpath "$2") ;;
    esac
    shift
    ;;
  -*) die "unknown option $1" ;;
  *) version=$1 ;;
  esac
  shift
done
[ -n "$version" ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
  die "$version is not a version: use MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE"
[ -z "$program" ] || $dry || die "--program works only with --dry-run: a release is built from its commit"
[ -z "$key" ] || [ -f "$key" ] || die "$key is not a file: --sign takes a private SSH key"

current=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
if ! $dry; then
  [ -z "$(git status --porcelain)" ] || die "the work tree is not clean: commit or stash first"
  ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || die "the tag v$version already exists"
  [ "$version" != "$current" ] || [ -z "$(git tag --list 'v*')" ] ||
    die "$version is already the current version"
  sed -n '/^## \[Unreleased\]/,/^## \[[0-9]/p' CHANGELOG.md | grep -q '^- ' ||
    die "CHANGELOG.md has no line under Unreleased"
  command -v cargo-cyclonedx >/dev/null ||
    die "cargo-cyclonedx is missing, which writes the SBOM: cargo install --locked cargo-cyclonedx@0.5.9"
fi

scratch=$(mktemp -d)
cleanup() {
  git worktree remove --force "$scratch/tree" 2>/dev/null || true
  rm -rf "$scratch"
}
trap cleanup EXIT
git worktree add --quiet --detach "$scratch/tree" HEAD
cd "$scratch/tree"
# Reproducible: the same commit gives the same archive.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH LIBZ_SYS_STATIC=1
today=$(date -u +%Y-%m-%d)

sed -i "/^\[workspace.package\]/,/^\[/s/^version = .*/version = \"$version\"/" Cargo.toml
sed -i "s/^## \[Unreleased\]/## [Unreleased]\n\n## [$version] - $today/" CHANGELOG.md
sed -n "/^## \[$version\]/,/^## \[/p" CHANGELOG.md | sed '1d;/^## \[/d' >"$scratch/notes.md"

# Static if Rust's standard library for musl is installed, otherwise for this machine's C library.
host=$(rustc -vV | sed -n 's/^host: //p')
targets=()
cargo update --quiet --workspace --offline
if [ -z "$program" ]; then
  for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
      targets+=("$target")
    else
      say "not built: $target (rustup target add $target)"
    fi
  done
fi
[ ${#targets[@]} -gt 0 ] || targets=("$host")

made=$scratch/dist
mkdir "$made"
for target in "${targets[@]}"; do
  built=$program
  if [ -z "$built" ]; then
    CARGO_TARGET_DIR=$root/target cargo build --release --locked --bin greenloop --target "$target"
    built=$root/target/$target/release/greenloop
  fi
  if [ "${target%%-*}" = "${host%%-*}" ]; then
    says=$("$built" --version)
    [ "$says" = "greenloop $version" ] || die "$built says '$says', not 'greenloop $version'"
  fi
  name=greenloop-$version-$target
  mkdir "$scratch/$name"
  cp "$built" "$scratch/$name/greenloop"
  cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$scratch/$name/"
  tar -C "$scratch" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    -c "$name" | gzip -n9 >"$made/$name.tar.gz"
done
cp "$scratch/notes.md" "$made/greenloop-$version.md"

if command -v cargo-cyclonedx >/dev/null; then
  cargo cyclonedx --quiet --format json --manifest-path Cargo.toml \
    --override-filename greenloop-sbom
  cp greenloop-sbom.json "$made/greenloop-$version.cdx.json"
else
  say "no list of components: cargo-cyclonedx is missing (cargo install --locked cargo-cyclonedx@0.5.9)"
fi

(cd "$made" && sha256sum -- * >"$scratch/SHA256SUMS" && mv "$scratch/SHA256SUMS" .)
if [ -n "$key" ]; then
  ssh-keygen -q -Y sign -f "$key" -n greenloop-release "$made/SHA256SUMS"
else
  say "not signed: --sign KEY"
fi

# Everything before this point changed nothing permanently.
mkdir -p "$out"
cp "$made"/* "$out/"
(cd "$out" && sha256sum --quiet --check SHA256SUMS)
if ! $dry; then
  git add Cargo.toml Cargo.lock CHANGELOG.md
  git commit --quiet -m "release: $version"
  commit=$(git rev-parse HEAD)
  git -C "$root" merge --quiet --ff-only "$commit"
  git tag --annotate "v$version" --file "$scratch/notes.md" --cleanup=verbatim
  say "committed and tagged; publish with: git push --follow-tags"
fi
ls -l "$out"
