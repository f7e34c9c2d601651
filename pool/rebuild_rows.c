/* pool/rebuild_rows.c - the rows of a segment of which a unit is made again.
 *
 * The index of any unit lists them.  Without one the segment is scanned, and
 * then it must be certain that all rows were found: what is not listed is not
 * made, and the unit counts as whole all the same.
 *
 * The ways to fail: rows are missing (-EBADMSG), and the cleaner empties the
 * segment; a unit moved while it was scanned (-EAGAIN); no memory.
 */
#include <errno.h>
#include <stdlib.h>

#include "pool/rebuild.h"

/* A larger index is not read: the segment is scanned. */
#define INDEX_BLOCKS_MAX (1u << 18)
/* All buffers of a window, in blocks. */
#define WINDOW_BLOCKS    1024u

/* Rows as an array; the largest decides how large a window is. */
static void rows_take(struct unit_build *b)
{
	struct pool *p = b->pool;
	uint32_t     n = 0, largest = 1;
	size_t       unit_bytes;

	for (struct scan_row *r = b->list; r != NULL; r = r->next) {
		largest = max_u32(largest, r->info.unit_blocks);
		n++;
	}
	b->rows = calloc(n + 1, sizeof(*b->rows));
	b->nrows = 0;
	b->next = 0;
	b->window_blocks = max_u32(ROW_HEADER_MAX +
					   (uint32_t)div_up(ROW_PAYLOAD_MAX,
							    p->k),
				   WINDOW_BLOCKS / (p->units + 1));
	unit_bytes = (size_t)b->window_blocks * TARN_BLOCK;
	if (b->bufs == NULL)
		b->bufs = aligned_alloc(TARN_BLOCK, REBUILD_WINDOWS *
							    (p->units + 1) *
							    unit_bytes);
	if (b->rows == NULL || b->bufs == NULL || largest > b->window_blocks) {
		unit_build_fail(b, -ENOMEM);
		return;
	}
	for (struct scan_row *r = b->list; r != NULL; r = r->next)
		b->rows[b->nrows++] = r;
	for (unsigned i = 0; i < REBUILD_WINDOWS; i++) {
		struct build_window *w = &b->windows[i];
		uint8_t *at = b->bufs + i * (p->units + 1) * unit_bytes;

		w->build = b;
		w->busy = false;
		w->out = at;
		for (uint32_t u = 0; u < p->units; u++)
			w->units[u] = at + (u + 1) * unit_bytes;
	}
}

/* Are these all rows of the segment?  Of a row whose header is lost the blocks
 * may be there, and live; it left a hole, or is the last one. */
static bool scan_is_whole(const struct unit_build *b)
{
	uint32_t end = 0, blocks = 0;

	for (const struct scan_row *r = b->list; r != NULL; r = r->next) {
		if (r->info.off_blocks != end)
			return false;
		end += r->info.unit_blocks;
		blocks += r->info.payload_blocks;
	}
	return !b->scan.cut && blocks >= b->seg->live + b->seg->tables;
}

static void scan_done(struct seg_scan *s)
{
	struct unit_build *b = container_of(s, struct unit_build, scan);

	b->list = s->rows;
	if (s->res < 0)
		unit_build_fail(b, s->res);
	else if (b->moves != b->seg->moves)
		unit_build_fail(b, -EAGAIN);
	else if (!scan_is_whole(b))
		unit_build_fail(b, -EBADMSG);
	rows_take(b);
	b->inflight--;
	io_defer(b->pool->io, &b->work);
}

static void index_read(struct unit_build *b);

static void index_done(struct disk_req *req)
{
	struct unit_build *b = container_of(req, struct unit_build, req);
	struct pool       *p = b->pool;

	if (req->res == 0)
		b->list = seg_index_rows(p, b->seg, b->index,
					 p->zone_blocks - b->seg->index_off);
	if (b->list != NULL) {
		rows_take(b);
		b->inflight--;
		unit_build_step(b);
		return;
	}
	b->index_unit++;
	index_read(b);
}

/* From the first unit that has it. */
static void index_read(struct unit_build *b)
{
	struct pool *p = b->pool;

	for (; b->index_unit < p->units; b->index_unit++) {
		uint32_t u = b->index_unit;

		if (b->index == NULL || !rebuild_source(p, b->seg, u))
			continue;
		b->req.op = DISK_READ;
		b->req.off_bytes = zone_off_bytes(p, b->seg->zones[u].zone,
						  b->seg->index_off);
		b->req.len_bytes =
			(p->zone_blocks - b->seg->index_off) * TARN_BLOCK;
		b->req.buf = b->index;
		b->req.done = index_done;
		disk_submit(seg_member(p, b->seg, u)->disk, &b->req);
		return;
	}
	free(b->index);
	b->index = NULL;
	b->scan.pool = p;
	b->scan.seg = b->seg;
	b->scan.done = scan_done;
	b->moves = b->seg->moves;
	seg_scan_start(&b->scan, 0);
}

void unit_build_rows(struct unit_build *b)
{
	uint32_t blocks = b->pool->zone_blocks - b->seg->index_off;

	b->index_unit = 0;
	if (b->seg->index_off != 0 && blocks <= INDEX_BLOCKS_MAX)
		b->index = aligned_alloc(TARN_BLOCK,
					 (size_t)blocks * TARN_BLOCK);
	index_read(b);
}
