#!/bin/bash
# What happens to a pool is remembered in it: over a kill of the server, on
# another server that imports it, and when there is no room.  Alarms say what is
# wrong now, until they are muted or it is right again.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io

event() { t events | grep -qE "$1"; }
code() {
	t status --exit-code > /dev/null 2>&1
	[ $? = "$1" ]
}

disk_nbdkit a 192M
disk_nbdkit b 192M
pool_create 1+1
must t volume create v 1G
must t snapshot create v@s
has 'INFORMATION +pool\.create' t events
has 'volume\.create v: by uid' t events
has 'snapshot\.create v@s' t events
has 'There is no alarm' t alarm list
must code 0

say "who follows hears of it at once"
t events -f --since 1h > "$W/follow" 2>&1 &
follower=$!
wait_for 10 grep -q 'volume.create v' "$W/follow"
must t volume resize v 512M --force
wait_for 10 grep -q 'WARNING *volume.resize v.*force' "$W/follow"
kill $follower
wait $follower 2> /dev/null

say "fill it"
# Who finds no space is an alarm, even if there is a little.
fill() {
	local at

	for ((at = 0; at < 256; at += 4)); do
		timeout 60 qemu-io -f raw -c "write -P 0x77 ${at}M 4M" \
			"$(vol v)" > "$W/io" 2>&1
		grep -qi 'no space' "$W/io" && return
	done
	die "it was not full"
}
fill
t df
wait_for 20 event 'pool\.nearly_full'
wait_for 20 event 'CRITICAL +pool\.full'
has 'pool\.full' t alarm list
must code 2
must t snapshot delete v@s
must qemu-io -f raw -c "discard 0 160M" "$(vol v)"
wait_for 20 event 'pool\.room'
wait_for 20 event 'snapshot\.delete v@s'

say "a kill of the server, and a disk that goes away"
stop tarnd KILL
tarnd_start
served v
has 'snapshot\.create v@s' t events
has 'WARNING +volume\.resize v' t events
has 'CRITICAL +pool\.full' t events
has 'WARNING +pool\.recovered' t events
stop b KILL
wait_for 30 event 'disk\.suspect'
wait_for 30 event 'disk\.out'
wait_for 30 event 'pool\.(degraded|suspended)'
wait_for 30 code 2
has 'one more failure loses data' t alarm list
has 'pool.degraded' t status
must t alarm mute pool.degraded --for 1h
must t alarm mute disk.missing --for 1h
must t alarm mute disk.suspect --for 1h
must t alarm mute disk.errors --for 1h
must code 0
has 'muted until' t alarm list
must t alarm mute disk.missing --for 0
must code 2
t alarm mute bogus --for 1h 2> "$W/err" && die "there is an alarm 'bogus'"
grep -q "no alarm 'bogus'" "$W/err" || die "$(cat "$W/err")"
t alarm mute pool.full --for long 2> "$W/err"
[ $? = 2 ] || die "'long' is a time"
t events --since never 2> "$W/err"
[ $? = 2 ] || die "'never' is a time"
disk_nbdkit b 192M
wait_for 60 event 'disk\.online'
wait_for 60 event 'pool\.online'

say "another server"
n=$(t --json events | grep -c '"number"')
must t pool export
stop tarnd TERM
tarnd_start
wait_for 20 event 'pool\.closed'
has 'pool\.full' t events
[ "$(t --json events | grep -c '"number"')" -ge "$n" ] || die "events are gone"
[ "$(t events --since 0s | wc -l)" = 0 ] || has 'pool\.opened' t events --since 5s
must t pool export
stop tarnd TERM
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img"
must grep -q "pool.full" <("$BUILD/tarn-dump" "$W/a.img" "$W/b.img" events)
