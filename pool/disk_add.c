/* pool/disk_add.c - a disk joins the pool while it is open.
 *
 *   READ     is it one of ours?
 *   SETTLE   it was a member: what was sent to it then must have arrived
 *   WIPE     its label areas become zeros
 *   FLUSH
 *   TURN     another is being removed
 *   NAME     labels on all disks, and on it, that know it and say that it is no
 *            member yet
 *   LABEL    labels on all disks, and then on it, that call it a member that is
 *            in; then segments are composed of its zones
 *
 * Why it is in at once, why its label is the last one, what it is named for and
 * who settles: membership_change.c.
 *
 * A witness has no zones: it carries labels only, and is one more domain when
 * it is counted whether enough are there to open the pool.  It may be lost and
 * come back like any; nothing else waits for it or is missed with it.
 *
 * The ways to fail: the disk is not fit, or cannot be read or written, and
 * nothing has happened; it fails before its own label is written, and labels
 * without it are written (UNDO); it fails after that, and is a member that has
 * failed.  A crash before that, and who opens the pool sees by its label that it
 * is none yet, and drops it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/membership_change.h"

#define STRAY_NS   (10 * NS_PER_S)
#define ZONES_MIN  4u

/* --- the member ---------------------------------------------------------- */

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

static struct member *member_make(struct change *c)
{
	struct pool             *p = c->pool;
	uint32_t                 i = free_index(p);
	struct label_member_info info;
	struct member           *m;

	memset(&info, 0, sizeof(info));
	new_uuid(p, &info.uuid);
	info.size_blocks = c->disk->size_bytes / TARN_BLOCK;
	info.zones = c->witness ? 0 : disk_zones(p, c->disk->size_bytes);
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

/* --- labels -------------------------------------------------------------- */

static void join(struct change *c)
{
	struct pool   *p = c->pool;
	struct member *m = c->member;

	m->joining = false;
	m->announced = false;
	m->labelled = false;
	m->in = true;
	m->state = MEMBER_ONLINE;
	members_domains(p);
	pool_log(p, "disk %s is a %s of the pool now", m->disk->place,
		 member_is_witness(m) ? "witness" : "disk");
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
		change_say(c, w->res, "the pool has stopped");
	else
		join(c);
	change_end(c);
}

/* It is known by its label from now on, whatever happens. */
static void named(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);

	if (w->res < 0) {
		change_say(c, w->res, "the pool has stopped");
		change_end(c);
		return;
	}
	c->member->announced = true;
	c->member->labelled = false;
	c->step = CHANGE_LABEL;
	c->waiter.done = joined;
	label_write(c->pool, &c->waiter);
}

static void undone(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct member *m = c->member;

	m->leaving = false;
	m->removed = true;
	m->state = MEMBER_REMOVED;
	change_close_member(c, m);
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

	change_say(c, -EIO, "disk %.200s failed while it was being added: %.200s",
	    m->disk->place,
	    m->disk->error_text[0] != '\0' ? m->disk->error_text
					   : "its label could not be written");
	m->joining = false;
	m->announced = false;
	m->leaving = true;
	m->state = MEMBER_OUT;
	c->step = CHANGE_UNDO;
	c->waiter.done = undone;
	label_write(p, &c->waiter);
}

void disk_add_lost(struct change *c)
{
	if (c->pool->m > 0 && c->member->announced && c->member->labelled)
		join_lost(c);
	else
		join_undo(c);
}

/* --- steps --------------------------------------------------------------- */

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

static void wipe(struct change *c)
{
	c->step = CHANGE_WIPE;
	memset(c->area, 0, CHANGE_AREA_BYTES);
	change_request(c, 0, DISK_WRITE, 0, CHANGE_AREA_BYTES);
	change_request(c, 1, DISK_WRITE, change_tail_off_bytes(c->disk->size_bytes),
		       CHANGE_AREA_BYTES);
}

static void settle(struct change *c)
{
	c->step = CHANGE_SETTLE;
	c->epoch = c->disk->epoch;
	io_timer_arm(c->pool->io, &c->settle,
		     io_now_ns(c->pool->io) + STRAY_NS);
}

void disk_add_settled(struct io_timer *t)
{
	struct change *c = container_of(t, struct change, settle);

	if (c->op == NULL || c->step != CHANGE_SETTLE)
		return;
	if (c->epoch == c->disk->epoch && c->disk->up)
		wipe(c);
	else if (c->disk->up)
		settle(c);
	else {
		change_say(c, -ENOTCONN, "disk %.300s went away", c->disk->place);
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
		change_say(c, -EEXIST, "disk %.300s carries the label of a disk that "
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
			change_say(c, -EIO, "disk %.300s went away", c->disk->place);
			break;
		}
		/* One after the other. */
		if (c->leaving != NULL && c->leaving->leaving) {
			c->step = CHANGE_TURN;
			return;
		}
		c->member = member_make(c);
		if (c->member == NULL) {
			change_say(c, -ENOSPC, "a pool has at most %u disks",
			    POOL_MEMBERS_MAX);
			break;
		}
		c->step = CHANGE_NAME;
		c->waiter.done = named;
		label_write(p, &c->waiter);
		return;
	case CHANGE_IDLE:
	case CHANGE_SETTLE:
	case CHANGE_NAME:
	case CHANGE_LABEL:
	case CHANGE_UNDO:
	case CHANGE_RESCAN:
	case CHANGE_GROWN:
		return;
	}
	change_end(c);
}

void disk_add_turn(struct change *c)
{
	if (c->op == NULL || c->step != CHANGE_TURN)
		return;
	if (c->pool->state != POOL_ST_ACTIVE) {
		change_say(c, -ESHUTDOWN, "the pool is being closed");
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
		change_say(c, req->res == -ECANCELED ? -ESHUTDOWN : -EIO,
		    "disk %.300s cannot be %s: %s", req->disk->place,
		    c->step == CHANGE_READ ? "read" : "written",
		    strerror(-req->res));
	if (--c->pending > 0 || c->op == NULL)
		return;
	if (c->res == 0 && c->pool->state != POOL_ST_ACTIVE)
		change_say(c, -ESHUTDOWN, "the pool is being closed");
	if (c->res < 0)
		change_end(c);
	else
		add_step(c);
}

/* --- the operation ------------------------------------------------------- */

static bool witness_fits(struct change *c)
{
	const struct disk *d = c->disk;
	const char        *other;

	if (d->size_bytes < 2ull * LABEL_AREA_BLOCKS * TARN_BLOCK) {
		change_say(c, -ENOSPC, "disk %.300s is too small for a witness: "
			   "%u MiB are needed", d->place,
			   2 * LABEL_AREA_BLOCKS / 256);
		return false;
	}
	other = pool_witness_vain(c->pool, c->domain);
	if (other != NULL)
		change_say(c, -EINVAL, "disk %.200s would be a witness on %.64s, "
			   "which has a disk of the pool already: it would "
			   "fail with that; take one elsewhere", d->place,
			   other);
	return other == NULL;
}

static bool disk_fits(struct change *c, bool force)
{
	struct pool       *p = c->pool;
	const struct disk *d = c->disk;

	if (!d->up)
		change_say(c, -ENOTCONN, "disk %.200s cannot be reached: %.200s",
		    d->place, d->error_text);
	else if (d->read_only)
		change_say(c, -EROFS, "disk %.300s is read-only: export it writable",
		    d->place);
	else if (c->witness && !witness_fits(c))
		return false;
	else if (!c->witness && disk_zones(p, d->size_bytes) < ZONES_MIN)
		change_say(c, -ENOSPC, "disk %.300s is too small: at least %llu MiB "
		    "are needed", d->place,
		    (unsigned long long)(
			    (2 * LABEL_AREA_BLOCKS +
			     ((uint64_t)ZONES_MIN << p->zone_shift)) / 256 + 1));
	else if (!d->can_flush && !force)
		change_say(c, -EOPNOTSUPP, "disk %.300s does not offer FLUSH, so what "
		    "is on it could be lost in a power cut; export it with "
		    "flush, or use --force", d->place);
	else if (free_index(p) == UINT32_MAX)
		change_say(c, -ENOSPC, "a pool has at most %u disks",
		    POOL_MEMBERS_MAX);
	return c->res == 0;
}

void pool_disk_add(struct pool *p, struct pool_disk *disk, unsigned how,
		   struct pool_op *op)
{
	struct change *c = p->change;

	disk->disk->event = disk_event_ignore;
	if (!change_begin(p, op)) {
		change_close_disk(c, disk->disk);
		change_refuse(p, op);
		return;
	}
	c->disk = disk->disk;
	c->disk->event_arg = c;
	snprintf(c->domain, sizeof(c->domain), "%s", disk->domain);
	c->witness = (how & POOL_DISK_WITNESS) != 0;
	if (!disk_fits(c, (how & POOL_DISK_FORCE) != 0)) {
		change_end_later(c);
		return;
	}
	c->step = CHANGE_READ;
	change_request(c, 0, DISK_READ, 0, CHANGE_AREA_BYTES);
}
