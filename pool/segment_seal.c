/* pool/segment_seal.c - sealing a segment: the index of its rows at its end.
 *
 * The index is collected while rows are appended.  When no row fits any more,
 * the segment waits for its rows to be stored (SEALING), then the index is
 * written to each zone.  A segment without an index (a write of it failed, or
 * a recovery sealed it) is scanned where an index would have been read.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "pool/scrub.h"

#define CRC_FROM 12u

struct seg_seal_write {
	struct disk_req req;
	struct pool    *pool;
	struct segment *seg;
};

uint32_t seg_index_entry_bytes(uint32_t payload_blocks, uint32_t recs_bytes)
{
	return (uint32_t)(sizeof(struct seg_index_row) +
			  round_up(4 * (uint64_t)payload_blocks, 8) +
			  recs_bytes);
}

static int index_reserve(struct seg_index *x, uint32_t bytes)
{
	uint32_t cap = max_u32(x->cap, 65536);
	uint8_t *buf;

	while (cap < bytes)
		cap *= 2;
	if (cap == x->cap)
		return 0;
	buf = aligned_alloc(TARN_BLOCK, cap);
	if (buf == NULL)
		return -ENOMEM;
	if (x->buf != NULL)
		memcpy(buf, x->buf, x->bytes);
	free(x->buf);
	x->buf = buf;
	x->cap = cap;
	return 0;
}

int seg_index_add(struct segment *s, const struct row *row,
		  const uint8_t *crcs, const uint8_t *recs)
{
	struct seg_index    *x = &s->idx;
	uint32_t             len = seg_index_entry_bytes(row->payload_blocks,
							 row->recs_bytes);
	struct seg_index_row r = {
		.row = le64_of(row->no),
		.off = le32_of(row->off),
		.unit_blocks = le16_of((uint16_t)row->unit_blocks),
		.payload_blocks = le16_of((uint16_t)row->payload_blocks),
		.slice = le16_of((uint16_t)row->slice_blocks),
		.nrecs = le16_of((uint16_t)row->nrecs),
		.recs_bytes = le32_of(row->recs_bytes),
	};
	uint8_t *b;

	/* Bytes count even when there is no memory for them, so that the room
	 * check stays the same; nrows 0 then says that there is no index. */
	if (index_reserve(x, x->bytes + len) < 0) {
		free(x->buf);
		x->buf = NULL;
		x->cap = 0;
		x->bytes += len;
		return -ENOMEM;
	}
	b = x->buf + x->bytes;
	memset(b, 0, len);
	memcpy(b, &r, sizeof(r));
	memcpy(b + sizeof(r), crcs, 4 * (size_t)row->payload_blocks);
	memcpy(b + len - row->recs_bytes, recs, row->recs_bytes);
	x->bytes += len;
	x->nrows++;
	return 0;
}

static void seal_finish(struct pool *p, struct segment *s)
{
	free(s->idx.buf);
	memset(&s->idx, 0, sizeof(s->idx));
	free(s->seal_writes);
	s->seal_writes = NULL;
	s->state = SEG_SEALED;
	if (s->damage_look)
		scrub_kick(p);
	if (s->seal_res < 0)
		s->index_off = 0;
	seg_check_dead(p, s);
	cleaner_kick(p);
}

static void seal_put(struct pool *p, struct segment *s)
{
	assert(s->seal_pending > 0);
	if (--s->seal_pending == 0)
		seal_finish(p, s);
}

static void seal_write_done(struct disk_req *req)
{
	struct seg_seal_write *w =
		container_of(req, struct seg_seal_write, req);

	/* No harm in a zone without index: readers check what they read. */
	if (req->res < 0) {
		seg_stray_mark(w->pool, w->seg);
	} else {
		w->pool->members[w->seg->zones[w - w->seg->seal_writes].member]
			->dirty = true;
	}
	seal_put(w->pool, w->seg);
}

static void index_finish(struct pool *p, struct segment *s, uint32_t blocks)
{
	struct seg_index_header h;

	memset(&h, 0, sizeof(h));
	memset(s->idx.buf + s->idx.bytes, 0,
	       blocks_to_bytes(blocks) - s->idx.bytes);
	memcpy(h.magic, SEG_INDEX_MAGIC, sizeof(h.magic));
	h.bytes = le32_of(s->idx.bytes);
	h.pool = p->uuid;
	h.segment = le32_of(s->no);
	h.generation = le32_of(s->generation);
	h.nrows = le32_of(s->idx.nrows);
	h.off = le32_of(s->index_off);
	memcpy(s->idx.buf, &h, sizeof(h));
	h.crc32c = le32_of(crc32c(0, s->idx.buf + CRC_FROM,
				  s->idx.bytes - CRC_FROM));
	memcpy(s->idx.buf + offsetof(struct seg_index_header, crc32c),
	       &h.crc32c, sizeof(h.crc32c));
}

static void seal_write(struct pool *p, struct segment *s)
{
	uint32_t blocks = (uint32_t)bytes_to_blocks_up(s->idx.bytes);

	assert(s->rows == 0 && s->state == SEG_SEALING);
	s->seal_res = 0;
	s->seal_writes = calloc(p->units, sizeof(*s->seal_writes));
	if (s->seal_writes == NULL || s->idx.buf == NULL ||
	    s->idx.nrows == 0 ||
	    index_reserve(&s->idx, blocks * TARN_BLOCK) < 0) {
		s->seal_res = -ENOMEM;
		seal_finish(p, s);
		return;
	}
	s->index_off = p->zone_blocks - blocks;
	assert(s->index_off >= s->write_off);
	index_finish(p, s, blocks);
	s->seal_pending = 1;
	for (uint32_t u = 0; u < p->units; u++) {
		struct seg_seal_write *w = &s->seal_writes[u];
		struct member         *m = seg_member(p, s, u);

		if (m == NULL || !m->in || !member_usable(m))
			continue;
		w->pool = p;
		w->seg = s;
		w->req.op = DISK_WRITE;
		w->req.off_bytes =
			zone_off_bytes(p, s->zones[u].zone, s->index_off);
		w->req.len_bytes = blocks * TARN_BLOCK;
		w->req.buf = s->idx.buf;
		w->req.done = seal_write_done;
		s->seal_pending++;
		disk_submit(m->disk, &w->req);
	}
	seal_put(p, s);
}

void seg_seal(struct pool *p, struct segment *s)
{
	assert(s->state == SEG_OPEN);
	s->state = SEG_SEALING;
	s->sealed_row = p->next_row - 1;
	if (s->rows == 0)
		seal_write(p, s);
}

void seg_row_applied(struct pool *p, struct segment *s)
{
	assert(s->rows > 0);
	s->rows--;
	if (s->rows == 0 && s->state == SEG_SEALING)
		seal_write(p, s);
}

/* May the class be left without it?  Not if another cannot be opened for it:
 * least of all commits, without which nothing is freed or listed any more. */
static bool may_seal(const struct pool *p, enum log_class class)
{
	return p->openable > (class == LOG_COMMIT ? segs_reserve(p)
						  : segs_keep(p, class));
}

/* A segment that lacks units, or has some on a disk that is drained, is written
 * no further once they could be had elsewhere: only sealed ones are healed. */
void seg_seal_degraded(struct pool *p)
{
	bool away = pool_domains_away(p) > 0;

	for (unsigned c = 0; c < LOG_CLASSES; c++) {
		for (unsigned i = 0; i < OPEN_SLOTS; i++) {
			struct segment *s = p->open[c][i];

			if (s == NULL || !may_seal(p, (enum log_class)c) ||
			    ((s->missing == 0 || away) && !seg_drains(p, s)))
				continue;
			p->open[c][i] = NULL;
			seg_seal(p, s);
		}
	}
}
