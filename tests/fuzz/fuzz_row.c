/* tests/fuzz/fuzz_row.c - row headers and index entries, by both readers.
 *
 * Input: a byte of circumstances (bit 0: make the checksum right, bits 1-2:
 * which k+m, bit 3: as an index entry), then the header's bytes, zeros behind.
 * The server's validator and that of tarn-check were written apart; they must
 * agree on what is a row, and on every record of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/util.h"
#include "pool/row.h"
#include "tools/check/check_state.h"

#define CHECK(x)                 \
	do {                     \
		if (!(x))        \
			abort(); \
	} while (0)

#define HEADER_BYTES (2 * TARN_BLOCK)
#define ZONE_BLOCKS  512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	uint32_t k, m;
} shapes[4] = { { 1, 1 }, { 2, 1 }, { 4, 2 }, { 16, 4 } };

static void crc_fix(uint8_t *buf)
{
	uint32_t blocks = buf[14], crc;

	if (blocks < 1 || blocks > 2)
		return;
	crc = crc32c(0, buf + 12, blocks * TARN_BLOCK - 12);
	memcpy(buf + 8, &crc, sizeof(crc));
}

static void recs_compare(const struct row_info *a, const struct ck_row *b)
{
	uint32_t pos = 0;

	for (uint32_t i = 0; i < b->nrecs; i++) {
		const struct rec *y = &b->recs[i].rec;
		struct rec x = { 0 };
		const void *body;

		CHECK(row_rec_next(a->recs, a->recs_bytes, &pos, &x, &body) ==
		      1);
		CHECK(x.type == y->type && x.flags == y->flags &&
		      x.n == y->n && x.id == y->id && x.block == y->block);
		if (x.type == REC_UNMAP || x.type == REC_MOVE ||
		    (x.type == REC_WRITE && x.flags & REC_FAMILY))
			CHECK(x.ext == y->ext);
		if (x.type == REC_CATALOG)
			CHECK(memcmp(body, b->recs[i].body, x.n) == 0);
	}
	CHECK(pos == a->recs_bytes);
}

static void compare(const struct row_info *a, const struct ck_row *b)
{
	CHECK(a->claim == b->claim.no &&
	      uuid_equal(&a->claim_id, &b->claim.id));
	CHECK(a->segment == b->segment && a->generation == b->generation);
	CHECK(a->row_no == b->row && a->flushed == b->flushed);
	CHECK(a->off_blocks == b->off && a->unit_blocks == b->unit_blocks);
	CHECK(a->header_blocks == b->header_blocks &&
	      a->payload_blocks == b->payload_blocks &&
	      a->slice_blocks == b->slice && a->nrecs == b->nrecs &&
	      a->recs_bytes == b->recs_bytes);
	for (uint32_t i = 0; i < a->payload_blocks; i++)
		CHECK(le32_get(a->crcs[i]) == b->crcs[i]);
	recs_compare(a, b);
}

static void header_try(const struct row_geometry *g, const uint8_t *buf)
{
	struct ck_geometry cg = { .pool = g->pool,
				  .k = g->k,
				  .m = g->m,
				  .zone_blocks = g->zone_blocks };
	const char *why_a = NULL, *why_b = NULL;
	struct row_info a;
	struct ck_row *b = NULL;
	int r, s;

	/* With less of it than its header says, too. */
	r = row_header_validate(g, buf, TARN_BLOCK, &a, &why_a);
	s = ck_row_decode(&cg, buf, TARN_BLOCK, &b, &why_b);
	CHECK((r == 0) == (s == 0));
	if (s == 0)
		ck_row_free(b);
	r = row_header_validate(g, buf, HEADER_BYTES, &a, &why_a);
	s = ck_row_decode(&cg, buf, HEADER_BYTES, &b, &why_b);
	CHECK((r == 0) == (s == 0));
	if (r == 0) {
		compare(&a, b);
		ck_row_free(b);
	}
}

static void index_try(const struct row_geometry *g, const uint8_t *buf,
		      uint32_t len_bytes)
{
	struct ck_geometry cg = { .pool = g->pool,
				  .k = g->k,
				  .m = g->m,
				  .zone_blocks = g->zone_blocks };
	struct ck_row *row;
	uint32_t pos = 0, last = 0;
	const char *why;

	while (ck_index_row_decode(&cg, buf, len_bytes, &pos, &row, &why) ==
	       0) {
		CHECK(pos > last && pos <= len_bytes);
		last = pos;
		ck_row_free(row);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct row_geometry g = { .zone_blocks = ZONE_BLOCKS };
	uint8_t *buf;

	if (size < 1)
		return 0;
	g.k = shapes[data[0] >> 1 & 3].k;
	g.m = shapes[data[0] >> 1 & 3].m;
	memset(&g.pool, 0x11, sizeof(g.pool));
	buf = calloc(1, HEADER_BYTES);
	CHECK(buf != NULL);
	size = min_u64(size - 1, HEADER_BYTES);
	memcpy(buf, data + 1, size);
	if ((data[0] & 8) != 0) {
		index_try(&g, buf, (uint32_t)size);
	} else {
		if ((data[0] & 1) != 0)
			crc_fix(buf);
		header_try(&g, buf);
	}
	free(buf);
	return 0;
}
