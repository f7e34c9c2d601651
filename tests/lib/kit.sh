# tests/lib/kit.sh - what the system tests are written with.  Source it first:
#
#	. "$(dirname "$0")/../lib/kit.sh"
#
# It makes a work directory $W, which goes away at the end together with every
# program that was started with `start`, by its process id.  Nothing here waits
# without a bound, and no test passes or fails by how long something took,
# except where the limit is a promise of the product.

set -u -o pipefail
cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." || exit 1
TOP=$PWD
BUILD=${BUILD:-$TOP/build}
case $BUILD in /*) ;; *) BUILD=$TOP/$BUILD ;; esac
W=$(mktemp -d "${TMPDIR:-/tmp}/t.XXXXXX") || exit 1
export TARN_CONTROL=$W/ctl
declare -A PID URI   # by name: of a program started, of a disk
DISKS=()             # places given to tarnd
TARND_ARGS=()        # more arguments of tarnd
STAMP=$BUILD/tarn-stamp

say() {
	echo "--- $*"
}

die() {
	echo "FAILED: $*" >&2
	exit 1
}

skip() {
	echo "$*"
	exit 77
}

# requires PROGRAM…: skip the test when one is missing.
requires() {
	local p

	for p; do
		case $p in
		tarn*) [ -x "$BUILD/$p" ] || skip "$p is not built" ;;
		*) command -v "$p" > /dev/null || skip "$p is not installed" ;;
		esac
	done
}

cleanup() {
	local r=$? n p

	trap - EXIT
	# tarnd may end in good order; the others only hold it up.
	for n in "${!PID[@]}"; do
		p=${PID[$n]}
		kill -CONT "$p" 2> /dev/null
		case $n in
		tarnd*)
			kill -TERM "$p" 2> /dev/null
			gone "$p" 30 || kill -KILL "$p" 2> /dev/null
			;;
		esac
	done
	for n in "${!PID[@]}"; do
		for p in $(pgrep -P "${PID[$n]}") ${PID[$n]}; do
			kill -KILL "$p" 2> /dev/null
		done
	done
	wait 2> /dev/null
	if [ $r != 0 ] && [ $r != 77 ]; then
		for n in "$W"/*.log; do
			[ -s "$n" ] || continue
			echo "=== ${n##*/}"
			tail -n 30 "$n"
		done
	fi
	if [ -n "${KEEP-}" ]; then
		echo "kept: $W"
	else
		rm -rf "$W"
	fi
	exit $r
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# gone PID [TENTHS]: has it ended, within so many tenths of a second?
gone() {
	local i

	for ((i = 0; i < ${2:-100}; i++)); do
		case $(ps -o stat= -p "$1" 2> /dev/null) in
		'' | Z*) return 0 ;;
		esac
		sleep 0.1
	done
	return 1
}

# wait_for SECONDS COMMAND…: until it succeeds; fails the test otherwise.
wait_for() {
	local s=$1 i
	shift

	for ((i = 0; i < s * 20; i++)); do
		"$@" > /dev/null 2>&1 && return 0
		sleep 0.05
	done
	die "waited $s s in vain for: $*"
}

# start NAME COMMAND…: in the background, with its output in $W/NAME.log.
start() {
	local name=$1
	shift

	"$@" >> "$W/$name.log" 2>&1 < /dev/null &
	PID[$name]=$!
	disown $! # no word about it when it is killed
}

# stop NAME [SIGNAL]: send it and wait until it is gone.
stop() {
	local p=${PID[$1]-}

	[ -n "$p" ] || die "$1 was not started"
	kill -"${2:-TERM}" "$p" 2> /dev/null
	gone "$p" 150 || die "$1 did not end within 15 s of SIG${2:-TERM}"
	wait "$p" 2> /dev/null
	unset "PID[$1]"
}

alive() {
	kill -0 "${PID[$1]}" 2> /dev/null
}

# --- disks -------------------------------------------------------------------

answers() {
	nbdinfo --size "$1"
}

# disk_nbdkit NAME [SIZE [OPTIONS FOR nbdkit…]]: a file of that size behind
# nbdkit.  The file stays when nbdkit dies.  Parameters of filters go into
# NBDKIT_PARAMS.
NBDKIT_PARAMS=()
disk_nbdkit() {
	local name=$1 size=${2:-512M}
	shift
	[ $# -gt 0 ] && shift

	requires nbdkit nbdinfo
	[ -e "$W/$name.img" ] || truncate -s "$size" "$W/$name.img"
	rm -f "$W/$name.sock"
	start "$name" nbdkit -f -U "$W/$name.sock" "$@" file "$W/$name.img" \
		${NBDKIT_PARAMS[@]+"${NBDKIT_PARAMS[@]}"}
	URI[$name]="nbd+unix:///?socket=$W/$name.sock"
	wait_for 10 answers "${URI[$name]}"
}

disk_qemu() {
	local name=$1 size=${2:-512M}

	requires qemu-nbd nbdinfo
	[ -e "$W/$name.img" ] || truncate -s "$size" "$W/$name.img"
	rm -f "$W/$name.sock"
	start "$name" qemu-nbd -f raw -t -e 16 -k "$W/$name.sock" \
		--discard=unmap --cache=writeback "$W/$name.img"
	URI[$name]="nbd+unix:///?socket=$W/$name.sock"
	wait_for 10 answers "${URI[$name]}"
}

disk_nbd_server() {
	local name=$1 size=${2:-512M}

	requires nbd-server nbdinfo
	[ -e "$W/$name.img" ] || truncate -s "$size" "$W/$name.img"
	rm -f "$W/$name.sock"
	cat > "$W/$name.conf" <<-END
	[generic]
	unixsock = $W/$name.sock
	listenaddr = 127.0.0.1
	port = $(free_port)
	allowlist = true
	[disk]
	exportname = $W/$name.img
	flush = true
	fua = true
	trim = true
	END
	# With -d it would serve one client only; without, it goes into the
	# background and serves each client in a process of its own.
	rm -f "$W/$name.pid"
	must nbd-server -C "$W/$name.conf" -p "$W/$name.pid"
	wait_for 5 test -s "$W/$name.pid"
	PID[$name]=$(cat "$W/$name.pid")
	URI[$name]="nbd+unix:///disk?socket=$W/$name.sock"
	wait_for 10 answers "${URI[$name]}"
}

# disk_tarn NAME [SIZE [ADDRESS]]: our own disk host, over TCP or a socket.
disk_tarn() {
	local name=$1 size=${2:-512M} where

	requires tarn-diskd nbdinfo
	[ -e "$W/$name.img" ] || truncate -s "$size" "$W/$name.img"
	if [ -n "${3-}" ]; then
		where=$3:$(free_port "$3")
		URI[$name]="nbd://$where/$name.img"
	else
		where=unix:$W/$name.sock
		URI[$name]="nbd+unix:///$name.img?socket=$W/$name.sock"
	fi
	start "$name" "$BUILD/tarn-diskd" "$W/$name.img" --listen "$where"
	wait_for 10 answers "${URI[$name]}"
}

# free_port [ADDRESS]: one that nobody listens on just now.
free_port() {
	local i p

	for ((i = 0; i < 100; i++)); do
		p=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		(: < "/dev/tcp/${1:-127.0.0.1}/$p") 2> /dev/null || {
			echo "$p"
			return
		}
	done
	die "no free port"
}

# --- tarnd -------------------------------------------------------------------

# t COMMAND…: the administrator's command line.
t() {
	timeout 60 "$BUILD/tarn" "$@"
}

# tarnd_start [ARGUMENTS…]: with DISKS, and wait until it listens.
tarnd_start() {
	requires tarnd tarn
	tarnd_launch "$@"
	wait_for 30 tarnd_ready
}

tarnd_launch() {
	start tarnd "$BUILD/tarnd" --listen "unix:$W/nbd.sock" \
		--control "$TARN_CONTROL" --disks "${DISKS[@]}" \
		${TARND_ARGS[@]+"${TARND_ARGS[@]}"} "$@"
}

tarnd_ready() {
	alive tarnd || die "tarnd ended at its start"
	t status
}

# served VOLUME: until its export answers.
served() {
	wait_for 30 answers "$(vol "$1")"
}

vol() {
	echo "nbd+unix:///$1?socket=$W/nbd.sock"
}

# A pool `p` of k+m over all disks that were started, and tarnd serving it.
pool_create() {
	local redundancy=$1 n
	shift

	DISKS=()
	for n in $(printf '%s\n' "${!URI[@]}" | sort); do
		DISKS+=("${URI[$n]}")
	done
	tarnd_start
	t pool create p --redundancy "$redundancy" --domain disk "$@" \
		"${DISKS[@]}" || die "pool create $redundancy"
}

# --- expectations --------------------------------------------------------------

# must COMMAND…: it must succeed.
must() {
	"$@" || die "exit $?: $*"
}

# refuse PATTERN COMMAND…: it must fail with exit 1 or 2, not by a signal, and
# say so in one line that matches the (extended, case-less) pattern.
refuse() {
	local pattern=$1 out r
	shift

	out=$("$@" 2>&1 < /dev/null)
	r=$?
	echo "refused ($r): $out"
	[ $r = 1 ] || [ $r = 2 ] || die "exit $r, wanted 1 or 2: $*"
	[ -n "$out" ] || die "said nothing: $*"
	[ "$(printf '%s\n' "$out" | wc -l)" -le 3 ] ||
		die "said more than a sentence: $*"
	printf '%s\n' "$out" | grep -qiE -- "$pattern" ||
		die "did not say /$pattern/: $*"
}

# has PATTERN COMMAND…: it must succeed and print the pattern.
has() {
	local pattern=$1 out
	shift

	out=$("$@" 2>&1) || die "exit $?: $*: $out"
	printf '%s\n' "$out" | grep -qiE -- "$pattern" ||
		die "no /$pattern/ in the answer of $*:
$out"
}

# fio_verify URI [ARGUMENTS…]: write with checksums and read back.
fio_verify() {
	local uri=$1
	shift

	requires fio
	must timeout 120 fio --name=v --ioengine=nbd --uri="$uri" --rw=randwrite \
		--bs=4k --iodepth=16 --verify=crc32c --verify_fatal=1 \
		--verify_state_save=0 --randseed=7 --output="$W/fio.log" "$@"
}

# qemu_io_patterns URI: patterns at odd offsets, zeroes, many at once, in the
# first 212 MiB of what is there.
qemu_io_patterns() {
	cat > "$W/io" <<-END
	write -P 0xa5 0 1M
	write -P 0x5a 4096 4096
	read -P 0xa5 0 4096
	read -P 0x5a 4096 4096
	read -P 0xa5 8192 1040384
	write -P 0x11 1000001 7777
	read -P 0x11 1000001 7777
	read -P 0xa5 1000000 1
	read -P 0xa5 1007778 40000
	write -z 100000 50001
	read -P 0 100000 50001
	read -P 0xa5 99999 1
	read -P 0xa5 150001 1
	write -z -u 0 1M
	read -P 0 0 1M
	write -f -P 0x33 200M 64k
	flush
	read -P 0x33 200M 64k
	aio_write -P 0x44 210M 1M
	aio_write -P 0x45 211M 1M
	aio_flush
	read -P 0x44 210M 1M
	read -P 0x45 211M 1M
	END
	must timeout 60 qemu-io -f raw "$1" < "$W/io" > "$W/io.out" 2>&1
	grep -iE 'failed|error' "$W/io.out" && die "qemu-io saw wrong data"
}

# --- volumes -----------------------------------------------------------------

# io URI COMMAND…: qemu-io, each of which must succeed.
io() {
	local uri=$1 c args=()
	shift

	for c; do args+=(-c "$c"); done
	timeout 60 qemu-io -f raw "${args[@]}" "$uri" > "$W/io" 2>&1 ||
		die "qemu-io: $(cat "$W/io")"
	grep -qiE 'failed|error' "$W/io" && die "qemu-io: $(cat "$W/io")"
	return 0
}

# key KEY: of the JSON object that comes in.
key() {
	python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"
}

# Bytes of the pool in use.
used() {
	t df --json | key used_bytes
}
