/* pool/membership_change.c - disks join the pool and leave it while it is open.
 *
 * How a disk joins: disk_add.c; how it is emptied and leaves: disk_drain.c.
 * Here is what both share, and why they may do it.  What is to become of a disk
 * is in flags of the labels, so that it goes on after a restart.
 *
 * Why the label of a removed disk opens nothing.  What must not happen:
 *
 *   1. The labels call A, B and C in.  C is removed: labels without it are
 *      written to A and B, and acknowledged writes go to A and B only.
 *   2. Somebody opens the pool with C and whatever else still has the old
 *      labels, and serves old data, or a second pool with the same name.
 *
 * A label lists n domains that are in, and is enough to open the pool only with
 * more than n - r of them, r = max(1, min(ceil(n/2), n - m)); and of the labels
 * of those that are there, the newest counts.  A change adds or takes one disk,
 * so n changes by one at most.  P opens by the old labels, Q by the new ones,
 * without a domain in common: then there are |P| + |Q| >= 2n + 3 - r(n) -
 * r(n + 1) domains, of n + 1 that there are; but r(n) + r(n + 1) <= ceil(n/2) +
 * ceil((n + 1)/2) = n + 1 < n + 2.  So they have one in common: if P was first,
 * its claim is on it, and Q sees that; if Q was first, P sees the new label and
 * goes by that.  A disk more or less in a domain changes no n, and the domain
 * counts with all of its disks only.  The next disk is added or removed when
 * the labels of this change are durable on all that are in (one at a time).
 *
 * But a disk may fail, and be recorded out, while these labels are written,
 * which makes two changes of them: of {A, B, C}, C is being removed and B goes
 * out; then A alone opens the pool by the new labels, and B and C do by the old
 * ones.  So the disk that is removed has the label that says so before any
 * other, and whoever sees it counts without it; until it has it, it is a member
 * like any other, and may fail like one.  And the disk that is added has its
 * label last: until then it opens nothing, and if it fails it is not added;
 * from then on all others call it in, and it fails like a member.  A disk that
 * is removed, and can be reached, is wiped in the end.
 *
 * A crash between the labels of the others and its own would leave a pool with a
 * disk that is missing: blank, known to nobody, and its domain as good as lost,
 * so that one that really is lost is one too many.  So there are labels before
 * those, on all, it too, in which it is REMOVED with the flag JOIN: they change
 * nothing but that it is known by what is on it.  If its own label says that
 * still when the pool is opened, then it does not have the one that would count,
 * no zone of it is used, and it is no member, though others may call it in
 * already: it is dropped, and those that are there are counted as before the
 * change.  That is within the rule above: whoever opens the pool without it by
 * labels that call it in needs as many of the others, or more.  By the labels of
 * others alone it does not count: in these somebody else may be out, too, which
 * is a change more.
 *
 * Why a disk that is added is in at once, and not out first like one that is
 * back: it lacks nothing, no segment has a zone of it; but while it was called
 * out, its domain would count as lost.
 *
 * What was a member before may have writes of ours under way (quarantine.c): it
 * is wiped, and used, only when it has been connected for STRAY_NS.  It is known
 * by its label, which is left there if the disk was out when it was removed; or
 * it was removed just before.
 *
 * The ways to fail: the disk is not fit or what is on it fits nowhere else,
 * and nothing has happened.  A crash before labels are durable leaves either
 * view, both whole; the operation is repeated.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/membership_change.h"

/* --- ends ---------------------------------------------------------------- */

static void closed(void *arg)
{
	struct change *c = arg;

	assert(c->closing > 0);
	c->closing--;
	if (c->closed != NULL)
		c->closed(c->closed_arg);
}

void change_close_disk(struct change *c, struct disk *d)
{
	d->event = disk_event_ignore;
	c->closing++;
	disk_close(d, closed, c);
}

static void member_closed(void *arg)
{
	struct member *m = arg;

	m->closing = false;
	closed(m->pool->change);
}

/* Of a member that was removed.  Requests to it may be in flight until it is
 * closed, and they are the member's: its place is free only then. */
void change_close_member(struct change *c, struct member *m)
{
	struct disk *d = m->disk;

	if (d == NULL)
		return;
	m->disk = NULL;
	m->closing = true;
	d->event = disk_event_ignore;
	c->closing++;
	disk_close(d, member_closed, m);
}

void change_end(struct change *c)
{
	struct pool_op *op = c->op;

	if (c->disk != NULL)
		change_close_disk(c, c->disk);
	c->disk = NULL;
	c->op = NULL;
	c->step = CHANGE_IDLE;
	op->res = c->res;
	if (op->res >= 0)
		op->error[0] = '\0';
	op->done(op);
	if (pool_running(c->pool))
		disk_leave_next(c);
}

void change_say(struct change *c, int res, const char *fmt, ...)
{
	va_list ap;

	c->res = res;
	va_start(ap, fmt);
	vsnprintf(c->op->error, sizeof(c->op->error), fmt, ap);
	va_end(ap);
}

static void end_work_fn(struct io_work *w)
{
	struct change *c = container_of(w, struct change, work);

	if (c->op != NULL)
		change_end(c);
}

/* Nothing was done yet: said in a later turn. */
void change_end_later(struct change *c)
{
	io_defer(c->pool->io, &c->work);
}

/* --- begin --------------------------------------------------------------- */

/* True when it may begin. */
bool change_begin(struct pool *p, struct pool_op *op)
{
	struct change *c = p->change;

	if (c->op != NULL || p->state != POOL_ST_ACTIVE)
		return false;
	c->op = op;
	c->res = 0;
	c->disk = NULL;
	c->member = NULL;
	return true;
}

/* Refused before it began: nobody has it under way. */
void change_refuse(struct pool *p, struct pool_op *op)
{
	op->res = p->state == POOL_ST_ACTIVE ? -EBUSY : -ESHUTDOWN;
	snprintf(op->error, sizeof(op->error), "%s",
		 op->res == -EBUSY ? "another disk is being added or removed: "
				     "try again in a moment"
				   : "the pool is not open for writing");
	op->done(op);
}

uint64_t change_tail_off_bytes(uint64_t size_bytes)
{
	return blocks_to_bytes(size_bytes / TARN_BLOCK - LABEL_AREA_BLOCKS);
}

/* --- a disk fails meanwhile ---------------------------------------------- */

void change_disk_lost(struct pool *p, struct member *m)
{
	struct change *c = p->change;

	if (c->leaving == m && m->leaving && m->in && !m->labelled)
		disk_leave_undo(c);
	else if (m->joining && c->member == m)
		disk_add_lost(c);
}

/* --- life ---------------------------------------------------------------- */

bool change_idle(const struct pool *p)
{
	const struct change *c = p->change;

	return c->op == NULL && c->leaving == NULL && c->gone == NULL;
}

void change_stop(struct pool *p)
{
	struct change *c = p->change;

	bool failed = p->state == POOL_ST_FAILED;

	if (c == NULL || c->op == NULL || c->pending > 0 ||
	    (c->step != CHANGE_SETTLE && c->step != CHANGE_RESCAN &&
	     c->step != CHANGE_GROWN && !failed))
		return;
	io_timer_cancel(p->io, &c->settle);
	io_timer_cancel(p->io, &c->back);
	change_say(c, -ESHUTDOWN, failed ? "the pool has stopped"
				  : "the pool is being closed");
	change_end_later(c);
}

unsigned change_close(struct pool *p, void (*done)(void *arg), void *arg)
{
	struct change *c = p->change;

	if (c == NULL)
		return 0;
	c->closed = done;
	c->closed_arg = arg;
	if (c->op != NULL) {
		change_say(c, -ESHUTDOWN, "the pool has stopped");
		change_end(c);
	}
	return c->closing;
}

int change_init(struct pool *p)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	c->pool = p;
	c->area = aligned_alloc(TARN_BLOCK, CHANGE_AREA_BYTES);
	c->zeros = aligned_alloc(TARN_BLOCK, CHANGE_AREA_BYTES);
	io_timer_init(&c->settle, disk_add_settled);
	disk_grow_init(c);
	io_work_init(&c->work, end_work_fn);
	p->change = c;
	if (c->area == NULL || c->zeros == NULL)
		return -ENOMEM;
	memset(c->zeros, 0, CHANGE_AREA_BYTES);
	return 0;
}

void change_fini(struct pool *p)
{
	struct change *c = p->change;

	if (c == NULL)
		return;
	io_timer_cancel(p->io, &c->settle);
	io_timer_cancel(p->io, &c->back);
	io_undefer(&c->work);
	free(c->area);
	free(c->zeros);
	free(c);
	p->change = NULL;
}
