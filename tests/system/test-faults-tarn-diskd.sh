#!/bin/bash
# tarn-diskd as a disk that dies, hangs, comes back, also at another port, under fio
# that verifies.
. "$(dirname "$0")/../lib/faults.sh"
faults tarn-diskd killed blinked paused stopped moved strayed home
