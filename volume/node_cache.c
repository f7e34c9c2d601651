/* volume/node_cache.c - the life of a position in memory; what its node says is
 * changed by map.c.
 *
 * Eviction gives each position a second chance: one that was used since it was
 * looked at last goes to the warm end once more.  A node goes with the last
 * position that shows it.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/volumes.h"

#define MNODES_A_CHUNK 256u
/* Looks at the LRU list per call. */
#define TRIM_LOOKS_MAX 32u

/* With its struct node and a struct mnode, which take about a thirteenth of
 * its buffer. */
#define NODE_BYTES (TARN_BLOCK + 320u)

int node_cache_init(struct volumes *vols, uint64_t budget_bytes)
{
	struct node_cache *c = &vols->cache;

	list_init(&c->lru);
	list_init(&c->dirty);
	c->budget_bytes = budget_bytes;
	c->budget_slabs = budget_bytes / NODE_BYTES;
	if (nodes_init(vols) < 0)
		return -ENOMEM;
	return objpool_init(&c->mnodes, sizeof(struct mnode), MNODES_A_CHUNK,
			    0);
}

void node_cache_fini(struct volumes *vols)
{
	objpool_fini(&vols->cache.mnodes);
	nodes_fini(vols);
}

static struct mnode *mnode_alloc(struct volume *v, unsigned level,
				 uint64_t index)
{
	struct volumes *vols = v->vols;
	struct mnode   *n = objpool_get(&vols->cache.mnodes);

	if (n == NULL)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->vol = v;
	n->level = (uint8_t)level;
	n->index = index;
	n->state = MNODE_HOLE;
	list_init(&n->cached.link);
	list_init(&n->node_link);
	list_init(&n->waiters);
	if (level == 0)
		return n;
	n->kids = slab_get(&vols->slab);
	if (n->kids == NULL) {
		objpool_put(&vols->cache.mnodes, n);
		return NULL;
	}
	memset(n->kids, 0, TARN_BLOCK);
	return n;
}

static void mnode_free(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;

	assert(n->pins == 0 && list_empty(&n->waiters));
	list_remove(&n->cached.link);
	if (n->node != NULL)
		node_leave(n);
	slab_put(&vols->slab, n->kids);
	objpool_put(&vols->cache.mnodes, n);
}

static void mnode_attach(struct mnode *n, struct mnode *parent)
{
	unsigned slot = node_slot(n);

	n->parent = parent;
	n->attached = true;
	if (parent == NULL) {
		assert(n->vol->root == NULL);
		n->vol->root = n;
		return;
	}
	assert(parent->kids[slot] == NULL);
	parent->kids[slot] = n;
	parent->nkids++;
	list_remove(&parent->cached.link);
}

static uint8_t state_of(const struct node *node)
{
	if (node->state == NODE_LOADING)
		return MNODE_LOADING;
	return node->state == NODE_READY ? MNODE_READY : MNODE_FAILED;
}

struct mnode *node_new(struct volume *v, struct mnode *parent, unsigned level,
		       uint64_t index, uint32_t id)
{
	struct mnode *n = mnode_alloc(v, level, index);
	struct node  *node;

	if (n == NULL)
		return NULL;
	if (id == 0) {
		mnode_attach(n, parent);
		return n;
	}
	node = node_get(v->vols, v->family, level, index, id);
	if (node == NULL) {
		mnode_free(n);
		return NULL;
	}
	mnode_attach(n, parent);
	node_join(node, n);
	n->state = state_of(node);
	if (parent == NULL)
		n->parent_birth = v->birth;
	else
		n->parent_birth = le32_get(
			inner_children(parent)[node_slot(n)].birth);
	if (n->state == MNODE_READY)
		node_settle(n);
	return n;
}

static void node_detach(struct mnode *n)
{
	struct mnode *parent = n->parent;

	assert(n->attached && n->nkids == 0);
	n->attached = false;
	n->parent = NULL;
	if (parent == NULL) {
		assert(n->vol->root == n);
		n->vol->root = NULL;
		return;
	}
	assert(parent->kids[node_slot(n)] == n);
	parent->kids[node_slot(n)] = NULL;
	parent->nkids--;
	node_settle(parent);
}

void node_pin(struct mnode *n)
{
	n->pins++;
	list_remove(&n->cached.link);
}

void node_unpin(struct mnode *n)
{
	assert(n->pins > 0);
	n->pins--;
	if (n->pins == 0)
		node_settle(n);
}

void node_settle(struct mnode *n)
{
	struct node_cache *c = &n->vol->vols->cache;

	if (node_is_held(n) || n->state == MNODE_LOADING)
		return;
	if (n->state == MNODE_READY) {
		if (list_empty(&n->cached.link))
			list_push(&c->lru, &n->cached.link);
		return;
	}
	if (n->state == MNODE_FAILED && n->attached && n->vol->vols->redoing)
		return; /* its range stays unreadable */
	if (n->attached)
		node_detach(n);
	mnode_free(n);
}

void mnode_loaded(struct mnode *n)
{
	assert(n->state == MNODE_LOADING);
	n->state = state_of(n->node);
	/* A waiter may unpin it, or be the last user of the volume. */
	n->pins++;
	vol_hold(n->vol);
}

void mnode_tell(struct mnode *n, int res)
{
	struct volume *v = n->vol;
	struct list    waiters;
	struct list   *link;

	list_init(&waiters);
	list_splice(&waiters, &n->waiters);
	if (res < 0 && n->attached && !v->vols->redoing)
		node_detach(n); /* to be tried anew by who comes next */
	while ((link = list_pop(&waiters)) != NULL) {
		struct node_waiter *w = list_entry(link, struct node_waiter,
						   link);

		w->fn(w, res);
	}
	node_unpin(n);
	vol_release(v);
}

void mnode_make_hole(struct mnode *n)
{
	n->state = MNODE_HOLE;
	list_remove(&n->cached.link);
	node_leave(n);
	node_settle(n);
}

static void node_evict(struct mnode *n)
{
	assert(n->state == MNODE_READY && !node_is_held(n));
	node_detach(n);
	mnode_free(n);
}

/* Buffers are kept once they are mapped: the budget is taken step by step, and
 * what is left of it is lent to the block cache. */
static void take_budget(struct volumes *vols)
{
	uint64_t budget = vols->cache.budget_bytes;
	uint64_t buffers = vols->slab.nchunks * (SLAB_CHUNK_BYTES / TARN_BLOCK);
	uint64_t taken = min_u64(buffers * NODE_BYTES, budget);

	block_cache_limit(&vols->blocks,
			  vols->params.cache_bytes + budget - taken);
}

/* Many trees may show one node: their positions count, too. */
static bool over_budget(const struct volumes *vols)
{
	const struct node_cache *c = &vols->cache;

	return vols->slab.used > c->budget_slabs ||
	       c->mnodes.used > 2 * c->budget_slabs;
}

void node_cache_trim(struct volumes *vols)
{
	struct node_cache *c = &vols->cache;

	take_budget(vols);
	if (vols->redoing)
		return;
	for (unsigned i = 0; i < TRIM_LOOKS_MAX && over_budget(vols); i++) {
		struct list   *link = list_pop(&c->lru);
		struct cached *x;

		if (link == NULL)
			return;
		x = list_entry(link, struct cached, link);
		if (x->ref) {
			x->ref = false;
			list_push(&c->lru, &x->link);
		} else if (x->is_page) {
			tpage_drop(container_of(x, struct tpage, cached));
		} else {
			node_evict(container_of(x, struct mnode, cached));
		}
	}
}

static void subtree_forget(struct mnode *n)
{
	for (unsigned i = 0; n->kids != NULL && i < INNER_CHILDREN; i++)
		if (n->kids[i] != NULL)
			subtree_forget(n->kids[i]);
	if (n->parent != NULL) {
		n->parent->kids[node_slot(n)] = NULL;
		n->parent->nkids--;
	} else {
		n->vol->root = NULL;
	}
	n->pins = 0;
	mnode_free(n);
}

void node_tree_forget(struct volume *v)
{
	if (v->root != NULL)
		subtree_forget(v->root);
}
