#!/bin/bash
# qemu-nbd as a disk that dies, hangs, comes back, also at another port, under fio
# that verifies.
. "$(dirname "$0")/../lib/faults.sh"
faults qemu-nbd killed blinked paused stopped moved strayed home
