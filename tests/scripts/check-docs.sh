#!/bin/bash
# The tables of the disk formats are true: every OFFSET SIZE FIELD row of a
# *_format.h comment is compared with offsetof() and sizeof() by the compiler,
# every field of a struct is in its table, and docs/disk-format.md has the
# same rows (docs/stream-format.md those of a stream).  Then: every relative
# link of the documents leads somewhere.
#
#	check-docs.sh [BUILD]
set -u
cd "$(dirname "$0")/../.." || exit 1
cc=${CC:-gcc}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0

# Rows of tables: "OFFSET SIZE FIELD", any margin.
rows='^[ \t*]*[0-9]+ +[0-9]+ +[a-z_][a-z_0-9]*( |$)'

for h in {base,pool,volume,snapshot}/*_format.h; do
	[ -f "$h" ] || continue
	awk -v rows="$rows" -v h="$h" '
	$0 ~ rows && !instruct {
		sub(/^[ \t*]+/, "")
		if ($1 <= last || ntab == 0)
			ntab++
		last = $1
		n = ++nrow[ntab]
		toff[ntab, n] = $1; tsize[ntab, n] = $2; tname[ntab, n] = $3
	}
	/^struct [a-z_0-9]+ \{/ {
		instruct = 1; depth = 0; nstruct++
		sname[nstruct] = $2
	}
	instruct {
		line = $0
		sub(/\/\*.*/, "", line)
		opened = gsub(/\{/, "{", line)
		closed = gsub(/\}/, "}", line)
		depth += opened - closed
		if (line ~ /\[\];/)
			flexible[nstruct] = 1
		if (line ~ /;[ \t]*$/ && depth == 1) {
			f = line
			sub(/;[ \t]*$/, "", f)
			sub(/\[[^;]*$/, "", f)
			sub(/^.*[ \t*}]/, "", f)
			field[nstruct, ++nfield[nstruct]] = f
		}
		if (depth == 0 && line ~ /\}/)
			instruct = 0
	}
	END {
		print "#include \"" h "\""
		for (s = 1; s <= nstruct; s++) {
			best = 0; which = 0
			for (t = 1; t <= ntab; t++) {
				if (t in taken)
					continue
				hit = 0
				for (r = 1; r <= nrow[t]; r++)
					for (f = 1; f <= nfield[s]; f++)
						hit += field[s, f] == \
							tname[t, r]
				if (hit > best) {
					best = hit; which = t
				}
			}
			if (2 * best < nfield[s] - 1) {
				if (nfield[s] > 2 && !(s in flexible)) {
					print "#error " h ": struct " \
						sname[s] " has no table"
				}
				continue
			}
			taken[which] = 1
			for (f = 1; f <= nfield[s]; f++) {
				name = field[s, f]
				found = name ~ /^zero/
				for (r = 1; r <= nrow[which]; r++) {
					if (tname[which, r] != name || name ~ /^zero/)
						continue
					found = 1
					x = "struct " sname[s]
					m = "((" x " *)0)->" name
					printf "static_assert(offsetof(%s, %s)" \
						" == %d && sizeof(%s) == %d," \
						" \"%s: table row: %s.%s\");\n",
						x, name, toff[which, r], m,
						tsize[which, r], h, sname[s],
						name
				}
				if (!found && name !~ /^(pad|kinds|reserved)/)
					print "#error " h ": " sname[s] "." \
						name " is not in the table"
			}
		}
	}' "$h" > "$work/t.c"
	$cc -std=gnu11 -D_GNU_SOURCE -I. -Wall -Werror -Wno-unused-function \
		-fsyntax-only "$work/t.c" 2> "$work/err" || {
		grep -oE 'static assertion failed: .*|error: .*' \
			"$work/err" | sort -u
		bad=1
	}
done

plain() {
	grep -hE "$rows" "$@" |
		awk '{ sub(/^[ \t*|]+/, ""); print $1, $2, $3 }' | sort -u
}
# same DOCUMENT HEADER…
same() {
	local doc=$1
	shift

	plain "$@" > "$work/code"
	plain "$doc" > "$work/docs"
	diff "$work/code" "$work/docs" > "$work/diff" && return
	echo "$doc (>) and $* (<) differ:"
	cat "$work/diff"
	bad=1
}
stream=snapshot/stream_format.h
same docs/stream-format.md $stream
# shellcheck disable=SC2046
same docs/disk-format.md \
	$(ls {base,pool,volume,snapshot}/*_format.h 2> /dev/null | grep -v "^$stream\$")

# Links in the documents.
for d in *.md docs/*.md; do
	[ -f "$d" ] || continue
	for l in $(grep -oE '\]\([^)# ]+' "$d" | sed 's/^](//'); do
		case $l in *://* | mailto:*) continue ;; esac
		[ -e "${d%/*.md}/$l" ] || [ -e "$(dirname "$d")/$l" ] || {
			echo "$d: the link $l leads nowhere"
			bad=1
		}
	done
done
[ $bad = 0 ] || { echo "check-docs: see above" >&2; exit 1; }
