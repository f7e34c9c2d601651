/* tools/check/check_copies.c - rows of one claim with the same number are
 * copies of one row, written again because the first one was late: they hold
 * the same.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/check/check_state.h"

struct copy {
	const struct ck_segment *seg;
	const struct ck_row     *row;
};

static int order(const void *pa, const void *pb)
{
	const struct copy *a = pa, *b = pb;
	int r;

	if (a->row->row != b->row->row)
		return a->row->row < b->row->row ? -1 : 1;
	if (a->row->claim.no != b->row->claim.no)
		return a->row->claim.no < b->row->claim.no ? -1 : 1;
	r = memcmp(a->row->claim.id.b, b->row->claim.id.b,
		   sizeof(a->row->claim.id.b));
	if (r != 0)
		return r;
	return a->seg->no < b->seg->no ? -1 : a->seg->no > b->seg->no;
}

static bool same_claim(const struct ck_row *a, const struct ck_row *b)
{
	return a->claim.no == b->claim.no &&
	       uuid_equal(&a->claim.id, &b->claim.id);
}

static bool alike(const struct ck_row *a, const struct ck_row *b)
{
	return a->payload_blocks == b->payload_blocks &&
	       a->nrecs == b->nrecs && a->recs_bytes == b->recs_bytes &&
	       memcmp(a->crcs, b->crcs,
		      a->payload_blocks * sizeof(*a->crcs)) == 0 &&
	       memcmp(a->raw, b->raw, a->recs_bytes) == 0;
}

static size_t segment_add(const struct ck_segment *seg, struct copy *list,
			  size_t n)
{
	for (uint32_t i = 0; i < seg->nrows; i++) {
		if (seg->rows[i]->from_index)
			continue; /* its claim is not known */
		list[n].seg = seg;
		list[n++].row = seg->rows[i];
	}
	return n;
}

int ck_copies(struct ck *ck)
{
	size_t total = 0, n = 0;
	struct copy *list;

	for (uint32_t i = 0; i < ck->nsegs; i++)
		total += ck->segs[i].nrows;
	for (uint32_t i = 0; i < ck->nboot; i++)
		total += ck->boot[i].extra ? ck->boot[i].nrows : 0;
	list = ck_alloc(ck, total, sizeof(*list));
	if (list == NULL)
		return ck->res;
	for (uint32_t i = 0; i < ck->nsegs; i++)
		n = segment_add(&ck->segs[i], list, n);
	for (uint32_t i = 0; i < ck->nboot; i++) {
		if (ck->boot[i].extra)
			n = segment_add(&ck->boot[i], list, n);
	}
	if (n > 0)
		qsort(list, n, sizeof(*list), order);
	for (size_t i = 1; i < n; i++) {
		const struct copy *a = &list[i - 1], *b = &list[i];

		if (a->row->row == b->row->row &&
		    same_claim(a->row, b->row) && !alike(a->row, b->row))
			ck_error(ck, "row %" PRIu64 " of claim %" PRIu64
				 " is in segment %" PRIu32 " at block %" PRIu32
				 " and in segment %" PRIu32 " at block %" PRIu32
				 ", but they do not hold the same",
				 a->row->row, a->row->claim.no, a->seg->no,
				 a->row->off, b->seg->no, b->row->off);
	}
	free(list);
	return 0;
}
