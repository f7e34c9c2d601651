/* volume/vol_relocate.c - emptying a run of a segment for the cleaner.
 *
 *   data:  vol_move.c
 *   node:  if the table still says this place, make it dirty
 *   table: likewise
 *
 * The next commit writes what is dirty elsewhere.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/vol_relocate.h"
#include "volume/volumes.h"

#define MOVES_MAX 32u

static void op_start(struct reloc_op *op, struct reloc *r);

int vol_relocs_init(struct volumes *vols)
{
	struct vol_relocs *q = &vols->relocs;
	size_t bytes = blocks_to_bytes(MOVE_BLOCKS);

	list_init(&q->free);
	q->bufs = mmap(NULL, MOVES_MAX * bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (q->bufs == MAP_FAILED) {
		q->bufs = NULL;
		return -ENOMEM;
	}
	q->ops = calloc(MOVES_MAX, sizeof(q->ops[0]));
	if (q->ops == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < MOVES_MAX; i++) {
		q->ops[i].vols = vols;
		q->ops[i].buf = q->bufs + i * bytes;
		list_push(&q->free, &q->ops[i].link);
	}
	return 0;
}

void vol_relocs_fini(struct volumes *vols)
{
	struct vol_relocs *q = &vols->relocs;

	if (q->bufs != NULL)
		munmap(q->bufs, MOVES_MAX * blocks_to_bytes(MOVE_BLOCKS));
	free(q->ops);
}

/* --- the end ------------------------------------------------------------- */

static void end_work(struct io_work *w)
{
	struct reloc_op   *op = container_of(w, struct reloc_op, work);
	struct vol_relocs *q = &op->vols->relocs;
	struct reloc      *r = op->r, *next = q->first;

	r->res = op->res;
	r->moved = op->moved;
	if (next != NULL) {
		q->first = next->priv;
		op_start(op, next);
	} else {
		list_push_front(&q->free, &op->link);
	}
	r->done(r);
}

/* done() comes in a later turn. */
void reloc_op_end(struct reloc_op *op)
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
	op->at = 0;
	op->n = 0;
	op->res = 0;
	op->moved = 0;
	memset(&op->load, 0, sizeof(op->load));
	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
		reloc_move_start(op);
		return;
	case REC_NODE:
		node_step(op);
		return;
	case REC_TABLE:
		table_step(op);
		return;
	default:
		reloc_op_end(op);
		return;
	}
}

void vols_relocate(void *arg, struct reloc *r)
{
	struct volumes    *vols = arg;
	struct vol_relocs *q = &vols->relocs;
	struct list       *link = list_pop(&q->free);

	r->priv = NULL;
	if (link != NULL) {
		op_start(list_entry(link, struct reloc_op, link), r);
		return;
	}
	if (q->first == NULL)
		q->first = r;
	else
		q->last->priv = r;
	q->last = r;
}
