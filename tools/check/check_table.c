/* tools/check/check_table.c - the pages of the tables that a root points to.
 *
 * root -> index pages -> pages.  A page that cannot be had is reported with
 * what it held; the rest goes on without it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "tools/check/check_state.h"

static const char *const kind_names[ROOT_KINDS] = {
	[TABLE_SEGMENTS] = "segment table",
	[TABLE_NODES] = "node table",
	[TABLE_NODE_MAP] = "node map",
	[TABLE_CATALOG] = "catalog",
	[TABLE_VERSIONS] = "version table",
	[TABLE_EVENTS] = "table of events",
};

const char *ck_kind_name(uint32_t kind)
{
	return kind < ROOT_KINDS && kind_names[kind] != NULL ?
		       kind_names[kind] :
		       "unknown table";
}

static int index_load(struct ck *ck, uint32_t kind, uint32_t i, uint8_t *buf)
{
	struct ck_table *t = &ck->tables[kind];
	uint32_t first = i * INDEX_REFS_A_PAGE;
	uint32_t n = min_u32(INDEX_REFS_A_PAGE, t->npages - first);

	if (t->index[i].place == PLACE_NONE)
		return 0; /* none of its pages was ever written */
	if (ck_read_place(ck, t->index[i].place, t->index[i].crc, buf) < 0) {
		for (uint32_t j = 0; j < n; j++)
			t->lost[first + j] = 1;
		ck_lost(ck, "index page %" PRIu32 " of the %s (%s) cannot be "
			"had: pages %" PRIu32 " to %" PRIu32 " of that table "
			"are lost with it", i, ck_kind_name(kind),
			ck_place_text(ck, t->index[i].place).s, first,
			first + n - 1);
		return 0;
	}
	for (uint32_t j = 0; j < n; j++) {
		const struct page_ref *p = &((struct page_ref *)(void *)buf)[j];

		t->refs[first + j].place = le64_get(p->place);
		t->refs[first + j].crc = le32_get(p->crc32c);
	}
	return 0;
}

static int page_load(struct ck *ck, uint32_t kind, uint32_t page)
{
	struct ck_table *t = &ck->tables[kind];

	if (t->refs[page].place == PLACE_NONE)
		return 0;
	t->pages[page] = ck_alloc(ck, 1, TARN_BLOCK);
	if (t->pages[page] == NULL)
		return -ENOMEM;
	if (ck_read_place(ck, t->refs[page].place, t->refs[page].crc,
			  t->pages[page]) == 0)
		return 0;
	free(t->pages[page]);
	t->pages[page] = NULL;
	t->lost[page] = 1;
	ck_lost(ck, "page %" PRIu32 " of the %s (%s) cannot be had; what it "
		"describes is lost", page, ck_kind_name(kind),
		ck_place_text(ck, t->refs[page].place).s);
	return 0;
}

int ck_table_load(struct ck *ck, uint32_t kind)
{
	struct ck_table *t = &ck->tables[kind];
	uint8_t *buf;
	int r = 0;

	t->refs = ck_alloc(ck, t->npages, sizeof(*t->refs));
	t->pages = ck_alloc(ck, t->npages, sizeof(*t->pages));
	t->lost = ck_alloc(ck, t->npages, sizeof(*t->lost));
	buf = ck_alloc(ck, 1, TARN_BLOCK);
	if (t->refs == NULL || t->pages == NULL || t->lost == NULL ||
	    buf == NULL) {
		free(buf);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < t->nindex && r == 0; i++)
		r = index_load(ck, kind, i, buf);
	for (uint32_t p = 0; p < t->npages && r == 0; p++)
		r = page_load(ck, kind, p);
	free(buf);
	return r;
}

const uint8_t *ck_table_page(const struct ck *ck, uint32_t kind, uint32_t page)
{
	const struct ck_table *t = &ck->tables[kind];

	return page < t->npages && t->pages != NULL ? t->pages[page] : NULL;
}

bool ck_table_lost(const struct ck *ck, uint32_t kind, uint32_t page)
{
	const struct ck_table *t = &ck->tables[kind];

	return page < t->npages && t->lost != NULL && t->lost[page] != 0;
}
