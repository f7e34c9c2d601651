#!/bin/bash
# What a guest trims, and what a deleted volume held, the disk hosts get back:
# their sparse files shrink.  One host is nbdkit, one ours; both over files.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy nbdinfo qemu-io fallocate

head -c 8M /dev/urandom > "$W/probe"
fallocate -p -o 0 -l 8M "$W/probe" 2> /dev/null ||
	skip "the file system of $W punches no holes"

# MiB that the files of both hosts take.
taken() {
	du -cm "$W/a.img" "$W/b.img" | tail -n 1 | cut -f1
}

# taken_below MIB
taken_below() {
	[ "$(taken)" -lt "$1" ]
}

disk_nbdkit a 1G
disk_tarn b 1G
pool_create 1+1
must t volume create keep 64M
must t volume create gone 256M
must t volume create guest 256M

say "three volumes are filled"
head -c 256M /dev/urandom > "$W/data"
for v in gone guest; do
	must nbdcopy "$W/data" "$(vol $v)"
done
head -c 64M "$W/data" > "$W/keep"
must nbdcopy "$W/keep" "$(vol keep)"
full=$(taken)
echo "$full MiB on the hosts"
[ "$full" -ge 1152 ] || die "2 x 576 MiB were written, $full MiB are taken"

say "one is deleted"
must t volume delete gone --now
wait_for 60 taken_below $((full - 400))
less=$(taken)
echo "$less MiB on the hosts"

say "a guest trims most of another"
must qemu-io -f raw -d unmap -c 'discard 0 240M' -c flush "$(vol guest)"
wait_for 60 taken_below $((less - 380))
echo "$(taken) MiB on the hosts"

say "what is left is still there, after a restart too"
check() {
	nbdcopy "$(vol keep)" - | cmp - "$W/keep" || die "keep differs"
	nbdcopy "$(vol guest)" - | tail -c 16M |
		cmp - <(tail -c 16M "$W/data") || die "guest differs"
}
check
stop tarnd KILL
tarnd_start
served keep
served guest
check
must t volume create new 256M
served new
must nbdcopy "$W/data" "$(vol new)"
check
stop tarnd
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img"
