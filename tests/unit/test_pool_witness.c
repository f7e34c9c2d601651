/* A witness carries labels only, and decides whether a pool of two disks opens
 * when one of them is lost.  Over simulated disks and a simulated clock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/pool_kit.h"

#define BLOCKS  (16u * PIECE)
#define PIECE   256u
#define WITNESS 2u

static uint8_t data[PIECE * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));
static uint8_t version;
static struct pool_op op;
static bool           ended;

static void op_done(struct pool_op *o)
{
	(void)o;
	ended = true;
}

static struct pool_op *op_begin(void)
{
	memset(&op, 0, sizeof(op));
	op.done = op_done;
	ended = false;
	return &op;
}

static const struct member *witness(void)
{
	return pk_pool()->members[WITNESS];
}

static void leave(void)
{
	pool_disk_drain(pk_pool(), WITNESS, true, true, op_begin());
	pk_until(ended);
	assert_int_equal(op.res, 0);
	pk_until(witness()->removed && sim->media[WITNESS]->handle == NULL);
}

static int add(unsigned how)
{
	struct pool_disk disk;
	char             domain[32];

	life_connect(sim, WITNESS, &disk, domain);
	pool_disk_add(pk_pool(), &disk, how, op_begin());
	pk_until(ended);
	return op.res;
}

static void write_all(void)
{
	memset(data, ++version, sizeof(data));
	for (uint32_t b = 0; b < BLOCKS; b += PIECE)
		pk_do(VOL_WRITE, b, PIECE, data);
	pk_do(VOL_FLUSH, 0, 0, NULL);
}

static void check_all(void)
{
	for (uint32_t b = 0; b < BLOCKS; b += PIECE) {
		pk_do(VOL_READ, b, PIECE, data);
		pk_assert_bytes(data, PIECE, version);
	}
}

static uint8_t health(void)
{
	struct pool_info info;

	pool_get_info(pk_pool(), &info);
	return info.health;
}

/* A mirror of two disks and a witness. */
static int setup(void **state)
{
	(void)state;
	pk_create(&(struct pk_pool){ .k = 1, .m = 1, .ndisks = 3,
				     .blocks = BLOCKS });
	write_all();
	leave();
	assert_int_equal(add(POOL_DISK_WITNESS), 0);
	assert_true(member_is_witness(witness()));
	return 0;
}

/* The server dies, and these disks are not there. */
static enum life_end open_without(bool a, bool b, bool w)
{
	life_kill(sim, false);
	pk_disk_gone(0, a);
	pk_disk_gone(1, b);
	pk_disk_gone(WITNESS, w);
	return pk_open();
}

static void test_opens(void **state)
{
	(void)state;
	write_all();
	assert_int_equal(open_without(true, false, false), LIFE_OK);
	check_all();
	write_all();
	assert_int_equal(open_without(false, false, false), LIFE_OK);
	check_all();
	pk_until(health() == POOL_ONLINE);
	assert_int_equal(open_without(false, true, false), LIFE_OK);
	check_all();
}

/* Without one, a mirror does not know whether the other half went on. */
static void test_without(void **state)
{
	(void)state;
	leave();
	life_kill(sim, false);
	pk_disk_gone(0, true);
	assert_int_equal(pk_open(), LIFE_REFUSED);
	pk_disk_gone(0, false);
	assert_int_equal(pk_open(), LIFE_OK);
	check_all();
}

/* The half that did not go on does not open, whoever else is there. */
static void test_other_half(void **state)
{
	(void)state;
	assert_int_equal(open_without(true, false, false), LIFE_OK);
	write_all();
	life_kill(sim, false);
	pk_disk_gone(0, false);
	pk_disk_gone(1, true);
	assert_int_equal(pk_open(), LIFE_REFUSED);
	pk_disk_gone(WITNESS, true);
	assert_int_equal(pk_open(), LIFE_REFUSED);
	pk_disk_gone(1, false);
	assert_int_equal(pk_open(), LIFE_OK);
	check_all();
}

/* Nothing needs it as long as both disks are there. */
static void test_lost(void **state)
{
	(void)state;
	pk_disk_gone(WITNESS, true);
	write_all();
	pk_until(!witness()->in);
	assert_int_equal(health(), POOL_ONLINE);
	assert_int_equal(open_without(false, false, true), LIFE_OK);
	check_all();
	write_all();
	/* It was recorded out, so one disk and it are not enough … */
	life_kill(sim, false);
	pk_disk_gone(0, true);
	pk_disk_gone(WITNESS, false);
	assert_int_equal(pk_open(), LIFE_REFUSED);
	/* … until it is back. */
	pk_disk_gone(0, false);
	assert_int_equal(pk_open(), LIFE_OK);
	pk_until(witness()->in && witness()->state == MEMBER_ONLINE);
	assert_int_equal(open_without(true, false, false), LIFE_OK);
	check_all();
}

/* Nothing is put on it, and it leaves at once. */
static void test_empty(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		write_all();
	assert_int_equal(witness()->zones, 0);
	assert_int_equal(witness()->zones_used, 0);
	leave();
	assert_int_equal(add(0), 0);
	assert_true(witness()->zones > 0);
	write_all();
	check_all();
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		pk_disk_gone(i, false);
	pk_close();
	offline_check(sim);
	return 0;
}

#define WITNESS_TEST(name) \
	cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITNESS_TEST(opens), WITNESS_TEST(without),
		WITNESS_TEST(other_half), WITNESS_TEST(lost),
		WITNESS_TEST(empty),
	};

	pk_exit(cmocka_run_group_tests_name("pool/witness", tests, NULL, NULL));
}
