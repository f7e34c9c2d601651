/* pool/open.c - opening a pool from its disks.
 *
 *   LOCK      the machine's lock for this pool
 *   LABELS    both label areas of every disk offered
 *   MEMBERS   the newest label says who is a member; each disk is compared
 *             with it: duplicate, too small, diverged, out…
 *   RULE      are enough domains there? (design, section 5, Opening)
 *   CLAIM     owner.c
 *   AGAIN     labels once more, now that the claim is on the disks: the last
 *             owner may have finished a commit meanwhile
 *   RECOVER   recover.c
 *
 * A disk that cannot be used is named with the reason and then counts as
 * missing.  LABELS is in open_labels.c, MEMBERS and RULE are in
 * open_members.c.  A disk that turns up when the pool is open: disk_offer.c.
 *
 * The ways to fail: another process has the lock (-EBUSY), no label of that
 * pool (-ENOENT), too few disks or a change by somebody else meanwhile
 * (-EAGAIN), and what the claim and recovery answer.  In each case a sentence
 * says why, and the disks are closed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "pool/open.h"
#include "pool/scrub.h"

/* --- ends ---------------------------------------------------------------- */

static void free_areas(struct open_disk *d)
{
	free(d->area[0]);
	free(d->area[1]);
	free(d->label);
	d->area[0] = NULL;
	d->area[1] = NULL;
	d->label = NULL;
}

void opener_free(struct pool *p)
{
	struct opener *o = p->opener;

	if (o == NULL)
		return;
	io_undefer(&o->work);
	for (unsigned i = 0; i < o->ndisks; i++)
		free_areas(&o->disks[i]);
	free(o->disks);
	free(o);
	p->opener = NULL;
}

static void open_finish(struct opener *o)
{
	struct pool    *p = o->pool;
	struct pool_op *op = p->op;

	op->res = o->res;
	snprintf(op->error, sizeof(op->error), "%s", o->error);
	p->op = NULL;
	recover_free(p);
	opener_free(p);
	op->done(op);
}

static void disk_closed(void *arg)
{
	struct opener *o = arg;

	if (--o->closing == 0)
		open_finish(o);
}

/* Close every disk; then nothing is in flight and the operation ends. */
static void close_disks(struct opener *o)
{
	struct pool *p = o->pool;

	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->disk = NULL;
	if (p->locked && p->params.owner.lock != NULL)
		p->params.owner.lock(p->params.owner.lock_arg, NULL);
	p->locked = false;
	o->closing = 1;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct disk *d = o->disks[i].disk;

		if (d == NULL)
			continue;
		o->disks[i].disk = NULL;
		o->closing++;
		disk_close(d, disk_closed, o);
	}
	disk_closed(o);
}

void open_abort(struct opener *o, int res)
{
	struct pool *p = o->pool;

	if (o->aborted)
		return;
	o->aborted = true;
	o->res = res;
	owner_stop(p);
	p->state = POOL_ST_CLOSED;
	close_disks(o);
}

void open_fail(struct opener *o, int res, const char *fmt, ...)
{
	va_list ap;

	if (o->aborted)
		return;
	va_start(ap, fmt);
	vsnprintf(o->error, sizeof(o->error), fmt, ap);
	va_end(ap);
	open_abort(o, res);
}

void opener_abort(struct pool *p, int res, const char *why)
{
	if (p->opener != NULL)
		open_fail(p->opener, res, "pool %s cannot be opened: %s",
			  p->name, why);
	else
		create_abort(p, res, why);
}

/* --- claim, labels again, recovery --------------------------------------- */

static void open_recovered(struct pool *p, int res, const char *why)
{
	struct opener *o = p->opener;

	if (o == NULL || o->aborted || p->state == POOL_ST_FAILED)
		return;
	if (res < 0) {
		open_fail(o, res, "pool %s cannot be opened: %s", p->name, why);
		return;
	}
	p->state = o->read_only ? POOL_ST_READ_ONLY : POOL_ST_ACTIVE;
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];

		/* Refused disks are of no use to an open pool. */
		if (d->disk != NULL && (d->member == NULL || d->refused))
			disk_close(d->disk, disk_forgotten, NULL);
		d->disk = NULL;
	}
	o->res = 0;
	o->error[0] = '\0';
	segs_capacity(p);
	if (!o->read_only)
		quarantine_start(p);
	rebuild_kick(p);
	cleaner_kick(p);
	scrub_kick(p);
	open_finish(o);
}

static void open_recover(struct opener *o)
{
	struct pool          *p = o->pool;
	struct recover_params params = {
		.read_only = o->read_only,
		.force = o->force,
		.released = (o->newest->flags & LABEL_FLAG_RELEASED) != 0,
	};

	for (uint32_t i = 0; i < p->nmembers && !o->read_only; i++) {
		struct member *m = p->members[i];

		if (m->state == MEMBER_ONLINE) {
			/* A disk that was out and is here again: what it
			 * lacks is known from the segment table, and what of
			 * the log, when that is read. */
			if (!m->in)
				member_lacks(m, POOL_NUMBER_MAX);
			m->in = true;
		} else if (m->in) {
			/* Recorded by the label that recovery writes, before
			 * anything is acknowledged. */
			m->in = false;
			m->out_row = p->last.row;
			m->out_claim = p->claim;
		}
	}
	recover_start(p, &params, open_recovered);
}

static void open_claimed(struct pool *p, int res)
{
	struct opener *o = p->opener;

	if (o == NULL || o->aborted)
		return;
	if (res < 0) {
		open_fail(o, res, "pool %s cannot be opened: %s", p->name,
			  owner_text(p));
		return;
	}
	owner_start(p);
	o->again = true;
	o->used_claim = o->newest->claim;
	o->used_number = o->newest->number;
	o->newest = NULL;
	open_labels_read(o);
}

void open_labels_again(struct opener *o)
{
	open_newest_choose(o);
	if (o->newest == NULL || o->newest->claim != o->used_claim ||
	    o->newest->number != o->used_number) {
		open_fail(o, -EAGAIN,
			  "pool %s was changed by another server while it was "
			  "being opened; try again",
			  o->pool->name);
		return;
	}
	if (!open_duplicates_judge(o))
		return;
	/* Before the claim nobody looked after the connections. */
	for (unsigned i = 0; i < o->ndisks; i++) {
		struct open_disk *d = &o->disks[i];
		struct member    *m = d->member;

		if (m == NULL || d->refused || m->epoch == d->disk->epoch)
			continue;
		if (!d->disk->up || d->label == NULL ||
		    !uuid_equal(&d->label->disk, &m->uuid)) {
			open_fail(o, -EAGAIN,
				  "disk %s went away while pool %s was being "
				  "opened; try again", d->disk->place,
				  o->pool->name);
			return;
		}
		m->epoch = d->disk->epoch;
		m->up_since_ns = io_now_ns(o->pool->io);
	}
	open_recover(o);
}

void open_labels_first(struct opener *o)
{
	struct pool *p = o->pool;
	int          r;

	open_newest_choose(o);
	if (o->newest == NULL) {
		if (o->error[0] == '\0')
			snprintf(o->error, sizeof(o->error),
				 "none of the disks carries a usable label of "
				 "that pool");
		open_abort(o, -ENOENT);
		return;
	}
	open_duplicates_part(o);
	for (unsigned i = 0; i < o->ndisks; i++)
		open_disk_check(o, &o->disks[i]);
	r = open_identity_take(o);
	if (r < 0) {
		open_fail(o, r, "out of memory");
		return;
	}
	open_disks_attach(o);
	if (!open_rule_satisfied(o))
		return;
	if (o->read_only) {
		p->read_only = true;
		open_recover(o);
		return;
	}
	if (o->force)
		p->flags |= LABEL_FLAG_FORCED;
	owner_acquire(p, o->newest->claim, o->force,
		      (o->newest->flags & LABEL_FLAG_RELEASED) != 0,
		      open_claimed);
}

/* --- the beginning ------------------------------------------------------- */

static void open_work_fn(struct io_work *w)
{
	struct opener *o = container_of(w, struct opener, work);

	if (o->locked_out)
		open_fail(o, -EBUSY,
			  "the pool is open in another process of this "
			  "machine; stop that one first");
	else
		open_labels_put(o);
}

void disk_forgotten(void *arg)
{
	(void)arg;
}

void disk_event_ignore(struct disk *d, enum disk_event ev, void *arg)
{
	(void)d;
	(void)ev;
	(void)arg;
}

void pool_open(struct pool *p, const struct pool_open_params *params,
	       struct pool_disk *disks, unsigned ndisks, struct pool_op *op)
{
	struct opener *o = calloc(1, sizeof(*o));

	assert(p->state == POOL_ST_NEW);
	assert(o != NULL);
	p->op = op;
	p->opener = o;
	p->state = POOL_ST_OPENING;
	p->uuid = params->uuid;
	o->pool = p;
	o->read_only = params->read_only;
	o->force = params->force;
	o->disks = calloc(ndisks + 1, sizeof(*o->disks));
	assert(o->disks != NULL);
	io_work_init(&o->work, open_work_fn);
	for (unsigned i = 0; i < ndisks; i++) {
		struct open_disk *d = &o->disks[o->ndisks++];

		d->disk = disks[i].disk;
		d->opener = o;
		d->disk->event = disk_event_ignore;
		snprintf(d->domain, sizeof(d->domain), "%s", disks[i].domain);
	}
	if (!o->read_only && p->params.owner.lock != NULL) {
		int r = p->params.owner.lock(p->params.owner.lock_arg,
					     &p->uuid);

		if (r < 0) {
			o->locked_out = true;
			io_defer(p->io, &o->work);
			return;
		}
		p->locked = true;
	}
	if (p->params.owner.lock == NULL)
		p->locked = true;
	open_labels_read(o);
}
