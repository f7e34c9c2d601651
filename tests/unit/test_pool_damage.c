/* Blocks of which more copies are lost than the redundancy covers: exactly those
 * are EIO, they are listed by who shows them, found again after a restart, and
 * gone from the list when they are overwritten, deleted, or readable again. */
#include <errno.h>
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
#include "tests/sim/pages.h"
#include "tests/sim/sim_media.h"

#define BLOCKS 1024u
#define ZONES  40u

static struct sim_stats stats;
static struct sim      *sim;
static struct vol_user  user;
static struct volume   *vol;
static bool             ended;
static int              ended_res;
static struct vols_damage damage;
static uint8_t          buf[BLOCKS * TARN_BLOCK]
	__attribute__((aligned(TARN_BLOCK)));

static void turn(void)
{
	assert_int_equal(io_run(&sim->life->io.io, NS_PER_MS), 0);
}

static void turns(unsigned ms)
{
	uint64_t until_ns = sim_now_ns(sim) + ms * NS_PER_MS;

	while (sim_now_ns(sim) < until_ns)
		turn();
}

static struct pool *pool(void)
{
	return sim->life->pool;
}

static void ctl_done(struct vol_ctl *ctl)
{
	ended_res = ctl->res;
	ended = true;
}

static void ctl_wait(void)
{
	while (!ended)
		turn();
	assert_int_equal(ended_res, 0);
}

static void req_done(struct vol_req *req)
{
	ended_res = req->res;
	ended = true;
}

static int request(enum vol_op op, uint32_t block, uint32_t n)
{
	struct vol_req r = { .vol = vol, .op = (uint8_t)op, .buf = buf,
			     .off_bytes = (uint64_t)block * TARN_BLOCK,
			     .len_bytes = n * TARN_BLOCK, .done = req_done };

	ended = false;
	vol_submit(&r);
	while (!ended)
		turn();
	return ended_res;
}

/* Block b of version v; no two are the same. */
static void fill(uint8_t *at, uint32_t b, uint32_t v)
{
	memset(at, (int)(1 + b % 250), TARN_BLOCK);
	memcpy(at, &b, sizeof(b));
	memcpy(at + sizeof(b), &v, sizeof(v));
}

static void write_blocks(uint32_t block, uint32_t n, uint32_t v)
{
	for (uint32_t i = 0; i < n; i++)
		fill(buf + (size_t)i * TARN_BLOCK, block + i, v);
	assert_int_equal(request(VOL_WRITE, block, n), 0);
	assert_int_equal(request(VOL_FLUSH, 0, 0), 0);
}

static bool reads_as(uint32_t block, uint32_t v)
{
	uint8_t want[TARN_BLOCK];

	fill(want, block, v);
	return request(VOL_READ, block, 1) == 0 &&
	       memcmp(buf, want, TARN_BLOCK) == 0;
}

static void attach(void)
{
	memset(&user, 0, sizeof(user));
	vol = vols_find(sim->life->vols, "v");
	assert_non_null(vol);
	vol_get(vol, &user);
}

static void setup_sim(uint32_t k, uint32_t m)
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
		.ndisks = k + m,
		.disks_a_domain = 1,
		.zone_shift = ZONE_SHIFT_MIN,
		.row_blocks_max = 64,
		.disk_blocks = 2 * LABEL_AREA_BLOCKS +
			       (ZONES << ZONE_SHIFT_MIN),
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
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i] = media_open(sim, i, i, sim->cfg.disk_blocks);
	fault_open(sim);
	assert_int_equal(life_create(sim), LIFE_OK);
	ended = false;
	vol_create(sim->life->vols, &ctl);
	ctl_wait();
	attach();
	for (uint32_t b = 0; b < BLOCKS; b += 256)
		write_blocks(b, 256, 1);
}

static void snapshot(const char *name)
{
	const char    *names[] = { name };
	struct uuid    uuids[] = { { .b = { 2, (uint8_t)name[2] } } };
	struct vol_ctl ctl = { .names = names, .nnames = 1, .uuids = uuids,
			       .done = ctl_done };

	ended = false;
	vol_snapshot(sim->life->vols, &ctl);
	ctl_wait();
}

static void delete(const char *name)
{
	struct vol_ctl ctl = { .name = name, .done = ctl_done };

	ended = false;
	vol_delete(sim->life->vols, &ctl);
	ctl_wait();
}

/* All of the block's data, wherever it is, and what it could be made from. */
static void rot(uint32_t block, uint32_t v)
{
	uint8_t  want[TARN_BLOCK];
	unsigned hits = 0;

	fill(want, block, v);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct sim_media *m = sim->media[i];

		for (uint32_t b = LABEL_AREA_BLOCKS;
		     b < m->nblocks - LABEL_AREA_BLOCKS; b++) {
			if (memcmp(page_data(m->cur[b]), want, TARN_BLOCK) != 0)
				continue;
			media_rot(m, &sim->fault_rng, b);
			hits++;
		}
	}
	assert_true(hits > 0);
}

/* … and with parity: the same offset on all disks that the row is on. */
static void rot_row(uint32_t block, uint32_t v)
{
	uint8_t want[TARN_BLOCK];

	fill(want, block, v);
	for (uint32_t n = 1; n <= pool()->nsegs; n++) {
		const struct segment *s = pool()->segs[n];
		uint32_t at = UINT32_MAX;

		for (uint32_t o = 0; seg_may_live(s) &&
				     o < pool()->zone_blocks; o++) {
			for (uint32_t u = 0; u < pool()->k; u++) {
				uint32_t b = LABEL_AREA_BLOCKS +
					     (s->zones[u].zone
					      << pool()->zone_shift) + o;
				struct sim_media *m =
					sim->media[s->zones[u].member];

				if (memcmp(page_data(m->cur[b]), want,
					   TARN_BLOCK) == 0)
					at = o;
			}
		}
		for (uint32_t u = 0; at != UINT32_MAX && u < pool()->units; u++)
			media_rot(sim->media[s->zones[u].member],
				  &sim->fault_rng,
				  LABEL_AREA_BLOCKS +
					  (s->zones[u].zone
					   << pool()->zone_shift) + at);
	}
}

static uint64_t damaged(void)
{
	uint64_t more;

	return pool_damage_count(pool(), &more) + more;
}

static void damage_done(struct vols_damage *d)
{
	(void)d;
	ended = true;
}

static void list(void)
{
	ended = false;
	damage.done = damage_done;
	vols_damage_submit(sim->life->vols, &damage);
	while (!ended)
		turn();
	assert_int_equal(damage.res, 0);
}

/* Is a range with exactly these blocks listed? */
static bool listed(const char *name, uint64_t block, uint64_t n)
{
	list();
	for (uint32_t i = 0; i < damage.nranges; i++) {
		const struct vol_damage_range *r = &damage.ranges[i];

		if (strcmp(r->name, name) == 0 && r->block == block &&
		    r->n == n)
			return true;
	}
	return false;
}

static void scrub(void)
{
	struct pool_scrub_info i;

	assert_int_equal(pool_scrub_start(pool()), 0);
	do {
		turn();
		pool_scrub_info(pool(), &i);
	} while (i.state != POOL_SCRUB_NONE);
	turns(10);
}

/* Killed, with all that was committed, and started again. */
static void restart(void)
{
	const struct life_span span = { .events = UINT64_MAX };

	turns(3000);
	life_kill(sim, false);
	assert_int_equal(life_open(sim, false, &span), LIFE_OK);
	attach();
	turns(3000);
}

static void close_it(void)
{
	vol_put(vol, &user);
	assert_int_equal(life_close(sim, UINT64_MAX), LIFE_OK);
	offline_check(sim);
}

/* Read, list, snapshot, overwrite, delete. */
static void read_and_heal(uint32_t k, uint32_t m)
{
	setup_sim(k, m);
	snapshot("v@s");
	assert_int_equal(damaged(), 0);
	rot_row(100, 1);
	rot_row(101, 1);
	assert_int_equal(request(VOL_READ, 100, 1), -EBADMSG);
	assert_int_equal(damaged(), 1);
	assert_int_equal(request(VOL_READ, 96, 8), -EBADMSG);
	/* With k > 1 what shares the row's columns may be lost, too. */
	assert_true(damaged() >= 2);
	assert_true(reads_as(99, 1));
	assert_true(reads_as(102, 1));
	assert_true(listed("v", 100, 2));
	assert_true(listed("v@s", 100, 2));
	/* Reading again changes nothing. */
	assert_int_equal(request(VOL_READ, 100, 2), -EBADMSG);
	assert_true(listed("v", 100, 2));
	write_blocks(100, 1, 2);
	assert_true(reads_as(100, 2));
	assert_true(listed("v", 101, 1));
	assert_true(listed("v@s", 100, 2));
	write_blocks(0, 256, 3);
	list();
	for (uint32_t i = 0; i < damage.nranges; i++)
		assert_true(strcmp(damage.ranges[i].name, "v@s") == 0 ||
			    damage.ranges[i].block >= 256);
	for (uint32_t b = 256; b < BLOCKS; b += 256)
		write_blocks(b, 256, 3);
	assert_true(damaged() >= 2);
	delete("v@s");
	turns(3000);
	assert_int_equal(damaged(), 0);
	list();
	assert_int_equal(damage.nranges + damage.unnamed + damage.more, 0);
	close_it();
}

static void test_read(void **state)
{
	(void)state;
	read_and_heal(1, 1);
	read_and_heal(2, 1);
	read_and_heal(4, 2);
}

/* A scrub finds it, and what is dead is not listed; it is found again after a
 * restart; when the bytes are back, it is none. */
static void test_scrub(void **state)
{
	(void)state;
	setup_sim(1, 1);
	/* Makes what is dead, in segments that are sealed. */
	for (uint32_t v = 2; v < 6; v++)
		for (uint32_t b = 0; b < BLOCKS; b += 128)
			write_blocks(b, 64, v);
	turns(3000);
	rot(65, 1);
	rot(66, 1);
	rot(3, 4);
	scrub();
	assert_int_equal(damaged(), 2);
	assert_true(listed("v", 65, 2));
	restart();
	assert_int_equal(damaged(), 2);
	assert_true(listed("v", 65, 2));
	assert_int_equal(request(VOL_READ, 66, 1), -EBADMSG);
	assert_true(reads_as(64, 1));
	assert_true(reads_as(67, 1));
	/* One is overwritten, the other is there again. */
	write_blocks(66, 1, 9);
	assert_true(listed("v", 65, 1));
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		media_heal(sim->media[i]);
	assert_true(reads_as(65, 1));
	assert_int_equal(damaged(), 0);
	restart();
	assert_int_equal(damaged(), 0);
	close_it();
}

/* The cleaner empties the segment but for that block, which stays as it is. */
static void test_cleaner(void **state)
{
	struct pool_damage d;

	(void)state;
	setup_sim(1, 1);
	turns(3000);
	rot(200, 1);
	/* Most of its segment dies. */
	for (uint32_t v = 2; v < 12; v++)
		for (uint32_t b = 0; b < BLOCKS; b += 8)
			if (b != 200)
				write_blocks(b, 7, v);
	turns(60000);
	assert_int_equal(damaged(), 1);
	/* Nothing else is left in it. */
	assert_true(pool_damage_next(pool(), PLACE_NONE, &d));
	assert_int_equal(pool()->segs[place_seg(pool(), d.place)]->live, 1);
	assert_true(listed("v", 200, 1));
	assert_int_equal(request(VOL_READ, 200, 1), -EBADMSG);
	restart();
	assert_int_equal(request(VOL_READ, 200, 1), -EBADMSG);
	assert_true(listed("v", 200, 1));
	for (uint32_t b = 0; b < BLOCKS; b++)
		if (b != 200)
			assert_true(reads_as(b, b % 8 < 7 && b / 8 != 25 ? 11 :
									   1));
	write_blocks(200, 1, 20);
	assert_int_equal(damaged(), 0);
	close_it();
}

/* More than there is room for: counted, and fewer as they go. */
static void test_many(void **state)
{
	struct pool_damage d;
	uint64_t more, n = 0;

	(void)state;
	setup_sim(1, 1);
	for (uint32_t i = 0; i < POOL_DAMAGE_MAX + 10; i++) {
		d = (struct pool_damage){ .place = 0, .family = 1,
					  .block = i, .sure = true };
		for (uint32_t s = 1; s <= pool()->nsegs; s++)
			if (seg_may_live(pool()->segs[s]) &&
			    pool()->segs[s]->state != SEG_OPENABLE) {
				d.place = place_make(pool(), s, 0,
						     i % pool()->zone_blocks);
				pool_damage_found(pool(), &d);
			}
	}
	n = pool_damage_count(pool(), &more);
	assert_true(n > 0 && n <= POOL_DAMAGE_MAX);
	d.place = PLACE_NONE;
	for (uint64_t i = 0; i < n; i++)
		assert_true(pool_damage_next(pool(), d.place, &d));
	assert_false(pool_damage_next(pool(), d.place, &d));
	d.place = PLACE_NONE;
	while (pool_damage_next(pool(), d.place, &d))
		pool_damage_drop(pool(), d.place);
	assert_int_equal(pool_damage_count(pool(), &more), 0);
	turns(3000);
	close_it();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_scrub),
		cmocka_unit_test(test_cleaner),
		cmocka_unit_test(test_many),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	/* The memory of killed servers is nobody's: no count of leaks. */
	fflush(NULL);
	_exit(r);
}
