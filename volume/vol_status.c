/* volume/vol_status.c - what is mapped, and loading ahead.
 *
 * STATUS walks the leaves of its range in slices of SPAN_LEAVES, one slice a
 * turn, and joins what is alike into extents.
 */
#include <assert.h>
#include <string.h>

#include "volume/volumes.h"

static void status_slice(struct vol_span *s);

static void load_range(struct vol_span *s, void (*done)(struct map_load *l))
{
	struct map_load *l = &s->load;

	l->vol = s->vol;
	l->next = leaf_of_block(s->block);
	l->end = leaf_of_block(s->end - 1) + 1;
	l->cap = SPAN_LEAVES;
	l->slots = s->slots;
	l->create = false;
	l->done = done;
}

/* Blocks s->block .. end-1 are all mapped, or all holes.  False: the answer is
 * complete. */
static bool extent_add(struct vol_span *s, uint64_t end, bool hole)
{
	struct vol_req *req = s->req;
	uint64_t from = max_u64(req->off_bytes, blocks_to_bytes(s->block));
	uint64_t to = min_u64(req->off_bytes + req->len_bytes,
			      blocks_to_bytes(end));
	uint32_t max = req->flags & VOL_ONE ? 1 : req->extents_max;
	struct vol_extent *x;

	s->block = end;
	if (from >= to)
		return true;
	if (req->nextents > 0) {
		x = &req->extents[req->nextents - 1];
		if (x->hole == hole) {
			x->len_bytes += to - from;
			return true;
		}
	}
	if (req->nextents >= min_u32(max, req->extents_max))
		return false;
	x = &req->extents[req->nextents++];
	x->len_bytes = to - from;
	x->hole = hole;
	return true;
}

/* Go through the entries of a leaf from s->block on. */
static bool leaf_add(struct vol_span *s, const struct mnode *leaf)
{
	const struct leaf_entry *e;
	uint64_t first = leaf->index * LEAF_ENTRIES;
	uint64_t end = min_u64(s->end, first + LEAF_ENTRIES);

	if (leaf->state != MNODE_READY)
		return extent_add(s, end, true);
	e = leaf_entries(leaf);
	while (s->block < end) {
		uint64_t b = s->block;
		bool hole = entry_place(&e[b - first]) == PLACE_NONE;

		while (b < end &&
		       (entry_place(&e[b - first]) == PLACE_NONE) == hole)
			b++;
		if (!extent_add(s, b, hole))
			return false;
	}
	return true;
}

/* False: the answer is complete. */
static bool status_add(struct vol_span *s)
{
	struct map_load *l = &s->load;
	uint64_t end = min_u64(s->end, l->next * LEAF_ENTRIES);

	for (unsigned i = 0; i < l->n; i++) {
		const struct mnode *leaf = l->slots[i].node;
		uint64_t first = leaf->index * LEAF_ENTRIES;

		if (s->block < first && !extent_add(s, first, true))
			return false;
		if (!leaf_add(s, leaf))
			return false;
	}
	return s->block >= end || extent_add(s, end, true);
}

static void status_work(struct io_work *w)
{
	status_slice(container_of(w, struct vol_span, work));
}

static void status_loaded(struct vol_span *s)
{
	int  res = s->load.res;
	bool more = false;

	if (res == 0)
		more = status_add(s) && s->block < s->end;
	map_load_release(&s->load);
	if (more) {
		io_work_init(&s->work, status_work);
		io_defer(s->vol->vols->io, &s->work);
		return;
	}
	/* What was found before an error is an answer. */
	s->res = s->req->nextents > 0 ? 0 : res;
	s->done(s);
}

static void status_load_done(struct map_load *l)
{
	status_loaded(container_of(l, struct vol_span, load));
}

static void status_slice(struct vol_span *s)
{
	load_range(s, status_load_done);
	if (map_load_start(&s->load))
		status_loaded(s);
}

void span_status_start(struct vol_span *s)
{
	s->req->nextents = 0;
	status_slice(s);
}

static void cache_loaded(struct vol_span *s)
{
	map_load_release(&s->load);
	s->res = 0; /* a hint */
	s->done(s);
}

static void cache_load_done(struct map_load *l)
{
	cache_loaded(container_of(l, struct vol_span, load));
}

void span_cache_start(struct vol_span *s)
{
	load_range(s, cache_load_done);
	if (map_load_start(&s->load))
		cache_loaded(s);
}
