#!/bin/bash
# A pool that fills up says ENOSPC to new data and nothing else; deleting or
# trimming makes it go on by itself.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io tarn-stamp

disk_nbdkit a 192M
disk_nbdkit b 192M
pool_create 1+1
must t volume create keep 16M
must t volume create big 1G
served big
must "$STAMP" write "$(vol keep)" "$W/j" --ops 1500 --qd 8
t df

say "write until it is full"
full=
for ((i = 0; i < 64; i++)); do
	timeout 60 qemu-io -f raw -c "write -P 0x77 $((i * 4))M 4M" \
		"$(vol big)" > "$W/io" 2>&1
	if grep -qi 'no space' "$W/io"; then
		full=$i
		break
	fi
	grep -q '^wrote' "$W/io" || die "write $i: $(cat "$W/io")"
done
[ -n "$full" ] || die "256 MiB went into a pool of 192 MiB"
say "full after $((full * 4)) MiB"
t df
must "$STAMP" verify "$(vol keep)" "$W/j"
has 'status|state' t status

say "reads and the delete work; a new start too"
must qemu-io -f raw -c "read -P 0x77 0 $(((full - 1) * 4))M" "$(vol big)"
stop tarnd KILL
tarnd_start
served keep
must "$STAMP" verify "$(vol keep)" "$W/j"

say "a trim makes room"
must qemu-io -f raw -c "discard 0 $(((full - 1) * 4))M" "$(vol big)"
room() {
	timeout 60 qemu-io -f raw -c "write -P 0x78 0 8M" "$(vol big)" \
		2>&1 | grep -q '^wrote'
}
wait_for 30 room

say "and a delete"
must t volume delete big
must t volume create again 64M
served again
fits() {
	timeout 60 qemu-io -f raw -c "write -P 0x79 0 64M" "$(vol again)" \
		2>&1 | grep -q '^wrote'
}
wait_for 30 fits
must "$STAMP" verify "$(vol keep)" "$W/j"
has 'state: *ONLINE' t status
