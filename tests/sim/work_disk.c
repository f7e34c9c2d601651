/* tests/sim/work_disk.c - disks are drained, removed and added again.
 *
 * One disk at a time, so that the disk which is added takes the place in the
 * member table of the one that was removed: members and media have the same
 * numbers all the time.  A disk may be away while it is removed, and come back
 * in the middle; what is added may be blank or have all that was on it.
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
	if (w->what == DISK_WORK_ADD && op->res == 0)
		STAT(sim, disk_adds);
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
		if (p->members[i]->removed || p->members[i]->flags != 0)
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
	pool_disk_add(sim->life->pool, &disk, false,
		      begin(sim, i, DISK_WORK_ADD));
}

void disk_act(struct sim *sim)
{
	struct disk_work *w = &sim->work->disks;
	struct pool      *p = sim->life->pool;
	uint32_t          i = changing(p);

	if (w->busy || p->state != POOL_ST_ACTIVE)
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
	sim->work->disks.repeat = false;
}
