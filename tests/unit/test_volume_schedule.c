/* Schedules in the catalog: what is set and what is a schedule's, over crashes,
 * and what a schedule may delete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

static int setup(void **state)
{
	(void)state;
	one_open(31, NULL);
	assert_int_equal(kit_create(P, V, "v", 1 << 20), 0);
	assert_int_equal(kit_create(P, V, "w", 1 << 20), 0);
	return 0;
}

static struct vol_ctl set(const char *name, uint64_t now_s, uint16_t hourly,
			  uint16_t daily)
{
	struct vol_ctl ctl = { .name = name, .now_s = now_s };

	ctl.schedule.keep[PERIOD_HOUR] = hourly;
	ctl.schedule.keep[PERIOD_DAY] = daily;
	kit_ctl_run(P, V, &ctl, vol_schedule_set);
	assert_int_equal(ctl.res < 0, ctl.error[0] != '\0');
	return ctl;
}

/* A group that schedules take; of kinds, ended by PERIODS. */
static int take(uint64_t now_s, const char *const *names, const uint8_t *kinds)
{
	struct uuid    uuids[8] = { { { 0 } } };
	struct vol_ctl ctl = { .names = names, .uuids = uuids, .kinds = kinds,
			       .now_s = now_s };

	while (kinds[ctl.nnames] != PERIODS)
		uuids[ctl.nnames++].b[0] = 1;
	kit_ctl_run(P, V, &ctl, vol_snapshot);
	return ctl.res;
}

static int by_schedule(const char *name, bool force)
{
	struct vol_ctl ctl = { .name = name, .by_schedule = true,
			       .force = force };

	kit_ctl_run(P, V, &ctl, vol_delete);
	return ctl.res;
}

static int run(const char *name, const char *new_name,
	       void (*op)(struct volumes *, struct vol_ctl *))
{
	return one_run(op, (struct vol_ctl){ .name = name,
					     .new_name = new_name,
					     .uuid.b[0] = 9 }).res;
}

static enum period kind_of(const char *name)
{
	assert_non_null(vols_find(V, name));
	return vol_schedule_kind(vols_find(V, name));
}

static void check_schedule(const char *name, uint16_t hourly, uint16_t daily,
			   uint32_t last_min)
{
	struct vol_schedule s = { .last_min = 0 };

	assert_int_equal(vol_schedule_get(vols_find(V, name), &s),
			 hourly + daily > 0);
	assert_int_equal(s.keep[PERIOD_HOUR], hourly);
	assert_int_equal(s.keep[PERIOD_DAY], daily);
	assert_int_equal(s.last_min, last_min);
}

static void test_set(void **state)
{
	(void)state;
	check_schedule("v", 0, 0, 0);
	assert_true(set("v", 6000, 0, 0).already);
	assert_int_equal(set("v", 6000, 24, 0).res, 0);
	check_schedule("v", 24, 0, 100);
	assert_true(set("v", 9000, 24, 0).already);
	check_schedule("v", 24, 0, 100);
	/* An hourly one is late: it still is. */
	assert_int_equal(set("v", 9000, 24, 7).res, 0);
	check_schedule("v", 24, 7, 100);
	/* Nothing that stays is. */
	assert_int_equal(set("v", 9000, 0, 5).res, 0);
	check_schedule("v", 0, 5, 150);
	one_reopen(false);
	check_schedule("v", 0, 5, 150);
	one_reopen(true);
	check_schedule("v", 0, 5, 150);
	check_schedule("w", 0, 0, 0);
	/* The clock went back by years: it begins now. */
	assert_int_equal(set("v", 400ull * 86400, 1, 5).res, 0);
	assert_int_equal(set("v", 6000, 2, 5).res, 0);
	check_schedule("v", 2, 5, 100);
	assert_int_equal(set("v", 9000, 0, 0).res, 0);
	check_schedule("v", 0, 0, 0);
	assert_int_equal(set("x", 0, 1, 0).res, -ENOENT);
	assert_int_equal(set("v@a", 0, 1, 0).res, -EINVAL);
	assert_int_equal(set("", 0, 1, 0).res, -EINVAL);
}

static void test_take(void **state)
{
	static const char *const names[] = { "v@h", "v@d", "w@h", "w@m" };
	static const uint8_t kinds[] = { PERIOD_HOUR, PERIOD_DAY, PERIOD_HOUR,
					 PERIOD_MONTH, PERIODS };
	static const char *const twice[] = { "v@1", "v@1" };
	static const uint8_t two[] = { PERIOD_HOUR, PERIOD_DAY, PERIODS };
	static const uint8_t same[] = { PERIOD_HOUR, PERIOD_HOUR, PERIODS };
	static const char *const others[] = { "v@1", "v@2" };
	uint32_t rows;

	(void)state;
	assert_int_equal(set("v", 6000, 24, 7).res, 0);
	rows = P->nrows;
	assert_int_equal(take(7200, names, kinds), 0);
	assert_int_equal(P->nrows - rows, 1);
	assert_int_equal(take(7200, others, same), -EINVAL);
	assert_true(take(7200, twice, two) < 0);
	assert_null(vols_find(V, "v@1"));
	for (int i = 0; i < 3; i++) {
		check_schedule("v", 24, 7, 120);
		check_schedule("w", 0, 0, 0);
		assert_int_equal(kind_of("v@h"), PERIOD_HOUR);
		assert_int_equal(kind_of("v@d"), PERIOD_DAY);
		assert_int_equal(kind_of("w@h"), PERIOD_HOUR);
		assert_int_equal(kind_of("w@m"), PERIOD_MONTH);
		one_reopen(i == 0);
	}
	/* What a kind that is not kept any more took, and what was renamed, is
	 * nobody's but a person's. */
	assert_int_equal(set("v", 7300, 0, 7).res, 0);
	assert_int_equal(kind_of("v@h"), PERIODS);
	assert_int_equal(kind_of("v@d"), PERIOD_DAY);
	assert_int_equal(run("w@h", "hourly", vol_rename), 0);
	one_reopen(false);
	assert_int_equal(kind_of("v@h"), PERIODS);
	assert_int_equal(kind_of("w@hourly"), PERIODS);
	assert_int_equal(by_schedule("v@h", true), -EBUSY);
	assert_int_equal(by_schedule("w@hourly", true), -EBUSY);
	assert_int_equal(run("v@d", NULL, vol_snapshot_hold), 0);
	assert_int_equal(by_schedule("v@d", true), -EBUSY);
	assert_int_equal(run("v@d", NULL, vol_snapshot_release), 0);
	/* Clones make no difference, and have no schedule. */
	assert_int_equal(run("v@d", "c", vol_clone), 0);
	check_schedule("c", 0, 0, 0);
	assert_int_equal(run("v@d", "was", vol_rollback), 0);
	check_schedule("v", 0, 7, 121);
	assert_int_equal(kind_of("v@was"), PERIODS);
	assert_int_equal(by_schedule("v@d", false), 0);
	assert_int_equal(by_schedule("w@m", false), 0);
	one_reopen(true);
	check_schedule("v", 0, 7, 121);
	assert_null(vols_find(V, "v@d"));
	kit_check_counts(P, V);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, one_teardown)
	const struct CMUnitTest tests[] = { T(test_set), T(test_take) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
