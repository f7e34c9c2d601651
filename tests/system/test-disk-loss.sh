#!/bin/bash
# A disk host is killed under load and comes back; then another; all the time
# every read is right and every write is taken.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp fio

# Not nbdkit: it may abort when a client dies that waits for many replies.
disk_tarn a 1G
disk_tarn b 1G
disk_tarn c 1G
pool_create 2+1
must t volume create v 128M
must t volume create f 128M
served v
degraded() { t status | grep -qE 'state: *DEGRADED'; }
online() { t status | grep -qE 'state: *ONLINE'; }
more() { [ "$(wc -l < "$W/v.j")" -gt "$goal" ]; }

for victim in a b c; do
	say "kill -9 of disk $victim under fio and stamps"
	"$STAMP" write "$(vol v)" "$W/v.j" --ops 20000 --qd 16 \
		> "$W/v.out" 2>&1 &
	v=$!
	fio_verify "$(vol f)" --size=64M --output="$W/fio-$victim.log" &
	f=$!
	goal=$(($(cat "$W/v.j" 2> /dev/null | wc -l) + 2000))
	wait_for 20 more
	stop $victim KILL
	wait_for 20 degraded
	t status
	wait $v || die "the writer: $(cat "$W/v.out")"
	wait $f || die "fio: $(cat "$W/fio-$victim.log")"
	must "$STAMP" verify "$(vol v)" "$W/v.j"
	say "disk $victim comes back"
	disk_tarn $victim
	wait_for 40 online
	must "$STAMP" verify "$(vol v)" "$W/v.j"
done

say "a disk is away while tarnd is killed and starts again"
stop b KILL
"$STAMP" write "$(vol v)" "$W/v.j" --seconds 20 --qd 16 > "$W/v.out" 2>&1 &
v=$!
goal=$(($(wc -l < "$W/v.j") + 3000))
wait_for 20 more
stop tarnd KILL
wait $v
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/v.j"
has 'state: *DEGRADED' t status
disk_tarn b
wait_for 40 online
stop a KILL
must "$STAMP" verify "$(vol v)" "$W/v.j"
