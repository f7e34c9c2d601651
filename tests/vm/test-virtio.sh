#!/bin/bash
# A volume as the virtio-blk disk of a virtual machine, QEMU being the client.
. "$(dirname "$0")/../lib/kit.sh"
. tests/vm/lib.sh
vm_prepare

disk_nbdkit a 1G
disk_nbdkit b 1G
disk_nbdkit c 1G
pool_create 2+1
must t volume create v 512M
served v
vm_start files -drive driver=nbd,server.type=unix,server.path="$W/nbd.sock",export=v,if=none,id=d0,discard=unmap,cache.direct=on \
	-device virtio-blk-pci,drive=d0
vm_passed
must timeout 60 nbdcopy "$(vol v)" "$W/v.raw"
must e2fsck -fn "$W/v.raw"
has 'state: *ONLINE' t status
