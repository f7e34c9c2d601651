/* tests/sim/seed.c - the story of one seed:
 *
 *	make a pool and volumes
 *	several shifts: requests and faults, then the server dies, with or
 *		without the power of the disks, or closes; it is started
 *		again, perhaps dying in the middle of that, more than once;
 *		everything is read and judged
 *	a clean end, and a complete check of what is on the disks
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pool/label_format.h"
#include "tests/sim/fault.h"
#include "tests/sim/moment.h"
#include "tests/sim/offline.h"
#include "tests/sim/seed.h"
#include "tests/sim/work.h"

#define CRASHES_MIN 3u
/* The pool takes no disk that has fewer. */
#define ZONES_MIN   24u

static const struct {
	uint8_t k, m, weight;
} redundancies[] = {
	{ 1, 1, 24 }, { 2, 1, 20 }, { 1, 0, 8 },  { 1, 2, 14 }, { 4, 2, 14 },
	{ 8, 3, 8 },  { 3, 2, 5 },  { 16, 4, 2 }, { 3, 1, 3 },  { 2, 2, 2 },
};

static void choose_redundancy(struct sim_config *c, struct prng *rng)
{
	uint64_t x = prng_below(rng, 100);
	unsigned i = 0;

	while (x >= redundancies[i].weight)
		x -= redundancies[i++].weight;
	c->k = redundancies[i].k;
	c->m = redundancies[i].m;
}

static void choose(struct sim *sim, const struct seed_options *opt)
{
	static const uint32_t rows_max[] = { 8, 32, 64, 257 };
	struct sim_config *c = &sim->cfg;
	struct prng       *rng = &sim->rng;
	uint32_t           units, segments, zones, room;

	c->k = opt->k;
	c->m = opt->m;
	if (c->k == 0)
		choose_redundancy(c, rng);
	units = c->k + c->m;
	c->disks_a_domain = units <= 4 && chance(rng, 1, 6) ? 2 : 1;
	room = SIM_DISKS_MAX / c->disks_a_domain - units;
	c->ndisks = units + (uint32_t)prng_below(rng, min_u32(room, 2) + 1);
	c->ndisks *= c->disks_a_domain;
	c->row_blocks_max = chance(rng, 1, 2) ?
				    0 :
				    rows_max[prng_below(rng, 4)];
	/* The largest row must not be most of a zone. */
	c->zone_shift = ZONE_SHIFT_MIN;
	if ((c->k == 1 && (c->row_blocks_max == 0 || c->row_blocks_max > 64)) ||
	    chance(rng, 1, 4))
		c->zone_shift++;
	segments = (uint32_t)between(rng, 28, c->k > 4 ? 36 : 56);
	zones = max_u32((uint32_t)div_up((uint64_t)segments * units,
					 c->ndisks),
			ZONES_MIN);
	c->disk_blocks = 2 * LABEL_AREA_BLOCKS + (zones << c->zone_shift);
	c->node_budget_bytes = 1ull << between(rng, 18, 22);
	c->dirty_nodes_max = between(rng, 16, 64);
	c->cache_bytes = chance(rng, 1, 2) ? 0 : 1ull << between(rng, 16, 21);
	c->commit_log_bytes = 1ull << between(rng, 20, 23);
	c->rows_memory_bytes = 1ull << between(rng, 22, 24);
	c->bufs_bytes = 1ull << between(rng, 25, 26);
	c->rebuild_delay_ns = (1ull << between(rng, 0, 12)) * NS_PER_MS;
	TRACE(sim, 60, c->k, c->m, "%u+%u on %u disks of %u blocks, %u a "
	      "domain, zones of 2^%u, rows of %u, nodes %llu KiB, cache %llu "
	      "KiB, commit log %llu KiB", c->k, c->m, c->ndisks,
	      c->disk_blocks, c->disks_a_domain, c->zone_shift,
	      c->row_blocks_max,
	      (unsigned long long)c->node_budget_bytes >> 10,
	      (unsigned long long)c->cache_bytes >> 10,
	      (unsigned long long)c->commit_log_bytes >> 10);
}

static struct sim *sim_open(const struct seed_options *opt,
			    struct sim_stats *stats)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert(sim != NULL);
	sim_current = sim;
	sim->seed = opt->seed;
	sim->steps = opt->steps;
	sim->trace = opt->trace;
	sim->stats = stats;
	sim->now_ns = 1000 * NS_PER_S;
	prng_init(&sim->rng, opt->seed);
	prng_init(&sim->disk_rng, opt->seed ^ 0xd15c);
	prng_init(&sim->fault_rng, opt->seed ^ 0xfa017);
	pages_open();
	choose(sim, opt);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		uint32_t extra = (uint32_t)prng_below(&sim->rng, 3)
				 << sim->cfg.zone_shift;

		sim->media[i] = media_open(sim, i,
					   i / sim->cfg.disks_a_domain,
					   sim->cfg.disk_blocks + extra +
						   i % 2 * 17);
	}
	sim->model = model_open(sim);
	fault_open(sim);
	work_open(sim);
	return sim;
}

/* How long a server lives that is killed while it opens the pool.  Half of all
 * such deaths by time come before it has found out what there is to do, so the
 * others are counted in writes: those are few, and after each of them there is
 * something else on the disks for the next one to find. */
static struct life_span short_life(struct sim *sim)
{
	struct life_span span = { .events = 1ull << between(&sim->rng, 2, 11) };

	span.events = between(&sim->rng, span.events / 2, span.events);
	if (chance(&sim->rng, 1, 2)) {
		span.events = UINT64_MAX;
		span.writes = between(&sim->rng, 1,
				      1ull << between(&sim->rng, 0, 6));
		span.events_after = 1ull << between(&sim->rng, 0, 4);
		span.events_after = prng_below(&sim->rng, span.events_after);
	}
	return span;
}

/* Start the server until it stays up.  The first attempts may be killed in
 * the middle. */
static void start(struct sim *sim, bool force)
{
	unsigned deaths = chance(&sim->rng, 1, 2) ?
				  0 :
				  (unsigned)between(&sim->rng, 1, 3);
	struct life_span span = { .events = UINT64_MAX };

	for (unsigned attempt = 0; attempt < 64; attempt++) {
		bool power;

		/* What kills a server may be there still when the next one
		 * comes to the same place. */
		if (deaths == 0)
			span = (struct life_span){ .events = UINT64_MAX };
		else if (attempt == 0 || chance(&sim->rng, 1, 2))
			span = short_life(sim);
		switch (life_open(sim, force, &span)) {
		case LIFE_OK:
			STAT_ADD(sim, forced_opens, force);
			return;
		case LIFE_KILLED:
			STAT(sim, kills_in_recovery);
			power = chance(&sim->rng, 1, 3);
			life_kill(sim, power);
			if (power)
				sim->model->power = true;
			if (chance(&sim->rng, 1, 2))
				offline_audit(sim);
			deaths--;
			force = false;
			fault_between_lives(sim);
			break;
		case LIFE_REFUSED:
			STAT(sim, refused_opens);
			if (force)
				sim_fail(sim, "the pool does not open by force "
					 "with at most %u domains damaged: %s",
					 sim->cfg.m, sim->refusal);
			TRACE(sim, 61, 0, 0, "refused: %s", sim->refusal);
			/* Missing disks come back, if there are any; force
			 * only helps against damaged ones. */
			if (!fault_return_all(sim) ||
			    chance(&sim->rng, 1, 4))
				force = true;
			break;
		}
	}
	sim_fail(sim, "the pool does not open: %s", sim->refusal);
}

/* The server is gone; what must be true is. */
static void crash(struct sim *sim, bool power)
{
	model_crash(sim->model, power);
	work_forget(sim);
	if (chance(&sim->rng, 1, 2))
		offline_audit(sim);
	if (chance(&sim->rng, 1, 8)) {
		STAT(sim, takeovers);
		sim->takeover++;
	}
	fault_between_lives(sim);
	start(sim, false);
	work_attach(sim);
	work_verify(sim);
}

static void kill_now(struct sim *sim)
{
	bool power = chance(&sim->rng, 1, 2);

	if (power)
		STAT(sim, power_losses);
	else
		STAT(sim, kills);
	life_kill(sim, power);
	crash(sim, power);
}

/* A clean end of the server, then a look at the disks. */
static void close_now(struct sim *sim, bool last)
{
	uint64_t      events = UINT64_MAX;
	enum life_end end;

	if (!last && chance(&sim->rng, 1, 4))
		events = between(&sim->rng, 1, 200);
	work_leave(sim);
	if (!work_drain(sim))
		sim_fail(sim, "the engine stopped by itself");
	work_detach(sim);
	end = life_close(sim, events);
	if (end == LIFE_KILLED) {
		kill_now(sim);
		return;
	}
	/* Everything was answered, so everything must be there. */
	model_crash(sim->model, false);
	work_forget(sim);
	if (end == LIFE_OK && (last || chance(&sim->rng, 1, 2)))
		offline_check(sim);
	if (end == LIFE_OK)
		offline_audit(sim);
	if (end == LIFE_OK && last)
		return;
	if (!last)
		fault_between_lives(sim);
	/* What ended for lack of space has it when an operator says so. */
	start(sim, end != LIFE_OK);
	work_attach(sim);
	work_verify(sim);
	if (last)
		close_now(sim, true);
}

/* Requests until the server dies or closes. */
static void shift(struct sim *sim, uint64_t steps, bool must_crash)
{
	bool crash_inside = must_crash || chance(&sim->rng, 3, 4);

	if (!work_run(sim, steps))
		sim_fail(sim, "the engine stopped by itself");
	if (chance(&sim->fault_rng, 1, 4) && !work_slow(sim))
		sim_fail(sim, "the engine stopped by itself");
	if (chance(&sim->fault_rng, 1, 4) && !work_rest(sim))
		sim_fail(sim, "the engine stopped by itself");
	if (chance(&sim->fault_rng, 1, 6) && !work_damage(sim))
		sim_fail(sim, "the engine stopped by itself");
	if (!crash_inside) {
		close_now(sim, false);
		return;
	}
	/* Trouble seldom comes alone. */
	if (chance(&sim->fault_rng, 1, 3))
		fault_inject(sim);
	/* Go on until the axe falls, between any two events. */
	moment_choose(sim);
	while (work_run(sim, 16))
		;
	kill_now(sim);
}

uint64_t seed_run(const struct seed_options *opt, struct sim_stats *stats)
{
	struct sim *sim = sim_open(opt, stats);
	uint64_t    shifts = between(&sim->rng, CRASHES_MIN + 1, 7);

	life_create(sim);
	if (!work_first_volumes(sim))
		sim_fail(sim, "the engine stopped by itself");
	for (uint64_t i = 0; i < shifts; i++)
		shift(sim, sim->steps / shifts + 1, i < CRASHES_MIN);
	fault_calm(sim);
	close_now(sim, true);
	return sim->hash;
}
