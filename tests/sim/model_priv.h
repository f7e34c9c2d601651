/* tests/sim/model_priv.h - between model.c and model_crash.c. */
#ifndef TARN_TESTS_SIM_MODEL_PRIV_H
#define TARN_TESTS_SIM_MODEL_PRIV_H

#include "tests/sim/model.h"

struct found {
	bool     any;
	uint32_t newest; /* versions that explain the contents; 0: zeros that */
	uint32_t oldest; /* were never touched */
};

/* What was found in a block. */
struct seen {
	uint64_t       block; /* of its volume */
	const uint8_t *data;  /* the whole block */
	unsigned       x, y;  /* bytes [x, y) of it count */
};

/* Which versions, from the newest down to the oldest one allowed (n <= bound),
 * explain what was seen of the block? */
bool model_find(const struct model *m, const struct mblock *b,
		const struct seen *s, uint32_t bound, struct found *f);
/* n of the newest version that no power loss can take away. */
uint32_t model_durable_n(const struct model *m, const struct mblock *b);
/* May the operation have had no effect on that block although it is done? */
bool model_doubtful(const struct mop *o, uint64_t block);
uint32_t model_new_op(struct model *m);
/* The operation touches the block: one more version of it. */
void model_push(struct model *m, unsigned vol, uint64_t block, uint32_t op);
__attribute__((noreturn))
void model_fail_block(struct model *m, unsigned vol, const struct seen *s,
		      uint32_t bound, const char *when);
void model_stamp_text(const struct model *m, const uint8_t *data,
		      unsigned byte, char *text, size_t text_bytes);

#endif
