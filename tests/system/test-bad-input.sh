#!/bin/bash
# What people type wrongly: one clear sentence, nothing half done.
. "$(dirname "$0")/../lib/kit.sh"
requires mkfs.ext4

disk_nbdkit a 512M
disk_nbdkit b 512M
disk_nbdkit c 512M
disk_nbdkit small 4M
disk_nbdkit ext 512M
must mkfs.ext4 -q -F "$W/ext.img"
DISKS=("${URI[a]}" "${URI[b]}" "${URI[c]}")
tarnd_start

say "pools that cannot be"
refuse 'redundancy' t pool create p --redundancy 2 "${URI[a]}"
refuse 'redundancy|0' t pool create p --redundancy 0+1 "${URI[a]}" "${URI[b]}"
refuse 'redundancy|17|16' t pool create p --redundancy 17+4 "${URI[a]}"
refuse 'redundancy' t pool create p --redundancy banana "${URI[a]}"
refuse 'domain|disk' t pool create p --redundancy 2+1 --domain disk \
	"${URI[a]}" "${URI[b]}"
# All three are on this host: one domain.
refuse 'domain' t pool create p --redundancy 2+1 "${URI[a]}" "${URI[b]}" \
	"${URI[c]}"
refuse 'same|twice|already' t pool create p --redundancy 1+1 --domain disk \
	"${URI[a]}" "${URI[a]}"
# The same disk under another name: nothing is on it yet that tells.
ln -s a.sock "$W/alias.sock"
refuse 'same|twice|already' t pool create p --redundancy 1+1 --domain disk \
	"${URI[a]}" "nbd+unix:///?socket=$W/alias.sock"
refuse 'three slashes' t pool create p --redundancy 1+1 --domain disk \
	"${URI[a]}" "nbd+unix://localhost/?socket=$W/a.sock"
refuse 'small' t pool create p --redundancy 1+1 --domain disk "${URI[a]}" \
	"${URI[small]}"
refuse 'ext4' t pool create p --redundancy 1+1 --domain disk "${URI[a]}" \
	"${URI[ext]}"
refuse 'connect|reach|no such' t pool create p --redundancy 1+1 --domain disk \
	"${URI[a]}" "nbd+unix:///?socket=$W/nothing.sock"
refuse 'scheme|nbd' t pool create p --redundancy 1+1 --domain disk \
	"${URI[a]}" "nbd+ssh://host/x"
refuse 'name' t pool create 'a/b' --redundancy 1+1 --domain disk "${URI[a]}" \
	"${URI[b]}"
refuse 'name' t pool create "$(printf 'x%.0s' {1..100})" --redundancy 1+1 \
	--domain disk "${URI[a]}" "${URI[b]}"
refuse 'pool' t volume create v 1G
refuse 'redundancy' t pool create p "${URI[a]}" "${URI[b]}"

say "nothing was written by all that"
must mkfs.ext4 -q -F -E nodiscard "$W/ext.img"
cmp -n 1048576 "$W/a.img" /dev/zero || die "disk a was written to"
cmp -n 1048576 "$W/b.img" /dev/zero || die "disk b was written to"

say "a pool, and disks that are taken"
must t pool create p --redundancy 1+1 --domain disk "${URI[a]}" "${URI[b]}"
refuse 'pool|member' t pool create q --redundancy 1+1 --domain disk \
	"${URI[a]}" "${URI[c]}"
refuse 'pool' t pool create p --redundancy 1+0 --domain disk "${URI[c]}"

say "volumes that cannot be"
refuse 'name' t volume create 'a/b' 1G
refuse 'name' t volume create '' 1G
refuse 'name' t volume create "$(printf 'x%.0s' {1..300})" 1G
refuse 'name' t volume create "$(printf 'a\001b')" 1G
refuse 'name' t volume create '..' 1G
refuse 'name' t volume create ' lead' 1G
refuse 'name' t volume create 'a@b' 1G
refuse 'size|bytes' t volume create v 0
refuse 'size|bytes' t volume create v 9223372036854775808
refuse 'size|bytes' t volume create v 1000T
refuse 'size|bytes' t volume create v banana
refuse 'size|bytes' t volume create v -5
refuse 'size|usage' t volume create v
must t volume create 'ü name' 1M
must t volume create v 64M
must t volume create v 64M
refuse '64|size|exists' t volume create v 65M
refuse 'nothere' t volume show nothere
refuse 'nothere' t volume delete nothere
refuse 'nothere' t volume resize nothere 1G
refuse 'exist|already' t volume rename v 'ü name'
must t volume rename 'ü name' w

say "a shrink below what is written, a delete while in use"
served v
must qemu-io -f raw -c "write -P 1 60M 1M" "$(vol v)"
refuse 'force' t volume resize v 32M
must t volume resize v 128M
[ "$(nbdinfo --size "$(vol v)")" = 134217728 ] || die "did not grow"
start holder qemu-nbd -f raw -t -k "$W/holder.sock" "$(vol v)"
wait_for 10 answers "nbd+unix:///?socket=$W/holder.sock"
refuse 'use' t volume delete v
stop holder KILL
free() { t volume delete v; }
wait_for 10 free

say "usage"
code() {
	local want=$1
	shift
	t "$@" > "$W/out" 2>&1
	[ $? = "$want" ] || die "exit $? of: tarn $*: $(cat "$W/out")"
}
code 0 help
code 0 volume --help
code 0 help snapshot delete
code 2 help nonsense
code 2 volume
code 2 df surplus
code 2 volume create v
code 2 --control '' status
code 2 pool export ''
code 2 pool import --disk '' p
code 2 alarm mute pool.full '' --for 1h
code 1 pool import p --read-only
code 1 job wait nothere
code 1 volume show "$(printf 'x%.0s' {1..300})"
code 2 volume show "$(printf 'a\377')"
# Nothing that was typed reaches the terminal as it is.
code 0 job wait "$(printf 'delete-\033[31mb')"
grep -q "$(printf '\033')" "$W/out" && die "an escape sequence"
refuse 'usage|unknown|no such' t
refuse 'usage|unknown|no such' t nonsense
refuse 'usage|unknown|no such' t volume nonsense
refuse 'usage|unknown|option' t volume list --nonsense
refuse 'control|connect|running' t --control "$W/nothing.ctl" status
has '^\{|^\[' t status --json
t volume show nothere --json > "$W/json" && die "exit 0 for what is not there"
has '"(error|message)"' cat "$W/json"

say "tarnd's own arguments"
refuse 'listen|address|port' "$BUILD/tarnd" --listen nonsense --control "$W/c2"
refuse 'usage|option|unknown' "$BUILD/tarnd" --nonsense
refuse 'in use|running|answers' timeout 20 "$BUILD/tarnd" \
	--listen "unix:$W/nbd2.sock" --control "$TARN_CONTROL"

say "garbage to both sockets; the server lives"
head -c 100000 /dev/urandom | timeout 5 nc -N -U "$W/nbd.sock" \
	> /dev/null 2>&1
head -c 100000 /dev/urandom | timeout 5 nc -N -U "$TARN_CONTROL" \
	> /dev/null 2>&1
alive tarnd || die "tarnd died"
has 'state: *ONLINE' t status
