/* pool/table.c - the index of the tables: where each page is.
 *
 * Whole in memory: 16 bytes for each 4096-byte page.  Blocks of tables, of the
 * index and of the root are counted per segment apart from live data
 * (seg->tables), from what is in memory; so the segment table need not count
 * the places that it is itself written to.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pool/core.h"

uint32_t pool_table_pages(const struct pool *p, enum table_kind kind)
{
	return p->tables[kind].npages;
}

place_t pool_table_place(const struct pool *p, enum table_kind kind,
			 uint32_t page, uint32_t *ret_crc)
{
	const struct table *t = &p->tables[kind];

	if (page >= t->npages)
		return PLACE_NONE;
	*ret_crc = le32_get(t->refs[page].crc32c);
	return le64_get(t->refs[page].place);
}

static void *grow_zeroed(void *old, size_t old_bytes, size_t new_bytes)
{
	uint8_t *b = realloc(old, new_bytes);

	if (b != NULL)
		memset(b + old_bytes, 0, new_bytes - old_bytes);
	return b;
}

int table_grow(struct pool *p, enum table_kind kind, uint32_t npages)
{
	struct table *t = &p->tables[kind];
	uint32_t      cap, ncap;
	void         *b;

	if (npages <= t->npages)
		return 0;
	if (npages > t->cap) {
		/* A multiple of 256, so that index pages are whole. */
		cap = (uint32_t)round_up(max_u32(npages, t->cap * 2),
					 INDEX_REFS_A_PAGE);
		ncap = cap / INDEX_REFS_A_PAGE;
		b = grow_zeroed(t->refs, t->cap * sizeof(*t->refs),
				cap * sizeof(*t->refs));
		if (b == NULL)
			return -ENOMEM;
		t->refs = b;
		b = grow_zeroed(t->index,
				t->cap / INDEX_REFS_A_PAGE * sizeof(*t->index),
				ncap * sizeof(*t->index));
		if (b == NULL)
			return -ENOMEM;
		t->index = b;
		b = grow_zeroed(t->index_dirty,
				BITMAP_WORDS(t->cap / INDEX_REFS_A_PAGE) *
					sizeof(uint64_t),
				BITMAP_WORDS(ncap) * sizeof(uint64_t));
		if (b == NULL)
			return -ENOMEM;
		t->index_dirty = b;
		t->cap = cap;
	}
	t->npages = npages;
	t->nindex = (uint32_t)div_up(npages, INDEX_REFS_A_PAGE);
	return 0;
}

void table_ref_set(struct pool *p, enum table_kind kind, uint32_t page,
	       place_t place, uint32_t crc)
{
	struct table *t = &p->tables[kind];

	assert(page < t->npages);
	t->refs[page].place = le64_of(place);
	t->refs[page].crc32c = le32_of(crc);
	bitmap_set(t->index_dirty, page / INDEX_REFS_A_PAGE);
}

void table_count(struct pool *p, place_t place, int delta)
{
	struct segment *s = pool_seg(p, place_seg(p, place));

	assert(s != NULL && (delta > 0 || s->tables > 0));
	if (delta > 0) {
		s->tables++;
		p->tables_total++;
	} else {
		s->tables--;
		p->tables_total--;
		seg_check_dead(p, s);
	}
}

void tables_fini(struct pool *p)
{
	for (unsigned k = 0; k < TABLE_KINDS; k++) {
		free(p->tables[k].refs);
		free(p->tables[k].index);
		free(p->tables[k].index_dirty);
		memset(&p->tables[k], 0, sizeof(p->tables[k]));
	}
}
