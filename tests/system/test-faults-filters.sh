#!/bin/bash
# nbdkit as a disk that fails now and then, is slow to answer, takes little at
# a time, and is a good one again, under fio that verifies.
. "$(dirname "$0")/../lib/faults.sh"
faults nbdkit-error errors slow stopped throttled killed plain
