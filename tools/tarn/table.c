/* tools/tarn/table.c - columns, as wide as what is in them. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "tools/tarn/cli.h"

size_t text_width(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

void table_init(struct table *t, const char *const *heads, unsigned ncolumns)
{
	memset(t, 0, sizeof(*t));
	t->heads = heads;
	t->ncolumns = ncolumns;
}

void table_row(struct table *t, const char *const *cells)
{
	char clean[4096];

	if (t->nrows == t->cap) {
		size_t cap = t->cap == 0 ? 64 : 2 * t->cap;
		char **p = realloc(t->cells, cap * t->ncolumns * sizeof(p[0]));

		if (p == NULL)
			abort();
		t->cells = p;
		t->cap = cap;
	}
	for (unsigned c = 0; c < t->ncolumns; c++) {
		char *copy;

		text_escape(cells[c], clean, sizeof(clean));
		copy = strdup(clean);
		if (copy == NULL)
			abort();
		t->cells[t->nrows * t->ncolumns + c] = copy;
	}
	t->nrows++;
}

static const char *title(const struct table *t, unsigned c)
{
	return t->heads[c][0] == '-' ? t->heads[c] + 1 : t->heads[c];
}

static void pad(size_t n)
{
	while (n-- > 0)
		putchar(' ');
}

static void print_line(const struct table *t, const char *const *cells,
		       const size_t *widths, const char *indent)
{
	unsigned last = t->ncolumns - 1;

	assert(t->ncolumns > 0 && t->ncolumns <= TABLE_COLUMNS_MAX);
	/* No blanks at the end of a line. */
	for (; last > 0; last--)
		if (strlen(cells[last]) > 0)
			break;
	fputs(indent, stdout);
	for (unsigned c = 0; c <= last; c++) {
		size_t space = widths[c] - text_width(cells[c]);
		bool   right = t->heads[c][0] == '-';

		if (c > 0)
			pad(2);
		if (right)
			pad(space);
		fputs(cells[c], stdout);
		if (!right && c < last)
			pad(space);
	}
	putchar('\n');
}

void table_print(const struct table *t, bool bare, const char *indent)
{
	size_t      widths[TABLE_COLUMNS_MAX] = { 0 };
	const char *heads[TABLE_COLUMNS_MAX];

	for (unsigned c = 0; c < t->ncolumns; c++) {
		heads[c] = title(t, c);
		widths[c] = strlen(heads[c]);
	}
	for (size_t i = 0; i < t->nrows * t->ncolumns; i++)
		widths[i % t->ncolumns] =
			max_u64(widths[i % t->ncolumns],
				text_width(t->cells[i]));
	if (!bare)
		print_line(t, heads, widths, indent);
	for (size_t r = 0; r < t->nrows; r++) {
		char **cells = &t->cells[r * t->ncolumns];

		if (!bare) {
			print_line(t, (const char *const *)cells, widths,
				   indent);
			continue;
		}
		for (unsigned c = 0; c < t->ncolumns; c++)
			printf("%s%s", c > 0 ? "\t" : "", cells[c]);
		putchar('\n');
	}
}

void table_fini(struct table *t)
{
	for (size_t i = 0; i < t->nrows * t->ncolumns; i++)
		free(t->cells[i]);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void table_end(struct table *t, bool bare, const char *none)
{
	if (t->nrows > 0 || bare)
		table_print(t, bare, "");
	else
		fprintf(stderr, "tarn: %s\n", none);
	table_fini(t);
}
