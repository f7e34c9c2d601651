/* pool/membership_change.c - disks join the pool and leave it while it is open.
 *
 *   add      its label areas become zeros, flushed; then labels on all disks,
 *            and on it, that call it a member that is in.  When they are
 *            durable segments are composed of its zones
 *   drain    labels with the flag DRAIN; nothing new is composed of its zones,
 *            and what is on it is made elsewhere (rebuild.c) or dies
 *   remove   DRAIN and REMOVE; when a durable commit names no zone of it,
 *            labels on all others in which its entry is REMOVED, and then its
 *            own label areas become zeros
 *
 * The flags are in the labels, so that all of it goes on after a restart.
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
 * label last: until then it opens nothing, and if it fails it is not added; from
 * then on all others call it in, and it fails like a member.  Without redundancy
 * none is ever recorded out, and all disks are needed to open the pool: there
 * the one that is added does not wait, for a crash would leave a pool in which
 * it is missing.  A disk that is removed, and can be reached, is wiped in the
 * end.
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
 * view, both whole; the operation is repeated.  Between the labels of the others
 * and its own it leaves a disk that is missing, and is removed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/core.h"

#define AREA_BYTES (LABEL_AREA_BLOCKS * TARN_BLOCK)
#define STRAY_NS   (10 * NS_PER_S)
#define ZONES_MIN  4u

enum change_step {
	CHANGE_IDLE,
	CHANGE_READ,   /* what is on it? */
	CHANGE_SETTLE, /* it was a member: nothing of that may be under way */
	CHANGE_WIPE,
	CHANGE_FLUSH,
	CHANGE_TURN,   /* another is being removed */
	CHANGE_LABEL,
	CHANGE_UNDO,   /* it failed: labels without it */
};

struct change {
	struct pool        *pool;
	struct pool_op     *op;      /* under way, or NULL */
	uint8_t             step;    /* enum change_step */
	struct disk        *disk;    /* being added, not a member yet */
	char                domain[DOMAIN_NAME_MAX + 1];
	uint8_t            *area;    /* AREA_BYTES */
	struct disk_req     reqs[2];
	unsigned            pending;
	int                 res;
	struct member      *member;
	struct io_timer     settle;
	uint64_t            epoch;   /* of its connection since then */
	uint64_t            left_ns; /* when a disk was removed last */
	struct label_waiter waiter;
	/* A member that leaves. */
	struct member      *leaving;
	struct label_waiter leave_waiter;
	struct disk_req     wipe[2];
	unsigned            wiping;
	uint8_t            *zeros;   /* AREA_BYTES */
	/* Disks that are being closed. */
	unsigned            closing;
	void              (*closed)(void *arg); /* the pool is closed too */
	void               *closed_arg;
	struct io_work      work;    /* says how a refused operation ended */
};

static void leave_next(struct change *c);
static void change_turn(struct change *c);

/* --- ends ---------------------------------------------------------------- */

static void closed(void *arg)
{
	struct change *c = arg;

	assert(c->closing > 0);
	c->closing--;
	if (c->closed != NULL)
		c->closed(c->closed_arg);
}

static void close_disk(struct change *c, struct disk *d)
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
static void close_member_disk(struct change *c, struct member *m)
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

static void change_end(struct change *c)
{
	struct pool_op *op = c->op;

	if (c->disk != NULL)
		close_disk(c, c->disk);
	c->disk = NULL;
	c->op = NULL;
	c->step = CHANGE_IDLE;
	op->res = c->res;
	if (op->res >= 0)
		op->error[0] = '\0';
	op->done(op);
	if (pool_running(c->pool))
		leave_next(c);
}

static void say(struct change *c, int res, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct change *c, int res, const char *fmt, ...)
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
static void end_later(struct change *c)
{
	io_defer(c->pool->io, &c->work);
}

/* True when it may begin. */
static bool begin(struct pool *p, struct pool_op *op)
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

/* --- members ------------------------------------------------------------- */

/* The place of a disk that was removed, or a new one; UINT32_MAX: none. */
static uint32_t free_index(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->removed && m->disk == NULL && !m->closing)
			return i;
	}
	return p->nmembers < POOL_MEMBERS_MAX ? p->nmembers : UINT32_MAX;
}

static void new_uuid(struct pool *p, struct uuid *ret)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t v = prng_u64(&p->io->prng);

		memcpy(ret->b + 8 * i, &v, 8);
	}
	ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x40);
	ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
}

static uint32_t zones_of(const struct pool *p, uint64_t size_bytes)
{
	uint64_t blocks = size_bytes / TARN_BLOCK;

	if (blocks <= 2 * LABEL_AREA_BLOCKS)
		return 0;
	return (uint32_t)min_u64((blocks - 2 * LABEL_AREA_BLOCKS) >>
					 p->zone_shift,
				 UINT32_MAX / 2);
}

static struct member *member_make(struct change *c)
{
	struct pool             *p = c->pool;
	uint32_t                 i = free_index(p);
	struct label_member_info info;
	struct member           *m;

	memset(&info, 0, sizeof(info));
	new_uuid(p, &info.uuid);
	info.size_blocks = c->disk->size_bytes / TARN_BLOCK;
	info.zones = zones_of(p, c->disk->size_bytes);
	info.state = LABEL_MEMBER_REMOVED; /* no domain yet */
	memcpy(info.domain, c->domain, sizeof(info.domain));
	if (i == UINT32_MAX || member_new(p, i, &info, &m) < 0)
		return NULL;
	if (i == p->nmembers)
		p->nmembers++;
	else
		member_free(p->members[i]);
	p->members[i] = m;
	m->removed = false;
	m->joining = true;
	m->state = MEMBER_RETURNING;
	m->epoch = c->disk->epoch;
	m->up_since_ns = io_now_ns(p->io);
	member_attach(m, c->disk);
	c->disk = NULL;
	return m;
}

/* --- add ----------------------------------------------------------------- */

static void join(struct change *c)
{
	struct pool   *p = c->pool;
	struct member *m = c->member;

	m->joining = false;
	m->labelled = false;
	m->in = true;
	m->state = MEMBER_ONLINE;
	members_domains(p);
	pool_log(p, "disk %s is a disk of the pool now", m->disk->place);
	segs_capacity(p);
	pool_commit_want(p);
	starve_hope(p);
	rebuild_hope(p);
	cleaner_unstick(p);
	cleaner_kick(p);
}

static void joined(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);

	if (w->res < 0)
		say(c, w->res, "the pool has stopped");
	else
		join(c);
	change_end(c);
}

static void undone(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct member *m = c->member;

	m->leaving = false;
	m->removed = true;
	m->state = MEMBER_REMOVED;
	close_member_disk(c, m);
	if (w->res < 0)
		c->res = w->res;
	change_end(c);
}

/* All others have labels that call it in, and it may have one: it is a disk of
 * the pool like any that fails. */
static void join_lost(struct change *c)
{
	struct member *m = c->member;

	list_remove(&c->waiter.link);
	join(c);
	member_error(m, -EIO);
	change_end(c);
}

static void join_undo(struct change *c)
{
	struct pool   *p = c->pool;
	struct member *m = c->member;

	say(c, -EIO, "disk %.200s failed while it was being added: %.200s",
	    m->disk->place,
	    m->disk->error_text[0] != '\0' ? m->disk->error_text
					   : "its label could not be written");
	m->joining = false;
	m->leaving = true;
	m->state = MEMBER_OUT;
	c->step = CHANGE_UNDO;
	c->waiter.done = undone;
	label_write(p, &c->waiter);
}

/* It does not have the label that says that it goes: it stays, and goes when it
 * is back or out. */
static void leave_undo(struct change *c)
{
	struct member *m = c->leaving;

	list_remove(&c->leave_waiter.link);
	c->leaving = NULL;
	m->leaving = false;
	label_writer_kick(c->pool);
	change_turn(c);
}

void change_disk_lost(struct pool *p, struct member *m)
{
	struct change *c = p->change;

	if (c->leaving == m && m->leaving && m->in && !m->labelled)
		leave_undo(c);
	else if (m->joining && c->step == CHANGE_LABEL && c->member == m &&
		 p->m > 0 && m->labelled)
		join_lost(c);
	else if (m->joining && c->step == CHANGE_LABEL && c->member == m)
		join_undo(c);
}

static void wipe_done(struct disk_req *req);

static void change_request(struct change *c, unsigned i, enum disk_op op,
			   uint64_t off_bytes, uint32_t len_bytes)
{
	struct disk_req *req = &c->reqs[i];

	req->op = (uint8_t)op;
	req->off_bytes = off_bytes;
	req->len_bytes = len_bytes;
	req->buf = len_bytes > 0 ? c->area : NULL;
	req->done = wipe_done;
	c->pending++;
	disk_submit(c->disk, req);
}

static uint64_t tail_off_bytes(uint64_t size_bytes)
{
	return blocks_to_bytes(size_bytes / TARN_BLOCK - LABEL_AREA_BLOCKS);
}

static void wipe(struct change *c)
{
	c->step = CHANGE_WIPE;
	memset(c->area, 0, AREA_BYTES);
	change_request(c, 0, DISK_WRITE, 0, AREA_BYTES);
	change_request(c, 1, DISK_WRITE, tail_off_bytes(c->disk->size_bytes),
		       AREA_BYTES);
}

static void settle(struct change *c)
{
	c->step = CHANGE_SETTLE;
	c->epoch = c->disk->epoch;
	io_timer_arm(c->pool->io, &c->settle,
		     io_now_ns(c->pool->io) + STRAY_NS);
}

static void settle_fn(struct io_timer *t)
{
	struct change *c = container_of(t, struct change, settle);

	if (c->op == NULL || c->step != CHANGE_SETTLE)
		return;
	if (c->epoch == c->disk->epoch && c->disk->up)
		wipe(c);
	else if (c->disk->up)
		settle(c);
	else {
		say(c, -ENOTCONN, "disk %.300s went away", c->disk->place);
		change_end(c);
	}
}

/* What its label says.  False: it is said why it cannot be added. */
static bool label_look(struct change *c, bool *ret_was)
{
	struct pool  *p = c->pool;
	struct label *l = NULL;
	unsigned      damaged;
	const char   *why;
	bool          ok = true;

	*ret_was = false;
	if (label_newest(c->area, NULL, &l, &damaged, &why) < 0 ||
	    !uuid_equal(&l->pool, &p->uuid)) {
		free(l);
		return true;
	}
	*ret_was = true;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (m->removed || !uuid_equal(&m->uuid, &l->disk))
			continue;
		ok = false;
		say(c, -EEXIST, "disk %.300s carries the label of a disk that "
		    "is in the pool", c->disk->place);
	}
	free(l);
	return ok;
}

static void add_step(struct change *c)
{
	struct pool *p = c->pool;
	bool         was;

	switch ((enum change_step)c->step) {
	case CHANGE_READ:
		if (!label_look(c, &was))
			break;
		if (was || (c->left_ns != 0 &&
			    io_now_ns(p->io) < c->left_ns + STRAY_NS))
			settle(c);
		else
			wipe(c);
		return;
	case CHANGE_WIPE:
		c->step = CHANGE_FLUSH;
		change_request(c, 0, DISK_FLUSH, 0, 0);
		return;
	case CHANGE_FLUSH:
	case CHANGE_TURN:
		if (!c->disk->up) {
			say(c, -EIO, "disk %.300s went away", c->disk->place);
			break;
		}
		/* One after the other. */
		if (c->leaving != NULL && c->leaving->leaving) {
			c->step = CHANGE_TURN;
			return;
		}
		c->member = member_make(c);
		if (c->member == NULL) {
			say(c, -ENOSPC, "a pool has at most %u disks",
			    POOL_MEMBERS_MAX);
			break;
		}
		c->step = CHANGE_LABEL;
		c->waiter.done = joined;
		label_write(p, &c->waiter);
		return;
	case CHANGE_IDLE:
	case CHANGE_SETTLE:
	case CHANGE_LABEL:
	case CHANGE_UNDO:
		return;
	}
	change_end(c);
}

/* The one that was being removed is gone, or stays. */
static void change_turn(struct change *c)
{
	if (c->op == NULL || c->step != CHANGE_TURN)
		return;
	if (c->pool->state != POOL_ST_ACTIVE) {
		say(c, -ESHUTDOWN, "the pool is being closed");
		change_end(c);
	} else {
		add_step(c);
	}
}

static void wipe_done(struct disk_req *req)
{
	struct change *c = req->disk->event_arg;

	assert(c->pending > 0);
	if (req->res < 0 && c->res == 0 && c->op != NULL)
		say(c, req->res == -ECANCELED ? -ESHUTDOWN : -EIO,
		    "disk %.300s cannot be %s: %s", req->disk->place,
		    c->step == CHANGE_READ ? "read" : "written",
		    strerror(-req->res));
	if (--c->pending > 0 || c->op == NULL)
		return;
	if (c->res == 0 && c->pool->state != POOL_ST_ACTIVE)
		say(c, -ESHUTDOWN, "the pool is being closed");
	if (c->res < 0)
		change_end(c);
	else
		add_step(c);
}

static bool disk_fits(struct change *c, bool force)
{
	struct pool       *p = c->pool;
	const struct disk *d = c->disk;

	if (!d->up)
		say(c, -ENOTCONN, "disk %.200s cannot be reached: %.200s",
		    d->place, d->error_text);
	else if (d->read_only)
		say(c, -EROFS, "disk %.300s is read-only: export it writable",
		    d->place);
	else if (zones_of(p, d->size_bytes) < ZONES_MIN)
		say(c, -ENOSPC, "disk %.300s is too small: at least %llu MiB "
		    "are needed", d->place,
		    (unsigned long long)(
			    (2 * LABEL_AREA_BLOCKS +
			     ((uint64_t)ZONES_MIN << p->zone_shift)) / 256 + 1));
	else if (!d->can_flush && !force)
		say(c, -EOPNOTSUPP, "disk %.300s does not offer FLUSH, so what "
		    "is on it could be lost in a power cut; export it with "
		    "flush, or use --force", d->place);
	else if (free_index(p) == UINT32_MAX)
		say(c, -ENOSPC, "a pool has at most %u disks",
		    POOL_MEMBERS_MAX);
	return c->res == 0;
}

/* Refused before it began: nobody has it under way. */
static void refuse(struct pool *p, struct pool_op *op)
{
	op->res = p->state == POOL_ST_ACTIVE ? -EBUSY : -ESHUTDOWN;
	snprintf(op->error, sizeof(op->error), "%s",
		 op->res == -EBUSY ? "another disk is being added or removed: "
				     "try again in a moment"
				   : "the pool is not open for writing");
	op->done(op);
}

void pool_disk_add(struct pool *p, struct pool_disk *disk, bool force,
		   struct pool_op *op)
{
	struct change *c = p->change;

	disk->disk->event = disk_event_ignore;
	if (!begin(p, op)) {
		close_disk(c, disk->disk);
		refuse(p, op);
		return;
	}
	c->disk = disk->disk;
	c->disk->event_arg = c;
	snprintf(c->domain, sizeof(c->domain), "%s", disk->domain);
	if (!disk_fits(c, force)) {
		end_later(c);
		return;
	}
	c->step = CHANGE_READ;
	change_request(c, 0, DISK_READ, 0, AREA_BYTES);
}

/* --- drain --------------------------------------------------------------- */

/* Rows go no further to segments that have a zone of it. */
static void seal_draining(struct pool *p)
{
	for (unsigned k = 0; k < LOG_CLASSES; k++) {
		for (unsigned i = 0; i < OPEN_SLOTS; i++) {
			struct segment *s = p->open[k][i];

			if (s == NULL || !seg_drains(p, s))
				continue;
			p->open[k][i] = NULL;
			seg_seal(p, s);
		}
	}
}

static void drain_labelled(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct pool   *p = c->pool;

	if (w->res < 0) {
		say(c, w->res, "the pool has stopped");
	} else {
		segs_capacity(p);
		seal_draining(p);
		pool_commit_want(p);
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
	uint8_t          flags = 0;
	struct pool_plan plan;

	if (!begin(p, op)) {
		refuse(p, op);
		return;
	}
	if (drain)
		flags = LABEL_MEMBER_DRAIN | (remove ? LABEL_MEMBER_REMOVE : 0);
	if (m->removed || m->leaving) {
		c->res = drain && remove ? 1 : -ENOENT;
		snprintf(op->error, sizeof(op->error),
			 "the disk has been removed from the pool");
		end_later(c);
		return;
	}
	/* What is to be removed is drained; that takes nothing back. */
	if (m->flags == flags || (drain && !remove && m->flags != 0)) {
		c->res = 1;
		end_later(c);
		return;
	}
	if (drain && !member_drains(m)) {
		pool_plan_drain(p, i, &plan);
		if (plan.res < 0) {
			say(c, plan.res, "%s", plan.why);
			end_later(c);
			return;
		}
	}
	m->flags = flags;
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

/* --- remove -------------------------------------------------------------- */

static void left_for_good(struct change *c)
{
	close_member_disk(c, c->leaving);
	c->leaving = NULL;
	leave_next(c);
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
			       : tail_off_bytes(blocks_to_bytes(m->size_blocks));
		req->len_bytes = AREA_BYTES;
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
	c->left_ns = io_now_ns(p->io);
	members_domains(p);
	segs_capacity(p);
	flush_advance(p);
	/* One that was out keeps its label: by that it is known for one to
	 * which something may be under way. */
	if (was_in && m->disk->up && m->epoch == m->disk->epoch)
		left_wipe(c);
	else
		left_for_good(c);
	change_turn(c);
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

static void leave_next(struct change *c)
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

		if ((m->flags & LABEL_MEMBER_REMOVE) != 0 && !m->in)
			quarantine_forget(p, m);
		m->empty_next = m->zones_used == 0 || CANARY(remove_full);
	}
}

/* Would the next commit forget any? */
static bool can_be_forgotten(const struct pool *p, const struct member *m)
{
	if (m->in || (m->flags & LABEL_MEMBER_REMOVE) == 0)
		return false;
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0;
		     s->state == SEG_QUARANTINED && u < p->units; u++) {
			if (seg_member(p, s, u) == m &&
			    (s->trimming & (1u << u)) == 0)
				return true;
		}
	}
	return false;
}

void change_zones_freed(struct pool *p)
{
	if (p->state != POOL_ST_ACTIVE)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (member_drains(m) && !m->empty &&
		    (m->zones_used == 0 || can_be_forgotten(p, m)))
			pool_commit_want(p);
	}
}

void change_committed(struct pool *p)
{
	bool drains = false;

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
	seal_draining(p);
	leave_next(p->change);
}

/* --- life ---------------------------------------------------------------- */

bool change_idle(const struct pool *p)
{
	const struct change *c = p->change;

	return c->op == NULL && c->leaving == NULL;
}

void change_stop(struct pool *p)
{
	struct change *c = p->change;

	bool failed = p->state == POOL_ST_FAILED;

	if (c == NULL || c->op == NULL || c->pending > 0 ||
	    (c->step != CHANGE_SETTLE && !failed))
		return;
	io_timer_cancel(p->io, &c->settle);
	say(c, -ESHUTDOWN, failed ? "the pool has stopped"
				  : "the pool is being closed");
	end_later(c);
}

unsigned change_close(struct pool *p, void (*done)(void *arg), void *arg)
{
	struct change *c = p->change;

	if (c == NULL)
		return 0;
	c->closed = done;
	c->closed_arg = arg;
	if (c->op != NULL) {
		say(c, -ESHUTDOWN, "the pool has stopped");
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
	c->area = aligned_alloc(TARN_BLOCK, AREA_BYTES);
	c->zeros = aligned_alloc(TARN_BLOCK, AREA_BYTES);
	io_timer_init(&c->settle, settle_fn);
	io_work_init(&c->work, end_work_fn);
	p->change = c;
	if (c->area == NULL || c->zeros == NULL)
		return -ENOMEM;
	memset(c->zeros, 0, AREA_BYTES);
	return 0;
}

void change_fini(struct pool *p)
{
	struct change *c = p->change;

	if (c == NULL)
		return;
	io_timer_cancel(p->io, &c->settle);
	io_undefer(&c->work);
	free(c->area);
	free(c->zeros);
	free(c);
	p->change = NULL;
}
