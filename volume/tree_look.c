/* volume/tree_look.c - see tree_look.h. */
#include <stdlib.h>

#include "volume/tree_look.h"
#include "volume/volumes.h"

struct look_lost {
	const struct volume *vol;
	unsigned             level;
	uint64_t             index;
};

static bool is_lost(const struct tree_look *l, const struct volume *v,
		    unsigned level, uint64_t index)
{
	for (unsigned i = 0; i < l->nlost; i++)
		if (l->lost[i].vol == v && l->lost[i].level == level &&
		    l->lost[i].index == index)
			return true;
	return false;
}

static void note_lost(struct tree_look *l, const struct mnode *n, int res)
{
	struct look_lost *lost = realloc(l->lost, (l->nlost + 1) *
						  sizeof(lost[0]));

	if (lost == NULL)
		abort(); /* as in slab_need() */
	l->lost = lost;
	l->lost[l->nlost++] =
		(struct look_lost){ n->vol, n->level, n->index };
	if (l->res == 0)
		l->res = res;
}

bool tree_look(struct tree_look *l, struct volume *v, unsigned level,
	       uint64_t index, struct mnode **ret_n)
{
	struct map_pos pos;

	*ret_n = NULL;
	if (v == NULL)
		return true;
	if (l != NULL && is_lost(l, v, level, index))
		return false;
	switch (map_find(v, level, index, l == NULL ? FIND_NOLOAD : 0, &pos)) {
	case POS_NODE:
		*ret_n = pos.node;
		node_pin(pos.node);
		return true;
	case POS_ABSENT:
		return true;
	case POS_LOADING:
		if (l == NULL)
			return false;
		l->nloading++;
		if (l->loading == NULL) {
			l->loading = pos.node;
			node_pin(pos.node);
		}
		return false;
	case POS_FAILED:
	case POS_UNKNOWN:
		if (l != NULL && l->res == 0)
			l->res = pos.error;
		return false;
	}
	return false;
}

static void waited(struct node_waiter *w, int res)
{
	struct tree_look *l = w->owner;
	struct mnode     *n = l->loading;

	if (res < 0)
		note_lost(l, n, res);
	l->loading = NULL;
	node_unpin(n);
	l->again(l);
}

void tree_look_wait(struct tree_look *l)
{
	l->wait.owner = l;
	l->wait.fn = waited;
	list_push(&l->loading->waiters, &l->wait.link);
}

void tree_look_end(struct tree_look *l)
{
	free(l->lost);
	l->lost = NULL;
	l->nlost = 0;
}
