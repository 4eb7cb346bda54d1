#!/usr/bin/env bash
# Installs what the tests need and runs them all: format, lints, layers, tests, docs.
#
#   scripts/test.sh             everything
#   scripts/test.sh NAME...     only tests whose name contains one of these
#
# Needs a Rust toolchain, and root (or sudo without a password) to install Dovecot and a few
# tools when they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# cargo-nextest runs each test in a process of its own; plain cargo test does as well.
run_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --features testing --no-fail-fast "$@"
  else
    cargo test --locked --features testing --no-fail-fast --lib --bins --tests -- "$@"
  fi
}

if [[ $# -gt 0 ]]; then
  run_tests "$@"
  exit
fi

echo "== format"
cargo fmt --check
echo "== layers"
scripts/check-layers.sh --self-test
scripts/check-layers.sh
echo "== lints"
cargo clippy --locked --all-targets --all-features -- -D warnings
echo "== tests"
run_tests
echo "== examples and doc tests"
cargo build --locked --examples
cargo test --locked --doc
echo "== docs"
# Private items are documented too, so links to them are good ones.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items
echo "== all done"
