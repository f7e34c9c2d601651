#!/bin/bash
# Any NBD server is a disk: nbdkit, qemu-nbd, nbd-server and our own, together
# in one pool; and a plain file.
. "$(dirname "$0")/../lib/kit.sh"
requires fio qemu-nbd nbd-server nbdkit

disk_nbdkit a 512M
disk_qemu b 512M
disk_nbd_server c 512M
truncate -s 512M "$W/d.img"
URI[d]=$W/d.img
if [ -x "$BUILD/tarn-diskd" ]; then
	disk_tarn e 512M 127.0.0.2
fi
pool_create 2+1
must t volume create v 512M
must t volume create w 64M
served v

say "write with checksums"
fio_verify "$(vol v)" --size=128M --bsrange=4k-256k

say "every kind of disk is in use"
t disk list
[ "$(t disk list -H | grep -c ONLINE)" = ${#URI[@]} ] ||
	die "not all disks are ONLINE"

say "the same after a restart"
must "$STAMP" write "$(vol w)" "$W/j" --ops 3000 --qd 16
stop tarnd
tarnd_start
served w
must "$STAMP" verify "$(vol w)" "$W/j"
has 'state: *ONLINE' t status
