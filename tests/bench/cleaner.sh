#!/bin/bash
# What cleaning costs: a volume that fills most of a pool is overwritten again
# and again.
#
#	cleaner.sh [BUILD]
#
# Two disks, nbdkit's file plugin over tmpfs, one mirror of them (1+1).  The
# volume has FULL percent of the usable capacity, in use to the last block, and
# is overwritten in blocks of 4 KiB; what is measured is the last part of it,
# after TIMES times the capacity were written.  A pool that is empty but for a
# small volume is measured right before and right after, in turn.
#
# Amplification: bytes that went to the disks (as their servers count them:
# everything, rows, headers, nodes, tables, indexes, labels) for each byte of the
# client's and each copy of it.  Its parts come from what tarnd counts.
#
# With snapshots it is the same, but the volume is smaller: it is overwritten once
# while SNAPSHOTS (100) are taken, one after each hundredth of it, and they are
# kept.  What they pin comes to as much as the volume has, and that again once it
# has been overwritten after the last one; and each has a leaf of its own for
# most MiB of the volume, 4 KiB, so 100 of them come to 0.4 of it.  So a volume of
# FULL percent of the usable capacity divided by 3.45 has FULL percent in use.
#
# Environment: DISK_MIB (2000) of each disk, FULL (80), TIMES (4), COMMIT_LOG (the
# default of tarnd), BENCH_DIR (a directory on tmpfs), PARTS ("random skewed
# snapshots sequential").
set -u -o pipefail
# shellcheck source=tests/bench/kit.sh
. "$(dirname "$0")/kit.sh"
disk_mib=${DISK_MIB:-2000}
full=${FULL:-80}
times=${TIMES:-4}
parts=${PARTS:-random skewed snapshots sequential}
snapshots=${SNAPSHOTS:-100}
options=()
[ -z "${COMMIT_LOG:-}" ] || options=(--commit-log "$COMMIT_LOG")
need fio nbdkit nbdinfo nbdcopy

# Bytes that the disks' servers wrote: what they read from their clients comes
# by recv(), which this does not count.
disk_bytes() {
	local p n=0

	for p in "disk-$pool"{1..2}; do
		n=$((n + $(sed -n 's/^wchar: //p' "/proc/${PID[$p]}/io")))
	done
	echo $n
}

# churn VOLUME MIB IO_MIB HOW...: overwrites; sets iops, stall_ms, cpu_us (of
# tarnd for an operation).
churn() {
	local out ticks

	ticks=$(ticks "${PID[$pool]}")
	out=$(fio_run "$1" "$2" --rw=randwrite --bs=4k --iodepth=32 \
		--io_size="$3M" "${@:4}") || fail "overwriting $1: $out"
	ticks=$(($(ticks "${PID[$pool]}") - ticks))
	# shellcheck disable=SC2046 # three words
	set -- $(echo "$out" | fio_sums | awk -v t=$ticks '{
		printf "%.0f %.0f %.1f\n", $1 / 4 * 1000 / $2, $3 / 1000,
			t * 10000 / ($1 / 4)
	}')
	iops=$1
	stall_ms=$2
	cpu_us=$3
}

mirror_start() {
	pool_start "$1" 1+1 2 "$disk_mib" "${options[@]}"
}

# The throughput of a pool in which nothing is to be cleaned.
empty_measure() {
	mirror_start empty
	volume_create v "$((volume_mib / 4))M"
	fill v $((volume_mib / 4))
	churn v $((volume_mib / 4)) $((volume_mib / 4))
	pool_stop
	empty_iops=$((${empty_iops:-$iops} / 2 + iops / 2))
	echo "  empty pool: $iops/s, longest $stall_ms ms, tarnd $cpu_us us" \
		"for each"
}

marks="moved_blocks commit_blocks row_blocks row_bytes commits"
marks="$marks cleaned_segments rows"
declare -A before
mark() {
	local c

	for c in $marks; do before[$c]=$(counter "$c"); done
	before[disk]=$(disk_bytes)
}

# parts_print MIB: what was written since mark(), for each client's block.
parts_print() {
	local c d

	amplification=$(ratio $(($(disk_bytes) - before[disk])) \
		$(($1 * 2 * 1048576)))
	printf '  for each block of the clients:'
	for c in row_blocks moved_blocks commit_blocks; do
		d=$(($(counter $c) - before[$c]))
		printf ' %s %s' "$c" "$(ratio $d $(($1 * 256)))"
	done
	d=$(($(counter row_bytes) - before[row_bytes]))
	printf ' rows %s all %s\n' "$(ratio $d $(($1 * 2 * 1048576)))" \
		"$amplification"
	printf '  commits %s, segments cleaned %s, blocks a row %s\n' \
		$(($(counter commits) - before[commits])) \
		$(($(counter cleaned_segments) - before[cleaned_segments])) \
		$((($(counter row_blocks) - before[row_blocks]) / \
			($(counter rows) - before[rows])))
}

# full_start [DIVISOR]: a pool with volume v, FULL percent of it, divided by that
# (in hundredths); sets volume_mib.
full_start() {
	mirror_start full
	usable_mib=$(($(tarn df --json | number usable_bytes) / 1048576))
	volume_mib=$((usable_mib * full / ${1:-100}))
	volume_create v "${volume_mib}M"
	fill v "$volume_mib"
}

# overwrite NAME HOW...: to the steady state, then the measured part.
overwrite() {
	local last=$((usable_mib / 2))

	unset empty_iops
	churn v "$volume_mib" $((usable_mib * times - last)) "${@:2}"
	echo "$1: $volume_mib of $usable_mib MiB; on the way $iops/s," \
		"longest $stall_ms ms"
	empty_measure
	pool=full
	mark
	churn v "$volume_mib" $last "${@:2}"
	parts_print $last
	echo "  full pool: $iops/s, longest $stall_ms ms, tarnd $cpu_us us for" \
		"each"
	full_iops=$iops
	full_stall=$stall_ms
	empty_measure
	pool=full
}

part_random() {
	full_start
	overwrite "random overwrite"
	target "random overwrite, full : empty" \
		"$(ratio "$full_iops" "$empty_iops")" 0.5 ">="
	target "  amplification" "$amplification" 3.0 "<="
	target "  longest stall, ms" "$full_stall" 500 "<="
	pool_stop
}

part_skewed() {
	full_start
	overwrite "skewed overwrite" \
		--random_distribution=zoned:90/10:10/90
	target "skewed overwrite, amplification" "$amplification" 1.8 "<="
	target "  longest stall, ms" "$full_stall" 500 "<="
	pool_stop
}

# take_snapshots: each after its part of the volume was overwritten.
take_snapshots() {
	local i

	for ((i = 0; i < snapshots; i++)); do
		fio_run v "$volume_mib" --rw=randwrite --bs=4k --iodepth=32 \
			--randseed=$((i + 1)) \
			--io_size=$((volume_mib * 1024 / snapshots))k \
			> "$D/take.out" || fail "overwriting v"
		tarn snapshot create "v@s$i" > /dev/null ||
			fail "snapshot create"
	done
}

part_snapshots() {
	full_start 345
	take_snapshots
	overwrite "random overwrite, $snapshots snapshots kept"
	echo "  in use, with what they pin:" \
		"$(($(tarn df --json | number used_bytes) / 1048576)) MiB"
	target "$snapshots snapshots kept, full : empty" \
		"$(ratio "$full_iops" "$empty_iops")" 0.5 ">="
	target "  amplification" "$amplification" 3.0 "<="
	target "  longest stall, ms" "$full_stall" 500 "<="
	pool_stop
}

read_ms() {
	local t0

	t0=$(milliseconds)
	nbdcopy "$(uri v)" null: || fail "reading"
	echo $(($(milliseconds) - t0))
}

part_sequential() {
	local before_ms after_ms

	full_start
	before_ms=$(read_ms)
	churn v "$volume_mib" $((2 * usable_mib))
	after_ms=$(read_ms)
	echo "reading all of $volume_mib MiB: $before_ms ms as it was" \
		"written, $after_ms ms after random overwrite and cleaning"
	target "sequential read, overwritten and cleaned : written" \
		"$(ratio "$before_ms" "$after_ms")" 0.7 ">="
	pool_stop
}

# shellcheck disable=SC2086 # words
parts_run $parts
