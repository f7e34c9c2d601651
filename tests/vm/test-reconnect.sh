#!/bin/bash
# tarnd is killed with -9 under a running guest, twice, and started again;
# QEMU reconnects and the guest sees nothing of it.
. "$(dirname "$0")/../lib/kit.sh"
. tests/vm/lib.sh
vm_prepare

# Not nbdkit: it may abort when a client dies that waits for many replies.
disk_tarn a 1G
disk_tarn b 1G
disk_tarn c 1G
pool_create 2+1
must t volume create v 512M
served v
vm_start reconnect -drive driver=nbd,server.type=unix,server.path="$W/nbd.sock",export=v,if=none,id=d0,cache.direct=on,reconnect-delay=60 \
	-device virtio-blk-pci,drive=d0
for mark in GUEST-NOW GUEST-AGAIN; do
	vm_wait $mark
	stop tarnd KILL
	say "killed at $mark"
	sleep 1
	tarnd_start
	served v
done
vm_passed
must timeout 60 nbdcopy "$(vol v)" "$W/v.raw"
must e2fsck -fn "$W/v.raw"
has 'state: *ONLINE' t status
