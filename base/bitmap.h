/* base/bitmap.h - bits in an array of 64-bit words owned by the caller. */
#ifndef TARN_BASE_BITMAP_H
#define TARN_BASE_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

#define BITMAP_WORDS(nbits) (((nbits) + 63) / 64)

static inline bool bitmap_test(const uint64_t *map, uint64_t i)
{
	return (map[i >> 6] >> (i & 63)) & 1;
}

static inline void bitmap_set(uint64_t *map, uint64_t i)
{
	map[i >> 6] |= 1ull << (i & 63);
}

static inline void bitmap_clear(uint64_t *map, uint64_t i)
{
	map[i >> 6] &= ~(1ull << (i & 63));
}

/* First clear bit in [from, nbits), or nbits if there is none. */
static inline uint64_t bitmap_next_clear(const uint64_t *map, uint64_t from,
					 uint64_t nbits)
{
	while (from < nbits) {
		uint64_t w = ~map[from >> 6] >> (from & 63);

		if (w != 0) {
			from += (uint64_t)__builtin_ctzll(w);
			return from < nbits ? from : nbits;
		}
		from = (from | 63) + 1;
	}
	return nbits;
}

/* First set bit in [from, nbits), or nbits if there is none. */
static inline uint64_t bitmap_next_set(const uint64_t *map, uint64_t from,
				       uint64_t nbits)
{
	while (from < nbits) {
		uint64_t w = map[from >> 6] >> (from & 63);

		if (w != 0) {
			from += (uint64_t)__builtin_ctzll(w);
			return from < nbits ? from : nbits;
		}
		from = (from | 63) + 1;
	}
	return nbits;
}

#endif
