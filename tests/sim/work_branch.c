/* tests/sim/work_branch.c - clones and rollbacks: volumes that go on from a
 * snapshot.
 *
 * What the snapshot holds is read before, and is what each block of the volume
 * must hold afterwards: one more version, which nothing can take back.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/work_priv.h"

/* Volumes beyond so many take too long to verify. */
#define CLONE_VOLS_MAX 6u
/* A copy of more blocks, too. */
#define COPY_BLOCKS_MAX 32768u

static unsigned index_of(const struct sim *sim, const struct msnap *s)
{
	return (unsigned)(s - sim->work->snaps);
}

bool branch_uses(const struct sim *sim, const struct msnap *s)
{
	const struct mctl *c = &sim->model->ctl;

	return (c->kind == MCTL_CLONE || c->kind == MCTL_ROLLBACK) &&
	       c->snap == index_of(sim, s);
}

/* Learn what the snapshot holds; NULL: the engine stopped. */
static struct mcopy *copies_read(struct sim *sim, struct msnap *s)
{
	struct mcopy *copies = calloc(s->nblocks, sizeof(copies[0]));
	uint8_t      *buf = sim->work->snapper.bufs[0];

	assert(copies != NULL);
	for (uint64_t b = 0; b < s->nblocks; b += SNAP_READ_BLOCKS) {
		uint64_t n = min_u64(SNAP_READ_BLOCKS, s->nblocks - b);

		if (!snap_read(sim, s->v, b, n, buf)) {
			free(copies);
			return NULL;
		}
		for (uint64_t i = 0; i < n; i++) {
			const uint8_t *data = buf + i * TARN_BLOCK;

			if (crc32c(0, data, TARN_BLOCK) != s->crcs[b + i])
				sim_fail(sim, "P11: block %llu of snapshot %s "
					 "has changed",
					 (unsigned long long)(b + i), s->name);
			copies[b + i] = model_copy(sim->model, data);
		}
	}
	return copies;
}

static bool clone(struct sim *sim, struct msnap *s)
{
	struct mctl     mc = { .kind = MCTL_CLONE, .snap = index_of(sim, s),
			       .size_bytes = s->size_bytes };
	struct mvol    *v = model_vol_free(sim->model);
	struct vol_ctl *ctl;
	char            name[128];

	if (v == NULL)
		return true;
	mc.copies = copies_read(sim, s);
	if (mc.copies == NULL)
		return false;
	mc.vol = (uint8_t)(v - sim->model->vols);
	diff_vol_new(sim, mc.vol);
	snprintf(v->name, sizeof(v->name), "v%u", sim->work->names++);
	snap_full_name(sim, s, name, sizeof(name));
	STAT(sim, clones);
	ctl = admin_prepare(sim, &mc);
	ctl->name = name;
	ctl->new_name = v->name;
	ctl->uuid = admin_uuid(sim);
	vol_clone(sim->life->vols, ctl);
	return true;
}

/* Only a small one, or all the time would go into this. */
static bool copy(struct sim *sim, struct msnap *s)
{
	uint64_t usable, used = space_used(sim, &usable);
	struct volume_info info;
	struct mcopy *copies;

	vol_info(s->v, &info);
	if (s->nblocks > COPY_BLOCKS_MAX ||
	    used + info.mapped_blocks > usable / 4 * 3)
		return true;
	copies = copies_read(sim, s);
	return copies != NULL && receive_act(sim, s, copies);
}

/* A snapshot of what the volume is, which stands still. */
static bool keep(struct sim *sim, unsigned vol, struct msnap *kept)
{
	struct mvol *v = &sim->model->vols[vol];
	uint8_t     *buf = sim->work->snapper.bufs[0];

	kept->state = MSNAP_KEEPING;
	snap_size(kept, v->size_bytes);
	for (uint64_t b = 0; b < kept->nblocks; b += SNAP_READ_BLOCKS) {
		uint64_t n = min_u64(SNAP_READ_BLOCKS, kept->nblocks - b);

		if (!snap_read(sim, v->vol, b, n, buf))
			return false;
		for (uint64_t i = 0; i < n; i++)
			kept->crcs[b + i] = crc32c(0, buf + i * TARN_BLOCK,
						   TARN_BLOCK);
	}
	kept->known = true;
	diff_snap_asked(sim, kept);
	return true;
}

static bool rollback(struct sim *sim, struct msnap *s, bool keeping)
{
	struct mctl       mc = { .kind = MCTL_ROLLBACK, .vol = s->vol,
				 .snap = index_of(sim, s), .kept = -1,
				 .size_bytes = s->size_bytes };
	struct msnap     *kept = NULL;
	struct volume_info info;
	struct vol_ctl   *ctl;
	char              name[128];

	if (!admin_quiesce(sim, s->vol))
		return false;
	if (keeping)
		kept = snap_new(sim, s->vol);
	if (kept != NULL) {
		mc.kept = (int)index_of(sim, kept);
		if (!keep(sim, s->vol, kept)) {
			snap_gone(kept);
			return false;
		}
	}
	mc.copies = copies_read(sim, s);
	if (mc.copies == NULL) {
		if (kept != NULL)
			snap_gone(kept);
		return false;
	}
	vol_info(sim->model->vols[s->vol].vol, &info);
	mc.birth = info.birth;
	admin_let_go(sim, s->vol);
	snap_full_name(sim, s, name, sizeof(name));
	STAT(sim, rollbacks);
	ctl = admin_prepare(sim, &mc);
	ctl->name = name;
	ctl->new_name = kept != NULL ? kept->name : NULL;
	ctl->uuid = admin_uuid(sim);
	vol_rollback(sim->life->vols, ctl);
	return true;
}

void branch_settle(struct sim *sim, bool happened)
{
	const struct mctl *c = &sim->model->ctl;
	struct msnap *kept = c->kept < 0 ? NULL : &sim->work->snaps[c->kept];

	assert(kept == NULL || kept->state == MSNAP_KEEPING);
	if (kept != NULL && happened) {
		kept->state = MSNAP_THERE;
		diff_snap_there(sim, kept);
		snap_attach(sim, kept);
	} else if (kept != NULL) {
		snap_gone(kept);
	}
	if (happened && c->kind == MCTL_ROLLBACK)
		diff_rollback(sim, c->vol, &sim->work->snaps[c->snap]);
}

bool branch_happened(struct sim *sim)
{
	const struct mctl  *c = &sim->model->ctl;
	struct volume_info  info;
	struct volume      *v = vols_find(sim->life->vols,
					  sim->model->vols[c->vol].name);

	if (v == NULL)
		return false; /* said when it is attached */
	vol_info(v, &info);
	return info.birth != c->birth;
}

bool branch_act(struct sim *sim, unsigned alive)
{
	struct msnap *pick = NULL;
	unsigned      n = 0;

	if (sim->work->snapper.busy)
		return true;
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_THERE && s->known &&
		    snap_vol_is_free(sim, s->vol) &&
		    chance(&sim->rng, 1, ++n))
			pick = s;
	}
	if (pick == NULL)
		return true;
	if (chance(&sim->rng, 1, 2) && alive < CLONE_VOLS_MAX)
		return chance(&sim->rng, 1, 3) ? copy(sim, pick) :
						 clone(sim, pick);
	return rollback(sim, pick, chance(&sim->rng, 1, 3));
}
