#!/bin/bash
# One disk that can be reached by two ways is one disk; a copy of a disk is
# neither it nor another one.
. "$(dirname "$0")/../lib/kit.sh"
. "$(dirname "$0")/../lib/hosts.sh"
requires tarn-stamp

# Known by their hosts, and named otherwise when the pool is made.
host_add a tarn-diskd
host_add b nbdkit
host_add c nbd-server
DISKS=("$NET.1" "$NET.2" "$NET.3")
hosts_pool 2+1
must t volume create v 64M
served v
must "$STAMP" write "$(vol v)" "$W/j" --ops 1000 --qd 8

say "exported and imported, although every disk is found twice"
must t pool export p
must t pool import p
wait_for 30 online
served v
must "$STAMP" verify "$(vol v)" "$W/j"
[ "$(t disk list -H | grep -c ONLINE)" = 3 ] || die "$(t disk list)"

say "… and read-only"
must t pool export p
must t pool import p --read-only
served v
must "$STAMP" verify "$(vol v)" "$W/j"
must t pool export p
must t pool import p
served v

say "tarnd starts with both ways to each"
stop tarnd KILL
for d in a b c; do DISKS+=("$(host_uri $d)"); done
tarnd_start
served v
wait_for 30 online
must "$STAMP" verify "$(vol v)" "$W/j"
must "$STAMP" write "$(vol v)" "$W/j" --ops 1000 --qd 8

say "a copy of a disk turns up, another is missing: not opened, and says why"
must t pool export p
stop tarnd
cp --sparse=always "$W/a.img" "$W/d.img"
host_add d qemu-nbd
HOSTS=(a b c)
DISKS+=("$NET.4")
host_kill b
tarnd_start
says_why() { t status | grep -qE 'same identity.*detach'; }
wait_for 40 says_why

say "the missing one comes back: it goes on without both copies"
host_start b
served v
has 'state: *DEGRADED' t status
must "$STAMP" verify "$(vol v)" "$W/j"
must "$STAMP" write "$(vol v)" "$W/j" --ops 1000 --qd 8

say "the copy goes away: all is well"
must t pool export p
host_kill d
must t pool import p
served v
wait_for 60 online
must "$STAMP" verify "$(vol v)" "$W/j"
hosts_check
