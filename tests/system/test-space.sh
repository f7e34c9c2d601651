#!/bin/bash
# The numbers of tarn df add up, and are those that a walk of everything on the
# disks comes to.
. "$(dirname "$0")/../lib/kit.sh"
requires qemu-io python3

disk_nbdkit a 192M
disk_nbdkit b 192M
disk_nbdkit c 256M
pool_create 2+1
must t volume create v 256M
must t volume create w 64M
served v
must qemu-io -f raw -c "write -P 1 0 24M" "$(vol v)" > /dev/null
must qemu-io -f raw -c "write -P 2 0 8M" "$(vol w)" > /dev/null
must t snapshot create v@a w@a
must qemu-io -f raw -c "write -P 3 0 4M" -c "discard 20M 4M" "$(vol v)" \
	> /dev/null
must t volume clone v@a x
must t snapshot create v@b
must t snapshot delete w@a
num() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$2"; }

df_sums() {
	must t --json df > "$W/df"
	[ "$(num usable_bytes "$W/df")" = $(($(num data_bytes "$W/df") +
		$(num map_bytes "$W/df") + $(num free_bytes "$W/df"))) ] ||
		die "usable is not data, map and free: $(cat "$W/df")"
	[ "$(num raw_bytes "$W/df")" = $(($(num usable_bytes "$W/df") +
		$(num parity_bytes "$W/df") + $(num reserve_bytes "$W/df"))) ] ||
		die "raw is not usable, parity and reserve: $(cat "$W/df")"
	[ "$(num used_bytes "$W/df")" = $(($(num data_bytes "$W/df") +
		$(num map_bytes "$W/df"))) ] || die "used: $(cat "$W/df")"
}

df_sums
wait_for 30 bash -c "'$BUILD/tarn' job list | grep -q 'Nothing'"
must t pool export
must t pool import p --read-only
df_sums
# v 24 - 4, v@a 24, v@b 20, w 8, x 24
[ "$(num logical_bytes "$W/df")" = $((96 << 20)) ] ||
	die "logical: $(cat "$W/df")"
t df

say "tarn volume du"
must t --json volume du > "$W/du"
must t --json volume du v > "$W/du-v"
must t --json volume du v x v > "$W/du-vx"
t volume du
has '^/ ' t volume du v x
python3 - "$W" <<'END' || die "$(cat "$W/du" "$W/du-v" "$W/du-vx" "$W/df")"
import json, sys
def read(name):
    return json.load(open(sys.argv[1] + "/" + name))
MIB = 1 << 20
def data(o):
    return o["reclaimable_bytes"] - o["reclaimable_map_bytes"]
df, du = read("df"), read("du")
of = {o["name"]: o for o in du["volumes"]}
total = du["total"]
assert sorted(of) == ["v", "w", "x"] and total["volumes"] == 3
for o in list(of.values()) + [total]:
    assert o["logical_bytes"] == o["unique_bytes"] + o["shared_bytes"], o
    assert o["held_bytes"] + o["unique_bytes"] <= data(o), o
    assert o["unique_map_bytes"] + o["held_map_bytes"] <= \
        o["reclaimable_map_bytes"], o
# All of it together is all that there is.
assert data(total) == df["data_bytes"]
assert total["logical_bytes"] + total["snapshots_logical_bytes"] == \
    df["logical_bytes"]
assert 0 < total["reclaimable_map_bytes"] <= df["map_bytes"]
assert data(total) == 36 * MIB
# v@b is what v is; v@a is what x began as, but for what x wrote since.
v, w, x = of["v"], of["w"], of["x"]
assert (v["logical_bytes"], v["unique_bytes"], v["held_bytes"], data(v)) == \
    (20 * MIB, 0, 0, 4 * MIB)
assert (w["unique_bytes"], w["shared_bytes"], data(w)) == \
    (8 * MIB, 0, 8 * MIB)
assert (x["unique_bytes"], x["shared_bytes"]) == (0, 24 * MIB)
assert read("du-v")["volumes"] == [v] and read("du-v")["total"] == \
    {**{k: v[k] for k in v if k != "name"}, "volumes": 1}
assert data(read("du-vx")["total"]) == 28 * MIB
END
refuse 'v@a' t volume du v@a
refuse 'does not exist' t volume du v nowhere
must t pool export
stop tarnd TERM
must "$BUILD/tarn-check" --json "$W/a.img" "$W/b.img" "$W/c.img" > "$W/check"
[ "$(num data_bytes "$W/df")" = $(($(num mapped_blocks "$W/check") * 4096)) ] ||
	die "data: $(cat "$W/df" "$W/check")"
[ "$(num map_bytes "$W/df")" = $((($(num node_blocks "$W/check") +
	$(num table_blocks "$W/check")) * 4096)) ] ||
	die "map: $(cat "$W/df" "$W/check")"
python3 - "$W" <<'END' || die "$(cat "$W/du" "$W/check")"
import json, sys
total = json.load(open(sys.argv[1] + "/du"))["total"]
check = json.load(open(sys.argv[1] + "/check"))
def num(key, o=check):
    if isinstance(o, dict):
        for k, v in o.items():
            n = v if k == key else num(key, v)
            if n is not None:
                return n
    return None
assert total["reclaimable_map_bytes"] == num("node_blocks") * 4096
assert total["reclaimable_bytes"] - total["reclaimable_map_bytes"] == \
    num("mapped_blocks") * 4096
END
