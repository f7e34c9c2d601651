/* volume/used_plan.h - what goes when a volume or snapshot is deleted.
 *
 *   the tree itself                            at most one derives from it
 *   and the FORK that it derives from,         if only one other one does
 *   and a FORK is thinned out (tree_thin.h):   the tree itself, if two or more
 *           derive from it; that which it derives from; or if that goes, the one
 *           that this derives from
 *
 * What is being deleted counts as gone.
 */
#ifndef TARN_VOLUME_USED_PLAN_H
#define TARN_VOLUME_USED_PLAN_H

#include "volume/tree_thin.h"

#define USED_TREES 2u

/* A tree that would go, and what it would be compared with. */
struct used_tree {
	struct volume *tree;   /* NULL: there is none */
	struct volume *young;  /* the one that derives from it; NULL */
	uint32_t       shared; /* birth of its origin; 0: none */
};

struct used_plan {
	struct used_tree trees[USED_TREES];
	bool             forked;  /* the tree itself stays, as a FORK */
	struct volume   *thin;    /* a FORK; NULL: none is thinned out */
	uint32_t         shared;  /* birth of its origin */
	struct volume   *kids[THIN_KIDS_MAX]; /* that derive from it then */
	unsigned         nkids;
};

void used_plan_make(struct volume *v, struct used_plan *ret_plan);
bool used_plan_is(const struct used_plan *a, const struct used_plan *b);
/* All its trees. */
void used_plan_hold(const struct used_plan *plan);
void used_plan_release(const struct used_plan *plan);

#endif
