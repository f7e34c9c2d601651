/* Trees that fork while the cleaner runs beside all else and few nodes stay in
 * memory: nobody waits for it, and it is cut short by crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/fork_kit.c"

#define RELOCS_MAX 512u

static struct reloc relocs[RELOCS_MAX]; /* free: no done() */
static uint64_t     ended, moved;

static void reloc_over(struct reloc *r)
{
	ended++;
	moved += r->moved;
	r->done = NULL;
}

static struct reloc *reloc_free(void)
{
	for (unsigned i = 0; i < RELOCS_MAX; i++)
		if (relocs[i].done == NULL)
			return &relocs[i];
	return NULL;
}

/* Begins to empty parts of some rows, and does not wait. */
static void clean_start(uint32_t per_mille)
{
	for (uint32_t row = 1; row <= P->nrows; row++) {
		const struct rec *rec = &P->rows[row].rec;
		struct reloc *r = reloc_free();

		if (r == NULL)
			return;
		if (!has_payload(rec) || prng_below(&rng, 1000) >= per_mille)
			continue;
		memset(r, 0, sizeof(*r));
		r->rec = *rec;
		r->first = (uint32_t)prng_below(&rng, rec->n);
		r->n = 1 + (uint32_t)prng_below(&rng, rec->n - r->first);
		r->place = P->rows[row].places[r->first];
		r->done = reloc_over;
		P->client->relocate(P->client_arg, r);
	}
}

static bool all_ended(void)
{
	for (unsigned i = 0; i < RELOCS_MAX; i++)
		if (relocs[i].done != NULL)
			return false;
	return true;
}

static void history(void)
{
	for (unsigned i = 0; i < 250; i++) {
		unsigned before = reopened;

		if (prng_below(&rng, 3) == 0)
			clean_start(1 + (uint32_t)prng_below(&rng, 60));
		step();
		if (reopened != before) /* who ran them is gone */
			memset(relocs, 0, sizeof(relocs));
	}
	for (unsigned i = 0; i < 1000000 && !all_ended(); i++)
		fake_turn(P);
	assert_true(all_ended());
}

static void test_random(void **state)
{
	for (uint64_t seed = 5001; seed <= 5060; seed++) {
		prng_init(&rng, seed);
		history();
		verify_all();
		delete_all();
		one_teardown(state);
		setup(state);
	}
	assert_true(ended > 0 && moved > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random, setup,
						one_teardown),
	};

	params.node_budget_bytes = 64 << 10;
	params.dirty_nodes_max = 64;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
