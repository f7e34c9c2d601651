#!/bin/bash
# Disks that come back elsewhere, several at once: more than the redundancy
# covers, so that everything waits, and goes on by itself when they are found.
# A disk is known by its label.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
requires fio tarn-stamp nbdcopy

host_add a tarn-diskd
host_add b nbdkit
host_add c qemu-nbd
DISKS=("$NET.1" "$NET.2" "$NET.3" "$NET.4")
hosts_pool 2+1
must t volume create v 64M
must t volume create w 64M
served v
suspended() { t status | grep -qE 'state: *SUSPENDED'; }

say "two disks come back at each other's place"
load_start v
load_goes_on
host_kill a
host_kill b
at=${ADDR[a]}
ADDR[a]=${ADDR[b]}
ADDR[b]=$at
host_start a
host_start b
wait_for 60 online
load_goes_on

say "all die; after a while they are back, none of them where it was"
for d in a b c; do host_kill $d; done
wait_for 20 suspended
# Longer than a request may take as long as enough disks are there.
sleep 11
suspended || die "not suspended any more"
ADDR[b]=$NET.3
ADDR[c]=$NET.4
ADDR[a]=$NET.1
for d in b c a; do host_start $d; done
wait_for 60 online
load_goes_on
load_stop
t status | grep -q 'damage' && die "something is called lost: $(t status)"

say "all places are others while tarnd is down"
must "$STAMP" write "$(vol w)" "$W/j" --ops 2000 --qd 16
stop tarnd KILL
for d in a b c; do host_kill $d; done
ADDR[b]=$NET.1
ADDR[a]=$NET.4
ADDR[c]=$NET.2
for d in a b c; do host_start $d; done
tarnd_start
served v
must "$STAMP" verify "$(vol w)" "$W/j"
wait_for 60 online

say "a pool that is only read: its disks come back, and from elsewhere"
must t pool export p
stop tarnd
TARND_ARGS=(--cache 0)
tarnd_start
must t pool export p
must t pool import p --read-only
served v
must nbdcopy "$(vol v)" "$W/v1"
away() { t disk list | grep -qE "SUSPECT"; }
back() { ! away; }
for d in a b c; do
	host_kill $d
	wait_for 20 away
	[ $d != c ] || ADDR[c]=$NET.3
	host_start $d
	wait_for 60 back
	must nbdcopy "$(vol v)" "$W/v2"
	cmp "$W/v1" "$W/v2" || die "it is another now"
	rm "$W/v2"
done
must t pool export p
must t pool import p
hosts_check
