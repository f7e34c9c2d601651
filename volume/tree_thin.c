/* volume/tree_thin.c - see tree_thin.h.
 *
 * The walk goes down where a node is neither the origin's nor shown by any of
 * those that derive from the tree: what one of these shows it has, with all that
 * hangs from it.  If a node of any of them cannot be read, nobody knows, and all
 * below stays.
 */
#include <assert.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/tree_thin.h"
#include "volume/volumes.h"

/* Positions that are looked at for one record, and kept in memory for so
 * long. */
#define THIN_POSITIONS 4096u
/* Nodes that are read at once. */
#define THIN_LOADS     64u

static_assert(sizeof(struct catalog_thin) +
			      THIN_LEAVES * sizeof(struct thin_leaf) <=
		      CATALOG_BODY_MAX, "body of a thinning");

static uint64_t span_first(unsigned level, uint64_t index)
{
	return index << (9 * level);
}

static const struct inner_child *child(const struct mnode *n, unsigned i)
{
	return &inner_children(n)[i];
}

static uint32_t shared_birth(const struct thin_find *f, unsigned level,
			     uint64_t index)
{
	return f->kids != NULL ? f->shared :
				 tree_shared_birth(f->vol, level, index);
}

/* What those that derive from it have at a level, on the way down. */
static struct mnode **young_at(const struct thin_find *f, unsigned level)
{
	return &f->young[(size_t)level * f->young_max];
}

/* --- those that derive from it ------------------------------------------- */

/* The next one, and at the end NULL. */
static struct volume *next_kid(const struct thin_find *f,
			       const struct volume *prev, unsigned i)
{
	const struct list *next;

	if (f->kids != NULL)
		return i < f->nkids ? f->kids[i].tree : NULL;
	next = prev == NULL ? f->vol->kids.next : prev->kid_link.next;
	return next == &f->vol->kids || i >= THIN_KIDS_MAX ?
		       NULL :
		       list_entry((struct list *)(uintptr_t)next,
				  struct volume, kid_link);
}

/* What they have at the position, pinned; ret_shown: one of them shows n.
 * False: it cannot be told. */
static bool young_get(struct thin_find *f, const struct mnode *n,
		      bool *ret_shown)
{
	struct mnode  **young = young_at(f, n->level);
	struct volume  *k = NULL;
	bool known = true;
	unsigned i;

	*ret_shown = false;
	for (i = 0; (k = next_kid(f, k, i)) != NULL; i++) {
		struct volume *t = tree_holder(k, n->level, n->index);

		assert(i < f->young_max);
		f->visited++;
		young[i] = NULL;
		if (f->look.nloading >= THIN_LOADS)
			known = false;
		else
			known &= tree_look(&f->look, t, n->level, n->index,
					   &young[i]);
		*ret_shown |= young[i] != NULL && young[i]->node == n->node;
	}
	/* A pool from before there was thinning has such forks. */
	if (f->kids == NULL && f->vol->nkids > THIN_KIDS_MAX)
		known = false;
	f->nkids = i;
	if (CANARY(thin_one_less) && i > 1) {
		tree_look_put(young[i - 1]);
		young[i - 1] = NULL;
	}
	return known;
}

static void young_put(struct thin_find *f, unsigned level)
{
	for (unsigned i = 0; i < f->nkids; i++)
		tree_look_put(young_at(f, level)[i]);
}

/* --- finding ------------------------------------------------------------- */

static struct catalog_thin *body_of(struct thin_find *f)
{
	return (struct catalog_thin *)f->body;
}

/* Kid k has the place in entry i of its leaf, and will.  One that is thinned out
 * keeps what those have that derive from it, who are asked themselves; and a leaf
 * that is not its own. */
static bool kid_has(const struct thin_find *f, unsigned k, unsigned i,
		    place_t place)
{
	struct mnode *const *young = young_at(f, 0);
	const struct thin_kid *kid;

	if (young[k] == NULL ||
	    entry_place(&leaf_entries(young[k])[i]) != place)
		return false;
	if (f->kids == NULL)
		return true;
	kid = &f->kids[k];
	/* If it is the FORK's own leaf, nobody asks (young_get()). */
	return young[k]->index < kid->from ||
	       (kid->parent != NO_PARENT && young[kid->parent] != NULL &&
		young[kid->parent]->node == young[k]->node);
}

/* Entries of the leaf that have a place which none of the others has there. */
static void leaf_find(struct thin_find *f, const struct mnode *n,
		      uint32_t shared)
{
	const struct leaf_entry *e = leaf_entries(n);
	struct catalog_thin *body = body_of(f);
	struct thin_leaf *out = &body->leaves[f->found];
	unsigned dropped = 0, dead = 0;

	memset(out, 0, sizeof(*out));
	out->leaf = le64_of(n->index);
	for (unsigned i = 0; i < LEAF_ENTRIES; i++) {
		place_t place = entry_place(&e[i]);
		bool    held = place == PLACE_NONE;

		for (unsigned k = 0; k < f->nkids && !held; k++)
			held = kid_has(f, k, i, place);
		if (held)
			continue;
		out->slots[i / 8] |= (uint8_t)(1u << i % 8);
		dead += le32_get(e[i].birth) > shared;
		dropped++;
	}
	if (dropped == 0 && n->node->used > 0)
		return;
	f->data_blocks += dead;
	f->node_blocks += dropped == n->node->used;
	f->found++;
	if (dead < dropped && f->shared_leaf == UINT64_MAX) {
		f->shared_leaf = n->index;
		body->first_shared = le32_of(f->found);
	}
}

static void find_at(struct thin_find *f, unsigned level, uint64_t index);

/* Does one of them show child i of n? */
static bool child_is_shown(const struct thin_find *f, const struct mnode *n,
			   unsigned i)
{
	for (unsigned k = 0; k < f->nkids; k++) {
		const struct mnode *y = young_at(f, n->level)[k];

		if (y != NULL && le32_get(child(y, i)->node) ==
					 le32_get(child(n, i)->node))
			return true;
	}
	return false;
}

static void find_children(struct thin_find *f, const struct mnode *n)
{
	unsigned level = n->level - 1u;

	for (unsigned i = 0; i < INNER_CHILDREN && f->upto == UINT64_MAX; i++) {
		uint64_t index = n->index * INNER_CHILDREN + i;

		if (span_first(level, index + 1) <= f->from ||
		    le32_get(child(n, i)->node) == 0 ||
		    le32_get(child(n, i)->birth) <=
			    shared_birth(f, level, index) ||
		    child_is_shown(f, n, i))
			continue;
		find_at(f, level, index);
	}
}

/* Depth is bounded by LEVEL_MAX. */
static void find_at(struct thin_find *f, unsigned level, uint64_t index)
{
	uint32_t shared = shared_birth(f, level, index);
	struct mnode *n;
	bool shown;

	if (!tree_look(&f->look, f->vol, level, index, &n) || n == NULL)
		return;
	if (n->node->birth > shared) {
		bool known = young_get(f, n, &shown);

		if (known && !shown && level > 0)
			find_children(f, n);
		else if (known && !shown)
			leaf_find(f, n, shared);
		young_put(f, level);
	}
	tree_look_put(n);
	if (level == 0 && f->upto == UINT64_MAX &&
	    (f->found == f->max || f->visited >= THIN_POSITIONS ||
	     f->look.nloading >= THIN_LOADS))
		f->upto = index + 1;
}

static void find_again(struct tree_look *l)
{
	struct thin_find *f = container_of(l, struct thin_find, look);

	io_defer(f->vol->vols->io, &f->work);
}

static void find_end(struct thin_find *f)
{
	struct catalog_thin *body = body_of(f);

	f->guard.end = max_u64(f->upto, f->from + 1);
	f->res = f->look.res;
	body->from = le64_of(f->from);
	body->upto = le64_of(f->upto);
	body->nleaves = le32_of(f->found);
	f->body_bytes = (uint32_t)(sizeof(*body) +
				   f->found * sizeof(body->leaves[0]));
	f->done(f);
}

/* As find_step() of tree_reap.c. */
static void find_step(struct thin_find *f)
{
	f->found = f->visited = 0;
	f->data_blocks = f->node_blocks = 0;
	f->upto = f->shared_leaf = UINT64_MAX;
	body_of(f)->first_shared = le32_of(0);
	tree_look_begin(&f->look);
	if (f->vol->root_id != 0)
		find_at(f, f->vol->levels, 0);
	if (f->look.loading != NULL) {
		f->look.again = find_again;
		tree_look_wait(&f->look);
	} else {
		find_end(f);
	}
}

static void find_work(struct io_work *w)
{
	find_step(container_of(w, struct thin_find, work));
}

void thin_find(struct thin_find *f)
{
	assert(f->young_max >= (f->kids != NULL ? f->nkids : THIN_KIDS_MAX));
	vol_hold(f->vol);
	memset(&f->look, 0, sizeof(f->look));
	f->guard.family = f->vol->family;
	f->guard.first = f->from;
	f->guard.end = UINT64_MAX;
	node_guard_add(f->vol->vols, &f->guard);
	io_work_init(&f->work, find_work);
	io_defer(f->vol->vols->io, &f->work);
}

void thin_find_release(struct thin_find *f)
{
	tree_look_end(&f->look);
	node_guard_remove(f->vol->vols, &f->guard);
	vol_release(f->vol);
}

/* --- dropping ------------------------------------------------------------ */

void thin_drop(struct volume *v, uint64_t leaf, const uint8_t *slots)
{
	struct map_pos pos;

	switch (map_find(v, 0, leaf, FIND_NOLOAD, &pos)) {
	case POS_NODE:
		node_pin(pos.node);
		map_thin(pos.node, slots);
		node_unpin(pos.node);
		return;
	case POS_FAILED:
		map_lose(&pos);
		return;
	case POS_ABSENT:
	case POS_LOADING:
	case POS_UNKNOWN:
		return;
	}
}
