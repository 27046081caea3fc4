#!/bin/sh
# PID 1 of a host with a disk: this machine's files with a layer on the disk on top, then systemd as on any host.
mount -t proc proc /proc
job=$(sed 's/.* job=\([^ ]*\).*/\1/' /proc/cmdline)
mount -t ext4 /dev/ubda /mnt
mkdir -p /mnt/upper /mnt/work /mnt/root /mnt/state
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root || exit 1
# Overlays of containerd cannot stand on an overlay.
mkdir -p var/lib/cleat
mount --bind /mnt/state var/lib/cleat
pivot_root . mnt
umount -l /mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
# systemd leaves this out on such a machine; AppArmor's parser wants it.
mount -t securityfs securityfs /sys/kernel/security
mount -t devtmpfs devtmpfs /dev 2>/dev/null
# What the machine has there is not this host's; systemd would remove it file by file.
mount -t tmpfs -o mode=1777 tmpfs /tmp
# A host with nothing on it: what the machine has enabled is not this host's. Only the first time, for its disk is kept.
if [ ! -e /etc/lab-host ]; then
  rm -rf /etc/systemd/system /etc/fstab /etc/cleat /etc/cni /var/lib/cni /var/cache/cleat /usr/local/bin/cleat
  mkdir -p /etc/systemd/system/multi-user.target.wants
  ln -s /lib/systemd/system/multi-user.target /etc/systemd/system/default.target
  for unit in networking ssh systemd-networkd systemd-resolved systemd-timesyncd systemd-udevd systemd-udev-trigger systemd-random-seed e2scrub_reap apt-daily.timer apt-daily-upgrade.timer; do
    case $unit in *.timer) ;; *) unit=$unit.service ;; esac
    ln -s /dev/null "/etc/systemd/system/$unit"
  done
  sed 's/.* hostname=\([^ ]*\).*/\1/' /proc/cmdline > /etc/hostname
  tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id
  # A resolver that refuses at once: an unreachable one makes every look-up hang.
  rm -f /etc/resolv.conf
  echo 'nameserver 127.0.0.1' > /etc/resolv.conf
  printf '[Manager]\nShowStatus=no\nDefaultTimeoutStopSec=20s\n' > /etc/systemd/system.conf
  printf '[Unit]\nDescription=Commands of the lab\nDefaultDependencies=no\nAfter=local-fs.target\n[Service]\nExecStart=/bin/sh /etc/lab-commands\nKillMode=process\nDelegate=yes\n' > /etc/systemd/system/lab-commands.service
  ln -s ../lab-commands.service /etc/systemd/system/multi-user.target.wants/lab-commands.service
  : > /etc/lab-host
fi
# Each file NUMBER.sh in the job's folder is run once; what it says and how it ends stand beside it.
cat > /etc/lab-commands <<'SH'
mkdir -p /run/lab
mount -t hostfs none /run/lab -o "$(sed 's/.* job=\([^ ]*\).*/\1/' /proc/cmdline)"
while :; do
  for file in /run/lab/*.sh; do
    [ -e "$file" ] || continue
    case $file in */machine.sh) continue ;; esac
    name=${file%.sh}
    mv "$file" "$name.running"
    { sh "$name.running" >"$name.out" 2>"$name.err" </dev/null; echo $? >"$name.rc.n"; mv "$name.rc.n" "$name.rc"; } &
  done
  sleep 0.1
done
SH
# Mapping its rings corrupts memory on this architecture.
echo 2 > /proc/sys/kernel/io_uring_disabled
clock=$(sed -n 's/.* clock=\([0-9]*\).*/\1/p' /proc/cmdline)
[ -z "$clock" ] || date -s "@$clock"
address=$(sed 's/.* address=\([^ ]*\).*/\1/' /proc/cmdline)
ip link set vec0 up
ip address add "$address/24" dev vec0
ip route add default via "${address%.*}.1"
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i PATH="$PATH" /sbin/init
