/* tests/lib/fake/one_pool.c - the fake pool of a test program, with volumes
 * that are called by their names.  Included by test programs.
 */
#include "tests/lib/fake/vol_kit.c"

#define MIB (1ull << 20)

static struct pool    *P;
static struct volumes *V;

/* An empty pool; params NULL: the defaults. */
static void one_open(uint64_t seed, const struct volumes_params *params)
{
	P = fake_pool_new(seed);
	V = fake_format(P, params);
}

__attribute__((unused))
static int one_setup(void **state)
{
	(void)state;
	one_open(7, NULL);
	return 0;
}

static int one_teardown(void **state)
{
	(void)state;
	vols_close(V);
	fake_pool_free(P);
	return 0;
}

/* … of which every count must be right. */
__attribute__((unused))
static int one_teardown_checked(void **state)
{
	kit_check_counts(P, V);
	return one_teardown(state);
}

/* The server is killed, and started again.  All that was applied is there, or
 * is in a commit. */
__attribute__((unused))
static void one_reopen(bool commit)
{
	if (commit)
		fake_commit(P);
	fake_crash(P, V, P->nrows);
	assert_int_equal(fake_open(P, NULL, &V), 0);
}

/* A control operation, as it was answered. */
__attribute__((unused))
static struct vol_ctl one_run(void (*op)(struct volumes *, struct vol_ctl *),
			      struct vol_ctl ctl)
{
	static struct vol_ctl c;

	c = ctl;
	kit_ctl_run(P, V, &c, op);
	assert_true(c.res == 0 || c.error[0] != '\0');
	return c;
}

/* One block, all of this byte. */
__attribute__((unused))
static void put_block(const char *name, uint64_t off, uint8_t byte)
{
	uint8_t buf[TARN_BLOCK];

	memset(buf, byte, sizeof(buf));
	assert_int_equal(kit_req(P, vols_find(V, name), VOL_WRITE, off,
				 sizeof(buf), buf, 0), 0);
}

/* The byte that is there, or -errno. */
__attribute__((unused))
static int get_byte(const char *name, uint64_t off)
{
	uint8_t *buf;
	int res, r;

	assert_non_null(vols_find(V, name));
	buf = kit_read(P, vols_find(V, name), off, 1, &res);
	r = res < 0 ? res : buf[off % TARN_BLOCK];
	free(buf);
	return r;
}

__attribute__((unused))
static void snap(const char *name)
{
	assert_int_equal(kit_snapshot(P, V, &name, 1, NULL), 0);
}
