#!/bin/bash
# Disks are lost for good, added, drained, removed and replaced while a volume
# is written; what was acknowledged is there all the time, and in the end the
# pool is whole.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp tarn-check jq

disk_tarn a 512M
disk_tarn b 512M
disk_tarn c 512M
pool_create 1+1
must t volume create v 96M
served v
state() { t status --json | jq -r .state; }
online() { [ "$(state)" = online ]; }
units() { t status --json | jq -r .rebuild.units; }
whole() { [ "$(units)" = 0 ]; }
uuid_of() { t disk list --json | jq -r --arg p "${URI[$1]}" \
	'.disks[] | select(.place == $p) | .uuid'; }
out() { t disk list --json | jq -e --arg u "$1" \
	'.disks[] | select(.uuid == $u) | .state == "out"' > /dev/null; }
is_gone() { ! t disk list --json | grep -q "$1"; }
writing() {
	"$STAMP" write "$(vol v)" "$W/v.j" --ops 6000 --qd 16 \
		> "$W/v.out" 2>&1 &
	v=$!
}
written() {
	wait $v || die "the writer: $(cat "$W/v.out")"
	must "$STAMP" verify "$(vol v)" "$W/v.j"
}

say "a disk is lost for good: what was on it is made again on the others"
writing
written
c=$(uuid_of c)
stop c KILL
wait_for 20 out "$c"
has 'starts in' t status
writing
has 'made again' t disk rebuild
has 'already' t disk rebuild
wait_for 60 whole
wait_for 20 eval "t events | grep -q rebuild.finished"
has 'rebuild.started' t events
written

say "it is removed, and another is added"
has 'usable capacity' t disk remove -n "$c"
must t disk remove "$c"
has 'already' t disk remove "$c"
wait_for 30 is_gone "$c"
wait_for 20 online
has 'already' t disk remove "$c"
refuse 'add a disk first' t disk remove "${URI[a]}"
refuse 'has no disk' t disk remove nbd://127.0.0.1:1/x
disk_tarn d 768M
writing
has 'usable capacity' t disk add -n "${URI[d]}"
must t disk add "${URI[d]}"
has 'already' t disk add "${URI[d]}"
written

say "a disk is drained under load, kept, and then removed"
a=$(uuid_of a)
writing
must t disk drain "${URI[a]}"
has 'already' t disk drain "${URI[a]}"
has 'drain' t job list
must t disk keep "${URI[a]}"
must t disk remove "${URI[a]}"
wait_for 60 is_gone "$a"
written
has 'blank' t disk discover "${URI[a]}"
refuse 'add a disk first' t disk remove "${URI[b]}"

say "a disk is replaced; the server is killed in the middle"
b=$(uuid_of b)
disk_tarn e 512M
DISKS=("${URI[b]}" "${URI[d]}" "${URI[e]}")
has 'before data is: 1 -> 1' t disk replace -n "${URI[b]}" "${URI[e]}"
refuse 'has no disk' t disk replace -n "${URI[c]}" "${URI[e]}"
must t disk replace "${URI[b]}" "${URI[e]}"
stop tarnd KILL
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/v.j"
must t disk replace "$b" "${URI[e]}"
wait_for 90 is_gone "$b"
wait_for 20 online
must "$STAMP" verify "$(vol v)" "$W/v.j"

say "the disks are whole, without the old ones"
must t pool export
stop tarnd
must "$BUILD/tarn-check" "$W/d.img" "$W/e.img"
"$BUILD/tarn-check" "$W/c.img" &&
	die "a pool was found on the label of a disk that was removed"
true
