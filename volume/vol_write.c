/* volume/vol_write.c - one part of a WRITE, or of a ZERO that writes.
 *
 *   START --> LOAD --> MERGE --> APPEND --> done
 *
 * Suspended in START (throttled), LOAD (leaves are read), MERGE (partial
 * blocks are read) and APPEND (the row is on its way).  Leaves stay pinned
 * from LOAD to the end; where there is none yet, a HOLE holds the position.
 *
 * The request's range is held, so nobody else changes these blocks meanwhile;
 * the cleaner may move them.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "volume/volumes.h"

#define TRIES_MAX 4u

static void write_end(struct vol_part *p, int res)
{
	map_load_release(&p->load);
	part_end(p, res);
}

/* --- append -------------------------------------------------------------- */

/* Enter the new places: leaf by leaf. */
static void write_apply(struct log_append *a)
{
	struct vol_part *p = container_of(a, struct vol_part, append);
	struct volume   *v = p->req->vol;
	uint64_t passed;
	uint32_t at = 0;

	if (v->state != CATALOG_READY) {
		p->res = -ESHUTDOWN; /* deleted before it in the log */
		return;
	}
	for (uint32_t i = 0; i < p->n; i++) {
		p->places[i] = log_append_place(a, i);
		p->crcs[i] = log_append_crc(a, i);
	}
	/* The rest of a partial block is likely to be written next. */
	if (p->bounce[0] != NULL)
		block_cache_put(&v->vols->blocks, p->places[0], p->crcs[0],
				p->bounce[0]);
	if (p->bounce[1] != NULL)
		block_cache_put(&v->vols->blocks, p->places[p->n - 1],
				p->crcs[p->n - 1], p->bounce[1]);
	/* New nodes take over what was reserved for them. */
	v->vols->node_credit = p->reserved_nodes;
	for (unsigned i = 0; i < p->load.n; i++) {
		struct mnode *leaf = p->load.slots[i].node;
		unsigned slot = slot_of_block(p->block + at);
		uint32_t n = min_u32(LEAF_ENTRIES - slot, p->n - at);

		map_set(leaf, slot, n, &p->places[at], &p->crcs[at]);
		at += n;
	}
	assert(at == p->n);
	passed = p->reserved_nodes - v->vols->node_credit;
	v->vols->node_credit = 0;
	p->reserved -= passed;
	vol_space_pass(v, passed);
}

static void write_done(struct log_append *a)
{
	struct vol_part *p = container_of(a, struct vol_part, append);

	write_end(p, a->res < 0 ? a->res : p->res);
}

static unsigned iov_add(struct vol_part *p, unsigned i, const void *base,
			size_t len_bytes)
{
	assert(i < PART_IOVS);
	p->iov[i].iov_base = (void *)(uintptr_t)base;
	p->iov[i].iov_len = len_bytes;
	return i + 1;
}

/* The payload: merged head, what lies between as the client gave it, merged
 * tail. */
static unsigned iov_build(struct vol_part *p)
{
	const uint8_t *zeros = p->req->vol->vols->req.zeros;
	const uint8_t *src = p->src;
	size_t   middle = blocks_to_bytes(p->n);
	unsigned i = 0;

	if (p->bounce[0] != NULL) {
		i = iov_add(p, i, p->bounce[0], TARN_BLOCK);
		middle -= TARN_BLOCK;
		if (src != NULL)
			src += TARN_BLOCK - p->head_bytes;
	}
	if (p->bounce[1] != NULL)
		middle -= TARN_BLOCK;
	if (src != NULL && middle > 0)
		i = iov_add(p, i, src, middle);
	while (src == NULL && middle > 0) {
		size_t n = min_u64(middle, ZERO_BYTES);

		i = iov_add(p, i, zeros, n);
		middle -= n;
	}
	if (p->bounce[1] != NULL)
		i = iov_add(p, i, p->bounce[1], TARN_BLOCK);
	return i;
}

/* Nodes that have to be made for a leaf to be changed. */
uint64_t vol_nodes_needed(const struct mnode *n)
{
	uint64_t need = 0;

	for (; n != NULL && map_needs_node(n); n = n->parent)
		need++;
	return need;
}

/* Blocks that this part will add, with nodes for them. */
static uint64_t space_needed(struct vol_part *p)
{
	bool kept = vol_snapshot_coming(p->req->vol);
	uint64_t need = 0;
	uint32_t at = 0;

	for (unsigned i = 0; i < p->load.n; i++) {
		const struct mnode *leaf = p->load.slots[i].node;
		unsigned slot = slot_of_block(p->block + at);
		uint32_t n = min_u32(LEAF_ENTRIES - slot, p->n - at);

		need += kept ? n : map_count_fresh(leaf, slot, n);
		p->reserved_nodes += vol_nodes_needed(leaf);
		at += n;
	}
	return need + p->reserved_nodes;
}

static void write_append(struct vol_part *p);

/* There may be space by now; what is needed may be another number. */
static void space_waited(struct space_wait *w, int res)
{
	struct vol_part *p = container_of(w, struct vol_part, space);

	if (res < 0)
		write_end(p, res);
	else
		write_append(p);
}

/* 0: there is space, or none is needed; -EINPROGRESS: write_append() is called
 * again. */
static int space_reserve(struct vol_part *p)
{
	struct vol_req *req = p->req;
	struct volumes *vols = req->vol->vols;
	uint64_t need;
	int r;

	p->reserved_nodes = 0;
	need = req->state & REQ_INTERNAL ? 0 : space_needed(p);
	if (need == 0)
		return 0;
	r = vol_space_take(req->vol, need);
	p->wanted = r < 0 ? need : 0;
	if (r == 0) {
		p->reserved = need;
		p->reserves = true;
		vol_space_reserved(vols);
	} else if (vol_space_wait(req->vol, &p->space, need, req->asked_ns,
				  space_waited)) {
		return -EINPROGRESS;
	}
	return r;
}

static void write_append(struct vol_part *p)
{
	struct vol_req *req = p->req;
	struct volume  *v = req->vol;
	bool internal = req->state & REQ_INTERNAL;
	struct log_append *a = &p->append;
	int r = space_reserve(p);

	if (r == -EINPROGRESS)
		return;
	if (r < 0) {
		write_end(p, r);
		return;
	}
	a->rec = (struct rec){
		.type = REC_WRITE,
		.flags = v->family != v->id ? REC_FAMILY : 0,
		.n = (uint16_t)p->n,
		.id = v->id,
		.block = p->block,
		.ext = v->family,
	};
	a->body = NULL;
	a->niov = iov_build(p);
	a->iov = p->iov;
	a->class = internal ? LOG_CLEANER : LOG_CLIENT;
	a->fua = req->flags & VOL_FUA;
	a->asked_ns = req->asked_ns;
	a->apply = write_apply;
	a->done = write_done;
	log_append_submit(v->vols->pool, a);
}

/* --- merge --------------------------------------------------------------- */

/* The entry of block i of the part. */
static place_t entry_at(const struct vol_part *p, uint32_t i,
			uint32_t *ret_crc)
{
	uint64_t block = p->block + i;
	uint64_t first = leaf_of_block(p->block);
	const struct mnode *leaf =
		p->load.slots[leaf_of_block(block) - first].node;
	const struct leaf_entry *e;

	if (leaf->state != MNODE_READY)
		return PLACE_NONE;
	e = leaf_entries(leaf) + slot_of_block(block);
	*ret_crc = le32_get(e->crc32c);
	return entry_place(e);
}

/* The client's bytes go over what was read. */
static void merge_copy(struct vol_part *p)
{
	size_t head = p->head_bytes, tail = p->tail_bytes;
	size_t total = blocks_to_bytes(p->n) - head - tail;
	size_t first = TARN_BLOCK - head;

	if (p->n == 1)
		first = total;
	if (p->bounce[0] != NULL && p->src != NULL)
		memcpy(p->bounce[0] + head, p->src, first);
	else if (p->bounce[0] != NULL)
		memset(p->bounce[0] + head, 0, first);
	if (p->bounce[1] != NULL && p->src != NULL)
		memcpy(p->bounce[1], p->src + total - (TARN_BLOCK - tail),
		       TARN_BLOCK - tail);
	else if (p->bounce[1] != NULL)
		memset(p->bounce[1], 0, TARN_BLOCK - tail);
}

static void merge_done(struct vol_part *p);
static void merge_read_done(struct pool_read *r);

/* Read block i of the part, as it is now, into bounce buffer k. */
static void merge_read(struct vol_part *p, unsigned k)
{
	uint32_t i = k == 0 ? 0 : p->n - 1;
	struct part_read *pr = &p->reads[k];
	const void *cached;

	p->places[k] = entry_at(p, i, &p->crcs[k]);
	if (p->places[k] == PLACE_NONE || CANARY(merge_zeros)) {
		memset(p->bounce[k], 0, TARN_BLOCK);
		return;
	}
	cached = block_cache_get(&p->req->vol->vols->blocks, p->places[k],
				 p->crcs[k]);
	if (cached != NULL) {
		memcpy(p->bounce[k], cached, TARN_BLOCK);
		return;
	}
	pr->part = p;
	pr->rd.place = p->places[k];
	pr->rd.n = 1;
	pr->rd.buf = p->bounce[k];
	pr->rd.crcs = &p->crcs[k];
	pr->rd.skip = NULL;
	pr->rd.bad = NULL;
	pr->rd.res = 0;
	pr->rd.done = merge_read_done;
	p->pending++;
	pool_read_submit(p->req->vol->vols->pool, &pr->rd);
}

static void merge_read_done(struct pool_read *r)
{
	struct part_read *pr = container_of(r, struct part_read, rd);
	struct vol_part  *p = pr->part;
	unsigned k = pr == &p->reads[0] ? 0 : 1;

	p->pending--;
	if (r->res < 0) {
		uint32_t i = k == 0 ? 0 : p->n - 1;
		uint32_t crc;

		/* Moved meanwhile? */
		if (entry_at(p, i, &crc) != p->places[k] &&
		    p->tries++ < TRIES_MAX)
			merge_read(p, k);
		else if (p->res == 0)
			p->res = r->res;
	}
	if (p->pending == 0)
		merge_done(p);
}

static void merge_done(struct vol_part *p)
{
	if (p->res < 0) {
		write_end(p, p->res);
		return;
	}
	merge_copy(p);
	write_append(p);
}

/* --- start --------------------------------------------------------------- */

static bool all_unmapped(const struct vol_part *p)
{
	uint32_t crc;

	for (uint32_t i = 0; i < p->n; i++)
		if (entry_at(p, i, &crc) != PLACE_NONE)
			return false;
	return true;
}

static void write_loaded(struct vol_part *p)
{
	bool head = p->head_bytes > 0, tail = p->tail_bytes > 0;
	struct slab *slab = &p->req->vol->vols->slab;

	if (p->load.res < 0) {
		write_end(p, p->load.res);
		return;
	}
	if (p->only_mapped && all_unmapped(p)) {
		write_end(p, 0);
		return;
	}
	if (!head && !tail) {
		write_append(p);
		return;
	}
	if (head || p->n == 1)
		p->bounce[0] = slab_get(slab);
	if (tail && p->n > 1)
		p->bounce[1] = slab_get(slab);
	if (((head || p->n == 1) && p->bounce[0] == NULL) ||
	    (tail && p->n > 1 && p->bounce[1] == NULL)) {
		write_end(p, -ENOMEM);
		return;
	}
	for (unsigned k = 0; k < 2; k++)
		if (p->bounce[k] != NULL)
			merge_read(p, k);
	if (p->pending == 0)
		merge_done(p);
}

static void write_load_done(struct map_load *l)
{
	write_loaded(container_of(l, struct vol_part, load));
}

void part_write_start(struct vol_part *p)
{
	if (vol_part_throttle(p))
		return;
	p->load.create = true;
	p->load.done = write_load_done;
	if (map_load_start(&p->load))
		write_loaded(p);
}
