#!/bin/sh
# `npm start -- FLAGS`: installs what is missing, then runs a one-host cluster in the foreground with the example in it.
set -eu
cd "$(dirname "$0")/.."
sh install/packages.sh
exec ./cleat up --apply examples/hello.yaml "$@"
