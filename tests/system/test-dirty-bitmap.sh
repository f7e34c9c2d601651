#!/bin/bash
# Incremental backup with the tools that people have: what nbdinfo and qemu-img
# make of a snapshot's bitmaps, and a chain of a full backup and two increments
# that restores each state bit by bit.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy nbdinfo qemu-img qemu-io qemu-nbd python3 cmp

disk_nbdkit a 512M
disk_qemu b 512M
disk_tarn c 512M
pool_create 2+1
must t volume create v 64M
served v

# changed SNAP BASE: offsets and lengths that nbdinfo calls dirty.
changed() {
	timeout 60 nbdinfo --map="qemu:dirty-bitmap:$2" --json "$(vol "v@$1")" |
		python3 -c 'import json, sys
for e in json.load(sys.stdin):
    assert e["type"] in (0, 1), e
    if e["type"]:
        print(e["offset"], e["length"])' | paste -sd ' '
}

say "three states of a volume"
head -c 24M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
must timeout 60 nbdcopy "$(vol v)" "$W/one"
must t snapshot create v@one
io "$(vol v)" "write -P 0x11 1M 64k" "discard 12M 3M" "discard 20484k 4k" \
	"write -z 17M 4k" "write -P 0x13 60M 1M"
must timeout 60 nbdcopy "$(vol v)" "$W/two"
must t snapshot create v@two
io "$(vol v)" "write -P 0x21 0 4k" "discard 60M 1M" "write -P 0x22 12M 512"
must timeout 60 nbdcopy "$(vol v)" "$W/three"
must t snapshot create v@three

say "what the bitmaps say"
k=1024
[ "$(changed two one)" = "$((k * k)) $((64 * k)) $((12 * k * k)) $((3 * k * k)) \
$((17 * k * k)) $((4 * k)) $((20484 * k)) $((4 * k)) \
$((60 * k * k)) $((k * k))" ] || die "one to two: $(changed two one)"
[ "$(changed three two)" = "0 4096 $((12 * k * k)) 4096 $((60 * k * k)) \
$((k * k))" ] || die "two to three: $(changed three two)"
refuse 'does not support metadata context' nbdinfo \
	--map=qemu:dirty-bitmap:two "$(vol v@two)"
refuse 'does not support metadata context' nbdinfo \
	--map=qemu:dirty-bitmap:three "$(vol v@two)"
# One bitmap is listed: the nearest.
timeout 60 nbdinfo --json "$(vol v@three)" > "$W/info" || die "nbdinfo"
[ "$(grep -o 'qemu:dirty-bitmap:[a-z]*' "$W/info")" = \
	qemu:dirty-bitmap:two ] || die "listed: $(cat "$W/info")"
timeout 60 nbdinfo --json "$(vol v@one)" | grep -q qemu:dirty-bitmap &&
	die "the oldest snapshot has a bitmap"
timeout 60 nbdinfo --json "$(vol v)" | grep -q qemu:dirty-bitmap &&
	die "a volume has a bitmap"

# opts SNAP BASE: the export as QEMU sees it with a bitmap.
opts() {
	echo "driver=nbd,server.type=unix,server.path=$W/nbd.sock,export=v@$1,$(
	)x-dirty-bitmap=qemu:dirty-bitmap:$2"
}

say "what QEMU says"
# With x-dirty-bitmap, what has changed is shown as not allocated data.
timeout 60 qemu-img map --output=json --image-opts "$(opts three two)" \
	> "$W/map" || die "qemu-img map"
python3 - "$W/map" <<-'END' || die "qemu-img map: $(cat "$W/map")"
	import json, sys
	dirty = [(e["start"], e["length"]) for e in json.load(open(sys.argv[1]))
	         if not e["data"]]
	assert dirty == [(0, 4096), (12 << 20, 4096), (60 << 20, 1 << 20)], dirty
END

# increment SNAP BASE FILE BACKING: a qcow2 of what has changed.  Ranges come
# from the map; data from the export itself.
increment() {
	rm -f "$3"
	must qemu-img create -q -f qcow2 -o cluster_size=4k -F qcow2 -b "$4" \
		"$3" 64M
	timeout 60 qemu-img map --output=json --image-opts "$(opts "$1" "$2")" \
		> "$W/map" || die "qemu-img map"
	start nbd-inc qemu-nbd -f qcow2 -t -k "$W/inc.sock" "$3"
	wait_for 10 answers "nbd+unix:///?socket=$W/inc.sock"
	python3 - "$W/map" "$W/part" <<-'END' > "$W/cmds" || die "map"
		import json, sys
		for e in json.load(open(sys.argv[1])):
		    if not e["data"]:
		        print(e["start"], e["length"])
	END
	while read -r off len; do
		must timeout 60 qemu-img dd -U -f raw -O raw bs=512 \
			"skip=$((off / 512))" "count=$(((off + len) / 512))" \
			"if=$(vol "v@$1")" "of=$W/part" > /dev/null
		must timeout 60 qemu-io -f raw \
			-c "write -q -s $W/part $off $len" \
			"nbd+unix:///?socket=$W/inc.sock"
	done < "$W/cmds"
	stop nbd-inc
}

# restored FILE STATE: what the chain that ends in FILE restores.
restored() {
	rm -f "$W/restored"
	must timeout 60 qemu-img convert -f qcow2 -O raw "$1" "$W/restored"
	must cmp "$W/restored" "$2"
}

say "a full backup and two increments"
must timeout 60 qemu-img convert -f raw -O qcow2 "$(vol v@one)" "$W/full.qcow2"
increment two one "$W/inc1.qcow2" "$W/full.qcow2"
increment three two "$W/inc2.qcow2" "$W/inc1.qcow2"
restored "$W/full.qcow2" "$W/one"
restored "$W/inc1.qcow2" "$W/two"
restored "$W/inc2.qcow2" "$W/three"
[ "$(stat -c %s "$W/inc2.qcow2")" -lt 4000000 ] ||
	die "an increment holds more than what has changed"

say "tarn diff"
[ "$(t diff -pH v@one v@two | tr '\t\n' '  ')" = "$((k * k)) $((64 * k)) data \
$((12 * k * k)) $((3 * k * k)) zero $((17 * k * k)) $((4 * k)) data \
$((20484 * k)) $((4 * k)) zero $((60 * k * k)) $((k * k)) data " ] ||
	die "tarn diff: $(t diff -pH v@one v@two)"
[ -z "$(t diff -H v@three v)" ] || die "changed since: $(t diff v@three v)"
has '^ +1048576 +64.0K  data' t diff v@one v@three
t diff --json v@two v@three | python3 -c 'import json, sys
d = json.load(sys.stdin)
assert [(e["offset"], e["zero"]) for e in d["extents"]] == [
    (0, False), (12 << 20, False), (60 << 20, True)], d' ||
	die "tarn diff --json"
refuse 'older one comes first.*tarn diff v@one v@two' t diff v@two v@one
refuse 'older one comes first' t diff v v@one
refuse 'itself' t diff v@two v@two
refuse 'does not exist' t diff v@two v@none
refuse 'usage' t diff v@two
must t volume create w 1M
must t snapshot create w@one
refuse 'not of one volume' t diff w@one v@two

say "over an older base, and while the base is deleted"
must t snapshot delete v@two
refuse 'does not support metadata context' nbdinfo \
	--map=qemu:dirty-bitmap:two "$(vol v@three)"
increment three one "$W/inc3.qcow2" "$W/full.qcow2"
restored "$W/inc3.qcow2" "$W/three"

say "after a crash"
stop tarnd KILL
tarnd_start
served v
[ "$(changed three one)" = "0 4096 $((k * k)) $((64 * k)) \
$((12 * k * k)) $((3 * k * k)) $((17 * k * k)) $((4 * k)) \
$((20484 * k)) $((4 * k)) $((60 * k * k)) $((k * k))" ] ||
	die "one to three: $(changed three one)"
stop tarnd
must "$BUILD/tarn-check" "${DISKS[@]}"
