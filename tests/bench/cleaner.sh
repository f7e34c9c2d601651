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
# Environment: DISK_MIB (2000) of each disk, FULL (80), TIMES (4), COMMIT_LOG (the default of tarnd), BENCH_DIR (a directory on tmpfs),
# PARTS ("random skewed sequential").
set -u -o pipefail
here=$(dirname "$(realpath "$0")")
cd "$here/../.." || exit 1
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
disk_mib=${DISK_MIB:-2000}
full=${FULL:-80}
times=${TIMES:-4}
parts=${PARTS:-random skewed sequential}
options=()
[ -z "${COMMIT_LOG:-}" ] || options=(--commit-log "$COMMIT_LOG")
# shellcheck source=tests/bench/kit.sh
. "$here/kit.sh"
need fio nbdkit nbdinfo nbdcopy

tarn() {
	"$build/tarn" --control "$D/$pool.ctl" "$@"
}

# A number out of what tarnd counts.
counter() {
	tarn stats --json | tr ',{}' '\n\n\n' |
		sed -n "s/^ *\"$1\": *//p" | head -n 1
}

uri() {
	echo "nbd+unix:///$1?socket=$D/$pool.sock"
}

# pool_start NAME
pool_start() {
	local i disks=()

	pool=$1
	for i in 1 2; do
		mkdir "$D/$pool$i"
		truncate -s "${disk_mib}M" "$D/$pool$i/d" ||
			fail "no room for disks"
		start "disk-$pool$i" nbdkit -f -U "$D/$pool$i.sock" \
			file dir="$D/$pool$i"
		disks+=("nbd+unix:///d?socket=$D/$pool$i.sock")
		wait_for nbdinfo --size "${disks[-1]}"
	done
	start "$pool" "$build/tarnd" --listen "unix:$D/$pool.sock" \
		--control "$D/$pool.ctl" "${options[@]}" --disks "${disks[@]}"
	wait_for tarn status
	tarn pool create "$pool" --redundancy 1+1 --domain disk \
		"${disks[@]}" > /dev/null || fail "pool create"
}

# pool_stop NAME
pool_stop() {
	local p

	for p in "$1" "disk-$1"{1..2}; do
		[ -n "${PID[$p]-}" ] || continue
		kill -KILL "${PID[$p]}"
		unset "PID[$p]"
	done
	rm -rf "$D/$1"*
}

# Bytes that the disks' servers wrote: what they read from their clients comes
# by recv(), which this does not count.
disk_bytes() {
	local p n=0

	for p in "disk-$pool"{1..2}; do
		n=$((n + $(sed -n 's/^wchar: //p' "/proc/${PID[$p]}/io")))
	done
	echo $n
}

cpu_ticks() {
	awk '{ print $14 + $15 }' "/proc/${PID[$pool]}/stat"
}

ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}

# target TEXT SEEN ASKED OPERATOR(>= or <=)
target() {
	awk -v t="$1" -v s="$2" -v a="$3" -v op="$4" 'BEGIN {
		met = op == ">=" ? s >= a : s <= a
		printf "%-56s %8s   %s %-6s %s\n", t, s, op, a,
			met ? "met" : "missed"
	}' >> "$D/targets"
}

fio_run() {
	fio --minimal --terse-version=3 --name=b --ioengine=nbd --randrepeat=0 \
		--norandommap=1 --refill_buffers=0 --scramble_buffers=1 \
		--uri="$(uri "$1")" --size="$2M" "${@:3}"
}

fill() {
	fio_run "$1" "$2" --rw=write --bs=1M --iodepth=8 --end_fsync=1 \
		> "$D/fill.out" || fail "filling $1: $(cat "$D/fill.out")"
}

# churn VOLUME MIB IO_MIB HOW...: overwrites; sets iops, stall_ms, cpu_us (of
# tarnd for an operation).
churn() {
	local out ticks

	ticks=$(cpu_ticks)
	out=$(fio_run "$1" "$2" --rw=randwrite --bs=4k --iodepth=32 \
		--io_size="$3M" "${@:4}") || fail "overwriting $1: $out"
	ticks=$(($(cpu_ticks) - ticks))
	# shellcheck disable=SC2046 # three words
	set -- $(echo "$out" | awk -F';' -v t=$ticks '/^3;/ {
		printf "%.0f %.0f %.1f\n", $47 / 4 * 1000 / $50, $56 / 1000,
			t * 10000 / ($47 / 4)
	}')
	iops=$1
	stall_ms=$2
	cpu_us=$3
}

# The throughput of a pool in which nothing is to be cleaned.
empty_measure() {
	pool_start empty
	tarn volume create v "$((volume_mib / 4))M" > /dev/null ||
		fail "volume create"
	fill v $((volume_mib / 4))
	churn v $((volume_mib / 4)) $((volume_mib / 4))
	pool_stop empty
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

# full_start: a pool with volume v, FULL percent of it; sets volume_mib.
full_start() {
	pool_start full
	usable_mib=$(($(tarn df --json | tr ',{}' '\n\n\n' |
		sed -n 's/^ *"usable_bytes": *//p' | head -n 1) / 1048576))
	volume_mib=${1:-$((usable_mib * full / 100))}
	tarn volume create v "${volume_mib}M" > /dev/null ||
		fail "volume create"
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
	pool_stop full
}

part_skewed() {
	full_start
	overwrite "skewed overwrite" \
		--random_distribution=zoned:90/10:10/90
	target "skewed overwrite, amplification" "$amplification" 1.8 "<="
	target "  longest stall, ms" "$full_stall" 500 "<="
	pool_stop full
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
	pool_stop full
}

for part in $parts; do
	"part_$part"
	echo
done
cat "$D/targets" 2> /dev/null
grep -c missed "$D/targets" | sed 's/$/ missed/'
