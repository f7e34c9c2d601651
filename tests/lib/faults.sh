# tests/lib/faults.sh - one kind of disk server, and everything that can happen
# to it, under fio that verifies.  A test is
#
#	. "$(dirname "$0")/../lib/faults.sh"
#	faults KIND FAULT…
#
# The victim is host v, of that kind; its peers are of the other kinds.  With
# four domains and 2+1 any one of them may be lost, so no request may fail and
# none may take longer than is promised, ten seconds.
. "$(dirname "${BASH_SOURCE[0]}")/kit.sh"
. "$(dirname "${BASH_SOURCE[0]}")/hosts.sh"

# --- what can happen ------------------------------------------------------------

# killed: dies, and is missed; comes back where it was.
fault_killed() {
	host_kill v
	wait_for 20 degraded
	load_goes_on
	host_start v
}

# blinked: dies and is back before it is missed for long.
fault_blinked() {
	host_kill v
	host_start v
	load_goes_on
}

# stopped: takes connections and says nothing; then goes on as if nothing had
# happened, with all that it was told meanwhile.
fault_stopped() {
	host_signal v STOP
	wait_for 30 degraded
	load_goes_on
	host_signal v CONT
	revive
}

# paused: for less than a request may take.
fault_paused() {
	host_signal v STOP
	sleep 1
	host_signal v CONT
	revive
	load_goes_on
}

# nbdkit may abort when it is continued after its clients have left; whoever
# watches over it starts it again.
revive() {
	[ "${KIND[v]%%-*}" = nbdkit ] || return 0
	sleep 0.5
	alive v && host_answers v && return 0
	host_kill v
	host_start v
}

# moved: comes back at another port, that tarnd was told of at its start.
fault_moved() {
	host_kill v
	wait_for 20 degraded
	host_port v 10810
	host_start v
	wait_for 60 online
	has "$NET.1:10810" t disk list
	has 'disk.*turned up' cat "$W/tarnd.log"
}

# strayed: … at one that nobody knows.  `status` says that it is missed, and
# finding it is enough.
fault_strayed() {
	host_kill v
	wait_for 20 degraded
	host_port v 10999
	host_start v
	load_goes_on
	has 'disk discover' t status
	has 'member' t disk discover "$NET.1:10999"
	wait_for 60 online
	has "$NET.1:10999" t disk list
}

# home: … and where it was first.
fault_home() {
	host_kill v
	host_port v 10809
	host_start v
	wait_for 60 online
	has "//$NET.1(:10809)?/" t disk list
}

# errors: one request in three fails, for a while.
fault_errors() {
	touch "$W/v.fail"
	load_goes_on 500
	rm "$W/v.fail"
}

# slow, throttled: comes back as a disk that is much slower than the others.
fault_slow() {
	host_as nbdkit-delay
}

fault_throttled() {
	host_as nbdkit-rate
}

fault_plain() {
	host_as nbdkit
}

host_as() {
	host_kill v
	KIND[v]=$1
	host_start v
	load_goes_on 500
}

# --- the test --------------------------------------------------------------------

one_fault() {
	local t0=$SECONDS

	say "${KIND[v]}: $1"
	"fault_$1"
	wait_for 60 online
	load_goes_on
	echo "    $((SECONDS - t0)) s"
}

faults() {
	local kind=$1 k n=0
	shift

	requires fio
	host_add v "$kind"
	for k in nbdkit qemu-nbd nbd-server tarn-diskd; do
		case $kind in "$k"*) continue ;; esac
		n=$((n + 1))
		host_add p$n "$k"
	done
	DISKS=("$NET.1" "$NET.1:10810" "$NET.2" "$NET.3" "$NET.4")
	hosts_pool 2+1
	must t volume create f 64M
	served f
	load_start f --max_latency=10s
	for k; do
		one_fault "$k"
	done
	load_stop
	wait_for 60 online
	hosts_check
}
