#!/bin/sh
# `npm run test:vm [-- [--reboots N] [PATTERN ...]]`: what needs a kernel of its own. Installs what is missing, builds the lab's User-Mode Linux
# kernel (once, about ten minutes), runs contract suites inside a host of that kernel, and boots hosts for the tests of test/vm.
# The last line is `N passed, N failed`, whatever happened. A missing prerequisite is a failure here, not a skip.
set -eu
cd "$(dirname "$0")/.."
refuse() { echo "$1"; echo "0 passed, 1 failed"; exit 1; }
# How often the power of hosts is cut; 100 for the long form.
if [ "${1:-}" = --reboots ]; then
  case "${2:-}" in '' | *[!0-9]*) refuse "--reboots wants a number" ;; esac
  export REBOOTS="$2"
  shift 2
fi
sh install/packages.sh --dev ipvsadm:ipvsadm ipset:ipset wg:wireguard-tools mkfs.ext4:e2fsprogs dockerd:docker.io mount.nfs:nfs-common exportfs:nfs-kernel-server rpcbind:rpcbind dbus-daemon:dbus apparmor_parser:apparmor || refuse "packages are missing"
export PATH="$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH"
kernel=$(sh test/support/lab/uml/kernel.sh) || refuse "there is no kernel for the lab's hosts"
echo "kernel of the lab's hosts: $kernel"

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
status=0
# A host with this machine's files: no more than its memory can be lost.
: > "$reports/guest.json"
sh test/support/lab/uml/run.sh -m 1024 -w "$reports" vitest run --config vitest.vm.config.ts --project guest --passWithNoTests \
  --reporter=default --reporter=json --outputFile.json="$reports/guest.json" "$@" || status=$?
vitest run --config vitest.vm.config.ts --project hosts --passWithNoTests --reporter=default --reporter=json --outputFile.json="$reports/hosts.json" "$@" || status=$?
node install/summary.ts "$reports"/*.json || status=1
exit "$status"
