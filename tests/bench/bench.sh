#!/bin/bash
# Contenders side by side in one run, on the same disks: nbdkit's file plugin
# over tmpfs, one server a disk, one export for each contender.
#
#	bench.sh [BUILD]
#
#	tarn 1+1   tarnd, two disks, default settings
#	qcow2      qemu-storage-daemon: qcow2, written once before, over a quorum
#	           of two disks (vote-threshold 1, read-pattern fifo)
#	raw        one nbdkit disk by itself: no redundancy, no thinness
#	tarn 2+1   tarnd, three disks
#
# Environment: TRANSPORT (unix) or tcp between the servers and the disks, RUNS
# (5) alternating runs, SECONDS_EACH (3) of one measurement,
# VOLUME_MIB, CONTENDERS ("tarn11 qcow2 raw tarn21"), WORKLOADS (all), EXTRAS
# (1: recovery and idle too), BENCH_DIR (a directory on tmpfs).
#
# Order.  Each run begins with writing every volume from front to back, which
# is not measured; then come the sequential workloads, so that they find what
# lies in sequence, then the random ones, and last of all a sequential read of
# what those have scattered, for information.  Every other run takes the
# contenders the other way round.
#
# Size of the volume.  Random reads are to be reads of disks, so the volume is
# at least four times what tarnd keeps in memory, cached blocks and map nodes
# together: with the defaults (128 + 256 MiB) that is 1536 MiB.  Much more does
# not fit: the disks are memory, and with room for the log those of all
# contenders may grow to ten times the volume and 3 GiB, that is to 18 GiB.  Up
# to a quarter of the reads are then found in memory, since blocks use what the
# map does not need of its share.  On a smaller machine, or with a smaller VOLUME_MIB, tarnd is
# given less memory in the same measure, and the output says that these are not
# its defaults.
# The map of a volume is a 256th of it, so all of it stays in memory at any size
# that fits here; extras.sh reads once with a quarter of the map in memory.
#
# Printed: the median, the spread (largest less smallest, in percent of the
# median), the ratio to qcow2, the CPU seconds that the server process (not the
# disks, not the client) spent per million operations, hit rates, and what is
# asked of tarn beside what was seen.  A figure that is missed is no failure.
set -u -o pipefail
# shellcheck source=tests/bench/kit.sh
. "$(dirname "$0")/kit.sh"
runs=${RUNS:-5}
seconds=${SECONDS_EACH:-3}
volume_mib=${VOLUME_MIB:-}
contenders=${CONTENDERS:-tarn11 qcow2 raw tarn21}
workloads="seqread seqwrite randread1 randread32 randwrite1 randwrite32"
workloads=${WORKLOADS:-$workloads writesync seqread_frag}
extras=${EXTRAS:-1}
transport=${TRANSPORT:-unix}
port=$((20000 + $$ % 10000))
declare -A SERVER TARGET
need fio nbdkit nbdinfo qemu-storage-daemon qemu-img

wants() {
	case " $contenders " in *" $1 "*) return 0 ;; esac
	return 1
}

# --- how large -----------------------------------------------------------------

# The log wants room beside the data; the same for both pools.
sizes() {
	disk11_mib=$((volume_mib * 2 + 512))
	disk21_mib=$((disk11_mib / 2 + 256))
	qcow2_mib=$((volume_mib + 256))
	need_mib=1024 # the servers themselves
	if wants tarn11; then need_mib=$((need_mib + 2 * disk11_mib)); fi
	if wants tarn21; then need_mib=$((need_mib + 3 * disk21_mib)); fi
	if wants qcow2; then need_mib=$((need_mib + 2 * qcow2_mib)); fi
	if wants raw; then need_mib=$((need_mib + volume_mib)); fi
}

free_mib=$(df --output=avail -m "$D" | tail -n 1)
memory_mib=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$memory_mib" -ge "$free_mib" ] || free_mib=$memory_mib
wanted_mib=${volume_mib:-1536}
for volume_mib in ${volume_mib:-1536 1280 1024 768 512 256 128}; do
	sizes
	[ $need_mib -gt "$free_mib" ] || break
done
[ $need_mib -le "$free_mib" ] ||
	fail "disks for a volume of $volume_mib MiB may grow to $need_mib MiB," \
		"but $free_mib are free in $D: name a smaller VOLUME_MIB, or" \
		"fewer CONTENDERS"
[ "$volume_mib" = "$wanted_mib" ] ||
	echo "bench: $free_mib MiB are free in $D: a volume of $volume_mib MiB" \
		"instead of $wanted_mib" >&2

# default_mib OPTION: what tarnd takes by itself.
default_mib() {
	"$build/tarnd" --help |
		sed -n "s/^ *--$1 SIZE.*(default: \([0-9]*\)M.*/\1/p"
}
cache_mib=$(default_mib cache)
node_mib=$(default_mib node-memory)
[ -n "$cache_mib" ] && [ -n "$node_mib" ] ||
	fail "$build/tarnd --help does not say how large its caches are"
tarnd_options=()
settings="default settings"
if [ "$volume_mib" -lt $((4 * (cache_mib + node_mib))) ]; then
	settings="not the default of $cache_mib and $node_mib MiB"
	both_mib=$((cache_mib + node_mib))
	cache_mib=$((volume_mib * cache_mib / both_mib / 4))
	node_mib=$((volume_mib * node_mib / both_mib / 4))
	tarnd_options=(--cache "${cache_mib}M" --node-memory "${node_mib}M")
fi

# --- the contenders ------------------------------------------------------------

disk_uri() {
	case $transport in
	tcp) echo "nbd://127.0.0.1:$((port + $1))/$2" ;;
	*) echo "nbd+unix:///$2?socket=$D/disk$1.sock" ;;
	esac
}

# For nbdkit and for qemu-storage-daemon.
disk_listen() {
	case $transport in
	tcp) echo "-i 127.0.0.1 -p $((port + $1))" ;;
	*) echo "-U $D/disk$1.sock" ;;
	esac
}

disk_address() {
	case $transport in
	tcp) echo "server.type=inet,server.host=127.0.0.1,server.port=$((port + $1))" ;;
	*) echo "server.type=unix,server.path=$D/disk$1.sock" ;;
	esac
}

# A disk has its space; here it is taken beforehand, too.  Else whoever writes
# where nobody wrote before pays for new memory, which takes several times as
# long as the write.
disk_file() {
	local file=$D/disk$1/$2 have

	wants "$2" || return 0
	have=$(stat -c %s "$file" 2> /dev/null || echo 0)
	head -c $(($3 * 1048576 - have)) /dev/zero >> "$file" ||
		fail "no room for disk $1 of $2"
}

for i in 1 2 3; do
	mkdir "$D/disk$i"
	disk_file $i tarn21 $disk21_mib
	[ $i = 3 ] && break
	disk_file $i tarn11 $disk11_mib
	wants qcow2 || continue
	qemu-img create -q -f qcow2 "$D/disk$i/qcow2" ${volume_mib}M ||
		fail "qemu-img create"
	# The same image twice, as the quorum would have written it.
	[ $i = 1 ] || cp "$D/disk1/qcow2" "$D/disk$i/qcow2"
	disk_file $i qcow2 $qcow2_mib
done
disk_file 1 raw ${volume_mib}
for i in 1 2 3; do
	# shellcheck disable=SC2046 # two or four words
	start disk$i nbdkit -f $(disk_listen $i) file dir="$D/disk$i"
	wait_for nbdinfo --list "$(disk_uri $i "")"
done

# tarn_start NAME: tarnd with the disks that it had before, if any.
tarn_start() {
	local name=$1 disks=()
	shift

	case $name in
	tarn11) disks=("$(disk_uri 1 tarn11)" "$(disk_uri 2 tarn11)") ;;
	tarn21) disks=("$(disk_uri 1 tarn21)" "$(disk_uri 2 tarn21)"
		"$(disk_uri 3 tarn21)") ;;
	esac
	start "$name" "$build/tarnd" --listen "unix:$D/$name.sock" \
		--control "$D/$name.ctl" --disks "${disks[@]}" \
		"${tarnd_options[@]}" "$@"
	SERVER[$name]=${PID[$name]}
	TARGET[$name]="nbd+unix:///vol?socket=$D/$name.sock"
	DISKS=("${disks[@]}")
}

tarn_create() {
	local name=$1 redundancy=$2 pool=$1

	tarn_start "$name"
	wait_for tarn status
	tarn pool create "$name" --redundancy "$redundancy" --domain disk \
		"${DISKS[@]}" > /dev/null || fail "pool create $redundancy"
	volume_create vol "${volume_mib}M"
}

if wants tarn11; then tarn_create tarn11 1+1; fi
if wants tarn21; then tarn_create tarn21 2+1; fi
if wants qcow2; then
	q=driver=quorum,node-name=q,vote-threshold=1,read-pattern=fifo
	start qcow2 qemu-storage-daemon \
		--blockdev "driver=nbd,node-name=d1,$(disk_address 1),export=qcow2" \
		--blockdev "driver=nbd,node-name=d2,$(disk_address 2),export=qcow2" \
		--blockdev $q,children.0=d1,children.1=d2 \
		--blockdev driver=qcow2,node-name=v,file=q \
		--nbd-server addr.type=unix,addr.path="$D/qcow2.sock",max-connections=16 \
		--export type=nbd,id=e,node-name=v,name=vol,writable=on
	SERVER[qcow2]=${PID[qcow2]}
	TARGET[qcow2]="nbd+unix:///vol?socket=$D/qcow2.sock"
fi
SERVER[raw]=${PID[disk1]}
TARGET[raw]=$(disk_uri 1 raw)
for c in $contenders; do
	[ -n "${TARGET[$c]-}" ] || fail "no such contender: $c"
	wait_for nbdinfo --size "${TARGET[$c]}"
done

# --- measuring -------------------------------------------------------------------

hz=$(getconf CLK_TCK)

# counter_of CONTENDER KEY: a number out of what tarnd counts; nothing for
# others.
counter_of() {
	local pool=$1

	case $1 in tarn*) counter "$2" ;; esac
}

# What tarnd looked for in memory so far: nodes found and not, blocks found and
# not.
lookups() {
	local key

	for key in node_hits node_misses block_hits block_misses; do
		counter_of "$1" $key
	done | tr '\n' ' '
}

# Every block of the volumes of these contenders.
fill_all() {
	local c

	for c in $1; do fill_uri "${TARGET[$c]}" "$volume_mib"; done
	# What a pool tidies up after a write, it does within two seconds.
	sleep 3
}

# measure CONTENDER WORKLOAD: "rate ops cpu_seconds"; rate is operations a
# second, or MiB a second for the sequential ones.
measure() {
	local c=$1 w=$2 bs=4096 t0 t1 out
	local -a how

	case $w in
	randread1) how=(--rw=randread --bs=4k --iodepth=1) ;;
	randread32) how=(--rw=randread --bs=4k --iodepth=32) ;;
	randwrite1) how=(--rw=randwrite --bs=4k --iodepth=1) ;;
	randwrite32) how=(--rw=randwrite --bs=4k --iodepth=32) ;;
	writesync) how=(--rw=randwrite --bs=4k --iodepth=1 --fsync=1) ;;
	seqread*) how=(--rw=read --bs=1M --iodepth=8); bs=1048576 ;;
	seqwrite) how=(--rw=write --bs=1M --iodepth=8); bs=1048576 ;;
	*) fail "no such workload: $w" ;;
	esac
	t0=$(ticks "${SERVER[$c]}")
	out=$(fio_uri "${TARGET[$c]}" "$volume_mib" --time_based \
		--runtime="$seconds" "${how[@]}") || fail "$w on $c: $out"
	t1=$(ticks "${SERVER[$c]}")
	kill -0 "${SERVER[$c]}" 2> /dev/null || fail "$c died in $w"
	echo "$out" | fio_sums | awk -v bs=$bs -v hz="$hz" -v t=$((t1 - t0)) '{
		ops = $1 * 1024 / bs
		rate = bs == 4096 ? ops : $1 / 1024
		printf "%.1f %.0f %.3f\n", rate * 1000 / $2, ops, t / hz
	}'
}

# Lines of WORKLOAD CONTENDER RATE OPS CPU_SECONDS; hits: see lookups().
results=$D/results
hits=$D/hits
: > "$results"
: > "$hits"
for ((run = 1; run <= runs; run++)); do
	order=$contenders
	[ $((run % 2)) = 1 ] || order=$(echo "$order" |
		awk '{ for (i = NF; i > 0; i--) printf "%s ", $i }')
	case "$run $workloads" in
	"1 "* | *seqread* | *seqwrite*) fill_all "$order" ;;
	esac
	for w in $workloads; do
		for c in $order; do
			before=
			[ "$w" != randread32 ] || before=$(lookups "$c")
			m=$(measure "$c" "$w") || exit 1
			echo "$w $c $m" >> "$results"
			[ -z "$before" ] ||
				echo "$c $before $(lookups "$c")" >> "$hits"
		done
	done
	echo "run $run of $runs done" >&2
done

report() {
	awk -v contenders="$contenders" -v workloads="$workloads" "$@" \
		-f tests/bench/report.awk "$results"
}

report -v part=table
echo
echo "disks over $transport; random read qd32: volume of $volume_mib MiB; tarnd with $cache_mib MiB of" \
	"block cache and $node_mib MiB of node memory ($settings)"
awk -v volume="$volume_mib" -v cache="$cache_mib" -v node="$node_mib" 'BEGIN {
	x = volume / (cache + node)
	printf "  the volume is %.1f times both together (4 times are asked" \
		" for: %s)\n", x, (x >= 4 ? "met" : "missed")
}'
for c in tarn11 tarn21; do
	wants $c || continue
	awk -v c=$c -v all=$((volume_mib * 256)) \
		-v mapped="$(counter_of $c mapped_blocks)" '
	$1 == c {
		nh += $6 - $2; nm += $7 - $3
		bh += $8 - $4; bm += $9 - $5
	}
	END {
		printf "  %s: %.1f %% of its blocks are written", c,
			100 * mapped / all
		if (nh + nm > 0)
			printf "; in memory were %.1f %% of the map nodes" \
				" wanted, ", 100 * nh / (nh + nm)
		if (bh + bm > 0)
			printf "%.1f %% of the blocks", 100 * bh / (bh + bm)
		print ""
	}' "$hits"
done
if [ "$extras" = 1 ] && wants tarn11; then
	# shellcheck source=/dev/null
	. tests/bench/extras.sh
fi
report -v part=targets -v settings="$settings" -v runs="$runs"
