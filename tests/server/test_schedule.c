/* Schedules of snapshots: what is taken and deleted when, with clocks that
 * jump, and when something is in the way.  Crashes: test_schedule_crash.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/schedule_kit.c"

/* --- the plan ------------------------------------------------------------ */

static void test_plan(void **state)
{
	static const struct {
		uint16_t    keep[PERIODS];
		const char *kinds; /* f h d w m y, . for a person's */
		const char *go;    /* x: it goes */
	} rows[] = {
		{ { 0, 3 }, "hhh", "..." },
		{ { 0, 3 }, "hhhh", "x..." },
		{ { 0, 1 }, "hhhh", "xxx." },
		{ { 0, 2 }, ".h.h.h.", ".x....." },
		{ { 0, 2, 1 }, "hdhdhd", "xx.x.." },
		{ { 1, 1, 1, 1, 1, 1 }, "fhdwmyfhdwmy", "xxxxxx......" },
		{ { 1, 1, 1, 1, 1, 1 }, "......", "......" },
		{ { 0, 1 }, "", "" },
		{ { 0, 0, 1 }, "hh", ".." }, /* no kind of it */
	};
	static const char letters[] = "fhdwmy.";
	struct vol_schedule s = { .keep = { 0, 1, 1 } };
	uint64_t t = civil_to_s(2027, 12, 31) + 23 * HOUR + 59 * MIN;
	char name[SCHEDULE_NAME_BYTES];

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		size_t   n = strlen(rows[r].kinds), want = 0;
		uint8_t  kinds[16];
		bool     go[16];

		memcpy(s.keep, rows[r].keep, sizeof(s.keep));
		for (size_t i = 0; i < n; i++) {
			kinds[i] = (uint8_t)(strchr(letters, rows[r].kinds[i]) -
					     letters);
			want += rows[r].go[i] == 'x';
		}
		assert_int_equal(schedule_beyond(&s, kinds, n, go), want);
		for (size_t i = 0; i < n; i++)
			if (go[i] != (rows[r].go[i] == 'x'))
				fail_msg("row %zu, snapshot %zu", r, i);
	}
	memcpy(s.keep, (const uint16_t[PERIODS]){ 4, 0, 1, 0, 0, 2 },
	       sizeof(s.keep));
	s.last_min = (uint32_t)(t / 60);
	assert_int_equal(schedule_due(&s, t, t), 0);
	assert_int_equal(schedule_next(&s, t), t + MIN);
	assert_int_equal(schedule_due(&s, t, t + MIN),
			 1u << PERIOD_QUARTER | 1u << PERIOD_DAY |
				 1u << PERIOD_YEAR);
	assert_int_equal(schedule_due(&s, t, t + 366 * DAY),
			 1u << PERIOD_QUARTER | 1u << PERIOD_DAY |
				 1u << PERIOD_YEAR);
	memset(&s, 0, sizeof(s));
	assert_int_equal(schedule_due(&s, t, t), 0);
	assert_true(schedule_next(&s, t) == UINT64_MAX);
	assert_string_equal(schedule_name(PERIOD_HOUR, t, 0, name),
			    "hourly-2027-12-31-2359");
	assert_string_equal(schedule_name(PERIOD_WEEK, t + MIN, 9, name),
			    "weekly-2028-01-01-0000-10");
	assert_string_equal(schedule_name(PERIOD_QUARTER, UINT64_MAX, 0, name),
			    "frequent-10000-01-01-0000");
}

/* --- days go by ---------------------------------------------------------- */

static void test_days(void **state)
{
	uint64_t start = now;

	(void)state;
	SET("v", 0, 24, 7, 4, 2, 1);
	assert_true(set("v", (const uint16_t[PERIODS]){ 0, 24, 7, 4, 2, 1 })
			    .already);
	/* Nothing at once. */
	assert_int_equal(S.taken, 0);
	assert_int_equal(armed, start + 53 * MIN);
	snap("v@hourly-2026-11-23-2000");
	pass_to(start + HOUR);
	/* A name that is taken stops nobody. */
	assert_int_equal(kind_of("v@hourly-2026-11-23-2000"), PERIODS);
	assert_int_equal(kind_of("v@hourly-2026-11-23-2000-2"), PERIOD_HOUR);
	pass_to(start + DAY);
	assert_int_equal(count("v", PERIOD_HOUR), 24);
	assert_int_equal(count("v", PERIOD_DAY), 1);
	assert_int_equal(kind_of("v@daily-2026-11-24-0000"), PERIOD_DAY);
	assert_int_equal(kind_of("v@hourly-2026-11-24-0000"), PERIOD_HOUR);
	pass_to(civil_to_s(2028, 3, 1) + MIN);
	assert_int_equal(count("v", PERIOD_HOUR), 24);
	assert_int_equal(count("v", PERIOD_DAY), 7);
	assert_int_equal(count("v", PERIOD_WEEK), 4);
	assert_int_equal(count("v", PERIOD_MONTH), 2);
	assert_int_equal(count("v", PERIOD_YEAR), 1);
	assert_int_equal(count("v", PERIODS), 1);
	assert_true(there("v@daily-2028-02-29-0000"));
	assert_true(there("v@weekly-2028-02-28-0000"));
	assert_true(there("v@monthly-2028-03-01-0000"));
	assert_true(there("v@yearly-2028-01-01-0000"));
	assert_int_equal(lines, 0);
	/* Down for some days: one of each kind that is late. */
	S.taken = 0;
	down_until(civil_to_s(2028, 3, 4) + 5 * HOUR + 30 * MIN);
	assert_int_equal(S.taken, 2);
	assert_true(there("v@hourly-2028-03-04-0530"));
	assert_true(there("v@daily-2028-03-04-0530"));
	assert_int_equal(count("v", PERIOD_HOUR), 24);
	assert_int_equal(armed, civil_to_s(2028, 3, 4) + 6 * HOUR);
	/* Fewer are kept: the others go at once. */
	SET("v", 0, 2, 7);
	assert_int_equal(count("v", PERIOD_HOUR), 2);
	assert_int_equal(count("v", PERIOD_DAY), 7);
	/* Kinds that are not kept any more stay. */
	assert_int_equal(count("v", PERIODS), 1 + 4 + 2 + 1);
	SET("v", 0);
	assert_int_equal(count("v", PERIODS), 1 + 4 + 2 + 1 + 2 + 7);
	assert_true(armed == UINT64_MAX);
	SET("v", 0, 1);
	pass_to(now + 3 * DAY);
	assert_int_equal(count("v", PERIOD_HOUR), 1);
	assert_int_equal(count("v", PERIODS), 17);
}

/* Many volumes: one instant, as few records as may be. */
static void test_groups(void **state)
{
	char name[64];
	uint32_t rows;
	unsigned n = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "%c%03d", 'a' + i % 7, i);
		assert_int_equal(kit_create(P, V, name, 1 << 20), 0);
		SET(name, 0, 2, 1);
	}
	pass_to(now - now % HOUR + HOUR - 1);
	P->auto_commit = false;
	rows = P->nrows;
	pass_to(now + 1);
	assert_int_equal(S.taken, 300);
	assert_true(P->nrows - rows <= 3);
	pass_to(civil_to_s(2026, 11, 24) - 1);
	rows = P->nrows;
	S.taken = S.deleted = 0;
	pass_to(now + 1);
	/* Two of each volume, and the oldest hourly one goes. */
	assert_int_equal(S.taken, 600);
	assert_int_equal(S.deleted, 300);
	for (uint32_t i = rows; i < P->nrows; i++)
		n += P->rows[i].rec.type == REC_CATALOG &&
		     P->rows[i].rec.id == CATALOG_SNAP;
	assert_in_range(n, 1, 10);
	for (struct volume *v = vols_next(V, NULL); v != NULL;
	     v = vols_next(V, v)) {
		struct volume_info i;

		vol_info(v, &i);
		if (strcmp(i.name, "v") == 0)
			continue;
		assert_int_equal(count(i.name, PERIOD_HOUR), 2);
		assert_int_equal(count(i.name, PERIOD_DAY), 1);
	}
	/* One that cannot be is no reason not to take the others. */
	P->append_error = -EIO;
	P->append_error_class = LOG_CLIENT;
	S.taken = 0;
	pass_to(now + HOUR);
	assert_int_equal(S.taken, 0);
	assert_int_equal(lines, 1);
	P->append_error = 0;
	try_again();
	assert_int_equal(S.taken, 300);
	assert_int_equal(lines, 2);
	kit_check_counts(P, V);
}

/* --- what is in the way -------------------------------------------------- */

static void test_kept(void **state)
{
	struct vol_user user = { .resized = NULL };
	struct volume *s;

	(void)state;
	SET("v", 0, 2);
	pass_to(now + 2 * HOUR);
	snap("v@mine");
	/* Held, in use, renamed. */
	assert_int_equal(run("v@hourly-2026-11-23-2000", NULL,
			     vol_snapshot_hold), 0);
	s = vols_find(V, "v@hourly-2026-11-23-2100");
	vol_get(s, &user);
	pass_to(now + 5 * HOUR);
	assert_int_equal(count("v", PERIOD_HOUR), 4);
	assert_true(there("v@hourly-2026-11-23-2000"));
	assert_true(there("v@hourly-2026-11-23-2100"));
	assert_int_equal(lines, 0);
	assert_int_equal(run("v@hourly-2026-11-24-0100", "good", vol_rename),
			 0);
	assert_int_equal(kind_of("v@good"), PERIODS);
	/* It can go as soon as nobody needs it. */
	vol_put(s, &user);
	assert_int_equal(run("v@hourly-2026-11-23-2000", NULL,
			     vol_snapshot_release), 0);
	pass_to(now + HOUR);
	assert_int_equal(count("v", PERIOD_HOUR), 2);
	pass_to(now + 5 * HOUR);
	assert_int_equal(count("v", PERIOD_HOUR), 2);
	assert_true(there("v@mine") && there("v@good"));
	/* A clone needs it no more than others do. */
	assert_int_equal(run("v@hourly-2026-11-24-0800", "c", vol_clone), 0);
	assert_false(vol_schedule_get(vols_find(V, "c"),
				      &(struct vol_schedule){ 0 }));
	/* The volume is rolled back: its schedule goes on. */
	assert_int_equal(run("v@mine", "was", vol_rollback), 0);
	pass_to(now + 5 * HOUR);
	assert_int_equal(count("v", PERIOD_HOUR), 2);
	assert_int_equal(count("c", PERIOD_HOUR), 0);
	assert_true(there("v@mine") && there("v@good") && there("v@was"));
	assert_int_equal(run("v", "renamed", vol_rename), 0);
	pass_to(now + DAY);
	assert_int_equal(count("renamed", PERIOD_HOUR), 2);
	assert_int_equal(lines, 0);
	kit_check_counts(P, V);
}

/* What is being received on its base keeps a snapshot. */
static void test_receiving(void **state)
{
	struct vol_ctl ctl = { .size_bytes = 1 << 20, .now_s = now };
	struct volume_info info;
	char last[TREE_NAME_MAX + 1], hidden[TREE_NAME_MAX + 1];
	struct volume *s = NULL, *n;

	(void)state;
	SET("v", 0, 1);
	pass_to(now + HOUR);
	for (n = NULL; (n = vol_snap_next(vols_find(V, "v"), n)) != NULL;)
		s = n;
	vol_full_name(s, last);
	ctl.name = last;
	w_uuid(NULL, &ctl.uuid);
	kit_ctl_run(P, V, &ctl, vol_receive);
	assert_int_equal(ctl.res, 0);
	vol_full_name(vols_hidden_next(V, NULL), hidden);
	pass_to(now + 5 * HOUR);
	assert_true(there(last));
	assert_int_equal(count("v", PERIOD_HOUR), 2);
	assert_int_equal(run(last, NULL, vol_rollback), 0);
	ctl.name = hidden;
	ctl.new_name = "copy";
	w_uuid(NULL, &ctl.uuid);
	kit_ctl_run(P, V, &ctl, vol_publish);
	if (ctl.res != 0)
		fail_msg("%s", ctl.error);
	vol_info(vols_find(V, "v"), &info);
	assert_int_equal(kind_of("v@copy"), PERIODS);
	pass_to(now + 5 * HOUR);
	assert_false(there(last));
	assert_int_equal(count("v", PERIOD_HOUR), 1);
}

static void test_full(void **state)
{
	(void)state;
	SET("v", 0, 5);
	pass_to(now + 7 * HOUR);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	S.taken = S.deleted = 0;
	pass_to(now + HOUR);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(line, "the pool is full"));
	assert_true(io_timer_armed(&S.retry));
	/* Again and again, and it is said once; later and later. */
	for (int i = 0; i < 20; i++) {
		uint64_t left = S.retry.deadline_ns - P->io.now_ns;

		assert_in_range(left, 1, 1800 * NS_PER_S + 1);
		if (i > 5)
			assert_true(left > 1700 * NS_PER_S);
		try_again();
		assert_true(io_timer_armed(&S.retry));
	}
	assert_int_equal(lines, 1);
	assert_int_equal(S.taken, 0);
	/* What may go goes, also then. */
	SET("v", 0, 3);
	assert_int_equal(S.deleted, 2);
	assert_int_equal(count("v", PERIOD_HOUR), 3);
	P->append_error = 0;
	try_again();
	assert_int_equal(S.taken, 1);
	assert_int_equal(lines, 2);
	assert_false(io_timer_armed(&S.retry));
	assert_int_equal(count("v", PERIOD_HOUR), 3);
}

/* --- clocks -------------------------------------------------------------- */

static void test_clock(void **state)
{
	uint64_t good, year = civil_to_s(2027, 6, 1);

	(void)state;
	SET("v", 0, 24, 7, 4);
	pass_to(now + 9 * DAY);
	good = now;
	S.taken = 0;
	/* A bit back and forth over the hour. */
	pass_to(now - now % HOUR + HOUR);
	assert_int_equal(S.taken, 1);
	for (int i = 0; i < 50; i++) {
		jump_to(now - 5);
		jump_to(now + 5);
	}
	assert_int_equal(S.taken, 1);
	jump_to(now - 90 * MIN);
	assert_int_equal(S.taken, 1);
	pass_to(now + 90 * MIN);
	assert_in_range(S.taken, 1, 3);
	/* Far ahead: one of each, as if it had been off. */
	S.taken = 0;
	jump_to(year);
	assert_int_equal(S.taken, 3);
	/* … and back: nothing until the next one is due, and no hour is
	 * left out for long. */
	jump_to(good + 2 * HOUR);
	assert_int_equal(S.taken, 3);
	pass_to(now + 3 * HOUR);
	assert_int_equal(S.taken, 3 + 3 + 1);
	/* No clock at all after a start, until it is set. */
	S.taken = 0;
	down_until(12 * MIN);
	assert_int_equal(S.taken, 0);
	jump_to(good + 6 * HOUR);
	assert_int_equal(S.taken, 1);
	/* The same clock for years: it goes on where it is. */
	down_until(20 * DAY);
	pass_to(now + 40 * DAY);
	assert_int_equal(count("v", PERIOD_HOUR), 24);
	assert_int_equal(count("v", PERIOD_DAY), 7);
	assert_int_equal(count("v", PERIOD_WEEK), 4);
	/* The oldest of them are gone, whatever their dates say. */
	assert_true(there("v@hourly-1970-03-02-0000"));
	assert_int_equal(lines, 0);
	jump_to(UINT64_MAX);
	assert_int_equal(count("v", PERIOD_HOUR), 24);
	jump_to(good);
	pass_to(good + DAY);
	assert_int_equal(count("v", PERIOD_HOUR), 24);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan),
		T(test_days),
		T(test_groups),
		T(test_kept),
		T(test_receiving),
		T(test_full),
		T(test_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
