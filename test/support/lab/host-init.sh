#!/bin/sh
# PID 1 of a lab host. Runs inside the host's own net, mount, uts, ipc, pid and cgroup namespaces.
# usage: host-init.sh NAME DIRECTORY CGROUP_VERSION CONTROLLERS(comma-separated, v1 only)
set -e
name=$1 dir=$2 cgroup_version=$3 controllers=$4

mount --make-rprivate /
mount -t proc proc /proc
# Disk of the host: /etc and /var are the machine's with this host's changes on top; the state directory is a
# plain directory, because containerd's overlays cannot stand on an overlay.
for d in etc var; do
  mount -t overlay overlay -o "lowerdir=/$d,upperdir=$dir/disk/$d,workdir=$dir/disk/.$d" "/$d"
done
mkdir -p /var/lib/cleat && mount --bind "$dir/state" /var/lib/cleat
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns
rm -rf /etc/resolv.conf
# A resolver that refuses at once: an unreachable one makes every lookup hang.
echo 'nameserver 127.0.0.1' > /etc/resolv.conf
cat "$dir/machine-id" > /etc/machine-id
hostname "$name"

mount -t sysfs sysfs /sys
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

# An ignored SIGCHLD survives exec and lets the kernel reap what is orphaned to PID 1.
trap '' CHLD
echo ready
exec sleep infinity >/dev/null 2>&1
