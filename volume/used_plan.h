/* volume/used_plan.h - which trees go when some are deleted, and what each is
 * compared with to know what goes with it.
 *
 * The plan deletes one after the other, the youngest first, so that what several
 * share is counted with the last of them that has it, once.  With the last tree
 * but one that derives from a FORK, the FORK goes too.
 *
 * Then the FORKs that stay are thinned out (tree_thin.h), once each, beside what
 * will derive from them: trees of the set that two or more derive from, and
 * those that are next to what has gone.  Each is counted beside what the others
 * have now; so if one derives from another and is thinned out first, that one
 * lets some more go than was said.
 */
#ifndef TARN_VOLUME_USED_PLAN_H
#define TARN_VOLUME_USED_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct volume;

/* A tree that would go when those before it in the plan have gone. */
struct used_tree {
	struct volume *tree;
	struct volume *young;  /* the one that derives from it; NULL */
	uint32_t       shared; /* birth of its origin; 0: none */
	/* Or a FORK, that is thinned out: those that derive from it.  NULL: it
	 * goes. */
	struct volume **kids;
	unsigned       nkids;
};

struct used_plan {
	struct used_tree *trees;
	unsigned          n;
	unsigned          forked; /* of those to go: kept, since two or more
				   * trees derive from each */
	uint64_t          changes, deletions; /* of the catalog, then */
};

/* Of n trees that are there; what is being deleted counts as gone.  Their objects
 * are held.  NULL: out of memory. */
struct used_plan *used_plan_make(struct volume *const *set, unsigned n);
void used_plan_free(struct used_plan *plan); /* may be NULL */
/* Is it surely still so? */
bool used_plan_is_fresh(const struct used_plan *plan, const struct volume *v);
bool used_plan_same(const struct used_plan *a, const struct used_plan *b);

#endif
