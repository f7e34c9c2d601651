/* tests/sim/work_diff.c - what has changed between two snapshots of a volume: a
 * diff never lacks a changed block, and has other ones only where a request
 * covered them.
 *
 * Requests that change blocks are numbered.  For each block of a volume the
 * number of the last request that covered it is known, and a snapshot keeps
 * them as they were when it was there.  What may be in a diff since an older
 * snapshot are blocks with the number of a request that was not over when the
 * older one was asked for.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/work_priv.h"

static void grow(struct covers *c, uint64_t n)
{
	if (n <= c->n)
		return;
	c->last = realloc(c->last, n * sizeof(c->last[0]));
	assert(c->last != NULL);
	memset(c->last + c->n, 0, (n - c->n) * sizeof(c->last[0]));
	c->n = n;
}

uint32_t diff_cover(struct sim *sim, unsigned vol, uint64_t off_bytes,
		    uint64_t len_bytes)
{
	struct covers *c = &sim->work->covers[vol];
	uint64_t       end = div_up(off_bytes + len_bytes, TARN_BLOCK);

	sim->work->covers_no++;
	grow(c, end);
	for (uint64_t b = off_bytes / TARN_BLOCK; b < end; b++)
		c->last[b] = sim->work->covers_no;
	return sim->work->covers_no;
}

void diff_snap_asked(struct sim *sim, struct msnap *s)
{
	s->since = sim->work->covers_no + 1;
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		const struct slot *x = &sim->work->slots[i];

		if (x->busy && x->op != 0 && x->vol == s->vol)
			s->since = min_u32(s->since, x->cover);
	}
}

/* to, which is empty, becomes the same. */
static void covers_copy(struct covers *to, const struct covers *from)
{
	grow(to, from->n);
	if (from->n > 0)
		memcpy(to->last, from->last, from->n * sizeof(from->last[0]));
}

/* to becomes from and one more. */
static void line_copy(struct line *to, const struct line *from, unsigned more)
{
	unsigned *no = malloc((from->n + 1) * sizeof(no[0]));

	assert(no != NULL);
	if (from->n > 0)
		memcpy(no, from->no, from->n * sizeof(no[0]));
	no[from->n] = more;
	free(to->no);
	to->no = no;
	to->n = from->n + 1;
}

/* The volume comes from it from now on. */
void diff_snap_there(struct sim *sim, struct msnap *s)
{
	struct line *line = &sim->work->lines[s->vol];

	covers_copy(&s->covers, &sim->work->covers[s->vol]);
	line_copy(&s->line, line, s->no);
	line_copy(line, line, s->no);
}

void diff_rollback(struct sim *sim, unsigned vol, const struct msnap *s)
{
	struct covers *c = &sim->work->covers[vol];

	free(c->last);
	memset(c, 0, sizeof(*c));
	covers_copy(c, &s->covers);
	sim->work->lines[vol].n = 0;
	line_copy(&sim->work->lines[vol], &s->line, s->no);
}

void diff_snap_deleted(struct sim *sim, struct msnap *s)
{
	struct work  *w = sim->work;
	struct msnap *g = &w->ghosts[w->nghosts % MGHOSTS_MAX];

	if (!s->known) {
		snap_gone(s);
		return;
	}
	snap_gone(g);
	*g = *s;
	memset(s, 0, sizeof(*s));
	w->nghosts++;
}

void diff_vol_new(struct sim *sim, unsigned vol)
{
	sim->work->lines[vol].n = 0;
	for (unsigned i = 0; i < MGHOSTS_MAX; i++)
		if (sim->work->ghosts[i].vol == vol)
			snap_gone(&sim->work->ghosts[i]);
}

/* --- comparing ----------------------------------------------------------- */

struct diff {
	const struct msnap *old, *new;
	uint64_t off; /* bytes, done up to here */
};

static void check_block(struct sim *sim, const struct diff *d, uint64_t b,
			const struct vol_extent *x)
{
	static const uint8_t zeros[TARN_BLOCK];
	uint32_t before = b < d->old->nblocks ?
				  d->old->crcs[b] :
				  crc32c(0, zeros, TARN_BLOCK);

	if (before != d->new->crcs[b] && !x->changed)
		sim_fail(sim, "P11: a diff of %s since %s lacks block %llu",
			 d->new->name, d->old->name, (unsigned long long)b);
	if (x->hole && d->new->crcs[b] != crc32c(0, zeros, TARN_BLOCK))
		sim_fail(sim, "a diff of %s since %s calls block %llu a hole",
			 d->new->name, d->old->name, (unsigned long long)b);
	/* What was cut off before the older one goes at leisure. */
	if (x->changed && b < d->old->nblocks &&
	    (b >= d->new->covers.n || d->new->covers.last[b] < d->old->since))
		sim_fail(sim, "a diff of %s since %s has block %llu, which no "
			 "request covered", d->new->name, d->old->name,
			 (unsigned long long)b);
	STAT_ADD(sim, diff_blocks, x->changed);
}

static void check_extents(struct sim *sim, struct diff *d,
			  const struct vol_req *r)
{
	if (r->nextents == 0)
		sim_fail(sim, "a diff has no extents");
	for (uint32_t i = 0; i < r->nextents; i++) {
		const struct vol_extent *x = &r->extents[i];

		for (uint64_t b = d->off / TARN_BLOCK;
		     b * TARN_BLOCK < d->off + x->len_bytes; b++)
			check_block(sim, d, b, x);
		d->off += x->len_bytes;
	}
}

static void diff_done(struct vol_req *req)
{
	container_of(req, struct snapper, req)->read = true;
}

/* False when the engine stopped. */
static bool compare(struct sim *sim, const struct msnap *old,
		    const struct msnap *new)
{
	static struct vol_extent extents[EXTENTS_MAX];
	struct snapper *sn = &sim->work->snapper;
	struct vol_req *r = &sn->req;
	struct diff     d = { .old = old, .new = new };
	struct vol_base base;

	if (old->state == MSNAP_THERE &&
	    (vol_base(new->v, old->name, &base) < 0 ||
	     base.birth != old->birth))
		sim_fail(sim, "snapshot %s is no base of %s", old->name,
			 new->name);
	TRACE(sim, 48, old->birth, 0, "diff of %s since %s", new->name,
	      old->name);
	STAT(sim, diffs);
	while (d.off < new->size_bytes) {
		memset(r, 0, sizeof(*r));
		sn->read = false;
		r->vol = new->v;
		r->op = VOL_DIFF;
		r->base_birth = old->birth;
		r->off_bytes = d.off;
		r->len_bytes = new->size_bytes - d.off;
		r->extents = extents;
		r->extents_max = (uint32_t)between(&sim->rng, 1, EXTENTS_MAX);
		r->done = diff_done;
		vol_submit(r);
		while (!sn->read)
			if (!life_turn(sim, UINT64_MAX))
				return false;
		if (r->res != 0)
			sim_fail(sim, "P4: a diff of %s since %s failed: %d",
				 new->name, old->name, r->res);
		check_extents(sim, &d, r);
	}
	return true;
}

/* Is s an older one than new, that can be compared with it? */
static bool is_base(const struct msnap *s, const struct msnap *new)
{
	if (!s->known || s->state == MSNAP_TAKING ||
	    s->state == MSNAP_KEEPING || s->vol != new->vol ||
	    s->no == new->no)
		return false;
	for (unsigned i = 0; i < new->line.n; i++)
		if (new->line.no[i] == s->no)
			return true;
	return false;
}

bool diff_act(struct sim *sim, struct msnap *new)
{
	struct msnap *old = NULL;
	unsigned      n = 0;

	for (unsigned i = 0; i < MSNAPS_MAX + MGHOSTS_MAX; i++) {
		struct msnap *s = i < MSNAPS_MAX ?
					  &sim->work->snaps[i] :
					  &sim->work->ghosts[i - MSNAPS_MAX];

		if (is_base(s, new) && chance(&sim->rng, 1, ++n))
			old = s;
	}
	return old == NULL || compare(sim, old, new);
}
