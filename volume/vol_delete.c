/* volume/vol_delete.c - the reaper, one volume or snapshot at a time.
 *
 *   idle --> DELETING: slice: find what is its own --> REAP record --> next
 *                      slice ... nothing left: REAP ~0, the slot is free
 *                      --> idle
 *        --> FORK: slice: find what nobody needs --> THIN record --> next slice
 *                      ... to the end --> idle
 *        --> SHRUNK:   ZERO beyond the size --> settle --> idle
 *
 * When a record finds no room, or a leaf cannot be read, or too much is dirty, it
 * stops and tries again after the next commit.  It does not run before the first commit since
 * opening: until then the pool is recovering.
 *
 * What is begun is ended before anything else is deleted, so that at most one
 * tree is there in part.  A neighbour of it would leave it what both show, and
 * it does not come back to that.  So a recovery, which may find other trees
 * first that wait for deletion, puts it before them.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/volumes.h"

/* Leaves of its own that one record lets go. */
#define REAP_LEAVES 64u

static void reap_work(struct io_work *w);

void vol_reaper_init(struct volumes *vols)
{
	struct vol_reaper *rp = &vols->reaper;

	list_init(&rp->queue);
	io_work_init(&rp->work, reap_work);
}

void vol_reaper_fini(struct volumes *vols)
{
	if (vols->reaper.work.fn != NULL)
		io_undefer(&vols->reaper.work);
}

static struct volumes *reaper_vols(struct vol_reaper *rp)
{
	return container_of(rp, struct volumes, reaper);
}

static bool needs_reaping(const struct volume *v)
{
	return v->state == CATALOG_DELETING || tree_to_thin(v) ||
	       (v->kind == CATALOG_VOLUME && v->flags & CATALOG_SHRUNK);
}

/* One whose deletion is applied and not yet done may be gone already. */
void vol_reaper_add(struct volume *v)
{
	struct vol_reaper *rp = &v->vols->reaper;

	if (v->gone || !needs_reaping(v))
		return;
	if (!list_empty(&v->reap_link) || rp->busy == v)
		return;
	if (v->state == CATALOG_DELETING && v->cursor > 0)
		list_push_front(&rp->queue, &v->reap_link);
	else
		list_push(&rp->queue, &v->reap_link);
}

void vol_reaper_first(struct volume *v)
{
	if (v->vols->reaper.busy == v || list_empty(&v->reap_link))
		return;
	list_remove(&v->reap_link);
	vol_reaper_add(v);
}

void vol_reaper_kick(struct volumes *vols)
{
	struct vol_reaper *rp = &vols->reaper;

	if (!vols->committed || vols->failed || rp->busy != NULL)
		return;
	if (!list_empty(&rp->queue))
		io_defer(vols->io, &rp->work);
}

/* Done with the volume; res < 0: it stays in the queue for later. */
static void reap_end(struct vol_reaper *rp, int res)
{
	struct volumes *vols = reaper_vols(rp);
	struct volume  *v = rp->busy;

	rp->busy = NULL;
	vol_reaper_add(v);
	vol_controls_wake(v, res);
	vol_release(v);
	vol_trash_kick(vols);
	if (res == 0)
		vol_reaper_kick(vols);
}

/* --- deleted volumes ----------------------------------------------------- */

static uint64_t used_blocks(const struct volumes *vols)
{
	return vols->catalog.mapped + vols->ids.used;
}

static void reap_apply(struct log_append *a)
{
	struct vol_reaper *rp = container_of(a, struct vol_reaper, append);
	uint64_t before = used_blocks(reaper_vols(rp));

	/* Cannot fail: the volume is DELETING and the cursor is ours. */
	catalog_apply(reaper_vols(rp), CATALOG_REAP, a->rec.block, &rp->cursor,
		      sizeof(rp->cursor));
	rp->busy->freed_blocks += before - used_blocks(reaper_vols(rp));
}

static void reap_done(struct log_append *a)
{
	struct vol_reaper *rp = container_of(a, struct vol_reaper, append);

	reap_find_release(&rp->find);
	if (a->res == 0)
		vol_trash_freed(reaper_vols(rp));
	if (a->res < 0 || rp->busy->gone)
		reap_end(rp, a->res);
	else
		io_defer(reaper_vols(rp)->io, &rp->work);
}

/* A record about the busy one. */
static void reap_append(struct vol_reaper *rp, uint32_t subtype,
			const void *body, uint32_t body_bytes)
{
	rp->append.rec = (struct rec){
		.type = REC_CATALOG,
		.flags = REC_MUST_UNDERSTAND,
		.n = (uint16_t)body_bytes,
		.id = subtype,
		.block = rp->busy->id,
	};
	rp->append.body = body;
	rp->append.niov = 0;
	rp->append.class = LOG_CLEANER;
	rp->append.fua = false;
	rp->append.asked_ns = 0;
}

static void reap_found(struct reap_find *f)
{
	struct vol_reaper *rp = container_of(f, struct vol_reaper, find);
	struct volume *v = f->vol;

	rp->cursor = le64_of(f->upto >= f->end ? UINT64_MAX : f->upto);
	reap_append(rp, CATALOG_REAP, &rp->cursor, sizeof(rp->cursor));
	rp->append.apply = reap_apply;
	rp->append.done = reap_done;
	log_append_submit(v->vols->pool, &rp->append);
}

static void reap_slice(struct vol_reaper *rp)
{
	struct reap_find *f = &rp->find;

	memset(f, 0, sizeof(*f));
	f->vol = rp->busy;
	f->from = f->vol->cursor;
	f->end = levels_to_leaves(f->vol->levels);
	f->max = REAP_LEAVES;
	f->done = reap_found;
	reap_find(f);
}

/* --- forks --------------------------------------------------------------- */

static void thin_apply(struct log_append *a)
{
	struct vol_reaper *rp = container_of(a, struct vol_reaper, append);
	uint64_t before = used_blocks(reaper_vols(rp));

	catalog_apply(reaper_vols(rp), CATALOG_THIN, a->rec.block,
		      rp->thin.body, rp->thin.body_bytes);
	rp->busy->freed_blocks += before - used_blocks(reaper_vols(rp));
}

static void thin_done(struct log_append *a)
{
	struct vol_reaper *rp = container_of(a, struct vol_reaper, append);

	thin_find_release(&rp->thin);
	if (a->res == 0)
		vol_trash_freed(reaper_vols(rp));
	if (a->res < 0)
		reap_end(rp, a->res);
	else
		io_defer(reaper_vols(rp)->io, &rp->work);
}

static void thin_found(struct thin_find *f)
{
	struct vol_reaper *rp = container_of(f, struct vol_reaper, thin);

	reap_append(rp, CATALOG_THIN, f->body, f->body_bytes);
	rp->append.apply = thin_apply;
	rp->append.done = thin_done;
	log_append_submit(f->vol->vols->pool, &rp->append);
}

/* Unlike a deletion it changes leaves that stay: not more of them between two
 * commits than there is room kept for. */
static bool thin_must_wait(struct volumes *vols)
{
	if (node_commit_backlog(vols) < vols->dirty_max)
		return false;
	if (!vols->commit_wanted) {
		vols->commit_wanted = true;
		pool_commit_want(vols->pool);
	}
	return true;
}

static void thin_slice(struct vol_reaper *rp)
{
	struct thin_find *f = &rp->thin;

	if (thin_must_wait(reaper_vols(rp))) {
		reap_end(rp, -EAGAIN);
		return;
	}
	f->vol = rp->busy;
	f->kids = NULL;
	f->young = rp->young;
	f->young_max = THIN_KIDS_MAX;
	f->from = f->vol->cursor;
	f->max = max_u32(1, (uint32_t)min_u64(THIN_LEAVES,
					      f->vol->vols->dirty_max / 4));
	f->done = thin_found;
	thin_find(f);
}

/* --- shrunk volumes ------------------------------------------------------ */

static void settle_done(struct vol_ctl *ctl)
{
	struct vol_reaper *rp = container_of(ctl, struct vol_reaper, ctl);

	reap_end(rp, ctl->res);
}

static void beyond_done(struct vol_req *req)
{
	struct vol_reaper *rp = container_of(req, struct vol_reaper, req);

	if (req->res < 0) {
		reap_end(rp, req->res);
		return;
	}
	memset(&rp->ctl, 0, sizeof(rp->ctl));
	rp->ctl.vol = rp->busy;
	rp->ctl.size_bytes = req->off_bytes;
	rp->ctl.done = settle_done;
	vol_settle(reaper_vols(rp), &rp->ctl);
}

static void beyond_start(struct vol_reaper *rp)
{
	struct volume *v = rp->busy;
	uint64_t end = blocks_to_bytes(levels_to_leaves(v->levels) *
				       LEAF_ENTRIES);

	memset(&rp->req, 0, sizeof(rp->req));
	rp->req.vol = v;
	rp->req.op = VOL_ZERO;
	rp->req.off_bytes = v->size_bytes;
	rp->req.len_bytes = end - v->size_bytes;
	rp->req.done = beyond_done;
	vol_submit_internal(&rp->req);
}

/* --- which one ----------------------------------------------------------- */

static void reap_work(struct io_work *w)
{
	struct vol_reaper *rp = container_of(w, struct vol_reaper, work);
	struct list *link;

	if (reaper_vols(rp)->failed && rp->busy == NULL)
		return;
	if (rp->busy == NULL) {
		link = list_pop(&rp->queue);
		if (link == NULL)
			return;
		rp->busy = list_entry(link, struct volume, reap_link);
		vol_hold(rp->busy);
	}
	if (rp->busy->state == CATALOG_DELETING)
		reap_slice(rp);
	else if (tree_to_thin(rp->busy))
		thin_slice(rp);
	else if (needs_reaping(rp->busy))
		beyond_start(rp);
	else
		reap_end(rp, 0);
}
