/* pool/rebuild.c - units that a segment lacks are made again on other zones.
 *
 *   commit C1   reserves a zone: an entry of the segment table of its own, in
 *               state RESERVED
 *   build       the unit is written to it (rebuild_unit.c) and flushed
 *   commit C2   gives the zone to the segment: zones[u] is the new zone, unit u
 *               is not missing any more; the entry goes, or takes the old zone
 *
 * No block moves: the map says segment and unit, and the segment says where the
 * unit is.  What is made again: units marked missing, units that never had a
 * zone, those on a member that is out, rebuild_delay_ns after it went out, and
 * those on a member that is drained; the segments that lack most first.  Its
 * state is the segment table itself, so after a restart it goes on where it was.
 *
 * Why a zone is reserved first.  What that prevents:
 *
 *   1. Zone Z is free.  A server writes a unit to it, and dies, or loses its
 *      claim, with writes to Z under way.
 *   2. The next one finds Z free in the table, composes a segment of it, and
 *      writes to it.
 *   3. The late writes land.
 *
 * With the entry the next owner finds Z reserved: for it that is a zone in
 * quarantine, to which something may be on its way from now on (quarantine.c),
 * and if the last owner may still be there, one that no time frees
 * (recover_segments.c).  A write that fails makes the same of it for ourselves:
 * the entry becomes one in quarantine, and another zone is taken.
 *
 * Why it is flushed before it is given: a unit that is not missing is one that
 * m others may be lost beside.  A flush counts only if it was submitted after
 * the last write, and if the target's connection was the same all the time:
 * when anything of the target fails before, the build has failed.
 *
 * Why it is given by a commit: until the labels show C2, a crash leaves the
 * table of C1, in which the segment has its old zone or none.  So an old zone
 * is used for nothing else before C2 is durable, as with the zones of dead
 * segments: what C2 composes or reserves of it is written to only afterwards.
 * If something may still be on its way to the old zone, the entry takes it, and
 * it goes to quarantine.
 *
 * What else can happen meanwhile:
 *  - The disk comes back: its units count again, and what is not given yet is
 *    dropped.  A unit that was given stays where it is, and the old zone is
 *    free on the disk that is back.
 *  - The segment dies, or the cleaner empties it: dropped.  While a unit is
 *    being made, the segment is pinned and not freed.
 *  - Its rows are not flushed yet: such a segment waits, for a row that is to
 *    be written again goes to the zones that it was placed in.
 *  - The pool gets full: a zone is reserved only if all that lives fits on the
 *    disks that are in, with all its units, and if that does not bring the pool
 *    near the point where the cleaner must make room; or if there are many more
 *    zones on its disk than segments can be composed of.
 *  - There is no domain for a unit, or too few units can be read: the segment
 *    waits, or the cleaner empties it.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/canary.h"
#include "pool/cleaner.h"
#include "pool/commit.h"
#include "pool/rebuild.h"

/* Zones that are reserved at once hold about so much. */
#define BATCH_BYTES (1ull << 30)
#define BATCH_MIN   4u
/* After a build in vain the segment is the cleaner's for so many commits. */
#define VAIN_COMMITS 16u

enum unit_rebuild_state {
	REBUILD_NONE,
	REBUILD_RESERVED, /* by the running commit */
	REBUILD_READY,    /* … which is durable: may be written to */
	REBUILD_BUILD,
	REBUILD_FLUSH,    /* written */
	REBUILD_DONE,     /* flushed: the next commit gives it */
	REBUILD_DROP,     /* not wanted: the next commit frees it */
};

/* A unit that is being made again. */
struct unit_rebuild {
	uint8_t         state;      /* enum unit_rebuild_state */
	struct segment *seg;
	uint32_t        generation; /* of it, when it was chosen */
	uint32_t        unit;
	struct segment *slot;       /* RESERVED: has the zone */
	struct member  *target;     /* whose zone that is */
	uint64_t        cover;      /* FLUSH: the flush number that covers it */
};

struct rebuild {
	struct pool        *pool;
	struct unit_rebuild units[REBUILD_MAX];
	struct unit_rebuild *building;
	struct unit_build   build;
	struct io_timer     due;    /* when the next member's delay is over */
	struct io_work      work;
	bool                vain;   /* the last commit reserved nothing */
};

/* --- what is lacking ----------------------------------------------------- */

bool rebuild_source(const struct pool *p, const struct segment *s, uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	return m != NULL && (s->missing & (1u << u)) == 0 &&
	       member_readable(m);
}

/* It is out, and has been waited for. */
static bool out_for_good(const struct pool *p, const struct member *m)
{
	return !m->in && (m->rebuild_now || member_drains(m) ||
			  io_now_ns(p->io) >= m->out_since_ns +
						      p->params.rebuild_delay_ns);
}

/* Must unit u be made again now? */
static bool unit_lacks(const struct pool *p, const struct segment *s,
		       uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	if (m == NULL)
		return true;
	if (!m->in)
		return out_for_good(p, m);
	return (s->missing & (1u << u)) != 0 || member_drains(m);
}

static uint32_t units_lacking(const struct pool *p, const struct segment *s)
{
	uint32_t n = 0;

	for (uint32_t u = 0; u < p->units; u++)
		n += unit_lacks(p, s, u);
	return n;
}

static bool holds_something(const struct segment *s)
{
	return s->state == SEG_SEALED && s->live + s->tables > 0;
}

/* Can unit u be made, of itself or of k others? */
static bool unit_makeable(const struct pool *p, const struct segment *s,
			  uint32_t u)
{
	uint32_t n = 0;

	if (rebuild_source(p, s, u))
		return true;
	for (uint32_t v = 0; v < p->units; v++)
		n += rebuild_source(p, s, v);
	return n >= p->k;
}

/* The member with most free zones in the domain with most of them, of those
 * domains that no other unit of the segment is in, or will be in; NULL if there
 * is none. */
static struct member *choose_target(const struct pool *p,
				    const struct segment *s, uint32_t u)
{
	bool           taken[DOMAINS_MAX] = {false};
	uint32_t       free[DOMAINS_MAX] = {0};
	struct member *best = NULL;

	for (uint32_t v = 0; v < p->units; v++) {
		const struct member *m = seg_member(p, s, v);

		if (v != u && m != NULL)
			taken[m->domain] = true;
	}
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		const struct unit_rebuild *x = &p->rebuild->units[i];

		if (x->state != REBUILD_NONE && x->seg == s && x->unit != u)
			taken[x->target->domain] = true;
	}
	for (uint32_t i = 0; i < p->nmembers; i++)
		free[p->members[i]->domain] += member_free_zones(p->members[i]);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (member_free_zones(m) == 0 || taken[m->domain])
			continue;
		if (best == NULL || free[m->domain] > free[best->domain] ||
		    (best->domain == m->domain &&
		     member_free_zones(m) > member_free_zones(best)))
			best = m;
	}
	return best;
}

/* Emptying it costs less than making its units again. */
static bool mostly_dead(const struct pool *p, const struct segment *s)
{
	return s->live + s->tables <= p->seg_data_blocks / 4;
}

static bool in_vain(const struct pool *p, const struct segment *s)
{
	return s->rebuild_after > p->last.commit;
}

/* Are there as many domains as units, without those that are away or go? */
static bool domains_suffice(const struct pool *p)
{
	bool     stays[DOMAINS_MAX] = {false};
	uint32_t n = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		stays[m->domain] |= m->in && !member_drains(m);
	}
	for (uint32_t d = 0; d < p->ndomains; d++)
		n += stays[d];
	return n >= p->units;
}

bool rebuild_leaves(const struct pool *p, const struct segment *s)
{
	if (!holds_something(s) || units_lacking(p, s) == 0 ||
	    !domains_suffice(p) || !pool_space_fits(p))
		return false;
	if (mostly_dead(p, s) || in_vain(p, s))
		return true;
	for (uint32_t u = 0; u < p->units; u++) {
		if (unit_lacks(p, s, u) && choose_target(p, s, u) != NULL)
			return false;
	}
	return true;
}

/* --- choosing ------------------------------------------------------------ */

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

static bool is_chosen(const struct rebuild *r, const struct segment *s,
		      uint32_t u)
{
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		const struct unit_rebuild *x = &r->units[i];

		if (x->state != REBUILD_NONE && x->seg == s && x->unit == u)
			return true;
	}
	return false;
}

static bool may_choose(const struct pool *p, const struct segment *s)
{
	return holds_something(s) && !s->victim && !in_vain(p, s) &&
	       !(mostly_dead(p, s) && domains_suffice(p));
}

/* Can something be done about one of its units?  The unit, or UINT32_MAX. */
static uint32_t choose_unit(const struct rebuild *r, const struct segment *s)
{
	struct pool *p = r->pool;

	for (uint32_t u = 0; u < p->units; u++) {
		if (unit_lacks(p, s, u) && !is_chosen(r, s, u) &&
		    unit_makeable(p, s, u) && choose_target(p, s, u) != NULL)
			return u;
	}
	return UINT32_MAX;
}

/* Is no unit lacking, but those that segments are marked with? */
static bool all_stay(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->removed && (!m->in || member_drains(m)))
			return false;
	}
	return true;
}

/* Up to n segments with units to make, those that lack most first; returns how
 * many there are. */
static uint32_t choose(struct rebuild *r, uint32_t n,
		       struct segment **ret_segs)
{
	struct pool *p = r->pool;
	bool         stay = all_stay(p);
	uint32_t     lacking[REBUILD_MAX], found = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		uint32_t        lacks, at;

		if ((stay && s->missing == 0) || !may_choose(p, s))
			continue;
		lacks = units_lacking(p, s);
		if (lacks == 0 || (found == n && lacks <= lacking[n - 1]))
			continue;
		/* This commit flushes them. */
		if (s->unflushed) {
			r->vain = false;
			continue;
		}
		if (choose_unit(r, s) == UINT32_MAX)
			continue;
		found += found < n;
		for (at = found - 1; at > 0 && lacking[at - 1] < lacks; at--) {
			lacking[at] = lacking[at - 1];
			ret_segs[at] = ret_segs[at - 1];
		}
		lacking[at] = lacks;
		ret_segs[at] = s;
	}
	return found;
}

/* Does taking that zone leave enough?  A disk may have many more free zones than
 * the others, and these are of no use for whole segments. */
static bool zone_spare(struct pool *p, const struct zone_ref *z)
{
	struct member *m = p->members[z->member];
	uint32_t       before = segs_free_possible(p), after;

	if (CANARY(rebuild_fills))
		return true;
	m->zones_used++;
	after = segs_free_possible(p);
	m->zones_used--;
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
			 struct segment *s, uint32_t u)
{
	struct pool    *p = r->pool;
	struct member  *m = choose_target(p, s, u);
	struct zone_ref z;

	z.member = m->index;
	z.zone = (uint32_t)bitmap_next_clear(m->zone_map, 0, m->zones);
	if (!zone_spare(p, &z))
		return false;
	x->slot = reserve(p, &z);
	if (x->slot == NULL)
		return false;
	x->state = CANARY(rebuild_unreserved) ? REBUILD_READY
					      : REBUILD_RESERVED;
	x->seg = s;
	x->generation = s->generation;
	x->unit = u;
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

static uint32_t count(const struct rebuild *r)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < REBUILD_MAX; i++)
		n += r->units[i].state != REBUILD_NONE;
	return n;
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

static void reserve_more(struct rebuild *r)
{
	struct pool    *p = r->pool;
	uint32_t        left = batch(p) - min_u32(batch(p), count(r));
	uint32_t        n;
	struct segment *segs[REBUILD_MAX];

	r->vain = left > 0;
	if (left == 0 || !any_free(p))
		return;
	note_unflushed(p);
	n = choose(r, left, segs);
	for (uint32_t i = 0; i < n && left > 0; i++) {
		uint32_t u;

		while (left > 0 &&
		       (u = choose_unit(r, segs[i])) != UINT32_MAX) {
			if (!unit_reserve(r, unused(r), segs[i], u))
				return;
			r->vain = false;
			left--;
		}
	}
}

/* --- giving -------------------------------------------------------------- */

/* Is the unit still to be made? */
static bool wanted(const struct pool *p, const struct unit_rebuild *x)
{
	const struct segment *s = x->seg;

	return holds_something(s) && s->generation == x->generation &&
	       unit_lacks(p, s, x->unit);
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
	slot->zones[0] = old;
	s->moves++;
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
static bool has_ended(const struct pool *p, const struct unit_rebuild *x)
{
	return x->state == REBUILD_DROP ||
	       (x->state == REBUILD_DONE &&
		(may_give(x) || !x->target->in || !wanted(p, x)));
}

void rebuild_commit(struct pool *p)
{
	struct rebuild *r = p->rebuild;

	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		struct unit_rebuild *x = &r->units[i];

		if (x->state == REBUILD_NONE || x->state == REBUILD_BUILD)
			continue;
		if (x->state == REBUILD_DONE && wanted(p, x) && may_give(x) &&
		    x->seg->frozen_state == SEG_DISK_SEALED)
			give(p, x);
		else if (x->state == REBUILD_DROP || !wanted(p, x) ||
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

	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		if (r->units[i].state == REBUILD_RESERVED)
			r->units[i].state = REBUILD_READY;
	}
	rebuild_kick(p);
}

/* --- building ------------------------------------------------------------ */

static void build_done(struct unit_build *b)
{
	struct rebuild      *r = b->pool->rebuild;
	struct unit_rebuild *x = r->building;

	r->building = NULL;
	if (b->res == 0) {
		x->state = REBUILD_FLUSH;
		x->cover = x->target->flush_seq + 1;
		/* A flush may have begun since the last write. */
		x->target->dirty = true;
		if (CANARY(rebuild_unflushed))
			x->state = REBUILD_DONE;
		flush_want(r->pool);
	} else {
		x->state = REBUILD_DROP;
		if (b->res == -EBADMSG)
			x->seg->rebuild_after =
				r->pool->last.commit + VAIN_COMMITS;
	}
	rebuild_kick(r->pool);
}

static void build_next(struct rebuild *r)
{
	struct pool *p = r->pool;

	for (unsigned i = 0; i < REBUILD_MAX && r->building == NULL; i++) {
		struct unit_rebuild *x = &r->units[i];

		if (x->state != REBUILD_READY)
			continue;
		if (!wanted(p, x) || x->seg->victim ||
		    !member_usable(x->target) ||
		    !unit_makeable(p, x->seg, x->unit)) {
			x->state = REBUILD_DROP;
			continue;
		}
		x->state = REBUILD_BUILD;
		r->building = x;
		r->build.seg = x->seg;
		r->build.unit = x->unit;
		r->build.slot = x->slot;
		r->build.done = build_done;
		unit_build_start(&r->build);
	}
}

void rebuild_flushed(struct pool *p, const struct member *m)
{
	struct rebuild *r = p->rebuild;
	bool            any = false;

	for (unsigned i = 0; r != NULL && i < REBUILD_MAX; i++) {
		struct unit_rebuild *x = &r->units[i];

		if (x->state == REBUILD_FLUSH && x->target == m &&
		    m->flush_done >= x->cover) {
			x->state = REBUILD_DONE;
			any = true;
		} else if (x->state == REBUILD_FLUSH && x->target == m) {
			/* That one was under way when it was written. */
			flush_want(p);
		}
	}
	if (any)
		rebuild_kick(p);
}

void rebuild_member_lost(struct pool *p, const struct member *m)
{
	struct rebuild *r = p->rebuild;

	for (unsigned i = 0; r != NULL && i < REBUILD_MAX; i++) {
		struct unit_rebuild *x = &r->units[i];

		if (x->target != m)
			continue;
		if (x->state == REBUILD_BUILD)
			r->build.stop = true;
		else if (x->state == REBUILD_FLUSH || x->state == REBUILD_READY)
			x->state = REBUILD_DROP;
	}
	if (r != NULL)
		rebuild_kick(p);
}

/* --- when ---------------------------------------------------------------- */

/* Would a commit reserve anything? */
static bool any_to_choose(struct rebuild *r)
{
	struct pool *p = r->pool;

	bool         stay = all_stay(p);

	for (uint32_t i = 1; i <= p->nsegs && !r->vain; i++) {
		const struct segment *s = p->segs[i];

		if ((s->missing != 0 || !stay) && may_choose(p, s) &&
		    units_lacking(p, s) > 0)
			return true;
	}
	return false;
}

static void arm_due(struct rebuild *r)
{
	struct pool *p = r->pool;
	uint64_t     next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->in && !m->removed && !out_for_good(p, m))
			next_ns = min_u64(next_ns,
					  m->out_since_ns +
						  p->params.rebuild_delay_ns);
	}
	if (next_ns != UINT64_MAX)
		io_timer_arm(p->io, &r->due, next_ns);
}

static void rebuild_fn(struct io_work *w)
{
	struct rebuild *r = container_of(w, struct rebuild, work);
	struct pool    *p = r->pool;
	uint32_t        under_way = 0, ended = 0;

	if (p->state != POOL_ST_ACTIVE)
		return;
	arm_due(r);
	build_next(r);
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		uint8_t state = r->units[i].state;

		ended += has_ended(p, &r->units[i]);
		under_way += state != REBUILD_NONE && state != REBUILD_DONE &&
			     state != REBUILD_DROP;
	}
	if (under_way == 0 && r->build.bufs != NULL && !r->build.running)
		unit_build_rest(&r->build);
	if (under_way == 0 && (ended > 0 || any_to_choose(r)))
		pool_commit_want(p);
}

static void due_fn(struct io_timer *t)
{
	struct rebuild *r = container_of(t, struct rebuild, due);

	rebuild_hope(r->pool);
	cleaner_kick(r->pool);
}

void rebuild_hope(struct pool *p)
{
	if (p->rebuild == NULL)
		return;
	p->rebuild->vain = false;
	rebuild_kick(p);
}

void rebuild_kick(struct pool *p)
{
	if (p->rebuild != NULL)
		io_defer(p->io, &p->rebuild->work);
}

bool rebuild_idle(const struct pool *p)
{
	return p->rebuild == NULL || !p->rebuild->build.running;
}

void rebuild_status(const struct pool *p, struct rebuild_info *ret)
{
	uint64_t now_ns = io_now_ns(p->io);

	ret->units = 0;
	ret->blocks = 0;
	ret->waiting_ns = 0;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];
		uint32_t              n;

		if (!holds_something(s))
			continue;
		n = units_lacking(p, s);
		ret->units += n;
		ret->blocks += (uint64_t)n * p->zone_blocks;
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];
		uint64_t end_ns = m->out_since_ns + p->params.rebuild_delay_ns;

		if (m->in || m->removed || out_for_good(p, m))
			continue;
		if (ret->waiting_ns == 0 || end_ns - now_ns < ret->waiting_ns)
			ret->waiting_ns = end_ns - now_ns;
	}
	ret->running = count(p->rebuild) > 0;
}

int rebuild_init(struct pool *p)
{
	struct rebuild *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->pool = p;
	unit_build_init(p, &r->build);
	io_timer_init(&r->due, due_fn);
	io_work_init(&r->work, rebuild_fn);
	p->rebuild = r;
	return 0;
}

void rebuild_fini(struct pool *p)
{
	struct rebuild *r = p->rebuild;

	if (r == NULL)
		return;
	io_timer_cancel(p->io, &r->due);
	io_undefer(&r->work);
	unit_build_fini(&r->build);
	free(r);
	p->rebuild = NULL;
}
