/* tests/sim/work_range.c - which volume a request goes to, and where in it.
 *
 * Requests that go anywhere seldom fill a pool: the less is free, the more of
 * them go to what was written before.  So half of the phases that are to fill
 * it write one volume after the other from front to back.
 */
#include "tests/sim/work_priv.h"

static bool takes_requests(const struct sim *sim, unsigned i)
{
	const struct mvol *v = &sim->model->vols[i];

	return v->alive && v->nblocks > 0 && !admin_holds(sim, i);
}

int work_pick_volume(struct sim *sim)
{
	unsigned n = 0;
	int      pick = -1;

	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		if (takes_requests(sim, i) && chance(&sim->rng, 1, ++n))
			pick = (int)i;
	}
	return pick;
}

static bool fills_in_order(const struct work *w, enum kind kind)
{
	return w->phase == PHASE_FILL && w->in_order && kind == KIND_WRITE;
}

int range_pick_volume(struct sim *sim, enum kind kind)
{
	struct work *w = sim->work;
	unsigned     i = w->fill_vol;

	if (!fills_in_order(w, kind))
		return work_pick_volume(sim);
	if (takes_requests(sim, i) &&
	    w->fill_block < sim->model->vols[i].size_bytes / TARN_BLOCK)
		return (int)i;
	/* The next one. */
	w->fill_block = 0;
	for (unsigned n = 0; n < MODEL_VOLS_MAX; n++) {
		i = (i + 1) % MODEL_VOLS_MAX;
		if (!takes_requests(sim, i))
			continue;
		w->fill_vol = i;
		return (int)i;
	}
	return -1;
}

static uint64_t pick_blocks(struct sim *sim, enum kind kind)
{
	struct prng *rng = &sim->rng;
	enum phase   phase = sim->work->phase;
	uint64_t     x = prng_below(rng, 100);

	if (phase == PHASE_SMALL)
		return x < 90 ? 1 : between(rng, 1, 4);
	if (phase == PHASE_HOT)
		return between(rng, 1, 4);
	if (phase == PHASE_SEQUENTIAL)
		return between(rng, 1, 32);
	if (phase == PHASE_FILL && kind == KIND_WRITE)
		return between(rng, 16, 256);
	if (kind == KIND_TRIM || kind == KIND_ZERO || kind == KIND_STATUS)
		return x < 50 ? between(rng, 1, 16) :
		       x < 90 ? between(rng, 16, 512) :
				between(rng, 256, BLOCKS_MAX);
	return x < 55 ? 1 :
	       x < 80 ? between(rng, 2, 8) :
	       x < 94 ? between(rng, 8, 64) :
	       x < 99 ? between(rng, 64, 256) :
			between(rng, 256, BLOCKS_MAX);
}

void range_pick(struct sim *sim, const struct mvol *v, enum kind kind,
		uint64_t *ret_off, uint64_t *ret_len)
{
	struct work *w = sim->work;
	struct prng *rng = &sim->rng;
	uint64_t     whole = v->size_bytes / TARN_BLOCK;
	uint64_t     n, at, off, len;

	if (whole == 0) {
		*ret_off = 0;
		*ret_len = v->size_bytes;
		return;
	}
	n = min_u64(pick_blocks(sim, kind), whole);
	if (fills_in_order(w, kind)) {
		at = min_u64(w->fill_block, whole - n);
		w->fill_block = at + n;
	} else if (w->phase == PHASE_SEQUENTIAL) {
		at = w->cursor % (whole - n + 1);
		w->cursor = at + n;
	} else if (w->phase == PHASE_HOT) {
		at = min_u64(w->hot % whole + prng_below(rng, 12), whole - n);
	} else {
		at = prng_below(rng, whole - n + 1);
	}
	off = at * TARN_BLOCK;
	len = n * TARN_BLOCK;
	if (kind != KIND_CACHE && chance(rng, 1, 7)) {
		uint64_t grain = chance(rng, 1, 2) ? 512 : 1;
		uint64_t cut = prng_below(rng, len / grain) * grain;

		off += cut;
		len -= cut;
		len -= prng_below(rng, len / grain) * grain;
	}
	/* The odd bytes at the end of a volume are bytes, too. */
	if (chance(rng, 1, 50)) {
		off = v->size_bytes - min_u64(len, v->size_bytes);
		len = v->size_bytes - off;
	}
	*ret_off = off;
	*ret_len = len;
}
