#!/bin/bash
# What `make run` runs: three disk hosts on this machine, a 2+1 pool over
# them, a thin volume in it, until Ctrl-C.  Run again, the same pool opens.
#
#	run-demo.sh [--clean] [BUILD]
#
# Environment: STATE (BUILD/run), where the disks are; DISK_SIZE (4G, of each,
# sparse); PORT (10809) of the volumes and, one more, of the disk hosts.
set -u
clean=
[ "${1-}" = --clean ] && { clean=1; shift; }
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
state=${STATE:-$build/run}
size=${DISK_SIZE:-4G}
port=${PORT:-10809}
disk_port=$((port + 1))
hosts="127.0.0.1 127.0.0.2 127.0.0.3"
sock=$state/nbd.sock
locks=$state/locks
export TARN_CONTROL=$state/control.sock
tarn=$build/tarn
pids=()

fail() {
	echo "run: $*" >&2
	exit 1
}

# One demo at a time: the lock goes away with the process, however it ends.
mkdir -p "$state" || exit 1
exec 9> "$state/lock"
flock -n 9 || fail "it runs already in $state; end that one with Ctrl-C"

if [ -n "$clean" ]; then
	# Only what the demo made.
	rm -f "$state"/disk-?.img "$state"/*.log "$sock" "$TARN_CONTROL" \
		"$TARN_CONTROL.lock" "$locks"/lock/* "$state/lock"
	rmdir "$locks/lock" "$locks" "$state" 2> /dev/null
	echo "The demo's disks are gone."
	exit 0
fi

end_all() {
	local p i

	trap '' INT TERM
	trap - EXIT
	# tarnd first: it says good-bye to its disks.
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		p=${pids[i]}
		kill -TERM "$p" 2> /dev/null
		for ((n = 0; n < 100; n++)); do
			kill -0 "$p" 2> /dev/null || break
			sleep 0.1
		done
		kill -KILL "$p" 2> /dev/null
		wait "$p" 2> /dev/null
	done
}
trap end_all EXIT
trap 'echo; echo "Ending; run again to open the same pool."; exit 0' INT TERM

start() {
	local log=$1
	shift

	# In a group of its own, so that Ctrl-C reaches this script alone.
	setsid "$@" > "$state/$log.log" 2>&1 < /dev/null 9>&- &
	pids+=($!)
}

wait_for() {
	local what=$1 i
	shift

	for ((i = 0; i < 300; i++)); do
		"$@" > /dev/null 2>&1 && return 0
		for p in "${pids[@]}"; do
			kill -0 "$p" 2> /dev/null && continue
			tail -n 5 "$state"/*.log >&2
			fail "a program ended while waiting for $what"
		done
		sleep 0.1
	done
	tail -n 5 "$state"/*.log >&2
	fail "$what did not come up within 30 s"
}

listens() {
	(: < "/dev/tcp/$1/$2") 2> /dev/null
}

for h in $hosts; do
	listens "$h" "$disk_port" &&
		fail "$h:$disk_port is in use; set PORT to another one"
done
listens 127.0.0.1 "$port" && fail "127.0.0.1:$port is in use; set PORT"

# --- the disk hosts -------------------------------------------------------------

places=()
n=0
for h in $hosts; do
	n=$((n + 1))
	img=$state/disk-$n.img
	[ -e "$img" ] || truncate -s "$size" "$img" || exit 1
	start "diskd-$n" "$build/tarn-diskd" "$img" --listen "$h:$disk_port"
	places+=("nbd://$h:$disk_port/")
done
n=0
for h in $hosts; do
	n=$((n + 1))
	wait_for "the disk host $h" listens "$h" "$disk_port"
done

# --- the server -------------------------------------------------------------------

start tarnd "$build/tarnd" --listen "unix:$sock" --listen "127.0.0.1:$port" \
	--control "$TARN_CONTROL" --run-dir "$locks" --disks "${places[@]}" --pool lake
wait_for "tarnd" "$tarn" status

echo "Disks that are out there (tarn disk discover):"
"$tarn" disk discover || fail "disk discover"
if "$tarn" pool list 2> /dev/null | grep -q '\<lake\>'; then
	echo "The pool from the last time is open again."
else
	"$tarn" pool create lake --redundancy 2+1 "${places[@]}" ||
		fail "could not make the pool; make run-clean starts afresh"
fi
"$tarn" volume create vm1 10G || fail "could not make the volume"

echo
"$tarn" status
"$tarn" df
cat << END

Look at it, in another terminal:
	export TARN_CONTROL=$TARN_CONTROL PATH=$build:\$PATH
	tarn status
	tarn volume list
	tarn disk list
	nbdinfo nbd://127.0.0.1:$port/vm1

Attach the volume vm1 (10 GiB, thin):
	qemu-system-x86_64 … -drive file=nbd://127.0.0.1:$port/vm1,format=raw,if=virtio
	nbd-client -N vm1 -C 4 127.0.0.1 $port /dev/nbd0
	qemu-img convert -n -O raw some.qcow2 'nbd+unix:///vm1?socket=$sock'

Pull a disk and see that nothing is lost:
	kill -9 ${pids[0]}		# the disk host 127.0.0.1
	tarn status
Kill the server, then run again:
	kill -9 ${pids[3]}		# tarnd

Ctrl-C ends all of it; make run-clean forgets it.
END

# Until Ctrl-C, or until tarnd ends by itself.
while kill -0 "${pids[3]}" 2> /dev/null; do
	sleep 1 9>&- &
	wait $!
done
echo "run: tarnd has ended; its last words:" >&2
tail -n 3 "$state/tarnd.log" >&2
exit 1
