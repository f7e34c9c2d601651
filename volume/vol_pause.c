/* volume/vol_pause.c - see vol_pause.h. */
#include <assert.h>
#include <errno.h>

#include "base/canary.h"
#include "volume/catalog.h"
#include "volume/volumes.h"

/* Before what the log had no room for is tried again: at first, and at last. */
#define AGAIN_NS     NS_PER_S
#define AGAIN_MAX_NS (60 * NS_PER_S)

static void pause_work(struct io_work *w);
static void timer_fn(struct io_timer *t);

void vol_pauses_init(struct volumes *vols)
{
	struct vol_pauses *p = &vols->pauses;

	list_init(&p->held);
	io_work_init(&p->work, pause_work);
	io_timer_init(&p->timer, timer_fn);
}

void vol_pauses_fini(struct volumes *vols)
{
	struct vol_pauses *p = &vols->pauses;

	if (p->work.fn == NULL)
		return;
	io_undefer(&p->work);
	io_timer_cancel(vols->io, &p->timer);
}

static struct volumes *pauses_vols(struct vol_pauses *p)
{
	return container_of(p, struct volumes, pauses);
}

static void timer_fn(struct io_timer *t)
{
	vol_pauses_kick(pauses_vols(container_of(t, struct vol_pauses,
						 timer)));
}

void vol_pauses_kick(struct volumes *vols)
{
	if (!list_empty(&vols->pauses.held))
		io_defer(vols->io, &vols->pauses.work);
}

void vols_pause_watch(struct volumes *vols, vols_pause_watch_fn watch,
		      void *arg)
{
	vols->pauses.watch = watch;
	vols->pauses.watch_arg = arg;
}

/* --- held ---------------------------------------------------------------- */

static bool is_left(const struct vol_req *req)
{
	return req->user != NULL && req->user->left;
}

/* What a held request ends with; 0: it waits on. */
static int end_of(const struct vol_req *req)
{
	const struct volume *v = req->vol;

	if (is_left(req))
		return -ECANCELED;
	if (v->vols->failed || v->gone || v->state != CATALOG_READY || catalog_is_trashed(v))
		return -ESHUTDOWN;
	return v->promise.pause ? 0 : -ENOSPC;
}

/* Several find that out together. */
static void try_later(struct volumes *vols)
{
	struct vol_pauses *p = &vols->pauses;
	uint64_t now = io_now_ns(vols->io);

	if (now < p->until_ns)
		return;
	p->again_ns = p->again_ns == 0 ? AGAIN_NS :
					 min_u64(2 * p->again_ns,
						 AGAIN_MAX_NS);
	p->until_ns = now + p->again_ns;
}

bool vol_pause_takes(struct vol_req *req, uint64_t from_bytes, uint64_t blocks)
{
	struct volumes *vols = req->vol->vols;

	if (req->state & REQ_INTERNAL || !req->vol->promise.pause ||
	    (req->op != VOL_WRITE && req->op != VOL_ZERO) ||
	    end_of(req) != 0 || CANARY(pause_forgotten))
		return false;
	if ((req->state & REQ_PAUSING) == 0) {
		req->state |= REQ_PAUSING;
		req->pause_went_bytes = req->pause_from_bytes;
		req->pause_from_bytes = from_bytes;
		req->pause_blocks = 0;
	}
	req->pause_from_bytes = min_u64(req->pause_from_bytes, from_bytes);
	req->pause_blocks = max_u64(req->pause_blocks, blocks);
	/* The numbers were not right then; nor may this go round and round.  One
	 * that has got on, if not to its end, only needs more space. */
	if (blocks == 0 || (req->state & REQ_WAS_HELD &&
			    from_bytes <= req->pause_went_bytes))
		try_later(vols);
	return true;
}

void vol_pause_hold(struct vol_req *req)
{
	struct volume     *v = req->vol;
	struct vol_pauses *p = &v->vols->pauses;

	/* One is that of vol_submit(), if it ended in there. */
	assert(req->pending <= 1 && req->res == 0);
	req->pending = 0;
	list_push(&p->held, &req->link);
	vol_pauses_kick(v->vols);
	if (req->state & REQ_WAS_HELD)
		return;
	req->state |= REQ_WAS_HELD;
	if (v->npaused++ == 0)
		v->paused_ns = io_now_ns(v->vols->io);
	if (v->npaused == 1 && p->watch != NULL)
		p->watch(p->watch_arg, v->name, true);
}

void vol_pause_end(struct vol_req *req)
{
	struct volume     *v = req->vol;
	struct vol_pauses *p = &v->vols->pauses;

	assert(v->npaused > 0);
	v->npaused--;
	if (req->res == 0)
		p->again_ns = 0;
	if (v->npaused == 0 && p->watch != NULL)
		p->watch(p->watch_arg, v->name, false);
}

/* --- going on ------------------------------------------------------------ */

static void go_on(struct vol_req *req)
{
	req->state &= ~(uint32_t)REQ_PAUSING;
	req->next_off_bytes = req->pause_from_bytes;
	req->asked_ns = io_now_ns(req->vol->vols->io);
	req_get(req);
	req_step(req);
	req_put(req, 0);
}

/* Is there space for it and those before it?  What is kept for its volume is
 * there, whoever else waits. */
static bool may_go(struct vol_req *req, uint64_t *ahead)
{
	struct volume *v = req->vol;
	uint64_t blocks = max_u64(req->pause_blocks, 1);

	v->pause_ahead += blocks;
	if (vol_space_is_kept(v, v->pause_ahead))
		return true;
	*ahead += blocks;
	return vol_space_fits(v, *ahead);
}

static void pause_work(struct io_work *w)
{
	struct vol_pauses *p = container_of(w, struct vol_pauses, work);
	struct volumes    *vols = pauses_vols(p);
	uint64_t           now = io_now_ns(vols->io), ahead = 0;
	bool               wants = false;
	struct list        all;
	struct list       *link;

	/* Who goes on may be held again at once. */
	list_init(&all);
	list_splice(&all, &p->held);
	list_for_each(it, &all)
		list_entry(it, struct vol_req, link)->vol->pause_ahead = 0;
	while ((link = list_pop(&all)) != NULL) {
		struct vol_req *req = list_entry(link, struct vol_req, link);
		int res = end_of(req);

		if (res == 0 && (now < p->until_ns || !may_go(req, &ahead))) {
			list_push(&p->held, &req->link);
			wants |= now >= p->until_ns;
		} else if (res == 0) {
			go_on(req);
		} else {
			req->state &= ~(uint32_t)REQ_PAUSING;
			req_get(req);
			req_put(req, res);
		}
	}
	p->wants = wants;
	if (wants)
		vol_trash_kick(vols);
	if (!list_empty(&p->held) && now < p->until_ns)
		io_timer_arm(vols->io, &p->timer, p->until_ns);
}

void vol_leave(struct volume *v, struct vol_user *u)
{
	u->left = true;
	vol_pauses_kick(v->vols);
}

void vols_room(void *arg)
{
	struct volumes *vols = arg;

	vols->pauses.until_ns = 0;
	vol_pauses_kick(vols);
}
