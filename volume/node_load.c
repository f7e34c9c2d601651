/* volume/node_load.c - from a node id to a validated node in memory.
 *
 *   entry known? --no--> table page is read --> entry --> node is read -->
 *   validated against what its parent expects --> READY
 *
 * A node that its table entry does not describe (another family, level or
 * index, or free) is damage: -EBADMSG, as is a CRC that does not fit.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/node_validate.h"
#include "volume/volumes.h"

#define NODE_IOS_MAX 256u

struct node_io {
	struct list      link; /* free */
	struct pool_read rd;
	uint32_t         crc;
	struct volumes  *vols;
	struct mnode    *node; /* one of the two */
	struct tpage    *page;
	void            *buf;
};

int node_loader_init(struct volumes *vols)
{
	struct node_loader *l = &vols->loader;

	list_init(&l->wait_nodes);
	list_init(&l->wait_pages);
	list_init(&l->free);
	l->ios = calloc(NODE_IOS_MAX, sizeof(l->ios[0]));
	if (l->ios == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < NODE_IOS_MAX; i++) {
		struct node_io *x = &l->ios[i];

		x->vols = vols;
		x->buf = slab_get(&vols->slab);
		if (x->buf == NULL)
			return -ENOMEM;
		list_push(&l->free, &x->link);
	}
	/* These are always in use, whatever the budget. */
	vols->cache.budget_slabs += NODE_IOS_MAX;
	return 0;
}

void node_loader_fini(struct volumes *vols)
{
	free(vols->loader.ios);
}

static void io_done(struct pool_read *r);

static void io_submit_read(struct node_io *x, place_t place, uint32_t crc)
{
	x->crc = crc;
	memset(&x->rd, 0, sizeof(x->rd));
	x->rd.place = place;
	x->rd.n = 1;
	x->rd.buf = x->buf;
	x->rd.crcs = &x->crc;
	x->rd.done = io_done;
	pool_read_submit(x->vols->pool, &x->rd);
}

static void page_read(struct node_io *x, struct tpage *tp)
{
	uint32_t crc;
	place_t  place;

	place = pool_table_place(x->vols->pool, TABLE_NODES, tp->page, &crc);
	assert(place != PLACE_NONE);
	x->node = NULL;
	x->page = tp;
	io_submit_read(x, place, crc);
}

static const char *entry_problem(const struct mnode *n,
				 const struct node_entry *e,
				 struct node_info *ret_info)
{
	const char *why;

	if (node_entry_validate(e, ret_info, &why) < 0)
		return why;
	if (ret_info->refs == 0 || ret_info->place == PLACE_NONE ||
	    !id_used(&n->vol->vols->ids, n->id))
		return "the node is free";
	if (ret_info->refs != 1)
		return "the node is shared";
	if (ret_info->family != n->vol->family ||
	    ret_info->level != n->level || ret_info->index != n->index)
		return "the node is another one";
	return NULL;
}

/* The entry is known. 0, or what is wrong with it. */
static int node_entry_take(struct mnode *n, struct tpage *tp)
{
	struct node_info info;

	if (entry_problem(n, table_entry(tp, n->id), &info) != NULL)
		return -EBADMSG;
	n->place = info.place;
	n->crc = info.crc;
	n->refs = info.refs;
	n->birth = info.birth;
	return 0;
}

static void node_read(struct node_io *x, struct mnode *n)
{
	x->node = n;
	x->page = NULL;
	io_submit_read(x, n->place, n->crc);
}

static struct node_io *io_get(struct volumes *vols)
{
	struct list *link = list_pop(&vols->loader.free);

	return link == NULL ? NULL : list_entry(link, struct node_io, link);
}

void page_load_start(struct tpage *tp)
{
	struct node_io *x = io_get(tp->vols);

	if (x != NULL)
		page_read(x, tp);
	else
		list_push(&tp->vols->loader.wait_pages, &tp->io_link);
}

static void node_read_start(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;
	struct node_io *x = io_get(vols);

	if (x != NULL)
		node_read(x, n);
	else
		list_push(&vols->loader.wait_nodes, &n->io_link);
}

static void page_waited(struct node_waiter *w, int res)
{
	struct mnode *n = w->owner;

	if (res == 0) {
		struct tpage *tp = table_page(n->vol->vols,
					      n->id / NODES_A_PAGE);

		assert(tp != NULL && table_entry_known(tp, n->id));
		res = node_entry_take(n, tp);
	}
	if (res < 0)
		node_loaded(n, res);
	else
		node_read_start(n);
}

void node_load_start(struct mnode *n)
{
	struct volumes *vols = n->vol->vols;
	struct tpage   *tp;
	int r;

	assert(n->state == MNODE_LOADING && n->id != 0);
	vols->cache.misses++;
	tp = table_page(vols, n->id / NODES_A_PAGE);
	if (tp == NULL) {
		n->state = MNODE_FAILED;
		n->error = -ENOMEM;
		return;
	}
	if (!table_entry_known(tp, n->id)) {
		n->page_wait.fn = page_waited;
		n->page_wait.owner = n;
		table_wait(tp, &n->page_wait);
		return;
	}
	r = node_entry_take(n, tp);
	if (r < 0) {
		n->state = MNODE_FAILED;
		n->error = r;
		return;
	}
	node_read_start(n);
}

/* A slot is free: who is next? */
static void io_put(struct node_io *x)
{
	struct node_loader *l = &x->vols->loader;
	struct list *link;

	link = list_pop(&l->wait_pages);
	if (link != NULL) {
		page_read(x, list_entry(link, struct tpage, io_link));
		return;
	}
	link = list_pop(&l->wait_nodes);
	if (link != NULL) {
		node_read(x, list_entry(link, struct mnode, io_link));
		return;
	}
	list_push_front(&l->free, &x->link);
}

static void io_done(struct pool_read *r)
{
	struct node_io *x = container_of(r, struct node_io, rd);
	struct mnode   *n = x->node;
	const char     *why;
	int             res = r->res;

	if (n == NULL) {
		struct tpage *tp = x->page;

		table_loaded(tp, x->buf, res);
		io_put(x);
		return;
	}
	assert(n->state == MNODE_LOADING);
	if (res == 0) {
		void *buf = n->data;

		if (n->level == 0)
			res = leaf_validate(x->buf, &n->used, &why);
		else
			res = inner_validate(x->buf,
					     id_map_end(&x->vols->ids),
					     &n->used, &why);
		n->data = x->buf;
		x->buf = buf;
	}
	io_put(x);
	node_loaded(n, res);
}
