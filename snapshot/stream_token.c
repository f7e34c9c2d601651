/* snapshot/stream_token.c - where a broken stream goes on, as a word:
 *
 *	tarn1:TARGET:BASE:OFFSET:SUM
 *
 * TARGET is the UUID of the snapshot; BASE that of the base with '@' (of a
 * snapshot) or '#' (checkpoint) before it, or "-"; OFFSET is in bytes, decimal;
 * SUM is the CRC32C of what is before its colon, eight hexadecimal digits.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "snapshot/stream.h"

#define TOKEN_PREFIX "tarn1:"

char *stream_token_text(const struct stream_token *t, char *ret_text)
{
	char target[UUID_TEXT_BYTES], base[UUID_TEXT_BYTES];
	bool none = t->base_kind == STREAM_BASE_NONE;
	int  n;

	n = snprintf(ret_text, STREAM_TOKEN_BYTES,
		     TOKEN_PREFIX "%s:%s%s:%ju", uuid_text(&t->target, target),
		     none ? "-" : t->base_kind == STREAM_BASE_SNAPSHOT ? "@"
								       : "#",
		     none ? "" : uuid_text(&t->base, base),
		     (uintmax_t)t->off_bytes);
	assert(n > 0 && n + 10 < STREAM_TOKEN_BYTES);
	snprintf(ret_text + n, 10, ":%08x", crc32c(0, ret_text, (size_t)n));
	return ret_text;
}

/* The field that ends at the next colon, cut out of *p. */
static bool field_next(const char **p, char *ret_field, size_t room)
{
	size_t n = strcspn(*p, ":");

	if ((*p)[n] != ':' || n == 0 || n >= room)
		return false;
	memcpy(ret_field, *p, n);
	ret_field[n] = '\0';
	*p += n + 1;
	return true;
}

static bool base_parse(const char *text, struct stream_token *t)
{
	if (strcmp(text, "-") == 0)
		return true;
	if (text[0] != '@' && text[0] != '#')
		return false;
	t->base_kind = text[0] == '@' ? STREAM_BASE_SNAPSHOT
				      : STREAM_BASE_CHECKPOINT;
	return uuid_parse(text + 1, &t->base) && !uuid_is_zero(&t->base);
}

static bool number_parse(const char *text, uint64_t *ret_n)
{
	uint64_t n = 0;

	for (; *text >= '0' && *text <= '9' && n <= VOLUME_BYTES_MAX; text++)
		n = n * 10 + (uint64_t)(*text - '0');
	*ret_n = n;
	return *text == '\0' && n <= VOLUME_BYTES_MAX;
}

int stream_token_parse(const char *text, struct stream_token *ret_token)
{
	struct stream_token t = { 0 };
	char        field[64], again[STREAM_TOKEN_BYTES];
	const char *p = text + strlen(TOKEN_PREFIX);

	if (strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0 ||
	    !field_next(&p, field, sizeof(field)) ||
	    !uuid_parse(field, &t.target) || uuid_is_zero(&t.target))
		return -EINVAL;
	if (!field_next(&p, field, sizeof(field)) || !base_parse(field, &t) ||
	    !field_next(&p, field, sizeof(field)) ||
	    !number_parse(field, &t.off_bytes))
		return -EINVAL;
	/* One way of writing each token, so the sum can be compared so. */
	if (strcmp(stream_token_text(&t, again), text) != 0)
		return -EINVAL;
	*ret_token = t;
	return 0;
}

bool stream_token_fits(const struct stream_token *t,
		       const struct stream_header *h)
{
	return uuid_equal(&t->target, &h->target) &&
	       t->base_kind == h->base_kind &&
	       uuid_equal(&t->base, &h->base) &&
	       t->off_bytes == h->start_bytes;
}
