/* volume/block_cache.c - a hash over slots, and a clock over them: a slot that
 * was used since the hand came by is passed over once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "volume/block_cache.h"

/* Bits a bucket, so that few that were never read seem to have been. */
#define NOTED_BITS 16u

int block_cache_init(struct block_cache *c, uint64_t bytes)
{
	uint64_t n = bytes >> TARN_BLOCK_SHIFT;
	uint64_t nbuckets;

	memset(c, 0, sizeof(*c));
	if (n == 0)
		return 0;
	n = min_u64(n, 1u << 30);
	nbuckets = 1ull << (log2_floor(n) + 1);
	c->slots = calloc(n, sizeof(c->slots[0]));
	c->buckets = calloc(nbuckets, sizeof(c->buckets[0]));
	c->noted = calloc(NOTED_BITS * nbuckets / 64, sizeof(c->noted[0]));
	if (c->slots == NULL || c->buckets == NULL || c->noted == NULL)
		goto err_tables;
	c->mem = mmap(NULL, blocks_to_bytes(n), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (c->mem == MAP_FAILED)
		goto err_tables;
	c->nslots = (uint32_t)n;
	c->mask = (uint32_t)(nbuckets - 1);
	return 0;

err_tables:
	free(c->slots);
	free(c->buckets);
	free(c->noted);
	memset(c, 0, sizeof(*c));
	return -ENOMEM;
}

void block_cache_fini(struct block_cache *c)
{
	if (c->nslots > 0)
		munmap(c->mem, blocks_to_bytes(c->nslots));
	free(c->slots);
	free(c->buckets);
	free(c->noted);
	memset(c, 0, sizeof(*c));
}

static uint32_t *bucket_of(const struct block_cache *c, place_t place)
{
	return &c->buckets[(place * 0x9e3779b97f4a7c15ull) >> 32 & c->mask];
}

static uint32_t slot_find(const struct block_cache *c, place_t place)
{
	uint32_t i = *bucket_of(c, place);

	while (i != 0 && c->slots[i - 1].place != place)
		i = c->slots[i - 1].next;
	return i;
}

const void *block_cache_get(struct block_cache *c, place_t place,
			    uint32_t crc)
{
	uint32_t i;

	if (c->nslots == 0)
		return NULL;
	i = slot_find(c, place);
	if (i == 0 || c->slots[i - 1].crc != crc) {
		c->misses++;
		return NULL;
	}
	c->hits++;
	c->slots[i - 1].ref = true;
	return c->mem + blocks_to_bytes(i - 1);
}

static void slot_unhash(struct block_cache *c, uint32_t i)
{
	uint32_t *p = bucket_of(c, c->slots[i - 1].place);

	while (*p != i)
		p = &c->slots[*p - 1].next;
	*p = c->slots[i - 1].next;
}

/* A slot for something new: the hand goes round at most once and a bit. */
static uint32_t slot_take(struct block_cache *c)
{
	for (;;) {
		struct cache_slot *s = &c->slots[c->hand];
		uint32_t i = c->hand + 1;

		c->hand = i % c->nslots;
		if (s->ref) {
			s->ref = false;
			continue;
		}
		if (s->place != PLACE_NONE)
			slot_unhash(c, i);
		else
			c->used++;
		return i;
	}
}

void block_cache_put(struct block_cache *c, place_t place, uint32_t crc,
		     const void *data)
{
	struct cache_slot *s;
	uint32_t i;

	if (c->nslots == 0)
		return;
	i = slot_find(c, place);
	if (i == 0) {
		uint32_t *bucket = bucket_of(c, place);

		i = slot_take(c);
		s = &c->slots[i - 1];
		s->place = place;
		s->next = *bucket;
		*bucket = i;
	}
	s = &c->slots[i - 1];
	s->crc = crc;
	memcpy(c->mem + blocks_to_bytes(i - 1), data, TARN_BLOCK);
}

/* Has the place been noted?  Then its note is used up, else it is made. */
static bool noted(struct block_cache *c, place_t place)
{
	uint64_t nbits = NOTED_BITS * (c->mask + 1ull);
	uint64_t bit = (place * 0xd6e8feb86659fd93ull) >> 20 & (nbits - 1);
	uint64_t mask = 1ull << bit % 64;

	if (c->noted[bit / 64] & mask) {
		c->noted[bit / 64] &= ~mask;
		return true;
	}
	if (c->nnoted++ == 2 * c->nslots) {
		memset(c->noted, 0, nbits / 8);
		c->nnoted = 0;
	}
	c->noted[bit / 64] |= mask;
	return false;
}

void block_cache_offer(struct block_cache *c, place_t place, uint32_t crc,
		       const void *data)
{
	if (c->nslots == 0 || (c->used == c->nslots && !noted(c, place)))
		return;
	block_cache_put(c, place, crc, data);
}
