/* volume/vol_part.c - parts and spans: a fixed number of each, and the queues
 * of requests that wait for one.
 *
 * What is given back is promised to the first in the queue, which runs in the
 * next turn; a request that comes meanwhile queues behind it.  A volume may
 * have only some of the spans, since one of them can take long.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "volume/volumes.h"

#define THROTTLE_LOOK_NS NS_PER_S
/* Nothing is held back for longer (P6): a commit that does not come by then may
 * wait for a disk, and the log is to say what the request gets. */
#define THROTTLE_MAX_NS (4 * NS_PER_S)

static void req_wait(struct vol_req *req, struct list *queue)
{
	assert(!(req->state & REQ_QUEUED));
	req->state |= REQ_QUEUED;
	req_get(req);
	list_push(queue, &req->link);
}

/* What could not go on can: in the next turn. */
static void req_runnable(struct volumes *vols, struct vol_req *req)
{
	list_push(&vols->req.runnable, &req->link);
	io_defer(vols->io, &vols->req.work);
}

/* An object for a request; NULL: it waits for one. mine: the flag that says
 * that one is promised to it. */
static void *vpool_get(struct vol_pool *p, struct vol_req *req, uint32_t mine)
{
	if (req->state & mine) {
		req->state &= ~mine;
		p->promised--;
	} else if (p->objs.max - p->objs.used <= p->promised) {
		req_wait(req, &p->wait);
		return NULL;
	}
	return objpool_get(&p->objs);
}

/* One is free: it is the first one's. */
static void vpool_wake(struct volumes *vols, struct vol_pool *p, uint32_t mine)
{
	struct list    *link;
	struct vol_req *req;

	if (p->objs.max - p->objs.used <= p->promised)
		return;
	link = list_pop(&p->wait);
	if (link == NULL)
		return;
	req = list_entry(link, struct vol_req, link);
	req->state |= mine;
	p->promised++;
	req_runnable(vols, req);
}

static struct vol_pool *parts_of(const struct vol_req *req)
{
	struct vol_requests *q = &req->vol->vols->req;

	return &q->parts[req->op == VOL_READ ? REQ_BRISK : REQ_PATIENT];
}

static enum req_kind span_kind(const struct vol_req *req)
{
	return req->op == VOL_ZERO ? REQ_PATIENT : REQ_BRISK;
}

static struct vol_pool *spans_of(const struct vol_req *req)
{
	return &req->vol->vols->req.spans[span_kind(req)];
}

void req_promises_return(struct volumes *vols, struct vol_req *req)
{
	if (req->state & REQ_PART_MINE) {
		req->state &= ~(uint32_t)REQ_PART_MINE;
		parts_of(req)->promised--;
		vpool_wake(vols, parts_of(req), REQ_PART_MINE);
	}
	if (req->state & REQ_SPAN_MINE) {
		req->state &= ~(uint32_t)REQ_SPAN_MINE;
		spans_of(req)->promised--;
		vpool_wake(vols, spans_of(req), REQ_SPAN_MINE);
	}
}

struct vol_part *part_get(struct vol_req *req)
{
	struct vol_part *p = vpool_get(parts_of(req), req, REQ_PART_MINE);

	if (p == NULL)
		return NULL;
	p->req = req;
	p->src = NULL;
	p->only_mapped = false;
	p->tries = 0;
	p->again = false;
	p->issued = 0;
	p->pending = 0;
	p->res = 0;
	p->reserved = 0;
	p->wanted = 0;
	p->reserves = false;
	p->reserved_nodes = 0;
	p->bounce[0] = NULL;
	p->bounce[1] = NULL;
	p->reads_busy = 0;
	list_init(&p->link);
	memset(&p->load, 0, sizeof(p->load));
	p->load.vol = req->vol;
	p->load.slots = p->slots;
	p->load.cap = PART_LEAVES;
	req_get(req);
	return p;
}

static uint64_t part_off_bytes(const struct vol_part *p)
{
	return blocks_to_bytes(p->block) + p->head_bytes;
}

/* A part of it will be done once more; of a ZERO that is a partial block at one
 * of its ends, before or behind all else. */
static void part_undone(struct vol_req *req)
{
	if (req->state & REQ_BODY_DONE)
		req->state &= ~(uint32_t)REQ_TAIL_DONE;
	else
		req->state &= ~(uint32_t)REQ_HEAD_DONE;
}

void part_end(struct vol_part *p, int res)
{
	struct vol_req *req = p->req;
	struct volumes *vols = req->vol->vols;

	assert(p->pending == 0 && p->reads_busy == 0);
	slab_put(&vols->slab, p->bounce[0]);
	slab_put(&vols->slab, p->bounce[1]);
	if (p->reserved > 0)
		vol_space_give(req->vol, p->reserved);
	if (p->reserves)
		vol_space_settled(vols);
	if (res == -ENOSPC && vol_pause_takes(req, part_off_bytes(p),
					      p->wanted)) {
		part_undone(req);
		res = 0;
	}
	objpool_put(&parts_of(req)->objs, p);
	vpool_wake(vols, parts_of(req), REQ_PART_MINE);
	if (res < 0 && req->res == 0)
		req->res = res;
	req_step(req); /* still held by the part */
	req_put(req, res);
}

struct vol_span *span_get(struct vol_req *req)
{
	struct volume   *v = req->vol;
	enum req_kind    kind = span_kind(req);
	struct vol_span *s;

	if (v->nspans[kind] >= SPANS_A_VOLUME) {
		req_wait(req, &v->wait_spans[kind]);
		return NULL;
	}
	s = vpool_get(spans_of(req), req, REQ_SPAN_MINE);
	if (s == NULL)
		return NULL;
	v->nspans[kind]++;
	memset(s, 0, sizeof(*s));
	s->req = req;
	s->vol = v;
	req_get(req);
	return s;
}

void span_put(struct vol_span *s)
{
	struct volume  *v = s->vol;
	struct volumes *vols = v->vols;
	enum req_kind   kind = span_kind(s->req);
	struct vol_pool *pool = spans_of(s->req);
	struct list    *link = list_pop(&v->wait_spans[kind]);

	v->nspans[kind]--;
	objpool_put(&pool->objs, s);
	vpool_wake(vols, pool, REQ_SPAN_MINE);
	if (link != NULL)
		req_runnable(vols, list_entry(link, struct vol_req, link));
}

/* Holding writes back would be for ever: the pool is to say what they get. */
static bool no_commit_comes(const struct volumes *vols)
{
	return vols->failed || pool_commit_is_blocked(vols->pool) ||
	       pool_is_closing(vols->pool) || !pool_is_ours(vols->pool);
}

static bool is_old(const struct vol_part *p)
{
	const struct vol_req *req = p->req;

	return io_now_ns(req->vol->vols->io) - req->asked_ns >=
	       THROTTLE_MAX_NS;
}

static void old_ones_start(struct vol_requests *q)
{
	struct list old;
	struct list *link;

	list_init(&old);
	list_for_each_safe(it, tmp, &q->throttled) {
		if (!is_old(list_entry(it, struct vol_part, link)))
			continue;
		list_remove(it);
		list_push(&old, it);
	}
	while ((link = list_pop(&old)) != NULL)
		part_write_start(list_entry(link, struct vol_part, link));
}

/* Once a second while writes are held back: does the pool still run? */
void vol_throttle_look(struct io_timer *t)
{
	struct vol_requests *q = container_of(t, struct vol_requests,
					      throttle_timer);
	struct volumes *vols = container_of(q, struct volumes, req);

	vol_requests_unthrottle(vols);
	old_ones_start(q);
	if ((!list_empty(&q->throttled) || vol_relocs_wait(vols)) &&
	    !io_timer_armed(t))
		io_timer_arm(vols->io, t,
			     io_now_ns(vols->io) + THROTTLE_LOOK_NS);
}

static void commit_await(struct volumes *vols)
{
	if (!vols->commit_wanted) {
		vols->commit_wanted = true;
		pool_commit_want(vols->pool);
	}
	if (!io_timer_armed(&vols->req.throttle_timer))
		io_timer_arm(vols->io, &vols->req.throttle_timer,
			     io_now_ns(vols->io) + THROTTLE_LOOK_NS);
}

bool vol_part_throttle(struct vol_part *p)
{
	struct volumes *vols = p->req->vol->vols;

	if ((p->req->state & REQ_INTERNAL) ||
	    (node_commit_backlog(vols) <
		     vols->dirty_max + vols->dirty_max / 2 &&
	     !pool_commit_is_crowded(vols->pool)) ||
	    no_commit_comes(vols) || is_old(p))
		return false;
	commit_await(vols);
	list_push(&vols->req.throttled, &p->link);
	return true;
}

bool vol_relocs_throttle(struct volumes *vols)
{
	if (!pool_commit_is_crowded(vols->pool) || no_commit_comes(vols))
		return false;
	commit_await(vols);
	return true;
}

void vol_requests_unthrottle(struct volumes *vols)
{
	struct vol_requests *q = &vols->req;
	struct list list;
	struct list *link;

	vol_relocs_kick(vols);
	if (list_empty(&q->throttled) ||
	    ((node_commit_backlog(vols) >= vols->dirty_max ||
	      pool_commit_is_crowded(vols->pool)) &&
	     !no_commit_comes(vols)))
		return;
	list_init(&list);
	list_splice(&list, &q->throttled);
	while ((link = list_pop(&list)) != NULL)
		part_write_start(list_entry(link, struct vol_part, link));
}

void vols_commit_blocked(void *arg)
{
	vol_requests_unthrottle(arg);
}
