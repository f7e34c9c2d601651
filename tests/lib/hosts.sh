# tests/lib/hosts.sh - disk hosts over TCP, each with an address of its own,
# and what can happen to them.  Source it after kit.sh.
#
#	host_add a nbdkit               # 127.x.y.1:10809, image $W/a.img
#	host_add b nbd-server
#	host_kill a; host_start a       # at the port where it was
#	host_port a 10810               # … or at another one, when it starts
#
# The addresses are of this test alone, so ports are never taken, and every
# host is a failure domain of its own.

declare -A KIND ADDR PORT HPID # by name of a host
declare -A IN                  # words in front of its server, a netns perhaps
HOSTS=()
NET=127.$((1 + $$ % 250)).$((1 + $$ / 250 % 250))
HOST_SIZE=512M

# Parameters for the filters of nbdkit, by kind.
declare -A FILTER=(
	[nbdkit]=
	[nbdkit-error]="error"
	[nbdkit-delay]="delay"
	[nbdkit-rate]="rate"
)

# host_add NAME KIND [ADDRESS [WORDS IN FRONT…]]
host_add() {
	local name=$1

	KIND[$name]=$2
	ADDR[$name]=${3:-$NET.$((${#HOSTS[@]} + 1))}
	IN[$name]=${*:4}
	PORT[$name]=10809
	HOSTS+=("$name")
	truncate -s "$HOST_SIZE" "$W/$name.img"
	host_start "$name"
}

# The place of its disk.
host_uri() {
	local export=

	[ "${KIND[$1]}" != nbd-server ] || export=disk
	echo "nbd://${ADDR[$1]}:${PORT[$1]}/$export"
}

host_port() {
	PORT[$1]=$2
}

nbd_server_conf() {
	cat <<-END
	[generic]
	listenaddr = ${ADDR[$1]}
	port = ${PORT[$1]}
	allowlist = true
	[disk]
	exportname = $W/$1.img
	flush = true
	fua = true
	trim = true
	END
}

# What its server is started with: one word a line.
host_command() {
	local name=$1 img=$W/$1.img at=${ADDR[$1]} port=${PORT[$1]}

	case ${KIND[$name]} in
	nbdkit*) nbdkit_command "$name" ;;
	qemu-nbd)
		# Without -x "" a client would have to know a name.
		printf '%s\n' qemu-nbd -f raw -t -e 16 -b "$at" -p "$port" \
			--discard=unmap --cache=writeback "$img"
		;;
	nbd-server)
		# With -d it would serve one client only; without, it goes
		# into the background.
		printf '%s\n' nbd-server -C "$W/$name.conf" -p "$W/$name.pid"
		;;
	tarn-diskd)
		printf '%s\n' "$BUILD/tarn-diskd" "$img" --insecure \
			--listen "$at:$port"
		;;
	*) die "no such kind of host: ${KIND[$name]}" ;;
	esac
}

# Filters: `error` fails while $W/NAME.fail exists; `delay` and `rate` make
# for a disk that is slow, but not as slow as to be dead.
nbdkit_command() {
	local name=$1 filter=() param=()

	case ${KIND[$name]} in
	nbdkit) ;;
	nbdkit-error)
		filter=(--filter=error)
		param=(error=EIO error-rate=30% error-file="$W/$name.fail")
		;;
	nbdkit-delay)
		filter=(--filter=delay)
		param=(wdelay=60ms rdelay=20ms)
		;;
	nbdkit-rate)
		filter=(--filter=rate)
		param=(rate=40M)
		;;
	*) die "no such kind of host: ${KIND[$name]}" ;;
	esac
	printf '%s\n' nbdkit -f -i "${ADDR[$name]}" -p "${PORT[$name]}" \
		${filter[@]+"${filter[@]}"} file "$W/$name.img" \
		${param[@]+"${param[@]}"}
}

host_answers() {
	# shellcheck disable=SC2086
	timeout 5 ${IN[$1]} nbdinfo --size "$(host_uri "$1")"
}

# Its server runs: it is started, also when its port was not free yet because
# some thread of the last one is not quite dead.
host_runs() {
	local name=$1 command

	[ -z "${PID[$name]-}" ] || ! alive "$name" || return 0
	mapfile -t command < <(host_command "$name")
	if [ "${KIND[$name]}" = nbd-server ]; then
		nbd_server_conf "$name" > "$W/$name.conf"
		rm -f "$W/$name.pid"
		# shellcheck disable=SC2086
		${IN[$name]} "${command[@]}" && sleep 0.1 &&
			[ -s "$W/$name.pid" ] &&
			PID[$name]=$(cat "$W/$name.pid")
	else
		# shellcheck disable=SC2086
		start "$name" ${IN[$name]} "${command[@]}"
		sleep 0.1
		alive "$name"
	fi
}

host_up() {
	host_runs "$1" && host_answers "$1"
}

# host_start NAME: and wait until it answers (nowait: do not).
host_start() {
	local program

	program=$(host_command "$1" | head -n 1)
	requires nbdinfo "${program##*/}"
	wait_for 20 host_runs "$1"
	[ "${2-}" = nowait ] || wait_for 20 host_up "$1"
}

# Its processes: nbd-server has one a client.
host_pids() {
	local p=${PID[$1]-}

	[ -z "$p" ] || echo "$p" "$(pgrep -P "$p" | tr '\n' ' ')"
}

host_signal() {
	local p

	for p in $(host_pids "$1"); do
		kill -"$2" "$p" 2> /dev/null
	done
}

# The machine dies: nothing of it is left.
host_kill() {
	local p pids

	pids=$(host_pids "$1")
	# The parent first: it would start others.
	for p in $pids; do
		kill -KILL "$p" 2> /dev/null
	done
	for p in $pids; do
		gone "$p" 100 || die "$1 did not end within 10 s of SIGKILL"
	done
	unset "PID[$1]"
}

# --- fio, again and again ------------------------------------------------------

# load_start VOLUME [ARGUMENTS OF fio…]: until load_stop, write with checksums
# and read back; each run in another order and with other contents.
load_start() {
	requires fio
	rm -f "$W/load.end"
	start load load "$@"
}

load() {
	local uri n=0
	uri=$(vol "$1")
	shift

	while [ ! -e "$W/load.end" ]; do
		n=$((n + 1))
		echo "run $n"
		fio --name=load --thread --ioengine=nbd --uri="$uri" \
			--rw=randwrite --bsrange=4k-64k --iodepth=16 --size=16M \
			--fsync=64 --verify=crc32c --verify_fatal=1 \
			--verify_state_save=0 --randseed=$n \
			--allrandrepeat=0 "$@" > "$W/fio.out" 2>&1 || {
			cat "$W/fio.out"
			echo "load failed in run $n"
			return 1
		}
	done
	echo "load ended well after $n runs"
}

# It is at its end, without an error.
load_stop() {
	touch "$W/load.end"
	wait_for "${1:-60}" gone "${PID[load]}" 1
	tail -n 1 "$W/load.log"
	grep -q 'ended well' "$W/load.log" || die "$(tail -n 60 "$W/load.log")"
	unset "PID[load]"
}

requests() {
	t stats --json | python3 -c '
import json, sys
print(json.load(sys.stdin)["nbd"]["requests"])'
}

# load_goes_on [N]: clients have had so many answers more.
load_goes_on() {
	local before

	before=$(requests) || die "no stats"
	wait_for 30 load_passed $((before + ${1:-200}))
}

load_passed() {
	alive load && [ "$(requests)" -gt "$1" ]
}

# --- the pool ------------------------------------------------------------------

# A pool over all hosts that were added.
hosts_pool() {
	local redundancy=$1 n uris=()
	shift

	for n in "${HOSTS[@]}"; do
		uris+=("$(host_uri "$n")")
	done
	tarnd_start "$@"
	t pool create p --redundancy "$redundancy" "${uris[@]}" ||
		die "pool create $redundancy"
}

online() {
	t status | grep -qE 'state: *ONLINE'
}

degraded() {
	t status | grep -qE 'state: *DEGRADED'
}

# What lies on the disks is whole.  Stops tarnd.  A disk that was away when a
# segment was sealed has no copy of its index, which nothing needs as long as
# there are others; a scrub makes it.
hosts_check() {
	local n images=()

	must t scrub start
	must t job wait scrub
	t scrub status
	stop tarnd
	for n in "${HOSTS[@]}"; do
		images+=("$W/$n.img")
	done
	must timeout 120 "$BUILD/tarn-check" "${images[@]}"
}
