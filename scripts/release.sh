#!/usr/bin/env bash
# Makes a release from the last commit: programs, archives, Debian packages, container images,
# install script, checksums, SBOM, provenance, changelog, tag. Pushes nothing.
#
#   scripts/release.sh VERSION [--out FOLDER] [OPTION...]
#       builds in a separate work tree, then commits the version and the changelog and tags the commit
#   scripts/release.sh VERSION --dry-run [--program [TARGET=]FILE]... [OPTION...]
#       changes no commits and tags; --program packs programs instead of building them
#
#   --out FOLDER            default: dist/
#   --sign KEY              signs the checksums: a private key of ssh-keygen, minisign or openssl
#                           (Ed25519, PEM)
#   --check-reproducible    builds each program twice, in different folders, and compares the bytes
#   --url URL               where the files will lie; install.sh of the release downloads from there:
#                           URL/download/vVERSION/FILE and URL/latest/download/FILE, as on GitHub
#   --repository URL        the address of the sources, for the provenance
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

die() { echo "release: $*" >&2; exit 2; }
say() { echo "release: $*" >&2; }

version='' out=$root/dist dry=false key='' twice='' url='' repository=''
declare -A given=()
host=$(rustc -vV | sed -n 's/^host: //p')
while [ $# -gt 0 ]; do
  case $1 in
  --dry-run) dry=true ;;
  --check-reproducible) twice=--twice ;;
  --out | --program | --sign | --url | --repository)
    [ $# -gt 1 ] || die "$1 needs a value"
    case $1 in
    --out) out=$2 ;;
    --program)
      case $2 in
      *-*-*=*) given[${2%%=*}]=$(realpath "${2#*=}") ;;
      *) given[$host]=$(realpath "$2") ;;
      esac
      ;;
    --sign) key=$(realpath "$2") ;;
    --url) url=${2%/} ;;
    --repository) repository=$2 ;;
    esac
    shift
    ;;
  -*) die "unknown option $1" ;;
  *) version=$1 ;;
  esac
  shift
done
[ -n "$version" ] || { sed -n '2,20s/^# \{0,1\}//p' "$0"; exit 2; }
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
  die "$version is not a version: use MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-PRERELEASE"
[ ${#given[@]} -eq 0 ] || $dry || die "--program works only with --dry-run: a release is built from its commit"
[ ${#given[@]} -eq 0 ] || [ -z "$twice" ] || die "--check-reproducible builds: it cannot be used with --program"
# Quick where nothing is released: a debug build is large.
level=6
[ ${#given[@]} -eq 0 ] || level=1
[[ $url =~ ^(https?://[A-Za-z0-9._~:/@%+-]+)?$ ]] || die "--url $url is not an http(s) URL"

# Which program made the key; its public half goes into install.sh.
kind='' public=''
if [ -n "$key" ]; then
  [ -f "$key" ] || die "$key is not a file: --sign takes a private key"
  case $(head -n 1 "$key") in
  *'OPENSSH PRIVATE KEY'*) kind=ssh public=$(ssh-keygen -y -f "$key" | cut -d' ' -f1,2) ;;
  'untrusted comment:'*)
    kind=minisign
    command -v minisign >/dev/null || die "$key is a minisign key and minisign is missing (Debian: minisign)"
    public=$(mktemp -u)
    minisign -R -f -s "$key" -p "$public" </dev/null >/dev/null 2>&1 ||
      die "minisign cannot read $key: the key must have no password (minisign -G -W)"
    public=$(grep '^RW' "$public" && rm -f "$public")
    ;;
  *'BEGIN PRIVATE KEY'*)
    kind=openssl public=$(openssl pkey -in "$key" -pubout -outform DER | base64 -w0)
    openssl pkey -in "$key" -noout -text | grep -qi '^ED25519' || die "$key is not an Ed25519 key"
    ;;
  *) die "$key is no private key of ssh-keygen, minisign or openssl" ;;
  esac
fi

current=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
if ! $dry; then
  [ -z "$(git status --porcelain)" ] || die "the work tree is not clean: commit or stash first"
  ! git rev-parse -q --verify "refs/tags/v$version" >/dev/null || die "the tag v$version already exists"
  [ "$version" != "$current" ] || [ -z "$(git tag --list 'v*')" ] ||
    die "$version is already the current version"
  sed -n '/^## \[Unreleased\]/,/^## \[[0-9]/p' CHANGELOG.md | grep -q '^- ' ||
    die "CHANGELOG.md has no line under Unreleased"
fi

scratch=$(mktemp -d)
cleanup() {
  git worktree remove --force "$scratch/tree" 2>/dev/null || true
  rm -rf "$scratch"
}
trap cleanup EXIT
git worktree add --quiet --detach "$scratch/tree" HEAD
cd "$scratch/tree"
# Reproducible: the same commit gives the same files.
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
today=$(date -u +%Y-%m-%d)
tools=$root/scripts/release

sed -i "/^\[workspace.package\]/,/^\[/s/^version = .*/version = \"$version\"/" Cargo.toml
sed -i "s/^## \[Unreleased\]/## [Unreleased]\n\n## [$version] - $today/" CHANGELOG.md
sed -n "/^## \[$version\]/,/^## \[/p" CHANGELOG.md | sed '1d;/^## \[/d' >"$scratch/notes.md"
cargo update --quiet --workspace --offline

# Static if Rust's standard library for musl is installed, otherwise for this machine's C library.
targets=()
if [ ${#given[@]} -gt 0 ]; then
  mapfile -t targets < <(printf '%s\n' "${!given[@]}" | sort)
else
  for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
      targets+=("$target")
    else
      say "not built: $target (rustup target add $target)"
    fi
  done
  [ ${#targets[@]} -gt 0 ] || targets=("$host")
fi

made=$scratch/dist
mkdir "$made" "$scratch/programs"
runs='' # a program that this machine can run
for target in "${targets[@]}"; do
  program=$scratch/programs/$target
  if [ -n "${given[$target]:-}" ]; then
    install -m 755 "${given[$target]}" "$program"
  else
    CARGO_TARGET_DIR=$root/target "$tools/build.sh" . greenloop "$target" "$program" $twice
  fi
  [ "${target%%-*}" = "${host%%-*}" ] || continue
  says=$("$program" --version)
  [ "$says" = "greenloop $version" ] || die "$target: the program says '$says', not 'greenloop $version'"
  runs=$program
done

# Completions and man pages are the same for every target.
extras=$scratch/extras
mkdir -p "$extras/completions" "$extras/man"
if [ -n "$runs" ] && "$runs" completions bash >"$extras/completions/greenloop.bash" 2>/dev/null; then
  "$runs" completions zsh >"$extras/completions/_greenloop"
  "$runs" completions fish >"$extras/completions/greenloop.fish"
  "$runs" completions powershell >"$extras/completions/greenloop.ps1"
else
  say "no completions: the program cannot be run here, or has no command for them"
  rm -f "$extras/completions/"*
fi
if ! { [ -n "$runs" ] && "$runs" man "$extras/man" >/dev/null 2>&1; }; then
  say "no man pages: the program cannot be run here, or has no command for them"
  rm -f "$extras/man/"*
fi

archive() { # TARGET
  local name=greenloop-$version-$1
  mkdir "$scratch/$name"
  cp "$scratch/programs/$1" "$scratch/$name/greenloop"
  cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$scratch/$name/"
  cp -r "$extras/." "$scratch/$name/"
  find "$scratch/$name" -type d -empty -delete
  tar -C "$scratch" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    --mode=u=rwX,go=rX -c "$name" | gzip -n9 >"$made/$name.tar.gz"
}

# The lowest version of the C library that has every symbol that a program names.
c_library() { # PROGRAM
  grep -aoE 'GLIBC_2\.[0-9]+' "$1" | sort -Vu | tail -n 1 | sed 's/GLIBC_//'
}

debian() { # TARGET ARCHITECTURE
  local tree=$scratch/deb-$1 doc needs=''
  doc=$tree/usr/share/doc/greenloop
  install -D -m 755 "$scratch/programs/$1" "$tree/usr/bin/greenloop"
  install -d "$doc" "$tree/DEBIAN"
  cat LICENSE-MIT LICENSE-APACHE >"$doc/copyright"
  gzip -n9 <CHANGELOG.md >"$doc/changelog.gz"
  if [ -e "$extras/completions/greenloop.bash" ]; then
    install -D -m 644 "$extras/completions/greenloop.bash" "$tree/usr/share/bash-completion/completions/greenloop"
    install -D -m 644 "$extras/completions/_greenloop" "$tree/usr/share/zsh/vendor-completions/_greenloop"
    install -D -m 644 "$extras/completions/greenloop.fish" "$tree/usr/share/fish/vendor_completions.d/greenloop.fish"
  fi
  for page in "$extras/man/"*.1; do
    [ -e "$page" ] || continue
    install -D -m 644 "$page" "$tree/usr/share/man/man1/${page##*/}"
    gzip -n9 "$tree/usr/share/man/man1/${page##*/}"
  done
  case $1 in *-gnu) needs=$(c_library "$scratch/programs/$1") ;; esac
  {
    echo "Package: greenloop"
    # A pre-release sorts before its release.
    echo "Version: ${version/-/\~}"
    echo "Architecture: $2"
    echo "Maintainer: Greenloop <greenloop@localhost>"
    echo "Section: devel"
    echo "Priority: optional"
    echo "Installed-Size: $(du -sk --apparent-size "$tree" | cut -f1)"
    [ -z "$needs" ] || echo "Depends: libc6 (>= $needs), libgcc-s1"
    echo "Recommends: git, bubblewrap, ca-certificates"
    echo "Description: self-healing deploy loop"
    echo " Takes a commit to a verified deployment: quality gates, image, rollout and"
    echo " smoke tests. A failure is repaired by a reviewed patch, within limits, or"
    echo " the last verified release is restored."
  } >"$tree/DEBIAN/control"
  chmod -R u=rwX,go=rX "$tree"
  find "$tree" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zxz "-z$level" --build "$tree" "$made/greenloop_${version/-/\~}_$2.deb" >/dev/null
}

image() { # TARGET ARCHITECTURE
  local certificates=/etc/ssl/certs/ca-certificates.crt
  [ -r $certificates ] || { say "$1: no image: $certificates is missing (Debian: ca-certificates)"; return; }
  "$tools/image.py" "$scratch/programs/$1" "$2" "greenloop:$version" $certificates \
    >"$made/greenloop-$version-image-$2.tar" 2>"$scratch/image.log" || {
    say "$1: no image: $(cat "$scratch/image.log")"
    rm -f "$made/greenloop-$version-image-$2.tar"
    return
  }
  cat "$scratch/image.log" >&2
}

for target in "${targets[@]}"; do
  case ${target%%-*} in
  x86_64) architecture=amd64 ;;
  aarch64) architecture=arm64 ;;
  *) die "no Debian architecture is known for $target" ;;
  esac
  archive "$target"
  if command -v dpkg-deb >/dev/null; then
    debian "$target" "$architecture"
  else
    say "$target: no Debian package: dpkg-deb is missing (Debian: dpkg)"
  fi
  image "$target" "$architecture"
done

cp "$scratch/notes.md" "$made/greenloop-$version.md"
"$tools/sbom.py" Cargo.toml greenloop "$version" "${targets[@]}" >"$made/greenloop-$version.cdx.json"
# Of the release: knows where its files lie, and who signs them.
if [ -n "$url" ]; then
  sed -e "s|^RELEASES=.*|RELEASES=\${GREENLOOP_RELEASES:-$url}|" \
    -e "s|^PUBLIC_KEY=.*|PUBLIC_KEY=\${GREENLOOP_PUBLIC_KEY:-'$public'}|" install.sh >"$made/install.sh"
else
  say "no install.sh: --url says where the files will lie"
fi
names=$(IFS=,; echo "${targets[*]}")
# Before the statement's own file is made.
subjects=("$made"/*)
"$tools/provenance.py" "$commit" "$version" "$repository" "$names" "${subjects[@]}" \
  >"$made/greenloop-$version.intoto.json"

(cd "$made" && sha256sum -- * >"$scratch/SHA256SUMS" && mv "$scratch/SHA256SUMS" .)
case $kind in
ssh) ssh-keygen -q -Y sign -f "$key" -n greenloop-release "$made/SHA256SUMS" ;;
minisign) minisign -S -s "$key" -m "$made/SHA256SUMS" -t "greenloop $version" </dev/null >/dev/null ;;
openssl) openssl pkeyutl -sign -rawin -inkey "$key" -in "$made/SHA256SUMS" -out "$made/SHA256SUMS.ed25519" ;;
*) say "not signed: --sign KEY" ;;
esac

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
say "built: ${targets[*]}"
ls -l "$out"
