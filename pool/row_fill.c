/* pool/row_fill.c - a row's buffer: from what was appended to bytes for disks.
 *
 *   records and payload are copied in, each block's CRC taken while it is in
 *   the processor's cache --> parity --> the segment's index learns of it -->
 *   headers
 *
 * A unit is header_blocks of header and slice_blocks of payload, the units lie
 * one behind the other; with k = 1 there is one, written to all disks.  Payload
 * block j is block j % slice of unit j / slice.
 */
#include <string.h>

#include "base/canary.h"
#include "base/crc32c.h"
#include "pool/core.h"

place_t row_place(const struct pool *p, const struct row *row, uint32_t j)
{
	uint32_t unit = 0, in_slice = j;

	if (p->k > 1) {
		unit = j / row->slice_blocks;
		in_slice = j % row->slice_blocks;
	}
	return place_make(p, row->seg->no, unit,
			  row->off + row->header_blocks + in_slice);
}

uint8_t *row_unit_buf(const struct row *row, uint32_t unit)
{
	if (row->pool->k == 1)
		return row->buf;
	return row->buf + (size_t)unit * row->unit_blocks * TARN_BLOCK;
}

static uint8_t *row_payload(const struct row *row, uint32_t j)
{
	uint32_t unit = 0, in_slice = j;

	if (row->pool->k > 1) {
		unit = j / row->slice_blocks;
		in_slice = j % row->slice_blocks;
	}
	return row_unit_buf(row, unit) +
	       (size_t)(row->header_blocks + in_slice) * TARN_BLOCK;
}

/* Reads a list of pieces as a stream. */
struct piece_reader {
	const struct iovec *iov;
	unsigned            left;
	size_t              pos;
};

static void piece_copy(struct piece_reader *pr, uint8_t *dst, size_t len)
{
	while (len > 0) {
		size_t n = pr->iov->iov_len - pr->pos;

		assert(pr->left > 0);
		if (n == 0) {
			pr->iov++;
			pr->left--;
			pr->pos = 0;
			continue;
		}
		if (n > len)
			n = len;
		memcpy(dst, (const uint8_t *)pr->iov->iov_base + pr->pos, n);
		pr->pos += n;
		dst += n;
		len -= n;
	}
}

static void row_copy_payload(struct row *row, struct log_append *a,
			     uint32_t first)
{
	uint8_t *crcs = row->buf + sizeof(struct row_header);
	uint32_t n = rec_payload_blocks(&a->rec);
	struct piece_reader pr = {.iov = a->iov, .left = a->niov};

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *dst = row_payload(row, first + i);
		le32     crc;

		piece_copy(&pr, dst, TARN_BLOCK);
		crc = le32_of(crc32c(0, dst, TARN_BLOCK));
		memcpy(crcs + (size_t)(first + i) * sizeof(crc), &crc,
		       sizeof(crc));
	}
}

static void row_info_of(const struct pool *p, const struct row *row,
			struct row_info *i)
{
	memset(i, 0, sizeof(*i));
	i->claim = p->claim;
	i->claim_id = p->claim_id;
	i->segment = row->seg->no;
	i->generation = row->seg->generation;
	i->row_no = row->no;
	i->flushed = CANARY(mark_too_high) ? p->stable_row : p->flushed_row;
	i->commit = p->last.row;
	i->off_blocks = row->off;
	i->unit_blocks = row->unit_blocks;
	i->header_blocks = row->header_blocks;
	i->payload_blocks = row->payload_blocks;
	i->slice_blocks = row->slice_blocks;
	i->nrecs = row->nrecs;
	i->recs_bytes = row->recs_bytes;
}

static void row_encode_parity(struct pool *p, struct row *row,
			      struct row_info *info)
{
	uint8_t *units[POOL_UNITS_MAX];
	uint32_t len = row->slice_blocks * TARN_BLOCK;
	size_t   header_bytes = (size_t)row->header_blocks * TARN_BLOCK;

	for (uint32_t j = row->payload_blocks; j < p->k * row->slice_blocks;
	     j++)
		memset(row_payload(row, j), 0, TARN_BLOCK);
	for (uint32_t u = 0; u < p->units; u++)
		units[u] = row_unit_buf(row, u) + header_bytes;
	stripe_encode(&p->stripe, CANARY(parity_short) ? len - 512 : len,
		      units);
	for (uint32_t i = 0; i < p->m; i++)
		info->parity_crc[i] = crc32c(0, units[p->k + i], len);
}

static void row_write_headers(struct pool *p, struct row *row,
			      const struct row_info *info)
{
	uint8_t *first = row_unit_buf(row, 0);

	row_header_encode(&p->geom, info, 0, first);
	if (p->k == 1)
		return;
	for (uint32_t u = 1; u < p->units; u++) {
		uint8_t *h = row_unit_buf(row, u);

		memcpy(h, first, (size_t)row->header_blocks * TARN_BLOCK);
		row_header_encode(&p->geom, info, u, h);
	}
}

void row_fill(struct pool *p, struct row *row)
{
	struct row_info info;
	uint8_t        *recs;
	uint32_t        pos = 0, first = 0;

	memset(row->buf, 0, (size_t)row->header_blocks * TARN_BLOCK);
	recs = row->buf + round_up(sizeof(struct row_header) +
					   4 * (uint64_t)row->payload_blocks,
				   8);
	list_for_each(l, &row->appends) {
		struct log_append *a = list_entry(l, struct log_append, link);

		a->row = row;
		a->row_no = row->no;
		a->first = first;
		row_rec_encode(&a->rec, a->body, recs + pos);
		pos += row_rec_bytes(&a->rec);
		row_copy_payload(row, a, first);
		first += rec_payload_blocks(&a->rec);
	}
	assert(pos == row->recs_bytes && first == row->payload_blocks);
	row_info_of(p, row, &info);
	if (p->k > 1)
		row_encode_parity(p, row, &info);
	seg_index_add(row->seg, row, row->buf + sizeof(struct row_header),
		      recs);
	row_write_headers(p, row, &info);
	p->mark_row = max_u64(p->mark_row, info.flushed);
}
