/* volume/map_lost.c - nodes that cannot be read, and have to change or go. */
#include <assert.h>

#include "volume/map.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

void map_poison(const struct map_pos *pos)
{
	struct node *node;
	struct volumes *vols;
	struct node_entry e;
	struct tpage *tp;
	struct node_info info;
	const char *why;

	if (pos->node == NULL || pos->node->node->poisoned)
		return;
	node = pos->node->node;
	vols = node->vols;
	tp = table_page(vols, node->id / NODES_A_PAGE);
	if (tp == NULL || !id_used(&vols->ids, node->id))
		return;
	/* An entry that is of another node (damage) stays so. */
	if (table_entry_known(tp, node->id) &&
	    (node_entry_validate(table_entry(tp, node->id), &info, &why) < 0 ||
	     info.refs == 0 || info.family != node->family ||
	     info.level != node->level || info.index != node->index))
		return;
	node->poisoned = true;
	if (node->place != PLACE_NONE)
		pool_place_unref(vols->pool, node->place, 1);
	/* What it was is kept, so that its id can be freed with its parent. */
	node->place = PLACE_NONE;
	node->crc = 0;
	node->refs = 0;
	e = node_entry_of(node);
	table_set(vols, node->id, &e);
}

/* The id that is written where the position hangs. */
static uint32_t linked_id(const struct mnode *n)
{
	return n->parent == NULL ?
		       n->vol->root_id :
		       le32_get(inner_children(n->parent)[node_slot(n)].node);
}

/* Others show the node, too, and nothing of theirs is lost: from now on this
 * tree shows a node there that is nowhere. */
static void position_lose(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;
	struct node_entry e = {
		.family = le32_of(n->vol->family),
		.birth = le32_of(n->vol->birth),
		.where = le64_of((uint64_t)n->level << 56 | n->index),
	};
	uint32_t id;

	if (linked_id(n) != n->node->id ||
	    (n->parent != NULL && n->parent->state != MNODE_READY))
		return; /* it has been done */
	id = id_alloc(&vols->ids);
	table_set(vols, id, &e);
	tree_own_add(n->vol, 1);
	map_relink(n, id);
}

void map_lose(const struct map_pos *pos)
{
	struct mnode *n = pos->node;

	if (n == NULL)
		return;
	if (n->node->birth > tree_shared_birth(n->vol, n->level, n->index))
		map_poison(pos);
	else
		position_lose(n);
}

/* Is `id` really the i-th child of n, though it cannot be read? */
static bool is_lost_child(const struct mnode *n, unsigned i, uint32_t id,
			  struct node_info *ret_info)
{
	struct volumes     *vols = n->vol->vols;
	const struct mnode *kid;
	struct tpage       *tp;
	const char         *why;

	assert(n->level > 0 && n->kids != NULL);
	kid = n->kids[i];
	if (id == 0 || !id_used(&vols->ids, id) ||
	    (kid != NULL && kid->state != MNODE_FAILED) ||
	    node_find(vols, n->vol->family, n->level - 1u,
		      n->index * INNER_CHILDREN + i, id) != NULL)
		return false;
	tp = table_page(vols, id / NODES_A_PAGE);
	if (tp == NULL || !table_entry_known(tp, id) ||
	    node_entry_validate(table_entry(tp, id), ret_info, &why) < 0)
		return false;
	/* Where a root was raised, the parent says less than the node: one that
	 * was born before is not this tree's alone. */
	return ret_info->refs <= 1 && ret_info->family == n->vol->family &&
	       ret_info->birth > tree_shared_birth(n->vol, n->level - 1u,
						   n->index * INNER_CHILDREN +
							   i) &&
	       ret_info->level + 1 == n->level &&
	       ret_info->index == n->index * INNER_CHILDREN + i;
}

void map_forget_lost(struct mnode *n, unsigned i)
{
	static const struct node_entry none;
	struct volumes *vols = n->vol->vols;
	uint32_t id = le32_get(inner_children(n)[i].node);
	struct node_info info;

	if (!is_lost_child(n, i, id, &info))
		return;
	if (info.refs != 0 && info.place != PLACE_NONE)
		pool_place_unref(vols->pool, info.place, 1);
	tree_own_less(n->vol, info.birth, 1);
	table_set(vols, id, &none);
	id_free(&vols->ids, id);
}
