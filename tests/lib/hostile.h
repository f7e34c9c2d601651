/* tests/lib/hostile.h - a server's life on a pool that is made up.
 *
 * Whatever the disks hold: the pool opens or says why not, every request ends
 * (many with an error), and closing ends and gives back everything.
 */
#ifndef TARN_TESTS_LIB_HOSTILE_H
#define TARN_TESTS_LIB_HOSTILE_H

#include "base/prng.h"
#include "tests/lib/image_builder.h"

struct hostile_opts {
	bool     read_only;
	bool     force;
	bool     verbose; /* say what the pool says */
	uint64_t seed;    /* of the engine, and of what is asked */
};

struct hostile_result {
	int      opened;  /* of pool_open() */
	uint64_t done;    /* requests that ended well */
	uint64_t failed;  /* … with an error */
	uint64_t lost;    /* lost_blocks at the end */
};

/* Open, use, close.  0, or -ETIMEDOUT when something did not end. */
int hostile_life(struct image *im, const struct hostile_opts *opts,
		 struct hostile_result *ret);

/* For hooks: a value that is likely to hurt. */
uint64_t hostile_value(struct prng *rng);
/* Change something in one of the structures that pass by: rarely in rows,
 * which are many, one time in `rarity` in all others. */
void hostile_flip(struct prng *rng, unsigned rarity, const struct image *im,
		  enum img_what what, void *buf);

#endif
