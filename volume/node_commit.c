/* volume/node_commit.c - handing a frozen state to the pool.
 *
 * Nodes go first, because each gets a place that its table page must say.
 * Table pages of which not all entries are known are read meanwhile.  Then
 * all pages go, and the pool is told that this was all.
 *
 * A node that was freed after the freeze stays until it has been written: the
 * commit's state still points to it.  Its new place is taken off the current
 * count at once.
 *
 * When the pool fails in mid-commit, nothing goes on: what was frozen stays
 * in memory until the volumes are closed.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/volumes.h"

#define PUTS_INFLIGHT_MAX 64u
#define PAGE_WAITS_MAX    64u

struct node_put {
	struct commit_put put;
	struct volumes   *vols;
	struct node      *node; /* one of the three: a node, */
	struct tpage     *page; /* a table page, */
	void             *copy; /* or a copied page (buffer of ours) */
	uint32_t          kind; /* of the copied page: enum table_kind */
	uint32_t          no;   /* its number */
	bool              placed;
	struct list       link; /* in node_commit.copies */
};

/* A page that cannot be read is tried this often, once a second, while the
 * pool has enough disks for it to be readable. */
#define PAGE_TRIES 5u

/* Waiting for a table page to be read. */
struct page_wait {
	struct node_waiter w;
	struct io_timer    retry;
	struct volumes    *vols;
	struct tpage      *page;
	unsigned           tries;
};

static void commit_step(struct volumes *vols);

static void commit_work(struct io_work *w)
{
	struct node_commit *c = container_of(w, struct node_commit, work);

	commit_step(container_of(c, struct volumes, commit));
}

int node_commit_init(struct volumes *vols)
{
	struct node_commit *c = &vols->commit;

	list_init(&c->nodes);
	list_init(&c->unread);
	list_init(&c->pages);
	list_init(&c->written);
	list_init(&c->copies);
	list_init(&c->waits);
	io_work_init(&c->work, commit_work);
	c->waits_mem = calloc(PAGE_WAITS_MAX, sizeof(c->waits_mem[0]));
	if (c->waits_mem == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < PAGE_WAITS_MAX; i++)
		list_push(&c->waits, &c->waits_mem[i].w.link);
	return objpool_init(&c->puts, sizeof(struct node_put),
			    PUTS_INFLIGHT_MAX, 0);
}

void node_commit_fini(struct volumes *vols)
{
	for (unsigned i = 0; vols->commit.waits_mem != NULL &&
			     i < PAGE_WAITS_MAX; i++)
		io_timer_cancel(vols->io, &vols->commit.waits_mem[i].retry);
	if (vols->commit.work.fn != NULL)
		io_undefer(&vols->commit.work);
	objpool_fini(&vols->commit.puts);
	free(vols->commit.waits_mem);
}

uint64_t node_commit_backlog(const struct volumes *vols)
{
	return vols->cache.ndirty + vols->commit.nnodes_left;
}

/* --- freeze -------------------------------------------------------------- */

static void copy_add(struct volumes *vols, enum table_kind kind, uint32_t no,
		     void *buf)
{
	struct node_put *p = objpool_get(&vols->commit.puts);

	if (p == NULL)
		abort(); /* as in slab_need() */
	memset(p, 0, sizeof(*p));
	p->vols = vols;
	p->copy = buf;
	p->kind = (uint32_t)kind;
	p->no = no;
	list_push(&vols->commit.copies, &p->link);
}

static void freeze_ids(struct volumes *vols)
{
	struct id_map *m = &vols->ids;

	for (uint32_t i = 0; m->ndirty > 0 && i < m->npages; i++) {
		void *copy;

		if (!m->dirty[i])
			continue;
		copy = slab_need(&vols->slab);
		memcpy(copy, m->pages[i], TARN_BLOCK);
		copy_add(vols, TABLE_NODE_MAP, i, copy);
		m->dirty[i] = false;
		m->ndirty--;
	}
}

static void freeze_catalog(struct volumes *vols)
{
	struct catalog *c = &vols->catalog;
	uint32_t npages = (uint32_t)div_up(c->nslots, SLOTS_A_PAGE);

	for (uint32_t i = 0; c->ndirty > 0 && i < npages; i++) {
		void *copy;

		if (!c->dirty[i] || (CANARY(catalog_not_written) &&
				     vols->commit.root[0] != 0))
			continue;
		copy = slab_need(&vols->slab);
		catalog_encode_page(c, i, copy);
		copy_add(vols, TABLE_CATALOG, i, copy);
		c->dirty[i] = false;
		c->ndirty--;
	}
}

static void freeze_events(struct volumes *vols)
{
	struct event_log *log = &vols->events;

	for (uint32_t i = 0; log->ndirty > 0 && i < EVENT_PAGES; i++) {
		void *copy;

		if (!log->dirty[i] || CANARY(event_not_written))
			continue;
		copy = slab_need(&vols->slab);
		events_encode_page(log, i, copy);
		copy_add(vols, TABLE_EVENTS, i, copy);
		log->dirty[i] = false;
		log->ndirty--;
	}
}

static void freeze_root(struct volumes *vols)
{
	struct vols_root root = {
		.next_volume = le32_of(vols->catalog.next_volume),
		.nslots = le32_of(vols->catalog.nslots),
		.nodes = le64_of(vols->ids.used),
		.mapped = le64_of(vols->catalog.mapped),
		.owned = le64_of(vols->owned ? 1 : 0),
	};

	memcpy(root.magic, VOLS_ROOT_MAGIC, sizeof(root.magic));
	static_assert(sizeof(root) == sizeof(vols->commit.root), "root");
	memcpy(vols->commit.root, &root, sizeof(root));
}

void vols_commit_freeze(void *arg)
{
	struct volumes     *vols = arg;
	struct node_commit *c = &vols->commit;

	assert(c->state == COMMIT_IDLE);
	c->state = COMMIT_FROZEN;
	for (struct list *it; (it = list_pop(&vols->cache.dirty)) != NULL;) {
		struct node *node = list_entry(it, struct node, dirty_link);

		assert(node->commit == MCOMMIT_NONE);
		node->dirty = false;
		node->commit = MCOMMIT_QUEUED;
		list_push(&c->nodes, &node->commit_link);
	}
	c->nnodes_left = vols->cache.ndirty;
	vols->cache.ndirty = 0;
	for (struct list *it; (it = list_pop(&vols->table.dirty)) != NULL;) {
		struct tpage *tp = list_entry(it, struct tpage, dirty_link);

		tp->dirty = false;
		tp->commit = true;
		list_push(tp->complete ? &c->pages : &c->unread,
			  &tp->commit_link);
	}
	vols->table.ndirty = 0;
	freeze_ids(vols);
	freeze_catalog(vols);
	freeze_events(vols);
	freeze_root(vols);
	vols->commit_wanted = false;
}

/* --- write --------------------------------------------------------------- */

static void put_done(struct commit_put *p);

static void node_placed(struct commit_put *cp, place_t place, uint32_t crc)
{
	struct node_put *p = container_of(cp, struct node_put, put);
	struct node     *node = p->node;
	struct volumes  *vols = p->vols;

	assert(node->commit == MCOMMIT_PUT);
	node->commit = MCOMMIT_PLACED;
	p->placed = true;
	if (node->place != PLACE_NONE)
		pool_commit_unref_node(vols->pool, node->place);
	node->place = place;
	node->crc = crc;
	if (node->reserved)
		pool_space_unreserve(vols->pool, 1);
	node->reserved = false;
	if (!CANARY(node_place_lost) || node->level == 0 || node->crc == 0)
		table_placed(vols, node->id, place, crc, !node->freed);
	if (node->freed)
		pool_place_unref(vols->pool, place, 1);
	vols->commit.nnodes_left--;
}

static void put_submit(struct node_put *p, uint8_t type, uint32_t id,
		       uint64_t block, const void *buf)
{
	p->put.type = type;
	p->put.id = id;
	p->put.block = block;
	p->put.buf = buf;
	p->put.placed = type == REC_NODE ? node_placed : NULL;
	p->put.done = put_done;
	p->vols->commit.inflight++;
	pool_commit_put(p->vols->pool, &p->put);
}

static struct node_put *put_new(struct volumes *vols)
{
	struct node_put *p = objpool_get(&vols->commit.puts);

	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(*p));
	p->vols = vols;
	return p;
}

static bool put_next_node(struct volumes *vols)
{
	struct node_commit *c = &vols->commit;
	struct node_put    *p;
	struct node        *node;

	if (list_empty(&c->nodes))
		return false;
	p = put_new(vols);
	if (p == NULL)
		return false;
	node = list_entry(list_pop(&c->nodes), struct node, commit_link);
	assert(node->commit == MCOMMIT_QUEUED);
	node->commit = MCOMMIT_PUT;
	node->put = p;
	p->node = node;
	put_submit(p, REC_NODE, node->id, node->index,
		   node->frozen_data != NULL && !CANARY(node_not_frozen)
			   ? node->frozen_data
			   : node->data);
	return true;
}

static bool put_next_page(struct volumes *vols)
{
	struct node_commit *c = &vols->commit;
	struct node_put    *p;
	struct tpage       *tp;

	if (list_empty(&c->pages))
		return false;
	p = put_new(vols);
	if (p == NULL)
		return false;
	tp = list_entry(list_pop(&c->pages), struct tpage, commit_link);
	assert(tp->complete && tp->commit);
	list_push(&c->written, &tp->commit_link);
	p->page = tp;
	put_submit(p, REC_TABLE, TABLE_NODES, tp->page,
		   tp->frozen != NULL ? tp->frozen : tp->data);
	return true;
}

static bool put_next_copy(struct volumes *vols)
{
	struct list     *link = list_pop(&vols->commit.copies);
	struct node_put *p;

	if (link == NULL)
		return false;
	p = list_entry(link, struct node_put, link);
	put_submit(p, REC_TABLE, p->kind, p->no, p->copy);
	return true;
}

/* Could a page that is not lost be read now?  While the pool is being opened,
 * a disk that is not there does not come. */
static bool pool_reads_all(const struct volumes *vols)
{
	struct pool_info   info;
	struct member_info m;

	pool_get_info(vols->pool, &info);
	if (info.health == POOL_ONLINE || info.health == POOL_DEGRADED)
		return true;
	for (uint32_t i = 0; i < info.nmembers && !vols->committed; i++) {
		pool_get_member(vols->pool, i, &m);
		if (m.state == MEMBER_SUSPECT || m.state == MEMBER_RETURNING)
			return false;
	}
	return !vols->committed;
}

static void page_retry(struct io_timer *t)
{
	struct page_wait *pw = container_of(t, struct page_wait, retry);

	if (pw->page->complete)
		pw->w.fn(&pw->w, 0);
	else
		table_wait(pw->page, &pw->w);
}

static void page_read_done(struct node_waiter *w, int res)
{
	struct page_wait *pw = container_of(w, struct page_wait, w);
	struct volumes   *vols = pw->vols;

	if (vols->commit.state == COMMIT_FAILED)
		return;
	if (res < 0 && !pw->page->complete) {
		/* Disks that are away come back; damage does not heal. */
		if (pool_reads_all(vols))
			pw->tries++;
		if (pw->tries < PAGE_TRIES) {
			io_timer_arm(vols->io, &pw->retry,
				     io_now_ns(vols->io) + NS_PER_S);
			return;
		}
		/* What is not known of it is lost with it. */
		table_give_up(pw->page);
	}
	list_push(&vols->commit.pages, &pw->page->commit_link);
	list_push(&vols->commit.waits, &pw->w.link);
	vols->commit.loading--;
	commit_step(vols);
}

/* Read what is missing of the pages; true when all are complete. */
static bool pages_complete(struct volumes *vols)
{
	struct node_commit *c = &vols->commit;

	while (!list_empty(&c->unread)) {
		struct tpage *tp = list_first(&c->unread, struct tpage,
					      commit_link);
		struct page_wait *pw;

		if (tp->complete) {
			list_remove(&tp->commit_link);
			list_push(&c->pages, &tp->commit_link);
			continue;
		}
		if (list_empty(&c->waits))
			return false;
		pw = list_first(&c->waits, struct page_wait, w.link);
		list_remove(&pw->w.link);
		list_remove(&tp->commit_link);
		pw->vols = vols;
		pw->page = tp;
		pw->w.fn = page_read_done;
		pw->tries = 0;
		io_timer_init(&pw->retry, page_retry);
		c->loading++;
		table_wait(tp, &pw->w);
	}
	return c->loading == 0;
}

static void commit_step(struct volumes *vols)
{
	struct node_commit *c = &vols->commit;

	switch ((enum commit_state)c->state) {
	case COMMIT_NODES:
		while (c->inflight < PUTS_INFLIGHT_MAX && put_next_node(vols))
			;
		if (!pages_complete(vols) || c->nnodes_left > 0)
			return;
		c->state = COMMIT_PAGES;
		__attribute__((fallthrough));
	case COMMIT_PAGES:
		while (c->inflight < PUTS_INFLIGHT_MAX &&
		       (put_next_page(vols) || put_next_copy(vols)))
			;
		if (c->inflight > 0 || !list_empty(&c->pages) ||
		    !list_empty(&c->copies))
			return;
		c->state = COMMIT_READY;
		pool_commit_ready(vols->pool);
		return;
	case COMMIT_IDLE:
	case COMMIT_FROZEN:
	case COMMIT_READY:
	case COMMIT_FAILED:
		return;
	}
}

static void put_done(struct commit_put *cp)
{
	struct node_put *p = container_of(cp, struct node_put, put);
	struct volumes  *vols = p->vols;

	assert(vols->commit.inflight > 0);
	vols->commit.inflight--;
	if (p->node != NULL && !p->placed) {
		/* The pool is failing: nothing more can be written. */
		vols->commit.state = COMMIT_FAILED;
		p->node->commit = MCOMMIT_QUEUED;
		list_push(&vols->commit.nodes, &p->node->commit_link);
	} else if (p->node != NULL) {
		node_written(p->node);
	} else if (p->page != NULL) {
		slab_put(&vols->slab, p->page->frozen);
		p->page->frozen = NULL;
		p->page->commit = false;
		p->page->written = true;
	} else {
		slab_put(&vols->slab, p->copy);
	}
	objpool_put(&vols->commit.puts, p);
	commit_step(vols);
	vol_requests_unthrottle(vols);
}

void vols_commit_write(void *arg)
{
	struct volumes *vols = arg;

	assert(vols->commit.state == COMMIT_FROZEN);
	vols->commit.state = COMMIT_NODES;
	io_defer(vols->io, &vols->commit.work);
}

uint32_t vols_commit_root(void *arg, void *buf)
{
	struct volumes *vols = arg;

	memcpy(buf, vols->commit.root, sizeof(vols->commit.root));
	return sizeof(vols->commit.root);
}

void vols_commit_done(void *arg, int res)
{
	struct volumes     *vols = arg;
	struct node_commit *c = &vols->commit;

	if (res < 0 || c->state == COMMIT_FAILED) {
		c->state = COMMIT_FAILED;
		vols->failed = true;
		vol_requests_unthrottle(vols);
		vol_controls_fail(vols);
		vol_pauses_kick(vols);
		return;
	}
	assert(c->state == COMMIT_READY);
	c->state = COMMIT_IDLE;
	for (struct list *it; (it = list_pop(&c->written)) != NULL;) {
		struct tpage *tp = list_entry(it, struct tpage, commit_link);

		tp->written = false;
		tpage_settle(tp);
	}
	vols->committed = true;
	if (vols->redoing) {
		vols->redoing = false;
		nodes_redone(vols);
	}
	if (vols->cache.ndirty >= vols->dirty_max) {
		vols->commit_wanted = true;
		pool_commit_want(vols->pool);
	}
	node_cache_trim(vols);
	vol_requests_unthrottle(vols);
	vol_reaper_kick(vols);
	vol_pauses_kick(vols);
	vol_trash_kick(vols);
	events_kick(vols);
}

uint64_t vols_commit_blocks(void *arg)
{
	const struct volumes *vols = arg;

	return node_commit_backlog(vols) + vols->table.ndirty +
	       vols->ids.ndirty + vols->catalog.ndirty + vols->events.ndirty;
}
