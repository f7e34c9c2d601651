#!/bin/bash
# What documents name is there, and what is there they name:
#
#	methods of the control socket     control-api.md, with their parameters
#	commands and options of tarn      tarn.8; and those that any other
#	                                  document, comment or message tells
#	options of the other programs     their pages
#	events and alarms                 operations.md
#	files                             that any document or comment names; those
#	                                  of pool/ and server/ are in
#	                                  architecture.md
#
#	check-names.sh
set -u
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# What is wrong is noted in a file, since some of it is found in pipelines.
# same WHAT A B: the sorted lists in the files A and B are the same.
same() {
	diff "$work/$2" "$work/$3" > "$work/diff" && return
	echo "$1: in the code (<), in the document (>):"
	grep '^[<>]' "$work/diff"
	: > "$work/bad"
}
# within WHAT A B: all of the sorted list A is in B.
within() {
	comm -23 "$work/$2" "$work/$3" > "$work/diff"
	[ -s "$work/diff" ] || return
	echo "$1:"
	sed 's/^/  /' "$work/diff"
	: > "$work/bad"
}
sorted() {
	sort -u
}
export LC_ALL=C
# some N LIST…: each has that many lines at least, or this script does not read
# any more what it should.
some() {
	local n=$1 f
	shift

	for f; do
		[ "$(wc -l < "$work/$f")" -ge "$n" ] && continue
		echo "check-names.sh found only $(wc -l < "$work/$f") $f"
		: > "$work/bad"
	done
}

# --- methods -----------------------------------------------------------------

# "METHOD" and "METHOD PARAMETER TYPE REQUIRED"
awk '
/^static const struct ctl_param [a-z_]+\[\]/ {
	table = $5
	sub(/\[.*/, "", table)
}
/^\t\{ "[a-z_]+", CTL_/ {
	name = $2; type = $3; need = $4
	gsub(/[",]/, "", name)
	gsub(/,/, "", type)
	n[table]++
	param[table, n[table]] = name " " type " " (need == "true" ? "required" : "-")
}
/^\t\{ "[a-z]+\.[a-z]+", ctl_/ {
	method = $2
	gsub(/[",]/, "", method)
	table = $4
	sub(/,/, "", table)
	print method
	for (i = 1; i <= n[table]; i++)
		print method, param[table, i]
}' server/control_methods.c | sed 's/CTL_STRINGS/strings/; s/CTL_STRING/string/
	s/CTL_BOOL/bool/; s/CTL_UINT/integer/' | sorted > "$work/methods"
awk -F'[ |]*[|][ |]*' '
/^## [a-z]+\.[a-z]+$/ { method = substr($0, 4); print method }
/^\| parameter \| type/ { in_table = 1; next }
!/^\|/ { in_table = 0 }
in_table && $2 ~ /^`/ {
	gsub(/`/, "", $2)
	type = $3
	sub(/,.*/, "", type)
	print method, $2, type, ($3 ~ /, required/ ? "required" : "-")
}' docs/control-api.md | sorted > "$work/methods.doc"
same docs/control-api.md methods methods.doc
grep -v ' ' "$work/methods" > "$work/method"

some 40 method

# --- commands ------------------------------------------------------------------

# A page as text.
page() {
	sed 's/\\-/-/g; s/\\(aq/'"'"'/g; s/\\f[A-Z]//g; s/^\.[A-Z]* //
		s/"//g' "$1"
}
awk '/^\t\{ "[a-z]+", (NULL|"[a-z]+"),/ {
	gsub(/[",]/, "")
	print $2 ($3 == "NULL" ? "" : " " $3)
}' tools/tarn/main.c | sorted > "$work/commands"
page docs/tarn.8 | sed -n 's/^tarn //p' > "$work/heads"
# A line of the page begins with it.
awk 'NR == FNR { heads[++n] = $0 " "; next }
{
	for (i = 1; i <= n; i++)
		if (index(heads[i], $0 " ") == 1)
			next
	if ($0 != "help")
		print
}' "$work/heads" "$work/commands" > "$work/lacking"
: > "$work/none"
within 'docs/tarn.8 has nothing of these commands' lacking none

# What anybody tells people to type: 'tarn VERB NOUN'.  Strings that are broken
# over lines are joined first.
{
	cat README.md HACKING.md docs/*.md
	for f in docs/*.8; do page "$f"; done
	cat {pool,volume,snapshot,server}/*.[ch] tools/tarn/*.[ch] |
		tr '\n\t' '  ' | sed 's/" *"//g'
} | grep -oE "(^ *|['\`])tarn [a-z]+( [a-z]+)?" |
	sed "s/^['\` ]*tarn //" | sorted > "$work/told"
# Of nouns that take a verb: "tarn send file" is none.
awk 'NR == FNR { command[$0]; if (NF > 1) noun[$1]; next }
NF > 1 && $1 in noun && !($0 in command) { print "tarn", $0 }' \
	"$work/commands" "$work/told" > "$work/wrong"
within 'there is no such command, but it is told' wrong none

some 40 commands told

# --- options -------------------------------------------------------------------

# options PROGRAM [OTHER…]: those on standard input are those of its page, which
# may name OTHER ones, too.
options() {
	local program=$1
	shift

	sorted > "$work/options"
	some 2 options
	page "docs/$program.8" | grep -oE '(^|[^a-z-])--[a-z][a-z-]*' |
		grep -oE -- '--[a-z-]*[a-z]' | sorted > "$work/options.doc"
	within "docs/$program.8 lacks options" options options.doc
	printf '%s\n' "$@" | cat - "$work/options" | sorted > "$work/may"
	within "docs/$program.8 has options that $program does not" \
		options.doc may
}
{
	sed -n '/^} options\[\] = {/,/^};/p' tools/tarn/args.c
	grep -E 'strcmp\(name, "--' tools/tarn/args.c
} | grep -oE '"--[a-z-]+"' | tr -d '"' | grep -vx -- --follow |
	options tarn --help --version --json --trash-hours --keep \
		--rebuild-delay
{
	grep -oE '^	\{ "[a-z-]+", OPT_' server/config.c | cut -d'"' -f2
	grep -oE '\{ "[a-z-]+", [01], NULL' server/config.c | cut -d'"' -f2
} | sed 's/^/--/' | options tarnd
for p in diskd:server/diskd_main.c check:tools/check/check_main.c \
	dump:tools/dump/dump_main.c; do
	grep -oE '\{ "[a-z-]+", (no|required)_argument' "${p#*:}" |
		cut -d'"' -f2 | sed 's/^/--/' | options "tarn-${p%%:*}" --list
done

# --- events and alarms -----------------------------------------------------------

ids='"(pool|disk|volume|scrub|rebuild|rebalance|trash|schedule|alarm|events)\.[a-z_0-9]+"'
# section HEADING: names in the first column of its table.
section() {
	awk -v head="## $1" '
	/^## / { on = index($0, head) == 1 }
	on && /^\| `/ { sub(/^\| /, ""); sub(/ \|.*/, ""); print }' \
		docs/operations.md | grep -oE '[a-z]+\.[a-z_0-9]+' | sorted
}
grep -ohE "$ids" server/alarm.c | tr -d '"' | sorted |
	comm -23 - "$work/method" > "$work/alarms"
section 'What is wrong now' > "$work/alarms.doc"
same 'alarms in docs/operations.md' alarms alarms.doc
sed -n '/^static const char \*const known/,/^};/p' server/alarm.c |
	grep -oE "$ids" | tr -d '"' | sorted > "$work/known"
same 'alarms, and those that can be muted (known[])' alarms known
ls server/*.c volume/*.c | grep -v server/alarm.c | xargs grep -ohE "$ids" |
	tr -d '"' | sorted | comm -23 - "$work/method" > "$work/events"
section 'What happened' | comm -23 - "$work/method" > "$work/events.doc"
same 'events in docs/operations.md' events events.doc

some 15 alarms events

# --- files -----------------------------------------------------------------------

folders='(base|io|pool|volume|snapshot|server|tools/[a-z]+|tests/[a-z]+|docs)'
grep -rnoE "(^|[^a-zA-Z0-9_/.-])$folders/[a-z_0-9-]+\.(c|h|sh|md|8)\b" \
	--include='*.[ch]' --include='*.md' --include='*.sh' \
	README.md HACKING.md Makefile docs base io pool volume snapshot server \
	tools tests |
	while IFS=: read -r file line name; do
		name=${name#[^a-z]}
		[ -e "$name" ] || echo "$file:$line: $name"
	done > "$work/files"
within 'files that are named and do not exist' files none
# The tables of files: `control_*.c` stands for all of them.
awk '/^\| `[a-z_]+\.c`/' docs/architecture.md | grep -oE '`[a-z_*]+\.c`' |
	tr -d '`' | while read -r name; do
		for f in {pool,server,volume}/$name; do
			[ -e "$f" ] && echo "$f"
		done > "$work/found"
		cat "$work/found"
		[ -s "$work/found" ] || echo "nowhere: $name"
	done | grep -v ^volume/ | sorted > "$work/listed"
ls {pool,server}/*.c | grep -v '^pool/pool\.c$' | sorted > "$work/sources"
same 'files of pool/ and server/ in docs/architecture.md' sources listed
some 60 sources

[ ! -e "$work/bad" ] || { echo "check-names: see above" >&2; exit 1; }
