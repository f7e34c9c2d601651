/* tools/tarn/backup_chain.c - which backup is based on which, and which go. */
#include "tools/tarn/backup_chain.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

static int compare(const void *a, const void *b)
{
	const struct backup *x = a, *y = b;

	return strcmp(x->when, y->when);
}

/* The one that b[i] is based on; -1. */
static ssize_t base_of(const struct backup *b, size_t n, size_t i)
{
	const struct stream_header *h = &b[i].header;

	for (size_t k = 0; k < n; k++)
		if (k != i && !b[k].damaged &&
		    uuid_equal(&b[k].header.target, &h->base) &&
		    uuid_equal(&b[k].header.volume, &h->volume))
			return (ssize_t)k;
	return -1;
}

static bool is_full(const struct backup *b)
{
	return !b->damaged && b->header.base_kind == STREAM_BASE_NONE;
}

static void why_not_whole(const struct backup *all, struct backup *b)
{
	if (b->base >= 0)
		snprintf(b->why, sizeof(b->why),
			 "what it is based on, %s, cannot be restored",
			 all[b->base].when);
	else
		snprintf(b->why, sizeof(b->why),
			 "what it is based on, '%.255s', is not there",
			 b->header.base_name);
}

void backups_link(struct backup *b, size_t n)
{
	bool more = true;

	qsort(b, n, sizeof(b[0]), compare);
	for (size_t i = 0; i < n; i++) {
		b[i].kids = b[i].depth = 0;
		b[i].whole = is_full(&b[i]);
		b[i].base = -1;
		if (!b[i].damaged)
			b[i].why[0] = '\0';
	}
	for (size_t i = 0; i < n; i++) {
		if (b[i].damaged || is_full(&b[i]))
			continue;
		b[i].base = base_of(b, n, i);
		if (b[i].base >= 0)
			b[b[i].base].kids++;
	}
	/* From the full ones on: rings are never reached. */
	while (more) {
		more = false;
		for (size_t i = 0; i < n; i++) {
			if (b[i].whole || b[i].base < 0 ||
			    !b[b[i].base].whole)
				continue;
			b[i].whole = more = true;
			b[i].depth = b[b[i].base].depth + 1;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (!b[i].whole && !b[i].damaged)
			why_not_whole(b, &b[i]);
}

size_t backups_path(const struct backup *b, size_t i,
		    size_t ret_path[BACKUP_CHAIN_MAX])
{
	size_t n = (size_t)b[i].depth + 1;

	assert(b[i].whole);
	if (n > BACKUP_CHAIN_MAX)
		return 0;
	for (size_t k = n; k-- > 0;) {
		ret_path[k] = i;
		i = k > 0 ? (size_t)b[i].base : i;
	}
	return n;
}

ssize_t backups_find(const struct backup *b, size_t n, const char *when)
{
	uint64_t s = UINT64_MAX;
	ssize_t  found = -1;

	if (when != NULL && backup_when_parse(when, &s) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (b[i].when_s <= s)
			found = (ssize_t)i;
	return found;
}

/* --- what is kept -------------------------------------------------------- */

/* The newest one in each of the last `count` periods that have one. */
static void keep_periods(struct backup *b, size_t n, unsigned count,
			 uint64_t (*period)(uint64_t when_s))
{
	uint64_t last = UINT64_MAX;

	for (size_t i = n; i-- > 0 && count > 0;) {
		uint64_t now = period(b[i].when_s);

		if (!b[i].whole || now == last)
			continue;
		b[i].keep = true;
		last = now;
		count--;
	}
}

/* Each is one by itself: names are not the same. */
static uint64_t period_second(uint64_t when_s)
{
	return when_s;
}

static uint64_t period_day(uint64_t when_s)
{
	return when_s / DAY_S;
}

/* The first of January 1970 was a Thursday. */
static uint64_t period_week(uint64_t when_s)
{
	return (when_s / DAY_S + 3) / 7;
}

void backups_keep(struct backup *b, size_t n, const struct backup_policy *p)
{
	bool all = p->last == 0 && p->daily == 0 && p->weekly == 0;

	for (size_t i = 0; i < n; i++)
		b[i].keep = all || !b[i].whole;
	keep_periods(b, n, p->last > 0 ? p->last : 1, period_second);
	keep_periods(b, n, p->daily, period_day);
	keep_periods(b, n, p->weekly, period_week);
}

/* --- how the others go ---------------------------------------------------- */

/* The only one that is based on b[i]. */
static size_t kid_of(const struct backup *b, size_t n, size_t i)
{
	size_t k = 0;

	while (k < n && b[k].base != (ssize_t)i)
		k++;
	assert(k < n);
	return k;
}

static bool is_worth_it(const struct backup *older, const struct backup *newer)
{
	return older->depth > 0 ||
	       newer->file_bytes >= older->file_bytes / BACKUP_FOLD_SHARE;
}

/* From the far ends on, so that a full one is written once for all that is
 * folded into it. */
struct prune backups_prune_next(const struct backup *b, size_t n)
{
	struct prune p = { .kind = PRUNE_NOTHING };

	for (size_t i = 0; i < n; i++) {
		if (b[i].keep || b[i].kids > 1 ||
		    (p.kind != PRUNE_NOTHING && b[i].depth < b[p.older].depth))
			continue;
		if (b[i].kids == 0) {
			p = (struct prune){ .kind = PRUNE_DELETE, .older = i };
		} else if (is_worth_it(&b[i], &b[kid_of(b, n, i)])) {
			p.kind = PRUNE_FOLD;
			p.older = i;
			p.newer = kid_of(b, n, i);
		}
	}
	return p;
}
