/* Events: what is told is kept over crashes, repeats are counted, nothing waits
 * for them, and neither routine nor hostile bytes push out what went wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

static uint64_t        now_s;

static int setup(void **state)
{
	(void)state;
	one_open(11, NULL);
	now_s = 1000000;
	return 0;
}

static void tell(uint8_t severity, const char *what, const char *object,
		 uint64_t n)
{
	struct vol_event e = {
		.severity = severity,
		.last_s = now_s,
		.numbers = { n, n + 1 },
	};

	snprintf(e.what, sizeof(e.what), "%s", what);
	snprintf(e.object, sizeof(e.object), "%s", object);
	snprintf(e.text, sizeof(e.text), "text %ju", (uintmax_t)n);
	vols_event(V, &e);
}

static unsigned count(uint8_t severity, unsigned *ret_stored)
{
	struct vol_event e = { .change = 0 };
	unsigned n = 0;

	*ret_stored = 0;
	while (vols_event_next(V, e.change, &e)) {
		n += e.severity == severity;
		*ret_stored += e.severity == severity && e.seq != 0;
	}
	return n;
}

/* The newest of that kind. */
static bool find(const char *what, struct vol_event *ret)
{
	struct vol_event e = { .change = 0 };
	bool found = false;

	while (vols_event_next(V, e.change, &e)) {
		if (strcmp(e.what, what) != 0)
			continue;
		*ret = e;
		found = true;
	}
	return found;
}

static void reopen(uint32_t keep_row)
{
	fake_crash(P, V, keep_row);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	fake_settle(P);
}

static void test_kept(void **state)
{
	struct vol_event e;
	unsigned stored;

	(void)state;
	tell(EVENT_WARNING, "disk.out", "nbd://a/", 7);
	tell(EVENT_INFO, "volume.create", "v", 9);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	assert_int_equal(stored, 0);
	fake_settle(P);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	assert_int_equal(stored, 1);
	/* From the log, from the pages, and from both. */
	for (unsigned i = 0; i < 4; i++) {
		if (i == 1)
			fake_commit(P);
		if (i == 2)
			tell(EVENT_INFO, "volume.delete", "v", 1);
		fake_settle(P);
		reopen(P->nrows);
		assert_true(find("disk.out", &e));
		assert_int_equal(e.severity, EVENT_WARNING);
		assert_int_equal(e.seq, 1);
		assert_int_equal(e.count, 1);
		assert_int_equal(e.first_s, now_s);
		assert_int_equal(e.numbers[0], 7);
		assert_int_equal(e.numbers[1], 8);
		assert_string_equal(e.object, "nbd://a/");
		assert_string_equal(e.text, "text 7");
		assert_true(find("volume.create", &e));
		assert_int_equal(find("volume.delete", &e), i >= 2);
	}
	kit_check_counts(P, V);
}

static void test_lost_with_the_log(void **state)
{
	struct vol_event e;

	(void)state;
	fake_commit(P);
	tell(EVENT_WARNING, "disk.out", "d", 1);
	fake_settle(P);
	reopen(P->commit_row);
	assert_false(find("disk.out", &e));
	tell(EVENT_WARNING, "disk.in", "d", 1);
	fake_settle(P);
	assert_true(find("disk.in", &e));
	assert_int_equal(e.seq, 1);
}

static void test_repeats(void **state)
{
	struct vol_event e;
	unsigned stored, rows;

	(void)state;
	rows = P->nrows;
	for (unsigned i = 0; i < 1000; i++, now_s++) {
		tell(EVENT_WARNING, "disk.suspect", "a", i);
		tell(EVENT_WARNING, "disk.suspect", "b", i);
		fake_settle(P);
	}
	assert_int_equal(count(EVENT_WARNING, &stored), 2);
	assert_true(find("disk.suspect", &e));
	assert_int_equal(e.count, 1000);
	assert_int_equal(e.first_s, now_s - 1000);
	assert_int_equal(e.last_s, now_s - 1);
	/* At most one for each doubling, and one a minute. */
	assert_true(P->nrows - rows <= 2 * (10 + 17));
	V->events.flush = true;
	tell(EVENT_WARNING, "disk.suspect", "b", 1000);
	fake_settle(P);
	reopen(P->nrows);
	assert_int_equal(count(EVENT_WARNING, &stored), 2);
	assert_true(find("disk.suspect", &e));
	assert_int_equal(e.count, 1001);
	/* After an hour it is news. */
	now_s += 3600;
	tell(EVENT_WARNING, "disk.suspect", "b", 1);
	fake_settle(P);
	assert_int_equal(count(EVENT_WARNING, &stored), 3);
}

/* Faster than they can be stored. */
static void test_repeats_at_once(void **state)
{
	struct vol_event e;
	unsigned stored;

	(void)state;
	for (unsigned i = 0; i < 5000; i++) {
		tell(EVENT_WARNING, "disk.suspect", "a", i);
		fake_turn(P);
	}
	fake_settle(P);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	assert_true(find("disk.suspect", &e));
	assert_int_equal(e.count, 5000);
}

static void test_rings(void **state)
{
	struct vol_event e;
	unsigned stored;
	char object[32];

	(void)state;
	tell(EVENT_CRITICAL, "pool.damage", "p", 1);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(object, sizeof(object), "v%u", i);
		tell(EVENT_INFO, "volume.create", object, i);
		fake_settle(P);
		if (i % 100 == 0)
			fake_commit(P);
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(count(EVENT_INFO, &stored), EVENT_RING);
		assert_int_equal(stored, EVENT_RING);
		assert_true(find("pool.damage", &e));
		assert_true(find("volume.create", &e));
		assert_int_equal(e.numbers[0], 999);
		reopen(P->nrows);
	}
	assert_int_equal(pool_table_pages(P, TABLE_EVENTS), 33);
	assert_true(fake_clean(P, 100) > 0);
	fake_commit(P);
	reopen(P->nrows);
	assert_int_equal(count(EVENT_INFO, &stored), EVENT_RING);
	kit_check_counts(P, V);
}

static void test_no_room(void **state)
{
	struct vol_event e;
	unsigned stored, rows;
	char object[32];

	(void)state;
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(object, sizeof(object), "v%u", i);
		tell(EVENT_INFO, "volume.create", object, i);
	}
	tell(EVENT_WARNING, "pool.full", "p", 1);
	fake_settle(P);
	assert_int_equal(count(EVENT_INFO, &stored), EVENT_PENDING_MAX - 1);
	assert_int_equal(stored, 0);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	/* Not again and again. */
	rows = P->nrows;
	for (unsigned i = 0; i < 100; i++)
		tell(EVENT_WARNING, "pool.full", "p", 1);
	fake_settle(P);
	assert_int_equal(P->nrows, rows);
	P->append_error = 0;
	V->events.retry_ns = 0;
	tell(EVENT_INFO, "volume.create", "w", 1);
	fake_settle(P);
	assert_int_equal(count(EVENT_INFO, &stored), EVENT_PENDING_MAX - 1);
	assert_int_equal(stored, EVENT_PENDING_MAX - 1);
	assert_true(find("pool.full", &e));
	assert_int_equal(e.count, 101);
	assert_true(find("events.lost", &e));
	assert_int_equal(e.numbers[0], 38);
}

/* No page is added to the table where no data may be. */
static void test_full(void **state)
{
	unsigned stored;

	(void)state;
	P->usable = P->live_total;
	tell(EVENT_WARNING, "pool.full", "p", 1);
	fake_settle(P);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	assert_int_equal(stored, 0);
	P->usable += 10;
	fake_commit(P);
	fake_settle(P);
	assert_int_equal(count(EVENT_WARNING, &stored), 1);
	assert_int_equal(stored, 1);
}

static void test_text(void **state)
{
	struct vol_event e = { .severity = EVENT_INFO, .last_s = 1 };
	char long_name[EVENT_OBJECT_MAX + 1];

	(void)state;
	memset(long_name, 'n', EVENT_OBJECT_MAX);
	long_name[EVENT_OBJECT_MAX] = '\0';
	snprintf(e.what, sizeof(e.what), "what");
	snprintf(e.object, sizeof(e.object), "%s", long_name);
	snprintf(e.text, sizeof(e.text), "a\033[2J\xff\nb\xe2\x80\xae"
		 "\xc3\xa4");
	vols_event(V, &e);
	fake_settle(P);
	reopen(P->nrows);
	assert_true(find("what", &e));
	assert_string_equal(e.text, "a?[2J??b?\xc3\xa4");
	assert_true(strlen(e.object) < EVENT_OBJECT_MAX);
	assert_non_null(strstr(e.object, "nnn..."));
}

/* An entry that makes no sense is left out, and so is all behind it. */
static void test_hostile(void **state)
{
	struct vol_event e = {
		.seq = 1, .first_s = 1, .last_s = 2, .count = 1,
		.severity = EVENT_CRITICAL, .what = "what",
		.object = "object", .text = "text",
	};
	uint8_t good[600], bad[600];
	uint32_t len = event_encode(&e, good);
	struct vol_event got;
	const char *why;
	unsigned taken = 0;

	(void)state;
	assert_int_equal(event_decode(good, len, &got, &why), (int)len);
	assert_memory_equal(&got, &e, sizeof(e));
	for (uint32_t n = 0; n < len; n++)
		assert_int_equal(event_decode(good, n, &got, &why), -EBADMSG);
	for (uint32_t i = 0; i < len * 256; i++) {
		memcpy(bad, good, len);
		bad[i / 256] = (uint8_t)i;
		taken += event_decode(bad, len, &got, &why) > 0;
		events_apply(V, bad, len);
	}
	assert_true(taken > 0 && taken < len * 256);
	fake_commit(P);
	reopen(P->nrows);
	kit_check_counts(P, V);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kept), TEST(test_lost_with_the_log),
		TEST(test_repeats), TEST(test_repeats_at_once),
		TEST(test_rings), TEST(test_no_room), TEST(test_full),
		TEST(test_text), TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
