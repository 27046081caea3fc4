#!/bin/sh
# Types, lint, unit tests and contract suites.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
tsc --noEmit
oxlint --type-aware --quiet
vitest run --project unit --project contract
