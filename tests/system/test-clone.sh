#!/bin/bash
# A file system on a volume, on its clones and on clones of those: each is
# written to by itself, and fsck finds each whole, also after kill -9, after
# what they came from was deleted, and after rollbacks.  At the end all space
# is back.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy nbdinfo qemu-io python3 cmp mkfs.ext4 e2fsck debugfs

disk_nbdkit a 1G
disk_qemu b 1G
disk_tarn c 1G
pool_create 2+1

# --- a file system on a volume, by its own tools and NBD clients -------------
#
# What is written to EXPORT is prepared in files $W/EXPORT.*, so that several
# can be written to at once.

# pull EXPORT FILE: a copy of it.
pull() {
	rm -f "$2"
	must timeout 60 nbdcopy "$(vol "$1")" "$2"
}

# push EXPORT: write where its copies .old and .new differ, as the file system
# would.
push() {
	rm -rf "$W/$1.push"
	mkdir "$W/$1.push"
	must python3 - "$W/$1.old" "$W/$1.new" "$W/$1.push" <<-'END'
	import sys
	old, new = open(sys.argv[1], "rb"), open(sys.argv[2], "rb")
	off = 0
	with open(sys.argv[3] + "/commands", "w") as out:
	    while True:
	        a, b = old.read(4096), new.read(4096)
	        if not b:
	            break
	        if a != b:
	            name = "%s/%d" % (sys.argv[3], off)
	            open(name, "wb").write(b)
	            out.write("write -q -s %s %d 4096\n" % (name, off))
	        off += 4096
	END
	[ -s "$W/$1.push/commands" ] || die "$1: nothing to write"
	must timeout 60 qemu-io -f raw "$(vol "$1")" \
		< "$W/$1.push/commands" > "$W/$1.push.out" 2>&1
	grep -iE 'failed|error' "$W/$1.push.out" &&
		die "qemu-io could not write $1"
	return 0
}

# change EXPORT COMMAND: of debugfs, in its file system.
change() {
	local said

	pull "$1" "$W/$1.old"
	cp "$W/$1.old" "$W/$1.new"
	said=$(debugfs -w -R "$2" "$W/$1.new" 2>&1 |
		grep -vE '^debugfs [0-9]|^Allocated inode|^$')
	[ -z "$said" ] || die "debugfs $2: $said"
	push "$1"
}

# put EXPORT NAME BYTES: a new file of random content in its file system; what
# it holds is kept in $W/files/EXPORT/NAME.
put() {
	head -c "$3" /dev/urandom > "$W/files/$1/$2"
	change "$1" "write $W/files/$1/$2 $2"
}

# drop EXPORT NAME: remove a file.
drop() {
	change "$1" "rm $2"
	rm "$W/files/$1/$2"
}

# begin NEW AS: an export that starts with the files of another.
begin() {
	rm -rf "$W/files/$1"
	cp -r "$W/files/$2" "$W/files/$1"
}

# whole EXPORT…: fsck finds nothing, and the files are those that were put in.
whole() {
	local x f

	for x; do
		pull "$x" "$W/whole.img"
		e2fsck -fn "$W/whole.img" > "$W/fsck.out" 2>&1 ||
			die "$x is damaged: $(cat "$W/fsck.out")"
		rm -rf "$W/out"
		mkdir "$W/out"
		must debugfs -R "rdump / $W/out" "$W/whole.img" \
			> "$W/debugfs.out" 2>&1
		rmdir "$W/out/lost+found" || die "$x: no lost+found"
		for f in "$W/out"/* "$W/files/$x"/*; do
			f=${f##*/}
			must cmp "$W/files/$x/$f" "$W/out/$f"
		done
	done
}

# --- the test ------------------------------------------------------------------

say "a file system, and a clone of it"
must t volume create v 64M
served v
empty=$(used)
truncate -s 64M "$W/mkfs.img"
must mkfs.ext4 -q -F "$W/mkfs.img"
must timeout 60 nbdcopy "$W/mkfs.img" "$(vol v)"
mkdir -p "$W/files/v"
put v one 3000000
put v two 500000
must t snapshot create v@base 'v#base'
begin v@base v
has "volume 'c' created" t volume clone v@base c
has "volume 'c' exists already" t volume clone v@base c
begin c v
[ "$(used)" -lt $((empty + 24 * 1048576)) ] || die "a clone takes space"
whole v v@base c

say "both are written to"
put v in-v 2000000 &
pid=$!
put c in-c 4000000
drop c two
wait $pid || die "writing to the parent"
whole v v@base c
has '^clone-of +v@base' t volume show c
has '^clones +1' t snapshot show v@base
has '^c	.*	v@base$' t volume list -H

say "clones of clones, and kill -9"
must t snapshot create c@x
begin c@x c
must t volume clone c@x d
begin d c
put d in-d 1000000
stop tarnd KILL
tarnd_start
served v
whole v v@base c c@x d
put c late 700000
must t snapshot create d@y
begin d@y d
must t volume clone d@y e
begin e d
put e in-e 1000000
put v more 300000
stop tarnd KILL
tarnd_start
served v
whole v c c@x d d@y e

say "what they came from goes first"
must t snapshot delete v@base
must t snapshot delete c@x
whole v c d d@y e
put d after 400000
stop tarnd KILL
must "$BUILD/tarn-check" "${DISKS[@]}"
tarnd_start
served v
whole v c d d@y e
must t volume delete c --now
whole v d d@y e

say "rolled back"
must t snapshot create v@good 'v#good'
begin v@good v
put v bad 600000
drop v one
must t snapshot create v@worse
must t checkpoint create 'v#worse'
begin v@worse v
start holder qemu-nbd -f raw -r -t -k "$W/holder.sock" "$(vol v)"
wait_for 10 answers "nbd+unix:///?socket=$W/holder.sock"
refuse "'v' is in use by" t snapshot rollback v@good
put v unwanted 100000
begin v@kept v
has "rolled back to 'v@good'" t snapshot rollback v@good --keep-as kept --force
stop holder KILL
begin v v@good
whole v v@good v@worse v@kept
has "as in 'v@good' already" t snapshot rollback v@good
[ "$(t checkpoint list -H v | cut -f 1,4 | tr '\t\n' '= ')" = \
	"v#base=ok v#good=ok v#worse=lost " ] ||
	die "checkpoints: $(t checkpoint list v)"
has 'lost.*rolled back' t checkpoint list
put v again 200000
stop tarnd KILL
tarnd_start
served v
whole v v@good v@worse v@kept
has "rolled back to 'v@worse'" t snapshot rollback v@worse
begin v v@worse
must t snapshot delete v@good
whole v v@worse v@kept
must t volume clone v@kept f
begin f v@kept
put f in-f 100000
whole f v v@kept

say "what people see"
for c in "volume clone v@kept f2" "snapshot rollback v@kept" \
	"checkpoint create v#j" "checkpoint list" "checkpoint list v" \
	"checkpoint show v#j" "checkpoint rename v#j k" \
	"checkpoint rename v#k k" "checkpoint delete v#k" "volume list" \
	"volume show f2"; do
	# shellcheck disable=SC2086
	t $c --json > "$W/out.json" || die "$c --json: $(cat "$W/out.json")"
	python3 -m json.tool "$W/out.json" > /dev/null || die "$c: no JSON"
done
begin v v@kept
has '^v#base	67108864	' t checkpoint list -H -p v
has 'volume clone VOL@SNAP' t --help
has 'snapshot rollback VOL@SNAP' t --help
has 'checkpoint create VOL#CP' t --help
nbdinfo --list "$(vol '')" | grep '#' && die "a checkpoint is listed"
nbdinfo "$(vol v%23base)" && die "a checkpoint is an export"

say "mistakes"
refuse 'there is a volume .d. already' t volume clone v@kept d
refuse 'cannot be the name' t volume clone v@kept x@y
refuse 'cannot be the name' t volume clone v@kept 'x#y'
refuse 'control character' t volume clone v@kept "$(printf 'x\001y')"
refuse '255 bytes' t volume clone v@kept "$(printf 'x%.0s' {1..300})"
refuse 'does not name a snapshot' t volume clone v x
refuse 'names a checkpoint' t volume clone 'v#base' x
refuse "snapshot 'v@none' does not exist" t volume clone v@none x
refuse "volume 'none' does not exist" t volume clone none@x x
refuse "snapshot 'd@kept' does not exist" t snapshot rollback d@kept
refuse "has a snapshot 'y' already" t snapshot rollback d@y --keep-as y
refuse 'without its volume' t snapshot rollback v@kept --keep-as v@x
refuse 'needs a value' t snapshot rollback v@kept --keep-as
refuse 'has a checkpoint .base. already' t checkpoint create d#a 'v#base'
refuse "'v@x' names a snapshot" t checkpoint create v@x
refuse "'v#base' names a checkpoint, not a volume" t volume show 'v#base'
refuse 'usage' t volume clone v@kept
refuse 'usage' t snapshot rollback
refuse 'option' t checkpoint list --force
start holder qemu-nbd -f raw -r -t -k "$W/holder.sock" "$(vol v@kept)"
wait_for 10 answers "nbd+unix:///?socket=$W/holder.sock"
refuse "'v@kept' is in use by" t snapshot delete v@kept
stop holder KILL
refuse 'tarn snapshot delete v@' t volume delete v --force
t checkpoint list -H d | grep . && die "half of a group was taken"

say "all space comes back"
stop tarnd KILL
tarnd_start
served v
whole d e f v v@kept
for x in v@kept v@worse d@y; do
	must t snapshot delete $x
done
for x in e f f2 v; do
	must t volume delete $x --now
done
whole d
must t volume delete d --now
emptied() { [ "$(used)" -le $((empty + 1048576)) ]; }
wait_for 60 emptied
say "$empty bytes in use at first, $(used) at the end"
stop tarnd
must "$BUILD/tarn-check" "${DISKS[@]}"
