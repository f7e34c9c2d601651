/* pool/recover_log.c - recovery, second half: the log after the commit.
 *
 * See recover.c for the phases: SCAN and REDO are here, the others in
 * recover_repair.c and recover_commit.c.  The segments that may hold younger
 * rows are scanned, a few at once.  Of what is found, the rows from the commit
 * on are the log, in number order and while each is whole; each is redone by
 * the client, prepared in a window and applied in order.
 *
 * The ways to fail: a row that had been flushed is lost (-EBADMSG, but for
 * --force and read-only), no memory.  A record that could not be prepared is
 * said, and redone as far as possible.
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
		assert(scan != NULL);
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

void recover_redo_step(struct recover *r)
{
	while (r->prepared < r->naccepted &&
	       r->prepared - r->applied < REDO_WINDOW) {
		struct scan_row *row = recover_row(r, r->prepared++);

		if (redo_prepare_row(r, row) < 0) {
			recover_fail(r, -ENOMEM, "out of memory");
			return;
		}
		redo_row_put(r, &r->window[row->info.row_no % REDO_WINDOW], 0);
	}
	while (r->applied < r->prepared) {
		struct scan_row *row = recover_row(r, r->applied);
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
		recover_repair_start(r);
}

/* The subtype of a CATALOG record in the row that must be understood, and is
 * not; 0: there is none. */
static uint32_t row_unknown(const struct recover *r, const struct scan_row *row)
{
	const struct pool *p = r->pool;
	uint32_t pos = 0;
	struct rec rec;
	const void *body;

	while (row_rec_next(row->info.recs, row->info.recs_bytes, &pos, &rec,
			    &body) == 1)
		if (rec.type == REC_CATALOG &&
		    rec.flags & REC_MUST_UNDERSTAND &&
		    !p->client->redo_knows(p->client_arg, rec.id))
			return rec.id;
	return 0;
}

/* Before anything is redone.  True: the pool is not opened. */
static bool log_unknown(struct recover *r)
{
	for (uint32_t i = 0; i < r->naccepted; i++) {
		const struct scan_row *row = recover_row(r, i);
		uint32_t subtype = row_unknown(r, row);

		if (subtype == 0)
			continue;
		recover_fail(r, -ENOTSUP, "row %llu of its log has a change of "
			     "a kind, %u, that this version of Tarn does not "
			     "know: open it with the version that wrote it",
			     (unsigned long long)row->info.row_no, subtype);
		return true;
	}
	return false;
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
	if (!log_unknown(r))
		recover_redo_step(r);
}
