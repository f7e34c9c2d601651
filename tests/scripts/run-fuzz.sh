#!/bin/bash
# One fuzz target for some seconds, starting from its corpus.
#
#	run-fuzz.sh PROGRAM SECONDS
set -u
cd "$(dirname "$0")/../.." || exit 1
program=$1
seconds=$2
name=${program##*/}
name=${name#fuzz_}

if [ ! -x "$program" ]; then
	echo "fuzz_$name was not built: clang-14 with libclang-rt-14-dev is needed"
	exit 77
fi
work=${program%/*}/work-$name
mkdir -p "$work/corpus" "$work/found" || exit 1
seed=
[ -d "tests/fuzz/corpus/$name" ] && seed=tests/fuzz/corpus/$name
# shellcheck disable=SC2086
"$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
	-print_final_stats=1 -artifact_prefix="$work/found/" \
	"$work/corpus" $seed
