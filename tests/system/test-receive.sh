#!/bin/bash
# Streams into a pool: a full one and increments, from one tarnd to another,
# give the same snapshots; what is cut, damaged, of another base or diverged
# changes nothing that anybody sees; what broke goes on, whoever was killed; a
# pool that is full in the middle gets its space back.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy nbdinfo qemu-io python3 cmp

disk_nbdkit a 1G
pool_create 1+0
must t volume create v 256M
served v

# The receiver: another server, with a small pool.
disk_nbdkit z 768M
start tarnd2 "$BUILD/tarnd" --listen "unix:$W/nbd2.sock" \
	--control "$W/ctl2" --disks "${URI[z]}"
there() {
	TARN_CONTROL=$W/ctl2 timeout 60 "$BUILD/tarn" "$@"
}
vol2() {
	echo "nbd+unix:///$1?socket=$W/nbd2.sock"
}
wait_for 30 there status
must there pool create q --redundancy 1+0 --domain disk "${URI[z]}"
start2() {
	start tarnd2 "$BUILD/tarnd" --listen "unix:$W/nbd2.sock" \
		--control "$W/ctl2" --disks "${URI[z]}"
	wait_for 30 there receive --list
}
restart2() {
	stop tarnd2 KILL
	start2
}

# send FILE ARGUMENTS…
send() {
	local file=$1
	shift

	timeout 60 "$BUILD/tarn" send "$@" > "$file" || die "send $*"
}

# receive STREAM ARGUMENTS…
receive() {
	local stream=$1
	shift

	there receive "$@" < "$stream"
}

# refuse with a stream as input.
refuse_stream() {
	local pattern=$1 stream=$2
	shift 2

	refuse "$pattern" timeout 60 bash -c \
		"exec \"\$0\" \"\$@\" < '$stream'" "$BUILD/tarn" \
		--control "$W/ctl2" "$@"
}

# same SNAPSHOT [SNAPSHOT THERE]: are they, byte by byte?
same() {
	must timeout 60 nbdcopy "$(vol "$1")" "$W/here.img"
	must timeout 60 nbdcopy "$(vol2 "${2:-$1}")" "$W/there.img"
	must cmp "$W/here.img" "$W/there.img"
	[ "$(t snapshot show "$1" --json | key uuid)" = \
		"$(there snapshot show "${2:-$1}" --json | key uuid)" ] ||
		die "$1 has another identity there"
}

# receive_open ARGUMENTS…: one in the background ($p), which gets what is written
# to descriptor 9; receive_shut: the end of that, and how it ended.
mkfifo "$W/in"
receive_open() {
	TARN_CONTROL=$W/ctl2 "$BUILD/tarn" receive "$@" < "$W/in" 2> "$W/err" &
	p=$!
	exec 9> "$W/in"
}
receive_shut() {
	exec 9>&-
	wait $p
}
under_way() {
	there receive --list -H | grep -q receiving
}

nothing_left() {
	has 'nothing is being received' there receive --list
}

token() {
	grep -oE "tarn1:[^' ]+" "$1"
}

say "full and two increments, by pipes; the head goes on"
head -c 40M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
io "$(vol v)" "write -P 0x11 100M 10M" "write -P 0x13 252M 4M" \
	"discard 12M 3M" "write -z 17M 1M"
must t snapshot create v@a
io "$(vol v)" "write -P 0x21 1M 64k" "discard 100M 3M" "write -z 30M 1M" \
	"write -P 0x23 5001 77"
must t snapshot create v@b 'v#b2'
must t volume resize v 300000256
io "$(vol v)" "write -P 0x24 299000000 512k"
must t snapshot create v@c
send "$W/a" v@a
send "$W/ab" v@b --from v@a --no-compress
send "$W/bc" v@c --from 'v#b2'
send "$W/ac" v@c --from v@a
refuse 'taken together' t send v@b --from 'v#b2'
timeout 60 "$BUILD/tarn" send v@a | cat | there receive v ||
	die "receive by a pipe"
same v@a
must receive "$W/ab" v
same v@b
say "a checkpoint has the identity of the snapshot that was taken with it"
must receive "$W/bc" v
same v@c
must cmp "$W/there.img" <(timeout 60 nbdcopy "$(vol2 v)" -)
[ "$(there snapshot list v -H | wc -l)" = 3 ] || die "not three snapshots"
nothing_left
receive "$W/ac" w --as x 2> "$W/err" && die "an increment of nothing"
grep -q 'does not exist' "$W/err" || die "$(cat "$W/err")"
must receive "$W/a" w --as x
same v@a w@x
must receive "$W/ac" w
same v@c w@c

say "what is not to be"
refuse_stream 'has that snapshot already' "$W/bc" receive v
refuse_stream 'give the volume alone' "$W/a" receive u@s
refuse_stream "can be a name|name" "$W/a" receive /
refuse_stream 'say where to' "$W/a" receive
send "$W/none" v@c --from v@b
must there snapshot delete w@c
refuse_stream 'does not have the snapshot' "$W/none" receive w
refuse_stream 'has changed since|does not have' "$W/ac" receive w
refuse "has 1 snapshot" there volume delete w --force
must there snapshot delete w@x
must there volume delete w
nothing_left

say "a volume that has changed since"
must receive "$W/a" d
io "$(vol2 d)" "write -P 0x66 0 4k"
refuse_stream "changed since 'd@a': roll" "$W/ab" receive d
must there snapshot rollback d@a
must receive "$W/ab" d
same v@b d@b
nothing_left
say "it changes while it receives; then it is rolled back, and the rest is nothing"
head -c 100000 "$W/bc" > "$W/part"
receive_open d
cat "$W/part" >&9
wait_for 20 under_way
io "$(vol2 d)" "write -P 0x67 0 4k"
tail -c +100001 "$W/bc" >&9
receive_shut && die "received though changed"
cat "$W/err"
grep -q 'changed since' "$W/err" || die "not said"
nothing_left
[ "$(there snapshot list d -H | wc -l)" = 2 ] || die "snapshots came"
has '0x67|67 67' timeout 60 qemu-io -r -f raw -c "read -v 0 16" "$(vol2 d)"

say "damaged, cut, with something behind it"
size=$(stat -c %s "$W/a")
for ((i = 0; i < 6; i++)); do
	at=$((i * size / 6 + RANDOM % 1000))
	cp "$W/a" "$W/bad"
	python3 -c "f = open('$W/bad', 'r+b'); f.seek($at); b = f.read(1)[0]
f.seek($at); f.write(bytes([b ^ 1 << $i]))"
	refuse_stream 'byte|no stream' "$W/bad" receive n
	there volume show n > /dev/null 2>&1 && die "n is there"
done
{ cat "$W/a"; echo; } > "$W/bad"
refuse_stream 'more bytes follow' "$W/bad" receive n
there volume show n > /dev/null 2>&1 && die "n is there"
# What can be gone on with is left.
for e in $(there receive --list --json | python3 -c "import json, sys
for x in json.load(sys.stdin)['receives']: print(x['export'])"); do
	must there receive --abort "$e"
	left=$((${left:-0} + 1))
done
[ "${left-}" = 1 ] || die "more than one was left: ${left-}"
nothing_left
head -c 1000000 "$W/a" > "$W/bad"
refuse_stream 'cut off at byte' "$W/bad" receive n
nothing_left

say "hidden: not listed, not to be had by other means"
receive_open n
head -c 3000000 "$W/a" >&9
wait_for 20 under_way
e=$(there receive --list --json | python3 -c "import json, sys
print(json.load(sys.stdin)['receives'][0]['export'])")
there volume list -H | grep -q n$'\t' && die "listed"
nbdinfo --list "$(vol2 '')" | grep -q 'export="receive' && die "listed by NBD"
refuse 'name' there volume show "$e"
refuse 'name' there volume delete "$e"
refuse 'name' there snapshot create "$e@s"
refuse 'in use' there receive --abort "$e"
refuse 'not being received' there receive --abort v
refuse 'not being received' there receive --abort 'v@a'
refuse 'not being received' there receive --abort "${e%?}"
must there receive --abort "$e" --force
receive_shut && die "received though aborted"
cat "$W/err"
nothing_left

say "going on"
head -c 30000000 "$W/a" > "$W/part"
receive "$W/part" n 2> "$W/err" && die "half of it was taken"
cat "$W/err"
has waiting there receive --list
has "$(token "$W/err")" there receive --list
send "$W/rest" v@a --resume "$(token "$W/err")"
[ "$(stat -c %s "$W/rest")" -lt 30000000 ] || die "all of it came again"
refuse_stream 'goes on from offset' "$W/rest" receive m
say "... with the receiver killed in between"
restart2
served2() { nbdinfo --size "$(vol2 v)"; }
wait_for 30 served2
must receive "$W/rest" n
same v@a n@a
nothing_left
must receive "$W/ab" n
same v@b n@b

say "kill -9 of the receiving server"
timeout 60 "$BUILD/tarn" send v@a --rate 12M | there receive k 2> "$W/err" &
p=$!
half_way() {
	[ "$(there receive --list --json | python3 -c "import json, sys
print(json.load(sys.stdin)['receives'][0]['used_bytes'])")" -gt 20000000 ]
}
wait_for 30 half_way
stop tarnd2 KILL
wait $p && die "received though killed"
start2
cat "$W/err"
grep -q 'connection to the server broke' "$W/err" || die "not said clearly"
e=$(there receive --list --json | python3 -c "import json, sys
for x in json.load(sys.stdin)['receives']: print(x['export'])")
[ -n "$e" ] || die "nothing is left"
# What is left is of no use when all of it came.
must receive "$W/a" k
same v@a k@a
nothing_left
receive_open k
head -c 3000000 "$W/ab" >&9
wait_for 20 under_way
kill -KILL $p
receive_shut
restart2
has 'k +k@a .*waiting' there receive --list
must there receive --abort "$(there receive --list --json | python3 -c "
import json, sys; print(json.load(sys.stdin)['receives'][0]['export'])")"
nothing_left

say "the volume is in use; a smaller one"
start client qemu-io -r -f raw -c "sleep 50000" "$(vol2 v)"
in_use() { [ "$(there volume show v --json | key clients)" = 1 ]; }
wait_for 20 in_use
must t volume resize v 128M --force
io "$(vol v)" "write -P 0x31 127M 1M"
must t snapshot create v@d
must t volume resize v 200M
io "$(vol v)" "write -P 0x32 150M 1M"
must t snapshot create v@e
send "$W/cd" v@d --from v@c
send "$W/de" v@e --from v@d
refuse_stream 'in use by 1' "$W/cd" receive v
nothing_left
has "v@d" receive "$W/cd" v --force
stop client KILL
same v@d
must receive "$W/de" v
same v@e

say "the pool is full in the middle"
free() { there df --json | key free_bytes; }
must t volume create big 1G
served big
for ((i = 0; i < 600; i += 50)); do
	io "$(vol big)" "write -P $((i / 10 + 1)) ${i}M 50M"
done
must t snapshot create big@s
send "$W/big" big@s
before=$(free)
refuse_stream 'pool is full' "$W/big" receive big
nothing_left
there volume show big > /dev/null 2>&1 && die "big is there"
same v@a k@a
back() { [ "$(free)" -gt $((before - 20000000)) ]; }
wait_for 60 back
must receive "$W/ab" k
same v@b k@b

say "tarn-check finds nothing wrong"
stop tarnd
stop tarnd2
must "$BUILD/tarn-check" "${DISKS[@]}"
must "$BUILD/tarn-check" "${URI[z]}"
