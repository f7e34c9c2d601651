# tests/lib/netns.sh - disk hosts and the server in network namespaces of their
# own, and cables between them that can be cut.  Source it after hosts.sh.
#
#	netns_up 3 || skip …              # h1, h2, h3 and the server
#	net_host 1 tarn-diskd             # a disk on h1 (kit name: h1)
#	hosts_pool 2+1                    # of all of them
#	cut_down 1; net_heal 1            # the cable is out; and in again
#
#	h1 10.77.0.1 --+
#	h2 10.77.0.2 --+-- bridge (namespace sw) -- srv 10.77.0.100: tarnd
#	h3 10.77.0.3 --+
#
# Names of namespaces end in this process' id; whatever happens, they go away
# with the test, the interfaces with them.

NS=$$
NET_HOSTS=0

ns() {
	echo "tarn-$1-$NS"
}

# in_ns NAME COMMAND…
in_ns() {
	local n
	n=$(ns "$1")
	shift
	ip netns exec "$n" "$@"
}

# A machine has the same hardware address after it was started again.
net_add() {
	local mac
	mac=02:00:0a:4d:00:$(printf %02x "${2##*.}")

	ip netns add "$(ns "$1")" && in_ns "$1" ip link set lo up &&
		in_ns sw ip link add "p-$1" type veth peer name eth0 \
			address "$mac" netns "$(ns "$1")" &&
		in_ns sw ip link set "p-$1" master br0 up &&
		in_ns "$1" ip addr add "$2/24" dev eth0 &&
		in_ns "$1" ip link set eth0 up
}

# netns_up HOSTS: or skip the test.
netns_up() {
	local i

	requires ip
	[ "$(id -u)" = 0 ] || skip "only root can make network namespaces"
	trap net_exit EXIT
	net_sweep
	ip netns add "$(ns sw)" 2> "$W/ip.out" ||
		skip "no network namespaces here: $(cat "$W/ip.out")"
	{
		in_ns sw ip link add br0 type bridge &&
			in_ns sw ip link set br0 type bridge mcast_snooping 0 \
				forward_delay 0 &&
			in_ns sw ip link set br0 up && net_add srv 10.77.0.100
	} 2> "$W/ip.out" ||
		skip "no bridge or virtual cables here: $(cat "$W/ip.out")"
	for ((i = 1; i <= $1; i++)); do
		must net_add h$i 10.77.0.$i
		NET_HOSTS=$i
	done
}

# What tests left that were killed with -9.
net_sweep() {
	local n

	for n in $(ip netns list | awk '{ print $1 }' |
		grep -E '^tarn-[a-z0-9]+-[0-9]+$'); do
		kill -0 "${n##*-}" 2> /dev/null || ip netns del "$n"
	done
}

# A test may end with cables cut: tarnd would wait for its disks.
net_exit() {
	local r=$? i

	trap - EXIT
	for ((i = 1; i <= NET_HOSTS; i++)); do
		net_heal $i 2> /dev/null
	done
	(
		(exit $r)
		cleanup
	)
	for i in $(ip netns list | awk '{ print $1 }' |
		grep -E "^tarn-[a-z0-9]+-$NS\$"); do
		ip netns del "$i"
	done
	exit $r
}

# net_host N KIND: a disk on host N.
net_host() {
	host_add "h$1" "$2" "10.77.0.$1" ip netns exec "$(ns "h$1")"
}

# --- what can happen to a cable; N is a host's number ----------------------------

# Nothing comes through, and nobody is told.
cut_down() {
	must in_ns sw ip link set "p-h$1" down
}

# can_filter: is there a packet filter?  Some of what follows needs one.
can_filter() {
	command -v nft > /dev/null && filter sw 0 'tcp dport 1 drop' &&
		unfilter sw 0
} 2> /dev/null

# filter NAMESPACE N RULE: for what comes into a namespace; about host N.
filter() {
	in_ns "$1" nft -f - <<-END
	table inet t$2 {
		chain in {
			type filter hook input priority 0
			${*:3}
		}
	}
	END
}

unfilter() {
	in_ns "$1" nft delete table inet "t$2" 2> /dev/null
}

# What the host sends is lost; it still hears.
cut_mute() {
	must filter srv "$1" ip saddr "10.77.0.$1" drop
}

# What is sent to the host is lost; it still speaks.
cut_deaf() {
	must filter "h$1" "$1" tcp dport 10809 drop
}

# Its packet filter refuses what comes.
cut_refuse() {
	must filter "h$1" "$1" tcp dport 10809 reject with tcp reset
}

# Every fifth packet is lost, in both directions.
cut_lossy() {
	must filter "h$1" "$1" numgen random mod 5 == 0 drop
	must filter srv "$1" ip saddr "10.77.0.$1" numgen random mod 5 == 0 drop
}

# There is no way to it, says the server's own kernel.
cut_route() {
	must in_ns srv ip route add unreachable "10.77.0.$1"
}

net_heal() {
	in_ns sw ip link set "p-h$1" up
	in_ns srv ip route del unreachable "10.77.0.$1" 2> /dev/null
	unfilter srv "$1"
	unfilter "h$1" "$1"
	return 0
}

# The machine loses power and starts again: whoever talked to it is not told.
net_reboot() {
	cut_down "$1"
	host_kill "h$1"
	# The kernel takes its time for the rest of a namespace.
	must in_ns sw ip link del "p-h$1"
	must ip netns del "$(ns "h$1")"
	must net_add "h$1" "10.77.0.$1"
	host_start "h$1" nowait
}

# --- tarnd, in its namespace ------------------------------------------------------

tarnd_launch() {
	start tarnd ip netns exec "$(ns srv)" "$BUILD/tarnd" \
		--listen "unix:$W/nbd.sock" --control "$TARN_CONTROL" \
		--disks "${DISKS[@]}" ${TARND_ARGS[@]+"${TARND_ARGS[@]}"} "$@"
}

# --- a pool under fio, whose hosts are cut off one after the other -------------------

# Three hosts and a 2+1 pool.
net_hosts() {
	netns_up 3
	net_host 1 tarn-diskd
	net_host 2 nbd-server
	net_host 3 qemu-nbd
	DISKS=(10.77.0.1 10.77.0.2 10.77.0.3)
	hosts_pool 2+1
}

# net_pool [ARGUMENTS OF fio…]: with volumes v (fio is at it) and w.
net_pool() {
	requires fio qemu-io
	net_hosts
	must t volume create v 64M
	must t volume create w 64M
	served v
	load_start v "$@"
}

# What is written now has a part on every disk, so after its flush each has
# answered, or is recorded out.
net_settled() {
	io "$(vol w)" 'write 0 64k' flush
	wait_for 60 online
	load_goes_on
}

# net_missed HOW N: cut until it is noticed.
net_missed() {
	say "host $2: $1"
	"cut_$1" "$2"
	wait_for 30 degraded
	load_goes_on
	net_heal "$2"
	net_settled
}
