#!/bin/bash
# What snapshots cost: taking, having and deleting them, and sending what has
# changed.
#
#	snapshots.sh [BUILD]
#
# Two disks, nbdkit's file plugin over tmpfs, one mirror of them (1+1); for the
# streams a pool of one disk.  All ratios are of one run on one machine; the
# volume without snapshots is in the same pool as the one that has them, and they
# are measured in turn.
#
# Environment: SNAPSHOTS (1000), RUNS (3) alternating runs, SECONDS_EACH (3) of
# one measurement, LARGE_GIB (64) and SEND_GIB (8) sizes of volumes, CHAIN (16)
# snapshots beside qcow2, BENCH_DIR (a directory on tmpfs), PARTS ("create many
# chain send").
set -u -o pipefail
# shellcheck source=tests/bench/kit.sh
. "$(dirname "$0")/kit.sh"
snapshots=${SNAPSHOTS:-1000}
runs=${RUNS:-3}
seconds=${SECONDS_EACH:-3}
large_gib=${LARGE_GIB:-64}
send_gib=${SEND_GIB:-8}
chain=${CHAIN:-16}
parts=${PARTS:-create many chain send}
volume_mib=1024
need fio nbdkit nbdinfo nbdcopy qemu-storage-daemon qemu-img

# rate VOLUME MIB HOW...: operations a second.
rate() {
	local out

	out=$(fio_run "$1" "$2" --time_based --runtime="$seconds" --bs=4k \
		--iodepth=32 "${@:3}") || fail "$*: $out"
	echo "$out" | fio_sums | awk '{ printf "%.0f\n", $1 / 4 * 1000 / $2 }'
}

# --- taking one ----------------------------------------------------------------

# create_us VOLUME: microseconds in the server, the median of 50.
create_us() {
	local i before

	for ((i = 0; i < 50; i++)); do
		before=$(counter control_ns)
		tarn snapshot create "$1@c$i" > /dev/null || fail "create"
		echo $((($(counter control_ns) - before) / 1000))
		# Something to be kept, as in life.
		fio_run "$1" 64 --rw=randwrite --bs=4k --io_size=64k \
			> /dev/null || fail "writing $1"
	done | median
}

part_create() {
	local small large

	pool_start create 1+1 2 6144
	volume_create small 64M
	volume_create large "${large_gib}G"
	fill small 64
	# One block in each MiB, so that every leaf of the map is there.
	fio_run large $((large_gib * 1024)) --rw=write:1020k --bs=4k \
		--iodepth=32 --io_size=$((large_gib * 4))M --end_fsync=1 \
		> /dev/null || fail "filling large"
	echo "large volume: $(counter mapped_blocks) blocks mapped with the" \
		"small one, $(counter node_blocks) nodes"
	small=$(create_us small)
	large=$(create_us large)
	echo "taking a snapshot, in the server: $small us of 64 MiB, $large us" \
		"of $large_gib GiB"
	target "create: ${large_gib} GiB : 64 MiB" "$(ratio "$large" "$small")" \
		1.25 "<="
	target "create, ms" "$(ratio "$large" 1000)" 5 "<="
	pool_stop
}

# --- having many ---------------------------------------------------------------

rss_mib() {
	awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/${PID[$pool]}/status"
}

used_mib() {
	echo $((($(counter mapped_blocks) + $(counter node_blocks)) / 256))
}

# Snapshots of `many`, each after random writes to more than a tenth of its
# leaves (one each MiB).
take_many() {
	local i nodes0

	nodes0=$(counter node_blocks)
	took=0
	for ((i = 0; i < snapshots; i++)); do
		"$build/tarn-stamp" write "$(uri many)" "$D/journal" \
			--ops $((volume_mib / 8)) --qd 32 --run-blocks 1 \
			--reads 0 --zeros 0 --flush-every 0 --prng $((i + 1)) \
			> /dev/null || fail "writing"
		rm "$D/journal"
		took=$((took - $(milliseconds)))
		tarn snapshot create "many@s$i" > /dev/null || fail "create"
		took=$((took + $(milliseconds)))
	done
	# A leaf that was changed between two snapshots was copied.
	leaves=$((($(counter node_blocks) - nodes0) / snapshots))
}

# in_turn OUT HOW...: lines of "RATE-NONE RATE-MANY".
in_turn() {
	local i a b

	for ((i = 0; i < runs; i++)); do
		a=$(rate none $volume_mib "${@:2}") || exit 1
		b=$(rate many $volume_mib "${@:2}") || exit 1
		echo "$a $b"
	done > "$1"
}

# The medians of both columns, divided.
turn_ratio() {
	ratio "$(awk '{ print $2 }' "$1" | median)" \
		"$(awk '{ print $1 }' "$1" | median)"
}

part_many() {
	local rss0 used0 after t0 s w r n

	pool_start many 1+1 2 10240
	volume_create none ${volume_mib}M
	volume_create many ${volume_mib}M
	fill none $volume_mib
	fill many $volume_mib
	sleep 3
	tarn snapshot create many@first > /dev/null || fail "create"
	after=$(rate many $volume_mib --rw=randwrite)
	w=$(rate none $volume_mib --rw=randwrite)
	in_turn "$D/r" --rw=randread
	r=$(turn_ratio "$D/r")
	rss0=$(rss_mib)
	used0=$(used_mib)
	take_many
	in_turn "$D/w" --rw=randwrite
	echo "$snapshots snapshots of $volume_mib MiB in $took ms, $leaves of" \
		"$volume_mib leaves changed between two"
	echo "memory of tarnd: $rss0 MiB before, $(rss_mib) after; the pool" \
		"holds $((($(used_mib) - used0) * 1024 / snapshots)) KiB for each"
	target "random write right after a snapshot : before" \
		"$(ratio "$after" "$w")" 0.8 ">="
	target "random read of that volume : one without" "$r" 0.9 ">="
	target "random write with $snapshots snapshots : without" \
		"$(turn_ratio "$D/w")" 0.9 ">="
	target "leaves changed between two, percent" \
		$((leaves * 100 / volume_mib)) 10 ">="
	n=$(used_mib)
	t0=$(milliseconds)
	for s in $(seq 0 $((snapshots - 1)) | shuf) first; do
		case $s in first) ;; *) s=s$s ;; esac
		tarn snapshot delete "many@$s" > /dev/null || fail "delete"
	done
	echo "deleting all in random order: commands done after" \
		"$(($(milliseconds) - t0)) ms"
	for ((s = 0; s < 1200; s++)); do
		[ "$(counter deleting)" != 0 ] || break
		sleep 0.1
	done
	echo "  and all gone after $(($(milliseconds) - t0)) ms: $n MiB held" \
		"before, $(used_mib) after"
	pool_stop
}

# --- beside qcow2 --------------------------------------------------------------

# The same writes before each snapshot of either, then reads and writes.
part_chain() {
	local i q=$D/qcow2

	pool_start chain 1+1 2 6144
	volume_create v ${volume_mib}M
	fill v $volume_mib
	for ((i = 0; i < chain; i++)); do
		tarn snapshot create "v@s$i" > /dev/null || fail "create"
		fio_run v $volume_mib --rw=randwrite --bs=4k --iodepth=32 \
			--io_size=32M > /dev/null || fail "writing"
	done
	# shellcheck disable=SC2046 # two words
	set -- $(rate v $volume_mib --rw=randread) \
		$(rate v $volume_mib --rw=randwrite)
	pool_stop

	mkdir "$q"
	qemu-img create -q -f qcow2 "$q/0" ${volume_mib}M || fail "qemu-img"
	pool=qcow2
	qcow2_start() {
		start qcow2 qemu-storage-daemon \
			--blockdev "driver=file,node-name=f,filename=$q/$1" \
			--blockdev driver=qcow2,node-name=v,file=f \
			--nbd-server addr.type=unix,addr.path="$D/qcow2.sock" \
			--export type=nbd,id=e,node-name=v,name=v,writable=on
		wait_for nbdinfo --size "$(uri v)"
	}
	qcow2_stop() {
		kill -TERM "${PID[qcow2]}"
		while kill -0 "${PID[qcow2]}" 2> /dev/null; do sleep 0.05; done
		rm -f "$D/qcow2.sock"
	}
	qcow2_start 0
	fill v $volume_mib
	for ((i = 1; i <= chain; i++)); do
		qcow2_stop
		qemu-img create -q -f qcow2 -b "$q/$((i - 1))" -F qcow2 \
			"$q/$i" || fail "qemu-img"
		qcow2_start $i
		fio_run v $volume_mib --rw=randwrite --bs=4k --iodepth=32 \
			--io_size=32M > /dev/null || fail "writing"
	done
	# shellcheck disable=SC2046
	set -- "$@" $(rate v $volume_mib --rw=randread) \
		$(rate v $volume_mib --rw=randwrite)
	qcow2_stop
	unset "PID[qcow2]"
	echo "after $chain snapshots, operations a second:"
	printf '  %-26s %10s %10s\n' '' 'rand read' 'rand write'
	printf '  %-26s %10s %10s\n' "tarn 1+1 (two nbdkit disks)" "$1" "$2" \
		"qcow2 chain (one file)" "$3" "$4"
}

# --- sending -------------------------------------------------------------------

# timed FILE COMMAND...: milliseconds, one more line of the file.
timed() {
	local t0

	t0=$(milliseconds)
	"${@:2}" > /dev/null || fail "${*:2}"
	echo $(($(milliseconds) - t0)) >> "$D/$1"
}

# What a run sends was never read before.
part_send() {
	local i base=first mib=$((send_gib * 1024)) full copy part bytes

	pool_start send 1+0 1 $((mib + mib / 4 + 2048))
	volume_create v "${send_gib}G"
	fill v $mib
	tarn snapshot create v@first > /dev/null || fail "create"
	for ((i = 0; i < runs; i++)); do
		# One block in a hundred.
		fio_run v $mib --rw=randwrite --bs=4k --iodepth=32 \
			--io_size=$((mib / 100))M --end_fsync=1 > /dev/null ||
			fail "writing"
		tarn snapshot create v@$i > /dev/null || fail "create"
		timed copy nbdcopy "$(uri v@$i)" null:
		timed full tarn send --no-compress v@$i
		timed part tarn send --no-compress --from v@$base v@$i
		base=$i
	done
	bytes=$(tarn send --no-compress --from v@first v@0 | wc -c)
	copy=$(median < "$D/copy")
	full=$(median < "$D/full")
	part=$(median < "$D/part")
	echo "$send_gib GiB: nbdcopy to nothing $copy ms, full send $full ms," \
		"increment $part ms and $bytes bytes"
	target "full send : nbdcopy, speed" "$(ratio "$copy" "$full")" 0.8 ">="
	target "increment of 1 % : full send, time" \
		"$(ratio "$part" "$full" 4)" 0.04 "<="
	target "increment of 1 % : full, bytes" \
		"$(ratio "$bytes" $((mib * 1048576)) 4)" 0.012 "<="
	pool_stop
}

# shellcheck disable=SC2086 # words
parts_run $parts
