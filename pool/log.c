/* pool/log.c - appending: gather, place, write, apply, acknowledge.
 *
 *   log_append_submit()       queued by class
 *   kick (next turn)          rows are formed: place, copy + CRC, parity,
 *                             headers, one write per unit
 *   unit done                 enough units: the row is stored
 *   advance                   in number order: stable, apply(), done()
 *   flush.c                   flushed: FUA done(), buffers given back
 *
 * What goes wrong:
 *  - no segment may be opened: the class starves (starve.c); a commit or the
 *    cleaner helps, or the appends fail with -ENOSPC.  Rows get their number only
 *    when they have their place, so nothing behind them is held up.
 *  - no buffer or row: a flush gives some back.
 *  - a unit's write fails: the unit goes idle until its member is back (then
 *    it is written again, same bytes, same place) or recorded out (then it is
 *    missing).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define CLEANER_WAIT_NS (1 * NS_PER_MS)

static void unit_done(struct disk_req *req);

/* --- submission ---------------------------------------------------------- */

void log_append_submit(struct pool *p, struct log_append *a)
{
	assert(a->class < LOG_CLASSES);
	assert(rec_payload_blocks(&a->rec) <= ROW_PAYLOAD_MAX);
	a->res = 0;
	a->row = NULL;
	a->row_no = 0;
	list_push(&p->gather[a->class], &a->link);
	p->gather_blocks[a->class] += rec_payload_blocks(&a->rec);
	p->gather_count[a->class]++;
	p->clients += a->class == LOG_CLIENT;
	log_kick(p);
}

static void gather_take(struct pool *p, struct log_append *a)
{
	list_remove(&a->link);
	p->gather_blocks[a->class] -= rec_payload_blocks(&a->rec);
	p->gather_count[a->class]--;
}

void log_gather_fail(struct pool *p, unsigned class, uint64_t asked_ns, int res)
{
	struct list failed;
	struct list *l, *next;

	list_init(&failed);
	for (l = p->gather[class].next; l != &p->gather[class]; l = next) {
		struct log_append *a = list_entry(l, struct log_append, link);

		next = l->next;
		if (asked_ns != UINT64_MAX &&
		    (a->asked_ns == 0 || a->asked_ns > asked_ns))
			continue;
		gather_take(p, a);
		list_push(&failed, l);
	}
	while ((l = list_pop(&failed)) != NULL) {
		struct log_append *a = list_entry(l, struct log_append, link);

		a->res = res;
		a->done(a);
	}
}

/* --- places -------------------------------------------------------------- */

place_t log_append_place(const struct log_append *a, unsigned i)
{
	assert(i < rec_payload_blocks(&a->rec));
	return row_place(a->row->pool, a->row, a->first + i);
}

uint32_t log_append_crc(const struct log_append *a, unsigned i)
{
	le32 crc;

	memcpy(&crc,
	       a->row->buf + sizeof(struct row_header) +
		       (size_t)(a->first + i) * sizeof(crc),
	       sizeof(crc));
	return le32_get(crc);
}

/* --- forming rows -------------------------------------------------------- */

/* What the next row of a class would hold. */
struct row_plan {
	uint32_t napps;
	uint32_t payload_blocks;
	uint32_t recs_bytes;
	uint32_t header_blocks;
	uint32_t slice_blocks;
	uint32_t unit_blocks;
};

/* A row that would not fit the rest of the open segment any more is better
 * cut, if what is in it so far does fit. */
static bool row_fits_rest(const struct pool *p, const struct segment *open,
			  const struct row_plan *plan, uint32_t blocks,
			  uint32_t recs)
{
	uint32_t so_far = row_header_blocks(plan->payload_blocks,
					    plan->recs_bytes) +
			  (uint32_t)div_up(plan->payload_blocks, p->k);
	uint32_t with = row_header_blocks(blocks, recs) +
			(uint32_t)div_up(blocks, p->k);

	if (open == NULL ||
	    seg_has_room(p, open, with, seg_index_entry_bytes(blocks, recs)))
		return true;
	return !seg_has_room(p, open, so_far,
			     seg_index_entry_bytes(plan->payload_blocks,
						   plan->recs_bytes));
}

static void row_plan(const struct pool *p, unsigned class,
		     struct row_plan *plan)
{
	const struct segment *open = seg_only_open(p, (enum log_class)class);

	memset(plan, 0, sizeof(*plan));
	list_for_each(l, &p->gather[class]) {
		const struct log_append *a =
			list_entry(l, struct log_append, link);
		uint32_t blocks = plan->payload_blocks +
				  rec_payload_blocks(&a->rec);
		uint32_t recs = plan->recs_bytes + row_rec_bytes(&a->rec);

		if (plan->napps > 0 &&
		    (blocks > p->row_blocks_max ||
		     plan->napps == ROW_RECORDS_MAX ||
		     row_header_blocks(blocks, recs) == 0 ||
		     !row_fits_rest(p, open, plan, blocks, recs)))
			break;
		plan->payload_blocks = blocks;
		plan->recs_bytes = recs;
		plan->napps++;
	}
	plan->header_blocks =
		row_header_blocks(plan->payload_blocks, plan->recs_bytes);
	plan->slice_blocks = (uint32_t)div_up(plan->payload_blocks, p->k);
	plan->unit_blocks = plan->header_blocks + plan->slice_blocks;
	assert(plan->header_blocks > 0);
}

struct row *log_row_get(struct pool *p, uint32_t unit_blocks,
			uint64_t max_bytes)
{
	uint32_t     copies = p->k == 1 ? 1 : p->units;
	uint32_t     bytes = copies * unit_blocks * TARN_BLOCK;
	struct list *l;
	struct row  *row;
	uint8_t     *buf;

	if (p->rows_bytes + bytes > max_bytes && !list_empty(&p->rows))
		return NULL;
	if (list_empty(&p->rows_free))
		return NULL;
	buf = bufpool_get(p->row_bufs, bytes);
	if (buf == NULL)
		return NULL;
	l = list_pop(&p->rows_free);
	row = list_entry(l, struct row, link);
	row->buf = buf;
	row->buf_bytes = bytes;
	p->rows_bytes += bytes;
	return row;
}

void log_row_place(struct row *row, struct segment *s)
{
	row->seg = s;
	row->off = s->write_off;
	s->write_off += row->unit_blocks;
	s->rows++;
}

static void row_init(struct pool *p, struct row *row, unsigned class,
		     const struct row_plan *plan, struct segment *seg)
{
	row->no = p->next_row++;
	row->state = ROW_WRITING;
	row->class = (uint8_t)class;
	row->flushed = false;
	row->empty = plan->napps == 0;
	row->is_copy = false;
	row->copy = NULL;
	row->header_blocks = plan->header_blocks;
	row->payload_blocks = plan->payload_blocks;
	row->slice_blocks = plan->slice_blocks;
	row->unit_blocks = plan->unit_blocks;
	row->nrecs = plan->napps;
	row->recs_bytes = plan->recs_bytes;
	list_init(&row->appends);
	log_row_place(row, seg);
	for (uint32_t i = 0; i < plan->napps; i++) {
		struct log_append *a = list_first(&p->gather[class],
						  struct log_append, link);

		gather_take(p, a);
		list_push(&row->appends, &a->link);
	}
}

void log_row_submit(struct row *row)
{
	struct pool *p = row->pool;

	p->log_blocks += (uint64_t)row->unit_blocks * p->k;
	p->counters.row_bytes +=
		(uint64_t)row->unit_blocks * p->units * TARN_BLOCK;
	late_row_sent(row);
	for (uint32_t u = 0; u < p->units; u++) {
		row->units[u].row = row;
		row->units[u].member = row->seg->zones[u].member;
		row->units[u].state = UNIT_IDLE;
		row->units[u].late = false;
		row->units[u].cover = 0;
		log_unit_submit(row, u);
	}
}

static void row_send(struct pool *p, struct row *row)
{
	list_push(&p->rows, &row->link);
	p->inflight[row->class]++;
	p->counters.rows++;
	p->counters.row_blocks += row->payload_blocks;
	log_row_submit(row);
	log_row_check_stored(row);
}

/* True when a row was formed. */
static bool row_form(struct pool *p, unsigned class, bool mark)
{
	struct row_plan plan;
	struct segment *seg;
	struct row     *row;

	if (mark) {
		memset(&plan, 0, sizeof(plan));
		plan.header_blocks = 1;
		plan.unit_blocks = 1;
	} else {
		row_plan(p, class, &plan);
	}
	row = log_row_get(p, plan.unit_blocks, p->params.rows_memory_bytes);
	if (row == NULL) {
		flush_want(p);
		return false;
	}
	seg = seg_for_row(p, class, plan.unit_blocks,
			  seg_index_entry_bytes(plan.payload_blocks,
						plan.recs_bytes));
	if (seg == NULL) {
		log_release_row(row);
		if (!mark)
			starve_miss(p, class);
		return false;
	}
	starve_none(p, class);
	p->cleaner_due &= ~(1u << class);
	if (class == LOG_CLIENT)
		pace_written(p, plan.payload_blocks);
	row_init(p, row, class, &plan, seg);
	members_lack_placed(p, row);
	row_fill(p, row);
	row_send(p, row);
	if (p->rows_bytes > p->params.rows_memory_bytes / 2)
		flush_want(p);
	return true;
}

static bool may_send(struct pool *p, unsigned class)
{
	if (p->gather_count[class] == 0)
		return false;
	/* The cleaner is in no hurry: full rows, or what has come in a
	 * while. */
	if (class_cleans(class) && !(p->cleaner_due & 1u << class) &&
	    p->gather_blocks[class] < p->row_blocks_max) {
		if (!io_timer_armed(&p->cleaner_timer))
			io_timer_arm(p->io, &p->cleaner_timer,
				     io_now_ns(p->io) + CLEANER_WAIT_NS);
		return false;
	}
	if (class == LOG_CLIENT && pace_holds(p))
		return false;
	if (p->inflight[class] == 0)
		return true;
	if (p->inflight[class] >= (class_cleans(class) ? CLEANER_INFLIGHT_MAX
						       : ROWS_INFLIGHT_MAX))
		return false;
	return p->gather_blocks[class] >= p->row_blocks_max ||
	       p->gather_count[class] >= ROW_RECORDS_MAX;
}

static void kick_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, kick);

	for (unsigned i = LOG_CLASSES; i-- > 0;) {
		if (!pool_running(p) ||
		    (p->last_commit && i != LOG_COMMIT)) {
			log_gather_fail(p, i, UINT64_MAX,
					p->state == POOL_ST_READ_ONLY
						? -EROFS
						: -ESHUTDOWN);
			continue;
		}
		while (may_send(p, i)) {
			if (!row_form(p, i, false))
				break;
		}
		if (p->starve[i].waits && p->gather_count[i] > 0)
			starve_resolve(p, i);
	}
}

static void cleaner_timer_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, cleaner_timer);

	p->cleaner_due = 1u << LOG_CLEANER | 1u << LOG_COLD;
	log_kick(p);
}

void log_kick(struct pool *p)
{
	io_defer(p->io, &p->kick);
}

/* --- writing units ------------------------------------------------------- */

void log_unit_submit(struct row *row, uint32_t unit)
{
	struct pool     *p = row->pool;
	struct row_unit *u = &row->units[unit];
	struct member   *m = seg_member(p, row->seg, unit);

	assert(u->state == UNIT_IDLE);
	if (m == NULL || !m->in) {
		u->state = UNIT_MISSING;
		row->seg->missing |= 1u << unit;
		return;
	}
	if (!member_usable(m))
		return;
	u->state = UNIT_INFLIGHT;
	u->req.op = DISK_WRITE;
	u->req.off_bytes =
		zone_off_bytes(p, row->seg->zones[unit].zone, row->off);
	u->req.len_bytes = row->unit_blocks * TARN_BLOCK;
	u->req.buf = row_unit_buf(row, unit);
	u->req.done = unit_done;
	disk_submit(m->disk, &u->req);
}

static void unit_done(struct disk_req *req)
{
	struct row_unit *u = container_of(req, struct row_unit, req);
	struct row      *row = u->row;
	struct pool     *p = row->pool;
	struct member   *m = p->members[u->member];

	assert(u->state == UNIT_INFLIGHT);
	m->late_units -= u->late;
	u->late = false;
	if (req->res < 0)
		seg_stray_mark(p, row->seg);
	if (!m->in) {
		/* Nobody will flush it any more. */
		u->state = UNIT_MISSING;
		if (!row->is_copy)
			row->seg->missing |= 1u << (uint32_t)(u - row->units);
	} else if (req->res == 0) {
		u->state = UNIT_WRITTEN;
		latency_add(&m->speed.write,
			    (io_now_ns(p->io) - req->sent_ns) / NS_PER_US);
		u->cover = m->flush_seq + (CANARY(cover_off_by_one) ? 0 : 1);
		m->dirty = true;
		/* Written again after its disk came back: somebody may have
		 * waited for it to be flushed all the time. */
		if (row->state == ROW_STABLE)
			flush_want(p);
	} else {
		u->state = UNIT_IDLE;
		member_error(m, req->res);
	}
	if (row->is_copy)
		late_unit_done(u);
	else
		log_row_check_stored(row);
	flush_advance(p);
}

static void row_stored(struct row *row)
{
	struct pool *p = row->pool;

	row->state = ROW_STORED;
	late_row_stored(row);
	assert(p->inflight[row->class] > 0);
	p->inflight[row->class]--;
	io_defer(p->io, &p->advance);
	if (p->gather_count[row->class] > 0)
		log_kick(p);
}

void log_row_check_stored(struct row *row)
{
	struct pool *p = row->pool;
	uint32_t     written = 0;

	if (row->state != ROW_WRITING)
		return;
	for (uint32_t u = 0; u < p->units; u++) {
		if (row->units[u].state == UNIT_WRITTEN)
			written++;
		else if (row->units[u].state != UNIT_MISSING &&
			 !CANARY(ack_before_write))
			return;
	}
	if (written >= p->k + p->min_parity || CANARY(ack_before_write))
		row_stored(row);
}

/* --- stable -------------------------------------------------------------- */

static void row_apply(struct pool *p, struct row *row)
{
	row->state = ROW_STABLE;
	p->stable_row = row->no;
	if (class_cleans(row->class))
		pace_moved(p, row->payload_blocks);
	list_for_each(l, &row->appends) {
		struct log_append *a = list_entry(l, struct log_append, link);

		if (a->apply != NULL)
			a->apply(a);
	}
	/* Only now does its segment know all that lives in it. */
	seg_row_applied(p, row->seg);
}

static void row_acknowledge(struct pool *p, struct row *row)
{
	struct list done;

	list_init(&done);
	list_splice(&done, &row->appends);
	for (;;) {
		struct list       *l = list_pop(&done);
		struct log_append *a;

		if (l == NULL)
			return;
		a = list_entry(l, struct log_append, link);
		if (a->fua && !CANARY(fua_unflushed)) {
			list_push(&p->fua, &a->link);
			flush_want(p);
		} else {
			a->done(a);
		}
	}
}

/* First row that is not stable yet. */
struct row *log_first_unstable(struct pool *p)
{
	/* The list is in number order and stable rows are a prefix; walk from
	 * the end while rows are not stable, as those are few. */
	struct row *found = NULL;

	for (struct list *l = p->rows.prev; l != &p->rows; l = l->prev) {
		struct row *row = list_entry(l, struct row, link);

		if (row->state == ROW_STABLE)
			break;
		found = row;
	}
	return found;
}

struct row *log_next_row(const struct row *row)
{
	struct list *next = row->link.next;

	return next == &row->pool->rows ? NULL
					: list_entry(next, struct row, link);
}

static void advance_fn(struct io_work *w)
{
	struct pool *p = container_of(w, struct pool, advance);
	struct row  *row;

	if (!pool_is_ours(p))
		return; /* called again when the lease is renewed */
	row = log_first_unstable(p);
	while (row != NULL && row->state == ROW_STORED && pool_running(p)) {
		struct row *next = log_next_row(row);

		assert(row->no == p->stable_row + 1);
		row_apply(p, row);
		row_acknowledge(p, row);
		row = next;
	}
	late_reap(p);
	flush_advance(p);
	commit_consider(p);
}

/* --- marks, memory, ends ------------------------------------------------- */

static void mark_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, mark_timer);

	if (p->state != POOL_ST_ACTIVE || !list_empty(&p->rows) ||
	    p->mark_row >= p->flushed_row)
		return;
	row_form(p, LOG_COMMIT, true);
}

void log_release_row(struct row *row)
{
	struct pool *p = row->pool;

	bufpool_put(p->row_bufs, row->buf);
	row->buf = NULL;
	p->rows_bytes -= row->buf_bytes;
	list_remove(&row->link);
	list_push(&p->rows_free, &row->link);
}

void log_fail_all(struct pool *p, int res)
{
	for (unsigned i = 0; i < LOG_CLASSES; i++)
		log_gather_fail(p, i, UINT64_MAX, res);
	list_for_each(l, &p->rows) {
		struct row *row = list_entry(l, struct row, link);

		for (;;) {
			struct list       *al = list_pop(&row->appends);
			struct log_append *a;

			if (al == NULL)
				break;
			a = list_entry(al, struct log_append, link);
			a->res = res;
			a->done(a);
		}
	}
}

bool log_idle(const struct pool *p)
{
	for (unsigned i = 0; i < LOG_CLASSES; i++) {
		if (p->gather_count[i] > 0 || p->inflight[i] > 0)
			return false;
	}
	return p->stable_row + 1 == p->next_row;
}

int log_init(struct pool *p)
{
	for (unsigned i = 0; i < LOG_CLASSES; i++)
		list_init(&p->gather[i]);
	list_init(&p->rows);
	list_init(&p->rows_free);
	io_work_init(&p->kick, kick_fn);
	io_work_init(&p->advance, advance_fn);
	late_init(p);
	io_timer_init(&p->mark_timer, mark_fn);
	io_timer_init(&p->cleaner_timer, cleaner_timer_fn);
	starve_init(p);
	pace_init(p);
	p->rows_mem = calloc(ROWS_MAX, sizeof(*p->rows_mem));
	p->units_mem = calloc((size_t)ROWS_MAX * p->units,
			      sizeof(*p->units_mem));
	if (p->rows_mem == NULL || p->units_mem == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < ROWS_MAX; i++) {
		struct row *row = &p->rows_mem[i];

		row->pool = p;
		row->units = &p->units_mem[(size_t)i * p->units];
		list_push(&p->rows_free, &row->link);
	}
	return 0;
}

void log_fini(struct pool *p)
{
	if (p->rows_mem == NULL)
		return;
	for (;;) {
		struct list *l = list_pop(&p->rows);
		struct row  *row;

		if (l == NULL)
			break;
		row = list_entry(l, struct row, link);
		bufpool_put(p->row_bufs, row->buf);
	}
	late_fini(p);
	io_undefer(&p->kick);
	io_undefer(&p->advance);
	io_timer_cancel(p->io, &p->mark_timer);
	io_timer_cancel(p->io, &p->cleaner_timer);
	io_timer_cancel(p->io, &p->starve_timer);
	io_timer_cancel(p->io, &p->pace.timer);
	free(p->rows_mem);
	free(p->units_mem);
	p->rows_mem = NULL;
	p->units_mem = NULL;
}
