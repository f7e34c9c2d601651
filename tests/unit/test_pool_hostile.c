/* Pools whose disks hold structures with right checksums and wrong contents:
 * nothing of it reaches an assertion, runs for ever, or leaks.
 *
 *	test_pool_hostile SEED [COUNT]: those seeds, and what the pool says
 *	test_pool_hostile found N: the n-th of what was found once
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/hostile.h"

#ifndef SEEDS
#define SEEDS 150u
#endif

struct flips {
	struct prng rng;
	unsigned    rarity;
	int         only;  /* this kind of structure, thoroughly; < 0: all */
};

static void flip_hook(struct image *im, enum img_what what, uint64_t id,
		      void *buf)
{
	struct flips *f = im->hook_arg;

	(void)id;
	if (f->only < 0)
		hostile_flip(&f->rng, f->rarity, im, what, buf);
	for (unsigned i = 0; f->only == (int)what && i < 8; i++)
		hostile_flip(&f->rng, f->rarity, im, what, buf);
}

static const uint32_t shapes[4][2] = { { 1, 1 }, { 2, 1 }, { 1, 0 }, { 3, 2 } };

/* Two lives: what the first one wrote must not hurt the second. */
static void one_seed(uint64_t seed, bool verbose)
{
	const uint32_t *shape = shapes[seed % 4];
	struct hostile_opts opts = { .verbose = verbose,
				     .read_only = seed % 13 == 0,
				     .force = seed % 3 == 0 };
	struct hostile_result res;
	struct flips f;
	struct image *im;

	prng_init(&f.rng, seed);
	f.rarity = 2 + seed % 20;
	f.only = seed % 2 == 0 ? -1 : (int)(seed / 2 % (IMG_SEALED + 1));
	if (seed % 5 == 1)
		im = image_build_closed(shape[0], shape[1], flip_hook, &f);
	else
		im = image_build(shape[0], shape[1], flip_hook, &f);
	if (seed % 3 == 0) {
		im->extra = true;
		im->label_no++;
		image_labels(im);
	}
	for (unsigned life = 0; life < 2; life++) {
		opts.seed = 2 * seed + life;
		assert_int_equal(hostile_life(im, &opts, &res), 0);
		if (verbose)
			fprintf(stderr, "seed %llu: opened %d, %llu done, "
				"%llu failed, %llu lost\n",
				(unsigned long long)seed, res.opened,
				(unsigned long long)res.done,
				(unsigned long long)res.failed,
				(unsigned long long)res.lost);
	}
	image_free(im);
}

static void test_seeds(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		one_seed(seed, false);
}

/* Without any change, all is well. */
static void test_clean(void **state)
{
	struct hostile_opts opts = { .seed = 1 };
	struct hostile_result res;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct image *im;

		im = i < 4 ? image_build(shapes[i % 4][0], shapes[i % 4][1],
					 NULL, NULL) :
			     image_build_closed(shapes[i % 4][0],
						shapes[i % 4][1], NULL, NULL);
		for (opts.seed = 1; opts.seed < 3; opts.seed++) {
			assert_int_equal(hostile_life(im, &opts, &res), 0);
			assert_int_equal(res.opened, 0);
			assert_int_equal(res.failed, 0);
			assert_int_equal(res.lost, 0);
		}
		image_free(im);
	}
}

/* A change that must be understood: the pool is not opened without it, not even
 * by force; one that need not be is left out. */
static void test_unknown(void **state)
{
	static const uint32_t subtypes[] = { 1, 255, 400, UINT32_MAX };
	struct hostile_opts opts = { .seed = 1, .force = true };
	struct hostile_result res;

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(subtypes); i++) {
		struct image *im = image_build(1, 1, NULL, NULL);
		struct img_rec r = { .rec = { .type = REC_CATALOG,
					      .n = 4,
					      .id = subtypes[i / 2],
					      .block = 1 },
				     .body = "body" };

		r.rec.flags = i % 2 == 0 ? REC_MUST_UNDERSTAND : 0;
		image_row(im, IMG_SEG_DATA, &r, 1, NULL);
		assert_int_equal(hostile_life(im, &opts, &res), 0);
		assert_int_equal(res.opened, i % 2 == 0 ? -ENOTSUP : 0);
		image_free(im);
	}
}

/* --- what was found once ------------------------------------------------- */

#define ANY ~0ull

/* value, of `width` bytes, at an offset of a structure. */
struct patch {
	enum img_what what;
	uint64_t      id;    /* ANY: of each */
	uint32_t      off, width;
	uint64_t      value;
};

/* Offsets for 1+1: an entry of the segment table has 48 bytes. */
#define SEG(no, field) (32 + ((no) - 1) * 48 + (field))
#define SEG_LIVE       8
#define SEG_MISSING    16
#define SEG_CLAIM      24
#define MEMBER(i)      (1152 + (i) * 128)
#define BOOT           264
#define AT(seg, off)   ((uint64_t)(seg) << IMG_ZONE_SHIFT | (off))

static const struct found {
	const char  *name;
	uint32_t     k;      /* + 1 */
	bool         extra;
	bool         opens;  /* in both lives */
	struct patch patches[6];
} found[] = {
	{ "leaf: a place in a free segment", 1, false, true,
	  { { IMG_NODE, 1, 0, 8, AT(IMG_SEG_FREE, 5) } } },
	{ "leaf: a place in a quarantined segment", 1, false, true,
	  { { IMG_NODE, 1, 0, 8, AT(IMG_SEG_QUARANTINED, 5) } } },
	{ "leaf: a place behind the last segment", 1, false, true,
	  { { IMG_NODE, 1, 0, 8, AT(100, 5) } } },
	{ "leaf: the largest place", 1, false, true,
	  { { IMG_NODE, 1, 0, 6, 0xffffffffffff } } },
	{ "leaf: one place twice", 1, false, true,
	  { { IMG_NODE, 1, 0, 8, AT(IMG_SEG_SEALED, 2) } } },
	{ "segment table: less lives than is pointed to", 1, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_LIVE), 4, 1 } } },
	{ "segment table: nothing lives", 1, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_LIVE), 4, 0 },
	    { IMG_PAGE, TABLE_SEGMENTS, SEG(2, SEG_LIVE), 4, 0 },
	    { IMG_PAGE, TABLE_SEGMENTS, SEG(3, SEG_LIVE), 4, 0 } } },
	{ "segment table: live blocks in quarantine", 1, false, false,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(5, SEG_LIVE), 4, 5 } } },
	{ "segment table: as much lives as can", 1, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(2, SEG_LIVE), 4, 512 } } },
	{ "segment table: a segment to be healed that cannot be emptied", 1,
	  false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_LIVE), 4, 400 },
	    { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_MISSING), 4, 1 } } },
	{ "segment table: without the segments that the root needs", 1, false,
	  false, { { IMG_PAGE, TABLE_SEGMENTS, 12, 4, 2 } } },
	{ "index page: a page behind the last", 1, false, true,
	  { { IMG_INDEX, TABLE_CATALOG, 16, 8, AT(100, 1) } } },
	{ "index page: the page of the node table is lost", 1, false, true,
	  { { IMG_INDEX, TABLE_NODES, 8, 4, 1 } } },
	{ "index page: a page in quarantine", 1, false, false,
	  { { IMG_INDEX, TABLE_NODES, 0, 8, AT(IMG_SEG_QUARANTINED, 1) } } },
	{ "root: more segments than zones", 1, false, false,
	  { { IMG_ROOT, 0, 56, 4, 0xffffffff },
	    { IMG_ROOT, 0, BOOT, 4, 0xfffffff0 } } },
	{ "index of a segment: more blocks than its row has", 1, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_MISSING), 4, 1 },
	    { IMG_SEALED, 1, 170, 2, 257 } } },
	{ "index of a segment: payload of a row without any", 2, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, 32 + SEG_MISSING, 4, 1 },
	    { IMG_SEALED, 1, 40, 4, 1 },
	    { IMG_SEALED, 1, 76, 2, 1 },
	    { IMG_SEALED, 1, 78, 4, 0 },
	    { IMG_SEALED, 1, 88, 8, 0x100010001 },
	    { IMG_SEALED, 1, 96, 8, 0 } } },
	{ "index of a segment: a row that wraps around", 1, false, true,
	  { { IMG_PAGE, TABLE_SEGMENTS, SEG(1, SEG_MISSING), 4, 1 },
	    { IMG_SEALED, 1, 72, 4, 0xfffffff0 } } },
	{ "catalog: nothing mapped, but there is", 1, false, true,
	  { { IMG_PAGE, TABLE_CATALOG, 56, 8, 0 },
	    { IMG_PAGE, TABLE_CATALOG, 512 + 56, 8, 0 } } },
	{ "catalog: a cursor beyond the end", 1, false, false,
	  { { IMG_PAGE, TABLE_CATALOG, 1024 + 64, 8, 1ull << 60 } } },
	{ "label: a disk that is two members", 1, false, false,
	  { { IMG_LABEL, ANY, MEMBER(1), 8, 0x8080808080808080 },
	    { IMG_LABEL, ANY, MEMBER(1) + 8, 8, 0x8080808080808080 } } },
	{ "label: another disk is larger than it is", 1, false, false,
	  { { IMG_LABEL, 0, MEMBER(1) + 16, 8, 1 << 30 },
	    { IMG_LABEL, 0, MEMBER(1) + 24, 4, 2000 } } },
	{ "label: the last number", 1, false, false,
	  { { IMG_LABEL, ANY, 104, 8, 0xfffffffffffffffe } } },
	{ "label: the last claim", 1, false, false,
	  { { IMG_LABEL, ANY, 80, 8, 0xfffffffffffffffd } } },
	{ "label: the last row", 1, false, false,
	  { { IMG_LABEL, ANY, 256, 8, 0xffffffffffffffff },
	    { IMG_ROOT, 0, 32, 8, 0xffffffffffffffff } } },
	{ "label: a segment far behind the last", 1, true, true,
	  { { IMG_LABEL, ANY, MEMBER(2), 4, 0xfffffff0 } } },
	{ "label: both units of a segment in one zone", 1, true, true,
	  { { IMG_LABEL, ANY, MEMBER(2) + 8, 8, 9ull << 32 },
	    { IMG_LABEL, ANY, MEMBER(2) + 16, 8, 9ull << 32 } } },
	{ "lease: the last claim", 1, false, true,
	  { { IMG_LEASE, ANY, 48, 8, 0xffffffffffffffff } } },
};

static void patch_hook(struct image *im, enum img_what what, uint64_t id,
		       void *buf)
{
	const struct found *f = im->hook_arg;

	for (unsigned i = 0; i < ARRAY_LEN(f->patches); i++) {
		const struct patch *p = &f->patches[i];

		if (p->width != 0 && p->what == what &&
		    (p->id == id || p->id == ANY))
			memcpy((uint8_t *)buf + p->off, &p->value, p->width);
	}
}

static void one_found(const struct found *f, bool verbose)
{
	struct hostile_opts opts = { .verbose = verbose };
	struct hostile_result res;
	struct image *im = image_build(f->k, 1, patch_hook, (void *)f);

	if (f->extra) {
		im->extra = true;
		im->label_no++;
		image_labels(im);
	}
	if (verbose)
		fprintf(stderr, "%s\n", f->name);
	for (opts.seed = 1; opts.seed <= 2; opts.seed++) {
		assert_int_equal(hostile_life(im, &opts, &res), 0);
		if ((res.opened == 0) != f->opens)
			fail_msg("%s: opened: %d", f->name, res.opened);
	}
	image_free(im);
}

static void test_found(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(found); i++)
		one_found(&found[i], false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_seeds),
	};

	if (argc > 2 && strcmp(argv[1], "found") == 0) {
		one_found(&found[strtoul(argv[2], NULL, 0) % ARRAY_LEN(found)],
			  true);
		return 0;
	}
	if (argc > 1) {
		uint64_t seed = strtoull(argv[1], NULL, 0);
		uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;

		for (uint64_t i = 0; i < n; i++)
			one_seed(seed + i, true);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
