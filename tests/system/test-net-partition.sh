#!/bin/bash
# The server sees only one of three disk hosts, or none: everything waits and
# nothing fails, however long it takes, and goes on by itself.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
. "$(dirname "$0")/../lib/netns.sh"
net_pool
suspended() { t status | grep -qE 'state: *SUSPENDED'; }

say "two of three are cut off, for longer than a request may take otherwise"
cut_down 1
cut_down 3
wait_for 30 suspended
sleep 12
suspended || die "not suspended any more"
before=$(requests)
sleep 1
[ "$(requests)" = "$before" ] || die "something was answered"
net_heal 1
net_heal 3
net_settled

say "all are cut off, for longer than the lease"
for i in 1 2 3; do cut_down $i; done
wait_for 30 suspended
sleep 12
for i in 1 2 3; do net_heal $i; done
net_settled
load_stop
t status | grep -q 'damage' && die "something is called lost: $(t status)"

hosts_check
