/* Volumes with very many snapshots: found by name, and by birth, whatever came
 * and went between. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/prng.h"
#define FAKE_PLACES (1u << 19)
#include "tests/lib/fake/one_pool.c"
#include "volume/catalog.h"
#include "volume/tree.h"

#define SNAPS 3000u

static struct prng     rng;
static bool            there[SNAPS];

static int setup(void **state)
{
	(void)state;
	one_open(7, NULL);
	prng_init(&rng, 1);
	memset(there, 0, sizeof(there));
	return 0;
}

static const char *snap_name(const char *volume, unsigned i)
{
	static char name[64];

	snprintf(name, sizeof(name), "%s@s%u", volume, i);
	return name;
}

static int run(const char *name, const char *new_name,
	       void (*op)(struct volumes *, struct vol_ctl *))
{
	return one_run(op, (struct vol_ctl){ .name = name,
					     .new_name = new_name,
					     .uuid.b[0] = 1 }).res;
}

/* One by one. */
static struct volume *before(const struct volume *t, uint32_t born)
{
	struct volume *o = t->origin;

	while (o != NULL && o->birth >= born)
		o = o->origin;
	return o;
}

static void check_births(void)
{
	const char *volumes[] = { "v", "c" };

	for (unsigned i = 0; i < 400; i++) {
		const char *name = volumes[i % 2];
		struct volume *t = vols_find(V, name), *s;
		uint32_t born;

		if (t == NULL)
			continue;
		s = vols_find(V, snap_name(name, (unsigned)
					   prng_below(&rng, SNAPS)));
		t = s != NULL && i % 3 == 0 ? s : t;
		born = (uint32_t)prng_below(&rng, t->birth + 2ull);
		assert_ptr_equal(tree_before(t, born), before(t, born));
	}
}

static void check_names(void)
{
	for (unsigned i = 0; i < SNAPS; i++) {
		struct volume *s = vols_find(V, snap_name("v", i));

		assert_int_equal(s != NULL, there[i]);
		if (s != NULL)
			assert_string_equal(s->name,
					    strchr(snap_name("v", i), '@') + 1);
	}
}

static void test_long(void **state)
{
	(void)state;
	assert_int_equal(kit_create(P, V, "v", 8 * MIB), 0);
	for (unsigned i = 0; i < SNAPS; i++) {
		put_block("v", i % 8 * MIB, 1);
		snap(snap_name("v", i));
		there[i] = true;
		if (i == SNAPS / 2) {
			assert_int_equal(run(snap_name("v", i), "c",
					     vol_clone), 0);
			for (unsigned k = 0; k < 200; k++)
				snap(snap_name("c", k));
		}
		if (i % 500 == 0)
			check_births();
	}
	check_names();
	check_births();
	fake_commit(P);
	fake_clean(P, 60);
	fake_settle(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
	check_names();
	check_births();
	for (unsigned i = 0; i < SNAPS; i++) {
		unsigned k = (unsigned)prng_below(&rng, SNAPS);

		if (!there[k])
			continue;
		assert_int_equal(kit_delete(P, V, snap_name("v", k), false),
				 0);
		there[k] = false;
		if (i % 300 == 0)
			check_births();
	}
	check_names();
	fake_settle(P);
	check_births();
	/* Its snapshots are the volume's that was rolled back, by name too. */
	for (unsigned i = 0; i < SNAPS; i++)
		if (there[i] && i > SNAPS / 2) {
			put_block("v", MIB, 1);
			assert_int_equal(run(snap_name("v", i), NULL,
					     vol_rollback), 0);
			break;
		}
	check_names();
	check_births();
	for (unsigned i = 0; i < SNAPS; i++)
		if (there[i]) {
			assert_int_equal(run(snap_name("v", i), "other",
					     vol_rename), 0);
			there[i] = false;
			break;
		}
	assert_non_null(vols_find(V, "v@other"));
	assert_int_equal(kit_delete(P, V, "v@other", false), 0);
	assert_null(vols_find(V, "v@other"));
	check_names();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_long, setup,
						one_teardown_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
