/* volume/tree.h - who holds what: volumes and their snapshots as trees that
 * derive from one another (node_format.h, TREES).
 *
 *   oldest snapshot <-- origin -- ... <-- newest snapshot <-- volume
 *                                  ^
 *                                  '-- clone of that snapshot
 *
 * Births grow from a tree to those that derive from it, so that one comparison
 * says whether a tree shares an entry or a node with its origin; then the
 * origin holds it, and what replaces it must leave it alone.
 *
 * A tree that is being deleted stays in its place until all of it is gone.
 * Position by position, from the front, it stops holding anything: there, what
 * derives from it derives from its origin.  At most one tree derives from it:
 * from two or more, one comparison would not say what is still needed, so then
 * it stays as a FORK until only one of them is left.  What none of them has is
 * dropped from it, when it becomes a FORK, each time that one of them or its
 * origin goes, and when one of them, a FORK itself, lets something go that it
 * shared with this one (tree_thin.h).
 *
 * All that hang together are a family; the tips are those of its trees from
 * which none derives: every volume, and snapshots that a rollback left behind.
 */
#ifndef TARN_VOLUME_TREE_H
#define TARN_VOLUME_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct catalog;
struct volume;
struct volumes;

struct family {
	struct family *hash_next;
	uint32_t    id;     /* of the first volume, which may be gone */
	uint32_t    ntrees;
	uint64_t    writes; /* changes of leaves since it is in memory */
	struct list tips;   /* struct volume, by tip_link */
};

/* A tree and all its origins, births descending, as they were when the catalog's
 * tree_changes was `changes`. */
struct tree_path {
	struct volume **trees;
	uint32_t        n, cap;
	uint64_t        changes;
};

/* NULL: there is none. */
struct family *family_find(const struct catalog *c, uint32_t id);
/* The tip after prev; NULL: the first one.  NULL at the end. */
struct volume *family_next_tip(const struct family *f,
			       const struct volume *prev);

/* Does the tree still hold what is at (level, index)? */
bool tree_holds(const struct volume *t, unsigned level, uint64_t index);
/* Nodes at (level, index) of t that were born then or before, and entries in
 * leaves there, are held by an older tree too.  0: none is. */
uint32_t tree_shared_birth(const struct volume *t, unsigned level,
			   uint64_t index);
/* The next older tree that holds what is there; NULL: none. */
struct volume *tree_origin(const struct volume *t, unsigned level,
			   uint64_t index);
/* The one tree that derives from t and holds what is there; NULL: none does.  At
 * most one may derive from t. */
struct volume *tree_heir(const struct volume *t, unsigned level,
			 uint64_t index);

/* t, or in its place what derives from it, if that holds what is there; NULL:
 * nobody does. */
struct volume *tree_holder(struct volume *t, unsigned level, uint64_t index);

/* What t shows somewhere it has shown since birth `born`: the next older tree
 * that may show something else there; NULL: none. */
struct volume *tree_before(const struct volume *t, uint32_t born);

/* When all that is being deleted has gone: what t derives from then; NULL:
 * nothing. */
struct volume *tree_lasting_origin(const struct volume *t);

/* Each block, of data or of a map, that is live counts as the own of one tree:
 * the oldest of those that have it.  n more of t; n less, of that birth, which
 * t had and nobody else does. */
void tree_own_add(struct volume *t, uint64_t n);
void tree_own_less(struct volume *t, uint32_t birth, uint64_t n);

/* A new tree, whose family is set; origin NULL: it derives from none. */
void tree_add(struct volume *t, struct volume *origin);
/* A new tree, of t's family and older than it, comes between t and its
 * origin. */
void tree_add_before(struct volume *n, struct volume *t);
/* t is no more; at most one tree derives from it, whose own is now what was
 * t's.  An origin that was a FORK may
 * be DELETING now, or has to be thinned out again; and so has a FORK that derived
 * from it, which has taken over what it shared with t. */
void tree_remove(struct volume *t);
/* t is deleted: it begins to go, or is a FORK while two or more trees derive from
 * it. */
void tree_delete(struct volume *t);
/* Is there something to be dropped from a FORK, perhaps? */
bool tree_to_thin(const struct volume *t);
/* The leaves of a FORK before `cursor` have been thinned out. */
void tree_thinned(struct volume *t, uint64_t cursor);
/* From a leaf on, what derives from t has let go some of what t has too: if t is
 * a FORK, that may be nobody's by now. */
void tree_thin_from(struct volume *t, uint64_t leaf);

#endif
