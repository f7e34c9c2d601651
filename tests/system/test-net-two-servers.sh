#!/bin/bash
# The network falls into two parts: one server with one disk host of three, and
# another server with the other two.  The second one takes over; the first one
# answers nothing any more, and does not come back when it sees all again.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
. "$(dirname "$0")/../lib/netns.sh"
requires tarn-stamp nft
net_hosts
can_filter || skip "this kernel has no packet filter for nft"
must net_add srv2 10.77.0.101
must t volume create v 64M
served v

say "the network falls apart, with writes under way"
"$STAMP" write "$(vol v)" "$W/j" --seconds 60 --qd 8 > "$W/stamp.out" 2>&1 &
s=$!
more() { [ "$(wc -l < "$W/j")" -gt 1000 ]; }
wait_for 30 more
must filter srv 23 ip saddr '{ 10.77.0.2, 10.77.0.3 }' drop
must filter srv2 1 ip saddr 10.77.0.1 drop

# A directory of locks of its own makes it another machine.
mkdir "$W/run2"
start tarnd2 ip netns exec "$(ns srv2)" "$BUILD/tarnd" --pool p \
	--listen "unix:$W/nbd2.sock" --control "$W/ctl2" --run-dir "$W/run2" \
	--disks "${DISKS[@]}"
v2=nbd+unix:///v?socket=$W/nbd2.sock
t2() { timeout 60 "$BUILD/tarn" --control "$W/ctl2" "$@"; }
wait_for 60 answers "$v2"
t2 status

# Lines of the first one's journal that say that something was acknowledged.
answers_to() { grep -c '^[AF]' "$W/j"; }

say "the first one answers nothing any more; what it acknowledged is there"
lines=$(answers_to)
cp "$W/j" "$W/copy"
must "$STAMP" verify "$v2" "$W/copy"
must "$STAMP" write "$v2" "$W/copy" --ops 1000 --qd 8
[ "$(answers_to)" = "$lines" ] || die "two servers answered"
kill -0 $s 2> /dev/null || die "the writer: $(cat "$W/stamp.out")"

say "all see all again: the first one gives up, whatever it still had in hand"
unfilter srv 23
unfilter srv2 1
gave_up() { t status | grep -qiE 'another server'; }
wait_for 60 gave_up
wait $s
[ $? = 3 ] || die "the writer: $(cat "$W/stamp.out")"
[ "$(answers_to)" = "$lines" ] || die "the first one answered again"
answers "$(vol v)" && die "two servers serve v"
online2() { t2 status | grep -qE 'state: *ONLINE'; }
wait_for 60 online2
must "$STAMP" verify "$v2" "$W/copy"
must "$STAMP" write "$v2" "$W/copy" --ops 1000 --qd 8
must "$STAMP" verify "$v2" "$W/copy"

say "back again by an import"
must t2 pool export p
stop tarnd2
must t pool import p
served v
must "$STAMP" verify "$(vol v)" "$W/copy"
hosts_check
