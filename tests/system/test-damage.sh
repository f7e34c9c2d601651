#!/bin/bash
# The same block goes bad on all the disks of a mirror: it gives EIO, and nothing
# else does; it is named, by volume and snapshot; a scrub agrees, and so does
# tarn-check; after a restart it is known again.  A disk that it is on is emptied
# of all else, and whoever waits for that is told why.  Overwriting it, and
# deleting the snapshot, end it.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io python3 tarn-check jq

at=$((5 << 20))
none() { t scrub status | grep -q '^state: *none'; }
lost() { t status -v | grep -qE "^	$1 +$at +4\.00K"; }
quiet() { ! t alarm list | grep -q 'pool\.damage'; }
reads() {
	io "$(vol v)" "read -P 0x11 $((at - 65536)) 65536" \
		"read -P 0x11 $((at + 4096)) 65536"
}
fails() {
	timeout 60 qemu-io -r -f raw -c "read $at 4096" "$1" > "$W/io" 2>&1
	grep -qi 'input/output error' "$W/io" || die "it was read: $(cat "$W/io")"
}

TARND_ARGS=(--cache 0)
for d in a b; do
	disk_nbdkit $d 256M
done
pool_create 1+1
must t volume create v 64M
served v
io "$(vol v)" "write -P 0x11 0 16M" "write -P 0xc7 $at 4096" flush
must t snapshot create v@s
must t pool export
stop tarnd TERM

say "it is overwritten behind our back, wherever it is"
python3 - "$W/a.img" "$W/b.img" <<'PY' || die "it was not found on both"
import sys
for name in sys.argv[1:]:
    hits = 0
    with open(name, "r+b") as f:
        data = f.read()
        for off in range(0, len(data), 4096):
            if data[off:off + 4096] == b"\xc7" * 4096:
                f.seek(off)
                f.write(b"\x01" * 4096)
                hits += 1
    if hits == 0:
        sys.exit(1)
PY
tarnd_start
wait_for 30 t volume show v
served v
reads
must quiet

say "reading it"
fails "$(vol v)"
reads
must lost v
must lost v@s
t status -v
has 'pool\.damage' t alarm list
wait_for 20 eval "t events | grep -q pool.damage"
fails "$(vol v@s)"

say "a restart"
must t pool export
stop tarnd TERM
"$BUILD/tarn-check" "$W/a.img" "$W/b.img" > "$W/check" 2>&1 &&
	die "tarn-check has not found it"
grep -E '^lost.*block 1280' "$W/check" || die "tarn-check: $(cat "$W/check")"
[ "$(grep -c '^lost' "$W/check")" = 1 ] ||
	die "tarn-check: $(cat "$W/check")"
tarnd_start
wait_for 30 t volume show v
served v
wait_for 60 lost v
must lost v@s
must t scrub start
wait_for 120 none
must lost v

say "one of the disks is to leave"
a=$(t disk list --json | jq -r --arg p "${URI[a]}" \
	'.disks[] | select(.place == $p) | .uuid')
is_gone() { ! t disk list --json | grep -q "$a"; }
waits() { t job list | grep "^$1.*lost blocks"; }
disk_nbdkit c 256M
must t disk add "${URI[c]}"
must t disk remove "${URI[a]}"
wait_for 120 waits drain
must waits rebuild
has 'blocks in them are lost' t alarm list
must lost v
reads
fails "$(vol v)"
must t scrub start
wait_for 120 none
must lost v
must lost v@s

say "overwriting it heals the volume, not the snapshot"
io "$(vol v)" "write -P 0x22 $at 4096" flush
io "$(vol v)" "read -P 0x22 $at 4096"
lost v && die "it is still listed"
must lost v@s
reads
fails "$(vol v@s)"

say "deleting the snapshot ends it"
must t snapshot delete v@s
wait_for 60 quiet
wait_for 20 eval "t events | grep -q pool.no_damage"
has 'no known data errors' t status -v

say "and then the disk leaves"
wait_for 120 is_gone
reads
must t pool export
stop tarnd TERM
must "$BUILD/tarn-check" "$W/b.img" "$W/c.img"
