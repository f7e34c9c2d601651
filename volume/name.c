/* volume/name.c - what volumes, snapshots and checkpoints may be called.
 *
 * A name is shown in terminals and logs, is an NBD export name, and stands
 * before or behind '@' (snapshot) and '#' (checkpoint) in others.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "volume/node_validate.h"
#include "volume/volume.h"

/* Length of the UTF-8 sequence at s, its code point in *ret_cp; 0 if there is
 * none (overlong, surrogate, cut off…). */
static unsigned utf8_next(const uint8_t *s, uint32_t left, uint32_t *ret_cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned len;
	uint32_t cp;

	if (s[0] < 0x80) {
		*ret_cp = s[0];
		return 1;
	}
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		len = 4;
	else
		return 0;
	if (len > left)
		return 0;
	cp = s[0] & (0x7fu >> len);
	for (unsigned i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3f);
	}
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret_cp = cp;
	return len;
}

static bool is_space(uint32_t cp)
{
	return cp == ' ' || cp == 0xa0 || cp == 0x1680 ||
	       (cp >= 0x2000 && cp <= 0x200a) || cp == 0x202f ||
	       cp == 0x205f || cp == 0x3000;
}

static bool is_control(uint32_t cp)
{
	/* With the marks that turn the direction of text or end a line. */
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) ||
	       (cp >= 0x200b && cp <= 0x200f) ||
	       (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2066 && cp <= 0x2069) || cp == 0xfeff;
}

/* NULL, or what is wrong. */
static const char *name_check(const char *name, uint32_t len_bytes)
{
	const uint8_t *s = (const uint8_t *)name;
	uint32_t cp;
	unsigned len;

	if (len_bytes == 0)
		return "is empty";
	if (len_bytes > VOLUME_NAME_MAX)
		return "is longer than 255 bytes";
	if ((len_bytes == 1 && s[0] == '.') ||
	    (len_bytes == 2 && s[0] == '.' && s[1] == '.'))
		return "is reserved";
	for (uint32_t i = 0; i < len_bytes; i += len) {
		len = utf8_next(s + i, len_bytes - i, &cp);
		if (len == 0)
			return "is not valid UTF-8";
		if (is_control(cp))
			return "contains a control character";
		if (cp == '/' || cp == '@' || cp == '#')
			return "contains '/', '@' or '#'";
		if (is_space(cp) && (i == 0 || i + len == len_bytes))
			return "starts or ends with white space";
	}
	return NULL;
}

bool name_bytes_valid(const char *name, uint32_t len_bytes)
{
	return name_check(name, len_bytes) == NULL;
}

bool text_bytes_valid(const char *text, uint32_t len_bytes)
{
	const uint8_t *s = (const uint8_t *)text;
	uint32_t cp, len;

	for (uint32_t i = 0; i < len_bytes; i += len) {
		len = utf8_next(s + i, len_bytes - i, &cp);
		if (len == 0 || is_control(cp))
			return false;
	}
	return true;
}

void name_quote(const char *name, char *ret_text, size_t room)
{
	const uint8_t *s = (const uint8_t *)name;
	uint32_t left = (uint32_t)strnlen(name, VOLUME_NAME_MAX + 8);
	size_t   at = 0;

	while (left > 0 && at + 8 < room) {
		uint32_t cp;
		unsigned len = utf8_next(s, left, &cp);

		if (len == 0 || is_control(cp)) {
			ret_text[at++] = '?';
			len = len == 0 ? 1 : len;
		} else {
			memcpy(ret_text + at, s, len);
			at += len;
		}
		s += len;
		left -= len;
	}
	if (left > 0) {
		memcpy(ret_text + at, "...", 3);
		at += 3;
	}
	ret_text[at] = '\0';
}

const char *vol_name_problem(const char *name, char *ret_err)
{
	const char *why;
	char quoted[80];

	why = name_check(name,
			 (uint32_t)strnlen(name, VOLUME_NAME_MAX + 1));
	if (why == NULL)
		return NULL;
	name_quote(name, quoted, sizeof(quoted));
	snprintf(ret_err, 256,
		 "'%s' cannot be the name of a volume, snapshot or checkpoint: "
		 "it %s; use 1 to 255 bytes of text without '/', '@' and '#'",
		 quoted, why);
	return ret_err;
}

/* --- whole names --------------------------------------------------------- */

enum vol_kind vol_name_kind(const char *name)
{
	const char *mark = strpbrk(name, "@#");

	if (mark == NULL)
		return VOL_KIND_VOLUME;
	return *mark == '@' ? VOL_KIND_SNAPSHOT : VOL_KIND_CHECKPOINT;
}

/* It is of another kind. */
static const char *kind_problem(const char *name, unsigned kinds,
				char *ret_err)
{
	static const struct {
		const char *word, *give;
	} texts[] = {
		[0] = { "volume, snapshot or checkpoint", "its name" },
		[VOL_KIND_VOLUME] = { "volume", "VOLUME" },
		[VOL_KIND_SNAPSHOT] = { "snapshot", "VOLUME@SNAPSHOT" },
		[VOL_KIND_CHECKPOINT] = { "checkpoint", "VOLUME#CHECKPOINT" },
		[VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT] =
			{ "snapshot or checkpoint",
			  "VOLUME@SNAPSHOT or VOLUME#CHECKPOINT" },
	};
	enum vol_kind is = vol_name_kind(name);
	unsigned want = kinds;
	char quoted[80];

	if (want >= ARRAY_LEN(texts) || texts[want].word == NULL)
		want = 0;

	name_quote(name, quoted, sizeof(quoted));
	if (is == VOL_KIND_VOLUME)
		snprintf(ret_err, 256, "'%s' does not name a %s: give %s",
			 quoted, texts[want].word, texts[want].give);
	else
		snprintf(ret_err, 256,
			 "'%s' names a %s, not a %s: give %s, or use what is "
			 "for %ss", quoted, texts[is].word, texts[want].word,
			 texts[want].give, texts[is].word);
	return ret_err;
}

const char *vol_whole_name_problem(const char *name, unsigned kinds,
				   char *ret_err)
{
	/* What is too long stays too long. */
	char  volume[VOLUME_NAME_MAX + 2] = "";
	const char *mark = strpbrk(name, "@#");
	size_t len = mark != NULL ? (size_t)(mark - name) : 0;

	if ((vol_name_kind(name) & kinds) == 0)
		return kind_problem(name, kinds, ret_err);
	if (mark == NULL)
		return vol_name_problem(name, ret_err);
	memcpy(volume, name, min_u64(len, sizeof(volume) - 1));
	if (vol_name_problem(volume, ret_err) != NULL)
		return ret_err;
	return vol_name_problem(mark + 1, ret_err);
}
