/* tests/sim/work_trash.c - the trash: volumes go there with all their snapshots
 * and come back as they were; none goes for good before its time while there
 * is space enough.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

/* Of the simulated wall clock, when the simulation begins. */
#define WALL_S    1700000000u
/* Between lives the server loses less than a second of each time. */
#define SLACK_NS  (2 * NS_PER_S)

uint64_t trash_wall_s(const struct sim *sim)
{
	return WALL_S + sim_now_ns(sim) / NS_PER_S;
}

void trash_start(struct sim *sim)
{
	struct work *w = sim->work;

	if (w->keep_s == 0)
		w->keep_s = chance(&sim->rng, 1, 3) ?
				    between(&sim->rng, 2, 20) :
				    1000000;
	w->pressed = false;
	space_look(sim);
	pauses_watch(sim);
	vols_trash_start(sim->life->vols, w->keep_s, trash_wall_s(sim));
}

static struct volume *find(struct sim *sim, unsigned vol)
{
	char uuid[UUID_TEXT_BYTES];

	return vols_trash_find(sim->life->vols,
			       uuid_text(&sim->model->vols[vol].uuid, uuid),
			       NULL);
}

bool trash_has(struct sim *sim, unsigned vol)
{
	return find(sim, vol) != NULL;
}

static void snaps_forgotten(struct sim *sim, unsigned vol)
{
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_TRASHED && s->vol == vol)
			snap_gone(s);
	}
}

static void check_whole(struct sim *sim, unsigned vol, const struct volume *v)
{
	struct volume_info info;

	vol_info(v, &info);
	if (info.snapshots != snaps_of(sim, vol) ||
	    info.size_bytes != sim->model->vols[vol].size_bytes)
		sim_fail(sim, "P9: volume %s in the trash has %u snapshots and "
			 "%llu bytes, not %u and %llu", info.name,
			 info.snapshots, (unsigned long long)info.size_bytes,
			 snaps_of(sim, vol),
			 (unsigned long long)sim->model->vols[vol].size_bytes);
}

void trash_look(struct sim *sim)
{
	struct work *w = sim->work;

	space_look(sim);
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct mvol   *v = &sim->model->vols[i];
		struct volume *t;

		if (!v->trashed || (sim->model->ctl.kind != MCTL_NONE &&
				    sim->model->ctl.vol == i))
			continue;
		t = find(sim, i);
		if (t != NULL) {
			check_whole(sim, i, t);
			continue;
		}
		STAT(sim, trash_went);
		if (!w->pressed && sim_now_ns(sim) + SLACK_NS <
					   v->trashed_ns +
						   w->keep_s * NS_PER_S)
			sim_fail(sim, "volume %s is not in the trash any more, "
				 "before its time and with space enough",
				 v->name);
		snaps_forgotten(sim, i);
		model_vol_gone(v);
	}
}

/* --- out ----------------------------------------------------------------- */

static bool leave(struct sim *sim, unsigned vol, enum mctl_kind kind)
{
	struct mctl     mc = { .kind = (uint8_t)kind, .vol = (uint8_t)vol };
	struct mvol    *v = &sim->model->vols[vol];
	struct vol_ctl *ctl;
	char            uuid[UUID_TEXT_BYTES];

	memcpy(mc.new_name, v->name, sizeof(mc.new_name));
	if (kind == MCTL_UNDELETE && chance(&sim->rng, 1, 2))
		snprintf(mc.new_name, sizeof(mc.new_name), "v%u",
			 sim->work->names++);
	ctl = admin_prepare(sim, &mc);
	ctl->name = uuid_text(&v->uuid, uuid);
	if (kind == MCTL_UNDELETE)
		vol_undelete(sim->life->vols, ctl);
	else
		vol_purge(sim->life->vols, ctl);
	return true;
}

/* --- in ------------------------------------------------------------------ */

/* Something would stand in the way, or is under way. */
static bool is_needed(const struct sim *sim, unsigned vol)
{
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		const struct msnap *s = &sim->work->snaps[i];

		if (s->state != MSNAP_NONE && s->vol == vol &&
		    (s->state != MSNAP_THERE || s->held || !s->known ||
		     branch_uses(sim, s)))
			return true;
	}
	return sim->work->snapper.busy;
}

static bool trash(struct sim *sim, unsigned vol)
{
	struct mctl        mc = { .kind = MCTL_TRASH, .vol = (uint8_t)vol };
	struct mvol       *v = &sim->model->vols[vol];
	struct volume_info info;
	struct vol_ctl    *ctl;

	if (!admin_quiesce(sim, vol))
		return false;
	/* They may have changed meanwhile. */
	if (is_needed(sim, vol))
		return true;
	vol_info(v->vol, &info);
	v->uuid = info.uuid;
	v->trashed_ns = sim_now_ns(sim);
	admin_let_go(sim, vol);
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state != MSNAP_THERE || s->vol != vol)
			continue;
		vol_put(s->v, &s->user);
		s->v = NULL;
		s->state = MSNAP_TRASHED;
	}
	ctl = admin_prepare(sim, &mc);
	ctl->with_snapshots = true;
	STAT(sim, trashed);
	vol_delete(sim->life->vols, ctl);
	while (sim->work->admin.busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	/* Some come back, or go, before the space is needed. */
	return !v->trashed || chance(&sim->rng, 1, 4) ||
	       leave(sim, vol, chance(&sim->rng, 1, 4) ? MCTL_PURGE :
							  MCTL_UNDELETE);
}

/* --- both --------------------------------------------------------------- */

bool trash_act(struct sim *sim, unsigned vol, bool may_trash)
{
	unsigned pick = MODEL_VOLS_MAX, n = 0;

	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++)
		if (sim->model->vols[i].trashed && chance(&sim->rng, 1, ++n))
			pick = i;
	if (n > 0 && chance(&sim->rng, 3, 4))
		return leave(sim, pick, chance(&sim->rng, 1, 4) ?
						MCTL_PURGE :
						MCTL_UNDELETE);
	return !may_trash || is_needed(sim, vol) || trash(sim, vol);
}

void trash_settle(struct sim *sim, bool happened)
{
	const struct mctl *c = &sim->model->ctl;
	bool back = (c->kind == MCTL_TRASH && !happened) ||
		    (c->kind == MCTL_UNDELETE && happened);

	if (c->kind == MCTL_PURGE && happened) {
		STAT(sim, purged);
		snaps_forgotten(sim, c->vol);
	}
	if (c->kind == MCTL_UNDELETE && happened)
		STAT(sim, undeleted);
	for (unsigned i = 0; back && i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_TRASHED && s->vol == c->vol)
			s->state = MSNAP_THERE;
	}
}

void trash_attach(struct sim *sim, unsigned vol)
{
	if (sim->model->vols[vol].vol == NULL)
		admin_attach_one(sim, vol);
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_THERE && s->vol == vol && s->v == NULL)
			snap_attach(sim, s);
	}
}
