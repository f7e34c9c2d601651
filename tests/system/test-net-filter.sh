#!/bin/bash
# What one of three disk hosts sends, or what is sent to it, is lost, or refused,
# or lost now and then, under fio that verifies.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
. "$(dirname "$0")/../lib/netns.sh"
requires nft
net_pool --max_latency=10s
can_filter || skip "this kernel has no packet filter for nft"

net_missed mute 2
net_missed deaf 3
net_missed refuse 1

say "host 2: loses packets"
cut_lossy 2
load_goes_on 500
net_heal 2
net_settled
load_stop
hosts_check
