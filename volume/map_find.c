/* volume/map_find.c - from a position to its node: a walk of at most four
 * pointers when all is in memory.
 */
#include <assert.h>
#include <errno.h>

#include "volume/map.h"
#include "volume/volumes.h"

struct mnode *map_leaf_cached(const struct volume *v, uint64_t leaf)
{
	struct mnode *n = v->root;

	while (n != NULL && n->state == MNODE_READY) {
		unsigned shift;

		n->cached.ref = true;
		if (n->level == 0)
			return n->index == leaf ? n : NULL;
		shift = 9u * (n->level - 1u);
		n = n->kids[(leaf >> shift) & (INNER_CHILDREN - 1)];
	}
	return NULL;
}

bool map_born(const struct volume *v, uint64_t leaf, uint32_t *ret_birth)
{
	const struct mnode *n = v->root;

	while (n != NULL && n->state == MNODE_READY) {
		const struct inner_child *c;
		uint64_t i;

		if (n->level == 0) {
			*ret_birth = n->node->birth;
			return n->index == leaf;
		}
		i = leaf >> (9u * (n->level - 1u));
		if (i / INNER_CHILDREN != n->index)
			return false;
		c = &inner_children(n)[i % INNER_CHILDREN];
		if (le32_get(c->node) == 0) {
			*ret_birth = le32_get(c->birth);
			return true;
		}
		n = n->kids[i % INNER_CHILDREN];
	}
	return false;
}

bool map_gap(const struct volume *v, uint64_t leaf, uint32_t since, bool holes,
	     struct map_gap *ret_gap)
{
	const struct mnode *n = v->root;

	*ret_gap = (struct map_gap){ .end = UINT64_MAX };
	if (v->root_id == 0 || leaf >> (9 * v->levels) != 0)
		return true;
	while (n != NULL && n->state == MNODE_READY && n->level > 0) {
		unsigned shift = 9u * (n->level - 1u);
		uint64_t i = leaf >> shift;
		const struct inner_child *c =
			&inner_children(n)[i % INNER_CHILDREN];

		ret_gap->end = (i + 1) << shift;
		ret_gap->changed = le32_get(c->birth) > since;
		if (le32_get(c->node) == 0 || (!ret_gap->changed && !holes))
			return true;
		n = n->kids[i % INNER_CHILDREN];
	}
	return false;
}

/* First index of `level` behind the subtree of node (at, index). */
static uint64_t subtree_end(unsigned level, unsigned at, uint64_t index)
{
	return (index + 1) << (9 * (at - level));
}

/* What a node in memory means for a search that has come to it: -1: go on
 * downwards. */
static int node_verdict(struct mnode *n, unsigned level, unsigned flags,
			struct map_pos *pos)
{
	pos->node = n;
	pos->end = subtree_end(level, n->level, n->index);
	n->cached.ref = true;
	switch ((enum mnode_state)n->state) {
	case MNODE_LOADING:
		return POS_LOADING;
	case MNODE_FAILED:
		pos->error = n->node->error;
		/* While the log is redone it stays in the tree. */
		if (!n->vol->vols->redoing) {
			pos->node = NULL;
			node_settle(n);
		}
		return POS_FAILED;
	case MNODE_HOLE:
		if (!(flags & FIND_CREATE))
			return POS_ABSENT;
		break;
	case MNODE_READY:
		break;
	}
	return n->level == level ? POS_NODE : -1;
}

/* Another tree may show the node already. */
static bool node_is_ready(const struct volume *v, unsigned level,
			  uint64_t index, uint32_t id)
{
	const struct node *node = node_find(v->vols, v->family, level, index,
					    id);

	return node != NULL && node->state == NODE_READY;
}

/* The child that is not in memory; NULL: *ret_found says why not. */
static struct mnode *child_get(struct volume *v, struct mnode *parent,
			       unsigned level, uint64_t index, unsigned flags,
			       enum map_pos_kind *ret_found)
{
	struct mnode *n;
	uint32_t id;

	if (parent == NULL)
		id = v->root_id;
	else if (parent->state == MNODE_HOLE)
		id = 0;
	else
		id = le32_get(inner_children(parent)[index &
				(INNER_CHILDREN - 1)].node);
	*ret_found = POS_ABSENT;
	if (id == 0 && !(flags & FIND_CREATE))
		return NULL;
	*ret_found = POS_UNKNOWN;
	if (flags & FIND_NOLOAD && id != 0 &&
	    !node_is_ready(v, level, index, id))
		return NULL;
	*ret_found = POS_FAILED;
	n = node_new(v, parent, level, index, id);
	return n;
}

enum map_pos_kind map_find(struct volume *v, unsigned level, uint64_t index,
			unsigned flags, struct map_pos *ret_pos)
{
	struct mnode  *parent = NULL, *n = v->root;
	unsigned       at = v->levels;
	enum map_pos_kind found;
	int            verdict;

	ret_pos->node = NULL;
	ret_pos->error = -ENOMEM;
	ret_pos->end = UINT64_MAX;
	if (level > at || index >> (9 * (at - level)) != 0)
		return POS_ABSENT;
	for (;;) {
		uint64_t here = index >> (9 * (at - level));

		if (n == NULL)
			n = child_get(v, parent, at, here, flags, &found);
		if (n == NULL) {
			ret_pos->node = NULL;
			ret_pos->end = subtree_end(level, at, here);
			/* A HOLE made for nothing goes again. */
			if (parent != NULL)
				node_settle(parent);
			return found;
		}
		verdict = node_verdict(n, level, flags, ret_pos);
		if (verdict >= 0)
			return (enum map_pos_kind)verdict;
		parent = n;
		at--;
		here = index >> (9 * (at - level));
		n = n->kids[here & (INNER_CHILDREN - 1)];
	}
}
