/* tests/sim/work.c - see work.h. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/fault.h"
#include "tests/sim/work_priv.h"

/* How often each kind is asked for, of the sum of its phase. */
static const unsigned weights[PHASES][KINDS] = {
	/*                    read write trim zero flush stat cache ctl snap */
	[PHASE_MIXED] =      { 300, 480,  50,  50,   60,  20,  10,  8, 20 },
	[PHASE_SMALL] =      { 250, 650,  20,  20,   30,  10,   5,  3, 10 },
	[PHASE_SEQUENTIAL] = { 150, 800,   5,   5,   20,   5,   5,  2, 10 },
	[PHASE_HOT] =        { 300, 600,  40,  30,   20,  10,   0,  0, 30 },
	[PHASE_FILL] =       {  60, 900,   2,   2,   10,   2,   2,  5,  5 },
	[PHASE_TRIM] =       { 200, 250, 400,  60,   30,  20,   0, 10, 20 },
	[PHASE_READ] =       { 800,  80,  20,  20,   20,  40,  20,  5, 30 },
};

void work_open(struct sim *sim)
{
	struct work *w = calloc(1, sizeof(*w));

	assert(w != NULL);
	sim->work = w;
	for (unsigned i = 0; i < SLOTS_MAX; i++) {
		w->slots[i].sim = sim;
		w->slots[i].buf = aligned_alloc(
			TARN_BLOCK, (BLOCKS_MAX + 2ul) * TARN_BLOCK);
		assert(w->slots[i].buf != NULL);
	}
	snaps_open(sim);
	event_open(sim);
	w->fault_every = max_u64(sim->steps / (fault_kinds() + 4), 1);
	w->fault_in = w->fault_every;
	w->moves_disks = chance(&sim->fault_rng, 1, 2);
}

static void next_phase(struct sim *sim)
{
	struct work *w = sim->work;
	uint64_t     x = prng_below(&sim->rng, 100);

	if (w->disks.added)
		w->phase = PHASE_FILL;
	/* A full pool must let go of something first, mostly. */
	else if (w->enospcs > 0 && x < 70)
		w->phase = PHASE_TRIM;
	else
		w->phase = (enum phase)prng_below(&sim->rng, PHASES);
	w->disks.added = false;
	w->enospcs = 0;
	w->phase_left = between(&sim->rng, 30, 250);
	w->depth = (unsigned)(chance(&sim->rng, 1, 4) ?
				      1 :
				      between(&sim->rng, 2, SLOTS_MAX));
	w->cursor = prng_u64(&sim->rng);
	w->hot = prng_u64(&sim->rng);
	w->in_order = w->phase == PHASE_FILL && chance(&sim->rng, 1, 2);
	if (w->phase == PHASE_FILL)
		STAT(sim, fills);
	TRACE(sim, 50, w->phase, w->depth, "phase %u, depth %u", w->phase,
	      w->depth);
}

/* --- answers ------------------------------------------------------------- */

static void check_holes(struct sim *sim, struct slot *s)
{
	uint64_t skew = s->req.off_bytes % TARN_BLOCK;
	uint64_t n = div_up(skew + s->req.len_bytes, TARN_BLOCK);

	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *p = s->buf + i * TARN_BLOCK;
		uint64_t       lo = i == 0 ? skew : 0;
		uint64_t       hi = min_u64(skew + s->req.len_bytes -
						    i * TARN_BLOCK,
					    TARN_BLOCK);

		if (!bitmap_test(s->holes, i))
			continue;
		for (uint64_t b = lo; b < hi; b++)
			if (p[b] != 0)
				sim_fail(sim, "a read said that block %llu of "
					 "%s is a hole, and gave data",
					 (unsigned long long)(s->req.off_bytes /
							      TARN_BLOCK + i),
					 sim->model->vols[s->vol].name);
	}
}

static void check_status(struct sim *sim, struct slot *s)
{
	uint64_t at = s->req.off_bytes;
	uint64_t end = at + s->req.len_bytes;
	uint64_t first = at / TARN_BLOCK;

	if (s->req.nextents == 0 || s->req.nextents > s->req.extents_max)
		sim_fail(sim, "STATUS gave %u extents", s->req.nextents);
	for (uint32_t i = 0; i < s->req.nextents; i++) {
		struct vol_extent *e = &s->extents[i];

		if (e->len_bytes == 0)
			sim_fail(sim, "STATUS gave an empty extent");
		for (uint64_t b = div_up(at, TARN_BLOCK);
		     e->hole && (b + 1) * TARN_BLOCK <=
					min_u64(at + e->len_bytes, end);
		     b++)
			model_check_hole(sim->model, s->vol, b,
					 s->lo[b - first]);
		at += e->len_bytes;
	}
	if (at > end || (at < end && s->req.nextents < s->req.extents_max &&
			 !(s->req.flags & VOL_ONE)))
		sim_fail(sim, "STATUS covers %llu bytes of %llu",
			 (unsigned long long)(at - s->req.off_bytes),
			 (unsigned long long)s->req.len_bytes);
}

static void check_latency(struct sim *sim, const struct slot *s)
{
	uint64_t ns = sim_now_ns(sim) - s->submit_ns;

	/* The one exception; what overlaps waits too. */
	if (s->op != 0 && s->may_pause)
		return;
	if (ns > LATENCY_NS)
		sim_fail(sim, "P6: request %u of %s (%llu+%llu) took %llu ms",
			 s->req.op, sim->model->vols[s->vol].name,
			 (unsigned long long)s->req.off_bytes,
			 (unsigned long long)s->req.len_bytes,
			 (unsigned long long)(ns / NS_PER_MS));
}

static void slot_done(struct vol_req *req)
{
	struct slot  *s = container_of(req, struct slot, req);
	struct sim   *sim = s->sim;
	struct model *m = sim->model;
	uint64_t      blocks = req->len_bytes / TARN_BLOCK + 2;
	bool          leaves = sim->work->leaving || sim->work->left[s->vol];

	assert(s->busy);
	s->busy = false;
	sim->work->inflight--;
	TRACE(sim, 51, s->op, req->res, "request %zu ends: %d (operation %u)",
	      (size_t)(s - sim->work->slots), req->res, s->op);
	check_latency(sim, s);
	if (req->res == -ENOSPC && s->op != 0 && s->must_pause &&
	    req->op != VOL_TRIM && !leaves &&
	    reserve_pauses(sim, s->vol, true))
		sim_fail(sim, "P12: ENOSPC for volume %s, which pauses",
			 m->vols[s->vol].name);
	if (req->res == -ENOSPC && s->op != 0 && req->op != VOL_TRIM) {
		STAT(sim, enospc);
		sim->work->enospcs++;
		model_end(m, s->op, req->res);
		space_check_write(sim, s->vol, s->used, blocks);
		return;
	}
	if (req->res == -ECANCELED && s->may_pause && leaves) {
		STAT(sim, cancelled);
		model_end(m, s->op, req->res);
		return;
	}
	if (req->res != 0)
		sim_fail(sim, "P4, P6: request %u on %s (%llu+%llu, operation "
			 "%u) failed: %d; %s", req->op, m->vols[s->vol].name,
			 (unsigned long long)req->off_bytes,
			 (unsigned long long)req->len_bytes, s->op, req->res,
			 sim->life->failed ? sim->life->why :
					     "the pool lives");
	/* Whether a trim may be without effect is asked at both its ends. */
	if (req->op == VOL_TRIM)
		space_look(sim);
	if (s->op != 0)
		model_end(m, s->op, 0);
	if (req->op == VOL_FLUSH)
		model_flushed(m, s->mark);
	if (req->op == VOL_READ) {
		check_holes(sim, s);
		model_read_end(m, s->vol, req->off_bytes, req->len_bytes,
			       s->lo, s->buf);
	}
	if (req->op == VOL_STATUS) {
		check_status(sim, s);
		model_read_end(m, s->vol, req->off_bytes, req->len_bytes,
			       s->lo, NULL);
	}
}

/* --- questions ----------------------------------------------------------- */

static enum kind pick_kind(struct sim *sim)
{
	const unsigned *w = weights[sim->work->phase];
	unsigned        sum = 0, k;
	uint64_t        x;

	for (k = 0; k < KINDS; k++)
		sum += w[k];
	x = prng_below(&sim->rng, sum);
	for (k = 0; x >= w[k]; k++)
		x -= w[k];
	return (enum kind)k;
}

struct slot *work_free_slot(struct sim *sim)
{
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		if (!sim->work->slots[i].busy)
			return &sim->work->slots[i];
	return NULL;
}

static void change(struct sim *sim, struct slot *s, enum kind kind)
{
	struct vol_req *r = &s->req;
	enum mop_kind   mk = kind == KIND_WRITE ? MOP_WRITE :
			     kind == KIND_ZERO	? MOP_ZERO :
						  MOP_TRIM;
	uint64_t        usable;

	r->op = kind == KIND_WRITE ? VOL_WRITE :
		kind == KIND_ZERO  ? VOL_ZERO :
				     VOL_TRIM;
	if (!s->plain && chance(&sim->rng, 1, 16)) {
		r->flags |= VOL_FUA;
		STAT(sim, fua);
	}
	if (kind == KIND_ZERO && chance(&sim->rng, 1, 4))
		r->flags |= VOL_NO_HOLE;
	s->used = space_used(sim, &usable);
	s->cover = diff_cover(sim, s->vol, r->off_bytes, r->len_bytes);
	s->op = model_begin(sim->model, s->vol, mk, r->off_bytes, r->len_bytes,
			    r->flags & VOL_FUA);
	if (kind != KIND_WRITE)
		return;
	r->buf = s->buf;
	if (chance(&sim->rng, 1, 8))
		r->buf = s->buf + between(&sim->rng, 1, 64);
	model_fill(sim->model, s->op, r->buf);
}

static void look(struct sim *sim, struct slot *s, enum kind kind)
{
	struct vol_req *r = &s->req;

	r->op = kind == KIND_READ   ? VOL_READ :
		kind == KIND_STATUS ? VOL_STATUS :
				      VOL_CACHE;
	r->buf = s->buf;
	r->holes = chance(&sim->rng, 1, 2) ? s->holes : NULL;
	if (r->holes == NULL)
		memset(s->holes, 0, sizeof(s->holes));
	if (kind == KIND_STATUS) {
		r->extents = s->extents;
		r->extents_max = (uint32_t)between(&sim->rng, 1, EXTENTS_MAX);
		if (chance(&sim->rng, 1, 4))
			r->flags |= VOL_ONE;
	}
	if (kind != KIND_CACHE)
		model_read_begin(sim->model, s->vol, r->off_bytes,
				 r->len_bytes, s->lo);
}

static const enum sim_stat kind_stats[KINDS] = {
	STAT_reads,   STAT_writes,   STAT_trims, STAT_zeroes,
	STAT_flushes, STAT_statuses, STAT_reads, STAT_controls,
};

static void slot_take(struct sim *sim, struct slot *s, int vol)
{
	struct vol_req *r = &s->req;

	memset(r, 0, sizeof(*r));
	s->vol = (unsigned)vol;
	s->op = 0;
	r->vol = sim->model->vols[vol].vol;
	r->user = &sim->work->users[vol];
	r->done = slot_done;
	s->submit_ns = sim_now_ns(sim);
}

static void slot_submit(struct sim *sim, struct slot *s, enum kind kind)
{
	struct vol_req *r = &s->req;

	if (kind == KIND_FLUSH) {
		r->op = VOL_FLUSH;
		s->mark = model_flush_begin(sim->model);
	} else if (kind == KIND_WRITE || kind == KIND_TRIM ||
		   kind == KIND_ZERO) {
		if (kind == KIND_TRIM)
			space_look(sim);
		change(sim, s, kind);
	} else {
		look(sim, s, kind);
	}
	s->busy = true;
	sim->work->inflight++;
	STAT(sim, requests);
	sim->stats->v[kind_stats[kind]]++;
	s->may_pause = reserve_pauses(sim, s->vol, false);
	s->must_pause = reserve_pauses(sim, s->vol, true);
	TRACE(sim, 52, r->off_bytes, r->len_bytes, "request %zu: op %u flags "
	      "%u of %s at %llu+%llu (blocks %llu+%llu), operation %u",
	      (size_t)(s - sim->work->slots), r->op, r->flags,
	      sim->model->vols[s->vol].name, (unsigned long long)r->off_bytes,
	      (unsigned long long)r->len_bytes,
	      (unsigned long long)(r->off_bytes / TARN_BLOCK),
	      (unsigned long long)(r->len_bytes / TARN_BLOCK), s->op);
	vol_submit(r);
}

/* One request, if there is anything to make it of. */
static void issue(struct sim *sim, enum kind kind)
{
	struct slot *s = work_free_slot(sim);
	int          vol = range_pick_volume(sim, kind);

	if (s == NULL || vol < 0)
		return;
	slot_take(sim, s, vol);
	if (kind != KIND_FLUSH)
		range_pick(sim, &sim->model->vols[vol], kind,
			   &s->req.off_bytes, &s->req.len_bytes);
	slot_submit(sim, s, kind);
}

void work_flush(struct sim *sim, int vol)
{
	struct slot *s = work_free_slot(sim);

	slot_take(sim, s, vol);
	slot_submit(sim, s, KIND_FLUSH);
}

struct slot *work_write(struct sim *sim, int vol, uint64_t block)
{
	struct slot *s = work_free_slot(sim);

	slot_take(sim, s, vol);
	s->req.off_bytes = block * TARN_BLOCK;
	s->req.len_bytes = TARN_BLOCK;
	s->plain = true;
	slot_submit(sim, s, KIND_WRITE);
	s->plain = false;
	return s;
}

void work_read(struct sim *sim, int vol, uint64_t block, uint32_t n)
{
	struct slot *s = work_free_slot(sim);

	slot_take(sim, s, vol);
	s->req.off_bytes = block * TARN_BLOCK;
	s->req.len_bytes = n * TARN_BLOCK;
	slot_submit(sim, s, KIND_READ);
}

static void check_stuck(struct sim *sim)
{
	pauses_look(sim, false);
	for (unsigned i = 0; i < SLOTS_MAX; i++)
		if (sim->work->slots[i].busy)
			check_latency(sim, &sim->work->slots[i]);
}

bool work_run(struct sim *sim, uint64_t n)
{
	struct work *w = sim->work;

	for (uint64_t i = 0; i < n; i++) {
		enum kind kind;

		if (w->phase_left-- == 0 || w->depth == 0 || w->disks.added)
			next_phase(sim);
		if (--w->fault_in == 0) {
			fault_inject(sim);
			w->fault_in = w->fault_every;
		}
		if (i % 8 == 0)
			space_look(sim);
		disk_tick(sim);
		if (w->moves_disks && chance(&sim->fault_rng, 1, 60))
			disk_act(sim);
		event_act(sim);
		if (!scrub_act(sim))
			return false;
		if (chance(&sim->rng, 1, 80) && !w->snapper.busy &&
		    !reserve_act(sim, (unsigned)prng_below(&sim->rng, 4)))
			return false;
		kind = pick_kind(sim);
		sim->step++;
		if (kind == KIND_CONTROL) {
			if (!admin_act(sim))
				return false;
		} else if (kind == KIND_SNAP) {
			if (!snap_act(sim))
				return false;
		} else {
			issue(sim, kind);
		}
		while (w->inflight >= w->depth) {
			if (!life_turn(sim, UINT64_MAX))
				return false;
			check_stuck(sim);
		}
		/* Not always as many as there may be. */
		if (chance(&sim->rng, 1, 8) && !life_turn(sim, NS_PER_MS))
			return false;
		if (chance(&sim->rng, 1, 200))
			for (uint64_t until = sim_now_ns(sim) +
					      between(&sim->rng, 1, 3000) *
						      NS_PER_MS;
			     sim_now_ns(sim) < until;)
				if (!life_turn(sim, until - sim_now_ns(sim)))
					return false;
	}
	return true;
}

/* Some clients go away with what they still wait for. */
void work_leave(struct sim *sim)
{
	struct work *w = sim->work;

	w->leaving = chance(&sim->rng, 1, 2);
	for (unsigned i = 0; w->leaving && i < MODEL_VOLS_MAX; i++)
		if (sim->model->vols[i].alive &&
		    sim->model->vols[i].vol != NULL)
			vol_leave(sim->model->vols[i].vol, &w->users[i]);
}

bool work_drain(struct sim *sim)
{
	struct work *w = sim->work;

	while (w->inflight > 0 || w->admin.busy || w->snapper.busy ||
	       w->relieving) {
		pauses_look(sim, true);
		if (!life_turn(sim, UINT64_MAX))
			return false;
		check_stuck(sim);
	}
	return true;
}

/* --- lives --------------------------------------------------------------- */

bool work_first_volumes(struct sim *sim)
{
	uint64_t usable;
	uint64_t n = between(&sim->rng, 1, 4);

	trash_start(sim);
	space_used(sim, &usable);
	/* Some pools are provisioned thinly: there is less than they say. */
	sim->work->volume_blocks =
		usable * between(&sim->rng, 4, 16) / 8 + 64;
	for (uint64_t i = 0; i < n; i++)
		if (!admin_create_now(sim, (sim->work->volume_blocks / n + 1) *
						   TARN_BLOCK))
			return false;
	return true;
}

void work_attach(struct sim *sim)
{
	admin_attach(sim);
	disk_attach(sim);
}

void work_detach(struct sim *sim)
{
	vols_trash_stop(sim->life->vols);
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++)
		if (sim->model->vols[i].alive)
			vol_put(sim->model->vols[i].vol,
				&sim->work->users[i]);
	snaps_detach(sim);
	event_close(sim);
}

void work_forget(struct sim *sim)
{
	struct work *w = sim->work;

	for (unsigned i = 0; i < SLOTS_MAX; i++)
		w->slots[i].busy = false;
	w->inflight = 0;
	disk_forget(sim);
	admin_forget(sim);
}
