/* tools/check/check_path.c - nodes of the commit's trees by where they are.
 *
 * The last node of each level that was read is kept: most of the time the next
 * one asked for is below the same ones.
 */
#include <errno.h>
#include <stdlib.h>

#include "tools/check/check_tree.h"

struct ck_path {
	uint32_t id[LEVEL_MAX + 1]; /* 0: none is kept */
	uint8_t  bufs[LEVEL_MAX + 1][TARN_BLOCK]
		__attribute__((aligned(64)));
};

void ck_path_free(struct ck *ck)
{
	free(ck->path);
	ck->path = NULL;
}

bool ck_node_is(const struct ck *ck, const struct ck_volume *t, uint32_t id,
		unsigned level, uint64_t index)
{
	const struct ck_node *n;

	if (id == 0 || id >= ck->nnodes)
		return false;
	n = &ck->nodes[id];
	return n->refs != 0 && n->level == level && n->index == index &&
	       n->family == t->family;
}

const uint8_t *ck_node_block(struct ck *ck, const struct ck_volume *t,
			     uint32_t id, unsigned level, uint64_t index)
{
	struct ck_path *p = ck->path;

	if (p == NULL) {
		p = aligned_alloc(64, round_up(sizeof(*p), 64));
		if (p == NULL) {
			ck->res = -ENOMEM;
			return NULL;
		}
		for (unsigned l = 0; l <= LEVEL_MAX; l++)
			p->id[l] = 0;
		ck->path = p;
	}
	if (!ck_node_is(ck, t, id, level, index))
		return NULL;
	if (p->id[level] == id)
		return p->bufs[level];
	p->id[level] = 0;
	if (ck_node_read(ck, id, p->bufs[level]) < 0)
		return NULL;
	p->id[level] = id;
	return p->bufs[level];
}

int ck_tree_node(struct ck *ck, const struct ck_volume *t, unsigned level,
		 uint64_t index, uint32_t *ret_id)
{
	uint32_t id = le32_get(t->slot.root);
	unsigned at = t->slot.levels;

	if (level > at || index >= ck_leaves_below(at - level))
		id = 0;
	for (; id != 0 && at > level; at--) {
		uint64_t below = index / ck_leaves_below(at - 1 - level);
		const struct inner_child *c = (const struct inner_child *)
			ck_node_block(ck, t, id, at, below / INNER_CHILDREN);

		if (c == NULL)
			return -EBADMSG;
		id = le32_get(c[below % INNER_CHILDREN].node);
	}
	*ret_id = id;
	return 0;
}
