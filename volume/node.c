/* volume/node.c - the life of a node, from the first holder to the last, or to
 * the end of the commit that writes it; what it says is changed by map.c.
 *
 * Nodes are found by id, but all that a position expects of its node must fit:
 * what a damaged parent takes for its child is another node here, which is
 * read and found not to be what the node table says, and does not come in the
 * way of the real one.
 *
 * Saving the frozen content works by exchange: the buffer that a commit will
 * write, or is writing, keeps its bytes and its address, and the node goes on
 * in a copy.  A node that is freed has nothing to go on with: the struct, its
 * turn in the commit and the frozen buffer stay together, without a name.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "volume/volumes.h"

#define NODES_A_CHUNK 256u
#define NODE_BUCKETS  16384u
#define GUARD_BUCKETS 1024u

int nodes_init(struct volumes *vols)
{
	struct nodes *all = &vols->cache.nodes;

	list_init(&all->guards);
	list_init(&all->kept);
	all->leaf_guards = calloc(GUARD_BUCKETS, sizeof(all->leaf_guards[0]));
	if (all->leaf_guards == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < GUARD_BUCKETS; i++)
		list_init(&all->leaf_guards[i]);
	all->buckets = calloc(NODE_BUCKETS, sizeof(all->buckets[0]));
	all->leaves = calloc(NODE_BUCKETS, sizeof(all->leaves[0]));
	if (all->buckets == NULL || all->leaves == NULL)
		return -ENOMEM;
	return objpool_init(&all->objs, sizeof(struct node), NODES_A_CHUNK, 0);
}

void nodes_fini(struct volumes *vols)
{
	objpool_fini(&vols->cache.nodes.objs);
	free(vols->cache.nodes.buckets);
	free(vols->cache.nodes.leaves);
	free(vols->cache.nodes.leaf_guards);
}

/* --- by id --------------------------------------------------------------- */

static struct node **bucket_of(struct volumes *vols, uint32_t id)
{
	return &vols->cache.nodes.buckets[id % NODE_BUCKETS];
}

struct node *node_find(struct volumes *vols, uint32_t family, unsigned level,
		       uint64_t index, uint32_t id)
{
	struct node *node = *bucket_of(vols, id);

	while (node != NULL && (node->id != id || node->family != family ||
				node->level != level || node->index != index))
		node = node->hash_next;
	return node;
}

static void node_hash(struct node *node)
{
	struct node **bucket = bucket_of(node->vols, node->id);

	assert(!node->hashed);
	node->hash_next = *bucket;
	*bucket = node;
	node->hashed = true;
}

static void node_unhash(struct node *node)
{
	struct node **p = bucket_of(node->vols, node->id);

	if (!node->hashed)
		return;
	while (*p != node)
		p = &(*p)->hash_next;
	*p = node->hash_next;
	node->hashed = false;
}

/* --- leaves by where they are -------------------------------------------- */

static struct node **leaves_of(struct volumes *vols, uint32_t family,
			       uint64_t index)
{
	uint64_t h = index + (uint64_t)family * 0x9e3779b1u;

	return &vols->cache.nodes.leaves[h % NODE_BUCKETS];
}

struct node *node_next_leaf(struct volumes *vols, uint32_t family,
			    uint64_t index, const struct node *prev)
{
	struct node *n = prev != NULL ? prev->leaf_next :
					*leaves_of(vols, family, index);

	while (n != NULL && (n->family != family || n->index != index))
		n = n->leaf_next;
	return n;
}

static void leaf_list(struct node *node)
{
	struct node **first;

	if (node->level > 0)
		return;
	first = leaves_of(node->vols, node->family, node->index);
	node->leaf_next = *first;
	*first = node;
}

static void leaf_unlist(struct node *node)
{
	struct node **p;

	if (node->level > 0)
		return;
	p = leaves_of(node->vols, node->family, node->index);
	while (*p != node)
		p = &(*p)->leaf_next;
	*p = node->leaf_next;
}

/* --- guards -------------------------------------------------------------- */

static struct list *leaf_guards_of(const struct volumes *vols, uint32_t family,
				   uint64_t index)
{
	uint64_t h = index + (uint64_t)family * 0x9e3779b1u;

	return &vols->cache.nodes.leaf_guards[h % GUARD_BUCKETS];
}

static bool any_guards(const struct list *guards, const struct node *node)
{
	uint64_t first = node->index << (9 * node->level);
	uint64_t end = (node->index + 1) << (9 * node->level);

	list_for_each(it, guards) {
		const struct node_guard *g =
			list_entry(it, struct node_guard, link);

		if (g->family == node->family && first < g->end &&
		    end > g->first && !CANARY(guard_forgotten))
			return true;
	}
	return false;
}

static bool is_guarded(const struct node *node)
{
	struct volumes *vols = node->vols;

	return vols->redoing || any_guards(&vols->cache.nodes.guards, node) ||
	       (node->level == 0 &&
		any_guards(leaf_guards_of(vols, node->family, node->index),
			   node));
}

static void node_drop_unused(struct node *node);

static void kept_release(struct volumes *vols)
{
	struct list  kept;
	struct list *link;

	list_init(&kept);
	list_splice(&kept, &vols->cache.nodes.kept);
	while ((link = list_pop(&kept)) != NULL)
		node_drop_unused(list_entry(link, struct node, kept_link));
}

void node_guard_add(struct volumes *vols, struct node_guard *g)
{
	list_init(&g->link);
	assert(!g->leaf || g->end == g->first + 1);
	list_push(g->leaf ? leaf_guards_of(vols, g->family, g->first)
			  : &vols->cache.nodes.guards,
		  &g->link);
}

/* Versions of the leaf that nothing else keeps. */
static void leaf_release(struct volumes *vols, uint32_t family, uint64_t index)
{
	struct node *n = node_next_leaf(vols, family, index, NULL);

	while (n != NULL) {
		struct node *next = node_next_leaf(vols, family, index, n);

		if (!list_empty(&n->kept_link))
			node_drop_unused(n);
		n = next;
	}
}

void node_guard_remove(struct volumes *vols, struct node_guard *g)
{
	if (g->link.next == NULL || list_empty(&g->link))
		return;
	list_remove(&g->link);
	if (g->leaf)
		leaf_release(vols, g->family, g->first);
	else
		kept_release(vols);
}

void nodes_redone(struct volumes *vols)
{
	assert(!vols->redoing);
	kept_release(vols);
}

/* --- coming and going ---------------------------------------------------- */

/* Without a buffer. */
static struct node *node_alloc(struct volumes *vols, uint32_t family,
			       unsigned level, uint64_t index)
{
	struct node *node = objpool_get(&vols->cache.nodes.objs);

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(*node));
	node->vols = vols;
	node->family = family;
	node->level = (uint8_t)level;
	node->index = index;
	list_init(&node->holders);
	list_init(&node->waiters);
	list_init(&node->dirty_link);
	list_init(&node->commit_link);
	list_init(&node->page_wait.link);
	list_init(&node->io_link);
	list_init(&node->kept_link);
	return node;
}

struct node *node_get(struct volumes *vols, uint32_t family, unsigned level,
		      uint64_t index, uint32_t id)
{
	struct node *node = node_find(vols, family, level, index, id);

	if (node != NULL)
		return node;
	node = node_alloc(vols, family, level, index);
	if (node == NULL)
		return NULL;
	node->data = slab_get(&vols->slab);
	if (node->data == NULL) {
		objpool_put(&vols->cache.nodes.objs, node);
		return NULL;
	}
	node->id = id;
	node->state = NODE_LOADING;
	node_load_start(node);
	if (node->state == NODE_LOADING)
		node_hash(node);
	return node;
}

struct node *node_make(struct volume *v, unsigned level, uint64_t index)
{
	struct volumes   *vols = v->vols;
	struct node      *node = node_alloc(vols, v->family, level, index);
	struct node_entry e;

	if (node == NULL)
		abort(); /* as in slab_need() */
	node->data = slab_need(&vols->slab);
	memset(node->data, 0, TARN_BLOCK);
	node->id = id_alloc(&vols->ids);
	node->state = NODE_READY;
	node->place = PLACE_NONE;
	node->refs = 1;
	node->birth = v->birth;
	node->reserved = vols->node_credit > 0;
	if (node->reserved)
		vols->node_credit--;
	vols->cache.nodes_mem++;
	node_hash(node);
	leaf_list(node);
	e = node_entry_of(node);
	table_set(vols, node->id, &e);
	return node;
}

struct node *node_copy(struct volume *v, const struct node *from)
{
	struct node *node = node_make(v, from->level, from->index);

	assert(from->state == NODE_READY && !from->freed);
	memcpy(node->data, from->data, TARN_BLOCK);
	node->used = from->used;
	return node;
}

/* Does anything need it? */
static void node_drop_unused(struct node *node)
{
	struct volumes *vols = node->vols;

	if (node->nholders > 0 || node->state == NODE_LOADING ||
	    node_is_unwritten(node))
		return;
	if (node->state == NODE_READY && !node->freed && is_guarded(node)) {
		if (list_empty(&node->kept_link))
			list_push(&vols->cache.nodes.kept, &node->kept_link);
		return;
	}
	list_remove(&node->kept_link);
	if (node->state == NODE_READY && !node->freed) {
		vols->cache.nodes_mem--;
		leaf_unlist(node);
	}
	node_unhash(node);
	slab_put(&vols->slab, node->data);
	slab_put(&vols->slab, node->frozen_data);
	objpool_put(&vols->cache.nodes.objs, node);
}

void node_unwanted(struct node *node)
{
	node_drop_unused(node);
}

/* At the front, so that a walk through the holders does not meet those that
 * come meanwhile. */
void node_join(struct node *node, struct mnode *n)
{
	assert(n->node == NULL && !node->freed);
	list_remove(&node->kept_link);
	n->node = node;
	list_push_front(&node->holders, &n->node_link);
	node->nholders++;
}

/* Not to go before node_let_go(). */
static void node_keep(struct node *node)
{
	node->nholders++;
}

static void node_let_go(struct node *node)
{
	assert(node->nholders > 0);
	node->nholders--;
	node_drop_unused(node);
}

void node_leave(struct mnode *n)
{
	struct node *node = n->node;

	n->node = NULL;
	list_remove(&n->node_link);
	node_let_go(node);
}

void node_loaded(struct node *node, int res)
{
	assert(node->state == NODE_LOADING);
	node_keep(node);
	if (res == 0) {
		node->state = NODE_READY;
		node->vols->cache.nodes_mem++;
		leaf_list(node);
	} else {
		node->state = NODE_FAILED;
		node->error = res;
		node_unhash(node);
	}
	/* All are held until all have been told, as a waiter may do anything
	 * to any of them. */
	list_for_each(it, &node->holders)
		mnode_loaded(list_entry(it, struct mnode, node_link));
	list_for_each_safe(it, tmp, &node->holders)
		mnode_tell(list_entry(it, struct mnode, node_link), res);
	while (!list_empty(&node->waiters)) {
		struct node_waiter *w = list_first(&node->waiters,
						   struct node_waiter, link);

		list_remove(&w->link);
		w->fn(w, res);
	}
	node_let_go(node);
}

/* --- changes ------------------------------------------------------------- */

static void frozen_save(struct node *node)
{
	uint8_t *copy;

	if (node->commit == MCOMMIT_NONE || node->frozen_data != NULL)
		return;
	copy = slab_need(&node->vols->slab);
	memcpy(copy, node->data, TARN_BLOCK);
	node->frozen_data = node->data;
	node->data = copy;
}

static void dirty_check(struct volumes *vols)
{
	if (vols->redoing || vols->commit_wanted ||
	    vols->cache.ndirty < vols->dirty_max)
		return;
	vols->commit_wanted = true;
	pool_commit_want(vols->pool);
}

struct node_entry node_entry_of(const struct node *node)
{
	uint64_t where = (uint64_t)node->level << 56 | node->index;

	return (struct node_entry){
		.place = le64_of(node->place),
		.crc32c = le32_of(node->crc),
		.refs = le32_of(node->refs),
		.family = le32_of(node->family),
		.birth = le32_of(node->birth),
		.where = le64_of(where),
	};
}

void node_touch(struct node *node)
{
	struct volumes   *vols = node->vols;
	struct node_entry e;

	assert(node->state == NODE_READY && !node->freed);
	frozen_save(node);
	if (node->dirty)
		return;
	node->dirty = true;
	list_for_each(it, &node->holders)
		list_remove(&list_entry(it, struct mnode, node_link)
				     ->cached.link);
	list_push(&vols->cache.dirty, &node->dirty_link);
	vols->cache.ndirty++;
	e = node_entry_of(node);
	table_touch(vols, node->id, &e);
	dirty_check(vols);
}

/* No longer dirty, its content does not matter. */
static void node_untouch(struct node *node)
{
	if (!node->dirty)
		return;
	node->dirty = false;
	list_remove(&node->dirty_link);
	node->vols->cache.ndirty--;
}

/* Only the content that a commit may still need stays. */
static void content_free(struct node *node)
{
	if (node->frozen_data == NULL)
		return;
	slab_put(&node->vols->slab, node->data);
	node->data = node->frozen_data;
	node->frozen_data = NULL;
}

void node_free(struct node *node)
{
	static const struct node_entry none;
	struct volumes *vols = node->vols;

	assert(node->state == NODE_READY && !node->freed && node->used == 0);
	/* Until the commit under way has placed the node, the place it has is
	 * the commit's to take off. */
	if (node->place != PLACE_NONE && node->commit != MCOMMIT_QUEUED &&
	    node->commit != MCOMMIT_PUT)
		pool_place_unref(vols->pool, node->place, 1);
	node_untouch(node);
	if (node->reserved && node->commit == MCOMMIT_NONE) {
		pool_space_unreserve(vols->pool, 1);
		node->reserved = false;
	}
	table_set(vols, node->id, &none);
	id_free(&vols->ids, node->id);
	vols->cache.nodes_mem--;
	node_unhash(node);
	leaf_unlist(node);
	content_free(node);
	node->freed = true;
	node_keep(node);
	while (!list_empty(&node->holders))
		mnode_make_hole(list_first(&node->holders, struct mnode,
					   node_link));
	node_let_go(node);
}

void node_written(struct node *node)
{
	node->commit = MCOMMIT_NONE;
	node->put = NULL;
	slab_put(&node->vols->slab, node->frozen_data);
	node->frozen_data = NULL;
	list_for_each(it, &node->holders)
		node_settle(list_entry(it, struct mnode, node_link));
	node_drop_unused(node);
}
