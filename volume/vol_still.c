/* volume/vol_still.c - is a volume still what a snapshot shows?
 *
 *   derives from something else, another size   --> no
 *   has the same root                           --> yes
 *   the snapshot was not shrunk                 --> no
 *   otherwise: nodes on the way to its end --> births --> yes, or no
 *              the block that is there in part --> both are read --> …
 *
 * A snapshot that was taken while its volume was being made smaller shows
 * blocks behind its end, which the volume has let go since: their roots differ
 * though nobody has written anything.  What is before the end has changed if
 * something there is younger than the snapshot.  A block that is cut by the end
 * was written again to clear its rest, so of that only the content tells.
 *
 * While that is found out, nothing keeps clients from writing, and what they
 * write may be seen or not: who must be sure sees to it that there are none
 * (vol_ctl_must_wait()), and asks then.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/volumes.h"

struct vol_still {
	struct vol_ctl    *ctl;
	struct volume     *v, *snap;  /* held */
	bool               known;     /* the operation's turn comes again */
	bool               is;
	struct map_load    load;
	struct node_waiter slots[1];
	struct vol_req     reqs[2];
	unsigned           reading;
	int                res;
	uint8_t           *bufs[2];   /* a block each */
	struct io_work     work;
};

static void still_work(struct io_work *w);

int vol_still_init(struct volumes *vols)
{
	struct vol_still *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	vols->ctl.still = s;
	io_work_init(&s->work, still_work);
	for (int i = 0; i < 2; i++) {
		s->bufs[i] = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
		if (s->bufs[i] == NULL)
			return -ENOMEM;
	}
	return 0;
}

void vol_still_fini(struct volumes *vols)
{
	struct vol_still *s = vols->ctl.still;

	if (s == NULL)
		return;
	if (s->work.fn != NULL)
		io_undefer(&s->work);
	free(s->bufs[0]);
	free(s->bufs[1]);
	free(s);
	vols->ctl.still = NULL;
}

/* --- what births say ----------------------------------------------------- */

/* Of the children of n up to the one that begins at leaf `end`, or has that in
 * it: is none of those before it younger?  *ret_last: which one that is. */
static bool children_are_old(const struct mnode *n, uint64_t end,
			     uint32_t since, uint64_t *ret_last)
{
	unsigned shift = 9u * (n->level - 1u);
	uint64_t first = n->index * INNER_CHILDREN;
	uint64_t last = (end >> shift) - first, i;

	*ret_last = last;
	for (i = 0; i < last && i < INNER_CHILDREN; i++)
		if (le32_get(inner_children(n)[i].birth) > since)
			return false;
	return true;
}

/* Is nothing before block `end` younger than `since`, as far as is in
 * memory? */
static bool is_old(const struct volume *v, uint64_t end, uint32_t since)
{
	const struct mnode *n = v->root;

	while (n != NULL && n->state == MNODE_READY && n->level > 0) {
		unsigned shift = 9u * (n->level - 1u);
		uint64_t last;

		if (!children_are_old(n, leaf_of_block(end), since, &last))
			return false;
		if (last >= INNER_CHILDREN ||
		    le32_get(inner_children(n)[last].birth) <= since ||
		    ((n->index * INNER_CHILDREN + last) << shift) *
				    LEAF_ENTRIES == end)
			return true;
		n = n->kids[last];
	}
	if (n == NULL || n->state != MNODE_READY)
		return false;
	for (unsigned i = 0; i < LEAF_ENTRIES; i++)
		if (n->index * LEAF_ENTRIES + i < end &&
		    le32_get(leaf_entries(n)[i].birth) > since)
			return false;
	return true;
}

/* --- finding out --------------------------------------------------------- */

static void still_end(struct vol_still *s, bool is)
{
	struct vol_ctl *ctl = s->ctl;
	struct volumes *vols = ctl->vols;
	struct volume  *v = s->v, *snap = s->snap;

	s->known = true;
	s->is = is;
	if (s->res < 0)
		vol_ctl_refuse(vols, ctl, s->res,
			       "Nobody can tell whether volume '%.80s' has "
			       "changed since snapshot '%.80s': the pool could "
			       "not read it; see its status.", v->name,
			       snap->name);
	else
		vol_ctl_again(vols, ctl);
	s->known = false;
	s->v = s->snap = NULL;
	vol_release(v);
	vol_release(snap);
}

static void still_work(struct io_work *w)
{
	struct vol_still *s = container_of(w, struct vol_still, work);

	still_end(s, memcmp(s->bufs[0], s->bufs[1],
			    s->snap->size_bytes % TARN_BLOCK) == 0);
}

static void block_read(struct vol_req *req)
{
	struct volume    *v = req->vol;
	struct vol_still *s = v->vols->ctl.still;

	if (req->res < 0 && s->res == 0)
		s->res = req->res;
	if (--s->reading == 0)
		io_defer(v->vols->io, &s->work);
}

/* The block that the end cuts. */
static void blocks_read(struct vol_still *s)
{
	uint64_t len = s->snap->size_bytes % TARN_BLOCK;
	struct volume *vols[2] = { s->v, s->snap };

	s->reading = 2;
	for (int i = 0; i < 2; i++) {
		struct vol_req *r = &s->reqs[i];

		memset(r, 0, sizeof(*r));
		r->vol = vols[i];
		r->op = VOL_READ;
		r->off_bytes = s->snap->size_bytes - len;
		r->len_bytes = len;
		r->buf = s->bufs[i];
		r->done = block_read;
		vol_submit_internal(r);
	}
}

static void still_loaded(struct vol_still *s)
{
	uint64_t size = s->snap->size_bytes;
	bool old;

	s->res = s->load.res;
	old = s->res == 0 &&
	      is_old(s->v, size / TARN_BLOCK, s->snap->birth);
	map_load_release(&s->load);
	if (old && size % TARN_BLOCK != 0)
		blocks_read(s);
	else
		still_end(s, old);
}

static void load_done(struct map_load *l)
{
	still_loaded(container_of(l, struct vol_still, load));
}

static void still_ask(struct vol_still *s, struct vol_ctl *ctl,
		      struct volume *v, struct volume *snap)
{
	struct map_load *l = &s->load;

	s->ctl = ctl;
	s->v = v;
	s->snap = snap;
	s->res = 0;
	vol_hold(v);
	vol_hold(snap);
	memset(l, 0, sizeof(*l));
	l->vol = v;
	l->next = leaf_of_block(snap->size_bytes / TARN_BLOCK);
	l->end = min_u64(l->next + 1, levels_to_leaves(v->levels));
	/* Its last leaf will do when there is none behind the end. */
	l->next = min_u64(l->next, l->end - 1);
	l->cap = 1;
	l->slots = s->slots;
	l->done = load_done;
	if (map_load_start(l))
		still_loaded(s);
}

bool vol_may_be_still(const struct volume *v, const struct volume *snap)
{
	return tree_lasting_origin(v) == snap &&
	       v->size_bytes == snap->size_bytes &&
	       (v->root_id == snap->root_id ||
		(snap->flags & CATALOG_SHRUNK) != 0);
}

bool vol_is_still(struct vol_ctl *ctl, struct volume *v, struct volume *snap,
		  bool *ret_is)
{
	struct vol_still *s = v->vols->ctl.still;

	*ret_is = vol_may_be_still(v, snap);
	if (!*ret_is || v->root_id == snap->root_id)
		return true;
	*ret_is = false;
	if (s->known && s->v == v && s->snap == snap) {
		*ret_is = s->is;
		return true;
	}
	still_ask(s, ctl, v, snap);
	return false;
}
