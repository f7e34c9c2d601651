#!/bin/bash
# --json on every command gives JSON whose numbers are numbers; -H and -p are
# for scripts.
. "$(dirname "$0")/../lib/kit.sh"
requires python3

disk_nbdkit a 512M
disk_nbdkit b 512M
pool_create 1+1
must t volume create v 1G
served v
for c in "status" "df" "pool list" "disk list" "disk discover" "volume list" \
	"volume du" "volume du v" \
	"volume show v" "volume create x 1M" "volume resize x 2M" \
	"volume rename x y" "volume delete y"; do
	# shellcheck disable=SC2086
	t $c --json > "$W/out" || die "$c --json: $(cat "$W/out")"
	python3 -m json.tool "$W/out" > /dev/null || die "$c: no JSON"
done
t volume show v --json > "$W/out"
python3 - "$W/out" <<'END' || die "size_bytes is no number"
import json, sys
v = json.load(open(sys.argv[1]))
v = v.get("volume", v)
assert v["size_bytes"] == 1 << 30, v
END
t volume list -H -p > "$W/out"
has '^v[[:space:]]+1073741824' cat "$W/out"
[ "$(wc -l < "$W/out")" = 1 ] || die "-H printed a header"
