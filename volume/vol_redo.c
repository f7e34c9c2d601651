/* volume/vol_redo.c - redoing the log after a crash: the same changes as live,
 * from the same functions.
 *
 * prepare() brings into memory what is on disk and will be changed.  It may
 * run long before earlier records are applied; that is fine, because what
 * those change is in memory anyway, and while the log is redone nothing is
 * evicted.  A volume that is not there yet has nothing on disk.
 *
 * A leaf that cannot be read is told to the pool.  If that goes on, the leaf's
 * range is lost for good: leaving the records out and no more would bring back
 * old data as soon as the leaf can be read again.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/map_load.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

#define REDO_LEAVES 16u

struct redo_load {
	struct map_load    load;
	struct node_waiter slots[REDO_LEAVES];
	struct redo       *redo;
	struct volumes    *vols;
};

static void load_done(struct map_load *l);

static void load_more(struct redo_load *x)
{
	for (;;) {
		if (!map_load_start(&x->load))
			return;
		if (x->load.res < 0 || x->load.next >= x->load.end)
			break;
		map_load_release(&x->load);
	}
	load_done(&x->load);
}

static void load_done(struct map_load *l)
{
	struct redo_load *x = container_of(l, struct redo_load, load);
	struct volumes   *vols = x->vols;
	struct redo      *r = x->redo;
	int res = l->res;

	map_load_release(l);
	if (res == 0 && l->next < l->end) {
		load_more(x);
		return;
	}
	objpool_put(&vols->redo_loads, x);
	pool_redo_ready(r, res);
}

int vols_redo_init(struct volumes *vols)
{
	return objpool_init(&vols->redo_loads, sizeof(struct redo_load), 64,
			    0);
}

/* Leaves first .. end-1 of v, then the record is ready. */
static void prepare_leaves(struct volume *v, struct redo *r, uint64_t first,
			   uint64_t end)
{
	struct volumes   *vols = v->vols;
	struct redo_load *x;

	end = min_u64(end, levels_to_leaves(v->levels));
	if (first >= end) {
		pool_redo_ready(r, 0);
		return;
	}
	x = objpool_get(&vols->redo_loads);
	if (x == NULL) {
		pool_redo_ready(r, -ENOMEM);
		return;
	}
	memset(&x->load, 0, sizeof(x->load));
	x->load.vol = v;
	x->load.next = first;
	x->load.end = end;
	x->load.cap = REDO_LEAVES;
	x->load.slots = x->slots;
	x->load.done = load_done;
	x->redo = r;
	x->vols = vols;
	load_more(x);
}

/* Blocks that a record names; false: no volume has such blocks. */
static bool rec_blocks(const struct rec *rec, uint64_t *ret_n)
{
	uint64_t all = levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;
	uint64_t n = rec->type == REC_UNMAP ? rec->ext : rec->n;

	*ret_n = n;
	return n > 0 && rec->block < all && n <= all - rec->block;
}

static void prepare_catalog(struct volumes *vols, struct redo *r)
{
	const struct rec *rec = &r->rec;
	struct volume *v;
	const char *why;
	uint64_t first, cursor;
	le64 raw;

	if (rec->id > CATALOG_REAP && rec->flags & REC_MUST_UNDERSTAND) {
		pool_redo_ready(r, -ENOTSUP);
		return;
	}
	if (rec->id > CATALOG_REAP) {
		pool_redo_ready(r, 0);
		return;
	}
	if (catalog_body_validate(rec->id, r->body, rec->n, &why) < 0) {
		pool_redo_ready(r, -EBADMSG);
		return;
	}
	v = catalog_find_id(&vols->catalog, rec->block);
	if (rec->id != CATALOG_REAP || v == NULL) {
		pool_redo_ready(r, 0);
		return;
	}
	memcpy(&raw, r->body, sizeof(raw));
	cursor = le64_get(raw);
	first = max_u64(v->cursor, v->redo_cursor);
	if (cursor != UINT64_MAX)
		v->redo_cursor = max_u64(v->redo_cursor, cursor);
	prepare_leaves(v, r, first, cursor == UINT64_MAX ? first : cursor);
}

void vols_redo_prepare(void *arg, struct redo *r)
{
	struct volumes *vols = arg;
	struct volume *v;
	uint64_t n;

	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_UNMAP:
		v = catalog_find_id(&vols->catalog, r->rec.id);
		if (v == NULL || !rec_blocks(&r->rec, &n)) {
			pool_redo_ready(r, 0);
			return;
		}
		prepare_leaves(v, r, leaf_of_block(r->rec.block),
			       leaf_of_block(r->rec.block + n - 1) + 1);
		return;
	case REC_CATALOG:
		prepare_catalog(vols, r);
		return;
	default:
		pool_redo_ready(r, 0);
		return;
	}
}

/* One leaf's share of a WRITE or MOVE: blocks at .. at+n-1 of the record. */
static void apply_leaf(struct volume *v, const struct redo *r, uint32_t at,
		       uint32_t n)
{
	uint64_t block = r->rec.block + at;
	unsigned slot = slot_of_block(block);
	struct map_pos pos;

	enum map_pos_kind kind;

	kind = map_find(v, 0, leaf_of_block(block), FIND_CREATE | FIND_NOLOAD,
			&pos);
	if (kind == POS_FAILED)
		map_poison(&pos);
	if (kind != POS_NODE)
		return;
	node_pin(pos.node);
	if (r->rec.type == REC_WRITE || CANARY(redo_move_blind))
		map_set(pos.node, slot, n, &r->places[at], &r->crcs[at]);
	for (uint32_t i = 0; i < n && r->rec.type == REC_MOVE; i++)
		map_move(pos.node, slot + i, r->rec.ext + at + i,
			 r->places[at + i], r->crcs[at + i]);
	node_unpin(pos.node);
}

static void apply_blocks(struct volume *v, const struct redo *r)
{
	uint32_t at = 0;

	while (at < r->rec.n) {
		unsigned slot = slot_of_block(r->rec.block + at);
		uint32_t n = min_u32(LEAF_ENTRIES - slot, r->rec.n - at);

		apply_leaf(v, r, at, n);
		at += n;
	}
}

void vols_redo_apply(void *arg, struct redo *r)
{
	struct volumes *vols = arg;
	struct volume *v;
	uint64_t n;

	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_UNMAP:
		v = catalog_find_id(&vols->catalog, r->rec.id);
		if (v == NULL || !rec_blocks(&r->rec, &n))
			return;
		if (r->rec.type == REC_MOVE)
			apply_blocks(v, r);
		else if (v->state != CATALOG_READY)
			return; /* as live: deleted before it in the log */
		else if (r->rec.type == REC_WRITE)
			apply_blocks(v, r);
		else if (!CANARY(unmap_not_redone))
			map_unmap_range(v, r->rec.block, n);
		return;
	case REC_CATALOG:
		/* Validated by prepare(); what does not fit is damage, and
		 * changes nothing. */
		if (!CANARY(catalog_not_redone))
			catalog_apply(vols, r->rec.id, r->rec.block, r->body,
				      r->rec.n);
		return;
	default:
		return;
	}
}
