/* base/util.h - the few macros and integer helpers that everything uses.
 *
 * Pure and header-only.  Sizes are said in the names: _bytes, _blocks, _ns.
 */
#ifndef TARN_BASE_UTIL_H
#define TARN_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Block = 4096 bytes everywhere inside. */
#define TARN_BLOCK_SHIFT 12u
#define TARN_BLOCK       4096u

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Nanoseconds. */
#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S  1000000000ull

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* a / b rounded up; b > 0, a + b must not overflow. */
static inline uint64_t div_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* v rounded up to a multiple of the power of two `to`. */
static inline uint64_t round_up(uint64_t v, uint64_t to)
{
	return (v + to - 1) & ~(to - 1);
}

static inline bool is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* Floor of log2; v > 0. */
static inline unsigned log2_floor(uint64_t v)
{
	return 63u - (unsigned)__builtin_clzll(v);
}

static inline uint64_t bytes_to_blocks_up(uint64_t bytes)
{
	return (bytes >> TARN_BLOCK_SHIFT) +
	       ((bytes & (TARN_BLOCK - 1)) != 0 ? 1 : 0);
}

static inline uint64_t blocks_to_bytes(uint64_t blocks)
{
	return blocks << TARN_BLOCK_SHIFT;
}

#endif
