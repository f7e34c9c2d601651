/* Schedules of snapshots, with a wall clock of the test's own over a pool in
 * memory: what is taken and deleted when, also after crashes at any record,
 * with clocks that jump, and when something is in the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/util.h"
#include "server/schedule.h"
#include "tests/lib/fake/vol_kit.c"

#define MIN  60u
#define HOUR 3600u
#define DAY  86400u

static struct pool     *P;
static struct volumes  *V;
static struct schedule  S;
static uint64_t         now;      /* the wall clock */
static uint64_t         armed;    /* when to be woken */
static unsigned         busy;     /* operations under way */
static unsigned         lines;    /* for the operator */
static char             line[700];
static uint64_t         uuids;

/* --- the world ----------------------------------------------------------- */

static uint64_t w_now_s(void *arg)
{
	(void)arg;
	return now;
}

static void w_arm(void *arg, uint64_t at_s)
{
	(void)arg;
	armed = at_s;
}

static void w_uuid(void *arg, struct uuid *ret)
{
	(void)arg;
	memset(ret, 0, sizeof(*ret));
	uuids++;
	memcpy(ret->b, &uuids, sizeof(uuids));
}

static void w_begin(void *arg)
{
	(void)arg;
	busy++;
}

static void w_end(void *arg)
{
	(void)arg;
	assert_true(busy > 0);
	busy--;
}

static void w_log(void *arg, const char *text)
{
	(void)arg;
	lines++;
	snprintf(line, sizeof(line), "%s", text);
}

static const struct schedule_ops ops = {
	.now_s = w_now_s, .arm = w_arm,	.uuid = w_uuid,
	.begin = w_begin, .end = w_end, .log = w_log,
};

static void settle(void)
{
	fake_settle(P);
	assert_int_equal(S.state, SCHEDULE_IDLE);
	assert_int_equal(busy, 0);
}

static void serve(void)
{
	schedule_init(&S, &P->io, &ops, NULL);
	schedule_start(&S, V);
	settle();
}

/* The clock goes on to t, and wakes whoever wants that on its way. */
static void pass_to(uint64_t t)
{
	while (armed <= t) {
		assert_true(armed > now);
		now = armed;
		schedule_wake(&S);
		settle();
	}
	now = t;
}

/* Somebody sets the clock. */
static void jump_to(uint64_t t)
{
	now = t;
	schedule_wake(&S);
	settle();
}

static void crash(uint32_t keep_row)
{
	busy = 0;
	io_timer_cancel(&P->io, &S.retry);
	fake_crash(P, V, keep_row);
	assert_int_equal(fake_open(P, NULL, &V), 0);
}

/* Not while the server serves. */
static void down_until(uint64_t t)
{
	schedule_stop(&S);
	settle();
	assert_int_equal(armed, UINT64_MAX);
	now = t;
	schedule_start(&S, V);
	settle();
}

/* What has failed is tried again now. */
static void try_again(void)
{
	assert_true(io_timer_armed(&S.retry));
	P->io.now_ns = S.retry.deadline_ns;
	fake_turn(P);
	settle();
}

static int setup(void **state)
{
	(void)state;
	P = fake_pool_new(17);
	P->auto_commit = true;
	V = fake_format(P, NULL);
	busy = lines = 0;
	line[0] = '\0';
	/* A Monday. */
	now = civil_to_s(2026, 11, 23) + 19 * HOUR + 7 * MIN;
	assert_int_equal(kit_create(P, V, "v", 1 << 20), 0);
	serve();
	assert_int_equal(armed, UINT64_MAX);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	schedule_stop(&S);
	settle();
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

/* --- what people do ------------------------------------------------------ */

/* keep: in order of enum period, ended by what is not there. */
static struct vol_ctl set(const char *name, const uint16_t keep[PERIODS])
{
	struct vol_ctl ctl = { .name = name, .now_s = now };

	memcpy(ctl.schedule.keep, keep, sizeof(ctl.schedule.keep));
	kit_ctl_run(P, V, &ctl, vol_schedule_set);
	schedule_wake(&S);
	settle();
	return ctl;
}

#define SET(name, ...) \
	assert_int_equal(set(name, (const uint16_t[PERIODS]){ __VA_ARGS__ })\
				 .res, 0)

static int run(const char *name, const char *new_name,
	       void (*op)(struct volumes *, struct vol_ctl *))
{
	struct vol_ctl ctl = { .name = name, .new_name = new_name,
			       .now_s = now };

	w_uuid(NULL, &ctl.uuid);
	kit_ctl_run(P, V, &ctl, op);
	return ctl.res;
}

static void take(const char *name)
{
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
}

/* --- what there is ------------------------------------------------------- */

/* Of a kind (PERIODS: that no schedule took). */
static unsigned count(const char *volume, enum period kind)
{
	struct volume *v = vols_find(V, volume), *s = NULL;
	unsigned n = 0;

	while ((s = vol_snap_next(v, s)) != NULL)
		n += vol_schedule_kind(s) == kind;
	return n;
}

static bool there(const char *name)
{
	return vols_find(V, name) != NULL;
}

static enum period kind_of(const char *name)
{
	assert_true(there(name));
	return vol_schedule_kind(vols_find(V, name));
}

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
	take("v@hourly-2026-11-23-2000");
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
	take("v@mine");
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

/* --- crashes ------------------------------------------------------------- */

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
		take(name);
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
		cmocka_unit_test(test_plan), T(test_days), T(test_groups),
		T(test_kept), T(test_receiving), T(test_full), T(test_clock),
		T(test_crash), T(test_stop), T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
