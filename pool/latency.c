/* pool/latency.c - how long requests took, in a few bytes.  Pure.
 *
 * A histogram of half octaves that forgets: when it is full all counts are
 * halved, so what it says is of the last thousand requests or so, whenever
 * those were.  It says where the upper edge of a bucket is, and never more than
 * the longest of them.
 */
#include <string.h>

#include "base/util.h"
#include "pool/speed.h"

static unsigned bucket_of(uint64_t us)
{
	unsigned log2, b;

	if (us < 2)
		return 0;
	log2 = 63u - (unsigned)__builtin_clzll(us);
	b = 2 * log2 + (unsigned)(us >> (log2 - 1) & 1);
	return b < LATENCY_BUCKETS ? b : LATENCY_BUCKETS - 1;
}

/* The largest that is in it. */
static uint64_t bucket_us(unsigned b)
{
	uint64_t base = 1ull << b / 2;

	if (b < 2)
		return 1;
	return b % 2 == 0 ? base + base / 2 - 1 : 2 * base - 1;
}

static void halve(struct latency *l)
{
	l->n = 0;
	for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
		l->buckets[b] /= 2;
		l->n += l->buckets[b];
	}
}

void latency_add(struct latency *l, uint64_t us)
{
	uint32_t short_us = (uint32_t)min_u64(us, UINT32_MAX);

	if (l->n >= LATENCY_SAMPLES)
		halve(l);
	l->buckets[bucket_of(us)]++;
	l->n++;
	l->requests++;
	if (l->since++ == LATENCY_SAMPLES) {
		l->since = 1;
		l->max_us[1] = l->max_us[0];
		l->max_us[0] = 0;
	}
	l->max_us[0] = max_u32(l->max_us[0], short_us);
}

uint32_t latency_max_us(const struct latency *l)
{
	return max_u32(l->max_us[0], l->max_us[1]);
}

uint32_t latency_us(const struct latency *l, uint32_t permille)
{
	uint64_t want = div_up((uint64_t)l->n * permille, 1000), seen = 0;

	if (l->n == 0)
		return 0;
	for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
		seen += l->buckets[b];
		if (seen >= want && seen > 0)
			return (uint32_t)min_u64(bucket_us(b),
						 latency_max_us(l));
	}
	return latency_max_us(l);
}
