/* tests/lib/image_check.h - hand-made pools with trees, checked: what is right
 * is clean, and the state after the log is that of the model; what contradicts
 * itself is found.
 *
 * What is not as wanted is printed, and counted in what is returned.
 */
#ifndef TARN_TESTS_LIB_IMAGE_CHECK_H
#define TARN_TESTS_LIB_IMAGE_CHECK_H

#include "tests/lib/image_builder.h"
#include "tools/check/check.h"

typedef struct image *(*img_build)(uint32_t k, uint32_t m, bool closed,
				   img_hook hook, void *hook_arg);

struct img_damage {
	const char *name;
	/* A field, before the checksum is made: its value; with `of` != 0, the
	 * place of that block in the tree of that id. */
	enum img_what what;
	uint32_t    id, off, size;
	uint64_t    value;
	uint32_t    of;
	/* Or records at the end of the log. */
	void (*fn)(struct image *im);
	bool        empty; /* after which nothing is left */
	const char *text;  /* of an error; NULL: it is none */
};

/* Several shapes, with a log and without, quick and not. */
unsigned image_check_clean(img_build build);
unsigned image_check_damage(img_build build, const struct img_damage *d);
/* Each node in turn cannot be had: that is a loss of each tree that has it, and
 * nothing is said about what could not be compared with it. */
unsigned image_check_lost(img_build build);

#endif
