/* volume/tree_look.h - what trees have at positions, for who walks several side
 * by side, before a change (loading what is missing) or in it.
 *
 *   walk: tree_look() at each position, tree_look_put() when it goes back up
 *   something is missing?  tree_look_wait(): all that was asked for is being
 *         read; when the first has come, the walk begins anew
 */
#ifndef TARN_VOLUME_TREE_LOOK_H
#define TARN_VOLUME_TREE_LOOK_H

#include "volume/map.h"

struct look_lost;

struct tree_look {
	struct mnode     *loading;  /* the first that has to be waited for */
	unsigned          nloading; /* how many positions are missing */
	struct look_lost *lost;     /* positions that could not be read: who
				     * asks for one again would start to read
				     * it again */
	unsigned          nlost;
	int               res;      /* why the first of them could not */
	struct node_waiter wait;
	void            (*again)(struct tree_look *l);
};

/* What a tree (or none) has at a position, pinned (NULL: nothing); l NULL: what
 * is in memory.  False: it cannot be told; with l->loading set, not yet. */
bool tree_look(struct tree_look *l, struct volume *v, unsigned level,
	       uint64_t index, struct mnode **ret_n);
static inline void tree_look_put(struct mnode *n)
{
	if (n != NULL)
		node_unpin(n);
}

/* A walk begins. */
static inline void tree_look_begin(struct tree_look *l)
{
	l->loading = NULL;
	l->nloading = 0;
}

/* l->loading is set: again() is called when that has been read, or could not
 * be. */
void tree_look_wait(struct tree_look *l);
/* No walk will come any more. */
void tree_look_end(struct tree_look *l);

#endif
