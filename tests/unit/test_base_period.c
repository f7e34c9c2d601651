/* Periods of the calendar: against gmtime(), at their ends, and clocks that
 * jump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "base/period.h"
#include "base/prng.h"
#include "base/util.h"

static uint64_t at(uint32_t year, unsigned month, unsigned day, unsigned hour,
		   unsigned minute)
{
	return civil_to_s(year, month, day) + hour * 3600 + minute * 60;
}

/* A date is what the C library says, over all years that there are. */
static void test_civil(void **state)
{
	struct prng rng;

	(void)state;
	prng_init(&rng, 7);
	for (int i = 0; i < 200000; i++) {
		uint64_t t = i == 0 ? 0 : prng_below(&rng, PERIOD_MAX_S);
		struct civil c = civil_of(t);
		time_t tt = (time_t)t;
		struct tm tm;

		gmtime_r(&tt, &tm);
		assert_int_equal(c.year, tm.tm_year + 1900);
		assert_int_equal(c.month, tm.tm_mon + 1);
		assert_int_equal(c.day, tm.tm_mday);
		assert_int_equal(c.hour, tm.tm_hour);
		assert_int_equal(c.minute, tm.tm_min);
		assert_int_equal(c.second, tm.tm_sec);
		assert_int_equal(at(c.year, c.month, c.day, c.hour, c.minute) +
				 c.second, t);
	}
	/* What cannot be is cut, not undefined. */
	assert_int_equal(civil_of(UINT64_MAX).year, 10000);
}

/* Begin and end, as text: "2024-02-29 00:00". */
static const char *text(uint64_t t, char *buf)
{
	struct civil c = civil_of(t);

	assert_int_equal(c.second, 0);
	sprintf(buf, "%04u-%02u-%02u %02u:%02u", c.year, c.month, c.day,
		c.hour, c.minute);
	return buf;
}

static void test_bounds(void **state)
{
	static const struct {
		enum period p;
		unsigned    t[5];
		const char *begin, *end;
	} rows[] = {
		{ PERIOD_QUARTER, { 2026, 11, 23, 19, 14 },
		  "2026-11-23 19:00", "2026-11-23 19:15" },
		{ PERIOD_QUARTER, { 2026, 12, 31, 23, 45 },
		  "2026-12-31 23:45", "2027-01-01 00:00" },
		{ PERIOD_HOUR, { 2026, 11, 23, 19, 0 },
		  "2026-11-23 19:00", "2026-11-23 20:00" },
		{ PERIOD_HOUR, { 2028, 2, 28, 23, 59 },
		  "2028-02-28 23:00", "2028-02-29 00:00" },
		{ PERIOD_DAY, { 2028, 2, 29, 12, 0 },
		  "2028-02-29 00:00", "2028-03-01 00:00" },
		{ PERIOD_DAY, { 2027, 2, 28, 23, 59 },
		  "2027-02-28 00:00", "2027-03-01 00:00" },
		{ PERIOD_DAY, { 2026, 12, 31, 1, 0 },
		  "2026-12-31 00:00", "2027-01-01 00:00" },
		/* 23 November 2026 is a Monday. */
		{ PERIOD_WEEK, { 2026, 11, 23, 0, 0 },
		  "2026-11-23 00:00", "2026-11-30 00:00" },
		{ PERIOD_WEEK, { 2026, 11, 22, 23, 59 },
		  "2026-11-16 00:00", "2026-11-23 00:00" },
		{ PERIOD_WEEK, { 2027, 1, 1, 0, 0 },
		  "2026-12-28 00:00", "2027-01-04 00:00" },
		{ PERIOD_WEEK, { 2028, 3, 1, 0, 0 },
		  "2028-02-28 00:00", "2028-03-06 00:00" },
		{ PERIOD_WEEK, { 1970, 1, 1, 0, 0 },
		  "1970-01-01 00:00", "1970-01-05 00:00" },
		{ PERIOD_WEEK, { 1970, 1, 5, 0, 0 },
		  "1970-01-05 00:00", "1970-01-12 00:00" },
		{ PERIOD_MONTH, { 2026, 12, 31, 23, 59 },
		  "2026-12-01 00:00", "2027-01-01 00:00" },
		{ PERIOD_MONTH, { 2028, 2, 29, 23, 59 },
		  "2028-02-01 00:00", "2028-03-01 00:00" },
		{ PERIOD_MONTH, { 2100, 2, 28, 0, 0 },
		  "2100-02-01 00:00", "2100-03-01 00:00" },
		{ PERIOD_YEAR, { 2028, 2, 29, 0, 0 },
		  "2028-01-01 00:00", "2029-01-01 00:00" },
		{ PERIOD_YEAR, { 2027, 12, 31, 23, 59 },
		  "2027-01-01 00:00", "2028-01-01 00:00" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t t = at(rows[i].t[0], rows[i].t[1], rows[i].t[2],
				rows[i].t[3], rows[i].t[4]);
		char begin[32], end[32];

		assert_string_equal(text(period_begin(rows[i].p, t), begin),
				    rows[i].begin);
		assert_string_equal(text(period_end(rows[i].p, t), end),
				    rows[i].end);
	}
}

/* Periods follow one another without a gap, and a whole minute begins each. */
static void test_chain(void **state)
{
	struct prng rng;

	(void)state;
	prng_init(&rng, 8);
	for (int i = 0; i < 100000; i++) {
		enum period p = (enum period)prng_below(&rng, PERIODS);
		uint64_t t = prng_below(&rng, PERIOD_MAX_S);
		uint64_t b = period_begin(p, t), e = period_end(p, t);

		assert_true(b <= t && t < e && b % 60 == 0);
		assert_int_equal(period_begin(p, e), e);
		assert_int_equal(period_begin(p, e - 1), b);
		assert_int_equal(period_begin(p, b), b);
	}
}

/* last, seen and now: minutes of 23 November 2026. */
static void test_due(void **state)
{
	static const struct {
		enum period p;
		int         last, seen, now;
		bool        due;
	} rows[] = {
		{ PERIOD_HOUR, 600, 630, 630, false },
		{ PERIOD_HOUR, 600, 600, 600, false },
		{ PERIOD_HOUR, 600, 659, 659, false },
		{ PERIOD_HOUR, 600, 659, 660, true },
		{ PERIOD_HOUR, 659, 659, 660, true },
		{ PERIOD_HOUR, 0, 1400, 1400, true },  /* down for a day */
		{ PERIOD_HOUR, 660, 660, 659, false }, /* back a minute */
		{ PERIOD_HOUR, 660, 659, 660, false }, /* … and on */
		{ PERIOD_HOUR, 660, 660, 720, true },
		{ PERIOD_HOUR, 719, 600, 600, false }, /* back two hours */
		{ PERIOD_HOUR, 720, 720, 600, false }, /* … or more: wait … */
		{ PERIOD_HOUR, 720, 600, 610, false },
		{ PERIOD_HOUR, 720, 610, 660, false }, /* (now one ahead) */
		{ PERIOD_HOUR, 840, 610, 660, true },  /* … for the next one */
		{ PERIOD_HOUR, 9999, 659, 660, true },
		{ PERIOD_HOUR, 9999, 660, 661, false },
		{ PERIOD_QUARTER, 600, 614, 615, true },
		{ PERIOD_DAY, -1, -1, 0, true },
		{ PERIOD_DAY, 0, 1439, 1439, false },
		{ PERIOD_DAY, 1440, 1439, 1439, false },
		{ PERIOD_WEEK, -1, -1, 0, true },      /* it is a Monday */
		{ PERIOD_WEEK, 0, 0, 7 * 1440 - 1, false },
		{ PERIOD_WEEK, 0, 0, 7 * 1440, true },
	};
	uint64_t day = at(2026, 11, 23, 0, 0);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t last = day + (uint64_t)(rows[i].last * 60);
		uint64_t seen = day + (uint64_t)(rows[i].seen * 60);
		uint64_t now = day + (uint64_t)(rows[i].now * 60);

		if (period_due(rows[i].p, last, seen, now) != rows[i].due)
			fail_msg("row %zu", i);
	}
}

static void test_words(void **state)
{
	(void)state;
	for (enum period p = 0; p < PERIODS; p++)
		assert_int_equal(period_of_word(period_word(p)), p);
	assert_int_equal(period_of_word("hourly"), PERIOD_HOUR);
	assert_int_equal(period_of_word(""), PERIODS);
	assert_int_equal(period_of_word("Hourly"), PERIODS);
	assert_int_equal(period_of_word("hour"), PERIODS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_civil), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_chain), cmocka_unit_test(test_due),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
