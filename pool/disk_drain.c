/* pool/disk_drain.c - what is on a disk moves elsewhere, and then it leaves.
 *
 *   drain    labels with the flag DRAIN; nothing new is composed of its zones,
 *            and what is on it is made elsewhere (rebuild.c) or dies
 *   empty    a durable commit names no zone of it
 *   gone     with the flag REMOVE, if it is out: what is on its way to it is
 *            not waited for, because it is not let in again (GONE)
 *   leave    with the flag REMOVE: labels, on it before all others, in which
 *            its entry is REMOVED
 *   wipe     its label areas become zeros
 *
 * Why its label is the first one: membership_change.c.
 *
 * The ways to fail: what is on it fits nowhere else, and nothing has happened;
 * it fails before it has the label that says that it leaves, and is a member
 * that fails like any, and leaves when it is back or out.  What cannot be wiped
 * has a label with which it opens nothing.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/membership_change.h"

/* --- drain --------------------------------------------------------------- */

static void drain_labelled(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct pool   *p = c->pool;

	if (w->res < 0) {
		change_say(c, w->res, "the pool has stopped");
	} else {
		segs_capacity(p);
		seg_seal_degraded(p);
		pool_commit_want(p);
		starve_hope(p);
		rebuild_hope(p);
		cleaner_unstick(p);
		cleaner_kick(p);
	}
	change_end(c);
}

void pool_disk_drain(struct pool *p, uint32_t i, bool drain, bool remove,
		     struct pool_op *op)
{
	struct change   *c = p->change;
	struct member   *m = p->members[i];
	uint8_t          flags = 0, was;
	struct pool_plan plan;

	if (!change_begin(p, op)) {
		change_refuse(p, op);
		return;
	}
	if (drain)
		flags = LABEL_MEMBER_DRAIN | (remove ? LABEL_MEMBER_REMOVE : 0);
	if (m->removed || m->leaving) {
		c->res = drain && remove ? 1 : -ENOENT;
		snprintf(op->error, sizeof(op->error),
			 "the disk has been removed from the pool");
		change_end_later(c);
		return;
	}
	if (!drain && (m->flags & LABEL_MEMBER_GONE) != 0) {
		change_say(c, -EINVAL, "the disk is out and nothing on it is "
			   "needed any more: it is being removed, and can be "
			   "added again when that is done");
		change_end_later(c);
		return;
	}
	/* What is to be removed is drained; that takes nothing back. */
	was = m->flags & (uint8_t)~LABEL_MEMBER_OFFLINE;
	if (was == flags || (m->flags & LABEL_MEMBER_GONE) != 0 ||
	    (drain && !remove && was != 0)) {
		c->res = 1;
		change_end_later(c);
		return;
	}
	if (drain && !member_drains(m)) {
		pool_plan_drain(p, i, &plan);
		if (plan.res < 0) {
			change_say(c, plan.res, "%s", plan.why);
			change_end_later(c);
			return;
		}
	}
	m->flags = flags | (m->flags & LABEL_MEMBER_OFFLINE);
	m->empty = false;
	segs_capacity(p);
	c->step = CHANGE_LABEL;
	c->waiter.done = drain_labelled;
	label_write(p, &c->waiter);
}

int pool_disk_give_up(struct pool *p, uint32_t i)
{
	struct member *m = p->members[i];

	if (m->in || m->removed)
		return -EINVAL;
	if (m->rebuild_now)
		return -EALREADY;
	m->rebuild_now = true;
	rebuild_hope(p);
	cleaner_kick(p);
	return 0;
}

/* --- leave --------------------------------------------------------------- */

static void left_for_good(struct change *c)
{
	change_close_member(c, c->leaving);
	c->leaving = NULL;
	disk_leave_next(c);
}

static void left_wiped(struct disk_req *req)
{
	struct member *m = req->disk->event_arg;
	struct change *c = m->pool->change;

	/* What cannot be wiped has an old label, and that is all. */
	if (--c->wiping > 0 || req->res == -ECANCELED)
		return;
	left_for_good(c);
}

static void left_wipe(struct change *c)
{
	struct member *m = c->leaving;

	for (unsigned i = 0; i < 2; i++) {
		struct disk_req *req = &c->wipe[i];

		req->op = DISK_WRITE;
		req->off_bytes =
			i == 0 ? 0
			       : change_tail_off_bytes(blocks_to_bytes(m->size_blocks));
		req->len_bytes = CHANGE_AREA_BYTES;
		req->buf = c->zeros;
		req->done = left_wiped;
		c->wiping++;
		disk_submit(m->disk, req);
	}
}

static void left(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, leave_waiter);
	struct pool   *p = c->pool;
	struct member *m = c->leaving;
	bool           was_in = m->in;

	if (w->res < 0 || !pool_running(p))
		return;
	assert(!m->in || m->labelled);
	pool_log(p, "disk %s is removed from the pool",
		 m->disk != NULL ? m->disk->place : "(missing)");
	io_timer_cancel(p->io, &m->grace);
	io_timer_cancel(p->io, &m->retry);
	m->leaving = false;
	m->removed = true;
	m->in = false;
	m->lacking = false;
	m->state = MEMBER_REMOVED;
	m->flags = 0;
	m->zones = 0;
	m->zones_labelled = 0;
	m->zones_next = 0;
	m->grow_zones = 0;
	c->left_ns = io_now_ns(p->io);
	members_domains(p);
	segs_capacity(p);
	starve_hope(p);
	flush_advance(p);
	/* One that was out keeps its label: by that it is known for one to
	 * which something may be under way. */
	if (was_in && m->disk->up && m->epoch == m->disk->epoch)
		left_wipe(c);
	else
		left_for_good(c);
	disk_add_turn(c);
}

/* It does not have the label that says that it goes: it stays, and goes when it
 * is back or out. */
void disk_leave_undo(struct change *c)
{
	struct member *m = c->leaving;

	list_remove(&c->leave_waiter.link);
	c->leaving = NULL;
	m->leaving = false;
	label_writer_kick(c->pool);
	disk_add_turn(c);
}

static bool may_leave(const struct member *m)
{
	return (m->flags & LABEL_MEMBER_REMOVE) != 0 && m->empty &&
	       m->zones_used == 0 && !m->removed && !m->leaving &&
	       !m->going_out && !m->coming_in && !m->verifying &&
	       !m->lacking && (m->state == MEMBER_ONLINE || !m->in);
}

/* One more commit has the rows; one that finds no segments to free or list
 * would not help the others. */
static void leave_later(struct pool *p, const struct member *m)
{
	if (m->forget_row > 0)
		pool_commit_want(p);
}

void disk_leave_next(struct change *c)
{
	struct pool *p = c->pool;

	if (c->op != NULL || c->leaving != NULL || p->state != POOL_ST_ACTIVE)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (!may_leave(m) || m->flush_inflight)
			continue;
		if (!member_may_be_forgotten(p, m)) {
			leave_later(p, m);
			continue;
		}
		c->leaving = m;
		m->leaving = true;
		m->labelled = false;
		c->leave_waiter.done = left;
		label_write(p, &c->leave_waiter);
		return;
	}
}

/* --- gone ---------------------------------------------------------------- */

/* Is nothing on it but zones that something may be on its way to? */
static bool only_quarantine(const struct pool *p, const struct member *m)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0;
		     s->state == SEG_QUARANTINED && u < p->units; u++)
			n += seg_member(p, s, u) == m &&
			     (s->trimming & (1u << u)) == 0;
	}
	return n > 0 && n == m->zones_used;
}

static bool may_be_gone(const struct pool *p, const struct member *m)
{
	return (m->flags & LABEL_MEMBER_REMOVE) != 0 &&
	       (m->flags & LABEL_MEMBER_GONE) == 0 && !m->in && !m->removed &&
	       !m->leaving && !m->going_out && !m->coming_in &&
	       only_quarantine(p, m);
}

static void disk_gone_next(struct change *c);

static void gone(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, gone_waiter);

	c->gone = NULL;
	if (w->res < 0 || !pool_running(c->pool))
		return;
	pool_commit_want(c->pool);
	disk_gone_next(c);
}

/* A disk that is out, and would be empty but for the quarantine, is not waited
 * for.  What is on its way to it harms nobody if it never comes in again: that
 * is in the labels before the commit that forgets those zones.  Without it the
 * disk could come back, be kept, or be used by a recovery, with zones that are
 * called free. */
static void disk_gone_next(struct change *c)
{
	struct pool *p = c->pool;

	if (c->gone != NULL || p->state != POOL_ST_ACTIVE)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (!may_be_gone(p, m))
			continue;
		m->flags |= LABEL_MEMBER_GONE;
		c->gone = m;
		c->gone_waiter.done = gone;
		label_write(p, &c->gone_waiter);
		return;
	}
}

/* --- commits ------------------------------------------------------------- */

/* Do labels say it? */
static bool is_gone(const struct pool *p, const struct member *m)
{
	if (CANARY(gone_untold))
		return !m->in && (m->flags & LABEL_MEMBER_REMOVE) != 0;
	return (m->flags & LABEL_MEMBER_GONE) != 0 && p->change->gone != m;
}

/* Nothing that is on its way to a disk that does not come back harms anybody. */
static void quarantine_forget(struct pool *p, const struct member *m)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		for (uint32_t u = 0; s->state == SEG_QUARANTINED && u < p->units;
		     u++) {
			if (seg_member(p, s, u) == m &&
			    (s->trimming & (1u << u)) == 0)
				seg_zone_put(p, s, u);
		}
	}
}

void change_commit(struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (is_gone(p, m))
			quarantine_forget(p, m);
		m->empty_next = m->zones_used == 0 || CANARY(remove_full);
	}
}

void change_zones_freed(struct pool *p)
{
	if (p->state != POOL_ST_ACTIVE)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (member_drains(m) && !m->empty && m->zones_used == 0)
			pool_commit_want(p);
	}
	disk_gone_next(p->change);
	/* One that was kept from it may leave now. */
	disk_leave_next(p->change);
}

void change_committed(struct pool *p)
{
	bool drains = false;

	disk_grow_committed(p);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		m->empty = m->empty_next;
		drains |= member_drains(m);
		/* It got empty after the table was encoded. */
		if (member_drains(m) && m->zones_used == 0 && !m->empty)
			p->commit.wanted = true;
	}
	if (!drains)
		return;
	seg_seal_degraded(p);
	disk_gone_next(p->change);
	disk_leave_next(p->change);
}
