/* Control operations of volumes: what they refuse and with which sentence,
 * what they leave behind, and that they survive a crash at any row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

static void test_names(void **state)
{
	static const char *const good[] = {
		"a", "vm-1.root", "A b", "\xc3\xa4", "...", "x:y", "-",
	};
	/* Right-to-left override. */
	static const char rtl[] = { 'a', (char)0xe2, (char)0x80, (char)0xae,
				    0 };
	static const char *const bad[] = {
		"", ".", "..", "a/b", "a@b", "a#b", " a", "a ", "a\nb",
		"a\x7f", "\xff", "\xc3", "\xc0\xaf", "\xed\xa0\x80",
		"\xc2\x85", rtl, "\xe2\x80\x80x",
		"\xf4\x90\x80\x80",
	};
	char err[256], longest[257];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		assert_null(vol_name_problem(good[i], err));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		assert_ptr_equal(vol_name_problem(bad[i], err), err);
		assert_non_null(strstr(err, "cannot be the name"));
		assert_int_equal(kit_create(P, V, bad[i], MIB), -EINVAL);
	}
	memset(longest, 'n', 256);
	longest[256] = '\0';
	assert_non_null(vol_name_problem(longest, err));
	assert_true(strlen(err) < 250);
	longest[255] = '\0';
	assert_null(vol_name_problem(longest, err));
	assert_int_equal(kit_create(P, V, longest, MIB), 0);
	assert_non_null(vols_find(V, longest));
}

static void test_whole_names(void **state)
{
	static const struct {
		const char *name;
		unsigned    kinds;
		const char *says; /* NULL: it is good */
	} cases[] = {
		{ "v", VOL_KIND_VOLUME, NULL },
		{ "v", VOL_KIND_ANY, NULL },
		{ "v@s", VOL_KIND_SNAPSHOT, NULL },
		{ "v#c", VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT, NULL },
		{ "v", VOL_KIND_SNAPSHOT, "give VOLUME@SNAPSHOT" },
		{ "v", VOL_KIND_CHECKPOINT, "give VOLUME#CHECKPOINT" },
		{ "v", VOL_KIND_SNAPSHOT | VOL_KIND_CHECKPOINT,
		  "'v' does not name a snapshot or checkpoint: give" },
		{ "v@s", VOL_KIND_VOLUME,
		  "'v@s' names a snapshot, not a volume" },
		{ "v#c", VOL_KIND_SNAPSHOT,
		  "'v#c' names a checkpoint, not a snapshot" },
		{ "v@s", VOL_KIND_VOLUME | VOL_KIND_CHECKPOINT,
		  "names a snapshot" },
		{ "v@s#c", VOL_KIND_ANY, "'s#c' cannot be the name" },
		{ "v#c@s", VOL_KIND_SNAPSHOT, "names a checkpoint" },
		{ "@s", VOL_KIND_ANY, "is empty" },
		{ "v#", VOL_KIND_ANY, "is empty" },
		{ " v@s", VOL_KIND_ANY, "white space" },
		{ "v\n@s", VOL_KIND_VOLUME, "'v?@s' names a snapshot" },
	};
	char err[256], longest[2 * VOLUME_NAME_MAX + 3];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		const char *problem = vol_whole_name_problem(
			cases[i].name, cases[i].kinds, err);

		if (cases[i].says == NULL) {
			assert_null(problem);
			continue;
		}
		assert_ptr_equal(problem, err);
		if (strstr(err, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].name, err);
	}
	memset(longest, 'n', sizeof(longest));
	longest[2 * VOLUME_NAME_MAX + 1] = '\0';
	longest[VOLUME_NAME_MAX] = '@';
	assert_null(vol_whole_name_problem(longest, VOL_KIND_ANY, err));
	longest[VOLUME_NAME_MAX] = 'n';
	longest[VOLUME_NAME_MAX + 1] = '@';
	assert_non_null(vol_whole_name_problem(longest, VOL_KIND_ANY, err));
	assert_non_null(strstr(err, "longer"));
	longest[VOLUME_NAME_MAX + 1] = 'n';
	assert_non_null(vol_whole_name_problem(longest, VOL_KIND_SNAPSHOT,
					       err));
	assert_true(strlen(err) < 250);
}

static void test_create(void **state)
{
	static const uint64_t bad_sizes[] = {
		0, 1, 511, 4095, 513, (128ull << 40) + 512, 1ull << 63,
		UINT64_MAX,
	};
	struct volume_info info;
	struct vol_ctl c;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(bad_sizes); i++) {
		c = one_run(vol_create, (struct vol_ctl){
			.name = "v", .size_bytes = bad_sizes[i] });
		assert_int_equal(c.res, -EINVAL);
		assert_non_null(strstr(c.error, "'v'"));
	}
	assert_null(vols_next(V, NULL));
	c = one_run(vol_create, (struct vol_ctl){
		.name = "v", .size_bytes = 512, .now_s = 77 });
	assert_int_equal(c.res, 0);
	assert_false(c.already);
	c = one_run(vol_create, (struct vol_ctl){ .name = "v",
					      .size_bytes = 512 });
	assert_int_equal(c.res, 0);
	assert_true(c.already);
	c = one_run(vol_create, (struct vol_ctl){ .name = "v",
					      .size_bytes = 1024 });
	assert_int_equal(c.res, -EEXIST);
	assert_int_equal(kit_create(P, V, "u", 128ull << 40), 0);
	assert_int_equal(kit_create(P, V, "w", MIB), 0);
	/* In order of name. */
	assert_ptr_equal(vols_next(V, NULL), vols_find(V, "u"));
	assert_ptr_equal(vols_next(V, vols_find(V, "u")), vols_find(V, "v"));
	assert_ptr_equal(vols_at(V, 2), vols_find(V, "w"));
	assert_null(vols_next(V, vols_find(V, "w")));
	assert_null(vols_at(V, 3));
	vol_info(vols_find(V, "v"), &info);
	assert_string_equal(info.name, "v");
	assert_int_equal(info.size_bytes, 512);
	assert_int_equal(info.created_s, 77);
	assert_int_equal(info.mapped_blocks, 0);
}

static void test_rename(void **state)
{
	struct vol_ctl c;

	(void)state;
	kit_create(P, V, "a", MIB);
	kit_create(P, V, "b", MIB);
	c = one_run(vol_rename, (struct vol_ctl){ .name = "a",
						.new_name = "b" });
	assert_int_equal(c.res, -EEXIST);
	c = one_run(vol_rename, (struct vol_ctl){ .name = "x",
						.new_name = "y" });
	assert_int_equal(c.res, -ENOENT);
	assert_non_null(strstr(c.error, "'x'"));
	c = one_run(vol_rename, (struct vol_ctl){ .name = "a",
						.new_name = "/" });
	assert_int_equal(c.res, -EINVAL);
	c = one_run(vol_rename, (struct vol_ctl){ .name = "a",
						.new_name = "a" });
	assert_int_equal(c.res, 0);
	assert_true(c.already);
	c = one_run(vol_rename, (struct vol_ctl){ .name = "a",
						.new_name = "z" });
	assert_int_equal(c.res, 0);
	assert_null(vols_find(V, "a"));
	assert_non_null(vols_find(V, "z"));
	one_reopen(false);
	assert_non_null(vols_find(V, "z"));
	assert_null(vols_find(V, "a"));
}

static void test_grow(void **state)
{
	static const uint64_t sizes[] = {
		2 * MIB, 512 * MIB, 513 * MIB, 300ull << 30, 128ull << 40,
	};

	(void)state;
	kit_create(P, V, "v", MIB);
	put_block("v", 0, 1);
	put_block("v", MIB - 4096, 2);
	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		assert_int_equal(kit_resize(P, V, "v", sizes[i], false), 0);
		put_block("v", sizes[i] - 4096, (uint8_t)(10 + i));
		if (i % 2 == 0)
			fake_commit(P);
	}
	for (unsigned again = 0; again < 2; again++) {
		assert_int_equal(get_byte("v", 0), 1);
		assert_int_equal(get_byte("v", MIB - 4096), 2);
		for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
			assert_int_equal(get_byte("v", sizes[i] - 1), 10 + i);
		kit_check_counts(P, V);
		one_reopen(false);
	}
}

static void test_shrink(void **state)
{
	struct vol_user user = { .resized = NULL };

	(void)state;
	kit_create(P, V, "v", 700 * MIB);
	put_block("v", 0, 1);
	put_block("v", 5 * MIB, 2);
	put_block("v", 600 * MIB, 3);
	assert_int_equal(kit_resize(P, V, "v", 6 * MIB, false), -ENOTEMPTY);
	assert_int_equal(kit_resize(P, V, "v", 5 * MIB + 512, true), 0);
	assert_int_equal(vol_size_bytes(vols_find(V, "v")), 5 * MIB + 512);
	/* Growing waits until what was cut off is gone. */
	assert_int_equal(kit_resize(P, V, "v", 700 * MIB, false), 0);
	assert_int_equal(get_byte("v", 0), 1);
	assert_int_equal(get_byte("v", 5 * MIB + 511), 2);
	assert_int_equal(get_byte("v", 5 * MIB + 512), 0);
	assert_int_equal(get_byte("v", 600 * MIB), 0);
	kit_check_counts(P, V);
	assert_int_equal(vols_find(V, "v")->mapped, 2);
	/* Nothing is there: no force is needed. */
	assert_int_equal(kit_resize(P, V, "v", 6 * MIB, false), 0);
	vol_get(vols_find(V, "v"), &user);
	assert_int_equal(kit_resize(P, V, "v", 5 * MIB + 4096, false), -EBUSY);
	assert_int_equal(kit_resize(P, V, "v", 7 * MIB, false), 0);
	vol_put(vols_find(V, "v"), &user);
	assert_int_equal(kit_resize(P, V, "v", 0, false), -EINVAL);
	assert_int_equal(kit_resize(P, V, "nov", MIB, false), -ENOENT);
}

static bool told_gone;

static void user_gone(struct vol_user *u)
{
	(void)u;
	told_gone = true;
}

static void test_delete(void **state)
{
	struct vol_user user = { .gone = user_gone };
	struct volume *v;
	struct volumes_space space;

	(void)state;
	kit_create(P, V, "v", 700 * MIB);
	for (unsigned i = 0; i < 300; i++)
		put_block("v", i * 2 * MIB, (uint8_t)i);
	fake_commit(P);
	v = vols_find(V, "v");
	vol_get(v, &user);
	assert_int_equal(kit_delete(P, V, "v", false), -EBUSY);
	told_gone = false;
	assert_int_equal(kit_delete(P, V, "v", true), 0);
	assert_true(told_gone);
	assert_null(vols_find(V, "v"));
	assert_int_equal(kit_delete(P, V, "v", true), -ENOENT);
	assert_int_equal(kit_req(P, v, VOL_READ, 0, 0, NULL, 0), -ESHUTDOWN);
	/* The name is free at once. */
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	put_block("v", 0, 9);
	kit_check_counts(P, V);
	vols_space(V, &space);
	assert_int_equal(space.deleting, 0);
	assert_int_equal(space.mapped_blocks, 1);
	assert_int_equal(space.provisioned_bytes, MIB);
	assert_int_equal(get_byte("v", 0), 9);
	vol_put(v, &user);
	/* One leaf, and it is the root. */
	assert_int_equal(V->ids.used, 1);
}

/* The reaper goes on where it was, whatever row the crash came after. */
static void test_reap_crash(void **state)
{
	(void)state;
	kit_create(P, V, "keep", 2 * MIB);
	put_block("keep", 0, 5);
	for (unsigned round = 0; round < 12; round++) {
		uint32_t first;

		kit_create(P, V, "v", 1ull << 40);
		for (uint64_t i = 0; i < 200; i++)
			put_block("v", i * 4096 * MIB, 1);
		if (round % 3 != 0)
			fake_commit(P);
		first = P->nrows;
		assert_int_equal(kit_delete(P, V, "v", false), 0);
		for (unsigned i = 0; i < round * 4; i++)
			fake_turn(P);
		fake_crash(P, V, max_u32(max_u32(first + 1, P->commit_row),
					 P->nrows - (round > 6 ? 1 : 0)));
		assert_int_equal(fake_open(P, NULL, &V), 0);
		kit_check_counts(P, V);
		assert_int_equal(V->catalog.ndeleting, 0);
		assert_int_equal(V->catalog.mapped, 1);
		assert_int_equal(get_byte("keep", 0), 5);
		fake_recycle(P);
	}
}

static void test_pool_errors(void **state)
{
	struct vol_ctl c;

	(void)state;
	kit_create(P, V, "v", MIB);
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLIENT;
	c = one_run(vol_create, (struct vol_ctl){ .name = "w",
					      .size_bytes = MIB });
	assert_int_equal(c.res, -ENOSPC);
	assert_non_null(strstr(c.error, "full"));
	assert_null(vols_find(V, "w"));
	/* Deleting works when the pool is full. */
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	P->append_error = -EROFS;
	P->append_error_class = LOG_COMMIT;
	c = one_run(vol_create, (struct vol_ctl){ .name = "w",
					      .size_bytes = MIB });
	assert_int_equal(c.res, -EROFS);
	P->append_error = 0;
	assert_int_equal(kit_create(P, V, "w", MIB), 0);
}

/* Many volumes: pages of the catalog come back as they were. */
static void test_many(void **state)
{
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "v%02u", i);
		assert_int_equal(kit_create(P, V, name, (i + 1) * 512), 0);
	}
	for (unsigned i = 0; i < 100; i += 3) {
		snprintf(name, sizeof(name), "v%02u", i);
		assert_int_equal(kit_delete(P, V, name, false), 0);
	}
	for (unsigned again = 0; again < 2; again++) {
		unsigned n = 0;

		for (struct volume *v = vols_next(V, NULL); v != NULL;
		     v = vols_next(V, v))
			n++;
		assert_int_equal(n, 66);
		assert_int_equal(vol_size_bytes(vols_find(V, "v98")), 99 * 512);
		assert_null(vols_find(V, "v99"));
		if (again == 0) {
			kit_check_counts(P, V);
			one_reopen(false);
		}
	}
	/* The lowest free slot is taken again, with a new id. */
	assert_int_equal(kit_create(P, V, "new", MIB), 0);
	assert_int_equal(vols_find(V, "new")->slot, 0);
	assert_int_equal(vols_find(V, "new")->id, 101);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, one_setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names), TEST(test_whole_names),
		TEST(test_create), TEST(test_rename), TEST(test_grow),
		TEST(test_shrink), TEST(test_delete), TEST(test_reap_crash),
		TEST(test_pool_errors), TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
