/* tools/check/check_map.c - the volumes' map as the commit has it.
 *
 * The node table and the node map are read whole.  Then the trees of volumes
 * and snapshots are walked (check_walk.c).  A node has one reference when it is
 * in use, by however many trees; what none of them has reached is leaked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "tools/check/check_tree.h"

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
	if (n->level > LEVEL_MAX || n->index >= ck_leaves_below(LEVEL_MAX -
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

/* --- the client's part of the root --------------------------------------- */

static const struct vols_root *vols_root(struct ck *ck)
{
	const struct vols_root *v =
		(const struct vols_root *)(ck->root + ck->client_off);

	if (ck->client_bytes < VOLS_ROOT_MIN ||
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

		if (n->refs == min_u32(n->seen, 1))
			continue;
		if (n->seen == 0)
			ck_error(ck, "node %" PRIu32 " (level %u, index "
				 "%" PRIu64 ", family %" PRIu32 ") is in use, "
				 "but nothing points to it: leaked", id,
				 n->level, n->index, n->family);
		else
			ck_error(ck, "node %" PRIu32 ": %" PRIu32 " references "
				 "counted, 1 found", id, n->refs);
	}
}

int ck_map(struct ck *ck)
{
	const struct vols_root *root;
	int r = nodes_load(ck);

	if (r < 0)
		return r;
	root = vols_root(ck);
	ck->owned = root != NULL && ck->client_bytes >= sizeof(*root) &&
		    le64_get(root->owned) == 1;
	r = ck_catalog(ck, root);
	if (r < 0)
		return r;
	r = ck_trees_link(ck);
	if (r == 0)
		r = ck_walk(ck);
	if (r < 0)
		return r;
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
	if (le64_get(root->mapped) != ck->mapped)
		ck_error(ck, "the root counts %" PRIu64 " mapped blocks, the "
			 "volumes have %" PRIu64, le64_get(root->mapped),
			 ck->mapped);
	return 0;
}
