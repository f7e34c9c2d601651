#!/bin/bash
# A folder of backups: each of them is what the volume was, bit by bit, however
# the runs that made them ended, whatever was pruned, and wherever it is
# restored to; the pool holds nothing of it between runs.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy qemu-io python3 cmp

disk_nbdkit a 1500M
disk_tarn b 1500M
pool_create 1+1
must t volume create v 128M
served v

# run FOLDER [ARGUMENTS…]: a backup of v; keeps what v is as want.FOLDER.WHEN,
# and leaves the answer in $W/run.
run() {
	local dir=$1
	shift

	timeout 60 "$BUILD/tarn" backup run v "$W/$dir" --json "$@" \
		> "$W/run" 2> "$W/err" ||
		die "backup run v $dir $*: $(cat "$W/run" "$W/err")"
	when=$(key when < "$W/run")
	must timeout 60 nbdcopy "$(vol v)" "$W/want.$dir.$when"
}

# was KEY VALUE: of the last run.
was() {
	[ "$(key "$1" < "$W/run")" = "$2" ] || die "not $1 $2: $(cat "$W/run")"
}

whens() {
	t backup list -H "$W/$1" | cut -f 1
}

# good FOLDER [COUNT]: all that is in it can be restored, and is what it was.
good() {
	local dir=$1 w n=0

	for w in $(whens "$dir"); do
		rm -f "$W/out"
		must t backup restore "$W/$dir@$w" "$W/out" > "$W/said"
		must cmp "$W/out" "$W/want.$dir.$w"
		n=$((n + 1))
	done
	[ -z "${2-}" ] || [ $n = "$2" ] || die "$n backups in $dir, wanted $2: $(t backup list "$W/$dir")"
	must t backup verify "$W/$dir" > "$W/said"
}

# clean CHECKPOINTS: the pool holds no more than these.
clean() {
	[ -z "$(t snapshot list -H 2> /dev/null)" ] ||
		die "left: $(t snapshot list)"
	[ "$(t checkpoint list -H v 2> /dev/null | wc -l)" = "$1" ] ||
		die "not $1 checkpoints: $(t checkpoint list)"
}

say "a full one, and what changed"
head -c 20M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
io "$(vol v)" "write -P 0x11 60M 5M" "write -P 0x12 20000001 777777"
run d
was full True
clean 1
first=$when
io "$(vol v)" "write -P 0x21 1M 64k" "discard 61M 2M" "write -z 3M 1M"
run d
was full False
[ "$(key stream_bytes < "$W/run")" -lt 200000 ] || die "more than the changes"
io "$(vol v)" "write -P 0x22 62M 1M" "write -P 0x23 127M 1M"
must t volume resize v 160M
io "$(vol v)" "write -P 0x24 159M 512k"
run d
was full False
# What is cut off does not come back.
must t volume resize v 100M --force
must t volume resize v 140M
run d
must t volume resize v 16M --force
run d
run d
was full False
was data_bytes 0
good d 6
clean 1
rm -f "$W/out"
must t backup restore "$W/d" "$W/out"
must cmp "$W/out" "$W/want.d.$when"
rm -f "$W/out"
must t backup restore "$W/d@$(date -u +%Y-%m-%d)" "$W/out"
must cmp "$W/out" "$W/want.d.$when"

say "what it says"
has 'full +128M .* v' t backup list "$W/d"
has "changes +16.0M .* v +$first|changes +16.0M" t backup list "$W/d"
[ "$(t backup list --json "$W/d" | python3 -c 'import json, sys
b = json.load(sys.stdin)["backups"]
assert b[0]["full"] and b[0]["base"] is None
assert all(x["whole"] and x["base"] == y["when"] for x, y in zip(b[1:], b))
print(len(b))')" = 6 ] || die "list --json"
has 'volume .v. backed up' t backup run v "$W/e"
clean 2
t backup list "$W/nowhere" > /dev/null 2>&1 && die "listed what is not there"
mkdir "$W/empty"
has 'no backups' t backup list "$W/empty"
refuse 'no backups' t backup restore "$W/empty" "$W/x"
refuse 'as old as' t backup restore "$W/d@2001-01-01" "$W/x"
refuse 'no time' t backup restore "$W/d@yesterday" "$W/x"
refuse 'exists' t backup restore "$W/d" "$W/out"
must t backup restore "$W/d@$first" "$W/out" --force
must cmp "$W/out" "$W/want.d.$first"
refuse 'No such file' t backup restore "$W/d" "$W/none/x"
refuse 'does not exist' t backup run none "$W/f"
refuse 'how many' t backup run v "$W/d" --keep-last 0
refuse 'how many' t backup run v "$W/d" --keep-daily x
refuse 'level' t backup run v "$W/d" --compress=20
refuse 'cannot open|Not a directory' t backup run v "$W/rnd"
refuse 'usage' t backup run v
refuse 'for files' t backup restore "$W/d" v9 --force
[ -e "$W/x" ] && die "there though refused"

say "a folder is of one volume"
must t volume create other 16M
refuse "holds backups of another volume" t backup run other "$W/d"
must t volume rename v renamed
t backup run renamed "$W/d" --json > "$W/run" || die "renamed: $(cat "$W/run")"
was full False
must t volume rename renamed v
cp "$W/want.d.$when" "$W/want.d.$(key when < "$W/run")"

say "to a new volume"
must t backup restore "$W/d@$first" back
must timeout 60 nbdcopy "$(vol back)" "$W/x"
must cmp "$W/x" "$W/want.d.$first"
refuse '(exists|there is).*already|exists' t backup restore "$W/d" back
must t backup restore "$W/d@$first" back2
must t volume delete back2 --now
refuse 'exists' t backup restore "$W/d" v
refuse "cannot be|name" t backup restore "$W/d" 'a@b'
nothing_hidden() {
	[ "$(t receive --list --json | python3 -c 'import json, sys
print(len(json.load(sys.stdin)["receives"]))')" = 0 ] ||
		die "left: $(t receive --list)"
}
nothing_hidden
must t volume delete back --force --now
rm "$W/x"

say "pruned"
# A large full one stays until it is worth it.
run d --keep-last 3
good d 4
must t volume resize v 128M
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
for i in 1 2 3 4; do
	io "$(vol v)" "write -P 0x3$i ${i}M 3M" "discard $((i + 20))M 1M"
	run d --keep-last 3
	good d
	[ "$(whens d | wc -l)" -le 4 ] || die "kept: $(whens d)"
	clean 2
done
run d --keep-daily 1 --keep-weekly 1
good d
run d --full --keep-last 1
was full True
good d 1
clean 2
ls "$W/d" | grep -q new && die "left: $(ls "$W/d")"

say "rolled back, or without its checkpoint: a full one"
must t snapshot create v@old
io "$(vol v)" "write -P 0x41 5M 1M"
run d
was full False
must t snapshot rollback v@old --force
must t snapshot delete v@old
t backup run v "$W/d" > "$W/out" 2>&1 || die "$(cat "$W/out")"
grep -q 'full backup: the volume was rolled back' "$W/out" ||
	die "not said: $(cat "$W/out")"
must timeout 60 nbdcopy "$(vol v)" "$W/want.d.$(whens d | tail -n 1)"
io "$(vol v)" "write -P 0x42 5M 1M"
run d
was full False
must t checkpoint delete "$(t checkpoint list -H v | tail -n 1 | cut -f 1)"
run d
was full True
has 'checkpoint of the last backup is gone' cat "$W/run"
run d
was full False
good d
clean 2

say "damage"
cp -r "$W/d" "$W/bad"
for f in $(whens d); do cp "$W/want.d.$f" "$W/want.bad.$f"; done
bad=$(whens bad | tail -n 2 | head -n 1)
python3 -c "f = open('$W/bad/$bad.tarn', 'r+b'); f.seek(0, 2)
at = f.tell() // 2; f.seek(at); b = f.read(1)[0]; f.seek(at)
f.write(bytes([b ^ 4]))"
t backup verify "$W/bad" > "$W/out" 2>&1 && die "verify saw nothing"
cat "$W/out"
grep -q "2 of .* cannot be restored; the first is $bad: .*damaged" "$W/out" ||
	die "verify: $(cat "$W/out")"
t backup verify "$W/bad" --json > "$W/out" && die "verify --json"
[ "$(key error < "$W/out" | grep -c EBADMSG)" = 1 ] || die "$(cat "$W/out")"
rm -f "$W/x"
refuse "damaged" t backup restore "$W/bad" "$W/x"
refuse "damaged" t backup restore "$W/bad@$bad" "$W/x"
refuse "damaged" t backup restore "$W/bad" back
t volume list -H | grep -q back && die "left: $(t volume list)"
nothing_hidden
[ -e "$W/x" ] || [ -e "$W/x.partial" ] || [ -e "$W/x.partial.token" ] &&
	die "left: $(ls "$W")"
must t backup restore "$W/bad@$(whens bad | head -n 1)" "$W/x"
rm -f "$W/x"
# The header, too; and a file that is cut off, missing, or none at all.
printf x | dd of="$W/bad/$bad.tarn" bs=1 seek=40 conv=notrunc status=none
has 'damaged .*checksum' t backup list "$W/bad"
refuse 'damaged' t backup restore "$W/bad@$bad" "$W/x"
truncate -s 50 "$W/bad/$bad.tarn"
refuse 'cut off' t backup restore "$W/bad@$bad" "$W/x"
rm "$W/bad/$bad.tarn"
refuse 'is not there' t backup restore "$W/bad" "$W/x"
rm -r "$W/bad"

say "the folder is full"
(
	trap '' XFSZ
	ulimit -f 2000
	timeout 60 "$BUILD/tarn" backup run v "$W/small" --no-compress
) > "$W/out" 2>&1 && die "it fitted"
cat "$W/out"
grep -q 'File too large; no backup was made' "$W/out" || die "not said"
[ -z "$(whens small 2> /dev/null)" ] || die "there though it did not fit"
clean 2
run small
was full True
clean 3

say "two at once"
io "$(vol v)" "write -P 0x51 0 20M"
timeout 60 "$BUILD/tarn" backup run v "$W/small" --no-compress --rate 5M \
	> "$W/out" 2>&1 &
p=$!
under_way() { [ -n "$(t snapshot list -H 2> /dev/null)" ]; }
wait_for 20 under_way
refuse 'in use' t backup run v "$W/small"
refuse 'in use' t backup verify "$W/small"
has 'full' t backup list "$W/small"
rm -f "$W/x"
must t backup restore "$W/small" "$W/x"
must cmp "$W/x" "$W/want.small.$when"
# Another folder is another matter.
must t backup run v "$W/e"

say "kill -9 of the client in the middle"
kill -KILL "$(pgrep -P $p)"
wait $p 2> /dev/null
under_way || die "no snapshot is left"
ls "$W/small" | grep -q '\.new$' || die "no file is left"
good small 1
run small
was full False
good small 2
ls "$W/small" | grep -q '\.new$' && die "left: $(ls "$W/small")"
clean 3

say "kill -9 of the server in the middle"
io "$(vol v)" "write -P 0x52 0 20M"
timeout 60 "$BUILD/tarn" backup run v "$W/small" --no-compress --rate 5M \
	> "$W/out" 2>&1 &
p=$!
wait_for 20 under_way
stop tarnd KILL
wait $p
[ $? = 1 ] || die "the run did not fail"
cat "$W/out"
[ "$(wc -l < "$W/out")" = 1 ] || die "more than a sentence"
tarnd_start
served v
good small 2
run small
was full False
good small 3
clean 3

say "killed anywhere"
for ((i = 0; i < 12; i++)); do
	io "$(vol v)" "write -P $((0x60 + i)) ${i}M 2M"
	must timeout 60 nbdcopy "$(vol v)" "$W/now"
	timeout -s KILL "0.$((RANDOM % 4))$((RANDOM % 10))" "$BUILD/tarn" \
		backup run v "$W/small" --keep-last 2 > /dev/null 2>&1
	# It may have come to its end, or have got the name of its own.
	for w in $(whens small); do
		[ -e "$W/want.small.$w" ] || cp "$W/now" "$W/want.small.$w"
	done
	good small
done
run small --keep-last 2
good small
[ "$(whens small | wc -l)" -le 3 ] || die "kept: $(whens small)"
clean 3

say "the pool's space is the volume's"
must t volume delete other --now
io "$(vol v)" "discard 0 128M"
run small
freed() {
	[ "$(t df --json | key used_bytes)" -lt 8000000 ]
}
wait_for 30 freed
