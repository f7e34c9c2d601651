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

#include "base/util.h"
#include "volume/block_cache.h"

#define SLOTS 4096u

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

static unsigned count(place_t from, place_t to)
{
	unsigned n = 0;

	for (place_t p = from; p <= to; p++)
		n += has(p);
	return n;
}

/* Read until every set is full. */
static place_t fill(void)
{
	place_t p = 0;

	while (cache.used < SLOTS) {
		assert_true(p < 64 * SLOTS);
		offer(++p);
	}
	return p;
}

/* Empty slots take whatever comes, and most places find one. */
static void test_fill(void **state)
{
	(void)state;
	for (place_t p = 1; p <= SLOTS / 2; p++)
		offer(p);
	assert_in_range(count(1, SLOTS / 2), SLOTS * 15 / 32, SLOTS / 2);
	assert_int_equal(cache.hits, cache.used);
	assert_int_equal(cache.hits + cache.misses, SLOTS / 2);
	assert_int_equal(count(1, fill()), SLOTS);
}

/* What is read once drives out nothing; what is read again does. */
static void test_second_read(void **state)
{
	place_t last = fill();
	place_t other = last + 1000;

	(void)state;
	offer(other);
	assert_false(has(other));
	assert_int_equal(count(1, last), SLOTS);
	offer(other);
	assert_true(has(other));
	assert_int_equal(count(1, last), SLOTS - 1);
}

/* What is only noted takes not even an empty slot before it is read again. */
static void test_note(void **state)
{
	(void)state;
	for (place_t p = 1; p <= SLOTS / 8; p++)
		block_cache_note(&cache, p, (uint32_t)p, data_of(p));
	assert_int_equal(cache.used, 0);
	for (place_t p = 1; p <= SLOTS / 8; p++)
		block_cache_note(&cache, p, (uint32_t)p, data_of(p));
	assert_in_range(count(1, SLOTS / 8), SLOTS / 8 - SLOTS / 64,
			SLOTS / 8);
	offer(SLOTS);
	assert_true(has(SLOTS));
}

/* What was used lately stays, what was not goes. */
static void test_second_chance(void **state)
{
	place_t last = fill(), used = 0;

	(void)state;
	for (place_t p = 1; used == 0; p++)
		if (has(p))
			used = p;
	for (place_t p = last + 1; p <= last + 16 * SLOTS; p++) {
		block_cache_put(&cache, p, (uint32_t)p, data_of(p));
		assert_true(has(used));
	}
	assert_int_equal(count(1, last), 1);
	assert_int_equal(cache.used, SLOTS);
}

/* What came ahead is there to be used, once: that keeps nothing longer. */
static void test_ahead(void **state)
{
	place_t last = fill(), kept = 0, ahead = last + 1;

	(void)state;
	for (place_t p = 1; kept == 0; p++)
		if (has(p))
			kept = p;
	block_cache_put_ahead(&cache, ahead, 7, data_of(1));
	assert_false(has(ahead)); /* another checksum */
	block_cache_put_ahead(&cache, ahead, (uint32_t)ahead, data_of(ahead));
	assert_true(has(ahead));
	assert_int_equal(cache.used, SLOTS);
	for (place_t p = ahead + 1; p <= ahead + 16 * SLOTS; p++) {
		block_cache_put_ahead(&cache, p, (uint32_t)p, data_of(p));
		assert_true(has(p));
		assert_true(has(kept));
	}
	assert_false(has(ahead));
	/* What the cache has already is as it was. */
	block_cache_put_ahead(&cache, kept, (uint32_t)kept, data_of(kept));
	for (place_t p = last + 1; p <= last + 16 * SLOTS; p++) {
		block_cache_put(&cache, p, (uint32_t)p, data_of(p));
		assert_true(has(kept));
	}
}

/* A note is forgotten when many others have been read since. */
static void test_forget(void **state)
{
	place_t last = fill();
	place_t other = last + 1000;

	(void)state;
	offer(other);
	for (place_t p = other + 1; p < other + 8 * SLOTS; p++)
		offer(p);
	offer(other);
	assert_false(has(other));
}

/* What is dropped leaves room for something that is read for the first time. */
static void test_drop(void **state)
{
	place_t last = fill();
	unsigned came = 0;

	(void)state;
	for (place_t p = 1; p <= last; p++)
		block_cache_drop(&cache, p);
	assert_int_equal(cache.used, 0);
	assert_int_equal(count(1, last), 0);
	block_cache_drop(&cache, 1);
	for (place_t p = last + 1; p <= last + SLOTS / 2; p++) {
		offer(p);
		came += has(p);
	}
	assert_in_range(came, SLOTS * 15 / 32, SLOTS / 2);
}

/* A lower limit gives up what is beyond it, at once and for good. */
static void test_limit(void **state)
{
	static const unsigned limits[] = { 3000, 2048, 1999, 100, 0 };
	place_t last = fill();

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
		block_cache_limit(&cache, limits[i] * (uint64_t)TARN_BLOCK);
		assert_int_equal(cache.used, limits[i]);
		assert_int_equal(count(1, last), limits[i]);
		for (place_t p = 1; p <= 8 * SLOTS; p++)
			block_cache_put(&cache, p, (uint32_t)p, data_of(p));
		last = 8 * SLOTS;
		assert_int_equal(cache.used, limits[i]);
		assert_int_equal(count(1, last), limits[i]);
	}
	block_cache_limit(&cache, (uint64_t)SLOTS * TARN_BLOCK);
	assert_int_equal(count(1, fill()), SLOTS);
}

/* What is put is there at once; the same place with another CRC is another
 * block. */
static void test_put(void **state)
{
	(void)state;
	(void)fill();
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
	block_cache_note(&none, 1, 1, data_of(1));
	block_cache_note(&none, 1, 1, data_of(1));
	block_cache_drop(&none, 1);
	block_cache_limit(&none, 0);
	block_cache_put(&none, 1, 1, data_of(1));
	assert_null(block_cache_get(&none, 1, 1));
	block_cache_fini(&none);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_fill), T(test_second_read), T(test_note),
		T(test_second_chance), T(test_ahead), T(test_forget),
		T(test_drop), T(test_limit), T(test_put), T(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
