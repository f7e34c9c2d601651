/* A disk was away and is back.  Until a commit says what it lacks, it stands
 * for nothing: not for another disk when the pool is opened, nor in the lease.
 * And when too many are away, what they have is waited for.
 * Over simulated disks and a simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/core.h"
#include "pool/label_format.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"
#include "tests/sim/offline.h"

#define BLOCKS   16u
#define ZONES    40u
#define TURNS    100000u
#define LEASE_NS (12 * NS_PER_S)

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static struct vol_req   req;
static uint32_t         last; /* the disk that returned */
static bool             ended;
static uint8_t          version;
static uint8_t buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

static struct pool *pool(void)
{
	return sim->life->pool;
}

static void turn(void)
{
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

static void ctl_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	ended = true;
}

static void req_done(struct vol_req *r)
{
	assert_int_equal(r->res, 0);
	ended = true;
}

static void wait_end(void)
{
	for (uint32_t i = 0; i < TURNS && !ended; i++)
		turn();
	assert_true(ended);
}

static void attach(void)
{
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
}

static void ask(enum vol_op op)
{
	memset(&req, 0, sizeof(req));
	req.vol = vol;
	req.op = (uint8_t)op;
	req.buf = buf;
	req.len_bytes = op == VOL_FLUSH ? 0 : sizeof(buf);
	req.done = req_done;
	ended = false;
	vol_submit(&req);
	wait_end();
}

static void write_all(void)
{
	memset(buf, ++version, sizeof(buf));
	ask(VOL_WRITE);
	ask(VOL_FLUSH);
}

static void check_all(void)
{
	memset(buf, 0, sizeof(buf));
	ask(VOL_READ);
	for (uint32_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], version);
}

static void set_gone(uint32_t disk, bool gone)
{
	struct sim_media *m = sim->media[disk];

	m->gone = gone;
	if (gone && m->handle != NULL)
		sim_disk_drop(m->handle);
}

/* k+1.  The last disk was out, missed what was flushed, and is back now. */
static void setup_returned(uint32_t k)
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
		.m = 1,
		.ndisks = k + 1,
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
	last = k;
	for (unsigned i = 0; i <= last; i++)
		sim->media[i] = media_open(sim, i, i, sim->cfg.disk_blocks);
	fault_open(sim);
	assert_int_equal(life_create(sim), LIFE_OK);
	ended = false;
	vol_create(sim->life->vols, &ctl);
	wait_end();
	attach();
	write_all();
	set_gone(last, true);
	for (uint32_t i = 0; i < TURNS && pool()->members[last]->in; i++)
		turn();
	assert_false(pool()->members[last]->in);
	write_all();
	set_gone(last, false);
	for (uint32_t i = 0; i < TURNS && !pool()->members[last]->in; i++)
		turn();
	assert_true(pool()->members[last]->lacking);
}

/* The server dies, and another disk is lost: the two that are left are not
 * enough for what was flushed, and must not be served. */
static void test_death_and_loss(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };

	(void)state;
	setup_returned(2);
	life_kill(sim, false);
	set_gone(0, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_REFUSED);
	set_gone(0, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_all();
	/* Now it is as good as the others. */
	life_kill(sim, false);
	set_gone(0, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	life_kill(sim, false);
}

/* It can be done without. */
static void test_without_it(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };

	(void)state;
	setup_returned(1);
	life_kill(sim, false);
	set_gone(last, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_all();
	life_kill(sim, false);
}

/* Another server could open the pool with disk 0 alone. */
static void test_lease(void **state)
{
	uint64_t until_ns;

	(void)state;
	setup_returned(1);
	assert_true(pool_is_ours(pool()));
	sim->media[0]->hung = true;
	until_ns = sim_now_ns(sim) + LEASE_NS;
	while (sim_now_ns(sim) < until_ns)
		turn();
	assert_true(pool()->members[last]->lacking);
	assert_false(pool_is_ours(pool()));
	sim->media[0]->hung = false;
	for (uint32_t i = 0; i < TURNS && pool()->members[last]->lacking; i++)
		turn();
	assert_false(pool()->members[last]->lacking);
	assert_true(pool_is_ours(pool()));
	check_all();
	life_kill(sim, false);
}

/* More are away than the redundancy covers: a read waits, however long that
 * takes, and nothing is called lost. */
static void test_read_waits(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };
	uint64_t	       until_ns;

	(void)state;
	setup_returned(2);
	life_kill(sim, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	set_gone(0, true);
	set_gone(1, true);
	memset(&req, 0, sizeof(req));
	memset(buf, 0, sizeof(buf));
	req.vol = vol;
	req.op = VOL_READ;
	req.buf = buf;
	req.len_bytes = sizeof(buf);
	req.done = req_done;
	ended = false;
	vol_submit(&req);
	until_ns = sim_now_ns(sim) + 60 * NS_PER_S;
	while (sim_now_ns(sim) < until_ns)
		turn();
	assert_false(ended);
	set_gone(0, false);
	set_gone(1, false);
	wait_end();
	for (uint32_t i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], version);
	assert_int_equal(pool()->lost_blocks, 0);
	life_kill(sim, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death_and_loss),
		cmocka_unit_test(test_without_it),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_read_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
