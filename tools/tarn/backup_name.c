/* tools/tarn/backup_name.c - how backups are called.
 *
 * Times are computed by hand: names must not depend on a time zone.
 */
#include "tools/tarn/backup_name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"

#define DAY_S     86400
#define ID_DIGITS (BACKUP_ID_BYTES - 1)

struct date {
	unsigned year, month, day, hour, minute, second;
};

static bool is_leap(unsigned y)
{
	return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

static unsigned month_days(unsigned year, unsigned month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30,
					31, 31, 30, 31, 30, 31 };

	return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

/* Days from 1970 to the first of January. */
static uint64_t year_days(unsigned year)
{
	uint64_t y = year - 1;

	return 365 * (y - 1969) + (y / 4 - 1969 / 4) -
	       (y / 100 - 1969 / 100) + (y / 400 - 1969 / 400);
}

static bool date_is_good(const struct date *d)
{
	return d->year >= 1970 && d->year <= 9999 && d->month >= 1 &&
	       d->month <= 12 && d->day >= 1 &&
	       d->day <= month_days(d->year, d->month) && d->hour < 24 &&
	       d->minute < 60 && d->second < 60;
}

static uint64_t date_to_s(const struct date *d)
{
	uint64_t days = year_days(d->year) + d->day - 1;

	for (unsigned m = 1; m < d->month; m++)
		days += month_days(d->year, m);
	return days * DAY_S + d->hour * 3600 + d->minute * 60 + d->second;
}

char *backup_when_text(uint64_t s, char *ret_when)
{
	uint64_t    days = s / DAY_S;
	struct date d = { .year = 1970, .month = 1 };

	while (d.year < 9999 && year_days(d.year + 1) <= days)
		d.year++;
	days -= year_days(d.year);
	while (d.month < 12 && days >= month_days(d.year, d.month))
		days -= month_days(d.year, d.month++);
	d.day = (unsigned)min_u64(days, 30) + 1;
	s %= DAY_S;
	snprintf(ret_when, BACKUP_WHEN_BYTES, "%04u%02u%02uT%02u%02u%02uZ",
		 d.year % 10000, d.month % 100, d.day % 100,
		 (unsigned)(s / 3600) % 100, (unsigned)(s / 60 % 60),
		 (unsigned)(s % 60));
	return ret_when;
}

/* n digits at *p; false: they are not there. */
static bool take_digits(const char **p, unsigned n, unsigned *ret)
{
	unsigned v = 0;

	for (; n > 0; n--, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		v = 10 * v + (unsigned)(**p - '0');
	}
	*ret = v;
	return true;
}

static bool take_char(const char **p, char c)
{
	if (**p != c)
		return false;
	(*p)++;
	return true;
}

bool backup_when_is(const char *text, uint64_t *ret_s)
{
	const char *p = text;
	struct date d;

	if (!take_digits(&p, 4, &d.year) || !take_digits(&p, 2, &d.month) ||
	    !take_digits(&p, 2, &d.day) || !take_char(&p, 'T') ||
	    !take_digits(&p, 2, &d.hour) || !take_digits(&p, 2, &d.minute) ||
	    !take_digits(&p, 2, &d.second) || !take_char(&p, 'Z') ||
	    *p != '\0' || !date_is_good(&d))
		return false;
	*ret_s = date_to_s(&d);
	return true;
}

int backup_when_parse(const char *text, uint64_t *ret_s)
{
	const char *p = text;
	struct date d = { .hour = 23, .minute = 59, .second = 59 };

	if (backup_when_is(text, ret_s))
		return 0;
	if (!take_digits(&p, 4, &d.year) || !take_char(&p, '-') ||
	    !take_digits(&p, 2, &d.month) || !take_char(&p, '-') ||
	    !take_digits(&p, 2, &d.day))
		return -EINVAL;
	if (take_char(&p, 'T') || take_char(&p, ' ')) {
		if (!take_digits(&p, 2, &d.hour) || !take_char(&p, ':') ||
		    !take_digits(&p, 2, &d.minute))
			return -EINVAL;
		if (take_char(&p, ':') && !take_digits(&p, 2, &d.second))
			return -EINVAL;
		take_char(&p, 'Z');
	}
	if (*p != '\0' || !date_is_good(&d))
		return -EINVAL;
	*ret_s = date_to_s(&d);
	return 0;
}

char *backup_file_name(const char *when, const char *suffix, char *ret_name)
{
	snprintf(ret_name, BACKUP_NAME_BYTES, "%s%s", when, suffix);
	return ret_name;
}

char *backup_snap_name(const char *id, const char *when, char *ret_name)
{
	snprintf(ret_name, BACKUP_NAME_BYTES, BACKUP_PREFIX "%s.%s", id, when);
	return ret_name;
}

bool backup_file_parse(const char *name, const char *suffix, char *ret_when)
{
	char     when[BACKUP_WHEN_BYTES];
	uint64_t s;

	if (strlen(name) != sizeof(when) - 1 + strlen(suffix) ||
	    strcmp(name + sizeof(when) - 1, suffix) != 0)
		return false;
	memcpy(when, name, sizeof(when) - 1);
	when[sizeof(when) - 1] = '\0';
	if (!backup_when_is(when, &s))
		return false;
	memcpy(ret_when, when, sizeof(when));
	return true;
}

bool backup_id_is(const char *text)
{
	return strlen(text) == ID_DIGITS &&
	       strspn(text, "0123456789abcdef") == ID_DIGITS;
}

bool backup_snap_parse(const char *name, char *ret_id, char *ret_when)
{
	const size_t prefix = sizeof(BACKUP_PREFIX) - 1;
	char     id[BACKUP_ID_BYTES];
	uint64_t s;

	if (strncmp(name, BACKUP_PREFIX, prefix) != 0 ||
	    strlen(name) != prefix + ID_DIGITS + BACKUP_WHEN_BYTES ||
	    name[prefix + ID_DIGITS] != '.')
		return false;
	memcpy(id, name + prefix, ID_DIGITS);
	id[ID_DIGITS] = '\0';
	name += prefix + ID_DIGITS + 1;
	if (!backup_id_is(id) || !backup_when_is(name, &s))
		return false;
	memcpy(ret_id, id, sizeof(id));
	memcpy(ret_when, name, BACKUP_WHEN_BYTES);
	return true;
}

size_t backup_split(const char *text, const char **ret_when)
{
	const char *at = strrchr(text, '@');

	*ret_when = at != NULL ? at + 1 : NULL;
	return at != NULL ? (size_t)(at - text) : strlen(text);
}
