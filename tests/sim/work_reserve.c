/* tests/sim/work_reserve.c - reserves (P12): what a volume is said to have kept
 * for it is the same after crashes, and none of its writes that this covers ever
 * finds no space, whatever the others do.
 */
#include <errno.h>
#include <string.h>

#include "tests/sim/work_priv.h"

static uint64_t look(const struct sim *sim, unsigned i, uint32_t *ret_id)
{
	struct volume_info info;

	vol_info(sim->model->vols[i].vol, &info);
	*ret_id = info.id;
	return info.reserve_bytes;
}

/* What is known of the volume; one that is new has no reserve. */
static struct mreserve *mreserve(struct sim *sim, unsigned i, uint64_t *ret_is)
{
	struct mreserve *m = &sim->work->reserves[i];
	uint32_t id;

	*ret_is = look(sim, i, &id);
	if (m->id != id) {
		memset(m, 0, sizeof(*m));
		m->id = id;
	}
	return m;
}

void reserves_check(struct sim *sim)
{
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct mreserve *m;
		uint64_t is;

		if (!sim->model->vols[i].alive)
			continue;
		m = mreserve(sim, i, &is);
		if (m->asked && is == m->want)
			m->is = is;
		m->asked = false;
		if (m->is != is)
			sim_fail(sim, "P9: the reserve of volume %s is %llu, "
				 "not %llu", sim->model->vols[i].name,
				 (unsigned long long)is,
				 (unsigned long long)m->is);
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

bool reserve_covers(struct sim *sim, unsigned i)
{
	const struct mvol     *v = &sim->model->vols[i];
	const struct mreserve *m = &sim->work->reserves[i];
	struct volume_info info;
	uint64_t used;

	if (!v->alive || v->vol == NULL || m->is == 0 || m->asked)
		return false;
	vol_info(v->vol, &info);
	used = info.mapped_blocks;
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

bool reserve_act(struct sim *sim, unsigned i)
{
	struct snapper  *sn = &sim->work->snapper;
	struct mreserve *m;
	uint64_t is;

	while (i < MODEL_VOLS_MAX && !snap_vol_is_free(sim, i))
		i++;
	if (i == MODEL_VOLS_MAX)
		return true;
	STAT(sim, reserves);
	m = mreserve(sim, i, &is);
	m->want = choose(sim, &sim->model->vols[i]);
	m->asked = true;
	memset(&sn->ctl, 0, sizeof(sn->ctl));
	sn->ctl.name = sim->model->vols[i].name;
	sn->ctl.props.mask = VOL_PROP_RESERVE;
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
	if (sn->ctl.res != 0 || sn->ctl.already != (m->is == m->want))
		sim_fail(sim, "P9: setting a reserve: %d %s", sn->ctl.res,
			 sn->ctl.error);
	m->is = m->want;
	return true;
}
