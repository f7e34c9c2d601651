/* tests/stamp/block.c - the contents of a stamped block: seed, block, id, then
 * numbers that follow from those three, so that no part of it can come from
 * anywhere else.
 */
#include "tests/stamp/stamp.h"

#include <string.h>

#include "base/prng.h"

void stamp_fill(uint8_t *buf, uint64_t seed, uint64_t block, uint64_t id)
{
	uint64_t    words[STAMP_BLOCK / 8];
	struct prng p;

	prng_init(&p, seed ^ (block * 0x9e3779b97f4a7c15ull) ^
			      (id * 0xd1342543de82ef95ull));
	words[0] = seed;
	words[1] = block;
	words[2] = id;
	for (unsigned i = 3; i < STAMP_BLOCK / 8; i++)
		words[i] = prng_u64(&p);
	memcpy(buf, words, STAMP_BLOCK);
}

uint64_t stamp_id(const uint8_t *buf, uint64_t seed, uint64_t block)
{
	static const uint8_t zeros[STAMP_BLOCK];
	uint8_t              want[STAMP_BLOCK];
	uint64_t             id;

	if (memcmp(buf, zeros, STAMP_BLOCK) == 0)
		return 0;
	memcpy(&id, buf + 16, 8);
	if (id == 0)
		return UINT64_MAX;
	stamp_fill(want, seed, block, id);
	return memcmp(buf, want, STAMP_BLOCK) == 0 ? id : UINT64_MAX;
}
