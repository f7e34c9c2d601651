/* volume/vol_unmap.c - unmapping a range of whole blocks in slices.
 *
 *   slice: the next leaves that exist, at most SPAN_LEAVES, are brought into
 *          memory --> if anything is mapped, one UNMAP record --> apply drops
 *          it --> next slice in a later turn
 *
 * What does not exist is skipped without a record.  When there is no room for
 * a record, a TRIM leaves the rest as it is: it is a hint.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/volumes.h"

static void slice_start(struct vol_span *s);

static void span_end(struct vol_span *s, int res)
{
	s->res = res;
	s->done(s);
}

static void slice_work(struct io_work *w)
{
	slice_start(container_of(w, struct vol_span, work));
}

/* Done up to s->slice_end: go on there in a later turn. */
static void slice_next(struct vol_span *s, uint64_t block)
{
	map_load_release(&s->load);
	s->block = block;
	if (s->block >= s->end) {
		span_end(s, 0);
		return;
	}
	range_advance(s->vol, &s->req->range, s->block);
	io_work_init(&s->work, slice_work);
	io_defer(s->vol->vols->io, &s->work);
}

static void unmap_apply(struct log_append *a)
{
	struct vol_span *s = container_of(a, struct vol_span, append);

	struct volumes *vols = s->vol->vols;
	uint64_t passed;

	if (s->vol->state != CATALOG_READY)
		return; /* deleted before it in the log */
	/* New nodes take over what was reserved for them. */
	vols->node_credit = s->reserved;
	map_unmap_range(s->vol, s->slice_block,
			s->slice_end - s->slice_block -
				(CANARY(unmap_short) ? 1 : 0));
	passed = s->reserved - vols->node_credit;
	s->reserved = vols->node_credit;
	vols->node_credit = 0;
	vol_space_pass(s->vol, passed);
}

static void unreserve(struct vol_span *s)
{
	if (s->reserved > 0)
		vol_space_give(s->vol, s->reserved);
	s->reserved = 0;
}

static void slice_append(struct vol_span *s);
static void no_room(struct vol_span *s, int res);

static void space_waited(struct space_wait *w, int res)
{
	struct vol_span *s = container_of(w, struct vol_span, space);

	if (res < 0)
		no_room(s, res);
	else
		slice_append(s);
}

/* Leaves that a snapshot shows too are copied.  0, -ENOSPC, or -EINPROGRESS:
 * slice_append() is called again. */
static int reserve(struct vol_span *s)
{
	uint64_t need = 0;
	int r = 0;

	for (unsigned i = 0; s->vol->origin != NULL && i < s->load.n; i++) {
		const struct mnode *leaf = s->load.slots[i].node;
		uint64_t first = leaf->index * LEAF_ENTRIES;

		/* A leaf of which nothing stays is not copied. */
		if (first >= s->slice_block &&
		    first + LEAF_ENTRIES <= s->slice_end &&
		    map_drops_leaf(leaf, LEAF_ENTRIES))
			leaf = leaf->parent;
		need += vol_nodes_needed(leaf);
	}
	if (need > 0)
		r = vol_space_take(s->vol, need);
	s->reserved = r < 0 ? 0 : need;
	s->wanted = r < 0 ? need : 0;
	/* What we do to free space is in the reserve. */
	if (r == 0 || s->req->state & REQ_INTERNAL)
		return 0;
	/* A trim is a hint: nothing waits for it. */
	return s->req->op != VOL_TRIM &&
			       vol_space_wait(s->vol, &s->space, need,
					      s->req->asked_ns, space_waited) ?
		       -EINPROGRESS :
		       r;
}

/* It ends here: a trim is a hint. */
static void no_room(struct vol_span *s, int res)
{
	map_load_release(&s->load);
	if (res == -ENOSPC && s->req->op == VOL_TRIM)
		res = 0;
	span_end(s, res);
}

static void unmap_done(struct log_append *a)
{
	struct vol_span *s = container_of(a, struct vol_span, append);
	int res = a->res;

	unreserve(s);
	if (res < 0) {
		no_room(s, res);
		return;
	}
	vol_space_may_be(s->vol->vols);
	slice_next(s, s->slice_end);
}

static bool slice_is_mapped(const struct vol_span *s)
{
	for (unsigned i = 0; i < s->load.n; i++) {
		const struct mnode *leaf = s->load.slots[i].node;
		uint64_t first = leaf->index * LEAF_ENTRIES;
		uint64_t from = max_u64(first, s->slice_block);
		uint64_t to = min_u64(first + LEAF_ENTRIES, s->slice_end);
		unsigned n;

		if (from >= to)
			continue;
		n = (unsigned)(to - from);
		if (map_count_unmapped(leaf, (unsigned)(from - first), n) < n)
			return true;
		/* One that smaller trims have emptied goes at last. */
		if (leaf->state == MNODE_READY && leaf->node->used == 0 &&
		    map_drops_leaf(leaf, n))
			return true;
	}
	return false;
}

/* The leaves are in memory: which blocks does the record name? */
static void slice_loaded(struct vol_span *s)
{
	struct map_load *l = &s->load;
	uint64_t first, last = 0;

	if (l->res < 0) {
		int res = l->res;

		map_load_release(l);
		span_end(s, res);
		return;
	}
	if (l->n == 0) {
		slice_next(s, min_u64(s->end, l->next * LEAF_ENTRIES));
		return;
	}
	first = l->slots[0].node->index;
	for (unsigned i = 0; i < l->n; i++)
		if (l->slots[i].node->index - first < SLICE_LEAVES)
			last = l->slots[i].node->index;
	s->slice_block = max_u64(s->block, first * LEAF_ENTRIES);
	s->slice_end = min_u64(s->end, (last + 1) * LEAF_ENTRIES);
	if (!slice_is_mapped(s)) {
		slice_next(s, s->slice_end);
		return;
	}
	slice_append(s);
}

static void slice_append(struct vol_span *s)
{
	int r = reserve(s);

	if (r == -EINPROGRESS)
		return;
	if (r < 0) {
		no_room(s, r);
		return;
	}
	s->append.rec = (struct rec){
		.type = REC_UNMAP,
		.id = s->vol->id,
		.block = s->slice_block,
		.ext = s->slice_end - s->slice_block,
	};
	s->append.class = LOG_CLEANER;
	s->append.asked_ns = s->req->asked_ns;
	s->append.apply = unmap_apply;
	s->append.done = unmap_done;
	log_append_submit(s->vol->vols->pool, &s->append);
}

static void slice_load_done(struct map_load *l)
{
	slice_loaded(container_of(l, struct vol_span, load));
}

static void slice_start(struct vol_span *s)
{
	struct map_load *l = &s->load;

	l->vol = s->vol;
	l->next = leaf_of_block(s->block);
	l->end = leaf_of_block(s->end - 1) + 1;
	l->cap = SPAN_LEAVES;
	l->slots = s->slots;
	l->create = false;
	l->skip_failed = false;
	l->done = slice_load_done;
	if (map_load_start(l))
		slice_loaded(s);
}

void span_unmap_start(struct vol_span *s)
{
	assert(s->block < s->end);
	slice_start(s);
}
