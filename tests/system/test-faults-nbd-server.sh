#!/bin/bash
# nbd-server as a disk that dies, hangs, comes back, also at another port, under fio
# that verifies.
. "$(dirname "$0")/../lib/faults.sh"
faults nbd-server killed blinked paused stopped moved strayed home
