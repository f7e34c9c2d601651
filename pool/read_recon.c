/* pool/read_recon.c - blocks of a read that are made from other units.
 *
 *   begin   a buffer; the same blocks of those units that r->around says: as few
 *           as will do, all that are not on slow disks, or all
 *   solve   every combination of k of them until the CRC is right; with fewer
 *           than all, and none right, again with more
 *   repair  what was wrong on a disk that answered is written again there
 *
 * The ways to fail: there is no buffer, a disk that is needed is expected back,
 * or a unit moved meanwhile: the read waits (read.c) and tries again.  Else the
 * block is lost.
 */
#include <errno.h>
#include <string.h>

#include "base/canary.h"
#include "pool/read.h"

#define RECON_BLOCKS 16u

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
	uint32_t moves;             /* of the segment, when it was asked */
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

/* Are so many units of it away, or not made yet, that it need not be damage that
 * it cannot be read?  That a disk is out and to be removed, or no member any
 * more, does not make those that it had. */
static bool seg_is_away(const struct pool *p, const struct segment *s)
{
	uint32_t away = 0;

	for (uint32_t u = 0; u < p->units; u++)
		away += !unit_readable(p, s, u);
	return away > p->m;
}

/* Some unit that is away now is expected back. */
static bool worth_waiting(const struct pool_read *r)
{
	const struct pool    *p = r->pool;
	const struct segment *s = read_seg(r);

	if (!pool_running(p) && p->state != POOL_ST_READ_ONLY)
		return false;
	/* Who only reads can be told so, and can do without. */
	if (read_was_patient(r) && (p->state == POOL_ST_READ_ONLY ||
				    (pool_domains_away(p) <= p->m &&
				     !seg_is_away(p, s))))
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

void recon_abandon(struct pool_read *r)
{
	struct recon *c = r->recon;

	if (c == NULL)
		return;
	c->seg->pins++;
	c->r = NULL;
	r->recon = NULL;
}

void recon_direct_ok(struct pool_read *r)
{
	((struct recon *)r->recon)->direct_ok = 1;
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

	read_seg(c->r)->repairs--;
	rebuild_kick(c->r->pool);
	if (req->res == 0) {
		q->member->dirty = true;
		q->member->repaired += req->len_bytes / TARN_BLOCK;
	} else {
		seg_stray_mark(c->r->pool, read_seg(c->r));
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
	c->repair.member = m;
	s->repairs++;
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
	if (lost > 0 && (worth_waiting(r) || read_seg(r)->moves != c->moves)) {
		recon_free(c);
		read_wait(r);
		return;
	}
	for (uint32_t i = c->first; lost > 0 && i < c->first + c->n; i++) {
		if (!block_good(r, i, read_block(r, i)))
			recon_mark_bad(r, i);
	}
	/* It answered, and not with these bytes: mend it. */
	if (lost == 0 && c->direct_ok && read_seg(r)->moves == c->moves &&
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

uint32_t units_around(const struct pool_read *r, uint32_t max)
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

bool recon_begin(struct pool_read *r, uint32_t first, uint32_t n)
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
	c->moves = read_seg(r)->moves;
	c->direct_ok = r->tried && r->moves == c->moves;
	data = (uint8_t *)c + RECON_HEAD_BYTES;
	for (uint32_t u = 0; u < p->units; u++)
		c->units[u] = data + (size_t)u * n * TARN_BLOCK;
	r->recon = c;
	recon_submit(c);
	return true;
}

void recon_next(struct pool_read *r)
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
