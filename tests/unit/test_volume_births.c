/* Random histories of trees that fork, with checkpoints and growing: no diff
 * lacks a changed block, whatever base vol_base() names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

struct cp {
	bool     there;
	char     volume[64];
	char     name[16];
	uint32_t stamp[SPOTS];
};

static struct cp cps[24];
static uint64_t  compared, differed;

static void cp_take(const struct model *v, bool with_snap)
{
	struct cp *c = &cps[prng_below(&rng, ARRAY_LEN(cps))];
	char name[128], snap[128];
	const char *list[2] = { name, snap };
	struct model *s = NULL;

	if (c->there) {
		snprintf(name, sizeof(name), "%s#%s", c->volume, c->name);
		if (vols_find(V, name) != NULL)
			assert_int_equal(kit_delete(P, V, name, false), 0);
		c->there = false;
	}
	snprintf(c->volume, sizeof(c->volume), "%s", v->name);
	snprintf(c->name, sizeof(c->name), "c%u", names++);
	snprintf(name, sizeof(name), "%s#%s", c->volume, c->name);
	memcpy(c->stamp, v->stamp, sizeof(c->stamp));
	if (with_snap)
		s = model_new((int)(v - trees), v);
	if (s != NULL)
		snprintf(snap, sizeof(snap), "%s", full_name(s));
	assert_int_equal(kit_snapshot(P, V, list, s != NULL ? 2 : 1, NULL), 0);
	c->there = true;
}

static void diff(const struct model *m, const char *mark, const char *name,
		 const uint32_t *was)
{
	struct volume *t = tree_of(m);
	struct vol_extent x[7];
	struct vol_base base;
	bool changed[SPOTS] = { false };
	uint64_t off = 0, end = vol_size_bytes(t);
	char full[80];

	snprintf(full, sizeof(full), "%s%s", mark, name);
	if (vol_base(t, full, &base) < 0)
		return;
	compared++;
	while (off < end) {
		struct vol_req req = kit_req_make(t, VOL_DIFF, off, end - off,
						  NULL, 0);

		req.base_birth = base.birth;
		req.extents = x;
		req.extents_max = 1 + (uint32_t)prng_below(&rng, 7);
		assert_int_equal(kit_submit(P, &req), 0);
		assert_true(req.nextents > 0);
		for (unsigned i = 0; i < req.nextents; i++) {
			for (unsigned k = 0; k < SPOTS; k++)
				if (spot_off(k) >= off &&
				    spot_off(k) < off + x[i].len_bytes)
					changed[k] = x[i].changed;
			off += x[i].len_bytes;
		}
	}
	for (unsigned k = 0; k < SPOTS; k++) {
		if (m->stamp[k] == was[k])
			continue;
		differed++;
		if (!changed[k])
			fail_msg("%s since %s (%u): spot %u is lacking",
				 full_name(m), full, base.birth, k);
	}
}

static void diffs(void)
{
	for (unsigned i = 0; i < TREES_MAX; i++) {
		struct model *m = &trees[i];
		int head = m->of < 0 ? (int)i : m->of;

		if (!m->there || m->hidden)
			continue;
		for (unsigned k = 0; k < TREES_MAX; k++)
			if (trees[k].there && trees[k].of == head)
				diff(m, "@", trees[k].name, trees[k].stamp);
		for (unsigned k = 0; k < ARRAY_LEN(cps); k++)
			if (cps[k].there &&
			    strcmp(cps[k].volume, trees[head].name) == 0)
				diff(m, "#", cps[k].name, cps[k].stamp);
	}
}

static void test_births(void **state)
{
	for (uint64_t seed = 1001; seed <= 1060; seed++) {
		prng_init(&rng, seed);
		memset(cps, 0, sizeof(cps));
		for (unsigned i = 0; i < 250; i++) {
			struct model *v = pick(VOLUME);
			uint64_t what = prng_below(&rng, 100);

			step();
			if (v != NULL && v->there && !v->hidden && what < 12)
				cp_take(v, what < 4);
			else if (v != NULL && v->there && what < 15 &&
				 vol_size_bytes(tree_of(v)) == SIZE) {
				assert_int_equal(kit_resize(P, V, v->name,
						300ull << 30, false), 0);
			}
			if (what >= 92)
				diffs();
		}
		diffs();
		verify_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
	assert_true(compared > 0 && differed > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_births, setup,
						one_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
