#!/bin/sh
# tests/sim/canaries.sh - is the simulation awake?  Plants each known bug in
# turn (base/canary.h) and demands that a seed fails.
#
#	tests/sim/canaries.sh [NAME...]     all, or these
#
# SEEDS: how many seeds a bug may take (1000); JOBS: processes at a time.
set -eu

cd "$(dirname "$0")/../.."
build=${BUILD:-build}/canaries
seeds=${SEEDS:-1000}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 1)}

make --no-print-directory -j"$jobs" BUILD="$build" CFLAGS=-DTARN_CANARIES \
	"$build/tarn-sim" >/dev/null
sim=$build/tarn-sim
log=$build/canary.log

# The first seed from $2 on that fails with bug $1 and passes without it.
find_seed() {
	first=$2
	while [ "$first" -le "$seeds" ]; do
		"$sim" --canary "$1" --first "$first" \
			--seeds $((seeds - first + 1)) --jobs "$jobs" \
			>"$log" 2>&1 && return 1
		seed=$(sed -n 's/^seed \([0-9]*\) failed$/\1/p' "$log" |
			head -n 1)
		[ -n "$seed" ] || return 1
		"$sim" --seed "$seed" >/dev/null 2>&1 && return 0
		first=$((seed + 1))
	done
	return 1
}

names=${*:-$("$sim" --canary list | cut -f1)}
count=0
missed=0
for name in $names; do
	count=$((count + 1))
	if ! find_seed "$name" 1; then
		echo "MISSED $name: not found in $seeds seeds"
		missed=$((missed + 1))
		continue
	fi
	how=$(sed -n 's/^FAILED: //p' "$log" | head -n 1 | cut -c 1-70)
	printf 'found  %-22s seed %-5s %s\n' "$name" "$seed" "$how"
done
echo "$count bugs planted, $missed missed"
[ "$missed" -eq 0 ]
