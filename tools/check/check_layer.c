/* tools/check/check_layer.c - what the log has changed in the commit's trees.
 *
 * A leaf that the log changes is copied into the layer of the tree that it
 * changes in.  What a tree has is found in its own layer, or in the nearest one
 * below, or in the commit.  So memory is taken for what the log changes, and
 * none for a snapshot, a clone or a rollback, or for deleting one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

#define LEAF_BUCKETS 65536u

/* The owner may change it, if it is a volume; it lies on the layer below, 0:
 * the commit. */
struct layer {
	uint32_t below;
	uint32_t owner; /* id of a volume, then of the last snapshot that took
			 * it from there */
};

struct move {
	uint64_t from;  /* 0: the slot is empty */
	uint64_t to;
};

struct ck_layers {
	struct ck_leaf *leaves[LEAF_BUCKETS];
	struct layer   *layers; /* [layer - 1] */
	uint32_t        nlayers, layers_cap;
	struct move    *moves;  /* a hash by from, open addressing */
	uint64_t        nmoves, moves_cap; /* cap: a power of two */
};

int ck_layers_init(struct ck *ck)
{
	if (ck->layers == NULL)
		ck->layers = ck_alloc(ck, 1, sizeof(*ck->layers));
	return ck->layers == NULL ? -ENOMEM : 0;
}

void ck_layers_free(struct ck *ck)
{
	struct ck_layers *ls = ck->layers;

	for (uint32_t i = 0; ls != NULL && i < LEAF_BUCKETS; i++) {
		while (ls->leaves[i] != NULL) {
			struct ck_leaf *l = ls->leaves[i];

			ls->leaves[i] = l->next;
			free(l);
		}
	}
	if (ls != NULL) {
		free(ls->layers);
		free(ls->moves);
	}
	free(ls);
	ck->layers = NULL;
}

/* --- moves --------------------------------------------------------------- */

static uint64_t hash(uint64_t a, uint64_t b)
{
	uint64_t h = (a * 0x9e3779b97f4a7c15ull) ^ (b * 0xbf58476d1ce4e5b9ull);

	return h ^ h >> 32;
}

/* The slot of `from`, or the empty one where it belongs. */
static struct move *move_slot(const struct ck_layers *ls, uint64_t from)
{
	uint64_t i = hash(from, 0) & (ls->moves_cap - 1);

	while (ls->moves[i].from != 0 && ls->moves[i].from != from)
		i = (i + 1) & (ls->moves_cap - 1);
	return &ls->moves[i];
}

/* There is no way round: ck_move_add(). */
uint64_t ck_moved(const struct ck *ck, uint64_t place)
{
	const struct ck_layers *ls = ck->layers;

	while (ls != NULL && ls->nmoves > 0 && place != PLACE_NONE) {
		const struct move *m = move_slot(ls, place);

		if (m->from == 0)
			break;
		place = m->to;
	}
	return place;
}

static int moves_grow(struct ck *ck)
{
	struct ck_layers *ls = ck->layers;
	struct move *old = ls->moves;
	uint64_t cap = ls->moves_cap;

	if (2 * (ls->nmoves + 1) <= cap)
		return 0;
	ls->moves = ck_alloc(ck, cap == 0 ? 1024 : 2 * cap, sizeof(*old));
	if (ls->moves == NULL) {
		ls->moves = old;
		return -ENOMEM;
	}
	ls->moves_cap = cap == 0 ? 1024 : 2 * cap;
	for (uint64_t i = 0; i < cap; i++) {
		if (old[i].from != 0)
			*move_slot(ls, old[i].from) = old[i];
	}
	free(old);
	return 0;
}

int ck_move_add(struct ck *ck, uint64_t from, uint64_t to)
{
	struct ck_layers *ls = ck->layers;

	if (moves_grow(ck) < 0)
		return -ENOMEM;
	if (from == to || move_slot(ls, from)->from != 0 ||
	    move_slot(ls, to)->from != 0)
		return -EINVAL;
	*move_slot(ls, from) = (struct move){ .from = from, .to = to };
	ls->nmoves++;
	return 0;
}

/* --- leaves -------------------------------------------------------------- */

static struct ck_leaf **bucket_of(struct ck *ck, uint32_t layer,
				  uint64_t index)
{
	return &ck->layers->leaves[hash(index, layer) % LEAF_BUCKETS];
}

static struct ck_leaf *leaf_in(struct ck *ck, uint32_t layer, uint64_t index)
{
	struct ck_leaf *l = *bucket_of(ck, layer, index);

	while (l != NULL && (l->layer != layer || l->index != index))
		l = l->next;
	return l;
}

/* In that layer or in those below; NULL: as the commit has it. */
static struct ck_leaf *leaf_find(struct ck *ck, uint32_t layer, uint64_t index)
{
	struct ck_leaf *l = NULL;

	for (; layer != 0 && l == NULL;
	     layer = ck->layers->layers[layer - 1].below)
		l = leaf_in(ck, layer, index);
	return l;
}

int ck_leaf_places(struct ck *ck, const struct ck_volume *t, uint64_t index,
		   uint64_t places[LEAF_ENTRIES])
{
	const struct ck_leaf *l = leaf_find(ck, t->layer, index);
	const struct leaf_entry *e = NULL;
	uint32_t id = 0;
	bool     gone = !ck_tree_holds(t, 0, index);

	for (uint32_t i = 0; i < LEAF_ENTRIES; i++)
		places[i] = PLACE_NONE;
	if (!gone && l == NULL) {
		if (ck_tree_node(ck, t, 0, index, &id) < 0)
			return -EBADMSG;
		if (id == 0)
			return 0;
		e = (const struct leaf_entry *)ck_node_block(ck, t, id, 0,
							     index);
		if (e == NULL)
			return -EBADMSG;
	}
	for (uint32_t i = 0; i < LEAF_ENTRIES && !gone; i++)
		places[i] = ck_moved(ck, l != NULL ? l->places[i] :
						     ck_leaf_place(&e[i]));
	return 0;
}

/* Let t have a layer of its own. */
static int layer_own(struct ck *ck, struct ck_volume *t)
{
	struct ck_layers *ls = ck->layers;

	/* On what a fork took over other ones may lie. */
	if (t->layer != 0 && ls->layers[t->layer - 1].owner == t->id &&
	    (t->state != CATALOG_FORK || t->thinned))
		return 0;
	t->thinned = t->state == CATALOG_FORK;
	if (!ck_grow(ck, &ls->layers, ls->nlayers, &ls->layers_cap,
		     sizeof(*ls->layers)))
		return -ENOMEM;
	ls->layers[ls->nlayers++] = (struct layer){ .below = t->layer,
						    .owner = t->id };
	t->layer = ls->nlayers;
	return 0;
}

struct ck_leaf *ck_leaf_get(struct ck *ck, struct ck_volume *t,
			    uint64_t index)
{
	struct ck_leaf *l, **b;

	if (layer_own(ck, t) < 0)
		return NULL;
	l = leaf_in(ck, t->layer, index);
	if (l != NULL)
		return l;
	l = ck_alloc(ck, 1, sizeof(*l));
	if (l == NULL)
		return NULL;
	/* What cannot be had was said when the tree was walked. */
	ck_leaf_places(ck, t, index, l->places);
	l->layer = t->layer;
	l->index = index;
	b = bucket_of(ck, t->layer, index);
	l->next = *b;
	*b = l;
	return l;
}

void ck_layer_keep(struct ck *ck, struct ck_volume *s,
		   const struct ck_volume *v)
{
	s->layer = v->layer;
	if (s->layer != 0)
		ck->layers->layers[s->layer - 1].owner = s->id;
}

void ck_layer_start(struct ck_volume *v, const struct ck_volume *s)
{
	v->layer = s->layer;
}

/* --- all leaves of a tree ------------------------------------------------ */

/* Is the very node the next older tree's too, as it is in the commit? */
static bool node_shared(struct ck *ck, const struct ck_volume *t, uint32_t id,
			unsigned level, uint64_t index)
{
	bool unknown;
	uint32_t there;
	const struct ck_volume *o = ck_tree_older(ck, t, level, index,
						  &unknown);

	return o != NULL && o->layer == 0 && ck_tree_whole(o, level, index) &&
	       ck_tree_node(ck, o, level, index, &there) == 0 && there == id;
}

/* Leaves of the commit that no layer has. */
static int subtree_each(struct ck *ck, struct ck_volume *t, unsigned level,
			uint64_t index, const struct ck_leaves *range)
{
	uint64_t first = index * ck_leaves_below(level);
	uint32_t id;
	int r = 0;

	if (first >= range->to ||
	    first + ck_leaves_below(level) <= range->from ||
	    !ck_tree_holds(t, level, index) ||
	    ck_tree_node(ck, t, level, index, &id) < 0 || id == 0)
		return 0;
	if (level == 0)
		return leaf_find(ck, t->layer, index) != NULL ?
			       0 :
			       range->fn(ck, t, index, range->arg);
	if (!range->shared && node_shared(ck, t, id, level, index))
		return 0;
	for (uint32_t i = 0; i < INNER_CHILDREN && r == 0; i++)
		r = subtree_each(ck, t, level - 1, index * INNER_CHILDREN + i,
				 range);
	return r;
}

int ck_leaves_each(struct ck *ck, struct ck_volume *t,
		   const struct ck_leaves *range)
{
	int r = subtree_each(ck, t, t->slot.levels, 0, range);

	for (uint32_t b = 0; t->layer != 0 && b < LEAF_BUCKETS; b++) {
		for (const struct ck_leaf *l = ck->layers->leaves[b];
		     l != NULL && r == 0; l = l->next) {
			if (l->index >= range->from && l->index < range->to &&
			    leaf_find(ck, t->layer, l->index) == l)
				r = range->fn(ck, t, l->index, range->arg);
		}
	}
	return r;
}

/* --- when it was replayed ------------------------------------------------ */

/* Nothing may be mapped behind the end of a volume. */
static void leaf_check(struct ck *ck, const struct ck_leaf *l)
{
	uint32_t owner = ck->layers->layers[l->layer - 1].owner;
	const struct ck_volume *v = ck_volume_find(ck, owner);
	uint64_t nblocks = v == NULL ? 0 : bytes_to_blocks_up(v->size_bytes);

	if (v == NULL || v->state != CATALOG_READY ||
	    (v->slot.flags & CATALOG_SHRUNK) != 0)
		return;
	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t block = l->index * LEAF_ENTRIES + i;

		if (block < nblocks || l->places[i] == PLACE_NONE)
			continue;
		ck_error(ck, "%s: after the log, block %" PRIu64 " is mapped "
			 "beyond its end (%" PRIu64 " bytes)",
			 ck_tree_text(v).s, block, v->size_bytes);
		return;
	}
}

void ck_layers_check(struct ck *ck)
{
	for (uint32_t b = 0; ck->layers != NULL && b < LEAF_BUCKETS; b++) {
		for (const struct ck_leaf *l = ck->layers->leaves[b];
		     l != NULL; l = l->next)
			leaf_check(ck, l);
	}
}
