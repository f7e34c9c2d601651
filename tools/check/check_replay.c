/* tools/check/check_replay.c - what the rows after the commit do to the map.
 *
 * Leaves that the log touches are copied from the commit's tree into a hash
 * table and changed there; the segments' bits of live blocks change along.
 * What a commit that was not completed wrote (nodes, pages, a root) counts for
 * nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "tools/check/check_state.h"

#define LEAF_BUCKETS 65536u
/* An unmap of more leaves than this looks for those that there are. */
#define UNMAP_NARROW 64u

struct ck_leaf {
	struct ck_leaf *next;
	uint32_t        volume;
	uint64_t        index;
	struct {
		uint64_t place;
		uint32_t crc;
	} e[LEAF_ENTRIES];
};

static struct ck_leaf **bucket_of(struct ck *ck, uint32_t volume,
				  uint64_t index)
{
	uint64_t h = (index * 0x9e3779b97f4a7c15ull) ^
		     (volume * 0xbf58476d1ce4e5b9ull);

	return &ck->leaves[(h >> 32) % LEAF_BUCKETS];
}

void ck_leaves_free(struct ck *ck)
{
	for (uint32_t i = 0; ck->leaves != NULL && i < LEAF_BUCKETS; i++) {
		struct ck_leaf *l = ck->leaves[i];

		while (l != NULL) {
			struct ck_leaf *next = l->next;

			free(l);
			l = next;
		}
	}
	free(ck->leaves);
	ck->leaves = NULL;
}

static uint64_t leaves_below(unsigned level)
{
	return 1ull << (9 * level);
}

/* Node id of a leaf in the commit's tree; 0: there is none. */
static uint32_t leaf_node(struct ck *ck, const struct ck_volume *v,
			  uint64_t index, uint8_t *buf)
{
	uint32_t id = le32_get(v->slot.root);
	unsigned level = v->slot.levels;

	if (index >= leaves_below(level))
		return 0;
	for (; level > 0 && id != 0; level--) {
		uint64_t i = index / leaves_below(level - 1) % INNER_CHILDREN;

		if (ck_node_read(ck, id, buf) < 0)
			return 0; /* said when the tree was walked */
		id = le32_get(((struct inner_child *)(void *)buf)[i].node);
	}
	return id;
}

/* The leaf as it is now; NULL: no memory. */
static struct ck_leaf *leaf_get(struct ck *ck, const struct ck_volume *v,
				uint64_t index)
{
	struct ck_leaf **b = bucket_of(ck, v->id, index);
	struct ck_leaf *l = *b;
	uint8_t *buf;
	uint32_t id;

	while (l != NULL && (l->volume != v->id || l->index != index))
		l = l->next;
	if (l != NULL)
		return l;
	l = ck_alloc(ck, 1, sizeof(*l));
	buf = ck_alloc(ck, 1, TARN_BLOCK);
	if (l == NULL || buf == NULL) {
		free(l);
		free(buf);
		return NULL;
	}
	l->volume = v->id;
	l->index = index;
	l->next = *b;
	*b = l;
	id = leaf_node(ck, v, index, buf);
	if (id != 0 && ck_node_read(ck, id, buf) == 0) {
		const struct leaf_entry *e = (const struct leaf_entry *)buf;

		for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
			l->e[i].place = ck_leaf_place(&e[i]);
			l->e[i].crc = le32_get(e[i].crc32c);
		}
	}
	free(buf);
	return l;
}

/* --- changing an entry --------------------------------------------------- */

static bool live_set(struct ck *ck, uint64_t place, bool live)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	uint64_t bit = ck_seg_bit(ck, ck_place_unit(ck, place),
				  ck_place_off(ck, place));

	if (seg == NULL)
		return true; /* said when it was owned */
	if (!ck_seg_bits(ck, &seg->live_now))
		return false;
	if (live)
		bitmap_set(seg->live_now, bit);
	else
		bitmap_clear(seg->live_now, bit);
	return true;
}

static int entry_set(struct ck *ck, struct ck_volume *v, struct ck_leaf *l,
		     uint32_t i, uint64_t place)
{
	if (l->e[i].place != PLACE_NONE) {
		if (!live_set(ck, l->e[i].place, false))
			return -ENOMEM;
		v->mapped--;
	}
	l->e[i].place = place;
	if (place != PLACE_NONE) {
		if (!live_set(ck, place, true))
			return -ENOMEM;
		v->mapped++;
	}
	return 0;
}

/* --- records ------------------------------------------------------------- */

static int replay_write(struct ck *ck, const struct ck_segment *seg,
			const struct ck_row *row, const struct ck_rec *r)
{
	struct ck_volume *v = ck_volume_find(ck, r->rec.id);

	if (v == NULL || v->state == 0) {
		ck_verbose(ck, "row %" PRIu64 " writes to volume %" PRIu32
			   ", which does not exist: nothing to do", row->row,
			   r->rec.id);
		return 0;
	}
	for (uint32_t j = 0; j < r->rec.n; j++) {
		uint64_t block = r->rec.block + j;
		uint32_t i = block % LEAF_ENTRIES;
		struct ck_leaf *l;

		if (block >= VOLUME_BYTES_MAX / TARN_BLOCK) {
			ck_error(ck, "row %" PRIu64 " writes block %" PRIu64
				 " of volume %" PRIu32 ", beyond any volume",
				 row->row, block, v->id);
			return 0;
		}
		l = leaf_get(ck, v, block / LEAF_ENTRIES);
		if (l == NULL)
			return -ENOMEM;
		if (r->rec.type == REC_MOVE) {
			if (l->e[i].place != r->rec.ext + j)
				continue; /* written since it was read */
			if (l->e[i].crc != row->crcs[r->first + j])
				ck_error(ck, "row %" PRIu64 " moves block "
					 "%" PRIu64 " of volume %" PRIu32
					 ", and its content changes", row->row,
					 block, v->id);
		}
		if (entry_set(ck, v, l, i,
			      ck_row_place(ck, seg, row, r->first + j)) < 0)
			return -ENOMEM;
		l->e[i].crc = row->crcs[r->first + j];
	}
	return 0;
}

/* Take the leaves of a subtree into the table that lie in [from, to). */
static int subtree_load(struct ck *ck, struct ck_volume *v, uint32_t id,
			unsigned level, uint64_t index, const uint64_t *range)
{
	uint64_t first = index * leaves_below(level);
	uint8_t *buf;
	int r = 0;

	if (id == 0 || first >= range[1] ||
	    first + leaves_below(level) <= range[0])
		return 0;
	if (level == 0)
		return leaf_get(ck, v, index) == NULL ? -ENOMEM : 0;
	buf = ck_alloc(ck, 1, TARN_BLOCK);
	if (buf == NULL)
		return -ENOMEM;
	if (ck_node_read(ck, id, buf) == 0) {
		const struct inner_child *c = (const struct inner_child *)buf;

		for (uint32_t i = 0; i < INNER_CHILDREN && r == 0; i++)
			r = subtree_load(ck, v, le32_get(c[i].node), level - 1,
					 index * INNER_CHILDREN + i, range);
	}
	free(buf);
	return r;
}

static int leaf_unmap(struct ck *ck, struct ck_volume *v, struct ck_leaf *l,
		      uint64_t from, uint64_t to)
{
	int r = 0;

	for (uint32_t i = 0; i < LEAF_ENTRIES && r == 0; i++) {
		uint64_t block = l->index * LEAF_ENTRIES + i;

		if (block < from || block >= to)
			continue;
		r = entry_set(ck, v, l, i, PLACE_NONE);
		l->e[i].crc = 0;
	}
	return r;
}

/* Blocks from .. to-1. */
static int unmap(struct ck *ck, struct ck_volume *v, uint64_t from,
		 uint64_t to)
{
	uint64_t range[2] = { from / LEAF_ENTRIES, div_up(to, LEAF_ENTRIES) };
	int r = 0;

	if (range[1] - range[0] <= UNMAP_NARROW) {
		for (uint64_t i = range[0]; i < range[1] && r == 0; i++) {
			struct ck_leaf *l = leaf_get(ck, v, i);

			r = l == NULL ? -ENOMEM :
					leaf_unmap(ck, v, l, from, to);
		}
		return r;
	}
	r = subtree_load(ck, v, le32_get(v->slot.root), v->slot.levels, 0,
			 range);
	for (uint32_t b = 0; b < LEAF_BUCKETS && r == 0; b++) {
		for (struct ck_leaf *l = ck->leaves[b]; l != NULL && r == 0;
		     l = l->next) {
			if (l->volume == v->id && l->index >= range[0] &&
			    l->index < range[1])
				r = leaf_unmap(ck, v, l, from, to);
		}
	}
	return r;
}

static int replay_unmap(struct ck *ck, const struct ck_row *row,
			const struct ck_rec *r)
{
	struct ck_volume *v = ck_volume_find(ck, r->rec.id);
	uint64_t end = VOLUME_BYTES_MAX / TARN_BLOCK;

	if (r->rec.block > end || r->rec.ext > end - r->rec.block) {
		ck_error(ck, "row %" PRIu64 " unmaps beyond any volume",
			 row->row);
		return 0;
	}
	if (v == NULL || v->state == 0)
		return 0;
	return unmap(ck, v, r->rec.block, r->rec.block + r->rec.ext);
}

/* --- catalog ------------------------------------------------------------- */

/* The name in a body: { le16 length, bytes }. */
static bool name_take(const uint8_t *p, uint32_t bytes, struct ck_volume *v)
{
	uint32_t len;

	if (bytes < 2)
		return false;
	len = le16_get(*(const le16 *)p);
	if (len == 0 || len > VOLUME_NAME_MAX || len > bytes - 2)
		return false;
	memset(v->name, 0, sizeof(v->name));
	memcpy(v->name, p + 2, len);
	return true;
}

static const char *volume_create(struct ck *ck, const struct ck_rec *r)
{
	const struct catalog_create *c = (const void *)r->body;
	struct ck_volume *v;

	if (r->rec.n < sizeof(*c) || r->rec.block == 0 ||
	    r->rec.block > UINT32_MAX)
		return "creates no proper volume";
	if (ck_volume_find(ck, (uint32_t)r->rec.block) != NULL)
		return "creates a volume that there is";
	v = ck_volume_add(ck);
	if (v == NULL)
		return NULL;
	v->id = (uint32_t)r->rec.block;
	v->state = CATALOG_READY;
	v->uuid = c->uuid;
	v->size_bytes = le64_get(c->size_bytes);
	if (v->size_bytes == 0 || v->size_bytes > VOLUME_BYTES_MAX ||
	    !name_take((const uint8_t *)&c->name_len,
		       r->rec.n - (uint32_t)offsetof(struct catalog_create,
						     name_len),
		       v))
		return "creates a volume with a bad name or size";
	return NULL;
}

static const char *volume_resize(struct ck_volume *v, const struct ck_rec *r)
{
	uint64_t size;

	if (r->rec.n < 8)
		return "resizes to no size";
	size = le64_get(*(const le64 *)r->body);
	if (size == 0 || size > VOLUME_BYTES_MAX)
		return "resizes to a size out of range";
	if (size < v->size_bytes)
		v->slot.flags |= CATALOG_SHRUNK;
	else if (size == v->size_bytes)
		v->slot.flags &= (uint8_t)~CATALOG_SHRUNK;
	v->size_bytes = size;
	return NULL;
}

static const char *volume_reap(struct ck *ck, struct ck_volume *v,
			       const struct ck_rec *r)
{
	uint64_t end = VOLUME_BYTES_MAX / TARN_BLOCK;
	uint64_t cursor;

	if (r->rec.n < 8 || v->state != CATALOG_DELETING)
		return "reaps what is not being deleted";
	cursor = le64_get(*(const le64 *)r->body);
	if (unmap(ck, v, 0, min_u64(cursor, end / LEAF_ENTRIES) *
				    LEAF_ENTRIES) < 0)
		return NULL;
	v->cursor = cursor;
	if (cursor == UINT64_MAX)
		v->state = 0;
	return NULL;
}

static const char *catalog_change(struct ck *ck, const struct ck_rec *r)
{
	struct ck_volume *v;

	if (r->rec.id == CATALOG_CREATE)
		return volume_create(ck, r);
	v = r->rec.block > UINT32_MAX ?
		    NULL :
		    ck_volume_find(ck, (uint32_t)r->rec.block);
	if (v == NULL || v->state == 0)
		return "is about a volume that does not exist";
	switch (r->rec.id) {
	case CATALOG_RESIZE:
		return volume_resize(v, r);
	case CATALOG_RENAME:
		return name_take(r->body, r->rec.n, v) ? NULL :
							 "renames to no name";
	case CATALOG_DELETE:
		v->state = CATALOG_DELETING;
		return NULL;
	case CATALOG_REAP:
		return volume_reap(ck, v, r);
	default:
		return (r->rec.flags & REC_MUST_UNDERSTAND) != 0 ?
			       "is of a kind that this program does not know" :
			       NULL;
	}
}

/* With a page of it gone, volumes that are not found may have been there. */
static bool catalog_lost(const struct ck *ck)
{
	for (uint32_t p = 0; p < ck->tables[TABLE_CATALOG].npages; p++) {
		if (ck_table_lost(ck, TABLE_CATALOG, p))
			return true;
	}
	return false;
}

static int replay_catalog(struct ck *ck, const struct ck_row *row,
			  const struct ck_rec *r)
{
	const char *why;

	if (r->rec.id < CATALOG_VOLUME_FIRST) {
		if ((r->rec.flags & REC_MUST_UNDERSTAND) != 0)
			ck_error(ck, "row %" PRIu64 ": a catalog record of "
				 "kind %" PRIu32 " that this program does not "
				 "know", row->row, r->rec.id);
		return 0;
	}
	why = catalog_change(ck, r);
	if (why != NULL)
		ck_say(ck, catalog_lost(ck) ? CHECK_LOST : CHECK_ERROR,
		       "row %" PRIu64 ": the catalog record of kind %" PRIu32
		       " for volume %" PRIu64 " %s", row->row, r->rec.id,
		       r->rec.block, why);
	return ck->res;
}

/* --- rows ---------------------------------------------------------------- */

int ck_replay_row(struct ck *ck, struct ck_segment *seg, struct ck_row *row)
{
	bool any = false;
	int  res = 0;

	if (ck->leaves == NULL) {
		ck->leaves = ck_alloc(ck, LEAF_BUCKETS, sizeof(*ck->leaves));
		if (ck->leaves == NULL)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < row->nrecs && res == 0; i++) {
		const struct ck_rec *r = &row->recs[i];

		switch (r->rec.type) {
		case REC_WRITE:
		case REC_MOVE:
			res = replay_write(ck, seg, row, r);
			break;
		case REC_UNMAP:
			res = replay_unmap(ck, row, r);
			break;
		case REC_CATALOG:
			res = replay_catalog(ck, row, r);
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

/* Nothing may be mapped behind the end of a volume. */
static void leaf_check(struct ck *ck, const struct ck_leaf *l)
{
	const struct ck_volume *v = ck_volume_find(ck, l->volume);
	uint64_t nblocks = v == NULL ? 0 : bytes_to_blocks_up(v->size_bytes);

	if (v == NULL || v->state != CATALOG_READY ||
	    (v->slot.flags & CATALOG_SHRUNK) != 0)
		return;
	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t block = l->index * LEAF_ENTRIES + i;

		if (block < nblocks || l->e[i].place == PLACE_NONE)
			continue;
		ck_error(ck, "volume %" PRIu32 ": after the log, block "
			 "%" PRIu64 " is mapped beyond its end (%" PRIu64
			 " bytes)", v->id, block, v->size_bytes);
		return;
	}
}

int ck_replay_end(struct ck *ck)
{
	for (uint32_t b = 0; ck->leaves != NULL && b < LEAF_BUCKETS; b++) {
		for (struct ck_leaf *l = ck->leaves[b]; l != NULL;
		     l = l->next)
			leaf_check(ck, l);
	}
	if (ck->rep->rows_replayed > 0)
		ck_names_check(ck);
	for (uint32_t i = 0; i < ck->nvols; i++) {
		const struct ck_volume *v = &ck->vols[i];

		if (v->state == 0)
			continue;
		ck->rep->mapped_blocks += v->mapped;
		if (v->state != CATALOG_READY)
			continue;
		ck->rep->volumes++;
		if (ck->opt->volume != NULL)
			ck->opt->volume(ck->opt->arg, v->id, v->name,
					v->size_bytes);
	}
	return ck->res;
}
