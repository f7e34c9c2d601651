#!/bin/bash
# Folders are floors: an include points down, and into another folder only at
# its public headers.  Then, if the archives are there, nothing in pool,
# volume, snapshot or the NBD parser may ask the system for anything.
#
#	check-layers.sh [BUILD]
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build}

grep -rn --include='*.[ch]' -E '^[ \t]*#[ \t]*include[ \t]+"' \
	base io pool volume snapshot server tools tests 2> /dev/null |
awk '
BEGIN {
	n = split("base io pool volume snapshot server tools tests", f, " ")
	for (i = 1; i <= n; i++)
		rank[f[i]] = i
	public["pool"] = "^pool/pool\\.h$"
	public["volume"] = "^volume/volume\\.h$"
	public["snapshot"] = "^snapshot/(snapshot|stream)\\.h$"
}
{
	split($0, a, ":")
	file = a[1]; line = a[2]
	match($0, /"[^"]*"/)
	inc = substr($0, RSTART + 1, RLENGTH - 2)
	from = file; sub(/\/.*/, "", from)
	to = inc; sub(/\/.*/, "", to)
	beside = file
	sub(/[^\/]*$/, inc, beside)
	if (from == "tests" && inc !~ /\// &&
	    (getline first < beside) >= 0) {
		close(beside)	# a test may say just the name of its neighbour
	} else if (!(to in rank) || inc !~ /\//) {
		printf "%s:%s: \"%s\": name the header from the top of the" \
			" tree, as in \"base/list.h\"\n", file, line, inc
		bad++
	} else if (rank[to] > rank[from]) {
		printf "%s:%s: %s/ may not include \"%s\": includes point" \
			" down only\n", file, line, from, inc
		bad++
	} else if (file ~ /^tools\/tarn\// && to != "base" &&
		   inc != "snapshot/stream.h" && inc !~ /^tools\/tarn\//) {
		printf "%s:%s: the command line speaks the control API" \
			" only: no \"%s\"\n", file, line, inc
		bad++
	} else if (from != to && rank[from] < rank["tools"] &&
		   to in public && inc !~ public[to]) {
		printf "%s:%s: \"%s\" is private to %s/\n", file, line, inc,
			to
		bad++
	}
}
END { exit bad > 0 }
' || { echo "check-layers: includes that point the wrong way" >&2; exit 1; }

# What a pure floor may not call.
forbidden='io_uring_.*|nbd_.*|pthread_.*|clock_gettime|gettimeofday|time'
forbidden="$forbidden|rand|srand|random|getrandom|poll|epoll_.*|socket|connect"
forbidden="$forbidden|accept|send|recv|sendmsg|recvmsg|open|close|p?read"
forbidden="$forbidden|p?write|p?readv|p?writev|f(data)?sync|fopen|ioctl|sleep"
forbidden="$forbidden|usleep|nanosleep|fork|syscall|printf|fprintf|puts"
pure=
for f in pool volume snapshot; do
	[ -f "$build/lib$f.a" ] && pure="$pure $build/lib$f.a"
done
for o in "$build"/obj/server/nbd_proto*.o; do
	[ -f "$o" ] && pure="$pure $o"
done
if [ -n "$pure" ]; then
	# shellcheck disable=SC2086
	found=$(nm -A -u $pure 2> /dev/null |
		grep -E " U (__)?($forbidden)(_chk)?(@.*)?$")
	if [ -n "$found" ]; then
		echo "$found"
		echo "check-layers: a pure floor asks the system" >&2
		exit 1
	fi
fi
exit 0
