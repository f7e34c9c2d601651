/* pool/disk_grow.c - a disk has become larger, and its new end is used.
 *
 *   RESCAN  the disk is asked for its size, which may cost it its connection
 *   WIPE    where its last label area will be becomes zeros
 *   FLUSH
 *   LABEL   labels with the new size: from now on the last area is at the new
 *           end; the zones are as before
 *   GROWN   a commit adds the new zones (disk_grow_commit()); the labels that
 *           show it, and no earlier ones, say how many there are
 *
 * Why in two steps: the old label area is where new zones are.  A write of a
 * label to it that nobody waits for any more, as the connection broke, must not
 * land on what is written there later.  So first no label goes there any more,
 * and the zones at that place start in quarantine (quarantine.c), in the commit
 * that adds them.
 *
 * What that prevents:
 *
 *   1. A label is written to the old end; the host hangs, the connection goes.
 *   2. The disk has grown, and rows are written to a zone at the old end.
 *   3. The host writes the label there.
 *
 * A crash before the labels: nothing has happened.  Between both steps it leaves
 * a disk that is larger than its zones need; said again, all new zones start in
 * quarantine, for nobody knows where the old end was.  A table never names a
 * zone that the labels of its commit do not have.
 *
 * The ways to fail: the disk does not come back, fails, or is not larger by a
 * zone (res 1); the pool is closed meanwhile, and what is not done yet is done
 * when it is said again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/membership_change.h"

#define BACK_NS (20 * NS_PER_S)

uint32_t disk_zones(const struct pool *p, uint64_t size_bytes)
{
	uint64_t blocks = size_bytes / TARN_BLOCK;

	if (blocks <= 2 * LABEL_AREA_BLOCKS)
		return 0;
	return (uint32_t)min_u64((blocks - 2 * LABEL_AREA_BLOCKS) >>
					 p->zone_shift,
				 UINT32_MAX / 2);
}

/* --- the commit ---------------------------------------------------------- */

static bool any_doubt(const struct pool *p)
{
	bool any = owner_took_over(p);

	for (uint32_t i = 1; i <= p->nsegs; i++)
		any |= p->segs[i]->state != SEG_FREE &&
		       (p->segs[i]->claim & CLAIM_DOUBT) != 0;
	return any;
}

/* False: out of memory. */
static bool zone_quarantine(struct pool *p, const struct member *m,
			    uint32_t zone, bool doubt)
{
	struct segment *s = segs_free_slot(p);
	struct zone_ref z = { .member = m->index, .zone = zone };

	if (s == NULL)
		return false;
	s->claim = p->claim | (doubt ? CLAIM_DOUBT : 0);
	s->generation = max_u32(s->generation, 1);
	s->missing = 0;
	s->scan_from = 0;
	s->live_frozen = 0;
	for (uint32_t u = 0; u < p->units; u++) {
		s->zones[u].member = ZONE_NONE;
		s->zones[u].zone = 0;
	}
	seg_zone_take(p, s, 0, &z);
	seg_stray_mark(p, s);
	seg_quarantine(p, s);
	return true;
}

static void grow(struct pool *p, struct member *m)
{
	uint32_t  was = m->zones, to = m->grow_zones;
	size_t    words = BITMAP_WORDS((size_t)to) + 1;
	uint64_t *map = calloc(words, sizeof(*map));
	uint64_t  first = 0, last = UINT64_MAX;
	bool      doubt = any_doubt(p), ok = true;

	/* The next commit tries again. */
	if (map == NULL)
		return;
	memcpy(map, m->zone_map,
	       BITMAP_WORDS((size_t)was) * sizeof(*map));
	free(m->zone_map);
	m->zone_map = map;
	m->zones = to;
	m->grow_zones = 0;
	if (m->grow_tail != 0) {
		first = (m->grow_tail - LABEL_AREA_BLOCKS) >> p->zone_shift;
		last = (m->grow_tail - 1) >> p->zone_shift;
	}
	for (uint32_t z = was; z < to && ok; z++) {
		if (z >= first && z <= last)
			ok = zone_quarantine(p, m, z, doubt);
	}
	if (!ok)
		pool_fail(p, -ENOMEM, "out of memory in a commit");
	pool_log(p, "disk %s has grown: %u zones more",
		 m->disk != NULL ? m->disk->place : "(missing)", to - was);
}

void disk_grow_commit(struct pool *p)
{
	for (uint32_t i = 0; i < p->nmembers; i++) {
		struct member *m = p->members[i];

		if (m->grow_zones > m->zones && !m->removed && !m->leaving)
			grow(p, m);
		m->zones_next = m->zones;
	}
}

void disk_grow_committed(struct pool *p)
{
	struct change *c = p->change;

	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->zones_labelled = p->members[i]->zones_next;
	if (c->op == NULL || c->step != CHANGE_GROWN ||
	    c->member->grow_zones != 0)
		return;
	segs_capacity(p);
	starve_hope(p);
	rebuild_hope(p);
	cleaner_unstick(p);
	change_end(c);
}

/* --- labels -------------------------------------------------------------- */

static void labelled(struct label_waiter *w)
{
	struct change *c = container_of(w, struct change, waiter);
	struct pool   *p = c->pool;
	struct member *m = c->member;

	if (w->res < 0) {
		change_say(c, w->res, "the pool has stopped");
		change_end(c);
		return;
	}
	m->grow_zones = disk_zones(p, blocks_to_bytes(m->size_blocks));
	c->step = CHANGE_GROWN;
	if (p->state != POOL_ST_ACTIVE)
		change_stop(p);
	else
		pool_commit_want(p);
}

static void label_new_size(struct change *c)
{
	struct member *m = c->member;
	uint64_t       blocks = m->disk->size_bytes / TARN_BLOCK;
	bool           again = disk_zones(c->pool,
					  blocks_to_bytes(m->size_blocks)) >
		     m->zones;

	m->grow_tail = again ? 0 : m->size_blocks - LABEL_AREA_BLOCKS;
	m->size_blocks = blocks;
	c->step = CHANGE_LABEL;
	c->waiter.done = labelled;
	label_write(c->pool, &c->waiter);
}

/* --- the new end --------------------------------------------------------- */

static void end_done(struct disk_req *req);

static void end_request(struct change *c, enum disk_op op)
{
	struct disk_req *req = &c->reqs[0];
	bool             write = op == DISK_WRITE;

	req->op = (uint8_t)op;
	req->off_bytes = write ? change_tail_off_bytes(c->grow_bytes) : 0;
	req->len_bytes = write ? CHANGE_AREA_BYTES : 0;
	req->buf = write ? c->zeros : NULL;
	req->done = end_done;
	c->pending++;
	disk_submit(c->member->disk, req);
}

static bool is_there(const struct change *c)
{
	const struct member *m = c->member;

	return m->in && !m->leaving && member_usable(m) &&
	       m->epoch == m->disk->epoch;
}

static void end_done(struct disk_req *req)
{
	struct change *c = container_of(req, struct change, reqs[0]);

	assert(c->pending > 0);
	c->pending--;
	if (c->op == NULL)
		return;
	if (c->pool->state != POOL_ST_ACTIVE)
		change_say(c, -ESHUTDOWN, "the pool is being closed");
	else if (req->res < 0)
		change_say(c, -EIO, "the new end of disk %.300s cannot be "
			   "written: %s", req->disk->place,
			   strerror(-req->res));
	else if (!is_there(c) || c->epoch != c->member->disk->epoch ||
		 c->grow_bytes != c->member->disk->size_bytes)
		change_say(c, -ENOTCONN, "the disk went away");
	if (c->res < 0) {
		change_end(c);
	} else if (c->step == CHANGE_WIPE) {
		c->step = CHANGE_FLUSH;
		end_request(c, DISK_FLUSH);
	} else {
		label_new_size(c);
	}
}

/* --- the size ------------------------------------------------------------ */

/* It is there, with the size that it has now. */
static void look(struct change *c)
{
	const struct member *m = c->member;

	c->grow_bytes = m->disk->size_bytes;
	c->epoch = m->disk->epoch;
	if (member_is_witness(m) ||
	    disk_zones(c->pool, c->grow_bytes) <= m->zones) {
		c->res = 1;
		change_end_later(c);
		return;
	}
	c->step = CHANGE_WIPE;
	end_request(c, DISK_WRITE);
}

static void not_back(struct io_timer *t)
{
	struct change *c = container_of(t, struct change, back);

	if (c->op == NULL || c->step != CHANGE_RESCAN)
		return;
	change_say(c, -ENOTCONN, "the disk did not come back when it was asked "
		   "for its size");
	change_end(c);
}

void disk_grow_init(struct change *c)
{
	io_timer_init(&c->back, not_back);
}

void change_disk_back(struct pool *p, struct member *m)
{
	struct change *c = p->change;

	if (c == NULL || c->op == NULL || c->step != CHANGE_RESCAN ||
	    c->member != m || !is_there(c) || p->state != POOL_ST_ACTIVE)
		return;
	io_timer_cancel(p->io, &c->back);
	look(c);
}

void pool_disk_rescan(struct pool *p, uint32_t i, struct pool_op *op)
{
	struct change *c = p->change;
	struct member *m = p->members[i];
	uint64_t       errors = m->errors_write;
	int            r;

	if (!change_begin(p, op)) {
		change_refuse(p, op);
		return;
	}
	c->member = m;
	if (m->removed || m->leaving)
		change_say(c, -ENOENT, "the disk has been removed from the pool");
	else if (!is_there(c) || m->lacking)
		change_say(c, -ENOTCONN, "the disk is not online: its size is "
			   "looked at when it is");
	if (c->res < 0) {
		change_end_later(c);
		return;
	}
	c->step = CHANGE_RESCAN;
	io_timer_arm(p->io, &c->back, io_now_ns(p->io) + BACK_NS);
	r = disk_rescan(m->disk);
	/* That was no fault of the disk. */
	m->errors_write = errors;
	if (r > 0)
		return;
	io_timer_cancel(p->io, &c->back);
	if (r == 0) {
		look(c);
		return;
	}
	change_say(c, r, "the size of the disk cannot be had: %s",
		   strerror(-r));
	change_end_later(c);
}
