/* volume/vol_relocate.c - emptying a run of a segment for the cleaner.
 *
 *   data:  which blocks does the map still point to? --> read and check them
 *          --> append them as MOVE --> apply: entries that still say the old
 *          place say the new one
 *   node:  if the table still says this place, make it dirty
 *   table: likewise
 *
 * Blocks go in pieces of MOVE_BLOCKS.  A block that cannot be read stays, and
 * so does its segment.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "volume/catalog.h"
#include "volume/map_load.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

#define MOVE_BLOCKS 64u
#define MOVES_MAX   32u

struct reloc_op {
	struct list        link;   /* free */
	struct volumes    *vols;
	struct reloc      *r;
	struct volume     *vol;    /* held while data is moved */
	uint32_t           at;     /* blocks of the run that are done */
	uint32_t           n;      /* blocks being moved, from at on */
	int                res;
	uint32_t           moved;
	struct map_load    load;
	struct node_waiter slots[PART_LEAVES];
	struct node_waiter wait;   /* for a node or a table page */
	struct pool_read   rd;
	struct log_append  append;
	struct iovec       iov;
	struct io_work     work;
	uint8_t           *buf;    /* MOVE_BLOCKS blocks */
	uint32_t           crcs[MOVE_BLOCKS];
	uint8_t            bad[MOVE_BLOCKS];
};

static void op_start(struct reloc_op *op, struct reloc *r);
static void move_step(struct reloc_op *op);

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
static void op_end(struct reloc_op *op)
{
	if (op->vol != NULL)
		vol_release(op->vol);
	op->vol = NULL;
	io_work_init(&op->work, end_work);
	io_defer(op->vols->io, &op->work);
}

/* --- data ---------------------------------------------------------------- */

static const struct leaf_entry *entry_of(const struct reloc_op *op,
					 uint32_t i)
{
	uint64_t block = op->r->rec.block + op->r->first + i;

	for (unsigned k = 0; k < op->load.n; k++) {
		const struct mnode *leaf = op->load.slots[k].node;

		if (leaf != NULL && leaf->state == MNODE_READY &&
		    leaf->index == leaf_of_block(block))
			return leaf_entries(leaf) + slot_of_block(block);
	}
	return NULL;
}

static bool is_live(const struct reloc_op *op, uint32_t i)
{
	const struct leaf_entry *e = entry_of(op, i);

	return e != NULL && entry_place(e) == op->r->place + i;
}

/* What was being moved is done; n blocks further. */
static void move_next(struct reloc_op *op, uint32_t n)
{
	map_load_release(&op->load);
	op->at += n;
	move_step(op);
}

static void move_apply(struct log_append *a)
{
	struct reloc_op *op = container_of(a, struct reloc_op, append);
	struct reloc    *r = op->r;

	for (uint32_t i = 0; i < op->n; i++) {
		uint64_t block = a->rec.block + i;

		for (unsigned k = 0; k < op->load.n; k++) {
			struct mnode *leaf = op->load.slots[k].node;

			if (leaf->index == leaf_of_block(block))
				map_move(leaf, slot_of_block(block),
					 r->place + op->at + i,
					 log_append_place(a, i),
					 log_append_crc(a, i));
		}
	}
}

static void move_done(struct log_append *a)
{
	struct reloc_op *op = container_of(a, struct reloc_op, append);

	if (a->res < 0) {
		op->res = a->res;
		map_load_release(&op->load);
		op_end(op);
		return;
	}
	op->moved += op->n;
	move_next(op, op->n);
}

static void move_read_done(struct pool_read *rd)
{
	struct reloc_op *op = container_of(rd, struct reloc_op, rd);
	struct reloc    *r = op->r;
	uint32_t good = 0;

	while (good < op->n && (rd->res == 0 || !op->bad[good]))
		good++;
	if (good == 0) {
		/* Lost, unless it is dead by now. */
		if (is_live(op, op->at) && op->res == 0)
			op->res = rd->res;
		move_next(op, 1);
		return;
	}
	op->n = good;
	op->iov.iov_base = op->buf;
	op->iov.iov_len = blocks_to_bytes(op->n);
	op->append.rec = (struct rec){
		.type = REC_MOVE,
		.n = (uint16_t)op->n,
		.id = r->rec.id,
		.block = r->rec.block + r->first + op->at,
		.ext = r->place + op->at,
	};
	op->append.iov = &op->iov;
	op->append.niov = 1;
	op->append.class = LOG_CLEANER;
	op->append.fua = false;
	op->append.asked_ns = 0;
	op->append.apply = move_apply;
	op->append.done = move_done;
	log_append_submit(op->vols->pool, &op->append);
}

/* The leaves of the next piece are in memory. */
static void move_loaded(struct reloc_op *op)
{
	struct reloc *r = op->r;
	uint32_t end = min_u32(r->n, op->at + MOVE_BLOCKS);

	if (op->load.res < 0) {
		/* It says nothing about the others. */
		if (op->res == 0)
			op->res = op->load.res;
		move_next(op, end - op->at);
		return;
	}
	while (op->at < end && !is_live(op, op->at))
		op->at++;
	if (op->at == end) {
		move_next(op, 0);
		return;
	}
	op->n = 0;
	while (op->at + op->n < end && is_live(op, op->at + op->n)) {
		op->crcs[op->n] = le32_get(entry_of(op, op->at +
						    op->n)->crc32c);
		op->n++;
	}
	memset(op->bad, 0, sizeof(op->bad));
	op->rd.place = r->place + op->at;
	op->rd.n = op->n;
	op->rd.buf = op->buf;
	op->rd.crcs = op->crcs;
	op->rd.bad = op->bad;
	op->rd.res = 0;
	op->rd.done = move_read_done;
	pool_read_submit(op->vols->pool, &op->rd);
}

static void move_load_done(struct map_load *l)
{
	move_loaded(container_of(l, struct reloc_op, load));
}

/* Bounded: each round takes a piece of the at most 257 blocks. */
static void move_step(struct reloc_op *op)
{
	struct reloc *r = op->r;
	uint64_t block = r->rec.block + r->first + op->at;
	uint32_t n;

	if (op->at >= r->n) {
		op_end(op);
		return;
	}
	n = min_u32(r->n - op->at, MOVE_BLOCKS);
	op->load.vol = op->vol;
	op->load.next = leaf_of_block(block);
	op->load.end = leaf_of_block(block + n - 1) + 1;
	op->load.cap = PART_LEAVES;
	op->load.slots = op->slots;
	op->load.create = false;
	op->load.skip_failed = false;
	op->load.done = move_load_done;
	if (map_load_start(&op->load))
		move_loaded(op);
}

static void move_start(struct reloc_op *op)
{
	struct reloc *r = op->r;
	uint64_t all = levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;

	op->vol = catalog_find_id(&op->vols->catalog, r->rec.id);
	if (op->vol == NULL || r->rec.block >= all ||
	    (uint64_t)r->first + r->n > all - r->rec.block) {
		op->vol = NULL;
		op_end(op);
		return;
	}
	vol_hold(op->vol);
	move_step(op);
}

/* --- nodes --------------------------------------------------------------- */

static void node_step(struct reloc_op *op);

static void node_waited(struct node_waiter *w, int res)
{
	struct reloc_op *op = w->owner;

	if (w->node != NULL)
		node_unpin(w->node);
	w->node = NULL;
	if (res < 0) {
		op->res = res;
		op_end(op);
		return;
	}
	node_step(op);
}

/* The node is in memory: if it still is the one, the next commit moves it. */
static void node_make_dirty(struct reloc_op *op, struct node *node)
{
	if (node->id != op->r->rec.id || node->place != op->r->place)
		return;
	op->moved = 1;
	if (node->commit != MCOMMIT_QUEUED && node->commit != MCOMMIT_PUT)
		node_touch(node);
}

static void node_step(struct reloc_op *op)
{
	struct volumes  *vols = op->vols;
	uint32_t         id = op->r->rec.id;
	struct tpage    *tp;
	struct node_info info;
	struct map_pos   pos;
	struct volume   *v;
	const char      *why;

	op->wait.owner = op;
	op->wait.fn = node_waited;
	op->wait.node = NULL;
	if (id == 0 || !id_used(&vols->ids, id)) {
		op_end(op);
		return;
	}
	tp = table_page(vols, id / NODES_A_PAGE);
	if (tp == NULL) {
		op->res = -ENOMEM;
		op_end(op);
		return;
	}
	if (!table_entry_known(tp, id)) {
		table_wait(tp, &op->wait);
		return;
	}
	if (node_entry_validate(table_entry(tp, id), &info, &why) < 0 ||
	    info.refs == 0 || info.place != op->r->place) {
		op_end(op);
		return;
	}
	v = catalog_find_id(&vols->catalog, info.family);
	if (v == NULL) {
		op_end(op);
		return;
	}
	switch (map_find(v, info.level, info.index, 0, &pos)) {
	case POS_LOADING:
		op->wait.node = pos.node;
		node_pin(pos.node);
		list_push(&pos.node->waiters, &op->wait.link);
		return;
	case POS_NODE:
		node_make_dirty(op, pos.node->node);
		break;
	case POS_FAILED:
		op->res = pos.error;
		break;
	case POS_ABSENT:
	case POS_UNKNOWN:
		break;
	}
	op_end(op);
}

/* --- tables -------------------------------------------------------------- */

static void table_step(struct reloc_op *op)
{
	struct volumes *vols = op->vols;
	const struct rec *rec = &op->r->rec;
	uint32_t page = (uint32_t)rec->block;
	uint32_t crc;

	if (rec->id != TABLE_NODES && rec->id != TABLE_NODE_MAP &&
	    rec->id != TABLE_CATALOG) {
		op_end(op);
		return;
	}
	if (rec->block >= pool_table_pages(vols->pool, rec->id) ||
	    pool_table_place(vols->pool, rec->id, page, &crc) !=
		    op->r->place) {
		op_end(op);
		return;
	}
	op->moved = 1;
	if (rec->id == TABLE_NODES)
		op->res = table_touch_page(vols, page);
	else if (rec->id == TABLE_NODE_MAP)
		id_map_touch_page(&vols->ids, page);
	else
		catalog_touch_page(&vols->catalog, page);
	op_end(op);
}

/* --- start --------------------------------------------------------------- */

static void op_start(struct reloc_op *op, struct reloc *r)
{
	op->r = r;
	op->vol = NULL;
	op->at = 0;
	op->n = 0;
	op->res = 0;
	op->moved = 0;
	memset(&op->load, 0, sizeof(op->load));
	switch (r->rec.type) {
	case REC_WRITE:
	case REC_MOVE:
		move_start(op);
		return;
	case REC_NODE:
		node_step(op);
		return;
	case REC_TABLE:
		table_step(op);
		return;
	default:
		op_end(op);
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
