#!/bin/bash
# How fast a pool is made whole again, and scrubbed, when it has nothing else to
# do, beside nbdcopy from one such disk to another.
#
#	rebuild.sh [BUILD]
#
# Disks are nbdkit's file plugin over tmpfs, one more of them than the redundancy
# needs.  A volume is written front to back.  A scrub reads all of it, with all
# copies and parity.  Then one disk is killed, recorded out, and what was on it is
# made again on the others (`tarn disk rebuild`).
#
# What is compared are bytes a second: those that nbdcopy copies, those that a
# scrub reads, and those of the zones that are made again.  A rebuild of k+m reads
# k times as much.
#
# Environment: DISK_MIB (3000) of each disk, RUNS (3) of nbdcopy and of the scrub,
# BENCH_DIR (a directory on tmpfs), PARTS ("mirror parity load"): load is how fast
# clients write at random while units are made again, beside before.
set -u -o pipefail
# shellcheck source=tests/bench/kit.sh
. "$(dirname "$0")/kit.sh"
disk_mib=${DISK_MIB:-3000}
runs=${RUNS:-3}
parts=${PARTS:-mirror parity load}
need fio nbdkit nbdinfo nbdcopy

# rate BYTES MS: MiB/s.
rate() {
	echo $(($1 * 1000 / $2 / 1048576))
}

# Between two disks like those of the pool, the target's space being taken.
copy_once() {
	local t0

	t0=$(milliseconds)
	nbdcopy --flush "nbd+unix:///d?socket=$D/from.sock" \
		"nbd+unix:///d?socket=$D/to.sock" || fail "nbdcopy"
	rate $((1024 * 1048576)) $(($(milliseconds) - t0))
}

copy_measure() {
	local d i

	for d in from to; do
		mkdir "$D/$d"
		truncate -s 1024M "$D/$d/d" || fail "no room for disks"
		start "disk-$d" nbdkit -f -U "$D/$d.sock" file dir="$D/$d"
		wait_for nbdinfo --size "nbd+unix:///d?socket=$D/$d.sock"
		fill_uri "nbd+unix:///d?socket=$D/$d.sock" 1024
	done
	copy_rate=$(for ((i = 0; i < runs; i++)); do copy_once; done | median)
	for d in from to; do
		kill -KILL "${PID[disk-$d]}"
		unset "PID[disk-$d]"
		rm -rf "${D:?}/$d" "$D/$d.sock"
	done
	echo "  nbdcopy from one disk to another: $copy_rate MiB/s"
}

scrub_done() {
	tarn scrub status --json | grep -q '"state": *"none"'
}

scrub_once() {
	local t0

	t0=$(milliseconds)
	tarn scrub start > /dev/null || fail "scrub start"
	wait_for scrub_done
	rate "$(tarn scrub status --json | number read_bytes)" \
		$(($(milliseconds) - t0))
}

disk_is_out() {
	tarn disk list --json | grep -q '"state": *"out"'
}

# A key of the part "rebuild" of the status.
rebuilding() {
	tarn status --json | tr -d ' \n' |
		sed -n "s/.*\"rebuild\":{[^}]*\"$1\":\([0-9]*\).*/\1/p"
}

lacking() {
	[ "$(rebuilding units)" != 0 ]
}

whole() {
	[ "$(rebuilding units)" = 0 ]
}

disk_lose() {
	kill -KILL "${PID[disk-${pool}1]}"
	unset "PID[disk-${pool}1]"
	wait_for disk_is_out
}

rebuild_once() {
	local t0 zone

	disk_lose
	t0=$(milliseconds)
	tarn disk rebuild > /dev/null || fail "disk rebuild"
	wait_for lacking
	zone=$(rebuilding bytes)
	zone=$((zone / $(rebuilding units)))
	wait_for whole
	rebuild_rate=$(rate $(($(rebuilding rebuilt_units) * zone)) \
		$(($(milliseconds) - t0)))
}

# heal NAME REDUNDANCY DISKS VOLUME_MIB ASKED
heal() {
	local i scrub_rate

	echo "$2, $3 disks of $disk_mib MiB, a volume of $4 MiB"
	copy_measure
	pool_start "$1" "$2" "$3" "$disk_mib"
	volume_create v "$4M"
	fill v "$4"
	scrub_rate=$(for ((i = 0; i < runs; i++)); do scrub_once; done | median)
	echo "  scrub: $scrub_rate MiB/s"
	rebuild_once
	echo "  rebuild: $rebuild_rate MiB/s"
	target "rebuild $2 : nbdcopy" "$(ratio "$rebuild_rate" "$copy_rate")" \
		"$5" ">="
	target "scrub $2 : nbdcopy" "$(ratio "$scrub_rate" "$copy_rate")" \
		0.7 ">="
	pool_stop
}

part_mirror() {
	heal mirror 1+1 3 $((disk_mib * 6 / 10)) 0.5
}

part_parity() {
	heal parity 2+1 4 $((disk_mib * 12 / 10)) 0.3
}

# clients MIB SECONDS: 4 KiB writes a second.
clients() {
	local out

	out=$(fio_run v "$1" --rw=randwrite --bs=4k --iodepth=32 --time_based \
		--runtime="$2") || fail "writing: $out"
	echo "$out" | fio_sums | awk '{ printf "%.0f\n", $1 / 4 * 1000 / $2 }'
}

part_load() {
	local mib=$((disk_mib * 6 / 10)) before during left

	echo "1+1, 3 disks of $disk_mib MiB, a volume of $mib MiB that is written"
	pool_start load 1+1 3 "$disk_mib"
	volume_create v "${mib}M"
	fill v "$mib"
	clients "$mib" 2 > /dev/null
	before=$(clients "$mib" 4)
	disk_lose
	tarn disk rebuild > /dev/null || fail "disk rebuild"
	wait_for lacking
	during=$(clients "$mib" 4)
	left=$(rebuilding units)
	echo "  $before/s before, $during/s during a rebuild, of which $left" \
		"units were left then"
	target "random write, while rebuilding : before" \
		"$(ratio "$during" "$before")" 0.5 ">="
	pool_stop
}

# shellcheck disable=SC2086 # words
parts_run $parts
