#!/bin/bash
# Snapshots that the server takes by itself: at the end of an hour, of a day, of
# a leap day; after it was killed, or not there for long; what is deleted, and
# what people see.  The server's wall clock is ahead of ours
# (tests/lib/preload/fake_clock.c).
. "$(dirname "$0")/../lib/kit.sh"
requires python3 nbdcopy cmp
clock=$BUILD/tests/fake_clock.so
[ -e "$clock" ] || skip "there is no $clock"

# clock_at DATE: programs that are started from now on believe that it is then.
clock_at() {
	FAKE_CLOCK_S=$(($(date -u -d "$1" +%s) - $(date -u +%s)))
	export FAKE_CLOCK_S
}

# The sanitizers want to come first.
export ASAN_OPTIONS=verify_asan_link_order=0:${ASAN_OPTIONS-}
server() {
	LD_PRELOAD=$clock tarnd_start
	wait_for 30 pool_is_open
}
pool_is_open() { t volume list; }
# server_at DATE: kill it, and start it at another time.
server_at() {
	stop tarnd KILL
	clock_at "$1"
	server
}

# snaps VOL: its snapshots in order of age, without the volume and the minute.
snaps() {
	t snapshot list -H "$1" | cut -f 1 |
		sed 's/.*@//; s/\(-[0-9][0-9]-[0-9][0-9]-[0-9][0-9]\)[0-9][0-9]$/\1/' |
		paste -sd ' '
}
# one VOL KIND: the newest of that kind.
one() {
	t snapshot list --json "$1" | python3 -c '
import json, sys
print([s["name"] for s in json.load(sys.stdin)["snapshots"]
       if s["schedule"] == sys.argv[1]][-1])' "$2"
}
is() {
	[ "$(snaps "$1")" = "$2" ]
}
expect() {
	wait_for 60 is "$1" "$2" || die "$1 has '$(snaps "$1")', not '$2'"
}

disk_tarn a 512M
disk_tarn b 512M
clock_at "2027-12-31 23:00:10"
export LD_PRELOAD=$clock
pool_create 1+1
unset LD_PRELOAD
must t volume create v 16M
must t volume create w 16M
head -c 8M /dev/urandom > "$W/one"
must timeout 60 nbdcopy "$W/one" "$(vol v)"

say "bad input"
refuse "no volume 'x'|'x' does not exist" t snapshot schedule x hourly=1
refuse "'x' does not exist" t snapshot schedule x
refuse "'x' does not exist" t snapshot schedule x none
refuse "'hurly=1' is no part of a schedule" t snapshot schedule v hurly=1
refuse "'hourly' is no part" t snapshot schedule v hourly
refuse "'none' is no part" t snapshot schedule v hourly=1 none
for n in 0 -1 10001 1x '' 99999999999999999999 ' 1' 0x10; do
	refuse "cannot be: so many hourly snapshots" \
		t snapshot schedule v "hourly=$n"
done
refuse "given twice" t snapshot schedule v daily=1 daily=2
refuse "names a snapshot" t snapshot schedule v@x hourly=1
t snapshot schedule v hurly=1 > "$W/out" 2>&1
[ $? -eq 2 ] || die "wrong usage does not exit with 2"
has 'no volume has a schedule' t snapshot schedule
has "volume 'v' has no schedule" t snapshot schedule v
has "has no schedule already" t snapshot schedule v none

say "the end of a year, with the server running"
must t snapshot create v@hourly-mine
has "volume 'v' has a new schedule" \
	t snapshot schedule v hourly=2 daily=2 monthly=1 yearly=1
has "has that schedule already" \
	t snapshot schedule v hourly=2 daily=2 monthly=1 yearly=1
must t snapshot schedule w daily=1
has '^v +hourly +2 +0 +- +2028-01-01 00:00' t snapshot schedule
expect v "hourly-mine"
server_at "2027-12-31 23:59:56"
expect v "hourly-mine hourly-2028-01-01-00 daily-2028-01-01-00 \
monthly-2028-01-01-00 yearly-2028-01-01-00"
expect w "daily-2028-01-01-00"
# Of the same instant, also of different volumes.
[ "$(t snapshot list --json | python3 -c '
import json, sys
print(len({s["created_s"] for s in json.load(sys.stdin)["snapshots"]
	   if s["schedule"]}))')" = 1 ] || die "not one instant"
must timeout 60 nbdcopy "$(vol "$(one v hourly)")" "$W/copy"
must cmp -n 8388608 "$W/one" "$W/copy"

say "what people see"
has '^v +hourly +2 +1 +v@hourly-2028-01-01-00.. +2028-01-01 01:00' \
	t snapshot schedule v
has '^w +daily +1 +1 +w@daily-2028-01-01-00.. +2028-01-02 00:00' \
	t snapshot schedule
for c in "schedule" "schedule v" "schedule w daily=1" "show $(one v daily)"; do
	# shellcheck disable=SC2086
	t snapshot $c --json > "$W/out" || die "$c --json: $(cat "$W/out")"
	python3 -m json.tool "$W/out" > /dev/null || die "$c: no JSON"
done
has '"schedule": *\{' t volume show v --json
has '"problem": *null' t snapshot schedule --json

say "killed, and not there for hours and for months"
server_at "2028-01-01 01:00:30"
expect v "hourly-mine hourly-2028-01-01-00 daily-2028-01-01-00 \
monthly-2028-01-01-00 yearly-2028-01-01-00 hourly-2028-01-01-01"
must t snapshot rename "$(one v yearly)" good
must t snapshot hold "$(t snapshot list -H v | cut -f 1 |
	grep hourly-2028-01-01-00)"
server_at "2028-02-29 23:00:30"
expect v "hourly-mine hourly-2028-01-01-00 daily-2028-01-01-00 good \
hourly-2028-01-01-01 hourly-2028-02-29-23 daily-2028-02-29-23 \
monthly-2028-02-29-23"
expect w "daily-2028-02-29-23"

say "the end of a leap day"
must t snapshot release "$(t snapshot list -H v | cut -f 1 |
	grep hourly-2028-01-01-00)"
server_at "2028-02-29 23:59:56"
expect v "hourly-mine good hourly-2028-02-29-23 daily-2028-02-29-23 \
hourly-2028-03-01-00 daily-2028-03-01-00 monthly-2028-03-01-00"

say "a clock that was wrong, and is right again"
server_at "2031-05-05 10:10"
expect w "daily-2031-05-05-10"
server_at "2028-03-02 10:10"
has 'daily +1 +1 +w@daily-2031' t snapshot schedule w
expect w "daily-2031-05-05-10"

say "it ends"
has 'no schedule any more' t snapshot schedule v none
has '"schedule": *null' t volume show v --json
must t volume clone v@good c
has "volume 'c' has no schedule" t snapshot schedule c
must t snapshot schedule w none
before=$(snaps v)
server_at "2030-01-01 00:00:10"
has 'no volume has a schedule' t snapshot schedule
[ "$(snaps v)" = "$before" ] || die "something was taken or deleted"
stop tarnd TERM
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img"
