# tests/bench/kit.sh - what the benchmarks share: a directory on tmpfs, servers
# that end with the script, pools over them, fio, and what is asked beside what
# was seen.  Sourced first, with the arguments of the script:
#
#	set -u -o pipefail
#	. "$(dirname "$0")/kit.sh"
#
# It goes to the top of the tree and sets build (the first argument), D, PID.
# shellcheck shell=bash

cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." || exit 1
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
D=$(mktemp -d "${BENCH_DIR:-/dev/shm}/tarn-bench.XXXXXX") || exit 1
declare -A PID

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
case $(stat -f -c %T "$D") in
tmpfs) ;;
*) echo "bench: $D is not on tmpfs: the disks will be slower" >&2 ;;
esac

# need PROGRAM...
need() {
	local p

	for p in "$@"; do
		command -v "$p" > /dev/null || fail "$p is missing: make deps"
	done
}

# start NAME COMMAND...
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

milliseconds() {
	local t=$EPOCHREALTIME

	echo $((${t/./} / 1000))
}

# ticks PID: CPU ticks that a process spent, all threads, user and system.
ticks() {
	sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}

# --- a pool ----------------------------------------------------------------------

# pool_start NAME REDUNDANCY DISKS MIB [OPTIONS of tarnd]: disks of that size,
# each nbdkit's file plugin, and tarnd with a pool over them, which is what
# everything below is about until another one is started.
pool_start() {
	local i disks=()

	pool=$1
	for ((i = 1; i <= $3; i++)); do
		mkdir "$D/$pool$i"
		truncate -s "$4M" "$D/$pool$i/d" || fail "no room for disks"
		start "disk-$pool$i" nbdkit -f -U "$D/$pool$i.sock" \
			file dir="$D/$pool$i"
		disks+=("nbd+unix:///d?socket=$D/$pool$i.sock")
		wait_for nbdinfo --size "${disks[-1]}"
	done
	start "$pool" "$build/tarnd" --listen "unix:$D/$pool.sock" \
		--control "$D/$pool.ctl" "${@:5}" --disks "${disks[@]}"
	wait_for tarn status
	tarn pool create "$pool" --redundancy "$2" --domain disk \
		"${disks[@]}" > /dev/null || fail "pool create"
}

# The pool, its servers and its disks go.
pool_stop() {
	local p

	for p in "${!PID[@]}"; do
		case $p in
		"$pool" | "disk-$pool"[0-9])
			kill -KILL "${PID[$p]}"
			unset "PID[$p]"
			;;
		esac
	done
	rm -rf "$D/$pool"[.1-9]*
}

tarn() {
	"$build/tarn" --control "$D/$pool.ctl" "$@"
}

volume_create() {
	tarn volume create "$@" > /dev/null || fail "volume create $*"
}

# number KEY: the first one of that name in the JSON that comes in.
number() {
	tr ',{}' '\n\n\n' | sed -n "s/^ *\"$1\": *//p" | head -n 1
}

# counter KEY: a number out of what tarnd counts.
counter() {
	tarn stats --json | number "$1"
}

uri() {
	echo "nbd+unix:///$1?socket=$D/$pool.sock"
}

# --- fio -------------------------------------------------------------------------

# fio_uri URI MIB HOW...
fio_uri() {
	fio --minimal --terse-version=3 --name=b --ioengine=nbd --randrepeat=0 \
		--norandommap=1 --refill_buffers=0 --scramble_buffers=1 \
		--uri="$1" --size="$2M" "${@:3}"
}

# fill_uri URI MIB: every block, front to back.
fill_uri() {
	fio_uri "$1" "$2" --rw=write --bs=1M --iodepth=8 --end_fsync=1 \
		> "$D/fill.out" || fail "filling $1: $(cat "$D/fill.out")"
}

# fio_run VOLUME MIB HOW..., fill VOLUME MIB: of the pool.
fio_run() {
	fio_uri "$(uri "$1")" "${@:2}"
}

fill() {
	fill_uri "$(uri "$1")" "$2"
}

# fio_sums: of fio's terse output (version 3: fields from 6 on are of reads, from
# 47 on of writes) the KiB, the milliseconds and the microseconds of the longest
# write.
fio_sums() {
	awk -F';' '/^3;/ { print $6 + $47, ($9 > $50 ? $9 : $50), $56 }'
}

# --- figures ---------------------------------------------------------------------

median() {
	sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# ratio A B [DIGITS]
ratio() {
	awk -v a="$1" -v b="$2" -v n="${3:-2}" 'BEGIN { printf "%.*f", n, a / b }'
}

# target TEXT SEEN ASKED OPERATOR(>= or <=)
target() {
	awk -v t="$1" -v s="$2" -v a="$3" -v op="$4" 'BEGIN {
		met = op == ">=" ? s >= a : s <= a
		printf "%-56s %8s   %s %-6s %s\n", t, s, op, a,
			met ? "met" : "missed"
	}' >> "$D/targets"
}

# parts_run NAME...: part_NAME of each, then all targets.  A figure that is
# missed is no failure.
parts_run() {
	local part

	for part; do
		declare -F "part_$part" > /dev/null || fail "no such part: $part"
	done
	for part; do
		"part_$part"
		echo
	done
	[ -e "$D/targets" ] || return 0 # a table has none
	cat "$D/targets"
	echo "$(grep -c 'missed$' "$D/targets") missed"
}
