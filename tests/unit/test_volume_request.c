/* Requests on a volume one by one: what is refused, what becomes one row,
 * what takes space, what waits for what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/fake/vol_kit.c"

#define MIB (1ull << 20)

static struct pool    *P;
static struct volumes *V;
static struct volume  *A;
static uint8_t        *buf; /* 4 MiB */

static int setup_params(const struct volumes_params *params)
{
	P = fake_pool_new(3);
	V = fake_format(P, params);
	assert_int_equal(kit_create(P, V, "a", 2048 * MIB + 512), 0);
	A = vols_find(V, "a");
	buf = aligned_alloc(4096, 4 * MIB);
	for (unsigned i = 0; i < 4 * MIB; i++)
		buf[i] = (uint8_t)(i / 512 + i);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_params(NULL);
}

static int setup_tight(void **state)
{
	struct volumes_params params = { .dirty_nodes_max = 64 };

	(void)state;
	return setup_params(&params);
}

static int teardown(void **state)
{
	(void)state;
	free(buf);
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

static int req(enum vol_op op, uint64_t off, uint64_t len, uint8_t flags)
{
	return kit_req(P, A, op, off, len, buf, flags);
}

static void check(uint64_t off, const void *want, uint64_t len)
{
	int res;
	uint8_t *got = kit_read(P, A, off, len, &res);

	assert_int_equal(res, 0);
	assert_memory_equal(got + off % TARN_BLOCK, want, len);
	free(got);
}

static void check_zero(uint64_t off, uint64_t len)
{
	uint8_t *zero = calloc(1, len);

	check(off, zero, len);
	free(zero);
}

static uint32_t rows_of(enum rec_type type, uint32_t from)
{
	uint32_t n = 0;

	for (uint32_t i = from + 1; i <= P->nrows; i++)
		n += P->rows[i].rec.type == type;
	return n;
}

static void test_bounds(void **state)
{
	uint64_t end = 2048 * MIB + 512;

	(void)state;
	assert_int_equal(req(VOL_READ, end, 1, 0), -EINVAL);
	assert_int_equal(req(VOL_READ, end - 1, 2, 0), -EINVAL);
	assert_int_equal(req(VOL_WRITE, UINT64_MAX, 2, 0), -EINVAL);
	assert_int_equal(req(VOL_TRIM, 1, UINT64_MAX, 0), -EINVAL);
	assert_int_equal(req(VOL_READ, 0, REQUEST_DATA_MAX + 1, 0), -EINVAL);
	assert_int_equal(req(VOL_READ, end, 0, 0), 0);
	assert_int_equal(req(VOL_WRITE, 0, 0, 0), 0);
	assert_int_equal(req(VOL_READ, end - 1, 1, 0), 0);
	assert_int_equal(req(VOL_FLUSH, 0, 0, 0), 0);
	assert_int_equal(req(VOL_CACHE, 0, end, 0), 0);
	A->kind = CATALOG_SNAPSHOT;
	assert_int_equal(req(VOL_WRITE, 0, 1, 0), -EROFS);
	assert_int_equal(req(VOL_TRIM, 0, 4096, 0), -EROFS);
	assert_int_equal(req(VOL_ZERO, 0, 4096, 0), -EROFS);
	assert_int_equal(req(VOL_READ, 0, 1, 0), 0);
	A->kind = CATALOG_VOLUME;
	P->ours = false;
	assert_int_equal(req(VOL_READ, 0, 1, 0), -ESHUTDOWN);
	P->ours = true;
}

/* Up to 1 MiB is one row, however it lies. */
static void test_one_row(void **state)
{
	uint32_t before = P->nrows;

	(void)state;
	assert_int_equal(req(VOL_WRITE, MIB - 4096 + 7, MIB, 0), 0);
	assert_int_equal(rows_of(REC_WRITE, before), 1);
	assert_int_equal(P->rows[P->nrows].rec.n, 257);
	check(MIB - 4096 + 7, buf, MIB);
	check_zero(MIB - 4096, 7);
	check_zero(2 * MIB - 4096 + 7, 4089);
	before = P->nrows;
	assert_int_equal(req(VOL_WRITE, 5 * MIB + 5, 3 * MIB, 0), 0);
	assert_int_equal(rows_of(REC_WRITE, before), 4);
	check(5 * MIB + 5, buf, 3 * MIB);
	assert_int_equal(req(VOL_WRITE, 10, 3, VOL_FUA), 0);
	assert_true(P->rows[P->nrows].flushed);
	check_zero(0, 10);
	check(10, buf, 3);
	check_zero(13, 4000);
	kit_check_counts(P, V);
}

static void test_zero_trim(void **state)
{
	uint32_t before;

	(void)state;
	req(VOL_WRITE, 0, 64 * 4096, 0);
	assert_int_equal(A->mapped, 64);
	before = P->nrows;
	/* Partial blocks of a TRIM stay. */
	assert_int_equal(req(VOL_TRIM, 100, 4096 + 3996, 0), 0);
	assert_int_equal(A->mapped, 63);
	check(100, buf + 100, 3996);
	check_zero(4096, 4096);
	assert_int_equal(req(VOL_TRIM, 2 * 4096 + 1, 4096, 0), 0);
	assert_int_equal(A->mapped, 63);
	assert_int_equal(rows_of(REC_UNMAP, before), 1);
	/* Those of a ZERO are written. */
	assert_int_equal(req(VOL_ZERO, 4 * 4096 + 100, 2 * 4096, 0), 0);
	assert_int_equal(A->mapped, 62);
	check(4 * 4096, buf + 4 * 4096, 100);
	check_zero(4 * 4096 + 100, 2 * 4096);
	check(6 * 4096 + 100, buf + 6 * 4096 + 100, 3996);
	assert_int_equal(req(VOL_ZERO, 8 * 4096 + 1, 10, 0), 0);
	check(8 * 4096, buf + 8 * 4096, 1);
	check_zero(8 * 4096 + 1, 10);
	check(8 * 4096 + 11, buf + 8 * 4096 + 11, 4000);
	assert_int_equal(req(VOL_ZERO, 10 * 4096 - 1, 2, 0), 0);
	check(10 * 4096 - 2, buf + 10 * 4096 - 2, 1);
	check_zero(10 * 4096 - 1, 2);
	check(10 * 4096 + 1, buf + 10 * 4096 + 1, 1);
	/* … but not on a hole. */
	before = P->nrows;
	assert_int_equal(req(VOL_ZERO, 500 * MIB + 1, 4094, 0), 0);
	assert_int_equal(req(VOL_ZERO, 500 * MIB + 1, 9000, 0), 0);
	assert_int_equal(req(VOL_TRIM, 500 * MIB, 1500 * MIB, 0), 0);
	assert_int_equal(P->nrows, before);
	/* Keeping the space takes it. */
	assert_int_equal(req(VOL_ZERO, MIB, 2 * MIB + 1, VOL_NO_HOLE), 0);
	assert_int_equal(A->mapped, 62 + 513);
	check_zero(MIB, 2 * MIB + 1);
	/* Nothing left: no nodes either. */
	assert_int_equal(req(VOL_ZERO, 0, 2048 * MIB + 512, VOL_FUA), 0);
	assert_int_equal(A->mapped, 0);
	assert_int_equal(V->ids.used, 0);
	assert_int_equal(fake_flushed_row(P), P->nrows);
	kit_check_counts(P, V);
}

/* A FUA trim that finds nothing to do still makes what is so durable. */
static void test_fua_nothing(void **state)
{
	(void)state;
	req(VOL_WRITE, 0, 4096, 0);
	req(VOL_TRIM, 0, 4096, 0);
	assert_int_equal(req(VOL_TRIM, 0, 4096, VOL_FUA), 0);
	assert_int_equal(fake_flushed_row(P), P->nrows);
}

static void test_enospc(void **state)
{
	uint32_t before;

	(void)state;
	assert_int_equal(req(VOL_WRITE, 0, MIB, 0), 0);
	kit_check_counts(P, V);
	P->usable = P->live_total + 10;
	assert_int_equal(req(VOL_WRITE, MIB, MIB, 0), -ENOSPC);
	assert_int_equal(req(VOL_WRITE, 5 * MIB, 4 * MIB, 0), -ENOSPC);
	assert_int_equal(P->reserved, 0);
	/* What is there may be written again. */
	assert_int_equal(req(VOL_WRITE, 4096, MIB - 4096, 0), 0);
	assert_int_equal(req(VOL_WRITE, MIB, 4096, 0), 0);
	assert_int_equal(P->live_total + P->reserved, P->usable - 8);
	assert_int_equal(req(VOL_ZERO, 700 * MIB, 100 * MIB, VOL_NO_HOLE),
			 -ENOSPC);
	/* Trimming makes room. */
	assert_int_equal(req(VOL_TRIM, 0, MIB, 0), 0);
	assert_int_equal(req(VOL_WRITE, MIB, MIB / 2, 0), 0);
	/* A trim without room for its record has no effect. */
	before = P->nrows;
	P->append_error = -ENOSPC;
	P->append_error_class = LOG_CLEANER;
	assert_int_equal(req(VOL_TRIM, MIB, MIB, 0), 0);
	assert_int_equal(req(VOL_ZERO, MIB, MIB, 0), -ENOSPC);
	assert_int_equal(req(VOL_WRITE, MIB, 4096, 0), -ENOSPC);
	assert_int_equal(P->nrows, before);
	P->append_error = -ESHUTDOWN;
	assert_int_equal(req(VOL_TRIM, MIB, MIB, 0), -ESHUTDOWN);
	P->append_error = 0;
	check(MIB, buf, MIB / 2);
	kit_check_counts(P, V);
}

/* --- many at once -------------------------------------------------------- */

static unsigned pending;
static unsigned order[4096];
static unsigned norder;

struct one {
	struct vol_req req;
	unsigned no;
	int want;
};

static void one_done(struct vol_req *r)
{
	struct one *o = container_of(r, struct one, req);

	assert_int_equal(r->res, o->want);
	order[norder++ % 4096] = o->no;
	pending--;
}

static void one_submit(struct one *o, unsigned no, enum vol_op op,
		       uint64_t off, uint64_t len, void *mem)
{
	memset(o, 0, sizeof(*o));
	o->no = no;
	o->req.vol = A;
	o->req.op = op;
	o->req.off_bytes = off;
	o->req.len_bytes = len;
	o->req.buf = mem;
	o->req.done = one_done;
	pending++;
	vol_submit(&o->req);
}

static void wait_all(void)
{
	for (unsigned i = 0; i < 1000000 && pending > 0; i++)
		fake_turn(P);
	assert_int_equal(pending, 0);
}

/* Far more than there are parts, all on the same and on other blocks. */
static void test_flood(void **state)
{
	enum { N = 3000 };
	struct one *o = calloc(N, sizeof(*o));
	uint8_t *mem = malloc(512 * N);

	(void)state;
	norder = 0;
	for (unsigned i = 0; i < N; i++) {
		memset(mem + i * 512, (int)(i % 251), 512);
		one_submit(&o[i], i, VOL_WRITE, i % 8 * 512, 512,
			   mem + i * 512);
	}
	wait_all();
	for (unsigned i = 0; i < 8; i++) {
		uint8_t want[512];

		memset(want, (N - 8 + i) % 251, 512);
		check(i * 512, want, 512);
	}
	/* All of one block: in order of submission. */
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(order[i], i);
	for (unsigned i = 0; i < N; i++)
		one_submit(&o[i], i, VOL_WRITE, i * 65536ull, 512,
			   mem + i * 512);
	wait_all();
	for (unsigned i = 0; i < N; i += 97)
		check(i * 65536ull, mem + i * 512, 512);
	free(mem);
	free(o);
	kit_check_counts(P, V);
}

/* Later ones wait for an earlier large trim, and win. */
static void test_order(void **state)
{
	struct one o[6];

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		req(VOL_WRITE, i * 3 * MIB, 4096, 0);
	fake_settle(P);
	norder = 0;
	one_submit(&o[0], 0, VOL_TRIM, 0, 1000 * MIB, NULL);
	one_submit(&o[1], 1, VOL_WRITE, 0, 4096, buf);
	one_submit(&o[2], 2, VOL_WRITE, 270 * MIB, 4096, buf);
	one_submit(&o[3], 3, VOL_ZERO, 270 * MIB, MIB, NULL);
	one_submit(&o[4], 4, VOL_WRITE, 270 * MIB, 100, buf);
	one_submit(&o[5], 5, VOL_WRITE, 1500 * MIB, 4096, buf);
	wait_all();
	check(0, buf, 4096);
	check_zero(3 * MIB, 4096);
	check(270 * MIB, buf, 100);
	check_zero(270 * MIB + 100, 3996);
	assert_int_equal(A->mapped, 3);
	/* The one that overlaps with nothing did not wait, and the first
	 * block was free as soon as the trim had gone past it. */
	assert_true(order[0] == 5 || order[1] == 5 || order[2] == 5);
	assert_int_equal(A->nranges_wait, 0);
	assert_int_equal(A->nranges_wide, 0);
	for (unsigned i = 0; i < RANGE_BUCKETS; i++)
		assert_int_equal(A->range_buckets[i], 0);
	kit_check_counts(P, V);
}

/* One volume's crowd does not keep another volume's request waiting until all
 * of it is done. */
static void test_fair(void **state)
{
	enum { N = 120, TRIMS = 30 };
	struct one *o = calloc(N + 1, sizeof(*o));
	unsigned at = N;

	(void)state;
	assert_int_equal(kit_create(P, V, "b", 64 * MIB), 0);
	norder = 0;
	for (unsigned i = 0; i < N; i++) {
		one_submit(&o[i], i, VOL_ZERO, i * 10 * MIB, 10 * MIB, NULL);
		o[i].req.flags = 0;
	}
	wait_all();
	/* Parts: many large writes. */
	P->usable = FAKE_PLACES;
	norder = 0;
	for (unsigned i = 0; i < N; i++)
		one_submit(&o[i], i, VOL_WRITE, i * 10 * MIB, MIB / 2, buf);
	A = vols_find(V, "b");
	one_submit(&o[N], N, VOL_WRITE, 0, 4096, buf);
	wait_all();
	/* Spans: many trims with much to do. */
	norder = 0;
	A = vols_find(V, "a");
	for (unsigned i = 0; i < TRIMS; i++)
		one_submit(&o[i], i, VOL_TRIM, i * 40 * MIB, 40 * MIB, NULL);
	A = vols_find(V, "b");
	one_submit(&o[N], N, VOL_TRIM, 0, 4096, NULL);
	wait_all();
	for (unsigned i = 0; i <= TRIMS; i++)
		if (order[i] == N)
			at = i;
	assert_true(at < TRIMS / 2);
	for (unsigned i = 0; i < REQ_KINDS; i++) {
		assert_int_equal(V->req.spans[i].promised, 0);
		assert_int_equal(V->req.parts[i].promised, 0);
		assert_int_equal(V->req.parts[i].objs.used, 0);
		assert_int_equal(V->req.spans[i].objs.used, 0);
	}
	free(o);
	kit_check_counts(P, V);
}

/* Beyond the limit of dirty nodes writes wait for a commit. */
static void test_throttle(void **state)
{
	enum { N = 1900 };
	struct one *o = calloc(N, sizeof(*o));
	unsigned stuck;

	(void)state;
	P->auto_commit = false;
	for (unsigned i = 0; i < N; i++)
		one_submit(&o[i], i, VOL_WRITE, i * MIB, 512, buf);
	for (unsigned i = 0; i < 3000; i++)
		fake_turn(P);
	stuck = pending;
	assert_true(P->want);
	assert_true(V->cache.ndirty < 96 + 2 * 512);
	assert_true(stuck > 0);
	P->auto_commit = true;
	wait_all();
	for (unsigned i = 0; i < N; i += 31)
		check(i * MIB, buf, 512);
	free(o);
	kit_check_counts(P, V);
}

/* A pool that stops without a commit under way. */
static void test_stopped(void **state)
{
	enum { N = 1800 };
	struct one *o = calloc(N, sizeof(*o));

	(void)state;
	P->auto_commit = false;
	for (unsigned i = 0; i < N; i++)
		one_submit(&o[i], i, VOL_WRITE, i * MIB, 512, buf);
	for (unsigned i = 0; i < 3000; i++)
		fake_turn(P);
	assert_true(pending > 0);
	for (unsigned i = 0; i < N; i++)
		o[i].want = -ESHUTDOWN;
	P->append_error = -ESHUTDOWN;
	P->append_error_class = LOG_COMMIT;
	P->ours = false;
	wait_all();
	P->ours = true;
	free(o);
}

/* A pool that fails ends everything. */
static void test_failing(void **state)
{
	enum { N = 1800 };
	struct one *o = calloc(N, sizeof(*o));

	(void)state;
	P->auto_commit = false;
	for (unsigned i = 0; i < N; i++) {
		one_submit(&o[i], i, VOL_WRITE, i * MIB, 512, buf);
		o[i].want = 0;
	}
	for (unsigned i = 0; i < 3000; i++)
		fake_turn(P);
	assert_true(pending > 0);
	for (unsigned i = 0; i < N; i++)
		o[i].want = -ESHUTDOWN;
	fake_commit_start(P);
	P->append_error = -ESHUTDOWN;
	P->append_error_class = LOG_COMMIT;
	for (unsigned i = 0; i < 200; i++)
		fake_turn(P);
	P->committing = false;
	P->client->commit_done(P->client_arg, -ESHUTDOWN);
	wait_all();
	assert_int_equal(req(VOL_WRITE, 0, 1, 0), -ESHUTDOWN);
	free(o);
	fake_crash(P, V, P->nrows);
	P->append_error = 0;
	assert_int_equal(fake_open(P, NULL, &V), 0);
	A = vols_find(V, "a");
	check(0, buf, 512);
	kit_check_counts(P, V);
}

/* --- status -------------------------------------------------------------- */

static struct vol_req status(uint64_t off, uint64_t len, uint8_t flags,
			     struct vol_extent *x, uint32_t max)
{
	static struct vol_req r;

	r = (struct vol_req){ .vol = A, .op = VOL_STATUS, .flags = flags,
			      .off_bytes = off, .len_bytes = len,
			      .extents = x, .extents_max = max };
	assert_int_equal(kit_submit(P, &r), 0);
	return r;
}

static void test_status(void **state)
{
	uint64_t end = 2048 * MIB + 512;
	struct vol_extent x[8];
	struct vol_req r;

	(void)state;
	r = status(0, end, 0, x, 8);
	assert_int_equal(r.nextents, 1);
	assert_true(x[0].hole);
	assert_int_equal(x[0].len_bytes, end);
	req(VOL_WRITE, 4096, 2 * 4096, 0);
	req(VOL_WRITE, 3 * MIB, MIB, 0);
	req(VOL_WRITE, 4 * MIB, 4096, 0);
	req(VOL_WRITE, end - 512, 512, 0);
	r = status(100, end - 100, 0, x, 8);
	assert_int_equal(r.nextents, 6);
	assert_int_equal(x[0].len_bytes, 3996);
	assert_true(x[0].hole);
	assert_int_equal(x[1].len_bytes, 8192);
	assert_false(x[1].hole);
	assert_int_equal(x[2].len_bytes, 3 * MIB - 3 * 4096);
	assert_int_equal(x[3].len_bytes, MIB + 4096);
	assert_false(x[3].hole);
	assert_true(x[4].hole);
	assert_int_equal(x[5].len_bytes, 512);
	assert_false(x[5].hole);
	r = status(100, end - 100, VOL_ONE, x, 8);
	assert_int_equal(r.nextents, 1);
	assert_int_equal(x[0].len_bytes, 3996);
	r = status(3 * MIB + 1, 5, 0, x, 8);
	assert_int_equal(r.nextents, 1);
	assert_int_equal(x[0].len_bytes, 5);
	assert_false(x[0].hole);
	status(3 * MIB, end - 3 * MIB, VOL_ONE, x, 8);
	assert_int_equal(x[0].len_bytes, MIB + 4096);
	r = status(0, end, 0, x, 2);
	assert_int_equal(r.nextents, 2);
}

/* Holes that a read met are told. */
static void test_holes(void **state)
{
	uint64_t holes[2] = { ~0ull, ~0ull };
	uint8_t *mem = aligned_alloc(4096, 100 * 4096);
	struct vol_req r = { .vol = A, .op = VOL_READ, .off_bytes = 100,
			     .len_bytes = 99 * 4096, .buf = mem,
			     .holes = holes };

	(void)state;
	req(VOL_WRITE, 4096, 4096, 0);
	req(VOL_WRITE, 70 * 4096, 3 * 4096, 0);
	assert_int_equal(kit_submit(P, &r), 0);
	assert_int_equal(holes[0], ~2ull);
	assert_int_equal(holes[1] & 0xfffffffffull, 0xfffffffffull & ~0x1c0ull);
	free(mem);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bounds), TEST(test_one_row), TEST(test_zero_trim),
		TEST(test_fua_nothing), TEST(test_enospc), TEST(test_flood),
		TEST(test_order), TEST(test_fair),
		cmocka_unit_test_setup_teardown(test_throttle, setup_tight,
						teardown),
		cmocka_unit_test_setup_teardown(test_stopped, setup_tight,
						teardown),
		cmocka_unit_test_setup_teardown(test_failing, setup_tight,
						teardown),
		TEST(test_status), TEST(test_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
