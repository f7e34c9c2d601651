#!/bin/bash
# Our own disk host by itself, with other people's clients: a file over a
# socket and over TCP, several at once, read-only, and what it refuses.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-diskd tarn-stamp nbdcopy qemu-io qemu-img fio

disk_tarn a 256M
U=${URI[a]}

say "clients"
qemu_io_patterns "$U"
must qemu-io -f raw -c "discard 0 256M" -c "read -P 0 0 1M" "$U"
head -c 64M /dev/urandom > "$W/in"
must timeout 60 nbdcopy --flush "$W/in" "$U"
must cmp -n $((64 << 20)) "$W/in" "$W/a.img"
must timeout 60 nbdcopy "$U" "$W/out"
must cmp -n $((64 << 20)) "$W/in" "$W/out"
fio_verify "$U" --size=32M --bsrange=512-64k --blockalign=512
must qemu-io -f raw -c "write -z 0 256M" "$U"
must "$STAMP" write "$U" "$W/j" --ops 5000 --qd 32 --connections 4
must "$STAMP" verify "$U" "$W/j"

say "kill -9: what was acknowledged is in the file"
"$STAMP" write "$U" "$W/j" --seconds 20 --qd 16 > "$W/out" 2>&1 &
s=$!
goal=$(($(wc -l < "$W/j") + 3000))
more() { [ "$(wc -l < "$W/j")" -gt "$goal" ]; }
wait_for 15 more
stop a KILL
wait $s
# The stale socket is no obstacle.
disk_tarn a 256M
must "$STAMP" verify "$U" "$W/j"

say "several files, names, read-only, over TCP"
truncate -s 1M "$W/x.img" "$W/y.img"
port=$(free_port 127.0.0.3)
start many "$BUILD/tarn-diskd" "$W/x.img" "$W/y.img" --name ex --read-only \
	--listen "127.0.0.3:$port"
wait_for 10 answers "nbd://127.0.0.3:$port/ex"
must nbdinfo --size "nbd://127.0.0.3:$port/y.img"
must nbdinfo --is read-only "nbd://127.0.0.3:$port/y.img"
has 'export="y.img"' nbdinfo --list "nbd://127.0.0.3:$port"
qemu-io -f raw -c "write 0 4k" "nbd://127.0.0.3:$port/ex" > "$W/io" 2>&1
grep -q '^wrote' "$W/io" && die "wrote to a read-only export"
nbdinfo "nbd://127.0.0.3:$port/nothere" > /dev/null 2>&1 &&
	die "an export that is not there"
stop many

say "refusals"
d=$BUILD/tarn-diskd
refuse 'usage|listen' "$d" "$W/a.img"
refuse 'usage|file' "$d" --listen "unix:$W/z.sock"
refuse 'nothere' "$d" "$W/nothere" --listen "unix:$W/z.sock"
refuse 'insecure|other machines' "$d" "$W/x.img" --listen 0.0.0.0:10999
refuse 'in use|running|listen' timeout 20 "$d" "$W/x.img" \
	--listen "unix:$W/a.sock"
refuse 'file|block device|directory' "$d" "$W" --listen "unix:$W/z.sock"
must timeout 5 nbdinfo --size "$U"
