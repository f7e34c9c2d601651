#!/bin/bash
# A volume with a reserve finds space while others find the pool full, also for a
# snapshot that was taken; one that pauses waits, and goes on after a delete.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io fio

disk_nbdkit a 256M
disk_nbdkit b 256M
pool_create 1+1
must t volume create kept 32M --reserve full
must t volume create filler 1G
must t volume create waits 64M --when-full pause
served kept
served filler
served waits

# job VOLUME SIZE [ARG...]: written once from front to back, with verification.
job() {
	local vol=$1 size=$2
	shift 2
	timeout 120 fio --name="$vol" --ioengine=nbd --uri="$(vol "$vol")" \
		--rw=write --bs=64k --size="$size" --iodepth=8 \
		--verify=crc32c "$@"
}

online() {
	t status | grep -q 'state: *ONLINE'
}

say "a snapshot of it needs what it has written again"
must timeout 60 qemu-io -f raw -c "write -P 0x11 0 8M" "$(vol kept)"
must t snapshot create kept@before

say "fio fills the pool with another volume until it says ENOSPC"
job filler 1G --do_verify=0 > "$W/fio" 2>&1
grep -qiE 'no space|ENOSPC|error=28|err=28' "$W/fio" ||
	die "the pool is not full: $(tail -3 "$W/fio")"
t df

say "the volume with a reserve is written all over, and verified"
job kept 32M > "$W/fio" 2>&1 || die "$(tail -20 "$W/fio")"
must timeout 60 qemu-io -f raw -c "write -P 0x22 0 32M" "$(vol kept)"
must timeout 60 qemu-io -f raw -r -c "read -P 0x11 0 8M" "$(vol kept@before)"

say "no second snapshot: what that keeps is not there"
t snapshot create kept@after > "$W/out" 2>&1 &&
	die "a snapshot was taken with nothing left to keep: $(cat "$W/out")"
has "kept.*for its reserve" cat "$W/out"

say "a volume that pauses waits: no error, and reads go on"
timeout 200 qemu-io -f raw -c "write -P 0x33 0 48M" "$(vol waits)" \
	> "$W/io" 2>&1 &
writer=$!
paused() {
	t volume show waits | grep -q 'its writes wait'
}
wait_for 60 paused
has 'volume.paused' t alarm list
has 'volume.paused' t events
must timeout 60 qemu-io -f raw -r -c "read -P 0x22 0 32M" "$(vol kept)"
must timeout 60 qemu-io -f raw -c "write -P 0x44 0 32M" "$(vol kept)"
kill -0 "$writer" || die "it did not wait: $(cat "$W/io")"

say "a client that goes away leaves nothing waiting"
qemu-io -f raw -c "write -P 0x55 52M 4M" "$(vol waits)" > "$W/io2" 2>&1 &
other=$!
clients() {
	[ "$(t --json volume show waits | jq .clients)" = "$1" ]
}
wait_for 30 clients 2
kill -KILL "$other"
wait_for 30 clients 1

say "after a delete it goes on by itself, though that goes to the trash"
must t volume delete filler
wait "$writer" || die "qemu-io failed: $(cat "$W/io")"
grep -q '^wrote' "$W/io" || die "$(cat "$W/io")"
must timeout 60 qemu-io -f raw -r -c "read -P 0x33 0 48M" "$(vol waits)"
wait_for 30 online
must t snapshot create kept@after

say "after a discard, too, though that empties nothing that could be freed"
must t volume delete kept --with-snapshots --now
must t volume create other 1G
served other
job other 1G --do_verify=0 > "$W/fio" 2>&1
timeout 200 qemu-io -f raw -c "write -P 0x66 48M 16M" "$(vol waits)" \
	> "$W/io" 2>&1 &
writer=$!
wait_for 60 paused
for at in 0 16 32; do
	must timeout 60 qemu-io -f raw -c "discard ${at}M 6M" "$(vol other)"
done
wait "$writer" || die "qemu-io failed: $(cat "$W/io")"
grep -q '^wrote' "$W/io" || die "$(cat "$W/io")"
must timeout 60 qemu-io -f raw -r -c "read -P 0x66 48M 16M" "$(vol waits)"

say "a server that is stopped does not wait for them"
job other 1G --do_verify=0 > "$W/fio" 2>&1
must t volume create more 256M --when-full pause
served more
timeout 200 qemu-io -f raw -c "write -P 0x77 0 64M" "$(vol more)" \
	> "$W/io" 2>&1 &
writer=$!
paused_more() {
	t volume show more | grep -q 'its writes wait'
}
wait_for 60 paused_more
stop tarnd TERM
wait "$writer"
tarnd_start
wait_for 60 online
must t volume delete other --now
served more
must timeout 60 qemu-io -f raw -c "write -P 0x88 0 64M" "$(vol more)"
must timeout 60 qemu-io -f raw -r -c "read -P 0x66 48M 16M" "$(vol waits)"
