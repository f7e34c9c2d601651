/* volume/tree.c - see tree.h. */
#include <assert.h>
#include <stddef.h>

#include "volume/catalog.h"
#include "volume/tree.h"
#include "volume/volumes.h"

bool tree_holds(const struct volume *t, unsigned level, uint64_t index)
{
	/* An inner node goes when all that it covers has gone. */
	return t->state != CATALOG_DELETING ||
	       t->cursor < (index + 1) << (9 * level);
}

struct volume *tree_origin(const struct volume *t, unsigned level,
			   uint64_t index)
{
	struct volume *o = t->origin;

	while (o != NULL && !tree_holds(o, level, index))
		o = o->origin;
	return o;
}

uint32_t tree_shared_birth(const struct volume *t, unsigned level,
			   uint64_t index)
{
	const struct volume *o = tree_origin(t, level, index);

	return o == NULL ? 0 : o->birth;
}

struct volume *tree_next(const struct volume *t, unsigned level,
			 uint64_t index)
{
	struct volume *n = t->next;

	while (n != NULL && !tree_holds(n, level, index))
		n = n->next;
	return n;
}

struct volume *tree_before(const struct volume *t, uint32_t born)
{
	struct volume *o = t->origin;

	while (o != NULL && o->birth >= born)
		o = o->origin;
	return o;
}

/* It is in all trees from then on, up to the one where it was replaced. */
struct volume *tree_of_birth(struct volume *v, uint32_t birth, unsigned level,
			     uint64_t index)
{
	struct volume *found = NULL;

	for (struct volume *t = v; t != NULL && t->birth >= birth;
	     t = t->origin)
		if (tree_holds(t, level, index))
			found = t;
	return found;
}

void tree_insert_before(struct volume *t, struct volume *v)
{
	assert(t->origin == NULL && t->next == NULL && t->birth < v->birth);
	t->origin = v->origin;
	if (t->origin != NULL)
		t->origin->next = t;
	t->next = v;
	v->origin = t;
	v->vols->catalog.tree_changes++;
	catalog_touch(v);
}

void tree_remove(struct volume *t)
{
	if (t->next != NULL) {
		t->next->origin = t->origin;
		catalog_touch(t->next);
	}
	if (t->origin != NULL)
		t->origin->next = t->next;
	t->origin = NULL;
	t->next = NULL;
	t->vols->catalog.tree_changes++;
}
