#!/bin/bash
# Deleting is safe and can be watched: the trash, what is in it comes back as it
# was, also after kill -9, and goes when its time is over or the space is
# needed; tarn-check finds nothing wrong.
. "$(dirname "$0")/../lib/kit.sh"
requires nbdcopy qemu-io python3 cmp

disk_nbdkit a 256M
disk_qemu b 256M
pool_create 1+1
must t volume create v 64M
must t volume create w 8M
served v

say "a volume with snapshots, and a clone"
head -c 24M /dev/urandom > "$W/rnd"
must timeout 60 nbdcopy "$W/rnd" "$(vol v)"
must t snapshot create v@one
must t checkpoint create v#cp
io "$(vol v)" "write -P 0x11 1M 6M"
must t snapshot create v@two
must t volume clone v@one c
must timeout 60 nbdcopy "$(vol v)" "$W/v"
must timeout 60 nbdcopy "$(vol c)" "$W/c"
must timeout 60 nbdcopy "$(vol v@one)" "$W/one"

same() {
	rm -f "$W/copy"
	must timeout 60 nbdcopy "$1" "$W/copy"
	must cmp "$W/copy" "$2"
}

uuid_of() {
	t volume show "$1" --json | python3 -c 'import json, sys
print(json.load(sys.stdin)["uuid"])'
}
id=$(uuid_of v)

say "into the trash"
has '^the trash is empty|trash is empty' t trash list
refuse 'with-snapshots' t volume delete v
must t snapshot hold v@one
refuse 'v@one' t volume delete v --with-snapshots
must t snapshot release v@one
has 'would free' t volume delete -n v --with-snapshots
has 'in the trash until' t volume delete v --with-snapshots
refuse "does not exist" t volume show v
refuse "does not exist" t snapshot show v@one
answers "$(vol v)" && die "what is in the trash is exported"
answers "$(vol v@one)" && die "its snapshot is exported"
has "^v +$id +64.0M +[0-9.]+M +2 +1 +20" t trash list
t df -H -p > "$W/df"
[ "$(cut -f 7 "$W/df")" -gt 0 ] || die "df: $(cat "$W/df")"
t df -H -p | cut -f 7 > "$W/df2"
[ "$(cat "$W/df2")" = "$(cut -f 7 "$W/df")" ] || die "df again: $(cat "$W/df2")"
same "$(vol c)" "$W/c"

say "kill -9, and it is still there; the name is free"
stop tarnd KILL
tarnd_start
has "^v +$id" t trash list
must t volume create v 8M
refuse '--as' t volume undelete v
must t volume undelete "$id" --as back
served back
same "$(vol back)" "$W/v"
same "$(vol back@one)" "$W/one"
has '^back#cp' t checkpoint list back
has 'is not in the trash' t volume undelete "$id"
has 'is not in the trash' t volume undelete "$id" --as back
has 'is not in the trash' t volume undelete v --as back
refuse "'back'" t volume undelete "$id" --as other
refuse 'trash list' t volume undelete v --as other

say "several of one name"
must t volume delete v
must t volume create v 16M
must t volume delete v
refuse 'UUID' t volume undelete v
refuse 'UUID' t trash empty v
must t volume delete back --with-snapshots --force
[ "$(t trash list -H | wc -l)" = 3 ] || die "$(t trash list)"
for c in "trash list" "trash empty -n" "trash empty -n back" \
	"volume list --deleting" "volume delete -n w" "status" "df"; do
	# shellcheck disable=SC2086
	t $c --json > "$W/out" || die "$c --json: $(cat "$W/out")"
	python3 -c 'import json, sys; json.load(sys.stdin)' < "$W/out" ||
		die "$c --json is no JSON: $(cat "$W/out")"
done

say "emptied, with the clone whole"
has 'would free' t trash empty -n
has "back.*deleted for good" t trash empty back --wait
[ "$(t trash list -H | wc -l)" = 2 ] || die "$(t trash list)"
refuse 'trash list' t trash empty back
t trash empty --wait --progress --json > "$W/out" 2> "$W/progress" ||
	die "$(cat "$W/out" "$W/progress")"
python3 - "$W" <<'END' || die "$(cat "$W/out" "$W/progress")"
import json, sys
assert len(json.load(open(sys.argv[1] + "/out"))["volumes"]) == 2
lines = [json.loads(l) for l in open(sys.argv[1] + "/progress")]
assert lines, "no progress"
END
has 'empty' t trash empty
same "$(vol c)" "$W/c"
t volume list --deleting

say "several snapshots at once, and ranges"
io "$(vol c)" "write -P 0x31 0 4M"
must t snapshot create c@a
io "$(vol c)" "write -P 0x32 0 4M"
must t snapshot create c@b
io "$(vol c)" "write -P 0x33 0 4M"
must t snapshot create c@d
io "$(vol c)" "write -P 0x34 0 4M"
t snapshot delete -n c@a c@b --json > "$W/both"
t snapshot delete -n c@a --json > "$W/a"
t snapshot delete -n c@b --json > "$W/b"
python3 - "$W" <<'END' || die "$(cat "$W/both" "$W/a" "$W/b")"
import json, sys
f = [json.load(open(sys.argv[1] + "/" + n))["freed_bytes"]
     for n in ("both", "a", "b")]
assert f[0] >= f[1] + f[2] >= 8 << 20, f
END
has 'these 3 snapshots would free' t snapshot delete -n 'c@a%'
refuse 'range' t snapshot delete 'c@d%a'
must t snapshot hold c@b
t snapshot delete c@a%d > "$W/out" 2>&1 && die "c@b is held"
grep -q "'c@a' deleted" "$W/out" || die "$(cat "$W/out")"
grep -q "'c@b' is held" "$W/out" || die "$(cat "$W/out")"
grep -q "'c@d' deleted" "$W/out" || die "$(cat "$W/out")"
must t snapshot release c@b
must t snapshot delete c@b --wait --progress 2> "$W/progress"

say "the space is needed: the trash makes room"
must t volume create big 1G
served big
fill() {
	local i

	for ((i = 0; i < 16; i++)); do
		timeout 60 qemu-io -f raw -c "write -P 0x77 $((i * 16))M 16M" \
			"$(vol big)" > "$W/io" 2>&1
		grep -qi 'no space' "$W/io" && return
	done
	die "256 MiB went into the pool"
}
fill
must t volume delete big
must t volume create again 64M
served again
io "$(vol again)" "write -P 0x79 0 64M"
has 'empty' t trash list
has 'WARNING +trash.pushed_out big:' t events
stop tarnd KILL
tarnd_start
served again
io "$(vol again)" "read -P 0x79 0 64M"

say "killed while it deletes"
must t volume delete again --now
stop tarnd KILL
tarnd_start
wait_for 60 sh -c "'$BUILD/tarn' volume list --deleting --json |
	grep -q '\"count\": *0'"
must t volume delete c
stop tarnd KILL

say "no trash: what was in it goes"
tarnd_start --trash-hours 0
nothing() {
	[ -z "$(t trash list -H 2> /dev/null)" ]
}
wait_for 30 nothing
has "trash.expired c" t events
has "'w' deleted" t volume delete w
must t pool export
must timeout 120 "$BUILD/tarn-check" "$W/a.img" "$W/b.img"
