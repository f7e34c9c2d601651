/* tests/sim/work_receive.c - a copy of a snapshot that comes from elsewhere: a
 * hidden volume, which is written, and then published.
 *
 * Until it is published nobody sees anything of it, whatever happens; what a
 * crash leaves is deleted.  Then it is a volume like a clone, with a snapshot.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/work_priv.h"

static void ctl_done(struct vol_ctl *ctl)
{
	struct receiver *rc = container_of(ctl, struct receiver, ctl);

	TRACE(sim_current, 49, ctl->res, 0, "receiving: %d %s", ctl->res,
	      ctl->res != 0 ? ctl->error : "");
	rc->done = true;
}

/* False when the engine stopped. */
static bool run(struct sim *sim, void (*op)(struct volumes *, struct vol_ctl *))
{
	struct receiver *rc = &sim->work->receiver;

	rc->done = false;
	rc->ctl.done = ctl_done;
	op(sim->life->vols, &rc->ctl);
	while (!rc->done)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	return true;
}

static void req_done(struct vol_req *req)
{
	container_of(req, struct receiver, req)->done = true;
}

static bool write_blocks(struct sim *sim, struct volume *v, uint64_t block,
			 uint64_t n, uint8_t *buf)
{
	struct receiver *rc = &sim->work->receiver;
	struct vol_req  *r = &rc->req;

	memset(r, 0, sizeof(*r));
	rc->done = false;
	r->vol = v;
	r->op = VOL_WRITE;
	r->off_bytes = block * TARN_BLOCK;
	r->len_bytes = min_u64(n * TARN_BLOCK,
			       vol_size_bytes(v) - r->off_bytes);
	r->buf = buf;
	r->done = req_done;
	vol_submit(r);
	while (!rc->done)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	return true;
}

/* What the snapshot holds goes to the hidden volume.  False when the engine
 * stopped; with r->res < 0 there is no room. */
static bool copy(struct sim *sim, const struct msnap *s)
{
	struct receiver *rc = &sim->work->receiver;
	struct volume   *v = vols_find(sim->life->vols, rc->name);
	uint8_t *buf = sim->work->snapper.bufs[1];

	if (v == NULL)
		sim_fail(sim, "P9: %s is not there", rc->name);
	for (uint64_t b = 0; b < s->nblocks; b += SNAP_READ_BLOCKS) {
		uint64_t n = min_u64(SNAP_READ_BLOCKS, s->nblocks - b);

		if (!snap_read(sim, s->v, b, n, buf))
			return false;
		if (buf[0] == 0 && memcmp(buf, buf + 1,
					  n * TARN_BLOCK - 1) == 0)
			continue;
		if (!write_blocks(sim, v, b, n, buf))
			return false;
		if (rc->req.res == -ENOSPC)
			return true;
		if (rc->req.res != 0)
			sim_fail(sim, "P6: writing what is received gave %d",
				 rc->req.res);
	}
	return true;
}

static bool give_up(struct sim *sim, const char *name)
{
	struct receiver *rc = &sim->work->receiver;

	memset(&rc->ctl, 0, sizeof(rc->ctl));
	rc->ctl.name = name;
	rc->ctl.force = true;
	if (!run(sim, vol_delete))
		return false;
	space_check_frees(sim, &rc->ctl);
	if (rc->ctl.res != 0 && rc->ctl.res != -ENOSPC)
		sim_fail(sim, "%s cannot be deleted: %d %s", name, rc->ctl.res,
			 rc->ctl.error);
	return true;
}

static bool publish(struct sim *sim, struct msnap *s, struct mcopy *copies)
{
	struct receiver *rc = &sim->work->receiver;
	struct mctl     mc = { .kind = MCTL_PUBLISH, .copies = copies,
			       .size_bytes = s->size_bytes };
	struct mvol    *v = model_vol_free(sim->model);
	struct msnap   *kept = NULL;
	struct vol_ctl *ctl;
	bool            plain = chance(&sim->rng, 1, 4);

	if (v != NULL && !plain)
		kept = snap_new(sim, (unsigned)(v - sim->model->vols));
	if (v == NULL || (kept == NULL && !plain)) {
		free(copies);
		return give_up(sim, rc->name);
	}
	mc.vol = (uint8_t)(v - sim->model->vols);
	mc.kept = kept == NULL ? -1 : (int)(kept - sim->work->snaps);
	diff_vol_new(sim, mc.vol);
	snprintf(v->name, sizeof(v->name), "%s", rc->volume);
	if (kept != NULL) {
		kept->state = MSNAP_KEEPING;
		snap_size(kept, s->size_bytes);
		memcpy(kept->crcs, s->crcs, s->nblocks * sizeof(s->crcs[0]));
		kept->known = true;
		diff_snap_asked(sim, kept);
	}
	STAT(sim, received);
	ctl = admin_prepare(sim, &mc);
	ctl->name = rc->name;
	ctl->new_name = kept == NULL ? NULL : kept->name;
	ctl->uuid = admin_uuid(sim);
	vol_publish(sim->life->vols, ctl);
	return true;
}

bool receive_act(struct sim *sim, struct msnap *s, struct mcopy *copies)
{
	struct receiver *rc = &sim->work->receiver;
	char   uuid[UUID_TEXT_BYTES];

	memset(&rc->ctl, 0, sizeof(rc->ctl));
	snprintf(rc->volume, sizeof(rc->volume), "v%u", sim->work->names++);
	rc->ctl.name = rc->volume;
	rc->ctl.size_bytes = s->size_bytes;
	rc->ctl.uuid = admin_uuid(sim);
	snprintf(rc->name, sizeof(rc->name), "receive/%s",
		 uuid_text(&rc->ctl.uuid, uuid));
	if (!run(sim, vol_receive) ||
	    (rc->ctl.res == 0 && !copy(sim, s))) {
		free(copies);
		return false;
	}
	if (rc->ctl.res == -ENOSPC) {
		free(copies);
		return true;
	}
	if (rc->ctl.res != 0)
		sim_fail(sim, "receiving %s: %d %s", rc->volume, rc->ctl.res,
			 rc->ctl.error);
	if (rc->req.res != 0 || chance(&sim->rng, 1, 5)) {
		free(copies);
		return give_up(sim, rc->name);
	}
	return publish(sim, s, copies);
}

bool receive_clean(struct sim *sim)
{
	struct volume *v;
	char name[TREE_NAME_MAX + 1];

	/* Once each: one whose deletion finds no room stays. */
	for (v = vols_hidden_next(sim->life->vols, NULL); v != NULL;
	     v = vols_hidden_next(sim->life->vols, v)) {
		vol_full_name(v, name);
		if (!give_up(sim, name))
			return false;
		if (sim->work->receiver.ctl.res == 0)
			v = NULL; /* its object may be gone */
	}
	return true;
}
