/* volume/vols_load.c - opening: root, node map, catalog and events of the
 * commit.  Events that cannot be read are forgotten.
 *
 * Pages are read in windows, in order, so that they can be taken in order.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

#define WINDOW 32u

struct load_read {
	struct pool_read rd;
	struct vols_loader *loader;
	uint32_t crc;
	void    *buf;   /* 4096 bytes */
};

struct vols_loader {
	struct volumes  *vols;
	struct io_work   work;
	struct vols_root root;
	uint32_t  kind;     /* enum table_kind being read */
	uint32_t  page;     /* first page of the window */
	uint32_t  n;        /* pages of the window */
	uint32_t  npages;   /* of this kind */
	uint32_t  pending;
	int       res;
	struct load_read reads[WINDOW];
};

static void window_start(struct vols_loader *l);

static void load_end(struct vols_loader *l, int res)
{
	struct volumes *vols = l->vols;

	vols->opening = NULL;
	free(l);
	pool_client_loaded(vols->pool, res);
}

/* All volumes are there: do their roots make sense? */
static int roots_check(const struct volumes *vols)
{
	const struct catalog *c = &vols->catalog;

	for (uint32_t i = 0; i < c->nslots; i++) {
		const struct volume *v = c->slots[i];

		if (v != NULL && v->root_id != 0 &&
		    !id_used(&vols->ids, v->root_id))
			return -EBADMSG;
	}
	return 0;
}

static void kind_start(struct vols_loader *l, uint32_t kind)
{
	struct volumes *vols = l->vols;
	struct catalog *c = &vols->catalog;
	uint32_t nslots = le32_get(l->root.nslots);
	int r;

	l->kind = kind;
	l->page = 0;
	if (kind == TABLE_NODE_MAP) {
		l->npages = pool_table_pages(vols->pool, kind);
		/* All of it goes into memory: no more than there are nodes. */
		if (l->npages > 1 + pool_table_pages(vols->pool, TABLE_NODES) /
					    (NODE_BITS_PAGE / NODES_A_PAGE)) {
			load_end(l, -EBADMSG);
			return;
		}
	} else if (kind == TABLE_EVENTS) {
		l->npages = min_u32(pool_table_pages(vols->pool, kind),
				    EVENT_PAGES);
	} else {
		l->npages = (uint32_t)div_up(nslots, SLOTS_A_PAGE);
		c->next_volume = le32_get(l->root.next_volume);
		r = catalog_set_nslots(c, nslots);
		if (r == 0 && l->npages > pool_table_pages(vols->pool, kind))
			r = -EBADMSG;
		if (r < 0) {
			load_end(l, r);
			return;
		}
	}
	window_start(l);
}

/* Take the pages of the window, in order. */
static int window_take(struct vols_loader *l)
{
	struct volumes *vols = l->vols;
	const char *why;

	for (uint32_t i = 0; i < l->n; i++) {
		struct load_read *x = &l->reads[i];
		int r;

		if (l->res < 0) {
			r = l->res;
			slab_put(&vols->slab, x->buf);
		} else if (l->kind == TABLE_NODE_MAP) {
			r = id_map_add_page(&vols->ids, x->buf);
			if (r < 0)
				slab_put(&vols->slab, x->buf);
		} else if (l->kind == TABLE_EVENTS) {
			events_decode_page(&vols->events, l->page + i, x->buf);
			slab_put(&vols->slab, x->buf);
			r = 0;
		} else {
			r = catalog_decode_page(vols, l->page + i, x->buf,
						&why);
			slab_put(&vols->slab, x->buf);
		}
		if (r < 0)
			l->res = r;
	}
	return l->res;
}

static void window_done(struct vols_loader *l)
{
	int r = window_take(l);

	if (r < 0) {
		load_end(l, r);
		return;
	}
	l->page += l->n;
	window_start(l);
}

static void window_put(struct vols_loader *l)
{
	assert(l->pending > 0);
	if (--l->pending == 0)
		window_done(l);
}

static void page_done(struct pool_read *rd)
{
	struct load_read *x = container_of(rd, struct load_read, rd);
	struct vols_loader *l = x->loader;

	if (rd->res < 0 && l->kind == TABLE_EVENTS)
		memset(x->buf, 0, TARN_BLOCK);
	else if (rd->res < 0 && l->res == 0)
		l->res = rd->res;
	window_put(l);
}

static void page_start(struct vols_loader *l, struct load_read *x,
		       uint32_t page)
{
	struct pool *pool = l->vols->pool;
	place_t place;

	x->loader = l;
	place = pool_table_place(pool, l->kind, page, &x->crc);
	if (place == PLACE_NONE) {
		memset(x->buf, 0, TARN_BLOCK);
		return;
	}
	memset(&x->rd, 0, sizeof(x->rd));
	x->rd.place = place;
	x->rd.n = 1;
	x->rd.buf = x->buf;
	x->rd.crcs = &x->crc;
	x->rd.skip = NULL;
	x->rd.done = page_done;
	l->pending++;
	pool_read_submit(pool, &x->rd);
}

static void all_done(struct vols_loader *l)
{
	struct catalog *c = &l->vols->catalog;
	const char *why;
	int r;

	if (l->kind == TABLE_NODE_MAP) {
		kind_start(l, TABLE_CATALOG);
		return;
	}
	if (l->kind == TABLE_EVENTS) {
		events_loaded(&l->vols->events);
		load_end(l, 0);
		return;
	}
	c->mapped = le64_get(l->root.mapped);
	l->vols->owned = le64_get(l->root.owned) == 1;
	r = catalog_link(l->vols, &why);
	if (r == 0)
		r = roots_check(l->vols);
	if (r == 0)
		vol_reserves_load(l->vols);
	if (r < 0)
		load_end(l, r);
	else
		kind_start(l, TABLE_EVENTS);
}

static void window_start(struct vols_loader *l)
{
	l->n = min_u32(WINDOW, l->npages - l->page);
	if (l->n == 0) {
		all_done(l);
		return;
	}
	for (uint32_t i = 0; i < l->n; i++) {
		l->reads[i].buf = slab_get(&l->vols->slab);
		if (l->reads[i].buf == NULL) {
			l->n = i;
			l->res = -ENOMEM;
			break;
		}
	}
	l->pending = 1;
	for (uint32_t i = 0; i < l->n && l->res == 0; i++)
		page_start(l, &l->reads[i], l->page + i);
	if (l->pending == 1 && l->res == 0) {
		/* All zero: go on in a later turn, not by recursion. */
		io_defer(l->vols->io, &l->work);
		return;
	}
	window_put(l);
}

static void load_work(struct io_work *w)
{
	struct vols_loader *l = container_of(w, struct vols_loader, work);

	if (l->pending > 0) {
		window_put(l);
		return;
	}
	if (l->res < 0)
		load_end(l, l->res);
	else
		kind_start(l, TABLE_NODE_MAP);
}

void vols_load(void *arg, const void *root, uint32_t root_bytes)
{
	struct volumes *vols = arg;
	struct vols_loader *l;
	const char *why;

	vols_learn_geometry(vols);
	vols->redoing = true;
	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		pool_client_loaded(vols->pool, -ENOMEM);
		return;
	}
	vols->opening = l;
	l->vols = vols;
	l->res = vols_root_validate(root, root_bytes, &why);
	if (l->res == 0)
		memcpy(&l->root, root, min_u32(root_bytes, sizeof(l->root)));
	io_work_init(&l->work, load_work);
	io_defer(vols->io, &l->work);
}
