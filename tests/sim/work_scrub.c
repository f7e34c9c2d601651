/* tests/sim/work_scrub.c - scrubs come and go while disks rot; and what a scrub
 * has left behind, with all disks there, is right.
 *
 * That is found out by another one, which must find nothing to mend, unless a
 * segment was sealed meanwhile, which the first did not look at: that may be
 * free again by the end, so it is asked all the time; or something landed that a
 * dead server had sent: what it left half written may be beyond repair at first.
 * That the first did not mend wrongly is found out by the model, which every
 * block is read against later.
 */
#include <errno.h>

#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/work_priv.h"

#define LIMIT_S 120u
#define SEGS    4096u

/* The generation of each segment that is sealed; 0. */
static void sealed(const struct pool *p, uint32_t *ret)
{
	for (uint32_t i = 1; i < SEGS; i++) {
		const struct segment *s = pool_seg(p, i);

		ret[i] = s != NULL && s->state == SEG_SEALED ? s->generation
							     : 0;
	}
}

/* Is any sealed that was not then? */
static bool any_new(const struct pool *p, const uint32_t *before)
{
	for (uint32_t i = 1; i < SEGS && i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		if (s->state == SEG_SEALED && s->generation != before[i])
			return true;
	}
	return p->nsegs >= SEGS;
}

/* ret_new becomes true when there is one that was not sealed before.  False: the
 * engine stopped. */
static bool scrub_all(struct sim *sim, const uint32_t *before,
		      struct pool_scrub_info *ret, bool *ret_new)
{
	uint64_t until_ns = sim_now_ns(sim) + LIMIT_S * NS_PER_S;
	int r;

	pool_scrub_stop(sim->life->pool);
	r = pool_scrub_start(sim->life->pool);
	if (r < 0)
		sim_fail(sim, "a scrub does not start: %d", r);
	do {
		if (!life_turn(sim, NS_PER_MS))
			return false;
		*ret_new |= any_new(sim->life->pool, before);
		pool_scrub_info(sim->life->pool, ret);
		if (sim_now_ns(sim) > until_ns)
			sim_fail(sim, "a scrub is at segment %u after %u s",
				 ret->at, LIMIT_S);
	} while (ret->state != POOL_SCRUB_NONE);
	STAT(sim, scrubs);
	STAT_ADD(sim, scrub_repaired, ret->repaired);
	return true;
}

static bool scrub_twice(struct sim *sim)
{
	struct pool_scrub_info first, second;
	uint32_t before[SEGS];
	uint64_t landed = sim->stats->v[STAT_late_writes];
	bool any = false;

	if (!work_drain(sim))
		return false;
	sealed(sim->life->pool, before);
	if (!scrub_all(sim, before, &first, &any) ||
	    !scrub_all(sim, before, &second, &any))
		return false;
	TRACE(sim, 90, first.found, second.found, "scrubbed: %llu found, %llu "
	      "mended, %llu lost; then %llu",
	      (unsigned long long)first.found,
	      (unsigned long long)first.repaired,
	      (unsigned long long)first.lost_blocks,
	      (unsigned long long)second.found);
	any |= sim->stats->v[STAT_late_writes] != landed;
	if (any || !fault_healthy(sim))
		return true;
	if (second.repaired > 0)
		sim_fail(sim, "a scrub mended %llu blocks right after another "
			 "had mended %llu",
			 (unsigned long long)second.repaired,
			 (unsigned long long)first.repaired);
	STAT(sim, scrub_checks);
	return true;
}

bool scrub_act(struct sim *sim)
{
	struct pool *p = sim->life->pool;

	if (chance(&sim->fault_rng, 1, 150) && fault_healthy(sim))
		return scrub_twice(sim);
	if (!chance(&sim->fault_rng, 1, 100))
		return true;
	switch (prng_below(&sim->fault_rng, 6)) {
	case 0:
		pool_scrub_pause(p);
		break;
	case 1:
		pool_scrub_stop(p);
		break;
	default:
		pool_scrub_start(p);
		break;
	}
	return true;
}
