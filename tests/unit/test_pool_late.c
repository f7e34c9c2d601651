/* A row that waits for a slow disk is written again elsewhere under the same
 * number; whichever copy is stored first counts, and after a crash both say
 * the same.  Over simulated disks and a simulated clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "tests/lib/pool_kit.h"

#define BLOCKS    64u
#define LIMIT_NS  (2 * NS_PER_S)

struct writer {
	struct vol_req req;
	bool           busy;
	uint64_t       sent_ns;
	uint64_t       took_ns;
	uint8_t        buf[TARN_BLOCK];
};

static struct writer writers[BLOCKS];
static uint8_t       version[BLOCKS]; /* what each block holds */

static uint64_t late_rows(void)
{
	struct pool_info info;

	pool_get_info(pk_pool(), &info);
	return info.late_rows;
}

static void create(uint32_t k, uint32_t m, uint32_t ndisks)
{
	pk_create(&(struct pk_pool){ .k = k, .m = m, .ndisks = ndisks,
				     .blocks = BLOCKS, .row_blocks_max = 64 });
	memset(version, 0, sizeof(version));
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
	pk_until(!writers[block].busy);
	return writers[block].took_ns;
}

static void check_blocks(void)
{
	static uint8_t buf[BLOCKS * TARN_BLOCK]
		__attribute__((aligned(TARN_BLOCK)));

	pk_do(VOL_READ, 0, BLOCKS, buf);
	for (uint32_t b = 0; b < BLOCKS; b++)
		pk_assert_bytes(buf + b * TARN_BLOCK, 1, version[b]);
}

/* A member that the next row will have a unit on. */
static struct sim_media *a_member(void)
{
	const struct segment *s = pk_pool()->open[LOG_CLIENT][0];

	assert_non_null(s);
	return sim->media[s->zones[0].member];
}

/* Killed and started again: everything is there, once. */
static void kill_and_check(void)
{
	life_kill(sim, false);
	offline_check(sim);
	assert_int_equal(pk_open(), LIFE_OK);
	check_blocks();
}

static void close_and_check(void)
{
	pk_close();
	offline_check(sim);
}

static void hang_and_write(uint32_t k, uint32_t m, bool answers)
{
	struct sim_media *slow;

	create(k, m, k + m + 1);
	for (uint32_t b = 0; b < BLOCKS; b++)
		write_block(b);
	assert_int_equal(late_rows(), 0);
	slow = a_member();
	pk_disk_hang(slow, true);
	/* The first waits until it is found late, the others go elsewhere. */
	assert_in_range(write_block(0), NS_PER_MS, LIMIT_NS);
	assert_int_equal(late_rows(), 1);
	for (uint32_t b = 1; b < BLOCKS / 2; b++)
		assert_in_range(write_block(b), 0, 50 * NS_PER_MS);
	assert_int_equal(late_rows(), 1);
	assert_false(late_idle(pk_pool()));
	if (answers) {
		/* Now both copies are whole; the old one is at rest. */
		pk_disk_hang(slow, false);
		pk_until(late_idle(pk_pool()));
	}
	kill_and_check();
	pk_disk_hang(slow, false);
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
	create(2, 1, 5);
	for (uint32_t b = 0; b < BLOCKS; b++)
		write_block(b);
	slow = a_member();
	pk_disk_hang(slow, true);
	for (uint32_t b = 0; b < 8; b++)
		write_start(b);
	pk_until(late_rows() != 0);
	pk_disk_hang(slow, false);
	for (uint32_t b = 0; b < 8; b++) {
		pk_until(!writers[b].busy);
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
	create(1, 1, 2);
	write_block(0);
	slow = a_member();
	pk_disk_hang(slow, true);
	assert_in_range(write_block(1), LIMIT_NS, 10 * NS_PER_S);
	assert_int_equal(late_rows(), 0);
	pk_disk_hang(slow, false);
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

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
