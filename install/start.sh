#!/bin/sh
# `npm start -- FLAGS`: installs what is missing, then runs a one-host cluster in the foreground with the example in it.
set -eu
cd "$(dirname "$0")/.."
exec sh install/packages.sh -- ./cleat up --apply examples/hello.yaml "$@"
