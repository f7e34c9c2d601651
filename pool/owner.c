/* pool/owner.c - one owner at a time: claims and leases.
 *
 * Acquiring (owner_acquire):
 *   1. read the lease slots of all disks; is the last owner alive?
 *        released cleanly, or of this machine (we have the machine's lock, so
 *        it is dead): go on at once; else watch its slot for lease_timeout_ns:
 *        a beat that changes means alive, and we are refused
 *   2. write a slot of our own, TRYING, with a claim above all that was seen;
 *      flush; read all slots again.  Two that try at once write different
 *      slots and each reads after it has written, so at least one sees the
 *      other; who sees another of the same or a higher claim gives way.
 *
 * Holding: every lease_interval_ns all slots are read and ours is written.
 * The lease is good for LEASE_VALID_NS after the start of the last beat that
 * more than half of the members answered, of those that are in, and of those
 * that are in by the labels; without it nothing is acknowledged.
 * A higher claim in any slot ends our ownership for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"

#define LEASE_VALID_NS (8 * NS_PER_S)
#define LEASE_BYTES    (LEASE_SLOTS * TARN_BLOCK)

enum owner_step {
	OWNER_IDLE,
	OWNER_LOOK,    /* acquire: first look, and watching */
	OWNER_TRY,     /* writing TRYING */
	OWNER_FLUSH,
	OWNER_CONFIRM, /* reading again */
	OWNER_BEAT_READ,
	OWNER_BEAT_WRITE,
	OWNER_CHECK_READ,
	OWNER_RELEASE,
};

enum lease_io {
	LEASE_IO_NONE,
	LEASE_IO_PENDING,
	LEASE_IO_OK,
	LEASE_IO_FAILED,
};

typedef void (*owner_done_fn)(struct pool *p, int res);

struct owner {
	struct pool    *pool;
	uint8_t         step;       /* enum owner_step */
	unsigned        pending;    /* requests in flight, plus one */
	bool            nobody;     /* the running pass asked nobody */
	uint32_t        slot;
	uint64_t        beat;
	uint64_t        sent_ns;    /* when the running pass started */
	uint64_t        watch_until_ns;
	bool            force;
	bool            released;
	bool            running;    /* heartbeats */
	uint64_t        newest_claim;
	uint64_t        doubt_claim; /* an older owner not proven gone */
	struct io_timer timer;
	struct lease    seen;       /* foreign lease being watched */
	bool            watching;
	owner_done_fn   done;       /* acquire or release */
	owner_done_fn   check_done; /* waiting for a check */
	owner_done_fn   release_after; /* release once the pass is over */
	struct io_work  work;       /* starts a waiting check */
	char            text[200];
};

static void pass_done(struct owner *o);

static uint8_t *member_slots(struct member *m)
{
	return m->lease_buf;
}

static uint8_t *member_own(struct member *m)
{
	return m->lease_buf + LEASE_BYTES;
}

const char *owner_text(const struct pool *p)
{
	return p->owner->text;
}

bool owner_is_doubtful(const struct pool *p, uint64_t claim)
{
	return p->owner->doubt_claim != 0 && claim <= p->owner->doubt_claim;
}

bool owner_took_over(const struct pool *p)
{
	return p->owner->doubt_claim != 0;
}

/* --- passes over all members --------------------------------------------- */

static bool reachable(const struct member *m)
{
	return m->disk != NULL && m->disk->up && m->in &&
	       (m->state == MEMBER_ONLINE || m->state == MEMBER_SUSPECT) &&
	       m->epoch == m->disk->epoch;
}

/* … or asked all the same, so that the claim can be seen by its other way. */
static bool asked(const struct member *m, enum owner_step step)
{
	if (m->two_ways && (step == OWNER_TRY || step == OWNER_FLUSH))
		return m->disk != NULL && m->disk->up &&
		       m->state == MEMBER_ONLINE &&
		       m->epoch == m->disk->epoch;
	return reachable(m);
}

static void lease_req_done(struct disk_req *req)
{
	struct member *m = container_of(req, struct member, lease_req);
	struct owner  *o = m->pool->owner;

	m->lease_state = req->res == 0 ? LEASE_IO_OK : LEASE_IO_FAILED;
	assert(o->pending > 0);
	if (--o->pending == 0)
		pass_done(o);
}

static void lease_submit(struct member *m, enum disk_op op)
{
	struct disk_req *req = &m->lease_req;
	struct owner    *o = m->pool->owner;

	req->op = (uint8_t)op;
	req->done = lease_req_done;
	req->off_bytes = 0;
	req->len_bytes = 0;
	req->buf = NULL;
	if (op == DISK_READ) {
		req->len_bytes = LEASE_BYTES;
		req->buf = member_slots(m);
	} else if (op == DISK_WRITE) {
		req->off_bytes = (uint64_t)o->slot * TARN_BLOCK;
		req->len_bytes = TARN_BLOCK;
		req->buf = member_own(m);
	}
	m->lease_state = LEASE_IO_PENDING;
	o->pending++;
	disk_submit(m->disk, req);
}

static void own_encode(struct member *m, enum lease_state state)
{
	struct pool *p = m->pool;
	struct lease l = {
		.pool = p->uuid,
		.disk = m->uuid,
		.claim = p->claim,
		.claim_id = p->claim_id,
		.beat = p->owner->beat,
		.machine = p->params.owner.machine,
		.boot = p->params.owner.boot,
		.instance = p->params.owner.instance,
		.state = state,
	};

	lease_encode(&l, member_own(m));
}

static void pass_work_fn(struct io_work *w);

/* Start a pass: the same request to every member that is reachable. */
static void pass_start(struct owner *o, enum owner_step step, enum disk_op op,
		       enum lease_state state)
{
	struct pool *p = o->pool;

	o->step = (uint8_t)step;
	o->pending = 1;
	o->beat++;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		m->lease_state = LEASE_IO_NONE;
		if (!asked(m, step))
			continue;
		if (op == DISK_WRITE)
			own_encode(m, state);
		lease_submit(m, op);
	}
	/* The last reference, dropped in a later turn when nobody could be
	 * asked, so that a pass never ends inside its start. */
	if (o->pending == 1) {
		o->nobody = true;
		io_defer(p->io, &o->work);
	} else {
		o->pending--;
	}
}

static bool any_answered(const struct pool *p)
{
	bool any = false;

	for (uint32_t i = 0; i < p->nmembers; i++)
		any |= p->members[i]->lease_state == LEASE_IO_OK;
	return any;
}

/* --- reading what others say --------------------------------------------- */

/* Is that lease of an owner that we know to be dead? */
static bool known_dead(const struct pool *p, const struct lease *l)
{
	/* Of this machine: we hold the machine's lock for this pool. */
	return p->locked && uuid_equal(&l->machine, &p->params.owner.machine);
}

static bool is_ours(const struct pool *p, const struct lease *l)
{
	return uuid_equal(&l->claim_id, &p->claim_id) && l->claim == p->claim;
}

static bool lease_at(struct pool *p, uint32_t i, uint32_t slot,
		     struct lease *ret)
{
	struct member *m = p->members[i];

	return m->lease_state == LEASE_IO_OK &&
	       lease_validate(member_slots(m) + slot * TARN_BLOCK, ret) == 0 &&
	       uuid_equal(&ret->pool, &p->uuid) &&
	       uuid_equal(&ret->disk, &m->uuid);
}

/* The highest claim in any slot; ret_rival: the newest lease that is held or
 * tried by somebody who may be alive. */
static uint64_t survey(struct pool *p, struct lease *ret_rival, bool *ret_any)
{
	uint64_t newest = 0;

	*ret_any = false;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		for (uint32_t s = 0; s < LEASE_SLOTS; s++) {
			struct lease l;

			if (!lease_at(p, i, s, &l) || is_ours(p, &l))
				continue;
			newest = max_u64(newest, l.claim);
			if (l.state == LEASE_RELEASED || known_dead(p, &l))
				continue;
			if (!*ret_any || l.claim > ret_rival->claim ||
			    (l.claim == ret_rival->claim &&
			     l.beat > ret_rival->beat)) {
				*ret_rival = l;
				*ret_any = true;
			}
		}
	}
	return newest;
}

static bool taken(struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		for (uint32_t s = 0; s < LEASE_SLOTS; s++) {
			struct lease l;

			if (lease_at(p, i, s, &l) && !is_ours(p, &l) &&
			    l.claim > p->claim)
				return true;
		}
	}
	return false;
}

/* Does anybody alive use it on any disk, or is it all that tells of a claim
 * above that one? */
static bool slot_used(struct pool *p, uint32_t slot, uint64_t claim)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct lease l;

		if (lease_at(p, i, slot, &l) &&
		    (l.claim > claim ||
		     (l.state != LEASE_RELEASED && !known_dead(p, &l))))
			return true;
	}
	return false;
}

/* A free slot.  Claims above the newest label's are named by no label yet, so
 * their slots are left alone as long as there are others: with three that died
 * one after the other, each would else forget the one before
 * (note_stillborn()). */
static uint32_t free_slot(const struct owner *o)
{
	struct pool *p = o->pool;
	uint32_t first = p->params.owner.instance.b[0] % LEASE_SLOTS;
	uint64_t keep[] = { o->newest_claim, UINT64_MAX };

	for (uint32_t n = 0; n < 2 * LEASE_SLOTS; n++) {
		uint32_t s = (first + n) % LEASE_SLOTS;

		if (!slot_used(p, s, keep[n / LEASE_SLOTS]))
			return s;
	}
	return first;
}

/* --- acquiring ----------------------------------------------------------- */

static void add_ancestor(struct pool *p, const struct lease *l)
{
	uint32_t at = 0;

	while (at < p->nancestors && p->ancestors[at].claim >= l->claim) {
		if (p->ancestors[at].claim == l->claim &&
		    uuid_equal(&p->ancestors[at].id, &l->claim_id))
			return;
		at++;
	}
	if (at == LABEL_ANCESTORS)
		return;
	p->nancestors = min_u32(p->nancestors + 1, LABEL_ANCESTORS);
	memmove(&p->ancestors[at + 1], &p->ancestors[at],
		(p->nancestors - at - 1) * sizeof(p->ancestors[0]));
	p->ancestors[at].claim = l->claim;
	p->ancestors[at].id = l->claim_id;
}

/* Claims that died before their first label was on all the disks it had to be
 * on: such an owner has acknowledged nothing and used no free zone.  The label
 * may be on a disk that is not here now; by the opening rule, had it been
 * complete, one of those that are here would carry it.  That disk has not
 * diverged and comes back like any other that was away.  Who forces the pool
 * open breaks the rule, and cannot tell. */
static void note_stillborn(struct owner *o)
{
	struct pool *p = o->pool;

	if (o->force)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		for (uint32_t s = 0; s < LEASE_SLOTS; s++) {
			struct lease l;

			if (lease_at(p, i, s, &l) && l.claim > o->newest_claim)
				add_ancestor(p, &l);
		}
	}
}

static void acquire_end(struct owner *o, int res)
{
	owner_done_fn done = o->done;

	o->step = OWNER_IDLE;
	o->done = NULL;
	if (res == 0)
		o->pool->lease_until_ns = o->sent_ns + LEASE_VALID_NS;
	done(o->pool, res);
}

static void new_claim(struct owner *o, uint64_t newest)
{
	struct pool *p = o->pool;

	p->claim = max_u64(newest, o->newest_claim) + 1;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t v = prng_u64(&p->io->prng);

		memcpy(p->claim_id.b + 8 * i, &v, 8);
	}
	/* Ours alone, even if two engines had the same seed. */
	for (unsigned i = 0; i < 16; i++)
		p->claim_id.b[i] ^= p->params.owner.instance.b[i];
}

static void try_claim(struct owner *o, uint64_t newest)
{
	struct pool *p = o->pool;

	o->slot = free_slot(o);
	note_stillborn(o);
	new_claim(o, newest);
	o->sent_ns = io_now_ns(p->io);
	pass_start(o, OWNER_TRY, DISK_WRITE, LEASE_TRYING);
}

static void look_done(struct owner *o)
{
	struct pool *p = o->pool;
	struct lease rival;
	bool         any;
	uint64_t     newest = survey(p, &rival, &any);

	if (!any || o->force || (o->released && rival.claim <= o->newest_claim &&
				 rival.state != LEASE_TRYING)) {
		if (any)
			o->doubt_claim = rival.claim;
		try_claim(o, newest);
		return;
	}
	if (!o->watching) {
		o->watching = true;
		o->seen = rival;
		o->watch_until_ns =
			io_now_ns(p->io) + p->params.lease_timeout_ns;
	} else if (rival.claim != o->seen.claim ||
		   rival.beat != o->seen.beat ||
		   !uuid_equal(&rival.instance, &o->seen.instance)) {
		snprintf(o->text, sizeof(o->text),
			 "it is being served by another machine; stop that "
			 "server first");
		acquire_end(o, -EBUSY);
		return;
	} else if (io_now_ns(p->io) >= o->watch_until_ns) {
		pool_log(p, "the last owner has not been heard of for %u s",
			 (unsigned)(p->params.lease_timeout_ns / NS_PER_S));
		o->doubt_claim = rival.claim;
		try_claim(o, newest);
		return;
	}
	snprintf(o->text, sizeof(o->text),
		 "waiting up to %u s more for the last owner to be heard of",
		 (unsigned)((o->watch_until_ns - io_now_ns(p->io)) / NS_PER_S));
	io_timer_arm(p->io, &o->timer,
		     io_now_ns(p->io) +
			     min_u64(NS_PER_S, p->params.lease_interval_ns));
}

static void confirm_done(struct owner *o)
{
	struct pool *p = o->pool;
	struct lease rival;
	bool         any;

	survey(p, &rival, &any);
	if (any && rival.claim >= p->claim) {
		snprintf(o->text, sizeof(o->text),
			 "another server is opening it at this moment; try "
			 "again");
		acquire_end(o, -EBUSY);
		return;
	}
	if (!any_answered(p)) {
		snprintf(o->text, sizeof(o->text),
			 "its disks could not be written");
		acquire_end(o, -EIO);
		return;
	}
	acquire_end(o, 0);
}

void owner_acquire(struct pool *p, uint64_t newest_claim, bool force,
		   bool released, owner_done_fn done)
{
	struct owner *o = p->owner;

	assert(o->step == OWNER_IDLE);
	o->newest_claim = newest_claim;
	o->force = force;
	o->released = released;
	o->watching = false;
	o->done = done;
	pass_start(o, OWNER_LOOK, DISK_READ, LEASE_TRYING);
}

/* --- holding ------------------------------------------------------------- */

static void lost_claim(struct owner *o)
{
	o->running = false;
	o->pool->lease_until_ns = 0;
	pool_fail(o->pool, -ESTALE,
		  "another server has claimed the pool; this one stops "
		  "serving it");
}

/* By the opening rule another server needs more than half of the domains that
 * are in by the labels, or both of two.  Lacking members are out by the labels
 * that are durable, and may be in by those that are being written; with those
 * that are being removed it is the other way round. */
static bool enough_answered(const struct pool *p, bool lacking)
{
	unsigned ok = 0, in = 0;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (!m->in || ((m->lacking || m->leaving) && !lacking))
			continue;
		in++;
		ok += m->lease_state == LEASE_IO_OK;
	}
	/* By force it may have been opened with lacking ones alone. */
	return 2 * ok > in || (in == 2 && ok == 1) || in == 0;
}

static void renewed(struct owner *o)
{
	struct pool *p = o->pool;
	bool         was = pool_is_ours(p);

	if (enough_answered(p, false) && enough_answered(p, true))
		p->lease_until_ns = o->sent_ns + LEASE_VALID_NS;
	if (!was && pool_is_ours(p)) {
		io_defer(p->io, &p->advance);
		flush_want(p);
		reads_unpark(p);
	}
}

static void arm_beat(struct owner *o)
{
	if (o->running)
		io_timer_arm(o->pool->io, &o->timer,
			     o->sent_ns + o->pool->params.lease_interval_ns);
}

static void check_end(struct owner *o, int res)
{
	owner_done_fn done = o->check_done;

	o->check_done = NULL;
	if (done != NULL)
		done(o->pool, res);
}

static void idle_again(struct owner *o)
{
	owner_done_fn after = o->release_after;

	o->step = OWNER_IDLE;
	o->release_after = NULL;
	if (after != NULL)
		owner_release(o->pool, after);
	else if (o->check_done != NULL)
		io_defer(o->pool->io, &o->work);
}

static void pass_done(struct owner *o)
{
	struct pool *p = o->pool;

	if (p->state == POOL_ST_FAILED && o->step != OWNER_RELEASE) {
		o->step = OWNER_IDLE;
		return;
	}
	switch ((enum owner_step)o->step) {
	case OWNER_IDLE:
		break;
	case OWNER_LOOK:
		look_done(o);
		break;
	case OWNER_TRY:
		pass_start(o, OWNER_FLUSH, DISK_FLUSH, LEASE_TRYING);
		break;
	case OWNER_FLUSH:
		pass_start(o, OWNER_CONFIRM, DISK_READ, LEASE_TRYING);
		break;
	case OWNER_CONFIRM:
		confirm_done(o);
		break;
	case OWNER_BEAT_READ:
		if (taken(p)) {
			o->step = OWNER_IDLE;
			lost_claim(o);
			break;
		}
		pass_start(o, OWNER_BEAT_WRITE, DISK_WRITE, LEASE_HELD);
		break;
	case OWNER_BEAT_WRITE:
		renewed(o);
		idle_again(o);
		arm_beat(o);
		if (p->params.beat != NULL && pool_running(p))
			p->params.beat(p->params.arg);
		break;
	case OWNER_CHECK_READ: {
		bool is_taken = taken(p);

		o->step = OWNER_IDLE;
		arm_beat(o);
		check_end(o, is_taken ? -ESTALE : 0);
		if (o->release_after != NULL && o->step == OWNER_IDLE)
			idle_again(o);
		break;
	}
	case OWNER_RELEASE: {
		owner_done_fn done = o->done;

		o->step = OWNER_IDLE;
		o->done = NULL;
		done(p, 0);
		break;
	}
	}
}

static void pass_work_fn(struct io_work *w)
{
	struct owner *o = container_of(w, struct owner, work);

	if (o->step == OWNER_IDLE) {
		if (o->check_done != NULL)
			pass_start(o, OWNER_CHECK_READ, DISK_READ, LEASE_HELD);
		return;
	}
	if (o->nobody) {
		o->nobody = false;
		o->pending = 0;
		pass_done(o);
	}
}

static void owner_timer_fn(struct io_timer *t)
{
	struct owner *o = container_of(t, struct owner, timer);

	if (o->step == OWNER_LOOK) {
		pass_start(o, OWNER_LOOK, DISK_READ, LEASE_TRYING);
		return;
	}
	if (o->step != OWNER_IDLE || !o->running)
		return;
	o->sent_ns = io_now_ns(o->pool->io);
	pass_start(o, OWNER_BEAT_READ, DISK_READ, LEASE_HELD);
}

bool pool_is_ours(const struct pool *p)
{
	if (p->read_only)
		return true;
	return p->claim != 0 && io_now_ns(p->io) < p->lease_until_ns &&
	       pool_running(p);
}

void owner_check(struct pool *p, owner_done_fn done)
{
	struct owner *o = p->owner;

	assert(o->check_done == NULL);
	o->check_done = done;
	io_defer(p->io, &o->work);
}

void owner_start(struct pool *p)
{
	struct owner *o = p->owner;

	o->running = true;
	io_timer_arm(p->io, &o->timer, io_now_ns(p->io));
}

void owner_stop(struct pool *p)
{
	if (p->owner == NULL)
		return;
	p->owner->running = false;
	io_timer_cancel(p->io, &p->owner->timer);
}

void owner_release(struct pool *p, owner_done_fn done)
{
	struct owner *o = p->owner;

	owner_stop(p);
	/* A beat that is in flight ends first: its pass would be mixed up. */
	if (o->step != OWNER_IDLE) {
		o->release_after = done;
		return;
	}
	o->done = done;
	pass_start(o, OWNER_RELEASE, DISK_WRITE, LEASE_RELEASED);
}

int owner_init(struct pool *p)
{
	struct owner *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return -ENOMEM;
	o->pool = p;
	io_timer_init(&o->timer, owner_timer_fn);
	io_work_init(&o->work, pass_work_fn);
	o->slot = p->params.owner.instance.b[0] % LEASE_SLOTS;
	p->owner = o;
	return 0;
}

void owner_fini(struct pool *p)
{
	if (p->owner == NULL)
		return;
	io_timer_cancel(p->io, &p->owner->timer);
	io_undefer(&p->owner->work);
	free(p->owner);
	p->owner = NULL;
}
