/* base/period.c - see period.h.
 *
 * Days and dates are converted by counting days in eras of 400 years that
 * begin on 1 March, so that the leap day is the last one of a year.
 */
#include <assert.h>
#include <string.h>

#include "base/period.h"
#include "base/util.h"

#define MINUTE_S    60u
#define HOUR_S      3600u
#define DAY_S       86400u
#define ERA_DAYS    146097u
#define ERA_TO_1970 719468u /* days from 1 March of year 0 */
#define THURSDAY    3u      /* 1 January 1970, counted from Monday */

static uint64_t date_to_days(uint32_t year, unsigned month, unsigned day)
{
	uint64_t y = month <= 2 ? year - 1 : year;
	uint64_t of_era = y % 400;
	uint64_t of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;

	return y / 400 * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - ERA_TO_1970;
}

static struct civil days_to_date(uint64_t days)
{
	uint64_t d = days + ERA_TO_1970, era = d / ERA_DAYS;
	uint64_t of_era = d % ERA_DAYS;
	uint64_t y = (of_era - of_era / 1460 + of_era / 36524 -
		      of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	unsigned m = (unsigned)((5 * of_year + 2) / 153);
	struct civil c = {
		.month = m < 10 ? m + 3 : m - 9,
		.day = (unsigned)(of_year - (153 * m + 2) / 5 + 1),
	};

	c.year = (uint32_t)(y + era * 400 + (c.month <= 2));
	return c;
}

struct civil civil_of(uint64_t t_s)
{
	uint64_t t = min_u64(t_s, PERIOD_MAX_S);
	struct civil c = days_to_date(t / DAY_S);

	c.hour = (unsigned)(t % DAY_S / HOUR_S);
	c.minute = (unsigned)(t % HOUR_S / MINUTE_S);
	c.second = (unsigned)(t % MINUTE_S);
	return c;
}

uint64_t civil_to_s(uint32_t year, unsigned month, unsigned day)
{
	assert(year >= 1970 && month >= 1 && month <= 12);
	return date_to_days(year, month, day) * DAY_S;
}

static uint64_t round_down(uint64_t t, uint64_t unit)
{
	return t - t % unit;
}

/* 1970 began in the middle of a week. */
static uint64_t week_begin(uint64_t t)
{
	uint64_t days = t / DAY_S + THURSDAY;

	days = round_down(days, 7);
	return days < THURSDAY ? 0 : (days - THURSDAY) * DAY_S;
}

uint64_t period_begin(enum period p, uint64_t t_s)
{
	uint64_t t = min_u64(t_s, PERIOD_MAX_S);
	struct civil c = civil_of(t);

	switch (p) {
	case PERIOD_QUARTER:
		return round_down(t, HOUR_S / 4);
	case PERIOD_HOUR:
		return round_down(t, HOUR_S);
	case PERIOD_DAY:
		return round_down(t, DAY_S);
	case PERIOD_WEEK:
		return week_begin(t);
	case PERIOD_MONTH:
		return civil_to_s(c.year, c.month, 1);
	case PERIOD_YEAR:
	case PERIODS:
		break;
	}
	assert(p == PERIOD_YEAR);
	return civil_to_s(c.year, 1, 1);
}

uint64_t period_end(enum period p, uint64_t t_s)
{
	uint64_t begin = period_begin(p, t_s);
	struct civil c = civil_of(begin);

	switch (p) {
	case PERIOD_QUARTER:
		return begin + HOUR_S / 4;
	case PERIOD_HOUR:
		return begin + HOUR_S;
	case PERIOD_DAY:
		return begin + DAY_S;
	case PERIOD_WEEK:
		return begin == 0 ? (7 - THURSDAY) * DAY_S : begin + 7 * DAY_S;
	case PERIOD_MONTH:
		return c.month == 12 ? civil_to_s(c.year + 1, 1, 1) :
				       civil_to_s(c.year, c.month + 1, 1);
	case PERIOD_YEAR:
	case PERIODS:
		break;
	}
	return civil_to_s(c.year + 1, 1, 1);
}

bool period_due(enum period p, uint64_t last_s, uint64_t seen_s,
		uint64_t now_s)
{
	uint64_t begin = period_begin(p, now_s);
	uint64_t done = period_begin(p, last_s);

	if (done <= begin)
		return done < begin;
	if (done == period_end(p, now_s))
		return false;
	return period_begin(p, seen_s) < begin;
}

static const char *const words[PERIODS] = {
	[PERIOD_QUARTER] = "frequent", [PERIOD_HOUR] = "hourly",
	[PERIOD_DAY] = "daily",        [PERIOD_WEEK] = "weekly",
	[PERIOD_MONTH] = "monthly",    [PERIOD_YEAR] = "yearly",
};

const char *period_word(enum period p)
{
	assert(p < PERIODS);
	return words[p];
}

enum period period_of_word(const char *word)
{
	enum period p = PERIOD_QUARTER;

	while (p < PERIODS && strcmp(words[p], word) != 0)
		p++;
	return p;
}
