/* pool/disk_offline.c - a disk is taken out for a while, and comes back.
 *
 *   offline  labels, not on it, with the flag OFFLINE, that call it out
 *   online   labels without the flag; then it is verified, and comes back, as
 *            any disk that was away (member.c)
 *
 * It is recorded out as a disk that fails is, but at once, and the flag is in
 * the same label: no label calls a disk in that is offline.  It stays out over
 * reconnects and restarts; what is on it is not made again elsewhere, unless
 * it is given up or drained.  Whatever was written to it and not flushed
 * counts as lost; that is less than a second's worth.
 *
 * The ways to fail: too little would be left, and nothing has happened.  A
 * crash before labels are durable leaves it in.  If another disk fails while
 * they are written, the pool waits for that one, as when two fail at once.
 */
#include <errno.h>
#include <string.h>

#include "pool/membership_change.h"

/* --- offline ------------------------------------------------------------- */

static void offline_labelled(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);

	if (w->res < 0)
		change_say(c, w->res, "the pool has stopped");
	change_end(c);
}

static void label_flags(struct change *c, void (*done)(struct label_waiter *w))
{
	c->step = CHANGE_LABEL;
	c->waiter.done = done;
	label_write(c->pool, &c->waiter);
}

/* True: it was said why it cannot be. */
static bool offline_refused(struct change *c, uint32_t i, bool force)
{
	struct pool     *p = c->pool;
	struct member   *m = p->members[i];
	struct pool_plan plan;

	if (m->removed || m->leaving || (m->flags & LABEL_MEMBER_GONE) != 0) {
		change_say(c, -ENOENT, "the disk has been removed from the "
			   "pool, or is about to be");
		return true;
	}
	if (member_is_offline(m)) {
		c->res = 1;
		return true;
	}
	if (m->joining || m->coming_in) {
		change_say(c, -EBUSY, "the disk is just coming in: try again in "
			   "a moment");
		return true;
	}
	pool_plan_offline(p, i, &plan);
	if (plan.res < 0 && !(force && plan.res == -ENOSPC))
		change_say(c, plan.res, "%s", plan.why);
	return c->res < 0;
}

void pool_disk_offline(struct pool *p, uint32_t i, bool force,
		       struct pool_op *op)
{
	struct change *c = p->change;
	struct member *m = p->members[i];

	if (!change_begin(p, op)) {
		change_refuse(p, op);
		return;
	}
	if (offline_refused(c, i, force)) {
		change_end_later(c);
		return;
	}
	m->flags |= LABEL_MEMBER_OFFLINE;
	member_take_out(m);
	label_flags(c, offline_labelled);
}

/* --- online -------------------------------------------------------------- */

static void online_labelled(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct pool   *p = c->pool;

	if (w->res < 0) {
		change_say(c, w->res, "the pool has stopped");
	} else if (!c->member->removed) {
		member_try(c->member);
		rebuild_hope(p);
	}
	change_end(c);
}

void pool_disk_online(struct pool *p, uint32_t i, struct pool_op *op)
{
	struct change *c = p->change;
	struct member *m = p->members[i];

	if (!change_begin(p, op)) {
		change_refuse(p, op);
		return;
	}
	if (m->removed || m->leaving || (m->flags & LABEL_MEMBER_GONE) != 0)
		change_say(c, -ENOENT, "the disk has been removed from the "
			   "pool, or is about to be");
	else if (!member_is_offline(m))
		c->res = 1;
	if (c->res != 0) {
		change_end_later(c);
		return;
	}
	m->flags &= (uint8_t)~LABEL_MEMBER_OFFLINE;
	m->out_since_ns = io_now_ns(p->io);
	c->member = m;
	label_flags(c, online_labelled);
}
