/* Parity: any m units may be lost, in every redundancy that is offered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above first. */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base/util.h"
#include "pool/stripe.h"

#define LEN 4096u

static uint8_t *units[POOL_UNITS_MAX];
static uint8_t  copy[POOL_UNITS_MAX][LEN];

static void fill(struct stripe *s, uint32_t k, uint32_t m, struct prng *rng)
{
	stripe_init(s, k, m);
	for (uint32_t u = 0; u < k + m; u++) {
		for (uint32_t i = 0; i < LEN; i += 8) {
			uint64_t v = prng_u64(rng);

			memcpy(units[u] + i, &v, 8);
		}
	}
	stripe_encode(s, LEN, units);
	for (uint32_t u = 0; u < k + m; u++)
		memcpy(copy[u], units[u], LEN);
}

/* Lose the units of `lost`, rebuild each from the others, compare. */
static void check_loss(struct stripe *s, uint32_t lost)
{
	uint32_t       n = s->k + s->m;
	uint32_t       have = ((1u << n) - 1) & ~lost;
	static uint8_t out[LEN] __attribute__((aligned(4096)));

	for (uint32_t u = 0; u < n; u++) {
		if ((lost & (1u << u)) == 0)
			continue;
		memset(units[u], 0xa5, LEN);
	}
	for (uint32_t u = 0; u < n; u++) {
		if ((lost & (1u << u)) == 0)
			continue;
		assert_int_equal(
			stripe_rebuild(s, LEN, units, have, u, out), 0);
		assert_memory_equal(out, copy[u], LEN);
	}
	for (uint32_t u = 0; u < n; u++)
		memcpy(units[u], copy[u], LEN);
}

static void test_every_loss(void **state)
{
	struct stripe s;
	struct prng   rng;

	(void)state;
	prng_init(&rng, 1);
	for (uint32_t k = 1; k <= POOL_K_MAX; k++) {
		for (uint32_t m = 0; m <= POOL_M_MAX; m++) {
			uint32_t n = k + m;

			fill(&s, k, m, &rng);
			for (unsigned tries = 0; tries < 64; tries++) {
				uint32_t lost = 0;

				while ((uint32_t)__builtin_popcount(lost) < m)
					lost |= 1u << prng_below(&rng, n);
				check_loss(&s, lost);
			}
		}
	}
}

static void test_too_few_units(void **state)
{
	struct stripe  s;
	struct prng    rng;
	static uint8_t out[LEN] __attribute__((aligned(4096)));

	(void)state;
	prng_init(&rng, 2);
	fill(&s, 4, 2, &rng);
	assert_int_equal(stripe_rebuild(&s, LEN, units, 0x07, 3, out), -22);
}

static void test_mirror_is_a_copy(void **state)
{
	struct stripe s;
	struct prng   rng;

	(void)state;
	prng_init(&rng, 3);
	fill(&s, 1, 2, &rng);
	assert_memory_equal(units[0], units[1], LEN);
	assert_memory_equal(units[0], units[2], LEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_loss),
		cmocka_unit_test(test_too_few_units),
		cmocka_unit_test(test_mirror_is_a_copy),
	};

	for (unsigned u = 0; u < POOL_UNITS_MAX; u++)
		units[u] = aligned_alloc(4096, LEN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
