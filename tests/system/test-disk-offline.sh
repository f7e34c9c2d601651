#!/bin/bash
# A disk is taken offline for maintenance while a volume is written: it stays
# out when its host comes back and when the server is killed, and then gets what
# it missed.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp tarn-check tarn-dump jq

disk_tarn a 256M
disk_tarn b 256M
disk_tarn c 256M
pool_create 1+1
must t volume create v 64M
served v
state_of() { t disk list --json | jq -r --arg p "${URI[$1]}" \
	'.disks[] | select(.place == $p) | .state'; }
is() { [ "$(state_of "$1")" = "$2" ]; }
whole() { [ "$(t status --json | jq -r .state)" = online ]; }
writing() {
	"$STAMP" write "$(vol v)" "$W/v.j" --ops 4000 --qd 16 \
		> "$W/v.out" 2>&1 &
	v=$!
}
written() {
	wait $v || die "the writer: $(cat "$W/v.out")"
	must "$STAMP" verify "$(vol v)" "$W/v.j"
}

say "a disk is taken offline under load"
writing
has 'before data is: 1 -> 0' t disk offline -n "${URI[b]}"
is b online || die "-n did something"
has 'offline' t disk offline "${URI[b]}"
has 'already' t disk offline "${URI[b]}"
is b offline || die "b is $(state_of b)"
refuse 'can do without 1 domain,' t disk offline "${URI[a]}"
refuse 'can do without 1 domain,' t disk offline --force "${URI[a]}"
refuse 'has no disk' t disk offline nbd://127.0.0.1:1/x
written
has 'disk.taken_offline' t alarm list
has 'disk.taken_offline' t events
t status | grep -q 'starts in' && die "a rebuild is waited for"

say "its host goes and comes back, and the server is killed: it stays out"
stop b KILL
disk_tarn b
writing
written
is b offline || die "b is $(state_of b)"
stop tarnd KILL
tarnd_start
served v
is b offline || die "b is $(state_of b) after a restart"
must "$STAMP" verify "$(vol v)" "$W/v.j"
has '1 disk.s. are offline' t disk rebuild

say "it comes back and gets what it missed; then another may go"
has 'before data is: 0 -> 1' t disk online -n "${URI[b]}"
writing
must t disk online "${URI[b]}"
has 'already' t disk online "${URI[b]}"
wait_for 30 is b online
wait_for 60 whole
written
wait_for 60 whole
must t disk offline "${URI[a]}"
must "$STAMP" verify "$(vol v)" "$W/v.j"
must t pool export
stop tarnd
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img" "$W/c.img"
has ', offline' "$BUILD/tarn-dump" "$W/b.img" label
true
