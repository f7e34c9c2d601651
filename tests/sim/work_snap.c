/* tests/sim/work_snap.c - snapshots: taken while clients write or stand still,
 * alone and in groups, deleted in any order; what one shows never changes
 * (P11).
 *
 * What a snapshot holds is read once, in full, after it was taken, and kept as
 * checksums; whatever is read of it later, also after crashes, must be the
 * same.  If its volume stood still meanwhile, it must also be what the volume
 * holds, which the model knows.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tests/sim/work_priv.h"

#define GROUP_MAX   3u

/* --- reading ------------------------------------------------------------- */

static void read_done(struct vol_req *req)
{
	*(bool *)req->extents = true; /* not used by a READ */
}

bool snap_read(struct sim *sim, struct volume *v, uint64_t block,
			uint64_t n, uint8_t *buf)
{
	struct snapper *sn = &sim->work->snapper;
	struct vol_req *r = &sn->req;

	memset(r, 0, sizeof(*r));
	sn->read = false;
	r->vol = v;
	r->op = VOL_READ;
	r->off_bytes = block * TARN_BLOCK;
	r->len_bytes = min_u64(n * TARN_BLOCK,
			       vol_size_bytes(v) - r->off_bytes);
	r->buf = buf;
	r->extents = (struct vol_extent *)(void *)&sn->read;
	r->done = read_done;
	/* The end of the last block may be beyond the volume. */
	if (r->len_bytes < n * TARN_BLOCK)
		memset(buf, 0, n * TARN_BLOCK);
	vol_submit(r);
	while (!sn->read)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	if (r->res != 0)
		sim_fail(sim, "P11: blocks %llu+%llu of a snapshot or its "
			 "volume cannot be read: %d",
			 (unsigned long long)block, (unsigned long long)n,
			 r->res);
	return true;
}

/* Learn what it holds, or compare with what is known of it. */
static bool look_at(struct sim *sim, struct msnap *s, uint64_t block,
		    uint64_t n)
{
	uint8_t *buf = sim->work->snapper.bufs[0];

	if (!snap_read(sim, s->v, block, n, buf))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		uint32_t crc = crc32c(0, buf + i * TARN_BLOCK, TARN_BLOCK);

		if (s->known && crc != s->crcs[block + i])
			sim_fail(sim, "P11: block %llu of snapshot %s has "
				 "changed", (unsigned long long)(block + i),
				 s->name);
		s->crcs[block + i] = crc;
	}
	STAT_ADD(sim, snap_blocks, n);
	return true;
}

static bool look_at_all(struct sim *sim, struct msnap *s)
{
	for (uint64_t b = 0; b < s->nblocks; b += SNAP_READ_BLOCKS)
		if (!look_at(sim, s, b, min_u64(SNAP_READ_BLOCKS, s->nblocks - b)))
			return false;
	s->known = true;
	return true;
}

/* Nothing was written since before it was taken. */
static bool compare_with_volume(struct sim *sim, struct msnap *s)
{
	struct snapper *sn = &sim->work->snapper;
	struct volume  *v = sim->model->vols[s->vol].vol;

	for (uint64_t b = 0; b < s->nblocks; b += SNAP_READ_BLOCKS) {
		uint64_t n = min_u64(SNAP_READ_BLOCKS, s->nblocks - b);

		if (!snap_read(sim, s->v, b, n, sn->bufs[0]) ||
		    !snap_read(sim, v, b, n, sn->bufs[1]))
			return false;
		if (memcmp(sn->bufs[0], sn->bufs[1], n * TARN_BLOCK) != 0)
			sim_fail(sim, "P2: snapshot %s of a volume that stood "
				 "still differs from it in blocks %llu+%llu",
				 s->name, (unsigned long long)b,
				 (unsigned long long)n);
	}
	return true;
}

/* --- finding ------------------------------------------------------------- */

void snap_full_name(const struct sim *sim, const struct msnap *s, char *name,
		      size_t size)
{
	snprintf(name, size, "%s@%s", sim->model->vols[s->vol].name, s->name);
}

void snap_size(struct msnap *s, uint64_t size_bytes)
{
	s->size_bytes = size_bytes;
	if (s->crcs != NULL)
		return;
	s->nblocks = div_up(s->size_bytes, TARN_BLOCK);
	s->crcs = calloc(s->nblocks, sizeof(s->crcs[0]));
	assert(s->crcs != NULL);
}

void snap_attach(struct sim *sim, struct msnap *s)
{
	struct volume_info info;
	char name[128];

	snap_full_name(sim, s, name, sizeof(name));
	s->v = vols_find(sim->life->vols, name);
	if (s->v == NULL)
		sim_fail(sim, "P9: snapshot %s is not there", name);
	memset(&s->user, 0, sizeof(s->user));
	vol_get(s->v, &s->user);
	vol_info(s->v, &info);
	s->birth = info.birth;
	used_attach(sim, s);
	schedule_snap_check(sim, s);
	snap_size(s, info.size_bytes);
	if (div_up(s->size_bytes, TARN_BLOCK) != s->nblocks)
		sim_fail(sim, "P11: snapshot %s has another size", name);
}

void snap_gone(struct msnap *s)
{
	free(s->crcs);
	free(s->covers.last);
	free(s->line.no);
	memset(s, 0, sizeof(*s));
}

unsigned snaps_of(const struct sim *sim, unsigned vol)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MSNAPS_MAX; i++)
		n += sim->work->snaps[i].state != MSNAP_NONE &&
		     sim->work->snaps[i].vol == vol;
	return n;
}

/* --- control ------------------------------------------------------------- */

static void settle(struct sim *sim, bool happened)
{
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_DELETING && !happened) {
			s->state = MSNAP_THERE;
			snap_attach(sim, s);
		} else if (s->state == MSNAP_DELETING) {
			diff_snap_deleted(sim, s);
		} else if (s->state == MSNAP_TAKING && !happened) {
			snap_gone(s);
		} else if (s->state == MSNAP_TAKING) {
			s->state = MSNAP_THERE;
			diff_snap_there(sim, s);
			snap_attach(sim, s);
			schedule_snap_there(sim, s);
		}
	}
}

static void ctl_done(struct vol_ctl *ctl)
{
	struct sim     *sim = sim_current;
	struct snapper *sn = &sim->work->snapper;

	TRACE(sim, 45, ctl->res, 0, "snapshot operation ends: %d %s",
	      ctl->res, ctl->res != 0 ? ctl->error : "");
	sn->busy = false;
	if (ctl->nnames == 0)
		space_check_frees(sim, ctl); /* a deletion */
	if (ctl->res == -ENOSPC)
		space_check_enospc(sim, 0, reserves_need(sim));
	else if (ctl->res != 0)
		sim_fail(sim, "a snapshot operation failed: %d %s", ctl->res,
			 ctl->error);
	settle(sim, ctl->res == 0);
}

static void ctl_start(struct sim *sim)
{
	struct snapper *sn = &sim->work->snapper;

	memset(&sn->ctl, 0, sizeof(sn->ctl));
	sn->ctl.now_s = 1700000000;
	sn->ctl.done = ctl_done;
	sn->busy = true;
	sn->submit_ns = sim_now_ns(sim);
}

bool snap_vol_is_free(const struct sim *sim, unsigned i)
{
	const struct mctl *c = &sim->model->ctl;

	return sim->model->vols[i].alive && sim->model->vols[i].vol != NULL &&
	       (c->kind == MCTL_NONE || c->vol != i);
}

struct msnap *snap_new(struct sim *sim, unsigned vol)
{
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state != MSNAP_NONE)
			continue;
		s->state = MSNAP_TAKING;
		s->vol = (uint8_t)vol;
		s->no = sim->work->snapper.names++;
		snprintf(s->name, sizeof(s->name), "s%u", s->no);
		return s;
	}
	return NULL;
}

/* What is taken at one instant. */
struct group {
	struct msnap *taken[GROUP_MAX];
	const char   *names[GROUP_MAX];
	char          text[GROUP_MAX][128];
	struct uuid   uuids[GROUP_MAX];
	uint8_t       kinds[GROUP_MAX];
	unsigned      n;
};

/* One more, of volume i; false: there is no place. */
static bool group_add(struct sim *sim, struct group *g, unsigned i, bool still)
{
	uint64_t w[2] = { prng_u64(&sim->rng), prng_u64(&sim->rng) };
	unsigned n = g->n;

	g->taken[n] = snap_new(sim, i);
	if (g->taken[n] == NULL)
		return false;
	snap_full_name(sim, g->taken[n], g->text[n], sizeof(g->text[n]));
	g->names[n] = g->text[n];
	memcpy(g->uuids[n].b, w, sizeof(g->uuids[n].b));
	TRACE(sim, 46, n, still, "snapshot %s%s", g->text[n],
	      still ? ", its volume stands still" : "");
	g->n++;
	return true;
}

/* Of some volumes; of a schedule, of some two kinds of one. */
static void group_pick(struct sim *sim, struct group *g, bool scheduled,
		       bool still)
{
	unsigned want = (unsigned)between(&sim->rng, 1, GROUP_MAX);

	g->n = 0;
	for (unsigned i = 0; i < MODEL_VOLS_MAX && g->n < want; i++) {
		if (!snap_vol_is_free(sim, i) || chance(&sim->rng, 1, 2))
			continue;
		g->kinds[g->n] = (uint8_t)prng_below(&sim->rng, PERIODS);
		if (!group_add(sim, g, i, still))
			break;
		if (!scheduled || g->n == want || chance(&sim->rng, 1, 2))
			continue;
		g->kinds[g->n] = (g->kinds[g->n - 1] + 1) % PERIODS;
		if (!group_add(sim, g, i, still))
			break;
	}
}

/* Take a snapshot of some volumes; still: they get no requests meanwhile. */
static bool take(struct sim *sim, bool still)
{
	struct snapper *sn = &sim->work->snapper;
	bool            scheduled = chance(&sim->rng, 1, 3);
	uint64_t        now_s = 1700000000;
	struct group    g;
	unsigned        n;

	group_pick(sim, &g, scheduled, still);
	n = g.n;
	if (n == 0)
		return true;
	STAT_ADD(sim, snapshots, n);
	while (still && sim->work->inflight > 0) {
		pauses_look(sim, true);
		if (!life_turn(sim, UINT64_MAX))
			return false;
	}
	for (unsigned i = 0; i < n; i++)
		diff_snap_asked(sim, g.taken[i]);
	for (unsigned i = 0; scheduled && i < n; i++)
		now_s = schedule_snap_asked(sim, g.taken[i], g.kinds[i]);
	ctl_start(sim);
	sn->ctl.now_s = now_s;
	sn->ctl.names = g.names;
	sn->ctl.uuids = g.uuids;
	sn->ctl.kinds = scheduled ? g.kinds : NULL;
	sn->ctl.nnames = n;
	vol_snapshot(sim->life->vols, &sn->ctl);
	while (still && sn->busy)
		if (!life_turn(sim, UINT64_MAX))
			return false;
	for (unsigned i = 0; still && i < n; i++)
		if (g.taken[i]->state == MSNAP_THERE &&
		    !compare_with_volume(sim, g.taken[i]))
			return false;
	return true;
}

void snap_delete(struct sim *sim, struct msnap *s)
{
	struct snapper *sn = &sim->work->snapper;
	char            name[128];

	snap_full_name(sim, s, name, sizeof(name));
	TRACE(sim, 47, 0, 0, "delete snapshot %s", name);
	STAT(sim, snap_deletes);
	vol_put(s->v, &s->user);
	s->v = NULL;
	s->state = MSNAP_DELETING;
	ctl_start(sim);
	sn->ctl.name = name;
	sn->ctl.by_schedule = s->sched > 0 && chance(&sim->rng, 1, 2);
	vol_delete(sim->life->vols, &sn->ctl);
}

bool snap_act(struct sim *sim)
{
	struct snapper *sn = &sim->work->snapper;
	struct msnap   *s, *pick = NULL;
	unsigned        n = 0;

	if (sn->busy) {
		if (sim_now_ns(sim) - sn->submit_ns > CTL_LIMIT_NS)
			sim_fail(sim, "P6: a snapshot operation hangs");
		return true;
	}
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		s = &sim->work->snaps[i];
		if (s->state != MSNAP_THERE)
			continue;
		if (!s->known)
			return look_at_all(sim, s);
		n++;
		if (chance(&sim->rng, 1, n))
			pick = s;
	}
	if (chance(&sim->rng, 1, 12))
		return schedule_act(sim, (unsigned)prng_below(&sim->rng, 3));
	if (pick == NULL || (n < MSNAPS_MAX && chance(&sim->rng, 1, 3)))
		return take(sim, chance(&sim->rng, 1, 2));
	if (chance(&sim->rng, n, 3 * MSNAPS_MAX) &&
	    snap_vol_is_free(sim, pick->vol) && !branch_uses(sim, pick)) {
		if (pick->held || chance(&sim->rng, 1, 8))
			return used_hold(sim, pick, !pick->held);
		if (pick->sched == 0 && chance(&sim->rng, 1, 6))
			return schedule_keeps(sim, pick);
		if (!sim->work->admin.busy && chance(&sim->rng, 1, 2))
			return used_delete(sim, pick);
		snap_delete(sim, pick);
		return true;
	}
	if (chance(&sim->rng, 1, 2))
		return diff_act(sim, pick);
	n = (unsigned)prng_below(&sim->rng, pick->nblocks);
	return look_at(sim, pick, n, min_u64(SNAP_READ_BLOCKS, pick->nblocks - n));
}

/* --- lives --------------------------------------------------------------- */

/* Did what was in flight happen?  A group as a whole. */
static bool decide(struct sim *sim)
{
	unsigned there = 0, missing = 0;
	bool     deleting = false;

	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		const struct msnap *s = &sim->work->snaps[i];
		char name[128];

		if (s->state != MSNAP_TAKING && s->state != MSNAP_DELETING)
			continue;
		deleting = s->state == MSNAP_DELETING;
		snap_full_name(sim, s, name, sizeof(name));
		if (vols_find(sim->life->vols, name) != NULL)
			there++;
		else
			missing++;
	}
	if (there > 0 && missing > 0)
		sim_fail(sim, "P9: of a group of snapshots %u are there, %u "
			 "are not", there, missing);
	return deleting ? missing > 0 : there > 0;
}

void snaps_attach(struct sim *sim)
{
	schedules_decide(sim);
	settle(sim, decide(sim));
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->state == MSNAP_THERE && s->v == NULL)
			snap_attach(sim, s);
	}
	for (unsigned i = 0; i < MODEL_VOLS_MAX; i++) {
		struct volume_info info;

		if (!sim->model->vols[i].alive)
			continue;
		vol_info(sim->model->vols[i].vol, &info);
		if (info.snapshots != snaps_of(sim, i))
			sim_fail(sim, "P9: volume %s has %u snapshots, not %u",
				 info.name, info.snapshots, snaps_of(sim, i));
	}
	schedules_check(sim);
	reserves_check(sim);
}

void snaps_verify(struct sim *sim)
{
	/* Some, or most of the time would go into this. */
	for (unsigned i = 0; i < MSNAPS_MAX; i++)
		if (sim->work->snaps[i].state == MSNAP_THERE &&
		    chance(&sim->rng, 1, 3)) {
			if (!look_at_all(sim, &sim->work->snaps[i]) ||
			    !diff_act(sim, &sim->work->snaps[i]))
				return;
		}
}

void snaps_detach(struct sim *sim)
{
	for (unsigned i = 0; i < MSNAPS_MAX; i++) {
		struct msnap *s = &sim->work->snaps[i];

		if (s->v != NULL)
			vol_put(s->v, &s->user);
		s->v = NULL;
	}
}

void snaps_forget(struct sim *sim)
{
	sim->work->snapper.busy = false;
	for (unsigned i = 0; i < MSNAPS_MAX; i++)
		sim->work->snaps[i].v = NULL;
}

void snaps_open(struct sim *sim)
{
	for (unsigned i = 0; i < 2; i++) {
		sim->work->snapper.bufs[i] =
			aligned_alloc(TARN_BLOCK, SNAP_READ_BLOCKS * TARN_BLOCK);
		assert(sim->work->snapper.bufs[i] != NULL);
	}
}
