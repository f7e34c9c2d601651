# tests/bench/extras.sh - after the table: random reads of a volume whose map is
# larger than the memory for it, how long a start after kill -9 takes, and what
# an idle server does.  Sourced by bench.sh, and uses what that has.
# shellcheck shell=bash disable=SC2154

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

# A clean stop, and a start with other options.
again() {
	kill -TERM "${SERVER[$name]}"
	wait_for ended "${SERVER[$name]}"
	tarn_start $name "$@"
	wait_for reads
}

# One leaf of the map, 4 KiB, is a MiB of the volume; the last word on an option
# counts.
node_kib=$((volume_mib < 1024 ? 1024 : volume_mib))
again --node-memory ${node_kib}K
before=$(lookups $name)
m=$(measure $name randread32) || exit 1
echo "$before $(lookups $name)" | awk -v m="$m" -v map="$volume_mib" \
	-v node=$node_kib '{
	nh = $5 - $1; nm = $6 - $2
	split(m, rate, " ")
	printf "  tarn11 with %d KiB for a map of %d KiB: %.0f reads/s, %.1f %%" \
		" of the map nodes in memory\n", node, map * 4, rate[1],
		(nh + nm > 0 ? 100 * nh / (nh + nm) : 0)
}'

# log_write: at least 256 MiB of log (what starts a commit by default) after a
# clean stop, not cut short by a commit; log_mib says how much.  Written front
# to back before, the volume has no segment that a few random writes would kill
# and a commit would give back.
log_write() {
	local i commits bytes

	for ((i = 0; i < 4; i++)); do
		fill_all $name
		again --commit-log 512M
		commits=$(counter_of $name commits)
		bytes=$(counter_of $name row_bytes)
		fio_uri "$uri" "$volume_mib" --rw=randwrite --bs=4k \
			--iodepth=32 --io_size=256M > /dev/null || fail "writing the log"
		# The same on both disks of a mirror.
		log_mib=$((($(counter_of $name row_bytes) - bytes) >> 21))
		[ "$(counter_of $name commits)" != "$commits" ] || return 0
	done
	return 1
}

times=
for ((i = 0; i < 3; i++)); do
	log_write || break
	kill -KILL "${SERVER[$name]}"
	wait_for ended "${SERVER[$name]}"
	t0=$(milliseconds)
	tarn_start $name --commit-log 512M
	for ((n = 0; n < 3000; n++)); do
		reads && break
		kill -0 "${SERVER[$name]}" 2> /dev/null ||
			fail "tarnd ended: $(tail -n 3 "$D/$name.log")"
	done
	took=$(($(milliseconds) - t0))
	times="$times $took"
	echo "recovery - $took" >> "$results"
done
echo
if [ -n "$times" ]; then
	echo "recovery after kill -9, until the first read:$times ms"
	[ $i -lt 3 ] ||
		echo "  the last of them replayed $(counter_of $name \
			replayed_rows) rows, $log_mib MiB of log, in" \
			"$(($(counter_of $name replay_ns) / 1000000)) ms"
fi
[ $i = 3 ] ||
	echo "recovery: measured $i times of 3, as a pool of this size makes a" \
		"commit before there are 256 MiB of log"

# A thread that gives up the processor by itself is woken up later; one that is
# pushed off it was not asleep.
switches() {
	cat /proc/"$1"/task/*/status 2> /dev/null |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
}
sleep 5
w0=$(switches "${SERVER[$name]}")
t0=$(ticks "${SERVER[$name]}")
sleep 10
w1=$(switches "${SERVER[$name]}")
t1=$(ticks "${SERVER[$name]}")
# A heartbeat every two seconds wakes for its timer, and for each of two disks
# for the lease area that it reads and the slot that it writes; ten seconds see
# five or six of them.
expected=$((6 * (1 + 2 * 2)))
echo "idle - $((w1 - w0)) $expected" >> "$results"
echo "idle for 10 s: $((w1 - w0)) wake-ups of all threads (six heartbeats, a" \
	"timer and two answers of each disk, are up to $expected)," \
	"$((t1 - t0)) ticks of CPU"
