/* tests/sim/work_rest.c - what moves between the disks of a pool that nobody
 * uses comes to an end, and begins no more by itself (P14); and then there is
 * the room that the pool says there is (P12).
 */
#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/work_priv.h"

/* Other things that go on, as what is deleted in the background, may make disks
 * uneven for a while: so long. */
#define REST_NS (240 * NS_PER_S)
/* It rests if nothing has moved for so long. */
#define IDLE_NS (20 * NS_PER_S)

static bool is_whole(struct sim *sim, struct pool_info *ret)
{
	pool_get_info(sim->life->pool, ret);
	return ret->health == POOL_ONLINE && ret->rebuild_units == 0 &&
	       ret->segments_degraded == 0 && !sim->work->disks.busy &&
	       fault_none(sim);
}

static bool wait_ns(struct sim *sim, uint64_t ns)
{
	uint64_t until_ns = sim_now_ns(sim) + ns;

	while (sim_now_ns(sim) < until_ns)
		if (!life_turn(sim, until_ns - sim_now_ns(sim)))
			return false;
	return true;
}

bool work_rest(struct sim *sim)
{
	uint64_t         end_ns = sim_now_ns(sim) + REST_NS;
	struct pool_info info, before;
	bool             whole;
	int              vol;

	fault_calm(sim);
	if (!work_drain(sim))
		return false;
	do {
		if (sim_now_ns(sim) > end_ns)
			sim_fail(sim, "P14: units go on moving: %llu have",
				 (unsigned long long)info.moved_units);
		whole = is_whole(sim, &before);
		if (!wait_ns(sim, IDLE_NS))
			return false;
		whole &= is_whole(sim, &info);
	} while (info.move_units > 0 || info.moved_units > before.moved_units);
	/* Some are not whole before a disk is added, or blocks heal. */
	if (!whole)
		return true;
	STAT(sim, rests);
	vol = work_pick_volume(sim);
	if (vol < 0)
		return true;
	/* ENOSPC is judged when it ends. */
	work_write(sim, vol, 0);
	return work_drain(sim);
}
