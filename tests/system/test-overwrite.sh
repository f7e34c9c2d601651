#!/bin/bash
# A small pool under random overwrite lives for ever: many times its size is
# written, and the cleaner keeps up.
. "$(dirname "$0")/../lib/kit.sh"
requires tarn-stamp

disk_nbdkit a 256M
disk_nbdkit b 256M
pool_create 1+1
must t volume create v 96M
served v
for round in 1 2 3; do
	must "$STAMP" write "$(vol v)" "$W/j" --ops 30000 --qd 32 --zeros 1 \
		--reads 10 --run-blocks 32
	t df | tail -n 3
done
must "$STAMP" verify "$(vol v)" "$W/j"
stop tarnd KILL
tarnd_start
served v
must "$STAMP" verify "$(vol v)" "$W/j"
has 'state: *ONLINE' t status
