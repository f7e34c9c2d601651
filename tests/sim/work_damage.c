/* tests/sim/work_damage.c - P4: a block of which more is lost than the redundancy
 * covers is EIO, is listed, and nothing else is; until it is written again, or
 * can be read again.
 *
 * Nothing else is wrong meanwhile: so what is lost is known exactly.
 */
#include <errno.h>
#include <string.h>

#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/pages.h"
#include "tests/sim/work_priv.h"

#define SETTLE_NS (12 * NS_PER_S)
#define WAIT_S    60u

struct victim {
	struct vol_req     req;
	bool               done;
	bool               listed;
	struct vols_damage list;
	uint8_t            buf[TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));
};

static struct victim victim;

static void read_done(struct vol_req *req)
{
	(void)req;
	victim.done = true;
}

static void list_done(struct vols_damage *d)
{
	(void)d;
	victim.listed = true;
}

/* False: the engine stopped. */
static bool read_block(struct sim *sim, int vol, uint64_t block)
{
	memset(&victim.req, 0, sizeof(victim.req));
	victim.req.vol = sim->model->vols[vol].vol;
	victim.req.op = VOL_READ;
	victim.req.off_bytes = block * TARN_BLOCK;
	victim.req.len_bytes = TARN_BLOCK;
	victim.req.buf = victim.buf;
	victim.req.done = read_done;
	victim.done = false;
	vol_submit(&victim.req);
	return life_wait(sim, &victim.done, WAIT_S, "a read of what is lost");
}

static void rot_unit(struct sim *sim, const struct segment *s, uint32_t u,
		     uint32_t off)
{
	const struct pool *p = sim->life->pool;
	struct sim_media  *m = sim->media[s->zones[u].member];

	media_rot(m, &sim->fault_rng,
		  (uint32_t)(zone_off_bytes(p, s->zones[u].zone, off) /
			     TARN_BLOCK));
}

/* Where unit u of s has these bytes: it and all parity, or all copies. */
static unsigned rot_in(struct sim *sim, const struct segment *s, uint32_t u,
		       const uint8_t *data)
{
	const struct pool      *p = sim->life->pool;
	const struct sim_media *m = sim->media[s->zones[u].member];
	uint32_t first = (uint32_t)(zone_off_bytes(p, s->zones[u].zone, 0) /
				    TARN_BLOCK);
	unsigned hits = 0;

	for (uint32_t off = 0; off < p->zone_blocks; off++) {
		if (memcmp(page_data(m->cur[first + off]), data, TARN_BLOCK) !=
		    0)
			continue;
		for (uint32_t v = 0; v < p->units; v++)
			if (v == u || v >= p->k || p->k == 1)
				rot_unit(sim, s, v, off);
		hits++;
	}
	return hits;
}

/* Everywhere, for a row may be written twice. */
static unsigned rot_all(struct sim *sim, const uint8_t *data)
{
	const struct pool *p = sim->life->pool;
	unsigned           hits = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];
		uint32_t units = p->k == 1 ? 1 : p->k;

		for (uint32_t u = 0; seg_may_live(s) && u < units; u++)
			if (s->zones[u].member != ZONE_NONE)
				hits += rot_in(sim, s, u, data);
	}
	return hits;
}

static uint64_t count(const struct sim *sim)
{
	uint64_t more, n = pool_damage_count(sim->life->pool, &more);

	return n + more;
}

void damage_check_none(struct sim *sim)
{
	if (count(sim) != 0)
		sim_fail(sim, "P4: %llu blocks are listed as lost, and none is",
			 (unsigned long long)count(sim));
}

/* It is EIO, and it and nothing else is listed. */
static bool check_lost(struct sim *sim, int vol, uint64_t block)
{
	const struct vol_damage_range *r = victim.list.ranges;
	const struct mvol             *v = &sim->model->vols[vol];

	if (!read_block(sim, vol, block))
		return false;
	if (victim.req.res != -EBADMSG)
		sim_fail(sim, "P4: a read of block %llu of %s, which is lost, "
			 "ends with %d", (unsigned long long)block, v->name,
			 victim.req.res);
	if (count(sim) != 1)
		sim_fail(sim, "%llu blocks are listed as lost, and one is",
			 (unsigned long long)count(sim));
	victim.listed = false;
	victim.list.done = list_done;
	vols_damage_submit(sim->life->vols, &victim.list);
	if (!life_wait(sim, &victim.listed, WAIT_S, "the list of what is lost"))
		return false;
	if (victim.list.nranges != 1 || r->block != block || r->n != 1 ||
	    strcmp(r->name, v->name) != 0)
		sim_fail(sim, "block %llu of %s is lost, and %u ranges are "
			 "listed, the first is %llu+%llu of %s",
			 (unsigned long long)block, v->name,
			 victim.list.nranges, (unsigned long long)r->block,
			 (unsigned long long)r->n, r->name);
	STAT(sim, lost_checks);
	return true;
}

static bool wait_ns(struct sim *sim, uint64_t ns)
{
	uint64_t until_ns = sim_now_ns(sim) + ns;

	while (sim_now_ns(sim) < until_ns)
		if (!life_turn(sim, until_ns - sim_now_ns(sim)))
			return false;
	return true;
}

/* With its neighbours. */
static bool check_fine(struct sim *sim, int vol, uint64_t block)
{
	uint64_t n = sim->model->vols[vol].size_bytes / TARN_BLOCK;

	if (block > 0)
		work_read(sim, vol, block - 1, 1);
	if (block + 1 < n)
		work_read(sim, vol, block + 1, 1);
	return work_drain(sim);
}

/* All is calm and flushed, and the block was just written. */
static bool prepare(struct sim *sim, int *ret_vol, uint64_t *ret_block)
{
	uint64_t usable, n, enospcs;

	fault_calm(sim);
	if (!work_drain(sim) || !wait_ns(sim, SETTLE_NS))
		return false;
	*ret_vol = work_pick_volume(sim);
	n = *ret_vol < 0 ? 0 :
			   sim->model->vols[*ret_vol].size_bytes / TARN_BLOCK;
	if (n == 0 || !fault_healthy(sim) ||
	    2 * space_used(sim, &usable) > usable) {
		*ret_vol = -1;
		return true;
	}
	fault_heal(sim);
	*ret_block = prng_below(&sim->rng, n);
	enospcs = sim->work->enospcs;
	work_write(sim, *ret_vol, *ret_block);
	if (!work_drain(sim))
		return false;
	/* There was no space: what is there now may be anything. */
	if (sim->work->enospcs != enospcs) {
		*ret_vol = -1;
		return true;
	}
	work_flush(sim, *ret_vol);
	return work_drain(sim) && wait_ns(sim, NS_PER_S) &&
	       read_block(sim, *ret_vol, *ret_block);
}

bool work_damage(struct sim *sim)
{
	uint64_t block;
	int      vol;

	/* What is in memory can be had. */
	if (sim->cfg.cache_bytes > 0)
		return true;
	if (!prepare(sim, &vol, &block))
		return false;
	if (vol < 0)
		return true;
	damage_check_none(sim);
	if (rot_all(sim, victim.buf) == 0)
		sim_fail(sim, "block %llu of %s is on no disk",
			 (unsigned long long)block,
			 sim->model->vols[vol].name);
	if (!check_lost(sim, vol, block) || !check_fine(sim, vol, block))
		return false;
	/* The cleaner, commits and a scrub go over it. */
	if (chance(&sim->rng, 1, 2)) {
		pool_scrub_start(sim->life->pool);
		if (!wait_ns(sim, SETTLE_NS) || !check_lost(sim, vol, block))
			return false;
	}
	if (chance(&sim->rng, 1, 2)) {
		work_write(sim, vol, block);
		if (!work_drain(sim))
			return false;
		fault_heal(sim);
	} else {
		fault_heal(sim);
		if (!read_block(sim, vol, block))
			return false;
	}
	damage_check_none(sim);
	work_read(sim, vol, block, 1);
	return work_drain(sim);
}
