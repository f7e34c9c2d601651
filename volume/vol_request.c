/* volume/vol_request.c - from vol_submit() to done().
 *
 *   submit --> checked --> range held (changes only) --> req_step()
 *
 *   req_step(): READ, WRITE, ZERO that keeps its space: cut parts while there
 *               are some and fewer than PARTS_A_REQUEST are in flight
 *               TRIM: span over the whole blocks
 *               ZERO: part for the head, span, part for the tail
 *               with FUA: then a sync
 *
 * Whoever works for a request holds it (pending); the last one to let go ends
 * it.  done() is never called from inside vol_submit(): what ends there is
 * put off to the next turn.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/volumes.h"

/* Of each kind. */
#define PARTS_MAX 512u
#define SPANS_MAX 16u
#define READS_MAX 1024u

static void run_work(struct io_work *w);

int vol_requests_init(struct volumes *vols)
{
	struct vol_requests *q = &vols->req;
	int r = 0;

	list_init(&q->wait_reads);
	list_init(&q->throttled);
	list_init(&q->runnable);
	for (unsigned i = 0; i < REQ_KINDS; i++) {
		list_init(&q->parts[i].wait);
		list_init(&q->spans[i].wait);
	}
	io_work_init(&q->work, run_work);
	io_timer_init(&q->throttle_timer, vol_throttle_look);
	q->zeros = calloc(1, ZERO_BYTES);
	if (q->zeros == NULL)
		return -ENOMEM;
	for (unsigned i = 0; r == 0 && i < REQ_KINDS; i++) {
		r = objpool_init(&q->parts[i].objs, sizeof(struct vol_part),
				 PARTS_MAX, PARTS_MAX);
		if (r == 0)
			r = objpool_init(&q->spans[i].objs,
					 sizeof(struct vol_span), SPANS_MAX,
					 SPANS_MAX);
	}
	if (r == 0)
		r = objpool_init(&q->reads, sizeof(struct part_read),
				 READS_MAX, READS_MAX);
	return r;
}

void vol_requests_fini(struct volumes *vols)
{
	struct vol_requests *q = &vols->req;

	if (q->work.fn != NULL) {
		io_undefer(&q->work);
		io_timer_cancel(vols->io, &q->throttle_timer);
	}
	for (unsigned i = 0; i < REQ_KINDS; i++) {
		objpool_fini(&q->parts[i].objs);
		objpool_fini(&q->spans[i].objs);
	}
	objpool_fini(&q->reads);
	free(q->zeros);
}

/* --- the end of a request ------------------------------------------------ */

static void req_done(struct vol_req *req)
{
	struct volume *v = req->vol;

	if (req->state & REQ_PAUSING && req->res == 0) {
		vol_pause_hold(req);
		return;
	}
	if (req->state & REQ_WAS_HELD)
		vol_pause_end(req);
	range_remove(v, &req->range);
	if (req->res == 0 && !pool_is_ours(v->vols->pool))
		req->res = -ESHUTDOWN;
	if (req->res == -ENOSPC) {
		v->vols->refused++;
		v->vols->refused_ns = io_now_ns(v->vols->io);
	}
	vol_release(v);
	req->done(req);
}

static void done_work(struct io_work *w)
{
	req_done(container_of(w, struct vol_req, work));
}

void req_put(struct vol_req *req, int res)
{
	if (res < 0 && req->res == 0)
		req->res = res;
	assert(req->pending > 0);
	if (--req->pending == 0)
		req_done(req);
}

/* --- steps --------------------------------------------------------------- */

static uint64_t req_end_bytes(const struct vol_req *req)
{
	return req->off_bytes + req->len_bytes;
}

/* The request's bytes from `off` to `end` become a part. */
static void part_cut(struct vol_part *p, uint64_t off_bytes,
		     uint64_t end_bytes)
{
	p->block = off_bytes >> TARN_BLOCK_SHIFT;
	p->n = (uint32_t)(bytes_to_blocks_up(end_bytes) - p->block);
	p->head_bytes = (uint32_t)(off_bytes & (TARN_BLOCK - 1));
	p->tail_bytes = (uint32_t)((0 - end_bytes) & (TARN_BLOCK - 1));
	p->load.next = leaf_of_block(p->block);
	p->load.end = leaf_of_block(p->block + p->n - 1) + 1;
	assert(p->n <= ROW_PAYLOAD_MAX);
	assert(p->load.end - p->load.next <= PART_LEAVES);
}

/* Where the part that starts at `off` ends. */
static uint64_t part_end_bytes(const struct vol_req *req, uint64_t off_bytes)
{
	uint64_t end_bytes = req_end_bytes(req);

	if (req->len_bytes <= PART_BYTES)
		return end_bytes;
	return min_u64(end_bytes, (off_bytes | (PART_BYTES - 1)) + 1);
}

static void step_parts(struct vol_req *req)
{
	while (req->next_off_bytes < req_end_bytes(req) && req->res == 0 &&
	       !(req->state & REQ_PAUSING) && req->pending <= PARTS_A_REQUEST) {
		uint64_t off_bytes = req->next_off_bytes;
		struct vol_part *p;

		p = part_get(req);
		if (p == NULL)
			return;
		req->next_off_bytes = part_end_bytes(req, off_bytes);
		part_cut(p, off_bytes, req->next_off_bytes);
		if (req->op == VOL_READ) {
			part_read_start(p);
			continue;
		}
		if (req->op == VOL_WRITE)
			p->src = (const uint8_t *)req->buf +
				 (off_bytes - req->off_bytes);
		part_write_start(p);
	}
}

static void span_done(struct vol_span *s)
{
	struct vol_req *req = s->req;
	int res = s->res;

	if (res == -ENOSPC &&
	    vol_pause_takes(req, blocks_to_bytes(s->block), s->wanted)) {
		req->state &= ~(uint32_t)REQ_BODY_DONE;
		res = 0;
	}
	span_put(s);
	if (res < 0 && req->res == 0)
		req->res = res;
	req_step(req); /* still held by the span */
	req_put(req, res);
}

/* Whole blocks of the request. */
static void span_set(struct vol_span *s, const struct vol_req *req)
{
	s->block = bytes_to_blocks_up(req->next_off_bytes);
	s->end = req_end_bytes(req) >> TARN_BLOCK_SHIFT;
	s->done = span_done;
}

/* A partial block at either end of a ZERO is written.  True: go on. */
static bool step_partial(struct vol_req *req, uint64_t off_bytes,
			 uint64_t end_bytes, uint32_t state)
{
	struct vol_part *p;

	if (off_bytes >= end_bytes) {
		req->state |= state;
		return true;
	}
	p = part_get(req);
	if (p == NULL)
		return false;
	req->state |= state;
	part_cut(p, off_bytes, end_bytes);
	p->only_mapped = true;
	part_write_start(p);
	return false;
}

static void sync_done(struct log_sync *s)
{
	struct vol_req *req = container_of(s, struct vol_req, sync);

	req_put(req, s->res);
}

static void step_sync(struct vol_req *req)
{
	req->state |= REQ_SYNC_DONE;
	req_get(req);
	req->sync.done = sync_done;
	log_sync_submit(req->vol->vols->pool, &req->sync);
}

/* TRIM and ZERO: one thing after the other. */
static void step_unmap(struct vol_req *req)
{
	uint64_t off = req->off_bytes, end = req_end_bytes(req);
	uint64_t whole = round_up(off, TARN_BLOCK);
	uint64_t whole_end = end & ~(uint64_t)(TARN_BLOCK - 1);
	bool     body = whole < whole_end;
	struct vol_span *s;

	if (req->op == VOL_ZERO && !(req->state & REQ_HEAD_DONE) &&
	    !step_partial(req, off, body ? whole : end, REQ_HEAD_DONE))
		return;
	if (body && !(req->state & REQ_BODY_DONE)) {
		s = span_get(req);
		if (s == NULL)
			return;
		req->state |= REQ_BODY_DONE;
		span_set(s, req);
		span_unmap_start(s);
		return;
	}
	if (body && req->op == VOL_ZERO && !(req->state & REQ_TAIL_DONE) &&
	    !step_partial(req, whole_end, end, REQ_TAIL_DONE))
		return;
	if ((req->flags & VOL_FUA) && !(req->state & REQ_SYNC_DONE))
		step_sync(req);
}

static void step_look(struct vol_req *req)
{
	struct vol_span *s;

	if (req->state & REQ_BODY_DONE)
		return;
	s = span_get(req);
	if (s == NULL)
		return;
	req->state |= REQ_BODY_DONE;
	s->block = req->off_bytes >> TARN_BLOCK_SHIFT;
	s->end = bytes_to_blocks_up(req_end_bytes(req));
	s->done = span_done;
	if (req->op == VOL_CACHE)
		span_cache_start(s);
	else
		span_status_start(s);
}

static void step_once(struct vol_req *req)
{
	switch ((enum vol_op)req->op) {
	case VOL_READ:
	case VOL_WRITE:
		step_parts(req);
		return;
	case VOL_ZERO:
		if (req->flags & VOL_NO_HOLE)
			step_parts(req);
		else
			step_unmap(req);
		return;
	case VOL_TRIM:
		step_unmap(req);
		return;
	case VOL_FLUSH:
		if (!(req->state & REQ_SYNC_DONE))
			step_sync(req);
		return;
	case VOL_STATUS:
	case VOL_DIFF:
	case VOL_CACHE:
		step_look(req);
		return;
	}
}

/* A step may end what it starts at once and so come back here: the loop does
 * it again then, not the recursion. */
void req_step(struct vol_req *req)
{
	req->state |= REQ_AGAIN;
	if (req->state & REQ_STEPPING)
		return;
	req->state |= REQ_STEPPING;
	while ((req->state & REQ_AGAIN) &&
	       !(req->state & (REQ_QUEUED | REQ_PAUSING)) && req->res == 0) {
		req->state &= ~(uint32_t)REQ_AGAIN;
		step_once(req);
	}
	req->state &= ~(uint32_t)(REQ_STEPPING | REQ_AGAIN);
}

/* What could not go on can now. */
static void run_work(struct io_work *w)
{
	struct vol_requests *q = container_of(w, struct vol_requests, work);
	struct list list;
	struct list *link;

	list_init(&list);
	list_splice(&list, &q->runnable);
	while ((link = list_pop(&list)) != NULL) {
		struct vol_req *req = list_entry(link, struct vol_req, link);

		req->state &= ~(uint32_t)REQ_QUEUED;
		req_step(req);
		req_promises_return(container_of(q, struct volumes, req), req);
		req_put(req, 0);
	}
}

/* --- submitting ---------------------------------------------------------- */

static bool changes(const struct vol_req *req)
{
	return req->op == VOL_WRITE || req->op == VOL_TRIM ||
	       req->op == VOL_ZERO;
}

static int req_check(const struct vol_req *req)
{
	const struct volume *v = req->vol;

	if (v->gone || ((v->state != CATALOG_READY || catalog_is_trashed(v)) &&
			!(req->state & REQ_INTERNAL)))
		return -ESHUTDOWN;
	if (req->state & REQ_INTERNAL || req->op == VOL_FLUSH)
		return 0;
	if (req->off_bytes > v->size_bytes ||
	    req->len_bytes > v->size_bytes - req->off_bytes)
		return -EINVAL;
	if ((req->op == VOL_READ || req->op == VOL_WRITE) &&
	    req->len_bytes > REQUEST_DATA_MAX)
		return -EINVAL;
	if (changes(req) && v->kind != CATALOG_VOLUME)
		return -EROFS;
	return 0;
}

static void submit(struct vol_req *req)
{
	struct volume *v = req->vol;
	bool go;
	int  r;

	assert(req->done != NULL);
	req->res = 0;
	req->pending = 1;
	req->nextents = 0;
	req->asked_ns = req->state & REQ_INTERNAL ? 0 : io_now_ns(v->vols->io);
	req->next_off_bytes = req->off_bytes;
	req->range.held = false;
	list_init(&req->link);
	io_work_init(&req->work, done_work);
	vol_hold(v);
	v->vols->redoing = false;
	r = req_check(req);
	go = r == 0 && (req->len_bytes > 0 || req->op == VOL_FLUSH);
	if (go && changes(req) &&
	    !range_add(v, &req->range, req->off_bytes >> TARN_BLOCK_SHIFT,
		       bytes_to_blocks_up(req_end_bytes(req)))) {
		req_get(req); /* by the queue, when it is granted */
		go = false;
	}
	if (go)
		req_step(req);
	if (r < 0)
		req->res = r;
	if (req->pending > 1)
		req->pending--;
	else
		io_defer(v->vols->io, &req->work);
}

void vol_submit(struct vol_req *req)
{
	req->state = 0;
	submit(req);
}

void vol_submit_internal(struct vol_req *req)
{
	req->state = REQ_INTERNAL;
	submit(req);
}
