#!/bin/busybox sh
# shellcheck shell=dash
# First stage of a guest: loads what its disks need, puts a tmpfs over the root file system, mounts
# what programs expect, and goes there. All of it by a static busybox: to start a program with
# shared libraries takes an emulated processor several times longer.
# /dev/vda is the root file system, vdb to vde are modules, tools, input and output.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1 </dev/null

end() {
    echo "<2>vxlab: $1" >/dev/kmsg # the log has it when the next line runs
    echo b >/proc/sysrq-trigger
    reboot -f
}

read -r words </proc/cmdline
for word in $words; do
    case $word in
    vxlab.modules) modules=/dev/vdb ;;
    vxlab.warm) warm=yes ;;
    vxlab.probe) end probed ;;
    esac
done

for module in /modules/*.ko; do
    [ -e "$module" ] && insmod "$module"
done
tries=0
until [ -b /dev/vda ] || [ $tries -ge 200 ]; do
    tries=$((tries + 1))
    usleep 20000
done
mount -t ext4 -o ro,noatime /dev/vda /low || end "wanted the root file system, found no ext4 on vda"
mount -t tmpfs -o mode=755,size=60% mem /mem
mkdir /mem/upper /mem/work
mount -t overlay -o lowerdir=/low,upperdir=/mem/upper,workdir=/mem/work root /new ||
    end "wanted the file system overlay, found a kernel without it"

mount -t tmpfs -o mode=755 run /new/run
mount -t tmpfs -o mode=1777 tmp /new/tmp
mkdir -p /dev/pts /dev/shm /new/out /new/vxlab
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
echo /sbin/modprobe >/proc/sys/kernel/modprobe
hostname vxlab
ifconfig lo up
stty -F /dev/ttyS1 raw -echo
stty -F /dev/ttyS2 raw -echo

if [ -n "${modules-}" ]; then
    read -r release </proc/sys/kernel/osrelease
    mkdir -p "/new/usr/lib/modules/$release"
    mount -t ext4 -o ro,noatime "$modules" "/new/usr/lib/modules/$release"
fi
cp /bin/busybox /stage2.sh /forkserver.py /new/vxlab/
mount --move /dev /new/dev
mount --move /proc /new/proc
mount --move /sys /new/sys
export warm
exec switch_root /new /vxlab/busybox sh /vxlab/stage2.sh
