/* tests/sim/fault.c - see fault.h. */
#include <assert.h>
#include <stdlib.h>

#include "pool/label_format.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"

#define DOMAINS_MAX SIM_DISKS_MAX
#define OFFER_NS    (500 * NS_PER_MS)

/* How many times slower a disk gets at most; and if it is for long: one that
 * takes seconds to flush then keeps rows in memory and holds up commits until
 * there is no room for what is written, or no time (P6). */
#define SLOW_MAX      1024u
#define SLOW_LONG_MAX 64u

enum fault_kind {
	FAULT_ROT,
	FAULT_LABEL_ROT,
	FAULT_BAD_BLOCKS,
	FAULT_READ_ERROR,
	FAULT_STALE_READ,
	FAULT_STALE_BLOCK,
	FAULT_PHANTOM,
	FAULT_MISDIRECT,
	FAULT_WRITE_ERROR,
	FAULT_FLUSH_FAIL,
	FAULT_DROP,
	FAULT_POWER,
	FAULT_GONE,
	FAULT_GONE_LONG,
	FAULT_HANG,
	FAULT_HANG_LONG,
	FAULT_SLOW,
	FAULT_SLOW_LONG,
	FAULT_KINDS
};

struct fault {
	uint8_t  order[FAULT_KINDS]; /* the seed's order of kinds */
	unsigned next;               /* place in it */
	bool     weak[DOMAINS_MAX];  /* by domain */
	unsigned ndomains;
	uint64_t gone_until_ns[SIM_DISKS_MAX]; /* 0: not gone */
	uint64_t hung_until_ns[SIM_DISKS_MAX];
	uint64_t slow_until_ns[SIM_DISKS_MAX];
	uint64_t offer_ns;   /* not before: whoever looks around has a pause */
};

unsigned fault_kinds(void)
{
	return FAULT_KINDS;
}

static void choose_weak(struct sim *sim)
{
	struct fault *f = sim->fault;
	unsigned      n;

	for (unsigned d = 0; d < f->ndomains; d++)
		f->weak[d] = false;
	if (sim->cfg.m == 0)
		return;
	n = (unsigned)between(&sim->fault_rng, 1, sim->cfg.m);
	if (chance(&sim->fault_rng, 1, 2))
		n = sim->cfg.m;
	for (unsigned i = 0; i < n; i++)
		f->weak[prng_below(&sim->fault_rng, f->ndomains)] = true;
	for (unsigned d = 0; d < f->ndomains; d++)
		if (f->weak[d])
			TRACE(sim, 20, d, 0, "domain %u is weak now", d);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i]->keep_olds = f->weak[sim->media[i]->domain];
}

void fault_open(struct sim *sim)
{
	struct fault *f = calloc(1, sizeof(*f));

	assert(f != NULL);
	sim->fault = f;
	for (unsigned i = 0; i < FAULT_KINDS; i++)
		f->order[i] = (uint8_t)i;
	for (unsigned i = FAULT_KINDS - 1; i > 0; i--) {
		unsigned j = (unsigned)prng_below(&sim->fault_rng, i + 1);
		uint8_t  t = f->order[i];

		f->order[i] = f->order[j];
		f->order[j] = t;
	}
	f->ndomains = (unsigned)div_up(sim->cfg.ndisks,
				       sim->cfg.disks_a_domain);
	choose_weak(sim);
}

/* --- ends ---------------------------------------------------------------- */

static void come_back(struct sim *sim, unsigned i)
{
	struct sim_media *m = sim->media[i];

	TRACE(sim, 21, i, 0, "disk %u is back", i);
	STAT(sim, disk_back);
	m->gone = false;
	sim->fault->gone_until_ns[i] = 0;
}

static void unhang(struct sim *sim, unsigned i)
{
	struct sim_media *m = sim->media[i];

	TRACE(sim, 22, i, 0, "disk %u answers again", i);
	m->hung = false;
	sim->fault->hung_until_ns[i] = 0;
	if (m->handle != NULL)
		sim_disk_kick(m->handle);
}

void fault_tick(struct sim *sim)
{
	struct fault *f = sim->fault;
	uint64_t      now_ns = sim_now_ns(sim);
	bool          offer = false;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];

		if (m->gone && f->gone_until_ns[i] <= now_ns)
			come_back(sim, i);
		if (m->hung && f->hung_until_ns[i] <= now_ns)
			unhang(sim, i);
		if (m->slow > 1 && f->slow_until_ns[i] <= now_ns) {
			TRACE(sim, 23, i, 0, "disk %u is as fast as before", i);
			m->slow = 1;
		}
		/* Found by the server, as one more place to look at. */
		if (m->handle == NULL && !m->gone && !m->hung)
			offer = true;
	}
	if (offer && sim->life != NULL && sim->life->open &&
	    f->offer_ns <= now_ns) {
		f->offer_ns = now_ns + OFFER_NS;
		life_offer(sim);
	}
}

bool fault_return_all(struct sim *sim)
{
	bool any = false;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		if (sim->media[i]->gone) {
			come_back(sim, i);
			any = true;
		}
		if (sim->media[i]->hung) {
			unhang(sim, i);
			any = true;
		}
	}
	return any;
}

void fault_calm(struct sim *sim)
{
	fault_return_all(sim);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];

		m->slow = 1;
		m->arm_write_error = 0;
		m->arm_phantom = 0;
		m->arm_misdirect = 0;
		m->arm_flush_fail = 0;
		m->arm_stale_read = 0;
		m->arm_read_error = 0;
	}
}

void fault_heal(struct sim *sim)
{
	STAT(sim, heals);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		media_heal(sim->media[i]);
}

bool fault_may_lose(const struct sim *sim, unsigned i)
{
	return sim->fault->weak[sim->media[i]->domain];
}

bool fault_none(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		const struct sim_media *m = sim->media[i];

		if (m->gone || m->hung || m->slow > 1 || m->handle == NULL)
			return false;
	}
	return true;
}

/* --- beginnings ---------------------------------------------------------- */

struct sim_media *fault_pick_weak(struct sim *sim)
{
	unsigned n = sim->cfg.ndisks;
	unsigned i = (unsigned)prng_below(&sim->fault_rng, n);

	for (unsigned j = 0; j < n; j++) {
		struct sim_media *m = sim->media[(i + j) % n];

		if (sim->fault->weak[m->domain])
			return m;
	}
	return NULL;
}

static void rot(struct sim *sim, struct sim_media *m, uint32_t from,
		uint32_t to, unsigned n)
{
	uint32_t b;

	for (unsigned i = 0; i < n; i++) {
		if (!media_pick(m, &sim->fault_rng, from, to, &b))
			return;
		TRACE(sim, 24, m->index, b, "disk %u: block %u rots", m->index,
		      b);
		media_rot(m, &sim->fault_rng, b);
		STAT(sim, bit_rot);
	}
}

static void bad_blocks(struct sim *sim, struct sim_media *m)
{
	uint64_t n = between(&sim->fault_rng, 1, 16);
	uint32_t b;

	while (n-- > 0) {
		if (!media_pick(m, &sim->fault_rng, 0, m->nblocks, &b))
			return;
		TRACE(sim, 25, m->index, b, "disk %u: block %u is unreadable",
		      m->index, b);
		media_make_bad(m, b);
	}
}

static void go_away(struct sim *sim, struct sim_media *m, uint64_t ns)
{
	TRACE(sim, 26, m->index, ns, "disk %u is gone for %llu ms", m->index,
	      (unsigned long long)(ns / NS_PER_MS));
	STAT(sim, disk_gone);
	m->gone = true;
	sim->fault->gone_until_ns[m->index] = sim_now_ns(sim) + ns;
	if (chance(&sim->fault_rng, 1, 2)) {
		sim_late_drop(sim, m);
		media_power_loss(m);
	}
	if (m->handle != NULL)
		sim_disk_drop(m->handle);
}

static void hang(struct sim *sim, struct sim_media *m, uint64_t ns)
{
	TRACE(sim, 27, m->index, ns, "disk %u hangs for %llu ms", m->index,
	      (unsigned long long)(ns / NS_PER_MS));
	STAT(sim, disk_hangs);
	m->hung = true;
	sim->fault->hung_until_ns[m->index] = sim_now_ns(sim) + ns;
}

static void arm(struct sim *sim, struct sim_media *m, uint32_t *armed,
		const char *what)
{
	*armed = (uint32_t)between(&sim->fault_rng, 1, 4);
	TRACE(sim, 28, m->index, *armed, "disk %u: %u times %s", m->index,
	      *armed, what);
}

static void slow_down(struct sim *sim, struct sim_media *m, uint64_t ns,
		      unsigned max)
{
	STAT(sim, disk_slow);
	m->slow = min_u32(1u << between(&sim->fault_rng, 3, 10), max);
	sim->fault->slow_until_ns[m->index] = sim_now_ns(sim) + ns;
	TRACE(sim, 29, m->index, m->slow, "disk %u is %u times slower",
	      m->index, m->slow);
}

static void strike(struct sim *sim, struct sim_media *m, enum fault_kind kind)
{
	struct prng *rng = &sim->fault_rng;
	uint32_t     labels = LABEL_AREA_BLOCKS;

	switch (kind) {
	case FAULT_ROT:
		rot(sim, m, labels, m->nblocks - labels,
		    (unsigned)between(rng, 1, 24));
		break;
	case FAULT_LABEL_ROT:
		STAT(sim, label_rot);
		if (chance(rng, 3, 4))
			rot(sim, m, 0, labels, (unsigned)between(rng, 1, 8));
		if (chance(rng, 1, 2))
			rot(sim, m, m->nblocks - labels, m->nblocks,
			    (unsigned)between(rng, 1, 8));
		break;
	case FAULT_BAD_BLOCKS:
		bad_blocks(sim, m);
		break;
	case FAULT_READ_ERROR:
		arm(sim, m, &m->arm_read_error, "read errors");
		break;
	case FAULT_STALE_READ:
		arm(sim, m, &m->arm_stale_read, "reads of something else");
		break;
	case FAULT_STALE_BLOCK:
		for (unsigned i = 0; i < 4; i++)
			if (media_stale(m, rng))
				STAT(sim, stale_blocks);
		break;
	case FAULT_PHANTOM:
		arm(sim, m, &m->arm_phantom, "phantom writes");
		break;
	case FAULT_MISDIRECT:
		arm(sim, m, &m->arm_misdirect, "misdirected writes");
		break;
	case FAULT_WRITE_ERROR:
		arm(sim, m, &m->arm_write_error, "write errors");
		break;
	case FAULT_FLUSH_FAIL:
		arm(sim, m, &m->arm_flush_fail, "flush failures");
		break;
	case FAULT_DROP:
		STAT(sim, disk_drops);
		if (m->handle != NULL)
			sim_disk_drop(m->handle);
		break;
	case FAULT_POWER:
		if (m->handle != NULL)
			sim_disk_power_loss(m->handle);
		break;
	case FAULT_GONE:
		go_away(sim, m, between(rng, 10, 1800) * NS_PER_MS);
		break;
	case FAULT_GONE_LONG:
		go_away(sim, m, between(rng, 2000, 20000) * NS_PER_MS);
		break;
	case FAULT_HANG:
		hang(sim, m, between(rng, 10, 3500) * NS_PER_MS);
		break;
	case FAULT_HANG_LONG:
		hang(sim, m, between(rng, 4000, 20000) * NS_PER_MS);
		break;
	case FAULT_SLOW:
		slow_down(sim, m, between(rng, 100, 3000) * NS_PER_MS,
			  SLOW_MAX);
		break;
	case FAULT_SLOW_LONG:
		slow_down(sim, m, between(rng, 4000, 30000) * NS_PER_MS,
			  SLOW_LONG_MAX);
		break;
	case FAULT_KINDS:
		break;
	}
}

bool fault_healthy(struct sim *sim)
{
	struct pool_info info;

	if (sim->life == NULL || !sim->life->open || !fault_none(sim))
		return false;
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media  *m = sim->media[i];
		struct member_info mi;

		if (m->arm_write_error + m->arm_phantom + m->arm_misdirect +
			    m->arm_flush_fail + m->arm_stale_read +
			    m->arm_read_error >
		    0)
			return false;
		/* It will fail. */
		if (m->hold_flush_ns > 0)
			return false;
		pool_get_member(sim->life->pool, i, &mi);
		if (mi.state != MEMBER_ONLINE)
			return false;
	}
	pool_get_info(sim->life->pool, &info);
	return info.health == POOL_ONLINE && info.segments_degraded == 0;
}

void fault_inject(struct sim *sim)
{
	struct fault     *f = sim->fault;
	struct sim_media *m;

	if (sim->cfg.m == 0)
		return;
	if (chance(&sim->fault_rng, 1, 3) && fault_healthy(sim)) {
		fault_heal(sim);
		choose_weak(sim);
	}
	m = fault_pick_weak(sim);
	if (m == NULL)
		return;
	strike(sim, m, (enum fault_kind)f->order[f->next++ % FAULT_KINDS]);
}

void fault_between_lives(struct sim *sim)
{
	struct sim_media *m = fault_pick_weak(sim);

	if (m == NULL || sim->life != NULL || m->gone)
		return;
	if (chance(&sim->fault_rng, 1, 4))
		go_away(sim, m,
			between(&sim->fault_rng, 100, 10000) * NS_PER_MS);
	else if (chance(&sim->fault_rng, 1, 4))
		strike(sim, m,
		       (enum fault_kind)prng_below(&sim->fault_rng,
						   FAULT_READ_ERROR + 1));
}

bool fault_choose_stall(struct sim *sim, unsigned domains_max,
			bool *ret_disks)
{
	const struct fault *f = sim->fault;
	unsigned            n = 0;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		ret_disks[i] = false;
	if (!fault_healthy(sim))
		return false;
	for (unsigned d = 0; d < f->ndomains && n < domains_max; d++) {
		if (!f->weak[d])
			continue;
		n++;
		for (unsigned i = 0; i < sim->cfg.ndisks; i++)
			ret_disks[i] |= sim->media[i]->domain == d;
	}
	return n > 0;
}

void fault_stall(struct sim *sim, const bool *disks)
{
	uint64_t ns = between(&sim->fault_rng, 1000, 8000) * NS_PER_MS;
	bool     slow = chance(&sim->fault_rng, 1, 3);

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		if (disks[i] && slow)
			slow_down(sim, sim->media[i],
				  between(&sim->fault_rng, 100, 3000) *
					  NS_PER_MS,
				  SLOW_MAX);
		else if (disks[i])
			hang(sim, sim->media[i], ns);
	}
}
