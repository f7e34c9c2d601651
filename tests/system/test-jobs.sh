#!/bin/bash
# What takes long is a job: it is listed with its progress, waited for, and goes
# on after the server was killed.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io nbdkit

disk_nbdkit a 512M
disk_nbdkit b 512M
pool_create 1+1
must t volume create v 8G
served v
has 'Nothing is under way' t job list
refuse 'no job .delete-7' t job show delete-7
refuse 'no job .delete-7' t job cancel delete-7

say "a block in each of many leaves"
args=()
for ((i = 0; i < 3000; i++)); do
	args+=(-c "aio_write -q -P 0x55 $((i * 2))M 4k")
done
args+=(-c aio_flush)
must qemu-io -f raw "${args[@]}" "$(vol v)" > "$W/io" 2>&1
has 'already|exported' t pool export
stop tarnd TERM

say "the disks become slow, so that it takes a while to delete it"
for d in a b; do
	stop $d TERM
	NBDKIT_PARAMS=(delay-write=100ms)
	disk_nbdkit $d 512M --filter=delay
done
tarnd_start
wait_for 30 t volume show v
must t volume delete v --now
job=$(t --json job list | sed -n 's/.*"job": "\(.*\)".*/\1/p')
say "it is job $job"
[ -n "$job" ] || die "there is no job: $(t job list)"
has 'delete +v +running' t job show "$job"
refuse 'cannot be cancelled' t job cancel "$job"

say "the server is killed in the middle of it"
stop tarnd KILL
tarnd_start
wait_for 30 t job list
[ "$(t --json job list | sed -n 's/.*"job": "\(.*\)".*/\1/p')" = "$job" ] ||
	die "it is another one: $(t job list)"

say "it ends, on disks that are quick again"
stop tarnd KILL
for d in a b; do
	stop $d TERM
	NBDKIT_PARAMS=()
	disk_nbdkit $d 512M
done
tarnd_start
wait_for 30 t volume list
must timeout 120 "$BUILD/tarn" job wait "$job"
has 'Nothing is under way' t job list
must t job wait "$job"
must t pool export
