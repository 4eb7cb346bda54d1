#!/usr/bin/env bash
# Checks the dependencies: licences, bans, sources, and advisories where their database can be
# reached. Installs cargo-deny first if it is missing, which takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  cargo install --locked cargo-deny
fi
cargo deny --config .deny.toml check licenses bans sources
if ! cargo deny --config .deny.toml check advisories; then
  echo "deny.sh: advisories were not checked, or found something: see above" >&2
  exit 1
fi
