/* volume/node_table.c - table pages, whole or in part.
 *
 * Invariants
 *  - complete: every bit of `have` is set, and of `frozen_have` if there is a
 *    frozen buffer.
 *  - commit: what `frozen` (or else `data`) says is the state
 *    as of the freeze, plus the places that this commit gave.
 *  - A page that is dirty, in the commit under way or being read stays; all
 *    others are in the LRU list.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "volume/volumes.h"

#define TABLE_BUCKETS  16384u
#define TPAGES_A_CHUNK 64u

int node_table_init(struct volumes *vols)
{
	struct node_table *t = &vols->table;

	list_init(&t->dirty);
	t->buckets = calloc(TABLE_BUCKETS, sizeof(t->buckets[0]));
	if (t->buckets == NULL)
		return -ENOMEM;
	return objpool_init(&t->tpages, sizeof(struct tpage), TPAGES_A_CHUNK,
			    0);
}

void node_table_fini(struct volumes *vols)
{
	objpool_fini(&vols->table.tpages);
	free(vols->table.buckets);
}

static struct tpage **bucket_of(struct volumes *vols, uint32_t page)
{
	return &vols->table.buckets[page % TABLE_BUCKETS];
}

static struct tpage *page_find(struct volumes *vols, uint32_t page)
{
	struct tpage *tp = *bucket_of(vols, page);

	while (tp != NULL && tp->page != page)
		tp = tp->hash_next;
	return tp;
}

static struct tpage *page_new(struct volumes *vols, uint32_t page)
{
	struct tpage **bucket = bucket_of(vols, page);
	struct tpage  *tp = objpool_get(&vols->table.tpages);
	uint32_t       crc;

	if (tp == NULL)
		return NULL;
	memset(tp, 0, sizeof(*tp));
	tp->data = slab_get(&vols->slab);
	if (tp->data == NULL) {
		objpool_put(&vols->table.tpages, tp);
		return NULL;
	}
	memset(tp->data, 0, TARN_BLOCK);
	tp->vols = vols;
	tp->page = page;
	tp->cached.is_page = true;
	list_init(&tp->cached.link);
	list_init(&tp->dirty_link);
	list_init(&tp->commit_link);
	list_init(&tp->waiters);
	list_init(&tp->io_link);
	if (page >= pool_table_pages(vols->pool, TABLE_NODES) ||
	    pool_table_place(vols->pool, TABLE_NODES, page, &crc) ==
		    PLACE_NONE) {
		/* Never written: all of it is known to be zero. */
		tp->complete = true;
		memset(tp->have, 0xff, sizeof(tp->have));
	}
	tp->hash_next = *bucket;
	*bucket = tp;
	tpage_settle(tp);
	return tp;
}

struct tpage *table_page(struct volumes *vols, uint32_t page)
{
	struct tpage *tp = page_find(vols, page);

	if (tp == NULL)
		return page_new(vols, page);
	tp->cached.ref = true;
	return tp;
}

static struct tpage *page_need(struct volumes *vols, uint32_t page)
{
	struct tpage *tp = table_page(vols, page);

	if (tp == NULL)
		abort(); /* as in slab_need() */
	return tp;
}

void tpage_settle(struct tpage *tp)
{
	if (tp->dirty || tp->commit || tp->written || tp->loading)
		return;
	if (list_empty(&tp->cached.link))
		list_push(&tp->vols->cache.lru, &tp->cached.link);
}

void tpage_drop(struct tpage *tp)
{
	struct tpage **p = bucket_of(tp->vols, tp->page);

	assert(!tp->dirty && !tp->commit && !tp->written && !tp->loading);
	while (*p != tp)
		p = &(*p)->hash_next;
	*p = tp->hash_next;
	list_remove(&tp->cached.link);
	slab_put(&tp->vols->slab, tp->data);
	slab_put(&tp->vols->slab, tp->frozen);
	objpool_put(&tp->vols->table.tpages, tp);
}

static bool bit_get(const uint64_t *have, unsigned i)
{
	return (have[i / 64] >> (i % 64)) & 1;
}

static void bit_set(uint64_t *have, unsigned i)
{
	have[i / 64] |= 1ull << (i % 64);
}

bool table_entry_known(const struct tpage *tp, uint32_t id)
{
	assert(id / NODES_A_PAGE == tp->page);
	return tp->complete || bit_get(tp->have, id % NODES_A_PAGE);
}

const struct node_entry *table_entry(const struct tpage *tp, uint32_t id)
{
	return (const struct node_entry *)tp->data + id % NODES_A_PAGE;
}

void table_wait(struct tpage *tp, struct node_waiter *w)
{
	assert(!tp->complete);
	list_push(&tp->waiters, &w->link);
	if (tp->loading)
		return;
	tp->loading = true;
	list_remove(&tp->cached.link);
	page_load_start(tp);
}

static void page_fill(uint8_t *to, uint64_t *have, const uint8_t *from)
{
	const size_t bytes = sizeof(struct node_entry);

	for (unsigned i = 0; i < NODES_A_PAGE; i++)
		if (!bit_get(have, i))
			memcpy(to + i * bytes, from + i * bytes, bytes);
	memset(have, 0xff, 2 * sizeof(have[0]));
}

void table_loaded(struct tpage *tp, const void *buf, int res)
{
	struct list  waiters;
	struct list *link;

	assert(tp->loading && !tp->complete);
	tp->loading = false;
	if (res == 0) {
		page_fill(tp->data, tp->have, buf);
		if (tp->frozen != NULL)
			page_fill(tp->frozen, tp->frozen_have, buf);
		tp->complete = true;
	}
	list_init(&waiters);
	list_splice(&waiters, &tp->waiters);
	tpage_settle(tp);
	while ((link = list_pop(&waiters)) != NULL) {
		struct node_waiter *w = list_entry(link, struct node_waiter,
						   link);

		w->fn(w, res);
	}
}

static void page_mark_dirty(struct tpage *tp)
{
	if (tp->dirty)
		return;
	tp->dirty = true;
	list_remove(&tp->cached.link);
	list_push(&tp->vols->table.dirty, &tp->dirty_link);
	tp->vols->table.ndirty++;
}

/* The content is about to change. */
static void page_save_frozen(struct tpage *tp)
{
	uint8_t *copy;

	if (!tp->commit || tp->frozen != NULL)
		return;
	copy = slab_need(&tp->vols->slab);
	memcpy(copy, tp->data, TARN_BLOCK);
	tp->frozen = tp->data;
	memcpy(tp->frozen_have, tp->have, sizeof(tp->have));
	tp->data = copy;
}

static void entry_put(uint8_t *data, uint64_t *have, uint32_t id,
		      const struct node_entry *e)
{
	unsigned i = id % NODES_A_PAGE;

	memcpy(data + i * sizeof(*e), e, sizeof(*e));
	bit_set(have, i);
}

void table_set(struct volumes *vols, uint32_t id, const struct node_entry *e)
{
	struct tpage *tp = page_need(vols, id / NODES_A_PAGE);

	page_save_frozen(tp);
	page_mark_dirty(tp);
	entry_put(tp->data, tp->have, id, e);
}

void table_touch(struct volumes *vols, uint32_t id, const struct node_entry *e)
{
	struct tpage *tp = page_need(vols, id / NODES_A_PAGE);

	page_mark_dirty(tp);
	if (table_entry_known(tp, id))
		return;
	/* What was known when the node was read is what is on disk. */
	entry_put(tp->data, tp->have, id, e);
	if (tp->frozen != NULL && !bit_get(tp->frozen_have, id % NODES_A_PAGE))
		entry_put(tp->frozen, tp->frozen_have, id, e);
}

int table_touch_page(struct volumes *vols, uint32_t page)
{
	struct tpage *tp = table_page(vols, page);

	if (tp == NULL)
		return -ENOMEM;
	page_mark_dirty(tp);
	return 0;
}

static void entry_place_put(uint8_t *data, uint32_t id, place_t place,
			    uint32_t crc)
{
	struct node_entry *e = (struct node_entry *)data + id % NODES_A_PAGE;

	e->place = le64_of(place);
	e->crc32c = le32_of(crc);
}

void table_placed(struct volumes *vols, uint32_t id, place_t place,
		  uint32_t crc, bool live)
{
	struct tpage *tp = page_find(vols, id / NODES_A_PAGE);

	assert(tp != NULL && tp->commit && !tp->written);
	assert(table_entry_known(tp, id));
	if (tp->frozen != NULL)
		entry_place_put(tp->frozen, id, place, crc);
	if (live)
		entry_place_put(tp->data, id, place, crc);
	else
		assert(tp->frozen != NULL);
}

void table_give_up(struct tpage *tp)
{
	static const uint8_t zero[TARN_BLOCK];

	page_fill(tp->data, tp->have, zero);
	if (tp->frozen != NULL)
		page_fill(tp->frozen, tp->frozen_have, zero);
	tp->complete = true;
}
