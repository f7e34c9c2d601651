/* pool/scrub.c - reading all that lies in sealed segments, and mending it.
 *
 * One segment after another, in the order of their numbers:
 *
 *   INDEX  all copies of the list of its rows; without a valid one the segment
 *          is scanned
 *   ROWS   rows that follow one another are read from all units and judged,
 *          several windows at once
 *   FIX    rows of which something was wrong: read again, one after another,
 *          block by block where a disk fails; what they must be is composed,
 *          checked, and written where something else is
 *
 * Segments that are sealed behind the cursor were written after the scrub began;
 * those that lack a unit are rebuild's business: what is there of them is
 * checked.  Rows that are not flushed yet are left alone, for their disks may be
 * about to get them again.
 *
 * While clients want the disks there is one window at a time, and after each a
 * pause as long as it took.
 *
 * The cursor is a word in the root of every commit: durable at no cost, in the
 * pool, and never ahead of what was mended, for a commit flushes every disk
 * after it was read.  A scrub that goes on after a restart begins with the
 * segment it was at; its counts begin at 0.
 *
 * The ways to fail: a disk that is not there is not checked, and counted as
 * skipped.  What cannot be made again is counted, noted by segment, and left as
 * it is.  A write that fails may still land: the segment is stray from then on.
 * No memory: the scrub pauses.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/scrub.h"

/* A larger index is not read: the segment is scanned. */
#define INDEX_BLOCKS_MAX (1u << 14)
/* All buffers of a window, in blocks, unless a row needs more. */
#define WINDOW_BLOCKS    1024u
#define SAVE_NS          (60 * NS_PER_S)

bool scrub_stopped(const struct scrub *s)
{
	return s->pool->state != POOL_ST_ACTIVE || s->seg->dead || s->failed ||
	       (!s->spot && (!s->on || s->paused));
}

/* Is it there to be read? */
bool scrub_unit_there(const struct scrub *s, uint32_t u)
{
	const struct member *m = seg_member(s->pool, s->seg, u);

	return m != NULL && (s->seg->missing & (1u << u)) == 0 && m->in &&
	       member_readable(m);
}

bool scrub_unit_writable(const struct scrub *s, uint32_t u)
{
	const struct member *m = seg_member(s->pool, s->seg, u);

	return scrub_unit_there(s, u) && member_usable(m) && !m->disk->read_only;
}

void scrub_submit(struct scrub *s, struct scrub_req *q, uint32_t unit,
		   enum disk_op op, uint32_t off, uint32_t len, void *buf,
		   void (*done)(struct disk_req *req))
{
	q->unit = unit;
	q->moves = s->seg->moves;
	q->member = seg_member(s->pool, s->seg, unit);
	q->req.op = (uint8_t)op;
	q->req.off_bytes = zone_off_bytes(s->pool, s->seg->zones[unit].zone,
					  off);
	q->req.len_bytes = len * TARN_BLOCK;
	q->req.buf = buf;
	q->req.done = done;
	if (op == DISK_READ)
		q->member->reads++;
	else
		s->seg->repairs++;
	disk_submit(q->member->disk, &q->req);
}

bool scrub_moved(const struct scrub *s, const struct scrub_req *q)
{
	return q->moves != s->seg->moves;
}

/* A write is done: true when it went well. */
bool scrub_written(struct scrub *s, struct scrub_req *q, uint32_t blocks)
{
	assert(s->seg->repairs > 0);
	s->seg->repairs--;
	rebuild_kick(s->pool);
	if (q->req.res < 0) {
		/* It may still land. */
		seg_stray_mark(s->pool, s->seg);
		q->member->errors_write++;
		s->count->unrepaired += blocks;
		return false;
	}
	q->member->dirty = true;
	q->member->repaired += blocks;
	s->count->repaired += blocks;
	return true;
}

/* --- memory -------------------------------------------------------------- */

static void mem_free(struct scrub *s)
{
	free(s->mem);
	s->mem = NULL;
}

static int mem_alloc(struct scrub *s)
{
	struct pool *p = s->pool;
	size_t       unit = (size_t)SCRUB_UNIT_MAX * TARN_BLOCK;
	size_t       win;
	uint8_t     *at;

	if (s->mem != NULL)
		return 0;
	s->window_blocks =
		max_u32(ROW_HEADER_MAX +
				(uint32_t)div_up(ROW_PAYLOAD_MAX, p->k),
			WINDOW_BLOCKS / p->units);
	win = (size_t)s->window_blocks * TARN_BLOCK;
	s->mem = aligned_alloc(TARN_BLOCK,
			       p->units * (SCRUB_WINDOWS * win + 2 * unit));
	if (s->mem == NULL)
		return -ENOMEM;
	at = s->mem;
	for (uint32_t u = 0; u < p->units; u++) {
		for (unsigned i = 0; i < SCRUB_WINDOWS; i++, at += win)
			s->windows[i].bufs[u] = at;
		s->fix.in[u] = at;
		s->fix.out[u] = at + unit;
		at += 2 * unit;
	}
	return 0;
}

/* --- from segment to segment --------------------------------------------- */

void scrub_segment_end(struct scrub *s)
{
	struct pool *p = s->pool;
	bool         cut = scrub_stopped(s) && !s->seg->dead;

	assert(s->inflight == 0);
	scan_rows_free(s->list);
	free(s->rows);
	free(s->bad);
	free(s->index);
	free(s->index_other);
	s->list = NULL;
	s->rows = NULL;
	s->bad = NULL;
	s->index = NULL;
	s->index_other = NULL;
	s->state = SCRUB_IDLE;
	/* It may have been stopped and started again meanwhile. */
	if (!s->spot && !cut && s->on && s->at == s->seg->no)
		s->at++;
	damage_pass_end(p, s->seg, !cut && !s->seg->dead);
	if (s->failed)
		damage_look_off(p, s->seg);
	s->spot = false;
	seg_unpin(p, s->seg);
	s->seg = NULL;
	if (p->state == POOL_ST_ACTIVE)
		flush_want(p);
	scrub_kick(p);
}

/* There was no memory; somebody says that it goes on. */
void scrub_give_up(struct scrub *s)
{
	s->failed = true;
	if (s->spot)
		return;
	pool_log(s->pool, "the scrub pauses at segment %u: out of memory",
		 s->at);
	s->paused = true;
}

static bool worth_it(const struct segment *g)
{
	return g->state == SEG_SEALED && g->live + g->tables > 0;
}

static void finish(struct scrub *s)
{
	s->on = false;
	s->at = 0;
	s->info.finished++;
	mem_free(s);
	pool_commit_want(s->pool);
}

static void segment_begin(struct scrub *s, struct segment *g)
{
	struct pool *p = s->pool;

	s->seg = g;
	s->count = s->spot ? &s->spot_info : &s->info;
	s->failed = false;
	damage_pass_begin(p, g);
	g->pins++;
	s->unit = 0;
	s->index_bad = 0;
	s->index_ok = false;
	s->indexed = false;
	s->index_writing = false;
	s->next = 0;
	s->fix.row = 0;
	s->fix.at.pool = NULL;
	s->count->segments++;
	for (uint32_t u = 0; u < p->units; u++)
		s->count->skipped += !scrub_unit_there(s, u);
	s->index_blocks =
		g->index_off == 0 ? 0 : p->zone_blocks - g->index_off;
	if (s->index_blocks > INDEX_BLOCKS_MAX)
		s->index_blocks = 0;
	if (s->index_blocks > 0) {
		size_t len = (size_t)s->index_blocks * TARN_BLOCK;

		s->index = aligned_alloc(TARN_BLOCK, len);
		s->index_other = aligned_alloc(TARN_BLOCK, len);
		if (s->index == NULL || s->index_other == NULL)
			s->index_blocks = 0;
	}
	s->state = SCRUB_INDEX;
}

/* Is there a segment in which something may be lost?  Out of memory: not now. */
static bool spot_begin(struct scrub *s)
{
	struct segment *g = damage_next_look(s->pool);

	if (g == NULL || mem_alloc(s) < 0)
		return false;
	s->spot = true;
	segment_begin(s, g);
	return true;
}

static void next_segment(struct scrub *s)
{
	struct pool *p = s->pool;
	uint64_t     now_ns = io_now_ns(p->io);

	if (p->state == POOL_ST_ACTIVE && spot_begin(s)) {
		scrub_step(s);
		return;
	}
	if (!s->on || s->paused || p->state != POOL_ST_ACTIVE) {
		mem_free(s);
		return;
	}
	while (s->at <= s->end && s->at <= p->nsegs &&
	       !worth_it(p->segs[s->at]))
		s->at++;
	if (s->at > s->end || s->at > p->nsegs) {
		finish(s);
		return;
	}
	if (mem_alloc(s) < 0) {
		scrub_give_up(s);
		return;
	}
	if (now_ns - s->saved_ns > SAVE_NS) {
		s->saved_ns = now_ns;
		pool_commit_want(p);
	}
	segment_begin(s, p->segs[s->at]);
	scrub_step(s);
}

/* --- steps --------------------------------------------------------------- */

void scrub_step(struct scrub *s)
{
	if (s->seg == NULL) {
		next_segment(s);
		return;
	}
	if (s->inflight > 0 && s->state != SCRUB_ROWS)
		return;
	if (scrub_stopped(s) && s->inflight == 0 && s->state != SCRUB_SCAN) {
		scrub_segment_end(s);
		return;
	}
	switch ((enum scrub_state)s->state) {
	case SCRUB_IDLE:
	case SCRUB_SCAN:
		break;
	case SCRUB_INDEX:
		scrub_index_step(s);
		break;
	case SCRUB_ROWS:
		scrub_rows_step(s);
		break;
	case SCRUB_FIX:
		scrub_fix_step(s);
		break;
	}
}

static void work_fn(struct io_work *w)
{
	scrub_step(container_of(w, struct scrub, work));
}

static void timer_fn(struct io_timer *t)
{
	scrub_step(container_of(t, struct scrub, timer));
}

void scrub_kick(struct pool *p)
{
	if (p->scrub != NULL)
		io_defer(p->io, &p->scrub->work);
}

bool scrub_idle(const struct pool *p)
{
	return p->scrub == NULL || p->scrub->seg == NULL;
}

uint32_t scrub_word(const struct pool *p)
{
	const struct scrub *s = p->scrub;

	return s->on ? s->at | (s->paused ? ROOT_SCRUB_PAUSED : 0) : 0;
}

void scrub_load(struct pool *p, uint32_t word)
{
	struct scrub *s = p->scrub;

	s->at = word & ~ROOT_SCRUB_PAUSED;
	s->on = s->at != 0;
	s->paused = s->on && (word & ROOT_SCRUB_PAUSED) != 0;
	s->end = UINT32_MAX;
}

int scrub_init(struct pool *p)
{
	struct scrub *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->pool = p;
	s->count = &s->info;
	io_work_init(&s->work, work_fn);
	io_timer_init(&s->timer, timer_fn);
	p->scrub = s;
	return 0;
}

void scrub_fini(struct pool *p)
{
	struct scrub *s = p->scrub;

	if (s == NULL)
		return;
	io_undefer(&s->work);
	io_timer_cancel(p->io, &s->timer);
	scan_rows_free(s->list);
	free(s->rows);
	free(s->bad);
	free(s->index);
	free(s->index_other);
	mem_free(s);
	free(s);
	p->scrub = NULL;
}

/* --- what others ask ----------------------------------------------------- */

int pool_scrub_start(struct pool *p)
{
	struct scrub *s = p->scrub;

	if (p->state != POOL_ST_ACTIVE)
		return -EROFS;
	if (s->on && !s->paused)
		return -EALREADY;
	if (!s->on) {
		uint64_t finished = s->info.finished;

		memset(&s->info, 0, sizeof(s->info));
		s->info.finished = finished;
		s->nlost = 0;
		s->at = 1;
		s->end = p->nsegs;
		s->on = true;
	}
	s->paused = false;
	s->saved_ns = io_now_ns(p->io);
	pool_commit_want(p);
	scrub_kick(p);
	return 0;
}

int pool_scrub_pause(struct pool *p)
{
	struct scrub *s = p->scrub;

	if (p->state != POOL_ST_ACTIVE)
		return -EROFS;
	if (!s->on)
		return -ENOENT;
	if (s->paused)
		return -EALREADY;
	s->paused = true;
	pool_commit_want(p);
	scrub_kick(p);
	return 0;
}

int pool_scrub_stop(struct pool *p)
{
	struct scrub *s = p->scrub;

	if (p->state != POOL_ST_ACTIVE)
		return -EROFS;
	if (!s->on)
		return -EALREADY;
	s->on = false;
	s->paused = false;
	s->at = 0;
	pool_commit_want(p);
	scrub_kick(p);
	return 0;
}

void pool_scrub_info(const struct pool *p, struct pool_scrub_info *ret)
{
	const struct scrub *s = p->scrub;

	memset(ret, 0, sizeof(*ret));
	if (s == NULL)
		return;
	*ret = s->info;
	ret->state = !s->on ? POOL_SCRUB_NONE :
		     s->paused ? POOL_SCRUB_PAUSED : POOL_SCRUB_RUNNING;
	ret->at = s->at;
	ret->end = min_u32(s->end, p->nsegs);
	for (unsigned i = 0; i < s->nlost; i++) {
		const struct segment *g = pool_seg(p, s->lost[i].segment);

		/* What was freed is of no interest any more. */
		if (g == NULL || g->generation != s->lost[i].generation ||
		    !worth_it(g))
			continue;
		if (ret->nlost < POOL_SCRUB_LOST)
			ret->lost[ret->nlost] = (struct pool_scrub_lost){
				.segment = g->no, .blocks = s->lost[i].blocks };
		ret->nlost++;
	}
}
