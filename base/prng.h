/* base/prng.h - a small seeded generator (xoshiro256**, Blackman and Vigna)
 * for simulation and for identities that the engine has seeded from the
 * kernel.  Not for secrets.
 */
#ifndef TARN_BASE_PRNG_H
#define TARN_BASE_PRNG_H

#include <assert.h>
#include <stdint.h>

struct prng {
	uint64_t s[4];
};

static inline void prng_init(struct prng *p, uint64_t seed)
{
	/* splitmix64, so that similar seeds give unrelated streams. */
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += 0x9e3779b97f4a7c15ull);

		z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
		z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
		p->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t prng_u64(struct prng *p)
{
	uint64_t *s = p->s;
	uint64_t  x = s[1] * 5;
	uint64_t  r = ((x << 7) | (x >> 57)) * 9;
	uint64_t  t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return r;
}

/* Uniform enough in [0, n); n > 0. */
static inline uint64_t prng_below(struct prng *p, uint64_t n)
{
	assert(n > 0);
	return (uint64_t)(((unsigned __int128)prng_u64(p) * n) >> 64);
}

#endif
