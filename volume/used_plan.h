/* volume/used_plan.h - which trees go when some are deleted, and what each is
 * compared with to know what goes with it.
 *
 * The plan deletes one after the other, the youngest first, so that what several
 * share is counted with the last of them that has it, once.  With the last tree
 * but one that derives from a FORK, the FORK goes too.
 *
 * Then the FORKs that stay are thinned out (tree_thin.h), once each, beside what
 * will derive from them: trees of the set that two or more derive from, and
 * those that are next to what has gone.  The youngest come first, for what one
 * lets go that it shares with a FORK that it derives from, that one may have to
 * let go as well, from that leaf on: while the walk is under way, it says from
 * where (used_plan_thin_from()).  So the FORK is thinned out beside what those
 * that derive from it will have then; of one that is thinned out itself this is
 * what its own leaf has and those behind it have, and so on.
 *
 * The reaper may take them in another order, and some of them several times.  In
 * the end the same has gone: what can be dropped can be dropped later, too.
 */
#ifndef TARN_VOLUME_USED_PLAN_H
#define TARN_VOLUME_USED_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct thin_kid;
struct volume;

#define NOT_IN_PLAN (~0u)
/* With more trees behind one FORK, what FORKs among them will let go is not
 * regarded: then more may be freed than is said. */
#define USED_KIDS_MAX 1024u

struct used_kid {
	struct volume *tree;
	unsigned       at;     /* where it is in the plan, to be thinned out
				* too; NOT_IN_PLAN */
};

/* A tree that would go when those before it in the plan have gone. */
struct used_tree {
	struct volume *tree;
	struct volume *young;  /* the one that derives from it; NULL */
	uint32_t       shared; /* birth of its origin; 0: none */
	/* Or a FORK, that is thinned out: those that derive from it.  NULL: it
	 * goes. */
	struct used_kid *kids;
	unsigned       nkids;
	uint64_t       from;   /* … from this leaf on; ~0: not yet */
	unsigned       origin_at; /* … its origin, if that may be thinned out as
				* well; NOT_IN_PLAN */
};

struct used_plan {
	struct used_tree *trees;  /* first those that go */
	unsigned          n;
	unsigned          forked; /* of those to go: kept, since two or more
				   * trees derive from each */
	uint64_t          changes, deletions; /* of the catalog, then */
};

/* Of n trees that are there; what is being deleted counts as gone.  Their objects
 * are held.  NULL: out of memory. */
struct used_plan *used_plan_make(struct volume *const *set, unsigned n);
void used_plan_free(struct used_plan *plan); /* may be NULL */
/* What is dropped of the FORK that is thinned out at this place of the plan its
 * origin has too, from a leaf on. */
void used_plan_thin_from(struct used_plan *plan, unsigned at, uint64_t leaf);
/* All that will derive from the FORK at this place of the plan, and from FORKs
 * among them that are thinned out before it: an array that is the caller's, of
 * *ret_n.  NULL: out of memory. */
struct thin_kid *used_plan_kids(const struct used_plan *plan, unsigned at,
				unsigned *ret_n);
/* Is it surely still so? */
bool used_plan_is_fresh(const struct used_plan *plan, const struct volume *v);
bool used_plan_same(const struct used_plan *a, const struct used_plan *b);

#endif
