/* The simulated disk keeps its own promises: what was flushed stays, what was
 * not is old, new or torn, every request ends, damage is undone by healing,
 * and one seed does the same twice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include <errno.h>

#include "tests/sim/sim_disk.h"

#define BLOCKS 64u
#define REQS   16u

struct ask {
	struct disk_req req;
	bool            busy;
	uint8_t        *buf;
};

/* A block's contents by version: each 8 bytes say both. */
struct torture {
	struct sim       sim;
	struct sim_stats stats;
	struct sim_io    io;
	struct sim_disk *sd;
	struct ask       asks[REQS];
	struct ask       flush;
	uint32_t         version[BLOCKS];  /* last submitted */
	uint32_t         answered[BLOCKS]; /* last answered well */
	uint32_t         before[BLOCKS];   /* answered when the flush began */
	uint32_t         flushed[BLOCKS];  /* covered by a flush */
	unsigned         ups, downs;
	uint64_t         ended;
};

static struct torture *torture; /* for callbacks */

static void fill(uint8_t *buf, uint32_t block, uint32_t version)
{
	uint32_t w[2] = { block, version };

	for (unsigned i = 0; i < TARN_BLOCK; i += 8)
		memcpy(buf + i, w, 8);
}

static void ask_done(struct disk_req *req)
{
	struct ask *a = container_of(req, struct ask, req);
	uint32_t    block = (uint32_t)(req->off_bytes / TARN_BLOCK);
	uint32_t    w[2];

	assert_true(a->busy);
	a->busy = false;
	torture->ended++;
	if (req->res != 0 || req->op != DISK_WRITE)
		return;
	memcpy(w, a->buf, 8);
	torture->answered[block] = w[1];
}

static void flush_done(struct disk_req *req)
{
	torture->flush.busy = false;
	torture->ended++;
	if (req->res == 0)
		memcpy(torture->flushed, torture->before,
		       sizeof(torture->flushed));
}

static void on_event(struct disk *d, enum disk_event ev, void *arg)
{
	(void)arg;
	assert_int_equal(d->up, ev == DISK_EV_UP);
	if (ev == DISK_EV_UP)
		torture->ups++;
	else
		torture->downs++;
}

static void connect_disk(struct torture *t)
{
	t->sd = sim_disk_open(&t->io, t->sim.media[0]);
	t->sd->d.event = on_event;
}

static struct torture *torture_open(uint64_t seed)
{
	struct torture *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	torture = t;
	t->sim.seed = seed;
	t->sim.stats = &t->stats;
	t->sim.now_ns = 1;
	prng_init(&t->sim.rng, seed);
	prng_init(&t->sim.disk_rng, seed + 1);
	prng_init(&t->sim.fault_rng, seed + 2);
	if (pages_base == NULL)
		pages_open();
	sim_io_open(&t->io, 1, seed);
	t->sim.media[0] = media_open(&t->sim, 0, 0, BLOCKS);
	t->sim.cfg.ndisks = 1;
	for (unsigned i = 0; i < REQS; i++)
		t->asks[i].buf = aligned_alloc(TARN_BLOCK, TARN_BLOCK);
	connect_disk(t);
	return t;
}

static void torture_close(struct torture *t)
{
	sim_io_close(&t->io);
	for (unsigned i = 0; i < REQS; i++)
		free(t->asks[i].buf);
	sim_late_drop(&t->sim, t->sim.media[0]);
	media_close(t->sim.media[0]);
	free(t);
}

static void ask(struct torture *t, uint8_t op, uint32_t block)
{
	struct ask *a = NULL;

	for (unsigned i = 0; i < REQS; i++) {
		if (!t->asks[i].busy)
			a = &t->asks[i];
		/* Two writes of one block in flight have no order. */
		else if (t->asks[i].req.off_bytes ==
			 (uint64_t)block * TARN_BLOCK)
			return;
	}
	if (a == NULL)
		return;
	a->busy = true;
	a->req.op = op;
	a->req.off_bytes = (uint64_t)block * TARN_BLOCK;
	a->req.len_bytes = TARN_BLOCK;
	a->req.buf = a->buf;
	a->req.done = ask_done;
	if (op == DISK_WRITE)
		fill(a->buf, block, ++t->version[block]);
	disk_submit(&t->sd->d, &a->req);
}

static void flush(struct torture *t)
{
	struct ask *a = &t->flush;

	if (a->busy)
		return;
	a->busy = true;
	memcpy(t->before, t->answered, sizeof(t->before));
	a->req.op = DISK_FLUSH;
	a->req.off_bytes = 0;
	a->req.len_bytes = 0;
	a->req.done = flush_done;
	disk_submit(&t->sd->d, &a->req);
}

static void turns(struct torture *t, unsigned n)
{
	while (n-- > 0)
		assert_int_equal(io_run(&t->io.io, 10 * NS_PER_MS), 0);
}

static void drain(struct torture *t)
{
	while (t->sd->d.inflight > 0)
		turns(t, 1);
}

/* Each word is a version from the last flushed one to the newest. */
static void check_image(struct torture *t)
{
	for (uint32_t b = 0; b < BLOCKS; b++) {
		const uint8_t *p = page_data(t->sim.media[0]->cur[b]);

		for (unsigned i = 0; i < TARN_BLOCK; i += 8) {
			uint32_t w[2];

			memcpy(w, p + i, 8);
			/* A tear may fall inside of a word. */
			if (w[0] != b && w[0] != 0)
				fail_msg("block %u holds block %u", b, w[0]);
			assert_true(w[1] <= t->version[b] || i > 0);
			if (w[1] < t->flushed[b])
				fail_msg("block %u: %u < %u flushed", b, w[1],
					 t->flushed[b]);
		}
	}
}

static void agree(struct torture *t)
{
	/* What is there now is where the next life starts. */
	for (uint32_t b = 0; b < BLOCKS; b++)
		t->answered[b] = t->flushed[b];
}

static void test_power_loss(void **state)
{
	struct torture *t = torture_open(11);

	(void)state;
	for (unsigned life = 0; life < 60; life++) {
		uint64_t n = between(&t->sim.rng, 1, 200);

		for (uint64_t i = 0; i < n; i++) {
			ask(t, chance(&t->sim.rng, 3, 4) ? DISK_WRITE :
							   DISK_READ,
			    (uint32_t)prng_below(&t->sim.rng, BLOCKS));
			if (chance(&t->sim.rng, 1, 16))
				flush(t);
			turns(t, (unsigned)prng_below(&t->sim.rng, 3));
		}
		sim_disk_abandon(t->sd, true);
		sim_disk_forget(t->sd);
		check_image(t);
		agree(t);
		memset(t->asks[0].buf, 0, TARN_BLOCK);
		for (unsigned i = 0; i < REQS; i++)
			t->asks[i].busy = false;
		t->flush.busy = false;
		connect_disk(t);
		/* The old life's events must not come. */
		sim_io_close(&t->io);
		sim_io_open(&t->io, 1, life);
	}
	assert_true(t->stats.v[STAT_blocks_torn] > 0);
	assert_true(t->stats.v[STAT_blocks_dropped] > 0);
	assert_true(t->stats.v[STAT_blocks_kept] > 0);
	sim_disk_abandon(t->sd, true);
	sim_disk_forget(t->sd);
	torture_close(t);
}

static void test_every_request_ends(void **state)
{
	struct torture   *t = torture_open(12);
	struct sim_media *m = t->sim.media[0];
	uint64_t          asked = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t before = t->sd->d.inflight;

		ask(t, (uint8_t)prng_below(&t->sim.rng, 2),
		    (uint32_t)prng_below(&t->sim.rng, BLOCKS));
		asked += t->sd->d.inflight - before;
		switch (prng_below(&t->sim.rng, 200)) {
		case 0:
			sim_disk_drop(t->sd);
			break;
		case 1:
			m->hung = true;
			break;
		case 2:
			sim_disk_power_loss(t->sd);
			break;
		case 3:
			m->arm_write_error = 2;
			m->arm_read_error = 1;
			break;
		case 4 ... 16:
			m->hung = false;
			sim_disk_kick(t->sd);
			break;
		default:
			break;
		}
		/* A disk that is down answers at once: let time pass. */
		turns(t, t->sd->d.up ? 1 : 8);
	}
	m->hung = false;
	sim_disk_kick(t->sd);
	drain(t);
	assert_int_equal(t->ended, asked);
	if (t->downs <= 3 || t->ups <= 3)
		fail_msg("%u downs, %u ups", t->downs, t->ups);
	assert_true(t->sd->d.epoch == t->ups + 1);
	disk_close(&t->sd->d, NULL, NULL);
	turns(t, 2);
	assert_null(m->handle);
	torture_close(t);
}

static void test_timeout(void **state)
{
	struct torture *t = torture_open(13);
	uint64_t        start = t->io.io.now_ns;

	(void)state;
	t->sim.media[0]->hung = true;
	ask(t, DISK_WRITE, 1);
	ask(t, DISK_READ, 2);
	while (t->sd->d.inflight > 0)
		turns(t, 1);
	assert_int_equal(t->downs, 1);
	assert_int_equal(t->sd->d.error, -ETIMEDOUT);
	assert_true(t->io.io.now_ns - start >= SIM_DISK_TIMEOUT_NS);
	assert_false(t->sd->d.up);
	ask(t, DISK_READ, 3);
	assert_int_equal(t->ended, 2);
	turns(t, 1);
	assert_int_equal(t->ended, 3);
	assert_int_equal(t->asks[REQS - 1].req.res, -ENOTCONN);
	t->sim.media[0]->hung = false;
	turns(t, 100);
	assert_true(t->sd->d.up);
	sim_disk_abandon(t->sd, false);
	sim_disk_forget(t->sd);
	torture_close(t);
}

static void test_damage_heals(void **state)
{
	struct torture   *t = torture_open(14);
	struct sim_media *m = t->sim.media[0];
	uint8_t           want[TARN_BLOCK];
	uint32_t          b;

	(void)state;
	for (b = 0; b < BLOCKS; b++) {
		ask(t, DISK_WRITE, b);
		drain(t);
	}
	flush(t);
	drain(t);
	for (unsigned i = 0; i < 20; i++)
		if (media_pick(m, &t->sim.fault_rng, 0, BLOCKS, &b))
			media_rot(m, &t->sim.fault_rng, b);
	media_make_bad(m, 5);
	m->arm_phantom = 2;
	ask(t, DISK_WRITE, 6);
	drain(t);
	m->arm_phantom = 0;
	m->arm_misdirect = 1;
	ask(t, DISK_WRITE, 7);
	drain(t);
	assert_true(m->ndamaged > 20);
	media_power_loss(m);
	media_heal(m);
	for (b = 0; b < BLOCKS; b++) {
		fill(want, b, t->version[b]);
		assert_memory_equal(page_data(m->cur[b]), want, TARN_BLOCK);
	}
	sim_disk_abandon(t->sd, false);
	sim_disk_forget(t->sd);
	torture_close(t);
	assert_int_equal(pages_used(), 0);
}

static uint64_t hash_of(uint64_t seed)
{
	struct torture *t = torture_open(seed);
	uint64_t        hash;

	for (unsigned i = 0; i < 500; i++) {
		ask(t, (uint8_t)prng_below(&t->sim.rng, 2),
		    (uint32_t)prng_below(&t->sim.rng, BLOCKS));
		if (chance(&t->sim.rng, 1, 50))
			sim_disk_power_loss(t->sd);
		turns(t, 1);
	}
	sim_disk_abandon(t->sd, true);
	sim_disk_forget(t->sd);
	hash = t->sim.hash;
	torture_close(t);
	return hash;
}

static void test_same_seed_same_story(void **state)
{
	(void)state;
	assert_true(hash_of(1) == hash_of(1));
	assert_true(hash_of(1) != hash_of(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power_loss),
		cmocka_unit_test(test_every_request_ends),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_damage_heals),
		cmocka_unit_test(test_same_seed_same_story),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
