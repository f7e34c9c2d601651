/* tools/tarn/when.c - times and spans of time as people type them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "tools/tarn/cli.h"

int span_parse(const char *text, uint64_t *ret_s)
{
	static const struct {
		const char *suffix;
		uint64_t    s;
	} units[] = { { "s", 1 },     { "m", 60 },     { "h", 3600 },
		      { "d", 86400 }, { "w", 604800 }, { "", 1 } };
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 9)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text + digits, units[i].suffix) != 0)
			continue;
		*ret_s = strtoull(text, NULL, 10) * units[i].s;
		return 0;
	}
	return -1;
}

int when_parse(const char *text, uint64_t now_s, uint64_t *ret_s)
{
	static const char *const formats[] = {
		"%Y-%m-%d",	     "%Y-%m-%d %H:%M",	"%Y-%m-%d %H:%M:%S",
		"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%SZ", "%Y-%m-%dT%H:%M:%SZ",
	};
	uint64_t span_s;

	if (span_parse(text, &span_s) == 0) {
		*ret_s = now_s - min_u64(span_s, now_s);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		struct tm tm;
		const char *end;

		memset(&tm, 0, sizeof(tm));
		end = strptime(text, formats[i], &tm);
		if (end == NULL || *end != '\0' || timegm(&tm) < 0)
			continue;
		*ret_s = (uint64_t)timegm(&tm);
		return 0;
	}
	return -1;
}
