#!/bin/bash
# The way to one of three disk hosts is cut, for long and for short, and one of
# them loses power, under fio that verifies: no request may fail, or take longer
# than is promised.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
. "$(dirname "$0")/../lib/netns.sh"
net_pool --max_latency=10s

say "host 1: for less than a request may take"
cut_down 1
sleep 1.5
net_heal 1
net_settled

net_missed down 2

say "host 3: without power for a moment"
net_reboot 3
wait_for 20 host_answers h3
net_settled

net_missed route 1
load_stop
hosts_check
