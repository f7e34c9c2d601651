/* What segments are composed of when a domain is full or has lost a disk.  The
 * pool has nothing but members and zones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/bare_pool.c"

#define ZONES BARE_ZONES

/* 1+2 over three hosts of two disks each. */
static int setup(void **state)
{
	(void)state;
	return bare_open(1, 2, 6, 2);
}

static void fill(uint32_t member, uint32_t but)
{
	while (members[member].zones_used < ZONES - but) {
		struct zone_ref z = {
			.member = member,
			.zone = members[member].zones_used,
		};

		zone_take(p, &z);
	}
}

static uint32_t whole_segments(void)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++)
		n += p->segs[i]->missing == 0;
	return n;
}

/* Nothing is broken: no redundancy is given up for space. */
static void test_full_domain(void **state)
{
	(void)state;
	fill(2, 0);
	fill(3, 2);
	assert_int_equal(segs_free_possible(p), 2);
	assert_int_equal(segs_compose(p, 5, SEG_NEXT), 2);
	assert_int_equal(whole_segments(), 2);
}

static void test_lost_domain(void **state)
{
	(void)state;
	lose(2, MEMBER_MISSING);
	lose(3, MEMBER_MISSING);
	assert_int_equal(segs_free_possible(p), 2 * ZONES);
	assert_int_equal(segs_compose(p, 5, SEG_NEXT), 5);
	assert_int_equal(whole_segments(), 0);
}

/* What is left of the host is used up first. */
static void test_full_rest(void **state)
{
	(void)state;
	lose(2, MEMBER_MISSING);
	fill(3, 2);
	assert_int_equal(segs_free_possible(p), 2 * ZONES);
	assert_int_equal(segs_compose(p, 5, SEG_NEXT), 5);
	assert_int_equal(whole_segments(), 2);
	assert_int_equal(segs_free_possible(p), 2 * ZONES - 5);
}

/* The lost disk excuses its own host only. */
static void test_other_domain_full(void **state)
{
	(void)state;
	lose(2, MEMBER_MISSING);
	fill(4, 0);
	fill(5, 3);
	assert_int_equal(segs_free_possible(p), 3);
	assert_int_equal(segs_compose(p, 5, SEG_NEXT), 3);
	assert_int_equal(whole_segments(), 3);
}

static void test_min_parity(void **state)
{
	(void)state;
	p->min_parity = 2;
	lose(2, MEMBER_MISSING);
	fill(3, 2);
	assert_int_equal(segs_free_possible(p), 2);
	assert_int_equal(segs_compose(p, 5, SEG_NEXT), 2);
	assert_int_equal(whole_segments(), 2);
}

/* --- what is kept for the rebuild of a domain ---------------------------- */

static void check_kept(uint32_t m, const uint32_t *zones, uint32_t kept,
		       uint32_t possible, enum pool_rebuild rebuild)
{
	p->m = m;
	p->units = p->k + m;
	p->zone_blocks = 512;
	p->row_blocks_max = 64;
	for (uint32_t i = 0; i < p->nmembers; i++)
		members[i].zones = i % 2 == 0 ? zones[i / 2] : 0;
	segs_capacity(p);
	assert_int_equal(p->segs_kept, kept);
	assert_int_equal(p->segs_possible, possible);
	assert_int_equal(pool_rebuild_room(p), rebuild);
}

static void test_rebuild(void **state)
{
	(void)state;
	/* No domain is spare, or nothing can be made again. */
	check_kept(2, (uint32_t[]){ 10, 10, 10 }, 10, 10, POOL_REBUILD_NONE);
	check_kept(1, (uint32_t[]){ 10, 10, 0 }, 10, 10, POOL_REBUILD_NONE);
	check_kept(0, (uint32_t[]){ 10, 10, 10 }, 30, 30, POOL_REBUILD_NONE);
	/* One is. */
	check_kept(1, (uint32_t[]){ 10, 10, 10 }, 10, 15, POOL_REBUILD_ANY);
	check_kept(1, (uint32_t[]){ 10, 6, 6 }, 6, 11, POOL_REBUILD_ANY);
	/* It takes nothing away from those that were there before it. */
	check_kept(1, (uint32_t[]){ 10, 10, 1 }, 10, 10, POOL_REBUILD_SOME);
	check_kept(1, (uint32_t[]){ 8, 10, 10 }, 10, 14, POOL_REBUILD_SOME);
}

/* Blocks that may be used, of the domains that segs_capacity() was told of. */
static uint64_t usable(void)
{
	uint64_t blocks, used;

	pool_space(p, &blocks, &used);
	return blocks;
}

/* What has been promised stays so when a disk comes. */
static void test_added(void **state)
{
	(void)state;
	for (uint32_t n = 24; n < 80; n++) {
		uint64_t two, three;

		check_kept(1, (uint32_t[]){ n, n, 0 }, n, n, POOL_REBUILD_NONE);
		two = usable();
		check_kept(1, (uint32_t[]){ n, n, n }, n, n * 3 / 2,
			   POOL_REBUILD_ANY);
		three = usable();
		assert_true(two > 0 && three >= two);
		assert_true(pool_space_rebuild(p) > 0);
	}
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_domain),
		TEST(lost_domain),
		TEST(full_rest),
		TEST(other_domain_full),
		TEST(min_parity),
		TEST(rebuild),
		TEST(added),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
