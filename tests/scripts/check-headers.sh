#!/bin/bash
# Every header compiles alone, twice over (its guard works).
#
#	check-headers.sh 'COMPILER FLAGS…'
set -u
cd "$(dirname "$0")/../.." || exit 1
cc=${1:-gcc -std=gnu11 -D_GNU_SOURCE -I. -Wall -Wextra -Werror}

one() {
	printf '#include "%s"\n#include "%s"\ntypedef int not_empty;\n' \
		"$1" "$1" |
		$cc -fsyntax-only -Wno-unused-function -x c - 2>&1 &&
		exit 0
	echo "check-headers: $1 does not compile alone"
	exit 1
}
export -f one
export cc
find base io pool volume snapshot server tools tests -name '*.h' \
	2> /dev/null | sort |
	xargs -r -P "$(nproc)" -I{} bash -c 'one {}'
r=$?
[ $r = 0 ] || exit 1
