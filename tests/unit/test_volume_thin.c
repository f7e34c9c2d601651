/* Deleted snapshots that two or more trees need: what none of them needs any
 * more goes, and nothing else, in any order of things and over crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"
#include "volume/catalog.h"
#include "volume/node_validate.h"
#include "volume/tree_thin.h"

/* Histories; more of them by hand. */
static uint64_t histories = 60, first_seed = 1;

static void spot_zero(struct model *m, unsigned spot)
{
	m->stamp[spot] = 0;
	assert_int_equal(kit_req(P, tree_of(m), VOL_ZERO, spot_off(spot),
				 TARN_BLOCK, NULL, 0), 0);
}

static void rest(uint64_t mapped)
{
	fake_settle(P);
	assert_int_equal(V->catalog.ndeleting, 0);
	assert_int_equal(V->catalog.mapped, mapped);
}

static unsigned forks(void)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < V->catalog.nslots; i++)
		n += V->catalog.slots[i] != NULL &&
		     V->catalog.slots[i]->state == CATALOG_FORK;
	return n;
}

/* v0 and two clones of its snapshot, v2 and v3. */
static void make_three(void)
{
	make_one();
	for (unsigned i = 0; i < SPOTS; i++)
		if (trees[0].stamp[i] != 0)
			spot_zero(&trees[0], i);
	for (unsigned i = 0; i < SPOTS; i++)
		spot_write(&trees[0], i);
	do_delete(&trees[1]);
	fake_settle(P);
	do_snapshot(&trees[0]);
	do_clone(&trees[1]);
	do_clone(&trees[1]);
	rest(SPOTS);
}

/* When it becomes a fork: what all have overwritten or trimmed goes. */
static void test_made(void **state)
{
	uint64_t nodes;

	(void)state;
	prng_init(&rng, 1);
	make_three();
	/* All of a leaf in all of them; another one in two; some in a third. */
	for (unsigned i = 0; i < SPOTS; i += LEAVES) {
		spot_write(&trees[0], i);
		spot_zero(&trees[2], i);
		spot_write(&trees[3], i);
		spot_write(&trees[0], i + 1);
		spot_write(&trees[2], i + 1);
	}
	spot_write(&trees[0], 4);
	spot_write(&trees[2], 4);
	spot_write(&trees[3], 4);
	rest(SPOTS + 4 + 4 + 4 + 4 + 3);
	nodes = V->ids.used;
	do_delete(&trees[1]);
	rest(SPOTS + 4 + 4 + 4 + 4 + 3 - 4 - 1);
	assert_int_equal(V->ids.used, nodes - 1);
	assert_int_equal(forks(), 1);
	verify_all();
	do_reopen(false);
	verify_all();
	rest(SPOTS + 14);
	do_reopen(true);
	verify_all();
	delete_all();
}

/* When one of three goes: what only that had. */
static void test_one_goes(void **state)
{
	(void)state;
	prng_init(&rng, 2);
	make_three();
	do_delete(&trees[1]);
	for (unsigned i = 0; i < SPOTS; i++) {
		spot_write(&trees[0], i);
		if (i % 2 == 0)
			spot_write(&trees[2], i);
	}
	rest(SPOTS + SPOTS + SPOTS / 2);
	do_delete(&trees[3]); /* v2 needs half of what it was made of */
	rest(SPOTS + SPOTS);
	assert_int_equal(forks(), 1);
	do_delete(&trees[2]);
	rest(SPOTS);
	assert_int_equal(forks(), 0);
	verify_all();
	delete_all();
}

/* The same with a fourth, so that it stays a fork. */
static void test_one_of_four(void **state)
{
	(void)state;
	prng_init(&rng, 3);
	make_three();
	do_clone(&trees[1]);
	do_delete(&trees[1]);
	for (unsigned i = 0; i < SPOTS; i++)
		for (unsigned k = 0; k < 5; k++)
			if (k != 1 && (k != 3 || i >= 10))
				spot_write(&trees[k], i);
	/* Nothing has gone since. */
	rest(SPOTS + 3 * SPOTS + SPOTS - 10);
	assert_int_equal(forks(), 1);
	do_delete(&trees[3]);
	rest(3 * SPOTS);
	assert_int_equal(forks(), 1);
	verify_all();
	do_reopen(false);
	verify_all();
	rest(3 * SPOTS);
	delete_all();
}

/* One that derives from a fork is a snapshot, and goes: its volume takes its
 * place. */
static void test_heir(void **state)
{
	(void)state;
	prng_init(&rng, 4);
	make_three();
	do_delete(&trees[1]);
	do_snapshot(&trees[2]); /* trees[1] now */
	for (unsigned k = 0; k < 4; k++)
		for (unsigned i = 0; i < SPOTS && k != 1; i++)
			spot_write(&trees[k], i);
	rest(4 * SPOTS);
	do_delete(&trees[1]);
	rest(3 * SPOTS);
	assert_int_equal(forks(), 1);
	verify_all();
	delete_all();
}

/* --- histories ----------------------------------------------------------- */

/* Every fork is gone through again. */
static void thin_all(void)
{
	for (unsigned turn = 0; turn < 4; turn++) {
		for (uint32_t i = 0; i < V->catalog.nslots; i++) {
			struct volume *v = V->catalog.slots[i];

			if (v != NULL && v->state == CATALOG_FORK)
				tree_thin_from(v, 0);
		}
		vol_reaper_kick(V);
		fake_settle(P);
		assert_int_equal(V->catalog.ndeleting, 0);
	}
}

static int compare(const void *a, const void *b)
{
	place_t x = *(const place_t *)a, y = *(const place_t *)b;

	return (x > y) - (x < y);
}

static place_t places[2 * TREES_MAX * SPOTS];
static uint64_t nplaces;

/* What a tree has at its spots.  lent: only in leaves that its origin has. */
static void places_add(struct volume *v, bool lent)
{
	for (unsigned i = 0; i < SPOTS; i++) {
		uint64_t block = spot_off(i) / TARN_BLOCK;
		enum map_pos_kind kind;
		struct map_pos pos;
		place_t place;

		while ((kind = map_find(v, 0, leaf_of_block(block), 0,
					&pos)) == POS_LOADING)
			fake_turn(P);
		if (kind == POS_ABSENT ||
		    (lent && pos.node->node->birth > v->origin->birth))
			continue;
		assert_int_equal(kind, POS_NODE);
		place = entry_place(&leaf_entries(pos.node)
				    [slot_of_block(block)]);
		assert_true(nplaces < ARRAY_LEN(places));
		if (place != PLACE_NONE)
			places[nplaces++] = place;
	}
}

/* Places that those have whom somebody sees; and those in a leaf that a fork
 * shares with its origin: it does not let go of the leaf, and so the origin, if
 * that is a fork, cannot.  All blocks are at spots. */
static uint64_t places_seen(void)
{
	const struct catalog *c = &V->catalog;
	uint64_t different = 0;

	nplaces = 0;
	for (uint32_t i = 0; i < c->nslots; i++) {
		struct volume *v = c->slots[i];

		if (v != NULL && v->state == CATALOG_READY)
			places_add(v, false);
		else if (v != NULL && v->state == CATALOG_FORK &&
			 v->origin != NULL)
			places_add(v, true);
	}
	qsort(places, nplaces, sizeof(places[0]), compare);
	for (uint64_t i = 0; i < nplaces; i++)
		different += i == 0 || places[i] != places[i - 1];
	return different;
}

static unsigned nforks;
static uint64_t seed_now;

/* Once it is thinned out, nothing is kept that nobody sees. */
static void check_all(void)
{
	uint64_t seen;

	fake_settle(P);
	nforks += forks();
	thin_all();
	verify_all();
	seen = places_seen();
	if (V->catalog.mapped != seen)
		fail_msg("history %u: %u blocks are mapped, %u are seen",
			 (unsigned)seed_now, (unsigned)V->catalog.mapped,
			 (unsigned)seen);
}

static void test_histories(void **state)
{
	(void)state;
	for (uint64_t seed = first_seed; seed < first_seed + histories;
	     seed++) {
		seed_now = seed;
		prng_init(&rng, seed);
		for (unsigned i = 0; i < 250; i++) {
			/* Forks come of clones and rollbacks. */
			if (i % 5 == 0 && pick(SNAPSHOT) != NULL)
				step_of(66 + prng_below(&rng, 18));
			else
				step();
			if (i % 50 == 49)
				check_all();
		}
		check_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
	assert_true(nforks > histories / 2);
}

/* Killed in every turn of it. */
static void test_crashes(void **state)
{
	for (unsigned turns = 0; turns < 80; turns++) {
		prng_init(&rng, turns);
		make_three();
		for (unsigned i = 0; i < SPOTS; i++)
			for (unsigned k = 0; k < 4; k++)
				if (k != 1 && prng_below(&rng, 4) > 0)
					spot_write(&trees[k], i);
		if (turns % 2 == 0)
			fake_commit(P);
		kit_done = false;
		do_delete(&trees[1]);
		for (unsigned i = 0; i < turns; i++)
			fake_turn(P);
		if (turns % 3 == 0)
			fake_clean(P, 60);
		do_reopen(false);
		verify_all();
		fake_settle(P);
		check_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
}

/* A leaf that cannot be read: what is in it stays, and all else goes. */
static void test_unreadable(void **state)
{
	struct map_pos pos;
	place_t place;

	(void)state;
	prng_init(&rng, 9);
	make_three();
	for (unsigned i = 0; i < SPOTS; i++)
		for (unsigned k = 0; k < 4; k++)
			if (k != 1)
				spot_write(&trees[k], i);
	fake_commit(P);
	assert_int_equal(map_find(tree_of(&trees[2]), 0, 0, FIND_NOLOAD, &pos),
			 POS_NODE);
	place = pos.node->node->place;
	do_reopen(true);
	P->blocks[place].lost = true;
	do_delete(&trees[1]);
	rest(3 * SPOTS + SPOTS / LEAVES);
	P->blocks[place].lost = false;
	verify_all();
	thin_all();
	rest(3 * SPOTS);
	verify_all();
	delete_all();
}

/* With too many behind it, it is kept whole. */
static void test_many(void **state)
{
	char name[16];

	(void)state;
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t *block = calloc(1, TARN_BLOCK);
		const char *snap = "v@s";

		assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_WRITE, 0,
					 TARN_BLOCK, block, 0), 0);
		if (i == 0)
			assert_int_equal(kit_snapshot(P, V, &snap, 1, NULL),
					 0);
		free(block);
	}
	for (unsigned i = 0; i < THIN_KIDS_MAX; i++) {
		struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

		snprintf(name, sizeof(name), "c%u", i);
		ctl->name = "v@s";
		ctl->new_name = name;
		ctl->uuid.b[0] = 1;
		kit_ctl_run(P, V, ctl, vol_clone);
		assert_int_equal(ctl->res, 0);
		assert_int_equal(kit_req(P, vols_find(V, name), VOL_ZERO, 0,
					 TARN_BLOCK, NULL, 0), 0);
		free(ctl);
	}
	assert_int_equal(kit_delete(P, V, "v@s", false), 0);
	rest(2);
	assert_int_equal(forks(), 1);
	assert_int_equal(kit_delete(P, V, "c0", false), 0);
	rest(1);
	assert_int_equal(forks(), 1);
	for (unsigned i = 1; i < THIN_KIDS_MAX; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		assert_int_equal(kit_delete(P, V, name, false), 0);
	}
	rest(1);
	assert_int_equal(forks(), 0);
	kit_check_counts(P, V);
}

/* A pool from before there was thinning has forks with more behind them than are
 * looked at, and cursors of 0: nothing of those goes. */
static void test_many_before(void **state)
{
	uint8_t *block = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	uint8_t *is = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	const char *snap = "v@s";
	char name[16];

	(void)state;
	assert_int_equal(kit_create(P, V, "v", MIB), 0);
	memset(block, 7, TARN_BLOCK);
	assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_WRITE, 0,
				 TARN_BLOCK, block, 0), 0);
	assert_int_equal(kit_snapshot(P, V, &snap, 1, NULL), 0);
	assert_int_equal(kit_req(P, vols_find(V, "v"), VOL_ZERO, 0, TARN_BLOCK,
				 NULL, 0), 0);
	for (unsigned i = 0; i < THIN_KIDS_MAX; i++) {
		struct vol_ctl *ctl = calloc(1, sizeof(*ctl));

		snprintf(name, sizeof(name), "c%u", i);
		ctl->name = "v@s";
		ctl->new_name = name;
		ctl->uuid.b[0] = 1;
		kit_ctl_run(P, V, ctl, vol_clone);
		assert_int_equal(ctl->res, 0);
		free(ctl);
		/* All but the last one have it no more. */
		if (i + 1 < THIN_KIDS_MAX)
			assert_int_equal(kit_req(P, vols_find(V, name),
						 VOL_ZERO, 0, TARN_BLOCK, NULL,
						 0), 0);
	}
	assert_int_equal(kit_delete(P, V, "v@s", false), 0);
	rest(1);
	for (uint32_t i = 0; i < V->catalog.nslots; i++) {
		struct volume *t = V->catalog.slots[i];

		if (t == NULL || t->state != CATALOG_FORK)
			continue;
		t->cursor = 0;
		V->catalog.ndeleting++;
		vol_reaper_add(t);
	}
	vol_reaper_kick(V);
	rest(1);
	assert_int_equal(forks(), 1);
	assert_int_equal(kit_req(P, vols_find(V, name), VOL_READ, 0,
				 TARN_BLOCK, is, 0), 0);
	assert_memory_equal(is, block, TARN_BLOCK);
	free(block);
	free(is);
	for (unsigned i = 0; i < THIN_KIDS_MAX; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		assert_int_equal(kit_delete(P, V, name, false), 0);
	}
	assert_int_equal(kit_delete(P, V, "v", false), 0);
	rest(0);
	kit_check_counts(P, V);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, one_teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_made),
		TEST(test_one_goes),
		TEST(test_one_of_four),
		TEST(test_heir),
		TEST(test_crashes),
		TEST(test_unreadable),
		TEST(test_many),
		TEST(test_many_before),
		TEST(test_histories),
	};

	if (argc > 1)
		histories = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		first_seed = strtoull(argv[2], NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
