/* volume/used_step.c - one step of counting what is a tree's own: from the root
 * to a leaf, beside the one that derives from it (used_walk.h).
 */
#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/used_walk.h"
#include "volume/volumes.h"

static bool is_lost(const struct used_walk *w, const struct volume *v,
		    unsigned level, uint64_t index)
{
	return w->lost_vol == v && w->lost_level >= level &&
	       w->lost_index == index >> (9 * (w->lost_level - level));
}

static void pair_put(const struct used_pair *p)
{
	tree_look_put(p->young);
	tree_look_put(p->n);
}

/* What a tree (or none) has at a position, pinned.  False: it cannot be told;
 * perhaps not yet. */
static bool get(struct vol_used *u, struct volume *v, unsigned level,
		uint64_t index, struct mnode **ret_n)
{
	struct used_walk *w = u->walk;
	struct map_pos pos;

	if (v == NULL)
		return true;
	if (is_lost(w, v, level, index))
		return false;
	switch (map_find(v, level, index, 0, &pos)) {
	case POS_NODE:
		*ret_n = pos.node;
		node_pin(pos.node);
		return true;
	case POS_ABSENT:
		return true;
	case POS_LOADING:
		if (w->loading == NULL) {
			w->loading = pos.node;
			node_pin(pos.node);
		}
		return false;
	case POS_FAILED:
	case POS_UNKNOWN:
		used_note_error(u, pos.error);
		return false;
	}
	return false;
}

/* True if the node is the tree's own. */
static bool pair_get(struct vol_used *u, unsigned level, uint64_t index,
		     struct used_pair *ret_p)
{
	const struct used_tree *t = &u->walk->plan->trees[u->walk->at];
	bool known;

	*ret_p = (struct used_pair){ NULL, NULL };
	known = get(u, t->tree, level, index, &ret_p->n);
	/* What is lost is lost, whatever the other one has. */
	if (known || u->walk->loading != NULL)
		known &= get(u, t->young, level, index, &ret_p->young);
	return known && ret_p->n != NULL &&
	       ret_p->n->node->birth > t->shared &&
	       (ret_p->young == NULL ||
		ret_p->young->node != ret_p->n->node);
}

/* Blocks that only this leaf has. */
static uint64_t own_blocks(const struct used_pair *p, uint32_t shared)
{
	const struct leaf_entry *e = leaf_entries(p->n);
	uint64_t n = 0;

	for (unsigned i = 0; i < LEAF_ENTRIES; i++) {
		place_t place = entry_place(&e[i]);

		n += place != PLACE_NONE && le32_get(e[i].birth) > shared &&
		     (p->young == NULL ||
		      entry_place(&leaf_entries(p->young)[i]) != place);
	}
	return n;
}

/* From leaf `from` on: the first one below a child that a neighbour may not
 * have, or the one behind all children. */
static uint64_t next_own(const struct used_pair *p, uint64_t from,
			 uint32_t shared)
{
	const struct inner_child *c = inner_children(p->n);
	unsigned shift = 9u * (p->n->level - 1u);
	uint64_t first = p->n->index * INNER_CHILDREN;
	uint64_t i = (from >> shift) - first;

	for (; i < INNER_CHILDREN; i++, from = (first + i) << shift) {
		uint32_t id = le32_get(c[i].node);

		if (id != 0 && le32_get(c[i].birth) > shared &&
		    (p->young == NULL ||
		     le32_get(inner_children(p->young)[i].node) != id))
			break;
	}
	return from;
}

uint64_t used_step(struct vol_used *u, uint64_t at)
{
	struct used_walk *w = u->walk;
	const struct used_tree *t = &w->plan->trees[w->at];
	uint64_t nodes = 0, blocks = 0, next = 0;
	bool     ahead = w->loading != NULL, own = true;

	for (unsigned level = t->tree->levels + 1u; own && level-- > 0;) {
		uint64_t index = at >> (9 * level);
		struct used_pair p;

		own = pair_get(u, level, index, &p);
		next = (index + 1) << (9 * level);
		if (own && at == index << (9 * level))
			nodes++;
		if (own && level == 0)
			blocks = own_blocks(&p, t->shared);
		else if (own)
			next = next_own(&p, at, t->shared);
		own &= next == at;
		if (w->loading != NULL && !ahead)
			w->held = p;
		else
			pair_put(&p);
	}
	if (w->loading == NULL) {
		u->node_blocks += nodes;
		u->data_blocks += blocks;
	}
	return next;
}
