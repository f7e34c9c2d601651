/* tools/check/check_read.c - reading: disks, units of segments, blocks at
 * places, with reconstruction.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

int ck_read_disk(struct ck *ck, uint32_t disk, uint64_t block, void *buf,
		 uint32_t n)
{
	struct ck_disk *d = &ck->disks[disk];
	uint64_t blocks = d->src->size_bytes / TARN_BLOCK;
	int r;

	if (block > blocks || n > blocks - block)
		return -EIO;
	r = d->src->read(d->src, blocks_to_bytes(block), buf,
			 (size_t)n * TARN_BLOCK);
	if (r >= 0)
		return 0;
	if (!d->unreadable)
		ck_info(ck, "disk %s: reading block %" PRIu64 " failed: %s",
			d->src->name, block, strerror(-r));
	d->unreadable = true;
	return -EIO;
}

int ck_read_unit(struct ck *ck, const struct ck_segment *seg, uint32_t unit,
		 uint32_t off, void *buf, uint32_t n)
{
	const struct ck_zone *z = &seg->zones[unit];
	uint64_t first;

	if (z->member >= ck->nmembers ||
	    z->zone >= ck->members[z->member].zones)
		return -ENODEV;
	if (ck->members[z->member].disk == CK_NO_DISK)
		return -ENODEV;
	if (off > ck->zone_blocks || n > ck->zone_blocks - off)
		return -EIO;
	first = LABEL_AREA_BLOCKS + ((uint64_t)z->zone << ck->zone_shift);
	return ck_read_disk(ck, (uint32_t)ck->members[z->member].disk,
			    first + off, buf, n);
}

bool ck_unit_expected(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, uint32_t unit)
{
	const struct ck_zone *z = &seg->zones[unit];
	const struct ck_member *m;

	if (z->member >= ck->nmembers || (seg->missing >> unit & 1) != 0)
		return false;
	m = &ck->members[z->member];
	if (m->disk == CK_NO_DISK)
		return false;
	return m->state != LABEL_MEMBER_OUT || row->row <= m->out_row;
}

/* Zero block for the padding of the last slice. */
static const uint8_t padding[TARN_BLOCK] __attribute__((aligned(64)));

/* Mask of data units of which the block in column c is right. */
static uint32_t good_data(const struct ck *ck, const struct ck_row *row,
			  uint32_t c, uint8_t *const *cols, uint8_t **use)
{
	uint32_t mask = 0;

	for (uint32_t u = 0; u < ck->k; u++) {
		uint32_t i = u * row->slice + c;

		if (i >= row->payload_blocks) {
			use[u] = (uint8_t *)(uintptr_t)padding;
			mask |= 1u << u;
		} else if (cols[u] != NULL &&
			   crc32c(0, cols[u], TARN_BLOCK) == row->crcs[i]) {
			use[u] = cols[u];
			mask |= 1u << u;
		}
	}
	return mask;
}

int ck_rebuild_block(struct ck *ck, const struct ck_row *row, uint32_t i,
		     uint8_t *const *cols, uint8_t *out)
{
	uint32_t d = i / row->slice, c = i % row->slice;
	uint8_t *use[POOL_UNITS_MAX] = { NULL };
	uint32_t data = good_data(ck, row, c, cols, use), parity = 0;
	uint32_t need;

	if ((data >> d & 1) != 0) {
		memcpy(out, use[d], TARN_BLOCK);
		return 0;
	}
	need = ck->k - (uint32_t)__builtin_popcount(data);
	for (uint32_t p = 0; p < ck->m; p++) {
		use[ck->k + p] = cols[ck->k + p];
		if (use[ck->k + p] != NULL)
			parity |= 1u << p;
	}
	/* Which parities are right is not known block by block: any choice of
	 * enough of them whose result has the right checksum will do. */
	for (uint32_t pick = 1; pick < 1u << ck->m; pick++) {
		if ((pick & ~parity) != 0 ||
		    (uint32_t)__builtin_popcount(pick) != need)
			continue;
		if (ck_ec_rebuild(ck, use, data | pick << ck->k, d, out) &&
		    crc32c(0, out, TARN_BLOCK) == row->crcs[i])
			return 0;
	}
	return -EBADMSG;
}

/* The block from the other units of its row. */
static int rebuild_place(struct ck *ck, struct ck_segment *seg, uint64_t place,
			 uint32_t crc, uint8_t *out)
{
	uint8_t  *cols[POOL_UNITS_MAX] = { NULL };
	uint8_t  *mem;
	uint32_t  unit = ck_place_unit(ck, place), i, c;
	struct ck_row *row;
	int r;

	if (ck_rows_load(ck, seg) < 0)
		return -EBADMSG;
	row = ck_row_at(ck, seg, unit, ck_place_off(ck, place), &i);
	if (row == NULL || row->crcs[i] != crc)
		return -EBADMSG;
	mem = ck_alloc(ck, ck->units, TARN_BLOCK);
	if (mem == NULL)
		return -ENOMEM;
	c = i % row->slice;
	for (uint32_t u = 0; u < ck->units; u++) {
		uint8_t *col = mem + (size_t)u * TARN_BLOCK;

		if (ck_read_unit(ck, seg, u,
				 row->off + row->header_blocks + c, col,
				 1) == 0)
			cols[u] = col;
	}
	r = ck_rebuild_block(ck, row, i, cols, out);
	free(mem);
	return r;
}

int ck_read_place(struct ck *ck, uint64_t place, uint32_t crc, void *buf)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	uint32_t unit = ck_place_unit(ck, place);
	uint32_t off = ck_place_off(ck, place);
	uint32_t first = ck->k == 1 ? 0 : unit;
	uint32_t last = ck->k == 1 ? ck->m : unit;
	bool     tried = false;

	if (seg == NULL || place >> PLACE_BITS != 0)
		return -EBADMSG;
	for (uint32_t u = first; u <= last; u++) {
		int r = ck_read_unit(ck, seg, u, off, buf, 1);

		if (r == 0 && crc32c(0, buf, TARN_BLOCK) == crc) {
			if (tried && ck->opt->quick)
				ck_damage(ck, "%s: a copy is bad; another one "
					  "is good",
					  ck_place_text(ck, place).s);
			return 0;
		}
		tried = tried || r != -ENODEV;
	}
	if (ck->k == 1)
		return -EBADMSG;
	if (rebuild_place(ck, seg, place, crc, buf) < 0)
		return -EBADMSG;
	if (tried && ck->opt->quick)
		ck_damage(ck, "%s is bad; it can be reconstructed",
			  ck_place_text(ck, place).s);
	return 0;
}
