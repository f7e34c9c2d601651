/* base/size.c - reading and writing sizes.
 *
 * Exact integer arithmetic all the way: a size that is off by one block
 * because of a rounded double would be somebody's lost partition table.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/util.h"

#define SIZE_LIMIT      ((unsigned __int128)1 << 63)
#define FRACTION_DIGITS 9

static const char units[] = "KMGTPE";

/* What follows the number: a shift, or -EINVAL. */
static int unit_shift(const char *text)
{
	const char *u;

	if (text[0] == '\0' || strcasecmp(text, "b") == 0)
		return 0;
	u = strchr(units, toupper((unsigned char)text[0]));
	if (u == NULL)
		return -EINVAL;
	if (text[1] != '\0' && strcasecmp(text + 1, "b") != 0 &&
	    strcasecmp(text + 1, "ib") != 0)
		return -EINVAL;
	return 10 * (int)(u - units + 1);
}

int size_parse(const char *text, uint64_t *ret_bytes)
{
	unsigned __int128 whole = 0, part = 0, scale = 1, bytes;
	bool fraction = false;
	int shift;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	for (; isdigit((unsigned char)*text); text++) {
		whole = whole * 10 + (unsigned)(*text - '0');
		if (whole >= SIZE_LIMIT)
			return -ERANGE;
	}
	if (*text == '.') {
		text++;
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		for (int i = 0; isdigit((unsigned char)*text); text++, i++) {
			if (i >= FRACTION_DIGITS)
				return -EINVAL;
			part = part * 10 + (unsigned)(*text - '0');
			scale *= 10;
		}
		fraction = part != 0;
	}
	shift = unit_shift(text);
	if (shift < 0 || (fraction && shift == 0))
		return -EINVAL;
	bytes = (whole << shift) + ((part << shift) + scale - 1) / scale;
	if (fraction)
		bytes = (bytes + TARN_BLOCK - 1) & ~(unsigned __int128)0xfff;
	if (bytes >= SIZE_LIMIT)
		return -ERANGE;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

char *size_text(uint64_t bytes, char *ret_text)
{
	unsigned unit = 0;
	uint64_t hundredths;

	if (bytes < 1024) {
		snprintf(ret_text, SIZE_TEXT_BYTES, "%uB", (unsigned)bytes);
		return ret_text;
	}
	while (unit < 6 && (bytes >> (10 * (unit + 1))) != 0)
		unit++;
	assert(unit > 0);
	/* Rounded down, so that free space is never overstated. */
	hundredths = (uint64_t)(((unsigned __int128)bytes * 100) >>
				(10 * unit));
	if (hundredths < 1000)
		snprintf(ret_text, SIZE_TEXT_BYTES, "%u.%02u%c",
			 (unsigned)(hundredths / 100),
			 (unsigned)(hundredths % 100), units[unit - 1]);
	else if (hundredths < 10000)
		snprintf(ret_text, SIZE_TEXT_BYTES, "%u.%u%c",
			 (unsigned)(hundredths / 100),
			 (unsigned)(hundredths % 100 / 10), units[unit - 1]);
	else
		snprintf(ret_text, SIZE_TEXT_BYTES, "%u%c",
			 (unsigned)(hundredths / 100), units[unit - 1]);
	return ret_text;
}
