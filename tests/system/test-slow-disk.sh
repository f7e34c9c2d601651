#!/bin/bash
# A disk becomes far slower than the others (nbdkit's delay filter): reads go
# round it, that is told, and when it is fast again it is read from again.  What
# is judged is what the server counts, not how long anything takes.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy nbdkit

nbdkit --filter=delay null --dump-plugin > /dev/null 2>&1 ||
	skip "nbdkit has no delay filter"

event() { t events | grep -qE "$1"; }
online() { t status | grep -qE 'state: *ONLINE'; }
alarm() { t alarm list | grep -qE "$1"; }
quiet() { ! alarm 'disk\.slow_reads.*/b\.sock'; }
# Nothing is kept in memory but the map.
TARND_ARGS=(--cache 0)
stat() {
	t stats --json |
		python3 -c "import json, sys; print(json.load(sys.stdin)['pool']['$1'])"
}
# Of four blocks each, from the disks.
read_all() {
	must nbdcopy --request-size=16384 --connections=1 --requests=2 \
		"$(vol v)" null: < /dev/null
}
again() {
	# Without a word: nbdkit would fail what it delays.
	stop b KILL
	disk_nbdkit b 512M "$@"
	wait_for 30 online
}

for redundancy in 2+1 1+1; do
	say "$redundancy"
	for d in a b c; do
		[ "$d$redundancy" = c1+1 ] || disk_nbdkit $d 512M
	done
	pool_create $redundancy
	must t volume create v 64M
	served v
	must qemu-io -f raw -c "write -P 0x5a 0 8M" "$(vol v)" > "$W/io"
	must nbdcopy "$(vol v)" "$W/before.$redundancy"
	read_all
	has 'READ ms' t disk list

	say "one disk answers after 500 ms"
	NBDKIT_PARAMS=(rdelay=500ms)
	again --filter=delay
	NBDKIT_PARAMS=()
	found() {
		read_all
		alarm 'disk\.slow_reads.*/b\.sock'
	}
	wait_for 60 found
	must [ "$(stat around_reads)" -gt 0 ]
	must [ "$(stat probes)" -gt 4 ]
	wait_for 20 event 'disk\.slow_reads'
	has 'read around' t disk list
	t disk list
	t alarm list
	must nbdcopy "$(vol v)" "$W/after"
	must cmp "$W/before.$redundancy" "$W/after"
	# Writes go to it all the same.
	must qemu-io -f raw -c "write -P 0x5b 0 1M" -c flush "$(vol v)" \
		> "$W/io"
	must qemu-io -f raw -c "read -P 0x5b 0 1M" -c "read -P 0x5a 1M 7M" \
		"$(vol v)" > "$W/io"

	say "it is fast again"
	again
	over() {
		read_all
		quiet
	}
	wait_for 60 over
	wait_for 20 event 'disk\.not_slow'
	must t pool export
	for d in a b c; do
		[ "$d$redundancy" = c1+1 ] || stop $d
		rm -f "$W/$d.img"
	done
	unset "URI[c]"
	stop tarnd
done
