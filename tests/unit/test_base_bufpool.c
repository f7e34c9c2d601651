/* The buffer pool against a shadow: random gets and puts of random sizes never
 * overlap, stay aligned and inside the arena, and join up again completely.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/bufpool.h"
#include "base/prng.h"
#include "base/util.h"

#define ARENA (4u << 20)
#define HELD  200

struct held {
	uint8_t *buf;
	size_t   len_bytes;
	uint64_t stamp;
};

static void stamp_fill(struct held *h, uint64_t stamp)
{
	h->stamp = stamp;
	for (size_t i = 0; i + 8 <= h->len_bytes; i += 512)
		memcpy(h->buf + i, &stamp, 8);
}

static void stamp_check(const struct held *h)
{
	for (size_t i = 0; i + 8 <= h->len_bytes; i += 512)
		assert_memory_equal(h->buf + i, &h->stamp, 8);
}

static size_t rounded(size_t len_bytes)
{
	size_t r = TARN_BLOCK;

	while (r < len_bytes)
		r *= 2;
	return r;
}

static void test_random(void **state)
{
	struct bufpool *p;
	struct held     held[HELD];
	struct prng     rng;
	size_t          used = 0;
	unsigned        failed = 0;

	(void)state;
	memset(held, 0, sizeof(held));
	prng_init(&rng, 1);
	assert_int_equal(bufpool_open(ARENA, &p), 0);
	assert_int_equal(bufpool_arena_bytes(p), ARENA);
	for (uint64_t step = 1; step < 200000; step++) {
		struct held *h = &held[prng_below(&rng, HELD)];

		if (h->buf != NULL) {
			stamp_check(h);
			bufpool_put(p, h->buf);
			used -= rounded(h->len_bytes);
			h->buf = NULL;
		} else {
			h->len_bytes = 1 + prng_below(&rng,
				1ull << (3 + prng_below(&rng, 16)));
			h->buf = bufpool_get(p, h->len_bytes);
			if (h->buf == NULL) {
				failed++;
				continue;
			}
			assert_int_equal((uintptr_t)h->buf % TARN_BLOCK, 0);
			used += rounded(h->len_bytes);
			stamp_fill(h, step);
		}
		assert_int_equal(bufpool_used_bytes(p), used);
	}
	assert_true(failed > 0); /* the arena was full at times */
	for (unsigned i = 0; i < HELD; i++) {
		if (held[i].buf != NULL)
			stamp_check(&held[i]);
		bufpool_put(p, held[i].buf);
	}
	assert_int_equal(bufpool_used_bytes(p), 0);
	/* Everything joined: the whole arena is one piece again. */
	held[0].buf = bufpool_get(p, ARENA);
	assert_non_null(held[0].buf);
	assert_null(bufpool_get(p, 1));
	bufpool_put(p, held[0].buf);
	bufpool_close(p);
}

static void test_edges(void **state)
{
	struct bufpool *p;
	void           *a, *b;

	(void)state;
	assert_int_equal(bufpool_open(1, &p), 0);
	assert_int_equal(bufpool_arena_bytes(p), TARN_BLOCK);
	a = bufpool_get(p, TARN_BLOCK);
	assert_non_null(a);
	assert_null(bufpool_get(p, 1));
	bufpool_put(p, a);
	bufpool_put(p, NULL);
	assert_null(bufpool_get(p, TARN_BLOCK + 1));
	assert_null(bufpool_get(p, SIZE_MAX));
	bufpool_close(p);

	/* Rounded up to a power of two. */
	assert_int_equal(bufpool_open(3 * TARN_BLOCK, &p), 0);
	assert_int_equal(bufpool_arena_bytes(p), 4 * TARN_BLOCK);
	a = bufpool_get(p, 2 * TARN_BLOCK);
	b = bufpool_get(p, TARN_BLOCK + 1);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(labs((char *)a - (char *)b), 2 * TARN_BLOCK);
	bufpool_put(p, a);
	bufpool_put(p, b);
	bufpool_close(p);
	bufpool_close(NULL);
}

static void test_too_large(void **state)
{
	struct bufpool *p = NULL;

	(void)state;
	assert_true(bufpool_open(SIZE_MAX, &p) < 0);
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
