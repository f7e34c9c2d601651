/* pool/recover_commit.c - recovery: our own commit, after which the old log is
 * not needed.
 *
 * ZONES waits until enough zones are out of quarantine, LABEL records the
 * segments that the commit will be written to, then it is made.
 *
 * The ways to fail: no free zones are left, or labels cannot be written; a
 * later recovery then finds in the labels what this one may have written.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/recover.h"

static void recover_committed(struct pool *p)
{
	p->commit.finished = NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->rows_seen = false;
	recover_end(p->recover, 0);
}

static void extra_labelled(struct label_waiter *w)
{
	struct recover *r = container_of(w, struct recover, waiter);
	struct pool *p = r->pool;

	if (w->res < 0) {
		recover_fail(r, w->res, "its labels could not be written");
		return;
	}
	r->phase = REC_COMMIT;
	p->commit.finished = recover_committed;
	commit_start(p);
}

/* Zones for our own commit, and for the next one. */
static uint32_t commit_segments(const struct pool *p)
{
	uint64_t blocks = p->client->commit_blocks(p->client_arg) +
			  seg_pages(p) + 64;

	return 2 + (uint32_t)div_up(2 * blocks, p->seg_data_blocks);
}

static bool zone_in_quarantine(const struct pool *p, const struct zone_ref *z)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0;
		     s->state == SEG_QUARANTINED && u < p->units; u++) {
			if (s->zones[u].member == z->member &&
			    s->zones[u].zone == z->zone)
				return true;
		}
	}
	return false;
}

/* What an earlier recovery wrote stays listed while it is in quarantine: our
 * commit, too, may never be. */
static void keep_extra(struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t e = 0; e < p->nextra; e++) {
		const struct label_extra_seg *x = &p->extra[e];
		bool keep = false;

		for (uint32_t u = 0; u < p->units && !keep; u++)
			keep = x->zones[u].member != ZONE_NONE &&
			       zone_in_quarantine(p, &x->zones[u]);
		if (keep && !CANARY(extra_forgotten))
			p->extra[n++] = *x;
	}
	p->nextra = n;
}

static void list_extra(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		struct label_extra_seg *x = &p->extra[p->nextra];

		if (s->state != SEG_OPENABLE)
			continue;
		assert(p->nextra < LABEL_EXTRA_MAX);
		x->segment = s->no;
		x->generation = s->generation;
		memcpy(x->zones, s->zones, sizeof(x->zones));
		p->nextra++;
	}
}

static void label_and_commit(struct recover *r)
{
	struct pool *p = r->pool;

	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->dirty = true;
	segs_compose(p,
		     min_u32(commit_segments(p), LABEL_EXTRA_MAX - p->nextra),
		     SEG_OPENABLE);
	if (p->openable == 0) {
		recover_fail(r, -ENOSPC,
			     "no free zones are left to open it with; if its "
			     "last server is off for good, import it with "
			     "--force");
		return;
	}
	list_extra(p);
	r->phase = REC_LABEL;
	r->waiter.done = extra_labelled;
	label_write(p, &r->waiter);
}

/* Not to wait would be to use zones that a dead server's writes may still
 * reach: see quarantine.c. */
void recover_zones_step(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t want = commit_segments(p);
	/* … for the commit after it, and for clients to go on at once. */
	uint32_t more = segs_reserve(p) + segs_unlisted(p) +
			p->segs_possible / 16;

	/* Everything has been found, redone and made whole. */
	assert(r->phase == REC_ZONES);
	keep_extra(p);
	if ((segs_free_possible(p) < want + more ||
	     LABEL_EXTRA_MAX - p->nextra <
		     min_u32(want, LABEL_EXTRA_MAX / 2)) &&
	    quarantine_will_release(p)) {
		if (!r->told_waiting)
			pool_log(p, "waiting up to 10 s until nothing that the "
				    "last server sent can arrive any more");
		r->told_waiting = true;
		return; /* recover_kick() */
	}
	label_and_commit(r);
}

void recover_kick(struct pool *p)
{
	struct recover *r = p->recover;

	if (r != NULL && r->phase == REC_ZONES)
		io_defer(p->io, &r->work);
}
