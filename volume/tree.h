/* volume/tree.h - who holds what: a volume and its snapshots as a chain of
 * trees (node_format.h, TREES).
 *
 *   oldest snapshot <-- origin -- ... <-- newest snapshot <-- volume
 *                    -- next -->
 *
 * Births grow along the chain, so that one comparison says whether a tree
 * shares an entry or a node with its origin; then the origin holds it, and what
 * replaces it must leave it alone.
 *
 * A tree that is being deleted stays in the chain until all of it is gone.
 * Position by position, from the front, it stops holding anything: there, its
 * neighbours in the chain are each other's neighbours.
 */
#ifndef TARN_VOLUME_TREE_H
#define TARN_VOLUME_TREE_H

#include <stdbool.h>
#include <stdint.h>

struct volume;

/* Does the tree still hold what is at (level, index)? */
bool tree_holds(const struct volume *t, unsigned level, uint64_t index);
/* Nodes at (level, index) of t that were born then or before, and entries in
 * leaves there, are held by an older tree too.  0: none is. */
uint32_t tree_shared_birth(const struct volume *t, unsigned level,
			   uint64_t index);
/* The next younger tree that holds what is there; NULL: none. */
struct volume *tree_next(const struct volume *t, unsigned level,
			 uint64_t index);
/* The next older tree that holds what is there; NULL: none. */
struct volume *tree_origin(const struct volume *t, unsigned level,
			   uint64_t index);

/* What t shows somewhere it has shown since birth `born`: the next older tree
 * that may show something else there; NULL: none. */
struct volume *tree_before(const struct volume *t, uint32_t born);
/* The oldest tree of v's chain, v or older, that shows a node at (level, index)
 * that was born then, if any does; NULL: none can. */
struct volume *tree_of_birth(struct volume *v, uint32_t birth, unsigned level,
			     uint64_t index);

/* t enters the chain between v and v's origin. */
void tree_insert_before(struct volume *t, struct volume *v);
/* t leaves its chain. */
void tree_remove(struct volume *t);

#endif
