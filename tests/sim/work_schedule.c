/* tests/sim/work_schedule.c - schedules of snapshots: what a volume is said to
 * keep, which snapshots are its schedule's, and how far it was followed, is the
 * same after crashes (P9), and in its name nothing else is deleted.
 *
 * The clock, and what is due, is not here: tests/server/test_schedule.c.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

/* So that each one of a schedule is another minute. */
static uint64_t time_now(const struct sim *sim)
{
	return 1700000000 + sim->work->snapper.names * 60ull;
}

static bool keeps_same(const struct vol_schedule *a,
		       const struct vol_schedule *b)
{
	return memcmp(a->keep, b->keep, sizeof(a->keep)) == 0;
}

/* Of volume i, as it is. */
static struct vol_schedule look(const struct sim *sim, unsigned i)
{
	struct vol_schedule s = { .last_min = 0 };

	vol_schedule_get(sim->model->vols[i].vol, &s);
	return s;
}

static uint32_t id_of(const struct sim *sim, unsigned i)
{
	struct volume_info info;

	vol_info(sim->model->vols[i].vol, &info);
	return info.id;
}

/* What is known of the volume; one that is new has no schedule. */
static struct msched *msched(struct sim *sim, unsigned i)
{
	struct msched *m = &sim->work->scheds[i];
	uint32_t id = id_of(sim, i);

	if (m->id != id) {
		memset(m, 0, sizeof(*m));
		m->id = id;
	}
	return m;
}

static void check(struct sim *sim, unsigned i)
{
	struct msched *m = msched(sim, i);
	struct vol_schedule s = look(sim, i);

	if (!keeps_same(&s, &m->is) || s.last_min != m->is.last_min)
		sim_fail(sim, "P9: the schedule of volume %s is another one: "
			 "followed until %u, not %u",
			 sim->model->vols[i].name, s.last_min, m->is.last_min);
}

/* It was set; which does nothing to one that was like that. */
static void settle(struct sim *sim, unsigned i, struct msched *m)
{
	if (keeps_same(&m->is, &m->want))
		return;
	m->is = look(sim, i);
	for (unsigned k = 0; k < MSNAPS_MAX; k++) {
		struct msnap *s = &sim->work->snaps[k];

		if (s->state != MSNAP_NONE && s->vol == i && s->sched > 0 &&
		    m->is.keep[s->sched - 1] == 0)
			s->sched = 0;
	}
}

void schedules_decide(struct sim *sim)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct vol_schedule s;
		struct msched *m;

		if (!sim->model->vols[i].alive)
			continue;
		m = msched(sim, i);
		s = look(sim, i);
		if (m->asked && keeps_same(&s, &m->want))
			settle(sim, i, m);
		m->asked = false;
	}
}

void schedules_check(struct sim *sim)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++)
		if (sim->model->vols[i].alive)
			check(sim, i);
}

void schedule_snap_check(struct sim *sim, const struct msnap *s)
{
	struct volume_info info;

	vol_info(s->v, &info);
	if (info.schedule != (s->sched > 0 ? s->sched - 1 : PERIODS))
		sim_fail(sim, "P9: snapshot %s is of kind %u of the schedule, "
			 "not %u", s->name, info.schedule,
			 s->sched > 0 ? s->sched - 1u : PERIODS);
}

void schedule_snap_there(struct sim *sim, const struct msnap *s)
{
	struct msched *m = msched(sim, s->vol);
	bool some = false;

	for (unsigned p = 0; p < PERIODS; p++)
		some |= m->is.keep[p] > 0;
	if (s->sched > 0 && some)
		m->is.last_min = s->taken_min;
}

uint64_t schedule_snap_asked(struct sim *sim, struct msnap *s, uint8_t kind)
{
	s->sched = kind + 1;
	s->taken_min = (uint32_t)(time_now(sim) / 60);
	STAT(sim, scheduled);
	return time_now(sim);
}

/* --- operations ---------------------------------------------------------- */

static void ctl_done(struct vol_ctl *ctl)
{
	(void)ctl;
	sim_current->work->snapper.busy = false;
}

/* False when the engine stopped. */
static bool ctl_run(struct sim *sim, const char *name,
		    void (*op)(struct volumes *vols, struct vol_ctl *ctl))
{
	struct snapper *sn = &sim->work->snapper;

	sn->ctl.name = name;
	sn->ctl.now_s = time_now(sim);
	sn->ctl.done = ctl_done;
	sn->busy = true;
	sn->submit_ns = sim_now_ns(sim);
	op(sim->life->vols, &sn->ctl);
	while (sn->busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	sn->ctl.name = NULL;
	TRACE(sim, 43, sn->ctl.res, 0, "schedule: %s: %d %s", name,
	      sn->ctl.res, sn->ctl.error);
	return true;
}

bool schedule_act(struct sim *sim, unsigned i)
{
	struct vol_ctl *ctl = &sim->work->snapper.ctl;
	struct msched  *m;
	bool same;

	while (i < MODEL_VOLS_MAX && !snap_vol_is_free(sim, i))
		i++;
	if (i == MODEL_VOLS_MAX)
		return true;
	STAT(sim, schedules);
	m = msched(sim, i);
	memset(ctl, 0, sizeof(*ctl));
	memset(&m->want, 0, sizeof(m->want));
	for (unsigned p = 0; p < PERIODS; p++)
		if (chance(&sim->rng, 1, 2))
			m->want.keep[p] = (uint16_t)prng_below(&sim->rng, 4);
	if (chance(&sim->rng, 1, 6))
		memset(&m->want, 0, sizeof(m->want));
	same = keeps_same(&m->want, &m->is);
	ctl->schedule = m->want;
	m->asked = true;
	if (!ctl_run(sim, sim->model->vols[i].name, vol_schedule_set))
		return false;
	m->asked = false;
	space_check_frees(sim, ctl);
	if (ctl->res == -ENOSPC) {
		space_check_enospc(sim, 0, 0);
		return true;
	}
	if (ctl->res != 0 || ctl->already != same)
		sim_fail(sim, "P9: setting a schedule: %d %s", ctl->res,
			 ctl->error);
	settle(sim, i, m);
	if (!keeps_same(&m->is, &m->want))
		sim_fail(sim, "P9: volume %s has not the schedule that was "
			 "set", sim->model->vols[i].name);
	return true;
}

bool schedule_keeps(struct sim *sim, const struct msnap *s)
{
	struct vol_ctl *ctl = &sim->work->snapper.ctl;
	char name[128];

	snap_full_name(sim, s, name, sizeof(name));
	memset(ctl, 0, sizeof(*ctl));
	ctl->force = true;
	ctl->by_schedule = true;
	if (!ctl_run(sim, name, vol_delete))
		return false;
	if (ctl->res != -EBUSY)
		sim_fail(sim, "P9: a schedule deletes snapshot %s, which is "
			 "not its own: %d %s", s->name, ctl->res, ctl->error);
	return true;
}
