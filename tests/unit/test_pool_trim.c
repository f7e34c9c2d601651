/* Zones in which nothing lives any more are trimmed on their disks: only after
 * the commit that says so, never while they are in use, once; and disks that
 * cannot, fail or hang stop nothing.  Nearly empty segments are emptied when
 * nobody writes, and then the pool is at rest.  Over simulated disks and a
 * simulated clock. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "pool/label_format.h"
#include "tests/lib/pool_kit.h"

#define PIECE  256u           /* blocks of a write */
#define BLOCKS (48u * PIECE)
#define ZONES  64u

static uint8_t          data[PIECE * TARN_BLOCK]
	__attribute__((aligned(TARN_BLOCK)));
/* What the disks were asked. */
static struct disk_ops  ops;
static void (*submit)(struct disk *d, struct disk_req *req);
static unsigned         trims, others;
static bool             trims_fail, trims_hang;
static unsigned         hanging, hung_disk;
static unsigned         trims_of[2]; /* each disk */

/* The segment that has the zone in which the request is; NULL: none has. */
static const struct segment *segment_at(const struct disk *d,
					const struct disk_req *req)
{
	const struct pool *p = pk_pool();
	uint64_t zone = ((req->off_bytes / TARN_BLOCK) - LABEL_AREA_BLOCKS) >>
			p->zone_shift;

	for (uint32_t i = 1; i <= p->nsegs; i++) {
		const struct segment *s = p->segs[i];

		for (uint32_t u = 0; s->state != SEG_FREE && u < p->units;
		     u++) {
			const struct member *m = seg_member(p, s, u);

			if (m != NULL && m->disk == d &&
			    s->zones[u].zone == zone)
				return s;
		}
	}
	return NULL;
}

static void fail_later(struct io_work *w)
{
	struct disk_req *req = *(struct disk_req **)(void *)(w + 1);

	free(w);
	req->res = -EIO;
	req->done(req);
}

static void watch(struct disk *d, struct disk_req *req)
{
	const struct segment *s;
	struct io_work       *w;

	if (req->op != DISK_TRIM) {
		others += req->off_bytes >= blocks_to_bytes(LABEL_AREA_BLOCKS);
		submit(d, req);
		return;
	}
	trims++;
	trims_of[((struct sim_disk *)d)->media->index]++;
	s = segment_at(d, req);
	assert_non_null(s);
	assert_int_equal(s->state, SEG_QUARANTINED);
	assert_int_equal(s->live + s->tables + s->pins, 0);
	assert_true(pk_pool()->last.commit >= s->trim_commit);
	if (trims_hang && hanging == 0) {
		hanging++;
		hung_disk = ((struct sim_disk *)d)->media->index;
		sim->media[hung_disk]->hung = true;
	}
	if (!trims_fail) {
		submit(d, req);
		return;
	}
	w = calloc(1, sizeof(*w) + sizeof(req));
	memcpy(w + 1, &req, sizeof(req));
	io_work_init(w, fail_later);
	io_defer(d->io, w);
}

static void watch_disks(void)
{
	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		struct disk *d = &sim->media[i]->handle->d;

		if (d->ops == &ops)
			continue;
		submit = d->ops->submit;
		ops = *d->ops;
		ops.submit = watch;
		d->ops = &ops;
	}
	trims = others = hanging = 0;
	trims_fail = trims_hang = false;
}

static int setup(void **state)
{
	(void)state;
	pk_create(&(struct pk_pool){ .k = 1, .m = 1, .zones = ZONES,
				     .blocks = BLOCKS,
				     .commit_log_bytes = 1 << 22 });
	/* A disk that was not connected for that long is not trimmed. */
	pk_run_for(11 * NS_PER_S);
	watch_disks();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pk_close();
	offline_check(sim);
	return 0;
}

static void trim(uint32_t block, uint32_t n)
{
	pk_do(VOL_TRIM, block, n, NULL);
}

static void fill(uint8_t with)
{
	for (uint32_t b = 0; b < BLOCKS; b += PIECE) {
		memset(data, with + (int)(b / PIECE), sizeof(data));
		pk_do(VOL_WRITE, b, PIECE, data);
	}
}

static void check(uint32_t first, uint8_t with)
{
	for (uint32_t b = first; b < BLOCKS; b += PIECE) {
		pk_do(VOL_READ, b, PIECE, data);
		pk_assert_bytes(data, PIECE, (uint8_t)(with + b / PIECE));
	}
}

/* Blocks of all disks that hold something. */
static uint32_t taken(void)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < sim->cfg.ndisks; i++) {
		for (uint32_t b = 0; b < sim->media[i]->nblocks; b++)
			n += sim->media[i]->cur[b] != PAGE_ZERO;
	}
	return n;
}

static uint64_t trimmed_now(void)
{
	struct pool_info info;

	pool_get_info(pk_pool(), &info);
	return info.segments_trimmed;
}

static void test_given_back(void **state)
{
	uint32_t full;

	(void)state;
	fill(1);
	full = taken();
	assert_int_equal(trims, 0);
	trim(0, BLOCKS - PIECE);
	pk_run_for(300 * NS_PER_S);
	assert_in_range(trims, 2 * 20, 2 * 2 * ZONES);
	assert_in_range(taken(), 0, full / 3);
	assert_int_equal(trimmed_now(), 0);
	check(BLOCKS - PIECE, 1);
	fill(2);
	check(0, 2);
}

/* A fifth of each segment lives: that is little enough to be moved when nobody
 * writes, and then all is quiet. */
static void test_idle(void **state)
{
	struct pool_info before, after;

	(void)state;
	fill(1);
	for (uint32_t b = 0; b + 5 * 64 <= BLOCKS; b += 5 * 64)
		trim(b, 4 * 64);
	pool_get_info(pk_pool(), &before);
	pk_run_for(300 * NS_PER_S);
	pool_get_info(pk_pool(), &after);
	assert_in_range(after.cleaned_segments - before.cleaned_segments, 8,
			ZONES);
	assert_true(after.segments_sealed < before.segments_sealed / 2);
	others = trims = 0;
	pk_run_for(120 * NS_PER_S);
	assert_int_equal(others + trims, 0);
	pool_get_info(pk_pool(), &before);
	assert_int_equal(before.commits, after.commits);
}

static void test_cannot(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i]->handle->d.can_trim = false;
	fill(1);
	trim(0, BLOCKS);
	pk_run_for(300 * NS_PER_S);
	assert_int_equal(trims, 0);
	fill(2);
	check(0, 2);
}

static void test_fails(void **state)
{
	(void)state;
	fill(1);
	trims_fail = true;
	trim(0, BLOCKS);
	pk_run_for(300 * NS_PER_S);
	/* One on each disk, and none after it. */
	assert_int_equal(trims, sim->cfg.ndisks);
	assert_int_equal(trimmed_now(), 0);
	for (uint8_t i = 2; i < 6; i++)
		fill(i);
	check(0, 5);
}

/* The disk hangs with it, until the connection is broken; writes go on.  It is
 * asked again, later. */
static void test_hangs(void **state)
{
	(void)state;
	fill(1);
	trims_hang = true;
	trim(0, BLOCKS);
	pk_until(hanging == 1);
	trims_hang = false;
	fill(2);
	for (unsigned i = 0; i < sim->cfg.ndisks; i++)
		sim->media[i]->hung = false;
	pk_run_for(300 * NS_PER_S);
	fill(3);
	check(0, 3);
	trims_of[0] = trims_of[1] = 0;
	trim(0, BLOCKS);
	pk_run_for(200 * NS_PER_S);
	assert_int_equal(trims_of[hung_disk], 0);
	assert_true(trims_of[1 - hung_disk] > 0);
	pk_run_for(600 * NS_PER_S);
	fill(4);
	trim(0, BLOCKS);
	pk_run_for(300 * NS_PER_S);
	assert_true(trims_of[hung_disk] > 0);
}

/* Killed with trims under way: they land in what nobody uses yet. */
static void test_killed(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		fill(1);
		trims = 0;
		trim(0, BLOCKS - PIECE);
		pk_until(trims > round % 2);
		pk_kill_and_open(round % 2 == 1);
		/* Fails when anything is written where one may yet land. */
		fill(2);
		check(0, 2);
		pk_run_for(30 * NS_PER_S);
		check(0, 2);
		watch_disks();
	}
}

#define TRIM_TEST(name) \
	cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TRIM_TEST(given_back), TRIM_TEST(idle),	  TRIM_TEST(cannot),
		TRIM_TEST(fails),      TRIM_TEST(hangs), TRIM_TEST(killed),
	};

	pk_exit(cmocka_run_group_tests_name("pool/trim", tests, NULL, NULL));
}
