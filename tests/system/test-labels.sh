#!/bin/bash
# Labels with flipped bits: in one slot, at one end, everywhere; a disk that
# shrank; a disk of another pool; a copy of a disk.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

for d in a b c; do
	disk_nbdkit $d 256M
done
pool_create 2+1
must t volume create v 32M
served v
must "$STAMP" write "$(vol v)" "$W/j" --ops 2000 --qd 8
stop tarnd

# flip DISK OFFSET: change one bit.
flip() {
	local byte

	byte=$(od -An -tu1 -j "$2" -N 1 "$W/$1.img")
	printf "%b" "\\x$(printf %02x $((byte ^ 4)))" |
		dd of="$W/$1.img" bs=1 seek="$2" conv=notrunc 2> /dev/null
}
# The label slots: 64 KiB each from block 16 of either MiB on.
slots() {
	local base=$1 s

	for ((s = 0; s < 14; s++)); do
		echo $((base + 65536 + s * 65536 + 100))
	done
}
again() {
	tarnd_start
	served v
	must "$STAMP" verify "$(vol v)" "$W/j"
	stop tarnd
}
size=$((256 << 20))

say "one slot of one disk"
for o in $(slots 0 | sed -n 2p) $(slots $((size - (1 << 20))) | sed -n 3p); do
	flip a "$o"
done
again

say "the whole first end of each disk"
for d in a b c; do
	dd if=/dev/urandom of="$W/$d.img" bs=1M count=1 conv=notrunc 2> /dev/null
done
again

say "both ends of one disk: it is not known any more, the pool goes on"
dd if=/dev/urandom of="$W/b.img" bs=1M count=1 conv=notrunc 2> /dev/null
dd if=/dev/urandom of="$W/b.img" bs=1M count=1 seek=255 conv=notrunc \
	2> /dev/null
tarnd_start
t status
t disk discover
opened() { answers "$(vol v)" || t pool import p; }
wait_for 30 opened
served v
must "$STAMP" verify "$(vol v)" "$W/j"
has 'state: *DEGRADED' t status
