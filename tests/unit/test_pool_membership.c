/* Which members a label calls in: those that came back, not before a commit
 * has what they lack.  The pool has nothing but members and segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/bare_pool.c"

#define DISKS 4u

static bool in[POOL_MEMBERS_MAX];

/* 2+2 over four disks, each a domain. */
static int setup(void **state)
{
	(void)state;
	return bare_open(2, 2, DISKS, 1);
}

/* A segment of the first n disks. */
static struct segment *segment(uint32_t n, enum seg_state state)
{
	struct segment *s = seg_slot(p, p->nsegs + 1);

	assert_non_null(s);
	s->state = (uint8_t)state;
	for (uint32_t u = 0; u < DISKS; u++) {
		s->zones[u].member = u < n ? u : ZONE_NONE;
		s->missing |= u < n ? 0 : 1u << u;
	}
	return s;
}

static bool is_recorded(uint32_t member, uint64_t commit_row)
{
	struct commit_ref c = {.row = commit_row};

	members_recorded(p, &c, in);
	return in[member];
}

static void test_commit_has_all(void **state)
{
	(void)state;
	assert_true(is_recorded(3, 0));
	member_lacks(&members[3], 10);
	assert_false(is_recorded(3, 9));
	assert_true(is_recorded(2, 9));
	assert_true(is_recorded(3, 10));
	assert_true(commit_ends_lack(p));
}

static void test_label_ends_it(void **state)
{
	struct label *l = calloc(1, sizeof(*l));

	(void)state;
	assert_non_null(l);
	member_lacks(&members[3], 10);
	l->members[3].state = LABEL_MEMBER_OUT;
	assert_false(members_lack_labelled(p, l));
	assert_true(members[3].lacking);
	l->members[3].state = LABEL_MEMBER_IN;
	assert_true(members_lack_labelled(p, l));
	assert_false(members[3].lacking);
	assert_true(is_recorded(3, 0));
	free(l);
}

/* It counts as lost meanwhile, but is there. */
static void test_counts_as_lost(void **state)
{
	(void)state;
	member_lacks(&members[3], 10);
	assert_int_equal(pool_domains_lost(p), 1);
	assert_int_equal(pool_domains_away(p), 0);
	assert_true(member_out_allowed(p, &members[3]));
	assert_true(member_out_allowed(p, &members[2]));
	members[2].going_out = true;
	assert_false(member_out_allowed(p, &members[1]));
	assert_true(member_out_allowed(p, &members[3]));
}

/* A segment of three disks was made when the fourth was out.  What is written
 * to it now that it is back lacks a unit just the same. */
static void test_absent_units(void **state)
{
	struct segment *s = segment(3, SEG_OPENABLE);
	struct row      row = {.seg = s, .no = 20};

	(void)state;
	member_lacks(&members[3], 10);
	assert_false(is_recorded(3, 10));
	assert_false(commit_ends_lack(p));
	members_lack_placed(p, &row);
	assert_int_equal(members[3].lacks_row, 20);
	s->state = SEG_SEALED;
	assert_false(is_recorded(3, 19));
	assert_true(is_recorded(3, 20));
}

/* … but not if that is another domain's, which is out still. */
static void test_absent_for_another(void **state)
{
	struct segment *s = segment(3, SEG_OPEN);
	struct row      row = {.seg = s, .no = 20};

	(void)state;
	lose(3, MEMBER_OUT);
	member_lacks(&members[2], 10);
	members_lack_placed(p, &row);
	assert_int_equal(members[2].lacks_row, 10);
	assert_true(is_recorded(2, 10));
	assert_false(in[3]);
}

/* Of two domains that the segment has no unit in, one is back. */
static void test_absent_for_both(void **state)
{
	struct segment *s = segment(2, SEG_OPEN);

	(void)state;
	lose(3, MEMBER_OUT);
	member_lacks(&members[2], 10);
	assert_false(is_recorded(2, 10));
	s->state = SEG_SEALING;
	assert_true(is_recorded(2, 10));
}

/* A domain that is out, and has another disk in the segment, gives no leave to
 * lack a unit more: that disk may go out, too. */
static void test_absent_beside_out(void **state)
{
	(void)state;
	segment(3, SEG_OPEN);
	lose(2, MEMBER_OUT);
	member_lacks(&members[3], 10);
	assert_false(is_recorded(3, 10));
}

static void test_clean_close(void **state)
{
	(void)state;
	segment(3, SEG_OPENABLE);
	member_lacks(&members[3], 10);
	p->flags |= LABEL_FLAG_RELEASED;
	assert_true(is_recorded(3, 9));
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(commit_has_all),
		TEST(label_ends_it),
		TEST(counts_as_lost),
		TEST(absent_units),
		TEST(absent_for_another),
		TEST(absent_for_both),
		TEST(absent_beside_out),
		TEST(clean_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
