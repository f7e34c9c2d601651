#!/bin/bash
# Disks grow, behind an NBD server and as local files, while a volume is written;
# what they have more is used.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp tarn-check nbdkit jq

disk_nbdkit a 256M
disk_nbdkit b 256M
truncate -s 256M "$W/f.img"
URI[f]=$W/f.img
pool_create 1+1
must t volume create v 64M
served v
usable() { t df --json | jq -r .usable_bytes; }
writing() {
	"$STAMP" write "$(vol v)" "$W/v.j" --ops 4000 --qd 16 \
		> "$W/v.out" 2>&1 &
	v=$!
}
written() {
	wait $v || die "the writer: $(cat "$W/v.out")"
	must "$STAMP" verify "$(vol v)" "$W/v.j"
}
whole() { [ "$(t status --json | jq -r .state)" = online ]; }

say "nothing has grown"
has 'already' t disk rescan
before=$(usable)

say "one behind an NBD server, and one that is a file, under load"
truncate -s 512M "$W/a.img"
has 'usable capacity' t disk rescan -n "${URI[a]}"
[ "$(usable)" = "$before" ] || die "-n did something"
has 'used to its end' t disk rescan "${URI[a]}"
wait_for 30 whole
truncate -s 512M "$W/f.img"
writing
has 'used to its end' t disk rescan "${URI[f]}"
written

say "the server is killed; the last one grows"
stop tarnd KILL
tarnd_start
served v
wait_for 30 whole
truncate -s 512M "$W/b.img"
has 'used to its end' t disk rescan
wait_for 30 whole
has 'already' t disk rescan
after=$(usable)
[ "$after" -gt $((before * 3 / 2)) ] || die "usable $before, then $after"
writing
written

refuse 'has no disk' t disk rescan nbd://127.0.0.1:1/x
must t pool export
stop tarnd
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img" "$W/f.img"

say "one that became smaller is refused"
tarnd_start
served v
truncate -s 256M "$W/a.img"
refuse 'smaller' t disk rescan "${URI[a]}"
true
