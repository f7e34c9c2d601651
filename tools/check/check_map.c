/* tools/check/check_map.c - the volumes' map as the commit has it.
 *
 * The node table and the node map are read whole.  Then each volume's tree is
 * walked from its root: every pointer to a node is counted against the node's
 * reference count, every mapped block is owned (check_own.c).  What was never
 * reached though the table has it in use is leaked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "tools/check/check_state.h"

static uint64_t leaves_below(unsigned level)
{
	return 1ull << (9 * level);
}

/* --- nodes --------------------------------------------------------------- */

static void node_check(struct ck *ck, uint32_t id, bool in_map)
{
	const struct ck_node *n = &ck->nodes[id];
	struct ck_owner o = { .type = REC_NODE, .id = id, .crc = n->crc };

	if ((n->refs > 0) != in_map)
		ck_error(ck, "node %" PRIu32 ": %" PRIu32 " references, but "
			 "the node map has it %s", id, n->refs,
			 in_map ? "in use" : "free");
	if (n->refs == 0)
		return;
	if (id == 0)
		ck_error(ck, "node 0 is in use; ids count from 1");
	ck->rep->node_blocks++;
	if (n->level > LEVEL_MAX || n->index >= leaves_below(LEVEL_MAX -
							     n->level))
		ck_error(ck, "node %" PRIu32 ": level %u, index %" PRIu64
			 " is beyond the largest volume", id, n->level,
			 n->index);
	if (n->place == PLACE_NONE)
		ck_error(ck, "node %" PRIu32 " is in use but was never "
			 "written", id);
	else
		ck_own(ck, n->place, &o);
}

static bool map_bit(const struct ck *ck, uint32_t id)
{
	const uint8_t *p = ck_table_page(ck, TABLE_NODE_MAP,
					 id / NODE_BITS_PAGE);
	uint32_t bit = id % NODE_BITS_PAGE;

	return p != NULL && (p[bit / 8] >> (bit % 8) & 1) != 0;
}

/* Bits of the map beyond the table: nodes that no entry describes. */
static void map_beyond(struct ck *ck)
{
	uint64_t end = (uint64_t)ck->tables[TABLE_NODE_MAP].npages *
		       NODE_BITS_PAGE;

	for (uint64_t id = ck->nnodes; id < end; id++) {
		if (id != 0 && map_bit(ck, (uint32_t)id))
			ck_error(ck, "node %" PRIu64 " is in use in the node "
				 "map and has no entry in the node table", id);
	}
}

static int nodes_load(struct ck *ck)
{
	uint64_t n = (uint64_t)ck->tables[TABLE_NODES].npages * NODES_A_PAGE;

	if (n > UINT32_MAX) {
		ck_error(ck, "the node table has more entries than node ids");
		n = 0;
	}
	ck->nodes = ck_alloc(ck, n, sizeof(*ck->nodes));
	if (ck->nodes == NULL)
		return -ENOMEM;
	ck->nnodes = (uint32_t)n;
	for (uint32_t id = 0; id < ck->nnodes; id++) {
		const struct node_entry *e = (const struct node_entry *)
			ck_table_page(ck, TABLE_NODES, id / NODES_A_PAGE);
		struct ck_node *node = &ck->nodes[id];

		if (e == NULL)
			continue;
		e += id % NODES_A_PAGE;
		node->place = le64_get(e->place);
		node->crc = le32_get(e->crc32c);
		node->refs = le32_get(e->refs);
		node->family = le32_get(e->family);
		node->birth = le32_get(e->birth);
		node->level = (uint8_t)(le64_get(e->where) >> 56);
		node->index = le64_get(e->where) & ((1ull << 56) - 1);
	}
	for (uint32_t id = 0; id < ck->nnodes; id++) {
		bool in_map = id != 0 && map_bit(ck, id);

		if (ck_table_lost(ck, TABLE_NODES, id / NODES_A_PAGE) ||
		    ck_table_lost(ck, TABLE_NODE_MAP, id / NODE_BITS_PAGE))
			continue;
		node_check(ck, id, in_map);
	}
	if (ck->nnodes > 0 &&
	    ck_table_page(ck, TABLE_NODE_MAP, 0) != NULL && !map_bit(ck, 0))
		ck_error(ck, "bit 0 of the node map is not set");
	map_beyond(ck);
	return ck->res;
}

int ck_node_read(struct ck *ck, uint32_t id, uint8_t *buf)
{
	const struct ck_node *n;

	if (id == 0 || id >= ck->nnodes)
		return -ENODATA;
	n = &ck->nodes[id];
	if (n->refs == 0 || n->place == PLACE_NONE)
		return -ENODATA;
	return ck_read_place(ck, n->place, n->crc, buf);
}

/* --- trees --------------------------------------------------------------- */

struct walk {
	struct ck        *ck;
	struct ck_volume *vol;
	uint64_t          nblocks; /* of the volume's size */
	uint8_t          *bufs;    /* a block for each level */
	uint64_t          mapped;
	bool              lost;    /* a node of the tree is */
};

static void leaf_walk(struct walk *w, uint32_t id, uint64_t index,
		      const uint8_t *buf, bool first)
{
	const struct leaf_entry *e = (const struct leaf_entry *)buf;
	struct ck *ck = w->ck;
	uint32_t beyond = 0, odd = 0;

	for (uint32_t i = 0; i < LEAF_ENTRIES; i++) {
		uint64_t block = index * LEAF_ENTRIES + i;
		uint64_t place = ck_leaf_place(&e[i]);
		struct ck_owner o = { .id = w->vol->id, .block = block,
				      .crc = le32_get(e[i].crc32c) };

		if (le16_get(e[i].flags) != 0 ||
		    (place == PLACE_NONE && o.crc != 0) ||
		    le32_get(e[i].birth) > le32_get(w->vol->slot.birth))
			odd++;
		if (place == PLACE_NONE)
			continue;
		if (block >= w->nblocks)
			beyond++;
		w->mapped++;
		if (first)
			ck_own(ck, place, &o);
	}
	if (odd > 0)
		ck_error(ck, "volume %" PRIu32 ", leaf %" PRIu64 " (node "
			 "%" PRIu32 "): %" PRIu32 " entries with unknown "
			 "flags, a checksum of nothing or a birth to come",
			 w->vol->id, index, id, odd);
	if (beyond > 0 && (w->vol->slot.flags & CATALOG_SHRUNK) == 0)
		ck_error(ck, "volume %" PRIu32 ", leaf %" PRIu64 ": %" PRIu32
			 " blocks are mapped beyond the volume's end (%" PRIu64
			 " bytes)", w->vol->id, index, beyond,
			 w->vol->size_bytes);
}

/* May this pointer be followed?  Counts it. */
static bool node_enter(struct walk *w, uint32_t id, unsigned level,
		       uint64_t index)
{
	struct ck *ck = w->ck;
	struct ck_node *n;

	if (id >= ck->nnodes) {
		ck_error(ck, "volume %" PRIu32 " points to node %" PRIu32
			 ", which the node table does not have", w->vol->id,
			 id);
		return false;
	}
	n = &ck->nodes[id];
	if (ck_table_lost(ck, TABLE_NODES, id / NODES_A_PAGE)) {
		ck_lost(ck, "volume %" PRIu32 ": node %" PRIu32 " (level %u, "
			"index %" PRIu64 ") is lost with its page of the node "
			"table", w->vol->id, id, level, index);
		w->lost = true;
		return false;
	}
	n->seen++;
	if (n->refs == 0) {
		ck_error(ck, "volume %" PRIu32 " points to node %" PRIu32
			 ", which is free", w->vol->id, id);
		return false;
	}
	if (n->level != level || n->index != index ||
	    n->family != le32_get(w->vol->slot.family)) {
		ck_error(ck, "volume %" PRIu32 " points to node %" PRIu32
			 " as level %u index %" PRIu64 " of family %" PRIu32
			 "; the node table has it as level %u index %" PRIu64
			 " of family %" PRIu32, w->vol->id, id, level, index,
			 le32_get(w->vol->slot.family), n->level, n->index,
			 n->family);
		return false;
	}
	return true;
}

/* Depth is bounded by LEVEL_MAX; no node is entered at another index than its
 * own, so no block is counted twice. */
static void node_walk(struct walk *w, uint32_t id, unsigned level,
		      uint64_t index)
{
	struct ck *ck = w->ck;
	uint8_t *buf = w->bufs + (size_t)level * TARN_BLOCK;
	const struct inner_child *c = (const struct inner_child *)buf;

	if (!node_enter(w, id, level, index))
		return;
	if (ck_node_read(ck, id, buf) < 0) {
		w->lost = true;
		ck_lost(ck, "volume %" PRIu32 ": node %" PRIu32 " (%s) cannot "
			"be had: blocks %" PRIu64 " to %" PRIu64 " are lost",
			w->vol->id, id,
			ck_place_text(ck, ck->nodes[id].place).s,
			index * leaves_below(level) * LEAF_ENTRIES,
			(index + 1) * leaves_below(level) * LEAF_ENTRIES - 1);
		return;
	}
	if (level == 0) {
		leaf_walk(w, id, index, buf, ck->nodes[id].seen == 1);
		return;
	}
	for (uint32_t i = 0; i < INNER_CHILDREN && ck->res == 0; i++) {
		if (le32_get(c[i].node) != 0)
			node_walk(w, le32_get(c[i].node), level - 1,
				  index * INNER_CHILDREN + i);
	}
}

static void volume_walk(struct ck *ck, struct ck_volume *v, uint8_t *bufs)
{
	struct walk w = { .ck = ck, .vol = v, .bufs = bufs,
			  .nblocks = bytes_to_blocks_up(v->size_bytes) };
	uint32_t root = le32_get(v->slot.root);

	if (root != 0)
		node_walk(&w, root, v->slot.levels, 0);
	v->mapped = w.mapped;
	if (!w.lost && w.mapped != le64_get(v->slot.mapped))
		ck_error(ck, "volume %" PRIu32 ": the catalog counts %" PRIu64
			 " mapped blocks, its tree has %" PRIu64, v->id,
			 le64_get(v->slot.mapped), w.mapped);
}

/* --- the client's part of the root --------------------------------------- */

static const struct vols_root *vols_root(struct ck *ck)
{
	const struct vols_root *v =
		(const struct vols_root *)(ck->root + ck->client_off);

	if (ck->client_bytes < sizeof(*v) ||
	    memcmp(v->magic, VOLS_ROOT_MAGIC, sizeof(v->magic)) != 0) {
		ck_error(ck, "the volumes' part of the root is not one");
		return NULL;
	}
	return v;
}

static void refs_compare(struct ck *ck)
{
	for (uint32_t id = 1; id < ck->nnodes; id++) {
		const struct ck_node *n = &ck->nodes[id];

		if (n->seen == n->refs)
			continue;
		if (n->seen == 0)
			ck_error(ck, "node %" PRIu32 " (level %u, index "
				 "%" PRIu64 ", family %" PRIu32 ") is in use, "
				 "but nothing points to it: leaked", id,
				 n->level, n->index, n->family);
		else
			ck_error(ck, "node %" PRIu32 ": %" PRIu32 " references "
				 "counted, %" PRIu32 " found", id, n->refs,
				 n->seen);
	}
}

int ck_map(struct ck *ck)
{
	const struct vols_root *root;
	uint8_t *bufs;
	uint64_t mapped = 0;
	int r = nodes_load(ck);

	if (r < 0)
		return r;
	root = vols_root(ck);
	r = ck_catalog(ck, root);
	if (r < 0)
		return r;
	bufs = ck_alloc(ck, LEVEL_MAX + 1, TARN_BLOCK);
	if (bufs == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < ck->nvols && ck->res == 0; i++) {
		volume_walk(ck, &ck->vols[i], bufs);
		mapped += ck->vols[i].mapped;
	}
	free(bufs);
	if (ck->res < 0)
		return ck->res;
	/* With something lost, what hangs from it is not leaked. */
	if (ck->rep->nlost == 0) {
		refs_compare(ck);
		ck_live_compare(ck);
	}
	if (root == NULL || ck->rep->nlost > 0)
		return 0;
	if (le64_get(root->nodes) != ck->rep->node_blocks)
		ck_error(ck, "the root counts %" PRIu64 " nodes, the node "
			 "table has %" PRIu64, le64_get(root->nodes),
			 ck->rep->node_blocks);
	if (le64_get(root->mapped) != mapped)
		ck_error(ck, "the root counts %" PRIu64 " mapped blocks, the "
			 "volumes have %" PRIu64, le64_get(root->mapped),
			 mapped);
	return 0;
}
