/* What is in the trash goes when its time is over, in that order, whatever the
 * clock does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/trash_kit.c"

static void test_time(void **state)
{
	(void)state;
	begin(6);
	watch();
	assert_int_equal(kit_create(P, V, "w", MIB), 0);
	assert_int_equal(trash("v0"), 0);
	pass_s(KEEP_S / 2);
	assert_int_equal(trash("w"), 0);
	assert_string_equal(vols_trash_next(V, NULL)->name, "v0");
	assert_int_equal(in_trash(), 2);
	pass_s(KEEP_S / 2 - 10);
	assert_int_equal(in_trash(), 2);
	pass_s(20);
	assert_int_equal(in_trash(), 1);
	assert_string_equal(vols_trash_next(V, NULL)->name, "w");
	assert_string_equal(gone_name, "v0");
	pass_s(KEEP_S / 2);
	assert_int_equal(in_trash(), 0);
	assert_string_equal(gone_name, "w");
	assert_int_equal(gone_time, 2);
	assert_int_equal(gone_space, 0);
	all_is_gone();
}

/* The server was down; its clock was set. */
static void test_clock(void **state)
{
	(void)state;
	begin(7);
	assert_int_equal(trash("v0"), 0); /* at START_S */
	/* The clock went backwards: it begins anew. */
	reopen(false, START_S - 4000);
	assert_int_equal(vol_trash_left_s(vols_trash_next(V, NULL)), KEEP_S);
	pass_s(KEEP_S - 10);
	assert_int_equal(in_trash(), 1);
	reopen(true, START_S + 400);
	pass_s(1);
	assert_int_equal(in_trash(), 1);
	assert_in_range(vol_trash_left_s(vols_trash_next(V, NULL)), 590, 600);
	pass_s(550);
	assert_int_equal(in_trash(), 1);
	/* Its time has passed meanwhile. */
	reopen(true, START_S + KEEP_S);
	pass_s(1);
	assert_int_equal(in_trash(), 0);
	all_is_gone();
}

/* It was to go, but came out and went in anew before that. */
static void test_overtaken_purge(void **state)
{
	struct vol_ctl *out = calloc(1, sizeof(*out));
	struct vol_ctl *in = calloc(1, sizeof(*in));

	(void)state;
	begin(14);
	assert_int_equal(trash("v0"), 0);
	P->io.now_ns += KEEP_S * NS_PER_S;
	out->name = in->name = "v0";
	out->done = in->done = kit_ctl_done;
	in->with_snapshots = true;
	vol_undelete(V, out);
	vol_delete(V, in);
	vol_trash_kick(V);
	fake_settle(P);
	assert_int_equal(out->res, 0);
	assert_int_equal(in->res, 0);
	assert_int_equal(in_trash(), 1);
	assert_in_range(vol_trash_left_s(vols_trash_next(V, NULL)), KEEP_S - 10,
			KEEP_S);
	assert_int_equal(undelete("v0", NULL), 0);
	verify_all();
	assert_int_equal(trash("v0"), 0);
	pass_s(KEEP_S);
	assert_int_equal(in_trash(), 0);
	free(out);
	free(in);
	all_is_gone();
}

#define SOME 60u

/* Whatever went in and came out, and when: they are found in the order in which
 * they go, and the walk goes on behind one that has gone. */
static void test_order(void **state)
{
	char name[16], uuid[UUID_TEXT_BYTES];
	struct volume_info info;
	unsigned n = 0;

	(void)state;
	begin(16);
	for (unsigned i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		assert_int_equal(kit_create(P, V, name, MIB), 0);
	}
	for (unsigned i = 0; i < 4 * SOME; i++) {
		struct volume *v, *next, *prev = NULL;

		snprintf(name, sizeof(name), "w%u",
			 (unsigned)prng_below(&rng, SOME));
		wall_s = START_S + prng_below(&rng, KEEP_S / 4);
		P->io.now_ns += prng_below(&rng, 3) * NS_PER_S / 4;
		if (vols_find(V, name) != NULL) {
			assert_int_equal(trash(name), 0);
			n++;
		} else {
			v = vols_trash_find(V, name, NULL);
			vol_info(v, &info);
			uuid_text(&info.uuid, uuid);
			next = vols_trash_next(V, v);
			assert_int_equal(undelete(uuid, NULL), 0);
			assert_ptr_equal(vols_trash_next(V, v), next);
			n--;
		}
		if (i % 40 == 39)
			reopen(i % 80 == 79, START_S + KEEP_S / 4);
		assert_int_equal(in_trash(), n);
		for (v = vols_trash_next(V, NULL); v != NULL;
		     prev = v, v = vols_trash_next(V, v))
			assert_true(prev == NULL ||
				    prev->trash_until_ns <= v->trash_until_ns);
	}
	assert_true(n > 10);
	wall_s = START_S;
	vols_trash_start(V, 0, START_S);
	pass_s(100);
	assert_int_equal(in_trash(), 0);
	verify_all();
	vols_trash_stop(V);
	for (unsigned i = 0; i < SOME; i++) {
		snprintf(name, sizeof(name), "w%u", i);
		if (vols_find(V, name) != NULL)
			assert_int_equal(kit_delete(P, V, name, false), 0);
	}
	delete_all();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_time),
		TEST(test_clock),
		TEST(test_overtaken_purge),
		TEST(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
