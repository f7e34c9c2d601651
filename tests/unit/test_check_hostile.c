/* Pools that are made up: structures with valid checksums around arbitrary
 * content.  Whatever it is, the check ends, says so, and touches nothing that
 * is not its own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/lib/image_builder.h"
#include "tools/check/check.h"

#ifndef SEEDS
#define SEEDS 60u
#endif

/* How much of a structure is worth changing. */
static uint32_t what_bytes(enum img_what what, uint64_t id)
{
	if (what == IMG_PAGE && id == TABLE_CATALOG)
		return 4096;
	switch (what) {
	case IMG_LABEL:
		return 1600;
	case IMG_ROW:
		return 320;
	case IMG_ROOT:
		return 400;
	case IMG_PAGE:
	case IMG_SEALED:
		return 700;
	default:
		return 4096;
	}
}

static uint64_t some_value(struct prng *rng)
{
	static const uint64_t values[] = { 0, 1, 2, 255, 256, 257, 4095, 4096,
					   65535, 65536, 0x7fffffff,
					   0x80000000, 0xffffffff,
					   0x100000000, 0xffffffffffff,
					   0x1000000000000,
					   0x7fffffffffffffff,
					   0xffffffffffffffff };
	uint64_t i = prng_below(rng, 24);

	return i < sizeof(values) / sizeof(values[0]) ? values[i] :
							prng_u64(rng);
}

static void hostile_hook(struct image *im, enum img_what what, uint64_t id,
			 void *buf)
{
	struct prng *rng = im->hook_arg;
	uint64_t value = some_value(rng);
	uint32_t off;

	/* Rows are many, the rest is few. */
	if (prng_below(rng, what == IMG_ROW || what == IMG_UNIT ? 100 : 5) != 0)
		return;
	off = (uint32_t)prng_below(rng, what_bytes(what, id) / 4 - 1) * 4;
	memcpy((uint8_t *)buf + off, &value,
	       1ull << prng_below(rng, 4));
}

static void count(void *arg, enum check_severity sev, const char *text)
{
	unsigned *n = arg;

	(void)sev;
	assert_true(strlen(text) > 0);
	++*n;
}

static void look(void *arg, uint32_t volume, uint64_t block, const void *data)
{
	(void)arg;
	(void)volume;
	(void)block;
	(void)data;
}

/* Every other one with snapshots, half of these with forks. */
static struct image *hostile_image(uint32_t seed, uint32_t k, uint32_t m,
				   struct prng *rng)
{
	if (seed % 2 == 0)
		return image_build(k, m, hostile_hook, rng);
	if (seed % 4 == 1)
		return image_build_snaps(k, m, seed % 8 == 1, hostile_hook,
					 rng);
	return image_build_forks(k, m, seed % 8 == 3, hostile_hook, rng);
}

static void test_hostile(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 3 * SEEDS; seed++) {
		static const uint32_t shapes[4][2] = {
			{ 1, 1 }, { 2, 1 }, { 1, 0 }, { 3, 2 }
		};
		struct check_source *disks[POOL_UNITS_MAX];
		unsigned n = 0;
		struct check_options opt = { .report = count, .arg = &n,
					     .block = look, .verbose = true };
		struct check_report rep;
		struct image *im;
		struct prng rng;
		int r;

		prng_init(&rng, seed);
		im = hostile_image(seed, shapes[seed / 2 % 4][0],
				   shapes[seed / 2 % 4][1], &rng);
		im->extra = seed % 3 == 0;
		im->label_no++;
		image_labels(im);
		for (uint32_t i = 0; i < im->ndisks; i++)
			disks[i] = &im->disks[i].source;
		for (unsigned quick = 0; quick < 2; quick++) {
			opt.quick = quick;
			r = tarn_check_run(disks, im->ndisks, &opt, &rep);
			assert_true(r >= -ENOTSUP && r <= 1);
			assert_int_equal(rep.ninfo + rep.ndamage + rep.nlost +
						 rep.nerrors,
					 n);
			n = 0;
		}
		image_free(im);
	}
}

/* Blocks of noise, blocks in each other's place, disks cut short. */
static void test_noise(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= SEEDS / 3; seed++) {
		struct check_source *disks[2];
		struct check_options opt = { .quick = seed % 2 };
		struct check_report rep;
		struct image *im = image_build(1, 1, NULL, NULL);
		struct prng rng;

		prng_init(&rng, seed);
		for (unsigned i = 0; i < 40; i++) {
			uint8_t *mem = im->disks[prng_below(&rng, 2)].mem;
			uint8_t *to = mem + prng_below(&rng, 2300) * 4096;

			if (i % 2 == 0)
				to[prng_below(&rng, 4096)] ^= 0x40;
			else
				memcpy(to, mem + prng_below(&rng, 2300) * 4096,
				       4096);
		}
		for (unsigned i = 0; i < 2; i++)
			disks[i] = &im->disks[i].source;
		if (seed % 5 == 0)
			disks[0]->size_bytes = prng_below(
				&rng, (uint64_t)IMG_DISK_BLOCKS * 4096);
		assert_true(tarn_check_run(disks, 2, &opt, &rep) <= 1);
		image_free(im);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
