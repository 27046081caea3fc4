#!/bin/sh
# PID 1 of a host that run.sh starts: this machine's files with a layer of memory on top, then the command, then power off.
mount -t proc proc /proc
job=$(sed 's/.* job=\([^ ]*\).*/\1/' /proc/cmdline)
mount -t tmpfs -o size=90% tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root || exit 1
pivot_root . mnt
umount -l /mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
for place in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmpfs $place; done
mkdir -p "$job" /run/netns
mount -t hostfs none "$job" -o "$job"
# Mapping its rings corrupts memory on this architecture.
echo 2 > /proc/sys/kernel/io_uring_disabled
ip link set lo up
hostname uml
{
  . "$job/environment"
  [ -z "$written" ] || { mkdir -p "$written"; mount -t hostfs none "$written" -o "$written"; }
  export PATH HOME=/root LANG=C.UTF-8
  # Not as PID 1, which would have to look after orphans; and not below the root of the cgroups, which may hold no process.
  mkdir -p /sys/fs/cgroup/command
  eval "setsid sh -c 'echo 0 > /sys/fs/cgroup/command/cgroup.procs; exec \"\$@\"' sh $(cat "$job/command")" </dev/null
  echo $? > "$job/status"
} >> "$job/output" 2>&1
sync
echo o > /proc/sysrq-trigger
sleep 60
