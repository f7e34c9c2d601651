/* Snapshots: what they show, what they cost, and that deleting them in any
 * order leaves the others as they are and gives everything back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

#define SIZE  (1024 * MIB)  /* two levels of inner nodes */
#define SNAPS 4u
#define AREAS 3u
#define AREA_BYTES (2 * MIB)

static const uint64_t areas[AREAS] = { 0, 300 * MIB, 700 * MIB + 8192 };

static uint8_t        *now[AREAS];          /* what the volume holds there */
static uint8_t        *then[SNAPS][AREAS];  /* … and held */

static int setup(void **state)
{
	(void)state;
	one_open(13, NULL);
	assert_int_equal(kit_create(P, V, "v", SIZE), 0);
	for (unsigned a = 0; a < AREAS; a++) {
		now[a] = calloc(1, AREA_BYTES);
		for (unsigned s = 0; s < SNAPS; s++)
			then[s][a] = malloc(AREA_BYTES);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned a = 0; a < AREAS; a++) {
		free(now[a]);
		for (unsigned s = 0; s < SNAPS; s++)
			free(then[s][a]);
	}
	return one_teardown(state);
}

/* Bytes off.. of an area become `stamp`, or a hole if that is 0. */
static void change(unsigned a, uint64_t off, uint64_t len, uint8_t stamp)
{
	enum vol_op op = stamp == 0 ? VOL_ZERO : VOL_WRITE;

	memset(now[a] + off, stamp, len);
	assert_int_equal(kit_req(P, vols_find(V, "v"), op, areas[a] + off, len,
				 now[a] + off, 0), 0);
}

static void check_one(const char *name, uint8_t *const *want)
{
	for (unsigned a = 0; a < AREAS; a++) {
		struct volume *v = vols_find(V, name);
		uint8_t *got;
		int r;

		assert_non_null(v);
		got = kit_read(P, v, areas[a], AREA_BYTES, &r);
		assert_int_equal(r, 0);
		assert_memory_equal(got, want[a], AREA_BYTES);
		free(got);
	}
}

static const char *const snap_names[SNAPS] = { "v@s0", "v@s1", "v@s2",
					       "v@s3" };

static void snap_take(unsigned s)
{
	for (unsigned a = 0; a < AREAS; a++)
		memcpy(then[s][a], now[a], AREA_BYTES);
	assert_int_equal(kit_snapshot(P, V, &snap_names[s], 1, NULL), 0);
}

/* A volume with SNAPS snapshots, something changed between any two of them,
 * in ways that overlap; commits in between. */
static void make_history(void)
{
	for (unsigned a = 0; a < AREAS; a++)
		change(a, 0, AREA_BYTES, (uint8_t)(10 + a));
	snap_take(0);
	change(0, MIB / 2, MIB, 21);
	change(1, 4096, 100, 22);
	fake_commit(P);
	snap_take(1);
	change(0, 0, MIB, 0);
	change(2, 0, AREA_BYTES, 0);
	snap_take(2);
	change(1, 0, AREA_BYTES, 41);
	change(2, MIB, 8192, 42);
	fake_commit(P);
	snap_take(3);
	change(0, MIB / 4, MIB, 51);
	change(1, MIB, 12288, 0);
}

static void check_all(unsigned there)
{
	check_one("v", now);
	for (unsigned s = 0; s < SNAPS; s++) {
		if (there & 1u << s)
			check_one(snap_names[s], then[s]);
		else
			assert_null(vols_find(V, snap_names[s]));
	}
}

static void reopen(bool commit)
{
	if (commit)
		fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
}

static void test_content(void **state)
{
	struct volume_info info;
	struct volume     *s;

	(void)state;
	make_history();
	check_all(15);
	kit_check_counts(P, V);
	reopen(true);
	check_all(15);
	vol_info(vols_find(V, "v"), &info);
	assert_int_equal(info.snapshots, SNAPS);
	assert_false(info.snapshot);
	s = vol_snap_next(vols_find(V, "v"), NULL);
	for (unsigned i = 0; i < SNAPS; i++) {
		vol_info(s, &info);
		assert_string_equal(info.name, snap_names[i] + 2);
		assert_true(info.snapshot && info.read_only);
		s = vol_snap_next(vols_find(V, "v"), s);
	}
	assert_null(s);
	kit_check_counts(P, V);
}

/* From the log alone. */
static void test_redo(void **state)
{
	(void)state;
	make_history();
	reopen(false);
	check_all(15);
	kit_check_counts(P, V);
}

/* Nothing is copied until something is written, and then a path. */
static void test_cost(void **state)
{
	uint64_t nodes;

	(void)state;
	change(0, 0, AREA_BYTES, 1);
	fake_commit(P);
	nodes = V->ids.used;
	snap_take(0);
	assert_int_equal(V->ids.used, nodes);
	change(0, 0, 4096, 2);
	assert_int_equal(V->ids.used, nodes + 3);
	change(0, 8192, 4096, 3);
	assert_int_equal(V->ids.used, nodes + 3);
	/* A leaf in which nothing is left needs no copy. */
	change(0, MIB, MIB, 0);
	assert_int_equal(V->ids.used, nodes + 3);
	check_all(1);
	kit_check_counts(P, V);
}

/* The i-th of the 24 orders in which four things can be done. */
static void order_of(unsigned i, unsigned *order)
{
	unsigned left[SNAPS] = { 0, 1, 2, 3 };

	for (unsigned k = 0; k < SNAPS; k++) {
		unsigned pick = i % (SNAPS - k);

		i /= SNAPS - k;
		order[k] = left[pick];
		memmove(&left[pick], &left[pick + 1],
			(SNAPS - 1 - pick) * sizeof(left[0]));
	}
}

static void delete_in_order(unsigned nth, bool crash)
{
	unsigned order[SNAPS], there = 15;

	make_history();
	fake_commit(P);
	order_of(nth, order);
	for (unsigned k = 0; k < SNAPS; k++) {
		there &= ~(1u << order[k]);
		assert_int_equal(kit_delete(P, V, snap_names[order[k]], false),
				 0);
		if (crash)
			reopen(nth % 2 == 0);
		check_all(there);
		kit_check_counts(P, V);
		assert_int_equal(V->catalog.ndeleting, 0);
		check_all(there);
	}
	/* Alone again, it holds what it shows and nothing else. */
	assert_int_equal(V->catalog.mapped, vols_find(V, "v")->mapped);
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	kit_check_counts(P, V);
	assert_int_equal(V->catalog.mapped, 0);
	assert_int_equal(V->ids.used, 0);
}

static void test_delete(void **state)
{
	for (unsigned i = 0; i < 24; i++) {
		delete_in_order(i, false);
		teardown(state);
		setup(state);
	}
}

static void test_delete_crash(void **state)
{
	for (unsigned i = 0; i < 24; i++) {
		delete_in_order(i, true);
		teardown(state);
		setup(state);
	}
}

#define BIG_LEAVES 100u /* more than one record lets go */

static void write_leaves(unsigned first, uint8_t stamp)
{
	uint8_t block[4096];

	memset(block, stamp, sizeof(block));
	for (unsigned i = first; i < BIG_LEAVES; i++)
		assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_WRITE,
					 i * MIB, sizeof(block), block, 0), 0);
}

/* One is deleted in part, and then the server dies.  The next one finds another
 * first, which waits for deletion and shares leaves with that part. */
static void test_delete_part(void **state)
{
	struct volume *s1;

	(void)state;
	write_leaves(0, 1);
	snap_take(0);
	write_leaves(10, 2);
	snap_take(1);
	write_leaves(0, 3);
	V->committed = false; /* as before the first commit */
	assert_int_equal(kit_delete(P, V, "v@s1", false), 0);
	assert_int_equal(kit_delete(P, V, "v@s0", false), 0);
	assert_int_equal(V->catalog.ndeleting, 2);
	s1 = vols_deletion_next(V, NULL);
	assert_true(fake_commit_start(P));
	while (s1->cursor == 0)
		fake_turn(P);
	assert_int_equal(V->catalog.ndeleting, 2);
	reopen(false);
	kit_check_counts(P, V);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, vols_find(V, "v")->mapped);
}

static void refused(const char *a, const char *b, int want, const char *word)
{
	const char *names[2] = { a, b };
	char error[256];

	assert_int_equal(kit_snapshot(P, V, names, b == NULL ? 1 : 2, error),
			 want);
	if (strstr(error, word) == NULL)
		fail_msg("'%s' does not say '%s'", error, word);
}

static void test_refusals(void **state)
{
	static char long_name[300];
	uint8_t block[4096] = { 0 };

	(void)state;
	assert_int_equal(kit_create(P, V, "w", SIZE), 0);
	snap_take(0);
	refused("v@s0", NULL, -EEXIST, "v");
	refused("w@a", "v@s0", -EEXIST, "nothing was taken");
	assert_null(vols_find(V, "w@a"));
	refused("v", NULL, -EINVAL, "VOLUME@SNAPSHOT");
	refused("v@", NULL, -EINVAL, "is empty");
	refused("@a", NULL, -EINVAL, "is empty");
	refused("v@a@b", NULL, -EINVAL, "'@'");
	refused("v@a", "v@b", -EINVAL, "twice");
	refused("u@a", NULL, -ENOENT, "no volume 'u'");
	memset(long_name, 'x', sizeof(long_name) - 1);
	memcpy(long_name, "v@", 2);
	refused(long_name, NULL, -EINVAL, "longer");
	assert_int_equal(kit_delete(P, V, "v", false), -ENOTEMPTY);
	assert_int_equal(kit_delete(P, V, "v", true), -ENOTEMPTY);
	assert_int_equal(kit_delete(P, V, "v@x", false), -ENOENT);
	assert_int_equal(kit_resize(P, V, "v@s0", 2 * SIZE, false), -EROFS);
	assert_int_equal(kit_create(P, V, "a@b", SIZE), -EINVAL);
	assert_int_equal(kit_req(P, vols_find(V, "v@s0"), VOL_WRITE, 0, 4096,
				 block, 0), -EROFS);
	assert_int_equal(kit_req(P, vols_find(V, "v@s0"), VOL_TRIM, 0, 4096,
				 NULL, 0), -EROFS);
	kit_check_counts(P, V);
}

/* What is written while a snapshot is being taken comes after it: what it
 * overwrites is the snapshot's, and so it needs space. */
static void test_space_beside(void **state)
{
	static const char *const name = "v@s";
	struct uuid     id = { .b[0] = 1 };
	struct vol_ctl *ctl = calloc(1, sizeof(*ctl));
	uint8_t        *data = calloc(1, MIB);
	struct volume  *v = vols_find(V, "v");

	(void)state;
	assert_int_equal(kit_req(P, v, VOL_WRITE, 0, MIB, data, 0), 0);
	fake_settle(P);
	P->usable = P->live_total + 100;
	assert_int_equal(kit_req(P, v, VOL_WRITE, 0, MIB, data, 0), 0);
	ctl->names = &name;
	ctl->uuids = &id;
	ctl->nnames = 1;
	ctl->done = kit_ctl_done;
	kit_done = false;
	vol_snapshot(V, ctl);
	while (V->ctl.active == NULL)
		fake_turn(P);
	assert_false(kit_done);
	assert_int_equal(kit_req(P, v, VOL_WRITE, 0, MIB, data, 0), -ENOSPC);
	fake_settle(P);
	assert_true(kit_done);
	assert_int_equal(ctl->res, 0);
	assert_true(P->live_total <= P->usable);
	free(ctl);
	free(data);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_content), TEST(test_redo), TEST(test_cost),
		TEST(test_delete), TEST(test_delete_crash),
		TEST(test_delete_part), TEST(test_refusals),
		TEST(test_space_beside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
