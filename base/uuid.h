/* base/uuid.h - 128-bit identities and their text form. */
#ifndef TARN_BASE_UUID_H
#define TARN_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define UUID_TEXT_BYTES 37 /* 36 characters and a NUL */

struct uuid {
	uint8_t b[16];
};

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

static inline bool uuid_is_zero(const struct uuid *u)
{
	static const struct uuid zero;

	return uuid_equal(u, &zero);
}

/* ret_text: at least UUID_TEXT_BYTES; returns it. */
static inline char *uuid_text(const struct uuid *u, char *ret_text)
{
	const uint8_t *b = u->b;

	snprintf(ret_text, UUID_TEXT_BYTES,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9],
		 b[10], b[11], b[12], b[13], b[14], b[15]);
	return ret_text;
}

/* The text form, in lower case, of exactly 36 characters. */
static inline bool uuid_parse(const char *text, struct uuid *ret_uuid)
{
	static const char digits[] = "0123456789abcdef";
	struct uuid u;
	const char *p = text;

	for (unsigned i = 0; i < sizeof(u.b); i++) {
		unsigned v = 0;

		if ((i == 4 || i == 6 || i == 8 || i == 10) && *p++ != '-')
			return false;
		for (int k = 0; k < 2; k++, p++) {
			const char *d = *p != '\0' ? strchr(digits, *p) : NULL;

			if (d == NULL)
				return false;
			v = v << 4 | (unsigned)(d - digits);
		}
		u.b[i] = (uint8_t)v;
	}
	if (*p != '\0')
		return false;
	*ret_uuid = u;
	return true;
}

#endif
