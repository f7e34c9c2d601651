/* tools/check/check_say.c - findings, the names of things in them, memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/check/check_state.h"

void ck_say(struct ck *ck, enum check_severity sev, const char *fmt, ...)
{
	char    text[1024];
	va_list ap;

	switch (sev) {
	case CHECK_INFO:
		ck->rep->ninfo++;
		break;
	case CHECK_DAMAGE:
		ck->rep->ndamage++;
		break;
	case CHECK_LOST:
		ck->rep->nlost++;
		break;
	case CHECK_ERROR:
		ck->rep->nerrors++;
		break;
	}
	if (ck->opt->report == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Names on disks can be anything: nothing that moves a cursor. */
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	ck->opt->report(ck->opt->arg, sev, text);
}

struct ck_text ck_member_text(const struct ck *ck, uint32_t member)
{
	struct ck_text t;
	char uuid[UUID_TEXT_BYTES];

	if (member >= ck->nmembers) {
		snprintf(t.s, sizeof(t.s), "no disk");
	} else if (ck->members[member].disk != CK_NO_DISK) {
		snprintf(t.s, sizeof(t.s), "disk %.200s",
			 ck->disks[ck->members[member].disk].src->name);
	} else {
		snprintf(t.s, sizeof(t.s), "member %" PRIu32 " (%s, not given)",
			 member, uuid_text(&ck->members[member].uuid, uuid));
	}
	return t;
}

struct ck_text ck_unit_text(const struct ck *ck, const struct ck_segment *seg,
			    uint32_t unit)
{
	const struct ck_zone *z = &seg->zones[unit];
	struct ck_text who = ck_member_text(ck, z->member);
	struct ck_text t;

	if (z->member == CK_NO_MEMBER)
		snprintf(t.s, sizeof(t.s), "unit %" PRIu32 " (on no disk)",
			 unit);
	else
		snprintf(t.s, sizeof(t.s),
			 "unit %" PRIu32 " (%.200s, zone %" PRIu32 ")", unit,
			 who.s, z->zone);
	return t;
}

struct ck_text ck_place_text(const struct ck *ck, uint64_t place)
{
	struct ck_text t;

	if (place == PLACE_NONE)
		snprintf(t.s, sizeof(t.s), "no place");
	else
		snprintf(t.s, sizeof(t.s),
			 "segment %" PRIu32 " unit %" PRIu32 " block %" PRIu32,
			 ck_place_seg(ck, place), ck_place_unit(ck, place),
			 ck_place_off(ck, place));
	return t;
}

void *ck_alloc(struct ck *ck, size_t n, size_t size)
{
	void *p = calloc(n == 0 ? 1 : n, size);

	if (p == NULL)
		ck->res = -ENOMEM;
	return p;
}

bool ck_grow(struct ck *ck, void *array_ptr, uint32_t n, uint32_t *cap,
	     size_t size)
{
	void   **array = array_ptr;
	uint32_t more = *cap == 0 ? 16 : *cap * 2;
	void    *p;

	if (n < *cap)
		return true;
	p = more > *cap ? reallocarray(*array, more, size) : NULL;
	if (p == NULL) {
		ck->res = -ENOMEM;
		return false;
	}
	*array = p;
	*cap = more;
	return true;
}
