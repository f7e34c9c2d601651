/* volume/damage.c - see damage.h.
 *
 *   walk   from each tip of the family back: a version of the leaf is that of
 *          all trees down to the one before it was born; if it has the place,
 *          all of these show the lost block
 *   check  what a scrub found and nobody has pointed to yet is walked, one block
 *          after the other: shown, it is sure; not shown, it is dropped
 *   list   all sure ones are walked, and what shows them is merged into ranges
 *
 * The ways to fail: a version that cannot be read may show the block or not, so
 * it stays as it is.  When trees come and go all the time a walk gives up.
 */
#include "volume/damage.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/volumes.h"

#define TRIES_MAX 16u

/* --- walk ---------------------------------------------------------------- */

static void walk_step(struct damage_walk *w);

static uint64_t walk_leaf(const struct damage_walk *w)
{
	return leaf_of_block(w->at.block);
}

static bool version_shows(const struct damage_walk *w)
{
	const struct mnode *leaf = w->load.n > 0 ? w->load.slots[0].node : NULL;
	const struct leaf_entry *e;

	if (leaf == NULL || leaf->state != MNODE_READY)
		return false;
	e = leaf_entries(leaf) + slot_of_block(w->at.block);
	return entry_place(e) == w->at.place;
}

/* The version that was loaded is that of these trees. */
static void version_done(struct damage_walk *w)
{
	struct volume *before = w->tree->origin;
	bool           shows = version_shows(w);
	uint32_t       born;

	if (w->load.res < 0)
		w->failed = true;
	else if (map_born(w->tree, walk_leaf(w), &born))
		before = tree_before(w->tree, born);
	for (struct volume *t = w->tree; t != NULL && t != before;
	     t = t->origin) {
		if (!shows || !tree_holds(t, 0, walk_leaf(w)))
			continue;
		w->any = true;
		if (w->shows != NULL && t->state == CATALOG_READY)
			w->shows(w, t);
	}
	w->tree = before;
}

/* The next version is of this tree; NULL: there are no more. */
static struct volume *next_tree(struct damage_walk *w)
{
	const struct catalog *c = &w->vols->catalog;
	const struct family  *f = family_find(c, w->at.family);

	if (w->chain != c->tree_changes) {
		w->chain = c->tree_changes;
		w->tries++;
		w->tree = w->tip = NULL;
		w->any = false;
		w->failed = false;
		if (w->again != NULL)
			w->again(w);
	}
	while (w->tree != NULL && !tree_holds(w->tree, 0, walk_leaf(w)))
		w->tree = w->tree->origin;
	while (w->tree == NULL && f != NULL) {
		w->tip = family_next_tip(f, w->tip);
		if (w->tip == NULL)
			return NULL;
		w->tree = w->tip;
		while (w->tree != NULL &&
		       !tree_holds(w->tree, 0, walk_leaf(w)))
			w->tree = w->tree->origin;
	}
	return w->tree;
}

/* False: what was loaded is of no use any more, or all is done. */
static void walk_loaded(struct damage_walk *w)
{
	if (w->chain == w->vols->catalog.tree_changes)
		version_done(w);
	map_load_release(&w->load);
}

static void walk_load_done(struct map_load *l)
{
	struct damage_walk *w = container_of(l, struct damage_walk, load);

	walk_loaded(w);
	walk_step(w);
}

static void walk_step(struct damage_walk *w)
{
	while (next_tree(w) != NULL) {
		if (w->tries > TRIES_MAX) {
			w->failed = true;
			break;
		}
		memset(&w->load, 0, sizeof(w->load));
		w->load.vol = w->tree;
		w->load.next = walk_leaf(w);
		w->load.end = min_u64(w->load.next + 1,
				      levels_to_leaves(w->tree->levels));
		w->load.cap = 1;
		w->load.slots = w->slots;
		w->load.done = walk_load_done;
		if (w->load.next < w->load.end && !map_load_start(&w->load))
			return;
		walk_loaded(w);
	}
	w->done(w);
}

static void walk_start(struct damage_walk *w, struct volumes *vols,
		       const struct pool_damage *d)
{
	w->vols = vols;
	w->at = *d;
	w->tip = w->tree = NULL;
	w->chain = vols->catalog.tree_changes;
	w->tries = 0;
	w->any = false;
	w->failed = false;
	walk_step(w);
}

/* Blocks that no volume can have are in no leaf. */
static bool block_possible(const struct pool_damage *d)
{
	return d->block < levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;
}

/* --- check --------------------------------------------------------------- */

static void check_done(struct damage_walk *w)
{
	struct damage_check *c = container_of(w, struct damage_check, walk);

	c->busy = false;
	if (w->any || w->failed) {
		w->at.sure = true;
		pool_damage_found(w->vols->pool, &w->at);
	} else {
		pool_damage_drop(w->vols->pool, w->at.place);
	}
	if (!c->stopped)
		io_defer(w->vols->io, &c->work);
}

static void check_work(struct io_work *work)
{
	struct damage_check *c = container_of(work, struct damage_check, work);
	struct volumes      *vols = c->walk.vols;
	struct pool_damage   d = { .place = PLACE_NONE };

	if (c->busy || c->stopped)
		return;
	while (pool_damage_next(vols->pool, d.place, &d)) {
		if (d.sure)
			continue;
		if (!block_possible(&d)) {
			pool_damage_drop(vols->pool, d.place);
			continue;
		}
		c->busy = true;
		walk_start(&c->walk, vols, &d);
		return;
	}
}

void vols_damaged(void *arg)
{
	struct volumes *vols = arg;

	if (!vols->damage.stopped)
		io_defer(vols->io, &vols->damage.work);
}

void damage_init(struct volumes *vols)
{
	struct damage_check *c = &vols->damage;

	io_work_init(&c->work, check_work);
	c->walk.vols = vols;
	c->walk.done = check_done;
}

void damage_stop(struct volumes *vols)
{
	vols->damage.stopped = true;
	io_undefer(&vols->damage.work);
}

void damage_close(struct volumes *vols)
{
	io_undefer(&vols->damage.work);
}

/* --- list ---------------------------------------------------------------- */

struct shown {
	uint32_t id;    /* of the tree */
	uint64_t block;
};

struct damage_list {
	struct damage_walk  walk;
	struct vols_damage *d;
	struct io_work      work;
	struct shown       *shown;
	uint32_t            n, cap, first; /* first: of this block */
	uint64_t            lost_more; /* that there was no room for */
};

static void list_shows(struct damage_walk *w, const struct volume *t)
{
	struct damage_list *l = container_of(w, struct damage_list, walk);

	for (uint32_t i = l->first; i < l->n; i++)
		if (l->shown[i].id == t->id)
			return; /* by another tip */
	if (l->n == l->cap) {
		l->lost_more++;
		return;
	}
	l->shown[l->n++] = (struct shown){ t->id, w->at.block };
}

static void list_again(struct damage_walk *w)
{
	struct damage_list *l = container_of(w, struct damage_list, walk);

	l->n = l->first;
}

static int shown_cmp(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->block > y->block) - (x->block < y->block);
}

static void range_name(const struct volume *v, struct vol_damage_range *r)
{
	if (v->of != NULL)
		snprintf(r->name, sizeof(r->name), "%s@%s", v->of->name,
			 v->name);
	else
		snprintf(r->name, sizeof(r->name), "%s", v->name);
	r->trashed = catalog_is_trashed(v);
}

static void list_add(struct damage_list *l, const struct shown *s)
{
	struct vols_damage      *d = l->d;
	struct volume           *v;
	struct vol_damage_range *r =
		d->nranges > 0 ? &d->ranges[d->nranges - 1] : NULL;

	if (r != NULL && r->id == s->id && r->block + r->n == s->block) {
		r->n++;
		return;
	}
	v = catalog_find_id(&l->walk.vols->catalog, s->id);
	if (v == NULL || v->state != CATALOG_READY)
		return;
	if (d->nranges == VOLS_DAMAGE_RANGES) {
		d->more++;
		return;
	}
	r = &d->ranges[d->nranges++];
	memset(r, 0, sizeof(*r));
	r->id = s->id;
	r->block = s->block;
	r->n = 1;
	range_name(v, r);
}

static void list_end(struct damage_list *l, int res)
{
	struct vols_damage *d = l->d;
	uint64_t            more;

	pool_damage_count(l->walk.vols->pool, &more);
	d->res = res;
	if (res == 0) {
		if (l->n > 0)
			qsort(l->shown, l->n, sizeof(l->shown[0]), shown_cmp);
		for (uint32_t i = 0; i < l->n; i++)
			list_add(l, &l->shown[i]);
		d->more += l->lost_more + more;
	}
	free(l->shown);
	free(l);
	d->priv = NULL;
	d->done(d);
}

static void list_next(struct io_work *work)
{
	struct damage_list *l = container_of(work, struct damage_list, work);
	struct pool_damage  d = l->walk.at;

	if (l->walk.vols->damage.stopped) {
		list_end(l, -ESHUTDOWN);
		return;
	}
	while (pool_damage_next(l->walk.vols->pool, d.place, &d)) {
		if (!d.sure || !block_possible(&d))
			continue;
		l->first = l->n;
		walk_start(&l->walk, l->walk.vols, &d);
		return;
	}
	list_end(l, 0);
}

static void list_walked(struct damage_walk *w)
{
	struct damage_list *l = container_of(w, struct damage_list, walk);

	l->d->unnamed += l->n == l->first && w->any;
	l->d->unread += w->failed;
	io_defer(w->vols->io, &l->work);
}

void vols_damage_submit(struct volumes *vols, struct vols_damage *d)
{
	struct damage_list *l = calloc(1, sizeof(*l));

	d->res = 0;
	d->nranges = 0;
	d->more = d->unnamed = d->unread = 0;
	d->priv = l;
	if (l != NULL) {
		l->cap = 4 * POOL_DAMAGE_MAX;
		l->shown = calloc(l->cap, sizeof(l->shown[0]));
	}
	if (l == NULL || l->shown == NULL) {
		free(l);
		d->priv = NULL;
		d->res = -ENOMEM;
		d->done(d);
		return;
	}
	l->d = d;
	l->walk.vols = vols;
	l->walk.shows = list_shows;
	l->walk.again = list_again;
	l->walk.done = list_walked;
	io_work_init(&l->work, list_next);
	io_defer(vols->io, &l->work);
}
