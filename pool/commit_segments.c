/* pool/commit_segments.c - what a commit does to segments.
 *
 * First it freezes what the table will say of them, as of the row applied
 * last.  When the client has handed in its pages, segments in which nothing
 * lives give their zones back, units that were made again change zones
 * (rebuild.c), and new segments are composed of free zones for the time after
 * this commit.  If a disk goes out before the label is written, what the
 * table says is missing is no longer true and the table is written again.
 *
 * The ways to fail: no zones are free, and fewer segments will be openable; no
 * memory, and the pool stops.
 */
#include <errno.h>

#include "base/canary.h"
#include "pool/cleaner.h"
#include "pool/commit.h"
#include "pool/rebuild.h"

/* --- freeze -------------------------------------------------------------- */

static uint8_t frozen_state(const struct segment *s)
{
	switch ((enum seg_state)s->state) {
	case SEG_FREE:
		return SEG_DISK_FREE;
	case SEG_NEXT:
	case SEG_OPENABLE:
	case SEG_OPEN:
	case SEG_SEALING:
		return SEG_DISK_OPENABLE;
	case SEG_SEALED:
		return SEG_DISK_SEALED;
	case SEG_QUARANTINED:
		return SEG_DISK_QUARANTINED;
	case SEG_RESERVED:
		return SEG_DISK_RESERVED;
	}
	return SEG_DISK_FREE;
}

static void scan_row(const struct pool *p, const struct row *row)
{
	if (row->no > p->stable_row && !CANARY(scan_from_late))
		row->seg->scan_from = min_u32(row->seg->scan_from, row->off);
}

void commit_segs_freeze(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		s->live_frozen = s->live;
		s->frozen_state = frozen_state(s);
		s->frozen_index_off =
			s->state == SEG_SEALED ? s->index_off : 0;
		s->scan_from = s->state == SEG_OPENABLE ? 0 : s->write_off;
	}
	/* Rows placed but not yet applied are younger than the state. */
	list_for_each(l, &p->rows)
		scan_row(p, list_entry(l, struct row, link));
	list_for_each(l, &p->late.copies)
		scan_row(p, list_entry(l, struct row, link));
}

/* --- free the dead, compose new ones ------------------------------------- */

/* Segments that should be open or openable after a commit. */
static uint32_t openable_target(const struct pool *p)
{
	uint64_t log = p->params.commit_log_bytes / TARN_BLOCK;
	uint64_t data = (uint64_t)p->zone_blocks * p->k;

	return (uint32_t)div_up(2 * log, data) +
	       min_u32(8, p->segs_possible / 8) + 2 * segs_reserve(p) + 3;
}

/* Its zones are trimmed first, and are free later, if this commit has enough
 * others. */
static bool may_trim(const struct pool *p, uint32_t wanted)
{
	return p->state == POOL_ST_ACTIVE &&
	       segs_free_possible(p) >= segs_unlisted(p) + wanted &&
	       !space_is_low(p);
}

/* Dead segments that are better used again at once, for few are openable. */
static uint32_t recycled(const struct pool *p)
{
	uint32_t have = segs_openable_whole(p);
	uint32_t want = min_u32(openable_target(p),
				commit_openable_kept(p) +
					p->segs_possible / 8);

	return want - min_u32(want, have);
}

bool commit_may_trim(const struct pool *p)
{
	return trim_segs(p) < trim_segs_max(p) && may_trim(p, recycled(p));
}

static void free_dead_segments(struct pool *p)
{
	uint32_t trims = trim_segs(p), freed = 0, wanted = recycled(p);

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_SEALED ||
		    s->frozen_state != SEG_DISK_SEALED || s->live != 0 ||
		    s->live_frozen != 0 || s->tables != 0 || s->pins != 0 ||
		    s->victim)
			continue;
		if (seg_must_quarantine(p, s)) {
			seg_quarantine(p, s);
			continue;
		}
		/* A disk that is drained is waited for. */
		if (freed >= wanted && !seg_drains(p, s) &&
		    may_trim(p, wanted)) {
			/* The others have their turn at the next commit; but
			 * while one stays that lacks units, the pool is not
			 * whole. */
			if (trims++ < trim_segs_max(p) || s->missing != 0)
				seg_quarantine(p, s);
			continue;
		}
		seg_free_zones(p, s);
		freed++;
	}
}

/* One openable segment less: are there enough, or enough whole ones for this
 * commit? */
static bool partial_may_go(const struct pool *p)
{
	uint32_t whole = p->openable - p->partial;

	return p->openable > commit_openable_kept(p) ||
	       (whole >= segs_reserve(p) && commit_fits(p, whole));
}

bool commit_partial_can_go(const struct pool *p)
{
	return segs_openable_whole(p) < p->openable && partial_may_go(p);
}

/* Segments that were composed while a domain was away, and into which nothing
 * was written, give way to whole ones when it is back, or what is written from
 * then on would lack redundancy.  Enough of them stay for this commit. */
static void free_partial_segments(struct pool *p)
{
	if (p->partial == 0 || pool_domains_away(p) > 0)
		return;
	for (uint32_t i = 1; i <= p->nsegs && partial_may_go(p); i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_OPENABLE || s->missing == 0 ||
		    s->rows != 0 || s->pins != 0)
			continue;
		segs_openable_take(p, s);
		seg_free_zones(p, s);
	}
}

/* While a domain is away there may be nothing to compose in their place. */
static bool draining_may_go(const struct pool *p)
{
	return p->openable > commit_openable_kept(p) &&
	       (pool_domains_away(p) == 0 ||
		segs_free_possible(p) > segs_unlisted(p));
}

bool commit_draining_can_go(const struct pool *p)
{
	if (!draining_may_go(p))
		return false;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (p->segs[i]->state == SEG_OPENABLE &&
		    p->segs[i]->pins == 0 && p->segs[i]->rows == 0 &&
		    seg_drains(p, p->segs[i]))
			return true;
	}
	return false;
}

/* And so do those with a zone on a disk that is drained. */
static void free_draining_segments(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs && draining_may_go(p); i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_OPENABLE || s->rows != 0 || s->pins != 0 ||
		    !seg_drains(p, s))
			continue;
		segs_openable_take(p, s);
		seg_free_zones(p, s);
	}
}

/* All free zones may be listed, and nothing be written: units that are made
 * again take theirs of what is listed beyond what clients need until the next
 * commit. */
static void free_listed_segments(struct pool *p)
{
	uint32_t kept = commit_openable_kept(p) + segs_low(p) / 2;
	uint32_t need = rebuild_zones_wanted(p->rebuild);

	if (need == 0)
		return;
	need += segs_unlisted(p);
	for (uint32_t i = p->nsegs; i > 0 && segs_free_possible(p) < need;
	     i--) {
		struct segment *s = p->segs[i];

		if (p->openable <= kept)
			return;
		if (s->state != SEG_OPENABLE || s->rows != 0 || s->pins != 0)
			continue;
		segs_openable_take(p, s);
		seg_free_zones(p, s);
	}
}

void commit_segs_renew(struct pool *p)
{
	struct commit *c = &p->commit;
	uint32_t       target = openable_target(p);
	uint32_t       have, spare;

	if (space_is_low(p))
		trim_yield(p);
	free_dead_segments(p);
	free_partial_segments(p);
	free_draining_segments(p);
	disk_grow_commit(p);
	free_listed_segments(p);
	rebuild_commit(p);
	segs_capacity(p);
	have = segs_openable_whole(p);
	spare = segs_free_possible(p);
	if (p->openable > 1)
		spare -= min_u32(spare, segs_unlisted(p));
	if (have < target)
		segs_compose(p, min_u32(target - have, spare),
			     CANARY(reuse_before_commit) ? SEG_OPENABLE
							 : SEG_NEXT);
	change_commit(p);
	c->nsegments = p->nsegs;
	c->next = 0;
	if (table_grow(p, TABLE_SEGMENTS, seg_pages(p)) < 0)
		pool_fail(p, -ENOMEM, "out of memory in a commit");
}

/* --- disks that went out meanwhile --------------------------------------- */

/* Did a disk go out since the segment table was written?  Then it does not say
 * that the disk lacks what it had not flushed, and nobody would make that whole
 * again after a restart: the table is written once more. */
bool commit_missing_changed(const struct pool *p)
{
	for (uint32_t i = 1; i <= p->commit.nsegments; i++) {
		const struct segment *s = p->segs[i];

		if (s->frozen_state != SEG_DISK_FREE &&
		    (s->missing & ~s->missing_frozen) != 0 &&
		    !CANARY(missing_not_written))
			return true;
	}
	return false;
}
