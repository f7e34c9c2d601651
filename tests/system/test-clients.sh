#!/bin/bash
# The programs that people attach volumes with, against a mirror.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdinfo nbdcopy qemu-img qemu-io fio cmp

disk_nbdkit a 1G
disk_nbdkit b 1G
pool_create 1+1
must t volume create vm1 256M
must t volume create other 1G
served vm1
U=$(vol vm1)

say "nbdinfo: size, list, flags, an empty map"
[ "$(nbdinfo --size "$U")" = 268435456 ] || die "size: $(nbdinfo --size "$U")"
has '^export="other"' nbdinfo --list "nbd+unix:///?socket=$W/nbd.sock"
has '^export="vm1"' nbdinfo --list "nbd+unix:///?socket=$W/nbd.sock"
for can in flush fua trim zero multi-conn; do
	nbdinfo --can $can "$U" || die "the export cannot $can"
done
nbdinfo --is read-only "$U" && die "the export is read-only"
has '^ +0 +268435456 +3 +hole,zero' nbdinfo --map "$U"

say "nbdcopy in and out"
head -c 268435456 /dev/zero > "$W/in"
for i in 3 17 40 99 200; do
	dd if=/dev/urandom of="$W/in" bs=1M count=7 seek=$i conv=notrunc \
		2> /dev/null
done
must timeout 60 nbdcopy --flush "$W/in" "$U"
must timeout 60 nbdcopy --connections=4 "$U" "$W/out"
must cmp "$W/in" "$W/out"

say "qemu-img: convert in and out, compare, map"
must timeout 60 qemu-img convert -f raw -O qcow2 "$W/in" "$W/in.qcow2"
must timeout 60 qemu-img convert -n -W -m 8 -f qcow2 -O raw "$W/in.qcow2" \
	"$(vol vm1)"
must timeout 60 qemu-img compare -f raw -F qcow2 "$U" "$W/in.qcow2"
must timeout 60 qemu-img convert -f raw -O raw "$U" "$W/out2"
must cmp "$W/in" "$W/out2"
qemu-img map --output=json "$U" > "$W/map" || die "qemu-img map"
has '"data": true' cat "$W/map"

say "thin: a discard gives the space back"
must qemu-io -f raw -c "discard 0 256M" "$U"
has '^ +0 +268435456 +3 +hole,zero' nbdinfo --map "$U"

say "qemu-io: patterns, odd offsets, zeroes, reads of holes"
qemu_io_patterns "$U"
qemu-io -f raw -c "read 256M 4096" "$U" > "$W/past" 2>&1
grep -qE 'read 4096/4096' "$W/past" && die "read past the end"

say "fio with checksums, one connection and four"
fio_verify "$U" --size=64M --bsrange=512-64k --blockalign=512
fio_verify "$U" --size=32M --numjobs=4 --offset_increment=32M \
	--iodepth=8 --trim_percentage=0

say "and all is well"
has 'state: *ONLINE' t status
t status
must t volume delete other
refuse 'other' t volume show other
