/* volume/tree_reap.c - see tree_reap.h.
 *
 * Both passes are one walk down the tree and its younger neighbour side by
 * side.  The older one need not be looked at: births say what is shared with
 * it.
 */
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/tree_reap.h"
#include "volume/volumes.h"

/* A position of the tree and what its younger neighbour has there.  If either
 * cannot be read, nobody knows what is the tree's own: nothing is. */
struct pair {
	struct mnode *n;
	struct mnode *young; /* NULL: nothing */
};

static uint64_t span_first(unsigned level, uint64_t index)
{
	return index << (9 * level);
}

/* What child i of an inner node is. */
static const struct inner_child *child(const struct mnode *n, unsigned i)
{
	return &inner_children(n)[i];
}

/* Do births and ids in the parents say that a neighbour has the child too? */
static bool child_is_shared(const struct pair *p, unsigned i, uint32_t shared)
{
	const struct inner_child *c = child(p->n, i);

	if (le32_get(c->birth) <= shared)
		return true;
	return p->young != NULL &&
	       le32_get(child(p->young, i)->node) == le32_get(c->node);
}

/* Both, pinned.  True if the node is the tree's own. */
static bool pair_get(struct reap_find *f, struct volume *v, unsigned level,
		     uint64_t index, struct pair *p)
{
	struct tree_look *l = f == NULL ? NULL : &f->look;
	bool known = tree_look(l, v, level, index, &p->n);

	known &= tree_look(l, tree_heir(v, level, index), level, index,
			   &p->young);
	return known && p->n != NULL &&
	       p->n->node->birth > tree_shared_birth(v, level, index) &&
	       (p->young == NULL || p->young->node != p->n->node);
}

static void pair_put(struct pair *p)
{
	tree_look_put(p->young);
	tree_look_put(p->n);
}

/* --- finding ------------------------------------------------------------- */

static void find_at(struct reap_find *f, unsigned level, uint64_t index);

static void find_children(struct reap_find *f, const struct pair *p)
{
	uint32_t shared;

	for (unsigned i = 0; i < INNER_CHILDREN && f->upto == f->end; i++) {
		unsigned level = p->n->level - 1u;
		uint64_t index = p->n->index * INNER_CHILDREN + i;

		if (span_first(level, index + 1) <= f->from ||
		    le32_get(child(p->n, i)->node) == 0)
			continue;
		if (span_first(level, index) >= f->end)
			return;
		shared = tree_shared_birth(f->vol, level, index);
		if (!child_is_shared(p, i, shared))
			find_at(f, level, index);
	}
}

/* Depth is bounded by LEVEL_MAX. */
static void find_at(struct reap_find *f, unsigned level, uint64_t index)
{
	struct pair p;

	if (pair_get(f, f->vol, level, index, &p)) {
		if (level > 0)
			find_children(f, &p);
		else if (++f->found == f->max)
			f->upto = index + 1;
	}
	pair_put(&p);
}

static void find_again(struct tree_look *l)
{
	struct reap_find *f = container_of(l, struct reap_find, look);

	io_defer(f->vol->vols->io, &f->work);
}

/* Everything that is wanted is asked for before one is waited for; then the
 * walk begins anew, over what is in memory by then. */
static void find_step(struct reap_find *f)
{
	f->found = 0;
	f->upto = f->end;
	tree_look_begin(&f->look);
	if (f->from < f->end && f->vol->root_id != 0)
		find_at(f, f->vol->levels, 0);
	if (f->look.loading == NULL) {
		f->guard.end = max_u64(f->upto, f->from + 1);
		f->done(f);
		return;
	}
	f->look.again = find_again;
	tree_look_wait(&f->look);
}

static void find_work(struct io_work *w)
{
	find_step(container_of(w, struct reap_find, work));
}

void reap_find(struct reap_find *f)
{
	vol_hold(f->vol);
	f->guard.family = f->vol->family;
	f->guard.first = f->from;
	f->guard.end = UINT64_MAX;
	node_guard_add(f->vol->vols, &f->guard);
	io_work_init(&f->work, find_work);
	io_defer(f->vol->vols->io, &f->work);
}

void reap_find_release(struct reap_find *f)
{
	tree_look_end(&f->look);
	node_guard_remove(f->vol->vols, &f->guard);
	vol_release(f->vol);
}

/* --- dropping ------------------------------------------------------------ */

static void drop_at(struct volume *v, unsigned level, uint64_t index,
		    uint64_t upto);

/* Children that have not been gone through before. */
static void drop_children(struct volume *v, const struct pair *p,
			  uint64_t upto)
{
	unsigned level = p->n->level - 1u;

	for (unsigned i = 0; i < INNER_CHILDREN; i++) {
		uint64_t index = p->n->index * INNER_CHILDREN + i;

		if (p->n->state != MNODE_READY ||
		    span_first(level, index) >= upto)
			return;
		if (span_first(level, index + 1) <= v->cursor ||
		    le32_get(child(p->n, i)->node) == 0 ||
		    child_is_shared(p, i, tree_shared_birth(v, level, index)))
			continue;
		drop_at(v, level, index, upto);
	}
}

/* All that an inner node covers is gone or somebody else's. */
static void drop_inner(struct volume *v, const struct pair *p)
{
	unsigned level = p->n->level - 1u;

	for (unsigned i = 0; i < INNER_CHILDREN; i++) {
		uint64_t index = p->n->index * INNER_CHILDREN + i;

		if (span_first(level, index + 1) > v->cursor &&
		    le32_get(child(p->n, i)->node) != 0 &&
		    !child_is_shared(p, i, tree_shared_birth(v, level, index)))
			map_forget_lost(p->n, i);
	}
	map_free_own(p->n);
}

static void drop_at(struct volume *v, unsigned level, uint64_t index,
		    uint64_t upto)
{
	struct pair p;

	if (pair_get(NULL, v, level, index, &p)) {
		if (level == 0)
			map_drop_own(p.n, p.young,
				     tree_shared_birth(v, level, index));
		else
			drop_children(v, &p, upto);
		if (level > 0 && p.n->state == MNODE_READY &&
		    span_first(level, index + 1) <= upto)
			drop_inner(v, &p);
	}
	pair_put(&p);
}

void reap_drop(struct volume *v, uint64_t upto)
{
	if (v->root_id != 0 && upto > v->cursor)
		drop_at(v, v->levels, 0, upto);
}
