/* server/schedule_plan.c - what a schedule says: see schedule.h. */
#include <stdio.h>

#include "base/util.h"
#include "server/schedule.h"

unsigned schedule_due(const struct vol_schedule *s, uint64_t seen_s,
		      uint64_t now_s)
{
	unsigned kinds = 0;

	for (enum period p = 0; p < PERIODS; p++)
		if (s->keep[p] > 0 &&
		    period_due(p, s->last_min * 60ull, seen_s, now_s))
			kinds |= 1u << p;
	return kinds;
}

uint64_t schedule_next(const struct vol_schedule *s, uint64_t now_s)
{
	uint64_t next_s = UINT64_MAX;

	for (enum period p = 0; p < PERIODS; p++)
		if (s->keep[p] > 0)
			next_s = min_u64(next_s, period_end(p, now_s));
	return next_s;
}

size_t schedule_beyond(const struct vol_schedule *s, const uint8_t *kinds,
		       size_t n, bool *go)
{
	size_t newer[PERIODS] = { 0 }, beyond = 0;

	for (size_t i = n; i-- > 0;) {
		uint8_t kind = kinds[i];

		/* A kind that is not kept has no snapshots. */
		go[i] = kind < PERIODS && s->keep[kind] > 0 &&
			newer[kind]++ >= s->keep[kind];
		beyond += go[i];
	}
	return beyond;
}

const char *schedule_name(enum period kind, uint64_t now_s, unsigned attempt,
			  char *ret_name)
{
	struct civil c = civil_of(now_s);
	int len = snprintf(ret_name, SCHEDULE_NAME_BYTES,
			   "%s-%04u-%02u-%02u-%02u%02u", period_word(kind),
			   c.year, c.month, c.day, c.hour, c.minute);

	if (attempt > 0)
		snprintf(ret_name + len, SCHEDULE_NAME_BYTES - (size_t)len,
			 "-%u", attempt + 1);
	return ret_name;
}
