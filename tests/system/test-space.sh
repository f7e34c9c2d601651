#!/bin/bash
# The numbers of tarn df add up, and are those that a walk of everything on the
# disks comes to.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io

disk_nbdkit a 192M
disk_nbdkit b 192M
disk_nbdkit c 256M
pool_create 2+1
must t volume create v 256M
must t volume create w 64M
served v
must qemu-io -f raw -c "write -P 1 0 24M" "$(vol v)" > /dev/null
must qemu-io -f raw -c "write -P 2 0 8M" "$(vol w)" > /dev/null
must t snapshot create v@a w@a
must qemu-io -f raw -c "write -P 3 0 4M" -c "discard 20M 4M" "$(vol v)" \
	> /dev/null
must t volume clone v@a x
must t snapshot create v@b
must t snapshot delete w@a
num() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2"; }

df_sums() {
	must t --json df > "$W/df"
	[ "$(num usable_bytes "$W/df")" = $(($(num data_bytes "$W/df") +
		$(num map_bytes "$W/df") + $(num free_bytes "$W/df"))) ] ||
		die "usable is not data, map and free: $(cat "$W/df")"
	[ "$(num raw_bytes "$W/df")" = $(($(num usable_bytes "$W/df") +
		$(num parity_bytes "$W/df") + $(num reserve_bytes "$W/df"))) ] ||
		die "raw is not usable, parity and reserve: $(cat "$W/df")"
	[ "$(num used_bytes "$W/df")" = $(($(num data_bytes "$W/df") +
		$(num map_bytes "$W/df"))) ] || die "used: $(cat "$W/df")"
}

df_sums
wait_for 30 bash -c "'$BUILD/tarn' job list | grep -q 'Nothing'"
must t pool export
must t pool import p --read-only
df_sums
# v 24 - 4, v@a 24, v@b 20, w 8, x 24
[ "$(num logical_bytes "$W/df")" = $((96 << 20)) ] ||
	die "logical: $(cat "$W/df")"
t df
must t pool export
stop tarnd TERM
must "$BUILD/tarn-check" --json "$W/a.img" "$W/b.img" "$W/c.img" > "$W/check"
[ "$(num data_bytes "$W/df")" = $(($(num mapped_blocks "$W/check") * 4096)) ] ||
	die "data: $(cat "$W/df" "$W/check")"
[ "$(num map_bytes "$W/df")" = $((($(num node_blocks "$W/check") +
	$(num table_blocks "$W/check")) * 4096)) ] ||
	die "map: $(cat "$W/df" "$W/check")"
