/* volume/vol_read.c - one part of a READ.
 *
 *   leaves in memory --> entries copied at one instant --> a pool_read for
 *   each run of consecutive places --> all done
 *
 * Small reads of snapshots also bring in what lies around, see read_around.h.
 *
 * Because the entries are copied at one instant, a read sees each write wholly
 * or not at all.  A block that cannot be had may have been moved meanwhile,
 * and its place used again: then the map is asked once more, and if anything
 * has changed the part starts anew.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "volume/volumes.h"

/* Times that a part is read again because the map has changed. */
#define TRIES_MAX 4u

static void read_issue(struct vol_part *p);

/* --- part_reads ---------------------------------------------------------- */

struct part_read *part_read_get(struct vol_part *p)
{
	struct part_read *pr;

	for (unsigned i = 0; i < ARRAY_LEN(p->reads); i++) {
		if (p->reads_busy & 1u << i)
			continue;
		p->reads_busy |= 1u << i;
		pr = &p->reads[i];
		pr->part = p;
		return pr;
	}
	pr = objpool_get(&p->req->vol->vols->req.reads);
	if (pr != NULL)
		pr->part = p;
	return pr;
}

void part_read_put(struct part_read *pr)
{
	struct vol_part *p = pr->part;

	for (unsigned i = 0; i < ARRAY_LEN(p->reads); i++) {
		if (pr == &p->reads[i]) {
			p->reads_busy &= ~(1u << i);
			return;
		}
	}
	objpool_put(&p->req->vol->vols->req.reads, pr);
}

void part_reads_wake(struct volumes *vols)
{
	struct list *link = list_pop(&vols->req.wait_reads);

	if (link != NULL)
		read_issue(list_entry(link, struct vol_part, link));
}

/* --- entries ------------------------------------------------------------- */

/* Blocks of the part that leaf `index` covers: first in *ret_at. */
static uint32_t leaf_cover(const struct vol_part *p, uint64_t index,
			   uint32_t *ret_at)
{
	uint64_t first = max_u64(p->block, index * LEAF_ENTRIES);
	uint64_t end = min_u64(p->block + p->n, (index + 1) * LEAF_ENTRIES);

	*ret_at = (uint32_t)(first - p->block);
	return (uint32_t)(end - first);
}

/* Copy what a leaf says (NULL: nothing is mapped).  True if any place is
 * another one than before. */
static bool entries_take(struct vol_part *p, uint64_t index,
			 const struct mnode *leaf)
{
	const struct leaf_entry *e = NULL;
	bool     changed = false;
	uint32_t at, n;

	n = leaf_cover(p, index, &at);
	if (leaf != NULL && leaf->state == MNODE_READY)
		e = leaf_entries(leaf) + slot_of_block(p->block + at);
	for (uint32_t i = at; i < at + n; i++) {
		place_t place = PLACE_NONE;

		if (e != NULL) {
			place = entry_place(e);
			p->crcs[i] = le32_get(e->crc32c);
			e++;
		}
		changed |= p->places[i] != place;
		p->places[i] = place;
	}
	return changed;
}

/* All leaves are in memory: copy their entries. */
static bool entries_cached(struct vol_part *p)
{
	uint64_t first = leaf_of_block(p->block);
	uint64_t last = leaf_of_block(p->block + p->n - 1);
	struct mnode *leaf[PART_LEAVES];

	for (uint64_t i = first; i <= last; i++) {
		leaf[i - first] = map_leaf_cached(p->req->vol, i);
		if (leaf[i - first] == NULL)
			return false;
	}
	p->req->vol->vols->cache.hits++;
	for (uint64_t i = first; i <= last; i++)
		entries_take(p, i, leaf[i - first]);
	return true;
}

static const struct mnode *loaded_leaf(const struct map_load *l,
				       uint64_t index)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->slots[i].node != NULL &&
		    l->slots[i].node->index == index)
			return l->slots[i].node;
	return NULL;
}

/* What could not be had is really lost: the map still says the same. */
static void read_lost(const struct vol_part *p)
{
	for (uint32_t i = 0; i < p->n; i++) {
		struct pool_damage d = {
			.place = p->places[i],
			.family = p->req->vol->family,
			.block = p->block + i,
			.sure = true,
		};

		if (bitmap_test(p->lost, i))
			pool_damage_found(p->req->vol->vols->pool, &d);
	}
}

/* --- steps --------------------------------------------------------------- */

static void read_loaded(struct vol_part *p)
{
	uint64_t first = leaf_of_block(p->block);
	uint64_t last = leaf_of_block(p->block + p->n - 1);
	bool changed = false;

	if (p->load.res < 0) {
		int res = p->load.res;

		map_load_release(&p->load);
		part_end(p, res);
		return;
	}
	for (uint64_t i = first; i <= last; i++)
		changed |= entries_take(p, i, loaded_leaf(&p->load, i));
	map_load_release(&p->load);
	if (p->tries > 0 && !changed) {
		read_lost(p);
		part_end(p, p->res);
		return;
	}
	p->res = 0;
	memset(p->lost, 0, sizeof(p->lost));
	read_issue(p);
}

static void read_load_done(struct map_load *l)
{
	read_loaded(container_of(l, struct vol_part, load));
}

static void read_load(struct vol_part *p)
{
	p->load.next = leaf_of_block(p->block);
	p->load.create = false;
	p->load.done = read_load_done;
	if (map_load_start(&p->load))
		read_loaded(p);
}

void part_read_start(struct vol_part *p)
{
	memset(p->lost, 0, sizeof(p->lost));
	if (entries_cached(p))
		read_issue(p);
	else
		read_load(p);
}

static void read_finish(struct vol_part *p)
{
	if (!p->again) {
		part_end(p, 0);
		return;
	}
	if (p->tries >= TRIES_MAX) {
		part_end(p, p->res);
		return;
	}
	p->tries++;
	p->again = false;
	p->issued = 0;
	read_load(p);
}

static struct block_cache *cache_of(const struct vol_part *p)
{
	struct block_cache *c = &p->req->vol->vols->blocks;

	return c->nslots > 0 && p->n <= CACHED_READ_BLOCKS_MAX ? c : NULL;
}

/* Snapshots are read by who copies them. */
static bool read_once(const struct vol_part *p)
{
	return p->req->vol->kind == CATALOG_SNAPSHOT;
}

static void read_offer(struct vol_part *p, const struct pool_read *r,
		       struct block_cache *c)
{
	bool once = read_once(p);

	for (uint32_t i = 0; i < r->n; i++) {
		const uint8_t *data = (const uint8_t *)r->buf +
				      blocks_to_bytes(i);

		if (once)
			block_cache_note(c, r->place + i, r->crcs[i], data);
		else
			block_cache_offer(c, r->place + i, r->crcs[i], data);
	}
}

/* Which of the blocks that were asked for could not be had. */
static void read_note_lost(struct vol_part *p, const struct part_read *pr)
{
	uint32_t skip = (uint32_t)(p->places[pr->at] - pr->rd.place);

	for (uint32_t i = 0; i < pr->n; i++)
		if (pr->bad[skip + i])
			bitmap_set(p->lost, pr->at + i);
}

static void read_done(struct pool_read *r)
{
	struct part_read *pr = container_of(r, struct part_read, rd);
	struct vol_part  *p = pr->part;
	struct volumes   *vols = p->req->vol->vols;
	struct block_cache *c = cache_of(p);

	if (r->res < 0) {
		p->again = true;
		if (p->res == 0)
			p->res = r->res;
		read_note_lost(p, pr);
	}
	if (pr->around != NULL)
		read_around_end(&vols->around, pr->around, r);
	else if (c != NULL && r->res == 0)
		read_offer(p, r, c);
	part_read_put(pr);
	p->pending--;
	if (p->pending == 0 && p->issued == p->n)
		read_finish(p);
	part_reads_wake(vols);
}

static void hole_mark(struct vol_req *req, uint64_t at, bool hole)
{
	if (req->holes == NULL)
		return;
	if (hole)
		bitmap_set(req->holes, at);
	else
		bitmap_clear(req->holes, at);
}

/* Blocks from i on at consecutive places of one unit. */
static uint32_t run_length(const struct vol_part *p, uint32_t i)
{
	uint64_t mask = p->req->vol->vols->zone_mask;
	uint32_t n = 1;

	while (i + n < p->n && p->places[i + n] == p->places[i] + n &&
	       (p->places[i + n] & mask) != 0)
		n++;
	return n;
}

/* The read of n blocks from i on into buf, or of all around them. */
static void read_set(struct vol_part *p, struct part_read *pr, uint32_t i,
		     uint32_t n, void *buf)
{
	struct read_around *a = &p->req->vol->vols->around;

	pr->rd.res = 0;
	pr->rd.bad = pr->bad;
	pr->rd.done = read_done;
	pr->at = i;
	pr->n = n;
	pr->around = NULL;
	if (cache_of(p) != NULL && read_once(p) &&
	    read_around_due(a, p->places[i], n))
		pr->around = read_around_start(a, &pr->rd, p->places[i], n,
					       &p->crcs[i], buf);
	if (pr->around != NULL)
		return;
	pr->rd.place = p->places[i];
	pr->rd.n = n;
	pr->rd.buf = buf;
	pr->rd.crcs = &p->crcs[i];
	pr->rd.skip = NULL;
}

static void read_issue(struct vol_part *p)
{
	struct vol_req *req = p->req;
	uint64_t base = p->block - (req->off_bytes >> TARN_BLOCK_SHIFT);
	uint8_t *buf = (uint8_t *)req->buf + blocks_to_bytes(base);
	struct block_cache *c = cache_of(p);
	const void *cached;

	while (p->issued < p->n) {
		uint32_t i = p->issued, n;
		struct part_read *pr;

		hole_mark(req, base + i, p->places[i] == PLACE_NONE);
		if (p->places[i] == PLACE_NONE) {
			memset(buf + blocks_to_bytes(i), 0, TARN_BLOCK);
			p->issued++;
			continue;
		}
		cached = c == NULL ? NULL :
			 block_cache_get(c, p->places[i], p->crcs[i]);
		if (cached != NULL) {
			memcpy(buf + blocks_to_bytes(i), cached, TARN_BLOCK);
			if (read_once(p))
				read_around_hit(&req->vol->vols->around);
			p->issued++;
			continue;
		}
		pr = part_read_get(p);
		if (pr == NULL) {
			list_push(&req->vol->vols->req.wait_reads, &p->link);
			return;
		}
		n = run_length(p, i);
		for (uint32_t k = 1; k < n; k++)
			hole_mark(req, base + i + k, false);
		read_set(p, pr, i, n, buf + blocks_to_bytes(i));
		p->pending++;
		p->issued += n;
		pool_read_submit(req->vol->vols->pool, &pr->rd);
	}
	if (p->pending == 0)
		read_finish(p);
}
