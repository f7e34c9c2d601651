/* volume/map_load.c - look, wait, look again.
 *
 *   step: find leaves one after the other
 *           READY or HOLE: hold it          LOADING leaf: hold it, wait aside
 *           absent: skip what is not there  LOADING inner node: stop here
 *         until the range or the room ends, then wait for all.
 */
#include <assert.h>
#include <string.h>

#include "volume/map_load.h"
#include "volume/volumes.h"

static bool load_step(struct map_load *l);

static void load_error(struct map_load *l, int res)
{
	l->nfailed++;
	if (l->res == 0)
		l->res = res;
}

static void load_continue(struct map_load *l)
{
	if (!l->running && load_step(l))
		l->done(l);
}

static void leaf_loaded(struct node_waiter *w, int res)
{
	struct map_load *l = w->owner;

	assert(l->pending > 0);
	l->pending--;
	if (res < 0) {
		load_error(l, res);
		node_unpin(w->node);
		w->node = NULL;
	}
	load_continue(l);
}

static void inner_loaded(struct node_waiter *w, int res)
{
	struct map_load *l = w->owner;
	struct mnode    *n = w->node;

	l->blocked = false;
	if (res < 0) {
		load_error(l, res);
		l->next = (n->index + 1) << (9 * n->level);
	}
	node_unpin(n);
	load_continue(l);
}

static void load_wait(struct map_load *l, struct node_waiter *w,
		      struct mnode *n, void (*fn)(struct node_waiter *, int))
{
	w->owner = l;
	w->node = n;
	w->fn = fn;
	node_pin(n);
	list_push(&n->waiters, &w->link);
}

static bool gap_find(const struct map_load *l, struct map_gap *ret_gap)
{
	return map_gap(l->vol, l->next, l->since, l->holes, ret_gap);
}

static void gap_add(struct map_load *l, struct map_gap gap)
{
	struct map_gap *last = l->n > 0 ? &l->gaps[l->n - 1] : NULL;

	gap.end = min_u64(gap.end, l->end);
	l->next = gap.end;
	if (last != NULL && last->end != 0 && last->changed == gap.changed) {
		last->end = gap.end;
		return;
	}
	l->gaps[l->n] = gap;
	l->slots[l->n++].node = NULL;
}

/* Look at leaf l->next. False: no further for now. */
static bool load_one(struct map_load *l)
{
	struct node_waiter *w = &l->slots[l->n];
	struct map_pos pos;
	struct map_gap gap;

	if (l->gaps != NULL) {
		if (gap_find(l, &gap)) {
			gap_add(l, gap);
			return true;
		}
		l->gaps[l->n].end = 0;
	}
	switch (map_find(l->vol, 0, l->next, l->create ? FIND_CREATE : 0,
			 &pos)) {
	case POS_NODE:
		node_pin(pos.node);
		w->node = pos.node;
		l->n++;
		l->next++;
		return true;
	case POS_LOADING:
		if (pos.node->level != 0) {
			l->blocked = true;
			load_wait(l, &l->inner, pos.node, inner_loaded);
			return false;
		}
		l->pending++;
		l->n++;
		l->next++;
		load_wait(l, w, pos.node, leaf_loaded);
		return true;
	case POS_ABSENT:
		/* The nodes above are in memory by now. */
		if (l->gaps == NULL)
			l->next = min_u64(pos.end, l->end);
		else if (gap_find(l, &gap))
			gap_add(l, gap);
		else
			gap_add(l, (struct map_gap){ pos.end, true });
		return true;
	case POS_FAILED:
	case POS_UNKNOWN:
		load_error(l, pos.error);
		l->next = min_u64(pos.end, l->end);
		return true;
	}
	return false;
}

/* True when there is nothing to wait for. */
static bool load_step(struct map_load *l)
{
	l->running = true;
	while (!l->blocked && l->next < l->end && l->n < l->cap &&
	       (l->res == 0 || l->skip_failed) && load_one(l))
		;
	l->running = false;
	return !l->blocked && l->pending == 0;
}

bool map_load_start(struct map_load *l)
{
	assert(l->pending == 0 && !l->blocked);
	l->n = 0;
	l->nfailed = 0;
	l->res = 0;
	node_cache_trim(l->vol->vols);
	vol_hold(l->vol);
	return load_step(l);
}

void map_load_release(struct map_load *l)
{
	assert(l->pending == 0 && !l->blocked);
	for (unsigned i = 0; i < l->n; i++)
		if (l->slots[i].node != NULL)
			node_unpin(l->slots[i].node);
	l->n = 0;
	vol_release(l->vol);
}
