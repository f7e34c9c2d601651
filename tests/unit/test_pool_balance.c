/* A disk is added to a pool that is full: writing goes on by itself, the use of
 * the disks evens out, and then the pool rests. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/core.h"
#include "pool/label_format.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"
#include "tests/sim/offline.h"

#define BLOCKS 64u
#define RUNS   4096u /* of so many blocks that the volume has */
#define SHIFT  ZONE_SHIFT_MIN

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static struct vol_req   req;
static bool             ended;
static uint32_t         written; /* runs */
static uint8_t buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

static struct pool *pool(void)
{
	return sim->life->pool;
}

static void turn(void)
{
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

static void turns(uint32_t ms)
{
	uint64_t until_ns = sim_now_ns(sim) + ms * NS_PER_MS;

	while (sim_now_ns(sim) < until_ns)
		turn();
}

static void ctl_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	ended = true;
}

static void req_done(struct vol_req *r)
{
	(void)r;
	ended = true;
}

static void op_done(struct pool_op *op)
{
	assert_int_equal(op->res, 0);
	ended = true;
}

static void wait_end(void)
{
	for (uint32_t i = 0; i < 200000 && !ended; i++)
		turn();
	assert_true(ended);
}

static int ask(enum vol_op op, uint32_t run)
{
	memset(&req, 0, sizeof(req));
	req.vol = vol;
	req.op = (uint8_t)op;
	req.buf = buf;
	req.off_bytes = (uint64_t)run * sizeof(buf);
	req.len_bytes = op == VOL_FLUSH ? 0 : sizeof(buf);
	req.done = req_done;
	ended = false;
	vol_submit(&req);
	wait_end();
	return req.res;
}

static void attach(void)
{
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
}

static void media(uint32_t disk, uint32_t domain, uint32_t zones)
{
	sim->media[disk] = media_open(sim, disk, domain,
				      2 * LABEL_AREA_BLOCKS + (zones << SHIFT));
}

/* k+1 over so many disks, of so many zones each, `hosts` of them. */
static void setup(uint32_t k, uint32_t ndisks, const uint32_t *zones,
		  uint32_t hosts)
{
	struct vol_ctl ctl = { .name = "v", .size_bytes = RUNS * sizeof(buf),
			       .uuid.b[0] = 1, .done = ctl_done };

	sim = calloc(1, sizeof(*sim));
	assert_non_null(sim);
	sim_current = sim;
	sim->stats = &stats;
	sim->now_ns = 1000 * NS_PER_S;
	sim->cfg = (struct sim_config){
		.k = k,
		.m = 1,
		.ndisks = ndisks,
		.disks_a_domain = hosts == ndisks ? 1 : 2,
		.zone_shift = SHIFT,
		.row_blocks_max = 64,
		.disk_blocks = 2 * LABEL_AREA_BLOCKS + (zones[0] << SHIFT),
		.node_budget_bytes = 1 << 22,
		.dirty_nodes_max = 64,
		.commit_log_bytes = 1 << 23,
		.rows_memory_bytes = 1 << 24,
		.bufs_bytes = 1 << 25,
	};
	prng_init(&sim->rng, 1);
	prng_init(&sim->disk_rng, 2);
	prng_init(&sim->fault_rng, 3);
	if (pages_base == NULL)
		pages_open();
	for (uint32_t i = 0; i < ndisks; i++)
		media(i, i % hosts, zones[i]);
	fault_open(sim);
	assert_int_equal(life_create(sim), LIFE_OK);
	ended = false;
	vol_create(sim->life->vols, &ctl);
	wait_end();
	attach();
	written = 0;
}

static int write_run(uint32_t i)
{
	memset(buf, (uint8_t)(i % 251 + 1), sizeof(buf));
	return ask(VOL_WRITE, i);
}

/* Until there is no space; P6 holds all the time. */
static void fill(void)
{
	int r = 0;

	while (written < RUNS) {
		uint64_t from_ns = sim_now_ns(sim);

		r = write_run(written);
		assert_true(sim_now_ns(sim) - from_ns <= 10 * NS_PER_S);
		if (r < 0)
			break;
		written++;
	}
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(ask(VOL_FLUSH, 0), 0);
}

static void check_filled(void)
{
	for (uint32_t i = 0; i < written; i++) {
		memset(buf, 0, sizeof(buf));
		assert_int_equal(ask(VOL_READ, i), 0);
		for (uint32_t j = 0; j < sizeof(buf); j += TARN_BLOCK / 2)
			assert_int_equal(buf[j], (uint8_t)(i % 251 + 1));
	}
}

static void add_at(uint32_t disk, uint32_t domain, uint32_t zones)
{
	struct pool_disk d;
	struct pool_op   op = { .done = op_done };
	char             name[32];

	media(disk, domain, zones);
	sim->cfg.ndisks = disk + 1;
	life_connect(sim, disk, &d, name);
	ended = false;
	pool_disk_add(pool(), &d, false, &op);
	wait_end();
	assert_int_equal(pool()->nmembers, disk + 1);
}

static void add(uint32_t disk, uint32_t zones)
{
	add_at(disk, disk, zones);
}

static struct pool_info info(void)
{
	struct pool_info i;

	pool_get_info(pool(), &i);
	return i;
}

/* What the pool says that there is room for, there was room for. */
static void assert_full(void)
{
	struct pool_info i = info();

	assert_true(i.used_blocks + 4 * BLOCKS > i.usable_blocks);
}

/* What fails together has one unit of each. */
static void assert_domains(void)
{
	for (uint32_t i = 1; i <= pool()->nsegs; i++) {
		const struct segment *s = pool()->segs[i];

		if (s->state != SEG_SEALED)
			continue;
		for (uint32_t u = 1; u < pool()->units; u++) {
			for (uint32_t v = 0; v < u; v++)
				assert_int_not_equal(
					seg_member(pool(), s, u)->domain,
					seg_member(pool(), s, v)->domain);
		}
	}
}

/* It stops by itself, and then nothing happens any more. */
static void assert_rests(void)
{
	struct pool_info before;

	for (uint32_t i = 0; i < 600 && info().move_units > 0; i++)
		turns(1000);
	turns(10000);
	before = info();
	assert_int_equal(before.move_units, 0);
	assert_int_equal(before.rebuild_units, 0);
	assert_domains();
	turns(60000);
	assert_int_equal(info().moved_units, before.moved_units);
	assert_int_equal(info().commits, before.commits);
	assert_int_equal(info().moved_blocks, before.moved_blocks);
}

static uint32_t free_zones(uint32_t disk)
{
	return pool()->members[disk]->zones - pool()->members[disk]->zones_used;
}

/* Of disks of so many zones, none has many more free ones than another. */
static void assert_even(uint32_t zones)
{
	for (uint32_t a = 0; a < pool()->nmembers; a++) {
		for (uint32_t b = 0; b < pool()->nmembers; b++)
			assert_true(free_zones(a) <=
				    free_zones(b) + zones / 8 + 2);
	}
}

static void reopen(bool power)
{
	const struct life_span span = { .events = UINT64_MAX };

	life_kill(sim, power);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
}

/* Any one disk may be lost.  The end. */
static void check_without(uint32_t disk)
{
	const struct life_span span = { .events = UINT64_MAX };

	life_kill(sim, true);
	sim->media[disk]->gone = true;
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_filled();
	life_kill(sim, false);
	for (uint32_t i = 0; i < sim->cfg.ndisks; i++)
		media_blank(sim->media[i]);
}

static const uint32_t same[] = { 60, 60, 60, 60 };

/* Clients go on at once: units move while they wait.  (With three disks in all,
 * what the third adds is kept for a rebuild.) */
static void test_write_on(void **state)
{
	uint32_t before;

	(void)state;
	setup(1, 2, same, 2);
	fill();
	assert_full();
	before = written;
	add(2, 60);
	add(3, 60);
	fill();
	assert_full();
	assert_true(written >= before + before / 3);
	assert_true(info().moved_units > 0);
	/* The cleaner need not write all of it again. */
	assert_int_equal(info().moved_blocks, 0);
	assert_rests();
	check_filled();
	check_without(0);
}

/* Nobody asks for anything: the disks are evened out, and the pool rests. */
static void test_evens_out(void **state)
{
	uint64_t used;

	(void)state;
	setup(1, 2, same, 2);
	fill();
	add(2, 60);
	assert_rests();
	assert_even(60);
	used = info().moved_units;
	assert_true(used >= 30 && used <= 45);
	/* A pool that is even has nothing to do, also not after a restart. */
	reopen(false);
	assert_rests();
	assert_int_equal(info().moved_units, 0);
	check_filled();
	check_without(2);
}

static void test_sizes(void **state)
{
	static const uint32_t zones[] = { 70, 60, 50 };

	(void)state;
	setup(2, 3, zones, 3);
	fill();
	add(3, 30);
	fill();
	assert_full();
	assert_rests();
	add(4, 150);
	fill();
	assert_full();
	assert_rests();
	check_filled();
	check_without(4);
}

/* Disks are added that only add room together. */
static void test_two_disks(void **state)
{
	(void)state;
	setup(2, 3, same, 3);
	fill();
	add(3, 60);
	add(4, 60);
	assert_rests();
	assert_even(60);
	fill();
	assert_full();
	assert_rests();
	check_filled();
	check_without(3);
}

/* A disk in the same domain as another: units move from that one. */
static void test_same_domain(void **state)
{
	(void)state;
	setup(1, 2, same, 2);
	fill();
	add_at(2, 0, 60);
	add_at(3, 1, 60);
	assert_rests();
	assert_even(60);
	fill();
	assert_full();
	check_filled();
	check_without(0);
}

/* Little is used: there is nothing to gain. */
static void test_worth_nothing(void **state)
{
	(void)state;
	setup(1, 2, same, 2);
	while (written < 25)
		assert_int_equal(write_run(written++), 0);
	add(2, 60);
	assert_rests();
	assert_int_equal(info().moved_units, 0);
	check_filled();
	check_without(0);
}

/* The server dies again and again while units move. */
static void test_deaths(void **state)
{
	uint64_t moved = 0;

	(void)state;
	setup(1, 2, same, 2);
	fill();
	add(2, 60);
	for (uint32_t i = 0; i < 40; i++) {
		turns(1 + i * 7 % 60);
		moved += info().moved_units;
		reopen(i % 2 == 1);
	}
	assert_rests();
	assert_true(moved > 0);
	assert_even(60);
	check_filled();
	check_without(1);
}

/* A disk is lost in the middle: what it had is made again first, and what moves
 * does not stand in the way. */
static void test_lost(void **state)
{
	static struct pool_op op;

	(void)state;
	setup(1, 3, same, 3);
	while (written < 280)
		assert_int_equal(write_run(written++), 0);
	assert_int_equal(ask(VOL_FLUSH, 0), 0);
	add(3, 60);
	for (uint32_t i = 0; i < 1000 && info().move_units == 0; i++)
		turn();
	assert_true(info().move_units > 0);
	turns(5);
	sim->media[0]->gone = true;
	sim_disk_drop(sim->media[0]->handle);
	for (uint32_t i = 0; i < 100 && pool()->members[0]->in; i++)
		turns(100);
	assert_int_equal(pool_disk_give_up(pool(), 0), 0);
	for (uint32_t i = 0; i < 600 && info().rebuild_units > 0; i++)
		turns(100);
	assert_int_equal(info().rebuild_units, 0);
	assert_int_equal(info().move_units, 0);
	check_filled();
	op.done = op_done;
	ended = false;
	pool_disk_drain(pool(), 0, true, true, &op);
	wait_end();
	for (uint32_t i = 0; i < 600 && !pool()->members[0]->removed; i++)
		turns(100);
	assert_true(pool()->members[0]->removed);
	check_without(1);
}

/* A disk is away while the pool is filled, and comes back. */
static void test_comes_back(void **state)
{
	(void)state;
	setup(1, 3, same, 3);
	sim->media[2]->gone = true;
	sim_disk_drop(sim->media[2]->handle);
	for (uint32_t i = 0; i < 100 && pool()->members[2]->in; i++)
		turns(100);
	fill();
	assert_int_equal(info().move_units, 0);
	sim->media[2]->gone = false;
	life_offer(sim);
	for (uint32_t i = 0; i < 100 && !pool()->members[2]->in; i++)
		turns(100);
	assert_rests();
	assert_true(info().moved_units > 0);
	assert_even(60);
	fill();
	assert_full();
	check_filled();
	check_without(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_write_on),
		cmocka_unit_test(test_evens_out),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_two_disks),
		cmocka_unit_test(test_same_domain),
		cmocka_unit_test(test_worth_nothing),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_comes_back),
	};
	int r;

	/* What servers that were killed had is no leak. */
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fflush(NULL);
	_exit(r);
}
