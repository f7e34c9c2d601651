/* Tables: aligned for people, tabs for scripts, and never a control character
 * of somebody else's on the terminal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tools/tarn/output.c"
#include "tools/tarn/table.c"

/* What fn prints on stdout. */
static void capture(const struct table *t, bool bare, const char *indent,
		    char *ret, size_t bytes)
{
	FILE *file = tmpfile(), *saved = stdout;
	size_t n;

	assert_non_null(file);
	stdout = file;
	table_print(t, bare, indent);
	fflush(file);
	stdout = saved;
	rewind(file);
	n = fread(ret, 1, bytes - 1, file);
	ret[n] = '\0';
	fclose(file);
}

static void test_print(void **state)
{
	static const char *const heads[] = { "NAME", "-SIZE", "STATE" };
	const char *rows[][3] = { { "a", "1", "ok" },
				  { "h\xc3\xa9llo", "12345678", "" } };
	struct table t;
	char text[1000];

	(void)state;
	table_init(&t, heads, 3);
	table_row(&t, rows[0]);
	table_row(&t, rows[1]);
	capture(&t, false, ">", text, sizeof(text));
	assert_string_equal(text, ">NAME       SIZE  STATE\n"
				  ">a             1  ok\n"
				  ">h\xc3\xa9llo  12345678\n");
	capture(&t, true, ">", text, sizeof(text));
	assert_string_equal(text, "a\t1\tok\nh\xc3\xa9llo\t12345678\t\n");
	table_fini(&t);
}

static void test_escape(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "tab\there\n", "tab\\x09here\\x0a" },
		{ "\x1b[31m", "\\x1b[31m" },
		{ "\xc2\x9b" "31m", "\\xc2\\x9b" "31m" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "\xff", "\\xff" },
		{ "\xe2\x82", "\\xe2\\x82" },
		{ "", "" },
	};
	char text[100], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		text_escape(cases[i].in, text, sizeof(text));
		assert_string_equal(text, cases[i].out);
	}
	text_escape("abcdefghijkl", small, sizeof(small));
	assert_true(strlen(small) < sizeof(small));
}

static void test_many_rows(void **state)
{
	static const char *const heads[] = { "N" };
	struct table t;

	(void)state;
	table_init(&t, heads, 1);
	for (int i = 0; i < 1000; i++) {
		char        text[16];
		const char *row[] = { text };

		snprintf(text, sizeof(text), "%d", i);
		table_row(&t, row);
	}
	assert_int_equal(t.nrows, 1000);
	assert_string_equal(t.cells[999], "999");
	table_fini(&t);
}

static void test_sizes(void **state)
{
	struct cli cli = { 0 };
	json_t    *o = json_pack("{s:I}", "n", (json_int_t)(3ll << 30));
	char       text[SIZE_TEXT_BYTES];

	(void)state;
	assert_string_equal(out_size(&cli, o, "n", text), "3.00G");
	cli.exact = true;
	assert_string_equal(out_size(&cli, o, "n", text), "3221225472");
	/* What is not there is nothing, not a crash. */
	assert_string_equal(out_size(&cli, o, "other", text), "0");
	assert_string_equal(js_string(o, "n"), "");
	assert_string_equal(js_string(NULL, "n"), "");
	assert_false(js_bool(o, "n"));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
