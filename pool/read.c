/* pool/read.c - reading blocks, checked, and made again when they must be.
 *
 *   direct     one request to the disk that has the unit (any copy if k = 1);
 *              a small one is not waited for any longer than is usual (hedge.c)
 *   around     it is on a slow disk (speed.c): another copy, or made from as
 *              few other units as will do, and if one of these is wrong, from
 *              all that are not on slow disks
 *   check      each block against its CRC
 *   rebuild    a block that is wrong or cannot be had: the blocks at the same
 *              offset of all other units, and every combination of k of them
 *              until the CRC is right; what was wrong on a disk is written
 *              again there
 *
 * When a disk that is needed is expected back soon (suspect), the read waits
 * for it, up to READ_PATIENCE_NS; as long as more domains are away than the
 * redundancy covers without an end, as writes do.  Finished reads are held
 * while the lease is in doubt.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "base/crc32c.h"
#include "pool/core.h"

#define READ_PATIENCE_NS (8 * NS_PER_S)
#define RETRY_NS         (20 * NS_PER_MS)
#define RETRY_LONG_NS    NS_PER_S /* … after that; and when a disk is back */
#define RECON_BLOCKS     16u
/* … when nothing is known to be wrong. */
#define AROUND_BLOCKS    64u
/* In pool_read.unit: the place cannot exist. */
#define UNIT_NOWHERE     0xffffffffu

/* Lives in the first blocks of its own buffer; unit data follows. */
struct recon {
	struct pool_read *r;        /* NULL: it was answered otherwise */
	struct pool      *pool;
	struct segment   *seg;
	uint32_t first, n;          /* blocks of the read */
	uint32_t have;              /* mask of units that were read */
	uint32_t pending;           /* requests in flight, plus one */
	uint32_t repairs;           /* repair writes in flight, plus one */
	uint32_t direct_ok;         /* the unit itself could be read */
	uint8_t *units[POOL_UNITS_MAX];
	struct recon_req {
		struct disk_req req;
		struct recon   *recon;
		struct member  *member; /* asked; the unit may move meanwhile */
		uint32_t        unit;
	} reqs[POOL_UNITS_MAX];
	struct recon_req repair;
};

#define RECON_HEAD_BYTES round_up(sizeof(struct recon), TARN_BLOCK)

static void read_start(struct pool_read *r);
static void recon_next(struct pool_read *r);

static struct segment *read_seg(const struct pool_read *r)
{
	return pool_seg(r->pool, place_seg(r->pool, r->place));
}

static void read_finish(struct pool_read *r)
{
	struct pool *p = r->pool;

	if (r->res == 0 && p->damage.n > 0 && r->skip == NULL)
		damage_unref(p, r->place, r->n);

	seg_unpin(p, read_seg(r));
	if (!pool_is_ours(p) && pool_running(p)) {
		list_push(&p->reads_parked, &r->link);
		return;
	}
	r->done(r);
}

static void retry_at(struct pool *p, uint64_t when_ns)
{
	if (!io_timer_armed(&p->reads_timer) ||
	    when_ns < p->reads_timer.deadline_ns)
		io_timer_arm(p->io, &p->reads_timer, when_ns);
}

static bool was_patient(const struct pool_read *r)
{
	return io_now_ns(r->pool->io) - r->started_ns > READ_PATIENCE_NS;
}

static void read_wait(struct pool_read *r)
{
	struct pool *p = r->pool;

	list_push(&p->recon_wait, &r->link);
	retry_at(p, io_now_ns(p->io) +
			    (was_patient(r) ? RETRY_LONG_NS : RETRY_NS));
}

void reads_hope(struct pool *p)
{
	if (!list_empty(&p->recon_wait))
		retry_at(p, io_now_ns(p->io));
}

static void reads_timer_fn(struct io_timer *t)
{
	struct pool *p = container_of(t, struct pool, reads_timer);
	struct list  waiting;

	list_init(&waiting);
	list_splice(&waiting, &p->recon_wait);
	for (;;) {
		struct list *l = list_pop(&waiting);

		struct pool_read *r;

		if (l == NULL)
			return;
		r = list_entry(l, struct pool_read, link);
		if (r->unit == UNIT_NOWHERE)
			r->done(r);
		else
			recon_next(r);
	}
}

static bool block_good(const struct pool_read *r, uint32_t i,
		       const uint8_t *data)
{
	return CANARY(read_unchecked) ||
	       (CANARY(around_unchecked) && r->around != READ_ALL) ||
	       (r->skip != NULL && r->skip[i]) ||
	       crc32c(0, data, TARN_BLOCK) == r->crcs[i];
}

static uint8_t *read_block(const struct pool_read *r, uint32_t i)
{
	return (uint8_t *)r->buf + (size_t)i * TARN_BLOCK;
}

/* --- rebuilding ---------------------------------------------------------- */

static bool unit_readable(const struct pool *p, const struct segment *s,
			  uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	return m != NULL && (s->missing & (1u << u)) == 0 &&
	       member_readable(m);
}

/* Some unit that is away now is expected back. */
static bool worth_waiting(const struct pool_read *r)
{
	const struct pool    *p = r->pool;
	const struct segment *s = read_seg(r);

	if (!pool_running(p) && p->state != POOL_ST_READ_ONLY)
		return false;
	/* Who only reads can be told so, and can do without. */
	if (was_patient(r) && (p->state == POOL_ST_READ_ONLY ||
			       pool_domains_away(p) <= p->m))
		return false;
	for (uint32_t u = 0; u < p->units; u++) {
		const struct member *m = seg_member(p, s, u);

		if (m != NULL && m->in && m->state != MEMBER_MISSING &&
		    (s->missing & (1u << u)) == 0 && !member_readable(m))
			return true;
	}
	return false;
}

/* A CRC that some k of the units that were read agree with; false if none. */
static bool rebuild_block(struct recon *c, uint32_t i, uint32_t unit)
{
	struct pool_read *r = c->r;
	struct pool      *p = r->pool;
	uint8_t          *out = read_block(r, i);
	uint8_t          *at[POOL_UNITS_MAX];
	size_t            off = (size_t)(i - c->first) * TARN_BLOCK;

	for (uint32_t u = 0; u < p->units; u++)
		at[u] = c->units[u] + off;
	if (p->k == 1) {
		for (uint32_t u = 0; u < p->units; u++) {
			if ((c->have & (1u << u)) && block_good(r, i, at[u])) {
				memcpy(out, at[u], TARN_BLOCK);
				return true;
			}
		}
		return false;
	}
	/* The unit itself may be right: it was read again. */
	if ((c->have & (1u << unit)) && block_good(r, i, at[unit])) {
		memcpy(out, at[unit], TARN_BLOCK);
		return true;
	}
	for (uint32_t mask = c->have & ~(1u << unit), sub = mask; sub != 0;
	     sub = (sub - 1) & mask) {
		if ((uint32_t)__builtin_popcount(sub) != p->k)
			continue;
		if (stripe_rebuild(&p->stripe, TARN_BLOCK, at, sub, unit,
				   out) == 0 &&
		    block_good(r, i, out))
			return true;
		if (CANARY(rebuild_one_try))
			return false;
	}
	return false;
}

static void recon_free(struct recon *c)
{
	if (c->r != NULL)
		c->r->recon = NULL;
	else
		seg_unpin(c->pool, c->seg);
	bufpool_put(c->pool->row_bufs, c);
}

/* The disk that was asked first has answered: what is still being read ends
 * later, and keeps its segment until then. */
static void recon_abandon(struct pool_read *r)
{
	struct recon *c = r->recon;

	if (c == NULL)
		return;
	c->seg->pins++;
	c->r = NULL;
	r->recon = NULL;
}

static void recon_end(struct recon *c)
{
	struct pool_read *r = c->r;

	r->next_bad = c->first + c->n;
	recon_free(c);
	recon_next(r);
}

static void repair_done(struct disk_req *req)
{
	struct recon_req *q = container_of(req, struct recon_req, req);
	struct recon     *c = q->recon;

	if (req->res == 0) {
		const struct segment *s = read_seg(c->r);

		seg_member(c->r->pool, s, q->unit)->dirty = true;
		seg_member(c->r->pool, s, q->unit)->repaired +=
			req->len_bytes / TARN_BLOCK;
	}
	recon_end(c);
}

/* Write a run that was wrong on a disk again: same bytes, same place. */
static bool repair(struct recon *c, uint32_t unit, uint32_t first, uint32_t n)
{
	struct pool_read *r = c->r;
	struct pool      *p = r->pool;
	struct segment   *s = read_seg(r);
	struct member    *m = seg_member(p, s, unit);
	struct disk_req  *req = &c->repair.req;

	if (m == NULL || !member_usable(m) || !m->in || m->disk->read_only ||
	    p->state == POOL_ST_READ_ONLY || (s->missing & (1u << unit)))
		return false;
	c->repair.recon = c;
	c->repair.unit = unit;
	req->op = DISK_WRITE;
	req->off_bytes = zone_off_bytes(p, s->zones[unit].zone,
					place_off(p, r->place) + first);
	req->len_bytes = n * TARN_BLOCK;
	req->buf = read_block(r, first);
	req->done = repair_done;
	disk_submit(m->disk, req);
	return true;
}

static void recon_mark_bad(struct pool_read *r, uint32_t i)
{
	if (CANARY(lost_as_zeros)) {
		memset(read_block(r, i), 0, TARN_BLOCK);
		return;
	}
	if (r->bad != NULL)
		r->bad[i] = 1;
	memset(read_block(r, i), 0, TARN_BLOCK);
	if (r->res == 0)
		r->res = -EBADMSG;
}

/* The unit that the place names; any copy when k = 1. */
static uint32_t home_unit(const struct pool_read *r)
{
	return r->pool->k == 1 ? r->unit : place_unit(r->pool, r->place);
}

static void recon_solve(struct recon *c)
{
	struct pool_read *r = c->r;
	uint32_t          unit = home_unit(r);
	uint32_t          lost = 0;

	for (uint32_t i = c->first; i < c->first + c->n; i++) {
		if (!rebuild_block(c, i, unit))
			lost++;
	}
	if (lost > 0 && r->around != READ_ALL) {
		/* From more, then; from all, unless the disk answers yet. */
		r->around--;
		recon_free(c);
		if (r->direct == NULL || r->around != READ_ALL)
			recon_next(r);
		return;
	}
	hedge_forget(r);
	if (lost > 0 && worth_waiting(r)) {
		recon_free(c);
		read_wait(r);
		return;
	}
	for (uint32_t i = c->first; lost > 0 && i < c->first + c->n; i++) {
		if (!block_good(r, i, read_block(r, i)))
			recon_mark_bad(r, i);
	}
	/* It answered, and not with these bytes: mend it. */
	if (lost == 0 && c->direct_ok &&
	    repair(c, unit, c->first, c->n))
		return;
	recon_end(c);
}

static void recon_put(struct recon *c)
{
	assert(c->pending > 0);
	if (--c->pending > 0)
		return;
	if (c->r == NULL)
		recon_free(c);
	else
		recon_solve(c);
}

static void recon_req_done(struct disk_req *req)
{
	struct recon_req *q = container_of(req, struct recon_req, req);
	struct recon     *c = q->recon;
	struct member    *m = q->member;

	m->reads--;
	if (req->res == 0)
		c->have |= 1u << q->unit;
	if (req->res == 0)
		speed_read_done(m, c->n,
				io_now_ns(c->pool->io) - req->sent_ns);
	else if (req->res != -ENOTCONN && req->res != -ECANCELED)
		m->errors_read++;
	recon_put(c);
}

/* Units other than the one that was asked, or is not to be, and not those of
 * slow disks: max, or as many as there are; 0: fewer than k. */
static uint32_t units_around(const struct pool_read *r, uint32_t max)
{
	const struct pool    *p = r->pool;
	const struct segment *s = read_seg(r);
	uint32_t              mask = 0, n = 0;

	for (uint32_t i = 0; i < p->units && n < max; i++) {
		/* Others take part from place to place. */
		uint32_t u = (i + (uint32_t)(r->place >> 4)) % p->units;

		if (u == r->unit || !unit_readable(p, s, u) ||
		    speed_avoids(seg_member(p, s, u), r->n))
			continue;
		mask |= 1u << u;
		n++;
	}
	return n < p->k ? 0 : mask;
}

static void recon_submit(struct recon *c)
{
	struct pool_read *r = c->r;
	struct pool      *p = r->pool;
	struct segment   *s = read_seg(r);
	uint32_t          mask = UINT32_MAX;

	if (r->around != READ_ALL)
		mask = units_around(r, r->around == READ_FEW ? p->k : p->units);

	c->pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		struct recon_req *q = &c->reqs[u];
		struct member    *m = seg_member(p, s, u);

		q->recon = c;
		q->unit = u;
		q->member = m;
		if ((mask & (1u << u)) == 0 || !unit_readable(p, s, u))
			continue;
		q->req.op = DISK_READ;
		q->req.off_bytes =
			zone_off_bytes(p, s->zones[u].zone,
				       place_off(p, r->place) + c->first);
		q->req.len_bytes = c->n * TARN_BLOCK;
		q->req.buf = c->units[u];
		q->req.done = recon_req_done;
		c->pending++;
		m->reads++;
		disk_submit(m->disk, &q->req);
	}
	recon_put(c);
}

/* False: there is no buffer. */
static bool recon_begin(struct pool_read *r, uint32_t first, uint32_t n)
{
	struct pool  *p = r->pool;
	struct recon *c;
	uint8_t      *data;

	c = bufpool_get(p->row_bufs,
			RECON_HEAD_BYTES + (size_t)p->units * n * TARN_BLOCK);
	if (c == NULL)
		return false;
	memset(c, 0, sizeof(*c));
	c->r = r;
	c->pool = p;
	c->seg = read_seg(r);
	c->first = first;
	c->n = n;
	c->direct_ok = r->tried;
	data = (uint8_t *)c + RECON_HEAD_BYTES;
	for (uint32_t u = 0; u < p->units; u++)
		c->units[u] = data + (size_t)u * n * TARN_BLOCK;
	r->recon = c;
	recon_submit(c);
	return true;
}

/* Rebuild the next run of blocks that are not right, or finish. */
static void recon_next(struct pool_read *r)
{
	uint32_t first = r->next_bad, n = 0;
	uint32_t max = r->around != READ_ALL ? AROUND_BLOCKS : RECON_BLOCKS;

	while (first < r->n && block_good(r, first, read_block(r, first)))
		first++;
	if (first == r->n) {
		hedge_forget(r);
		read_finish(r);
		return;
	}
	while (first + n < r->n && n < max &&
	       (n == 0 || !block_good(r, first + n, read_block(r, first + n))))
		n++;
	r->next_bad = first;
	if (!recon_begin(r, first, n))
		read_wait(r);
}

/* --- direct -------------------------------------------------------------- */

static void direct_failed(struct pool_read *r, int res)
{
	memset(r->buf, 0, (size_t)r->n * TARN_BLOCK);
	r->tried = res == -EIO;
	r->around = READ_ALL;
	recon_next(r);
}

static void direct_done(struct disk_req *req)
{
	struct pool_read *r = container_of(req, struct pool_read, req);
	struct pool      *p = r->pool;
	struct member    *m = p->members[r->member];
	uint32_t          wrong = 0;

	m->reads--;
	if (r->n > HEDGE_BLOCKS)
		speed_large_done(m);
	if (req->res < 0) {
		if (req->res != -ENOTCONN && req->res != -ECANCELED)
			m->errors_read++;
		direct_failed(r, req->res);
		return;
	}
	speed_read_done(m, r->n, io_now_ns(p->io) - req->sent_ns);
	r->tried = 1;
	for (uint32_t i = 0; i < r->n; i++)
		wrong += !block_good(r, i, read_block(r, i));
	if (wrong == 0) {
		read_finish(r);
		return;
	}
	m->errors_cksum += wrong;
	recon_next(r);
}

void read_answered(struct pool_read *r, struct member *m, int res,
		   const uint8_t *data)
{
	bool     elsewhere = r->recon != NULL || !list_empty(&r->link);
	uint32_t wrong = 0;

	if (res < 0) {
		if (!elsewhere)
			direct_failed(r, res);
		return;
	}
	r->tried = 1;
	for (uint32_t i = 0; i < r->n; i++)
		wrong += (r->skip == NULL || !r->skip[i]) &&
			 crc32c(0, data + (size_t)i * TARN_BLOCK,
				TARN_BLOCK) != r->crcs[i];
	m->errors_cksum += wrong;
	if (wrong > 0 && elsewhere) {
		if (r->recon != NULL)
			((struct recon *)r->recon)->direct_ok = 1;
		return;
	}
	list_remove(&r->link);
	recon_abandon(r);
	memcpy(r->buf, data, (size_t)r->n * TARN_BLOCK);
	if (wrong > 0)
		recon_next(r);
	else
		read_finish(r);
}

bool read_reconstruct(struct pool_read *r)
{
	if (units_around(r, r->pool->k) == 0)
		return false;
	r->around = READ_FEW;
	if (recon_begin(r, 0, r->n))
		return true;
	r->around = READ_ALL;
	return false;
}

/* The copy with the fewest reads in flight; POOL_UNITS_MAX when none. */
static uint32_t pick_unit(const struct pool_read *r, const struct segment *s)
{
	const struct pool *p = r->pool;
	uint32_t           best = POOL_UNITS_MAX;

	if (p->k > 1) {
		uint32_t u = place_unit(p, r->place);

		return unit_readable(p, s, u) ? u : POOL_UNITS_MAX;
	}
	for (uint32_t i = 0; i < p->units; i++) {
		/* Start at a copy that differs from place to place. */
		uint32_t u = (i + (uint32_t)(r->place >> 4)) % p->units;

		if (unit_readable(p, s, u) &&
		    (best == POOL_UNITS_MAX ||
		     seg_member(p, s, u)->reads <
			     seg_member(p, s, best)->reads))
			best = u;
	}
	return best;
}

static void read_direct(struct pool_read *r, struct segment *s)
{
	struct pool   *p = r->pool;
	struct member *m = seg_member(p, s, r->unit);

	r->member = m->index;
	r->req.op = DISK_READ;
	r->req.off_bytes = zone_off_bytes(p, s->zones[r->unit].zone,
					  place_off(p, r->place));
	r->req.len_bytes = r->n * TARN_BLOCK;
	r->req.buf = r->buf;
	r->req.done = direct_done;
	m->reads++;
	if (r->n > HEDGE_BLOCKS)
		speed_large_sent(m);
	disk_submit(m->disk, &r->req);
}

/* The disk of r->unit is slow, and others can be asked instead. */
static void read_around(struct pool_read *r, struct segment *s, uint32_t others)
{
	struct pool *p = r->pool;

	p->counters.around_reads++;
	if (speed_skipped(seg_member(p, s, r->unit)))
		hedge_probe(r, s);
	if (p->k == 1) {
		r->unit = (uint32_t)__builtin_ctz(others);
		if (!hedge_send(r, s))
			read_direct(r, s);
		return;
	}
	r->around = READ_FEW;
	if (!recon_begin(r, 0, min_u32(r->n, AROUND_BLOCKS)))
		read_wait(r);
}

static void read_start(struct pool_read *r)
{
	struct pool    *p = r->pool;
	struct segment *s = read_seg(r);
	uint32_t        u = pick_unit(r, s), others;

	if (u == POOL_UNITS_MAX) {
		r->unit = p->k == 1 ? 0 : place_unit(p, r->place);
		r->tried = 0;
		r->around = units_around(r, p->k) != 0 ? READ_FEW : READ_ALL;
		memset(r->buf, 0, (size_t)r->n * TARN_BLOCK);
		/* In a later turn: submission never calls back. */
		list_push(&p->recon_wait, &r->link);
		io_timer_arm(p->io, &p->reads_timer, io_now_ns(p->io));
		return;
	}
	r->unit = u;
	others = units_around(r, p->k);
	if (others != 0 && speed_avoids(seg_member(p, s, u), r->n))
		read_around(r, s, others);
	else if (others == 0 || !hedge_send(r, s))
		read_direct(r, s);
}

void pool_read_submit(struct pool *p, struct pool_read *r)
{
	struct segment *s;

	assert(r->n > 0);
	r->pool = p;
	r->res = 0;
	r->tried = 0;
	r->next_bad = 0;
	r->recon = NULL;
	r->direct = NULL;
	r->around = READ_ALL;
	list_init(&r->link);
	r->started_ns = io_now_ns(p->io);
	s = read_seg(r);
	if (r->bad != NULL)
		memset(r->bad, 0, r->n);
	if (s == NULL || !seg_may_live(s) ||
	    place_off(p, r->place) + r->n > p->zone_blocks) {
		/* Only a damaged map can name such a place. */
		r->res = -EBADMSG;
		r->unit = UNIT_NOWHERE;
		if (r->bad != NULL)
			memset(r->bad, 1, r->n);
		list_push(&p->recon_wait, &r->link);
		io_timer_arm(p->io, &p->reads_timer, io_now_ns(p->io));
		return;
	}
	s->pins++;
	p->clients++;
	read_start(r);
}

void reads_unpark(struct pool *p)
{
	struct list parked;

	list_init(&parked);
	list_splice(&parked, &p->reads_parked);
	for (;;) {
		struct list      *l = list_pop(&parked);
		struct pool_read *r;

		if (l == NULL)
			return;
		r = list_entry(l, struct pool_read, link);
		r->done(r);
	}
}

void reads_fail_all(struct pool *p, int res)
{
	list_for_each(l, &p->reads_parked)
		list_entry(l, struct pool_read, link)->res = res;
	reads_unpark(p);
	for (;;) {
		struct list      *l = list_pop(&p->recon_wait);
		struct pool_read *r;

		if (l == NULL)
			return;
		r = list_entry(l, struct pool_read, link);
		r->res = res;
		hedge_forget(r);
		if (r->unit != UNIT_NOWHERE)
			seg_unpin(p, read_seg(r));
		r->done(r);
	}
}

void reads_init(struct pool *p)
{
	list_init(&p->reads_parked);
	list_init(&p->recon_wait);
	io_timer_init(&p->reads_timer, reads_timer_fn);
}
