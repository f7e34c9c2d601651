#!/bin/bash
# A full pool gets more disks: what is on the others moves to them until all have
# about as much room, and then the pool rests; and writing goes on by itself.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io tarn-stamp tarn-check jq

disk_tarn a 192M
disk_tarn b 192M
pool_create 1+1
must t volume create keep 16M
must t volume create big 1G
served big
must "$STAMP" write "$(vol keep)" "$W/j" --ops 1500 --qd 8
at=0 # MiB
writes() {
	timeout 60 qemu-io -f raw -c "write -P 0x77 ${at}M 2M" \
		"$(vol big)" > "$W/io" 2>&1
	if grep -q '^wrote' "$W/io"; then
		((at += 2))
		return 0
	fi
	grep -qi 'no space' "$W/io" || die "at $at MiB: $(cat "$W/io")"
	return 1
}
fill() {
	while ((at < 1024)); do
		writes || return 0
	done
	die "1 GiB went into the pool"
}
moves() { t status --json | jq -r .rebalance.units; }
moved() { t status --json | jq -r .rebalance.moved_units; }
rests() { [ "$(moves)" = 0 ]; }
# The least and the most that is free on a disk, in zones.
free() { t disk list --json | jq -r '[.disks[] | .zones - .zones_used] |
	"\(min) \(max)"'; }
even() {
	read -r least most < <(free)
	say "free zones: $least to $most"
	((most - least <= $1))
}
event() { t events | grep -q "$1"; }

say "fill a mirror of two disks"
fill
full=$at
say "full after $full MiB"
((full >= 64)) || die "only $full MiB went into it"

say "a third disk: data moves to it although nobody writes; a death meanwhile"
disk_tarn c 192M
must t disk add "${URI[c]}"
stop tarnd KILL
DISKS=("${URI[a]}" "${URI[b]}" "${URI[c]}")
tarnd_start
served keep
# As much as a commit lists to be written next, and an eighth.
wait_for 40 even 16
wait_for 30 rests
wait_for 20 event rebalance.finished
event rebalance.started || die "no event says that it began"
n=$(moved)
must "$STAMP" verify "$(vol keep)" "$W/j"
must qemu-io -r -f raw -c "read -P 0x77 0 ${at}M" "$(vol big)"
[ "$(moved)" = "$n" ] || die "it moves although all disks are even"
has 'state: *ONLINE' t status

say "a fourth (what one of three has is kept for a rebuild): writing goes on"
fill
full=$at
disk_tarn d 192M
must t disk add "${URI[d]}"
wait_for 30 writes
fill
say "full after $at MiB"
((at >= full + full / 4)) || die "there was room for $((at - full)) MiB more"
wait_for 30 rests
[ "$(moved)" -gt "$n" ] || die "nothing has moved to it"
must "$STAMP" verify "$(vol keep)" "$W/j"
must qemu-io -r -f raw -c "read -P 0x77 0 ${at}M" "$(vol big)"

say "what is on the disks is whole"
must t pool export
stop tarnd
must "$BUILD/tarn-check" "$W/a.img" "$W/b.img" "$W/c.img" "$W/d.img"
