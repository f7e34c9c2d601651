/* tools/check/check_data.c - every unit of every row that holds something
 * live: is it there, is it right, does the parity belong to the data?
 *
 * A row is read whole, from all its units.  A block that is wrong in its unit
 * is rebuilt from the others; what cannot be rebuilt is lost, and named.  When
 * all data of a row is known, its parity is computed again and compared.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "tools/check/check_state.h"

/* A row being checked. */
struct check_row {
	struct ck         *ck;
	struct ck_segment *seg;
	struct ck_row     *row;
	uint8_t  *mem;                   /* units, each slice_max blocks */
	uint8_t  *spare;                 /* one unit: computed parity */
	uint32_t  slice_max;
	uint8_t  *slice[POOL_UNITS_MAX]; /* read, or NULL */
	uint8_t   block[TARN_BLOCK] __attribute__((aligned(64)));
};

static bool is_live(const struct check_row *c, uint32_t i)
{
	uint64_t place = ck_row_place(c->ck, c->seg, c->row, i);

	return c->seg->live_now != NULL &&
	       bitmap_test(c->seg->live_now,
			   ck_seg_bit(c->ck, ck_place_unit(c->ck, place),
				      ck_place_off(c->ck, place)));
}

static bool any_live(const struct check_row *c)
{
	for (uint32_t i = 0; i < c->row->payload_blocks; i++) {
		if (is_live(c, i))
			return true;
	}
	return false;
}

static struct ck_text payload_text(const struct ck_row *row, uint32_t i)
{
	const struct ck_rec *r = ck_rec_of(row, i);
	struct ck_owner o = { 0 };

	if (r != NULL) {
		bool data = r->rec.type == REC_WRITE ||
			    r->rec.type == REC_MOVE;

		o.type = data ? 0 : r->rec.type;
		o.id = rec_family(&r->rec);
		o.block = r->rec.block + (i - r->first);
	}
	return ck_owner_text(&o);
}

/* The first wrong payload block of a unit; *ret_n: how many are. */
static uint32_t unit_bad(const struct check_row *c, uint32_t u,
			 uint32_t *ret_n)
{
	const struct ck_row *row = c->row;
	uint32_t first = ck_unit_field(c->ck, u) * row->slice;
	uint32_t bad = UINT32_MAX;

	*ret_n = 0;
	for (uint32_t j = 0; j < row->slice; j++) {
		uint32_t i = first + j;
		const uint8_t *p = c->slice[u] + (size_t)j * TARN_BLOCK;

		if (i >= row->payload_blocks ||
		    crc32c(0, p, TARN_BLOCK) == row->crcs[i])
			continue;
		if (bad == UINT32_MAX)
			bad = i;
		++*ret_n;
	}
	return bad;
}

static bool padding_bad(const struct check_row *c, uint32_t u)
{
	uint32_t first = ck_unit_field(c->ck, u) * c->row->slice;

	for (uint32_t j = 0; j < c->row->slice; j++) {
		const uint8_t *p = c->slice[u] + (size_t)j * TARN_BLOCK;

		if (first + j >= c->row->payload_blocks &&
		    (p[0] != 0 || memcmp(p, p + 1, TARN_BLOCK - 1) != 0))
			return true;
	}
	return false;
}

/* What is wrong with a unit that was read, in text[]; false: nothing. */
static bool unit_problem(struct check_row *c, uint32_t u, char *text,
			 size_t text_len)
{
	const struct ck_row *row = c->row;
	uint32_t n, bad;

	if (c->slice[u] == NULL) {
		snprintf(text, text_len, "it cannot be read");
		return true;
	}
	if ((row->units >> u & 1) == 0) {
		snprintf(text, text_len, "its header is not there or damaged");
		return true;
	}
	if (c->ck->k > 1 && u >= c->ck->k) {
		if (crc32c(0, c->slice[u], row->slice * TARN_BLOCK) ==
		    row->parity_crc[u - c->ck->k])
			return false;
		snprintf(text, text_len, "its parity is damaged");
		return true;
	}
	bad = unit_bad(c, u, &n);
	if (bad != UINT32_MAX) {
		snprintf(text, text_len, "%" PRIu32 " of its blocks are "
			 "damaged, the first is block %" PRIu32 " of the "
			 "payload (%s)", n, bad, payload_text(row, bad).s);
		return true;
	}
	if (padding_bad(c, u)) {
		snprintf(text, text_len, "its padding is not zero");
		return true;
	}
	return false;
}

static void unit_check(struct check_row *c, uint32_t u)
{
	struct ck *ck = c->ck;
	const struct ck_row *row = c->row;
	bool durable = row->row <= ck->flushed;
	char what[400];

	if (!ck_unit_expected(ck, c->seg, row, u) ||
	    !unit_problem(c, u, what, sizeof(what)))
		return;
	if (durable)
		ck->rep->damaged_units++;
	if (row->row <= max_u64(ck->commit_row, ck->root_row))
		ck->rep->damaged_commit++;
	ck_say(ck, durable ? CHECK_DAMAGE : CHECK_INFO,
	       "segment %" PRIu32 " generation %" PRIu32 ", row %" PRIu64
	       " at block %" PRIu32 ", %s: %s%s", c->seg->no,
	       c->seg->generation, row->row, row->off,
	       ck_unit_text(ck, c->seg, u).s, what,
	       durable ? "" : " (it had not been flushed)");
}

static bool copy_good(const struct check_row *c, uint32_t u, uint32_t i)
{
	uint32_t j = i % c->row->slice;

	return c->slice[u] != NULL &&
	       crc32c(0, c->slice[u] + (size_t)j * TARN_BLOCK, TARN_BLOCK) ==
		       c->row->crcs[i];
}

/* Payload block i, wherever it can be had; NULL: lost. */
static const uint8_t *block_get(struct check_row *c, uint32_t i)
{
	struct ck *ck = c->ck;
	uint32_t j = i % c->row->slice;
	uint8_t *cols[POOL_UNITS_MAX] = { NULL };

	if (ck->k == 1) {
		for (uint32_t u = 0; u < ck->units; u++) {
			if (copy_good(c, u, i))
				return c->slice[u] + (size_t)j * TARN_BLOCK;
		}
		return NULL;
	}
	if (copy_good(c, i / c->row->slice, i))
		return c->slice[i / c->row->slice] + (size_t)j * TARN_BLOCK;
	for (uint32_t u = 0; u < ck->units; u++) {
		if (c->slice[u] != NULL)
			cols[u] = c->slice[u] + (size_t)j * TARN_BLOCK;
	}
	return ck_rebuild_block(ck, c->row, i, cols, c->block) == 0 ?
		       c->block :
		       NULL;
}

static void block_report(struct check_row *c, uint32_t i, const void *data)
{
	const struct ck_rec *r = ck_rec_of(c->row, i);

	if (r == NULL ||
	    (r->rec.type != REC_WRITE && r->rec.type != REC_MOVE))
		return;
	ck_block_report(c->ck, rec_family(&r->rec),
			r->rec.block + (i - r->first),
			ck_row_place(c->ck, c->seg, c->row, i), data);
}

/* True when all the row's data is known and in c->slice[] (k > 1). */
static bool blocks_check(struct check_row *c)
{
	struct ck *ck = c->ck;
	bool all = true;

	for (uint32_t i = 0; i < c->row->payload_blocks; i++) {
		const uint8_t *p = block_get(c, i);

		if (p == NULL)
			all = false;
		if (!is_live(c, i))
			continue;
		ck->rep->blocks_checked++;
		if (p == NULL) {
			ck->rep->lost_blocks++;
			ck_lost(ck, "%s is lost: segment %" PRIu32 ", row "
				"%" PRIu64 " at block %" PRIu32 ": too few of "
				"its units are valid",
				payload_text(c->row, i).s, c->seg->no,
				c->row->row, c->row->off);
		}
		block_report(c, i, p);
	}
	return all;
}

/* Put what was rebuilt into its place, so that parity can be computed. */
static void blocks_complete(struct check_row *c)
{
	const struct ck_row *row = c->row;

	for (uint32_t u = 0; u < c->ck->k; u++) {
		uint8_t *to = c->mem + (size_t)u * c->slice_max * TARN_BLOCK;
		/* A rebuild needs what the other units still had. */
		bool there = c->slice[u] != NULL;

		for (uint32_t j = 0; j < row->slice; j++) {
			uint32_t i = u * row->slice + j;
			const uint8_t *p = i < row->payload_blocks ?
						   block_get(c, i) :
						   NULL;

			if (i >= row->payload_blocks)
				memset(to + (size_t)j * TARN_BLOCK, 0,
				       TARN_BLOCK);
			else if (p != NULL)
				memmove(to + (size_t)j * TARN_BLOCK, p,
					TARN_BLOCK);
		}
		if (!there)
			c->slice[u] = to;
	}
}

static void parity_check(struct check_row *c)
{
	struct ck *ck = c->ck;
	const struct ck_row *row = c->row;
	uint32_t len = row->slice * TARN_BLOCK;

	blocks_complete(c);
	for (uint32_t p = 0; p < ck->m; p++) {
		uint8_t *have = c->slice[ck->k + p];

		ck_ec_parity(ck->k, ck->m, p, c->slice, len, c->spare);
		if (crc32c(0, c->spare, len) != row->parity_crc[p] &&
		    !row->from_index)
			ck_error(ck, "segment %" PRIu32 ", row %" PRIu64
				 " at block %" PRIu32 ": its header has "
				 "another checksum for parity %" PRIu32
				 " than its data gives", c->seg->no, row->row,
				 row->off, p);
		else if (have != NULL &&
			 crc32c(0, have, len) == row->parity_crc[p] &&
			 memcmp(have, c->spare, len) != 0)
			ck_error(ck, "segment %" PRIu32 ", row %" PRIu64
				 " at block %" PRIu32 ", %s: the parity does "
				 "not belong to the data", c->seg->no,
				 row->row, row->off,
				 ck_unit_text(ck, c->seg, ck->k + p).s);
	}
}

static void row_check(struct check_row *c)
{
	struct ck *ck = c->ck;
	const struct ck_row *row = c->row;
	bool all;

	if (!row->from_index && ck_claim_known(ck, &row->claim) == 0)
		ck_error(ck, "segment %" PRIu32 ", row %" PRIu64 " at block "
			 "%" PRIu32 ": written under claim %" PRIu64
			 ", which never owned the pool", c->seg->no, row->row,
			 row->off, row->claim.no);
	ck->rep->rows_checked++;
	for (uint32_t u = 0; u < ck->units; u++) {
		c->slice[u] = c->mem + (size_t)u * c->slice_max * TARN_BLOCK;
		if (ck_read_unit(ck, c->seg, u, row->off + row->header_blocks,
				 c->slice[u], row->slice) < 0)
			c->slice[u] = NULL;
		unit_check(c, u);
	}
	all = blocks_check(c);
	if (all && ck->k > 1 && row->slice > 0)
		parity_check(c);
}

/* With --quick: only say what is where. */
static void row_list(struct check_row *c)
{
	for (uint32_t i = 0; i < c->row->payload_blocks; i++) {
		if (is_live(c, i))
			block_report(c, i, NULL);
	}
}

static void segment_check(struct check_row *c, struct ck_segment *seg)
{
	c->seg = seg;
	for (uint32_t i = 0; i < seg->nrows; i++) {
		c->row = seg->rows[i];
		if (!any_live(c))
			continue;
		if (c->ck->opt->quick)
			row_list(c);
		else
			row_check(c);
	}
}

int ck_data(struct ck *ck)
{
	struct check_row *c = aligned_alloc(64, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	memset(c, 0, sizeof(*c));
	c->ck = ck;
	c->slice_max = (uint32_t)div_up(ROW_PAYLOAD_MAX, ck->k);
	c->mem = ck_alloc(ck, (size_t)ck->units * c->slice_max, TARN_BLOCK);
	c->spare = ck_alloc(ck, c->slice_max, TARN_BLOCK);
	if (c->mem != NULL && c->spare != NULL) {
		for (uint32_t i = 0; i < ck->nsegs; i++) {
			if (ck->segs[i].state != SEG_DISK_FREE)
				segment_check(c, &ck->segs[i]);
		}
		for (uint32_t i = 0; i < ck->nboot; i++) {
			if (ck->boot[i].extra)
				segment_check(c, &ck->boot[i]);
		}
	}
	free(c->mem);
	free(c->spare);
	free(c);
	return ck->res;
}
