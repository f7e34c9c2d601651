#!/bin/bash
# The simulation must find every planted bug within so many seeds.
#
#	run-canaries.sh BUILD [SEEDS [NAME…]]
#
# BUILD is a build with canaries (make canaries).  A bug that is not found is
# a hole in the simulation, and a failure.
set -u
cd "$(dirname "$0")/.." || exit 1
sim=$1/tarn-sim
seeds=${2:-1000}
jobs=$(nproc)
shift
[ $# -gt 0 ] && shift
names=$*
[ -n "$names" ] || names=$("$sim" --canary list | awk '{ print $1 }' |
	grep -vx none)
[ -n "$names" ] || { echo "canaries: none are planted" >&2; exit 1; }
mkdir -p "$1/log" 2> /dev/null
log=$(mktemp -d) || exit 1
trap 'rm -rf "$log"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Without a bug the same build must find nothing.
if ! "$sim" --seeds 50 --jobs "$jobs" > "$log/none" 2>&1; then
	tail -n 20 "$log/none"
	echo "canaries: the simulation fails without any planted bug" >&2
	exit 1
fi
found=0
missed=0
for n in $names; do
	timeout 900 "$sim" --canary "$n" --seeds "$seeds" --jobs "$jobs" \
		> "$log/$n" 2>&1
	r=$?
	if [ $r != 0 ] && [ $r != 2 ] && [ $r != 124 ]; then
		found=$((found + 1))
		echo "  found   $n: $(grep -m 1 -E 'seed[= ]*[0-9]+' "$log/$n")"
	else
		missed=$((missed + 1))
		echo "  MISSED  $n (exit $r): $(tail -n 1 "$log/$n")"
	fi
done
echo "$found passed, $missed failed"
[ $missed = 0 ]
