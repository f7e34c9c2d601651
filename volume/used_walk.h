/* volume/used_walk.h - the walk that counts what deleting something would free
 * (vol_used.c), and one step of it (used_step.c).
 */
#ifndef TARN_VOLUME_USED_WALK_H
#define TARN_VOLUME_USED_WALK_H

#include "volume/tree_thin.h"
#include "volume/used_plan.h"
#include "volume/volume.h"

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
	struct thin_kid  *kids;     /* who will derive from the FORK that is
				     * thinned out, or NULL */
	unsigned          nkids;
	struct mnode    **young;    /* for thin */
	struct thin_find  thin;
};

/* The first error counts. */
static inline void used_note_error(struct vol_used *u, int res)
{
	if (u->res == 0)
		u->res = res;
}

/* Down from the root of the tree that is walked to leaf `at`, as far as nodes are
 * its own; counts those that begin there, unless something has to be read first:
 * then walk->loading is set.  Returns the leaf where the next step begins. */
uint64_t used_step(struct vol_used *u, uint64_t at);

#endif
