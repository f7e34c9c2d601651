#!/bin/bash
# What `make run` does: it comes up, keeps its data over runs and over a kill
# of everything, and ends with Ctrl-C.
. "$(dirname "$0")/../lib/kit.sh"
requires tarnd tarn tarn-diskd tarn-stamp
export STATE=$W/run DISK_SIZE=512M
PORT=$(free_port)
export PORT
TARN_CONTROL=$STATE/control.sock

up() { grep -q 'Ctrl-C ends' "$W/demo.log"; }
demo() {
	rm -f "$W/demo.log"
	# What is in the background of a script ignores SIGINT.
	start demo env --default-signal=INT tools/run-demo.sh "$BUILD"
	wait_for 60 up
}
demo
cat "$W/demo.log"
U="nbd://127.0.0.1:$PORT/vm1"
must "$STAMP" write "$U" "$W/j" --ops 2000 --qd 8 --run-blocks 16
refuse 'runs already' tools/run-demo.sh "$BUILD"
must t volume list
stop demo INT
[ -z "$(pgrep -f "$STATE")" ] || die "left behind: $(pgrep -fa "$STATE")"

say "again: the same pool"
demo
must "$STAMP" verify "$U" "$W/j"
stop demo TERM

say "forgotten"
must tools/run-demo.sh --clean "$BUILD"
[ ! -e "$STATE" ] || die "something is left in $STATE: $(ls "$STATE")"
