/* tools/check/check_walk.c - the trees of volumes and snapshots, as the commit
 * has them.
 *
 * Oldest first, so that a tree comes after the one that it derives from.  Each
 * node and each entry is compared with what the next older tree has at the same
 * position: what was born by then is the same there, what is younger is not.  A
 * node or block that is not there no tree before has, for in different branches
 * there is nothing else that is the same.  A subtree that both have is not
 * walked again.  Data blocks are owned (check_own.c) by the oldest tree that
 * has them.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

struct walk {
	struct ck        *ck;
	struct ck_volume *vol;
	uint64_t          nblocks; /* of the volume's size */
	uint8_t          *bufs;    /* a block for each level */
	uint64_t          mapped;
	bool              lost;    /* a node of the tree is */
};

/* What the next older tree has at a position. */
struct other {
	const struct ck_volume *tree; /* NULL: none */
	bool     unknown;             /* it cannot be known */
	uint32_t id;                  /* its node; 0: none */
};

static struct other other_at(struct walk *w, unsigned level, uint64_t index)
{
	struct other o = { .tree = NULL };

	o.tree = ck_tree_older(w->ck, w->vol, level, index, &o.unknown);
	if (o.tree != NULL &&
	    ck_tree_node(w->ck, o.tree, level, index, &o.id) < 0) {
		o.tree = NULL;
		o.unknown = true;
	}
	return o;
}

/* A block that no older tree has, of that birth, is the own of v; or of one that
 * is being deleted, which had it, and from which v derives. */
static void own_count(struct walk *w, uint32_t birth)
{
	struct ck_volume *v = w->vol;

	while (v->origin != CK_NO_TREE &&
	       birth <= w->ck->vols[v->origin].birth)
		v = &w->ck->vols[v->origin];
	v->own++;
}

/* --- leaves -------------------------------------------------------------- */

/* Entries that are not shared as their births say. */
struct wrong {
	uint32_t absent; /* the older tree should have them too */
	uint32_t shared; /* the older tree cannot have them, and has */
	uint32_t unlike; /* another checksum or birth there */
};

/* Does the older tree have the entry as well? */
static bool entry_shared(const struct other *o, const struct leaf_entry *e,
			 const struct leaf_entry *there, struct wrong *wrong)
{
	bool same = there != NULL &&
		    ck_leaf_place(there) == ck_leaf_place(e);
	bool older = le32_get(e->birth) <= o->tree->birth;

	wrong->absent += older && !same;
	wrong->shared += !older && same;
	wrong->unlike += older && same &&
			 (le32_get(there->crc32c) != le32_get(e->crc32c) ||
			  le32_get(there->birth) != le32_get(e->birth));
	return same;
}

static void wrong_report(struct walk *w, uint32_t id, uint64_t index,
			 const struct other *o, const struct wrong *wrong)
{
	const struct {
		uint32_t    n;
		const char *what;
	} said[] = {
		{ wrong->absent,
		  "not younger than it, and not the same there" },
		{ wrong->shared, "younger than it, and there all the same" },
		{ wrong->unlike, "there with another checksum or birth" },
	};

	for (unsigned i = 0; i < ARRAY_LEN(said); i++) {
		if (said[i].n == 0)
			continue;
		ck_error(w->ck, "%s, leaf %" PRIu64 " (node %" PRIu32 "), "
			 "against %s: %" PRIu32 " entries are %s",
			 ck_tree_text(w->vol).s, index, id,
			 ck_tree_text(o->tree).s, said[i].n, said[i].what);
	}
}

/* Take the blocks of a leaf that no older tree has. */
static void leaf_own(struct walk *w, uint32_t id, uint64_t index,
		     const struct leaf_entry *e, struct other *o)
{
	struct ck *ck = w->ck;
	const struct leaf_entry *there = NULL;
	struct wrong wrong = { .absent = 0 };
	bool first = ck->nodes[id].tree == w->vol->id;

	if (o->tree != NULL && o->id != 0) {
		there = (const struct leaf_entry *)
			ck_node_block(ck, o->tree, o->id, 0, index);
		o->unknown = there == NULL;
	}
	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t place = ck_leaf_place(&e[i]);
		struct ck_owner owner = { .id = w->vol->family,
					  .block = index * LEAF_ENTRIES + i,
					  .crc = le32_get(e[i].crc32c) };

		if (place == PLACE_NONE)
			continue;
		if (o->unknown ? ck_owned(ck, place) :
		    o->tree != NULL &&
			    entry_shared(o, &e[i],
					 there == NULL ? NULL : &there[i],
					 &wrong))
			continue;
		if (first) {
			ck_own(ck, place, &owner);
			ck->mapped++;
			own_count(w, le32_get(e[i].birth));
		}
	}
	if (o->tree != NULL && !o->unknown)
		wrong_report(w, id, index, o, &wrong);
}

static void leaf_walk(struct walk *w, uint32_t id, uint64_t index,
		      const uint8_t *buf, struct other *o)
{
	const struct leaf_entry *e = (const struct leaf_entry *)buf;
	struct ck *ck = w->ck;
	uint32_t beyond = 0, odd = 0;

	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t block = index * LEAF_ENTRIES + i;
		uint64_t place = ck_leaf_place(&e[i]);

		ck->nodes[id].newest = max_u32(ck->nodes[id].newest,
					       le32_get(e[i].birth));
		if (le16_get(e[i].flags) != 0 ||
		    (place == PLACE_NONE && le32_get(e[i].crc32c) != 0) ||
		    le32_get(e[i].birth) > w->vol->birth)
			odd++;
		if (place == PLACE_NONE)
			continue;
		if (block >= w->nblocks)
			beyond++;
		w->mapped++;
	}
	leaf_own(w, id, index, e, o);
	if (odd > 0)
		ck_error(ck, "%s, leaf %" PRIu64 " (node %" PRIu32 "): %"
			 PRIu32 " entries with unknown flags, a checksum of "
			 "nothing or a birth to come", ck_tree_text(w->vol).s,
			 index, id, odd);
	if (beyond > 0 && (w->vol->slot.flags & CATALOG_SHRUNK) == 0)
		ck_error(ck, "%s, leaf %" PRIu64 ": %" PRIu32 " blocks are "
			 "mapped beyond the volume's end (%" PRIu64 " bytes)",
			 ck_tree_text(w->vol).s, index, beyond,
			 w->vol->size_bytes);
}

/* --- nodes --------------------------------------------------------------- */

/* May this pointer be followed?  Counts it. */
static bool node_enter(struct walk *w, uint32_t id, unsigned level,
		       uint64_t index)
{
	struct ck *ck = w->ck;
	struct ck_text t = ck_tree_text(w->vol);
	struct ck_node *n;

	if (id >= ck->nnodes) {
		ck_error(ck, "%s points to node %" PRIu32 ", which the node "
			 "table does not have", t.s, id);
		return false;
	}
	n = &ck->nodes[id];
	if (ck_table_lost(ck, TABLE_NODES, id / NODES_A_PAGE)) {
		ck_lost(ck, "%s: node %" PRIu32 " (level %u, index %" PRIu64
			") is lost with its page of the node table", t.s, id,
			level, index);
		w->lost = true;
		return false;
	}
	n->seen++;
	if (n->refs == 0) {
		ck_error(ck, "%s points to node %" PRIu32 ", which is free",
			 t.s, id);
		return false;
	}
	if (!ck_node_is(ck, w->vol, id, level, index)) {
		ck_error(ck, "%s points to node %" PRIu32 " as level %u index "
			 "%" PRIu64 " of family %" PRIu32 "; the node table "
			 "has it as level %u index %" PRIu64 " of family %"
			 PRIu32, t.s, id, level, index,
			 w->vol->family, n->level, n->index, n->family);
		return false;
	}
	return true;
}

/* Is the node shared with the older tree as its birth says? */
static void node_compare(struct walk *w, uint32_t id, const struct other *o)
{
	const struct ck_node *n = &w->ck->nodes[id];
	const char *what = NULL;

	if (n->birth > w->vol->birth)
		ck_error(w->ck, "%s: node %" PRIu32 " (level %u, index %"
			 PRIu64 ") is of birth %" PRIu32 ", still to come",
			 ck_tree_text(w->vol).s, id, n->level, n->index,
			 n->birth);
	if (o->tree == NULL)
		return;
	if (n->birth <= o->tree->birth && o->id != id)
		what = "is not younger, and not the one there";
	else if (n->birth > o->tree->birth && o->id == id)
		what = "is younger, and the one there all the same";
	if (what != NULL)
		ck_error(w->ck, "%s, against %s: node %" PRIu32 " (level %u, "
			 "index %" PRIu64 ", birth %" PRIu32 ") %s",
			 ck_tree_text(w->vol).s, ck_tree_text(o->tree).s, id,
			 n->level, n->index, n->birth, what);
}

/* Two trees have a node only if one has it from the other, or both from a third
 * one. */
static void node_take(struct walk *w, uint32_t id, const struct other *o)
{
	struct ck_node *n = &w->ck->nodes[id];
	const struct ck_volume *t;

	if (n->tree == 0) {
		n->tree = w->vol->id;
		own_count(w, n->birth);
		return;
	}
	if (o->unknown || (o->tree != NULL && o->id == id))
		return;
	t = ck_volume_find(w->ck, n->tree);
	ck_error(w->ck, "%s: node %" PRIu32 " (level %u, index %" PRIu64
		 ", birth %" PRIu32 ") is in %s as well, and in nothing that "
		 "both derive from", ck_tree_text(w->vol).s, id, n->level,
		 n->index, n->birth, ck_tree_text(t).s);
}

/* Has all of the subtree been walked for the older tree? */
static bool node_known(const struct walk *w, uint32_t id, const struct other *o)
{
	const struct ck_node *n = &w->ck->nodes[id];
	uint64_t end = (n->index + 1) * ck_leaves_below(n->level) *
		       LEAF_ENTRIES;

	if (o->tree == NULL || o->id != id ||
	    !ck_tree_whole(o->tree, n->level, n->index))
		return false;
	/* What may lie beyond this one's end, but not the other's? */
	return end <= w->nblocks ||
	       w->vol->size_bytes >= o->tree->size_bytes;
}

static void node_walk(struct walk *w, uint32_t id, unsigned level,
		      uint64_t index);

static void node_lost(struct walk *w, uint32_t id, unsigned level,
		      uint64_t index)
{
	struct ck *ck = w->ck;
	uint64_t blocks = ck_leaves_below(level) * LEAF_ENTRIES;

	w->lost = true;
	ck_lost(ck, "%s: node %" PRIu32 " (%s) cannot be had: blocks %" PRIu64
		" to %" PRIu64 " are lost", ck_tree_text(w->vol).s, id,
		ck_place_text(ck, ck->nodes[id].place).s, index * blocks,
		(index + 1) * blocks - 1);
}

/* A child's birth is the newest beneath it, or diffs would lack something. */
static void child_check(struct walk *w, struct ck_node *n, uint32_t i,
			const struct inner_child *c)
{
	struct ck *ck = w->ck;
	uint32_t   id = le32_get(c->node), birth = le32_get(c->birth);

	n->newest = max_u32(n->newest, birth);
	if (id == 0 || id >= ck->nnodes || ck->nodes[id].newest <= birth ||
	    !ck_tree_holds(w->vol, n->level - 1u,
			   n->index * INNER_CHILDREN + i))
		return;
	ck_error(ck, "%s: child %" PRIu32 " of level %u, index %" PRIu64
		 " has birth %" PRIu32 ", and beneath it is something of birth "
		 "%" PRIu32, ck_tree_text(w->vol).s, i, n->level, n->index,
		 birth, ck->nodes[id].newest);
}

/* The node's own part: the number of blocks mapped below is kept in it. */
static void node_content(struct walk *w, uint32_t id, struct other *o)
{
	struct ck *ck = w->ck;
	struct ck_node *n = &ck->nodes[id];
	uint8_t *buf = w->bufs + (size_t)n->level * TARN_BLOCK;
	const struct inner_child *c = (const struct inner_child *)buf;
	uint64_t before = w->mapped;
	bool     lost = w->lost;

	w->lost = false;
	if (ck_node_read(ck, id, buf) < 0)
		node_lost(w, id, n->level, n->index);
	else if (n->level == 0)
		leaf_walk(w, id, n->index, buf, o);
	else
		for (uint32_t i = 0; i < INNER_CHILDREN && ck->res == 0; i++) {
			node_walk(w, le32_get(c[i].node), n->level - 1u,
				  n->index * INNER_CHILDREN + i);
			child_check(w, n, i, &c[i]);
		}
	/* Trees that have it from this one have all of it, or ask again. */
	if (ck_tree_whole(w->vol, n->level, n->index)) {
		n->mapped = w->mapped - before;
		n->lost = w->lost;
	}
	w->lost |= lost;
}

/* Depth is bounded by LEVEL_MAX; no node is entered at another index than its
 * own, so no block is counted twice. */
static void node_walk(struct walk *w, uint32_t id, unsigned level,
		      uint64_t index)
{
	struct ck *ck = w->ck;
	struct other o;

	/* Where the tree is gone, its pointers mean nothing. */
	if (id == 0 || !ck_tree_holds(w->vol, level, index) ||
	    !node_enter(w, id, level, index))
		return;
	o = other_at(w, level, index);
	node_compare(w, id, &o);
	node_take(w, id, &o);
	if (node_known(w, id, &o)) {
		w->mapped += ck->nodes[id].mapped;
		w->lost |= ck->nodes[id].lost;
		return;
	}
	node_content(w, id, &o);
}

/* --- all trees ----------------------------------------------------------- */

static void volume_walk(struct ck *ck, struct ck_volume *v, uint8_t *bufs)
{
	struct walk w = { .ck = ck, .vol = v, .bufs = bufs,
			  .nblocks = bytes_to_blocks_up(v->size_bytes) };

	node_walk(&w, le32_get(v->slot.root), v->slot.levels, 0);
	/* One that is being deleted has had more. */
	if (!w.lost && v->state == CATALOG_READY &&
	    w.mapped != le64_get(v->slot.mapped))
		ck_error(ck, "%s: the catalog counts %" PRIu64 " mapped "
			 "blocks, its tree has %" PRIu64, ck_tree_text(v).s,
			 le64_get(v->slot.mapped), w.mapped);
}

static void own_compare(struct ck *ck, const struct ck_volume *v)
{
	if (v->own != le64_get(v->slot.own))
		ck_error(ck, "%s: the catalog counts %" PRIu64 " blocks as its "
			 "own, %" PRIu64 " are", ck_tree_text(v).s,
			 le64_get(v->slot.own), v->own);
}

static int order_birth(const void *a, const void *b)
{
	const struct ck_volume *const *x = a, *const *y = b;

	return (*x)->birth < (*y)->birth ? -1 : (*x)->birth > (*y)->birth;
}

int ck_walk(struct ck *ck)
{
	struct ck_volume **order = ck_alloc(ck, ck->nvols,
					    sizeof(struct ck_volume *));
	uint8_t *bufs = ck_alloc(ck, LEVEL_MAX + 1, TARN_BLOCK);
	uint32_t n = 0;

	for (uint32_t i = 0; order != NULL && i < ck->nvols; i++) {
		if (ck_is_tree(&ck->vols[i]))
			order[n++] = &ck->vols[i];
	}
	if (n > 1)
		qsort(order, n, sizeof(struct ck_volume *), order_birth);
	for (uint32_t i = 0; order != NULL && i < n && ck->res == 0; i++)
		volume_walk(ck, order[i], bufs);
	if (ck->owned && ck->rep->nlost == 0)
		for (uint32_t i = 0; order != NULL && i < n; i++)
			own_compare(ck, order[i]);
	free(bufs);
	free(order);
	return ck->res;
}
