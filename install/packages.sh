#!/bin/sh
# Installs what a checkout needs and this host lacks: the npm packages (they bring Node 24) and, on Debian and its
# relatives, the runtime's packages. Says what it does; does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."

say() { echo "cleat: $*" >&2; }

if [ "$(id -u)" != 0 ]; then
  say "this needs root: it installs packages and runs containers. Try: sudo npm ${npm_lifecycle_event:-start}"
  exit 1
fi

# A half-finished install must be mended, so the marker is written last and names the lock file it is true for.
marker=node_modules/.cleat-installed
if ! cmp -s package-lock.json "$marker"; then
  say "installing npm packages"
  npm ci --no-audit --no-fund --loglevel=error >&2
  cp package-lock.json "$marker"
fi

missing=
need() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] || missing="$missing $2"; }
need containerd containerd
need runc runc
need nft nftables
need iptables iptables
need ip iproute2
need conntrack conntrack
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || missing="$missing containernetworking-plugins"
# busybox-static is the one file of the example's image.
[ -x /bin/busybox ] && [ -z "$(ldd /bin/busybox 2>/dev/null | grep '=>')" ] || missing="$missing busybox-static"
for extra in "$@"; do need "${extra%%:*}" "${extra##*:}"; done

if [ -n "$missing" ]; then
  if ! command -v apt-get >/dev/null 2>&1; then
    say "missing:$missing. Install them with this host's package manager, then run this again."
    exit 1
  fi
  say "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  # A package that starts its own containerd service would only take memory: Cleat runs its own.
  # shellcheck disable=SC2086 # a list of words
  apt-get install -y -qq --no-install-recommends $missing >/tmp/cleat-apt.$$ 2>&1 || {
    apt-get update -qq >/tmp/cleat-apt.$$ 2>&1
    apt-get install -y -qq --no-install-recommends $missing >/tmp/cleat-apt.$$ 2>&1 || { cat /tmp/cleat-apt.$$ >&2; rm -f /tmp/cleat-apt.$$; exit 1; }
  }
  rm -f /tmp/cleat-apt.$$
fi
