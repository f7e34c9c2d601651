#!/bin/bash
# tarnd is told to stop while two of three disk hosts are cut off: it ends all
# the same; started again it waits for them, and nothing is lost.
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

say "told to stop while two are cut off"
cut_down 1
cut_down 2
"$STAMP" write "$(vol s)" "$W/j" --seconds 30 --qd 4 > "$W/stamp.out" 2>&1 &
s=$!
wait_for 30 suspended
kill -TERM "${PID[tarnd]}"
gone "${PID[tarnd]}" 600 || die "tarnd does not end"
unset "PID[tarnd]"
wait $s
tarnd_start
has 'not open|missing' t status
net_heal 1
net_heal 2
served s
must "$STAMP" verify "$(vol s)" "$W/j"
wait_for 60 online
hosts_check
