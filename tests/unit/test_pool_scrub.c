/* What has gone bad is found and mended, and nothing is made worse: scrubs of
 * pools over simulated disks. */
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
#include "tests/sim/pages.h"

#define BLOCKS 64u
#define RUN    16u

static uint8_t buf[BLOCKS * TARN_BLOCK] __attribute__((aligned(TARN_BLOCK)));

static void create(uint32_t k, uint32_t m)
{
	pk_create(&(struct pk_pool){ .k = k, .m = m, .blocks = BLOCKS,
				     .row_blocks_max = 64 });
}

static uint8_t pattern(uint32_t block)
{
	return (uint8_t)(block + 1);
}

static void write_all(void)
{
	for (uint32_t b = 0; b < BLOCKS; b++)
		memset(buf + b * TARN_BLOCK, pattern(b), TARN_BLOCK);
	for (uint32_t b = 0; b < BLOCKS; b += RUN)
		pk_do(VOL_WRITE, b, RUN, buf + b * TARN_BLOCK);
	pk_do(VOL_FLUSH, 0, 0, NULL);
}

static void check_all(void)
{
	memset(buf, 0, sizeof(buf));
	pk_do(VOL_READ, 0, BLOCKS, buf);
	for (uint32_t b = 0; b < BLOCKS; b++)
		pk_assert_bytes(buf + b * TARN_BLOCK, 1, pattern(b));
}

/* What was written is flushed. */
static void settle(void)
{
	flush_want(pk_pool());
	for (unsigned i = 0; i < 100; i++)
		pk_turn();
}

/* The segment that what clients wrote is in, sealed and flushed. */
static struct segment *seal(void)
{
	struct segment *s = NULL;

	for (unsigned i = 0; i < OPEN_SLOTS && s == NULL; i++) {
		s = pk_pool()->open[LOG_CLIENT][i];
		pk_pool()->open[LOG_CLIENT][i] = NULL;
	}
	assert_non_null(s);
	seg_seal(pk_pool(), s);
	pk_until(s->state == SEG_SEALED);
	pk_do(VOL_FLUSH, 0, 0, NULL);
	settle();
	return s;
}

static uint32_t media_block(const struct segment *s, uint32_t unit,
			    uint32_t off)
{
	return (uint32_t)(zone_off_bytes(pk_pool(), s->zones[unit].zone, off) /
			  TARN_BLOCK);
}

static struct sim_media *media_of(const struct segment *s, uint32_t unit)
{
	return sim->media[s->zones[unit].member];
}

static void rot_at(const struct segment *s, uint32_t unit, uint32_t off,
		   uint32_t byte)
{
	struct sim_media *m = media_of(s, unit);
	uint32_t          b = media_block(s, unit, off);
	page_t            p = page_copy_of(page_data(m->cur[b]));

	page_data(p)[byte] ^= 1;
	assert_true(media_damage(m, b, p));
}

static void rot(const struct segment *s, uint32_t unit, uint32_t off)
{
	rot_at(s, unit, off,
	       (uint32_t)prng_below(&sim->fault_rng, TARN_BLOCK));
}

static uint32_t damaged(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		n += sim->media[i]->ndamaged;
	return n;
}

static void scrub_wait(struct pool_scrub_info *ret)
{
	pk_until((pool_scrub_info(pk_pool(), ret),
		  ret->state == POOL_SCRUB_NONE));
	settle();
}

static void scrub(struct pool_scrub_info *ret)
{
	assert_int_equal(pool_scrub_start(pk_pool()), 0);
	scrub_wait(ret);
}

static void end(void)
{
	pk_close();
	offline_check(sim);
}

/* All of m units, headers, slices and index, are wrong or unreadable. */
static void everything(uint32_t k, uint32_t m, bool unreadable)
{
	struct pool_scrub_info info;
	struct segment *s;
	uint32_t n;

	create(k, m);
	write_all();
	s = seal();
	scrub(&info);
	assert_int_equal(info.found, 0);
	assert_true(info.blocks > 0);
	for (uint32_t u = 0; u < m; u++) {
		for (uint32_t b = 0; b < s->write_off; b++) {
			if (unreadable && b % 2 == 0)
				media_make_bad(media_of(s, u),
					       media_block(s, u, b));
			else
				rot(s, u, b);
		}
		/* Behind its end, no byte counts. */
		rot_at(s, u, s->index_off, 20);
	}
	n = damaged();
	assert_true(n >= m * s->write_off);
	scrub(&info);
	assert_int_equal(info.found, n);
	assert_int_equal(info.repaired, n);
	assert_int_equal(info.unrepaired, 0);
	assert_int_equal(info.lost_blocks, 0);
	assert_int_equal(info.nlost, 0);
	assert_int_equal(damaged(), 0);
	scrub(&info);
	assert_int_equal(info.found, 0);
	check_all();
	end();
}

static void test_everything(void **state)
{
	(void)state;
	everything(1, 1, false);
	everything(1, 2, true);
	everything(2, 1, false);
	everything(4, 2, true);
}

/* Blocks here and there, never more than m at one offset: whole units are of no
 * use. */
static void spread(uint32_t k, uint32_t m)
{
	struct pool_scrub_info info;
	struct segment *s;
	uint32_t n;

	create(k, m);
	write_all();
	s = seal();
	for (uint32_t b = 0; b < s->write_off; b++) {
		/* Some header stays. */
		if (k + m > 2 || b % 2 == 0)
			rot(s, b % (k == 1 ? m + 1 : k), b);
	}
	n = damaged();
	scrub(&info);
	assert_int_equal(info.found, n);
	assert_int_equal(info.repaired, n);
	assert_int_equal(damaged(), 0);
	check_all();
	end();
}

static void test_spread(void **state)
{
	(void)state;
	spread(1, 1);
	spread(2, 1);
	spread(4, 2);
}

/* One block is beyond repair: that is said, and it alone cannot be read. */
static void lose(uint32_t k, uint32_t m)
{
	struct pool_scrub_info info;
	struct segment *s;
	unsigned lost = 0;

	create(k, m);
	write_all();
	s = seal();
	/* The first row made the volume; behind the header of the second: */
	for (uint32_t u = 0; u <= m; u++)
		rot(s, u, 2);
	rot(s, 0, 3);
	scrub(&info);
	assert_in_range(info.lost_blocks, 1, m + 1);
	assert_int_equal(info.nlost, 1);
	assert_int_equal(info.lost[0].segment, s->no);
	assert_int_equal(info.lost[0].blocks, info.lost_blocks);
	assert_true(info.repaired >= 1);
	for (uint32_t b = 0; b < BLOCKS; b++) {
		if (pk_try(VOL_READ, b, 1, buf) == 0)
			pk_assert_bytes(buf, 1, pattern(b));
		else
			lost++;
	}
	assert_int_equal(lost, info.lost_blocks);
	/* An overwrite heals. */
	write_all();
	check_all();
	pk_close();
}

static void test_lost(void **state)
{
	(void)state;
	lose(1, 1);
	lose(2, 1);
	lose(4, 2);
}

/* It stays paused over a crash, and then goes on where it was. */
static void test_pause(void **state)
{
	struct pool_scrub_info info;
	uint64_t commits;

	(void)state;
	create(2, 1);
	write_all();
	seal();
	assert_int_equal(pool_scrub_pause(pk_pool()), -ENOENT);
	assert_int_equal(pool_scrub_stop(pk_pool()), -EALREADY);
	assert_int_equal(pool_scrub_start(pk_pool()), 0);
	assert_int_equal(pool_scrub_start(pk_pool()), -EALREADY);
	assert_int_equal(pool_scrub_pause(pk_pool()), 0);
	assert_int_equal(pool_scrub_pause(pk_pool()), -EALREADY);
	commits = pk_pool()->last.commit;
	while (pk_pool()->last.commit < commits + 2) {
		pool_commit_want(pk_pool());
		pk_turn();
	}
	pk_kill_and_open(false);
	pool_scrub_info(pk_pool(), &info);
	assert_int_equal(info.state, POOL_SCRUB_PAUSED);
	assert_int_equal(pool_scrub_start(pk_pool()), 0);
	scrub_wait(&info);
	assert_true(info.blocks > 0);
	assert_int_equal(info.found, 0);
	assert_int_equal(info.finished, 1);
	check_all();
	end();
}

/* What a read finds is mended at once, and counted. */
static void test_read(void **state)
{
	struct member_info m;
	struct segment *s;
	uint32_t n;

	(void)state;
	create(2, 1);
	write_all();
	s = seal();
	rot(s, 0, 2);
	n = damaged();
	assert_int_equal(n, 1);
	check_all();
	settle();
	assert_int_equal(damaged(), 0);
	pool_get_member(pk_pool(), s->zones[0].member, &m);
	assert_int_equal(m.errors_cksum, 1);
	assert_int_equal(m.repaired, 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_read),
	};

	pk_exit(cmocka_run_group_tests(tests, NULL, NULL));
}
