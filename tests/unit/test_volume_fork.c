/* Clones, rollbacks and checkpoints: random histories of trees that fork, with
 * cleaning, commits and crashes, against a model of what each shows; when all
 * are deleted, nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

static void test_random(void **state)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		prng_init(&rng, seed);
		for (unsigned i = 0; i < 250; i++)
			step();
		verify_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
}

/* --- one thing at a time -------------------------------------------------- */

/* Both go their own ways, and nothing was copied to begin with. */
static void test_clone(void **state)
{
	struct volume_info info;
	uint64_t nodes;

	(void)state;
	prng_init(&rng, 1);
	make_one();
	fake_commit(P);
	nodes = V->ids.used;
	do_clone(&trees[1]);
	assert_int_equal(V->ids.used, nodes);
	vol_info(vols_find(V, "v2"), &info);
	assert_string_equal(info.clone_of, "v0@s1");
	assert_false(info.read_only);
	vol_info(vols_find(V, "v0@s1"), &info);
	assert_int_equal(info.clones, 1);
	for (unsigned i = 0; i < 20; i++) {
		do_write(&trees[0]);
		do_write(&trees[2]);
	}
	verify_all();
	/* The parent may go first, with its snapshot. */
	do_delete(&trees[1]);
	do_delete(&trees[0]);
	verify_all();
	do_reopen(false);
	verify_all();
	assert_int_equal(V->catalog.mapped, vols_find(V, "v2")->mapped);
	delete_all();
}

/* A snapshot that two volumes still need stays until only one does. */
static void test_fork(void **state)
{
	(void)state;
	prng_init(&rng, 2);
	make_one();
	do_clone(&trees[1]);
	do_clone(&trees[1]);
	do_delete(&trees[1]);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_null(vols_find(V, "v0@s1"));
	do_reopen(true);
	for (unsigned i = 0; i < 60; i++)
		do_write(&trees[i % 4 == 1 ? 2 : i % 4]);
	verify_all();
	do_delete(&trees[2]);
	verify_all();
	do_reopen(false);
	do_delete(&trees[3]);
	verify_all();
	assert_int_equal(V->catalog.mapped, vols_find(V, "v0")->mapped);
	delete_all();
}

static void test_rollback(void **state)
{
	uint32_t before[SPOTS];

	(void)state;
	prng_init(&rng, 3);
	make_one();
	memcpy(before, trees[0].stamp, sizeof(before));
	do_write(&trees[0]);
	do_snapshot(&trees[0]);
	do_write(&trees[0]);
	do_rollback(&trees[1], true);
	assert_memory_equal(trees[0].stamp, before, sizeof(before));
	verify_all();
	/* What came after is a snapshot like any other. */
	do_rollback(&trees[2], false);
	verify_all();
	do_reopen(false);
	verify_all();
	do_rollback(&trees[3], false);
	do_write(&trees[0]);
	verify_all();
	delete_all();
}

static struct volume_info checkpoint_info(const char *name)
{
	struct volume_info info;

	assert_non_null(vols_find(V, name));
	vol_info(vols_find(V, name), &info);
	return info;
}

static void test_checkpoint(void **state)
{
	const char *first = "v0#a", *both[] = { "v0@b", "v0#b" };
	uint32_t a;

	(void)state;
	prng_init(&rng, 4);
	make_one();
	assert_int_equal(kit_snapshot(P, V, &first, 1, NULL), 0);
	assert_int_equal(kit_snapshot(P, V, &first, 1, NULL), -EEXIST);
	assert_int_equal(kit_snapshot(P, V, both, 2, NULL), 0);
	a = checkpoint_info("v0#a").birth;
	assert_true(a > checkpoint_info("v0@s1").birth);
	assert_true(a < checkpoint_info("v0#b").birth);
	/* Not lost by a rollback to what is of the same instant. */
	assert_true(checkpoint_info("v0#b").birth <
		    checkpoint_info("v0@b").birth);
	assert_int_equal(checkpoint_info("v0").checkpoints, 2);
	do_reopen(true);
	/* Before b, but not before a. */
	assert_int_equal(kit_delete(P, V, "v0@b", false), 0);
	do_snapshot(&trees[0]);
	do_rollback(&trees[2], false);
	assert_false(checkpoint_info("v0#b").lost);
	do_rollback(&trees[1], false);
	assert_true(checkpoint_info("v0#a").lost);
	assert_true(checkpoint_info("v0#b").lost);
	do_reopen(false);
	assert_true(checkpoint_info("v0#b").lost);
	assert_int_equal(kit_delete(P, V, "v0#b", false), 0);
	assert_null(vols_find(V, "v0#b"));
	verify_all();
	/* They hold nothing, and go with their volume. */
	delete_all();
	assert_null(vols_find(V, "v0#a"));
}

static void test_refusals(void **state)
{
	struct vol_user user = { .gone = NULL };
	struct model none = { .of = 0, .name = "none" };

	(void)state;
	prng_init(&rng, 5);
	make_one();
	assert_int_equal(branch(&trees[1], "v0", vol_clone), -EEXIST);
	assert_int_equal(branch(&trees[1], "a@b", vol_clone), -EINVAL);
	assert_int_equal(branch(&trees[1], "", vol_clone), -EINVAL);
	assert_int_equal(branch(&trees[1], NULL, vol_clone), -EINVAL);
	assert_int_equal(branch(&trees[0], "c", vol_clone), -EINVAL);
	assert_int_equal(branch(&none, "c", vol_clone), -ENOENT);
	assert_int_equal(branch(&none, NULL, vol_rollback), -ENOENT);
	assert_int_equal(branch(&trees[0], NULL, vol_rollback), -EINVAL);
	do_write(&trees[0]);
	assert_int_equal(branch(&trees[1], "s1", vol_rollback), -EEXIST);
	vol_get(vols_find(V, "v0"), &user);
	assert_int_equal(branch(&trees[1], NULL, vol_rollback), -EBUSY);
	vol_put(vols_find(V, "v0"), &user);
	assert_null(vols_find(V, "c"));
	verify_all();
}

static struct vol_user attached;
static unsigned        told;

/* Goes, but not at once. */
static void user_gone(struct vol_user *u)
{
	assert_ptr_equal(u, &attached);
	assert_true(vol_is_detaching(vols_find(V, "v0")));
	told++;
}

static void test_force(void **state)
{
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	struct volume  *v;

	(void)state;
	prng_init(&rng, 6);
	make_one();
	do_write(&trees[0]);
	v = vols_find(V, "v0");
	attached.gone = user_gone;
	vol_get(v, &attached);
	ctl->name = "v0@s1";
	ctl->force = true;
	ctl->done = kit_ctl_done;
	kit_done = false;
	vol_rollback(V, ctl);
	fake_settle(P);
	assert_true(told == 1 && !kit_done);
	vol_put(v, &attached);
	kit_wait(P);
	assert_int_equal(ctl->res, 0);
	assert_false(vol_is_detaching(vols_find(V, "v0")));
	memcpy(trees[0].stamp, trees[1].stamp, sizeof(trees[0].stamp));
	verify_all();
	free(ctl);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_clone), TEST(test_fork), TEST(test_rollback),
		TEST(test_checkpoint), TEST(test_refusals), TEST(test_force),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
