#!/bin/bash
# A snapshot as a stream: sent while its volume is written to, put into a file,
# it is what nbdcopy copies; damaged and cut streams are refused; what breaks in
# the middle, by kill -9 of the server too, goes on where it was.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy qemu-io python3 cmp fio script

disk_nbdkit a 1G
disk_tarn b 1G
pool_create 1+1
must t volume create v 256M
served v

# send FILE ARGUMENTS…: must succeed and say nothing.
send() {
	local file=$1
	shift

	timeout 60 "$BUILD/tarn" send "$@" > "$file" 2> "$W/send.err" ||
		die "send $*: $(cat "$W/send.err")"
	[ -s "$W/send.err" ] && die "send said: $(cat "$W/send.err")"
	return 0
}

# receive STREAM ARGUMENTS…
receive() {
	local stream=$1
	shift

	timeout 60 "$BUILD/tarn" receive "$@" < "$stream"
}

# refuse with a stream as input.
refuse_stream() {
	local pattern=$1 stream=$2
	shift 2

	refuse "$pattern" timeout 60 bash -c \
		"exec \"\$0\" \"\$@\" < '$stream'" "$BUILD/tarn" "$@"
}

say "a snapshot is sent while its volume is written"
head -c 48M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
io "$(vol v)" "write -P 0x11 100M 30M" "write -P 0x12 20000001 777777" \
	"discard 12M 3M" "write -z 17M 1M" "write -P 0x13 252M 4M"
must t snapshot create v@s
timeout 100 fio --name=f --ioengine=nbd --uri="$(vol v)" --rw=randwrite \
	--bs=4k --iodepth=8 --time_based --runtime=90 > /dev/null 2>&1 &
fio=$!
disown $fio
must timeout 60 nbdcopy "$(vol v@s)" "$W/want"
send "$W/raw" v@s --no-compress
send "$W/zst" v@s
send "$W/zst9" v@s --compress=9
kill $fio
[ "$(stat -c %s "$W/zst")" -lt "$(stat -c %s "$W/raw")" ] ||
	die "not compressed"
for s in raw zst zst9; do
	must receive "$W/$s" --file "$W/$s.img"
	must cmp "$W/$s.img" "$W/want"
	[ -e "$W/$s.img.partial" ] && die "left: partial"
	[ -e "$W/$s.img.partial.token" ] && die "left: token"
done
[ "$(du -m "$W/raw.img" | cut -f 1)" -lt 100 ] || die "not sparse"
# Through a pipe, at a pace.
t0=$SECONDS
timeout 60 "$BUILD/tarn" send v@s --no-compress --rate 20M |
	timeout 60 "$BUILD/tarn" receive --file "$W/piped.img" ||
	die "by a pipe"
must cmp "$W/piped.img" "$W/want"
[ $((SECONDS - t0)) -ge 3 ] || die "79 MiB at 20 MiB/s in $((SECONDS - t0)) s"

say "what it says"
has '^snapshot +v@s' t stream show "$W/zst"
has '^compressed +no' t stream show "$W/raw"
has '^data +79\.' t stream verify "$W/raw"
t stream verify --json "$W/zst" > "$W/out" || die "verify --json"
[ "$(key uuid < "$W/out")" = "$(t snapshot show v@s --json | key uuid)" ] ||
	die "not the uuid of the snapshot"
[ "$(key size_bytes < "$W/out")" = 268435456 ] || die "size: $(cat "$W/out")"
t stream verify - < "$W/zst" > /dev/null || die "verify -"
timeout 60 "$BUILD/tarn" send v@s --json --progress 2> "$W/lines" > "$W/js" ||
	die "send --json --progress"
must cmp "$W/js" "$W/zst"
tail -n 1 "$W/lines" | python3 -c 'import json, sys
o = json.load(sys.stdin); assert o["done"] and o["done_bytes"] == 79 << 20' ||
	die "the last line of progress: $(tail -n 1 "$W/lines")"
# On a terminal there is a bar; and a stream does not go to one.
timeout 60 script -qec "'$BUILD/tarn' send v@s --rate 40M > '$W/tty'" \
	/dev/null > "$W/typescript" < /dev/null || die "on a terminal"
must cmp "$W/tty" "$W/zst"
grep -q 'sending v@s  \[#*-*\] .*/s .*left' "$W/typescript" || die "no bar"
timeout 60 script -qec "'$BUILD/tarn' send v@s" /dev/null \
	> "$W/typescript" < /dev/null && die "sent to a terminal"
grep -q 'not for terminals' "$W/typescript" || die "$(cat "$W/typescript")"

say "mistakes"
refuse 'does not exist' t send v@none
refuse 'VOL@SNAP' t send v
refuse 'usage' t send
refuse 'level' t send v@s --compress=20
refuse 'contradict' t send v@s --compress --no-compress
refuse 'rate' t send v@s --rate 1
refuse 'no token' t send v@s --resume nonsense
refuse 'does not exist' t send v@s --from v@none
refuse 'taken together' t send v@s --from v@s
refuse '\-\-file' t receive
refuse_stream 'exists' "$W/zst" receive --file "$W/want"
must receive "$W/zst" --file "$W/want" --force
must cmp "$W/raw.img" "$W/want"
refuse_stream 'cut off at byte 0' /dev/null receive --file "$W/x"
refuse_stream 'no stream' "$W/rnd" receive --file "$W/x"
refuse_stream 'no-such' "$W/zst" receive --file "$W/no-such/x"
refuse_stream 'Not a directory' "$W/zst" receive --file /dev/full/x
t send v@none --json > "$W/out" 2> "$W/err" && die "sent what is not there"
[ -s "$W/out" ] && die "an error in the stream: $(cat "$W/out")"
[ "$(key error < "$W/err" | grep -c ENOENT)" = 1 ] || die "$(cat "$W/err")"
[ -e "$W/x" ] && die "made of nothing"

say "damaged and cut"
size=$(stat -c %s "$W/zst")
for ((i = 0; i < 12; i++)); do
	at=$((i * size / 12 + RANDOM % 1000))
	cp "$W/zst" "$W/bad"
	python3 -c "f = open('$W/bad', 'r+b'); f.seek($at); b = f.read(1)[0]
f.seek($at); f.write(bytes([b ^ 1 << $i % 8]))"
	refuse_stream 'byte|no stream' "$W/bad" stream verify -
	refuse_stream 'byte|no stream' "$W/bad" receive --file "$W/x"
	[ -e "$W/x" ] && die "there though damaged at $at"
	head -c $at "$W/zst" > "$W/bad"
	refuse_stream 'cut off at byte' "$W/bad" receive --file "$W/x"
	[ -e "$W/x" ] && die "there though cut at $at"
done
{ cat "$W/zst"; echo; } > "$W/bad"
refuse_stream 'more bytes follow' "$W/bad" receive --file "$W/x"
[ -e "$W/x" ] && die "there though something followed"

# token FILE: of a message.
token() {
	grep -oE "tarn1:[^' ]+" "$1"
}

say "going on"
rm -f "$W"/x.partial*
head -c 50000000 "$W/raw" > "$W/part"
timeout 60 "$BUILD/tarn" receive --file "$W/x" < "$W/part" 2> "$W/err" &&
	die "half of it was taken"
cat "$W/err"
grep -q "tarn send --resume 'tarn1:[^ ]*' 'v@s'" "$W/err" || die "no way out"
[ "$(token "$W/err")" = "$(cat "$W/x.partial.token")" ] || die "other tokens"
send "$W/rest" v@s --resume "$(token "$W/err")"
[ "$(stat -c %s "$W/rest")" -lt 50000000 ] || die "all of it came again"
refuse_stream 'goes on from offset' "$W/rest" receive --file "$W/y"
[ -e "$W/y" ] && die "there though only the rest"
# It breaks again.
head -c $(($(stat -c %s "$W/rest") - 100)) "$W/rest" > "$W/part"
timeout 60 "$BUILD/tarn" receive --file "$W/x" < "$W/part" 2> "$W/err" &&
	die "half of the rest was taken"
[ "$(token "$W/err")" = "$(cat "$W/x.partial.token")" ] || die "other tokens"
send "$W/rest2" v@s --no-compress --resume "$(cat "$W/x.partial.token")"
must receive "$W/rest2" --file "$W/x"
must cmp "$W/x" "$W/raw.img"
must t snapshot create v@later
refuse 'was not of .v@later' t send v@later --resume "$(token "$W/err")"
rm "$W/x"

say "what is said may be pasted, whatever the names are"
must t snapshot create "v@it's \$HOME"
must timeout 60 nbdcopy "$(vol "v@it's%20\$HOME")" "$W/want"
send "$W/q" "v@it's \$HOME" --no-compress
head -c 50000000 "$W/q" > "$W/part"
timeout 60 "$BUILD/tarn" receive --file "$W/x" < "$W/part" 2> "$W/err" &&
	die "half of it was taken"
eval "timeout 60 $BUILD/$(grep -o 'tarn send .*' "$W/err")" > "$W/rest" ||
	die "not to be pasted: $(cat "$W/err")"
must receive "$W/rest" --file "$W/x"
must cmp "$W/x" "$W/want"
rm "$W/x"

say "what changed since"
# increments: from v@s by way of v@later and another to v@last.
increments() {
	cp "$W/raw.img" "$W/inc"
	send "$W/i1" v@later --from v@s
	io "$(vol v)" "write -P 0x21 1M 64k" "discard 100M 10M" \
		"write -z 30M 1M" "write -P 0x22 255M 1M" "write -P 0x23 5001 77"
	must t snapshot create v@two
	must t volume resize v 300M
	io "$(vol v)" "write -P 0x24 299M 512k"
	must t snapshot create v@last
	for s in later two last; do
		must timeout 60 nbdcopy "$(vol v@$s)" "$W/$s.want"
	done
	send "$W/i2" v@two --from v@later
	send "$W/i3" v@last --from v@two --no-compress
	send "$W/i13" v@last --from v@s
	[ "$(stat -c %s "$W/i3")" -lt 2000000 ] || die "more than the changes"
	has '^base +snapshot later' t stream verify "$W/i2"
	# Nor what is behind the last change.
	must t snapshot create v@same
	io "$(vol v)" "write -P 0x24 4k 4k"
	must t snapshot create v@front
	send "$W/i4" v@same --from v@last --no-compress
	send "$W/i5" v@front --from v@same --no-compress
	[ "$(stat -c %s "$W/i4")" -lt 1000 ] || die "sent what did not change"
	[ "$(stat -c %s "$W/i5")" -lt 6000 ] || die "more than the changes"
	refuse_stream 'say so with --base' "$W/i1" receive --file "$W/inc"
	refuse_stream 'does not fit' "$W/i2" receive --file "$W/inc" --base v@s
	refuse_stream 'does not exist' "$W/i1" receive --file "$W/y" --base v@s
	refuse_stream 'needs no base' "$W/zst" receive --file "$W/inc" \
		--base v@s
	must cmp "$W/inc" "$W/raw.img"
	must receive "$W/i1" --file "$W/inc" --base v@s
	must cmp "$W/inc" "$W/later.want"
	must receive "$W/i2" --file "$W/inc" --base v@later
	must cmp "$W/inc" "$W/two.want"
	must receive "$W/i3" --file "$W/inc" --base \
		"$(t snapshot show v@two --json | key uuid)"
	must cmp "$W/inc" "$W/last.want"
	# In one, broken and done again; meanwhile it is no base of others.
	cp "$W/raw.img" "$W/inc"
	head -c $(($(stat -c %s "$W/i13") / 2)) "$W/i13" > "$W/part"
	refuse_stream 'cut off' "$W/part" receive --file "$W/inc" --base v@s
	refuse_stream 'half changed' "$W/i1" receive --file "$W/inc" --base v@s
	must receive "$W/i13" --file "$W/inc" --base v@s
	must cmp "$W/inc" "$W/last.want"
	[ -e "$W/inc.partial.token" ] && die "left: token"
	rm -f "$W/inc" "$W"/*.want
}
if timeout 60 "$BUILD/tarn" send v@later --from v@s > "$W/i1" 2> "$W/err"
then
	increments
else
	grep -q 'does not say what has changed' "$W/err" ||
		die "$(cat "$W/err")"
fi
refuse 'not an older snapshot' t send v@s --from v@later

say "kill -9 of the server in the middle"
timeout 60 "$BUILD/tarn" send v@s --no-compress --rate 20M > "$W/part" \
	2> "$W/err" &
p=$!
under_way() { [ "$(stat -c %s "$W/part")" -gt 20000000 ]; }
wait_for 20 under_way
stop tarnd KILL
wait $p
[ $? = 1 ] || die "send did not fail"
cat "$W/err"
grep -q 'connection to the server broke' "$W/err" || die "not said clearly"
[ "$(wc -l < "$W/err")" = 1 ] || die "more than a sentence"
tarnd_start
served v@s
timeout 60 "$BUILD/tarn" receive --file "$W/x" < "$W/part" 2> "$W/err" &&
	die "half of it was taken"
send "$W/rest" v@s --no-compress --resume "$(token "$W/err")"
must receive "$W/rest" --file "$W/x"
must cmp "$W/x" "$W/raw.img"
sum=$(($(stat -c %s "$W/part") + $(stat -c %s "$W/rest")))
[ $sum -lt $(($(stat -c %s "$W/raw") + 4096)) ] || die "much came twice: $sum"

say "wherever the server listens"
for where in 127.0.0.1:$(free_port) "0.0.0.0:$(free_port) --insecure" \
	unix:rel.sock; do
	stop tarnd
	# shellcheck disable=SC2086
	start tarnd env -C "$W" "$BUILD/tarnd" --listen $where \
		--control "$TARN_CONTROL" --disks "${DISKS[@]}"
	wait_for 30 t snapshot show v@s
	send "$W/part" v@s
	must cmp "$W/part" "$W/zst"
done

say "the reader goes away; the output is full; the snapshot is deleted"
timeout 60 "$BUILD/tarn" send v@s 2> "$W/err" | head -c 1000000 > /dev/null
grep -q 'gone away' "$W/err" || die "$(cat "$W/err")"
timeout 60 "$BUILD/tarn" send v@s > /dev/full 2> "$W/err" && die "to /dev/full"
grep -q 'No space left' "$W/err" || die "$(cat "$W/err")"
timeout 60 "$BUILD/tarn" send v@s --rate 10M > "$W/part" 2> "$W/err" &
p=$!
under_way() { [ "$(stat -c %s "$W/part")" -gt 1000000 ]; }
wait_for 20 under_way
refuse 'in use' t snapshot delete v@s
must t snapshot delete v@s --force
wait $p
[ $? = 1 ] || die "send did not fail"
grep -qE 'broke|served no longer' "$W/err" || die "$(cat "$W/err")"
