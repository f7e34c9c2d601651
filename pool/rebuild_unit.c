/* pool/rebuild_unit.c - one unit of a sealed segment is made again.
 *
 *   INDEX    the list of its rows, from the index of any unit; without one the
 *            segment is scanned, which must find all of them
 *   WINDOWS  rows that follow one another are read from k units (or from the
 *            unit itself, when it only has to move), made, checked against
 *            their headers, and written; several windows at once
 *   INDEX    is written, too
 *
 * All rows are made, not only those in which something lives: then a unit is
 * whole or it is not, for the checker as for a later rebuild, and nobody must
 * ask the map about every block.  Segments in which little lives are emptied by
 * the cleaner instead.
 *
 * While clients want the disks there is one window at a time, and a pause as
 * long as it took after each, so that they have the disks for themselves half
 * of the time and share them for the rest; a unit that only moves leaves them
 * three quarters, unless they wait for the zone that it leaves.
 *
 * The ways to fail: rows that k units do not give are read from all units, and
 * what even those do not give ends the build (-EBADMSG); a unit that cannot be
 * read is done without as long as k others can; a write that fails ends it, and
 * whoever has the zone must know that it may still land (seg_stray_mark()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/rebuild.h"

/* Of a unit that only moves: a pause is so many times as long as a window. */
#define MOVE_PAUSES 3u

static void window_read(struct build_window *w);

void unit_build_fail(struct unit_build *b, int res)
{
	if (b->res == 0)
		b->res = res;
}

static bool stopped(const struct unit_build *b)
{
	return b->stop || b->res < 0 || b->pool->state != POOL_ST_ACTIVE ||
	       b->seg->dead;
}

static void build_end(struct unit_build *b)
{
	struct pool *p = b->pool;

	assert(b->inflight == 0);
	if (b->res == 0 && stopped(b))
		b->res = -ECANCELED;
	scan_rows_free(b->list);
	free(b->rows);
	free(b->index);
	b->list = NULL;
	b->rows = NULL;
	b->index = NULL;
	b->running = false;
	io_undefer(&b->work);
	io_timer_cancel(p->io, &b->pause);
	seg_unpin(p, b->seg);
	b->done(b);
}

static struct member *target(const struct unit_build *b)
{
	return seg_member(b->pool, b->slot, 0);
}

/* --- making -------------------------------------------------------------- */

/* The header of the row as that unit has it. */
static bool header_of(const struct build_window *w, const struct scan_row *row,
		      uint32_t unit, struct row_info *ret)
{
	const struct unit_build *b = w->build;
	const struct pool       *p = b->pool;
	const uint8_t *at = w->units[unit] + (size_t)(row->info.off_blocks -
						      w->off) * TARN_BLOCK;

	return (w->have & (1u << unit)) != 0 &&
	       row_header_validate(&p->geom, at,
				   row->info.unit_blocks * TARN_BLOCK, ret,
				   NULL) == 0 &&
	       ret->segment == b->seg->no &&
	       ret->generation == b->seg->generation &&
	       ret->off_blocks == row->info.off_blocks &&
	       ret->row_no == row->info.row_no &&
	       ret->unit_blocks == row->info.unit_blocks &&
	       (p->k == 1 || ret->unit == unit);
}

/* As unit u of the row, at `at`: its header, whose lists are those of info. */
static void header_make(const struct pool *p, const struct row_info *info,
			uint32_t u, uint8_t *at)
{
	memset(at, 0, (size_t)info->header_blocks * TARN_BLOCK);
	memcpy(at + sizeof(struct row_header), info->crcs,
	       4 * (size_t)info->payload_blocks);
	memcpy(at + info->recs_off, info->recs, info->recs_bytes);
	row_header_encode(&p->geom, info, u, at);
}

/* The slice of the unit, from the units that were read: of all of them those
 * that are right count, if there was time to look. */
static bool slice_make(struct build_window *w, const struct row_info *info,
		       uint8_t *out)
{
	struct unit_build *b = w->build;
	struct pool       *p = b->pool;
	uint32_t           len = info->slice_blocks * TARN_BLOCK;
	uint32_t           have = 0;
	uint8_t           *slices[POOL_UNITS_MAX];

	for (uint32_t u = 0; u < p->units; u++) {
		slices[u] = w->units[u] +
			    (size_t)(info->off_blocks - w->off +
				     info->header_blocks) * TARN_BLOCK;
		if ((w->have & (1u << u)) != 0 &&
		    (!w->all || row_slice_valid(&p->geom, info, u, slices[u])))
			have |= 1u << u;
	}
	if (len == 0)
		return true;
	if (have & (1u << b->unit))
		memcpy(out, slices[b->unit], len);
	else if (stripe_rebuild(&p->stripe, len, slices, have, b->unit, out) <
		 0)
		return false;
	return CANARY(rebuild_unchecked) ||
	       row_slice_valid(&p->geom, info, b->unit, out);
}

static bool row_make(struct build_window *w, const struct scan_row *row)
{
	struct unit_build *b = w->build;
	struct pool       *p = b->pool;
	struct row_info    info;
	bool               found = false;
	uint8_t           *at = w->out + (size_t)(row->info.off_blocks -
						  w->off) * TARN_BLOCK;

	for (uint32_t u = 0; u < p->units && !found; u++)
		found = header_of(w, row, u, &info);
	if (!found || !slice_make(w, &info, at + (size_t)info.header_blocks *
							 TARN_BLOCK))
		return false;
	header_make(p, &info, b->unit, at);
	return true;
}

/* --- windows ------------------------------------------------------------- */

/* Do clients want the disks now, and should they have them? */
static bool disturbs(const struct unit_build *b)
{
	return b->clients != b->pool->clients &&
	       !(b->move && rebalance_hurries(b->pool));
}

static void window_end(struct build_window *w)
{
	struct unit_build *b = w->build;
	struct pool       *p = b->pool;
	uint64_t           now_ns = io_now_ns(p->io);

	w->busy = false;
	b->inflight--;
	if (disturbs(b) && !stopped(b))
		io_timer_arm(p->io, &b->pause,
			     now_ns + (now_ns - w->started_ns) *
					      (b->move ? MOVE_PAUSES : 1));
	/* Not now: the window may have ended without waiting for anything. */
	io_defer(p->io, &b->work);
}

static void write_failed(struct unit_build *b, int res)
{
	unit_build_fail(b, res);
	seg_stray_mark(b->pool, b->slot);
	member_error(target(b), res);
}

static void window_written(struct disk_req *req)
{
	struct build_window *w = container_of(req, struct build_window, write);
	struct unit_build   *b = w->build;

	if (req->res < 0)
		write_failed(b, req->res);
	else
		target(b)->dirty = true;
	if (b->move)
		pace_vacated(b->pool, w->len);
	window_end(w);
}

static void target_write(struct unit_build *b, struct disk_req *req,
			 uint32_t off, uint32_t len, uint8_t *buf,
			 void (*done)(struct disk_req *req))
{
	req->op = DISK_WRITE;
	req->off_bytes = zone_off_bytes(b->pool, b->slot->zones[0].zone, off);
	req->len_bytes = len * TARN_BLOCK;
	req->buf = buf;
	req->done = done;
	disk_submit(target(b)->disk, req);
}

static void window_make(struct build_window *w)
{
	struct unit_build *b = w->build;
	bool               ok = true;

	for (uint32_t i = 0; i < w->n && ok; i++)
		ok = row_make(w, b->rows[w->first + i]);
	if (stopped(b)) {
		window_end(w);
	} else if (!ok && (!w->all || w->moves != b->seg->moves)) {
		w->all = true;
		window_read(w);
	} else if (!ok) {
		unit_build_fail(b, -EBADMSG);
		window_end(w);
	} else if (!member_usable(target(b))) {
		unit_build_fail(b, -ENOTCONN);
		window_end(w);
	} else {
		target_write(b, &w->write, w->off, w->len, w->out,
			     window_written);
	}
}

static void window_put(struct build_window *w)
{
	assert(w->pending > 0);
	if (--w->pending == 0)
		window_make(w);
}

static void window_req_done(struct disk_req *req)
{
	struct build_req *q = container_of(req, struct build_req, req);

	q->member->reads--;
	if (req->res == 0)
		q->window->have |= 1u << q->unit;
	else if (req->res != -ENOTCONN && req->res != -ECANCELED)
		q->member->errors_read++;
	window_put(q->window);
}

/* The next unit to read from: the one with the fewest reads in flight. */
static uint32_t pick_source(const struct build_window *w, uint32_t picked)
{
	const struct unit_build *b = w->build;
	const struct pool       *p = b->pool;
	uint32_t                 best = POOL_UNITS_MAX;

	for (uint32_t u = 0; u < p->units; u++) {
		if ((picked & (1u << u)) != 0 ||
		    !rebuild_source(p, b->seg, u))
			continue;
		if (best == POOL_UNITS_MAX ||
		    seg_member(p, b->seg, u)->reads <
			    seg_member(p, b->seg, best)->reads)
			best = u;
	}
	return best;
}

/* The units to read: the unit itself if it is there, or k others; at the second
 * try all. */
static uint32_t sources(const struct build_window *w)
{
	const struct unit_build *b = w->build;
	uint32_t                 mask = 0, n = w->all ? b->pool->units
						      : b->pool->k;

	if (!w->all && rebuild_source(b->pool, b->seg, b->unit))
		return 1u << b->unit;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t u = pick_source(w, mask);

		if (u == POOL_UNITS_MAX)
			break;
		mask |= 1u << u;
	}
	return mask;
}

static void window_read(struct build_window *w)
{
	struct unit_build *b = w->build;
	struct pool       *p = b->pool;
	uint32_t           mask = sources(w);

	w->have = 0;
	w->moves = b->seg->moves;
	w->pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		struct build_req *q = &w->reqs[u];

		if ((mask & (1u << u)) == 0)
			continue;
		q->window = w;
		q->unit = u;
		q->member = seg_member(p, b->seg, u);
		q->member->reads++;
		q->req.op = DISK_READ;
		q->req.off_bytes =
			zone_off_bytes(p, b->seg->zones[u].zone, w->off);
		q->req.len_bytes = w->len * TARN_BLOCK;
		q->req.buf = w->units[u];
		q->req.done = window_req_done;
		w->pending++;
		disk_submit(q->member->disk, &q->req);
	}
	if (mask == 0)
		unit_build_fail(b, -EIO);
	window_put(w);
}

/* Rows from b->next on that follow one another and fit. */
static void window_fill(struct build_window *w)
{
	struct unit_build *b = w->build;

	w->first = b->next;
	w->off = b->rows[b->next]->info.off_blocks;
	w->len = 0;
	w->n = 0;
	while (b->next < b->nrows) {
		const struct row_info *i = &b->rows[b->next]->info;

		if (i->off_blocks != w->off + w->len ||
		    (w->n > 0 && w->len + i->unit_blocks > b->window_blocks))
			break;
		w->len += i->unit_blocks;
		w->n++;
		b->next++;
	}
}

static struct build_window *window_free(struct unit_build *b)
{
	unsigned max = REBUILD_WINDOWS;

	if (disturbs(b))
		max = 1;
	if (b->inflight >= max)
		return NULL;
	for (unsigned i = 0; i < REBUILD_WINDOWS; i++) {
		if (!b->windows[i].busy)
			return &b->windows[i];
	}
	return NULL;
}

/* --- steps --------------------------------------------------------------- */

static void index_written(struct disk_req *req)
{
	struct unit_build *b = container_of(req, struct unit_build, req);

	b->inflight--;
	if (req->res < 0)
		write_failed(b, req->res);
	else
		target(b)->dirty = true;
	unit_build_step(b);
}

static void step_fn(struct io_work *w)
{
	unit_build_step(container_of(w, struct unit_build, work));
}

static void pause_fn(struct io_timer *t)
{
	unit_build_step(container_of(t, struct unit_build, pause));
}

void unit_build_step(struct unit_build *b)
{
	struct pool *p = b->pool;

	while (!stopped(b) && b->next < b->nrows &&
	       !io_timer_armed(&b->pause)) {
		struct build_window *w = window_free(b);

		if (w == NULL)
			return;
		window_fill(w);
		w->busy = true;
		w->all = false;
		w->started_ns = io_now_ns(p->io);
		b->clients = p->clients;
		b->inflight++;
		window_read(w);
	}
	if (b->inflight > 0)
		return;
	if (stopped(b)) {
		build_end(b);
		return;
	}
	if (b->next < b->nrows)
		return; /* a pause */
	if (b->index != NULL && !b->index_written &&
	    !member_usable(target(b)))
		unit_build_fail(b, -ENOTCONN);
	if (b->index != NULL && !b->index_written && b->res == 0) {
		b->index_written = true;
		b->inflight++;
		target_write(b, &b->req, b->seg->index_off,
			     p->zone_blocks - b->seg->index_off, b->index,
			     index_written);
		return;
	}
	build_end(b);
}

/* --- life ---------------------------------------------------------------- */

void unit_build_start(struct unit_build *b)
{
	struct pool *p = b->pool;

	assert(!b->running && b->seg->state == SEG_SEALED);
	b->running = true;
	b->stop = false;
	b->res = 0;
	b->index_written = false;
	b->nrows = 0;
	b->next = 0;
	b->inflight = 1;
	b->clients = p->clients;
	b->seg->pins++;
	unit_build_rows(b);
}

void unit_build_rest(struct unit_build *b)
{
	assert(!b->running);
	free(b->bufs);
	b->bufs = NULL;
}

void unit_build_init(struct pool *p, struct unit_build *b)
{
	b->pool = p;
	io_timer_init(&b->pause, pause_fn);
	io_work_init(&b->work, step_fn);
}

void unit_build_fini(struct unit_build *b)
{
	io_timer_cancel(b->pool->io, &b->pause);
	io_undefer(&b->work);
	scan_rows_free(b->list);
	free(b->rows);
	free(b->index);
	free(b->bufs);
}
