#!/bin/bash
# tarnd is killed with -9 under load, again and again.  Nothing that it had
# acknowledged may be missing, nothing may be torn or out of order.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

# Not nbdkit: it may abort when a client dies that waits for many replies.
disk_tarn a 1G
disk_qemu b 1G
disk_tarn c 1G 127.0.0.2
pool_create 2+1
must t volume create v 128M
must t volume create w 64M
served v

for round in 1 2 3 4 5; do
	say "round $round"
	"$STAMP" write "$(vol v)" "$W/v.j" --seconds 20 --qd 32 \
		--connections 2 > "$W/v.out" 2>&1 &
	v=$!
	"$STAMP" write "$(vol w)" "$W/w.j" --seconds 20 --qd 4 \
		--flush-every 20 --run-blocks 256 > "$W/w.out" 2>&1 &
	w=$!
	lines=$(cat "$W/v.j" 2> /dev/null | wc -l)
	more() { [ "$(wc -l < "$W/v.j")" -gt $((lines + 300 * round)) ]; }
	wait_for 15 more
	stop tarnd KILL
	wait $v
	[ $? = 3 ] || die "the writer: $(cat "$W/v.out")"
	wait $w
	[ $? = 3 ] || die "the writer: $(cat "$W/w.out")"
	cat "$W/v.out" "$W/w.out"
	tarnd_start
	served v
	served w
	must "$STAMP" verify "$(vol v)" "$W/v.j"
	must "$STAMP" verify "$(vol w)" "$W/w.j"
done

say "killed while it recovers"
"$STAMP" write "$(vol v)" "$W/v.j" --seconds 20 --qd 32 > "$W/v.out" 2>&1 &
v=$!
lines=$(wc -l < "$W/v.j")
more() { [ "$(wc -l < "$W/v.j")" -gt $((lines + 1000)) ]; }
wait_for 15 more
stop tarnd KILL
wait $v
for ms in 005 02 05 1 2; do
	tarnd_launch
	sleep 0.$ms
	stop tarnd KILL
done
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/v.j"
must "$STAMP" verify "$(vol w)" "$W/w.j"

say "a clean stop and start"
must "$STAMP" write "$(vol v)" "$W/v.j" --ops 2000 --qd 8
stop tarnd
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/v.j" --flushed
must "$STAMP" verify "$(vol v)" "$W/v.j"
has 'state: *ONLINE' t status
