/* Bitmap, byte order, checksum, generator, identities and rounding: known
 * answers, and a slow way that must agree with the fast one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/prng.h"
#include "base/util.h"
#include "base/uuid.h"

static uint64_t slow_next(const uint64_t *map, uint64_t from, uint64_t nbits,
			  bool set)
{
	while (from < nbits && bitmap_test(map, from) != set)
		from++;
	return from < nbits ? from : nbits;
}

static void test_bitmap(void **state)
{
	uint64_t    map[BITMAP_WORDS(300)];
	struct prng rng;

	(void)state;
	assert_int_equal(BITMAP_WORDS(64), 1);
	assert_int_equal(BITMAP_WORDS(65), 2);
	prng_init(&rng, 5);
	for (int density = 0; density <= 8; density++) {
		memset(map, 0, sizeof(map));
		for (uint64_t i = 0; i < 300; i++) {
			if (prng_below(&rng, 8) < (uint64_t)density)
				bitmap_set(map, i);
		}
		for (uint64_t from = 0; from <= 300; from++) {
			uint64_t n = from + prng_below(&rng, 301 - from);

			assert_int_equal(bitmap_next_set(map, from, n),
					 slow_next(map, from, n, true));
			assert_int_equal(bitmap_next_clear(map, from, n),
					 slow_next(map, from, n, false));
		}
	}
	bitmap_set(map, 63);
	bitmap_clear(map, 63);
	assert_false(bitmap_test(map, 63));
}

static void test_endian(void **state)
{
	le16 a = le16_of(0x1234);
	le32 b = le32_of(0x12345678);
	le64 c = le64_of(0x123456789abcdef0);
	be16 d = be16_of(0x1234);
	be32 e = be32_of(0x12345678);
	be64 f = be64_of(0x123456789abcdef0);

	(void)state;
	assert_memory_equal(&a, "\x34\x12", 2);
	assert_memory_equal(&b, "\x78\x56\x34\x12", 4);
	assert_memory_equal(&c, "\xf0\xde\xbc\x9a\x78\x56\x34\x12", 8);
	assert_memory_equal(&d, "\x12\x34", 2);
	assert_memory_equal(&e, "\x12\x34\x56\x78", 4);
	assert_memory_equal(&f, "\x12\x34\x56\x78\x9a\xbc\xde\xf0", 8);
	assert_int_equal(le16_get(a), 0x1234);
	assert_int_equal(le32_get(b), 0x12345678);
	assert_int_equal(le64_get(c), 0x123456789abcdef0);
	assert_int_equal(be16_get(d), 0x1234);
	assert_int_equal(be32_get(e), 0x12345678);
	assert_int_equal(be64_get(f), 0x123456789abcdef0);
}

static uint32_t slow_crc32c(const uint8_t *p, size_t n)
{
	uint32_t crc = ~0u;

	while (n-- > 0) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	return ~crc;
}

static void test_crc32c(void **state)
{
	uint8_t     buf[5000];
	struct prng rng;

	(void)state;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
	prng_init(&rng, 9);
	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)prng_u64(&rng);
	for (int i = 0; i < 200; i++) {
		size_t n = prng_below(&rng, sizeof(buf));
		size_t cut = prng_below(&rng, n + 1);

		assert_int_equal(crc32c(0, buf, n), slow_crc32c(buf, n));
		assert_int_equal(crc32c(crc32c(0, buf, cut), buf + cut,
					n - cut), crc32c(0, buf, n));
	}
}

static void test_prng(void **state)
{
	struct prng a, b;
	unsigned    hits[10] = { 0 };

	(void)state;
	prng_init(&a, 1);
	prng_init(&b, 1);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(prng_u64(&a), prng_u64(&b));
	prng_init(&b, 2);
	assert_int_not_equal(prng_u64(&a), prng_u64(&b));
	for (int i = 0; i < 100000; i++)
		hits[prng_below(&a, 10)]++;
	for (int i = 0; i < 10; i++) {
		assert_true(hits[i] > 9500);
		assert_true(hits[i] < 10500);
	}
	assert_int_equal(prng_below(&a, 1), 0);
}

static void test_uuid(void **state)
{
	struct uuid u = { { 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0,
			    1, 2, 3, 4, 5, 6, 0xff } };
	struct uuid zero = { { 0 } };
	char        text[UUID_TEXT_BYTES];

	(void)state;
	assert_string_equal(uuid_text(&u, text),
			    "12345678-9abc-def0-0001-0203040506ff");
	assert_true(uuid_equal(&u, &u));
	assert_false(uuid_equal(&u, &zero));
	assert_true(uuid_is_zero(&zero));
	assert_false(uuid_is_zero(&u));
}

static void test_util(void **state)
{
	(void)state;
	assert_int_equal(div_up(0, 4), 0);
	assert_int_equal(div_up(1, 4), 1);
	assert_int_equal(div_up(8, 4), 2);
	assert_int_equal(round_up(0, 8), 0);
	assert_int_equal(round_up(9, 8), 16);
	assert_false(is_pow2(0));
	assert_true(is_pow2(1));
	assert_true(is_pow2(1ull << 63));
	assert_false(is_pow2(6));
	assert_int_equal(log2_floor(1), 0);
	assert_int_equal(log2_floor(7), 2);
	assert_int_equal(log2_floor(UINT64_MAX), 63);
	assert_int_equal(bytes_to_blocks_up(0), 0);
	assert_int_equal(bytes_to_blocks_up(1), 1);
	assert_int_equal(bytes_to_blocks_up(4096), 1);
	/* Near the top it must not wrap. */
	assert_int_equal(bytes_to_blocks_up(UINT64_MAX), 1ull << 52);
	assert_int_equal(blocks_to_bytes(3), 12288);
	assert_int_equal(min_u64(1, 2), 1);
	assert_int_equal(max_u64(1, 2), 2);
	assert_int_equal(min_u32(2, 1), 1);
	assert_int_equal(max_u32(2, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bitmap),
		cmocka_unit_test(test_endian),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_prng),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_util),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
