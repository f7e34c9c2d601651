/* Units are made again, and disks join and leave: over simulated disks and a
 * simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/core.h"
#include "pool/label_format.h"
#include "tests/sim/fault.h"
#include "tests/sim/life.h"
#include "tests/sim/offline.h"

#define BLOCKS   16u
#define ZONES    60u
#define TURNS    200000u
#define RUNS     250u /* of so many blocks that a volume has */

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static struct vol_req   req;
static bool             ended;
static uint8_t          version;
static uint32_t         run; /* that is read, or written */
static uint64_t         log_bytes = 1 << 23; /* of the pool, until a commit */
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
	req.off_bytes = (uint64_t)run * sizeof(buf);
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

/* 1+1 over so many disks; the volume is written once. */
static void setup_disks(uint32_t ndisks)
{
	struct vol_ctl ctl = { .name = "v", .size_bytes = RUNS * sizeof(buf),
			       .uuid.b[0] = 1, .done = ctl_done };

	sim = calloc(1, sizeof(*sim));
	assert_non_null(sim);
	sim_current = sim;
	sim->stats = &stats;
	sim->now_ns = 1000 * NS_PER_S;
	sim->cfg = (struct sim_config){
		.k = 1,
		.m = 1,
		.ndisks = ndisks,
		.disks_a_domain = 1,
		.zone_shift = ZONE_SHIFT_MIN + 1,
		.row_blocks_max = 64,
		.disk_blocks = 2 * LABEL_AREA_BLOCKS +
			       (ZONES << (ZONE_SHIFT_MIN + 1)),
		.node_budget_bytes = 1 << 22,
		.dirty_nodes_max = 64,
		.commit_log_bytes = log_bytes,
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
	wait_end();
	attach();
	write_all();
}

static void op_done(struct pool_op *op)
{
	assert_int_equal(op->res, 0);
	ended = true;
}

static struct pool_op op;

static struct pool_op *op_begin(void)
{
	memset(&op, 0, sizeof(op));
	op.done = op_done;
	ended = false;
	return &op;
}

static void wait_until(bool (*is_so)(uint32_t disk), uint32_t disk)
{
	for (uint32_t i = 0; i < TURNS && !is_so(disk); i++)
		turn();
	assert_true(is_so(disk));
}

static bool is_out(uint32_t disk)
{
	return !pool()->members[disk]->in;
}

/* … by the commit of which the labels are on all disks. */
static bool is_empty_next(uint32_t disk)
{
	return pool()->members[disk]->empty_next &&
	       pool()->commit.state == COMMIT_CHECK;
}

static bool is_labelled(uint32_t disk)
{
	return pool()->members[disk]->labelled;
}

static bool is_removed(uint32_t disk)
{
	return pool()->members[disk]->removed;
}

static bool is_closed(uint32_t disk)
{
	return sim->media[disk]->handle == NULL;
}

static bool is_whole(uint32_t disk)
{
	struct pool_info info;

	(void)disk;
	pool_get_info(pool(), &info);
	return info.rebuild_units == 0 && !info.rebuild_running;
}

/* How many units of segments in which something lives are on it. */
static uint32_t units_on(uint32_t disk)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i <= pool()->nsegs; i++) {
		const struct segment *s = pool()->segs[i];

		for (uint32_t u = 0; s->state == SEG_SEALED &&
				     s->live + s->tables > 0 && u < 2; u++)
			n += s->zones[u].member == disk;
	}
	return n;
}

/* So much is written, and stays, that segments are sealed. */
static void fill(void)
{
	for (run = 1; run < RUNS; run++) {
		memset(buf, (uint8_t)run, sizeof(buf));
		ask(VOL_WRITE);
	}
	run = 0;
	ask(VOL_FLUSH);
}

static void check_filled(void)
{
	for (run = 1; run < RUNS; run++) {
		memset(buf, 0, sizeof(buf));
		ask(VOL_READ);
		for (uint32_t i = 0; i < sizeof(buf); i++)
			assert_int_equal(buf[i], (uint8_t)run);
	}
	run = 0;
	check_all();
}

/* One disk is lost for good, and its units are made again on the others; then
 * any other disk may be lost as well. */
static void rebuild_and_lose(uint32_t lost)
{
	const struct life_span span = { .events = UINT64_MAX };

	setup_disks(4);
	fill();
	assert_true(units_on(3) > 0);
	set_gone(3, true);
	wait_until(is_out, 3);
	assert_int_equal(pool_disk_give_up(pool(), 3), 0);
	wait_until(is_whole, 3);
	assert_int_equal(units_on(3), 0);
	check_filled();
	pool_disk_drain(pool(), 3, true, true, op_begin());
	wait_end();
	wait_until(is_removed, 3);
	life_kill(sim, false);
	set_gone(lost, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_filled();
	life_kill(sim, false);
}

static void test_rebuild(void **state)
{
	(void)state;
	for (uint32_t lost = 0; lost < 3; lost++)
		rebuild_and_lose(lost);
}

/* What is on a disk moves, also when the server dies meanwhile; then the disk
 * leaves, and is blank; and comes again as another. */
static void test_drain_and_add(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };
	struct pool_disk disk;
	char             domain[32];

	(void)state;
	setup_disks(4);
	fill();
	pool_disk_drain(pool(), 1, true, true, op_begin());
	wait_end();
	life_kill(sim, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	wait_until(is_removed, 1);
	wait_until(is_closed, 1);
	assert_int_equal(pool()->members[1]->zones_used, 0);
	check_filled();
	write_all();
	life_connect(sim, 1, &disk, domain);
	pool_disk_add(pool(), &disk, 0, op_begin());
	wait_end();
	assert_int_equal(pool()->nmembers, 4);
	assert_true(pool()->members[1]->in);
	assert_int_equal(pool()->members[1]->state, MEMBER_ONLINE);
	check_filled();
	life_kill(sim, false);
	set_gone(0, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_filled();
	life_kill(sim, false);
}

/* Nothing is written, and what is free is listed for what may be written. */
static void test_drain_listed(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };

	(void)state;
	log_bytes = 1 << 28;
	setup_disks(3);
	log_bytes = 1 << 23;
	for (unsigned i = 0; i < 3; i++)
		fill();
	pool_disk_drain(pool(), 1, true, true, op_begin());
	wait_end();
	life_kill(sim, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	wait_until(is_removed, 1);
	check_filled();
	life_kill(sim, false);
}

static void wait_empty_next(uint32_t disk)
{
	for (uint32_t i = 0; i < 50 * TURNS && !is_empty_next(disk); i++)
		assert_int_equal(io_run(&sim->life->io.io, 1000), 0);
	assert_true(is_empty_next(disk));
}

/* It fails when it is about to leave: it is recorded out first, and can be done
 * without all the time. */
static void test_leave_fails(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };

	(void)state;
	setup_disks(3);
	pool_disk_drain(pool(), 2, true, true, op_begin());
	wait_end();
	wait_empty_next(2);
	sim->media[2]->hung = true;
	wait_until(is_out, 2);
	write_all();
	wait_until(is_removed, 2);
	assert_int_equal(pool()->members[2]->out_row != 0, true);
	life_kill(sim, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_all();
	life_kill(sim, false);
}

/* While disk 2 is being removed, disk 1 fails and is recorded out.  What these
 * two say later, without the one that has what was written since, opens
 * nothing. */
static void test_leave_while_other_fails(void **state)
{
	const struct life_span span = { .events = UINT64_MAX };

	(void)state;
	setup_disks(3);
	pool_disk_drain(pool(), 2, true, true, op_begin());
	wait_end();
	/* Its last label is the one of the commit that has nothing on disk 2. */
	wait_empty_next(2);
	set_gone(1, true);
	wait_until(is_labelled, 2);
	set_gone(2, true);
	wait_until(is_out, 1);
	wait_until(is_removed, 2);
	write_all();
	life_kill(sim, false);
	set_gone(0, true);
	set_gone(1, false);
	set_gone(2, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_REFUSED);
	set_gone(0, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_all();
	life_kill(sim, false);
}

/* --- a death while a disk joins ------------------------------------------- */

static struct pool_op add_op;
static bool           added;

static void add_done(struct pool_op *o)
{
	added = o->res == 0;
}

/* Disk 2 has left a pool of four, and is blank; it is added again. */
static void setup_add(void)
{
	struct pool_disk disk;
	char             domain[32];

	setup_disks(4);
	pool_disk_drain(pool(), 2, true, true, op_begin());
	wait_end();
	wait_until(is_removed, 2);
	wait_until(is_closed, 2);
	media_blank(sim->media[2]);
	write_all();
	life_connect(sim, 2, &disk, domain);
	memset(&add_op, 0, sizeof(add_op));
	add_op.done = add_done;
	added = false;
	pool_disk_add(pool(), &disk, 0, &add_op);
}

/* It joins for so long, until the server dies; and then another disk is lost.
 * Returns whether it had been said that it is a disk of the pool. */
static bool die_while_joining(uint32_t us, bool power)
{
	const struct life_span span = { .events = UINT64_MAX };
	struct pool_disk disk;
	char             domain[32];
	bool             was;

	setup_add();
	while (!pool()->members[2]->joining)
		assert_int_equal(io_run(&sim->life->io.io, 1000), 0);
	for (uint64_t end_ns = sim_now_ns(sim) + us * 1000ull;
	     sim_now_ns(sim) < end_ns && !added;)
		assert_int_equal(io_run(&sim->life->io.io, 1000), 0);
	was = added;
	life_kill(sim, power);
	set_gone(0, true);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_all();
	write_all();
	assert_true(!was || pool()->members[2]->in);
	assert_true(pool()->members[2]->in != pool()->members[2]->removed);
	set_gone(0, false);
	if (pool()->members[2]->removed) {
		wait_until(is_closed, 2);
		life_connect(sim, 2, &disk, domain);
		pool_disk_add(pool(), &disk, 0, op_begin());
		wait_end();
		assert_true(pool()->members[2]->in);
	}
	check_all();
	life_kill(sim, false);
	return was;
}

#define STEP_US  150u
#define TOLD     10
#define NOT_TOLD 11

/* In a process of its own: what a server that was killed had stays. */
static bool was_told(uint32_t us, bool power)
{
	pid_t pid;
	int   status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(die_while_joining(us, power) ? TOLD : NOT_TOLD);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == TOLD ||
		    WEXITSTATUS(status) == NOT_TOLD);
	return WEXITSTATUS(status) == TOLD;
}

/* A disk that is no member yet is none that is missing. */
static void test_death_while_joining(void **state)
{
	uint32_t us = 0;

	(void)state;
	while (!was_told(us, us / STEP_US % 2 == 1))
		us += STEP_US;
	assert_true(us > 10 * STEP_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: what this process has by then, each child copies. */
		cmocka_unit_test(test_death_while_joining),
		cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_drain_and_add),
		cmocka_unit_test(test_drain_listed),
		cmocka_unit_test(test_leave_fails),
		cmocka_unit_test(test_leave_while_other_fails),
	};
	int r;

	/* What servers that were killed had is no leak. */
	r = cmocka_run_group_tests(tests, NULL, NULL);
	fflush(NULL);
	_exit(r);
}
