#!/bin/bash
# nbdkit as a disk that dies, hangs, comes back, also at another port, under fio
# that verifies.
. "$(dirname "$0")/../lib/faults.sh"
faults nbdkit killed blinked paused stopped moved strayed home
