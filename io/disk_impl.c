/* io/disk_impl.c - see disk_impl.h.
 */
#include <errno.h>

#include "base/limits.h"
#include "io/disk_impl.h"

void disk_req_end(struct disk_req *req, int res)
{
	assert(req->disk->inflight > 0);
	req->disk->inflight--;
	req->res = res;
	req->done(req);
}

static void ender_run(struct io_work *w)
{
	struct disk_ender *e = container_of(w, struct disk_ender, work);
	struct list	   batch;
	struct list	  *l;

	list_init(&batch);
	list_splice(&batch, &e->ended);
	while ((l = list_pop(&batch)) != NULL) {
		struct disk_req *req = list_entry(l, struct disk_req, link);

		disk_req_end(req, req->res);
	}
}

void disk_ender_init(struct disk_ender *e, struct io *io)
{
	e->io = io;
	list_init(&e->ended);
	io_work_init(&e->work, ender_run);
}

void disk_ender_add(struct disk_ender *e, struct disk_req *req, int res)
{
	req->res = res;
	list_push(&e->ended, &req->link);
	io_defer(e->io, &e->work);
}

static void watch_fire(struct io_timer *t)
{
	struct disk_watch *w = container_of(t, struct disk_watch, timer);
	struct disk_req	  *first;

	assert(!list_empty(&w->inflight));
	first = list_first(&w->inflight, struct disk_req, link);
	if (first->deadline_ns > io_now_ns(w->io))
		io_timer_arm(w->io, t, first->deadline_ns);
	else
		w->late(w);
}

void disk_watch_init(struct disk_watch *w, struct io *io, uint64_t timeout_ns,
		     void (*late)(struct disk_watch *w))
{
	w->io = io;
	list_init(&w->inflight);
	io_timer_init(&w->timer, watch_fire);
	w->timeout_ns = timeout_ns;
	w->late = late;
}

int disk_req_check(const struct disk *d, const struct disk_req *req)
{
	if (!d->up)
		return -ENOTCONN;
	if (req->op == DISK_FLUSH)
		return 0;
	if (req->len_bytes == 0 || req->off_bytes > d->size_bytes ||
	    req->len_bytes > d->size_bytes - req->off_bytes)
		return -EINVAL;
	if (req->op != DISK_READ && d->read_only)
		return -EROFS;
	return 0;
}

uint64_t disk_backoff_ns(struct io *io, uint64_t *backoff_ns)
{
	uint64_t ns = *backoff_ns * 2;

	ns = max_u64(ns, DISK_BACKOFF_MIN_NS);
	ns = min_u64(ns, DISK_BACKOFF_MAX_NS);
	*backoff_ns = ns;
	/* Half of it fixed, half by chance: peers do not come in step. */
	return ns / 2 + prng_below(&io->prng, ns / 2);
}
