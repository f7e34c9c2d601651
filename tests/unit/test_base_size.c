/* Sizes as people write them: exact, or refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>

#include "base/size.h"

static void test_good(void **state)
{
	static const struct {
		const char *text;
		uint64_t    bytes;
	} good[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "4096", 4096 },
		{ "512B", 512 },
		{ "1K", 1024 },
		{ "1k", 1024 },
		{ "1KiB", 1024 },
		{ "1kb", 1024 },
		{ "3M", 3ull << 20 },
		{ "10G", 10ull << 30 },
		{ "10gib", 10ull << 30 },
		{ "1.5T", 3ull << 39 },
		{ "7P", 7ull << 50 },
		{ "7E", 7ull << 60 },
		{ "1.0K", 1024 },
		{ "1.000K", 1024 },
		/* A fraction goes up to a whole block. */
		{ "1.001K", 4096 },
		{ "0.1G", 107376640 },
		{ "9223372036854775807", INT64_MAX },
		{ "007K", 7168 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t bytes = 1;

		assert_int_equal(size_parse(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		int         r;
	} bad[] = {
		{ "", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "1 K", -EINVAL },
		{ "-1", -EINVAL },
		{ "+1", -EINVAL },
		{ "K", -EINVAL },
		{ ".5K", -EINVAL },
		{ "1.K", -EINVAL },
		{ "1..5K", -EINVAL },
		{ "1,5K", -EINVAL },
		{ "1.5", -EINVAL },
		{ "1.5B", -EINVAL },
		{ "1.0000000001G", -EINVAL },
		{ "0x10", -EINVAL },
		{ "1e3", -EINVAL },
		{ "1KK", -EINVAL },
		{ "1KBi", -EINVAL },
		{ "banana", -EINVAL },
		{ "8E", -ERANGE },
		{ "9223372036854775808", -ERANGE },
		{ "18446744073709551616", -ERANGE },
		{ "99999999999999999999999999999999999999999999", -ERANGE },
		{ "9223372036854775807E", -ERANGE },
		{ "7.9999999999E", -EINVAL },
		{ "7.999999999E", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t bytes = 77;

		assert_int_equal(size_parse(bad[i].text, &bytes), bad[i].r);
		if (bad[i].r < 0)
			assert_int_equal(bytes, 77);
	}
}

static void test_text(void **state)
{
	static const struct {
		uint64_t    bytes;
		const char *text;
	} want[] = {
		{ 0, "0B" },
		{ 1, "1B" },
		{ 1023, "1023B" },
		{ 1024, "1.00K" },
		{ 1536, "1.50K" },
		{ 10 * 1024, "10.0K" },
		{ 100 * 1024, "100K" },
		{ 1023 * 1024, "1023K" },
		{ 1024 * 1024 - 1, "1023K" }, /* never rounded up */
		{ 1024 * 1024, "1.00M" },
		{ 16322871296ull, "15.2G" },
		{ 152ull << 40, "152T" },
		{ UINT64_MAX, "15.9E" },
	};
	char text[SIZE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_string_equal(size_text(want[i].bytes, text),
				    want[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
