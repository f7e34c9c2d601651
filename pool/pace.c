/* pool/pace.c - how fast clients may write while segments are being emptied.
 *
 * When few segments are left for clients, they may write as much as the cleaner
 * has gained: for each row of what it moved, what its victims hold of dead
 * blocks for each live one.  A little more as long as there are more segments, a
 * little less when there are hardly any, so the cleaner keeps up and clients
 * feel a slower disk instead of a stop.  And so when units move to other disks
 * (rebalance.c): a segment is composed of a zone that was free, and of as many
 * that units have left as it has other ones.
 *
 * The way to fail: the cleaner waits for something.  So a row never waits longer
 * than PACE_MAX_NS after the last one; when no segment is left, rows wait for
 * that (starve.c).
 */
#include "pool/cleaner.h"

#define PACE_MAX_NS (50 * NS_PER_MS)
/* No more is saved up. */
#define CREDIT_MAX  4096

void pace_pass(struct pool *p, uint64_t live, uint64_t dead)
{
	p->pace.live = live;
	p->pace.dead = dead;
}

/* Clients may write between a half and one and a half of it. */
static void gain_credit(struct pool *p, int64_t gain)
{
	uint64_t few = segs_for_clients(p), low = segs_low(p);

	gain = gain * (int64_t)(low + 2 * min_u64(few, low)) /
	       (int64_t)(2 * low);
	p->pace.credit = p->pace.credit + gain > CREDIT_MAX
				 ? CREDIT_MAX
				 : p->pace.credit + gain;
	log_kick(p);
}

void pace_moved(struct pool *p, uint32_t blocks)
{
	gain_credit(p, (int64_t)(blocks * p->pace.dead /
				 max_u64(p->pace.live, 1)));
}

void pace_vacated(struct pool *p, uint32_t blocks)
{
	gain_credit(p, (int64_t)blocks * p->k / max_u32(p->units - 1, 1));
}

void pace_written(struct pool *p, uint32_t blocks)
{
	p->client_row_ns = io_now_ns(p->io);
	p->pace.credit -= blocks;
	if (p->pace.credit < 0)
		p->pace.credit = 0;
}

bool pace_holds(struct pool *p)
{
	uint64_t until_ns = p->client_row_ns + PACE_MAX_NS;

	if (p->pace.credit > 0 ||
	    (cleaner_idle(p) && !rebalance_hurries(p)) ||
	    2 * segs_for_clients(p) > segs_low(p) ||
	    io_now_ns(p->io) >= until_ns)
		return false;
	if (!io_timer_armed(&p->pace.timer))
		io_timer_arm(p->io, &p->pace.timer, until_ns);
	return true;
}

static void timer_fn(struct io_timer *t)
{
	log_kick(container_of(t, struct pool, pace.timer));
}

void pace_init(struct pool *p)
{
	io_timer_init(&p->pace.timer, timer_fn);
}
