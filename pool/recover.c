/* pool/recover.c - bringing a pool back to the end of its log.
 *
 *   ROOT      the row that the label points at, from any k of its units
 *   INDEX     index pages, then the pages of the segment table
 *   LOAD      the client loads what it needs
 *   SCAN      the segments that may hold younger rows
 *   REDO      rows after the commit, in number order, while each is whole
 *   REPAIR    every accepted row gets all its units again
 *   ZONES     wait until enough zones are out of quarantine
 *   LABEL     segments for our commit, recorded in the labels first
 *   COMMIT    under our claim; from then on the old log is not needed
 *
 * The first missing row ends the log, unless a row says that it had been
 * flushed: then it is damage, and the pool does not open without --force.
 *
 * Nobody but us writes to the segments that LABEL records.  Of an owner that
 * may still be there they are none that its commit lists, and it opens no
 * others; of one that is dead, none that it can have had open
 * (recover_segments.c and quarantine.c).  We have read the labels after our
 * claim was on the disks.
 *
 * This file is ROOT to LOAD; recover_log.c SCAN and REDO, recover_repair.c
 * REPAIR, recover_commit.c the rest.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/recover.h"
#include "pool/scrub.h"

#define CRC_FROM 12u

static void recover_work_fn(struct io_work *w);

static void rows_free(struct recover *r)
{
	for (uint32_t i = 0; i < r->nrows; i++)
		free(r->rows[i]);
	free(r->rows);
	r->rows = NULL;
	r->nrows = 0;
}

/* Nothing of it may be in flight. */
void recover_free(struct pool *p)
{
	struct recover *r = p->recover;

	if (r == NULL)
		return;
	for (uint32_t u = 0; u < p->units; u++) {
		free(r->root_units[u]);
		free(r->repair_units[u]);
	}
	rows_free(r);
	free(r->root);
	free(r->load_bufs);
	free(r->window);
	free(r->chosen);
	io_undefer(&r->work);
	p->recover = NULL;
	free(r);
}

void recover_end(struct recover *r, int res)
{
	struct pool *p = r->pool;
	char why[300];
	void (*done)(struct pool *, int, const char *) = r->done;

	snprintf(why, sizeof(why), "%s", r->why);
	if (res == 0) {
		p->counters.replay_ns = io_now_ns(p->io) - r->started_ns;
		recover_free(p);
	}
	/* After a failure requests may still be in flight: it is freed when
	 * the disks are closed. */
	done(p, res, why);
}

void recover_fail(struct recover *r, int res, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	recover_end(r, res);
}

/* --- root ---------------------------------------------------------------- */

/* The root's own checks, and what the label and the row say of it. */
static bool root_valid(const struct recover *r, const struct root_header *h,
		       uint32_t bytes)
{
	const struct pool *p = r->pool;
	uint32_t per = seg_entries_per_page(p->k, p->m);

	if (bytes < sizeof(*h) ||
	    memcmp(h->magic, ROOT_MAGIC, sizeof(h->magic)) != 0 ||
	    le32_get(h->bytes) > bytes || le32_get(h->bytes) < sizeof(*h) ||
	    crc32c(0, r->root + CRC_FROM, le32_get(h->bytes) - CRC_FROM) !=
		    le32_get(h->crc32c) ||
	    le32_get(h->crc32c) != p->last.root_crc ||
	    !uuid_equal(&h->pool, &p->uuid) ||
	    le64_get(h->commit) != p->last.commit ||
	    le64_get(h->row) != p->last.row ||
	    le64_get(h->claim) != r->root_claim.claim ||
	    le64_get(h->row) >= r->root_row || r->root_row > POOL_NUMBER_MAX)
		return false;
	/* What is made for segments is bounded by the disks. */
	return le32_get(h->nsegments) <= segs_max(p) &&
	       le32_get(h->kinds[TABLE_SEGMENTS].npages) ==
		       div_up(le32_get(h->nsegments), per);
}

static int root_parse(struct recover *r, uint32_t bytes)
{
	struct pool *p = r->pool;
	struct root_header h;
	uint32_t pos = sizeof(h);
	uint32_t boot = 8 + 8 * p->units;

	memcpy(&h, r->root, sizeof(h));
	if (!root_valid(r, &h, bytes))
		return -EBADMSG;
	bytes = le32_get(h.bytes);
	scrub_load(p, le32_get(h.scrub));
	for (uint32_t k = 0; k < TABLE_KINDS; k++) {
		uint32_t npages = le32_get(h.kinds[k].npages);
		uint32_t nindex = le32_get(h.kinds[k].nindex);
		size_t len = (size_t)nindex * sizeof(struct page_ref);

		if (nindex != div_up(npages, INDEX_REFS_A_PAGE) ||
		    len > bytes - pos)
			return -EBADMSG;
		if (table_grow(p, (enum table_kind)k, npages) < 0)
			return -ENOMEM;
		if (nindex > 0)
			memcpy(p->tables[k].index, r->root + pos, len);
		pos += (uint32_t)len;
	}
	for (uint32_t i = 0; i < le32_get(h.nboot); i++) {
		le32 v[2 + 2 * POOL_UNITS_MAX];
		struct segment *s;

		if (boot > bytes - pos)
			return -EBADMSG;
		memcpy(v, r->root + pos, boot);
		pos += boot;
		if (le32_get(v[0]) == 0 ||
		    le32_get(v[0]) > le32_get(h.nsegments))
			return -EBADMSG;
		s = seg_slot(p, le32_get(v[0]));
		if (s == NULL)
			return -ENOMEM;
		s->generation = le32_get(v[1]);
		s->state = SEG_SEALED;
		for (uint32_t u = 0; u < p->units; u++) {
			uint32_t m = le32_get(v[2 + 2 * u]);
			uint32_t z = le32_get(v[3 + 2 * u]);

			if (m != ZONE_NONE &&
			    (m >= p->nmembers || z >= p->members[m]->zones))
				return -EBADMSG;
			s->zones[u].member = m;
			s->zones[u].zone = z;
		}
	}
	if (le32_get(h.client_bytes) > ROOT_CLIENT_MAX ||
	    le32_get(h.client_bytes) > bytes - pos)
		return -EBADMSG;
	r->client_root = r->root + pos;
	r->header = h;
	return 0;
}

/* Put the root together from the units that are valid. */
static bool root_assemble(struct recover *r)
{
	struct pool *p = r->pool;
	struct row_info info = { 0 }, i;
	uint32_t valid = 0;
	uint32_t slice_bytes = p->last.root_slice * TARN_BLOCK;
	uint8_t *units[POOL_UNITS_MAX];

	for (uint32_t u = 0; u < p->units; u++) {
		uint8_t *b = r->root_units[u];

		units[u] = b + TARN_BLOCK;
		if (!r->reqs[u].ok ||
		    row_header_validate(&p->geom, b, TARN_BLOCK + slice_bytes,
					&i, NULL) < 0 ||
		    i.segment != place_seg(p, p->last.root_place) ||
		    i.generation != p->last.root_generation ||
		    i.slice_blocks != p->last.root_slice ||
		    i.header_blocks != 1 ||
		    i.off_blocks + 1 != place_off(p, p->last.root_place) ||
		    (p->k > 1 && i.unit != u) ||
		    !row_slice_valid(&p->geom, &i, u, units[u]))
			continue;
		valid |= 1u << u;
		info = i;
	}
	if ((uint32_t)__builtin_popcount(valid) < p->k ||
	    info.payload_blocks != p->last.root_blocks)
		return false;
	r->root_row = info.row_no;
	r->root_claim.claim = info.claim;
	r->root_claim.id = info.claim_id;
	for (uint32_t d = 0; d < p->k; d++) {
		uint8_t *out = r->root + (size_t)d * slice_bytes;

		if (stripe_rebuild(&p->stripe, slice_bytes, units, valid, d,
				   out) < 0)
			return false;
	}
	return true;
}

static void root_all_read(struct recover *r)
{
	struct pool *p = r->pool;
	int res;

	if (!root_assemble(r)) {
		recover_fail(r, -EBADMSG,
			     "the root of its last commit cannot be read: "
			     "bring back the missing disks");
		return;
	}
	res = root_parse(r, p->last.root_blocks * TARN_BLOCK);
	if (res < 0) {
		recover_fail(r, res, "the root of its last commit is damaged");
		return;
	}
	r->phase = REC_INDEX;
	r->next_kind = 0;
	r->next_page = 0;
	recover_work_fn(&r->work);
}

static void root_req_done(struct disk_req *req)
{
	struct recover_req *q = container_of(req, struct recover_req, req);

	q->ok = req->res == 0;
	if (--q->rec->pending == 0)
		root_all_read(q->rec);
}

static void root_read(struct recover *r)
{
	struct pool *p = r->pool;
	uint32_t len = (1 + p->last.root_slice) * TARN_BLOCK;
	uint32_t off = place_off(p, p->last.root_place);

	if (p->last.root_blocks == 0 || off == 0) {
		recover_fail(r, -ENODATA,
			     "its creation was never finished; create it again "
			     "with --force");
		return;
	}
	r->root = aligned_alloc(TARN_BLOCK, (size_t)p->k * len);
	r->pending = 1;
	for (uint32_t u = 0; u < p->units && r->root != NULL; u++) {
		struct recover_req *q = &r->reqs[u];
		uint32_t mi = p->last.root_zones[u].member;
		struct member *m = mi == ZONE_NONE ? NULL : p->members[mi];

		r->root_units[u] = aligned_alloc(TARN_BLOCK, len);
		if (r->root_units[u] == NULL)
			break;
		q->rec = r;
		q->unit = u;
		q->ok = false;
		if (m == NULL || !member_readable(m))
			continue;
		q->req.op = DISK_READ;
		q->req.off_bytes =
			zone_off_bytes(p, p->last.root_zones[u].zone, off - 1);
		q->req.len_bytes = len;
		q->req.buf = r->root_units[u];
		q->req.done = root_req_done;
		r->pending++;
		disk_submit(m->disk, &q->req);
	}
	if (--r->pending == 0)
		recover_fail(r, -EIO,
			     "no disk that holds the root of its last "
			     "commit can be read");
}

/* --- index pages and segment pages --------------------------------------- */

static void loads_step(struct recover *r);

static void load_take(struct recover *r, struct page_load *l)
{
	struct table *t = &r->pool->tables[l->kind];
	uint32_t first = l->page * INDEX_REFS_A_PAGE;
	uint32_t n;

	/* Pages of segments stay where they are until all are there. */
	if (r->phase != REC_INDEX)
		return;
	/* Nothing but zeros may be behind the last page: the table grows. */
	n = min_u32(INDEX_REFS_A_PAGE, t->npages - first);
	memcpy(t->refs + first, l->buf, n * sizeof(t->refs[0]));
}

static void load_done(struct pool_read *read)
{
	struct page_load *l = container_of(read, struct page_load, read);
	struct recover *r = l->rec;

	l->busy = false;
	r->loading--;
	if (read->res < 0 && r->res == 0) {
		r->res = read->res;
		snprintf(r->why, sizeof(r->why),
			 "page %u of its table %u is lost", l->page, l->kind);
	} else {
		load_take(r, l);
	}
	if (!r->issuing)
		loads_step(r);
}

static bool load_issue(struct recover *r, uint32_t kind, uint32_t page,
		       const struct page_ref *ref, uint8_t *buf)
{
	struct page_load *l = NULL;

	for (uint32_t i = 0; i < READS_AT_ONCE && l == NULL; i++) {
		if (!r->loads[i].busy)
			l = &r->loads[i];
	}
	if (l == NULL)
		return false;
	l->busy = true;
	l->rec = r;
	l->kind = kind;
	l->page = page;
	l->crc = le32_get(ref->crc32c);
	l->buf = buf != NULL
			 ? buf
			 : r->load_bufs + (size_t)(l - r->loads) * TARN_BLOCK;
	l->read.place = le64_get(ref->place);
	l->read.n = 1;
	l->read.buf = l->buf;
	l->read.crcs = &l->crc;
	l->read.skip = NULL;
	l->read.bad = NULL;
	l->read.done = load_done;
	r->loading++;
	pool_read_submit(r->pool, &l->read);
	return true;
}

static bool issue_index(struct recover *r)
{
	struct pool *p = r->pool;

	for (; r->next_kind < TABLE_KINDS; r->next_kind++, r->next_page = 0) {
		struct table *t = &p->tables[r->next_kind];

		for (; r->next_page < t->nindex; r->next_page++) {
			if (le64_get(t->index[r->next_page].place) ==
			    PLACE_NONE)
				continue;
			if (!load_issue(r, r->next_kind, r->next_page,
					&t->index[r->next_page], NULL))
				return false;
		}
	}
	return true;
}

/* All pages of the segment table, into memory of their own. */
static bool issue_segs(struct recover *r)
{
	struct pool *p = r->pool;
	struct table *t = &p->tables[TABLE_SEGMENTS];

	for (; r->next_page < t->npages; r->next_page++) {
		if (le64_get(t->refs[r->next_page].place) == PLACE_NONE) {
			r->res = -EBADMSG;
			snprintf(r->why, sizeof(r->why),
				 "page %u of its segment table is missing",
				 r->next_page);
			return true;
		}
		if (!load_issue(r, TABLE_SEGMENTS, r->next_page,
				&t->refs[r->next_page],
				r->load_bufs +
					(size_t)(READS_AT_ONCE + r->next_page) *
						TARN_BLOCK))
			return false;
	}
	return true;
}

static int count_ref(struct pool *p, const struct page_ref *ref)
{
	place_t place = le64_get(ref->place);
	struct segment *s;

	if (place == PLACE_NONE)
		return 0;
	s = pool_seg(p, place_seg(p, place));
	if (s == NULL || !seg_may_live(s) || place >> PLACE_BITS != 0)
		return -EBADMSG;
	table_count(p, place, 1);
	return 0;
}

static int count_tables(struct pool *p)
{
	int r = 0;

	for (uint32_t k = 0; k < TABLE_KINDS; k++) {
		struct table *t = &p->tables[k];

		for (uint32_t i = 0; i < t->npages && r == 0; i++)
			r = count_ref(p, &t->refs[i]);
		for (uint32_t i = 0; i < t->nindex && r == 0; i++)
			r = count_ref(p, &t->index[i]);
	}
	for (uint32_t i = 0; i < p->last.root_blocks && r == 0; i++) {
		struct page_ref ref = { .place = le64_of(root_block_place(
						p, &p->last, i)) };

		r = count_ref(p, &ref);
	}
	return r;
}

static void segs_loaded(struct recover *r)
{
	struct pool *p = r->pool;
	struct table *t = &p->tables[TABLE_SEGMENTS];
	const char *why = "";

	p->openable = 0;
	/* Reading them had them look dead: nothing was counted yet. */
	p->sealed_dead = 0;
	for (uint32_t i = 1; i <= p->nsegs; i++)
		p->segs[i]->dead = false;
	for (uint32_t i = 0; i < t->npages; i++) {
		const uint8_t *buf =
			r->load_bufs + (size_t)(READS_AT_ONCE + i) * TARN_BLOCK;

		if (seg_page_decode(p, i, le32_get(r->header.nsegments), buf,
				    &why) < 0) {
			recover_fail(r, -EBADMSG,
				     "its segment table is damaged: %s", why);
			return;
		}
	}
	if (count_tables(p) < 0) {
		recover_fail(r, -EBADMSG,
			     "its table index points to where "
			     "no table can be");
		return;
	}
	for (uint32_t i = 1; i <= p->nsegs; i++) {
		struct segment *s = p->segs[i];

		if (s->state != SEG_SEALED || s->live > 0 || s->tables > 0)
			continue;
		if (seg_must_quarantine(p, s))
			seg_quarantine(p, s);
		else
			seg_free_zones(p, s);
	}
	segs_capacity(p);
	r->phase = REC_LOAD;
	p->client->load(p->client_arg, r->client_root,
			le32_get(r->header.client_bytes));
}

static void loads_step(struct recover *r)
{
	struct pool *p = r->pool;
	bool all;
	uint8_t *b;
	size_t n;

	r->issuing = true;
	all = r->res < 0 ||
	      (r->phase == REC_INDEX ? issue_index(r) : issue_segs(r));
	r->issuing = false;
	if (!all || r->loading > 0)
		return;
	if (r->res < 0) {
		recover_end(r, r->res);
		return;
	}
	if (r->phase == REC_SEGS) {
		segs_loaded(r);
		return;
	}
	r->phase = REC_SEGS;
	r->next_page = 0;
	n = READS_AT_ONCE + p->tables[TABLE_SEGMENTS].npages;
	b = aligned_alloc(TARN_BLOCK, n * TARN_BLOCK);
	if (b == NULL) {
		recover_fail(r, -ENOMEM, "out of memory");
		return;
	}
	free(r->load_bufs);
	r->load_bufs = b;
	loads_step(r);
}

void pool_client_loaded(struct pool *p, int res)
{
	struct recover *r = p->recover;

	assert(r != NULL && r->phase == REC_LOAD);
	if (res < 0) {
		snprintf(r->why, sizeof(r->why),
			 "the tables of its volumes cannot be loaded: %s",
			 strerror(-res));
		r->res = res;
	}
	r->phase = REC_SCAN;
	r->next_seg = 1;
	io_defer(p->io, &r->work);
}

static void recover_work_fn(struct io_work *w)
{
	struct recover *r = container_of(w, struct recover, work);

	switch ((enum recover_phase)r->phase) {
	case REC_INDEX:
	case REC_SEGS:
		loads_step(r);
		break;
	case REC_SCAN:
		recover_scans_step(r);
		break;
	case REC_REDO:
		recover_redo_step(r);
		break;
	case REC_REPAIR:
		recover_repair_step(r);
		break;
	case REC_ROOT_READ:
		root_read(r);
		break;
	case REC_ZONES:
		recover_zones_step(r);
		break;
	case REC_LOAD:
	case REC_LABEL:
	case REC_COMMIT:
		break;
	}
}

void recover_start(struct pool *p, const struct recover_params *params,
		   void (*done)(struct pool *p, int res, const char *why))
{
	struct recover *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		done(p, -ENOMEM, "out of memory");
		return;
	}
	r->pool = p;
	r->read_only = params->read_only;
	r->force = params->force;
	r->released = params->released;
	r->done = done;
	r->started_ns = io_now_ns(p->io);
	r->load_bufs =
		aligned_alloc(TARN_BLOCK, (size_t)READS_AT_ONCE * TARN_BLOCK);
	io_work_init(&r->work, recover_work_fn);
	p->recover = r;
	if (r->load_bufs == NULL) {
		recover_fail(r, -ENOMEM, "out of memory");
		return;
	}
	root_read(r);
}
