/* volume/read_around.c - see read_around.h.
 *
 *   miss       the region is noted
 *   again      read_around_due(): the read is made larger
 *   ended      what was asked for is copied out, the rest goes to the cache
 *
 * The ways to fail: all slots are in use, and the read is a small one; the disk
 * gives no part of the region, and what was asked for is made again from the
 * other units as it would be alone.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/util.h"
#include "volume/read_around.h"

/* In credit: what a block costs that is read; what one is worth that is found in
 * the cache, so an eighth of them must be; and one that is not found, so that it
 * is tried again. */
#define BLOCK_CREDIT 8u
#define HIT_CREDIT   (8u * BLOCK_CREDIT)
#define MISS_CREDIT  1u

/* As many as the cache holds. */
static uint64_t credit_max(const struct read_around *a)
{
	return (uint64_t)a->nseen * AROUND_BLOCKS * BLOCK_CREDIT;
}

static size_t mem_bytes(void)
{
	return blocks_to_bytes(AROUND_SLOTS * AROUND_BLOCKS);
}

int read_around_init(struct read_around *a, struct block_cache *cache)
{
	memset(a, 0, sizeof(*a));
	list_init(&a->free);
	a->cache = cache;
	a->nseen = (uint32_t)min_u64(cache->nslots / AROUND_BLOCKS, 1u << 20);
	if (a->nseen == 0)
		return 0;
	a->credit = credit_max(a);
	a->seen = calloc(a->nseen, sizeof(a->seen[0]));
	a->slots = calloc(AROUND_SLOTS, sizeof(a->slots[0]));
	a->mem = mem_map(mem_bytes());
	if (a->seen == NULL || a->slots == NULL || a->mem == NULL) {
		read_around_fini(a);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < AROUND_SLOTS; i++) {
		a->slots[i].buf = a->mem + blocks_to_bytes(i * AROUND_BLOCKS);
		list_push(&a->free, &a->slots[i].link);
	}
	return 0;
}

void read_around_fini(struct read_around *a)
{
	free(a->seen);
	free(a->slots);
	if (a->mem != NULL)
		mem_unmap(a->mem, mem_bytes());
	memset(a, 0, sizeof(*a));
}

/* --- is it worth while? -------------------------------------------------- */

static void credit_add(struct read_around *a, uint64_t n)
{
	a->credit = min_u64(a->credit + n, credit_max(a));
}

void read_around_hit(struct read_around *a)
{
	credit_add(a, HIT_CREDIT);
}

bool read_around_due(struct read_around *a, place_t place, uint32_t n)
{
	uint64_t  region = place / AROUND_BLOCKS + 1;
	uint64_t *seen;
	/* The cache may have less room than it could have. */
	uint32_t  nseen = (uint32_t)min_u64(
		 a->nseen, a->nseen == 0 ? 0 : a->cache->limit / AROUND_BLOCKS);

	if (nseen == 0 || place % AROUND_BLOCKS + n > AROUND_BLOCKS)
		return false;
	credit_add(a, (uint64_t)n * MISS_CREDIT);
	seen = &a->seen[(region * 0x9e3779b97f4a7c15ull >> 32) * nseen >> 32];
	if (*seen != region) {
		*seen = region;
		return false;
	}
	return a->credit >= AROUND_BLOCKS * BLOCK_CREDIT;
}

/* --- one ----------------------------------------------------------------- */

struct around_slot *read_around_start(struct read_around *a,
				      struct pool_read *rd, place_t place,
				      uint32_t n, const uint32_t *crcs,
				      void *dest)
{
	struct list        *link = list_pop(&a->free);
	struct around_slot *s;

	if (link == NULL)
		return NULL;
	s = list_entry(link, struct around_slot, link);
	s->at = (uint32_t)(place % AROUND_BLOCKS);
	s->n = n;
	s->dest = dest;
	assert(s->at + n <= AROUND_BLOCKS);
	memset(s->skip, 1, sizeof(s->skip));
	memset(s->skip + s->at, 0, n);
	memset(s->crcs, 0, sizeof(s->crcs));
	memcpy(s->crcs + s->at, crcs, n * sizeof(crcs[0]));
	rd->place = place - s->at;
	rd->n = AROUND_BLOCKS;
	rd->buf = s->buf;
	rd->crcs = s->crcs;
	rd->skip = s->skip;
	a->credit -= AROUND_BLOCKS * BLOCK_CREDIT;
	a->reads++;
	return s;
}

void read_around_end(struct read_around *a, struct around_slot *s,
		     const struct pool_read *rd)
{
	for (uint32_t i = 0; i < AROUND_BLOCKS && rd->res == 0; i++) {
		const uint8_t *data = s->buf + blocks_to_bytes(i);

		if (s->skip[i])
			block_cache_put_ahead(a->cache, rd->place + i,
					      crc32c(0, data, TARN_BLOCK),
					      data);
	}
	if (rd->res == 0)
		memcpy(s->dest, s->buf + blocks_to_bytes(s->at),
		       blocks_to_bytes(s->n));
	list_push_front(&a->free, &s->link);
}
