#!/bin/sh
# usage: packages.sh [--dev] [PROGRAM:PACKAGE ...] [-- COMMAND ...]
#        packages.sh --npm [-- COMMAND ...]
# Installs what a checkout needs and this host lacks: the npm packages (they bring Node 24) and, on Debian and its
# relatives, the runtime's packages. Says what it does; does nothing, and asks no network, when all is there.
# --npm: the npm packages alone, those for development too; needs no root.
# --dev: what tests and benchmarks need too. PROGRAM:PACKAGE: one more program, or a folder, and the package that has it.
# COMMAND takes this shell's place in the end, so that whoever signals one signals the other.
set -eu
cd "$(dirname "$0")/.."

say() { echo "cleat: $*" >&2; }

npm_alone=
if [ "${1:-}" = --npm ]; then npm_alone=1; shift; fi
if [ -z "$npm_alone" ] && [ "$(id -u)" != 0 ]; then
  say "this needs root: it installs packages and runs containers. Try: sudo npm ${npm_lifecycle_event:-start}"
  exit 1
fi

# Interrupted, this ends what it runs: an npm that went on would install behind the back of the next one.
child=
log=
held=
interrupted() {
  trap - INT TERM HUP
  if [ -n "$child" ]; then
    kill -TERM "-$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  rm -f "$log" ${held:+"$held"}
  say "interrupted; run this again to go on"
  exit "$1"
}
trap 'interrupted 130' INT
trap 'interrupted 143' TERM
trap 'interrupted 129' HUP
# In the background, for a shell hears no signal while it waits in the foreground; in a group of its own, to end all of it.
run() {
  setsid "$@" &
  child=$!
  status=0
  wait "$child" || status=$?
  child=
  return "$status"
}

# One at a time in this folder: who comes second waits, and finds everything there. npm holds the lock with us, so that
# one that is left behind is waited for; the services that apt-get starts must not.
exec 9<install/packages.sh
flock -n 9 || { say "waiting for another installation to end"; run flock 9; }

only=--omit=dev
if [ "${1:-}" = --dev ]; then only=; shift; fi
[ -z "$npm_alone" ] || only=
# Whoever has the tools for development keeps them.
[ ! -d node_modules/typescript ] || only=

# The marker is written last and holds the lock file that it is true for, so a half-finished install is done again.
marker=node_modules/.cleat-installed
if ! cmp -s package-lock.json "$marker" || [ ! -x node_modules/node/bin/node ] || { [ -z "$only" ] && [ ! -d node_modules/typescript ]; }; then
  say "installing npm packages (once; a minute or two on a slow line)"
  rm -f "$marker"
  # shellcheck disable=SC2086 # a flag or nothing
  run npm ci $only --ignore-scripts=false --no-audit --no-fund --loglevel=error >&2 || {
    say "the npm packages could not be installed. Check that this host reaches the npm registry (npm ping), then run this again."
    exit 1
  }
  [ -x node_modules/node/bin/node ] || { say "npm installed everything but Node itself: node_modules/node/bin/node is missing. Run this again; if that does not help, run: npm rebuild node"; exit 1; }
  cp package-lock.json "$marker"
fi

finish() { exec 9<&-; [ $# = 0 ] || exec "$@"; exit 0; }
if [ -n "$npm_alone" ]; then [ "${1:-}" != -- ] || shift; finish "$@"; fi

missing=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || [ -d "$1" ] || missing="$missing $2"; }
need containerd containerd
need runc runc
need nft nftables
need iptables iptables
need ip iproute2
need conntrack conntrack
need ethtool ethtool
# The plugins that agent/network/cni-config.ts names, all in one folder.
cni() { for dir in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ -x "$dir/ptp" ] && [ -x "$dir/host-local" ] && return; done; return 1; }
cni || missing="$missing containernetworking-plugins"
# busybox-static is the one file of the example's image.
[ -x /bin/busybox ] && ! ldd /bin/busybox 2>/dev/null | grep -q '=>' || missing="$missing busybox-static"
while [ $# -gt 0 ] && [ "$1" != -- ]; do need "${1%%:*}" "${1##*:}"; shift; done
[ $# = 0 ] || shift
[ -n "$missing" ] || finish "$@"

if ! command -v apt-get >/dev/null 2>&1; then
  say "missing:$missing (Debian's names). Install them with this host's package manager, then run this again."
  exit 1
fi
say "installing with apt-get:$missing"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# A new host may be busy updating itself, so wait for dpkg; its package lists may be missing or old, so then fetch them.
# shellcheck disable=SC2086 # a list of words
install() { run apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >>"$log" 2>&1 9<&-; }
update() { run apt-get update -qq -o DPkg::Lock::Timeout=300 -o APT::Update::Error-Mode=any >>"$log" 2>&1; }
# One that was interrupted before may have left packages half configured.
mend() { run dpkg --configure -a >>"$log" 2>&1 9<&-; }
# A Docker or firewalld that starts changes the host's firewall for everybody, and a registry would listen to all; those who only need
# their programs here do not want that.
policy=/usr/sbin/policy-rc.d
missed() { case "$missing " in *" $1 "*) ;; *) return 1 ;; esac; }
for package in docker.io docker-registry haproxy firewalld nfs-kernel-server rpcbind; do
  if missed "$package" && [ ! -e "$policy" ]; then held=$policy; printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod 755 "$policy"; fi
done
install || { mend; update && install; } || {
  cat "$log" >&2
  rm -f "$log" ${held:+"$held"}
  say "apt-get could not install:$missing. Mend what it says above, then run this again."
  exit 1
}
# Nor at the next boot. usage: leave_off PACKAGE UNIT ...
leave_off() {
  missed "$1" || return 0
  shift
  if command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]; then systemctl disable --now --quiet "$@" || true; fi
}
# Debian starts a containerd for everybody at once; Cleat runs its own, and the other would only take memory.
leave_off containerd containerd
leave_off docker.io docker.service docker.socket
leave_off docker-registry docker-registry
leave_off haproxy haproxy
leave_off firewalld firewalld
leave_off nfs-kernel-server nfs-server
leave_off rpcbind rpcbind.service rpcbind.socket
rm -f "$log" ${held:+"$held"}
finish "$@"
