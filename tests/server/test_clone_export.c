/* A real tarnd over files: what clients of clones, and of volumes that are
 * rolled back, see, by libnbd. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tarnd_nbd.h"

#define MIB (1u << 20)

static void killed(struct world *w)
{
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
}

/* --- clones -------------------------------------------------------------- */

struct writer {
	struct nbd_handle *nbd;
	char               tag;    /* what it writes, and a number */
	atomic_uint        last;   /* number acknowledged for every spot */
	atomic_bool        stop;
};

#define SPOTS 64u

static uint64_t spot_off(unsigned spot)
{
	return spot * 65536ull + 8192;
}

/* Blocks of its tag and the number of the round, to all spots, on and on. */
static void *write_rounds(void *arg)
{
	struct writer *x = arg;
	uint64_t       block[512];

	for (uint64_t n = 1; !atomic_load(&x->stop); n++) {
		memset(block, x->tag, sizeof(block));
		block[0] = n;
		for (unsigned i = 0; i < SPOTS; i++)
			if (nbd_pwrite(x->nbd, block, sizeof(block),
				       spot_off(i), 0) < 0)
				return arg;
		atomic_store(&x->last, (unsigned)n);
	}
	return NULL;
}

static void start(pthread_t *thread, struct writer *x)
{
	assert_int_equal(pthread_create(thread, NULL, write_rounds, x), 0);
}

static void stop(pthread_t thread, struct writer *x)
{
	void *failed;

	wait_above(&x->last, 0);
	atomic_store(&x->stop, true);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
}

/* Every spot has this tag and one of the two numbers. */
static void has_rounds(struct nbd_handle *nbd, char tag, uint64_t least,
		       uint64_t most)
{
	uint64_t block[512];
	char     want[4096];

	memset(want, tag, sizeof(want));
	for (unsigned i = 0; i < SPOTS; i++) {
		assert_int_equal(nbd_pread(nbd, block, sizeof(block),
					   spot_off(i), 0), 0);
		assert_in_range(block[0], least, most);
		assert_memory_equal(block + 1, want, sizeof(want) - 8);
	}
}

/* Parent and clone are written to at once, while clones of clones are made;
 * none shows what was written to another. */
static void test_beside_parent(void **state)
{
	struct world *w = *state;
	struct writer v = { .tag = 'v' }, c = { .tag = 'c' };
	pthread_t     tv, tc;
	char          p[100];

	tank_with_volumes(w);
	fill_in(w, "v", 'o', 0, 4 * MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	must_do(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}");
	v.nbd = attach(w, "v");
	c.nbd = attach(w, "c");
	holds(c.nbd, 'o', 0, 4 * MIB);
	start(&tv, &v);
	start(&tc, &c);
	for (unsigned i = 0; i < 8; i++) {
		pause_ms(20);
		text(p, sizeof(p), "{\"names\":[\"c@%u\",\"v@%u\"]}", i, i);
		must_do(w, "snapshot.create", p);
		text(p, sizeof(p),
		     "{\"name\":\"%c@%u\",\"new_name\":\"x%u\"}",
		     i % 2 == 0 ? 'c' : 'v', i, i);
		must_do(w, "volume.clone", p);
		text(p, sizeof(p), "x%u", i);
		fill_in(w, p, 'x', spot_off(1), 4096);
		text(p, sizeof(p), "{\"name\":\"%c@%u\"}",
		     i % 2 == 0 ? 'c' : 'v', i);
		must_do(w, "snapshot.delete", p);
	}
	stop(tv, &v);
	stop(tc, &c);
	has_rounds(v.nbd, 'v', v.last, v.last);
	has_rounds(c.nbd, 'c', c.last, c.last);
	detach(v.nbd);
	detach(c.nbd);
	killed(w);
	v.nbd = attach(w, "v");
	c.nbd = attach(w, "c");
	has_rounds(v.nbd, 'v', v.last, v.last);
	has_rounds(c.nbd, 'c', c.last, c.last);
	/* Where nothing was written all are still as the snapshot. */
	holds(v.nbd, 'o', 16384, 32768);
	holds(c.nbd, 'o', 16384, 32768);
	holds_in(w, "v@a", 'o', 0, 4 * MIB);
	holds_in(w, "x7", 'x', spot_off(1), 4096);
	holds_in(w, "x7", 'o', 16384, 32768);
	detach(v.nbd);
	detach(c.nbd);
}

/* A clone and its snapshots outlive what they came from. */
static void test_parent_gone(void **state)
{
	struct world *w = *state;

	tank_with_volumes(w);
	fill_in(w, "v", 'a', 0, 2 * MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	must_do(w, "volume.clone", "{\"name\":\"v@a\",\"new_name\":\"c\"}");
	fill_in(w, "c", 'c', MIB, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"c@s\"]}");
	must_do(w, "volume.clone", "{\"name\":\"c@s\",\"new_name\":\"d\"}");
	fill_in(w, "d", 'd', 2 * MIB, MIB);
	fill_in(w, "v", 'v', 0, MIB / 2);
	must_do(w, "snapshot.delete", "{\"name\":\"v@a\"}");
	must_do(w, "volume.delete", "{\"name\":\"v\"}");
	for (int i = 0; i < 2; i++) {
		holds_in(w, "c", 'a', 0, MIB);
		holds_in(w, "c", 'c', MIB, MIB);
		holds_in(w, "c", 0, 2 * MIB, 2 * MIB);
		holds_in(w, "d", 'a', 0, MIB);
		holds_in(w, "d", 'c', MIB, MIB);
		holds_in(w, "d", 'd', 2 * MIB, MIB);
		killed(w);
	}
	must_do(w, "snapshot.delete", "{\"name\":\"c@s\"}");
	must_do(w, "volume.delete", "{\"name\":\"c\"}");
	holds_in(w, "d", 'a', 0, MIB);
	holds_in(w, "d", 'd', 2 * MIB, MIB);
}

/* --- rollbacks ----------------------------------------------------------- */

static void test_rollback(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *v, *v2, *a;
	char               buf[4096];

	tank_with_volumes(w);
	fill_in(w, "v", 'a', 0, 2 * MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	fill_in(w, "v", 'b', MIB, 2 * MIB);
	v = attach(w, "v");
	v2 = attach(w, "v");
	a = attach(w, "v@a");
	refused(w, "snapshot.rollback", "{\"name\":\"v@a\"}", "EBUSY",
		"'v' is in use by 2");
	holds(v, 'b', MIB, 2 * MIB);
	must_do(w, "snapshot.rollback",
		"{\"name\":\"v@a\",\"keep_as\":\"k\",\"force\":true}");
	/* Those that were there are gone, but not those of the snapshot. */
	assert_int_equal(nbd_pread(v, buf, sizeof(buf), 0, 0), -1);
	assert_int_equal(nbd_pwrite(v2, buf, sizeof(buf), 0, 0), -1);
	nbd_close(v);
	nbd_close(v2);
	holds(a, 'a', 0, 2 * MIB);
	detach(a);
	v = attach(w, "v");
	holds(v, 'a', 0, 2 * MIB);
	holds(v, 0, 2 * MIB, 2 * MIB);
	fill(v, 'c', 0, 4096);
	detach(v);
	for (int i = 0; i < 2; i++) {
		holds_in(w, "v@k", 'a', 0, MIB);
		holds_in(w, "v@k", 'b', MIB, 2 * MIB);
		holds_in(w, "v@a", 'a', 0, 2 * MIB);
		holds_in(w, "v", 'c', 0, 4096);
		holds_in(w, "v", 'a', 4096, MIB);
		killed(w);
	}
	/* A snapshot that is in use is not deleted, nor is one rolled over. */
	a = attach(w, "v@k");
	refused(w, "snapshot.delete", "{\"name\":\"v@k\"}", "EBUSY",
		"'v@k' is in use by 1");
	must_do(w, "snapshot.rollback", "{\"name\":\"v@k\"}");
	holds(a, 'b', MIB, 2 * MIB);
	detach(a);
	holds_in(w, "v", 'b', MIB, 2 * MIB);
}

struct visitor {
	struct world *w;
	atomic_bool   stop;
	atomic_uint   seen; /* times that it got in */
};

/* Comes again and again and writes as much as it can. */
static void *visit(void *arg)
{
	struct visitor *x = arg;
	char            block[4096];

	memset(block, 'z', sizeof(block));
	while (!atomic_load(&x->stop)) {
		struct nbd_handle *nbd = nbd_create();

		nbd_set_export_name(nbd, "v");
		if (dial_nbd(x->w, nbd) == 0) {
			atomic_fetch_add(&x->seen, 1);
			for (unsigned i = 0; i < 1000; i++)
				if (nbd_pwrite(nbd, block, sizeof(block),
					       (i % 1000) * 4096, 0) < 0)
					break;
		}
		nbd_close(nbd);
	}
	return NULL;
}

/* Clients that come back at once do not keep a volume from being rolled back,
 * and what they write, they write before it or after it. */
static void test_rollback_busy(void **state)
{
	struct world  *w = *state;
	struct visitor x[3];
	pthread_t      t[3];
	char           p[100];

	tank_with_volumes(w);
	fill_in(w, "v", 'a', 0, 4 * MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	for (int i = 0; i < 3; i++) {
		x[i] = (struct visitor){ .w = w };
		assert_int_equal(pthread_create(&t[i], NULL, visit, &x[i]), 0);
	}
	for (int i = 0; i < 20; i++) {
		pause_ms(10);
		text(p, sizeof(p), "{\"name\":\"v@a\",\"force\":true%s%d\"}",
		     ",\"keep_as\":\"k", i);
		must_do(w, "snapshot.rollback", p);
	}
	for (int i = 0; i < 3; i++) {
		wait_above(&x[i].seen, 0);
		atomic_store(&x[i].stop, true);
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	must_do(w, "snapshot.rollback", "{\"name\":\"v@a\",\"force\":true}");
	holds_in(w, "v", 'a', 0, 4 * MIB);
	holds_in(w, "v@a", 'a', 0, 4 * MIB);
	killed(w);
	holds_in(w, "v", 'a', 0, 4 * MIB);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_beside_parent),   T(test_parent_gone),
		T(test_rollback),        T(test_rollback_busy),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
