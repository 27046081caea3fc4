#!/bin/sh
# Installs Cleat on this host, or mends, changes or removes what is installed.
#
#   install.sh --server [--advertise-address IP] [--no-agent]   the first host: a control plane, and an agent beside it
#   install.sh --join URL --token TOKEN [--node-name NAME] [--node-ip IP]   another host
#   install.sh --uninstall [--keep-data]                        takes everything back
#
#   --from DIR|URL   where the executable, the units and SHA256SUMS are; the folder of this script when not given
#   --dry-run        says what would be changed, and changes nothing
#   --no-packages    installs no packages of the host's distribution
#
# Running it again with the same words finishes what was begun and changes nothing that is right.
set -eu

say() { echo "cleat: $*"; }
die() { echo "cleat: $*" >&2; exit 1; }

mode='' url='' token='' from='' dry='' packages=yes agent=yes keep='' advertise='' node_name='' node_ip=''
while [ $# -gt 0 ]; do
  flag=$1
  case "$flag" in *=*) value=${flag#*=}; flag=${flag%%=*}; shift; set -- "$flag" "$value" "$@" ;; esac
  need() { [ $# -ge 2 ] && [ -n "$2" ] || die "$1 needs a value; see the beginning of this script"; }
  case "$flag" in
    --server) mode=server ;;
    --join) need "$@"; mode=join; url=$2; shift ;;
    --uninstall) mode=uninstall ;;
    --token) need "$@"; token=$2; shift ;;
    --from) need "$@"; from=$2; shift ;;
    --advertise-address) need "$@"; advertise=$2; shift ;;
    --node-name) need "$@"; node_name=$2; shift ;;
    --node-ip) need "$@"; node_ip=$2; shift ;;
    --no-agent) agent='' ;;
    --no-packages) packages='' ;;
    --keep-data) keep=yes ;;
    --dry-run) dry=yes ;;
    -h | --help) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) die "unknown flag $flag; see: sh $0 --help" ;;
  esac
  shift
done
[ -n "$mode" ] || die "say what this host is to be: --server, or --join URL --token TOKEN (the line that 'cleat token create' prints), or --uninstall"
case "$mode,$url" in join,https://*) ;; join,*) die "--join takes the server's URL, such as https://192.168.1.10:6443" ;; esac
if [ -n "$token" ]; then
  printf '%s\n' "$token" | grep -qxE '[a-z0-9]{6}\.[a-z0-9]{16}\.[0-9a-f]{64}' || die "the token is not whole: copy all of the line that 'cleat token create' prints"
elif [ "$mode" = join ] && [ ! -e /etc/cleat/agent.yaml ] && [ ! -e /var/lib/cleat/agent/pki ]; then
  die "this host has not joined yet, so it needs a token: copy all of the line that 'cleat token create' prints"
fi

[ "$(uname -s)" = Linux ] || die "Cleat runs on Linux; this is $(uname -s)"
case "$(uname -m)" in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  armv6l | armv7l | armhf) die "this host has a 32-bit system ($(uname -m)), for which there is no Node 24 and so no Cleat. Raspberry Pi 3, 4, 5 and Zero 2 W run a 64-bit system: install Raspberry Pi OS (64-bit). Older boards cannot" ;;
  *) die "there is no executable for $(uname -m); there are those for x86_64 and aarch64" ;;
esac
# Node's own floor; what else a kernel lacks, 'cleat doctor' tells.
release=$(uname -r) minor=${release#*.}
if [ "${release%%.*}" -lt 4 ] || { [ "${release%%.*}" = 4 ] && [ "${minor%%[!0-9]*}" -lt 18 ]; }; then
  [ "$mode" = uninstall ] || die "this host's kernel is $release, and Cleat needs 4.18 or newer: update the system (Debian from 10, Ubuntu from 20.04), boot its kernel, then run this again"
fi
[ -n "$dry" ] || [ "$(id -u)" = 0 ] || die "this needs root: it installs a service. Try: sudo sh $0 ..."

# Everything that changes the host goes through one of these.
run() { if [ -n "$dry" ]; then say "would run: $*"; else "$@" 9>&-; fi; }
# put FILE MODE: standard input becomes the file, unless it is that already. Sets `changed`.
put() {
  new=$work/put
  cat >"$new" || die "there is no room in $work: make some (df -h), then run this again"
  if [ -f "$1" ] && cmp -s "$new" "$1"; then return 0; fi
  changed=yes
  if [ -n "$dry" ]; then say "would write $1"; return 0; fi
  # In one step, so that nobody ever reads half a file.
  { mkdir -p "${1%/*}" && cp "$new" "$1.new" && chmod "$2" "$1.new" && mv -f "$1.new" "$1"; } || unwritable "$1"
  say "wrote $1"
}
unwritable() {
  rm -f "$1.new" 2>/dev/null || true
  die "$1 could not be written. Where its disk is full, make room (df -h ${1%/*}); where ${1%/*} is read-only, make it writable (mount -o remount,rw), or mount a folder there that is. Then run this again: it goes on from here"
}

if [ -z "$dry" ] && command -v flock >/dev/null 2>&1; then
  exec 9>/run/cleat-install.lock
  flock -n 9 || { say "waiting for another installation to end"; flock 9; }
fi

bin=/usr/local/bin/cleat
units=/etc/systemd/system
systemd=
[ ! -d /run/systemd/system ] || systemd=yes

if [ "$mode" = uninstall ]; then
  if [ -x "$bin" ]; then run "$bin" uninstall ${keep:+--keep-data}; fi
  # What is left of an installation that was cut off before there was an executable.
  for unit in cleat-agent cleat-controlplane; do
    [ ! -e "$units/$unit.service" ] || run systemctl disable --now --quiet "$unit" || true
  done
  run rm -f "$units/cleat-agent.service" "$units/cleat-controlplane.service" "$units/cleat-agent.service.new" "$units/cleat-controlplane.service.new" "$bin" "$bin.new" "${bin%/*}/.cleat.new" "${bin%/*}/.cleat.back" /run/cleat-install.lock /run/cleat-install.unfinished
  if [ -z "$keep" ]; then
    run rm -rf /etc/cleat
    # The folder may be a disk of its own; one that somebody mounted below it is theirs.
    [ ! -d /var/lib/cleat ] || { run find /var/lib/cleat -xdev -mindepth 1 -delete || true; run rmdir /var/lib/cleat 2>/dev/null || true; }
  fi
  run rm -rf /var/cache/cleat
  [ -z "$systemd" ] || run systemctl daemon-reload
  [ -n "$dry" ] || say "removed${keep:+; /etc/cleat and /var/lib/cleat are kept}"
  exit 0
fi

# ---- what is installed -------------------------------------------------------------------------------------------
# On the disk: /tmp may be memory, which a small board has not to spare.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/cleat-install.XXXXXX") || die "there is no room in ${TMPDIR:-/var/tmp}, or it may not be written: make room (df -h), or name another folder with TMPDIR, then run this again"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
[ -n "$from" ] || from=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# get NAME: it is $got afterwards.
get() {
  case "$from" in
    http://* | https://*)
      got=$work/$1
      if command -v curl >/dev/null 2>&1; then curl -fsSL --retry 3 -o "$got" "$from/$1"
      elif command -v wget >/dev/null 2>&1; then wget -q -O "$got" "$from/$1"
      else die "neither curl nor wget is here to fetch $from/$1; install one, or copy the files here and say --from DIR"
      fi || die "$from/$1 could not be fetched; check the address, that this host reaches it, and that there is room in $work, then run this again" ;;
    *) got=$from/$1; [ -f "$got" ] || die "there is no $1 in $from; 'npm run build' makes it, or say --from DIR or URL" ;;
  esac
}
get SHA256SUMS
sums=$got
# fetch NAME: the same, and it is what SHA256SUMS says.
fetch() {
  get "$1"
  sum=$(sed -n "s/^\([0-9a-f]\{64\}\)  $1\$/\1/p" "$sums")
  [ -n "$sum" ] || die "SHA256SUMS says nothing of $1"
  [ "$(sha256sum "$got" | cut -d ' ' -f 1)" = "$sum" ] || die "$1 is not what SHA256SUMS says: it was cut off or changed on its way. Fetch it again"
}

# There until this has come to its end, or the host has booted anew: what was cut off may have changed what is not yet in force.
unfinished=/run/cleat-install.unfinished
reload=
binary_changed=
[ ! -e "$unfinished" ] || { reload=yes; binary_changed=yes; }
[ -n "$dry" ] || : >>"$unfinished"

# The executable is large: it is unpacked where it will be, once, and tried before it takes the place of another.
fetch "cleat-linux-$arch.gz"
if [ ! -x "$bin" ] || ! gzip -dc "$got" | cmp -s - "$bin"; then
  binary_changed=yes
  if [ -n "$dry" ]; then say "would write $bin"; else
    { mkdir -p "${bin%/*}" && gzip -dc "$got" >"$bin.new" && chmod 755 "$bin.new"; } || unwritable "$bin"
    "$bin.new" version --client >/dev/null 2>"$work/log" || {
      cat "$work/log" >&2
      rm -f "$bin.new"
      if ldd --version 2>&1 | grep -qi musl; then die "the executable is made for glibc, and this host has musl (Alpine): use a host with Debian, Ubuntu, Raspberry Pi OS or Fedora"; fi
      die "the executable does not run on this host, as it says above; it needs glibc 2.28 or newer (Debian from 10, Ubuntu from 20.04, Fedora from 29). Nothing was changed"
    }
    # What is installed by hand is not taken back by an upgrade that had not shown yet that it works.
    rm -f /var/lib/cleat/upgrade/pending /var/lib/cleat/upgrade/guard
    mv -f "$bin.new" "$bin" || unwritable "$bin"
    say "wrote $bin"
  fi
fi

missing_packages() {
  has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ]; }
  has containerd || has dockerd || echo containerd
  has runc || has crun || echo runc
  has nft || echo nftables
  has ip || case "$1" in debian) echo iproute2 ;; fedora) echo iproute ;; *) echo iproute2 ;; esac
  # Its file is the image of the example.
  has busybox || case "$1" in debian) echo busybox-static ;; *) echo busybox ;; esac
  has conntrack || case "$1" in debian) echo conntrack ;; *) echo conntrack-tools ;; esac
  for dir in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do [ ! -x "$dir/ptp" ] || [ ! -x "$dir/host-local" ] || return 0; done
  case "$1" in alpine) echo cni-plugins ;; *) echo containernetworking-plugins ;; esac
}
# with MANAGER FUNCTION: it installs $missing. What services start by that must not hold the lock.
with() {
  [ -n "$missing" ] || return 0
  if [ -n "$dry" ]; then say "would install with $1: $missing"; return 0; fi
  say "installing with $1: $missing"
  "$2" 9>&- >"$work/log" 2>&1 || { cat "$work/log" >&2; die "$1 could not install: $missing. Mend what it says above, then run this again"; }
}
# shellcheck disable=SC2086 # a list of words
apt_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt_install() { apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing; }
  # A new host has no lists of packages, or old ones; one whose power was cut may have packages that are half there.
  apt_install || { dpkg --configure -a; apt-get update -qq -o DPkg::Lock::Timeout=300 && apt_install; }
}
# shellcheck disable=SC2086
dnf_packages() { dnf install -y -q $missing; }
# shellcheck disable=SC2086
apk_packages() { apk add -q $missing; }
if [ -n "$packages" ] && { [ "$mode" = join ] || [ -n "$agent" ]; }; then
  if command -v apt-get >/dev/null 2>&1; then
    missing=$(missing_packages debian | tr '\n' ' ')
    case "$missing" in "containerd "*) [ -n "$dry" ] || echo containerd >>"$unfinished" ;; esac
    with apt-get apt_packages
    # Debian starts a containerd for everybody at once; Cleat runs its own, and the other would only take memory.
    if [ -n "$systemd" ] && grep -qs containerd "$unfinished"; then systemctl disable --now --quiet containerd || true; fi
  elif command -v dnf >/dev/null 2>&1; then missing=$(missing_packages fedora | tr '\n' ' '); with dnf dnf_packages
  elif command -v apk >/dev/null 2>&1; then missing=$(missing_packages alpine | tr '\n' ' '); with apk apk_packages
  else
    missing=$(missing_packages other | tr '\n' ' ')
    [ -z "$missing" ] || die "missing: $missing (Fedora's names). Install them with this host's package manager, then run this again with --no-packages"
  fi
fi

# settings FILE KEY VALUE...: an empty value changes nothing; keeps every other line of the file.
settings() {
  file=$1; shift
  { [ ! -f "$file" ] || cat "$file"; } >"$work/settings"
  while [ $# -gt 1 ]; do
    if [ -n "$2" ]; then
      grep -qxF "$1: $2" "$work/settings" || { sed -i "/^$1:/d" "$work/settings"; echo "$1: $2" >>"$work/settings"; }
    fi
    shift 2
  done
  put "$file" 600 <"$work/settings"
}

# start UNIT CHANGED: running, with what is installed now.
start() {
  [ -n "$systemd" ] || return 0
  run systemctl enable --quiet "$1"
  if [ -n "$2" ]; then run systemctl restart --no-block "$1"; else run systemctl start --no-block "$1"; fi
}
unit() { changed=; fetch "$1"; put "$units/$1" 644 <"$got"; [ -z "$changed" ] || reload=yes; }
# await UNIT SECONDS: what ends by itself again and again, as with a token that is refused, is not waited for.
await() {
  [ -z "$dry" ] || return 0
  left=$(( $2 * 5 )) ended=$(ends "$1") patience=$(( left - 50 ))
  until systemctl is-active --quiet "$1"; do
    left=$(( left - 1 )) now=$(ends "$1")
    # Most of all a server that does not answer, for which the agent waits as long as it takes.
    [ "$left" -ne "$patience" ] || say "still waiting for $1. Its last words: $(journalctl -u "$1" -n 1 -o cat --no-pager 2>/dev/null || true)"
    [ "$now" -ge "$ended" ] || ended=$now
    if [ "$left" -le 0 ]; then why="did not come up in $2 s"; elif [ $(( now - ended )) -ge 3 ]; then why="does not come up"; else sleep 0.2; continue; fi
    journalctl -u "$1" -n 20 --no-pager >&2 || true
    die "$1 $why; its last words are above. Mend what they say, then run this again, with a new token where that was refused; it goes on trying meanwhile"
  done
}
ends() { n=$(systemctl show -p NRestarts --value "$1" 2>/dev/null) || true; case "$n" in '' | *[!0-9]*) echo 0 ;; *) echo "$n" ;; esac; }

# An agent works without its control plane; whoever has just joined wants to know that it has been reached.
reached() {
  left=100
  until systemctl show -p StatusText cleat-agent | grep -q ', connected to '; do
    left=$(( left - 1 ))
    [ "$left" -gt 0 ] || { say "the agent runs, and has not reached $url yet; it goes on trying. What it says: journalctl -u cleat-agent"; return 0; }
    sleep 0.2
  done
}
finish() { [ -n "$dry" ] || rm -f "$unfinished"; exit 0; }
# What of this host may stand in Cleat's way is told, and no reason to fail: it is installed.
look_over() {
  [ -z "$dry" ] || return 0
  "$bin" doctor --quiet >"$work/doctor" 2>&1 || true
  [ ! -s "$work/doctor" ] || { say "what 'cleat doctor' has to say of this host:"; sed 's/^/  /' "$work/doctor"; }
}

if [ -n "$systemd" ]; then
  [ "$mode" != server ] || unit cleat-controlplane.service
  if [ "$mode" = join ] || [ -n "$agent" ]; then unit cleat-agent.service; fi
  [ -z "$reload" ] || run systemctl daemon-reload
fi

if [ "$mode" = server ]; then
  changed=
  settings /etc/cleat/controlplane.yaml log-level warn advertise-address "$advertise"
  server_changed="$changed$binary_changed$reload"
fi
if [ -z "$systemd" ]; then
  look_over
  case "$mode" in
    server) say "this host has no systemd, so nothing was started. Have its init run: $bin controlplane --config /etc/cleat/controlplane.yaml" ;;
    join) changed=; settings /etc/cleat/agent.yaml server "$url" token "$token" node-name "$node_name" node-ip "$node_ip"
      say "this host has no systemd, so nothing was started. Have its init run: $bin agent --config /etc/cleat/agent.yaml" ;;
  esac
  finish
fi

if [ "$mode" = server ]; then
  start cleat-controlplane "$server_changed"
  await cleat-controlplane 60
  [ -n "$agent" ] || { look_over; [ -n "$dry" ] || { say "the control plane runs. To add a host, run there what this prints: cleat token create"; }; finish; }
  url=https://127.0.0.1:6443
  if [ -z "$dry" ] && [ ! -e /var/lib/cleat/agent/pki ]; then token=$("$bin" token create --ttl=1h --description='this host' --token-only); fi
fi
changed=
settings /etc/cleat/agent.yaml log-level warn server "$url" token "$token" node-name "$node_name" node-ip "$node_ip"
start cleat-agent "$changed$binary_changed$reload"
await cleat-agent 120
[ -z "$dry" ] || exit 0
rm -f "$unfinished"
reached
look_over
if [ "$mode" = server ]; then
  say "this host runs a control plane and an agent. Next:"
  echo "  sudo cleat token create        # prints what to type on the next host"
  echo "  sudo cleat nodes               # the fleet"
else
  say "this host has joined $url"
fi
