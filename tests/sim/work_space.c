/* tests/sim/work_space.c - P12: space is honest. */
#include <errno.h>
#include <string.h>

#include "pool/core.h"
#include "tests/sim/work_priv.h"

uint64_t space_used(struct sim *sim, uint64_t *ret_usable)
{
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	*ret_usable = info.usable_blocks;
	return info.used_blocks + info.reserved_blocks + info.kept_blocks;
}

/* As long as a request may take: what is refused now may have been so then. */
#define DRAINED_NS (10 * NS_PER_S)

/* A commit waits for it for longer than a request may wait for a commit. */
static bool disk_is_late(struct sim *sim, const struct pool_info *info)
{
	for (uint32_t i = 0; i < info->nmembers; i++) {
		struct member_info m;

		pool_get_member(sim->life->pool, i, &m);
		if (m.state != MEMBER_REMOVED &&
		    (m.state != MEMBER_ONLINE || m.slow))
			return true;
	}
	return false;
}

/* Blocks that cannot be had just now of what the pool says is usable; all of
 * it while disks are out, or so late that no commit ends in time.  A segment in
 * quarantine is worth no more than its zones; one that only waits for its trim
 * is there for who needs it. */
static uint64_t space_withheld(struct sim *sim)
{
	uint64_t         stayed_ns = sim->work->disks.stayed_ns;
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	if (info.health != POOL_ONLINE || disk_is_late(sim, &info) ||
	    (stayed_ns > 0 && sim_now_ns(sim) < stayed_ns + DRAINED_NS))
		return info.usable_blocks;
	return info.segments_quarantined * ((uint64_t)info.k
					    << info.zone_shift);
}

static bool pool_is_degraded(struct sim *sim)
{
	return space_withheld(sim) > 0;
}

/* What is usable: of late too, if a disk came since then. */
static uint64_t usable_lately(struct sim *sim, uint64_t usable)
{
	const struct disk_work *w = &sim->work->disks;

	return w->grown_ns > 0 && sim_now_ns(sim) < w->grown_ns + DRAINED_NS ?
		       min_u64(usable, w->usable_before) :
		       usable;
}

/* So much more than is usable may be in use or kept.  Where there are more
 * domains than units, room for a rebuild is not usable, and a disk may be
 * drained into it: it is let go if all that is in use and kept fits on the others
 * without that room (pool_plan_drain()), and from the moment when it drains only
 * the others are usable.  So as long as a disk is going or gone, that room may be
 * used up, and so it may when one comes back as a witness, without zones.  When
 * it stays or another comes, at least what was usable before is so
 * again; and nobody but disk_act() changes what there is. */
static uint64_t room_left(struct sim *sim, const struct pool_info *info)
{
	for (uint32_t i = 0; i < info->nmembers; i++) {
		const struct member *m = sim->life->pool->members[i];

		if (m->removed || m->flags != 0 || member_is_witness(m))
			return info->room_blocks;
	}
	return 0;
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
	uint64_t less = space_withheld(sim);

	usable = usable_lately(sim, usable);
	STAT(sim, enospc_checks);
	if (less == 0)
		STAT(sim, enospc_whole);
	TRACE(sim, 40, now, usable, "ENOSPC: %llu of %llu blocks used, %llu "
	      "wanted", (unsigned long long)now, (unsigned long long)usable,
	      (unsigned long long)blocks);
	if (need + less < usable)
		sim_fail(sim, "P12: ENOSPC for %llu blocks while %llu of %llu "
			 "usable blocks are used (%llu when it was submitted) "
			 "and at most %llu withheld",
			 (unsigned long long)blocks, (unsigned long long)now,
			 (unsigned long long)usable,
			 (unsigned long long)used,
			 (unsigned long long)less);
}

void space_check_write(struct sim *sim, unsigned vol, uint64_t used,
		       uint64_t blocks)
{
	if (space_withheld(sim) == 0 && reserve_covers(sim, vol, blocks))
		sim_fail(sim, "P12: ENOSPC for volume %s, which has a reserve",
			 sim->model->vols[vol].name);
	space_check_enospc(sim, used, blocks);
}

void space_check_frees(struct sim *sim, const struct vol_ctl *ctl)
{
	/* While disks are out or zones in quarantine, there may be no room to
	 * make room. */
	if (ctl->res == -ENOSPC && !pool_is_degraded(sim) &&
	    strstr(ctl->error, "for its reserve") == NULL)
		sim_fail(sim, "P12: what makes room finds none: %s",
			 ctl->error);
}

void space_look(struct sim *sim)
{
	uint64_t usable;
	uint64_t used = space_used(sim, &usable);
	struct pool_info info;
	uint64_t most;

	pool_get_info(sim->life->pool, &info);
	most = usable + room_left(sim, &info);
	/* What is kept for volumes must be there, or it would be no promise.
	 * Nodes and tables come on top of what was let in. */
	if (used > most + most / 32 + 64 && !pool_is_degraded(sim))
		sim_fail(sim, "P12: %llu blocks used and %llu kept of %llu "
			 "usable ones",
			 (unsigned long long)(used - info.kept_blocks),
			 (unsigned long long)info.kept_blocks,
			 (unsigned long long)usable);
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
