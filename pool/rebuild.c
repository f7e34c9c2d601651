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
 * zone, those on a member that is out, rebuild_delay_ns after it went out
 * unless an operator took it out, and those on a member that is drained; the segments that lack most first.  Its
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
 *  - Blocks are lost: the cleaner moves all others.  While these are not healed,
 *    overwritten or deleted, the unit stays where it is: nothing that could heal
 *    them is given away.  It is tried again every now and then, when there are
 *    commits anyway.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/canary.h"
#include "pool/cleaner.h"
#include "pool/rebuild.h"

/* After a build in vain the segment is the cleaner's for so many commits. */
#define VAIN_COMMITS 16u

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
		if (!rebuild_wanted(p, x) || x->seg->victim ||
		    (x->move && !rebalance_allowed(p)) ||
		    !member_usable(x->target) ||
		    !rebuild_makeable(p, x->seg, x->unit)) {
			x->state = REBUILD_DROP;
			continue;
		}
		x->state = REBUILD_BUILD;
		r->building = x;
		r->build.seg = x->seg;
		r->build.unit = x->unit;
		r->build.slot = x->slot;
		r->build.move = x->move;
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

static void arm_due(struct rebuild *r)
{
	struct pool *p = r->pool;
	uint64_t     next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->in && !m->removed && !member_is_offline(m) &&
		    !rebuild_waited(p, m))
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
	/* What lacks a unit comes first. */
	if (r->building != NULL && r->building->move && !rebalance_allowed(p))
		r->build.stop = true;
	build_next(r);
	for (unsigned i = 0; i < REBUILD_MAX; i++) {
		uint8_t state = r->units[i].state;

		ended += rebuild_has_ended(p, &r->units[i]);
		under_way += state != REBUILD_NONE && state != REBUILD_DONE &&
			     state != REBUILD_DROP;
	}
	if (under_way == 0 && r->build.bufs != NULL && !r->build.running)
		unit_build_rest(&r->build);
	/* Who waits for zones does not wait for all of them. */
	if (ended > 0 && (under_way == 0 ||
			  (3 * ended >= under_way && rebalance_hurries(p))))
		pool_commit_want(p);
	else if (under_way == 0 && ((!r->vain && rebuild_any(r)) ||
				    (!r->moves_vain && rebalance_any(r))))
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
	p->rebuild->moves_vain = false;
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
	ret->damaged = 0;
	ret->blocks = 0;
	ret->waiting_ns = 0;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];
		uint32_t              n;

		if (!rebuild_holds(s))
			continue;
		n = rebuild_units_lacking(p, s);
		ret->units += n;
		ret->damaged += rebuild_damaged(p, s) ? n : 0;
		ret->blocks += (uint64_t)n * p->zone_blocks;
	}
	ret->moves = rebalance_left(p);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];
		uint64_t end_ns = m->out_since_ns + p->params.rebuild_delay_ns;

		if (m->in || m->removed || member_is_offline(m) ||
		    rebuild_waited(p, m))
			continue;
		if (ret->waiting_ns == 0 || end_ns - now_ns < ret->waiting_ns)
			ret->waiting_ns = end_ns - now_ns;
	}
	ret->running = rebuild_count(p->rebuild) > rebalance_count(p->rebuild);
	ret->stuck = ret->units > 0 && !ret->running && p->rebuild->vain &&
		     cleaner_idle(p);
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
