/* pool/scrub_fix.c - rows of which something was not right, one after another.
 *
 *   read all units again, block by block where a disk gives an error
 *   judge: it may be all right this time
 *   compose what must be there (scrub_row.c)
 *   write that where something else is, and it is known
 *
 * The ways to fail: what is not known is counted and left as it is; a disk that
 * goes away is left out.
 */
#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "pool/scrub.h"

/* In scrub_fix.block. */
#define WHOLE_UNIT UINT32_MAX

/* --- one row ------------------------------------------------------------- */

static void fix_read(struct scrub *s);
static void fix_write(struct scrub *s);

static void lost_note(struct scrub *s, uint32_t blocks)
{
	struct scrub_lost *l;

	/* Without an index it is not known which rows were ever part of the
	 * log: the last one before a crash is seldom whole. */
	if (!s->indexed)
		return;
	s->count->lost_blocks += blocks;
	for (unsigned i = 0; i < s->nlost; i++) {
		if (s->lost[i].segment == s->seg->no &&
		    s->lost[i].generation == s->seg->generation) {
			s->lost[i].blocks += blocks;
			return;
		}
	}
	if (s->nlost == SCRUB_LOST_MAX)
		return;
	l = &s->lost[s->nlost++];
	l->segment = s->seg->no;
	l->generation = s->seg->generation;
	l->blocks = blocks;
}

/* Payload block j of the row cannot be had: is it of data? */
static void lost_block(struct scrub *s, const struct rec *rec, uint32_t i,
		       uint32_t j)
{
	struct pool      *p = s->pool;
	struct scrub_fix *f = &s->fix;
	uint32_t          hb = f->at.want->header_blocks;
	uint32_t          u = p->k == 1 ? 0 : j / f->at.want->slice_blocks;
	uint32_t          b = p->k == 1 ? j : j % f->at.want->slice_blocks;
	struct pool_damage d = {
		.place = place_make(p, s->seg->no, u,
				    f->at.want->off_blocks + hb + b),
		.family = rec_family(rec),
		.block = rec->block + i,
	};

	if ((rec->type == REC_WRITE || rec->type == REC_MOVE) &&
	    !bitmap_test(f->known[u], hb + b))
		pool_damage_found(p, &d);
}

static void lost_blocks(struct scrub *s)
{
	const struct row_info *i = s->fix.at.want;
	uint32_t               pos = 0, j = 0;
	const void            *body;
	struct rec             rec;

	while (row_rec_next(i->recs, i->recs_bytes, &pos, &rec, &body) == 1) {
		uint32_t n = rec_payload_blocks(&rec);

		for (uint32_t b = 0; b < n; b++)
			lost_block(s, &rec, b, j + b);
		j += n;
	}
}

/* Is there something else on the disk than there must be? */
static bool differs(const struct scrub_fix *f, uint32_t u, uint32_t b)
{
	size_t off = (size_t)b * TARN_BLOCK;

	return bitmap_test(f->gone[u], b) ||
	       memcmp(f->in[u] + off, f->out[u] + off, TARN_BLOCK) != 0;
}

/* Count what is wrong in a unit that was read. */
static void count_unit(struct scrub *s, uint32_t u)
{
	struct scrub_fix *f = &s->fix;
	struct member    *m = seg_member(s->pool, s->seg, u);

	for (uint32_t b = 0; b < f->at.want->unit_blocks; b++) {
		bool known = bitmap_test(f->known[u], b);

		if (known && !differs(f, u, b))
			continue;
		s->count->found++;
		s->count->unrepaired += !known;
		m->errors_cksum += known && !bitmap_test(f->gone[u], b);
	}
}

static void fix_solve(struct scrub *s)
{
	struct scrub_fix *f = &s->fix;
	uint32_t          lost;

	f->reading = false;
	f->unit = 0;
	f->block = 0;
	scrub_row_judge(&f->at);
	if (f->at.good == f->asked) {
		f->unit = s->pool->units; /* it is all right now */
	} else {
		lost = scrub_row_solve(&f->at, f->gone, f->out, f->known);
		if (lost > 0) {
			if (!s->spot)
				lost_note(s, lost);
			lost_blocks(s);
		}
		for (uint32_t u = 0; u < s->pool->units; u++)
			if (f->asked & ~f->at.good & (1u << u))
				count_unit(s, u);
	}
	fix_write(s);
}

static void fix_read_done(struct disk_req *req)
{
	struct scrub_req *q = container_of(req, struct scrub_req, req);
	struct scrub     *s = container_of(q, struct scrub, fix.req);
	struct scrub_fix *f = &s->fix;
	bool              away = req->res == -ENOTCONN ||
			  req->res == -ECANCELED;

	s->inflight--;
	q->member->reads--;
	if (scrub_moved(s, q)) {
		fix_read(s);
		return;
	}
	if (req->res < 0 && !away && f->block == WHOLE_UNIT) {
		f->block = 0; /* block by block, then */
		fix_read(s);
		return;
	}
	if (req->res < 0 && !away) {
		bitmap_set(f->gone[f->unit], f->block);
		memset(f->in[f->unit] + (size_t)f->block * TARN_BLOCK, 0,
		       TARN_BLOCK);
	}
	if (away) {
		f->asked &= ~(1u << f->unit);
		f->at.units[f->unit] = NULL;
	}
	if (away || f->block == WHOLE_UNIT ||
	    ++f->block == f->at.want->unit_blocks) {
		f->unit++;
		f->block = WHOLE_UNIT;
	}
	fix_read(s);
}

static void fix_read(struct scrub *s)
{
	struct scrub_fix      *f = &s->fix;
	const struct row_info *i = f->at.want;

	if (scrub_stopped(s)) {
		scrub_segment_end(s);
		return;
	}
	while (f->unit < s->pool->units) {
		uint32_t u = f->unit;
		uint32_t b = f->block == WHOLE_UNIT ? 0 : f->block;

		if (!scrub_unit_there(s, u)) {
			f->asked &= ~(1u << u);
			f->at.units[u] = NULL;
			f->unit++;
			f->block = WHOLE_UNIT;
			continue;
		}
		f->asked |= 1u << u;
		f->at.units[u] = f->in[u];
		s->inflight++;
		scrub_submit(s, &f->req, u, DISK_READ, i->off_blocks + b,
		       f->block == WHOLE_UNIT ? i->unit_blocks : 1,
		       f->in[u] + (size_t)b * TARN_BLOCK, fix_read_done);
		return;
	}
	fix_solve(s);
}

static void fix_written(struct disk_req *req)
{
	struct scrub_req *q = container_of(req, struct scrub_req, req);
	struct scrub     *s = container_of(q, struct scrub, fix.req);

	s->inflight--;
	scrub_written(s, q, s->fix.run);
	s->fix.block += s->fix.run;
	fix_write(s);
}

/* The next blocks of the unit that follow one another and are to be written;
 * false: there are none. */
static bool next_run(struct scrub_fix *f)
{
	uint32_t u = f->unit, n = f->at.want->unit_blocks;

	while (f->block < n &&
	       !(bitmap_test(f->known[u], f->block) && differs(f, u, f->block)))
		f->block++;
	f->run = 0;
	while (f->block + f->run < n &&
	       bitmap_test(f->known[u], f->block + f->run) &&
	       differs(f, u, f->block + f->run))
		f->run++;
	return f->run > 0;
}

static void fix_write(struct scrub *s)
{
	struct scrub_fix *f = &s->fix;

	if (scrub_stopped(s)) {
		scrub_segment_end(s);
		return;
	}
	for (; f->unit < s->pool->units; f->unit++, f->block = 0) {
		uint32_t u = f->unit;

		if ((f->asked & ~f->at.good & (1u << u)) == 0 ||
		    !scrub_unit_writable(s, u) || !next_run(f))
			continue;
		s->inflight++;
		scrub_submit(s, &f->req, u, DISK_WRITE,
		       f->at.want->off_blocks + f->block, f->run,
		       f->out[u] + (size_t)f->block * TARN_BLOCK, fix_written);
		return;
	}
	f->row++;
	scrub_kick(s->pool);
}

void scrub_fix_step(struct scrub *s)
{
	struct scrub_fix *f = &s->fix;

	if (s->inflight > 0)
		return;
	f->row = (uint32_t)bitmap_next_set(s->bad, f->row, s->nrows);
	if (f->row >= s->nrows) {
		scrub_segment_end(s);
		return;
	}
	scrub_row_view(s, f->row, &f->at);
	memset(f->gone, 0, sizeof(f->gone));
	f->asked = 0;
	f->unit = 0;
	f->block = WHOLE_UNIT;
	f->reading = true;
	fix_read(s);
}
