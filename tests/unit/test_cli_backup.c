/* Backups: how they are called, which is based on which, which are kept, and
 * that nothing that is kept is lost on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/prng.h"
#include "base/util.h"
#include "tools/tarn/backup_chain.c"
#include "tools/tarn/backup_name.c"

static void test_when(void **state)
{
	static const uint64_t times[] = {
		0, 86399, 86400, 951782400, 1767225600, 4107542399, 253402300799
	};
	char     when[BACKUP_WHEN_BYTES], libc[40];
	uint64_t s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		time_t    t = (time_t)times[i];
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(libc, sizeof(libc), "%Y%m%dT%H%M%SZ", &tm);
		assert_string_equal(backup_when_text(times[i], when), libc);
		assert_true(backup_when_is(when, &s));
		assert_true(s == times[i]);
	}
	for (uint64_t t = 0; t < 253402300799; t += 86400 * 13 + 12345) {
		assert_true(backup_when_is(backup_when_text(t, when), &s));
		assert_true(s == t);
	}
	assert_false(backup_when_is("20260131T120000", &s));
	assert_false(backup_when_is("20260230T120000Z", &s));
	assert_false(backup_when_is("20260131T240000Z", &s));
	assert_false(backup_when_is("19691231T235959Z", &s));
	assert_false(backup_when_is("20260131T120000Z ", &s));
	assert_false(backup_when_is("", &s));
}

static void test_when_typed(void **state)
{
	static const char *const bad[] = {
		"",
		"yesterday",
		"2026",
		"2026-1-31",
		"2026-02-30",
		"2026-01-31T",
		"2026-01-31T12",
		"2026-01-31T12:60",
		"2026-01-31 12:00:00ZZ",
		"2026-01-31Z",
	};
	uint64_t day, s;

	(void)state;
	assert_true(backup_when_is("20260131T000000Z", &day));
	assert_int_equal(backup_when_parse("20260131T000000Z", &s), 0);
	assert_true(s == day);
	assert_int_equal(backup_when_parse("2026-01-31", &s), 0);
	assert_true(s == day + 86399);
	assert_int_equal(backup_when_parse("2026-01-31T01:02", &s), 0);
	assert_true(s == day + 3720 + 59);
	assert_int_equal(backup_when_parse("2026-01-31 01:02:03", &s), 0);
	assert_true(s == day + 3723);
	assert_int_equal(backup_when_parse("2026-01-31T01:02:03Z", &s), 0);
	assert_true(s == day + 3723);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(backup_when_parse(bad[i], &s), -EINVAL);
}

static void test_names(void **state)
{
	char name[BACKUP_NAME_BYTES], id[BACKUP_ID_BYTES];
	char when[BACKUP_WHEN_BYTES];
	const char *w;

	(void)state;
	backup_snap_name("0123456789abcdef", "20260131T120000Z", name);
	assert_string_equal(name,
			    "tarn-backup.0123456789abcdef.20260131T120000Z");
	assert_true(backup_snap_parse(name, id, when));
	assert_string_equal(id, "0123456789abcdef");
	assert_string_equal(when, "20260131T120000Z");
	assert_false(backup_snap_parse("tarn-backup.0123456789abcdeX."
				       "20260131T120000Z", id, when));
	assert_false(backup_snap_parse("tarn-backup.0123456789abcdef."
				       "20260131T120000", id, when));
	assert_false(backup_snap_parse("monday", id, when));
	assert_false(backup_snap_parse("", id, when));
	backup_file_name("20260131T120000Z", BACKUP_NEW_SUFFIX, name);
	assert_string_equal(name, "20260131T120000Z.tarn.new");
	assert_true(backup_file_parse(name, BACKUP_NEW_SUFFIX, when));
	assert_false(backup_file_parse(name, BACKUP_SUFFIX, when));
	assert_false(backup_file_parse("20260131T120000Z", BACKUP_SUFFIX,
				       when));
	assert_false(backup_file_parse("20269931T120000Z.tarn", BACKUP_SUFFIX,
				       when));
	assert_int_equal(backup_split("a@b@c", &w), 3);
	assert_string_equal(w, "c");
	assert_int_equal(backup_split("/a/b", &w), 4);
	assert_null(w);
}

/* --- chains -------------------------------------------------------------- */

/* A backup at `day` with target number t, based on base (0: full). */
static struct backup make(uint64_t when_s, unsigned t, unsigned base)
{
	struct backup b = { .when_s = when_s, .file_bytes = 100 };

	backup_when_text(when_s, b.when);
	b.header.volume.b[0] = 1;
	memcpy(b.header.target.b, &t, sizeof(t));
	memcpy(b.header.base.b, &base, sizeof(base));
	snprintf(b.header.base_name, sizeof(b.header.base_name), "t%u", base);
	b.header.base_kind = base != 0 ? STREAM_BASE_SNAPSHOT
				       : STREAM_BASE_NONE;
	return b;
}

static void test_link(void **state)
{
	/* Out of order; one whose base is missing; a ring; a damaged one. */
	struct backup b[] = {
		make(300, 3, 2), make(100, 1, 0), make(200, 2, 1),
		make(400, 5, 4), make(500, 6, 7), make(600, 7, 6),
		make(700, 8, 0), make(800, 9, 8),
	};
	size_t path[BACKUP_CHAIN_MAX];

	(void)state;
	b[7].damaged = true;
	strcpy(b[7].why, "it is cut off");
	backups_link(b, ARRAY_LEN(b));
	assert_true(b[0].whole && b[1].whole && b[2].whole && b[6].whole);
	assert_false(b[3].whole || b[4].whole || b[5].whole || b[7].whole);
	assert_int_equal(b[2].base, 1);
	assert_int_equal(b[2].depth, 2);
	assert_int_equal(b[0].kids, 1);
	assert_int_equal(b[6].kids, 0);
	assert_string_equal(b[3].why,
			    "what it is based on, 't4', is not there");
	assert_non_null(strstr(b[4].why, "cannot be restored"));
	assert_string_equal(b[7].why, "it is cut off");
	assert_int_equal(backups_path(b, 2, path), 3);
	assert_int_equal(path[0], 0);
	assert_int_equal(path[1], 1);
	assert_int_equal(path[2], 2);
	assert_int_equal(backups_find(b, ARRAY_LEN(b), NULL), 7);
	assert_int_equal(backups_find(b, ARRAY_LEN(b), "19700101T000250Z"), 0);
	assert_int_equal(backups_find(b, ARRAY_LEN(b), "1970-01-01T00:03:20"),
			 1);
	assert_int_equal(backups_find(b, ARRAY_LEN(b), "19700101T000001Z"),
			 -1);
	/* Of another volume, it is no base. */
	b[1].header.volume.b[0] = 2;
	backups_link(b, ARRAY_LEN(b));
	assert_false(b[1].whole || b[2].whole);
}

static void test_long(void **state)
{
	struct backup *b = calloc(BACKUP_CHAIN_MAX + 1, sizeof(*b));
	size_t path[BACKUP_CHAIN_MAX];

	(void)state;
	for (unsigned i = 0; i <= BACKUP_CHAIN_MAX; i++)
		b[i] = make(i + 1, i + 1, i);
	backups_link(b, BACKUP_CHAIN_MAX + 1);
	assert_int_equal(backups_path(b, BACKUP_CHAIN_MAX - 1, path),
			 BACKUP_CHAIN_MAX);
	assert_int_equal(path[BACKUP_CHAIN_MAX - 1], BACKUP_CHAIN_MAX - 1);
	assert_int_equal(backups_path(b, BACKUP_CHAIN_MAX, path), 0);
	free(b);
}

static unsigned kept(struct backup *b, size_t n, unsigned last,
		     unsigned daily, unsigned weekly)
{
	struct backup_policy p = { last, daily, weekly };
	unsigned count = 0;

	backups_keep(b, n, &p);
	for (size_t i = 0; i < n; i++)
		count += b[i].keep;
	return count;
}

static void test_keep(void **state)
{
	struct backup b[60];
	uint64_t monday;

	(void)state;
	assert_true(backup_when_is("20260105T060000Z", &monday));
	/* Two a day, from a Monday on, for thirty days: to Tuesday. */
	for (unsigned i = 0; i < 60; i++)
		b[i] = make(monday + i * 43200ull, i + 1, i);
	backups_link(b, 60);
	assert_int_equal(kept(b, 60, 0, 0, 0), 60);
	assert_int_equal(kept(b, 60, 7, 0, 0), 7);
	assert_true(b[59].keep && b[53].keep && !b[52].keep);
	assert_int_equal(kept(b, 60, 0, 3, 0), 3);
	assert_true(b[59].keep && b[57].keep && b[55].keep);
	assert_int_equal(kept(b, 60, 0, 0, 3), 3);
	/* The last of each week is that of Sunday evening. */
	assert_true(b[59].keep && b[55].keep && b[41].keep);
	assert_int_equal(kept(b, 60, 3, 3, 3), 5);
	assert_int_equal(kept(b, 60, 0, 0, 100), 5);
	assert_int_equal(kept(b, 60, 1000, 0, 0), 60);
	/* What cannot be restored counts for nothing and is left alone. */
	b[57].header.base_kind = STREAM_BASE_SNAPSHOT;
	b[57].damaged = true;
	backups_link(b, 60);
	assert_int_equal(kept(b, 60, 1, 0, 0), 4);
	assert_true(b[56].keep && b[57].keep && b[58].keep && b[59].keep);
}

/* What a step does to the folder. */
static size_t prune_do(struct backup *b, size_t n, struct prune p)
{
	struct backup *older = &b[p.older], *newer = &b[p.newer];

	if (p.kind == PRUNE_FOLD) {
		newer->header.base = older->header.base;
		newer->header.base_kind = older->header.base_kind;
		newer->file_bytes += older->file_bytes / 2;
		return n;
	}
	memmove(older, older + 1, (n - p.older - 1) * sizeof(b[0]));
	return n - 1;
}

static size_t prune_all(struct backup *b, size_t n, struct backup_policy *pol)
{
	for (unsigned steps = 0;; steps++) {
		struct prune p;

		assert_true(steps < 500);
		backups_link(b, n);
		backups_keep(b, n, pol);
		for (size_t i = 0; i < n; i++)
			assert_true(b[i].whole);
		p = backups_prune_next(b, n);
		if (p.kind == PRUNE_NOTHING)
			return n;
		assert_false(b[p.older].keep);
		n = prune_do(b, n, p);
	}
}

static void test_prune(void **state)
{
	struct backup b[60];
	struct backup_policy pol = { .last = 3 };

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		b[i] = make(i + 1, i + 1, i);
	assert_int_equal(prune_all(b, 10, &pol), 3);
	assert_int_equal(b[0].when_s, 8);
	assert_int_equal(b[2].when_s, 10);
	/* A large full one is not written anew for little. */
	for (unsigned i = 0; i < 10; i++)
		b[i] = make(i + 1, i + 1, i);
	b[0].file_bytes = 1000000;
	assert_int_equal(prune_all(b, 10, &pol), 4);
	assert_int_equal(b[0].when_s, 1);
	assert_int_equal(b[1].when_s, 8);
	/* An old chain of which nothing is kept goes. */
	for (unsigned i = 0; i < 10; i++)
		b[i] = make(i + 1, i + 1, i == 5 ? 0 : i);
	b[0].file_bytes = 1000000;
	assert_int_equal(prune_all(b, 10, &pol), 3);
}

/* Any policy, any forest: what is kept can be restored at every step. */
static void test_prune_random(void **state)
{
	struct prng rng;

	(void)state;
	prng_init(&rng, 1);
	for (unsigned round = 0; round < 300; round++) {
		struct backup b[60];
		unsigned n = 1 + (unsigned)prng_below(&rng, 40);
		struct backup_policy pol = {
			.last = (unsigned)prng_below(&rng, 6),
			.daily = (unsigned)prng_below(&rng, 6),
			.weekly = (unsigned)prng_below(&rng, 6),
		};
		char   want[60][BACKUP_WHEN_BYTES];
		size_t nwant = 0, left;

		for (unsigned i = 0; i < n; i++) {
			/* Seldom a full one, seldom a fork. */
			unsigned base = prng_below(&rng, 8) == 0 ? 0 : i;

			if (base > 1 && prng_below(&rng, 8) == 0)
				base--;
			b[i] = make(i * 50000ull, i + 1, base);
			b[i].file_bytes = 1 + prng_below(&rng, 1000);
		}
		backups_link(b, n);
		backups_keep(b, n, &pol);
		for (unsigned i = 0; i < n; i++)
			if (b[i].keep)
				memcpy(want[nwant++], b[i].when,
				       BACKUP_WHEN_BYTES);
		left = prune_all(b, n, &pol);
		for (size_t i = 0, k = 0; i < nwant; i++, k++) {
			while (k < left && strcmp(b[k].when, want[i]) != 0)
				k++;
			assert_true(k < left);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_when_typed),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_prune_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
