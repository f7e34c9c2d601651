/* Schedules of snapshots over crashes at any record, while the server stops,
 * and whatever people and the clock do meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/schedule_kit.c"

/* Names of all snapshots, in order. */
static void names_of_all(char *ret, size_t bytes)
{
	size_t at = 0;

	ret[0] = '\0';
	for (struct volume *v = vols_next(V, NULL); v != NULL;
	     v = vols_next(V, v)) {
		struct volume *s = NULL;
		char name[TREE_NAME_MAX + 1];

		while ((s = vol_snap_next(v, s)) != NULL)
			at += (size_t)snprintf(ret + at, bytes - at, "%s %d\n",
					       vol_full_name(s, name),
					       vol_schedule_kind(s));
	}
	assert_true(at < bytes);
}

/* The server dies when so many rows of a midnight are durable. */
static bool midnight(uint32_t rows, char *ret_names, size_t bytes)
{
	uint32_t first;
	bool     all;

	for (int i = 0; i < 3; i++) {
		char name[] = "w0";

		name[1] = (char)('0' + i);
		assert_int_equal(kit_create(P, V, name, 1 << 20), 0);
		SET(name, 0, 2, 1, 1);
	}
	pass_to(civil_to_s(2026, 11, 30) - 1);
	P->auto_commit = false;
	fake_commit(P);
	first = P->nrows;
	pass_to(now + 1);
	all = rows >= P->nrows - first;
	crash(min_u64(first + rows, P->nrows));
	serve();
	names_of_all(ret_names, bytes);
	return all;
}

static void test_crash(void **state)
{
	static char want[8192], got[8192];
	uint32_t rows = 0;
	bool     all;

	assert_true(midnight(UINT32_MAX, want, sizeof(want)));
	assert_non_null(strstr(want, "w1@weekly-2026-11-30-0000 3\n"));
	do {
		teardown(state);
		setup(state);
		all = midnight(rows++, got, sizeof(got));
		assert_string_equal(got, want);
	} while (!all);
	/* A group, and a deletion for each volume and kind. */
	assert_in_range(rows, 2 + 9, 100);
}

/* Nothing of an operation that is under way is touched when it ends. */
static void test_stop(void **state)
{
	(void)state;
	SET("v", 0, 1);
	for (int turns = 0; turns < 40; turns++) {
		now = armed;
		schedule_wake(&S);
		for (int i = 0; i < turns; i++)
			fake_turn(P);
		schedule_stop(&S);
		settle();
		assert_true(armed == UINT64_MAX);
		schedule_start(&S, V);
		settle();
		assert_int_equal(count("v", PERIOD_HOUR), 1);
	}
	assert_int_equal(lines, 0);
}

/* --- anything ------------------------------------------------------------ */

static unsigned mine; /* snapshots that a person took, and nobody deleted */

static void person(struct prng *rng)
{
	struct volume *v = vols_find(V, "v"), *s = NULL, *pick = NULL;
	char     name[TREE_NAME_MAX + 1], own[32];
	uint64_t n = 0;

	if (prng_below(rng, 3) == 0) {
		snprintf(name, sizeof(name), "v@%s-%u", prng_below(rng, 2) ?
			 "hourly" : "me", ++mine);
		snap(name);
		return;
	}
	while ((s = vol_snap_next(v, s)) != NULL)
		if (vol_schedule_kind(s) < PERIODS && prng_below(rng, ++n) == 0)
			pick = s;
	if (pick == NULL)
		return;
	vol_full_name(pick, name);
	switch (prng_below(rng, 4)) {
	case 0:
		snprintf(own, sizeof(own), "r%u", ++mine);
		assert_int_equal(run(name, own, vol_rename), 0);
		return;
	case 1:
		assert_int_equal(run(name, NULL, vol_snapshot_hold), 0);
		return;
	case 2:
		assert_int_equal(run(name, NULL, vol_snapshot_release), 0);
		return;
	default:
		run(name, NULL, vol_delete);
	}
}

static void check_all(const uint16_t *keep)
{
	struct volume *v = vols_find(V, "v"), *s = NULL;
	unsigned n[PERIODS + 1] = { 0 }, held[PERIODS + 1] = { 0 };

	while ((s = vol_snap_next(v, s)) != NULL) {
		struct volume_info i;

		vol_info(s, &i);
		n[i.schedule]++;
		held[i.schedule] += i.held;
	}
	assert_int_equal(n[PERIODS], mine);
	for (unsigned p = 0; p < PERIODS; p++)
		assert_true(n[p] <= keep[p] + held[p]);
}

static void test_random(void **state)
{
	static const uint16_t keep[PERIODS] = { 3, 5, 4, 3, 2, 1 };
	struct prng rng;

	(void)state;
	prng_init(&rng, 99);
	mine = 0;
	assert_int_equal(set("v", keep).res, 0);
	for (int i = 0; i < 1500; i++) {
		uint64_t taken = S.taken;
		uint64_t most = prng_below(&rng, 4) ? HOUR : 3 * DAY;
		uint64_t step = prng_below(&rng, most);

		switch (prng_below(&rng, 8)) {
		case 0:
			jump_to(prng_below(&rng, 2) ? now + 100 * step
						   : now - min_u64(now, step));
			assert_true(S.taken - taken <= PERIODS);
			break;
		case 1:
			crash(P->nrows);
			serve();
			break;
		case 2:
		case 3:
			if (mine < 40)
				person(&rng);
			schedule_wake(&S);
			settle();
			break;
		default:
			pass_to(now + step);
		}
		check_all(keep);
	}
	assert_int_equal(lines, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_crash),
		T(test_stop),
		T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
