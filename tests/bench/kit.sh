# tests/bench/kit.sh - what the benchmarks share: a directory on tmpfs, servers
# that end with the script, and waiting for them.  Sourced; sets D, PID.
# shellcheck shell=bash

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
