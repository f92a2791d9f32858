# Common commands; `just` lists them.
export LIBZ_SYS_STATIC := "1"

default:
    @just --list

# run every check of CI
test:
    ./scripts/test.sh

# formatting, clippy and the unit tests
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo test --workspace --lib

# test releases, install.sh, the chart, CI files, examples and the book
distribution *tests:
    ./scripts/test-distribution.sh target/debug/greenloop {{tests}}

# run the loop on a small broken service
demo:
    cargo run -- demo

# regenerate the generated files
generate:
    cargo run --quiet -- config schema > docs/config.schema.json
    GREENLOOP_UPDATE=1 cargo test --quiet --lib cli::
    GREENLOOP_UPDATE=1 cargo test --quiet --workspace --lib track::rule
    GREENLOOP_UPDATE=1 cargo test --quiet --workspace --lib api::openapi

# record the terminal sessions of the README
recordings:
    ./scripts/capture-demo.py
    ./scripts/test-distribution.sh --install
    target/tools/python/bin/python scripts/record-session.py

# create the pictures of docs/dashboard.md in Chromium (Debian: chromium, chromium-driver, pngquant, fonts-inter)
pictures:
    cargo test --quiet --test hub dashboard::pictures -- --ignored
    pngquant --force --ext .png --skip-if-larger 128 docs/images/dashboard-*.png
    GREENLOOP_UPDATE=1 cargo test --quiet --test e2e places::cloud_init::the_files

# run the benchmarks; benches/README.md has results for comparison
bench:
    cargo bench --bench evidence
    cargo bench --bench context
    cargo bench --bench context -- --memory
    cargo bench --bench graph
    cargo bench --bench graph -- --memory
    cargo bench --bench live
    ./benches/queue.sh
    ./benches/loop-overhead.sh
    ./benches/memory.sh
    ./benches/start.sh

# check licences, advisories and duplicate versions
deny:
    cargo deny check

# check that the program compiles for the other systems, as far as this machine has their compilers
platforms:
    ./scripts/platforms.sh

# make a release: version, changelog, programs, packages, images, checksums and tag; `./scripts/release.sh` lists the options
release version *options:
    ./scripts/release.sh {{version}} {{options}}
