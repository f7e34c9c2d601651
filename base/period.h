/* base/period.h - periods of the calendar: which one an instant is in, when the
 * next one begins.  Pure.
 *
 * All is UTC, seconds since 1970 without leap seconds; days, months and years
 * are the Gregorian calendar's, weeks begin on Monday.  Each period begins with
 * a whole minute.
 */
#ifndef TARN_BASE_PERIOD_H
#define TARN_BASE_PERIOD_H

#include <stdbool.h>
#include <stdint.h>

/* The order is that of catalog slots and records. */
enum period {
	PERIOD_QUARTER, /* of an hour */
	PERIOD_HOUR,
	PERIOD_DAY,
	PERIOD_WEEK,
	PERIOD_MONTH,
	PERIOD_YEAR,
	PERIODS
};

/* What is looked at: the year 9999 ends before it.  Later instants are taken
 * for this one. */
#define PERIOD_MAX_S 253402300800ull

struct civil {
	uint32_t year;
	unsigned month, day; /* from 1 */
	unsigned hour, minute, second;
};
struct civil civil_of(uint64_t t_s);
uint64_t civil_to_s(uint32_t year, unsigned month, unsigned day);

/* The first second of the period that t_s is in, and of the next one. */
uint64_t period_begin(enum period p, uint64_t t_s);
uint64_t period_end(enum period p, uint64_t t_s);

/* Something is done once in each period, the last time at last_s: is it due at
 * now_s?
 *
 * It is if another period began since.  A last_s in the next period is a clock
 * that was set back a bit: that period is done.  One beyond that is a clock
 * that was wrong, then or now: it is due when a period begins that was seen to
 * begin; seen_s is when this was asked before, by this clock. */
bool period_due(enum period p, uint64_t last_s, uint64_t seen_s,
		uint64_t now_s);

/* "frequent", "hourly", "daily"…: what is done once in each; and back, PERIODS
 * if it is none of these. */
const char *period_word(enum period p);
enum period period_of_word(const char *word);

#endif
