#!/bin/bash
# A scrub finds what nobody has read: the middle of a disk is overwritten behind
# our back, a scrub mends it, and then another disk may go.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

none() { t scrub status | grep -q '^state: *none'; }
for d in a b c; do
	disk_nbdkit $d 512M
done
pool_create 2+1
must t volume create v 128M
served v
refuse 'no scrub that could be paused' t scrub pause
has 'none to be stopped' t scrub stop
must "$STAMP" write "$(vol v)" "$W/j" --ops 4000 --qd 16

say "a clean end and another start: what was written is in sealed segments"
must t pool export
stop tarnd TERM
say "the middle of one disk is overwritten"
dd if=/dev/urandom of="$W/a.img" bs=1M seek=4 count=300 conv=notrunc \
	2> /dev/null
tarnd_start
wait_for 30 t volume show v
must t scrub start
wait_for 120 none
t scrub status
t scrub status | grep -qE '^wrong: *[1-9][0-9]* blocks, [1-9][0-9]* repaired, 0 not' ||
	die "it was not repaired"
wait_for 30 eval "t events | grep -q scrub.finished"
has 'disk.errors' t alarm list
must "$STAMP" verify "$(vol v)" "$W/j"

say "paused over a restart"
must t scrub start
must t scrub pause
has 'already' t scrub pause
has 'scrub .*paused' t job list
must t pool export
stop tarnd TERM
tarnd_start
wait_for 30 t volume show v
has '^state: *paused' t scrub status
must t scrub start
wait_for 120 none
has '^wrong: *0 blocks' t scrub status

say "what was mended is needed: the other copy goes"
stop b KILL
must "$STAMP" verify "$(vol v)" "$W/j"
