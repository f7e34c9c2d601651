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

#include "tests/lib/pool_kit.h"

#define BLOCKS   16u
#define LEASE_NS (12 * NS_PER_S)

static uint32_t last; /* the disk that returned */
static uint8_t  version;
static uint8_t  buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

static void write_all(void)
{
	memset(buf, ++version, sizeof(buf));
	pk_do(VOL_WRITE, 0, BLOCKS, buf);
	pk_do(VOL_FLUSH, 0, 0, NULL);
}

static void check_all(void)
{
	memset(buf, 0, sizeof(buf));
	pk_do(VOL_READ, 0, BLOCKS, buf);
	pk_assert_bytes(buf, BLOCKS, version);
}

/* k+1.  The last disk was out, missed what was flushed, and is back now. */
static void create_returned(uint32_t k)
{
	pk_create(&(struct pk_pool){ .k = k, .m = 1, .blocks = BLOCKS,
				     .row_blocks_max = 64 });
	last = k;
	write_all();
	pk_disk_gone(last, true);
	pk_until(!pk_pool()->members[last]->in);
	write_all();
	pk_disk_gone(last, false);
	pk_until(pk_pool()->members[last]->in);
	assert_true(pk_pool()->members[last]->lacking);
}

/* The server dies, and another disk is lost: the two that are left are not
 * enough for what was flushed, and must not be served. */
static void test_death_and_loss(void **state)
{
	(void)state;
	create_returned(2);
	life_kill(sim, false);
	pk_disk_gone(0, true);
	assert_int_equal(pk_open(), LIFE_REFUSED);
	pk_disk_gone(0, false);
	assert_int_equal(pk_open(), LIFE_OK);
	check_all();
	/* Now it is as good as the others. */
	life_kill(sim, false);
	pk_disk_gone(0, true);
	assert_int_equal(pk_open(), LIFE_OK);
	life_kill(sim, false);
}

/* It can be done without. */
static void test_without_it(void **state)
{
	(void)state;
	create_returned(1);
	life_kill(sim, false);
	pk_disk_gone(last, true);
	assert_int_equal(pk_open(), LIFE_OK);
	check_all();
	life_kill(sim, false);
}

/* Another server could open the pool with disk 0 alone. */
static void test_lease(void **state)
{
	(void)state;
	create_returned(1);
	assert_true(pool_is_ours(pk_pool()));
	sim->media[0]->hung = true;
	pk_run_for(LEASE_NS);
	assert_true(pk_pool()->members[last]->lacking);
	assert_false(pool_is_ours(pk_pool()));
	sim->media[0]->hung = false;
	pk_until(!pk_pool()->members[last]->lacking);
	assert_true(pool_is_ours(pk_pool()));
	check_all();
	life_kill(sim, false);
}

static void read_done(struct vol_req *req)
{
	assert_int_equal(req->res, 0);
	req->buf = NULL;
}

/* More are away than the redundancy covers: a read waits, however long that
 * takes, and nothing is called lost. */
static void read_waits(uint32_t a, uint32_t b)
{
	struct vol_req req = { .op = VOL_READ, .buf = buf,
			       .len_bytes = sizeof(buf), .done = read_done };

	req.vol = vol;
	pk_disk_gone(a, true);
	pk_disk_gone(b, true);
	memset(buf, 0, sizeof(buf));
	vol_submit(&req);
	pk_run_for(60 * NS_PER_S);
	assert_non_null(req.buf);
	pk_disk_gone(a, false);
	pk_disk_gone(b, false);
	pk_until(req.buf == NULL);
	pk_assert_bytes(buf, BLOCKS, version);
	assert_int_equal(pk_pool()->lost_blocks, 0);
	life_kill(sim, false);
}

static void test_read_waits(void **state)
{
	(void)state;
	create_returned(2);
	pk_kill_and_open(false);
	read_waits(0, 1);
}

/* … also when one of them is out and does not come back. */
static void test_read_waits_out(void **state)
{
	(void)state;
	pk_create(&(struct pk_pool){ .k = 2, .m = 1, .blocks = BLOCKS,
				     .row_blocks_max = 64 });
	pk_disk_gone(2, true);
	pk_until(!pk_pool()->members[2]->in);
	write_all();
	pk_kill_and_open(false);
	pk_pool()->members[2]->flags =
		LABEL_MEMBER_DRAIN | LABEL_MEMBER_REMOVE;
	read_waits(0, 2);
}

/* It comes back, and while its label is being read its grace ends; then that
 * cannot be read.  So it goes out, and what waits for it goes on. */
static void test_refused_is_out(void **state)
{
	struct member *m;

	(void)state;
	create_returned(2);
	m = pk_pool()->members[last];
	pk_until(!m->lacking);
	pk_disk_gone(last, true);
	pk_until(m->state == MEMBER_SUSPECT);
	sim->media[last]->slow = 512;
	sim->media[last]->arm_read_error = 1;
	pk_disk_gone(last, false);
	pk_until(m->verifying && m->grace_over);
	pk_until(!m->verifying);
	assert_int_equal(sim->media[last]->arm_read_error, 0);
	assert_true(m->disk->up);
	write_all();
	assert_false(m->in);
	check_all();
	life_kill(sim, false);
}

/* It comes back, and goes away when it has a label and another disk, which
 * hangs, does not.  Nobody waits for it to come back once more. */
static void test_gone_again(void **state)
{
	struct member *m, *other;

	(void)state;
	pk_create(&(struct pk_pool){ .k = 2, .m = 2, .blocks = BLOCKS,
				     .row_blocks_max = 64 });
	m = pk_pool()->members[3];
	other = pk_pool()->members[2];
	write_all();
	pk_disk_gone(3, true);
	pk_until(!m->in);
	write_all();
	pk_disk_hang(sim->media[2], true);
	pk_disk_gone(3, false);
	pk_until(m->coming_in && m->label_pending > 0);
	pk_until(m->label_pending == 0);
	assert_true(m->coming_in);
	pk_disk_gone(3, true);
	pk_until(m->state == MEMBER_OUT);
	write_all();
	assert_false(other->in);
	assert_false(m->in);
	pk_disk_hang(sim->media[2], false);
	pk_disk_gone(3, false);
	pk_until(m->in && !m->lacking && other->in && !other->lacking);
	check_all();
	life_kill(sim, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death_and_loss),
		cmocka_unit_test(test_without_it),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_read_waits),
		cmocka_unit_test(test_read_waits_out),
		cmocka_unit_test(test_refused_is_out),
		cmocka_unit_test(test_gone_again),
	};

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
