/* volume/node_load.c - from a node id to a validated node in memory.
 *
 *   entry known? --no--> table page is read --> entry --> node is read -->
 *   validated against what its holders expect --> READY
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
	struct node     *node; /* one of the two */
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
	x->rd.skip = NULL;
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

static const char *entry_problem(const struct node *node,
				 const struct node_entry *e,
				 struct node_info *ret_info)
{
	const char *why;

	if (node_entry_validate(e, ret_info, &why) < 0)
		return why;
	if (ret_info->refs == 0 || ret_info->place == PLACE_NONE ||
	    !id_used(&node->vols->ids, node->id))
		return "the node is free";
	if (ret_info->refs != 1)
		return "the node is shared";
	if (ret_info->family != node->family ||
	    ret_info->level != node->level || ret_info->index != node->index)
		return "the node is another one";
	return NULL;
}

/* The entry is known. 0, or what is wrong with it. */
static int node_entry_take(struct node *node, struct tpage *tp)
{
	struct node_info info;

	if (entry_problem(node, table_entry(tp, node->id), &info) != NULL)
		return -EBADMSG;
	node->place = info.place;
	node->crc = info.crc;
	node->refs = info.refs;
	node->birth = info.birth;
	return 0;
}

static void node_read(struct node_io *x, struct node *node)
{
	x->node = node;
	x->page = NULL;
	io_submit_read(x, node->place, node->crc);
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

static void node_read_start(struct node *node)
{
	struct volumes *vols = node->vols;
	struct node_io *x = io_get(vols);

	if (x != NULL)
		node_read(x, node);
	else
		list_push(&vols->loader.wait_nodes, &node->io_link);
}

static void page_waited(struct node_waiter *w, int res)
{
	struct node *node = w->owner;

	if (res == 0) {
		struct tpage *tp = table_page(node->vols,
					      node->id / NODES_A_PAGE);

		assert(tp != NULL && table_entry_known(tp, node->id));
		res = node_entry_take(node, tp);
	}
	if (res < 0)
		node_loaded(node, res);
	else
		node_read_start(node);
}

void node_load_start(struct node *node)
{
	struct volumes *vols = node->vols;
	struct tpage   *tp;
	int r;

	assert(node->state == NODE_LOADING && node->id != 0);
	vols->cache.misses++;
	tp = table_page(vols, node->id / NODES_A_PAGE);
	if (tp == NULL) {
		node->state = NODE_FAILED;
		node->error = -ENOMEM;
		return;
	}
	if (!table_entry_known(tp, node->id)) {
		node->page_wait.fn = page_waited;
		node->page_wait.owner = node;
		table_wait(tp, &node->page_wait);
		return;
	}
	r = node_entry_take(node, tp);
	if (r < 0) {
		node->state = NODE_FAILED;
		node->error = r;
		return;
	}
	node_read_start(node);
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
		node_read(x, list_entry(link, struct node, io_link));
		return;
	}
	list_push_front(&l->free, &x->link);
}

static void io_done(struct pool_read *r)
{
	struct node_io *x = container_of(r, struct node_io, rd);
	struct node    *node = x->node;
	const char     *why;
	int             res = r->res;

	if (node == NULL) {
		struct tpage *tp = x->page;

		table_loaded(tp, x->buf, res);
		io_put(x);
		return;
	}
	assert(node->state == NODE_LOADING);
	if (res == 0) {
		void *buf = node->data;

		if (node->level == 0)
			res = leaf_validate(x->buf, &node->used, &why);
		else
			res = inner_validate(x->buf,
					     id_map_end(&x->vols->ids),
					     &node->used, &why);
		node->data = x->buf;
		x->buf = buf;
	}
	io_put(x);
	node_loaded(node, res);
}
