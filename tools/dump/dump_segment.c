/* tools/dump/dump_segment.c - segments and their rows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/dump/dump.h"

const char *dump_seg_state(uint8_t state)
{
	static const char *const names[] = { "free", "openable", "sealed",
					     "quarantined", "reserved" };

	return state < ARRAY_LEN(names) ? names[state] : "?";
}

static void segment_print(const struct ck *ck, const struct ck_segment *s)
{
	printf("segment %" PRIu32 ": %s%s, generation %" PRIu32, s->no,
	       s->extra ? "extra, " : "", dump_seg_state(s->state),
	       s->generation);
	if (s->state == SEG_DISK_FREE) {
		printf("\n");
		return;
	}
	printf(", %" PRIu32 " live, claim %" PRIu64 "%s%s", s->live,
	       s->claim & (UINT64_MAX >> 2),
	       (s->claim >> 63 & 1) != 0 ? " (writes may be under way)" : "",
	       (s->claim >> 62 & 1) != 0 ? " (in doubt)" : "");
	if (s->state == SEG_DISK_OPENABLE)
		printf(", scan from %" PRIu32, s->scan_from);
	if (s->index_off != 0)
		printf(", index at %" PRIu32, s->index_off);
	if ((s->flags & SEG_FLAG_DAMAGED) != 0)
		printf(", damaged");
	if (s->missing != 0)
		printf(", missing units 0x%" PRIx32, s->missing);
	printf(", zones");
	for (uint32_t u = 0; u < ck->units; u++) {
		if (s->zones[u].member == CK_NO_MEMBER)
			printf(" -");
		else
			printf(" %" PRIu32 ":%" PRIu32, s->zones[u].member,
			       s->zones[u].zone);
	}
	printf("\n");
}

int dump_segments(struct ck *ck)
{
	for (uint32_t i = 0; i < ck->nsegs; i++)
		segment_print(ck, &ck->segs[i]);
	for (uint32_t i = 0; i < ck->nboot; i++) {
		if (ck->boot[i].extra)
			segment_print(ck, &ck->boot[i]);
	}
	return 0;
}

static const char *catalog_op(uint32_t id)
{
	static const char *const names[] = { "create", "resize",   "rename",
					     "delete", "reap",     "snapshot",
					     "clone",  "rollback", "receive",
					     "publish", "set",      "trash",
					     "undelete", "purge",   "schedule",
					     "thin",     "props" };

	static_assert(ARRAY_LEN(names) ==
			      CATALOG_OP_LAST - CATALOG_CREATE + 1,
		      "one for each");
	if (id == CATALOG_EVENT)
		return "event";
	return id >= CATALOG_CREATE && id <= CATALOG_OP_LAST ?
		       names[id - CATALOG_CREATE] :
		       "?";
}

static void thin_print(const struct ck_rec *r)
{
	const struct catalog_thin *t = (const void *)r->body;

	if (r->rec.n < sizeof(*t))
		return;
	printf(" leaves %" PRIu64 " up to %" PRIu64 ", of %" PRIu32
	       " something goes", le64_get(t->from), le64_get(t->upto),
	       le32_get(t->nleaves));
	if (le32_get(t->first_shared) != 0)
		printf(", that the origin has from number %" PRIu32 " on",
		       le32_get(t->first_shared));
}

static void rec_print(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, const struct ck_rec *r)
{
	static const char *const names[] = {
		"?", "WRITE", "UNMAP", "MOVE",
		"NODE", "TABLE", "ROOT", "CATALOG"
	};

	printf("    %-7s id %" PRIu32 " block %" PRIu64 " n %u",
	       names[r->rec.type], r->rec.id, r->rec.block, r->rec.n);
	if (r->rec.type == REC_WRITE && (r->rec.flags & REC_FAMILY) != 0)
		printf(" family %" PRIu64, r->rec.ext);
	if (r->rec.type == REC_CATALOG)
		printf(" (%s)", catalog_op(r->rec.id));
	if (r->rec.type == REC_CATALOG && r->rec.id == CATALOG_THIN)
		thin_print(r);
	if (r->rec.type == REC_UNMAP)
		printf(" blocks %" PRIu64, r->rec.ext);
	if (r->rec.type == REC_MOVE)
		printf(" from %s", dump_place_text(ck, r->rec.ext).s);
	if (r->rec.type != REC_UNMAP && r->rec.type != REC_CATALOG)
		printf(" at %s",
		       dump_place_text(ck, ck_row_place(ck, seg, row,
							r->first)).s);
	printf("\n");
}

static void row_print(const struct ck *ck, const struct ck_segment *seg,
		      const struct ck_row *row, bool records)
{
	printf("  block %" PRIu32 ": row %" PRIu64 ", header %" PRIu32
	       ", payload %" PRIu32 ", slice %" PRIu32 ", %" PRIu32
	       " records", row->off, row->row, row->header_blocks,
	       row->payload_blocks, row->slice, row->nrecs);
	if (row->from_index)
		printf(", from the index alone");
	else
		printf(", claim %" PRIu64 ", flushed %" PRIu64
		       ", commit %" PRIu64 ", units 0x%" PRIx32 "%s",
		       row->claim.no, row->flushed, row->commit, row->units,
		       seg->index_ok && !row->indexed ? ", not in the index" :
							"");
	printf("\n");
	for (uint32_t i = 0; i < row->nrecs && records; i++)
		rec_print(ck, seg, row, &row->recs[i]);
}

int dump_segment(struct ck *ck, uint32_t no, bool records)
{
	struct ck_segment *seg = ck_seg(ck, no);

	if (seg == NULL) {
		fprintf(stderr, "tarn-dump: segment %" PRIu32 " is free or "
			"does not exist; `segments` lists them\n", no);
		return 1;
	}
	segment_print(ck, seg);
	if (ck_rows_load(ck, seg) < 0)
		return 1;
	for (uint32_t i = 0; i < seg->nrows; i++)
		row_print(ck, seg, seg->rows[i], records);
	return 0;
}

int dump_place(struct ck *ck, uint64_t place)
{
	struct ck_segment *seg = ck_seg(ck, ck_place_seg(ck, place));
	struct ck_row *row = NULL;
	uint32_t i = 0;

	printf("%s\n", dump_place_text(ck, place).s);
	if (seg == NULL || place >> PLACE_BITS != 0) {
		fprintf(stderr, "tarn-dump: that segment is free or does not "
			"exist\n");
		return 1;
	}
	segment_print(ck, seg);
	for (uint32_t u = 0; u < ck->units; u++) {
		const struct ck_zone *z = &seg->zones[u];

		if (ck->k > 1 && u != ck_place_unit(ck, place))
			continue;
		printf("  %s", ck_unit_text(ck, seg, u).s);
		if (z->member != CK_NO_MEMBER)
			printf(", disk block %" PRIu64,
			       LABEL_AREA_BLOCKS +
				       ((uint64_t)z->zone << ck->zone_shift) +
				       ck_place_off(ck, place));
		printf("\n");
	}
	if (ck_rows_load(ck, seg) == 0)
		row = ck_row_at(ck, seg, ck_place_unit(ck, place),
				ck_place_off(ck, place), &i);
	if (row == NULL) {
		printf("  no row is there\n");
		return 0;
	}
	row_print(ck, seg, row, false);
	printf("  payload block %" PRIu32 ", crc32c %08" PRIx32 ", of\n", i,
	       row->crcs[i]);
	if (ck_rec_of(row, i) != NULL)
		rec_print(ck, seg, row, ck_rec_of(row, i));
	return 0;
}
