/* tools/check/check_own.c - who owns a block of the log.
 *
 * Everything that a commit points to (data, nodes, pages, root) is taken here,
 * once: the block must be in a segment that is in use, covered by a row whose
 * record says that it is this very thing, with the same checksum, and written
 * not after the commit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "tools/check/check_state.h"

bool ck_seg_bits(struct ck *ck, uint64_t **bits)
{
	if (*bits == NULL)
		*bits = ck_alloc(ck,
				 BITMAP_WORDS((uint64_t)ck->k
					      << ck->zone_shift),
				 sizeof(uint64_t));
	return *bits != NULL;
}

struct ck_text ck_owner_text(const struct ck_owner *o)
{
	struct ck_text t;

	switch (o->type) {
	case REC_NODE:
		snprintf(t.s, sizeof(t.s), "node %" PRIu32, o->id);
		break;
	case REC_TABLE:
		snprintf(t.s, sizeof(t.s), "%spage %" PRIu64 " of the %s",
			 (o->id & CK_INDEX_PAGE) != 0 ? "index " : "",
			 o->block, ck_kind_name(o->id & ~CK_INDEX_PAGE));
		break;
	case CK_OWN_INDEX:
		snprintf(t.s, sizeof(t.s), "index page %" PRIu64 " of the %s",
			 o->block, ck_kind_name(o->id));
		break;
	case REC_ROOT:
		snprintf(t.s, sizeof(t.s), "block %" PRIu64 " of the root",
			 o->block);
		break;
	default:
		snprintf(t.s, sizeof(t.s), "family %" PRIu32 " block %" PRIu64,
			 o->id, o->block);
	}
	return t;
}

/* Does block i of the row belong to this owner, by the row's record? */
static bool rec_matches(const struct ck_rec *r, uint32_t i,
			const struct ck_owner *o)
{
	const struct rec *rec = &r->rec;

	switch (o->type) {
	case REC_NODE:
		return rec->type == REC_NODE && rec->id == o->id;
	case REC_TABLE:
		return rec->type == REC_TABLE && rec->id == o->id &&
		       rec->block == o->block;
	case CK_OWN_INDEX:
		return rec->type == REC_TABLE &&
		       rec->id == (o->id | CK_INDEX_PAGE) &&
		       rec->block == o->block;
	case REC_ROOT:
		return rec->type == REC_ROOT && i - r->first == o->block;
	default:
		return (rec->type == REC_WRITE || rec->type == REC_MOVE) &&
		       rec_family(rec) == o->id &&
		       rec->block + (i - r->first) == o->block;
	}
}

static struct ck_text rec_text(const struct ck_rec *r, uint32_t i)
{
	struct ck_owner o = { .type = r->rec.type,
			      .id = rec_family(&r->rec),
			      .block = r->rec.block + (i - r->first) };

	return ck_owner_text(&o);
}

/* No row header covers the block: is its content there all the same? */
static void no_row(struct ck *ck, uint64_t place, const struct ck_owner *o)
{
	uint8_t *buf = ck_alloc(ck, 1, TARN_BLOCK);
	bool     have;

	if (buf == NULL)
		return;
	have = !ck->opt->quick &&
	       ck_read_place(ck, place, o->crc, buf) == 0;
	free(buf);
	if (have)
		ck_damage(ck, "%s (%s): no row header covers it, but its "
			  "content is right", ck_owner_text(o).s,
			  ck_place_text(ck, place).s);
	else
		ck_lost(ck, "%s (%s): no row is there", ck_owner_text(o).s,
			ck_place_text(ck, place).s);
}

/* The checks against the row that covers the block. */
static void row_matches(struct ck *ck, const struct ck_row *row, uint32_t i,
			uint64_t place, const struct ck_owner *o)
{
	const struct ck_rec *r = ck_rec_of(row, i);
	uint64_t newest = o->type == 0 ? ck->commit_row : ck->root_row;

	if (r == NULL || !rec_matches(r, i, o))
		ck_error(ck, "%s (%s): row %" PRIu64 " there holds %s",
			 ck_owner_text(o).s, ck_place_text(ck, place).s,
			 row->row, r == NULL ? "nothing" : rec_text(r, i).s);
	if (row->crcs[i] != o->crc)
		ck_error(ck, "%s (%s): its checksum is %08" PRIx32 ", in row "
			 "%" PRIu64 " it is %08" PRIx32, ck_owner_text(o).s,
			 ck_place_text(ck, place).s, o->crc, row->row,
			 row->crcs[i]);
	if (row->row > newest)
		ck_error(ck, "%s (%s): row %" PRIu64 " there is younger than "
			 "the commit that points to it (row %" PRIu64 ")",
			 ck_owner_text(o).s, ck_place_text(ck, place).s,
			 row->row, newest);
}

bool ck_own(struct ck *ck, uint64_t place, const struct ck_owner *o)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	uint32_t unit = ck_place_unit(ck, place);
	uint32_t off = ck_place_off(ck, place);
	uint64_t bit = ck_seg_bit(ck, unit, off);
	struct ck_row *row;
	uint32_t i;

	if (seg == NULL && ck_seg_unknown(ck, ck_place_seg(ck, place))) {
		ck_lost(ck, "%s (%s) is lost with its segment's page of the "
			"segment table", ck_owner_text(o).s,
			ck_place_text(ck, place).s);
		return false;
	}
	if (seg == NULL || place >> PLACE_BITS != 0) {
		ck_error(ck, "%s is at %s, but that segment is free or does "
			 "not exist", ck_owner_text(o).s,
			 ck_place_text(ck, place).s);
		return false;
	}
	if (!ck_seg_bits(ck, &seg->owned) || !ck_seg_bits(ck, &seg->live_now))
		return false;
	if (bitmap_test(seg->owned, bit)) {
		ck_error(ck, "%s: its place, %s, belongs to something else "
			 "already", ck_owner_text(o).s,
			 ck_place_text(ck, place).s);
		return false;
	}
	bitmap_set(seg->owned, bit);
	bitmap_set(seg->live_now, bit);
	if (o->type == 0 || o->type == REC_NODE)
		seg->counted++;
	row = ck_row_at(ck, seg, unit, off, &i);
	if (row == NULL)
		no_row(ck, place, o);
	else
		row_matches(ck, row, i, place, o);
	return true;
}

bool ck_owned(struct ck *ck, uint64_t place)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));

	return seg != NULL && place >> PLACE_BITS == 0 && seg->owned != NULL &&
	       bitmap_test(seg->owned,
			   ck_seg_bit(ck, ck_place_unit(ck, place),
				      ck_place_off(ck, place)));
}

/* --- what the root points to --------------------------------------------- */

static void table_own(struct ck *ck, uint32_t kind)
{
	struct ck_table *t = &ck->tables[kind];

	for (uint32_t i = 0; i < t->nindex; i++) {
		struct ck_owner o = { .type = CK_OWN_INDEX, .id = kind,
				      .block = i, .crc = t->index[i].crc };

		if (t->index[i].place == PLACE_NONE)
			continue;
		if (ck_own(ck, t->index[i].place, &o))
			ck->rep->table_blocks++;
	}
	for (uint32_t p = 0; p < t->npages; p++) {
		struct ck_owner o = { .type = REC_TABLE, .id = kind,
				      .block = p, .crc = t->refs[p].crc };

		if (t->refs[p].place == PLACE_NONE)
			continue;
		if (ck_own(ck, t->refs[p].place, &o))
			ck->rep->table_blocks++;
	}
}

void ck_own_tables(struct ck *ck)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck,
						ck->label->root_place));
	struct ck_row *row = NULL;
	uint32_t first;

	if (seg != NULL)
		row = ck_row_at(ck, seg,
				ck_place_unit(ck, ck->label->root_place),
				ck_place_off(ck, ck->label->root_place),
				&first);
	for (uint32_t i = 0; row != NULL && i < row->payload_blocks; i++) {
		struct ck_owner o = { .type = REC_ROOT, .block = i,
				      .crc = row->crcs[i] };

		if (ck_own(ck, ck_row_place(ck, seg, row, i), &o))
			ck->rep->table_blocks++;
	}
	if ((seg == NULL || row == NULL) && ck->rep->nlost == 0)
		ck_error(ck, "the root at %s is in a segment that the commit "
			 "does not use", ck_place_text(ck,
					ck->label->root_place).s);
	for (uint32_t kind = 0; kind < ROOT_KINDS; kind++)
		table_own(ck, kind);
}

void ck_live_compare(struct ck *ck)
{
	for (uint32_t i = 0; i < ck->nsegs; i++) {
		const struct ck_segment *s = &ck->segs[i];

		if (s->state != SEG_DISK_FREE && s->counted != s->live &&
		    ck->rep->nlost == 0)
			ck_error(ck, "segment %" PRIu32 ": the table counts "
				 "%" PRIu32 " live blocks in it, the map has "
				 "%" PRIu64, s->no, s->live, s->counted);
	}
}
