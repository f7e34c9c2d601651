#!/bin/bash
# The style that a program can check: clang-format (modulo the alignment of
# columns and where a long statement is broken), 80 columns, white space at
# ends of lines, size of files, clang-tidy (size of functions among it).
#
#	check-style.sh 'PKG-CONFIG CFLAGS' [FILE…]
set -u
cd "$(dirname "$0")/../.." || exit 1
cflags=${1-}
[ $# -gt 0 ] && shift
if [ $# -gt 0 ]; then
	files=$(printf '%s\n' "$@")
else
	files=$(find base io pool volume snapshot server tools tests \
		-name '*.[ch]' 2> /dev/null | sort)
fi
export cflags
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0

# One statement a line, single blanks inside: what is left to compare.
flatten() {
	awk '
	function out(s) { print s }
	# Is a parenthesis open?
	function open(s) {
		gsub(/\\./, "", s)
		gsub(/"[^"]*"/, "", s)
		gsub(/\047.\047/, "", s)
		return gsub(/\(/, "", s) > gsub(/\)/, "", s)
	}
	{
		gsub(/\t/, "        ")
		match($0, /^ */)
		lead = substr($0, 1, RLENGTH)
		text = substr($0, RLENGTH + 1)
		gsub(/ +/, " ", text)
		sub(/ $/, "", text)
	}
	comment || text ~ /^\/\*/ {	# comments are the writer'\''s
		comment = text !~ /\*\//
		next
	}
	{
		# A comment behind code is not looked at either.
		if (match(text, /\/\*/)) {
			rest = substr(text, RSTART)
			text = substr(text, 1, RSTART - 1)
			sub(/ $/, "", text)
			comment = rest !~ /\*\//
		}
	}
	text == "" { if (held == "") out(""); next }
	text ~ /^#/ && held == "" { macro = 1 }
	macro { macro = text ~ /\\$/; next }
	{
		if (held != "")
			held = held " " text
		else {
			held = text
			margin = lead
		}
		if (!open(held) && (text ~ /[;{}]$/ ||
		    text ~ /^(case .*|default|[a-z_]+):$/ ||
		    held ~ /^[A-Z_]+\(.*\)$/)) {
			gsub(/\( /, "(", held)
			gsub(/ \)/, ")", held)
			gsub(/\{ /, "{", held)
			gsub(/ \}/, "}", held)
			gsub(/\* /, "*", held)
			gsub(/ ->/, "->", held)
			gsub(/\) \./, ").", held)
			gsub(/\] \./, "].", held)
			gsub(/\*\) /, "*)", held)
			out(margin held)
			held = ""
		}
	}
	END { if (held != "") out(margin held) }' | cat -s
}

format=$(command -v clang-format-14 || command -v clang-format)
for f in $files; do
	awk -v f="$f" '
	/[ \t]$/ { print f ":" NR ": white space at the end"; bad = 1 }
	{
		s = $0
		while ((i = index(s, "\t")) > 0)
			s = substr(s, 1, i - 1) \
				sprintf("%*s", 8 - (i - 1) % 8, "") \
				substr(s, i + 1)
		# Bytes of UTF-8 beyond the first take no column.
		gsub(/[\200-\277]/, "", s)
		if (length(s) > 80) {
			print f ":" NR ": " length(s) " columns"
			bad = 1
		}
	}
	END {
		if (NR > 1000) {
			print f ": " NR " lines; split it"
			bad = 1
		}
		exit bad
	}' "$f" || bad=1
	[ -n "$format" ] || continue
	# Words of C++ would be laid out as such.
	sed -E 's/\<(clas|delet|expor|ne|privat|publi|templat|thi)[sectw]\>/\1Q/g' \
		"$f" > "$work/in.c"
	"$format" --style=file:.clang-format "$work/in.c" |
		flatten > "$work/want"
	flatten < "$work/in.c" > "$work/have"
	if ! diff -u --label "$f" --label "$f, by clang-format" \
		"$work/have" "$work/want" > "$work/diff"; then
		head -40 "$work/diff"
		bad=1
	fi
done
[ -n "$format" ] || echo "check-style: no clang-format-14: layout not checked"

tidy=${NO_TIDY:+}
[ -n "${NO_TIDY-}" ] || tidy=$(command -v clang-tidy-14 || command -v clang-tidy)
if [ -n "$tidy" ]; then
	export tidy
	# What was once found good, with all that it includes, stays so.
	good=${BUILD:-build}/tidy
	mkdir -p "$good"
	export good
	one() {
		local key

		key=$({ cat .clang-tidy; gcc -std=gnu11 -D_GNU_SOURCE -I. \
			$cflags -E "$1"; } 2> /dev/null | sha256sum)
		key=$good/${key%% *}
		[ -e "$key" ] && exit 0
		timeout 120 "$tidy" --quiet "$1" -- -std=gnu11 -D_GNU_SOURCE \
			-I. $cflags > "$2/tidy.$$" 2> "$2/err.$$" &&
			: > "$key" && exit 0
		grep -A 2 -E '(warning|error):' "$2/tidy.$$"
		grep -E 'error:' "$2/err.$$"
		exit 1
	}
	export -f one
	echo "$files" | grep '\.c$' |
		LC_ALL=C.UTF-8 xargs -r -P "$(nproc)" -I{} \
		bash -c 'one {} '"$work" || bad=1
else
	echo "check-style: no clang-tidy-14: functions not checked"
fi
[ $bad = 0 ] || { echo "check-style: see above" >&2; exit 1; }
