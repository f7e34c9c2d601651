/* tests/sim/work_disk.c - disks are drained, removed and added again.
 *
 * One disk at a time, so that the disk which is added takes the place in the
 * member table of the one that was removed: members and media have the same
 * numbers all the time.  A disk may be away while it is removed, and come back
 * in the middle; what is added may be blank or have all that was on it.  Often
 * the pool is filled then: all of its room must be of use, although the others
 * may have been full (P12).
 *
 * And those that may be lost are taken offline, and online again, or become
 * larger.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "pool/core.h"
#include "tests/sim/fault.h"
#include "tests/sim/work_priv.h"

static void op_done(struct pool_op *op)
{
	struct sim      *sim = sim_current;
	struct disk_work *w = &sim->work->disks;

	TRACE(sim, 80, op->res, w->what, "change %u of disk %u ends: %d %s",
	      w->what, w->disk, op->res, op->res < 0 ? op->error : "");
	w->busy = false;
	if (w->what == DISK_WORK_REPEAT && op->res != 1 && op->res != -ENOENT &&
	    op->res != -ESHUTDOWN && op->res != -EBUSY)
		sim_fail(sim, "P9: removing disk %u again gave %d: %s",
			 w->disk, op->res, op->error);
	if (w->what == DISK_WORK_REMOVE && op->res == 0) {
		STAT(sim, disk_removes);
		w->repeat = chance(&sim->fault_rng, 1, 3);
	}
	if (w->what == DISK_WORK_ADD && op->res == 0) {
		STAT(sim, disk_adds);
		w->added = chance(&sim->fault_rng, 1, 2);
		w->grown_ns = sim_now_ns(sim);
	}
	if (w->what == DISK_WORK_OFFLINE && op->res >= 0)
		w->offline[w->disk] = sim->life->pool->members[w->disk]->uuid;
	if (w->what == DISK_WORK_OFFLINE && op->res == 0)
		STAT(sim, disk_offlines);
	if (w->what == DISK_WORK_ONLINE && op->res == 0)
		STAT(sim, disk_onlines);
	if (w->what == DISK_WORK_RESCAN && op->res == 0)
		STAT(sim, disk_rescans);
	if (op->res < 0 && op->res != -ENOSPC && op->res != -EINVAL &&
	    op->res != -EBUSY && op->res != -ESHUTDOWN && op->res != -EIO &&
	    op->res != -ENOENT && op->res != -ENOTCONN && op->res != -EEXIST)
		sim_fail(sim, "change %u of disk %u failed: %d %s", w->what,
			 w->disk, op->res, op->error);
}

static struct pool_op *begin(struct sim *sim, unsigned disk,
			     enum disk_work_kind what)
{
	struct disk_work *w = &sim->work->disks;

	assert(!w->busy);
	TRACE(sim, 81, disk, what, "change %u of disk %u", what, disk);
	w->busy = true;
	w->disk = disk;
	w->what = (uint8_t)what;
	memset(&w->op, 0, sizeof(w->op));
	w->op.done = op_done;
	return &w->op;
}

/* The disk that was removed, or is to be; UINT32_MAX: none. */
static uint32_t changing(const struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->removed || member_drains(p->members[i]))
			return i;
	}
	return UINT32_MAX;
}

static void add(struct sim *sim, unsigned i)
{
	struct pool_disk disk;
	char             domain[32];
	bool             blank = chance(&sim->fault_rng, 1, 2);

	if (sim->media[i]->handle != NULL || sim->media[i]->gone ||
	    sim->media[i]->hung)
		return;
	if (blank)
		media_blank(sim->media[i]);
	life_connect(sim, i, &disk, domain);
	space_used(sim, &sim->work->disks.usable_before);
	pool_disk_add(sim->life->pool, &disk,
		      chance(&sim->fault_rng, 1, 5) ? POOL_DISK_WITNESS : 0,
		      begin(sim, i, DISK_WORK_ADD));
}

/* What is offline is out, and stays so until it is called online. */
static void offline_look(struct sim *sim)
{
	const struct pool *p = sim->life->pool;

	for (uint32_t i = 0; i < p->nmembers; i++) {
		const struct member *m = p->members[i];

		if (member_is_offline(m) && m->in && !m->going_out)
			sim_fail(sim, "disk %u is offline and in", i);
		if (uuid_equal(&m->uuid, &sim->work->disks.offline[i]) &&
		    !member_is_offline(m) && !m->leaving && !m->removed)
			sim_fail(sim, "P9: disk %u was taken offline and is "
				 "not", i);
	}
}

/* One that is offline comes back, or another goes. */
static bool offline_act(struct sim *sim)
{
	struct pool *p = sim->life->pool;

	offline_look(sim);
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!member_is_offline(p->members[i]))
			continue;
		if (!chance(&sim->fault_rng, 1, 3))
			return false;
		memset(&sim->work->disks.offline[i], 0, sizeof(struct uuid));
		pool_disk_online(p, i, begin(sim, i, DISK_WORK_ONLINE));
		return true;
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (!fault_may_lose(sim, i) || !chance(&sim->fault_rng, 1, 3))
			continue;
		pool_disk_offline(p, i, chance(&sim->fault_rng, 1, 2),
				  begin(sim, i, DISK_WORK_OFFLINE));
		return true;
	}
	return false;
}

/* So many zones does a disk grow by at most, in all. */
#define GROW_ZONES 12u
/* … and a label is waited for so long. */
#define RESCAN_PATIENCE 200u

/* One that may be lost, and is there; UINT32_MAX: none. */
static unsigned rescan_choose(struct sim *sim)
{
	unsigned first = (unsigned)prng_below(&sim->fault_rng, sim->cfg.ndisks);

	for (unsigned n = 0; n < sim->cfg.ndisks; n++) {
		unsigned i = (first + n) % sim->cfg.ndisks;

		if (fault_may_lose(sim, i) && sim->media[i]->handle != NULL &&
		    i < sim->life->pool->nmembers)
			return i;
	}
	return UINT32_MAX;
}

static bool rescan_act(struct sim *sim)
{
	uint32_t zone = 1u << sim->cfg.zone_shift;
	unsigned i = rescan_choose(sim);
	uint64_t more = prng_below(&sim->fault_rng, zone);
	struct sim_media *m;

	if (i == UINT32_MAX)
		return false;
	m = sim->media[i];
	more += chance(&sim->fault_rng, 3, 4) ? zone : 0;
	if (m->nblocks + more < sim->cfg.disk_blocks + GROW_ZONES * zone)
		media_grow(m, m->nblocks + (uint32_t)more);
	sim->work->disks.rescan = i;
	sim->work->disks.patience =
		chance(&sim->fault_rng, 1, 2) ? RESCAN_PATIENCE : 1;
	return true;
}

/* The connection is lost when a disk is asked for its size; the most that can be
 * under way then are labels. */
void disk_tick(struct sim *sim)
{
	struct disk_work *w = &sim->work->disks;
	struct pool      *p = sim->life->pool;

	if (w->patience == 0 || w->busy || p->state != POOL_ST_ACTIVE)
		return;
	if (--w->patience > 0 && p->members[w->rescan]->label_pending == 0)
		return;
	w->patience = 0;
	pool_disk_rescan(p, w->rescan, begin(sim, w->rescan, DISK_WORK_RESCAN));
}

void disk_act(struct sim *sim)
{
	struct disk_work *w = &sim->work->disks;
	struct pool      *p = sim->life->pool;
	uint32_t          i = changing(p);

	if (w->busy || p->state != POOL_ST_ACTIVE)
		return;
	if (chance(&sim->fault_rng, 1, 2) && offline_act(sim))
		return;
	if (chance(&sim->fault_rng, 1, 2) && rescan_act(sim))
		return;
	if (i == UINT32_MAX) {
		i = (uint32_t)prng_below(&sim->fault_rng, p->nmembers);
		pool_disk_drain(p, i, true, chance(&sim->fault_rng, 3, 4),
				begin(sim, i, DISK_WORK_REMOVE));
	} else if (p->members[i]->removed) {
		add(sim, i);
	} else if (w->repeat && w->disk == i) {
		w->repeat = false;
		pool_disk_drain(p, i, true, false,
				begin(sim, i, DISK_WORK_REPEAT));
	} else if (chance(&sim->fault_rng, 1, 8)) {
		w->stayed_ns = sim_now_ns(sim);
		pool_disk_drain(p, i, false, false,
				begin(sim, i, DISK_WORK_STAY));
	}
}

void disk_forget(struct sim *sim)
{
	sim->work->disks.busy = false;
	sim->work->disks.added = false;
	sim->work->disks.repeat = false;
	sim->work->disks.patience = 0;
}

void disk_attach(struct sim *sim)
{
	offline_look(sim);
}
