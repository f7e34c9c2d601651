/* Much is dirty and little is free: a volume is overwritten at random while
 * snapshots are taken, so that nearly each write changes a leaf that is shared
 * and makes a new node.  Commits must come before there is no room for one any
 * more, and nothing fails as long as the pool says that there is space.  Over
 * simulated disks and a simulated clock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/commit.h"
#include "tests/lib/pool_kit.h"

#define DEPTH     32u
#define SNAPSHOTS 100u
#define PIECE     256u

static struct prng    rng;
static struct vol_req reqs[DEPTH];
static unsigned       busy, failed;
static uint8_t        data[PIECE * TARN_BLOCK]
	__attribute__((aligned(TARN_BLOCK)));
static uint64_t       most_dirty; /* segments that it would fill */

static void write_done(struct vol_req *req)
{
	if (req->res != 0) {
		assert_int_equal(req->res, -ENOSPC);
		failed++;
	}
	busy--;
	req->vol = NULL;
}

static void watch(void)
{
	struct pool *p = pk_pool();

	most_dirty = max_u64(most_dirty,
			     p->client->commit_blocks(p->client_arg) /
				     p->seg_data_blocks);
}

/* n blocks, DEPTH at a time, at random; up to the first that fails. */
static void overwrite(uint32_t blocks, uint32_t n)
{
	for (uint32_t i = 0; i < n && failed == 0; i++) {
		struct vol_req *r = NULL;

		pk_until(busy < DEPTH);
		for (unsigned k = 0; k < DEPTH && r == NULL; k++)
			r = reqs[k].vol == NULL ? &reqs[k] : NULL;
		*r = (struct vol_req){
			.vol = vol, .op = VOL_WRITE, .buf = data,
			.off_bytes = prng_below(&rng, blocks) * TARN_BLOCK,
			.len_bytes = TARN_BLOCK, .done = write_done };
		busy++;
		vol_submit(r);
		watch();
	}
	pk_until(busy == 0);
}

static bool ended;
static int  result;

static void ctl_done(struct vol_ctl *ctl)
{
	result = ctl->res;
	ended = true;
}

static int snapshot(unsigned no)
{
	char           name[16];
	const char    *names[] = { name };
	struct uuid    uuid = { .b = { 2, (uint8_t)no, (uint8_t)(no >> 8) } };
	struct vol_ctl ctl = { .names = names, .nnames = 1, .uuids = &uuid,
			       .done = ctl_done };

	snprintf(name, sizeof(name), "v@s%u", no);
	ended = false;
	vol_snapshot(sim->life->vols, &ctl);
	pk_until(ended);
	return result;
}

static void delete(unsigned no)
{
	char           name[16];
	struct vol_ctl ctl = { .name = name, .at_once = true,
			       .done = ctl_done };

	snprintf(name, sizeof(name), "v@s%u", no);
	ended = false;
	vol_delete(sim->life->vols, &ctl);
	pk_until(ended);
	assert_int_equal(result, 0);
}

/* A volume that, with what SNAPSHOTS of it pin while it is overwritten, and once
 * more after the last one, and with a node for each leaf and snapshot, comes to
 * that part of what is usable, in percent.  Returns its blocks. */
static uint32_t start(uint32_t zones, uint32_t percent)
{
	struct pk_pool is = { .k = 1, .m = 1, .zones = zones,
			      .blocks = 1 << 20, .commit_log_bytes = 1 << 30,
			      .dirty_nodes = 1 << 16 };
	uint64_t usable, used;
	uint32_t blocks;

	prng_init(&rng, 1);
	failed = 0;
	most_dirty = 0;
	pk_create(&is);
	pool_space(pk_pool(), &usable, &used);
	blocks = (uint32_t)(usable * percent / 345);
	for (uint32_t b = 0; b + PIECE <= blocks; b += PIECE)
		pk_do(VOL_WRITE, b, PIECE, data);
	return blocks;
}

static void crowd(uint32_t zones, uint32_t percent)
{
	uint32_t blocks = start(zones, percent);
	uint64_t usable, used;

	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		overwrite(blocks, blocks / SNAPSHOTS);
		assert_int_equal(snapshot(i), 0);
	}
	overwrite(blocks, 4 * blocks);
	assert_int_equal(failed, 0);
	pool_space(pk_pool(), &usable, &used);
	/* It was what it is to be. */
	assert_in_range(used, usable * (percent - 5) / 100,
			usable * percent / 100);
	assert_true(most_dirty > 1);
	pk_close();
}

static void test_snapshots_kept(void **state)
{
	(void)state;
	crowd(40, 95);
	crowd(64, 80);
	crowd(128, 80);
	crowd(128, 95);
}

/* Snapshots until it is full: that comes when there is no space, and not before,
 * and it does not stay so. */
static void test_full(void **state)
{
	uint32_t blocks = start(64, 95);
	unsigned n = 0;
	int      r = 0;

	(void)state;
	while (failed == 0 && r == 0) {
		overwrite(blocks, blocks / SNAPSHOTS);
		if (failed == 0)
			r = snapshot(n++);
		n -= r != 0;
	}
	assert_true(r == 0 || r == -ENOSPC);
	/* What those in flight have asked for, with their nodes. */
	assert_in_range(pool_space_available(pk_pool()), 0, 4 * DEPTH);
	assert_true(n > SNAPSHOTS);
	pk_do(VOL_READ, 0, PIECE, data);
	for (unsigned i = 0; i < n; i++)
		delete(i);
	pk_until(pool_space_available(pk_pool()) > blocks);
	failed = 0;
	overwrite(blocks, 2 * blocks);
	assert_int_equal(failed, 0);
	pk_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshots_kept),
		cmocka_unit_test(test_full),
	};

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
