/* pool/recover_repair.c - recovery: every row of the log is whole again.
 *
 * Of each accepted row that lacks units, k are read, the others made from them
 * and written where they belong, one row after another.  Then the segments are
 * settled and recover_commit.c goes on.
 *
 * The ways to fail: fewer than k units can be read, a disk is away or a write
 * fails; then the segment lacks that unit, and says so in the next commit.  No
 * memory ends the recovery.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/recover.h"

void recover_repair_start(struct recover *r)
{
	struct pool *p = r->pool;

	p->next_row = p->stable_row + 1;
	p->flushed_row = p->stable_row;
	p->mark_row = p->stable_row;
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (p->members[i]->lacking)
			p->members[i]->lacks_row = p->stable_row;
	}
	if (r->read_only) {
		recover_end(r, 0);
		return;
	}
	r->phase = REC_REPAIR;
	r->repairing = 0;
	recover_repair_step(r);
}

static void repair_req_done(struct disk_req *req)
{
	struct recover_req *q = container_of(req, struct recover_req, req);
	struct recover *r = q->rec;
	struct scan_row *row = recover_row(r, r->repairing);

	q->ok = req->res == 0;
	if (!q->ok && req->op == DISK_WRITE)
		row->seg->missing |= 1u << q->unit;
	if (--r->pending == 0)
		io_defer(r->pool->io, &r->work);
}

static void repair_io(struct recover *r, struct scan_row *row, uint32_t u,
		      enum disk_op op, uint32_t header_blocks)
{
	struct pool *p = r->pool;
	struct recover_req *q = &r->reqs[u];
	const struct zone_ref *z = &row->seg->zones[u];

	q->rec = r;
	q->unit = u;
	q->ok = false;
	q->req.op = (uint8_t)op;
	q->req.off_bytes = zone_off_bytes(p, z->zone,
					  row->info.off_blocks + header_blocks);
	q->req.len_bytes = (row->info.unit_blocks - header_blocks) * TARN_BLOCK;
	q->req.buf = r->repair_units[u] + (size_t)header_blocks * TARN_BLOCK;
	q->req.done = repair_req_done;
	r->pending++;
	disk_submit(p->members[z->member]->disk, &q->req);
}

static bool unit_present(const struct pool *p, const struct segment *s,
			 uint32_t u)
{
	const struct member *m = seg_member(p, s, u);

	return m != NULL && m->in && member_usable(m);
}

/* Read k valid units; then repair_write(). */
static bool repair_read(struct recover *r, struct scan_row *row)
{
	struct pool *p = r->pool;
	uint32_t n = 0;

	if (row->info.slice_blocks == 0)
		return true;
	for (uint32_t u = 0; u < p->units && n < p->k; u++) {
		struct member *m = seg_member(p, row->seg, u);

		if ((row->valid & (1u << u)) == 0 || !member_readable(m))
			continue;
		repair_io(r, row, u, DISK_READ, row->info.header_blocks);
		n++;
	}
	return n >= p->k;
}

static void repair_headers(struct recover *r, struct scan_row *row, uint32_t u)
{
	struct pool *p = r->pool;
	uint8_t *h = r->repair_units[u];

	memset(h, 0, (size_t)row->info.header_blocks * TARN_BLOCK);
	memcpy(h + sizeof(struct row_header), row->info.crcs,
	       4 * (size_t)row->info.payload_blocks);
	memcpy(h + row->info.recs_off, row->info.recs, row->info.recs_bytes);
	row_header_encode(&p->geom, &row->info, u, h);
}

/* Write every unit that is not valid and whose disk is there. */
static void repair_write(struct recover *r, struct scan_row *row)
{
	struct pool *p = r->pool;
	uint8_t *slices[POOL_UNITS_MAX];
	uint32_t have = 0;
	uint32_t len = row->info.slice_blocks * TARN_BLOCK;

	for (uint32_t u = 0; u < p->units; u++) {
		slices[u] = r->repair_units[u] +
			    (size_t)row->info.header_blocks * TARN_BLOCK;
		if (r->reqs[u].ok &&
		    row_slice_valid(&p->geom, &row->info, u, slices[u]))
			have |= 1u << u;
	}
	for (uint32_t u = 0; u < p->units; u++) {
		if ((row->valid & (1u << u)) != 0)
			continue;
		if (!unit_present(p, row->seg, u) ||
		    (len > 0 && stripe_rebuild(&p->stripe, len, slices, have, u,
					       slices[u]) < 0)) {
			row->seg->missing |= 1u << u;
			continue;
		}
		repair_headers(r, row, u);
		repair_io(r, row, u, DISK_WRITE, 0);
	}
}

static int repair_buffers(struct recover *r)
{
	size_t len = (size_t)(ROW_HEADER_MAX + ROW_PAYLOAD_MAX) * TARN_BLOCK;

	for (uint32_t u = 0; u < r->pool->units; u++) {
		if (r->repair_units[u] == NULL)
			r->repair_units[u] = aligned_alloc(TARN_BLOCK, len);
		if (r->repair_units[u] == NULL)
			return -ENOMEM;
	}
	return 0;
}

void recover_repair_step(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t all = (uint32_t)((1ull << p->units) - 1);

	/* The work item may still be queued from the redo: what was asked of
	 * the disks comes first. */
	if (r->pending > 0)
		return;
	for (; r->repairing < r->naccepted; r->repairing++) {
		struct scan_row *row = recover_row(r, r->repairing);

		if (r->repair_written) {
			r->repair_written = false;
			r->repair_loaded = false;
			continue;
		}
		if (row->valid == all || CANARY(no_repair))
			continue;
		if (repair_buffers(r) < 0) {
			recover_fail(r, -ENOMEM, "out of memory");
			return;
		}
		r->pending = 1;
		if (!r->repair_loaded) {
			for (uint32_t u = 0; u < p->units; u++)
				r->reqs[u].ok = false;
			r->repair_loaded = true;
			if (repair_read(r, row) && r->pending > 1) {
				r->pending--;
				return;
			}
			if (r->pending > 1) {
				/* Fewer than k: nothing to make it from. */
				r->pending--;
				return;
			}
		}
		r->repair_written = true;
		repair_write(r, row);
		if (--r->pending > 0)
			return;
		r->repair_written = false;
		r->repair_loaded = false;
	}
	recover_segments_settle(r);
	segs_capacity(p);
	r->phase = REC_ZONES;
	recover_zones_step(r);
}
