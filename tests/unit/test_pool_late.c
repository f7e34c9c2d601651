/* A row that waits for a slow disk is written again elsewhere under the same
 * number; whichever copy is stored first counts, and after a crash both say
 * the same.  Over simulated disks and a simulated clock. */
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

#define BLOCKS    64u
#define LIMIT_NS  (2 * NS_PER_S)
#define ZONES     40u

struct writer {
	struct vol_req req;
	bool           busy;
	uint64_t       sent_ns;
	uint64_t       took_ns;
	uint8_t        buf[TARN_BLOCK];
};

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static struct writer    writers[BLOCKS];
static uint8_t          version[BLOCKS]; /* what each block holds */
static bool             ctl_ended;

static void turn(void)
{
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

static struct pool *pool(void)
{
	return sim->life->pool;
}

static uint64_t late_rows(void)
{
	struct pool_info info;

	pool_get_info(pool(), &info);
	return info.late_rows;
}

static void ctl_done(struct vol_ctl *ctl)
{
	assert_int_equal(ctl->res, 0);
	ctl_ended = true;
}

static void attach(void)
{
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
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
	memset(version, 0, sizeof(version));
	ctl_ended = false;
	vol_create(sim->life->vols, &ctl);
	while (!ctl_ended)
		turn();
	attach();
}

static void write_done(struct vol_req *req)
{
	struct writer *w = container_of(req, struct writer, req);

	assert_int_equal(req->res, 0);
	w->took_ns = sim_now_ns(sim) - w->sent_ns;
	w->busy = false;
}

static void write_start(uint32_t block)
{
	struct writer *w = &writers[block];

	assert_false(w->busy);
	memset(&w->req, 0, sizeof(w->req));
	memset(w->buf, ++version[block], sizeof(w->buf));
	w->busy = true;
	w->sent_ns = sim_now_ns(sim);
	w->req.vol = vol;
	w->req.op = VOL_WRITE;
	w->req.off_bytes = (uint64_t)block * TARN_BLOCK;
	w->req.len_bytes = TARN_BLOCK;
	w->req.buf = w->buf;
	w->req.done = write_done;
	vol_submit(&w->req);
}

/* How long it took, in simulated time. */
static uint64_t write_block(uint32_t block)
{
	write_start(block);
	while (writers[block].busy)
		turn();
	return writers[block].took_ns;
}

static void read_done(struct vol_req *req)
{
	assert_int_equal(req->res, 0);
	ctl_ended = true;
}

static void check_blocks(void)
{
	static uint8_t buf[BLOCKS * TARN_BLOCK]
		__attribute__((aligned(TARN_BLOCK)));
	struct vol_req r = { .vol = vol, .op = VOL_READ, .buf = buf,
			     .len_bytes = sizeof(buf), .done = read_done };

	ctl_ended = false;
	vol_submit(&r);
	while (!ctl_ended)
		turn();
	for (uint32_t b = 0; b < BLOCKS; b++) {
		assert_int_equal(buf[b * TARN_BLOCK], version[b]);
		assert_int_equal(buf[(b + 1) * TARN_BLOCK - 1], version[b]);
	}
}

/* A member that the next row will have a unit on. */
static struct sim_media *a_member(void)
{
	const struct segment *s = pool()->open[LOG_CLIENT][0];

	assert_non_null(s);
	return sim->media[s->zones[0].member];
}

static void answer_again(struct sim_media *m)
{
	m->hung = false;
	if (m->handle != NULL)
		sim_disk_kick(m->handle);
}

/* Killed and started again: everything is there, once. */
static void kill_and_check(void)
{
	const struct life_span span = { .events = UINT64_MAX };

	life_kill(sim, false);
	offline_check(sim);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	check_blocks();
}

static void close_and_check(void)
{
	vol_put(vol, &user);
	assert_int_equal(life_close(sim, UINT64_MAX), LIFE_OK);
	offline_check(sim);
}

static void hang_and_write(uint32_t k, uint32_t m, bool answers)
{
	struct sim_media *slow;

	setup_sim(k, m, k + m + 1);
	for (uint32_t b = 0; b < BLOCKS; b++)
		write_block(b);
	assert_int_equal(late_rows(), 0);
	slow = a_member();
	slow->hung = true;
	/* The first waits until it is found late, the others go elsewhere. */
	assert_in_range(write_block(0), NS_PER_MS, LIMIT_NS);
	assert_int_equal(late_rows(), 1);
	for (uint32_t b = 1; b < BLOCKS / 2; b++)
		assert_in_range(write_block(b), 0, 50 * NS_PER_MS);
	assert_int_equal(late_rows(), 1);
	assert_false(late_idle(pool()));
	if (answers) {
		/* Now both copies are whole; the old one is at rest. */
		answer_again(slow);
		for (unsigned i = 0; i < 100 && !late_idle(pool()); i++)
			turn();
		assert_true(late_idle(pool()));
	}
	kill_and_check();
	answer_again(slow);
	close_and_check();
}

static void test_mirror(void **state)
{
	(void)state;
	hang_and_write(1, 1, true);
	hang_and_write(1, 1, false);
}

static void test_parity(void **state)
{
	(void)state;
	hang_and_write(2, 1, true);
	hang_and_write(4, 2, false);
}

/* The disk answers while the copy is being written: the row counts where it
 * was, and the copy's blocks are dead. */
static void test_old_copy_first(void **state)
{
	struct sim_media *slow;

	(void)state;
	setup_sim(2, 1, 5);
	for (uint32_t b = 0; b < BLOCKS; b++)
		write_block(b);
	slow = a_member();
	slow->hung = true;
	for (uint32_t b = 0; b < 8; b++)
		write_start(b);
	while (late_rows() == 0)
		turn();
	answer_again(slow);
	for (uint32_t b = 0; b < 8; b++) {
		while (writers[b].busy)
			turn();
		assert_in_range(writers[b].took_ns, 0, LIMIT_NS);
	}
	check_blocks();
	kill_and_check();
	close_and_check();
}

/* Nowhere to go: the row waits, and is stored when the disk is out. */
static void test_no_spare_domain(void **state)
{
	struct sim_media *slow;

	(void)state;
	setup_sim(1, 1, 2);
	write_block(0);
	slow = a_member();
	slow->hung = true;
	assert_in_range(write_block(1), LIMIT_NS, 10 * NS_PER_S);
	assert_int_equal(late_rows(), 0);
	answer_again(slow);
	kill_and_check();
	close_and_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mirror),
		cmocka_unit_test(test_parity),
		cmocka_unit_test(test_old_copy_first),
		cmocka_unit_test(test_no_spare_domain),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	/* The memory of killed servers is nobody's: no count of leaks. */
	fflush(NULL);
	_exit(r);
}
