#!/bin/bash
# A disk host stops answering (SIGSTOP) under load: no request of a client may
# take longer than 10 s, and what the disk answers later harms nothing.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

# Not nbdkit: it may abort when it is continued after its clients have left.
disk_tarn a 1G
disk_qemu b 1G
disk_tarn c 1G 127.0.0.2
pool_create 2+1
must t volume create v 128M
served v
online() { t status | grep -qE 'state: *ONLINE'; }
must "$STAMP" write "$(vol v)" "$W/j" --ops 3000 --qd 16

for victim in a c; do
	say "disk $victim hangs"
	"$STAMP" write "$(vol v)" "$W/j" --seconds 12 --qd 16 \
		> "$W/out" 2>&1 &
	s=$!
	lines=$(wc -l < "$W/j")
	writes() { [ "$(wc -l < "$W/j")" -gt "$lines" ]; }
	wait_for 10 writes
	kill -STOP "${PID[$victim]}"
	before=$(wc -l < "$W/j")
	# Every request that is under way ends within ten seconds: that is the
	# promise.  Sixteen are, and what comes after them are others.
	went_on() { [ "$(wc -l < "$W/j")" -gt $((before + 64)) ]; }
	wait_for 10 went_on
	sleep 3
	kill -CONT "${PID[$victim]}"
	wait $s || die "the writer: $(cat "$W/out")"
	cat "$W/out"
	must "$STAMP" verify "$(vol v)" "$W/j"
	wait_for 40 online
done

say "killed with a hanging disk"
kill -STOP "${PID[b]}"
"$STAMP" write "$(vol v)" "$W/j" --seconds 20 --qd 16 > "$W/out" 2>&1 &
s=$!
before=$(wc -l < "$W/j")
wait_for 15 went_on
stop tarnd KILL
wait $s
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/j"
kill -CONT "${PID[b]}"
wait_for 40 online
must "$STAMP" verify "$(vol v)" "$W/j"
