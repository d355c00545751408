#!/vxlab/busybox sh
# shellcheck shell=dash
# Second stage of a guest: unpacks the input, runs its command, and gives its files back. ttyS0 is
# the kernel's log, ttyS1 the command's terminal, ttyS2 takes its reports.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
exec >/dev/ttyS0 2>&1 </dev/null
tools=/dev/vdc input=/dev/vdd output=/dev/vde

report() {
    echo "{\"guest\": \"$1\", \"value\": \"$2\"}" >/dev/ttyS2
}

if [ -n "${warm-}" ]; then # this is where it is stored, and later restored with another input
    python3 -P /vxlab/forkserver.py serve $input || report trouble "the fork server did not start"
fi
unset warm
/bin/tar -b 256 -xf $input -C / || report trouble "the input could not be unpacked"
if [ -e /vxlab/tools ]; then
    read -r place </vxlab/tools || [ -n "$place" ]
    mkdir -p "$place"
    mount -t ext4 -o ro,noatime $tools "$place"
fi
read -r seconds _ </proc/uptime
report up "$seconds"
cd /work || :
bash /vxlab/command </dev/ttyS1 >/dev/ttyS1 2>&1
code=$?
for place in / /tmp; do
    free=$(/vxlab/busybox stat -f -c %a "$place") # in pages of 4 KB
    if [ "${free:-16}" -lt 16 ]; then
        report full "$place"
    fi
done
tar -cf $output -C /out . || report trouble "what is in /out could not be packed"
sync
report exit "$code"
# A port sends on after the last write to it: any setting waits until all has left (TCSADRAIN).
for port in /dev/ttyS1 /dev/ttyS2; do
    /vxlab/busybox stty -F $port min 1
done
echo b >/proc/sysrq-trigger
/vxlab/busybox reboot -f # a kernel without sysrq
