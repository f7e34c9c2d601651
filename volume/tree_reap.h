/* volume/tree_reap.h - what only one tree has: finding it, and letting it go.
 *
 * A tree that is being deleted is gone through from its cursor on.  Where it
 * shows the same node as its neighbour in the chain, nothing below is its own
 * and all of it is skipped; so the work goes with what was changed, not with
 * the size of the volume.
 *
 *   live:  reap_find() --> REAP record in the log --> reap_drop() in apply()
 *   redo:  reap_find() in prepare() --> reap_drop() in apply()
 *
 * Between the two the family's nodes from the cursor on are guarded (node.h):
 * what reap_drop() needs is in memory, also what has become the tree's own
 * meanwhile because its neighbour was written to.
 */
#ifndef TARN_VOLUME_TREE_REAP_H
#define TARN_VOLUME_TREE_REAP_H

#include "volume/tree_look.h"

struct reap_find {
	/* In. */
	struct volume *vol;
	uint64_t       from;   /* leaf to begin at: the tree's cursor */
	uint64_t       end;    /* leaf behind the last */
	unsigned       max;    /* leaves of its own, at most; 0: all */
	void (*done)(struct reap_find *f);
	/* Out: all before this leaf is in memory, if it can be read. */
	uint64_t       upto;
	/* Private. */
	unsigned       found;
	struct tree_look look;
	struct node_guard guard;
	struct io_work work;
};

/* done() is called later, from the loop. */
void reap_find(struct reap_find *f);
/* The guard goes; after reap_drop(), or instead. */
void reap_find_release(struct reap_find *f);

/* The tree holds nothing below leaf `upto` any more: its own nodes there, and
 * inner nodes that cover nothing else, are freed, and blocks that no neighbour
 * has are dead.  Cannot fail; what is not in memory could not be read, and its
 * blocks stay counted. */
void reap_drop(struct volume *v, uint64_t upto);

#endif
