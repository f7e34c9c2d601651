/* volume/block_cache.c - a set-associative cache: a place may be in one of the
 * eight ways of one set.  In each set goes a clock: a way that was used since
 * the hand came by is passed over once.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/util.h"
#include "volume/block_cache.h"

static_assert(sizeof(struct cache_set) == 128, "two lines of cache");

/* No way has it. */
#define NO_WAY CACHE_WAYS

static size_t sets_bytes(const struct block_cache *c)
{
	return round_up(c->nsets * sizeof(struct cache_set), MEM_HUGE_BYTES);
}

static size_t all_bytes(const struct block_cache *c)
{
	return sets_bytes(c) + blocks_to_bytes(c->nslots);
}

int block_cache_init(struct block_cache *c, uint64_t bytes)
{
	uint8_t *mem;

	memset(c, 0, sizeof(*c));
	c->nslots = min_u64(bytes >> TARN_BLOCK_SHIFT, 1ull << 32);
	if (c->nslots == 0)
		return 0;
	c->limit = c->nslots;
	c->nsets = (uint32_t)((c->nslots + CACHE_WAYS - 1) / CACHE_WAYS);
	mem = mem_map(all_bytes(c));
	if (mem == NULL) {
		memset(c, 0, sizeof(*c));
		return -ENOMEM;
	}
	c->sets = (struct cache_set *)(void *)mem;
	c->blocks = mem + sets_bytes(c);
	return 0;
}

void block_cache_fini(struct block_cache *c)
{
	mem_unmap(c->sets, all_bytes(c));
	memset(c, 0, sizeof(*c));
}

/* --- looking ------------------------------------------------------------- */

static uint64_t hash_of(place_t place)
{
	return place * 0x9e3779b97f4a7c15ull;
}

static uint32_t set_of(const struct block_cache *c, place_t place)
{
	return (uint32_t)((hash_of(place) >> 32) * c->nsets >> 32);
}

static uint64_t slot_of(const struct block_cache *c, uint32_t set,
			unsigned way)
{
	return (uint64_t)way * c->nsets + set;
}

static uint8_t *block_of(const struct block_cache *c, uint32_t set,
			 unsigned way)
{
	return c->blocks + blocks_to_bytes(slot_of(c, set, way));
}

static unsigned way_find(const struct cache_set *s, place_t place)
{
	for (unsigned w = 0; w < CACHE_WAYS; w++)
		if (s->place[w] == place)
			return w;
	return NO_WAY;
}

const void *block_cache_get(struct block_cache *c, place_t place,
			    uint32_t crc)
{
	struct cache_set *s;
	uint32_t set;
	unsigned w;

	assert(place != PLACE_NONE); /* says that a way is empty */
	if (c->nslots == 0)
		return NULL;
	set = set_of(c, place);
	s = &c->sets[set];
	w = way_find(s, place);
	if (w == NO_WAY || s->crc[w] != crc) {
		c->misses++;
		return NULL;
	}
	c->hits++;
	if ((s->ahead & 1u << w) == 0)
		s->ref |= (uint8_t)(1u << w);
	s->ahead &= (uint8_t) ~(1u << w);
	return block_of(c, set, w);
}

/* --- taking in and giving up --------------------------------------------- */

/* An empty way within the limit. */
static unsigned way_empty(const struct block_cache *c, uint32_t set)
{
	unsigned w = way_find(&c->sets[set], PLACE_NONE);

	return w != NO_WAY && slot_of(c, set, w) < c->limit ? w : NO_WAY;
}

/* A way for something new: the hand goes round at most once and a bit.  NO_WAY
 * if the limit leaves the set none. */
static unsigned way_take(struct block_cache *c, uint32_t set)
{
	struct cache_set *s = &c->sets[set];
	unsigned w = way_empty(c, set);

	if (w != NO_WAY) {
		c->used++;
		return w;
	}
	if (slot_of(c, set, 0) >= c->limit)
		return NO_WAY;
	for (;;) {
		w = s->hand++;
		if (w >= CACHE_WAYS || slot_of(c, set, w) >= c->limit) {
			s->hand = 0;
			continue;
		}
		if ((s->ref & 1u << w) == 0)
			return w;
		s->ref &= (uint8_t) ~(1u << w);
	}
}

void block_cache_put(struct block_cache *c, place_t place, uint32_t crc,
		     const void *data)
{
	struct cache_set *s;
	uint32_t set;
	unsigned w;

	assert(place != PLACE_NONE);
	if (c->nslots == 0)
		return;
	set = set_of(c, place);
	s = &c->sets[set];
	w = way_find(s, place);
	if (w == NO_WAY)
		w = way_take(c, set);
	if (w == NO_WAY)
		return;
	s->place[w] = place;
	s->crc[w] = crc;
	s->ahead &= (uint8_t) ~(1u << w);
	memcpy(block_of(c, set, w), data, TARN_BLOCK);
}

void block_cache_put_ahead(struct block_cache *c, place_t place, uint32_t crc,
			   const void *data)
{
	struct cache_set *s;
	unsigned w;

	assert(place != PLACE_NONE);
	if (c->nslots == 0)
		return;
	s = &c->sets[set_of(c, place)];
	w = way_find(s, place);
	if (w != NO_WAY && s->crc[w] == crc)
		return;
	block_cache_put(c, place, crc, data);
	w = way_find(s, place);
	if (w != NO_WAY)
		s->ahead |= (uint8_t)(1u << w);
}

/* Has the place been noted?  Then its note is used up, else it is made. */
static bool noted(struct cache_set *s, place_t place)
{
	uint16_t note = (uint16_t)(hash_of(place) >> 16 | 1); /* 0: none */

	for (unsigned i = 0; i < CACHE_NOTES; i++) {
		if (s->notes[i] == note) {
			s->notes[i] = 0;
			return true;
		}
	}
	s->notes[s->note_next] = note;
	s->note_next = (uint8_t)((s->note_next + 1u) % CACHE_NOTES);
	return false;
}

void block_cache_offer(struct block_cache *c, place_t place, uint32_t crc,
		       const void *data)
{
	uint32_t set;

	assert(place != PLACE_NONE);
	if (c->nslots == 0)
		return;
	set = set_of(c, place);
	if (way_empty(c, set) != NO_WAY || noted(&c->sets[set], place))
		block_cache_put(c, place, crc, data);
}

void block_cache_note(struct block_cache *c, place_t place, uint32_t crc,
		      const void *data)
{
	assert(place != PLACE_NONE);
	if (c->nslots > 0 && noted(&c->sets[set_of(c, place)], place))
		block_cache_put(c, place, crc, data);
}

static void way_drop(struct block_cache *c, struct cache_set *s, unsigned w)
{
	s->place[w] = PLACE_NONE;
	s->ref &= (uint8_t) ~(1u << w);
	s->ahead &= (uint8_t) ~(1u << w);
	c->used--;
}

void block_cache_drop(struct block_cache *c, place_t place)
{
	struct cache_set *s;
	unsigned w;

	assert(place != PLACE_NONE);
	if (c->used == 0)
		return;
	s = &c->sets[set_of(c, place)];
	w = way_find(s, place);
	if (w != NO_WAY)
		way_drop(c, s, w);
}

void block_cache_limit(struct block_cache *c, uint64_t bytes)
{
	uint64_t limit = min_u64(bytes >> TARN_BLOCK_SHIFT, c->nslots);
	uint64_t was = c->limit;

	c->limit = limit;
	if (limit >= was)
		return;
	for (uint64_t slot = limit; slot < was; slot++) {
		struct cache_set *s = &c->sets[slot % c->nsets];
		unsigned w = (unsigned)(slot / c->nsets);

		if (s->place[w] != PLACE_NONE)
			way_drop(c, s, w);
	}
	mem_forget(c->blocks + blocks_to_bytes(limit),
		   blocks_to_bytes(was - limit));
}
