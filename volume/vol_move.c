/* volume/vol_move.c - moving the data of a run that is being emptied.
 *
 *   all versions of the leaf, of all trees of the family, are brought into
 *   memory and kept there --> which blocks do they still point to? --> read and
 *   check them --> append them as MOVE --> apply: entries that still say the
 *   old place say the new one
 *
 * Blocks go in pieces of MOVE_BLOCKS within a leaf.  A block that cannot be
 * read stays, and so does its segment.
 *
 * Versions.  From each tip of the family we go back: the leaf of a tree is that
 * of all older trees that are not older than the leaf; so the next version to
 * look at is that of the newest tree from before it was born, or from before it
 * went.  What is read goes with the versions of the leaf and the number of
 * volumes; the snapshots in between are passed over (tree_before()).
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/vol_relocate.h"
#include "volume/volumes.h"

/* Times that versions are looked for again because a snapshot came or went. */
#define TRIES_MAX 16u

static void move_step(struct reloc_op *op);

static uint64_t move_leaf(const struct reloc_op *op)
{
	return leaf_of_block(op->r->rec.block + op->r->first + op->at);
}

/* What some version says of block i of the run, if it is still there; NULL. */
static const struct leaf_entry *entry_of(const struct reloc_op *op, uint32_t i)
{
	uint64_t block = op->r->rec.block + op->r->first + i;
	const struct node *n = NULL;

	while ((n = node_next_leaf(op->vols, op->family,
				   leaf_of_block(block), n)) != NULL) {
		const struct leaf_entry *e =
			node_entries(n) + slot_of_block(block);

		if (entry_place(e) == op->r->place + i)
			return e;
	}
	return NULL;
}

static bool is_live(const struct reloc_op *op, uint32_t i)
{
	return entry_of(op, i) != NULL;
}

/* What was being moved is done; n blocks further. */
static void move_next(struct reloc_op *op, uint32_t n)
{
	node_guard_remove(op->vols, &op->guard);
	op->at += n;
	move_step(op);
}

static void move_apply(struct log_append *a)
{
	struct reloc_op *op = container_of(a, struct reloc_op, append);

	for (uint32_t i = 0; i < op->n; i++)
		map_move(op->vols, op->family, a->rec.block + i,
			 op->r->place + op->at + i, log_append_place(a, i),
			 log_append_crc(a, i));
}

static void move_done(struct log_append *a)
{
	struct reloc_op *op = container_of(a, struct reloc_op, append);

	if (a->res < 0) {
		op->res = a->res;
		node_guard_remove(op->vols, &op->guard);
		reloc_op_end(op);
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
		.id = op->family,
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

/* Blocks of the piece: to the end of the leaf at most. */
static uint32_t piece_blocks(const struct reloc_op *op)
{
	const struct reloc *r = op->r;
	uint64_t block = r->rec.block + r->first + op->at;

	return min_u32(min_u32(r->n - op->at, MOVE_BLOCKS),
		       LEAF_ENTRIES - slot_of_block(block));
}

/* All versions of the leaf are in memory. */
static void move_loaded(struct reloc_op *op)
{
	struct reloc *r = op->r;
	uint32_t end = op->at + piece_blocks(op);

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

/* The leaf cannot be had in some version: it says nothing about others. */
static void move_failed(struct reloc_op *op, int res)
{
	if (op->res == 0)
		op->res = res;
	move_next(op, piece_blocks(op));
}

/* A version is in memory: the next older one may be that of which tree? */
static void version_next(struct reloc_op *op)
{
	uint32_t born;

	if (map_born(op->tree, move_leaf(op), &born))
		op->tree = tree_before(op->tree, born);
	else
		op->tree = op->tree->origin;
}

/* The next tree whose version is to be looked at; NULL: those were all.  When
 * trees have come or gone, all are looked at again. */
static struct volume *version_tree(struct reloc_op *op)
{
	const struct catalog *c = &op->vols->catalog;
	const struct family  *f = family_find(c, op->family);

	if (op->chain != c->tree_changes) {
		op->chain = c->tree_changes;
		op->tries++;
		op->tree = op->tip = NULL;
	}
	while (op->tree != NULL && !tree_holds(op->tree, 0, move_leaf(op)))
		op->tree = op->tree->origin;
	if (op->tree == NULL && f != NULL &&
	    (op->tip == NULL || !CANARY(move_one_tip)))
		op->tree = op->tip = family_next_tip(f, op->tip);
	return op->tree;
}

/* The version that was wanted is there, or cannot be had.  False: that ends
 * it. */
static bool version_loaded(struct reloc_op *op)
{
	int res = op->load.res;

	if (res == 0 && op->chain == op->vols->catalog.tree_changes)
		version_next(op);
	map_load_release(&op->load);
	if (res < 0)
		move_failed(op, res);
	return res == 0;
}

/* One version after the other. */
static void versions_step(struct reloc_op *op)
{
	while (version_tree(op) != NULL) {
		if (op->tries > TRIES_MAX) {
			move_failed(op, -EAGAIN);
			return;
		}
		if (!tree_holds(op->tree, 0, move_leaf(op)))
			continue;
		op->load.vol = op->tree;
		op->load.next = move_leaf(op);
		op->load.end = op->load.next + 1;
		if (!map_load_start(&op->load) || !version_loaded(op))
			return;
	}
	move_loaded(op);
}

static void move_load_done(struct map_load *l)
{
	struct reloc_op *op = container_of(l, struct reloc_op, load);

	if (version_loaded(op))
		versions_step(op);
}

/* Bounded: each round takes a piece of the at most 257 blocks. */
static void move_step(struct reloc_op *op)
{
	struct reloc *r = op->r;

	if (op->at >= r->n) {
		reloc_op_end(op);
		return;
	}
	op->load.cap = 1;
	op->load.slots = op->slots;
	op->load.create = false;
	op->load.skip_failed = false;
	op->load.done = move_load_done;
	op->tries = 0;
	op->chain = op->vols->catalog.tree_changes;
	op->tree = op->tip = NULL;
	op->guard.family = op->family;
	op->guard.first = move_leaf(op);
	op->guard.end = op->guard.first + 1;
	node_guard_add(op->vols, &op->guard);
	versions_step(op);
}

void reloc_move_start(struct reloc_op *op)
{
	struct reloc *r = op->r;
	uint64_t all = levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;

	op->family = rec_family(&r->rec);
	if (r->rec.block >= all ||
	    (uint64_t)r->first + r->n > all - r->rec.block)
		reloc_op_end(op);
	else
		move_step(op);
}
