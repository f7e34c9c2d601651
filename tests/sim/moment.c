/* tests/sim/moment.c - see moment.h. */
#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"
#include "tests/sim/moment.h"

/* How many events it is waited for. */
#define WAIT_EVENTS 6000u
/* How long a disk does not flush. */
#define HOLD_NS     (500 * NS_PER_MS)

void moment_choose(struct sim *sim)
{
	struct sim_io *io = &sim->life->io;

	io->events_left = between(&sim->rng, 0, 600);
	if (chance(&sim->fault_rng, 1, 2))
		return;
	sim->moment = (uint8_t)prng_below(&sim->fault_rng, MOMENTS);
	TRACE(sim, 64, sim->moment, 0, "death in moment %u", sim->moment);
	if (sim->moment == MOMENT_NONE)
		return;
	io->events_left = WAIT_EVENTS;
	pool_commit_want(sim->life->pool);
}

void moment_forget(struct sim *sim)
{
	sim->moment = MOMENT_NONE;
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i]->hold_flush_ns = 0;
}

/* The server has so many events left at most. */
static void come(struct sim *sim, uint64_t events)
{
	struct sim_io *io = &sim->life->io;

	events = between(&sim->fault_rng, 0, events);
	io->events_left = min_u64(io->events_left, events);
	TRACE(sim, 65, sim->moment, io->events_left, "moment %u has come, %llu "
	      "events to live", sim->moment,
	      (unsigned long long)io->events_left);
	STAT(sim, moments);
	moment_forget(sim);
}

static bool trims_inflight(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++)
		if (p->members[i]->trim.inflight)
			return true;
	return false;
}

static struct sim_media *holding(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		if (sim->media[i]->hold_flush_ns > 0)
			return sim->media[i];
	return NULL;
}

static void commit_flush(struct sim *sim)
{
	const struct pool *p = sim->life->pool;
	struct sim_media  *m = holding(sim);

	if (m == NULL && commit_running(p) && p->commit.state == COMMIT_NODES) {
		m = sim->cfg.m > 0 ? fault_pick_weak(sim) : NULL;
		if (m == NULL)
			moment_forget(sim);
		else
			m->hold_flush_ns = sim_now_ns(sim) + HOLD_NS;
	} else if (m != NULL && m->hold_flush_ns <= sim_now_ns(sim)) {
		moment_forget(sim);
	} else if (m != NULL && p->commit.state == COMMIT_FLUSH) {
		m->hold_flush_ns = 0;
		m->arm_flush_fail = 1;
		sim->moment = MOMENT_COMMIT_DONE;
	}
}

void moment_tick(struct sim *sim)
{
	const struct pool *p;

	if (sim->moment == MOMENT_NONE || !sim->life->open)
		return;
	p = sim->life->pool;
	switch ((enum moment)sim->moment) {
	case MOMENT_TRIM:
		if (trims_inflight(p))
			come(sim, 20);
		break;
	case MOMENT_TRIM_COMMIT:
		if (trims_inflight(p) && commit_running(p) &&
		    p->commit.state != COMMIT_NODES)
			come(sim, 20);
		break;
	case MOMENT_COMMIT_FLUSH:
		commit_flush(sim);
		break;
	case MOMENT_COMMIT_DONE:
		if (!commit_running(p))
			come(sim, 100);
		break;
	case MOMENT_NONE:
		break;
	}
}
