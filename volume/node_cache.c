/* volume/node_cache.c - the life of a node in memory; what it says is changed
 * by map.c.
 *
 * Saving the frozen content works by exchange: the buffer that a commit will
 * write, or is writing, keeps its bytes and its address, and the node goes on
 * in a copy.
 *
 * Eviction gives each node a second chance: a node that was used since it was
 * looked at last goes to the warm end once more.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/volumes.h"

#define MNODES_A_CHUNK 256u
/* Looks at the LRU list per call. */
#define TRIM_LOOKS_MAX 32u

/* With its struct mnode, which takes about a fifteenth of its buffer. */
#define NODE_BYTES (TARN_BLOCK + 256u)

int node_cache_init(struct volumes *vols, uint64_t budget_bytes)
{
	struct node_cache *c = &vols->cache;

	list_init(&c->lru);
	list_init(&c->dirty);
	c->budget_bytes = budget_bytes;
	c->budget_slabs = budget_bytes / NODE_BYTES;
	return objpool_init(&c->mnodes, sizeof(struct mnode), MNODES_A_CHUNK,
			    0);
}

void node_cache_fini(struct volumes *vols)
{
	objpool_fini(&vols->cache.mnodes);
}

static struct slab *node_slab(struct mnode *n)
{
	return &n->vol->vols->slab;
}

static struct mnode *mnode_alloc(struct volume *v, bool inner)
{
	struct volumes *vols = v->vols;
	struct mnode   *n = objpool_get(&vols->cache.mnodes);

	if (n == NULL)
		return NULL;
	memset(n, 0, sizeof(*n));
	n->vol = v;
	list_init(&n->cached.link);
	list_init(&n->dirty_link);
	list_init(&n->commit_link);
	list_init(&n->waiters);
	list_init(&n->io_link);
	list_init(&n->page_wait.link);
	n->data = slab_get(&vols->slab);
	if (n->data == NULL)
		goto err_mnode;
	if (inner) {
		n->kids = slab_get(&vols->slab);
		if (n->kids == NULL)
			goto err_data;
		memset(n->kids, 0, TARN_BLOCK);
	}
	return n;

err_data:
	slab_put(&vols->slab, n->data);
err_mnode:
	objpool_put(&vols->cache.mnodes, n);
	return NULL;
}

static void mnode_free(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;

	assert(n->pins == 0 && list_empty(&n->waiters));
	list_remove(&n->cached.link);
	slab_put(&vols->slab, n->data);
	slab_put(&vols->slab, n->kids);
	slab_put(&vols->slab, n->frozen_data);
	objpool_put(&vols->cache.mnodes, n);
}

struct mnode *node_new(struct volume *v, struct mnode *parent, unsigned level,
		       uint64_t index, uint32_t id)
{
	struct mnode *n = mnode_alloc(v, level > 0);

	if (n == NULL)
		return NULL;
	n->parent = parent;
	n->level = (uint8_t)level;
	n->index = index;
	n->id = id;
	n->attached = true;
	if (parent == NULL) {
		assert(v->root == NULL);
		v->root = n;
	} else {
		unsigned slot = node_slot(n);

		assert(parent->kids[slot] == NULL);
		parent->kids[slot] = n;
		parent->nkids++;
		list_remove(&parent->cached.link);
		if (id != 0)
			n->parent_birth = le32_get(
				inner_children(parent)[slot].birth);
	}
	if (id == 0) {
		n->state = MNODE_HOLE;
		memset(n->data, 0, TARN_BLOCK);
		return n;
	}
	if (parent == NULL)
		n->parent_birth = v->birth;
	n->state = MNODE_LOADING;
	node_load_start(n);
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

void node_loaded(struct mnode *n, int res)
{
	struct list  waiters;
	struct list *link;

	assert(n->state == MNODE_LOADING);
	if (res == 0) {
		n->state = MNODE_READY;
		n->vol->vols->cache.nodes_mem++;
	} else {
		n->state = MNODE_FAILED;
		n->error = res;
	}
	/* A waiter may unpin it: hold it until all know. */
	n->pins++;
	list_init(&waiters);
	list_splice(&waiters, &n->waiters);
	if (res < 0 && n->attached && !n->vol->vols->redoing)
		node_detach(n); /* to be tried anew by who comes next */
	while ((link = list_pop(&waiters)) != NULL) {
		struct node_waiter *w = list_entry(link, struct node_waiter,
						   link);

		w->fn(w, res);
	}
	node_unpin(n);
}

static void frozen_save(struct mnode *n)
{
	uint8_t *copy;

	if (n->commit == MCOMMIT_NONE || n->frozen_data != NULL)
		return;
	copy = slab_need(node_slab(n));
	memcpy(copy, n->data, TARN_BLOCK);
	n->frozen_data = n->data;
	n->data = copy;
}

static void dirty_check(struct volumes *vols)
{
	if (vols->redoing || vols->commit_wanted ||
	    vols->cache.ndirty < vols->dirty_max)
		return;
	vols->commit_wanted = true;
	pool_commit_want(vols->pool);
}

struct node_entry node_entry_of(const struct mnode *n)
{
	uint64_t where = (uint64_t)n->level << 56 | n->index;

	return (struct node_entry){
		.place = le64_of(n->place),
		.crc32c = le32_of(n->crc),
		.refs = le32_of(n->refs),
		.family = le32_of(n->vol->family),
		.birth = le32_of(n->birth),
		.where = le64_of(where),
	};
}

void node_touch(struct mnode *n)
{
	struct volumes   *vols = n->vol->vols;
	struct node_entry e;

	assert(n->state == MNODE_READY && n->id != 0);
	frozen_save(n);
	if (n->dirty)
		return;
	n->dirty = true;
	list_remove(&n->cached.link);
	list_push(&vols->cache.dirty, &n->dirty_link);
	vols->cache.ndirty++;
	e = node_entry_of(n);
	table_touch(vols, n->id, &e);
	dirty_check(vols);
}

void node_untouch(struct mnode *n)
{
	if (!n->dirty)
		return;
	n->dirty = false;
	list_remove(&n->dirty_link);
	n->vol->vols->cache.ndirty--;
}

void node_split_frozen(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;
	struct mnode   *z;

	if (n->commit == MCOMMIT_NONE)
		return;
	z = objpool_get(&vols->cache.mnodes);
	if (z == NULL)
		abort(); /* as in slab_need() */
	memset(z, 0, sizeof(*z));
	z->vol = n->vol;
	vol_hold(z->vol);
	list_init(&z->cached.link);
	list_init(&z->dirty_link);
	list_init(&z->waiters);
	list_init(&z->io_link);
	list_init(&z->page_wait.link);
	list_init(&z->commit_link);
	z->zombie = true;
	z->state = MNODE_READY;
	z->level = n->level;
	z->index = n->index;
	z->id = n->id;
	z->place = n->place;
	z->commit = n->commit;
	z->put = n->put;
	z->reserved = n->reserved;
	n->reserved = false;
	if (n->frozen_data != NULL) {
		z->data = n->frozen_data;
		n->frozen_data = NULL;
	} else {
		z->data = n->data;
		n->data = slab_need(&vols->slab);
	}
	node_commit_replace(n, z);
	n->commit = MCOMMIT_NONE;
	n->put = NULL;
}

static void node_evict(struct mnode *n)
{
	assert(n->state == MNODE_READY && !node_is_held(n));
	n->vol->vols->cache.nodes_mem--;
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

void node_cache_trim(struct volumes *vols)
{
	struct node_cache *c = &vols->cache;

	take_budget(vols);
	if (vols->redoing)
		return;
	for (unsigned i = 0; i < TRIM_LOOKS_MAX &&
			     vols->slab.used > c->budget_slabs; i++) {
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

void node_zombie_free(struct mnode *z)
{
	struct volume *v = z->vol;

	assert(z->zombie);
	mnode_free(z);
	vol_release(v);
}

static void subtree_forget(struct mnode *n)
{
	for (unsigned i = 0; n->kids != NULL && i < INNER_CHILDREN; i++)
		if (n->kids[i] != NULL)
			subtree_forget(n->kids[i]);
	if (n->state == MNODE_READY)
		n->vol->vols->cache.nodes_mem--;
	node_untouch(n);
	if (n->parent != NULL) {
		n->parent->kids[node_slot(n)] = NULL;
		n->parent->nkids--;
	} else {
		n->vol->root = NULL;
	}
	list_remove(&n->commit_link);
	n->pins = 0;
	mnode_free(n);
}

void node_tree_forget(struct volume *v)
{
	if (v->root != NULL)
		subtree_forget(v->root);
}
