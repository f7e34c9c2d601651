/* tests/sim/work_used.c - snapshots: what deleting one frees is what was said
 * before (P12), and one that is held is not deleted, also after crashes (P9).
 *
 * For the comparison nothing else may change the space: no request is in
 * flight, no control operation is, what was deleted earlier is gone, and no
 * volume is being cut off at its end.  Otherwise the snapshot is deleted
 * without it.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

/* What is deleted is gone by then, mostly. */
#define GONE_NS (20 * NS_PER_S)

/* --- space --------------------------------------------------------------- */

struct space {
	struct volumes_space all;
	uint64_t             volumes; /* blocks that volumes hold */
};

static struct space space_now(struct sim *sim)
{
	struct volumes *vols = sim->life->vols;
	struct space    s = { .volumes = 0 };

	vols_space(vols, &s.all);
	for (struct volume *v = vols_next(vols, NULL); v != NULL;
	     v = vols_next(vols, v)) {
		struct volume_info info;

		vol_info(v, &info);
		s.volumes += info.mapped_blocks;
	}
	return s;
}

/* Nothing is in flight, and what was deleted is gone, or it takes too long.
 * False when the engine stopped. */
static bool come_to_rest(struct sim *sim, bool *ret_rest)
{
	uint64_t end_ns = sim_now_ns(sim) + GONE_NS;

	while (sim->work->inflight > 0) {
		pauses_look(sim, true);
		if (!life_turn(sim, UINT64_MAX))
			return false;
	}
	while (space_now(sim).all.deleting > 0 && sim_now_ns(sim) < end_ns)
		if (!life_turn(sim, 10 * NS_PER_MS))
			return false;
	*ret_rest = space_now(sim).all.deleting == 0;
	return true;
}

static bool measured;

static void measure_done(struct vol_used *u)
{
	(void)u;
	measured = true;
}

/* False when the engine stopped. */
static bool measure(struct sim *sim, struct volume *v, struct vol_used *u)
{
	memset(u, 0, sizeof(*u));
	u->vol = v;
	u->done = measure_done;
	measured = false;
	vol_used_submit(u);
	while (!measured)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	return true;
}

static void compare(struct sim *sim, const char *name,
		    const struct vol_used *u, const struct space *before)
{
	struct space after = space_now(sim);

	if (after.volumes != before->volumes ||
	    after.all.trashed != before->all.trashed)
		return;
	STAT(sim, used_checks);
	if (before->all.mapped_blocks - after.all.mapped_blocks !=
		    u->data_blocks ||
	    before->all.node_blocks - after.all.node_blocks != u->node_blocks)
		sim_fail(sim, "P12: deleting snapshot %s was to free %llu "
			 "blocks and %llu nodes, it freed %lld and %lld", name,
			 (unsigned long long)u->data_blocks,
			 (unsigned long long)u->node_blocks,
			 (long long)(before->all.mapped_blocks -
				     after.all.mapped_blocks),
			 (long long)(before->all.node_blocks -
				     after.all.node_blocks));
}

bool used_delete(struct sim *sim, struct msnap *s)
{
	struct vol_used *u = &sim->work->snapper.used;
	struct space     before, then;
	char             name[128];
	bool             rest;

	if (!come_to_rest(sim, &rest))
		return false;
	before = space_now(sim);
	snap_full_name(sim, s, name, sizeof(name));
	if (!measure(sim, s->v, u))
		return false;
	then = space_now(sim);
	TRACE(sim, 44, u->data_blocks, u->node_blocks, "deleting snapshot %s "
	      "would free %llu blocks and %llu nodes%s", name,
	      (unsigned long long)u->data_blocks,
	      (unsigned long long)u->node_blocks,
	      u->forked ? ", clones keep it" : "");
	rest &= u->res == 0 && before.volumes == then.volumes &&
		before.all.trashed == then.all.trashed &&
		before.all.mapped_blocks == then.all.mapped_blocks;
	snap_delete(sim, s);
	while (sim->work->snapper.busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	if (!rest || s->state == MSNAP_THERE)
		return true;
	if (!come_to_rest(sim, &rest))
		return false;
	if (rest)
		compare(sim, name, u, &before);
	return true;
}

/* --- holding ------------------------------------------------------------- */

static void ctl_done(struct vol_ctl *ctl)
{
	(void)ctl;
	sim_current->work->snapper.busy = false;
}

/* False when the engine stopped. */
static bool ctl_run(struct sim *sim, const struct msnap *s,
		    void (*op)(struct volumes *vols, struct vol_ctl *ctl))
{
	struct snapper *sn = &sim->work->snapper;
	char            name[128];

	snap_full_name(sim, s, name, sizeof(name));
	memset(&sn->ctl, 0, sizeof(sn->ctl));
	sn->ctl.name = name;
	sn->ctl.force = true;
	sn->ctl.done = ctl_done;
	sn->busy = true;
	sn->submit_ns = sim_now_ns(sim);
	op(sim->life->vols, &sn->ctl);
	while (sn->busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	sn->ctl.name = NULL;
	TRACE(sim, 49, sn->ctl.res, 0, "%s: %d %s", name, sn->ctl.res,
	      sn->ctl.error);
	return true;
}

static bool is_held(const struct msnap *s)
{
	struct volume_info info;

	vol_info(s->v, &info);
	return info.held;
}

bool used_hold(struct sim *sim, struct msnap *s, bool hold)
{
	const struct vol_ctl *ctl = &sim->work->snapper.ctl;

	STAT(sim, holds);
	s->hold_asked = true;
	if (!ctl_run(sim, s, hold ? vol_snapshot_hold : vol_snapshot_release))
		return false;
	s->hold_asked = false;
	if (!hold)
		space_check_frees(sim, ctl);
	if (ctl->res == -ENOSPC) {
		space_check_enospc(sim, 0, 0);
		return true;
	}
	if (ctl->res != 0 || ctl->already != (s->held == hold))
		sim_fail(sim, "P9: holding or releasing snapshot %s: %d %s",
			 s->name, ctl->res, ctl->error);
	s->held = hold;
	used_attach(sim, s);
	if (!hold)
		return true;
	if (!ctl_run(sim, s, vol_delete))
		return false;
	if (ctl->res != -EBUSY)
		sim_fail(sim, "P9: deleting snapshot %s, which is held: %d %s",
			 s->name, ctl->res, ctl->error);
	return true;
}

void used_attach(struct sim *sim, struct msnap *s)
{
	if (s->hold_asked)
		s->held = is_held(s);
	s->hold_asked = false;
	if (s->held != is_held(s))
		sim_fail(sim, "P9: snapshot %s is %sheld", s->name,
			 s->held ? "not " : "");
}
