/* pool/flush.c - which rows are flushed.
 *
 * Each member counts its flushes.  A unit written gets, as `cover`, the number
 * of the next flush to be submitted: that one makes it durable.  A row is
 * flushed when every unit of it is, and rows are flushed in number order.  A
 * failed flush says nothing about what was written since the last good one:
 * member_error() has all that written again.
 */
#include <errno.h>

#include "base/canary.h"
#include "pool/core.h"

#define MARK_DELAY_NS (20 * NS_PER_MS)

static void flush_req_done(struct disk_req *req)
{
	struct member *m = container_of(req, struct member, flush_req);
	struct pool   *p = m->pool;

	m->flush_inflight = false;
	if (req->res == 0 || CANARY(flush_error_ignored)) {
		/* A member that became suspect meanwhile has had its units
		 * reset; what they are written as later has a higher cover. */
		m->flush_done = m->flush_seq;
		rebuild_flushed(p, m);
	} else if (m->in) {
		member_error(m, req->res);
	}
	p->counters.flushes++;
	flush_advance(p);
	if (!list_empty(&p->syncs) || !list_empty(&p->fua) ||
	    p->rows_bytes > p->params.rows_memory_bytes / 2)
		flush_want(p);
}

static void flush_member(struct member *m)
{
	if (m->flush_inflight || !m->dirty || !m->in || !member_usable(m))
		return;
	m->dirty = false;
	m->flush_seq++;
	if (CANARY(flush_skips_disk) && m->index == 0) {
		m->flush_done = m->flush_seq;
		return;
	}
	m->flush_inflight = true;
	m->flush_req.op = DISK_FLUSH;
	m->flush_req.off_bytes = 0;
	m->flush_req.len_bytes = 0;
	m->flush_req.buf = NULL;
	m->flush_req.done = flush_req_done;
	disk_submit(m->disk, &m->flush_req);
}

static void flush_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, flush_work);

	if (p->state == POOL_ST_FAILED || p->state == POOL_ST_CLOSED)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++)
		flush_member(p->members[i]);
	flush_advance(p);
}

void flush_want(struct pool *p)
{
	io_defer(p->io, &p->flush_work);
}

static bool row_is_flushed(const struct pool *p, const struct row *row)
{
	if (row->state != ROW_STABLE)
		return false;
	for (uint32_t u = 0; u < p->units; u++) {
		const struct row_unit *unit = &row->units[u];

		if (unit->state == UNIT_MISSING)
			continue;
		if (unit->state != UNIT_WRITTEN ||
		    unit->cover > p->members[unit->member]->flush_done)
			return false;
	}
	return true;
}

static void syncs_complete(struct pool *p)
{
	while (!list_empty(&p->syncs)) {
		struct log_sync *s =
			list_first(&p->syncs, struct log_sync, link);

		if (s->row_no > p->flushed_row)
			break;
		list_remove(&s->link);
		s->res = 0;
		s->done(s);
	}
	while (!list_empty(&p->fua)) {
		struct log_append *a =
			list_first(&p->fua, struct log_append, link);

		if (a->row_no > p->flushed_row)
			break;
		list_remove(&a->link);
		a->done(a);
	}
}

void flush_advance(struct pool *p)
{
	bool moved = false;
	bool content = false;

	while (!list_empty(&p->rows)) {
		struct row *row = list_first(&p->rows, struct row, link);

		if (!row_is_flushed(p, row))
			break;
		p->flushed_row = row->no;
		content |= !row->empty;
		log_release_row(row);
		moved = true;
	}
	if (pool_is_ours(p))
		syncs_complete(p);
	if (!moved)
		return;
	for (unsigned i = 0; i < LOG_CLASSES; i++) {
		if (p->gather_count[i] > 0)
			log_kick(p);
	}
	if (content && list_empty(&p->rows))
		io_timer_arm(p->io, &p->mark_timer,
			     io_now_ns(p->io) + MARK_DELAY_NS);
}

void log_sync_submit(struct pool *p, struct log_sync *s)
{
	s->row_no = CANARY(sync_covers_less) ? p->flushed_row : p->stable_row;
	s->asked_ns = io_now_ns(p->io);
	list_push(&p->syncs, &s->link);
	flush_want(p);
}

void flush_fail_all(struct pool *p, int res)
{
	for (;;) {
		struct list     *l = list_pop(&p->syncs);
		struct log_sync *s;

		if (l == NULL)
			break;
		s = list_entry(l, struct log_sync, link);
		s->res = res;
		s->done(s);
	}
	for (;;) {
		struct list       *l = list_pop(&p->fua);
		struct log_append *a;

		if (l == NULL)
			break;
		a = list_entry(l, struct log_append, link);
		a->res = res;
		a->done(a);
	}
}

void flush_init(struct pool *p)
{
	list_init(&p->syncs);
	list_init(&p->fua);
	io_work_init(&p->flush_work, flush_fn);
}
