#!/bin/bash
# Two servers never serve a pool at once.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

disk_nbdkit a 512M
disk_nbdkit b 512M
pool_create 1+1
must t volume create v 64M
served v
must "$STAMP" write "$(vol v)" "$W/j" --ops 2000 --qd 8

say "a second tarnd on the same disks does not get the pool"
start tarnd2 "$BUILD/tarnd" --listen "unix:$W/nbd2.sock" \
	--control "$W/ctl2" --disks "${DISKS[@]}"
up2() { "$BUILD/tarn" --control "$W/ctl2" pool list; }
wait_for 20 up2
# It has looked at the disks, and says whose they are.
told2() { "$BUILD/tarn" --control "$W/ctl2" status |
	grep -qiE 'another|owner|lock'; }
wait_for 20 told2
answers "nbd+unix:///v?socket=$W/nbd2.sock" && die "two servers serve v"
refuse 'another|owner|held|in use|lock' "$BUILD/tarn" --control "$W/ctl2" \
	pool import p
"$BUILD/tarn" --control "$W/ctl2" status
must "$STAMP" write "$(vol v)" "$W/j" --ops 2000 --qd 8
must "$STAMP" verify "$(vol v)" "$W/j"

say "when the first is killed, the second can take over at once"
stop tarnd KILL
taken() { "$BUILD/tarn" --control "$W/ctl2" pool list | grep -q p &&
	{ answers "nbd+unix:///v?socket=$W/nbd2.sock" ||
	"$BUILD/tarn" --control "$W/ctl2" pool import p; }; }
wait_for 30 taken
wait_for 30 answers "nbd+unix:///v?socket=$W/nbd2.sock"
must "$STAMP" verify "nbd+unix:///v?socket=$W/nbd2.sock" "$W/j"

say "an export, and an import by the first"
must "$BUILD/tarn" --control "$W/ctl2" pool export p
answers "nbd+unix:///v?socket=$W/nbd2.sock" && die "exported, yet served"
unset "PID[tarnd]"
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/j"
