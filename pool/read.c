/* pool/read.c - reading blocks, checked, and made again when they must be.
 *
 *   direct     one request to the disk that has the unit (any copy if k = 1)
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
/* In pool_read.unit: the place cannot exist. */
#define UNIT_NOWHERE     0xffffffffu

/* Lives in the first blocks of its own buffer; unit data follows. */
struct recon {
	struct pool_read *r;
	uint32_t first, n;          /* blocks of the read */
	uint32_t have;              /* mask of units that were read */
	uint32_t pending;           /* requests in flight, plus one */
	uint32_t repairs;           /* repair writes in flight, plus one */
	uint32_t direct_ok;         /* the unit itself could be read */
	uint8_t *units[POOL_UNITS_MAX];
	struct recon_req {
		struct disk_req req;
		struct recon   *recon;
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
	struct pool_read *r = c->r;

	r->recon = NULL;
	bufpool_put(r->pool->row_bufs, c);
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
	struct pool      *p = r->pool;
	uint32_t          unit = home_unit(r);
	uint32_t          lost = 0;

	for (uint32_t i = c->first; i < c->first + c->n; i++) {
		if (!rebuild_block(c, i, unit))
			lost++;
	}
	if (lost > 0 && worth_waiting(r)) {
		recon_free(c);
		read_wait(r);
		return;
	}
	for (uint32_t i = c->first; lost > 0 && i < c->first + c->n; i++) {
		if (!block_good(r, i, read_block(r, i))) {
			recon_mark_bad(r, i);
			p->lost_blocks++;
		}
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
	if (--c->pending == 0)
		recon_solve(c);
}

static void recon_req_done(struct disk_req *req)
{
	struct recon_req *q = container_of(req, struct recon_req, req);
	struct recon     *c = q->recon;
	struct pool      *p = c->r->pool;
	struct member    *m = seg_member(p, read_seg(c->r), q->unit);

	m->reads--;
	if (req->res == 0)
		c->have |= 1u << q->unit;
	else if (req->res != -ENOTCONN && req->res != -ECANCELED)
		m->errors_read++;
	recon_put(c);
}

static void recon_submit(struct recon *c)
{
	struct pool_read *r = c->r;
	struct pool      *p = r->pool;
	struct segment   *s = read_seg(r);

	c->pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		struct recon_req *q = &c->reqs[u];
		struct member    *m = seg_member(p, s, u);

		q->recon = c;
		q->unit = u;
		if (!unit_readable(p, s, u))
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

/* Rebuild the next run of blocks that are not right, or finish. */
static void recon_next(struct pool_read *r)
{
	struct pool  *p = r->pool;
	struct recon *c;
	uint32_t      first = r->next_bad, n = 0;
	uint8_t      *data;

	while (first < r->n && block_good(r, first, read_block(r, first)))
		first++;
	if (first == r->n) {
		read_finish(r);
		return;
	}
	while (first + n < r->n && n < RECON_BLOCKS &&
	       (n == 0 || !block_good(r, first + n, read_block(r, first + n))))
		n++;
	r->next_bad = first;
	c = bufpool_get(p->row_bufs,
			RECON_HEAD_BYTES + (size_t)p->units * n * TARN_BLOCK);
	if (c == NULL) {
		read_wait(r);
		return;
	}
	memset(c, 0, sizeof(*c));
	c->r = r;
	c->first = first;
	c->n = n;
	c->direct_ok = r->tried;
	data = (uint8_t *)c + RECON_HEAD_BYTES;
	for (uint32_t u = 0; u < p->units; u++)
		c->units[u] = data + (size_t)u * n * TARN_BLOCK;
	r->recon = c;
	recon_submit(c);
}

/* --- direct -------------------------------------------------------------- */

static void direct_done(struct disk_req *req)
{
	struct pool_read *r = container_of(req, struct pool_read, req);
	struct pool      *p = r->pool;
	struct member    *m = seg_member(p, read_seg(r), home_unit(r));
	uint32_t          wrong = 0;

	m->reads--;
	if (req->res < 0) {
		if (req->res != -ENOTCONN && req->res != -ECANCELED)
			m->errors_read++;
		memset(r->buf, 0, (size_t)r->n * TARN_BLOCK);
		r->tried = req->res == -EIO;
		recon_next(r);
		return;
	}
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

static void read_start(struct pool_read *r)
{
	struct pool    *p = r->pool;
	struct segment *s = read_seg(r);
	uint32_t        u = pick_unit(r, s);
	struct member  *m;

	if (u == POOL_UNITS_MAX) {
		r->unit = 0;
		r->tried = 0;
		memset(r->buf, 0, (size_t)r->n * TARN_BLOCK);
		/* In a later turn: submission never calls back. */
		list_push(&p->recon_wait, &r->link);
		io_timer_arm(p->io, &p->reads_timer, io_now_ns(p->io));
		return;
	}
	m = seg_member(p, s, u);
	r->unit = u;
	r->req.op = DISK_READ;
	r->req.off_bytes = zone_off_bytes(p, s->zones[u].zone,
					  place_off(p, r->place));
	r->req.len_bytes = r->n * TARN_BLOCK;
	r->req.buf = r->buf;
	r->req.done = direct_done;
	m->reads++;
	disk_submit(m->disk, &r->req);
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
