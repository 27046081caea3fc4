#!/bin/sh
# `npm test [-- [--vm] [PATTERN ...]]`: installs what is missing, then types, lint, and every test: unit, contract, end-to-end.
# --vm: then the small form of `npm run test:vm`, too: IPVS' contract suite and WireGuard, on a kernel that has them. Where
# that kernel is not cached it is built meanwhile, with what time the tests leave over. What is missing for it is a failure.
# Files that fail, if they are few, run once more when the rest is done: a fault fails again, and a test that asks too much of a
# busy machine does not. Such a test is named before the last line, and is to be mended: it may be the product that is unsteady.
# The last line is `N passed, N failed`, whatever happened. A skipped test counts as failed: it was to be shown.
set -eu
cd "$(dirname "$0")/.."
vm=
if [ "${1:-}" = --vm ]; then vm=1; shift; fi
for_vm="ipvsadm:ipvsadm wg:wireguard-tools gcc:gcc make:make bc:bc flex:flex bison:bison xz:xz-utils /usr/include/arpa:libc6-dev"
# shellcheck disable=SC2086 # a list of words, or nothing
sh install/packages.sh --dev ${vm:+$for_vm} kubectl:kubernetes-client /usr/lib/python3/dist-packages/kubernetes:python3-kubernetes /usr/lib/python3/dist-packages/grpc:python3-grpcio /usr/lib/python3/dist-packages/google/protobuf:python3-protobuf dockerd:docker.io etcd:etcd-server qemu-aarch64-static:qemu-user-static /usr/aarch64-linux-gnu/lib:libstdc++6-arm64-cross docker-registry:docker-registry ufw:ufw firewalld:firewalld haproxy:haproxy mkfs.ext4:e2fsprogs ipset:ipset zsh:zsh fish:fish /usr/share/bash-completion/bash_completion:bash-completion
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

reports=$(mktemp -d)
builder=
finish() {
  # A build that nobody waits for any more ends with all of its compilers.
  [ -z "$builder" ] || kill -TERM "-$builder" 2>/dev/null || true
  rm -rf "$reports"
}
trap finish EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT
status=0
if [ -n "$vm" ]; then
  # Of its own session. A report that stays empty counts as failed.
  : > "$reports/vm.json"
  setsid nice -n 19 sh test/support/lab/uml/kernel.sh >"$reports/kernel" 2>"$reports/kernel.log" &
  builder=$!
fi
: > "$reports/tests.json"
again=
if ! vitest run "$@" --reporter=default --reporter=json --outputFile.json="$reports/tests.json"; then
  failed=$(node install/summary.ts --failed 3 "$reports/tests.json")
  if [ -z "$failed" ]; then status=1
  else
    echo "once more: $failed"
    again="$reports/again"
    : > "$again"
    # shellcheck disable=SC2086 # paths of this project, which have no spaces
    vitest run $failed --reporter=default --reporter=json --outputFile.json="$again" || status=$?
  fi
fi
if [ -n "$vm" ]; then
  if wait "$builder"; then
    sh test/support/lab/uml/run.sh -m 512 -w "$reports" vitest run --config vitest.vm.config.ts --project guest agent/proxy/backends/ipvs agent/network/wireguard \
      --reporter=default --reporter=json --outputFile.json="$reports/vm.json" || status=$?
  else
    status=1
    echo "there is no kernel for the lab's hosts:"
    cat "$reports/kernel.log"
  fi
  builder=
fi
node install/summary.ts ${again:+--again "$again"} "$reports"/*.json || status=1
exit "$status"
