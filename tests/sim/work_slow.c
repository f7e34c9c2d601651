/* tests/sim/work_slow.c - P6: one slow disk never stops the log, nor those who
 * read.
 *
 * When nothing is wrong and segments are listed that avoid the disks of some
 * weak domains, those disks hang or become slow, in the middle of writes.  No
 * write takes longer than SLOW_LIMIT_NS then, though a request to a disk that
 * hangs takes twice that to time out.  Nor does a small read.
 */
#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/work_priv.h"

#define SLOW_LIMIT_NS (2 * NS_PER_S)
#define SETTLE_NS     (12 * NS_PER_S)
#define WRITES        24u
#define READS         48u
#define READ_BLOCKS   8u
#define DEPTH         3u
/* A class of rows may need one each. */
#define SPARE_SEGS    LOG_CLASSES

static bool on_stalled(const struct pool *p, const struct segment *s,
		       const bool *disks)
{
	for (uint32_t u = 0; u < p->units; u++) {
		if (s->zones[u].member == ZONE_NONE ||
		    disks[s->zones[u].member])
			return true;
	}
	return false;
}

/* Are there segments that the log may open without those disks? */
static bool avoidable(struct sim *sim, const bool *disks)
{
	const struct pool *p = sim->life->pool;
	uint32_t           n = 0, passed = 0;

	for (uint32_t i = 1; i <= p->nsegs && passed <= LATE_PASSED_MAX; i++) {
		const struct segment *s = p->segs[i];

		if (s->state != SEG_OPENABLE)
			continue;
		if (on_stalled(p, s, disks))
			passed++;
		else
			n++;
	}
	return n >= SPARE_SEGS &&
	       p->openable >= segs_keep(p, LOG_CLIENT) + 2 * SPARE_SEGS &&
	       p->sealed_dead == 0 && !commit_running(p);
}

static bool room(struct sim *sim)
{
	uint64_t usable, used = space_used(sim, &usable);

	return 2 * used < usable;
}

static void check_requests(struct sim *sim)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		const struct slot *s = &sim->work->slots[i];
		uint64_t           ns = sim_now_ns(sim) - s->submit_ns;

		if (s->busy && ns > SLOW_LIMIT_NS)
			sim_fail(sim, "P6: with slow disks, and others to "
				 "use, a %s took %llu ms",
				 s->req.op == VOL_WRITE ? "write" : "read",
				 (unsigned long long)(ns / NS_PER_MS));
	}
}

/* Faults end, and the pool has time to come to itself. */
static bool settle(struct sim *sim)
{
	uint64_t until_ns;

	fault_calm(sim);
	if (!work_drain(sim))
		return false;
	until_ns = sim_now_ns(sim) + SETTLE_NS;
	while (sim_now_ns(sim) < until_ns)
		if (!life_turn(sim, until_ns - sim_now_ns(sim)))
			return false;
	return true;
}

/* Small ones, anywhere in the volume. */
static bool slow_reads(struct sim *sim, int vol)
{
	struct work *w = sim->work;
	uint64_t     blocks = sim->model->vols[vol].size_bytes / TARN_BLOCK;

	for (unsigned i = 0; i < READS || w->inflight > 0;) {
		for (; i < READS && w->inflight < DEPTH; i++) {
			uint32_t n = (uint32_t)between(&sim->rng, 1,
						       READ_BLOCKS);
			uint64_t at;

			n = (uint32_t)min_u64(n, blocks);
			at = prng_below(&sim->rng, blocks - n + 1);
			work_read(sim, vol, at, n);
			STAT(sim, slow_reads_checked);
		}
		if (!life_turn(sim, NS_PER_MS))
			return false;
		check_requests(sim);
	}
	return true;
}

bool work_slow(struct sim *sim)
{
	const struct sim_config *c = &sim->cfg;
	struct work             *w = sim->work;
	unsigned domains = c->ndisks / c->disks_a_domain;
	bool     disks[SIM_DISKS_MAX];
	bool     stalled = false;
	int      vol;

	if (c->m == 0 || domains <= c->k + c->m)
		return true;
	if (!settle(sim))
		return false;
	vol = work_pick_volume(sim);
	if (vol < 0 || sim->model->vols[vol].size_bytes < DEPTH * TARN_BLOCK ||
	    !room(sim))
		return true;
	/* What it needs of the map is in memory then, and all is flushed. */
	work_write(sim, vol, 0);
	if (!work_drain(sim))
		return false;
	work_flush(sim, vol);
	if (!work_drain(sim))
		return false;
	if (!fault_choose_stall(sim, domains - c->k - c->m, disks) ||
	    !avoidable(sim, disks))
		return true;
	STAT(sim, slow_checks);
	for (unsigned i = 0; i < WRITES || w->inflight > 0;) {
		for (; i < WRITES && w->inflight < DEPTH; i++)
			work_write(sim, vol, i % DEPTH);
		if (!stalled)
			fault_stall(sim, disks);
		stalled = true;
		if (!life_turn(sim, NS_PER_MS))
			return false;
		check_requests(sim);
	}
	return slow_reads(sim, vol);
}
