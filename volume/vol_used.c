/* volume/vol_used.c - what deleting a volume or snapshot would free.
 *
 * It is counted as the reaper would do it (tree_reap.c): the tree and the one
 * that derives from it are walked side by side, and only what neither that nor
 * the origin has is gone into.  But nothing is changed and nothing is guarded:
 * the walk goes from a cursor, some nodes a turn, and what it has been through
 * may change behind it.
 *
 *   turn: who are the neighbours?  Not those of before: begin anew
 *         step, step, ... each from the cursor to the next leaf of its own
 *         a node must be read: look ahead, so that others are read meanwhile,
 *         and wait for the first one
 *
 * What is being deleted counts as gone: the reaper is at it.  Which trees are
 * walked, and beside which, the plan says (used_plan.h): one after the other as
 * if those before were gone.  And FORKs that are thinned out then are gone
 * through as they would be for that (tree_thin.h).
 *
 *   - Neighbours that come and go all the time: after RESTARTS_MAX the walk
 *     goes on with the new ones, and the number is only nearly right.
 *   - A node that cannot be read: nothing below it counts, and the operation
 *     ends with the error.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/tree_thin.h"
#include "volume/used_plan.h"
#include "volume/volumes.h"

/* Steps of one turn; of them, those that look ahead. */
#define TURN_STEPS  32u
#define AHEAD_STEPS 16u
#define RESTARTS_MAX 8u
/* A step needs two paths; each node of them may be waited for and held. */
#define KEPT_MAX     (4u * (LEVEL_MAX + 1))

/* What both have at a position, pinned. */
struct used_pair {
	struct mnode *n;
	struct mnode *young;
};

struct used_walk {
	struct volume   **set;      /* what is to go, held */
	unsigned          nset;
	bool              looked;   /* all of it was READY, … */
	uint64_t          deletions; /* … when catalog.deletions was that */
	struct used_plan *plan;
	unsigned          at;       /* which of its trees is walked */
	uint64_t          cursor;   /* leaf: all before it is counted */
	unsigned          restarts;
	struct mnode     *loading;  /* the first that has to be waited for */
	struct used_pair  held;     /* what the step that waits has so far */
	struct mnode     *kept[KEPT_MAX]; /* pinned: what it had in turns before,
				     * or with little memory one would go
				     * while the other is read, for ever */
	unsigned          nkept;
	struct volume    *lost_vol; /* a position that could not be read: who
				     * asks for it again would start to read
				     * it again */
	unsigned          lost_level;
	uint64_t          lost_index;
	struct node_waiter wait;
	struct vol_used  *used;     /* whose walk it is */
	struct thin_find  thin;
};

/* --- one step ------------------------------------------------------------ */

static void note_error(struct vol_used *u, int res)
{
	if (u->res == 0)
		u->res = res;
}

static bool is_lost(const struct used_walk *w, const struct volume *v,
		    unsigned level, uint64_t index)
{
	return w->lost_vol == v && w->lost_level >= level &&
	       w->lost_index == index >> (9 * (w->lost_level - level));
}

static void put(struct mnode *n)
{
	if (n != NULL)
		node_unpin(n);
}

static void pair_put(const struct used_pair *p)
{
	put(p->young);
	put(p->n);
}

/* What a tree (or none) has at a position, pinned.  False: it cannot be told;
 * perhaps not yet. */
static bool get(struct vol_used *u, struct volume *v, unsigned level,
		uint64_t index, struct mnode **ret_n)
{
	struct used_walk *w = u->walk;
	struct map_pos pos;

	if (v == NULL)
		return true;
	if (is_lost(w, v, level, index))
		return false;
	switch (map_find(v, level, index, 0, &pos)) {
	case POS_NODE:
		*ret_n = pos.node;
		node_pin(pos.node);
		return true;
	case POS_ABSENT:
		return true;
	case POS_LOADING:
		if (w->loading == NULL) {
			w->loading = pos.node;
			node_pin(pos.node);
		}
		return false;
	case POS_FAILED:
	case POS_UNKNOWN:
		note_error(u, pos.error);
		return false;
	}
	return false;
}

/* True if the node is the tree's own. */
static bool pair_get(struct vol_used *u, unsigned level, uint64_t index,
		     struct used_pair *ret_p)
{
	const struct used_tree *t = &u->walk->plan->trees[u->walk->at];
	bool known;

	*ret_p = (struct used_pair){ NULL, NULL };
	known = get(u, t->tree, level, index, &ret_p->n);
	/* What is lost is lost, whatever the other one has. */
	if (known || u->walk->loading != NULL)
		known &= get(u, t->young, level, index, &ret_p->young);
	return known && ret_p->n != NULL &&
	       ret_p->n->node->birth > t->shared &&
	       (ret_p->young == NULL ||
		ret_p->young->node != ret_p->n->node);
}

/* Blocks that only this leaf has. */
static uint64_t own_blocks(const struct used_pair *p, uint32_t shared)
{
	const struct leaf_entry *e = leaf_entries(p->n);
	uint64_t n = 0;

	for (unsigned i = 0; i < LEAF_ENTRIES; i++) {
		place_t place = entry_place(&e[i]);

		n += place != PLACE_NONE && le32_get(e[i].birth) > shared &&
		     (p->young == NULL ||
		      entry_place(&leaf_entries(p->young)[i]) != place);
	}
	return n;
}

/* From leaf `from` on: the first one below a child that a neighbour may not
 * have, or the one behind all children. */
static uint64_t next_own(const struct used_pair *p, uint64_t from,
			 uint32_t shared)
{
	const struct inner_child *c = inner_children(p->n);
	unsigned shift = 9u * (p->n->level - 1u);
	uint64_t first = p->n->index * INNER_CHILDREN;
	uint64_t i = (from >> shift) - first;

	for (; i < INNER_CHILDREN; i++, from = (first + i) << shift) {
		uint32_t id = le32_get(c[i].node);

		if (id != 0 && le32_get(c[i].birth) > shared &&
		    (p->young == NULL ||
		     le32_get(inner_children(p->young)[i].node) != id))
			break;
	}
	return from;
}

/* Down from the root to leaf `at`, as far as nodes are the tree's own; counts
 * those that begin there.  Returns the leaf where the next step begins. */
static uint64_t step(struct vol_used *u, uint64_t at)
{
	struct used_walk *w = u->walk;
	const struct used_tree *t = &w->plan->trees[w->at];
	uint64_t nodes = 0, blocks = 0, next = 0;
	bool     ahead = w->loading != NULL, own = true;

	for (unsigned level = t->tree->levels + 1u; own && level-- > 0;) {
		uint64_t index = at >> (9 * level);
		struct used_pair p;

		own = pair_get(u, level, index, &p);
		next = (index + 1) << (9 * level);
		if (own && at == index << (9 * level))
			nodes++;
		if (own && level == 0)
			blocks = own_blocks(&p, t->shared);
		else if (own)
			next = next_own(&p, at, t->shared);
		own &= next == at;
		if (w->loading != NULL && !ahead)
			w->held = p;
		else
			pair_put(&p);
	}
	if (w->loading == NULL) {
		u->node_blocks += nodes;
		u->data_blocks += blocks;
	}
	return next;
}

/* --- turns --------------------------------------------------------------- */

static void used_end(struct vol_used *u, int res)
{
	struct used_walk *w = u->walk;

	if (w != NULL) {
		used_plan_free(w->plan);
		for (unsigned i = 0; i < w->nset; i++)
			vol_release(w->set[i]);
		free(w->set);
	}
	free(w);
	u->walk = NULL;
	note_error(u, res);
	vol_release(u->vol);
	u->done(u);
}

/* Are the neighbours still the same?  Otherwise all begins anew, or, if that
 * was so too often, goes on as if nothing had been. */
static int plan_check(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	struct used_plan *plan;

	if (used_plan_is_fresh(w->plan, u->vol))
		return 0;
	plan = used_plan_make(w->set, w->nset);
	if (plan == NULL)
		return -ENOMEM;
	if (used_plan_same(plan, w->plan)) {
		w->plan->changes = plan->changes;
		w->plan->deletions = plan->deletions;
		used_plan_free(plan);
		return 0;
	}
	/* The old one is still needed by who calls. */
	w->plan = plan;
	u->forked = plan->forked > 0;
	/* It may have become shorter. */
	if (w->restarts == RESTARTS_MAX && w->at < plan->n)
		return 0;
	w->restarts++;
	w->at = 0;
	w->cursor = 0;
	u->data_blocks = u->node_blocks = 0;
	return 0;
}

static void used_waited(struct node_waiter *wait, int res)
{
	struct vol_used  *u = wait->owner;
	struct used_walk *w = u->walk;

	if (res < 0) {
		note_error(u, res);
		w->lost_vol = w->loading->vol;
		w->lost_level = w->loading->level;
		w->lost_index = w->loading->index;
	}
	io_defer(u->vol->vols->io, &u->work);
}

/* Nothing more is to be told? */
static int stopped(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	const struct catalog *c = &u->vol->vols->catalog;

	if (u->vol->vols->failed)
		return -ESHUTDOWN;
	if (!w->looked || w->deletions != c->deletions)
		for (unsigned i = 0; i < w->nset; i++)
			if (w->set[i]->gone ||
			    w->set[i]->state != CATALOG_READY)
				return -ENOENT;
	w->looked = true;
	w->deletions = c->deletions;
	if (u->stop != NULL && u->stop(u))
		return -ECANCELED;
	return 0;
}

static void walk(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	const struct used_tree *t;
	uint64_t at = w->cursor;
	unsigned ahead = 0;

	if (w->at >= w->plan->n)
		return;
	t = &w->plan->trees[w->at];
	if (t->kids != NULL)
		return;
	for (unsigned i = 0; i < TURN_STEPS && ahead < AHEAD_STEPS; i++) {
		if (t->tree->root_id == 0 ||
		    at >= levels_to_leaves(t->tree->levels))
			return;
		at = step(u, at);
		if (w->loading == NULL)
			w->cursor = at;
		else
			ahead++;
	}
}

/* All of what is walked has been counted. */
static bool tree_is_done(const struct used_walk *w)
{
	const struct used_tree *t;

	if (w->at >= w->plan->n)
		return true;
	t = &w->plan->trees[w->at];
	return t->tree->root_id == 0 ||
	       w->cursor >= levels_to_leaves(t->tree->levels);
}

/* --- thinning out -------------------------------------------------------- */

static void thin_counted(struct thin_find *f)
{
	struct used_walk *w = container_of(f, struct used_walk, thin);
	struct vol_used  *u = w->used;

	note_error(u, f->res);
	u->data_blocks += f->data_blocks;
	u->node_blocks += f->node_blocks;
	w->cursor = f->upto;
	thin_find_release(f);
	io_defer(u->vol->vols->io, &u->work);
}

/* A slice of it, until which the plan stays as it is. */
static void thin_count(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	const struct used_tree *t = &w->plan->trees[w->at];
	struct thin_find *f = &w->thin;

	w->used = u;
	f->vol = t->tree;
	f->kids = t->kids;
	f->nkids = t->nkids;
	f->shared = t->shared;
	f->from = w->cursor;
	f->max = THIN_LEAVES;
	f->done = thin_counted;
	thin_find(f);
}

static void keep(struct used_walk *w, struct mnode *n)
{
	if (n == NULL)
		return;
	if (w->nkept == KEPT_MAX)
		node_unpin(n);
	else
		w->kept[w->nkept++] = n;
}

static void kept_put(struct used_walk *w)
{
	while (w->nkept > 0)
		node_unpin(w->kept[--w->nkept]);
}

static void used_turn(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	struct used_plan *plan = w->plan;
	uint64_t          cursor = w->cursor;
	struct used_pair  held = w->held;
	struct mnode     *waited = w->loading;
	int r = stopped(u);

	w->held = (struct used_pair){ NULL, NULL };
	w->loading = NULL;
	node_cache_trim(u->vol->vols);
	if (r == 0)
		r = plan_check(u);
	if (r == 0)
		walk(u);
	/* Only now, so that what it waited for was there. */
	keep(w, held.young);
	keep(w, held.n);
	keep(w, waited);
	if (w->loading == NULL || w->cursor != cursor ||
	    plan != w->plan)
		kept_put(w);
	if (plan != w->plan)
		used_plan_free(plan);
	if (w->loading != NULL) {
		w->wait.owner = u;
		w->wait.fn = used_waited;
		list_push(&w->loading->waiters, &w->wait.link);
		return;
	}
	if (r == 0 && tree_is_done(w) && w->at + 1 < w->plan->n) {
		w->at++;
		w->cursor = 0;
	} else if (r < 0 || tree_is_done(w)) {
		used_end(u, r);
		return;
	} else if (w->plan->trees[w->at].kids != NULL) {
		thin_count(u);
		return;
	}
	io_defer(u->vol->vols->io, &u->work);
}

static void used_work(struct io_work *work)
{
	struct vol_used *u = container_of(work, struct vol_used, work);

	if (u->walk == NULL)
		used_end(u, -ENOMEM);
	else
		used_turn(u);
}

static struct used_walk *walk_new(const struct vol_used *u)
{
	struct used_walk *w = calloc(1, sizeof(*w));
	unsigned n = u->set != NULL ? u->nset : 1;

	if (w == NULL)
		return NULL;
	w->set = calloc(n, sizeof(w->set[0]));
	if (w->set == NULL)
		goto err_walk;
	memcpy(w->set, u->set != NULL ? u->set : &u->vol,
	       n * sizeof(w->set[0]));
	w->plan = used_plan_make(w->set, n);
	if (w->plan == NULL)
		goto err_set;
	for (w->nset = 0; w->nset < n; w->nset++)
		vol_hold(w->set[w->nset]);
	return w;

err_set:
	free(w->set);
err_walk:
	free(w);
	return NULL;
}

void vol_used_submit(struct vol_used *u)
{
	assert(u->done != NULL && (u->set == NULL || u->nset > 0));
	if (u->set != NULL)
		u->vol = u->set[0];
	assert(u->vol->kind != CATALOG_CHECKPOINT);
	u->res = 0;
	u->data_blocks = u->node_blocks = 0;
	vol_hold(u->vol);
	u->walk = walk_new(u);
	u->forked = u->walk != NULL && u->walk->plan->forked > 0;
	io_work_init(&u->work, used_work);
	io_defer(u->vol->vols->io, &u->work);
}
