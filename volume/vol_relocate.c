/* volume/vol_relocate.c - emptying a run of a segment for the cleaner.
 *
 *   data:  vol_move.c
 *   node:  if the table still says this place, make it dirty
 *   table: likewise
 *
 * The next commit writes what is dirty elsewhere.  When that has hardly any room
 * left nothing more is begun before it has ended.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/vol_move.h"
#include "volume/volumes.h"

#define OPS_MAX 32u

/* A node or a table page that is to be written elsewhere. */
struct reloc_op {
	struct list        link;   /* free */
	struct volumes    *vols;
	struct reloc      *r;
	int                res;
	uint32_t           moved;
	struct node_waiter wait;   /* for a node or a table page */
	struct io_work     work;
};

static void ops_start(struct volumes *vols);

int vol_relocs_init(struct volumes *vols)
{
	struct vol_relocs *q = &vols->relocs;

	list_init(&q->free);
	list_init(&q->queue);
	q->ops = calloc(OPS_MAX, sizeof(q->ops[0]));
	if (q->ops == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < OPS_MAX; i++) {
		q->ops[i].vols = vols;
		list_push(&q->free, &q->ops[i].link);
	}
	return mover_open(vols, &q->mover);
}

void vol_relocs_fini(struct volumes *vols)
{
	mover_close(vols->relocs.mover);
	free(vols->relocs.ops);
}

/* --- the end ------------------------------------------------------------- */

static void end_work(struct io_work *w)
{
	struct reloc_op   *op = container_of(w, struct reloc_op, work);
	struct volumes    *vols = op->vols;
	struct reloc      *r = op->r;

	r->res = op->res;
	r->moved = op->moved;
	list_push_front(&vols->relocs.free, &op->link);
	ops_start(vols);
	r->done(r);
}

/* done() comes in a later turn. */
static void reloc_op_end(struct reloc_op *op)
{
	io_work_init(&op->work, end_work);
	io_defer(op->vols->io, &op->work);
}

/* --- nodes --------------------------------------------------------------- */

static void node_step(struct reloc_op *op);

static void node_waited(struct node_waiter *w, int res)
{
	struct reloc_op *op = w->owner;

	if (res < 0) {
		op->res = res;
		reloc_op_end(op);
		return;
	}
	node_step(op);
}

/* Of what the node table says that it is at the place, whoever shows it: the
 * next commit moves it. */
static void node_make_dirty(struct reloc_op *op, const struct node_info *info)
{
	struct node *node = node_get(op->vols, info->family, info->level,
				     info->index, op->r->rec.id);

	if (node == NULL) {
		op->res = -ENOMEM;
	} else if (node->state == NODE_LOADING) {
		list_push(&node->waiters, &op->wait.link);
		return;
	} else if (node->state == NODE_FAILED) {
		op->res = node->error;
		node_unwanted(node);
	} else if (node->place == op->r->place) {
		op->moved = 1;
		if (node->commit != MCOMMIT_QUEUED &&
		    node->commit != MCOMMIT_PUT)
			node_touch(node);
	}
	reloc_op_end(op);
}

static void node_step(struct reloc_op *op)
{
	struct volumes  *vols = op->vols;
	uint32_t         id = op->r->rec.id;
	struct tpage    *tp;
	struct node_info info;
	const char      *why;

	op->wait.owner = op;
	op->wait.fn = node_waited;
	if (id == 0 || !id_used(&vols->ids, id)) {
		reloc_op_end(op);
		return;
	}
	tp = table_page(vols, id / NODES_A_PAGE);
	if (tp == NULL) {
		op->res = -ENOMEM;
		reloc_op_end(op);
		return;
	}
	if (!table_entry_known(tp, id)) {
		table_wait(tp, &op->wait);
		return;
	}
	if (node_entry_validate(table_entry(tp, id), &info, &why) < 0 ||
	    info.refs == 0 || info.place != op->r->place) {
		reloc_op_end(op);
		return;
	}
	node_make_dirty(op, &info);
}

/* --- tables -------------------------------------------------------------- */

static void table_step(struct reloc_op *op)
{
	struct volumes *vols = op->vols;
	const struct rec *rec = &op->r->rec;
	uint32_t page = (uint32_t)rec->block;
	uint32_t crc;

	if (rec->id != TABLE_NODES && rec->id != TABLE_NODE_MAP &&
	    rec->id != TABLE_CATALOG && rec->id != TABLE_EVENTS) {
		reloc_op_end(op);
		return;
	}
	if (rec->block >= pool_table_pages(vols->pool, rec->id) ||
	    pool_table_place(vols->pool, rec->id, page, &crc) !=
		    op->r->place) {
		reloc_op_end(op);
		return;
	}
	op->moved = 1;
	if (rec->id == TABLE_NODES)
		op->res = table_touch_page(vols, page);
	else if (rec->id == TABLE_NODE_MAP)
		id_map_touch_page(&vols->ids, page);
	else if (rec->id == TABLE_EVENTS)
		op->res = events_touch_page(&vols->events, page);
	else
		catalog_touch_page(&vols->catalog, page);
	reloc_op_end(op);
}

/* --- start --------------------------------------------------------------- */

static void op_start(struct reloc_op *op, struct reloc *r)
{
	op->r = r;
	op->res = 0;
	op->moved = 0;
	if (r->rec.type == REC_NODE)
		node_step(op);
	else if (r->rec.type == REC_TABLE)
		table_step(op);
	else
		reloc_op_end(op);
}

bool vol_relocs_end(struct volumes *vols, struct list *queue)
{
	struct list *link;

	if (!pool_is_closing(vols->pool))
		return false;
	while ((link = list_pop(queue)) != NULL) {
		struct reloc *r = list_entry(link, struct reloc, link);

		r->res = -ESHUTDOWN;
		r->done(r);
	}
	return true;
}

static void ops_start(struct volumes *vols)
{
	struct vol_relocs *q = &vols->relocs;

	if (vol_relocs_end(vols, &q->queue))
		return;
	while (!list_empty(&q->queue) && !list_empty(&q->free) &&
	       !vol_relocs_throttle(vols)) {
		struct list *link = list_pop(&q->free);
		struct list *next = list_pop(&q->queue);

		op_start(list_entry(link, struct reloc_op, link),
			 list_entry(next, struct reloc, link));
	}
}

void vol_relocs_kick(struct volumes *vols)
{
	ops_start(vols);
	mover_unthrottle(vols->relocs.mover);
}

bool vol_relocs_wait(const struct volumes *vols)
{
	return !list_empty(&vols->relocs.queue) ||
	       mover_is_throttled(vols->relocs.mover);
}

void vols_relocate(void *arg, struct reloc *r)
{
	struct volumes    *vols = arg;
	struct vol_relocs *q = &vols->relocs;

	list_init(&r->link);
	r->res = 0;
	r->moved = 0;
	if (r->rec.type == REC_WRITE || r->rec.type == REC_MOVE) {
		mover_add(q->mover, r);
		return;
	}
	list_push(&q->queue, &r->link);
	ops_start(vols);
}
