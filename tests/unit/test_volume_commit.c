/* Changes in the middle of a commit: the commit's state is that of its freeze,
 * exactly, whatever happens to nodes and pages after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/one_pool.c"

#define LEAVES 200u

static unsigned        pending;

static void async_done(struct vol_req *req)
{
	assert_int_equal(req->res, 0);
	pending--;
}

static void async(struct vol_req *req, const char *name, enum vol_op op,
		  uint64_t off, uint64_t len)
{
	static uint8_t data[4096];

	memset(req, 0, sizeof(*req));
	memset(data, 200, sizeof(data));
	req->vol = vols_find(V, name);
	req->op = op;
	req->off_bytes = off;
	req->len_bytes = len;
	req->buf = data;
	req->done = async_done;
	pending++;
	vol_submit(req);
}

static void turns(unsigned n)
{
	while (n-- > 0)
		fake_turn(P);
}

static void wait_commit(void)
{
	for (unsigned i = 0; i < 1000000 && (P->committing || pending > 0);
	     i++)
		fake_turn(P);
	assert_false(P->committing);
	assert_int_equal(pending, 0);
}

static void check_frozen(unsigned round)
{
	for (uint64_t i = 0; i < LEAVES; i += 7)
		assert_int_equal(get_byte("a", i * 3 * MIB),
				 (uint8_t)(i + round));
	assert_int_equal(get_byte("a", 1023 * MIB), 0);
	assert_int_equal(get_byte("b", 0), 77);
	assert_int_equal(get_byte("b", 5 * MIB), 0);
}

/* In mid-commit, after `after` turns: everything of volume a goes, other
 * nodes take the ids that are free then, and nodes are made where others
 * were. */
static void change_all(unsigned after, struct vol_req *reqs)
{
	turns(after);
	async(&reqs[0], "a", VOL_TRIM, 0, 1024 * MIB);
	for (unsigned i = 1; i < 20; i++)
		async(&reqs[i], "b", VOL_WRITE, i * 5 * MIB, 4096);
	for (unsigned i = 20; i < 30; i++)
		async(&reqs[i], "a", VOL_WRITE, i * 3 * MIB, 4096);
}

static void test_freed_in_commit(void **state)
{
	struct vol_req *reqs = calloc(30, sizeof(*reqs));

	(void)state;
	P = fake_pool_new(5);
	V = fake_format(P, NULL);
	assert_int_equal(kit_create(P, V, "a", 1024 * MIB), 0);
	assert_int_equal(kit_create(P, V, "b", 2048 * MIB), 0);
	put_block("b", 0, 77);
	P->auto_commit = false;
	for (unsigned round = 0; round < 40; round++) {
		uint32_t frozen_row;

		for (uint64_t i = 0; i < LEAVES; i++)
			put_block("a", i * 3 * MIB, (uint8_t)(i + round));
		frozen_row = P->nrows;
		assert_true(fake_commit_start(P));
		change_all(round * 3, reqs);
		wait_commit();
		assert_int_equal(P->commit_row, frozen_row);
		for (unsigned i = 20; i < 30; i++)
			assert_int_equal(get_byte("a", i * 3 * MIB), 200);
		assert_int_equal(get_byte("a", 40 * 3 * MIB), 0);
		assert_int_equal(get_byte("b", 5 * MIB), 200);
		if (round % 2 == 0)
			kit_check_counts(P, V);
		/* Back to the commit, or to all of the log. */
		if (round % 4 == 1) {
			fake_crash(P, V, P->commit_row);
			assert_int_equal(fake_open(P, NULL, &V), 0);
			check_frozen(round);
		} else if (round % 4 == 3) {
			fake_crash(P, V, P->nrows);
			assert_int_equal(fake_open(P, NULL, &V), 0);
			assert_int_equal(get_byte("a", 20 * 3 * MIB), 200);
			assert_int_equal(get_byte("a", 40 * 3 * MIB), 0);
		}
		kit_check_counts(P, V);
		/* Take back what b got. */
		kit_req(P, vols_find(V, "b"), VOL_TRIM, MIB, 2047 * MIB, NULL,
			0);
		kit_req(P, vols_find(V, "a"), VOL_TRIM, 0, 1024 * MIB, NULL,
			0);
		kit_check_counts(P, V);
		assert_int_equal(V->ids.used, 3);
		fake_recycle(P);
	}
	free(reqs);
	vols_close(V);
	fake_pool_free(P);
}

/* A volume deleted and reaped while its nodes are being written. */
static void test_deleted_in_commit(void **state)
{
	(void)state;
	P = fake_pool_new(6);
	V = fake_format(P, NULL);
	P->auto_commit = false;
	for (unsigned round = 0; round < 15; round++) {
		assert_int_equal(kit_create(P, V, "a", 1024 * MIB), 0);
		for (uint64_t i = 0; i < 100; i++)
			put_block("a", i * 3 * MIB, 5);
		assert_true(fake_commit_start(P));
		turns(round * 4);
		assert_int_equal(kit_delete(P, V, "a", false), 0);
		wait_commit();
		if (round % 3 == 2) {
			fake_crash(P, V, P->commit_row);
			assert_int_equal(fake_open(P, NULL, &V), 0);
			assert_int_equal(get_byte("a", 3 * MIB), 5);
			kit_check_counts(P, V);
			assert_int_equal(kit_delete(P, V, "a", false), 0);
		}
		kit_check_counts(P, V);
		assert_int_equal(V->catalog.mapped, 0);
		assert_int_equal(V->ids.used, 0);
		fake_recycle(P);
	}
	vols_close(V);
	fake_pool_free(P);
}

/* Roots rise while requests are on their way. */
static void test_grown_in_flight(void **state)
{
	struct vol_req reqs[8];

	(void)state;
	for (unsigned seed = 0; seed < 30; seed++) {
		P = fake_pool_new(100 + seed);
		V = fake_format(P, NULL);
		assert_int_equal(kit_create(P, V, "b", MIB), 0);
		if (seed % 3 == 0)
			put_block("b", 0, 77);
		if (seed % 6 == 0) {
			fake_commit(P);
			fake_crash(P, V, P->nrows);
			assert_int_equal(fake_open(P, NULL, &V), 0);
		}
		for (unsigned i = 0; i < 8; i++)
			async(&reqs[i], "b", i % 4 == 3 ? VOL_TRIM : VOL_WRITE,
			      i * 65536, 4096);
		turns(seed % 5);
		assert_int_equal(kit_resize(P, V, "b", 700ull << 30, false),
				 0);
		put_block("b", 600ull << 30, 9);
		for (unsigned i = 0; i < 1000 && pending > 0; i++)
			fake_turn(P);
		assert_int_equal(get_byte("b", 0), 200);
		assert_int_equal(get_byte("b", 3 * 65536), 0);
		assert_int_equal(get_byte("b", 600ull << 30), 9);
		kit_check_counts(P, V);
		fake_crash(P, V, P->nrows);
		assert_int_equal(fake_open(P, NULL, &V), 0);
		assert_int_equal(get_byte("b", 65536), 200);
		assert_int_equal(get_byte("b", 600ull << 30), 9);
		vols_close(V);
		fake_pool_free(P);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_freed_in_commit),
		cmocka_unit_test(test_deleted_in_commit),
		cmocka_unit_test(test_grown_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
