/* tests/sim/work_reserve.c - reserves (P12): what a volume is said to have kept
 * for it is the same after crashes, and none of its writes that this covers ever
 * finds no space, whatever the others do.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

static struct volume_info look(const struct sim *sim, unsigned i)
{
	struct volume_info info;

	vol_info(sim->model->vols[i].vol, &info);
	return info;
}

/* What is known of the volume; one that is new has no reserve. */
static struct mreserve *mreserve(struct sim *sim, unsigned i)
{
	struct mreserve *m = &sim->work->reserves[i];
	struct volume_info info = look(sim, i);

	if (m->id != info.id) {
		memset(m, 0, sizeof(*m));
		m->id = info.id;
	}
	return m;
}

static void settle(struct mreserve *m)
{
	m->is = m->want;
	m->pause = m->pause_want;
}

void reserves_check(struct sim *sim)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct volume_info info;
		struct mreserve *m;

		if (!sim->model->vols[i].alive)
			continue;
		m = mreserve(sim, i);
		info = look(sim, i);
		/* All of what one record says, or none. */
		if (m->asked && info.reserve_bytes == m->want &&
		    info.pauses == m->pause_want)
			settle(m);
		m->asked = false;
		if (m->is != info.reserve_bytes || m->pause != info.pauses)
			sim_fail(sim, "P9: the reserve of volume %s is %llu, "
				 "not %llu, or it pauses (%d) and should not",
				 sim->model->vols[i].name,
				 (unsigned long long)info.reserve_bytes,
				 (unsigned long long)m->is, info.pauses);
	}
}

/* As if nothing of it were used. */
static uint64_t whole(const struct mvol *v, uint64_t reserve_bytes)
{
	uint64_t data = min_u64(reserve_bytes, v->size_bytes) / TARN_BLOCK + 1;

	return reserve_bytes == 0 ? 0 : data + v->nblocks / 64 + 64;
}

uint64_t reserves_need(const struct sim *sim)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		const struct mvol     *v = &sim->model->vols[i];
		const struct mreserve *m = &sim->work->reserves[i];

		if (v->alive || v->trashed)
			n += whole(v, max_u64(m->is, m->asked ? m->want : 0));
	}
	return n;
}

bool reserve_covers(struct sim *sim, unsigned i, uint64_t blocks)
{
	const struct mvol     *v = &sim->model->vols[i];
	const struct mreserve *m = &sim->work->reserves[i];
	struct volume_info info;
	uint64_t used;

	if (!v->alive || v->vol == NULL || m->is == 0 || m->asked)
		return false;
	vol_info(v->vol, &info);
	used = info.mapped_blocks + blocks;
	for (unsigned k = 0; k < SLOTS_MAX; k++) {
		const struct slot *s = &sim->work->slots[k];

		if (s->busy && s->op != 0 && s->vol == i)
			used += s->req.len_bytes / TARN_BLOCK + 2;
	}
	return info.id == m->id && (m->is == VOL_RESERVE_FULL ||
				    used <= m->is / TARN_BLOCK);
}

/* --- operations ---------------------------------------------------------- */

static void ctl_done(struct vol_ctl *ctl)
{
	(void)ctl;
	sim_current->work->snapper.busy = false;
}

static uint64_t choose(struct sim *sim, const struct mvol *v)
{
	uint64_t blocks = v->size_bytes / TARN_BLOCK;

	if (chance(&sim->rng, 1, 3))
		return VOL_RESERVE_FULL;
	if (chance(&sim->rng, 1, 3))
		return 0;
	return prng_below(&sim->rng, blocks + 1) * TARN_BLOCK;
}

/* What is under way may be held by it, too. */
static void may_pause(struct sim *sim, unsigned i)
{
	for (unsigned k = 0; k < SLOTS_MAX; k++)
		if (sim->work->slots[k].vol == i)
			sim->work->slots[k].may_pause = true;
}

bool reserve_act(struct sim *sim, unsigned i)
{
	struct snapper  *sn = &sim->work->snapper;
	struct mreserve *m;

	while (i < MODEL_VOLS_MAX && !snap_vol_is_free(sim, i))
		i++;
	if (i == MODEL_VOLS_MAX)
		return true;
	STAT(sim, reserves);
	m = mreserve(sim, i);
	if (m->asked)
		return true; /* by pauses_look() */
	m->want = m->is;
	m->pause_want = chance(&sim->rng, 1, 2) ? m->pause :
						  chance(&sim->rng, 1, 3);
	if (chance(&sim->rng, 3, 4))
		m->want = choose(sim, &sim->model->vols[i]);
	m->asked = true;
	if (m->pause_want)
		may_pause(sim, i);
	memset(&sn->ctl, 0, sizeof(sn->ctl));
	sn->ctl.name = sim->model->vols[i].name;
	sn->ctl.props.mask = VOL_PROP_RESERVE | VOL_PROP_PAUSE;
	sn->ctl.props.pause = m->pause_want;
	sn->ctl.props.reserve_bytes = m->want;
	sn->ctl.done = ctl_done;
	sn->busy = true;
	sn->submit_ns = sim_now_ns(sim);
	vol_set(sim->life->vols, &sn->ctl);
	while (sn->busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	sn->ctl.name = NULL;
	TRACE(sim, 47, sn->ctl.res, m->want, "reserve of %s: %llu: %d %s",
	      sim->model->vols[i].name, (unsigned long long)m->want,
	      sn->ctl.res, sn->ctl.error);
	m->asked = false;
	if (sn->ctl.res == -ENOSPC) {
		space_check_enospc(sim, 0, reserves_need(sim) +
				   whole(&sim->model->vols[i], m->want));
		return true;
	}
	if (sn->ctl.res != 0 ||
	    sn->ctl.already != (m->is == m->want && m->pause == m->pause_want))
		sim_fail(sim, "P9: setting a reserve: %d %s", sn->ctl.res,
			 sn->ctl.error);
	settle(m);
	return true;
}

/* --- pausing ------------------------------------------------------------- */

/* So long the clients of a volume that is paused wait for somebody else to make
 * room. */
#define HELD_NS (20 * NS_PER_S)

bool reserve_pauses(const struct sim *sim, unsigned i, bool surely)
{
	const struct mreserve *m = &sim->work->reserves[i];

	/* Another volume may be in its place. */
	if (sim->model->vols[i].vol == NULL || look(sim, i).id != m->id)
		return false;
	return surely ? m->pause && (!m->asked || m->pause_want) :
			m->pause || (m->asked && m->pause_want);
}

static void on_pause(void *arg, const char *name, bool paused)
{
	struct sim *sim = arg;

	TRACE(sim, 48, paused, 0, "volume %s: paused %d", name, paused);
	if (paused)
		STAT(sim, paused);
}

void pauses_watch(struct sim *sim)
{
	vols_pause_watch(sim->life->vols, on_pause, sim);
}

/* Not even that can be recorded: its client gives up. */
static void leave(struct sim *sim, unsigned i)
{
	struct mvol *v = &sim->model->vols[i];

	if (!v->alive || v->vol == NULL || look(sim, i).paused == 0)
		return;
	sim->work->left[i] = true;
	vol_leave(v->vol, &sim->work->users[i]);
}

/* Another client comes. */
static void come_back(struct sim *sim, unsigned i)
{
	struct vol_user *u = &sim->work->users[i];
	struct mvol     *v = &sim->model->vols[i];

	for (unsigned k = 0; k < SLOTS_MAX; k++)
		if (sim->work->slots[k].busy && sim->work->slots[k].vol == i)
			return;
	sim->work->left[i] = false;
	if (!v->alive || v->vol == NULL || !u->left)
		return; /* it has come, with another life or volume */
	vol_put(v->vol, u);
	vol_get(v->vol, u);
}

static void relief_done(struct vol_ctl *ctl)
{
	struct work     *w = sim_current->work;
	struct mreserve *m = &w->reserves[w->relieved];

	w->relieving = false;
	m->asked = false;
	space_check_frees(sim_current, ctl);
	if (ctl->res == 0)
		settle(m);
	else if (ctl->res == -ENOSPC)
		leave(sim_current, w->relieved);
	else if (ctl->res != -ENOENT)
		sim_fail(sim_current, "a volume cannot be told not to pause: "
			 "%d %s", ctl->res, ctl->error);
}

static void relieve(struct sim *sim, unsigned i)
{
	struct work     *w = sim->work;
	struct mreserve *m = &w->reserves[i];

	STAT(sim, relieved);
	memset(&w->relief, 0, sizeof(w->relief));
	m->want = m->is;
	m->pause_want = false;
	m->asked = true;
	w->relieved = i;
	w->relieving = true;
	w->relief.name = sim->model->vols[i].name;
	w->relief.props.mask = VOL_PROP_PAUSE;
	w->relief.done = relief_done;
	vol_set(sim->life->vols, &w->relief);
}

void pauses_look(struct sim *sim, bool soon)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		const struct mvol *v = &sim->model->vols[i];
		struct volume_info info;

		if (sim->work->left[i])
			come_back(sim, i);
		if (!v->alive || v->vol == NULL || sim->work->relieving ||
		    sim->work->left[i] ||
		    !sim->work->reserves[i].pause ||
		    sim->work->reserves[i].asked)
			continue;
		vol_info(v->vol, &info);
		if (info.paused > 0 && info.id == sim->work->reserves[i].id &&
		    (soon || sim_now_ns(sim) - info.paused_ns > HELD_NS))
			relieve(sim, i);
	}
}
