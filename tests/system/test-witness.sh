#!/bin/bash
# A mirror that lost a disk opens by itself when a witness says that the other
# half has not gone on.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp jq

disk_tarn a 256M
disk_tarn b 256M
disk_tarn c 256M
pool_create 1+1
disk_tarn tiny 64K
must t volume create v 32M
served v
is_open() { [ "$(t status --json | jq -r .state)" = "$1" ]; }
witness() { t disk list --json | jq -e --arg p "${URI[c]}" \
	'.disks[] | select(.place == $p) | .witness and .used_bytes == 0' \
	> /dev/null; }
verified() {
	served v
	must "$STAMP" verify "$(vol v)" "$W/v.j"
}

# Disk c is a disk like any when the pool is made.
say "a disk leaves, and is a witness instead"
must t disk remove "${URI[c]}"
is_gone() { ! t disk list --json | grep -q "${URI[c]}"; }
wait_for 30 is_gone
refuse 'too small' t disk add --witness "${URI[tiny]}"
has 'usable capacity' t disk add -n --witness "${URI[c]}"
has 'witness' t disk add --witness "${URI[c]}"
has 'already' t disk add --witness "${URI[c]}"
witness || die "no witness"
has 'witness' t disk list
must "$STAMP" write "$(vol v)" "$W/v.j" --ops 3000 --qd 8

say "the server and a disk are lost"
stop tarnd KILL
stop a KILL
DISKS=("${URI[a]}" "${URI[b]}" "${URI[c]}")
tarnd_start
wait_for 30 is_open degraded
verified

say "without the witness, neither half opens"
stop tarnd KILL
stop c KILL
tarnd_start
closed() { grep -q 'bring them back' "$W/tarnd.log"; }
wait_for 30 closed
