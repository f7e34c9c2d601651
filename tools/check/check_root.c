/* tools/check/check_root.c - the root of the newest commit.
 *
 * The label says where it is and which zones its segment has.  Its row is
 * found like any other, by its headers, so that it can be read with disks
 * missing.  The root names the segments that hold the segment table ("boot").
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "tools/check/check_state.h"

#define BOOT_BYTES(ck) (8u * (1 + (ck)->units))

/* A segment known before the segment table. */
static struct ck_segment *boot_add(struct ck *ck, uint32_t no,
				   uint32_t generation,
				   const struct ck_zone *zones)
{
	struct ck_segment *s;

	for (uint32_t i = 0; i < ck->nboot; i++) {
		bool same;

		s = &ck->boot[i];
		if (s->no != no)
			continue;
		same = s->generation == generation &&
		       memcmp(s->zones, zones,
			      ck->units * sizeof(*zones)) == 0;
		/* Recoveries one after the other used the number. */
		if (!same && s->extra)
			continue;
		if (!same)
			ck_error(ck, "segment %" PRIu32 ": label and root give "
				 "it different zones or generations", no);
		return s;
	}
	if (!ck_grow(ck, &ck->boot, ck->nboot, &ck->boot_cap,
		     sizeof(*ck->boot)))
		return NULL;
	s = &ck->boot[ck->nboot++];
	memset(s, 0, sizeof(*s));
	s->no = no;
	s->generation = generation;
	s->state = SEG_DISK_OPENABLE;
	memcpy(s->zones, zones, ck->units * sizeof(*zones));
	return s;
}

static int extras_add(struct ck *ck)
{
	for (uint32_t i = 0; i < ck->label->nextra; i++) {
		const struct ck_extra *x = &ck->label->extra[i];
		struct ck_segment *s = boot_add(ck, x->segment, x->generation,
						x->zones);

		if (s == NULL)
			return -ENOMEM;
		s->extra = true;
	}
	return 0;
}

static const char *root_problem(const struct ck *ck, const uint8_t *buf,
				uint32_t len_bytes)
{
	const struct root_header *h = (const struct root_header *)buf;
	uint32_t bytes = le32_get(h->bytes);
	uint64_t need = sizeof(*h);

	if (memcmp(h->magic, ROOT_MAGIC, sizeof(h->magic)) != 0)
		return "it has no magic number";
	if (bytes < sizeof(*h) || bytes > len_bytes)
		return "its length is out of range";
	if (crc32c(0, buf + 12, bytes - 12) != le32_get(h->crc32c))
		return "its checksum is wrong";
	if (!uuid_equal(&h->pool, &ck->label->pool))
		return "it belongs to another pool";
	if (le32_get(h->crc32c) != ck->label->root_crc)
		return "it is another root than the label means";
	if (le64_get(h->row) != ck->label->commit_row ||
	    le64_get(h->commit) != ck->label->commit)
		return "its row or commit number is not the label's";
	if (le64_get(h->claim) > ck->label->claim.no)
		return "its claim is newer than the label's";
	for (uint32_t i = 0; i < ROOT_KINDS; i++) {
		if (le32_get(h->kinds[i].nindex) !=
		    div_up(le32_get(h->kinds[i].npages), INDEX_REFS_A_PAGE))
			return "a table's pages do not fit its index";
		need += (uint64_t)le32_get(h->kinds[i].nindex) *
			sizeof(struct page_ref);
	}
	need += (uint64_t)le32_get(h->nboot) * BOOT_BYTES(ck);
	if (le32_get(h->client_bytes) > ROOT_CLIENT_MAX)
		return "the volumes' part is too long";
	if (need + round_up(le32_get(h->client_bytes), 8) != bytes)
		return "its parts do not make its length";
	return NULL;
}

static int root_parts(struct ck *ck)
{
	const struct root_header *h = (const struct root_header *)ck->root;
	uint32_t pos = sizeof(*h);

	for (uint32_t i = 0; i < ROOT_KINDS; i++) {
		struct ck_table *t = &ck->tables[i];

		t->npages = le32_get(h->kinds[i].npages);
		t->nindex = le32_get(h->kinds[i].nindex);
		t->index = ck_alloc(ck, t->nindex, sizeof(*t->index));
		if (t->index == NULL)
			return -ENOMEM;
		for (uint32_t j = 0; j < t->nindex; j++) {
			const struct page_ref *p =
				(const struct page_ref *)(ck->root + pos);

			t->index[j].place = le64_get(p->place);
			t->index[j].crc = le32_get(p->crc32c);
			pos += sizeof(*p);
		}
	}
	for (uint32_t i = 0; i < le32_get(h->nboot); i++) {
		const le32 *v = (const le32 *)(ck->root + pos);
		struct ck_zone zones[POOL_UNITS_MAX] = { { 0 } };

		for (uint32_t u = 0; u < ck->units; u++) {
			zones[u].member = le32_get(v[2 + 2 * u]);
			zones[u].zone = le32_get(v[3 + 2 * u]);
		}
		if (boot_add(ck, le32_get(v[0]), le32_get(v[1]), zones) == NULL)
			return -ENOMEM;
		pos += BOOT_BYTES(ck);
	}
	ck->client_off = pos;
	ck->client_bytes = le32_get(h->client_bytes);
	return 0;
}

/* The row that the label points to. */
static struct ck_row *root_row(struct ck *ck, struct ck_segment *seg)
{
	const struct ck_label *l = ck->label;
	uint32_t i = 0;
	struct ck_row *row = ck_row_at(ck, seg,
				       ck_place_unit(ck, l->root_place),
				       ck_place_off(ck, l->root_place), &i);
	const struct ck_rec *rec = row != NULL ? ck_rec_of(row, i) : NULL;

	if (rec == NULL) {
		ck_lost(ck, "the root of commit %" PRIu64 " (%s) cannot be "
			"found: no row header covers it; nothing can be "
			"opened from this label", l->commit,
			ck_place_text(ck, l->root_place).s);
		return NULL;
	}
	if (i != 0 || row->nrecs != 1 || rec->rec.type != REC_ROOT ||
	    row->slice != l->root_slice || rec->rec.n != l->root_blocks) {
		ck_error(ck, "row %" PRIu64 " at the root's place (%s) is not "
			 "a root of %" PRIu32 " blocks", row->row,
			 ck_place_text(ck, l->root_place).s, l->root_blocks);
		return NULL;
	}
	if (row->row <= l->commit_row)
		ck_error(ck, "the root's row %" PRIu64 " is not younger than "
			 "the state that it describes, row %" PRIu64, row->row,
			 l->commit_row);
	return row;
}

/* Whose rows follow the commit? */
static void claim_take(struct ck *ck, const struct ck_row *row)
{
	ck->commit_claim = row->claim;
	ck->claim_known = !row->from_index;
	ck->root_row = row->row;
	if (row->claim.no !=
	    le64_get(((struct root_header *)(void *)ck->root)->claim))
		ck_error(ck, "root and root's row %" PRIu64 " name different "
			 "claims", row->row);
	if (ck_claim_known(ck, &row->claim) == 0)
		ck_error(ck, "the root's claim %" PRIu64 " is not an ancestor "
			 "of claim %" PRIu64 ": it was written by a server "
			 "that did not own the pool", row->claim.no,
			 ck->label->claim.no);
}

int ck_root(struct ck *ck)
{
	const struct ck_label *l = ck->label;
	struct ck_segment *seg;
	struct ck_row *row;
	const char *why;
	int r;

	if (l->root_blocks == 0) {
		ck_info(ck, "pool \"%s\" has no commit yet: it was never "
			"completely created", l->name);
		return extras_add(ck);
	}
	seg = boot_add(ck, ck_place_seg(ck, l->root_place),
		       l->root_generation, l->root_zones);
	if (seg == NULL)
		return -ENOMEM;
	r = ck_rows_load(ck, seg);
	if (r < 0)
		return r;
	row = root_row(ck, seg);
	if (row == NULL)
		return 0;
	ck->root = ck_alloc(ck, l->root_blocks, TARN_BLOCK);
	if (ck->root == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->root_blocks; i++) {
		r = ck_read_place(ck, ck_row_place(ck, seg, row, i),
				  row->crcs[i],
				  ck->root + (size_t)i * TARN_BLOCK);
		if (r == 0)
			continue;
		ck_lost(ck, "block %" PRIu32 " of the root of commit %" PRIu64
			" (%s) cannot be had from any unit; nothing can be "
			"opened from this label", i, l->commit,
			ck_place_text(ck, l->root_place).s);
		return 0;
	}
	why = root_problem(ck, ck->root, l->root_blocks * TARN_BLOCK);
	if (why != NULL) {
		ck_error(ck, "the root of commit %" PRIu64 ": %s", l->commit,
			 why);
		return 0;
	}
	ck->root_bytes =
		le32_get(((struct root_header *)(void *)ck->root)->bytes);
	claim_take(ck, row);
	r = root_parts(ck);
	if (r < 0)
		return r;
	ck->rooted = true;
	return extras_add(ck);
}
