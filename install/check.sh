#!/bin/sh
# Types, lint, unit tests and contract suites.
set -eu
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
command -v tsc >/dev/null || { echo "cleat: the tools for development are missing here; sh install/packages.sh --dev installs them, and so does npm test" >&2; exit 1; }
tsc --noEmit
oxlint --type-aware --quiet
vitest run --project unit --project contract
