/* What deleting a volume or snapshot frees is what was said before: random
 * histories, with little memory too; and the walk while everything changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

#define FORKS_END 360

static bool measured;

static void measure_done(struct vol_used *u)
{
	(void)u;
	assert_false(measured);
	measured = true;
}

static void measure_start(struct vol_used *u, struct volume *v)
{
	memset(u, 0, sizeof(*u));
	u->vol = v;
	u->done = measure_done;
	measured = false;
	vol_used_submit(u);
	assert_false(measured);
}

static void measure_wait(void)
{
	for (unsigned i = 0; i < 100000 && !measured; i++)
		fake_turn(P);
	assert_true(measured);
}

static struct vol_used measure(struct volume *v)
{
	struct vol_used u;

	measure_start(&u, v);
	measure_wait();
	return u;
}

/* Something that nothing stands against deleting; NULL: there is nothing. */
static struct model *pick_victim(void)
{
	struct model *m = pick((int)prng_below(&rng, 3));

	return m == NULL || (m->of < 0 && has_snapshots(m)) ? NULL : m;
}

static unsigned nforked, nthinned, nfreed, ncascades, nsets, nsets_forked;
static unsigned nnested;

/* Every volume writes to the same few spots. */
static void write_same(void)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		for (unsigned spot = 0; spot < 5; spot++)
			if (trees[i].there && trees[i].of < 0)
				spot_write(&trees[i], spot * 3);
}

/* Does a FORK derive from a FORK? */
static bool forks_nested(void)
{
	for (uint32_t i = 0; i < V->catalog.nslots; i++) {
		const struct volume *v = V->catalog.slots[i];

		if (v != NULL && v->state == CATALOG_FORK &&
		    v->origin != NULL && v->origin->state == CATALOG_FORK)
			return true;
	}
	return false;
}

/* Deletes it. */
static void check_one(struct model *m)
{
	uint64_t mapped, nodes;
	struct vol_used u;
	bool fork;

	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	fork = tree_of(m)->origin != NULL &&
	       tree_of(m)->origin->state == CATALOG_FORK;
	u = measure(tree_of(m));
	assert_int_equal(u.res, 0);
	mapped = V->catalog.mapped;
	nodes = V->ids.used;
	do_delete(m);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	if (mapped - V->catalog.mapped != u.data_blocks ||
	    nodes - V->ids.used != u.node_blocks)
		fail_msg("%s: %u blocks and %u nodes were to go, %u and %u "
			 "went", m->name, (unsigned)u.data_blocks,
			 (unsigned)u.node_blocks,
			 (unsigned)(mapped - V->catalog.mapped),
			 (unsigned)(nodes - V->ids.used));
	nnested += forks_nested();
	nforked += u.forked;
	nthinned += u.forked && u.data_blocks > 0;
	nfreed += u.data_blocks > 0;
	ncascades += fork && u.data_blocks > 0;
}

/* Several, which share what nobody else has; deleted in any order. */
static void check_set(void)
{
	struct volume *set[TREES_MAX];
	struct model  *gone[TREES_MAX];
	unsigned       n = 0, want = 2 + (unsigned)prng_below(&rng, 4);
	uint64_t       mapped, nodes;
	struct vol_used u = { .set = set, .done = measure_done };

	fake_settle(P);
	for (unsigned i = 0; i < 20 && n < want; i++) {
		struct model *m = pick_victim();
		bool twice = false;

		for (unsigned k = 0; k < n; k++)
			twice |= gone[k] == m;
		if (m == NULL || twice)
			continue;
		gone[n] = m;
		set[n++] = tree_of(m);
	}
	if (n < 2)
		return;
	u.nset = n;
	measured = false;
	vol_used_submit(&u);
	measure_wait();
	assert_int_equal(u.res, 0);
	mapped = V->catalog.mapped;
	nodes = V->ids.used;
	for (unsigned i = 0; i < n; i++)
		do_delete(gone[i]);
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	if (mapped - V->catalog.mapped != u.data_blocks ||
	    nodes - V->ids.used != u.node_blocks)
		fail_msg("%u together: %u blocks and %u nodes were to go, %u "
			 "and %u went", n, (unsigned)u.data_blocks,
			 (unsigned)u.node_blocks,
			 (unsigned)(mapped - V->catalog.mapped),
			 (unsigned)(nodes - V->ids.used));
	nsets++;
	nsets_forked += u.forked;
	nnested += forks_nested();
}

static void random_histories(uint64_t first, uint64_t end)
{
	for (uint64_t seed = first; seed < end; seed++) {
		void *state = NULL;

		prng_init(&rng, seed);
		for (unsigned i = 0; i < 300; i++) {
			struct model *m = i % 6 == 5 ? pick_victim() : NULL;

			if (i % 15 == 7)
				write_same();
			if (i % 30 == 29)
				check_set();
			else if (m == NULL)
				step();
			else if (prng_below(&rng, 2) == 0)
				write_same();
			else
				check_one(m);
		}
		verify_all();
		delete_all();
		one_teardown(&state);
		setup(&state);
	}
}

static void test_random(void **state)
{
	(void)state;
	random_histories(1, 40);
	assert_true(nforked > 20 && nthinned > 5);
	assert_true(nfreed > 100 && ncascades > 20);
	assert_true(nsets > 100 && nsets_forked > 10 && nnested > 10);
}

/* Some spots of some volumes. */
static void write_some(void)
{
	for (unsigned i = 0; i < TREES_MAX; i++)
		for (unsigned spot = 0; spot < SPOTS; spot++)
			if (trees[i].there && trees[i].of < 0 &&
			    prng_below(&rng, 4) == 0)
				spot_write(&trees[i], spot);
}

/* Clones of clones, whose snapshots are deleted: forks behind forks. */
static void make_lineage(void)
{
	for (unsigned level = 0; level < 3; level++) {
		struct model *v = pick(VOLUME), *s;

		do_snapshot(v);
		s = pick(SNAPSHOT);
		for (unsigned i = 2 + (unsigned)prng_below(&rng, 3); i > 0;
		     i--)
			do_clone(s);
		write_some();
		if (prng_below(&rng, 4) > 0)
			check_one(s);
	}
}

static void test_forks(void **state)
{
	nnested = 0;
	for (uint64_t seed = 301; seed < FORKS_END; seed++) {
		prng_init(&rng, seed);
		step(); /* a volume */
		write_some();
		make_lineage();
		for (unsigned i = 0; i < 12; i++) {
			struct model *m = pick_victim();

			if (i % 4 == 3)
				step_of(86 + prng_below(&rng, 12));
			else if (i % 4 == 2)
				check_set();
			else if (m != NULL)
				check_one(m);
			if (i % 4 == 1)
				write_some();
		}
		verify_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
	assert_true(nnested > 50);
}

/* Nodes are evicted while others are read. */
static void test_little_memory(void **state)
{
	(void)state;
	params.node_budget_bytes = 1;
	random_histories(101, 120);
	params.node_budget_bytes = 0;
}

/* Nothing of a snapshot is its own until the volume goes on. */
static void test_grows(void **state)
{
	struct vol_used u;

	(void)state;
	prng_init(&rng, 1);
	make_one();
	u = measure(tree_of(&trees[1]));
	assert_int_equal(u.data_blocks, 0);
	assert_int_equal(u.node_blocks, 0);
	do_zero(&trees[0], false);
	do_write(&trees[0]);
	u = measure(tree_of(&trees[1]));
	assert_int_equal(u.data_blocks,
			 V->catalog.mapped - tree_of(&trees[0])->mapped);
	delete_all();
}

/* Any of them, after a start or not. */
static void begin_one(struct vol_used *u, bool opened)
{
	struct model *m = pick((int)prng_below(&rng, 3));

	if (m == NULL)
		return;
	if (opened)
		do_reopen(true); /* what is read has to come first */
	measure_start(u, tree_of(m));
}

/* Everything happens meanwhile: it ends, with something that can be. */
static void test_meanwhile(void **state)
{
	struct vol_used u = { .res = 0 };
	unsigned ends = 0, gone = 0;

	for (uint64_t seed = 201; seed < 221; seed++) {
		prng_init(&rng, seed);
		measured = true;
		for (unsigned i = 0; i < 300; i++) {
			if (measured)
				begin_one(&u, prng_below(&rng, 2) == 0);
			do
				step_but_reopen();
			while (!measured && prng_below(&rng, 4) > 0);
			if (prng_below(&rng, 4) > 0)
				continue;
			measure_wait();
			ends++;
			gone += u.res == -ENOENT;
			assert_true(u.res == 0 || u.res == -ENOENT);
			assert_true(u.data_blocks <= 2 * SPOTS);
		}
		measure_wait();
		verify_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
	assert_true(ends > 100 && gone > 0);
}

static bool no_more(struct vol_used *u)
{
	(void)u;
	return true;
}

static void test_stop(void **state)
{
	struct vol_used u;

	(void)state;
	prng_init(&rng, 1);
	make_one();
	measure_start(&u, tree_of(&trees[0]));
	u.stop = no_more;
	measure_wait();
	assert_int_equal(u.res, -ECANCELED);
	do_reopen(true);
	measure_start(&u, tree_of(&trees[1]));
	fake_turn(P);
	fake_turn(P);
	u.stop = no_more;
	measure_wait();
	verify_all();
	delete_all();
}

/* Whatever cannot be read, it ends, and says so. */
static void test_unreadable(void **state)
{
	unsigned errors = 0;

	for (uint64_t seed = 1; seed < 60; seed++) {
		struct vol_used u;

		prng_init(&rng, seed);
		make_one();
		for (unsigned i = 0; i < 30; i++)
			do_write(&trees[0]);
		do_reopen(true);
		for (uint32_t i = 0; i < FAKE_PLACES; i++)
			P->blocks[i].lost = prng_below(&rng, 4) == 0;
		u = measure(tree_of(&trees[1]));
		errors += u.res < 0;
		assert_true(u.res == 0 || u.res == -EBADMSG);
		for (uint32_t i = 0; i < FAKE_PLACES; i++)
			P->blocks[i].lost = false;
		u = measure(tree_of(&trees[1]));
		assert_int_equal(u.res, 0);
		assert_int_equal(u.data_blocks, V->catalog.mapped -
						tree_of(&trees[0])->mapped);
		one_teardown(state);
		setup(state);
	}
	assert_true(errors > 20);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_grows), TEST(test_stop), TEST(test_unreadable),
		TEST(test_meanwhile), TEST(test_random), TEST(test_forks),
		TEST(test_little_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
