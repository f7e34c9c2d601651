/* pool/rebuild_commit.c - what a commit does about units that are made again:
 * it gives those that are done to their segments, frees what is not wanted any
 * more, and reserves zones for others.  Why in that way: rebuild.c.
 *
 * The ways to fail: no zone, no room, no slot: less is reserved, and nothing
 * until there is new hope (rebuild_hope()).
 */
#include "base/canary.h"
#include "pool/cleaner.h"
#include "pool/commit.h"
#include "pool/rebuild.h"

/* Zones that are reserved at once hold about so much. */
#define BATCH_BYTES (1ull << 30)
#define BATCH_MIN   4u

/* --- reserving ----------------------------------------------------------- */

/* A row that is not flushed may be written again, to where it was placed. */
static void note_unflushed(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->unflushed = false;
	list_for_each(l, &p->rows)
		list_entry(l, struct row, link)->seg->unflushed = true;
	list_for_each(l, &p->late.copies)
		list_entry(l, struct row, link)->seg->unflushed = true;
}

/* Does taking that zone leave enough?  A disk may have many more free zones
 * than the others, and these are of no use for whole segments. */
static bool zone_spare(struct pool *p, const struct zone_ref *z, bool move)
{
	struct member *m = p->members[z->member];
	uint32_t       before = segs_free_possible(p), after;

	if (CANARY(rebuild_fills))
		return true;
	m->zones_used++;
	after = segs_free_possible(p);
	m->zones_used--;
	/* For one that moves there will be another zone free instead. */
	if (move && after == before)
		return true;
	if (domain_free_zones(p, m->domain) >
	    before + segs_unlisted(p) + segs_reserve(p))
		return true;
	return (after > segs_unlisted(p) && !space_is_low(p) &&
		pool_space_fits(p));
}

/* An entry with that zone, for the table of the running commit. */
static struct segment *reserve(struct pool *p, const struct zone_ref *z)
{
	struct segment *slot = segs_free_slot(p);

	if (slot == NULL)
		return NULL;
	slot->state = SEG_RESERVED;
	slot->frozen_state = SEG_DISK_RESERVED;
	slot->frozen_index_off = 0;
	slot->claim = p->claim;
	slot->generation = max_u32(slot->generation, 1);
	slot->missing = 0;
	slot->scan_from = 0;
	slot->live_frozen = 0;
	for (uint32_t u = 0; u < p->units; u++) {
		slot->zones[u].member = ZONE_NONE;
		slot->zones[u].zone = 0;
	}
	seg_zone_take(p, slot, 0, z);
	return slot;
}

static bool unit_reserve(struct rebuild *r, struct unit_rebuild *x,
			 const struct move *mv, bool move)
{
	struct pool    *p = r->pool;
	struct member  *m = mv->target;
	struct zone_ref z;

	z.member = m->index;
	z.zone = (uint32_t)bitmap_next_clear(m->zone_map, 0, m->zones);
	if (!zone_spare(p, &z, move))
		return false;
	x->slot = reserve(p, &z);
	if (x->slot == NULL)
		return false;
	x->state = CANARY(rebuild_unreserved) ? REBUILD_READY
					      : REBUILD_RESERVED;
	x->move = move;
	x->seg = mv->seg;
	x->generation = mv->seg->generation;
	x->unit = mv->unit;
	x->target = m;
	if (CANARY(rebuild_unreserved))
		rebuild_kick(p);
	return true;
}

static uint32_t batch(const struct pool *p)
{
	uint64_t n = BATCH_BYTES / blocks_to_bytes(p->zone_blocks);

	return (uint32_t)min_u64(REBUILD_MAX, max_u64(BATCH_MIN, n));
}

uint32_t rebuild_count(const struct rebuild *r)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < REBUILD_MAX; i++)
		n += r->units[i].state != REBUILD_NONE;
	return n;
}

uint32_t rebuild_zones_wanted(const struct rebuild *r)
{
	uint32_t n = 0, most = batch(r->pool);

	/* Those that are done make room for others. */
	for (unsigned i = 0; i < REBUILD_MAX; i++)
		n += r->units[i].state != REBUILD_NONE &&
		     r->units[i].state != REBUILD_DONE &&
		     r->units[i].state != REBUILD_DROP;
	return n < most && r->pool->state == POOL_ST_ACTIVE && rebuild_any(r)
		       ? most - n
		       : 0;
}

static struct unit_rebuild *unused(struct rebuild *r)
{
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		if (r->units[i].state == REBUILD_NONE)
			return &r->units[i];
	}
	return NULL;
}

/* Often none has any; then nobody need look at all segments. */
static bool any_free(const struct pool *p)
{
	bool any = false;

	for (uint32_t i = 0; i < p->nmembers; i++)
		any |= member_free_zones(p->members[i]) > 0;
	return any;
}

static bool move_reserve(struct rebuild *r, const struct move *mv)
{
	return unit_reserve(r, unused(r), mv, true);
}

static void reserve_more(struct rebuild *r)
{
	struct pool    *p = r->pool;
	uint32_t        left = batch(p) - min_u32(batch(p), rebuild_count(r));
	uint32_t        n;
	struct segment *segs[REBUILD_MAX];

	r->vain = left > 0;
	if (left == 0 || !any_free(p))
		return;
	note_unflushed(p);
	n = rebuild_choose(r, left, segs);
	if (n == 0)
		rebalance_reserve(r, left, move_reserve);
	for (uint32_t i = 0; i < n && left > 0; i++) {
		struct move mv = { .seg = segs[i] };

		while (left > 0) {
			mv.unit = rebuild_unit_choose(r, mv.seg);
			if (mv.unit == UINT32_MAX)
				break;
			mv.target = rebuild_target(p, mv.seg, mv.unit);
			if (!unit_reserve(r, unused(r), &mv, false))
				return;
			r->vain = false;
			left--;
		}
	}
}

/* --- giving -------------------------------------------------------------- */

/* Is the unit still to be made? */
bool rebuild_wanted(const struct pool *p, const struct unit_rebuild *x)
{
	const struct segment *s = x->seg;

	return rebuild_holds(s) && s->generation == x->generation &&
	       (rebuild_lacks(p, s, x->unit) ||
		(x->move && rebalance_wanted(p, x)));
}

/* What the running commit does not need is trimmed first, when that is done. */
static void zone_free(struct pool *p, struct segment *slot)
{
	if (trim_possible(p, slot, 0) && commit_may_trim(p))
		seg_quarantine(p, slot);
	else
		seg_free_zones(p, slot);
}

static void slot_free(struct pool *p, struct unit_rebuild *x)
{
	if (x->slot->stray)
		seg_quarantine(p, x->slot);
	else
		zone_free(p, x->slot);
	x->state = REBUILD_NONE;
}

/* The segment and the entry change zones. */
static void give(struct pool *p, struct unit_rebuild *x)
{
	struct segment *s = x->seg, *slot = x->slot;
	struct zone_ref old = s->zones[x->unit];

	s->zones[x->unit] = slot->zones[0];
	s->missing &= ~(1u << x->unit);
	s->regained = true;
	slot->zones[0] = old;
	s->moves++;
	damage_seg_made(p, s);
	if (x->move)
		p->counters.moved_units++;
	else
		p->counters.rebuilt_units++;
	x->state = REBUILD_NONE;
	if (old.member != ZONE_NONE && seg_must_quarantine(p, s) &&
	    !CANARY(rebuild_old_zone)) {
		slot->claim = s->claim;
		slot->stray = s->stray;
		slot->stray_since_ns = s->stray_since_ns;
		seg_quarantine(p, slot);
	} else {
		zone_free(p, slot);
	}
}

/* By a commit that begins now. */
static bool may_give(const struct unit_rebuild *x)
{
	return x->target->in && member_usable(x->target) &&
	       x->seg->repairs == 0;
}

/* Is there something for a commit to do about it? */
bool rebuild_has_ended(const struct pool *p, const struct unit_rebuild *x)
{
	return x->state == REBUILD_DROP ||
	       (x->state == REBUILD_DONE &&
		(may_give(x) || !x->target->in || !rebuild_wanted(p, x)));
}

void rebuild_commit(struct pool *p)
{
	struct rebuild *r = p->rebuild;

	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		struct unit_rebuild *x = &r->units[i];

		if (x->state == REBUILD_NONE || x->state == REBUILD_BUILD)
			continue;
		if (x->state == REBUILD_DONE && rebuild_wanted(p, x) && may_give(x) &&
		    x->seg->frozen_state == SEG_DISK_SEALED)
			give(p, x);
		else if (x->state == REBUILD_DROP || !rebuild_wanted(p, x) ||
			 (x->state == REBUILD_DONE && !x->target->in) ||
			 p->last_commit)
			slot_free(p, x);
	}
	if (p->state == POOL_ST_ACTIVE)
		reserve_more(r);
}

void rebuild_committed(struct pool *p)
{
	struct rebuild *r = p->rebuild;

	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->regained = false;
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		if (r->units[i].state == REBUILD_RESERVED)
			r->units[i].state = REBUILD_READY;
	}
	rebuild_kick(p);
}
