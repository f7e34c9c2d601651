/* volume/map.c - the tree of a volume.
 *
 * Nodes are made when a block below them is first mapped.  Births say what has
 * changed since a snapshot or checkpoint: those of the entries, and in each
 * inner node the newest beneath each child.  So a leaf in which nothing is left
 * stays, for the births of its entries, unless one request trims all of it:
 * then the parent keeps the birth of that.  While the volume has had no
 * snapshot and no checkpoint (birth 1) births say nothing, and whatever is
 * empty goes, inner nodes too.
 *
 * Before a node is changed, it is made the tree's own: one that a snapshot
 * shows too is copied, and so are those above it, up to the first that are not
 * shared.  An overwritten block that a snapshot still has stays alive; any
 * other is dead at once.  Who shares what: tree.h.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/map.h"
#include "volume/tree.h"
#include "volume/volumes.h"

/* --- nodes come and go --------------------------------------------------- */

static void parent_link(struct mnode *n)
{
	struct volume *v = n->vol;
	struct inner_child *c;

	if (n->parent == NULL) {
		v->root_id = n->node->id;
		catalog_touch(v);
		return;
	}
	node_touch(n->parent->node); /* ours: own() */
	c = &inner_children(n->parent)[node_slot(n)];
	if (le32_get(c->node) == 0)
		n->parent->node->used++;
	c->node = le32_of(n->node->id);
	c->birth = le32_of(v->birth);
}

static bool is_shared(const struct mnode *n)
{
	return n->vol->origin != NULL && !CANARY(copy_forgotten) &&
	       n->node->birth <= tree_shared_birth(n->vol, n->level, n->index);
}

bool map_needs_node(const struct mnode *n)
{
	return n->state == MNODE_HOLE || is_shared(n);
}

/* A new node takes over what the parent said of all that it covers: when that
 * was trimmed. */
static void births_take_over(const struct mnode *n, struct node *node)
{
	const struct inner_child *c;
	struct inner_child *kids = (struct inner_child *)node->data;

	if (n->parent == NULL || CANARY(birth_lost))
		return;
	c = &inner_children(n->parent)[node_slot(n)];
	for (unsigned i = 0; n->level == 0 && i < LEAF_ENTRIES; i++)
		node_entries(node)[i].birth = c->birth;
	for (unsigned i = 0; n->level > 0 && i < INNER_CHILDREN; i++)
		kids[i].birth = c->birth;
}

/* The position gets a node that no other tree shows; it is about to change:
 * note_birth() comes next. */
static void own(struct mnode *n)
{
	struct node *node = n->node;

	if (!map_needs_node(n)) {
		node_touch(node);
		return;
	}
	if (n->parent != NULL)
		own(n->parent);
	if (node == NULL) {
		node = node_make(n->vol, n->level, n->index);
		births_take_over(n, node);
	} else {
		node = node_copy(n->vol, node);
		node_leave(n);
	}
	node_join(node, n);
	n->state = MNODE_READY;
	parent_link(n);
	node_touch(node);
	tree_own_add(n->vol, 1);
}

static void free_node(struct mnode *n);
static void note_birth(struct mnode *n);

static void parent_unlink(struct mnode *n)
{
	struct mnode *parent = n->parent;
	struct inner_child *c;

	if (parent == NULL) {
		n->vol->root_id = 0;
		catalog_touch(n->vol);
		return;
	}
	node_touch(parent->node);
	c = &inner_children(parent)[node_slot(n)];
	c->node = le32_of(0);
	c->birth = le32_of(n->vol->birth > 1 ? n->vol->birth : 0);
	n->parent_birth = n->vol->birth;
	parent->node->used--;
	if (parent->node->used == 0 && n->vol->birth == 1)
		free_node(parent);
}

/* A node below which nothing is mapped becomes a HOLE. */
static void free_node(struct mnode *n)
{
	assert(n->state == MNODE_READY);
	n->pins++; /* it stays as a HOLE, for now */
	tree_own_less(n->vol, n->node->birth, 1);
	node_free(n->node);
	parent_unlink(n);
	node_unpin(n);
}

/* Nothing is left in the leaf, as this tree sees it. */
static void drop_leaf(struct mnode *leaf)
{
	if (leaf->parent != NULL)
		own(leaf->parent);
	note_birth(leaf);
	if (!is_shared(leaf)) {
		leaf->node->used = 0;
		free_node(leaf);
		return;
	}
	leaf->pins++;
	mnode_make_hole(leaf);
	parent_unlink(leaf);
	node_unpin(leaf);
}

void map_relink(struct mnode *n, uint32_t id)
{
	if (n->parent == NULL) {
		n->vol->root_id = id;
		catalog_touch(n->vol);
		return;
	}
	own(n->parent);
	note_birth(n);
	node_touch(n->parent->node);
	inner_children(n->parent)[node_slot(n)].node = le32_of(id);
}

void map_raise_root(struct volume *v)
{
	struct mnode *old = v->root, *n;
	uint32_t      id = v->root_id;

	assert(v->levels < LEVEL_MAX);
	v->levels++;
	catalog_touch(v);
	if (id == 0 && old == NULL)
		return;
	v->root = NULL;
	n = node_new(v, NULL, v->levels, 0, 0);
	if (n == NULL)
		abort(); /* as in slab_need() */
	if (old != NULL) {
		old->parent = n;
		old->parent_birth = 0; /* nothing has been noted above it */
		n->kids[0] = old;
		n->nkids = 1;
	}
	if (id == 0)
		return; /* only HOLEs */
	n->pins++;
	own(n);
	inner_children(n)[0].node = le32_of(id);
	inner_children(n)[0].birth = le32_of(v->birth);
	n->node->used = 1;
	node_unpin(n);
}

/* --- entries ------------------------------------------------------------- */

/* Tell the inner nodes above that something younger is beneath them.  Nobody
 * else sets parent_birth to the current birth, so that where it is, all those
 * above know. */
static void note_birth(struct mnode *n)
{
	uint32_t birth = n->vol->birth;

	while (n->parent_birth != birth && !CANARY(birth_not_noted)) {
		n->parent_birth = birth;
		if (n->parent == NULL)
			return;
		own(n->parent);
		inner_children(n->parent)[node_slot(n)].birth =
			le32_of(birth);
		n = n->parent;
	}
}

/* Consecutive places are counted together. */
struct place_run {
	place_t  place;
	uint32_t n;
};

static void run_flush(struct volumes *vols, struct place_run *run, bool ref)
{
	if (run->n == 0)
		return;
	if (ref)
		pool_place_ref(vols->pool, run->place, run->n);
	else
		pool_place_unref(vols->pool, run->place, run->n);
	if (ref)
		vols->catalog.mapped += run->n;
	else /* what was read may have said less than there is */
		vols->catalog.mapped -= min_u64(run->n, vols->catalog.mapped);
	for (uint32_t i = 0; i < run->n && !ref; i++)
		block_cache_drop(&vols->blocks, run->place + i);
	run->n = 0;
}

static void run_add(struct volumes *vols, struct place_run *run, place_t place,
		    bool ref)
{
	if (run->n > 0 && place == run->place + run->n &&
	    (place & vols->zone_mask) != 0) {
		run->n++;
		return;
	}
	run_flush(vols, run, ref);
	run->place = place;
	run->n = 1;
}

static void mapped_add(struct volume *v, int64_t n)
{
	if (n == 0)
		return;
	/* What was read may have said less than there is. */
	if (n < 0)
		n = -(int64_t)min_u64((uint64_t)-n, v->mapped);
	v->mapped += (uint64_t)n;
	catalog_touch(v);
}

/* A block that the tree showed is free: 1 if it counted as the tree's own, and
 * still does; what counts as that of an origin is taken off there. */
static unsigned own_freed(struct volume *v, const struct leaf_entry *e)
{
	uint32_t birth = le32_get(e->birth);

	if (v->origin == NULL || birth > v->origin->birth)
		return 1;
	tree_own_less(v, birth, 1);
	return 0;
}

void map_set(struct mnode *leaf, unsigned slot, unsigned n,
	     const place_t *places, const uint32_t *crcs)
{
	struct volume     *v = leaf->vol;
	struct volumes    *vols = v->vols;
	struct place_run   refs = { 0, 0 }, unrefs = { 0, 0 };
	struct leaf_entry *e;
	unsigned           fresh = 0, freed = 0;
	uint32_t           shared = tree_shared_birth(v, 0, leaf->index);

	assert(leaf->level == 0 && slot + n <= LEAF_ENTRIES);
	v->fam->writes++;
	own(leaf);
	note_birth(leaf);
	e = leaf_entries(leaf) + slot;
	for (unsigned i = 0; i < n; i++, e++) {
		place_t old = entry_place(e);

		if (old == PLACE_NONE) {
			fresh++;
		} else if (le32_get(e->birth) > shared ||
			   CANARY(shared_freed)) {
			run_add(vols, &unrefs, old, false);
			freed += own_freed(v, e);
		}
		run_add(vols, &refs, places[i], true);
		entry_set(e, places[i], v->birth, crcs[i]);
	}
	run_flush(vols, &refs, true);
	run_flush(vols, &unrefs, false);
	leaf->node->used += fresh;
	mapped_add(v, (int64_t)fresh);
	if (n > freed)
		tree_own_add(v, n - freed);
}

unsigned map_count_unmapped(const struct mnode *leaf, unsigned slot,
			    unsigned n)
{
	const struct leaf_entry *e;
	unsigned count = 0;

	if (leaf->state == MNODE_HOLE)
		return n;
	if (leaf->node->used == LEAF_ENTRIES)
		return 0;
	e = leaf_entries(leaf) + slot;
	for (unsigned i = 0; i < n; i++)
		count += entry_place(&e[i]) == PLACE_NONE ? 1 : 0;
	return count;
}

unsigned map_count_fresh(const struct mnode *leaf, unsigned slot, unsigned n)
{
	uint32_t shared = tree_shared_birth(leaf->vol, 0, leaf->index);
	const struct leaf_entry *e;
	unsigned count = 0;

	if (shared == 0)
		return map_count_unmapped(leaf, slot, n);
	if (leaf->state == MNODE_HOLE)
		return n;
	e = leaf_entries(leaf) + slot;
	for (unsigned i = 0; i < n; i++)
		count += entry_place(&e[i]) == PLACE_NONE ||
			 le32_get(e[i].birth) <= shared;
	return count;
}

bool map_drops_leaf(const struct mnode *leaf, unsigned n)
{
	return leaf->vol->birth == 1 || CANARY(leaf_gone) ||
	       (n == LEAF_ENTRIES && leaf->parent != NULL);
}

void map_unmap(struct mnode *leaf, unsigned slot, unsigned n)
{
	struct volume     *v = leaf->vol;
	struct place_run   unrefs = { 0, 0 };
	struct leaf_entry *e;
	unsigned           dead, freed = 0;
	bool               all; /* of the leaf goes */
	uint32_t           shared = tree_shared_birth(v, 0, leaf->index);

	assert(leaf->level == 0 && slot + n <= LEAF_ENTRIES);
	if (leaf->state != MNODE_READY)
		return;
	dead = n - map_count_unmapped(leaf, slot, n);
	all = dead == leaf->node->used && map_drops_leaf(leaf, n);
	if (dead == 0 && !all)
		return;
	v->fam->writes++;
	mapped_add(v, CANARY(mapped_drifts) ? 0 : -(int64_t)dead);
	if (!all) {
		own(leaf);
		note_birth(leaf);
		leaf->node->used -= dead;
	}
	e = leaf_entries(leaf) + slot;
	for (unsigned i = 0; i < n; i++, e++) {
		place_t old = entry_place(e);

		if (old == PLACE_NONE)
			continue;
		if (le32_get(e->birth) > shared) {
			run_add(v->vols, &unrefs, old, false);
			freed += own_freed(v, e);
		}
		if (!all)
			entry_set(e, PLACE_NONE, v->birth, 0);
	}
	run_flush(v->vols, &unrefs, false);
	tree_own_less(v, v->birth, freed);
	if (all)
		drop_leaf(leaf);
}

void map_unmap_range(struct volume *v, uint64_t block, uint64_t n)
{
	uint64_t end = block + n;

	while (block < end) {
		uint64_t leaf = leaf_of_block(block);
		uint64_t next = min_u64(end, (leaf + 1) * LEAF_ENTRIES);
		struct map_pos pos;

		switch (map_find(v, 0, leaf, FIND_NOLOAD, &pos)) {
		case POS_NODE:
			node_pin(pos.node);
			map_unmap(pos.node, slot_of_block(block),
				  (unsigned)(next - block));
			node_unpin(pos.node);
			break;
		case POS_FAILED:
			map_lose(&pos);
			__attribute__((fallthrough));
		case POS_ABSENT:
		case POS_LOADING:
		case POS_UNKNOWN:
			/* Nothing is mapped there, or it cannot be read: what
			 * was needed has been loaded before. */
			if (pos.end > end / LEAF_ENTRIES)
				return;
			next = pos.end * LEAF_ENTRIES;
			break;
		}
		block = next;
	}
}

bool map_move(struct volumes *vols, uint32_t family, uint64_t block,
	      place_t from, place_t to, uint32_t crc)
{
	struct pool *pool = vols->pool;
	struct node *n = NULL;
	bool moved = false;

	/* Every version of the leaf that says so, or none. */
	while ((n = node_next_leaf(vols, family, leaf_of_block(block), n)) !=
	       NULL) {
		struct leaf_entry *e = node_entries(n) + slot_of_block(block);

		if ((entry_place(e) != from && !CANARY(move_unconditional)) ||
		    entry_place(e) == PLACE_NONE)
			continue;
		node_touch(n);
		e = node_entries(n) + slot_of_block(block);
		entry_set(e, to, le32_get(e->birth), crc);
		moved = true;
		if (CANARY(move_one_version))
			break;
	}
	if (moved) {
		pool_place_ref(pool, to, 1);
		pool_place_unref(pool, from, 1);
	}
	return moved;
}

void map_free_own(struct mnode *n)
{
	n->node->used = 0;
	free_node(n);
}

void map_drop_own(struct mnode *leaf, const struct mnode *young,
		  uint32_t shared)
{
	struct volumes *vols = leaf->vol->vols;
	struct place_run unrefs = { 0, 0 };
	const struct leaf_entry *e = leaf_entries(leaf);
	unsigned freed = 0;

	for (unsigned i = 0; i < LEAF_ENTRIES; i++) {
		place_t place = entry_place(&e[i]);

		if (place == PLACE_NONE || le32_get(e[i].birth) <= shared ||
		    (young != NULL &&
		     entry_place(&leaf_entries(young)[i]) == place &&
		     !CANARY(reap_all)))
			continue;
		run_add(vols, &unrefs, place, false);
		freed += own_freed(leaf->vol, &e[i]);
	}
	run_flush(vols, &unrefs, false);
	tree_own_less(leaf->vol, leaf->vol->birth, freed);
	mapped_add(leaf->vol, -(int64_t)leaf->node->used);
	map_free_own(leaf);
}

/* What the parent says of when it changed stays true. */
static void thin_free(struct mnode *leaf)
{
	struct mnode *parent = leaf->parent;

	leaf->pins++;
	tree_own_less(leaf->vol, leaf->node->birth, 1);
	node_free(leaf->node);
	if (parent == NULL) {
		leaf->vol->root_id = 0;
		catalog_touch(leaf->vol);
	} else {
		node_touch(parent->node);
		inner_children(parent)[node_slot(leaf)].node = le32_of(0);
		parent->node->used--;
	}
	node_unpin(leaf);
}

void map_thin(struct mnode *leaf, const uint8_t *slots)
{
	struct volume     *v = leaf->vol;
	struct place_run   unrefs = { 0, 0 };
	struct leaf_entry *e;
	uint32_t           dead = 0, freed = 0;
	uint32_t           shared = tree_shared_birth(v, 0, leaf->index);

	if (is_shared(leaf))
		return;
	node_touch(leaf->node);
	e = leaf_entries(leaf);
	for (unsigned i = 0; i < LEAF_ENTRIES; i++, e++) {
		place_t place = entry_place(e);

		if ((slots[i / 8] >> i % 8 & 1) == 0 || place == PLACE_NONE)
			continue;
		if (le32_get(e->birth) > shared) {
			run_add(v->vols, &unrefs, place, false);
			freed += own_freed(v, e);
		}
		entry_set(e, PLACE_NONE, le32_get(e->birth), 0);
		dead++;
	}
	run_flush(v->vols, &unrefs, false);
	tree_own_less(v, v->birth, freed);
	leaf->node->used -= dead;
	mapped_add(v, -(int64_t)dead);
	if (leaf->node->used == 0)
		thin_free(leaf);
}
