#!/bin/sh
# PID 1 of a lab host. Runs inside the host's own net, mount, uts, ipc, pid and cgroup namespaces.
# usage: host-init.sh NAME DIRECTORY CGROUP_VERSION CONTROLLERS(comma-separated, v1 only) [systemd]
set -e
name=$1 dir=$2 cgroup_version=$3 controllers=$4 init=${5:-}

mount --make-rprivate /
mount -t proc proc /proc
# Disk of the host: /etc and /var are the machine's with this host's changes on top; the state directory is a
# plain directory, because containerd's overlays cannot stand on an overlay.
for d in etc var ${init:+usr/local}; do
  mkdir -p "$dir/disk/$d" "$dir/disk/work/$d"
  mount -t overlay overlay -o "lowerdir=/$d,upperdir=$dir/disk/$d,workdir=$dir/disk/work/$d" "/$d"
done
mkdir -p /var/lib/cleat && mount --bind "$dir/state" /var/lib/cleat
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
rm -rf /etc/resolv.conf
# A resolver that refuses at once: an unreachable one makes every lookup hang.
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
cat "$dir/machine-id" > /etc/machine-id
hostname "$name"

# Read-only tells systemd that devices are somebody else's.
mount -t sysfs ${init:+-o ro} sysfs /sys
if [ "$cgroup_version" = 2 ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # A cgroup with processes cannot have controllers for its children.
  mkdir -p /sys/fs/cgroup/init
  echo 0 > /sys/fs/cgroup/init/cgroup.procs
  for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true; done
else
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  for c in $(echo "$controllers" | tr ',' ' '); do
    mkdir "/sys/fs/cgroup/$c"
    if [ "$c" = systemd ]; then options=none,name=systemd; else options=$c; fi
    mount -t cgroup -o "$options" cgroup "/sys/fs/cgroup/$c"
  done
fi
ip link set lo up

if [ "$init" = systemd ]; then
  mkdir -p /sys/fs/cgroup/unified 2>/dev/null && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified || true
  mkdir -p "$dir/dev"
  mount -t tmpfs -o mode=755 tmpfs "$dir/dev"
  mkdir "$dir/dev/pts" "$dir/dev/shm" "$dir/dev/mqueue" "$dir/dev/net"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$dir/dev/pts"
  for n in null zero full random urandom tty kmsg fuse net/tun; do [ ! -e "/dev/$n" ] || { : >"$dir/dev/$n"; mount --bind "/dev/$n" "$dir/dev/$n"; }; done
  ln -s pts/ptmx "$dir/dev/ptmx"
  ln -s /proc/self/fd "$dir/dev/fd"
  for n in 0:stdin 1:stdout 2:stderr; do ln -s "fd/${n%:*}" "$dir/dev/${n#*:}"; done
  : >"$dir/dev/console"
  mount --move "$dir/dev" /dev
  # What the test made is below /mnt; /tmp would be swept by systemd.
  mount --bind "$dir/.." /mnt
  mount -t tmpfs tmpfs /tmp
  # A host with nothing on it: what the machine has enabled is not this host's. Only the first time, for its disk is kept.
  if [ ! -e /etc/lab-host ]; then
    rm -rf /etc/systemd/system /etc/fstab
    mkdir -p /etc/systemd/system
    ln -s /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
    for unit in networking ssh systemd-networkd systemd-resolved systemd-timesyncd systemd-udevd; do ln -s /dev/null "/etc/systemd/system/$unit.service"; done
    echo "$name" >/etc/hostname
    : >/etc/lab-host
  fi
  echo ready
  exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /sbin/init >/dev/null 2>&1
fi

# An ignored SIGCHLD survives exec and lets the kernel reap what is orphaned to PID 1.
trap '' CHLD
echo ready
exec sleep infinity >/dev/null 2>&1
