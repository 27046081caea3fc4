#!/bin/sh
# `npm test`: installs what is missing, then types, lint, and every test: unit, contract, end-to-end.
# The last line is `N passed, N failed`, whatever happened. A skipped test counts as failed: it was to be shown.
set -eu
cd "$(dirname "$0")/.."
sh install/packages.sh --dev kubectl:kubernetes-client /usr/lib/python3/dist-packages/kubernetes:python3-kubernetes /usr/lib/python3/dist-packages/grpc:python3-grpcio /usr/lib/python3/dist-packages/google/protobuf:python3-protobuf dockerd:docker.io qemu-aarch64-static:qemu-user-static /usr/aarch64-linux-gnu/lib:libstdc++6-arm64-cross docker-registry:docker-registry ufw:ufw firewalld:firewalld haproxy:haproxy ipset:ipset
# Debian's kubectl is the oldest that Cleat promises to work with. Where this host has another it is unpacked beside (8 MB),
# and the host's own stays what it is.
old=node_modules/.cache/kubernetes-client
if [ ! -x "$old/usr/bin/kubectl" ] && command -v apt-get >/dev/null 2>&1 && ! dpkg-query -W kubernetes-client >/dev/null 2>&1; then
  archive=$(mktemp -d)
  fetch() { (cd "$archive" && apt-get download -qq kubernetes-client >/dev/null 2>&1); }
  if fetch || { apt-get update -qq >/dev/null 2>&1 && fetch; }; then mkdir -p "$old" && dpkg-deb -x "$archive"/*.deb "$old"
  else echo "cleat: Debian's kubectl could not be fetched; the tests go on with what there is" >&2; fi
  rm -rf "$archive"
fi
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
refuse() { echo "$1"; echo "0 passed, 1 failed"; exit 1; }
tsc --noEmit || refuse "types are wrong"
oxlint --type-aware --quiet || refuse "lint found errors"

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
vitest run "$@" --reporter=default --reporter=json --outputFile.json="$report" || status=$?
node install/summary.ts "$report" || status=1
exit "$status"
