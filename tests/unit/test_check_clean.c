/* Pools that are as they should be: nothing to report, and the state after
 * the log is the one that was written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/image_builder.h"
#include "tools/check/check.h"

struct seen {
	struct image *im;
	unsigned      nblocks, nvolumes, wrong, problems, infos;
	bool          quick;
};

static void report(void *arg, enum check_severity sev, const char *text)
{
	struct seen *s = arg;

	if (sev == CHECK_INFO) {
		s->infos++;
		return;
	}
	s->problems++;
	print_error("%d: %s\n", sev, text);
}

static void volume(void *arg, uint32_t id, const char *name, uint64_t size)
{
	struct seen *s = arg;
	const struct img_vol *v = &s->im->vols[id - 1];

	s->nvolumes++;
	s->wrong += strcmp(name, v->name) != 0 ||
		    size != v->size_blocks * 4096;
}

static void block(void *arg, uint32_t id, uint64_t b, const void *data)
{
	struct seen *s = arg;
	const struct img_entry *e = &s->im->vols[id - 1].map[b];
	uint8_t want[4096];

	s->nblocks++;
	if (s->quick) {
		s->wrong += data != NULL || e->seed == 0;
		return;
	}
	image_pattern(id, b, e->seed, want);
	s->wrong += data == NULL || memcmp(want, data, 4096) != 0;
}

static unsigned expected_blocks(const struct image *im)
{
	unsigned n = 0;

	for (unsigned v = 0; v < IMG_VOLS; v++) {
		for (unsigned b = 0; b < IMG_VOL_BLOCKS; b++)
			n += im->vols[v].map[b].place != 0;
	}
	return n;
}

static void check_one(uint32_t k, uint32_t m, bool quick, uint32_t without)
{
	struct image *im = image_build(k, m, NULL, NULL);
	struct seen seen = { .im = im, .quick = quick };
	struct check_source *disks[POOL_UNITS_MAX];
	struct check_options opt = { .quick = quick,
				     .report = report, .volume = volume,
				     .block = block, .arg = &seen };
	struct check_report rep;
	unsigned n = 0;
	int r;

	for (uint32_t i = 0; i < im->ndisks; i++) {
		if ((without >> i & 1) == 0)
			disks[n++] = &im->disks[i].source;
	}
	r = tarn_check_run(disks, n, &opt, &rep);
	assert_int_equal(seen.problems, 0);
	assert_int_equal(r, 0);
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(seen.nvolumes, 2);
	assert_int_equal(seen.nblocks, expected_blocks(im));
	assert_int_equal(rep.mapped_blocks, expected_blocks(im));
	assert_int_equal(rep.log_end, im->row);
	assert_int_equal(rep.commit_row, im->commit_row);
	assert_int_equal(rep.zones_used, 5 * (k + m));
	assert_int_equal(rep.rows_after_end, 0);
	assert_int_equal(rep.members_missing, im->ndisks - n);
	image_free(im);
}

static const struct {
	uint32_t k, m;
} shapes[] = { { 1, 0 }, { 1, 1 }, { 1, 2 }, { 2, 1 }, { 3, 0 },
	       { 4, 2 }, { 2, 2 }, { 8, 3 }, { 16, 4 } };

static void test_closed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		struct image *im = image_build_closed(
			shapes[i].k, shapes[i].m, NULL, NULL);
		struct seen seen = { .im = im };
		struct check_source *disks[POOL_UNITS_MAX];
		struct check_options opt = { .report = report, .block = block,
					     .arg = &seen };
		struct check_report rep;

		for (uint32_t d = 0; d < im->ndisks; d++)
			disks[d] = &im->disks[d].source;
		assert_int_equal(
			tarn_check_run(disks, im->ndisks, &opt, &rep), 0);
		assert_true(rep.released);
		assert_int_equal(rep.rows_replayed, 0);
		assert_int_equal(seen.wrong, 0);
		image_free(im);
	}
}

static void test_clean(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		check_one(shapes[i].k, shapes[i].m, false, 0);
}

static void test_quick(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		check_one(shapes[i].k, shapes[i].m, true, 0);
}

/* Any m disks may be missing: everything is still read and right. */
static void test_missing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		uint32_t k = shapes[i].k, m = shapes[i].m;

		if (k + m > 11 || m == 0)
			continue;
		for (uint32_t d = 0; d < k + m; d++)
			check_one(k, m, false,
				  1u << d | (m > 1 ? 1u << (d + 1) % (k + m) :
						     0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_quick),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
