/* tests/sim/life.c - see life.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"
#include "tests/sim/moment.h"

#define TURN_WAIT_NS   (20 * NS_PER_MS)
#define OPEN_LIMIT_S   120u
#define TURNS_MAX      (20u * 1000 * 1000)

static void on_log(void *arg, const char *line)
{
	struct life *l = arg;

	TRACE(l->sim, 10, strlen(line), 0, "pool: %s", line);
}

static void on_failed(void *arg, int res, const char *why)
{
	struct life *l = arg;

	TRACE(l->sim, 11, res, 0, "pool failed: %s (%d)", why, res);
	l->failed = true;
	snprintf(l->why, sizeof(l->why), "%s", why);
}

static void on_op(struct pool_op *op)
{
	struct life *l = container_of(op, struct life, op);

	TRACE(l->sim, 12, op->res, 0, "pool operation ended: %d %s", op->res,
	      op->res != 0 ? op->error : "");
	l->op_done = true;
}

static struct uuid uuid_of(uint64_t a, uint64_t b)
{
	struct uuid u;

	memcpy(u.b, &a, 8);
	memcpy(u.b + 8, &b, 8);
	return u;
}

static struct life *life_new(struct sim *sim)
{
	const struct sim_config *cfg = &sim->cfg;
	struct life             *l = calloc(1, sizeof(*l));
	struct volumes_params    vp = {
		.node_budget_bytes = cfg->node_budget_bytes,
		.cache_bytes = cfg->cache_bytes,
		.dirty_nodes_max = cfg->dirty_nodes_max,
	};
	struct pool_params pp = {
		.client = vols_log_client_ops(),
		.rows_memory_bytes = cfg->rows_memory_bytes,
		.commit_log_bytes = cfg->commit_log_bytes,
		.rebuild_delay_ns = cfg->rebuild_delay_ns,
		.log = on_log,
		.failed = on_failed,
	};
	int r;

	assert(l != NULL && sim->life == NULL);
	memset(sim->out, 0, sizeof(sim->out));
	moment_forget(sim);
	l->sim = sim;
	STAT(sim, lives);
	sim_io_open(&l->io, sim->now_ns, prng_u64(&sim->disk_rng));
	r = bufpool_open(cfg->bufs_bytes, &l->bufs);
	if (r == 0)
		r = vols_open(&l->io.io, &vp, &l->vols);
	if (r != 0)
		sim_fail(sim, "the volumes did not open: %d", r);
	pp.client_arg = l->vols;
	pp.arg = l;
	/* The same machine as before takes over at once; another waits. */
	pp.owner.machine = uuid_of(1, sim->takeover);
	pp.owner.boot = uuid_of(2, sim->boots);
	pp.owner.instance = uuid_of(3, sim->stats->v[STAT_lives]);
	r = pool_new(&l->io.io, &pp, &l->pool);
	if (r != 0)
		sim_fail(sim, "no pool object: %d", r);
	vols_attach(l->vols, l->pool);
	l->op.done = on_op;
	sim->life = l;
	return l;
}

/* Connect to every disk that is there and that nobody is connected to. */
static unsigned connect_disks(struct sim *sim, struct pool_disk *disks,
			      char domains[][32])
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];

		if (m->handle != NULL || m->gone || m->hung)
			continue;
		snprintf(domains[n], 32, "host%u", m->domain);
		disks[n].disk = &sim_disk_open(&sim->life->io, m)->d;
		disks[n].domain = domains[n];
		n++;
	}
	return n;
}

/* Everything of a life but its memory ends. */
static void drop(struct sim *sim)
{
	struct life *l = sim->life;

	sim->now_ns = l->io.io.now_ns + NS_PER_MS;
	sim_io_close(&l->io);
	bufpool_abandon(l->bufs);
	sim->life = NULL;
}

/* Give everything back, as tarnd does, and see that nothing was kept. */
static void end_cleanly(struct sim *sim)
{
	struct life *l = sim->life;

	pool_free(l->pool);
	vols_close(l->vols);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		if (sim->media[i]->handle != NULL)
			sim_fail(sim, "disk %u was left open", i);
	if (bufpool_used_bytes(l->bufs) != 0)
		sim_fail(sim, "%zu bytes of buffers were not given back",
			 bufpool_used_bytes(l->bufs));
	drop(sim);
	free(l);
}

bool life_turn(struct sim *sim, uint64_t max_wait_ns)
{
	struct life *l = sim->life;
	int          r;

	fault_tick(sim);
	moment_tick(sim);
	sim_late_run(sim);
	r = io_run(&l->io.io, min_u64(max_wait_ns, TURN_WAIT_NS));
	if (l->io.turns > TURNS_MAX)
		sim_fail(sim, "the server runs in circles");
	if (r == -EINTR)
		return false;
	if (r != 0)
		sim_fail(sim, "the engine broke: %d", r);
	return true;
}

bool life_wait(struct sim *sim, const bool *flag, unsigned limit_s,
	       const char *what)
{
	uint64_t until_ns = sim_now_ns(sim) + limit_s * NS_PER_S;

	while (!*flag) {
		if (!life_turn(sim, UINT64_MAX))
			return false;
		if (sim_now_ns(sim) > until_ns)
			sim_fail(sim, "%s did not end within %u s", what,
				 limit_s);
	}
	return true;
}

enum life_end life_create(struct sim *sim)
{
	const struct sim_config *cfg = &sim->cfg;
	struct life             *l = life_new(sim);
	struct pool_disk         disks[SIM_DISKS_MAX];
	char                     domains[SIM_DISKS_MAX][32];
	struct pool_create_params cp = {
		.name = "sim",
		.k = cfg->k,
		.m = cfg->m,
		.zone_shift = cfg->zone_shift,
		.row_blocks_max = cfg->row_blocks_max,
		.domain_disk = cfg->disks_a_domain == 1,
		.now_s = 1700000000,
	};
	unsigned n = connect_disks(sim, disks, domains);

	cp.uuid = sim->pool_uuid = uuid_of(prng_u64(&sim->rng), sim->seed);
	pool_create(l->pool, &cp, disks, n, &l->op);
	if (!life_wait(sim, &l->op_done, OPEN_LIMIT_S, "creating the pool"))
		return LIFE_KILLED;
	if (l->op.res != 0)
		sim_fail(sim, "the pool could not be made: %s", l->op.error);
	l->open = true;
	return LIFE_OK;
}

static bool all_closed(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		if (sim->media[i]->handle != NULL)
			return false;
	return true;
}

enum life_end life_open(struct sim *sim, bool force,
			const struct life_span *span)
{
	struct life            *l = life_new(sim);
	struct pool_disk        disks[SIM_DISKS_MAX];
	char                    domains[SIM_DISKS_MAX][32];
	struct pool_open_params op = {
		.uuid = sim->pool_uuid,
		.force = force,
	};
	unsigned n = connect_disks(sim, disks, domains);

	TRACE(sim, 13, n, force, "opening with %u disks%s", n,
	      force ? ", by force" : "");
	l->io.events_left = span->events;
	l->io.writes_left = span->writes;
	l->io.events_after = span->events_after;
	pool_open(l->pool, &op, disks, n, &l->op);
	if (!life_wait(sim, &l->op_done, OPEN_LIMIT_S, "opening the pool"))
		return LIFE_KILLED;
	if (l->op.res == 0) {
		l->io.events_left = UINT64_MAX;
		l->io.writes_left = 0;
		l->open = true;
		return LIFE_OK;
	}
	snprintf(sim->refusal, sizeof(sim->refusal), "%s", l->op.error);
	for (unsigned i = 0; i < 1000 && !all_closed(sim); i++)
		if (!life_turn(sim, NS_PER_MS))
			return LIFE_KILLED;
	end_cleanly(sim);
	return LIFE_REFUSED;
}

/* What the life has done, for the totals. */
static void count(struct sim *sim)
{
	struct pool_info info;

	pool_get_info(sim->life->pool, &info);
	STAT_ADD(sim, rows, info.rows);
	STAT_ADD(sim, commits, info.commits);
	STAT_ADD(sim, late_rows, info.late_rows);
	STAT_ADD(sim, around_reads, info.around_reads);
	STAT_ADD(sim, hedged_reads, info.hedged_reads);
	STAT_ADD(sim, hedges_won, info.hedges_won);
	STAT_ADD(sim, probes, info.probes);
	for (uint32_t i = 0; i < info.nmembers; i++) {
		struct member_info m;

		pool_get_member(sim->life->pool, i, &m);
		STAT_ADD(sim, disks_found_slow, m.slow_reads);
	}
	STAT_ADD(sim, replayed_rows, info.replayed_rows);
	STAT_ADD(sim, moved_blocks, info.moved_blocks);
	STAT_ADD(sim, cleaned_segments, info.cleaned_segments);
	STAT_ADD(sim, rebuilt_units, info.rebuilt_units);
	STAT_ADD(sim, moved_units, info.moved_units);
}

enum life_end life_close(struct sim *sim, uint64_t events)
{
	struct life     *l = sim->life;
	struct pool_info info;
	bool             unclean;

	TRACE(sim, 14, 0, 0, "closing");
	l->open = false;
	l->op_done = false;
	l->io.events_left = events;
	count(sim);
	pool_get_info(l->pool, &info);
	pool_close(l->pool, &l->op);
	if (!life_wait(sim, &l->op_done, OPEN_LIMIT_S, "closing the pool"))
		return LIFE_KILLED;
	/* Zones that wait for an operator's word may be all that is left. */
	unclean = l->op.res == -ENOSPC && info.segments_quarantined > 0;
	if (l->op.res != 0 && !unclean)
		sim_fail(sim, "the pool did not close: %s", l->op.error);
	for (unsigned i = 0; i < 1000 && !all_closed(sim); i++)
		if (!life_turn(sim, NS_PER_MS))
			return LIFE_KILLED;
	end_cleanly(sim);
	if (unclean) {
		STAT(sim, unclean_closes);
		return LIFE_REFUSED;
	}
	STAT(sim, clean_closes);
	return LIFE_OK;
}

/* When every disk drops something, little of the log's end is left.  Where only
 * m domains do, rows are there that lack units or parts of them: those are for
 * recovery to make whole. */
static void choose_batteries(struct sim *sim)
{
	bool     lossy[SIM_DISKS_MAX] = { false };
	uint32_t domains = (uint32_t)div_up(sim->cfg.ndisks,
					    sim->cfg.disks_a_domain);
	bool     any = chance(&sim->disk_rng, 1, 2);

	for (uint32_t i = 0; i < max_u32(sim->cfg.m, 1); i++)
		lossy[prng_below(&sim->disk_rng, domains)] = true;
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i]->battery = any && !lossy[sim->media[i]->domain];
}

/* What had it flushed, and without which disks did it serve?  Labels that are
 * being written may be those of a disk that was coming back, and failed again.
 */
static void note_end(struct sim *sim)
{
	const struct pool *p = sim->life->pool;

	if (!sim->life->open)
		return;
	sim->flushed_row = p->flushed_row;
	sim->flushed_claim = p->claim;
	if (p->labels.running)
		return;
	for (uint32_t i = 0; i < p->nmembers; i++)
		sim->out[i] = !p->members[i]->in && !p->members[i]->removed;
}

void life_kill(struct sim *sim, bool power)
{
	struct life *l = sim->life;

	TRACE(sim, 15, power, 0, power ? "*** power loss" : "*** kill");
	if (l->open)
		count(sim);
	if (power) {
		sim->boots++;
		choose_batteries(sim);
	}
	note_end(sim);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];

		if (m->handle != NULL) {
			sim_disk_abandon(m->handle, power);
		} else if (power) {
			sim_late_drop(sim, m);
			media_power_loss(m);
		}
		m->battery = false;
	}
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		if (sim->media[i]->handle != NULL)
			sim_disk_forget(sim->media[i]->handle);
	drop(sim);
}

uint64_t life_claim(const struct sim *sim)
{
	return sim->life != NULL ? sim->life->pool->claim : 0;
}

void life_connect(struct sim *sim, unsigned disk, struct pool_disk *ret_disk,
		  char *domain)
{
	struct sim_media *m = sim->media[disk];

	snprintf(domain, 32, "host%u", m->domain);
	ret_disk->disk = &sim_disk_open(&sim->life->io, m)->d;
	ret_disk->domain = domain;
}

void life_offer(struct sim *sim)
{
	struct pool_disk disks[SIM_DISKS_MAX];
	char             domains[SIM_DISKS_MAX][32];
	unsigned         n = connect_disks(sim, disks, domains);

	for (unsigned i = 0; i < n; i++) {
		TRACE(sim, 16, i, 0, "offering %s", disks[i].disk->place);
		pool_offer_disk(sim->life->pool, &disks[i]);
	}
}
