/* tools/check/check_scan.c - the rows of a segment: headers in every zone, and
 * the index of a sealed one.
 *
 * A row header may stand at any block.  Each zone is read from its start; a
 * valid header of this segment and generation makes a row (or joins one that
 * another zone already has) and is jumped over with its payload, everything
 * else is passed block by block.  Where rows overlap, the one with fewer valid
 * headers is no row: data that looks like one, behind a damaged header.
 *
 * The index is read from all zones; it must hold the same rows as the headers,
 * and stands in for those whose headers are all gone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

static struct ck_geometry geometry(const struct ck *ck)
{
	return (struct ck_geometry){ .pool = ck->label->pool,
				     .k = ck->k,
				     .m = ck->m,
				     .zone_blocks = ck->zone_blocks };
}

/* Index of the first row that starts at or after off. */
static uint32_t row_slot(const struct ck_segment *seg, uint32_t off)
{
	uint32_t lo = 0, hi = seg->nrows;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (seg->rows[mid]->off < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool row_insert(struct ck *ck, struct ck_segment *seg, uint32_t at,
		       struct ck_row *row)
{
	if (!ck_grow(ck, &seg->rows, seg->nrows, &seg->rows_cap,
		     sizeof(struct ck_row *)))
		return false;
	memmove(&seg->rows[at + 1], &seg->rows[at],
		(seg->nrows - at) * sizeof(struct ck_row *));
	seg->rows[at] = row;
	seg->nrows++;
	return true;
}

/* A header was found in a unit: join it with what is known.  Takes row. */
static int row_add(struct ck *ck, struct ck_segment *seg, uint32_t unit,
		   struct ck_row *row)
{
	uint32_t at = row_slot(seg, row->off);

	row->units = 1u << unit;
	if (row->odd != NULL)
		ck_error(ck, "segment %" PRIu32 ", row %" PRIu64 " at block "
			 "%" PRIu32 ", %s: %s", seg->no, row->row, row->off,
			 ck_unit_text(ck, seg, unit).s, row->odd);
	for (; at < seg->nrows && seg->rows[at]->off == row->off; at++) {
		if (seg->rows[at]->hash == row->hash) {
			seg->rows[at]->units |= 1u << unit;
			ck_row_free(row);
			return 0;
		}
	}
	if (!row_insert(ck, seg, at, row)) {
		ck_row_free(row);
		return -ENOMEM;
	}
	return 0;
}

/* A window of a zone. */
struct window {
	uint8_t *buf;   /* CK_IO_BLOCKS */
	uint32_t first; /* block of the zone */
	uint32_t n;     /* blocks that could be read */
	uint32_t gap;   /* blocks since the last row */
};

/* Make blocks off and off + 1 (if there is one) be in the window.  Behind a
 * row little is read ahead, since the next row is jumped over; where there
 * are no rows, much. */
static bool window_move(struct ck *ck, const struct ck_segment *seg,
			uint32_t unit, uint32_t off, struct window *w)
{
	uint32_t want = min_u32(2, ck->zone_blocks - off);
	uint32_t ahead = w->gap > 8 ? CK_IO_BLOCKS : 8;
	uint32_t n;

	if (off >= w->first && off + want <= w->first + w->n)
		return true;
	w->first = off;
	for (n = min_u32(ahead, ck->zone_blocks - off); n > 0; n /= 2) {
		if (ck_read_unit(ck, seg, unit, off, w->buf, n) == 0) {
			w->n = n;
			return true;
		}
	}
	w->n = 0;
	return false;
}

/* *older counts rows of earlier generations. */
static int unit_scan(struct ck *ck, struct ck_segment *seg, uint32_t unit,
		     uint32_t *older)
{
	struct ck_geometry g = geometry(ck);
	struct window w = { .buf = ck->io_buf };
	uint32_t off = 0, newer = 0;

	while (off < ck->zone_blocks) {
		const uint8_t *p;
		struct ck_row *row;
		const char *why;
		int r;

		if (!window_move(ck, seg, unit, off, &w)) {
			off++;
			continue;
		}
		p = w.buf + (size_t)(off - w.first) * TARN_BLOCK;
		r = ck_row_decode(&g, p,
				  (w.first + w.n - off) * TARN_BLOCK, &row,
				  &why);
		if (r == -ENOMEM)
			return ck->res = r;
		off++;
		w.gap++;
		if (r < 0)
			continue;
		if (row->segment != seg->no ||
		    row->generation != seg->generation ||
		    row->off != off - 1 ||
		    ck_row_unit_field(p) != ck_unit_field(ck, unit)) {
			if (row->segment == seg->no && row->off == off - 1) {
				newer += row->generation > seg->generation;
				*older += row->generation < seg->generation;
			}
			ck_row_free(row);
			continue;
		}
		off += row->unit_blocks - 1;
		w.gap = 0;
		if (row_add(ck, seg, unit, row) < 0)
			return -ENOMEM;
	}
	if (newer > 0 && seg->live > 0)
		ck_error(ck, "segment %" PRIu32 " generation %" PRIu32 ", %s: "
			 "%" PRIu32 " rows of a newer generation: it was "
			 "reused while it held live blocks", seg->no,
			 seg->generation, ck_unit_text(ck, seg, unit).s,
			 newer);
	return 0;
}

/* Of rows that overlap only one is true. */
static void overlaps_drop(struct ck *ck, struct ck_segment *seg)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < seg->nrows; i++) {
		struct ck_row *row = seg->rows[i];
		struct ck_row *prev = n > 0 ? seg->rows[n - 1] : NULL;
		bool keep;

		if (prev == NULL || prev->off + prev->unit_blocks <= row->off) {
			seg->rows[n++] = row;
			continue;
		}
		keep = __builtin_popcount(row->units) >
		       __builtin_popcount(prev->units);
		ck_verbose(ck, "segment %" PRIu32 ": of overlapping rows "
			   "%" PRIu64 " at block %" PRIu32 " and %" PRIu64
			   " at block %" PRIu32 " the %s one is taken",
			   seg->no, prev->row, prev->off, row->row, row->off,
			   keep ? "second" : "first");
		ck_row_free(keep ? prev : row);
		seg->rows[n - 1] = keep ? row : prev;
	}
	seg->nrows = n;
}

/* --- index --------------------------------------------------------------- */

static uint32_t index_bytes(const uint8_t *buf)
{
	return le32_get(((const struct seg_index_header *)buf)->bytes);
}

static const char *index_problem(const struct ck *ck,
				 const struct ck_segment *seg,
				 const uint8_t *buf, uint32_t len_bytes)
{
	const struct seg_index_header *h =
		(const struct seg_index_header *)buf;
	uint32_t bytes = le32_get(h->bytes);

	if (memcmp(h->magic, SEG_INDEX_MAGIC, sizeof(h->magic)) != 0)
		return "no index there";
	if (bytes < sizeof(*h) || bytes > len_bytes)
		return "its length is out of range";
	if (crc32c(0, buf + 12, bytes - 12) != le32_get(h->crc32c))
		return "its checksum is wrong";
	if (!uuid_equal(&h->pool, &ck->label->pool))
		return "it belongs to another pool";
	if (le32_get(h->segment) != seg->no ||
	    le32_get(h->generation) != seg->generation)
		return "it belongs to another segment or generation";
	if (le32_get(h->off) != seg->index_off)
		return "it belongs to another offset";
	if (bytes / sizeof(struct seg_index_row) < le32_get(h->nrows))
		return "more rows than bytes";
	return NULL;
}

/* One copy: header first, then the rest.  NULL: bad, *why says. */
static uint8_t *index_read(struct ck *ck, const struct ck_segment *seg,
			   uint32_t unit, const char **why)
{
	uint32_t room = ck->zone_blocks - seg->index_off;
	uint32_t blocks;
	uint8_t *buf;

	*why = "it cannot be read";
	if (ck_read_unit(ck, seg, unit, seg->index_off, ck->io_buf, 1) < 0)
		return NULL;
	blocks = (uint32_t)bytes_to_blocks_up(index_bytes(ck->io_buf));
	*why = "its length is out of range";
	if (blocks < 1 || blocks > room)
		return NULL;
	buf = ck_alloc(ck, blocks, TARN_BLOCK);
	if (buf == NULL)
		return NULL;
	*why = "it cannot be read";
	if (ck_read_unit(ck, seg, unit, seg->index_off, buf, blocks) == 0) {
		*why = index_problem(ck, seg, buf, blocks * TARN_BLOCK);
		if (*why == NULL)
			return buf;
	}
	free(buf);
	return NULL;
}

static bool same_row(const struct ck_row *a, const struct ck_row *b)
{
	return a->row == b->row && a->unit_blocks == b->unit_blocks &&
	       a->payload_blocks == b->payload_blocks &&
	       a->slice == b->slice && a->nrecs == b->nrecs &&
	       a->recs_bytes == b->recs_bytes &&
	       memcmp(a->crcs, b->crcs, a->payload_blocks * 4) == 0 &&
	       memcmp(a->raw, b->raw, a->recs_bytes) == 0;
}

/* A row of the index joins those found by header.  Takes row. */
static int index_row_add(struct ck *ck, struct ck_segment *seg,
			 struct ck_row *row)
{
	uint32_t at = row_slot(seg, row->off);
	struct ck_row *next = at < seg->nrows ? seg->rows[at] : NULL;
	struct ck_row *prev = at > 0 ? seg->rows[at - 1] : NULL;

	if (next != NULL && next->off == row->off) {
		if (!same_row(next, row))
			ck_error(ck, "segment %" PRIu32 ", block %" PRIu32
				 ": the index says row %" PRIu64 ", the "
				 "headers say row %" PRIu64 ", and they are "
				 "not alike", seg->no, row->off, row->row,
				 next->row);
		next->indexed = true;
		ck_row_free(row);
		return 0;
	}
	if (row->off + row->unit_blocks > seg->index_off ||
	    (prev != NULL && prev->off + prev->unit_blocks > row->off) ||
	    (next != NULL && row->off + row->unit_blocks > next->off)) {
		ck_error(ck, "segment %" PRIu32 ": the index has row %" PRIu64
			 " at block %" PRIu32 ", where another row or the "
			 "index is", seg->no, row->row, row->off);
		ck_row_free(row);
		return 0;
	}
	if (!row_insert(ck, seg, at, row)) {
		ck_row_free(row);
		return -ENOMEM;
	}
	return 0;
}

static int index_decode(struct ck *ck, struct ck_segment *seg,
			const uint8_t *buf)
{
	const struct seg_index_header *h =
		(const struct seg_index_header *)buf;
	struct ck_geometry g = geometry(ck);
	uint32_t bytes = le32_get(h->bytes), pos = sizeof(*h);

	for (uint32_t i = 0; i < le32_get(h->nrows); i++) {
		struct ck_row *row;
		const char *why;
		int r = ck_index_row_decode(&g, buf, bytes, &pos, &row, &why);

		if (r == -ENOMEM)
			return ck->res = r;
		if (r < 0) {
			ck_error(ck, "segment %" PRIu32 ": entry %" PRIu32
				 " of its index: %s; the rest of the index "
				 "cannot be used", seg->no, i, why);
			return 0;
		}
		r = index_row_add(ck, seg, row);
		if (r < 0)
			return r;
	}
	if (pos != bytes)
		ck_error(ck, "segment %" PRIu32 ": its index is longer than "
			 "its rows", seg->no);
	return 0;
}

static int index_load(struct ck *ck, struct ck_segment *seg)
{
	uint8_t *first = NULL;
	bool     given = false;
	int      r = 0;

	if (seg->index_off >= ck->zone_blocks) {
		ck_error(ck, "segment %" PRIu32 ": its index would start at "
			 "block %" PRIu32 ", behind its zones' end", seg->no,
			 seg->index_off);
		return 0;
	}
	for (uint32_t u = 0; u < ck->units && ck->res == 0; u++) {
		const struct ck_zone *z = &seg->zones[u];
		const char *why;
		uint8_t *buf;

		if (z->member >= ck->nmembers ||
		    ck->members[z->member].disk == CK_NO_DISK)
			continue;
		given = true;
		buf = index_read(ck, seg, u, &why);
		if (buf == NULL) {
			if ((seg->missing >> u & 1) == 0 &&
			    ck->members[z->member].state != LABEL_MEMBER_OUT)
				ck_damage(ck, "segment %" PRIu32 ", %s: the "
					  "index at block %" PRIu32 ": %s",
					  seg->no, ck_unit_text(ck, seg, u).s,
					  seg->index_off, why);
			continue;
		}
		if (first != NULL) {
			if (index_bytes(first) != index_bytes(buf) ||
			    memcmp(first, buf, index_bytes(buf)) != 0)
				ck_error(ck, "segment %" PRIu32 ", %s: its "
					 "index is valid but differs from the "
					 "other units'", seg->no,
					 ck_unit_text(ck, seg, u).s);
			free(buf);
			continue;
		}
		first = buf;
	}
	if (first != NULL) {
		seg->index_ok = true;
		r = index_decode(ck, seg, first);
	} else if (given && seg->live > 0) {
		ck_damage(ck, "segment %" PRIu32 ": no copy of its index is "
			  "left; its row headers must do", seg->no);
	}
	free(first);
	return r;
}

/* --- both ---------------------------------------------------------------- */

static void index_compare(struct ck *ck, const struct ck_segment *seg)
{
	for (uint32_t i = 0; i < seg->nrows; i++) {
		const struct ck_row *row = seg->rows[i];

		if (row->indexed)
			continue;
		if ((uint32_t)__builtin_popcount(row->units) >= ck->k)
			ck_verbose(ck, "segment %" PRIu32 ": row %" PRIu64
				   " at block %" PRIu32 " is not in the "
				   "index (written again elsewhere, or never "
				   "accepted)", seg->no, row->row, row->off);
	}
}

int ck_rows_load(struct ck *ck, struct ck_segment *seg)
{
	uint32_t older = 0;
	bool index = seg->index_off != 0 &&
		     (seg->state == SEG_DISK_SEALED ||
		      seg->state == SEG_DISK_QUARANTINED);
	int r;

	if (seg->loaded)
		return 0;
	seg->loaded = true;
	if (index && ck->opt->quick) {
		r = index_load(ck, seg);
		if (r < 0 || seg->index_ok)
			return r;
		index = false;
	}
	for (uint32_t u = 0; u < ck->units; u++) {
		const struct ck_zone *z = &seg->zones[u];

		if (z->member >= ck->nmembers ||
		    ck->members[z->member].disk == CK_NO_DISK)
			continue;
		r = unit_scan(ck, seg, u, &older);
		if (r < 0)
			return r;
	}
	if (seg->nrows == 0 && older > 0 && seg->live > 0)
		ck_error(ck, "segment %" PRIu32 " generation %" PRIu32
			 ": %" PRIu32 " rows of an older generation and none "
			 "of this one, though it holds live blocks", seg->no,
			 seg->generation, older);
	overlaps_drop(ck, seg);
	if (!index)
		return 0;
	r = index_load(ck, seg);
	if (r == 0 && seg->index_ok)
		index_compare(ck, seg);
	return r;
}

int ck_rows_all(struct ck *ck)
{
	int r = 0;

	for (uint32_t i = 0; i < ck->nsegs && r == 0; i++) {
		if (ck->segs[i].state != SEG_DISK_FREE)
			r = ck_rows_load(ck, &ck->segs[i]);
	}
	for (uint32_t i = 0; i < ck->nboot && r == 0; i++) {
		if (ck->boot[i].extra)
			r = ck_rows_load(ck, &ck->boot[i]);
	}
	return r;
}

/* --- looking up ---------------------------------------------------------- */

struct ck_row *ck_row_at(struct ck *ck, struct ck_segment *seg, uint32_t unit,
			 uint32_t off, uint32_t *ret_i)
{
	uint32_t at = row_slot(seg, off + 1);
	struct ck_row *row;
	uint32_t i;

	if (at == 0)
		return NULL;
	row = seg->rows[at - 1];
	if (off < row->off + row->header_blocks ||
	    off >= row->off + row->unit_blocks)
		return NULL;
	i = ck_unit_field(ck, unit) * row->slice +
	    (off - row->off - row->header_blocks);
	if (i >= row->payload_blocks)
		return NULL;
	*ret_i = i;
	return row;
}

const struct ck_rec *ck_rec_of(const struct ck_row *row, uint32_t i)
{
	for (uint32_t j = 0; j < row->nrecs; j++) {
		const struct ck_rec *r = &row->recs[j];

		if (r->rec.type != REC_UNMAP && r->rec.type != REC_CATALOG &&
		    i >= r->first && i - r->first < r->rec.n)
			return r;
	}
	return NULL;
}

uint64_t ck_row_place(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, uint32_t i)
{
	return ck_place(ck, seg->no, i / row->slice,
			row->off + row->header_blocks + i % row->slice);
}
