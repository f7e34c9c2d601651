#!/bin/bash
# Run tests that were built before, each under a time limit, and end with one
# line: "N passed, N failed" and, if any were, ", N skipped".
#
#	run-tests.sh [--fuzz-seconds N] [--sim-seeds N] [-j N] BUILD WHAT…
#
# WHAT: all, asan (what makes sense under the sanitizers), one of the groups
# house, unit, sim, fuzz, server, system, vm, or GROUP/NAME for one test.
# A test passes with exit 0 and is skipped with 77.  What a test prints is in
# BUILD/log/GROUP-NAME.log, and shown when it fails.
set -u
cd "$(dirname "$0")/.." || exit 1

fuzz_s=${FUZZ_S:-4}
seeds=${SEEDS:-200}
jobs=$(nproc)
while :; do
	case ${1-} in
	--fuzz-seconds) fuzz_s=$2; shift 2 ;;
	--sim-seeds) seeds=$2; shift 2 ;;
	-j) jobs=$2; shift 2 ;;
	*) break ;;
	esac
done
if [ $# -lt 2 ]; then
	echo "usage: run-tests.sh [-j N] BUILD all|asan|GROUP|GROUP/NAME…" >&2
	exit 2
fi
build=$1
shift
case $build in /*) ;; *) build=$PWD/$build ;; esac
export BUILD=$build
log=$build/log
mkdir -p "$log" || exit 1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/tarn-check.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what there is: name|limit in seconds|command ---------------------------

list_house() {
	echo "house/layers|60|tests/scripts/check-layers.sh $build"
	echo "house/headers|120|make -s check-headers"
	echo "house/docs|60|tests/scripts/check-docs.sh $build"
	echo "house/names|60|tests/scripts/check-names.sh"
}
list_unit() {
	for t in "$build"/tests/unit/test_*; do
		[ -x "$t" ] && echo "unit/${t##*/test_}|300|$t"
	done
}
# Uses all processors by itself, so nothing runs beside it.
list_sim() {
	[ -x "$build/tarn-sim" ] &&
		echo "sim/seeds|900|$build/tarn-sim --seeds $seeds --jobs $jobs"
	[ -x "$build/tarn-sim" ] &&
		echo "sim/twice|60|$build/tarn-sim --first 5001 --seeds 20 --twice --jobs $jobs"
}
list_fuzz() {
	for s in tests/fuzz/fuzz_*.c; do
		[ -f "$s" ] || continue
		s=${s##*/}
		s=${s%.c}
		echo "fuzz/$s|$((fuzz_s + 60))|tests/scripts/run-fuzz.sh $build/fuzz/tests/fuzz/$s $fuzz_s"
	done
}
list_server() {
	for t in "$build"/tests/server/test_*; do
		[ -x "$t" ] && echo "server/${t##*/test_}|300|$t"
	done
}
list_system() {
	for t in tests/system/test-*.sh; do
		[ -x "$t" ] || continue
		t=${t##*/test-}
		echo "system/${t%.sh}|400|tests/system/test-$t"
	done
}
list_vm() {
	for t in tests/vm/test-*.sh; do
		[ -x "$t" ] || continue
		t=${t##*/test-}
		echo "vm/${t%.sh}|240|tests/vm/test-$t"
	done
}

: > "$scratch/list"
for what; do
	case $what in
	all) for g in house unit server system vm fuzz sim; do list_$g; done ;;
	asan)
		seeds=$(((seeds + 9) / 10))
		for g in unit server system sim; do list_$g; done
		;;
	house | unit | sim | fuzz | server | system | vm) list_$what ;;
	*/*) list_"${what%%/*}" | grep "^$what[.|]" ;;
	*)
		echo "run-tests: no such group: $what" >&2
		exit 2
		;;
	esac
done > "$scratch/list"
if [ ! -s "$scratch/list" ]; then
	echo "run-tests: there is no test in: $*" >&2
	exit 2
fi

# --- one test ----------------------------------------------------------------

run_one() {
	local name=$1 limit=$2 cmd=$3 file r t0 t1 tmp

	file=$log/${name//\//-}.log
	tmp=$scratch/${name//\//-}
	mkdir -p "$tmp"
	t0=$EPOCHREALTIME
	# shellcheck disable=SC2086
	TMPDIR=$tmp timeout -k 10 "$limit" $cmd > "$file" 2>&1 < /dev/null
	r=$?
	t1=$EPOCHREALTIME
	rm -rf "$tmp"
	t0=$(((${t1/./} - ${t0/./}) / 100000))
	t0=$((t0 / 10)).$((t0 % 10))
	case $r in
	0) echo pass > "$tmp.result"
		# What a program leaves out of its own accord.
		r=$(sed -n 's/^\[  SKIPPED \] \([0-9]* test\).*/, \1(s) of it skipped/p' \
			"$file")
		echo "  ok    $name (${t0} s$r)"
		# The totals of what was simulated are worth a look.
		[ "${name%%/*}" != sim ] || sed 's/^/        /' "$file" ;;
	77) echo skip > "$tmp.result"
		echo "  skip  $name: $(tail -n 1 "$file")" ;;
	*) echo fail > "$tmp.result"
		[ $r = 124 ] && echo "took more than $limit s" >> "$file"
		# In one piece, though others print too.
		printf '%s\n' "  FAIL  $name (${t0} s, exit $r), $file:
$(tail -n 40 "$file" | sed 's/^/        /')" ;;
	esac
}

running=0
while IFS='|' read -r name limit cmd; do
	if [ "${name%%/*}" = sim ]; then
		wait
		running=0
	elif [ $running -ge "$jobs" ]; then
		wait -n
		running=$((running - 1))
	fi
	run_one "$name" "$limit" "$cmd" &
	running=$((running + 1))
done < "$scratch/list"
wait

total=$(wc -l < "$scratch/list")
passed=$(cat "$scratch"/*.result 2> /dev/null | grep -c pass)
skipped=$(cat "$scratch"/*.result 2> /dev/null | grep -c skip)
failed=$((total - passed - skipped))
line="$passed passed, $failed failed"
[ "$skipped" = 0 ] || line="$line, $skipped skipped"
echo "$line"
[ "$failed" = 0 ]
