/* tests/sim/work_verify.c - after a crash: read every block of every volume,
 * through the server, and let the model judge.
 */
#include <string.h>

#include "tests/sim/work_priv.h"

static void verify_done(struct vol_req *req)
{
	struct slot *s = container_of(req, struct slot, req);
	struct sim  *sim = s->sim;
	uint64_t     first = req->off_bytes / TARN_BLOCK;
	uint64_t     n = div_up(req->len_bytes, TARN_BLOCK);

	s->busy = false;
	sim->work->inflight--;
	if (req->res != 0)
		sim_fail(sim, "P4: blocks %llu+%llu of %s cannot be read after "
			 "a crash: %d", (unsigned long long)first,
			 (unsigned long long)n,
			 sim->model->vols[s->vol].name, req->res);
	for (uint64_t i = 0; i < n; i++)
		model_verify(sim->model, s->vol, first + i,
			     s->buf + i * TARN_BLOCK);
	STAT_ADD(sim, blocks_verified, n);
}

static void verify_part(struct sim *sim, unsigned vol, uint64_t at)
{
	struct slot    *s = work_free_slot(sim);
	struct vol_req *r = &s->req;
	struct mvol    *v = &sim->model->vols[vol];

	memset(r, 0, sizeof(*r));
	s->vol = vol;
	s->op = 0;
	s->submit_ns = sim_now_ns(sim);
	s->busy = true;
	sim->work->inflight++;
	r->op = VOL_READ;
	r->vol = v->vol;
	r->done = verify_done;
	r->off_bytes = at;
	r->len_bytes = min_u64(v->size_bytes - at, 256 * TARN_BLOCK);
	r->buf = s->buf;
	vol_submit(r);
}

void work_verify(struct sim *sim)
{
	struct work *w = sim->work;

	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct mvol *v = &sim->model->vols[i];

		for (uint64_t at = 0; v->alive && at < v->size_bytes;
		     at += 256 * TARN_BLOCK) {
			verify_part(sim, i, at);
			while (w->inflight >= 6)
				life_turn(sim, UINT64_MAX);
		}
	}
	work_drain(sim);
	snaps_verify(sim);
	model_verify_order(sim->model);
	space_check_mapped(sim);
	event_verify(sim);
	receive_clean(sim);
	damage_check_none(sim);
}
