/* Whole pools on made-up disks: the server's life on them (tests/lib/hostile.h)
 * must end, without a crash.
 *
 * Input: a byte of circumstances, then patches of 6 bytes { what and width,
 * which (0xff: each), offset / 4 (two bytes), value, how }.  Checksums are
 * made after the patches, so they are always right.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/hostile.h"

#define PATCH_BYTES 6u
#define INPUT_MAX   (1 + 12 * PATCH_BYTES)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* Looking for leaks after each run takes longer than all else; the unit test
 * test_pool_hostile does it. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

struct input {
	const uint8_t *patches;
	unsigned       n;
};

/* Small numbers, powers of two, and their complements. */
static uint64_t value_of(uint8_t v, uint8_t how)
{
	uint64_t x = v;

	if (how & 0x80)
		return ~x;
	return x << (how & 63);
}

static void patch_hook(struct image *im, enum img_what what, uint64_t id,
		       void *buf)
{
	const struct input *in = im->hook_arg;

	for (unsigned i = 0; i < in->n; i++) {
		const uint8_t *p = in->patches + i * PATCH_BYTES;
		uint32_t off = 4 * ((p[2] | (uint32_t)p[3] << 8) % 1022);
		uint64_t value = value_of(p[4], p[5]);

		if ((p[0] & 15) % (IMG_SEALED + 1) != (unsigned)what ||
		    (p[1] != 0xff && p[1] != (uint8_t)id))
			continue;
		memcpy((uint8_t *)buf + off, &value, 1u << (p[0] >> 4 & 3));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostile_opts opts = { .seed = 1 };
	struct hostile_result res;
	struct input in;
	struct image *im;
	uint32_t k;

	if (size < 1 + PATCH_BYTES || size > INPUT_MAX)
		return 0;
	in.patches = data + 1;
	in.n = (unsigned)((size - 1) / PATCH_BYTES);
	k = 1 + (data[0] & 1);
	opts.force = data[0] & 2;
	opts.read_only = (data[0] & 0x0c) == 0x0c;
	if (data[0] & 16)
		im = image_build_closed(k, 1, patch_hook, &in);
	else
		im = image_build(k, 1, patch_hook, &in);
	im->extra = data[0] & 32;
	im->label_no++;
	image_labels(im);
	for (; opts.seed <= 2; opts.seed++)
		if (hostile_life(im, &opts, &res) != 0)
			abort();
	image_free(im);
	return 0;
}
