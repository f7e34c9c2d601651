/* A disk is taken offline and online again, or leaves.  Over simulated disks and
 * a simulated clock. */
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
#include "tests/sim/sim_disk.h"

#define BLOCKS 16u
#define RUNS   250u /* of so many blocks that a volume has */

static uint8_t buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

/* Over that many disks, 1+1, with something in many segments. */
static void create(uint32_t ndisks)
{
	pk_create(&(struct pk_pool){ .k = 1, .m = 1, .ndisks = ndisks,
				     .zones = 60, .blocks = RUNS * BLOCKS,
				     .row_blocks_max = 64 });
	for (uint32_t r = 0; r < RUNS; r++) {
		memset(buf, (int)(1 + r), sizeof(buf));
		pk_do(VOL_WRITE, r * BLOCKS, BLOCKS, buf);
	}
	pk_do(VOL_FLUSH, 0, 0, NULL);
}

static void check_all(void)
{
	for (uint32_t r = 0; r < RUNS; r++) {
		pk_do(VOL_READ, r * BLOCKS, BLOCKS, buf);
		pk_assert_bytes(buf, BLOCKS, (uint8_t)(1 + r));
	}
}

static uint32_t units_on(uint32_t disk)
{
	const struct pool *p = pk_pool();
	uint32_t           n = 0;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0; s->state == SEG_SEALED && u < p->units;
		     u++)
			n += s->live + s->tables > 0 &&
			     s->zones[u].member == disk;
	}
	return n;
}

static bool is_whole(void)
{
	struct pool_info info;

	pool_get_info(pk_pool(), &info);
	return info.health == POOL_ONLINE;
}

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

/* It has ended with that. */
static void op_end(int res)
{
	pk_until(ended);
	assert_int_equal(op.res, res);
	assert_true((res < 0) == (op.error[0] != '\0'));
}

static void offline(uint32_t disk)
{
	pool_disk_offline(pk_pool(), disk, false, op_begin());
	op_end(0);
	assert_false(pk_pool()->members[disk]->in);
	assert_int_equal(pk_pool()->members[disk]->state, MEMBER_OUT);
}

/* It stays so over a lost connection and a restart, and nothing is made again
 * for it; then it gets what it missed, and another may be lost. */
static void test_offline(void **state)
{
	struct pool_info info;
	struct pool_plan plan;
	uint32_t         units;

	(void)state;
	create(3);
	units = units_on(1);
	assert_true(units > 0);
	pool_plan_offline(pk_pool(), 1, &plan);
	assert_int_equal(plan.res, 0);
	assert_int_equal(plan.spare, 1);
	assert_int_equal(plan.spare_after, 0);
	/* What is reserved for volumes must fit without it, too. */
	pool_space_keep(pk_pool(), plan.usable_blocks);
	pool_disk_offline(pk_pool(), 1, false, op_begin());
	op_end(-ENOSPC);
	assert_true(pk_pool()->members[1]->in);
	pool_space_keep(pk_pool(), 0);
	offline(1);
	pool_plan_offline(pk_pool(), 0, &plan);
	assert_int_equal(plan.res, -EINVAL);
	pool_disk_offline(pk_pool(), 0, true, op_begin());
	op_end(-EINVAL);
	sim_disk_drop(sim->media[1]->handle);
	pk_run_for(5 * NS_PER_S);
	assert_false(pk_pool()->members[1]->in);
	memset(buf, 1, sizeof(buf));
	pk_do(VOL_WRITE, 0, BLOCKS, buf);
	pk_do(VOL_FLUSH, 0, 0, NULL);
	pk_kill_and_open(false);
	pk_run_for(700 * NS_PER_S);
	assert_false(pk_pool()->members[1]->in);
	pool_get_info(pk_pool(), &info);
	assert_int_equal(info.rebuild_units, 0);
	assert_int_equal(info.rebuild_wait_ns, 0);
	assert_true(units_on(1) >= units);
	check_all();
	pool_disk_online(pk_pool(), 1, op_begin());
	op_end(0);
	pk_until(pk_pool()->members[1]->in && is_whole());
	life_kill(sim, false);
	pk_disk_gone(0, true);
	assert_int_equal(pk_open(), LIFE_OK);
	check_all();
	life_kill(sim, false);
}

/* It is given up, or leaves. */
static void test_leaves(void **state)
{
	(void)state;
	create(4);
	offline(3);
	assert_int_equal(pool_disk_give_up(pk_pool(), 3), 0);
	pk_until(units_on(3) == 0);
	pool_disk_drain(pk_pool(), 3, true, true, op_begin());
	op_end(0);
	pk_until(pk_pool()->members[3]->removed);
	check_all();
	life_kill(sim, false);
}

/* It grows, by less than a zone and by some; the server dies before the commit
 * that adds them. */
static void test_grow(void **state)
{
	struct sim_media *m;
	uint32_t          zone, had;

	(void)state;
	create(3);
	m = sim->media[1];
	zone = pk_pool()->zone_blocks;
	had = pk_pool()->members[1]->zones;
	media_grow(m, m->nblocks + zone - 1);
	pool_disk_rescan(pk_pool(), 1, op_begin());
	op_end(1);
	assert_int_equal(pk_pool()->members[1]->zones, had);
	media_grow(m, m->nblocks + 1 + 2 * zone);
	pool_disk_rescan(pk_pool(), 1, op_begin());
	pk_until(pk_pool()->members[1]->grow_zones != 0);
	assert_int_equal(pk_pool()->members[1]->grow_zones, had + 3);
	pk_kill_and_open(false);
	assert_int_equal(pk_pool()->members[1]->zones, had);
	assert_int_equal(pk_pool()->members[1]->size_blocks, m->nblocks);
	pool_disk_rescan(pk_pool(), 1, op_begin());
	op_end(0);
	assert_int_equal(pk_pool()->members[1]->zones, had + 3);
	/* Nobody knows where the labels were: all are in quarantine first. */
	assert_int_equal(member_free_zones(pk_pool()->members[1]) +
				 pk_pool()->members[1]->zones_used, had + 3);
	memset(buf, 1, sizeof(buf));
	pk_do(VOL_WRITE, 0, BLOCKS, buf);
	pk_do(VOL_FLUSH, 0, 0, NULL);
	life_kill(sim, false);
	pk_disk_gone(0, true);
	assert_int_equal(pk_open(), LIFE_OK);
	assert_int_equal(pk_pool()->members[1]->zones, had + 3);
	check_all();
	life_kill(sim, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offline),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_grow),
	};

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
