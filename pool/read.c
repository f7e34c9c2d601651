/* pool/read.c - reading blocks, checked, and made again when they must be.
 *
 *   direct     one request to the disk that has the unit (any copy if k = 1);
 *              a small one is not waited for any longer than is usual (hedge.c)
 *   around     it is on a slow disk (speed.c): another copy, or made from as
 *              few other units as will do, and if one of these is wrong, from
 *              all that are not on slow disks
 *   check      each block against its CRC
 *   rebuild    a block that is wrong or cannot be had is made from the other
 *              units, and written again where it was wrong (read_recon.c)
 *
 * When a disk that is needed is expected back soon (suspect), the read waits
 * for it, up to READ_PATIENCE_NS; as long as more domains are away than the
 * redundancy covers without an end, as writes do.  Finished reads are held
 * while the lease is in doubt.
 *
 * A unit may move to another zone while it is being read (rebuild.c), and the
 * old zone may have something else by the time when its disk gets round to the
 * read.  So what is wrong then is nobody's fault: it is asked for again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "base/crc32c.h"
#include "pool/read.h"

#define READ_PATIENCE_NS (8 * NS_PER_S)
#define RETRY_NS         (20 * NS_PER_MS)
#define RETRY_LONG_NS    NS_PER_S /* … after that; and when a disk is back */
/* In pool_read.unit: the place cannot exist. */
#define UNIT_NOWHERE     0xffffffffu

static void read_start(struct pool_read *r);

void read_finish(struct pool_read *r)
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

bool read_was_patient(const struct pool_read *r)
{
	return io_now_ns(r->pool->io) - r->started_ns > READ_PATIENCE_NS;
}

void read_wait(struct pool_read *r)
{
	struct pool *p = r->pool;

	list_push(&p->recon_wait, &r->link);
	retry_at(p, io_now_ns(p->io) +
			    (read_was_patient(r) ? RETRY_LONG_NS : RETRY_NS));
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

bool block_good(const struct pool_read *r, uint32_t i, const uint8_t *data)
{
	return CANARY(read_unchecked) ||
	       (CANARY(around_unchecked) && r->around != READ_ALL) ||
	       (r->skip != NULL && r->skip[i]) ||
	       crc32c(0, data, TARN_BLOCK) == r->crcs[i];
}

bool unit_readable(const struct pool *p, const struct segment *s, uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	return m != NULL && (s->missing & (1u << u)) == 0 &&
	       member_readable(m);
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
	if (r->moves != read_seg(r)->moves) {
		read_start(r);
		return;
	}
	m->errors_cksum += wrong;
	recon_next(r);
}

void read_answered(struct pool_read *r, struct member *m, int res,
		   const uint8_t *data)
{
	bool     elsewhere = r->recon != NULL || !list_empty(&r->link);
	bool     moved;
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
	moved = wrong > 0 && r->moves != read_seg(r)->moves;
	if (!moved)
		m->errors_cksum += wrong;
	if (wrong > 0 && elsewhere) {
		/* If it is still what was asked: recon_solve(). */
		if (r->recon != NULL && !moved)
			recon_direct_ok(r);
		return;
	}
	if (moved) {
		read_start(r);
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

	r->moves = s->moves;
	r->tried = 0;
	if (u == POOL_UNITS_MAX) {
		r->unit = p->k == 1 ? 0 : place_unit(p, r->place);
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
