#!/bin/bash
# Disks that answer with errors, are full, rot, are slow, or shrink.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

online() { t status | grep -qE 'state: *ONLINE'; }
for d in a b c; do
	NBDKIT_PARAMS=(error-file="$W/$d.fail" error-pwrite-rate=100%
		error-pwrite=ENOSPC error-pread-rate=0)
	[ $d = b ] && NBDKIT_PARAMS=(error-file="$W/b.fail" error-pread-rate=100%
		error-pread=EIO error-pwrite-rate=0)
	[ $d = c ] && NBDKIT_PARAMS=(error-file="$W/c.fail" error-rate=20%
		error=EIO)
	disk_nbdkit $d 512M --filter=error
done
NBDKIT_PARAMS=()
pool_create 2+1
must t volume create v 64M
served v
must "$STAMP" write "$(vol v)" "$W/j" --ops 3000 --qd 16

say "a disk whose reads fail: every byte comes from the others"
touch "$W/b.fail"
must "$STAMP" verify "$(vol v)" "$W/j"
must "$STAMP" write "$(vol v)" "$W/j" --ops 2000 --qd 16
t status
rm "$W/b.fail"
wait_for 40 online

say "a disk that is full: the log goes on without it"
touch "$W/a.fail"
must "$STAMP" write "$(vol v)" "$W/j" --ops 3000 --qd 16
must "$STAMP" verify "$(vol v)" "$W/j"
t status
rm "$W/a.fail"
wait_for 60 online

say "a disk that fails now and then"
touch "$W/c.fail"
must "$STAMP" write "$(vol v)" "$W/j" --ops 3000 --qd 16
must "$STAMP" verify "$(vol v)" "$W/j"
rm "$W/c.fail"
wait_for 60 online

say "rot: the middle of one disk is overwritten behind our back"
dd if=/dev/urandom of="$W/a.img" bs=1M seek=4 count=300 conv=notrunc \
	2> /dev/null
must "$STAMP" verify "$(vol v)" "$W/j"
t disk list
# errors DISK: blocks of it that were found wrong.
errors() {
	t disk list --json | python3 -c "import json, sys
print(sum(d['checksum_errors'] for d in json.load(sys.stdin)['disks']
	if d['place'] == '${URI[$1]}'))"
}
[ "$(errors a)" -gt 0 ] || die "nothing was counted"
[ "$(errors c)" = 0 ] || die "what was right was counted"

say "a disk that shrank is refused by name, and the pool goes on"
stop a KILL
NBDKIT_PARAMS=(truncate=256M)
disk_nbdkit a 512M --filter=truncate
named() { t status | grep -qiE 'small|shr[aiu]nk'; }
wait_for 40 named
must "$STAMP" write "$(vol v)" "$W/j" --ops 1000 --qd 16
must "$STAMP" verify "$(vol v)" "$W/j"
must named
