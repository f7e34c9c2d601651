/* Sizes as people type and read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>

#include "base/prng.h"
#include "base/size.h"
#include "base/util.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t    bytes;
	} good[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "512", 512 },
		{ "4096b", 4096 },
		{ "1K", 1024 },
		{ "1k", 1024 },
		{ "1KiB", 1024 },
		{ "1kb", 1024 },
		{ "3M", 3 << 20 },
		{ "10G", 10ull << 30 },
		{ "10GiB", 10ull << 30 },
		{ "128T", 128ull << 40 },
		{ "2P", 2ull << 50 },
		{ "7E", 7ull << 60 },
		{ "1.5G", 3ull << 29 },
		{ "0.5K", 4096 },
		{ "1.0K", 1024 },
		{ "1.00000001T", (1ull << 40) + 12288 },
		{ "9223372036854775807", INT64_MAX },
		{ "007", 7 },
	};
	uint64_t bytes;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(size_parse(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void test_parse_bad(void **state)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "-1", "+1", "K", "1KK", "1Kib ", "1Q", "1.",
		".5G", "1.5", "1,5G", "0x10", "1e3", "banana", "1G1", "1.5.5G",
		"1.0000000001G", "\xc3\xa9", "1iB", "1Bb",
	};
	static const char *const huge[] = {
		"9223372036854775808", "8E", "18446744073709551616", "9000P",
		"99999999999999999999999999999999999999999999999999",
		"7.9999999E",
	};
	uint64_t bytes = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(size_parse(bad[i], &bytes), -EINVAL);
	for (size_t i = 0; i + 1 < ARRAY_LEN(huge); i++)
		assert_int_equal(size_parse(huge[i], &bytes), -ERANGE);
	assert_int_equal(bytes, 77);
	assert_int_equal(size_parse(huge[ARRAY_LEN(huge) - 1], &bytes), 0);
}

static void test_text(void **state)
{
	static const struct {
		uint64_t    bytes;
		const char *text;
	} cases[] = {
		{ 0, "0B" },
		{ 1023, "1023B" },
		{ 1024, "1.00K" },
		{ 1536, "1.50K" },
		{ 10239, "9.99K" },
		{ 10240, "10.0K" },
		{ 102400, "100K" },
		{ (1 << 20) - 1, "1023K" },
		{ 1ull << 30, "1.00G" },
		{ 15ull << 40, "15.0T" },
		{ UINT64_MAX, "15.9E" },
	};
	char text[SIZE_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(size_text(cases[i].bytes, text),
				    cases[i].text);
}

/* What is printed is never more than what there is, and never off by more
 * than a hundredth. */
static void test_text_rounds_down(void **state)
{
	struct prng p;

	(void)state;
	prng_init(&p, 1);
	for (int i = 0; i < 100000; i++) {
		uint64_t bytes = prng_u64(&p) >> (prng_below(&p, 60) + 2);
		uint64_t back = 0;
		char     text[SIZE_TEXT_BYTES];

		size_text(bytes, text);
		assert_int_equal(size_parse(text, &back), 0);
		assert_true(back <= bytes + 4096);
		assert_true(back >= bytes - bytes / 99);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_bad),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_rounds_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
