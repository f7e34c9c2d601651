/* tests/sim/work_admin.c - the administrator: one control operation at a time,
 * atomic over crashes, and harmless to repeat (P9).
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

bool admin_holds(const struct sim *sim, unsigned vol)
{
	const struct mctl *c = &sim->model->ctl;

	return c->kind != MCTL_NONE && c->vol == vol &&
	       c->kind != MCTL_RENAME;
}

struct uuid admin_uuid(struct sim *sim)
{
	struct uuid u;
	uint64_t    w[2] = { prng_u64(&sim->rng), prng_u64(&sim->rng) };

	memcpy(u.b, w, sizeof(u.b));
	return u;
}

void admin_attach_one(struct sim *sim, unsigned i)
{
	struct mvol *v = &sim->model->vols[i];

	v->vol = vols_find(sim->life->vols, v->name);
	if (v->vol == NULL)
		sim_fail(sim, "P9: volume %s is not there", v->name);
	memset(&sim->work->users[i], 0, sizeof(sim->work->users[i]));
	vol_get(v->vol, &sim->work->users[i]);
}

/* Ask for the same again: it must succeed, and say so. */
static void repeat(struct sim *sim, uint8_t kind)
{
	struct admin *a = &sim->work->admin;

	a->busy = true;
	a->repeat = true;
	a->ctl.size_bytes = a->size_bytes;
	a->submit_ns = sim_now_ns(sim);
	if (kind == MCTL_CREATE)
		vol_create(sim->life->vols, &a->ctl);
	else if (kind == MCTL_PUBLISH)
		vol_publish(sim->life->vols, &a->ctl);
	else
		vol_resize(sim->life->vols, &a->ctl);
}

static void ctl_done(struct vol_ctl *ctl)
{
	struct sim   *sim = sim_current;
	struct admin *a = &sim->work->admin;
	struct model *m = sim->model;
	uint8_t       kind = m->ctl.kind;
	unsigned      vol = m->ctl.vol;

	TRACE(sim, 41, ctl->res, kind, "control operation %u of %s ends: %d %s",
	      kind, a->name, ctl->res, ctl->res != 0 ? ctl->error : "");
	a->busy = false;
	if (a->repeat) {
		a->repeat = false;
		if (ctl->res != 0 || !ctl->already)
			sim_fail(sim, "P9: a repeated operation on %s gave "
				 "%d, already %d: %s", a->name, ctl->res,
				 ctl->already, ctl->error);
		return;
	}
	if (kind == MCTL_DELETE || kind == MCTL_TRASH ||
	    kind == MCTL_UNDELETE || kind == MCTL_PURGE ||
	    kind == MCTL_ROLLBACK)
		space_check_frees(sim, ctl);
	if (ctl->res == -ENOSPC)
		space_check_enospc(sim, 0, reserves_need(sim));
	else if (ctl->res == -ENOENT &&
		 (kind == MCTL_UNDELETE || kind == MCTL_PURGE))
		ctl->res = -ENOENT; /* it has gone: trash_look() judges */
	else if (ctl->res != 0)
		sim_fail(sim, "operation %u on volume %s failed: %d %s", kind,
			 a->name, ctl->res, ctl->error);
	/* A volume that was not written to since is that snapshot. */
	if (ctl->res == 0 && ctl->already && kind != MCTL_ROLLBACK)
		sim_fail(sim, "P9: operation %u on %s had been done before it "
			 "was asked for", kind, a->name);
	if (kind == MCTL_ROLLBACK || kind == MCTL_PUBLISH)
		branch_settle(sim, ctl->res == 0);
	if (kind == MCTL_TRASH || kind == MCTL_UNDELETE ||
	    kind == MCTL_PURGE)
		trash_settle(sim, ctl->res == 0);
	model_ctl_end(m, ctl->res);
	if (ctl->res == 0 && (kind == MCTL_CREATE || kind == MCTL_CLONE ||
			      kind == MCTL_PUBLISH))
		admin_attach_one(sim, vol);
	if (ctl->res == 0 && kind == MCTL_UNDELETE)
		trash_attach(sim, vol);
	if ((ctl->res != 0 && (kind == MCTL_DELETE || kind == MCTL_TRASH)) || kind == MCTL_ROLLBACK)
		admin_attach_one(sim, vol);
	if (ctl->res != 0 && kind == MCTL_TRASH)
		trash_attach(sim, vol);
	if (ctl->res == 0 && (kind == MCTL_CREATE || kind == MCTL_RESIZE ||
			      kind == MCTL_PUBLISH) &&
	    chance(&sim->rng, 1, 4))
		repeat(sim, kind);
}

struct vol_ctl *admin_prepare(struct sim *sim, const struct mctl *mc)
{
	struct admin *a = &sim->work->admin;

	assert(!a->busy);
	memset(&a->ctl, 0, sizeof(a->ctl));
	snprintf(a->name, sizeof(a->name), "%s",
		 sim->model->vols[mc->vol].name);
	snprintf(a->new_name, sizeof(a->new_name), "%s", mc->new_name);
	a->size_bytes = mc->size_bytes;
	a->ctl.name = a->name;
	a->ctl.new_name = a->new_name;
	a->ctl.size_bytes = mc->size_bytes;
	a->ctl.now_s = trash_wall_s(sim);
	a->ctl.done = ctl_done;
	a->busy = true;
	a->repeat = false;
	a->submit_ns = sim_now_ns(sim);
	STAT(sim, controls);
	TRACE(sim, 42, mc->kind, mc->size_bytes,
	      "control operation %u of %s, size %llu %s", mc->kind, a->name,
	      (unsigned long long)mc->size_bytes, mc->new_name);
	model_ctl_begin(sim->model, mc);
	return &a->ctl;
}

static bool create(struct sim *sim, uint64_t size_bytes)
{
	struct mctl     mc = { .kind = MCTL_CREATE, .size_bytes = size_bytes };
	struct vol_ctl *ctl;
	struct mvol    *v = model_vol_free(sim->model);

	if (v == NULL)
		return false;
	mc.vol = (uint8_t)(v - sim->model->vols);
	diff_vol_new(sim, mc.vol);
	snprintf(v->name, sizeof(v->name), "v%u", sim->work->names++);
	ctl = admin_prepare(sim, &mc);
	ctl->uuid = admin_uuid(sim);
	vol_create(sim->life->vols, ctl);
	return true;
}

bool admin_quiesce(struct sim *sim, unsigned i)
{
	while (sim->model->vols[i].inflight > 0) {
		pauses_look(sim, true);
		if (!life_turn(sim, UINT64_MAX))
			return false;
	}
	return true;
}

void admin_let_go(struct sim *sim, unsigned i)
{
	vol_put(sim->model->vols[i].vol, &sim->work->users[i]);
	sim->model->vols[i].vol = NULL;
}

static bool resize(struct sim *sim, unsigned i)
{
	struct mvol    *v = &sim->model->vols[i];
	struct mctl     mc = { .kind = MCTL_RESIZE, .vol = (uint8_t)i };
	uint64_t        blocks = v->nblocks;
	bool            shrink = chance(&sim->rng, 1, 2) && blocks > 16;
	struct vol_ctl *ctl;

	if (shrink)
		blocks = between(&sim->rng, blocks / 4 + 1, blocks - 1);
	else
		blocks += between(&sim->rng, 1, 1024);
	mc.size_bytes = blocks * TARN_BLOCK;
	if (shrink && !admin_quiesce(sim, i))
		return false;
	if (shrink)
		diff_cover(sim, i, mc.size_bytes,
			   v->nblocks * (uint64_t)TARN_BLOCK - mc.size_bytes);
	ctl = admin_prepare(sim, &mc);
	ctl->force = shrink;
	vol_resize(sim->life->vols, ctl);
	return true;
}

static void rename_volume(struct sim *sim, unsigned i)
{
	struct mctl mc = { .kind = MCTL_RENAME, .vol = (uint8_t)i };

	snprintf(mc.new_name, sizeof(mc.new_name), "v%u",
		 sim->work->names++);
	vol_rename(sim->life->vols, admin_prepare(sim, &mc));
}

static bool delete(struct sim *sim, unsigned i)
{
	struct mctl mc = { .kind = MCTL_DELETE, .vol = (uint8_t)i };

	if (!admin_quiesce(sim, i))
		return false;
	admin_let_go(sim, i);
	admin_prepare(sim, &mc)->at_once = true;
	vol_delete(sim->life->vols, &sim->work->admin.ctl);
	return true;
}

bool admin_act(struct sim *sim)
{
	struct model *m = sim->model;
	unsigned      alive = 0, pick = 0;
	uint64_t      blocks = 0;

	if (sim->work->admin.busy) {
		if (sim_now_ns(sim) - sim->work->admin.submit_ns > CTL_LIMIT_NS)
			sim_fail(sim, "P6: a control operation on %s hangs",
				 sim->work->admin.name);
		return true;
	}
	trash_look(sim);
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		if (!m->vols[i].alive)
			continue;
		alive++;
		blocks += m->vols[i].nblocks;
		if (chance(&sim->rng, 1, alive))
			pick = i;
	}
	if (alive == 0 || (alive < MODEL_VOLS_MAX - 1 &&
			   blocks < sim->work->volume_blocks)) {
		uint64_t n = between(&sim->rng, 64,
				     sim->work->volume_blocks / 2 + 128);

		create(sim, n * TARN_BLOCK -
				    (chance(&sim->rng, 1, 4) ? 512 : 0));
		return true;
	}
	switch (prng_below(&sim->rng, 8)) {
	case 0:
		/* A name that is in use meanwhile would be another one. */
		if (!sim->work->snapper.busy)
			rename_volume(sim, pick);
		return true;
	case 1:
		return alive == 1 || snaps_of(sim, pick) > 0 ||
		       delete(sim, pick);
	case 2:
	case 3:
		return branch_act(sim, alive);
	case 4:
	case 5:
		return trash_act(sim, pick, alive > 1);
	default:
		return resize(sim, pick);
	}
}

bool admin_create_now(struct sim *sim, uint64_t size_bytes)
{
	if (!create(sim, size_bytes))
		return true;
	while (sim->work->admin.busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	return true;
}

/* What became of the operation that was in flight at the crash? */
static void decide(struct sim *sim)
{
	struct model   *m = sim->model;
	struct mctl    *c = &m->ctl;
	struct volumes *vols = sim->life->vols;
	const char     *name = m->vols[c->vol].name;
	bool            happened = false;
	struct volume  *v;

	switch ((enum mctl_kind)c->kind) {
	case MCTL_NONE:
		return;
	case MCTL_CREATE:
	case MCTL_CLONE:
		happened = vols_find(vols, name) != NULL;
		break;
	case MCTL_PUBLISH:
		happened = vols_find(vols, name) != NULL;
		branch_settle(sim, happened);
		break;
	case MCTL_ROLLBACK:
		happened = branch_happened(sim);
		branch_settle(sim, happened);
		break;
	case MCTL_RESIZE:
		v = vols_find(vols, name);
		happened = v != NULL && vol_size_bytes(v) == c->size_bytes;
		break;
	case MCTL_RENAME:
		happened = vols_find(vols, c->new_name) != NULL;
		break;
	case MCTL_DELETE:
	case MCTL_TRASH:
		happened = vols_find(vols, name) == NULL;
		break;
	case MCTL_UNDELETE:
		happened = vols_find(vols, c->new_name) != NULL;
		break;
	case MCTL_PURGE:
		happened = !trash_has(sim, c->vol);
		break;
	}
	if (c->kind == MCTL_TRASH || c->kind == MCTL_UNDELETE ||
	    c->kind == MCTL_PURGE)
		trash_settle(sim, happened);
	TRACE(sim, 43, c->kind, happened, "control operation %u of %s %s",
	      c->kind, name, happened ? "happened" : "did not happen");
	model_ctl_decide(m, happened);
}

void admin_attach(struct sim *sim)
{
	struct model  *m = sim->model;
	unsigned       there = 0, alive = 0;
	struct volume *v;

	decide(sim);
	trash_look(sim); /* what the last life did, had it little space or not */
	trash_start(sim);
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		if (!m->vols[i].alive)
			continue;
		alive++;
		admin_attach_one(sim, i);
		if (vol_size_bytes(m->vols[i].vol) != m->vols[i].size_bytes)
			sim_fail(sim, "P9: volume %s has %llu bytes, not %llu",
				 m->vols[i].name,
				 (unsigned long long)vol_size_bytes(
					 m->vols[i].vol),
				 (unsigned long long)m->vols[i].size_bytes);
	}
	for (v = vols_next(sim->life->vols, NULL); v != NULL;
	     v = vols_next(sim->life->vols, v))
		there++;
	if (there != alive)
		sim_fail(sim, "P9: there are %u volumes, not %u", there,
			 alive);
	snaps_attach(sim);
}

void admin_forget(struct sim *sim)
{
	sim->work->admin.busy = false;
	sim->work->relieving = false;
	sim->work->leaving = false;
	memset(sim->work->left, 0, sizeof(sim->work->left));
	snaps_forget(sim);
}
