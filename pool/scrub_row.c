/* pool/scrub_row.c - one row: what is right of it, and what it must be.  Pure.
 *
 * The payload is known by its checksums, wherever it comes from: the unit
 * itself, a copy, or any k units that give it.  Parity follows from the payload
 * and must then have the checksum of the header, or nothing is known of it.
 * Headers are all made from one that is valid.
 *
 * The ways to fail: a block that no combination gives stays unknown, and with
 * it the parity.  When a unit has a valid header of another row, and there is no
 * index that says which of them is meant, nothing is known.
 */
#include <string.h>

#include "base/bitmap.h"
#include "base/canary.h"
#include "base/crc32c.h"
#include "pool/scrub.h"

/* --- judging ------------------------------------------------------------- */

/* Does a header say what the index, which has less, says? */
static bool agrees(const struct row_info *i, const struct row_info *want)
{
	return i->row_no == want->row_no &&
	       i->header_blocks == want->header_blocks &&
	       i->payload_blocks == want->payload_blocks &&
	       i->nrecs == want->nrecs && i->recs_bytes == want->recs_bytes &&
	       memcmp(i->crcs, want->crcs, 4 * (size_t)i->payload_blocks) == 0 &&
	       memcmp(i->recs, want->recs, i->recs_bytes) == 0;
}

static bool header_of(const struct scrub_row *r, uint32_t u,
		      struct row_info *ret)
{
	const struct pool *p = r->pool;

	return r->units[u] != NULL &&
	       row_header_validate(&p->geom, r->units[u],
				   r->want->unit_blocks * TARN_BLOCK, ret,
				   NULL) == 0 &&
	       ret->segment == r->seg->no &&
	       ret->generation == r->seg->generation &&
	       ret->off_blocks == r->want->off_blocks &&
	       (p->k == 1 || ret->unit == u);
}

void scrub_row_judge(struct scrub_row *r)
{
	r->found = false;
	r->rival = false;
	r->good = 0;
	for (uint32_t u = 0; u < r->pool->units; u++) {
		struct row_info i;

		if (!header_of(r, u, &i))
			continue;
		if (!agrees(&i, r->want) ||
		    (r->found && !scan_same_row(&i, &r->info))) {
			r->rival = true;
			continue;
		}
		if (!r->found) {
			r->info = i;
			r->header_unit = u;
			r->found = true;
		}
		if (row_slice_valid(&r->pool->geom, &i, u,
				    r->units[u] + (size_t)i.header_blocks *
							  TARN_BLOCK))
			r->good |= 1u << u;
	}
}

/* --- solving ------------------------------------------------------------- */

static void set_range(uint64_t *map, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		bitmap_set(map, i);
}

/* Payload blocks of the row that are in this unit. */
static uint32_t data_blocks(const struct scrub_row *r, uint32_t u)
{
	const struct row_info *i = r->want;
	uint32_t first = r->pool->k == 1 ? 0 : u * i->slice_blocks;

	if (first >= i->payload_blocks)
		return 0;
	return min_u32(i->slice_blocks, i->payload_blocks - first);
}

/* Is that block b of the slice of data unit u?  Padding is zero. */
static bool is_right(const struct scrub_row *r, uint32_t u, uint32_t b,
		     const uint8_t *data)
{
	uint32_t first = r->pool->k == 1 ? 0 : u * r->want->slice_blocks;

	if (b >= data_blocks(r, u))
		return data[0] == 0 &&
		       memcmp(data, data + 1, TARN_BLOCK - 1) == 0;
	return CANARY(scrub_unchecked) ||
	       crc32c(0, data, TARN_BLOCK) ==
		       le32_get(r->want->crcs[first + b]);
}

/* Block b of the slices as read, but padding as it must be; only those of the
 * mask that is returned. */
static uint32_t column(const struct scrub_row *r, const scrub_mask *gone,
		       uint32_t b, uint8_t *const *out, uint8_t **ret_at)
{
	uint32_t hb = r->want->header_blocks, have = 0;

	for (uint32_t u = 0; u < r->pool->units; u++) {
		ret_at[u] = NULL;
		if (r->pool->k > 1 && u < r->pool->k &&
		    b >= data_blocks(r, u)) {
			ret_at[u] = out[u] + (size_t)(hb + b) * TARN_BLOCK;
			memset(ret_at[u], 0, TARN_BLOCK);
			have |= 1u << u;
			continue;
		}
		if (r->units[u] == NULL || bitmap_test(gone[u], hb + b))
			continue;
		ret_at[u] = (uint8_t *)(uintptr_t)r->units[u] +
			    (size_t)(hb + b) * TARN_BLOCK;
		have |= 1u << u;
	}
	return have;
}

/* Any k units that give a block that is right. */
static bool combine(const struct scrub_row *r, uint32_t u, uint32_t b,
		    uint32_t have, uint8_t *const *at, uint8_t *out)
{
	struct pool *p = r->pool;

	for (uint32_t mask = have & ~(1u << u), sub = mask; sub != 0;
	     sub = (sub - 1) & mask) {
		if ((uint32_t)__builtin_popcount(sub) == p->k &&
		    stripe_rebuild(&p->stripe, TARN_BLOCK, at, sub, u, out) ==
			    0 &&
		    is_right(r, u, b, out))
			return true;
	}
	return false;
}

/* Block b of data unit u into out. */
static bool solve_block(const struct scrub_row *r, uint32_t u, uint32_t b,
			uint32_t have, uint8_t *const *at, uint8_t *out)
{
	struct pool *p = r->pool;

	if (p->k > 1 && b >= data_blocks(r, u)) {
		memset(out, 0, TARN_BLOCK);
		return true;
	}
	for (uint32_t c = p->k == 1 ? 0 : u;
	     c < (p->k == 1 ? p->units : u + 1); c++) {
		if ((have & (1u << c)) != 0 && is_right(r, u, b, at[c])) {
			memcpy(out, at[c], TARN_BLOCK);
			return true;
		}
	}
	return p->k > 1 && combine(r, u, b, have, at, out);
}

static void headers_make(struct scrub_row *r, uint8_t *const *out,
			 scrub_mask *known)
{
	struct pool *p = r->pool;
	uint32_t     hb = r->info.header_blocks;

	for (uint32_t u = 0; u < p->units; u++) {
		memcpy(out[u], r->units[r->header_unit],
		       (size_t)hb * TARN_BLOCK);
		row_header_encode(&p->geom, &r->info, p->k == 1 ? 0 : u,
				  out[u]);
		set_range(known[u], 0, hb);
	}
}

/* All of the payload is there: so is the parity, if it is what the header says.
 */
static void parity_make(struct scrub_row *r, uint8_t *const *out,
			scrub_mask *known)
{
	struct pool *p = r->pool;
	uint8_t     *slices[POOL_UNITS_MAX];
	uint32_t     hb = r->want->header_blocks;
	uint32_t     n = r->want->slice_blocks;

	for (uint32_t u = 0; u < p->units; u++)
		slices[u] = out[u] + (size_t)hb * TARN_BLOCK;
	if (n == 0 || !r->found)
		return;
	stripe_encode(&p->stripe, n * TARN_BLOCK, slices);
	for (uint32_t u = p->k; u < p->units; u++) {
		if (CANARY(scrub_unchecked) ||
		    row_slice_valid(&p->geom, &r->info, u, slices[u]))
			set_range(known[u], hb, n);
	}
}

/* Copies: what one has, all have. */
static void copies_make(struct scrub_row *r, uint8_t *const *out,
			scrub_mask *known)
{
	size_t hb = r->want->header_blocks;

	for (uint32_t u = 1; u < r->pool->units; u++) {
		memcpy(out[u] + hb * TARN_BLOCK, out[0] + hb * TARN_BLOCK,
		       (size_t)r->want->slice_blocks * TARN_BLOCK);
		for (uint32_t b = 0; b < r->want->slice_blocks; b++)
			if (bitmap_test(known[0], hb + b))
				bitmap_set(known[u], hb + b);
	}
}

uint32_t scrub_row_solve(struct scrub_row *r, const scrub_mask *gone,
			 uint8_t *const *out, scrub_mask *known)
{
	struct pool *p = r->pool;
	uint32_t     hb = r->want->header_blocks, lost = 0;

	for (uint32_t u = 0; u < p->units; u++)
		memset(known[u], 0, sizeof(known[u]));
	if (r->rival && !r->indexed)
		return 0;
	if (r->found)
		headers_make(r, out, known);
	for (uint32_t b = 0; b < r->want->slice_blocks; b++) {
		uint8_t *at[POOL_UNITS_MAX];
		uint32_t have = column(r, gone, b, out, at);

		for (uint32_t u = 0; u < p->k; u++) {
			if (solve_block(r, u, b, have, at,
					out[u] + (size_t)(hb + b) *
							 TARN_BLOCK))
				bitmap_set(known[u], hb + b);
			else
				lost += b < data_blocks(r, u);
		}
	}
	if (p->k == 1)
		copies_make(r, out, known);
	else if (lost == 0)
		parity_make(r, out, known);
	return lost;
}
