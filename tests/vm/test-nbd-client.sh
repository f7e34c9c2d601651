#!/bin/bash
# A volume attached by the NBD client of a guest's kernel, two connections,
# over QEMU's user network to the loopback of this machine.
. "$(dirname "$0")/../lib/kit.sh"
. tests/vm/lib.sh
vm_prepare

disk_nbdkit a 1G
disk_nbdkit b 1G
port=$(free_port)
TARND_ARGS=(--listen "127.0.0.1:$port")
pool_create 1+1
must t volume create v 512M
served v
VM_APPEND="tarn.port=$port tarn.export=v"
vm_start nbd-client -netdev user,id=n0,ipv6=off \
	-device virtio-net-pci,netdev=n0,romfile=
vm_passed
must timeout 60 nbdcopy "$(vol v)" "$W/v.raw"
must e2fsck -fn "$W/v.raw"
has 'state: *ONLINE' t status
