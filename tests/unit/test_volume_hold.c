/* Held snapshots: they are not deleted, whatever else is done with them, and
 * over crashes, until they are released. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

enum held { HOLD, RELEASE };

static bool already;

static int hold(const char *name, enum held how)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	int r;

	ctl->name = name;
	kit_ctl_run(P, V, ctl, how == HOLD ? vol_snapshot_hold :
					     vol_snapshot_release);
	r = ctl->res;
	already = ctl->already;
	assert_true(r == 0 || ctl->error[0] != '\0');
	free(ctl);
	return r;
}

static bool is_held(const char *name)
{
	struct volume_info info;

	vol_info(vols_find(V, name), &info);
	return info.held;
}

static void test_hold(void **state)
{
	(void)state;
	prng_init(&rng, 1);
	make_one();
	assert_false(is_held("v0@s1"));
	assert_int_equal(hold("v0@s1", HOLD), 0);
	assert_false(already);
	assert_true(is_held("v0@s1"));
	assert_int_equal(hold("v0@s1", HOLD), 0);
	assert_true(already);
	assert_int_equal(kit_delete(P, V, "v0@s1", false), -EBUSY);
	assert_int_equal(kit_delete(P, V, "v0@s1", true), -EBUSY);
	do_reopen(false);
	assert_true(is_held("v0@s1"));
	do_reopen(true);
	assert_true(is_held("v0@s1"));
	assert_int_equal(kit_delete(P, V, "v0@s1", true), -EBUSY);
	assert_int_equal(hold("v0@s1", RELEASE), 0);
	assert_false(already || is_held("v0@s1"));
	assert_int_equal(hold("v0@s1", RELEASE), 0);
	assert_true(already);
	do_reopen(false);
	assert_false(is_held("v0@s1"));
	verify_all();
	delete_all();
}

/* The hold stays with the snapshot, and goes to nothing that is made of it. */
static void test_others(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

	(void)state;
	prng_init(&rng, 2);
	make_one();
	assert_int_equal(hold("v0@s1", HOLD), 0);
	do_write(&trees[0]);
	do_clone(&trees[1]);
	do_rollback(&trees[1], true);
	do_snapshot(&trees[0]);
	for (unsigned turn = 0; turn < 2; turn++) {
		assert_true(is_held("v0@s1"));
		for (unsigned i = 0; i < TREES_MAX; i++)
			if (trees[i].there && i != 1)
				assert_false(is_held(full_name(&trees[i])));
		verify_all();
		do_reopen(turn == 0);
	}
	ctl->name = "v0@s1";
	ctl->new_name = "other";
	kit_ctl_run(P, V, ctl, vol_rename);
	assert_int_equal(ctl->res, 0);
	free(ctl);
	snprintf(trees[1].name, sizeof(trees[1].name), "other");
	assert_int_equal(kit_delete(P, V, "v0@other", true), -EBUSY);
	/* Its volume has it, so that stays, too. */
	assert_int_equal(kit_delete(P, V, "v0", true), -ENOTEMPTY);
	assert_int_equal(hold("v0@other", RELEASE), 0);
	delete_all();
}

static void test_refusals(void **state)
{
	const char *checkpoint = "v0#cp";

	(void)state;
	prng_init(&rng, 3);
	make_one();
	assert_int_equal(kit_snapshot(P, V, &checkpoint, 1, NULL), 0);
	for (enum held how = HOLD; how <= RELEASE; how++) {
		assert_int_equal(hold("v0", how), -EINVAL);
		assert_int_equal(hold("v0#cp", how), -EINVAL);
		assert_int_equal(hold("v0@none", how), -ENOENT);
		assert_int_equal(hold("none@s1", how), -ENOENT);
		assert_int_equal(hold("v0@", how), -EINVAL);
		assert_int_equal(hold("", how), -EINVAL);
		assert_int_equal(hold(NULL, how), -EINVAL);
	}
	/* In a full pool it can be let go, so that there may be room. */
	assert_int_equal(hold("v0@s1", HOLD), 0);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	assert_int_equal(hold("v0@s1", RELEASE), 0);
	assert_int_equal(hold("v0@s1", HOLD), -ENOSPC);
	P->append_error = 0;
	delete_all();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_hold), TEST(test_others), TEST(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
