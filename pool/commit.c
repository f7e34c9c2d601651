/* pool/commit.c - a durable copy of everything that is dirty.
 *
 *   IDLE -> NODES   freeze at the row applied last; the client writes its
 *                   dirty nodes, then its table pages
 *        -> SEGS    dead segments are freed, new ones composed; the pages of
 *                   the segment table
 *        -> INDEX   index pages of all tables
 *        -> ROOT    one row with the root
 *        -> FLUSH   all of that flushed on its disks
 *        -> LABEL   labels that point at the root, on every member that is in
 *        -> CHECK   nobody has claimed the pool meanwhile
 *        -> IDLE    only now may freed zones be opened again
 *
 * All blocks of a commit are rows younger than its state.  Recovery ignores
 * them unless the label points at their root, so a crash at any point before
 * LABEL leaves the old commit and the whole log after it.
 *
 * The CHECK closes a race: a new owner writes its claim and then reads the
 * labels; we write the label and then read the claims.  So either it sees
 * this commit, or we see its claim and open nothing that it does not know of.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "base/crc32c.h"
#include "pool/core.h"

#define CRC_FROM        12u
#define IDLE_COMMIT_NS  (2 * NS_PER_S)

static void commit_step(struct pool *p);

bool commit_running(const struct pool *p)
{
	return p->commit.state != COMMIT_IDLE;
}

/* --- when ---------------------------------------------------------------- */

/* Segments that should be open or openable after a commit. */
static uint32_t openable_target(const struct pool *p)
{
	uint64_t log = p->params.commit_log_bytes / TARN_BLOCK;
	uint64_t data = (uint64_t)p->zone_blocks * p->k;

	return (uint32_t)div_up(2 * log, data) +
	       min_u32(8, p->segs_possible / 8) + 2 * segs_reserve(p) + 3;
}

/* A dead segment whose zones a commit would really give back. */
static bool any_freeable(const struct pool *p)
{
	for (uint32_t i = 1; p->sealed_dead > 0 && i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if (s->dead && s->pins == 0 && !s->victim &&
		    !seg_must_quarantine(p, s))
			return true;
	}
	return false;
}

/* Would a commit free segments, or list more of them? */
static bool commit_gains(const struct pool *p)
{
	uint32_t zones = segs_free_possible(p);

	return any_freeable(p) || zones > segs_unlisted(p) ||
	       (p->openable <= 1 && zones > 0);
}

/* Is there room for all that a commit would write, in rows that are half
 * headers at worst?  One that runs out of room could not end. */
static bool commit_fits(const struct pool *p)
{
	static const unsigned slots[] = { 0, SEG_ASIDE };
	uint64_t need = p->client->commit_blocks(p->client_arg) +
			p->tables_total + seg_pages(p) + 16;
	uint64_t room = (uint64_t)p->openable * p->zone_blocks;

	for (unsigned i = 0; i < ARRAY_LEN(slots); i++) {
		const struct segment *s = p->open[LOG_COMMIT][slots[i]];

		if (s != NULL && s->write_off < p->zone_blocks)
			room += p->zone_blocks - s->write_off;
	}
	return room * p->k >= 2 * need;
}

/* The last openable segment is for a commit that lists more. */
bool pool_commit_is_blocked(const struct pool *p)
{
	return p->state == POOL_ST_ACTIVE && !commit_running(p) &&
	       ((p->openable <= 1 && !commit_gains(p)) || !commit_fits(p));
}

/* How many openable segments the next commit may need. */
static uint32_t openable_kept(const struct pool *p)
{
	return segs_reserve(p) + 3;
}

static bool commit_due(struct pool *p)
{
	uint64_t log = p->log_blocks * TARN_BLOCK;

	if (pool_commit_is_blocked(p))
		return false;
	if (p->commit.wanted || log >= p->params.commit_log_bytes)
		return true;
	if (2 * p->client->commit_blocks(p->client_arg) >=
		    p->params.rows_memory_bytes / TARN_BLOCK * 8)
		return true;
	return segs_openable_whole(p) <= openable_kept(p) && commit_gains(p);
}

bool commit_pending(struct pool *p)
{
	return commit_running(p) ||
	       (p->state == POOL_ST_ACTIVE && commit_due(p));
}

void commit_consider(struct pool *p)
{
	if (p->state != POOL_ST_ACTIVE || commit_running(p))
		return;
	if (commit_due(p) || p->commit.wanted)
		io_defer(p->io, &p->commit.work);
	else if (p->sealed_dead > 0 && !io_timer_armed(&p->commit_timer))
		io_timer_arm(p->io, &p->commit_timer,
			     io_now_ns(p->io) + IDLE_COMMIT_NS);
}

void pool_commit_want(struct pool *p)
{
	p->commit.wanted = true;
	commit_consider(p);
}

static void commit_timer_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, commit_timer);

	if (p->sealed_dead > 0)
		pool_commit_want(p);
}

static void commit_work_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, commit.work);

	if (commit_running(p) || p->state != POOL_ST_ACTIVE)
		return;
	if (commit_due(p))
		commit_start(p);
	else if (p->commit.wanted && pool_commit_is_blocked(p) &&
		 p->client->commit_blocked != NULL)
		p->client->commit_blocked(p->client_arg);
}

/* --- freeze -------------------------------------------------------------- */

static uint8_t frozen_state(const struct segment *s)
{
	switch ((enum seg_state)s->state) {
	case SEG_FREE:
		return SEG_DISK_FREE;
	case SEG_NEXT:
	case SEG_OPENABLE:
	case SEG_OPEN:
	case SEG_SEALING:
		return SEG_DISK_OPENABLE;
	case SEG_SEALED:
		return SEG_DISK_SEALED;
	case SEG_QUARANTINED:
		return SEG_DISK_QUARANTINED;
	}
	return SEG_DISK_FREE;
}

static void scan_row(const struct pool *p, const struct row *row)
{
	if (row->no > p->stable_row && !CANARY(scan_from_late))
		row->seg->scan_from = min_u32(row->seg->scan_from, row->off);
}

static void freeze_segments(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		s->live_frozen = s->live;
		s->frozen_state = frozen_state(s);
		s->frozen_index_off =
			s->state == SEG_SEALED ? s->index_off : 0;
		s->scan_from = s->state == SEG_OPENABLE ? 0 : s->write_off;
	}
	/* Rows placed but not yet applied are younger than the state. */
	list_for_each(l, &p->rows)
		scan_row(p, list_entry(l, struct row, link));
	list_for_each(l, &p->late.copies)
		scan_row(p, list_entry(l, struct row, link));
}

void commit_start(struct pool *p)
{
	struct commit *c = &p->commit;

	assert(!commit_running(p));
	io_timer_cancel(p->io, &p->commit_timer);
	c->state = COMMIT_NODES;
	c->wanted = false;
	c->ready = false;
	c->row = p->stable_row;
	c->number = p->last.commit + 1;
	c->puts = 0;
	c->nold = 0;
	c->rooted = false;
	p->log_blocks = 0;
	freeze_segments(p);
	p->client->commit_freeze(p->client_arg);
	p->client->commit_write(p->client_arg);
}

/* --- blocks of a commit -------------------------------------------------- */

static void old_add(struct pool *p, place_t place)
{
	struct commit *c = &p->commit;

	if (place == PLACE_NONE)
		return;
	if (c->nold == c->old_cap) {
		uint32_t          cap = max_u32(256, c->old_cap * 2);
		struct old_place *o = realloc(c->old, cap * sizeof(*o));

		if (o == NULL) {
			pool_fail(p, -ENOMEM, "out of memory in a commit");
			return;
		}
		c->old = o;
		c->old_cap = cap;
	}
	c->old[c->nold++].place = place;
}

static void put_apply_table(struct pool *p, struct commit_put *put,
			    place_t place, uint32_t crc)
{
	enum table_kind kind = (enum table_kind)(put->id & 0xff);
	struct table   *t = &p->tables[kind];
	uint32_t        page = (uint32_t)put->block;

	table_count(p, place, 1);
	if (put->id & TABLE_INDEX_BIT) {
		old_add(p, le64_get(t->index[page].place));
		t->index[page].place = le64_of(place);
		t->index[page].crc32c = le32_of(crc);
		return;
	}
	old_add(p, le64_get(t->refs[page].place));
	table_ref_set(p, kind, page, place, crc);
}

static void put_apply(struct log_append *a)
{
	struct commit_put *put = container_of(a, struct commit_put, append);
	struct pool       *p = put->pool;
	place_t            place = log_append_place(a, 0);
	uint32_t           crc = log_append_crc(a, 0);
	struct segment    *s = pool_seg(p, place_seg(p, place));

	if (put->type == REC_TABLE) {
		put_apply_table(p, put, place, crc);
		return;
	}
	assert(!s->dead);
	s->live++;
	s->live_frozen++;
	p->live_total++;
	put->placed(put, place, crc);
}

static void put_done(struct log_append *a)
{
	struct commit_put *put = container_of(a, struct commit_put, append);
	struct pool       *p = put->pool;

	assert(p->commit.puts > 0);
	p->commit.puts--;
	if (a->res < 0)
		pool_fail(p, a->res, "a commit could not be written: %s",
			  strerror(-a->res));
	put->done(put);
	commit_step(p);
}

void pool_commit_put(struct pool *p, struct commit_put *put)
{
	struct log_append *a = &put->append;

	assert(commit_running(p));
	assert(put->type == REC_NODE || put->type == REC_TABLE);
	if (put->type == REC_TABLE && (put->id & TABLE_INDEX_BIT) == 0 &&
	    table_grow(p, (enum table_kind)put->id,
		       (uint32_t)put->block + 1) < 0)
		pool_fail(p, -ENOMEM, "out of memory in a commit");
	put->pool = p;
	put->iov.iov_base = (void *)(uintptr_t)put->buf;
	put->iov.iov_len = TARN_BLOCK;
	memset(a, 0, sizeof(*a));
	a->rec.type = put->type;
	a->rec.n = 1;
	a->rec.id = put->id;
	a->rec.block = put->block;
	a->iov = &put->iov;
	a->niov = 1;
	a->class = LOG_COMMIT;
	a->apply = put_apply;
	a->done = put_done;
	p->commit.puts++;
	p->counters.commit_blocks++;
	log_append_submit(p, a);
}

void pool_commit_unref_node(struct pool *p, place_t place)
{
	seg_frozen_unref(p, place);
	pool_place_unref(p, place, 1);
}

void pool_commit_ready(struct pool *p)
{
	assert(p->commit.state == COMMIT_NODES && !p->commit.ready);
	p->commit.ready = true;
	io_defer(p->io, &p->commit.step_work);
}

static void step_work_fn(struct io_work *w)
{
	commit_step(container_of(w, struct pool, commit.step_work));
}

/* --- our own pages ------------------------------------------------------- */

static void slot_done(struct commit_put *put)
{
	struct commit *c = &put->pool->commit;

	c->slots_free |= 1ull << (put - c->slots);
}

static uint8_t *slot_get(struct commit *c, struct commit_put **ret_put)
{
	unsigned i;

	if (c->slots_free == 0)
		return NULL;
	i = (unsigned)__builtin_ctzll(c->slots_free);
	c->slots_free &= c->slots_free - 1;
	*ret_put = &c->slots[i];
	return c->slot_bufs + (size_t)i * TARN_BLOCK;
}

static void slot_send(struct pool *p, struct commit_put *put, uint8_t *buf,
		      uint32_t id, uint64_t block)
{
	put->type = REC_TABLE;
	put->id = id;
	put->block = block;
	put->buf = buf;
	put->placed = NULL;
	put->done = slot_done;
	pool_commit_put(p, put);
}

/* True when all pages have been handed out. */
static bool send_seg_pages(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct commit_put *put;

	while (c->next < seg_pages(p)) {
		uint8_t *buf = slot_get(c, &put);

		if (buf == NULL)
			return false;
		seg_page_encode(p, c->next, buf);
		slot_send(p, put, buf, TABLE_SEGMENTS, c->next);
		c->next++;
	}
	return true;
}

static bool send_index_pages(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct commit_put *put;

	for (; c->next_kind < TABLE_KINDS; c->next_kind++, c->next = 0) {
		struct table *t = &p->tables[c->next_kind];

		for (; c->next < t->nindex; c->next++) {
			uint8_t *buf;

			if (!bitmap_test(t->index_dirty, c->next))
				continue;
			buf = slot_get(c, &put);
			if (buf == NULL)
				return false;
			memcpy(buf, t->refs + c->next * INDEX_REFS_A_PAGE,
			       TARN_BLOCK);
			bitmap_clear(t->index_dirty, c->next);
			slot_send(p, put, buf, c->next_kind | TABLE_INDEX_BIT,
				  c->next);
		}
	}
	return true;
}

/* --- segments: free the dead, compose new ones --------------------------- */

static void free_dead_segments(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_SEALED ||
		    s->frozen_state != SEG_DISK_SEALED || s->live != 0 ||
		    s->live_frozen != 0 || s->tables != 0 || s->pins != 0 ||
		    s->victim)
			continue;
		if (seg_must_quarantine(p, s)) {
			seg_quarantine(p, s);
			continue;
		}
		seg_free_zones(p, s);
	}
}

/* Would another commit take back segments that lack a unit, now that it has
 * listed whole ones? */
static bool partial_can_go(const struct pool *p)
{
	return segs_openable_whole(p) < p->openable &&
	       p->openable > openable_kept(p);
}

/* Segments that were composed while a domain was away, and into which nothing
 * was written, give way to whole ones when it is back, or what is written from
 * then on would lack redundancy.  Enough of them stay for this commit. */
static void free_partial_segments(struct pool *p)
{
	if (p->partial == 0 || pool_domains_lost(p) > 0)
		return;
	for (uint32_t i = 1;
	     i <= p->nsegs && p->openable > openable_kept(p); i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_OPENABLE || s->missing == 0 ||
		    s->rows != 0 || s->pins != 0)
			continue;
		segs_openable_take(p, s);
		seg_free_zones(p, s);
	}
}

static void segs_start(struct pool *p)
{
	struct commit *c = &p->commit;
	uint32_t       target = openable_target(p);
	uint32_t       have, spare;

	free_dead_segments(p);
	free_partial_segments(p);
	segs_capacity(p);
	have = segs_openable_whole(p);
	spare = segs_free_possible(p);
	if (p->openable > 1)
		spare -= min_u32(spare, segs_unlisted(p));
	if (have < target)
		segs_compose(p, min_u32(target - have, spare),
			     CANARY(reuse_before_commit) ? SEG_OPENABLE
							 : SEG_NEXT);
	c->nsegments = p->nsegs;
	c->next = 0;
	if (table_grow(p, TABLE_SEGMENTS, seg_pages(p)) < 0)
		pool_fail(p, -ENOMEM, "out of memory in a commit");
}

/* --- root ---------------------------------------------------------------- */

static uint8_t *put_refs(uint8_t *b, const struct page_ref *refs, uint32_t n)
{
	if (n > 0)
		memcpy(b, refs, n * sizeof(*refs));
	return b + n * sizeof(*refs);
}

static void mark_boot(const struct pool *p, uint64_t *map,
		      const struct page_ref *refs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		place_t place = le64_get(refs[i].place);

		if (place != PLACE_NONE)
			bitmap_set(map, place_seg(p, place));
	}
}

/* Segments that are needed to read the segment table. */
static uint64_t *boot_map(const struct pool *p)
{
	uint64_t *map = calloc(BITMAP_WORDS((size_t)p->nsegs + 1),
			       sizeof(*map));

	if (map == NULL)
		return NULL;
	for (unsigned k = 0; k < TABLE_KINDS; k++)
		mark_boot(p, map, p->tables[k].index, p->tables[k].nindex);
	mark_boot(p, map, p->tables[TABLE_SEGMENTS].refs,
		  p->tables[TABLE_SEGMENTS].npages);
	return map;
}

static uint8_t *put_boot(const struct pool *p, uint8_t *b, const uint8_t *end,
			 const uint64_t *map, uint32_t *ret_n)
{
	uint32_t bytes = 8 + 8 * p->units;
	uint32_t n = 0;

	for (uint64_t i = bitmap_next_set(map, 1, p->nsegs + 1ull);
	     i <= p->nsegs;
	     i = bitmap_next_set(map, i + 1, p->nsegs + 1ull)) {
		const struct segment *s = p->segs[i];
		le32                  v[2 + 2 * POOL_UNITS_MAX];

		if ((size_t)(end - b) < bytes)
			return NULL;
		v[0] = le32_of(s->no);
		v[1] = le32_of(s->generation);
		for (uint32_t u = 0; u < p->units; u++) {
			v[2 + 2 * u] = le32_of(s->zones[u].member);
			v[3 + 2 * u] = le32_of(s->zones[u].zone);
		}
		memcpy(b, v, bytes);
		b += bytes;
		n++;
	}
	*ret_n = n;
	return b;
}

/* Bytes of the root, or -ENOSPC when it does not fit its row. */
static int root_build(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct root_header h;
	uint8_t           *b = c->root_buf + sizeof(h);
	const uint8_t     *end = c->root_buf +
			     (size_t)ROW_PAYLOAD_MAX * TARN_BLOCK -
			     ROOT_CLIENT_MAX;
	uint64_t          *map = boot_map(p);
	uint32_t           nboot, client;

	if (map == NULL)
		return -ENOMEM;
	memset(c->root_buf, 0, (size_t)ROW_PAYLOAD_MAX * TARN_BLOCK);
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, ROOT_MAGIC, sizeof(h.magic));
	h.pool = p->uuid;
	h.row = le64_of(c->row);
	h.commit = le64_of(c->number);
	h.claim = le64_of(p->claim);
	h.nsegments = le32_of(c->nsegments);
	for (unsigned k = 0; k < TABLE_KINDS; k++) {
		struct table *t = &p->tables[k];

		h.kinds[k].npages = le32_of(t->npages);
		h.kinds[k].nindex = le32_of(t->nindex);
		if (t->nindex * sizeof(*t->index) > (size_t)(end - b)) {
			free(map);
			return -ENOSPC;
		}
		b = put_refs(b, t->index, t->nindex);
	}
	b = put_boot(p, b, end, map, &nboot);
	free(map);
	if (b == NULL)
		return -ENOSPC;
	client = p->client->commit_root(p->client_arg, b);
	assert(client <= ROOT_CLIENT_MAX);
	b += round_up(client, 8);
	h.nboot = le32_of(nboot);
	h.client_bytes = le32_of(client);
	h.bytes = le32_of((uint32_t)(b - c->root_buf));
	memcpy(c->root_buf, &h, sizeof(h));
	return (int)(b - c->root_buf);
}

static void root_apply(struct log_append *a)
{
	struct pool       *p = container_of(a, struct pool, commit.root_append);
	struct commit     *c = &p->commit;
	struct commit_ref *n = &p->next;
	struct row        *row = a->row;
	/* The second root of this commit replaces the first. */
	const struct commit_ref *before = c->rooted ? n : &p->last;

	for (uint32_t i = 0; i < c->root_blocks; i++)
		table_count(p, log_append_place(a, i), 1);
	for (uint32_t i = 0; i < before->root_blocks; i++)
		old_add(p, root_block_place(p, before, i));
	c->rooted = true;
	memset(n, 0, sizeof(*n));
	n->root_place = log_append_place(a, 0);
	n->root_blocks = c->root_blocks;
	n->root_crc = c->root_crc;
	n->root_generation = row->seg->generation;
	n->root_slice = row->slice_blocks;
	n->commit = c->number;
	n->row = c->row;
	for (uint32_t u = 0; u < p->units; u++)
		n->root_zones[u] = row->seg->zones[u];
}

/* The row of a root holds nothing else, so block i is in unit i / slice. */
place_t root_block_place(const struct pool *p, const struct commit_ref *r,
			 uint32_t i)
{
	uint32_t unit = p->k == 1 ? 0 : i / r->root_slice;
	uint32_t in_slice = p->k == 1 ? i : i % r->root_slice;

	return place_make(p, place_seg(p, r->root_place), unit,
			  place_off(p, r->root_place) + in_slice);
}

static void root_done(struct log_append *a)
{
	struct pool *p = container_of(a, struct pool, commit.root_append);

	p->commit.puts--;
	if (a->res < 0)
		pool_fail(p, a->res, "a commit could not be written: %s",
			  strerror(-a->res));
	commit_step(p);
}

static void root_send(struct pool *p)
{
	struct commit     *c = &p->commit;
	struct log_append *a = &c->root_append;
	int                bytes = root_build(p);
	uint8_t           *crc_at = c->root_buf +
			      offsetof(struct root_header, crc32c);
	le32               crc;

	if (bytes < 0) {
		pool_fail(p, bytes, "the root of a commit does not fit");
		return;
	}
	c->root_bytes = (uint32_t)bytes;
	c->root_blocks = (uint32_t)bytes_to_blocks_up(c->root_bytes);
	c->root_crc = crc32c(0, c->root_buf + CRC_FROM,
			     c->root_bytes - CRC_FROM);
	crc = le32_of(c->root_crc);
	memcpy(crc_at, &crc, sizeof(crc));
	c->root_iov.iov_base = c->root_buf;
	c->root_iov.iov_len = (size_t)c->root_blocks * TARN_BLOCK;
	memset(a, 0, sizeof(*a));
	a->rec.type = REC_ROOT;
	a->rec.n = (uint16_t)c->root_blocks;
	a->rec.block = c->number;
	a->iov = &c->root_iov;
	a->niov = 1;
	a->class = LOG_COMMIT;
	a->apply = root_apply;
	a->done = root_done;
	c->puts++;
	p->counters.commit_blocks += c->root_blocks;
	log_append_submit(p, a);
}

/* --- the end ------------------------------------------------------------- */

static void commit_finish(struct pool *p)
{
	struct commit *c = &p->commit;
	uint32_t       openable = 0, partial = 0;

	p->last = p->next;
	p->next_valid = false;
	p->nextra = 0;
	p->counters.commits++;
	c->state = COMMIT_IDLE;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		if (p->segs[i]->state == SEG_NEXT) {
			segs_openable_add(p, p->segs[i]);
			cleaner_unstick(p);
		}
		if (p->segs[i]->state == SEG_OPENABLE) {
			openable++;
			partial += p->segs[i]->missing != 0;
		}
	}
	assert(openable == p->openable && partial == p->partial);
	/* Now that there are whole ones to open. */
	if (pool_domains_lost(p) == 0) {
		seg_seal_degraded(p);
		p->commit.wanted |= partial_can_go(p);
	}
	for (uint32_t i = 0; i < c->nold; i++)
		table_count(p, c->old[i].place, -1);
	c->nold = 0;
	p->client->commit_done(p->client_arg, 0);
	starve_commit_done(p);
	cleaner_kick(p);
	if (c->finished != NULL)
		c->finished(p);
	commit_consider(p);
}

static void commit_checked(struct pool *p, int res)
{
	if (!commit_running(p) || !pool_running(p))
		return;
	if (res < 0) {
		pool_fail(p, res,
			  "another server has claimed the pool; this one "
			  "stops serving it");
		return;
	}
	commit_finish(p);
}

static void commit_labelled(struct label_waiter *w)
{
	struct pool *p = container_of(w, struct pool, commit.waiter);

	if (w->res < 0 || !pool_running(p))
		return;
	p->commit.state = COMMIT_CHECK;
	owner_check(p, commit_checked);
}

/* Did a disk go out since the segment table was written?  Then it does not say
 * that the disk lacks what it had not flushed, and nobody would make that whole
 * again after a restart: the table is written once more. */
static bool missing_changed(const struct pool *p)
{
	for (uint32_t i = 1; i <= p->commit.nsegments; i++) {
		const struct segment *s = p->segs[i];

		if (s->frozen_state != SEG_DISK_FREE &&
		    (s->missing & ~s->missing_frozen) != 0 &&
		    !CANARY(missing_not_written))
			return true;
	}
	return false;
}

static void commit_flushed(struct log_sync *s)
{
	struct pool *p = container_of(s, struct pool, commit.sync);

	if (s->res < 0 || !pool_running(p))
		return;
	if (missing_changed(p)) {
		p->commit.state = COMMIT_SEGS;
		p->commit.next = 0;
		commit_step(p);
		return;
	}
	p->commit.state = COMMIT_LABEL;
	p->next_valid = true;
	p->commit.waiter.done = commit_labelled;
	label_write(p, &p->commit.waiter);
}

static void commit_step(struct pool *p)
{
	struct commit *c = &p->commit;

	if (!pool_running(p))
		return;
	switch ((enum commit_state)c->state) {
	case COMMIT_NODES:
		if (!c->ready || c->puts > 0)
			return;
		c->state = COMMIT_SEGS;
		segs_start(p);
		__attribute__((fallthrough));
	case COMMIT_SEGS:
		if (!send_seg_pages(p) || c->puts > 0)
			return;
		c->state = COMMIT_INDEX;
		c->next = 0;
		c->next_kind = 0;
		__attribute__((fallthrough));
	case COMMIT_INDEX:
		if (!send_index_pages(p) || c->puts > 0)
			return;
		c->state = COMMIT_ROOT;
		root_send(p);
		return;
	case COMMIT_ROOT:
		if (c->puts > 0)
			return;
		c->state = COMMIT_FLUSH;
		c->sync.done = commit_flushed;
		if (CANARY(label_before_flush)) {
			c->sync.res = 0;
			commit_flushed(&c->sync);
			return;
		}
		log_sync_submit(p, &c->sync);
		return;
	case COMMIT_IDLE:
	case COMMIT_FLUSH:
	case COMMIT_LABEL:
	case COMMIT_CHECK:
		return;
	}
}

int commit_init(struct pool *p)
{
	struct commit *c = &p->commit;

	io_timer_init(&p->commit_timer, commit_timer_fn);
	io_work_init(&c->work, commit_work_fn);
	io_work_init(&c->step_work, step_work_fn);
	c->slots = calloc(COMMIT_SLOTS, sizeof(*c->slots));
	c->slot_bufs = aligned_alloc(TARN_BLOCK,
				     (size_t)COMMIT_SLOTS * TARN_BLOCK);
	c->root_buf = aligned_alloc(TARN_BLOCK,
				    (size_t)ROW_PAYLOAD_MAX * TARN_BLOCK);
	c->slots_free = ~0ull;
	return c->slots != NULL && c->slot_bufs != NULL && c->root_buf != NULL
		       ? 0
		       : -ENOMEM;
}

void commit_fini(struct pool *p)
{
	struct commit *c = &p->commit;

	if (c->slots == NULL && c->root_buf == NULL)
		return;
	io_timer_cancel(p->io, &p->commit_timer);
	io_undefer(&c->work);
	io_undefer(&c->step_work);
	free(c->slots);
	free(c->slot_bufs);
	free(c->root_buf);
	free(c->old);
	c->slots = NULL;
	c->root_buf = NULL;
}
