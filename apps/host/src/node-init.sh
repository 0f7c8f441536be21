#!/bin/sh
# First process of a node, in network, mount, PID, UTS and IPC namespaces of its own: makes the read-only image the root,
# gives it what it may write to, and then only reaps what is orphaned in the node.
#   node-init.sh IMAGE ROOT VAR NAME
set -eu
image=$1
root=$2
var=$3
name=$4

hostname "$name"
mount --make-rprivate /
mount -t erofs -o ro,nodev "$image" "$root"
mount --bind "$var" "$root/var"
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"

# No disk and no other device of the machine, only those that every container has, and the kernel's log for the kubelet.
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null zero full random urandom tty kmsg fuse; do
  [ -e "/dev/$device" ] || continue
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"

for file in resolv.conf hosts hostname machine-id; do
  [ -f "$root/etc/$file" ] && [ ! -L "$root/etc/$file" ] && mount --bind "$var/etc/$file" "$root/etc/$file"
done

mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
cd /
umount -l /run/old
rmdir /run/old
mount --make-rshared /
mkdir -p /run/netns /run/lock
: >/run/muster.ready
exec /bin/sh -c 'trap "exit 0" TERM INT; while :; do sleep 2147483647 & wait $!; done' init
