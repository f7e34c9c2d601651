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
# Environment: RUNS (5) alternating runs, SECONDS_EACH (3) of one measurement,
# VOLUME_MIB (2048), CONTENDERS ("tarn11 qcow2 raw tarn21"), WORKLOADS (all),
# EXTRAS (1: recovery and idle too), BENCH_DIR (a directory on tmpfs).
#
# Printed: the median, the spread (largest less smallest, in percent of the
# median), the ratio to qcow2, and the CPU seconds that the server process (not
# the disks, not the client) spent per million operations.
set -u -o pipefail
here=$(dirname "$(realpath "$0")")
cd "$here/../.." || exit 1
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
runs=${RUNS:-5}
seconds=${SECONDS_EACH:-3}
volume_mib=${VOLUME_MIB:-2048}
contenders=${CONTENDERS:-tarn11 qcow2 raw tarn21}
workloads=${WORKLOADS:-randread1 randread32 randwrite1 randwrite32 writesync seqread seqwrite}
extras=${EXTRAS:-1}
D=$(mktemp -d "${BENCH_DIR:-/dev/shm}/tarn-bench.XXXXXX") || exit 1
declare -A PID SERVER TARGET

fail() {
	echo "bench: $*" >&2
	exit 1
}

cleanup() {
	trap - EXIT
	for p in "${PID[@]}"; do
		kill -KILL "$p" 2> /dev/null
	done
	rm -rf "$D"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

read -r load _ < /proc/loadavg
case $load in
0.* | 1.*) ;;
*) echo "bench: the machine is busy (load $load): figures will scatter" >&2 ;;
esac
for p in fio nbdkit nbdinfo qemu-storage-daemon qemu-img; do
	command -v $p > /dev/null || fail "$p is missing: make deps"
done
case $(stat -f -c %T "$D") in
tmpfs) ;;
*) echo "bench: $D is not on tmpfs: the disks will be slower" >&2 ;;
esac

start() {
	local name=$1
	shift

	"$@" >> "$D/$name.log" 2>&1 < /dev/null &
	PID[$name]=$!
	disown $! # no word about it when it is killed
}

wait_for() {
	local i

	for ((i = 0; i < 600; i++)); do
		"$@" > /dev/null 2>&1 && return 0
		sleep 0.05
	done
	tail -n 5 "$D"/*.log >&2
	fail "waited in vain for: $*"
}

# --- the contenders ------------------------------------------------------------

wants() {
	case " $contenders " in *" $1 "*) return 0 ;; esac
	return 1
}

disk_uri() {
	echo "nbd+unix:///$2?socket=$D/disk$1.sock"
}

# The log wants room beside the data; the same for both pools.
disk_mib=$((volume_mib * 2 + 1024))
for i in 1 2 3; do
	mkdir "$D/disk$i"
	truncate -s ${disk_mib}M "$D/disk$i/tarn11" "$D/disk$i/raw"
	truncate -s $((disk_mib / 2 + 512))M "$D/disk$i/tarn21"
	[ $i = 3 ] && break
	qemu-img create -q -f qcow2 "$D/disk$i/qcow2" ${volume_mib}M ||
		fail "qemu-img create"
	# The same image twice, as the quorum would have written it.
	[ $i = 1 ] || cp "$D/disk1/qcow2" "$D/disk$i/qcow2"
	truncate -s $((volume_mib + 256))M "$D/disk$i/qcow2"
done
truncate -s ${volume_mib}M "$D/disk1/raw"
for i in 1 2 3; do
	start disk$i nbdkit -f -U "$D/disk$i.sock" file dir="$D/disk$i"
	wait_for nbdinfo --size "$(disk_uri $i tarn11)"
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
		--control "$D/$name.ctl" --disks "${disks[@]}" "$@"
	SERVER[$name]=${PID[$name]}
	TARGET[$name]="nbd+unix:///vol?socket=$D/$name.sock"
	DISKS=("${disks[@]}")
}

tarn_create() {
	local name=$1 redundancy=$2

	tarn_start "$name"
	wait_for "$build/tarn" --control "$D/$name.ctl" status
	"$build/tarn" --control "$D/$name.ctl" pool create "$name" \
		--redundancy "$redundancy" --domain disk "${DISKS[@]}" \
		> /dev/null || fail "pool create $redundancy"
	"$build/tarn" --control "$D/$name.ctl" volume create vol \
		${volume_mib}M > /dev/null || fail "volume create"
}

if wants tarn11; then tarn_create tarn11 1+1; fi
if wants tarn21; then tarn_create tarn21 2+1; fi
if wants qcow2; then
	q=driver=quorum,node-name=q,vote-threshold=1,read-pattern=fifo
	start qcow2 qemu-storage-daemon \
		--blockdev driver=nbd,node-name=d1,server.type=unix,server.path="$D/disk1.sock",export=qcow2 \
		--blockdev driver=nbd,node-name=d2,server.type=unix,server.path="$D/disk2.sock",export=qcow2 \
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
	wait_for nbdinfo --size "${TARGET[$c]}"
done

# --- measuring -------------------------------------------------------------------

hz=$(getconf CLK_TCK)

# CPU ticks that a process spent, all threads, user and system.
ticks() {
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

fio_run() {
	fio --minimal --terse-version=3 --name=b --ioengine=nbd --uri="$1" \
		--size=${volume_mib}M --randrepeat=0 --norandommap=1 \
		--refill_buffers=0 --scramble_buffers=1 "${@:2}"
}

# counter CONTENDER KEY: a number out of what tarnd counts; nothing for others.
counter() {
	case $1 in tarn*) ;; *) return ;; esac
	"$build/tarn" --control "$D/$1.ctl" stats --json | tr ',{}' '\n\n\n' |
		sed -n "s/^ *\"$2\": *//p" | head -n 1
}

# Every block is written once before anything is measured.
for c in $contenders; do
	echo "filling $c" >&2
	fio_run "${TARGET[$c]}" --rw=write --bs=1M --iodepth=8 \
		--end_fsync=1 > "$D/fill.out" || fail "filling $c"
done

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
	seqread) how=(--rw=read --bs=1M --iodepth=8); bs=1048576 ;;
	seqwrite) how=(--rw=write --bs=1M --iodepth=8); bs=1048576 ;;
	*) fail "no such workload: $w" ;;
	esac
	t0=$(ticks "${SERVER[$c]}")
	out=$(fio_run "${TARGET[$c]}" --time_based --runtime="$seconds" \
		"${how[@]}") || fail "$w on $c: $out"
	t1=$(ticks "${SERVER[$c]}")
	kill -0 "${SERVER[$c]}" 2> /dev/null || fail "$c died in $w"
	# Terse output, version 3: KiB, KiB/s, operations/s and milliseconds
	# of reads from field 6, of writes from field 47.
	echo "$out" | awk -F';' -v bs=$bs -v hz="$hz" -v t=$((t1 - t0)) '
	/^3;/ {
		kib = $6 + $47
		ms = $9 > $50 ? $9 : $50
		ops = kib * 1024 / bs
		rate = bs == 4096 ? ops * 1000 / ms : kib / 1024 * 1000 / ms
		printf "%.1f %.0f %.3f\n", rate, ops, t / hz
	}'
}

results=$D/results
: > "$results"
for ((run = 1; run <= runs; run++)); do
	for w in $workloads; do
		order=$contenders
		# Every other run the other way round.
		[ $((run % 2)) = 1 ] || order=$(echo "$order" |
			awk '{ for (i = NF; i > 0; i--) printf "%s ", $i }')
		for c in $order; do
			h0= m0=
			if [ $w = randread32 ]; then
				h0=$(counter "$c" node_hits)
				m0=$(counter "$c" node_misses)
			fi
			m=$(measure "$c" "$w") || exit 1
			echo "$w $c $m" >> "$results"
			[ -n "$h0" ] || continue
			echo "$c $(($(counter "$c" node_hits) - h0))" \
				"$(($(counter "$c" node_misses) - m0))" \
				>> "$D/hits"
		done
	done
	echo "run $run of $runs done" >&2
done

awk -v contenders="$contenders" -v workloads="$workloads" '
function median(key,	n, i, j, t, v) {
	n = split(values[key], v, " ")
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && v[j - 1] + 0 > v[j] + 0; j--) {
			t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
		}
	low = v[1]; high = v[n]
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
{
	values[$1, $2] = values[$1, $2] " " $3
	ops[$1, $2] += $4
	cpu[$1, $2] += $5
}
END {
	title["randread1"] = "random read 4K qd1"
	title["randread32"] = "random read 4K qd32"
	title["randwrite1"] = "random write 4K qd1"
	title["randwrite32"] = "random write 4K qd32"
	title["writesync"] = "write+fsync 4K qd1"
	title["seqread"] = "read 1M qd8 (MiB/s)"
	title["seqwrite"] = "write 1M qd8 (MiB/s)"
	name["tarn11"] = "tarn 1+1"; name["tarn21"] = "tarn 2+1"
	name["qcow2"] = "qcow2/quorum"; name["raw"] = "raw disk"
	nc = split(contenders, c, " ")
	nw = split(workloads, w, " ")
	printf "\n%-22s %-13s %10s %8s %9s %12s\n", "workload", "contender",
		"median/s", "spread", "x qcow2", "CPU s/Mop"
	for (i = 1; i <= nw; i++) {
		base = median(w[i] SUBSEP "qcow2")
		for (j = 1; j <= nc; j++) {
			key = w[i] SUBSEP c[j]
			m = median(key)
			printf "%-22s %-13s %10.0f %7.0f%% %9s %12.2f\n",
				j == 1 ? title[w[i]] : "", name[c[j]], m,
				(m > 0 ? 100 * (high - low) / m : 0),
				(base > 0 ? sprintf("%.2f", m / base) : "-"),
				(ops[key] > 0 ? cpu[key] * 1e6 / ops[key] : 0)
		}
	}
}' "$results"

[ -e "$D/hits" ] && awk '
{ hit[$1] += $2; miss[$1] += $3 }
END {
	print ""
	for (c in hit)
		if (hit[c] + miss[c] > 0)
			printf "%s, random read qd32: %.1f %% of the map nodes" \
				" wanted were in memory\n", c,
				100 * hit[c] / (hit[c] + miss[c])
}' "$D/hits"

[ "$extras" = 1 ] && wants tarn11 || exit 0
# shellcheck source=/dev/null
. "$here/extras.sh"
