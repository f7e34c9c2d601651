/* pool/recover_segments.c - recovery: what becomes of the segments that the
 * last owner had open, or may have opened.
 *
 * Those with rows are sealed, those without are free again.  But a write of the
 * last owner may still be on its way: where one could land, the zones go to
 * quarantine, and so do those that an earlier recovery wrote to and that never
 * came to a commit, and those that it had reserved for units that it made again.
 *
 * The way to fail: a disk fails while recovery is under way.  What had not been
 * flushed on it counts as missing.
 */
#include "base/canary.h"
#include "pool/recover.h"

/* Segments that the last owner may have opened without that any row in them
 * has arrived yet: it opens them in the order of their numbers, has a limited
 * number of rows in flight, and leaves no room for another at the end of any.
 * With spare domains it may have opened one more of each class, and have passed
 * over some for it (late.c). */
static uint32_t unseen_max(const struct pool *p)
{
	/* One record may be larger than rows that are gathered. */
	uint32_t unit = ROW_HEADER_MAX +
			(uint32_t)div_up(ROW_PAYLOAD_MAX, p->k);
	uint32_t unused = unit + 2 + p->zone_blocks / 128; /* at its end */
	uint32_t full = p->zone_blocks - min_u32(p->zone_blocks - 1, unused);

	return segs_open_max(p, LOG_CLIENT) + LOG_CLASSES - 1 +
	       (p->ndomains > p->units ? LOG_CLASSES + LATE_PASSED_MAX : 0) +
	       min_u32(LOG_INFLIGHT_MAX,
		       (uint32_t)div_up(LOG_INFLIGHT_MAX * unit, full));
}

static void note_rows(struct recover *r)
{
	for (uint32_t i = 0; i < r->nrows; i++)
		r->rows[i]->seg->rows_seen = true;
}

/* A segment that the last owner had open, or may have opened.  Those with rows
 * are sealed; the others go back, or to quarantine while writes to them may be
 * on their way. */
static void settle_segment(struct recover *r, struct segment *s, bool doubt,
			   uint32_t *unseen)
{
	struct pool *p = r->pool;

	if (s->rows_seen || s->live > 0 || s->tables > 0 || s->scan_from > 0) {
		s->state = SEG_SEALED;
		s->index_off = 0;
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		if (!r->released)
			seg_stray_mark(p, s);
		seg_check_dead(p, s);
	} else if (!r->released && (doubt || *unseen > 0)) {
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		else
			(*unseen)--;
		seg_stray_mark(p, s);
		seg_quarantine(p, s);
	} else {
		seg_free_zones(p, s);
	}
}

/* Rows that were found on it, or written again, had not been flushed. */
static void units_lost(struct pool *p, const struct member *m)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		for (uint32_t u = 0; s->rows_seen && u < p->units; u++) {
			if (s->zones[u].member == m->index)
				s->missing |= 1u << u;
		}
	}
}

void recover_member_lost(struct pool *p, const struct member *m)
{
	struct recover *r = p->recover;

	if (r == NULL)
		return;
	r->lost[m->index] = true;
	units_lost(p, m);
}

/* A slot for what is in quarantine: the one it had, if nobody has it. */
static struct segment *extra_slot(struct pool *p,
				  const struct label_extra_seg *x)
{
	struct segment *s = pool_seg(p, x->segment);

	if (s == NULL && x->segment <= p->nsegs + LABEL_EXTRA_MAX)
		s = seg_slot(p, x->segment);
	if (s == NULL || s->state != SEG_FREE)
		s = seg_slot(p, p->nsegs + 1);
	return s;
}

/* Segments of the labels' extra list: an earlier recovery wrote to them, and
 * never came to its commit.  Like us, it took zones that the commit lists as
 * openable and that had no rows, so they are free again by now, or in
 * quarantine already. */
static void quarantine_extra(struct pool *p, bool doubt)
{
	for (uint32_t e = 0; e < p->nextra; e++) {
		const struct label_extra_seg *x = &p->extra[e];
		struct segment *s = extra_slot(p, x);

		if (s == NULL)
			continue;
		s->generation = max_u32(s->generation, x->generation);
		s->claim = p->last_claim;
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		for (uint32_t u = 0; u < p->units; u++) {
			const struct zone_ref *z = &x->zones[u];

			s->zones[u].member = ZONE_NONE;
			if (z->member == ZONE_NONE ||
			    bitmap_test(p->members[z->member]->zone_map,
					z->zone))
				continue;
			seg_zone_take(p, s, u, z);
		}
		seg_stray_mark(p, s);
		seg_quarantine(p, s);
	}
}

void recover_segments_settle(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t unseen = unseen_max(p);
	bool doubt = owner_is_doubtful(p, p->last_claim) && !r->force;

	note_rows(r);
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (s->state == SEG_OPENABLE)
			settle_segment(r, s, doubt, &unseen);
		else if ((s->reserved || s->state == SEG_QUARANTINED) && doubt)
			s->claim |= CLAIM_DOUBT; /* it may yet write, or trim */
		/* It may have repaired what it read, and that is told nowhere. */
		else if (s->state == SEG_SEALED && !r->released &&
			 !CANARY(repairs_forgotten))
			seg_stray_mark(p, s);
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (r->lost[i])
			units_lost(p, p->members[i]);
	}
	/* By --force the operator says that no other server is left; what it
	 * had sent may still be on its way. */
	for (uint32_t i = 1; r->force && i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if ((s->claim & CLAIM_DOUBT) == 0)
			continue;
		s->claim &= ~CLAIM_DOUBT;
		seg_stray_mark(p, s);
	}
	p->openable = 0;
	quarantine_extra(p, doubt);
}
