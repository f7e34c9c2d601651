/* pool/scan.c - see scan.h.
 *
 * A window of WINDOW_BLOCKS of every zone is read at once; headers are looked
 * for at the next block where a row may start.  Rows follow one another
 * without gaps as far as the log goes; where none is found, the rest of a
 * window is searched, which finds the rows that were in flight behind one
 * that was lost.
 */
#include "pool/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"

#define WINDOW_BLOCKS 1024u
#define GAP_BLOCKS    768u

static void window_read(struct seg_scan *s);

static void scan_end(struct seg_scan *s, int res)
{
	for (uint32_t u = 0; u < s->pool->units; u++) {
		free(s->bufs[u]);
		s->bufs[u] = NULL;
	}
	s->res = res;
	s->done(s);
}

static const uint8_t *unit_at(const struct seg_scan *s, uint32_t unit,
			      uint32_t off)
{
	return s->bufs[unit] + (size_t)(off - s->win_off) * TARN_BLOCK;
}

static struct scan_row *row_new(struct segment *seg, const struct row_info *i)
{
	size_t           crcs = round_up(4 * (uint64_t)i->payload_blocks, 8);
	struct scan_row *r = malloc(sizeof(*r) + crcs + i->recs_bytes);

	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->seg = seg;
	r->info = *i;
	memcpy(r->lists, i->crcs, 4 * (size_t)i->payload_blocks);
	memcpy(r->lists + crcs, i->recs, i->recs_bytes);
	r->info.crcs = (const le32 *)(const void *)r->lists;
	r->info.recs = r->lists + crcs;
	return r;
}

static void row_push(struct seg_scan *s, struct scan_row *r)
{
	*s->tail = r;
	s->tail = &r->next;
	s->nrows++;
}

/* A valid header of this segment at `off` in that unit's zone? */
static bool header_at(const struct seg_scan *s, uint32_t unit, uint32_t off,
		      struct row_info *ret)
{
	struct pool *p = s->pool;
	uint32_t     left = s->win_off + s->win_len - off;

	if ((s->have & (1u << unit)) == 0)
		return false;
	if (row_header_validate(&p->geom, unit_at(s, unit, off),
				left * TARN_BLOCK, ret, NULL) < 0)
		return false;
	return ret->segment == s->seg->no &&
	       ret->generation == s->seg->generation &&
	       ret->off_blocks == off && (p->k == 1 || ret->unit == unit);
}

/* Units differ in nothing but their number: what follows reads and rebuilds
 * all of them by the header of one. */
bool scan_same_row(const struct row_info *a, const struct row_info *b)
{
	return a->row_no == b->row_no && a->claim == b->claim &&
	       uuid_equal(&a->claim_id, &b->claim_id) &&
	       a->header_blocks == b->header_blocks &&
	       a->payload_blocks == b->payload_blocks &&
	       a->nrecs == b->nrecs && a->recs_bytes == b->recs_bytes &&
	       memcmp(a->parity_crc, b->parity_crc, sizeof(a->parity_crc)) ==
		       0 &&
	       memcmp(a->crcs, b->crcs, 4 * (size_t)a->payload_blocks) == 0 &&
	       memcmp(a->recs, b->recs, a->recs_bytes) == 0;
}

/* Which units of the row agree with it. */
static void row_judge(const struct seg_scan *s, struct scan_row *r)
{
	struct pool *p = s->pool;

	for (uint32_t u = 0; u < p->units; u++) {
		struct row_info i;

		if (!header_at(s, u, r->info.off_blocks, &i) ||
		    !scan_same_row(&i, &r->info))
			continue;
		r->headers |= 1u << u;
		if (row_slice_valid(&p->geom, &i, u,
				    unit_at(s, u, r->info.off_blocks +
							  i.header_blocks)))
			r->valid |= 1u << u;
	}
}

/* 1: a row was taken, 0: none starts at s->off, -EAGAIN: it goes beyond the
 * window. */
static int row_at(struct seg_scan *s)
{
	struct row_info  i;
	struct scan_row *r;
	bool             found = false;

	/* A header may be two blocks long. */
	if (s->off + ROW_HEADER_MAX > s->win_off + s->win_len &&
	    s->win_off + s->win_len < s->pool->zone_blocks)
		return -EAGAIN;
	for (uint32_t u = 0; u < s->pool->units && !found; u++)
		found = header_at(s, u, s->off, &i);
	if (!found)
		return 0;
	if (s->off + i.unit_blocks > s->win_off + s->win_len)
		return -EAGAIN;
	r = row_new(s->seg, &i);
	if (r == NULL)
		return -ENOMEM;
	row_judge(s, r);
	row_push(s, r);
	s->off += i.unit_blocks;
	s->last_hit = s->off;
	return 1;
}

/* Is there a header where the first row of a segment must be?  If not, it was
 * never opened, or its first row is lost and the log ends before it. */
static bool probe_found(struct seg_scan *s)
{
	struct row_info i;

	for (uint32_t u = 0; u < s->pool->units; u++) {
		if (header_at(s, u, 0, &i))
			return true;
	}
	return false;
}

static void window_search(struct seg_scan *s)
{
	s->cut |= s->have == 0;
	if (s->probe) {
		s->probe = false;
		if (probe_found(s))
			window_read(s);
		else
			scan_end(s, 0);
		return;
	}
	while (s->off < s->win_off + s->win_len) {
		int r;

		if (s->off - s->last_hit > GAP_BLOCKS) {
			scan_end(s, 0);
			return;
		}
		r = row_at(s);
		if (r == -EAGAIN)
			break;
		if (r < 0) {
			scan_end(s, r);
			return;
		}
		if (r == 0)
			s->off++;
	}
	if (s->off >= s->pool->zone_blocks || s->have == 0) {
		scan_end(s, 0);
		return;
	}
	window_read(s);
}

static void window_put(struct seg_scan *s)
{
	assert(s->pending > 0);
	if (--s->pending == 0)
		window_search(s);
}

static void window_done(struct disk_req *req)
{
	struct scan_req *q = container_of(req, struct scan_req, req);

	if (req->res == 0)
		q->scan->have |= 1u << q->unit;
	window_put(q->scan);
}

static void window_read(struct seg_scan *s)
{
	struct pool *p = s->pool;

	s->win_off = s->off;
	s->win_len = min_u32(s->probe ? ROW_HEADER_MAX : WINDOW_BLOCKS,
			     p->zone_blocks - s->off);
	s->have = 0;
	s->pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		struct scan_req *q = &s->reqs[u];
		struct member   *m = seg_member(p, s->seg, u);

		if (m == NULL || !member_readable(m))
			continue;
		q->scan = s;
		q->unit = u;
		q->req.op = DISK_READ;
		q->req.off_bytes = zone_off_bytes(p, s->seg->zones[u].zone,
						  s->win_off);
		q->req.len_bytes = s->win_len * TARN_BLOCK;
		q->req.buf = s->bufs[u];
		q->req.done = window_done;
		s->pending++;
		disk_submit(m->disk, &q->req);
	}
	window_put(s);
}

void seg_scan_start(struct seg_scan *s, uint32_t from_blocks)
{
	struct pool *p = s->pool;

	s->rows = NULL;
	s->tail = &s->rows;
	s->nrows = 0;
	s->cut = false;
	s->off = from_blocks;
	s->last_hit = from_blocks;
	s->probe = from_blocks == 0;
	memset(s->bufs, 0, sizeof(s->bufs));
	for (uint32_t u = 0; u < p->units; u++) {
		s->bufs[u] = aligned_alloc(TARN_BLOCK,
					   (size_t)WINDOW_BLOCKS * TARN_BLOCK);
		if (s->bufs[u] == NULL) {
			scan_end(s, -ENOMEM);
			return;
		}
	}
	if (s->off >= p->zone_blocks) {
		scan_end(s, 0);
		return;
	}
	window_read(s);
}

void scan_rows_free(struct scan_row *rows)
{
	while (rows != NULL) {
		struct scan_row *next = rows->next;

		free(rows);
		rows = next;
	}
}

/* --- indexes ------------------------------------------------------------- */

static bool index_header_valid(const struct pool *p, const struct segment *seg,
			       const uint8_t *buf, uint32_t blocks,
			       struct seg_index_header *h)
{
	uint32_t bytes;

	memcpy(h, buf, sizeof(*h));
	bytes = le32_get(h->bytes);
	return memcmp(h->magic, SEG_INDEX_MAGIC, sizeof(h->magic)) == 0 &&
	       bytes >= sizeof(*h) && bytes <= blocks * TARN_BLOCK &&
	       uuid_equal(&h->pool, &p->uuid) &&
	       le32_get(h->segment) == seg->no &&
	       le32_get(h->generation) == seg->generation &&
	       le32_get(h->off) == seg->index_off &&
	       crc32c(0, buf + 12, bytes - 12) == le32_get(h->crc32c);
}

static struct scan_row *index_row(const struct pool *p, struct segment *seg,
				  const uint8_t *buf, uint32_t left,
				  uint32_t *ret_len)
{
	struct seg_index_row ir;
	struct row_info      i;
	uint32_t             crcs;

	if (left < sizeof(ir))
		return NULL;
	memcpy(&ir, buf, sizeof(ir));
	memset(&i, 0, sizeof(i));
	i.segment = seg->no;
	i.generation = seg->generation;
	i.row_no = le64_get(ir.row);
	i.off_blocks = le32_get(ir.off);
	i.unit_blocks = le16_get(ir.unit_blocks);
	i.payload_blocks = le16_get(ir.payload_blocks);
	i.slice_blocks = le16_get(ir.slice);
	i.nrecs = le16_get(ir.nrecs);
	i.recs_bytes = le32_get(ir.recs_bytes);
	crcs = (uint32_t)round_up(4 * (uint64_t)i.payload_blocks, 8);
	if (i.payload_blocks > ROW_PAYLOAD_MAX ||
	    i.recs_bytes > ROW_HEADER_MAX * TARN_BLOCK ||
	    sizeof(ir) + crcs + i.recs_bytes > left ||
	    i.unit_blocks < i.slice_blocks ||
	    i.slice_blocks != div_up(i.payload_blocks, p->k) ||
	    i.off_blocks >= p->zone_blocks ||
	    i.unit_blocks > p->zone_blocks - i.off_blocks)
		return NULL;
	i.header_blocks = i.unit_blocks - i.slice_blocks;
	i.crcs = (const le32 *)(const void *)(buf + sizeof(ir));
	i.recs = buf + sizeof(ir) + crcs;
	if (i.header_blocks < 1 || i.header_blocks > ROW_HEADER_MAX ||
	    !row_records_valid(&i))
		return NULL;
	*ret_len = (uint32_t)sizeof(ir) + crcs + i.recs_bytes;
	return row_new(seg, &i);
}

struct scan_row *seg_index_rows(struct pool *p, struct segment *seg,
				const uint8_t *buf, uint32_t blocks)
{
	struct seg_index_header h;
	struct scan_row        *rows = NULL, **tail = &rows;
	uint32_t                pos = sizeof(h);

	if (!index_header_valid(p, seg, buf, blocks, &h))
		return NULL;
	for (uint32_t n = 0; n < le32_get(h.nrows); n++) {
		uint32_t len;

		*tail = index_row(p, seg, buf + pos, le32_get(h.bytes) - pos,
				  &len);
		if (*tail == NULL) {
			scan_rows_free(rows);
			return NULL;
		}
		pos += len;
		tail = &(*tail)->next;
	}
	return rows;
}
