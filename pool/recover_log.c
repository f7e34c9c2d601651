/* pool/recover_log.c - recovery, second half: the log after the commit.
 *
 * See recover.c for the phases: SCAN to COMMIT are here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/canary.h"
#include "pool/recover.h"

#define REDO_WINDOW 512u

/* --- scan ---------------------------------------------------------------- */

static int rows_add(struct recover *r, struct scan_row *list, uint32_t n)
{
	if (r->nrows + n > r->rows_cap) {
		uint32_t cap = max_u32(1024, 2 * (r->nrows + n));
		struct scan_row **rows = realloc(r->rows, cap * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		r->rows = rows;
		r->rows_cap = cap;
	}
	while (list != NULL) {
		r->rows[r->nrows++] = list;
		list = list->next;
	}
	return 0;
}

static void scan_one_done(struct seg_scan *s)
{
	struct recover *r = s->priv;

	r->scanning--;
	if (s->res < 0 || rows_add(r, s->rows, s->nrows) < 0) {
		if (r->res == 0)
			r->res = -ENOMEM;
		snprintf(r->why, sizeof(r->why), "out of memory");
		scan_rows_free(s->rows);
	}
	s->pool = NULL;
	io_defer(r->pool->io, &r->work);
}

static int row_order(const void *a, const void *b)
{
	const struct scan_row *x = *(struct scan_row *const *)a;
	const struct scan_row *y = *(struct scan_row *const *)b;

	if (x->info.row_no != y->info.row_no)
		return x->info.row_no < y->info.row_no ? -1 : 1;
	/* Of two copies of a row the one with more valid units counts; both say
	 * the same (late.c). */
	if (__builtin_popcount(x->valid) != __builtin_popcount(y->valid))
		return __builtin_popcount(y->valid) -
		       __builtin_popcount(x->valid);
	return __builtin_popcount(y->headers) - __builtin_popcount(x->headers);
}

/* Only rows of the owner whose commit this is, and younger than it. */
static bool row_relevant(const struct recover *r, const struct scan_row *row)
{
	return row->info.claim == r->root_claim.claim &&
	       uuid_equal(&row->info.claim_id, &r->root_claim.id) &&
	       row->info.row_no > r->pool->last.row;
}

/* Decide which rows are the log: from the commit on, without a gap. */
static bool choose_rows(struct recover *r)
{
	struct pool *p = r->pool;
	uint64_t next = p->last.row + 1;
	/* The label that named the root was written after a flush of it and of
	 * all rows before it. */
	uint64_t flushed = r->released ? 0 : r->root_row;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < r->nrows; i++) {
		if (row_relevant(r, r->rows[i]))
			r->rows[kept++] = r->rows[i];
		else
			free(r->rows[i]);
	}
	r->nrows = kept;
	if (kept > 0)
		qsort(r->rows, kept, sizeof(*r->rows), row_order);
	for (uint32_t i = 0; i < kept; i++)
		flushed = max_u64(flushed, r->rows[i]->info.flushed);
	kept = 0;
	for (uint32_t i = 0; i < r->nrows; i++) {
		struct scan_row *row = r->rows[i];
		uint32_t valid = (uint32_t)__builtin_popcount(row->valid);

		if (row->info.row_no < next)
			continue; /* a second copy */
		if (row->info.row_no > next && CANARY(gap_skipped))
			next = row->info.row_no;
		if (row->info.row_no > next)
			break;
		/* Below the mark the header is enough: what is damaged there
		 * is an error of those blocks, not the end of the log. */
		if (valid < p->k && next > flushed &&
		    !CANARY(torn_row_accepted))
			break;
		row->accepted = true;
		next++;
		kept++;
	}
	if (CANARY(last_row_lost) && kept > 0 && next - 1 > flushed) {
		kept--;
		next--;
	}
	r->naccepted = kept;
	p->stable_row = next - 1;
	/* Not scanned: its own rows count all the same, numbers only grow. */
	if (r->released)
		p->stable_row = max_u64(p->stable_row, r->root_row);
	if (next - 1 >= flushed)
		return true;
	snprintf(r->why, sizeof(r->why),
		 "row %llu of its log is lost although it had been flushed (up "
		 "to row %llu): bring back the missing disks, or open it with "
		 "--force and lose what was written after it",
		 (unsigned long long)next, (unsigned long long)flushed);
	return false;
}

static void redo_start(struct recover *r);

static void scans_finish(struct recover *r)
{
	struct pool *p = r->pool;

	if (r->res < 0) {
		recover_end(r, r->res);
		return;
	}
	if (!choose_rows(r)) {
		pool_log(p, "%s", r->why);
		if (!r->force && !r->read_only) {
			recover_end(r, -EBADMSG);
			return;
		}
		p->lost_blocks++;
	}
	redo_start(r);
}

void recover_scans_step(struct recover *r)
{
	struct pool *p = r->pool;

	/* After a clean close nothing but that commit's own rows follows. */
	if (r->released)
		r->next_seg = p->nsegs + 1;
	while (r->res == 0 && r->scanning < SCANS_AT_ONCE &&
	       r->next_seg <= p->nsegs) {
		struct segment *s = p->segs[r->next_seg++];
		struct seg_scan *scan = NULL;

		if (s->state != SEG_OPENABLE)
			continue;
		for (uint32_t i = 0; i < SCANS_AT_ONCE && scan == NULL; i++) {
			if (r->scans[i].pool == NULL)
				scan = &r->scans[i];
		}
		scan->pool = p;
		scan->seg = s;
		scan->priv = r;
		scan->done = scan_one_done;
		r->scanning++;
		seg_scan_start(scan, s->scan_from);
	}
	if (r->scanning == 0)
		scans_finish(r);
}

/* --- redo ---------------------------------------------------------------- */

static place_t scan_place(const struct pool *p, const struct scan_row *row,
			  uint32_t j)
{
	const struct row_info *i = &row->info;
	uint32_t unit = 0, in_slice = j;

	if (p->k > 1) {
		unit = j / i->slice_blocks;
		in_slice = j % i->slice_blocks;
	}
	return place_make(p, row->seg->no, unit,
			  i->off_blocks + i->header_blocks + in_slice);
}

static struct scan_row *accepted_row(const struct recover *r, uint32_t n)
{
	return r->chosen[n];
}

static void redo_row_put(struct recover *r, struct redo_row *w, int res)
{
	if (res < 0 && w->res == 0)
		w->res = res;
	assert(w->pending > 0);
	if (--w->pending == 0)
		io_defer(r->pool->io, &r->work);
}

void pool_redo_ready(struct redo *redo, int res)
{
	struct redo_slot *s = container_of(redo, struct redo_slot, redo);

	redo->ready = true;
	redo->res = res;
	redo_row_put(s->rec, &s->rec->window[redo->row_no % REDO_WINDOW], res);
}

/* Is it for the client to redo? */
static bool rec_is_change(const struct rec *rec)
{
	return rec->type == REC_WRITE || rec->type == REC_UNMAP ||
	       rec->type == REC_MOVE ||
	       (rec->type == REC_CATALOG && rec->id >= CATALOG_VOLUME_FIRST);
}

/* Decode the records of a row into slots and have the client prepare them. */
static int redo_prepare_row(struct recover *r, struct scan_row *row)
{
	struct pool *p = r->pool;
	struct redo_row *w = &r->window[row->info.row_no % REDO_WINDOW];
	uint32_t n = row->info.nrecs, blocks = row->info.payload_blocks;
	uint32_t pos = 0, payload = 0;
	uint8_t *mem;
	struct rec rec;
	const void *body;

	memset(w, 0, sizeof(*w));
	w->row = row;
	w->pending = 1;
	if (n == 0)
		return 0;
	mem = calloc(1, n * sizeof(*w->slots) +
				blocks * (sizeof(place_t) + sizeof(uint32_t)));
	if (mem == NULL)
		return -ENOMEM;
	w->slots = (void *)mem;
	while (row_rec_next(row->info.recs, row->info.recs_bytes, &pos, &rec,
			    &body) == 1) {
		struct redo_slot *s = &w->slots[w->nslots];
		uint32_t np = rec_payload_blocks(&rec);
		place_t *places = (void *)(mem + n * sizeof(*w->slots));
		uint32_t *crcs = (void *)(places + blocks);

		if (!rec_is_change(&rec)) {
			payload += np;
			continue;
		}
		for (uint32_t i = 0; i < np; i++) {
			places[payload + i] = scan_place(p, row, payload + i);
			crcs[payload + i] =
				le32_get(row->info.crcs[payload + i]);
		}
		s->rec = r;
		s->redo.rec = rec;
		s->redo.body = body;
		s->redo.row_no = row->info.row_no;
		s->redo.places = places + payload;
		s->redo.crcs = crcs + payload;
		s->redo.pool = p;
		payload += np;
		w->nslots++;
	}
	w->pending += w->nslots;
	for (uint32_t i = 0; i < w->nslots; i++)
		p->client->redo_prepare(p->client_arg, &w->slots[i].redo);
	return 0;
}

static void redo_apply_row(struct recover *r, struct redo_row *w)
{
	struct pool *p = r->pool;

	for (uint32_t i = 0; i < w->nslots; i++)
		p->client->redo_apply(p->client_arg, &w->slots[i].redo);
	free(w->slots);
	w->slots = NULL;
	p->counters.replayed_rows++;
}

static void repair_start(struct recover *r);

void recover_redo_step(struct recover *r)
{
	while (r->prepared < r->naccepted &&
	       r->prepared - r->applied < REDO_WINDOW) {
		struct scan_row *row = accepted_row(r, r->prepared++);

		if (redo_prepare_row(r, row) < 0) {
			recover_fail(r, -ENOMEM, "out of memory");
			return;
		}
		redo_row_put(r, &r->window[row->info.row_no % REDO_WINDOW], 0);
	}
	while (r->applied < r->prepared) {
		struct scan_row *row = accepted_row(r, r->applied);
		struct redo_row *w = &r->window[row->info.row_no % REDO_WINDOW];

		if (w->pending > 0)
			return;
		if (w->res < 0)
			pool_log(r->pool,
				 "row %llu of the log could not be redone "
				 "wholly: %s",
				 (unsigned long long)row->info.row_no,
				 strerror(-w->res));
		redo_apply_row(r, w);
		r->applied++;
		if (r->prepared < r->naccepted) {
			io_defer(r->pool->io, &r->work);
			return;
		}
	}
	if (r->applied == r->naccepted)
		repair_start(r);
}

static void redo_start(struct recover *r)
{
	uint32_t n = 0;

	r->phase = REC_REDO;
	r->window = calloc(REDO_WINDOW, sizeof(*r->window));
	r->chosen = calloc(r->naccepted + 1, sizeof(struct scan_row *));
	if (r->window == NULL || r->chosen == NULL) {
		recover_fail(r, -ENOMEM, "out of memory");
		return;
	}
	for (uint32_t i = 0; i < r->nrows; i++) {
		if (r->rows[i]->accepted)
			r->chosen[n++] = r->rows[i];
	}
	assert(n == r->naccepted);
	recover_redo_step(r);
}

/* --- repair -------------------------------------------------------------- */

/* Segments that the last owner may have opened without that any row in them
 * has arrived yet: it opens them in the order of their numbers, and has a
 * limited number of rows in flight.  With spare domains it may have opened one
 * more of each class, and have passed over some for it (late.c). */
static uint32_t unseen_max(const struct pool *p)
{
	uint32_t unit = ROW_HEADER_MAX +
			(uint32_t)div_up(p->row_blocks_max, p->k);

	return segs_open_max(p, LOG_CLIENT) + LOG_CLASSES - 1 +
	       (p->ndomains > p->units ? LOG_CLASSES + LATE_PASSED_MAX : 0) +
	       (uint32_t)div_up(LOG_INFLIGHT_MAX * unit, p->zone_blocks);
}

static void note_rows(struct recover *r)
{
	for (uint32_t i = 0; i < r->nrows; i++)
		r->rows[i]->seg->rows_seen = true;
}

/* A segment that the last owner had open, or may have opened.  Those with rows
 * are sealed; the others go back, or to quarantine while writes to them may be
 * on their way. */
static void settle_segment(struct recover *r, struct segment *s, bool doubt,
			   uint32_t *unseen)
{
	struct pool *p = r->pool;

	if (s->rows_seen || s->live > 0 || s->tables > 0 || s->scan_from > 0) {
		s->state = SEG_SEALED;
		s->index_off = 0;
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		if (!r->released)
			seg_stray_mark(p, s);
		seg_check_dead(p, s);
	} else if (!r->released && (doubt || *unseen > 0)) {
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		else
			(*unseen)--;
		seg_stray_mark(p, s);
		seg_quarantine(p, s);
	} else {
		seg_free_zones(p, s);
	}
}

/* Rows that were found on it, or written again, had not been flushed. */
static void units_lost(struct pool *p, const struct member *m)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		for (uint32_t u = 0; s->rows_seen && u < p->units; u++) {
			if (s->zones[u].member == m->index)
				s->missing |= 1u << u;
		}
	}
}

void recover_member_lost(struct pool *p, const struct member *m)
{
	struct recover *r = p->recover;

	if (r == NULL)
		return;
	r->lost[m->index] = true;
	units_lost(p, m);
}

/* A slot for what is in quarantine: the one it had, if nobody has it. */
static struct segment *extra_slot(struct pool *p,
				  const struct label_extra_seg *x)
{
	struct segment *s = pool_seg(p, x->segment);

	if (s == NULL && x->segment <= p->nsegs + LABEL_EXTRA_MAX)
		s = seg_slot(p, x->segment);
	if (s == NULL || s->state != SEG_FREE)
		s = seg_slot(p, p->nsegs + 1);
	return s;
}

/* Segments of the labels' extra list: an earlier recovery wrote to them, and
 * never came to its commit.  Like us, it took zones that the commit lists as
 * openable and that had no rows, so they are free again by now, or in
 * quarantine already. */
static void quarantine_extra(struct pool *p, bool doubt)
{
	for (uint32_t e = 0; e < p->nextra; e++) {
		const struct label_extra_seg *x = &p->extra[e];
		struct segment *s = extra_slot(p, x);

		if (s == NULL)
			continue;
		s->generation = max_u32(s->generation, x->generation);
		s->claim = p->last_claim;
		if (doubt)
			s->claim |= CLAIM_DOUBT;
		for (uint32_t u = 0; u < p->units; u++) {
			const struct zone_ref *z = &x->zones[u];

			s->zones[u].member = ZONE_NONE;
			if (z->member == ZONE_NONE ||
			    bitmap_test(p->members[z->member]->zone_map,
					z->zone))
				continue;
			seg_zone_take(p, s, u, z);
		}
		seg_stray_mark(p, s);
		seg_quarantine(p, s);
	}
}

static void settle_segments(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t unseen = unseen_max(p);
	bool doubt = owner_is_doubtful(p, p->last_claim) && !r->force;

	note_rows(r);
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (s->state == SEG_OPENABLE)
			settle_segment(r, s, doubt, &unseen);
	}
	for (uint32_t i = 0; i < p->nmembers; i++) {
		if (r->lost[i])
			units_lost(p, p->members[i]);
	}
	/* By --force the operator says that no other server is left; what it
	 * had sent may still be on its way. */
	for (uint32_t i = 1; r->force && i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if ((s->claim & CLAIM_DOUBT) == 0)
			continue;
		s->claim &= ~CLAIM_DOUBT;
		seg_stray_mark(p, s);
	}
	p->openable = 0;
	quarantine_extra(p, doubt);
}

static void repair_start(struct recover *r)
{
	struct pool *p = r->pool;

	p->next_row = p->stable_row + 1;
	p->flushed_row = p->stable_row;
	p->mark_row = p->stable_row;
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
	struct scan_row *row = accepted_row(r, r->repairing);

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
		struct scan_row *row = accepted_row(r, r->repairing);

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
	settle_segments(r);
	segs_capacity(p);
	r->phase = REC_ZONES;
	recover_zones_step(r);
}

/* --- our own commit ------------------------------------------------------ */

static void recover_committed(struct pool *p)
{
	p->commit.finished = NULL;
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->rows_seen = false;
	recover_end(p->recover, 0);
}

static void extra_labelled(struct label_waiter *w)
{
	struct recover *r = container_of(w, struct recover, waiter);
	struct pool *p = r->pool;

	if (w->res < 0) {
		recover_fail(r, w->res, "its labels could not be written");
		return;
	}
	r->phase = REC_COMMIT;
	p->commit.finished = recover_committed;
	commit_start(p);
}

/* Zones for our own commit, and for the next one. */
static uint32_t commit_segments(const struct pool *p)
{
	uint64_t blocks = p->client->commit_blocks(p->client_arg) +
			  seg_pages(p) + 64;

	return 2 + (uint32_t)div_up(2 * blocks, p->seg_data_blocks);
}

static bool zone_in_quarantine(const struct pool *p, const struct zone_ref *z)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0;
		     s->state == SEG_QUARANTINED && u < p->units; u++) {
			if (s->zones[u].member == z->member &&
			    s->zones[u].zone == z->zone)
				return true;
		}
	}
	return false;
}

/* What an earlier recovery wrote stays listed while it is in quarantine: our
 * commit, too, may never be. */
static void keep_extra(struct pool *p)
{
	uint32_t n = 0;

	for (uint32_t e = 0; e < p->nextra; e++) {
		const struct label_extra_seg *x = &p->extra[e];
		bool keep = false;

		for (uint32_t u = 0; u < p->units && !keep; u++)
			keep = x->zones[u].member != ZONE_NONE &&
			       zone_in_quarantine(p, &x->zones[u]);
		if (keep && !CANARY(extra_forgotten))
			p->extra[n++] = *x;
	}
	p->nextra = n;
}

static void list_extra(struct pool *p)
{
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];
		struct label_extra_seg *x = &p->extra[p->nextra];

		if (s->state != SEG_OPENABLE)
			continue;
		assert(p->nextra < LABEL_EXTRA_MAX);
		x->segment = s->no;
		x->generation = s->generation;
		memcpy(x->zones, s->zones, sizeof(x->zones));
		p->nextra++;
	}
}

static void label_and_commit(struct recover *r)
{
	struct pool *p = r->pool;

	for (uint32_t i = 0; i < p->nmembers; i++)
		p->members[i]->dirty = true;
	segs_compose(p,
		     min_u32(commit_segments(p), LABEL_EXTRA_MAX - p->nextra),
		     SEG_OPENABLE);
	if (p->openable == 0) {
		recover_fail(r, -ENOSPC,
			     "no free zones are left to open it with; if its "
			     "last server is off for good, import it with "
			     "--force");
		return;
	}
	list_extra(p);
	r->phase = REC_LABEL;
	r->waiter.done = extra_labelled;
	label_write(p, &r->waiter);
}

/* Not to wait would be to use zones that a dead server's writes may still
 * reach: see quarantine.c. */
void recover_zones_step(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t want = commit_segments(p);
	/* … for the commit after it, and for clients to go on at once. */
	uint32_t more = segs_reserve(p) + segs_unlisted(p) +
			p->segs_possible / 16;

	/* Everything has been found, redone and made whole. */
	assert(r->phase == REC_ZONES);
	keep_extra(p);
	if ((segs_free_possible(p) < want + more ||
	     LABEL_EXTRA_MAX - p->nextra < min_u32(want, LABEL_EXTRA_MAX / 2)) &&
	    quarantine_will_release(p)) {
		if (!r->told_waiting)
			pool_log(p, "waiting up to 10 s until nothing that the "
				    "last server sent can arrive any more");
		r->told_waiting = true;
		return; /* recover_kick() */
	}
	label_and_commit(r);
}

void recover_kick(struct pool *p)
{
	struct recover *r = p->recover;

	if (r != NULL && r->phase == REC_ZONES)
		io_defer(p->io, &r->work);
}
