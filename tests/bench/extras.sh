# tests/bench/extras.sh - after the table: how long a start after kill -9
# takes, and what an idle server does.  Sourced by bench.sh.

name=tarn11
uri=${TARGET[$name]}

# One block read from the volume.
reads() {
	qemu-io -r -f raw -c 'read 0 4k' "$uri" 2> /dev/null |
		grep -q '^read 4096'
}

ended() {
	case $(ps -o stat= -p "$1" 2> /dev/null) in
	'' | Z*) return 0 ;;
	esac
	return 1
}

milliseconds() {
	local t=$EPOCHREALTIME

	echo $((${t/./} / 1000))
}

# Start from a clean stop, so that the log to replay is only what comes now, and
# let no commit cut it short.
kill -TERM "${SERVER[$name]}"
wait_for ended "${SERVER[$name]}"
tarn_start $name --commit-log 1G
wait_for reads
times=
for ((i = 0; i < 3; i++)); do
	# 240 MiB of blocks and their headers are about 256 MiB of log, what
	# starts a commit by default.
	fio_run "$uri" --rw=randwrite --bs=4k --iodepth=32 --io_size=240M \
		> /dev/null || fail "writing the log"
	kill -KILL "${SERVER[$name]}"
	wait_for ended "${SERVER[$name]}"
	t0=$(milliseconds)
	tarn_start $name --commit-log 1G
	for ((n = 0; n < 3000; n++)); do
		reads && break
		kill -0 "${SERVER[$name]}" 2> /dev/null ||
			fail "tarnd ended: $(tail -n 3 "$D/$name.log")"
	done
	times="$times $(($(milliseconds) - t0))"
done
echo
echo "recovery after kill -9, 256 MiB of log, until the first read: $(echo \
	$times | tr ' ' '\n' | sort -n | tr '\n' ' ')ms"
echo "  the last of them replayed $(counter $name replayed_rows) rows in" \
	"$(($(counter $name replay_ns) / 1000000)) ms"

# Every change of context of every thread is a wake-up.
switches() {
	cat /proc/"$1"/task/*/status 2> /dev/null |
		awk '/ctxt_switches/ { n += $2 } END { print n }'
}
sleep 5
a=$(switches "${SERVER[$name]}")
c=$(ticks "${SERVER[$name]}")
sleep 10
b=$(switches "${SERVER[$name]}")
d=$(ticks "${SERVER[$name]}")
echo "idle for 10 s: $((b - a)) wake-ups of all threads (a heartbeat every 2 s" \
	"wakes for its timer and for the answer of each disk)," \
	"$((d - c)) ticks of CPU"
