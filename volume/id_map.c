/* volume/id_map.c - a page of bits at a time. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/util.h"
#include "volume/id_map.h"
#include "volume/node_format.h"

void id_map_init(struct id_map *m, struct slab *slab)
{
	memset(m, 0, sizeof(*m));
	m->slab = slab;
}

void id_map_fini(struct id_map *m)
{
	for (uint32_t i = 0; i < m->npages; i++)
		slab_put(m->slab, m->pages[i]);
	free(m->pages);
	free(m->dirty);
	id_map_init(m, m->slab);
}

int id_map_add_page(struct id_map *m, void *buf)
{
	uint64_t *words = buf;

	if (m->npages == m->cap) {
		uint32_t   cap = m->cap == 0 ? 16 : 2 * m->cap;
		uint64_t **pages;
		bool      *dirty;

		pages = realloc(m->pages, cap * sizeof(m->pages[0]));
		if (pages == NULL)
			return -ENOMEM;
		m->pages = pages;
		dirty = realloc(m->dirty, cap * sizeof(m->dirty[0]));
		if (dirty == NULL)
			return -ENOMEM;
		m->dirty = dirty;
		m->cap = cap;
	}
	for (unsigned i = 0; i < TARN_BLOCK / 8; i++)
		m->used += (unsigned)__builtin_popcountll(words[i]);
	if (m->npages == 0) {
		/* Id 0 is no node. */
		m->used -= bitmap_test(words, 0) ? 1 : 0;
		bitmap_set(words, 0);
	}
	m->pages[m->npages] = words;
	m->dirty[m->npages] = false;
	m->npages++;
	return 0;
}

void id_map_touch_page(struct id_map *m, uint32_t page)
{
	if (page >= m->npages || m->dirty[page])
		return;
	m->dirty[page] = true;
	m->ndirty++;
}

uint64_t id_map_end(const struct id_map *m)
{
	return (uint64_t)m->npages * NODE_BITS_PAGE;
}

uint32_t id_alloc(struct id_map *m)
{
	uint32_t page = (uint32_t)(m->hint / NODE_BITS_PAGE);
	uint64_t bit = m->hint % NODE_BITS_PAGE;

	for (; page < m->npages; page++, bit = 0) {
		bit = bitmap_next_clear(m->pages[page], bit, NODE_BITS_PAGE);
		if (bit < NODE_BITS_PAGE)
			break;
	}
	if (page == m->npages) {
		void *buf = slab_need(m->slab);

		memset(buf, 0, TARN_BLOCK);
		if (id_map_add_page(m, buf) < 0)
			abort(); /* as in slab_need() */
		bit = page == 0 ? 1 : 0;
	}
	bitmap_set(m->pages[page], bit);
	id_map_touch_page(m, page);
	m->used++;
	m->hint = (uint64_t)page * NODE_BITS_PAGE + bit + 1;
	assert(m->hint <= UINT32_MAX);
	return (uint32_t)(m->hint - 1);
}

bool id_used(const struct id_map *m, uint64_t id)
{
	return id < id_map_end(m) &&
	       bitmap_test(m->pages[id / NODE_BITS_PAGE], id % NODE_BITS_PAGE);
}

void id_free(struct id_map *m, uint32_t id)
{
	uint32_t page = id / NODE_BITS_PAGE;

	assert(id != 0 && id_used(m, id));
	bitmap_clear(m->pages[page], id % NODE_BITS_PAGE);
	id_map_touch_page(m, page);
	m->used--;
	m->hint = min_u64(m->hint, id);
}
