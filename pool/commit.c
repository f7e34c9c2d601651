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
 *
 * When one starts: commit_schedule.c.  What it does to segments:
 * commit_segments.c.  The root: commit_root.c.
 *
 * The way to fail: what cannot be written, or no memory for it, stops the pool
 * (pool_fail()); the old commit and the log after it hold everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/commit.h"

bool commit_running(const struct pool *p)
{
	return p->commit.state != COMMIT_IDLE;
}

void commit_start(struct pool *p)
{
	struct commit *c = &p->commit;

	assert(!commit_running(p));
	io_timer_cancel(p->io, &p->commit_timer);
	c->state = COMMIT_NODES;
	c->wanted = false;
	c->wanted_later = false;
	c->ready = false;
	c->row = p->stable_row;
	c->number = p->last.commit + 1;
	c->puts = 0;
	c->nold = 0;
	c->rooted = false;
	p->log_blocks = 0;
	commit_segs_freeze(p);
	p->client->commit_freeze(p->client_arg);
	p->client->commit_write(p->client_arg);
}

/* --- blocks of a commit -------------------------------------------------- */

void commit_old_add(struct pool *p, place_t place)
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
		commit_old_add(p, le64_get(t->index[page].place));
		t->index[page].place = le64_of(place);
		t->index[page].crc32c = le32_of(crc);
		return;
	}
	commit_old_add(p, le64_get(t->refs[page].place));
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
	seg_seal_degraded(p);
	if (pool_domains_away(p) == 0)
		p->commit.wanted |= commit_partial_can_go(p);
	p->commit.wanted |= commit_ends_lack(p);
	p->commit.wanted |= commit_draining_can_go(p);
	for (uint32_t i = 0; i < c->nold; i++)
		table_count(p, c->old[i].place, -1);
	c->nold = 0;
	p->client->commit_done(p->client_arg, 0);
	starve_commit_done(p);
	change_committed(p);
	rebuild_committed(p);
	cleaner_kick(p);
	trim_kick(p);
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

static void commit_flushed(struct log_sync *s)
{
	struct pool *p = container_of(s, struct pool, commit.sync);

	if (s->res < 0 || !pool_running(p))
		return;
	if (commit_missing_changed(p)) {
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

void commit_step(struct pool *p)
{
	struct commit *c = &p->commit;

	if (!pool_running(p))
		return;
	switch ((enum commit_state)c->state) {
	case COMMIT_NODES:
		if (!c->ready || c->puts > 0)
			return;
		c->state = COMMIT_SEGS;
		commit_segs_renew(p);
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
		commit_root_send(p);
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

	commit_schedule_init(p);
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
	commit_schedule_fini(p);
	io_undefer(&c->step_work);
	free(c->slots);
	free(c->slot_bufs);
	free(c->root_buf);
	free(c->old);
	c->slots = NULL;
	c->root_buf = NULL;
}
