/* tests/sim/work_space.c - P12: space is honest. */
#include <errno.h>

#include "tests/sim/work_priv.h"

uint64_t space_used(struct sim *sim, uint64_t *ret_usable)
{
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	*ret_usable = info.usable_blocks;
	return info.used_blocks + info.reserved_blocks;
}

/* As long as a request may take: what is refused now may have been so then. */
#define DRAINED_NS (10 * NS_PER_S)

static bool pool_is_degraded(struct sim *sim)
{
	uint64_t         stayed_ns = sim->work->disks.stayed_ns;
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	return info.health != POOL_ONLINE || info.segments_quarantined > 0 ||
	       (stayed_ns > 0 && sim_now_ns(sim) < stayed_ns + DRAINED_NS);
}

static uint64_t inflight_blocks(const struct sim *sim)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		const struct slot *s = &sim->work->slots[i];

		if (s->busy && s->op != 0)
			n += s->req.len_bytes / TARN_BLOCK + 2;
	}
	return n;
}

void space_check_enospc(struct sim *sim, uint64_t used, uint64_t blocks)
{
	uint64_t usable;
	uint64_t now = space_used(sim, &usable);
	/* Leaves and inner nodes that the new blocks may need. */
	uint64_t nodes = blocks / 32 + 8;
	uint64_t need = max_u64(now, used) + blocks + nodes + usable / 32;

	STAT(sim, enospc_checks);
	TRACE(sim, 40, now, usable, "ENOSPC: %llu of %llu blocks used, %llu "
	      "wanted", (unsigned long long)now, (unsigned long long)usable,
	      (unsigned long long)blocks);
	/* While disks are out or zones in quarantine, less fits. */
	if (need < usable && !pool_is_degraded(sim))
		sim_fail(sim, "P12: ENOSPC for %llu blocks while %llu of %llu "
			 "usable blocks are used (%llu when it was submitted)",
			 (unsigned long long)blocks, (unsigned long long)now,
			 (unsigned long long)usable,
			 (unsigned long long)used);
}

void space_check_frees(struct sim *sim, const struct vol_ctl *ctl)
{
	/* While disks are out or zones in quarantine, there may be no room to
	 * make room. */
	if (ctl->res == -ENOSPC && !pool_is_degraded(sim))
		sim_fail(sim, "P12: what makes room finds none: %s",
			 ctl->error);
}

void space_look(struct sim *sim)
{
	uint64_t usable;
	uint64_t used = space_used(sim, &usable);

	/* Nodes and tables come on top of what was let in. */
	if (used > usable + usable / 32 + 64 && !pool_is_degraded(sim))
		sim_fail(sim, "P12: %llu blocks used of %llu usable ones",
			 (unsigned long long)used, (unsigned long long)usable);
	sim->work->pressed |= used + inflight_blocks(sim) > usable / 2 ||
			      pool_is_degraded(sim);
	sim->model->full = used + inflight_blocks(sim) > usable / 8 * 7 ||
			   pool_is_degraded(sim);
}

void space_check_mapped(struct sim *sim)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		const struct mvol *v = &sim->model->vols[i];
		struct volume_info info;
		uint64_t           lo, hi;

		if (!v->alive)
			continue;
		model_mapped(sim->model, i, &lo, &hi);
		vol_info(v->vol, &info);
		/* What a shrinking cut off goes in the background. */
		for (unsigned t = 0; info.mapped_blocks > hi && t < 2000; t++) {
			life_turn(sim, 10 * NS_PER_MS);
			vol_info(v->vol, &info);
		}
		if (info.mapped_blocks < lo || info.mapped_blocks > hi)
			sim_fail(sim, "P12: volume %s says that it has %llu "
				 "blocks mapped, it must be %llu to %llu",
				 v->name,
				 (unsigned long long)info.mapped_blocks,
				 (unsigned long long)lo,
				 (unsigned long long)hi);
	}
}
