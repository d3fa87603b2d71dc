#!/bin/sh
# L1's process 1, until the agent takes over: mounts, modules in the order of /lab/modules, the static address that
# the user-mode network gives its guest, then the agent. What goes wrong before shows on the serial console.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /proc /sys /tmp /root /run
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devpts pts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs run /run
mount -t debugfs debug /sys/kernel/debug 2>/dev/null
ln -sf /proc/self/fd /dev/fd
while read -r module options; do
  insmod "$module" $options || echo "l1: insmod $module failed"
done </lab/modules
hostname l1
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up || echo "l1: no eth0"
route add default gw 10.0.2.2
[ -c /dev/kvm ] || echo "l1: no /dev/kvm"
chmod 666 /dev/kvm
cd /root
echo "l1: up after $(cut -d' ' -f1 /proc/uptime) s"
exec /lab/agent 6999 </dev/null
