/* volume/vol_redo.c - redoing the log after a crash: the same changes as live,
 * from the same functions.
 *
 * prepare() brings into memory what is on disk and will be changed.  It may
 * run long before earlier records are applied; that is fine, because what
 * those change is in memory anyway, and while the log is redone nothing is
 * evicted.  A volume that is not there yet has nothing on disk.
 *
 * A THIN changes leaves that it names, like a WRITE, but of a tree that only the
 * records before it may have made what it is: it waits, too.
 *
 * Two look at more than one tree.  A MOVE needs all versions of its leaf: what
 * is on disk now is enough, as for any other.  A REAP needs what its tree has
 * and the neighbours, as they are then, have not: it waits until all rows
 * before it are applied.  And after a clone or rollback a volume shows what only
 * the record's effect says: whatever comes after waits for that.
 *
 * A leaf that cannot be read is told to the pool, and its range is lost to the
 * tree for good: leaving the records out and no more would bring back old data
 * as soon as the leaf can be read again.  Other trees that show it keep it.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/map_load.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/volumes.h"

#define REDO_LEAVES 16u

struct redo_load {
	struct map_load    load;
	struct node_waiter slots[REDO_LEAVES];
	struct redo       *redo;
	struct volumes    *vols;
	uint32_t           family; /* MOVE: of whose trees; else 0 */
	uint64_t           first;  /* MOVE: leaves of which */
	uint64_t           end;    /* … all versions are loaded */
	struct volume     *tip;    /* MOVE: of the path that is looked at */
	uint64_t           chain;  /* catalog.tree_changes when it began */
	uint32_t           thinned; /* THIN: leaves that were loaded */
	int                res;    /* first error */
	struct reap_find   find;   /* REAP */
	uint64_t           after;  /* waits until so many are applied */
	struct list        link;   /* in vols->redo.waiting */
};

/* Its leaves are next. */
static void look_at_tree(struct redo_load *x, struct volume *t)
{
	x->load.vol = t;
	x->load.next = max_u64(x->first,
			       t->state == CATALOG_DELETING ? t->cursor : 0);
	x->load.end = max_u64(x->load.next,
			      min_u64(x->end, levels_to_leaves(t->levels)));
}

/* The leaves are loaded of one tree: the next older one that may have other
 * versions; NULL: none. */
static struct volume *older_version(const struct redo_load *x)
{
	const struct volume *t = x->load.vol;
	uint32_t youngest = 0, born = 0;

	for (uint64_t i = x->first; i < x->end; i++) {
		if (!map_born(t, i, &born))
			return t->origin;
		youngest = max_u32(youngest, born);
	}
	return tree_before(t, youngest);
}

/* Is there another tree that may have other versions?  Records are applied
 * meanwhile, and the family may be another one by now: then all of it is looked
 * at again. */
static bool next_version(struct redo_load *x)
{
	const struct catalog *c = &x->vols->catalog;
	const struct family  *f = family_find(c, x->family);
	struct volume *t = NULL;

	if (f == NULL)
		return false;
	if (x->chain != c->tree_changes)
		x->tip = NULL;
	else if (x->tip != NULL)
		t = older_version(x);
	x->chain = c->tree_changes;
	if (t == NULL)
		t = x->tip = family_next_tip(f, x->tip);
	if (t == NULL)
		return false;
	look_at_tree(x, t);
	return true;
}

/* Of those that a THIN names. */
static bool next_thinned(struct redo_load *x)
{
	const struct catalog_thin *rec = x->redo->body;
	uint64_t end = levels_to_leaves(x->load.vol->levels), leaf;

	if (x->thinned >= le32_get(rec->nleaves))
		return false;
	leaf = le64_get(rec->leaves[x->thinned++].leaf);
	x->load.next = min_u64(leaf, end);
	x->load.end = min_u64(leaf + 1, end);
	return leaf < end;
}

static bool is_thin(const struct redo_load *x)
{
	return x->redo->rec.type == REC_CATALOG &&
	       x->redo->rec.id == CATALOG_THIN;
}

/* Leaves are in memory, or cannot be read.  False: those were the last, and the
 * record is ready. */
static bool loaded(struct redo_load *x)
{
	struct volumes *vols = x->vols;
	struct redo    *r = x->redo;
	int res;

	if (x->res == 0)
		x->res = x->load.res;
	res = x->res;
	map_load_release(&x->load);
	if (is_thin(x) && next_thinned(x))
		return true;
	/* A version that cannot be read does not keep a MOVE from the others:
	 * it is lost (poison_versions()). */
	if ((res == 0 || x->family != 0) &&
	    (x->load.next < x->load.end || next_version(x)))
		return true;
	if (res < 0 && x->family != 0)
		vols->redo.versions_lost = true;
	objpool_put(&vols->redo_loads, x);
	pool_redo_ready(r, res);
	return false;
}

static void load_more(struct redo_load *x)
{
	do {
		if (!map_load_start(&x->load))
			return;
	} while (loaded(x));
}

static void load_done(struct map_load *l)
{
	struct redo_load *x = container_of(l, struct redo_load, load);

	if (loaded(x))
		load_more(x);
}

int vols_redo_init(struct volumes *vols)
{
	list_init(&vols->redo.waiting);
	return objpool_init(&vols->redo_loads, sizeof(struct redo_load), 64,
			    0);
}

static void load_init(struct redo_load *x)
{
	memset(&x->load, 0, sizeof(x->load));
	x->load.cap = REDO_LEAVES;
	x->load.slots = x->slots;
	x->load.done = load_done;
	x->family = 0;
	x->res = 0;
}

static void ready(struct redo_load *x, int res)
{
	struct redo *r = x->redo;

	objpool_put(&x->vols->redo_loads, x);
	pool_redo_ready(r, res);
}

/* Leaves of a volume that a WRITE or UNMAP changes. */
static void prepare_leaves(struct redo_load *x, struct volume *v,
			   uint64_t first, uint64_t end)
{
	load_init(x);
	x->load.vol = v;
	x->load.next = first;
	x->load.end = min_u64(end, levels_to_leaves(v->levels));
	if (x->load.next < x->load.end)
		load_more(x);
	else
		ready(x, 0);
}

/* All versions of the leaves that a MOVE changes. */
static void prepare_versions(struct redo_load *x, uint64_t first, uint64_t end)
{
	load_init(x);
	x->load.skip_failed = true;
	x->family = rec_family(&x->redo->rec);
	x->first = first;
	x->end = end;
	x->tip = NULL;
	x->chain = x->vols->catalog.tree_changes;
	if (next_version(x))
		load_more(x);
	else
		ready(x, 0);
}

static void reap_ready(struct reap_find *f)
{
	struct redo_load *x = container_of(f, struct redo_load, find);

	reap_find_release(f);
	ready(x, 0);
}

/* All rows before it are applied. */
static void prepare_reap(struct redo_load *x)
{
	struct volume *v = catalog_find_id(&x->vols->catalog,
					   x->redo->rec.block);
	le64 cursor;

	if (v == NULL || v->state != CATALOG_DELETING) {
		ready(x, 0);
		return;
	}
	memcpy(&cursor, x->redo->body, sizeof(cursor));
	memset(&x->find, 0, sizeof(x->find));
	x->find.vol = v;
	x->find.from = v->cursor;
	x->find.end = min_u64(le64_get(cursor), levels_to_leaves(v->levels));
	x->find.done = reap_ready;
	reap_find(&x->find);
}

static void prepare_thin(struct redo_load *x)
{
	struct volume *v = catalog_find_id(&x->vols->catalog,
					   x->redo->rec.block);

	load_init(x);
	x->load.skip_failed = true;
	x->load.vol = v;
	x->thinned = 0;
	if (v != NULL && v->state == CATALOG_FORK && next_thinned(x))
		load_more(x);
	else
		ready(x, 0);
}

/* Blocks that a record names; false: no volume has such blocks. */
static bool rec_blocks(const struct rec *rec, uint64_t *ret_n)
{
	uint64_t all = levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;
	uint64_t n = rec->type == REC_UNMAP ? rec->ext : rec->n;

	*ret_n = n;
	return n > 0 && rec->block < all && n <= all - rec->block;
}

/* The volume whose blocks a WRITE or UNMAP changes; NULL: none. */
static struct volume *rec_volume(const struct volumes *vols,
				 const struct rec *rec)
{
	struct volume *v = catalog_find_id(&vols->catalog, rec->id);

	return v != NULL && v->kind == CATALOG_VOLUME ? v : NULL;
}

/* What it waited for has happened. */
static void prepare_now(struct redo_load *x)
{
	const struct rec *rec = &x->redo->rec;
	struct volume *v;
	uint64_t n, first;

	if (rec->type == REC_CATALOG) {
		if (rec->id == CATALOG_THIN)
			prepare_thin(x);
		else
			prepare_reap(x);
		return;
	}
	v = rec_volume(x->vols, rec);
	if (!rec_blocks(rec, &n) || (rec->type != REC_MOVE && v == NULL)) {
		ready(x, 0);
		return;
	}
	first = leaf_of_block(rec->block);
	n = leaf_of_block(rec->block + n - 1) + 1 - first;
	if (rec->type == REC_MOVE)
		prepare_versions(x, first, first + n);
	else
		prepare_leaves(x, v, first, first + n);
}

/* Once so many records are applied. */
static void prepare_after(struct volumes *vols, struct redo *r, uint64_t after)
{
	struct redo_load *x = objpool_get(&vols->redo_loads);

	if (x == NULL) {
		pool_redo_ready(r, -ENOMEM);
		return;
	}
	x->vols = vols;
	x->redo = r;
	x->after = after;
	list_init(&x->link);
	if (vols->redo.applied >= after)
		prepare_now(x);
	else
		list_push(&vols->redo.waiting, &x->link);
}

/* What waits first came first, so it is enough to look at that. */
static void waiting_wake(struct volumes *vols)
{
	while (!list_empty(&vols->redo.waiting)) {
		struct redo_load *x = list_first(&vols->redo.waiting,
						 struct redo_load, link);

		if (vols->redo.applied < x->after)
			return;
		list_remove(&x->link);
		prepare_now(x);
	}
}

bool vols_redo_knows(void *arg, uint32_t subtype)
{
	(void)arg;
	return subtype == CATALOG_EVENT || (subtype >= CATALOG_CREATE &&
					    subtype <= CATALOG_OP_LAST);
}

static void prepare_catalog(struct volumes *vols, struct redo *r)
{
	const struct rec *rec = &r->rec;
	const char *why;

	/* What need not be understood is left out, or is an event. */
	if (rec->id > CATALOG_OP_LAST) {
		pool_redo_ready(r, 0);
		return;
	}
	if (catalog_body_validate(rec->id, r->body, rec->n, &why) < 0) {
		pool_redo_ready(r, -EBADMSG);
		return;
	}
	if (rec->id == CATALOG_REAP || rec->id == CATALOG_THIN) {
		prepare_after(vols, r, vols->redo.row_first);
		return;
	}
	if (rec->id >= CATALOG_CLONE && !CANARY(branch_not_awaited))
		vols->redo.branched = vols->redo.prepared;
	pool_redo_ready(r, 0);
}

void vols_redo_prepare(void *arg, struct redo *r)
{
	struct volumes *vols = arg;
	struct vol_redo *redo = &vols->redo;

	if (r->row_no != redo->row_no)
		redo->row_first = redo->prepared;
	redo->row_no = r->row_no;
	redo->prepared++;
	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_UNMAP:
		/* A row is applied as a whole, and never needs what it makes
		 * itself: who writes has been told of it before. */
		prepare_after(vols, r, min_u64(redo->branched,
					       redo->row_first));
		return;
	case REC_CATALOG:
		prepare_catalog(vols, r);
		return;
	default:
		pool_redo_ready(r, 0);
		return;
	}
}

/* One leaf's share of a WRITE: blocks at .. at+n-1 of the record. */
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
		map_lose(&pos);
	if (kind != POS_NODE)
		return;
	node_pin(pos.node);
	map_set(pos.node, slot, n, &r->places[at], &r->crcs[at]);
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

/* Versions that cannot be read: what is moved would be lost to them. */
static void poison_versions(struct volume *tip, const struct redo *r)
{
	uint64_t last = leaf_of_block(r->rec.block + r->rec.n - 1);

	for (struct volume *t = tip; t != NULL; t = t->origin) {
		for (uint64_t i = leaf_of_block(r->rec.block); i <= last; i++) {
			struct map_pos pos;

			if (tree_holds(t, 0, i) &&
			    map_find(t, 0, i, FIND_NOLOAD, &pos) == POS_FAILED)
				map_poison(&pos);
		}
	}
}

static void apply_moves(struct volumes *vols, const struct redo *r)
{
	uint32_t id = rec_family(&r->rec);
	const struct family *f = family_find(&vols->catalog, id);
	struct volume *tip = NULL;

	while (vols->redo.versions_lost && f != NULL &&
	       (tip = family_next_tip(f, tip)) != NULL)
		poison_versions(tip, r);
	for (uint32_t i = 0; i < r->rec.n && f != NULL; i++)
		map_move(vols, id, r->rec.block + i, r->rec.ext + i,
			 r->places[i], r->crcs[i]);
}

static void apply(struct volumes *vols, struct redo *r)
{
	struct volume *v;
	uint64_t n;

	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
	case REC_UNMAP:
		v = rec_volume(vols, &r->rec);
		if (!rec_blocks(&r->rec, &n))
			return;
		if (r->rec.type == REC_MOVE && !CANARY(redo_move_blind))
			apply_moves(vols, r);
		else if (v == NULL || v->state != CATALOG_READY)
			return; /* as live: deleted before it in the log */
		else if (r->rec.type != REC_UNMAP)
			apply_blocks(v, r);
		else if (!CANARY(unmap_not_redone))
			map_unmap_range(v, r->rec.block, n);
		return;
	case REC_CATALOG:
		if (r->rec.id == CATALOG_EVENT) {
			if (!CANARY(event_not_redone))
				events_apply(vols, r->body, r->rec.n);
			return;
		}
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

void vols_redo_apply(void *arg, struct redo *r)
{
	struct volumes *vols = arg;

	apply(vols, r);
	vols->redo.applied++;
	waiting_wake(vols);
}
