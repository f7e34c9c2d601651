/* A disk that is far slower than its peers is read around, is found fast again
 * by probes, and one that does not answer is not waited for.  Over simulated
 * disks and a simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

#define BLOCKS   512u
#define ZONES    40u
#define SLOW     512u /* times slower */
#define LIMIT_NS (1500 * NS_PER_MS)

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static bool             ended;
static uint8_t          buf[BLOCKS * TARN_BLOCK]
	__attribute__((aligned(TARN_BLOCK)));

static void turn(void)
{
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

static struct pool *pool(void)
{
	return sim->life->pool;
}

static void ctl_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	ended = true;
}

static void req_done(struct vol_req *req)
{
	assert_int_equal(req->res, 0);
	ended = true;
}

/* In simulated time. */
static uint64_t request(enum vol_op op, uint32_t block, uint32_t n)
{
	struct vol_req r = { .vol = vol, .op = (uint8_t)op, .buf = buf,
			     .off_bytes = (uint64_t)block * TARN_BLOCK,
			     .len_bytes = n * TARN_BLOCK, .done = req_done };
	uint64_t sent_ns = sim_now_ns(sim);

	ended = false;
	vol_submit(&r);
	while (!ended)
		turn();
	return sim_now_ns(sim) - sent_ns;
}

static uint8_t byte_of(uint32_t block)
{
	return (uint8_t)(1 + block % 251);
}

static uint64_t read_blocks(uint32_t block, uint32_t n)
{
	uint64_t ns;

	memset(buf, 0, (size_t)n * TARN_BLOCK);
	ns = request(VOL_READ, block, n);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(buf[i * TARN_BLOCK], byte_of(block + i));
		assert_int_equal(buf[(i + 1) * TARN_BLOCK - 1],
				 byte_of(block + i));
	}
	return ns;
}

/* So many reads of a block each, here and there; the longest of them. */
static uint64_t read_some(unsigned count)
{
	uint64_t longest_ns = 0;

	for (unsigned i = 0; i < count; i++)
		longest_ns = max_u64(longest_ns,
				     read_blocks((i * 37) % BLOCKS, 1));
	return longest_ns;
}

static void setup_sim(uint32_t k, uint32_t m, uint32_t ndisks)
{
	struct vol_ctl ctl = { .name = "v", .size_bytes = BLOCKS * TARN_BLOCK,
			       .uuid.b[0] = 1, .done = ctl_done };

	sim = calloc(1, sizeof(*sim));
	assert_non_null(sim);
	sim_current = sim;
	sim->stats = &stats;
	sim->now_ns = 1000 * NS_PER_S;
	sim->cfg = (struct sim_config){
		.k = k,
		.m = m,
		.ndisks = ndisks,
		.disks_a_domain = 1,
		.zone_shift = ZONE_SHIFT_MIN + 1,
		.row_blocks_max = 64,
		.disk_blocks = 2 * LABEL_AREA_BLOCKS +
			       (ZONES << (ZONE_SHIFT_MIN + 1)),
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
	for (unsigned i = 0; i < ndisks; i++)
		sim->media[i] = media_open(sim, i, i, sim->cfg.disk_blocks);
	fault_open(sim);
	assert_int_equal(life_create(sim), LIFE_OK);
	ended = false;
	vol_create(sim->life->vols, &ctl);
	while (!ended)
		turn();
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
	for (uint32_t b = 0; b < BLOCKS; b++)
		memset(buf + (size_t)b * TARN_BLOCK, byte_of(b), TARN_BLOCK);
	request(VOL_WRITE, 0, BLOCKS);
	request(VOL_FLUSH, 0, 0);
	read_some(256);
}

static void close_and_check(void)
{
	vol_put(vol, &user);
	assert_int_equal(life_close(sim, UINT64_MAX), LIFE_OK);
	offline_check(sim);
}

static struct speed *speed(unsigned disk)
{
	return &pool()->members[disk]->speed;
}

/* The disk that block 0 is read from. */
static unsigned a_disk(void)
{
	uint64_t before[SIM_DISKS_MAX];

	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		before[i] = speed(i)->read.requests;
	read_blocks(0, 1);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		if (speed(i)->read.requests > before[i])
			return i;
	fail();
	return 0;
}

static void answer_again(struct sim_media *m)
{
	m->hung = false;
	if (m->handle != NULL)
		sim_disk_kick(m->handle);
}

static void test_latency(void **state)
{
	struct latency l;

	(void)state;
	memset(&l, 0, sizeof(l));
	assert_int_equal(latency_us(&l, 500), 0);
	latency_add(&l, 0);
	assert_int_equal(latency_us(&l, 500), 0); /* never above the maximum */
	for (unsigned i = 0; i < 98; i++)
		latency_add(&l, 100);
	latency_add(&l, 5000);
	assert_in_range(latency_us(&l, 500), 100, 150);
	assert_in_range(latency_us(&l, 990), 100, 150);
	assert_int_equal(latency_us(&l, 1000), 5000);
	assert_int_equal(latency_max_us(&l), 5000);
	assert_int_equal(l.requests, 100);
	/* What was long ago is forgotten. */
	for (unsigned i = 0; i < 20 * LATENCY_SAMPLES; i++)
		latency_add(&l, 40);
	assert_in_range(latency_us(&l, 1000), 40, 40);
	assert_int_equal(latency_max_us(&l), 40);
	assert_true(l.n <= LATENCY_SAMPLES);
	latency_add(&l, UINT64_MAX);
	assert_int_equal(latency_max_us(&l), UINT32_MAX);
}

/* Slow for a while: gone round, told, probed, and back. */
static void slow_and_fast(uint32_t k, uint32_t m, uint32_t ndisks)
{
	struct pool_info info;
	struct member_info mi;
	unsigned d;
	uint64_t mark;

	setup_sim(k, m, ndisks);
	d = a_disk();
	for (unsigned i = 0; i < ndisks; i++)
		assert_int_equal(speed(i)->state, SPEED_FAIR);
	mark = pool_members_mark(pool());
	sim->media[d]->slow = SLOW;
	/* Of copies, the one with the fewest reads in flight is read: of those
	 * a slow one gets few. */
	for (unsigned i = 0; i < 4000 && speed(d)->state == SPEED_FAIR; i++)
		read_some(16);
	assert_int_equal(speed(d)->state, SPEED_DOUBT);
	assert_int_equal(pool_members_mark(pool()), mark);
	/* From here on nobody waits for it; large reads neither. */
	assert_in_range(read_some(64), 0, 40 * NS_PER_MS);
	assert_in_range(read_blocks(0, BLOCKS), 0, 80 * NS_PER_MS);
	for (unsigned i = 0; i < 200 && speed(d)->state == SPEED_DOUBT; i++)
		read_some(64);
	assert_int_equal(speed(d)->state, SPEED_SLOW);
	assert_int_not_equal(pool_members_mark(pool()), mark);
	pool_get_member(pool(), d, &mi);
	assert_true(mi.slow_reads);
	assert_true(mi.reads_around > 0);
	assert_true(mi.peers_us > 0);
	assert_true(mi.read_latency.max_us > 20000);
	pool_get_info(pool(), &info);
	assert_true(info.around_reads > 0 && info.probes >= SPEED_PROBES);
	for (unsigned i = 0; i < ndisks; i++)
		assert_int_equal(speed(i)->state,
				 i == d ? SPEED_SLOW : SPEED_FAIR);
	/* It comes back by itself. */
	sim->media[d]->slow = 1;
	for (unsigned i = 0; i < 200 && speed(d)->state == SPEED_SLOW; i++)
		read_some(64);
	assert_int_equal(speed(d)->state, SPEED_FAIR);
	assert_int_equal(pool_members_mark(pool()), mark);
	assert_int_equal(mi.errors_read + mi.errors_cksum, 0);
	read_blocks(0, BLOCKS);
	close_and_check();
}

static void test_mirror(void **state)
{
	(void)state;
	slow_and_fast(1, 1, 2);
	slow_and_fast(1, 2, 4);
}

static void test_parity(void **state)
{
	(void)state;
	slow_and_fast(2, 1, 3);
	slow_and_fast(4, 2, 6);
}

/* Slow only because it is busy: nobody is told. */
static void test_only_busy(void **state)
{
	unsigned d;
	uint64_t mark;

	(void)state;
	setup_sim(2, 1, 3);
	d = a_disk();
	mark = pool_members_mark(pool());
	sim->media[d]->slow = SLOW;
	while (speed(d)->state == SPEED_FAIR)
		read_some(16);
	sim->media[d]->slow = 1;
	for (unsigned i = 0; i < 50 && speed(d)->state != SPEED_FAIR; i++) {
		assert_int_equal(pool_members_mark(pool()), mark);
		read_some(64);
	}
	assert_int_equal(speed(d)->state, SPEED_FAIR);
	assert_true(speed(d)->trust_until_ns > sim_now_ns(sim));
	close_and_check();
}

/* One is in doubt and fast again, when another one becomes slow: there must be
 * a way to find out about both. */
static void test_another(void **state)
{
	unsigned d, e;

	(void)state;
	setup_sim(2, 1, 3);
	d = a_disk();
	e = (d + 1) % 3;
	sim->media[d]->slow = SLOW;
	while (speed(d)->state == SPEED_FAIR)
		read_some(16);
	sim->media[e]->slow = SLOW;
	read_some(64);
	sim->media[d]->slow = 1;
	for (unsigned i = 0; i < 200 && speed(e)->state != SPEED_SLOW; i++)
		read_some(16);
	assert_int_equal(speed(d)->state, SPEED_FAIR);
	assert_int_equal(speed(e)->state, SPEED_SLOW);
	close_and_check();
}

/* While a unit is missing there is no way round, and no probe: what is read all
 * the same says that it is fast again. */
static void test_no_way_round(void **state)
{
	unsigned d;

	(void)state;
	setup_sim(1, 1, 2);
	d = a_disk();
	sim->media[d]->slow = SLOW;
	while (speed(d)->state == SPEED_FAIR)
		read_some(16);
	sim->media[1 - d]->gone = true;
	sim_disk_drop(sim->media[1 - d]->handle);
	read_some(8);
	sim->media[d]->slow = 1;
	for (unsigned i = 0; i < 50 && speed(d)->state != SPEED_FAIR; i++)
		read_some(16);
	assert_int_equal(speed(d)->state, SPEED_FAIR);
	sim->media[1 - d]->gone = false;
	read_blocks(0, BLOCKS);
	close_and_check();
}

/* A few slow reads are no slow disk. */
static void test_few(void **state)
{
	unsigned d;

	(void)state;
	setup_sim(1, 1, 2);
	d = a_disk();
	for (unsigned i = 0; i < 20; i++) {
		sim->media[d]->slow = SLOW;
		read_some(4);
		sim->media[d]->slow = 1;
		read_some(64);
		assert_int_equal(speed(d)->state, SPEED_FAIR);
	}
	close_and_check();
}

/* All are slow: that is nobody's fault. */
static void test_all_slow(void **state)
{
	(void)state;
	setup_sim(2, 1, 3);
	for (unsigned i = 0; i < 3; i++)
		sim->media[i]->slow = SLOW;
	read_some(256);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(speed(i)->state, SPEED_FAIR);
	close_and_check();
}

/* It hangs with reads on it: those are answered otherwise, and what it says
 * when it answers again is for nobody. */
static void hang(uint32_t k, uint32_t m, uint32_t ndisks, bool answers)
{
	struct pool_info info;
	unsigned d;

	setup_sim(k, m, ndisks);
	d = a_disk();
	sim->media[d]->hung = true;
	assert_in_range(read_some(24), 20 * NS_PER_MS, LIMIT_NS);
	pool_get_info(pool(), &info);
	assert_true(info.hedged_reads > 0);
	assert_int_equal(info.hedged_reads, info.hedges_won);
	assert_true(speed(d)->owed > 0 || speed(d)->state != SPEED_FAIR);
	/* Large ones go round it, since it owes answers. */
	assert_in_range(read_blocks(0, BLOCKS), 0, LIMIT_NS);
	if (answers) {
		answer_again(sim->media[d]);
		for (unsigned i = 0; i < 1000 && speed(d)->owed > 0; i++)
			turn();
		assert_int_equal(speed(d)->owed, 0);
		read_blocks(0, BLOCKS);
	} else {
		/* The connection is given up with all that is on it. */
		uint64_t until_ns = sim_now_ns(sim) + 10 * NS_PER_S;

		while (sim_now_ns(sim) < until_ns)
			turn();
		assert_int_equal(speed(d)->owed, 0);
		read_blocks(0, BLOCKS);
		answer_again(sim->media[d]);
	}
	close_and_check();
}

static void test_hang(void **state)
{
	(void)state;
	hang(1, 1, 2, true);
	hang(1, 1, 3, false);
	hang(2, 1, 3, true);
	hang(4, 2, 7, false);
}

/* What is read instead is wrong on one disk: others are asked. */
static void test_wrong_elsewhere(void **state)
{
	struct sim_media *m;
	unsigned d;

	(void)state;
	setup_sim(2, 2, 4);
	d = a_disk();
	m = sim->media[(d + 1) % 4];
	for (uint32_t b = LABEL_AREA_BLOCKS;
	     b < m->nblocks - LABEL_AREA_BLOCKS; b++)
		media_rot(m, &sim->fault_rng, b);
	sim->media[d]->hung = true;
	for (uint32_t b = 0; b < 64; b++)
		assert_in_range(read_blocks(b, 1), 0, LIMIT_NS);
	answer_again(sim->media[d]);
	read_blocks(0, BLOCKS);
	media_heal(m);
	close_and_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_parity),
		cmocka_unit_test(test_only_busy),
		cmocka_unit_test(test_another),
		cmocka_unit_test(test_no_way_round),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_all_slow),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_wrong_elsewhere),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	/* The memory of killed servers is nobody's: no count of leaks. */
	fflush(NULL);
	_exit(r);
}
