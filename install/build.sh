#!/bin/sh
# `npm run build -- FLAGS`: installs the npm packages where they are missing, then makes the executable. Needs no root.
set -eu
cd "$(dirname "$0")/.."
exec sh install/packages.sh --npm -- node_modules/node/bin/node install/build/build.ts "$@"
