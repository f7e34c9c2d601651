#!/bin/bash
# Snapshots with the tools that people have: what was copied from VOL@SNAP is
# what the volume held when it was taken, also after kill -9, and what is
# deleted gives its space back; and tarn-check finds nothing wrong.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy qemu-img qemu-io python3 cmp

disk_nbdkit a 512M
disk_qemu b 512M
disk_tarn c 512M
pool_create 2+1
must t volume create v 64M
must t volume create w 8M
served v

# same URI FILE: by nbdcopy and by qemu-img.
same() {
	rm -f "$W/copy" "$W/conv"
	must timeout 60 nbdcopy "$1" "$W/copy"
	must cmp "$W/copy" "$2"
	must timeout 60 qemu-img convert -f raw -O raw "$1" "$W/conv"
	must cmp "$W/conv" "$2"
	must timeout 60 qemu-img compare -f raw -F raw "$1" "$2" > /dev/null
}

say "three states of a volume"
head -c 24M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
must timeout 60 nbdcopy "$(vol v)" "$W/one"
must t snapshot create v@one
io "$(vol v)" "write -P 0x11 1M 6M" "write -P 0x12 20000001 777777" \
	"discard 12M 3M" "write -z 17M 1M" "write -P 0x13 60M 4M"
must timeout 60 nbdcopy "$(vol v)" "$W/two"
must t snapshot create v@two w@two
io "$(vol v)" "write -P 0x22 0 64M"
io "$(vol w)" "write -P 0x23 0 8M"
must timeout 60 nbdcopy "$(vol v)" "$W/three"
cmp -s "$W/one" "$W/two" && die "nothing was overwritten"

all_same() {
	same "$(vol v@one)" "$W/one"
	same "$(vol v@two)" "$W/two"
	same "$(vol v)" "$W/three"
}
all_same

say "what people see"
has '^v@one +64.0M +24.0M +[0-9.]+M +[0-9-]+ [0-9:]+Z +0 +0 +no$' t snapshot list v
[ "$(t snapshot list -H | cut -f 1 | paste -sd ' ')" = "v@one v@two w@two" ] ||
	die "not oldest first: $(t snapshot list)"
has '^v@two	67108864	' t snapshot list -H -p v
has '^referenced +24.0M' t snapshot show v@one
has '^used +[0-9.]+M' t snapshot show v@one
has '^held +no' t snapshot show v@one
has '^snapshots +2' t volume show v
for c in "list" "list v" "show v@one" "create v@x" "rename v@x y" \
	"rename v@y y" "hold v@y" "release v@y" "delete -n v@y" \
	"delete v@y"; do
	# shellcheck disable=SC2086
	t snapshot $c --json > "$W/out" || die "$c --json: $(cat "$W/out")"
	python3 -m json.tool "$W/out" > /dev/null || die "$c: no JSON"
done
has 'snapshot create VOL@SNAP' t --help
has 'read-only snapshot' nbdinfo --list "$(vol '')"
[ "$(nbdinfo --list "$(vol '')" | grep -o '^export="[^"]*"' | tr -d '\n')" = \
	'export="v"export="v@one"export="v@two"export="w"export="w@two"' ] ||
	die "the list of exports: $(nbdinfo --list "$(vol '')")"
must nbdinfo --is readonly "$(vol v@one)"
must nbdinfo --can multi-conn "$(vol v@one)"
nbdinfo --can trim "$(vol v@one)" && die "a snapshot can be trimmed"
nbdinfo --can zero "$(vol v@one)" && die "a snapshot can be zeroed"
qemu-io -f raw -c 'write 0 4096' "$(vol v@one)" && die "a snapshot was written"

say "maps"
nbdinfo --map --totals "$(vol v@one)" | tee "$W/map"
has '^ *25165824 .*data' cat "$W/map"
has '^ *41943040 .*hole,zero' cat "$W/map"
nbdinfo --map "$(vol v@two)" | tee "$W/map"
has '^ *12582912 +3145728 +3 ' cat "$W/map"
has '^ *62914560 +4194304 +0 ' cat "$W/map"

say "mistakes"
refuse "'v' does not name a snapshot" t snapshot create v
refuse "'a@b' cannot be the name" t snapshot create v@a@b
refuse 'no-such.*does not exist' t snapshot create no-such@a
refuse 'twice' t snapshot create v@a v@b
refuse "already" t snapshot create w@new v@one
refuse '255 bytes' t snapshot create "v@$(printf 'x%.0s' {1..300})"
refuse 'control character' t snapshot create "$(printf 'v@a\001b')"
refuse 'does not exist' t snapshot show w@new
refuse 'does not exist' t snapshot delete v@none
refuse 'usage' t snapshot create
refuse 'usage' t snapshot rename v@one
refuse 'option' t snapshot list --force
t snapshot > /dev/null 2>&1
[ $? = 2 ] || die "wrong usage is not exit 2"
refuse 'tarn snapshot delete v@' t volume delete v --force

say "killed, and killed while clients read and write"
stop tarnd KILL
tarnd_start
served v@one
all_same
timeout 60 fio --name=f --ioengine=nbd --uri="$(vol w)" --rw=randwrite \
	--bs=4k --iodepth=8 --time_based --runtime=30 > /dev/null 2>&1 &
fio=$!
for ((i = 0; i < 8; i++)); do
	must t snapshot create "w@k$i" "v@k$i"
done
stop tarnd KILL
wait $fio
tarnd_start
served v@one
all_same
same "$(vol v@k0)" "$W/three"
same "$(vol v@k7)" "$W/three"
head -c 8M /dev/zero > "$W/zeros"
same "$(vol w@two)" "$W/zeros"
for ((i = 0; i < 8; i++)); do
	must t snapshot delete "w@k$i"
	must t snapshot delete "v@k$i"
done

say "what deleting would free, and holding"
in_use() {
	t stats --json | python3 -c 'import json, sys
v = json.load(sys.stdin)["volumes"]
print((v["mapped_blocks"] + v["node_blocks"]) * 4096, v["deleting"])'
}
nothing_deleting() { [ "$(in_use | cut -d ' ' -f 2)" = 0 ]; }
wait_for 30 nothing_deleting
must t snapshot create v@free
io "$(vol v)" "write -P 0x31 1M 3M" "write -P 0x32 20M 64k"
freed=$(t snapshot delete -n v@free --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["freed_bytes"])')
[ "$freed" = "$(t snapshot list v -H -p | awk '$1 == "v@free" { print $4 }')" ] ||
	die "USED is not what -n says: $(t snapshot list v -p)"
has "^deleting snapshot 'v@free' would free 3\.[0-9]+M, [0-9.]+K of it map$" \
	t snapshot delete -n v@free
before=$(in_use)
must t snapshot hold v@free
has "'v@free' is held already" t snapshot hold v@free
has '^v@free	.*	yes$' t snapshot list -H v
refuse 'tarn snapshot release v@free' t snapshot delete v@free
refuse 'tarn snapshot release v@free' t snapshot delete --force v@free
refuse 'tarn snapshot release v@free' t snapshot delete -n v@free
must t snapshot release v@free
has "'v@free' was not held" t snapshot release v@free
must t snapshot delete v@free
wait_for 30 nothing_deleting
[ $((${before% *} - $(in_use | cut -d ' ' -f 1))) = "$freed" ] ||
	die "not $freed bytes were freed: before $before, now $(in_use)"
refuse 'tarn snapshot delete w@' t volume delete -n w
must t volume create n 1M
has "^deleting volume 'n' would free 0" t volume delete -n n
must t volume show n
must t volume delete n
must timeout 60 nbdcopy "$(vol v)" "$W/three"

say "in use"
start holder qemu-nbd -f raw -r -t -k "$W/holder.sock" "$(vol v@two)"
wait_for 10 answers "nbd+unix:///?socket=$W/holder.sock"
refuse 'in use' t snapshot delete v@two
has '^v@two	.*	[1-9]' t snapshot list -H v
must t snapshot delete v@two --force
refuse 'does not exist' t snapshot show v@two
stop holder KILL

say "checked"
stop tarnd
must "$BUILD/tarn-check" "${DISKS[@]}"
tarnd_start
served v@one

say "a delete gives space back"
same "$(vol v@one)" "$W/one"
before=$(used)
must t snapshot delete v@one
freed() { [ "$(used)" -lt $((before - 22 * 1048576)) ]; }
wait_for 60 freed
say "$before bytes in use, then $(used)"
same "$(vol v)" "$W/three"
must t snapshot delete w@two
must t volume delete v --now
must t volume delete w --now
emptied() { [ "$(used)" -lt $((4 * 1048576)) ]; }
wait_for 60 emptied
stop tarnd
must "$BUILD/tarn-check" "${DISKS[@]}"
