#!/bin/bash
# tarnd is killed while every write is flushed and a disk host is cut off: it
# starts with what is there, and nothing that it promised is lost.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
. "$(dirname "$0")/../lib/netns.sh"
requires tarn-stamp
# What is waited for is not waited for so long.
TARND_ARGS=(--disk-timeout 2 --open-wait 2)
net_hosts
must t volume create s 64M
served s
suspended() { t status | grep -qE 'state: *SUSPENDED'; }

say "host 2 is cut off while every write is flushed"
"$STAMP" write "$(vol s)" "$W/j" --seconds 30 --qd 4 --flush-every 2 \
	> "$W/stamp.out" 2>&1 &
s=$!
more() { [ "$(wc -l < "$W/j")" -gt $((lines + 300)) ]; }
lines=0
wait_for 20 more
cut_down 2
lines=$(wc -l < "$W/j")
wait_for 30 more
wait_for 20 degraded
say "tarnd is killed, and starts with that host cut off"
stop tarnd KILL
wait $s
[ $? = 3 ] || die "the writer: $(cat "$W/stamp.out")"
tarnd_start
served s
has 'state: *DEGRADED' t status
must "$STAMP" verify "$(vol s)" "$W/j"
net_heal 2
wait_for 60 online

say "another is cut off: nothing that was flushed was on it alone"
cut_down 1
must "$STAMP" verify "$(vol s)" "$W/j" --flushed
net_heal 1
wait_for 60 online

hosts_check
