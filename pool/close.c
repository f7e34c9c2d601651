/* pool/close.c - closing a pool.
 *
 *   WAIT      the cleaner, rebuild, a running commit and the log come to rest
 *   COMMIT    everything that is dirty
 *   LABEL     with the flag "released"
 *   RELEASE   the lease
 *   DISKS     closed; then the operation ends
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/scrub.h"

#define POLL_NS (2 * NS_PER_MS)

static void disk_closed(void *arg)
{
	struct pool    *p = arg;
	struct pool_op *op = p->op;

	if (--p->disks_closing > 0)
		return;
	p->state = POOL_ST_CLOSED;
	p->op = NULL;
	op->done(op);
}

static void close_disks(struct pool *p)
{
	owner_stop(p);
	p->disks_closing = 1;
	p->disks_closing += late_disks_close(p, disk_closed, p);
	p->disks_closing += change_close(p, disk_closed, p);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];
		struct disk   *d = m->disk;

		if (d == NULL)
			continue;
		p->disks_closing++;
		disk_close(d, disk_closed, p);
	}
	if (p->locked && p->params.owner.lock != NULL)
		p->params.owner.lock(p->params.owner.lock_arg, NULL);
	p->locked = false;
	disk_closed(p);
}

void close_abort(struct pool *p)
{
	p->op->res = p->fail_res;
	snprintf(p->op->error, sizeof(p->op->error),
		 "pool %s was not closed cleanly: %s", p->name, p->fail_why);
	close_disks(p);
}

static void close_released(struct pool *p, int res)
{
	p->op->res = res;
	close_disks(p);
}

static void close_labelled(struct label_waiter *w)
{
	struct pool *p = container_of(w, struct pool, close_waiter);

	if (p->state != POOL_ST_CLOSING)
		return;
	owner_release(p, close_released);
}

static void close_committed(struct pool *p)
{
	p->commit.finished = NULL;
	p->flags |= LABEL_FLAG_RELEASED;
	p->close_waiter.done = close_labelled;
	label_write(p, &p->close_waiter);
}

static bool at_rest(const struct pool *p)
{
	return log_idle(p) && late_idle(p) && !commit_running(p) &&
	       cleaner_idle(p) && rebuild_idle(p) && change_idle(p) &&
	       scrub_idle(p);
}

static void close_timer_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, close_timer);

	if (p->state != POOL_ST_CLOSING)
		return;
	if (!at_rest(p)) {
		if (!commit_running(p) && p->client->commit_blocked != NULL)
			p->client->commit_blocked(p->client_arg);
		io_timer_arm(p->io, &p->close_timer,
			     io_now_ns(p->io) + POLL_NS);
		return;
	}
	p->last_commit = true;
	p->commit.finished = close_committed;
	commit_start(p);
}

static void close_at_once_fn(struct io_timer *t)
{
	close_disks(container_of(t, struct pool, close_timer));
}

void pool_close(struct pool *p, struct pool_op *op)
{
	assert(p->op == NULL);
	p->op = op;
	op->res = 0;
	op->error[0] = '\0';
	io_timer_cancel(p->io, &p->mark_timer);
	io_timer_cancel(p->io, &p->commit_timer);
	if (p->state == POOL_ST_ACTIVE) {
		p->state = POOL_ST_CLOSING;
		change_stop(p);
		io_timer_init(&p->close_timer, close_timer_fn);
	} else {
		io_timer_init(&p->close_timer, close_at_once_fn);
	}
	io_timer_arm(p->io, &p->close_timer, io_now_ns(p->io));
}

void close_init(struct pool *p)
{
	io_timer_init(&p->close_timer, close_timer_fn);
	quarantine_init(p);
}

void close_fini(struct pool *p)
{
	io_timer_cancel(p->io, &p->close_timer);
	io_timer_cancel(p->io, &p->quarantine_timer);
}
