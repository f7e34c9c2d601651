/* volume/vol_range.c - overlapping changes of a volume one after the other.
 *
 * All ranges that requests are changing, or wait to change, are in one list
 * by arrival.  A range waits for every earlier one that it overlaps.
 *
 * Looking through the list for each 4 KiB write would be most of its cost, so
 * narrow ranges are counted by a hash of their leaves: a leaf of which nobody
 * else is in the same bucket overlaps with nothing.
 */
#include <assert.h>

#include "base/canary.h"
#include "volume/volumes.h"

/* Leaves of a range that is counted in buckets. */
#define NARROW_LEAVES 4u

static bool is_wide(const struct vol_range *r)
{
	return leaf_of_block(r->end - 1) - leaf_of_block(r->first) >=
	       NARROW_LEAVES;
}

static bool overlap(const struct vol_range *a, const struct vol_range *b)
{
	return a->first < b->end && b->first < a->end;
}

/* Count a range in (+1) or out (-1); true if somebody else was in one of its
 * buckets. */
static bool buckets_count(struct volume *v, const struct vol_range *r, int by)
{
	bool others = false;

	for (uint64_t leaf = leaf_of_block(r->first);
	     leaf <= leaf_of_block(r->end - 1); leaf++) {
		uint16_t *b = &v->range_buckets[leaf % RANGE_BUCKETS];

		others |= *b != 0;
		*b = (uint16_t)(*b + by);
	}
	return others;
}

bool range_add(struct volume *v, struct vol_range *r, uint64_t first,
	       uint64_t end)
{
	bool look;

	assert(first < end && !r->held);
	r->first = first;
	r->end = end;
	r->waits = 0;
	r->held = true;
	if (is_wide(r)) {
		look = true;
		v->nranges_wide++;
	} else {
		look = buckets_count(v, r, 1) || v->nranges_wide > 0;
	}
	if (look) {
		list_for_each(it, &v->ranges) {
			if (overlap(r, list_entry(it, struct vol_range, link)))
				r->waits++;
		}
	}
	if (CANARY(range_unordered))
		r->waits = 0;
	list_push(&v->ranges, &r->link);
	if (r->waits > 0)
		v->nranges_wait++;
	return r->waits == 0;
}

static void range_grant(struct volume *v, struct vol_range *r)
{
	struct vol_req *req = container_of(r, struct vol_req, range);
	struct volumes *vols = v->vols;

	v->nranges_wait--;
	assert(!(req->state & REQ_QUEUED));
	req->state |= REQ_QUEUED;
	list_push(&vols->req.runnable, &req->link);
	io_defer(vols->io, &vols->req.work);
}

/* Ranges behind r that overlap `was` but not `is` (NULL: nothing) wait for
 * one less. */
static void range_let_go(struct volume *v, struct vol_range *r,
			 const struct vol_range *was,
			 const struct vol_range *is)
{
	if (v->nranges_wait == 0)
		return;
	for (struct list *it = r->link.next; it != &v->ranges;
	     it = it->next) {
		struct vol_range *o = list_entry(it, struct vol_range, link);

		if (o->waits == 0 || !overlap(o, was) ||
		    (is != NULL && overlap(o, is)))
			continue;
		if (--o->waits == 0)
			range_grant(v, o);
	}
}

void range_advance(struct volume *v, struct vol_range *r, uint64_t first)
{
	struct vol_range was = *r, is = *r;

	if (!r->held || !is_wide(r) || first <= r->first || first >= r->end)
		return;
	is.first = first;
	if (!is_wide(&is))
		return; /* it stays a wide one to its end */
	r->first = first;
	range_let_go(v, r, &was, &is);
}

void range_remove(struct volume *v, struct vol_range *r)
{
	if (!r->held)
		return;
	assert(r->waits == 0);
	r->held = false;
	if (is_wide(r))
		v->nranges_wide--;
	else
		buckets_count(v, r, -1);
	range_let_go(v, r, r, NULL);
	list_remove(&r->link);
}
