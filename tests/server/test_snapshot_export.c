/* A real tarnd over files: snapshots as exports, by libnbd. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tarnd_nbd.h"

#define MIB (1u << 20)

struct export_list {
	char     last_volume[8];
	unsigned snapshot; /* that comes next; 0: the volume */
	unsigned n;
};

static int list_one(void *arg, const char *name, const char *description)
{
	struct export_list *l = arg;
	char want[16];

	if (strchr(name, '@') == NULL) {
		assert_true(strcmp(name, l->last_volume) > 0);
		text(l->last_volume, sizeof(l->last_volume), "%s", name);
		assert_null(strstr(description, "snapshot"));
		l->snapshot = 0;
	} else {
		text(want, sizeof(want), "%s@%u", l->last_volume,
		     l->snapshot++);
		assert_string_equal(name, want);
		assert_non_null(strstr(description, "read-only snapshot"));
	}
	l->n++;
	return 0;
}

static void test_list(void **state)
{
	struct world      *w = *state;
	struct export_list l = { "", 0, 0 };
	struct nbd_handle *nbd = handle();

	tarnd_start(w);
	snapshots_many(w);
	nbd_set_opt_mode(nbd, true);
	assert_int_equal(dial_nbd(w, nbd), 0);
	assert_int_equal(nbd_opt_list(nbd, (nbd_list_callback){
				 .callback = list_one, .user_data = &l }),
			 1080);
	assert_int_equal(l.n, 1080);
	nbd_opt_abort(nbd);
	nbd_close(nbd);
}

static void flags_of(struct nbd_handle *nbd)
{
	assert_int_equal(nbd_is_read_only(nbd), 1);
	assert_int_equal(nbd_can_multi_conn(nbd), 1);
	assert_int_equal(nbd_can_trim(nbd), 0);
	assert_int_equal(nbd_can_zero(nbd), 0);
	assert_int_equal(nbd_can_fast_zero(nbd), 0);
	assert_int_equal(nbd_get_size(nbd), 4194304);
}

static void test_negotiation(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *nbd = handle();
	char              *d;

	tank_with_volumes(w);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	nbd_set_opt_mode(nbd, true);
	nbd_set_full_info(nbd, true);
	nbd_set_export_name(nbd, "v@a");
	assert_int_equal(dial_nbd(w, nbd), 0);
	assert_int_equal(nbd_opt_info(nbd), 0);
	flags_of(nbd);
	d = nbd_get_canonical_export_name(nbd);
	assert_string_equal(d, "v@a");
	free(d);
	d = nbd_get_export_description(nbd);
	assert_non_null(strstr(d, "read-only snapshot"));
	free(d);
	nbd_set_export_name(nbd, "v@b");
	assert_int_equal(nbd_opt_info(nbd), -1);
	nbd_set_export_name(nbd, "v@a@a");
	assert_int_equal(nbd_opt_info(nbd), -1);
	nbd_set_export_name(nbd, "v@a");
	assert_int_equal(nbd_opt_go(nbd), 0);
	flags_of(nbd);
	detach(nbd);
	/* By EXPORT_NAME, as old clients do. */
	nbd = handle();
	nbd_set_handshake_flags(nbd, 0);
	nbd_set_export_name(nbd, "v@a");
	assert_int_equal(dial_nbd(w, nbd), 0);
	flags_of(nbd);
	detach(nbd);
}

struct map {
	uint32_t flags[8];
	unsigned n;
};

static int map_one(void *arg, const char *context, uint64_t off,
		   uint32_t *entries, size_t n, int *error)
{
	struct map *m = arg;

	(void)off;
	(void)error;
	assert_string_equal(context, "base:allocation");
	for (size_t i = 0; i < n && m->n < 8; i += 2, m->n += 2) {
		m->flags[m->n] = entries[i];
		m->flags[m->n + 1] = entries[i + 1];
	}
	return 0;
}

static void test_content(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *v, *a;
	struct map         m = { { 0 }, 0 };
	char               buf[512] = "x";

	tank_with_volumes(w);
	v = attach(w, "v");
	fill(v, 'a', 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	a = attach(w, "v@a");
	fill(v, 'b', 4096, MIB);
	assert_int_equal(nbd_trim(v, 4096, 0, 0), 0);
	must_do(w, "snapshot.create", "{\"names\":[\"v@b\"]}");
	fill(v, 'c', 0, 4 * MIB);
	holds(a, 'a', 0, MIB);
	holds(a, 0, MIB, 3 * MIB);
	assert_int_equal(nbd_block_status(a, 4194304, 0,
					  (nbd_extent_callback){
						  .callback = map_one,
						  .user_data = &m },
					  0), 0);
	assert_int_equal(m.n, 4);
	assert_int_equal(m.flags[0], MIB);
	assert_int_equal(m.flags[1], 0);
	assert_int_equal(m.flags[2], 3 * MIB);
	assert_int_equal(m.flags[3], 3);
	assert_int_equal(asked(w, "snapshot.show", "v@a", "referenced_bytes"),
			 MIB);
	assert_int_equal(asked(w, "snapshot.show", "v@a", "clients"), 1);
	/* Whatever would change it is refused. */
	nbd_set_strict_mode(a, 0);
	assert_int_equal(nbd_pwrite(a, buf, sizeof(buf), 0, 0), -1);
	assert_int_equal(nbd_get_errno(), EPERM);
	assert_int_equal(nbd_trim(a, 4096, 0, 0), -1);
	assert_int_equal(nbd_zero(a, 4096, 0, 0), -1);
	assert_int_equal(nbd_flush(a, 0), 0);
	holds(a, 'a', 0, MIB);
	detach(a);
	detach(v);
	/* The same after a crash. */
	assert_int_equal(tarnd_stop(w, SIGKILL), 128 + SIGKILL);
	tarnd_start(w);
	tank_wait_state(w, "online");
	a = attach(w, "v@a");
	holds(a, 'a', 0, MIB);
	holds(a, 0, MIB, 3 * MIB);
	detach(a);
	a = attach(w, "v@b");
	holds(a, 0, 0, 4096);
	holds(a, 'b', 4096, MIB);
	holds(a, 0, MIB + 4096, 3 * MIB - 4096);
	detach(a);
	v = attach(w, "v");
	holds(v, 'c', 0, 4 * MIB);
	detach(v);
}

static void test_in_use(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *a, *v;
	char               buf[4096];

	tank_with_volumes(w);
	v = attach(w, "v");
	fill(v, 'a', 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"v@a\"]}");
	fill(v, 'b', 0, MIB);
	a = attach(w, "v@a");
	refused(w, "snapshot.delete", "{\"name\":\"v@a\"}", "EBUSY",
		"'v@a' is in use by 1");
	/* A new name disturbs nobody. */
	must_do(w, "snapshot.rename", "{\"name\":\"v@a\",\"new_name\":\"b\"}");
	must_do(w, "volume.rename", "{\"name\":\"v\",\"new_name\":\"u\"}");
	holds(a, 'a', 0, MIB);
	must_do(w, "snapshot.delete", "{\"name\":\"u@b\",\"force\":true}");
	assert_int_equal(nbd_pread(a, buf, sizeof(buf), 0, 0), -1);
	nbd_close(a);
	/* Its volume's clients go on, and the name is free. */
	holds(v, 'b', 0, MIB);
	must_do(w, "snapshot.create", "{\"names\":[\"u@b\"]}");
	a = attach(w, "u@b");
	holds(a, 'b', 0, MIB);
	/* A client of a snapshot does not hold up the end. */
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	nbd_close(a);
	nbd_close(v);
}

/* --- groups -------------------------------------------------------------- */

struct writer {
	struct nbd_handle *v, *w;
	atomic_uint        rounds;
	atomic_bool        stop;
};

/* The same number to v and then to w, over and over. */
static void *write_pairs(void *arg)
{
	struct writer *x = arg;

	for (uint64_t n = 1; !atomic_load(&x->stop); n++) {
		if (nbd_pwrite(x->v, &n, sizeof(n), 8192, 0) < 0 ||
		    nbd_pwrite(x->w, &n, sizeof(n), 4096, 0) < 0)
			return arg;
		atomic_store(&x->rounds, n);
	}
	return NULL;
}

static uint64_t number(struct world *w, const char *name, unsigned i,
		       uint64_t off)
{
	char               full[20];
	struct nbd_handle *nbd;
	uint64_t           n;

	text(full, sizeof(full), "%s@%u", name, i);
	nbd = attach(w, full);
	assert_int_equal(nbd_pread(nbd, &n, sizeof(n), off, 0), 0);
	detach(nbd);
	return n;
}

static void test_group(void **state)
{
	struct world *w = *state;
	struct writer x = { .stop = false };
	pthread_t     thread;
	void         *failed;
	char          p[100];
	uint64_t      last = 0;

	tank_with_volumes(w);
	x.v = attach(w, "v");
	x.w = attach(w, "w");
	assert_int_equal(pthread_create(&thread, NULL, write_pairs, &x), 0);
	for (unsigned i = 0; i < 20; i++) {
		wait_above(&x.rounds, atomic_load(&x.rounds));
		text(p, sizeof(p), "{\"names\":[\"w@%u\",\"v@%u\"]}", i, i);
		must_do(w, "snapshot.create", p);
	}
	atomic_store(&x.stop, true);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	detach(x.v);
	detach(x.w);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t nv = number(w, "v", i, 8192);
		uint64_t nw = number(w, "w", i, 4096);

		assert_true(nv == nw || nv == nw + 1);
		assert_true(nw >= last);
		last = nw;
	}
	assert_true(last > 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_list),    T(test_negotiation), T(test_content),
		T(test_in_use),  T(test_group),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
