/* Records of rows: what is written is read again, and what cannot be is
 * refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/row.h"

/* Read back a record as written; the result of reading it. */
static int again(const struct rec *rec)
{
	uint8_t  buf[64];
	struct rec got = { 0 };
	const void *body;
	uint32_t pos = 0, bytes = row_rec_bytes(rec);
	int r;

	assert_true(bytes <= sizeof(buf));
	row_rec_encode(rec, "body", buf);
	r = row_rec_next(buf, bytes, &pos, &got, &body);
	if (r != 1)
		return r;
	assert_int_equal(pos, bytes);
	assert_int_equal(got.type, rec->type);
	assert_int_equal(got.flags, rec->flags);
	assert_int_equal(got.n, rec->n);
	assert_int_equal(got.id, rec->id);
	assert_int_equal(got.block, rec->block);
	assert_int_equal(got.ext, rec->ext);
	assert_int_equal(row_rec_next(buf, bytes, &pos, &got, &body), 0);
	return r;
}

static void test_good(void **state)
{
	struct rec recs[] = {
		{ REC_WRITE, 0, 1, 7, 100, 0 },
		{ REC_WRITE, REC_FAMILY, 257, 7, 100, 1 },
		{ REC_WRITE, REC_FAMILY, 1, 7, 100, UINT32_MAX },
		{ REC_UNMAP, 0, 0, 7, 100, UINT64_MAX },
		{ REC_MOVE, 0, 2, 7, 100, (1ull << PLACE_BITS) - 3 },
		{ REC_CATALOG, REC_MUST_UNDERSTAND, 4, 258, 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(recs) / sizeof(recs[0]); i++)
		assert_int_equal(again(&recs[i]), 1);
}

/* The checksum is right, the record is not. */
static void test_hostile(void **state)
{
	struct rec recs[] = {
		{ REC_WRITE, REC_FAMILY, 1, 7, 100, 0 },
		{ REC_WRITE, REC_FAMILY, 1, 7, 100, (1ull << 32) + 7 },
		{ REC_WRITE, 0, 0, 7, 100, 0 },
		{ REC_WRITE, 0, 258, 7, 100, 0 },
		{ REC_MOVE, 0, 1, 7, 100, 0 },
		{ REC_MOVE, 0, 2, 7, 100, (1ull << PLACE_BITS) - 2 },
		{ REC_MOVE, 0, 1, 7, 100, UINT64_MAX },
		{ REC_UNMAP, 0, 1, 7, 100, 1 },
		{ REC_NODE, 0, 2, 7, 100, 0 },
		{ 9, 0, 1, 7, 100, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(recs) / sizeof(recs[0]); i++)
		assert_int_equal(again(&recs[i]), -EBADMSG);
}

/* Wherever the list ends. */
static void test_cut(void **state)
{
	struct rec rec = { REC_CATALOG, 0, 4, 258, 3, 0 }, got;
	uint8_t buf[64];
	const void *body;

	(void)state;
	row_rec_encode(&rec, "body", buf);
	for (uint32_t bytes = 1; bytes < row_rec_bytes(&rec); bytes++) {
		uint32_t pos = 0;

		assert_int_equal(row_rec_next(buf, bytes, &pos, &got, &body),
				 -EBADMSG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
