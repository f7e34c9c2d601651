/* volume/vol_move_look.c - which blocks of a run that is being emptied live?
 *
 *   all versions of the leaf, of all trees of the family, are brought into
 *   memory and kept there --> the blocks that they still point to are added to
 *   the window, with their checksums
 *
 * A run goes in pieces, a leaf each.
 *
 * Versions.  From each tip of the family we go back: the leaf of a tree is that
 * of all older trees that are not older than the leaf; so the next version to
 * look at is that of the newest tree from before it was born, or from before it
 * went.  What is read goes with the versions of the leaf and the number of
 * volumes; the snapshots in between are passed over, a pointer each.
 *
 * The way to fail: a version cannot be had.  Then nothing is known of the
 * piece; it stays, and so does its segment.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree.h"
#include "volume/vol_move.h"

/* Times that versions are looked for again because a snapshot came or went. */
#define TRIES_MAX 16u

static void look_step(struct move_look *l);

static uint64_t look_block(const struct move_look *l)
{
	return l->r->rec.block + l->r->first + l->at;
}

static uint64_t look_leaf(const struct move_look *l)
{
	return leaf_of_block(look_block(l));
}

const struct leaf_entry *move_entry(const struct mover *m, uint32_t family,
				    uint64_t block, place_t place)
{
	const struct node *n = NULL;

	while ((n = node_next_leaf(m->vols, family, leaf_of_block(block),
				   n)) != NULL) {
		const struct leaf_entry *e =
			node_entries(n) + slot_of_block(block);

		if (entry_place(e) == place)
			return e;
	}
	return NULL;
}

/* Blocks of the piece: to the end of the leaf at most. */
static uint32_t piece_blocks(const struct move_look *l)
{
	return min_u32(l->r->n - l->at,
		       LEAF_ENTRIES - slot_of_block(look_block(l)));
}

/* The piece is done. */
static void look_next(struct move_look *l)
{
	node_guard_remove(l->mover->vols, &l->guard);
	l->at += piece_blocks(l);
	look_step(l);
}

static void look_end(struct move_look *l)
{
	struct mover *m = l->mover;

	m->nlooks--;
	m->promised -= l->r->n;
	list_push_front(&m->looks_free, &l->link);
	mover_kick(m);
}

static struct move_run *run_add(struct move_look *l, uint32_t i)
{
	struct mover    *m = l->mover;
	struct move_run *run = &m->runs[m->nruns++];

	run->mover = m;
	run->r = l->r;
	run->family = l->family;
	run->block = look_block(l) + i;
	run->place = l->r->place + l->at + i;
	run->n = 0;
	run->crc_at = m->nblocks;
	run->guard.link.next = NULL;
	return run;
}

/* All versions of the leaf are in memory: its live blocks, in runs.  The first
 * of those keeps the versions there. */
static void look_loaded(struct move_look *l)
{
	struct mover    *m = l->mover;
	struct move_run *run = NULL, *first = NULL;
	uint32_t         n = piece_blocks(l);

	for (uint32_t i = 0; i < n; i++) {
		const struct leaf_entry *e =
			move_entry(m, l->family, look_block(l) + i,
				   l->r->place + l->at + i);

		if (e == NULL) {
			run = NULL;
			continue;
		}
		if (run == NULL)
			run = run_add(l, i);
		if (first == NULL)
			first = run;
		m->crcs[m->nblocks++] = le32_get(e->crc32c);
		run->n++;
	}
	if (first != NULL) {
		const struct node *v = NULL;

		first->guard.family = l->family;
		first->guard.leaf = true;
		first->guard.first = look_leaf(l);
		first->guard.end = first->guard.first + 1;
		node_guard_add(m->vols, &first->guard);
		while ((v = node_next_leaf(m->vols, l->family, look_leaf(l),
					   v)) != NULL)
			m->versions++;
	}
	look_next(l);
}

/* The leaf cannot be had in some version: it says nothing about others. */
static void look_failed(struct move_look *l, int res)
{
	if (l->r->res == 0)
		l->r->res = res;
	look_next(l);
}

/* A version is in memory: the next older one may be that of which tree? */
static void version_next(struct move_look *l)
{
	uint32_t born;

	if (map_born(l->tree, look_leaf(l), &born))
		l->tree = tree_before(l->tree, born);
	else
		l->tree = l->tree->origin;
}

/* The next tree whose version is to be looked at; NULL: those were all.  When
 * trees have come or gone, all are looked at again. */
static struct volume *version_tree(struct move_look *l)
{
	const struct catalog *c = &l->mover->vols->catalog;
	const struct family  *f = family_find(c, l->family);

	if (l->chain != c->tree_changes) {
		l->chain = c->tree_changes;
		l->tries++;
		l->tree = l->tip = NULL;
	}
	while (l->tree != NULL && !tree_holds(l->tree, 0, look_leaf(l)))
		l->tree = l->tree->origin;
	if (l->tree == NULL && f != NULL &&
	    (l->tip == NULL || !CANARY(move_one_tip)))
		l->tree = l->tip = family_next_tip(f, l->tip);
	return l->tree;
}

/* The version that was wanted is there, or cannot be had.  False: that ends
 * it. */
static bool version_loaded(struct move_look *l)
{
	int res = l->load.res;

	if (res == 0 && l->chain == l->mover->vols->catalog.tree_changes)
		version_next(l);
	map_load_release(&l->load);
	if (res < 0)
		look_failed(l, res);
	return res == 0;
}

/* One version after the other. */
static void versions_step(struct move_look *l)
{
	while (version_tree(l) != NULL) {
		if (l->tries > TRIES_MAX) {
			look_failed(l, -EAGAIN);
			return;
		}
		if (!tree_holds(l->tree, 0, look_leaf(l)))
			continue;
		l->load.vol = l->tree;
		l->load.next = look_leaf(l);
		l->load.end = l->load.next + 1;
		if (!map_load_start(&l->load) || !version_loaded(l))
			return;
	}
	look_loaded(l);
}

static void look_load_done(struct map_load *load)
{
	struct move_look *l = container_of(load, struct move_look, load);

	if (version_loaded(l))
		versions_step(l);
}

/* Bounded: each round takes a piece of the at most 257 blocks. */
static void look_step(struct move_look *l)
{
	if (l->at >= l->r->n) {
		look_end(l);
		return;
	}
	l->load.cap = 1;
	l->load.slots = l->slots;
	l->load.done = look_load_done;
	l->tries = 0;
	l->chain = l->mover->vols->catalog.tree_changes;
	l->tree = l->tip = NULL;
	l->guard.family = l->family;
	l->guard.leaf = true;
	l->guard.first = look_leaf(l);
	l->guard.end = l->guard.first + 1;
	node_guard_add(l->mover->vols, &l->guard);
	versions_step(l);
}

void move_look_start(struct mover *m, struct reloc *r)
{
	struct move_look *l = list_first(&m->looks_free, struct move_look,
					 link);
	uint64_t all = levels_to_leaves(LEVEL_MAX) * LEAF_ENTRIES;

	list_remove(&l->link);
	m->nlooks++;
	m->promised += r->n;
	memset(&l->load, 0, sizeof(l->load));
	l->mover = m;
	l->r = r;
	l->at = 0;
	l->family = rec_family(&r->rec);
	if (r->rec.block >= all ||
	    (uint64_t)r->first + r->n > all - r->rec.block)
		look_end(l);
	else
		look_step(l);
}
