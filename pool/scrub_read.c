/* pool/scrub_read.c - reading a segment: the list of its rows, then the rows.
 *
 * A copy of the list that is not as the first valid one is written again.  Rows
 * of which not all units are whole are only noted here: scrub_fix.c looks at
 * them again.
 *
 * The ways to fail: no copy of the list is valid, or none is there to be read,
 * and the segment is scanned; a window that cannot be read makes all of its rows
 * suspect; a disk that goes away is left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "pool/scrub.h"

/* --- index --------------------------------------------------------------- */

static void scan_done(struct seg_scan *scan)
{
	struct scrub *s = container_of(scan, struct scrub, scan);

	s->list = scan->rows;
	s->state = SCRUB_ROWS;
	if (scan->res < 0)
		scrub_give_up(s);
	scrub_kick(s->pool);
}

/* The list is there: from now on by number. */
static void rows_begin(struct scrub *s)
{
	uint32_t n = 0;

	for (struct scan_row *r = s->list; r != NULL; r = r->next)
		n++;
	s->nrows = n;
	s->rows = calloc(max_u32(n, 1), sizeof(struct scan_row *));
	s->bad = calloc(n / 64 + 1, sizeof(uint64_t));
	if (s->rows == NULL || s->bad == NULL) {
		scrub_give_up(s);
		return;
	}
	n = 0;
	for (struct scan_row *r = s->list; r != NULL; r = r->next)
		s->rows[n++] = r;
}

static void index_done(struct disk_req *req)
{
	struct scrub_req        *q = container_of(req, struct scrub_req, req);
	struct scrub            *s = container_of(q, struct scrub, index_req);
	struct pool             *p = s->pool;
	struct seg_index_header  h;

	s->inflight--;
	q->member->reads--;
	if (scrub_moved(s, q)) {
		scrub_step(s);
		return;
	}
	if (req->res < 0) {
		if (req->res != -ENOTCONN && req->res != -ECANCELED) {
			q->member->errors_read++;
			s->index_bad |= 1u << q->unit;
		}
	} else if (s->index_ok) {
		memcpy(&h, s->index, sizeof(h));
		if (memcmp(s->index, s->index_other, le32_get(h.bytes)) != 0)
			s->index_bad |= 1u << q->unit;
	} else {
		s->list = seg_index_rows(p, s->seg, s->index, s->index_blocks);
		s->index_ok = s->list != NULL;
		if (!s->index_ok)
			s->index_bad |= 1u << q->unit;
	}
	s->unit++;
	scrub_step(s);
}

static void index_written(struct disk_req *req)
{
	struct scrub_req *q = container_of(req, struct scrub_req, req);
	struct scrub     *s = container_of(q, struct scrub, index_req);

	s->inflight--;
	scrub_written(s, q, s->index_blocks);
	s->index_bad &= ~(1u << q->unit);
	scrub_step(s);
}

/* Put right the copies that are not; false: a write is under way. */
static bool index_mend(struct scrub *s)
{
	while (s->index_bad != 0) {
		uint32_t u = (uint32_t)__builtin_ctz(s->index_bad);

		s->count->found += s->index_blocks;
		if (s->index_ok && scrub_unit_writable(s, u)) {
			s->inflight++;
			scrub_submit(s, &s->index_req, u, DISK_WRITE,
			       s->seg->index_off, s->index_blocks, s->index,
			       index_written);
			return false;
		}
		s->count->unrepaired += s->index_blocks;
		s->index_bad &= ~(1u << u);
	}
	return true;
}

void scrub_index_step(struct scrub *s)
{
	struct pool *p = s->pool;

	while (s->index_blocks > 0 && s->unit < p->units) {
		if (!scrub_unit_there(s, s->unit)) {
			s->unit++;
			continue;
		}
		s->inflight++;
		scrub_submit(s, &s->index_req, s->unit, DISK_READ,
		       s->seg->index_off, s->index_blocks,
		       s->index_ok ? s->index_other : s->index, index_done);
		return;
	}
	if (!index_mend(s))
		return;
	s->indexed = s->index_ok;
	if (!s->index_ok) {
		s->state = SCRUB_SCAN;
		s->scan.pool = p;
		s->scan.seg = s->seg;
		s->scan.done = scan_done;
		seg_scan_start(&s->scan, 0);
		return;
	}
	s->state = SCRUB_ROWS;
	scrub_step(s);
}

/* --- windows ------------------------------------------------------------- */

void scrub_row_view(struct scrub *s, uint32_t row, struct scrub_row *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->pool = s->pool;
	ret->seg = s->seg;
	ret->want = &s->rows[row]->info;
	ret->indexed = s->indexed;
}

static void window_judge(struct scrub_window *w)
{
	struct scrub *s = w->scrub;

	for (uint32_t i = w->first; i < w->first + w->n; i++) {
		struct scrub_row r;

		scrub_row_view(s, i, &r);
		if (r.want->row_no > s->pool->flushed_row)
			continue;
		for (uint32_t u = 0; u < s->pool->units; u++) {
			if (w->have & (1u << u))
				r.units[u] = w->bufs[u] +
					     (size_t)(r.want->off_blocks -
						      w->off) * TARN_BLOCK;
		}
		scrub_row_judge(&r);
		if (r.good != w->asked)
			bitmap_set(s->bad, i);
		s->count->blocks += (uint64_t)r.want->unit_blocks *
				  (unsigned)__builtin_popcount(w->have);
	}
}

/* Whoever uses the pool has the disks for as long as the window had them. */
static void window_pace(struct scrub_window *w)
{
	struct scrub *s = w->scrub;
	struct pool  *p = s->pool;
	uint64_t      now_ns = io_now_ns(p->io);

	if (p->clients != w->clients)
		io_timer_arm(p->io, &s->timer, now_ns + (now_ns - w->sent_ns));
}

static void window_put(struct scrub_window *w)
{
	struct scrub *s = w->scrub;

	assert(w->pending > 0);
	if (--w->pending > 0)
		return;
	w->busy = false;
	s->inflight--;
	if (!scrub_stopped(s)) {
		window_judge(w);
		window_pace(w);
	}
	scrub_kick(s->pool);
}

static void window_done(struct disk_req *req)
{
	struct scrub_req    *q = container_of(req, struct scrub_req, req);
	struct scrub_window *w = q->window;

	q->member->reads--;
	if (req->res == 0) {
		w->have |= 1u << q->unit;
	} else if (req->res != -ENOTCONN && req->res != -ECANCELED) {
		q->member->errors_read++;
	} else {
		/* It went away: what is on it is not checked. */
		w->asked &= ~(1u << q->unit);
		w->scrub->count->skipped++;
	}
	window_put(w);
}

/* Rows from s->next on, as many as fit. */
static void window_fill(struct scrub_window *w)
{
	struct scrub *s = w->scrub;

	w->first = s->next;
	w->off = s->rows[s->next]->info.off_blocks;
	w->len = 0;
	while (s->next < s->nrows) {
		const struct row_info *i = &s->rows[s->next]->info;

		if (i->off_blocks < w->off + w->len ||
		    i->off_blocks + i->unit_blocks - w->off > s->window_blocks)
			break;
		w->len = i->off_blocks + i->unit_blocks - w->off;
		s->next++;
	}
	w->n = s->next - w->first;
}

static void window_read(struct scrub_window *w)
{
	struct scrub *s = w->scrub;
	struct pool  *p = s->pool;

	window_fill(w);
	w->busy = true;
	s->inflight++;
	w->sent_ns = io_now_ns(p->io);
	w->clients = p->clients;
	w->asked = 0;
	w->have = 0;
	w->pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		if (!scrub_unit_there(s, u))
			continue;
		w->asked |= 1u << u;
		w->reqs[u].window = w;
		w->pending++;
		scrub_submit(s, &w->reqs[u], u, DISK_READ, w->off, w->len,
		       w->bufs[u], window_done);
	}
	window_put(w);
}

void scrub_rows_step(struct scrub *s)
{
	if (s->rows == NULL && !scrub_stopped(s))
		rows_begin(s);
	if (s->rows == NULL || s->bad == NULL) {
		scrub_kick(s->pool);
		return;
	}
	for (unsigned i = 0; i < SCRUB_WINDOWS && s->next < s->nrows; i++) {
		if (scrub_stopped(s) || io_timer_armed(&s->timer))
			return;
		s->windows[i].scrub = s;
		if (!s->windows[i].busy)
			window_read(&s->windows[i]);
	}
	if (s->next < s->nrows || s->inflight > 0)
		return;
	s->state = SCRUB_FIX;
	scrub_kick(s->pool);
}
