/* Times as they are typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/util.h"
#include "tools/tarn/when.c"

static void test_spans(void **state)
{
	static const struct {
		const char *text;
		uint64_t    s;
	} good[] = { { "0", 0 },	{ "90", 90 },	  { "30s", 30 },
		     { "30m", 1800 },	{ "4h", 14400 },  { "7d", 604800 },
		     { "2w", 1209600 }, { "0h", 0 } };
	static const char *const bad[] = { "",	 "h",	"4 h", "-1h", "4x",
					   "1.5h", "4hh", "9999999999" };
	uint64_t s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(span_parse(good[i].text, &s), 0);
		assert_int_equal(s, good[i].s);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(span_parse(bad[i], &s), -1);
}

static void test_when(void **state)
{
	static const struct {
		const char *text;
		uint64_t    s;
	} good[] = { { "1h", 1000000 - 3600 },
		     { "9w", 0 },
		     { "1970-01-02", 86400 },
		     { "2026-01-31", 1769817600 },
		     { "2026-01-31 18:00", 1769882400 },
		     { "2026-01-31 18:00:05", 1769882405 },
		     { "2026-01-31T18:00:05Z", 1769882405 } };
	static const char *const bad[] = { "", "never", "2026-13-01",
					   "2026-01-31 25:00", "1960-01-01",
					   "2026-01-31 18:00 CET" };
	uint64_t s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(when_parse(good[i].text, 1000000, &s), 0);
		assert_int_equal(s, good[i].s);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(when_parse(bad[i], 1000000, &s), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_when),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
