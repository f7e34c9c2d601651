/* volume/vol_status.c - what is mapped, what has changed, and loading ahead.
 *
 * STATUS and DIFF walk the leaves of their range in slices of SPAN_LEAVES, one
 * slice a turn, and join what is alike into extents.  A DIFF reads only leaves
 * in which something has changed since its base; a STATUS those that there are.
 * About all others the inner nodes say enough (map_gap()).
 */
#include <assert.h>
#include <string.h>

#include "volume/volumes.h"

/* What extents tell apart. */
struct kind {
	bool hole;
	bool changed;
};

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

/* Of what is not asked about, nothing is said. */
static struct kind kind_of(const struct vol_req *req, bool hole, bool changed)
{
	if (req->op == VOL_DIFF)
		return (struct kind){ changed && hole, changed };
	return (struct kind){ hole, changed && hole && req->base_birth != 0 };
}

/* Blocks s->block .. end-1 are all of one kind.  False: the answer is
 * complete. */
static bool extent_add(struct vol_span *s, uint64_t end, struct kind kind)
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
		if (x->hole == kind.hole && x->changed == kind.changed) {
			x->len_bytes += to - from;
			return true;
		}
	}
	if (req->nextents >= min_u32(max, req->extents_max))
		return false;
	x = &req->extents[req->nextents++];
	x->len_bytes = to - from;
	x->hole = kind.hole;
	x->changed = kind.changed;
	return true;
}

static struct kind entry_kind(const struct vol_span *s,
			      const struct leaf_entry *e)
{
	return kind_of(s->req, entry_place(e) == PLACE_NONE,
		       le32_get(e->birth) > s->req->base_birth);
}

/* The first of the entries i .. end-1 that has changed since the base. */
static unsigned next_changed(const struct leaf_entry *e, unsigned i,
			     unsigned end, uint32_t base_birth)
{
	while (i < end && le32_get(e[i].birth) <= base_birth)
		i++;
	return i;
}

/* Behind the entry i and those after it that are of the same kind. */
static unsigned run_end(const struct vol_span *s, const struct mnode *leaf,
			unsigned i, unsigned end, struct kind kind)
{
	const struct leaf_entry *e = leaf_entries(leaf);

	/* Most of a leaf is like this. */
	if (s->req->op == VOL_DIFF && !kind.changed)
		return next_changed(e, i + 1, end, s->req->base_birth);
	if (s->req->op == VOL_STATUS && leaf->node->used == LEAF_ENTRIES)
		return end;
	for (i++; i < end; i++) {
		struct kind next = entry_kind(s, &e[i]);

		if (next.hole != kind.hole || next.changed != kind.changed)
			break;
	}
	return i;
}

/* Go through the entries of a leaf from s->block on. */
static bool leaf_add(struct vol_span *s, const struct mnode *leaf)
{
	uint64_t first = leaf->index * LEAF_ENTRIES;
	uint64_t end = min_u64(s->end, first + LEAF_ENTRIES);

	/* It went while others were waited for. */
	if (leaf->state != MNODE_READY)
		return extent_add(s, end, kind_of(s->req, true, true));
	while (s->block < end) {
		unsigned i = (unsigned)(s->block - first);
		struct kind kind = entry_kind(s, leaf_entries(leaf) + i);
		unsigned next = run_end(s, leaf, i, (unsigned)(end - first),
					kind);

		if (!extent_add(s, first + next, kind))
			return false;
	}
	return true;
}

/* False: the answer is complete. */
static bool status_add(struct vol_span *s)
{
	struct map_load *l = &s->load;

	for (unsigned i = 0; i < l->n; i++) {
		const struct map_gap *gap = &s->gaps[i];
		bool more;

		if (gap->end == 0)
			more = leaf_add(s, l->slots[i].node);
		else
			more = extent_add(s, min_u64(s->end, gap->end *
							     LEAF_ENTRIES),
					  kind_of(s->req, true, gap->changed));
		if (!more)
			return false;
	}
	return true;
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
	s->load.gaps = s->gaps;
	s->load.since = s->req->base_birth;
	s->load.holes = s->req->op == VOL_STATUS;
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
