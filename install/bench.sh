#!/bin/sh
# `npm run bench -- [GROUP ...] [--quick] [--json]`: installs what is missing, then measures.
set -eu
cd "$(dirname "$0")/.."
sh install/packages.sh --dev kubectl:kubernetes-client haproxy:haproxy
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
exec node --disable-warning=ExperimentalWarning bench/main.ts "$@"
