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

#include "volume/node_validate.h"
#include "volume/used_walk.h"
#include "volume/volumes.h"

/* Steps of one turn; of them, those that look ahead. */
#define TURN_STEPS  32u
#define AHEAD_STEPS 16u
#define RESTARTS_MAX 8u

/* --- turns --------------------------------------------------------------- */

static void kids_forget(struct used_walk *w)
{
	free(w->kids);
	free(w->young);
	w->kids = NULL;
	w->young = NULL;
}

/* The next tree of the plan: the first one is number 0. */
static void tree_start(struct used_walk *w, unsigned at)
{
	kids_forget(w);
	w->at = at;
	w->cursor = at < w->plan->n ? w->plan->trees[at].from : 0;
}

static void used_end(struct vol_used *u, int res)
{
	struct used_walk *w = u->walk;

	if (w != NULL) {
		kids_forget(w);
		used_plan_free(w->plan);
		for (unsigned i = 0; i < w->nset; i++)
			vol_release(w->set[i]);
		free(w->set);
	}
	free(w);
	u->walk = NULL;
	used_note_error(u, res);
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
	kids_forget(w);
	/* It may have become shorter. */
	if (w->restarts == RESTARTS_MAX && w->at < plan->n)
		return 0;
	w->restarts++;
	tree_start(w, 0);
	u->data_blocks = u->node_blocks = 0;
	return 0;
}

static void used_waited(struct node_waiter *wait, int res)
{
	struct vol_used  *u = wait->owner;
	struct used_walk *w = u->walk;

	if (res < 0) {
		used_note_error(u, res);
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
		at = used_step(u, at);
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

	used_note_error(u, f->res);
	u->data_blocks += f->data_blocks;
	u->node_blocks += f->node_blocks;
	if (f->shared_leaf != UINT64_MAX)
		used_plan_thin_from(w->plan, w->at, f->shared_leaf);
	w->cursor = f->upto;
	thin_find_release(f);
	io_defer(u->vol->vols->io, &u->work);
}

/* Who derives from it then.  False: out of memory. */
static bool kids_ready(struct used_walk *w)
{
	if (w->kids != NULL)
		return true;
	w->kids = used_plan_kids(w->plan, w->at, &w->nkids);
	if (w->kids == NULL)
		return false;
	w->young = calloc((LEVEL_MAX + 1) * (size_t)w->nkids,
			  sizeof(w->young[0]));
	return w->young != NULL;
}

/* A slice of it, until which the plan stays as it is. */
static void thin_count(struct vol_used *u)
{
	struct used_walk *w = u->walk;
	const struct used_tree *t = &w->plan->trees[w->at];
	struct thin_find *f = &w->thin;

	if (!kids_ready(w)) {
		used_end(u, -ENOMEM);
		return;
	}
	w->used = u;
	f->vol = t->tree;
	f->kids = w->kids;
	f->nkids = f->young_max = w->nkids;
	f->young = w->young;
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
		tree_start(w, w->at + 1);
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
