/* tools/check/check_replay.c - what the rows after the commit do to the map.
 *
 * Data: what the records change goes into layers over the commit's trees
 * (check_layer.c); the segments' bits of live blocks change along.  A block is
 * live as long as any tree of its family has it; those that have it are next to
 * one another.  So who writes looks at the next older tree alone, and who drops
 * what a deleted tree had at the younger one too, of which there is only one.
 * What a commit that was not completed wrote (nodes, pages, a root) counts for
 * nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/bitmap.h"
#include "tools/check/check_tree.h"

/* An unmap of more leaves than this looks for those that there are. */
#define UNMAP_NARROW 64u

/* --- live blocks --------------------------------------------------------- */

static int live_set(struct ck *ck, uint64_t place, bool live)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	uint64_t bit = ck_seg_bit(ck, ck_place_unit(ck, place),
				  ck_place_off(ck, place));

	if (seg == NULL)
		return 0; /* said when it was owned */
	if (!ck_seg_bits(ck, &seg->live_now))
		return -ENOMEM;
	if (live)
		bitmap_set(seg->live_now, bit);
	else
		bitmap_clear(seg->live_now, bit);
	return 0;
}

/* The last tree that had it has it no longer. */
static int block_drop(struct ck *ck, uint64_t place)
{
	if (ck->mapped > 0)
		ck->mapped--;
	return live_set(ck, place, false);
}

static int block_take(struct ck *ck, uint64_t place)
{
	ck->mapped++;
	return live_set(ck, place, true);
}

/* --- changing a leaf of a volume ----------------------------------------- */

struct change {
	struct ck_leaf *leaf;
	uint64_t        older[LEAF_ENTRIES]; /* the same in the next older
					      * tree */
	bool            unknown;             /* it has, but cannot be had */
};

static int change_start(struct ck *ck, struct change *c, struct ck_volume *v,
			uint64_t index)
{
	const struct ck_volume *o = ck_tree_older(ck, v, 0, index,
						  &c->unknown);

	memset(c->older, 0, sizeof(c->older));
	if (o != NULL && ck_leaf_places(ck, o, index, c->older) < 0)
		c->unknown = true;
	c->leaf = ck_leaf_get(ck, v, index);
	return c->leaf == NULL ? -ENOMEM : 0;
}

static int entry_set(struct ck *ck, struct change *c, uint64_t block,
		     uint64_t place)
{
	uint32_t i = block % LEAF_ENTRIES;
	uint64_t old = ck_moved(ck, c->leaf->places[i]);
	int r = 0;

	if (old != PLACE_NONE && !c->unknown && old != c->older[i])
		r = block_drop(ck, old);
	c->leaf->places[i] = place;
	if (r == 0 && place != PLACE_NONE)
		r = block_take(ck, place);
	return r;
}

/* --- records ------------------------------------------------------------- */

/* A volume that data may be written to; NULL: there is none. */
static struct ck_volume *volume_written(struct ck *ck, const struct ck_row *row,
					const struct ck_rec *r)
{
	struct ck_volume *v = ck_volume_find(ck, r->rec.id);

	if (v != NULL && v->kind != CATALOG_VOLUME) {
		ck_error(ck, "row %" PRIu64 " writes to %s", row->row,
			 ck_tree_text(v).s);
		return NULL;
	}
	if (v == NULL || v->state == 0) {
		ck_verbose(ck, "row %" PRIu64 " writes to volume %" PRIu32
			   ", which does not exist: nothing to do", row->row,
			   r->rec.id);
		return NULL;
	}
	return v;
}

static bool blocks_exist(struct ck *ck, const struct ck_row *row,
			 const struct ck_rec *r)
{
	uint64_t end = VOLUME_BYTES_MAX / TARN_BLOCK;
	uint64_t n = r->rec.type == REC_UNMAP ? r->rec.ext : r->rec.n;

	if (r->rec.block <= end && n <= end - r->rec.block)
		return true;
	ck_error(ck, "row %" PRIu64 " changes blocks of %s %" PRIu32
		 " from %" PRIu64 " on, beyond any volume", row->row,
		 r->rec.type == REC_MOVE ? "family" : "volume", r->rec.id,
		 r->rec.block);
	return false;
}

static int replay_write(struct ck *ck, const struct ck_segment *seg,
			const struct ck_row *row, const struct ck_rec *r)
{
	struct ck_volume *v = volume_written(ck, row, r);
	struct change c;
	int res = 0;

	if (v == NULL || v->state != CATALOG_READY ||
	    !blocks_exist(ck, row, r))
		return 0;
	if (rec_family(&r->rec) != v->family)
		ck_error(ck, "row %" PRIu64 " writes to %s of family %" PRIu32
			 " as if it were of family %" PRIu32, row->row,
			 ck_tree_text(v).s, v->family, rec_family(&r->rec));
	for (uint32_t j = 0; j < r->rec.n && res == 0; j++) {
		uint64_t block = r->rec.block + j;

		if (j == 0 || block % LEAF_ENTRIES == 0)
			res = change_start(ck, &c, v, block / LEAF_ENTRIES);
		if (res == 0)
			res = entry_set(ck, &c, block,
					ck_row_place(ck, seg, row,
						     r->first + j));
	}
	return res;
}

/* Does any tree of the family have this block at `place`?  Whatever is live
 * was written as what it is. */
static bool is_at(struct ck *ck, uint32_t family, uint64_t block,
		  uint64_t place, struct ck_row **ret_row, uint32_t *ret_i)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	uint32_t unit = ck_place_unit(ck, place);
	uint32_t off = ck_place_off(ck, place);
	const struct ck_rec *r;

	if (seg == NULL || place >> PLACE_BITS != 0 || seg->live_now == NULL ||
	    !bitmap_test(seg->live_now, ck_seg_bit(ck, unit, off)))
		return false;
	*ret_row = ck_row_at(ck, seg, unit, off, ret_i);
	if (*ret_row == NULL)
		return true; /* said when it was owned */
	r = ck_rec_of(*ret_row, *ret_i);
	return r != NULL &&
	       (r->rec.type == REC_WRITE || r->rec.type == REC_MOVE) &&
	       rec_family(&r->rec) == family &&
	       r->rec.block + (*ret_i - r->first) == block;
}

static int block_move(struct ck *ck, const struct ck_row *row, uint32_t i,
		      uint64_t from, uint64_t to)
{
	int r = ck_move_add(ck, from, to);

	if (r == -EINVAL) {
		ck_error(ck, "row %" PRIu64 " moves block %" PRIu32 " of its "
			 "payload to where it, or another one, was moved away "
			 "from", row->row, i);
		return 0;
	}
	if (r == 0)
		r = live_set(ck, from, false);
	return r < 0 ? r : live_set(ck, to, true);
}

static int replay_move(struct ck *ck, const struct ck_segment *seg,
		       const struct ck_row *row, const struct ck_rec *r)
{
	uint32_t family = r->rec.id;
	int res = 0;

	if (!blocks_exist(ck, row, r))
		return 0;
	for (uint32_t j = 0; j < r->rec.n && res == 0; j++) {
		uint64_t block = r->rec.block + j;
		struct ck_row *old;
		uint32_t i;

		if (!is_at(ck, family, block, r->rec.ext + j, &old, &i))
			continue; /* written since it was read */
		if (old != NULL && old->crcs[i] != row->crcs[r->first + j])
			ck_error(ck, "row %" PRIu64 " moves block %" PRIu64
				 " of family %" PRIu32 ", and its content "
				 "changes", row->row, block, family);
		res = block_move(ck, row, r->first + j, r->rec.ext + j,
				 ck_row_place(ck, seg, row, r->first + j));
	}
	return res;
}

/* arg: blocks from .. to-1. */
static int leaf_unmap(struct ck *ck, struct ck_volume *v, uint64_t index,
		      void *arg)
{
	const uint64_t *blocks = arg;
	struct change c;
	int r = change_start(ck, &c, v, index);

	for (uint32_t i = 0; i < LEAF_ENTRIES && r == 0; i++) {
		uint64_t block = index * LEAF_ENTRIES + i;

		if (block >= blocks[0] && block < blocks[1])
			r = entry_set(ck, &c, block, PLACE_NONE);
	}
	return r;
}

int ck_replay_unmap(struct ck *ck, struct ck_volume *v, uint64_t from,
		    uint64_t to)
{
	uint64_t blocks[2] = { from, to };
	struct ck_leaves range = { .from = from / LEAF_ENTRIES,
				   .to = div_up(to, LEAF_ENTRIES),
				   .shared = true,
				   .fn = leaf_unmap,
				   .arg = blocks };
	int r = 0;

	if (range.to - range.from > UNMAP_NARROW)
		return ck_leaves_each(ck, v, &range);
	for (uint64_t i = range.from; i < range.to && r == 0; i++)
		r = leaf_unmap(ck, v, i, blocks);
	return r;
}

static int replay_unmap(struct ck *ck, const struct ck_row *row,
			const struct ck_rec *r)
{
	struct ck_volume *v = volume_written(ck, row, r);

	if (v == NULL || v->state != CATALOG_READY ||
	    !blocks_exist(ck, row, r))
		return 0;
	return ck_replay_unmap(ck, v, r->rec.block,
			       r->rec.block + r->rec.ext);
}

/* --- a tree that is being deleted ---------------------------------------- */

static int leaf_drop(struct ck *ck, struct ck_volume *t, uint64_t index,
		     void *arg)
{
	uint64_t places[LEAF_ENTRIES], older[LEAF_ENTRIES] = { 0 };
	uint64_t younger[LEAF_ENTRIES] = { 0 };
	bool unknown;
	const struct ck_volume *o = ck_tree_older(ck, t, 0, index, &unknown);
	const struct ck_volume *y = ck_tree_younger(ck, t, 0, index);
	int r = 0;

	(void)arg;
	if (unknown || ck_leaf_places(ck, t, index, places) < 0 ||
	    (o != NULL && ck_leaf_places(ck, o, index, older) < 0) ||
	    (y != NULL && ck_leaf_places(ck, y, index, younger) < 0))
		return 0; /* said when it was walked */
	for (uint32_t i = 0; i < LEAF_ENTRIES && r == 0; i++) {
		if (places[i] != PLACE_NONE && places[i] != older[i] &&
		    places[i] != younger[i])
			r = block_drop(ck, places[i]);
	}
	return r;
}

int ck_replay_drop(struct ck *ck, struct ck_volume *t, uint64_t from,
		   uint64_t to)
{
	struct ck_leaves range = { .from = from, .to = to, .fn = leaf_drop };

	return ck_leaves_each(ck, t, &range);
}

/* --- a fork -------------------------------------------------------------- */

/* Has one that derives from t, or what takes its place there, the block? */
static bool kid_has(struct ck *ck, const struct ck_volume *t, uint64_t index,
		    uint32_t i, uint64_t place)
{
	uint64_t places[LEAF_ENTRIES];

	for (uint32_t k = t->kid; k != CK_NO_TREE; k = ck->vols[k].next) {
		const struct ck_volume *y = &ck->vols[k];

		if (!ck_tree_holds(y, 0, index))
			y = ck_tree_younger(ck, y, 0, index);
		if (y != NULL && ck_leaf_places(ck, y, index, places) == 0 &&
		    places[i] == place)
			return true;
	}
	return false;
}

int ck_replay_thin(struct ck *ck, struct ck_volume *t, uint64_t index,
		   const uint8_t *slots, bool *ret_needed)
{
	struct change c;
	int r = change_start(ck, &c, t, index);

	for (uint32_t i = 0; i < LEAF_ENTRIES && r == 0; i++) {
		uint64_t place;

		if ((slots[i / 8] >> i % 8 & 1) == 0)
			continue;
		place = ck_moved(ck, c.leaf->places[i]);
		if (place != PLACE_NONE && kid_has(ck, t, index, i, place))
			*ret_needed = true;
		else
			r = entry_set(ck, &c, i, PLACE_NONE);
	}
	return r;
}

/* --- rows ---------------------------------------------------------------- */

int ck_replay_row(struct ck *ck, struct ck_segment *seg, struct ck_row *row)
{
	bool any = false;
	int  res = ck_layers_init(ck);

	for (uint32_t i = 0; i < row->nrecs && res == 0; i++) {
		const struct ck_rec *r = &row->recs[i];

		switch (r->rec.type) {
		case REC_WRITE:
			res = replay_write(ck, seg, row, r);
			break;
		case REC_MOVE:
			res = replay_move(ck, seg, row, r);
			break;
		case REC_UNMAP:
			res = replay_unmap(ck, row, r);
			break;
		case REC_CATALOG:
			res = ck_replay_catalog(ck, row, r);
			break;
		default:
			continue; /* of a commit */
		}
		any = true;
	}
	if (any)
		ck->rep->rows_replayed++;
	return res;
}
