/* tests/unit/test_volume_block_cache.c - what the cache of blocks takes in,
 * gives back and drives out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "volume/block_cache.h"

#define SLOTS 64u

static struct block_cache cache;
static uint8_t		  block[TARN_BLOCK];

static const void *data_of(place_t place)
{
	memset(block, (int)(place & 0xff), sizeof(block));
	memcpy(block, &place, sizeof(place));
	return block;
}

static bool has(place_t place)
{
	const void *got = block_cache_get(&cache, place, (uint32_t)place);

	if (got == NULL)
		return false;
	assert_memory_equal(got, data_of(place), TARN_BLOCK);
	return true;
}

static void offer(place_t place)
{
	block_cache_offer(&cache, place, (uint32_t)place, data_of(place));
}

static int setup(void **state)
{
	(void)state;
	return block_cache_init(&cache, SLOTS * TARN_BLOCK);
}

static int teardown(void **state)
{
	(void)state;
	block_cache_fini(&cache);
	return 0;
}

static void fill(void)
{
	for (place_t p = 1; p <= SLOTS; p++)
		offer(p);
	for (place_t p = 1; p <= SLOTS; p++)
		assert_true(has(p));
}

/* Empty slots take whatever comes. */
static void test_fill(void **state)
{
	(void)state;
	fill();
	assert_int_equal(cache.hits, SLOTS);
	assert_int_equal(cache.misses, 0);
}

/* What is read once drives out nothing; what is read again does. */
static void test_second_read(void **state)
{
	unsigned kept = 0;

	(void)state;
	fill();
	offer(1000);
	assert_false(has(1000));
	for (place_t p = 1; p <= SLOTS; p++)
		assert_true(has(p));
	offer(1000);
	assert_true(has(1000));
	for (place_t p = 1; p <= SLOTS; p++)
		kept += has(p);
	assert_int_equal(kept, SLOTS - 1);
}

/* A note is forgotten when many others have been read since. */
static void test_forget(void **state)
{
	(void)state;
	fill();
	offer(1000);
	for (place_t p = 2000; p < 2000 + 8 * SLOTS; p++)
		offer(p);
	offer(1000);
	assert_false(has(1000));
}

/* What is put is there at once; the same place with another CRC is another
 * block. */
static void test_put(void **state)
{
	(void)state;
	fill();
	block_cache_put(&cache, 77, 77, data_of(77));
	assert_true(has(77));
	assert_null(block_cache_get(&cache, 77, 78));
	block_cache_put(&cache, 77, 78, data_of(5));
	assert_null(block_cache_get(&cache, 77, 77));
	assert_non_null(block_cache_get(&cache, 77, 78));
}

static void test_none(void **state)
{
	struct block_cache none;

	(void)state;
	assert_int_equal(block_cache_init(&none, 0), 0);
	block_cache_offer(&none, 1, 1, data_of(1));
	block_cache_put(&none, 1, 1, data_of(1));
	assert_null(block_cache_get(&none, 1, 1));
	block_cache_fini(&none);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fill), T(test_second_read), T(test_forget), T(test_put),
		T(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
