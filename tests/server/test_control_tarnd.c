/* A real tarnd over files, by its control socket: the life of a pool, and
 * restarts in good and bad order.  Clients that misbehave:
 * test_control_clients.c.
 */
#include <fcntl.h>
#include <libnbd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tarnd_kit.h"

static void test_life(void **state)
{
	struct world *w = *state;
	json_t       *r;

	tarnd_start(w);
	refused(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}",
		"ENODEV", "no pool is open");
	tank_create(w, "2+1", 3);
	/* The same again has been done already. */
	tank_create(w, "2+1", 3);
	tank_wait_state(w, "online");
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	r = must(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	assert_true(json_is_true(json_object_get(r, "already")));
	json_decref(r);
	must_do(w, "volume.resize", "{\"name\":\"v\",\"size\":2097152}");
	must_do(w, "volume.rename", "{\"name\":\"v\",\"new_name\":\"w\"}");
	refused(w, "volume.show", "{\"name\":\"v\"}", "ENOENT",
		"'v' does not exist");
	refused(w, "volume.show", "{\"name\":\"a/b\"}", "EINVAL", "name");
	r = must(w, "volume.show", "{\"name\":\"w\"}");
	assert_int_equal(json_integer_value(json_object_get(r, "size_bytes")),
			 2097152);
	json_decref(r);
	r = must(w, "pool.df", "{}");
	assert_int_equal(
		json_integer_value(json_object_get(r, "provisioned_bytes")),
		2097152);
	assert_true(json_integer_value(json_object_get(r, "usable_bytes")) >
		    100 << 20);
	json_decref(r);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	assert_int_equal(access(w->control, F_OK), -1);
}

static void test_restart(void **state)
{
	struct world *w = *state;
	json_t       *r;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	/* Killed or stopped: it opens again by itself, and a call that comes
	 * while it is being opened waits for that. */
	for (int i = 0; i < 4; i++) {
		assert_int_equal(tarnd_stop(w, i % 2 == 0 ? SIGKILL : SIGTERM),
				 i % 2 == 0 ? 128 + SIGKILL : 0);
		tarnd_start(w);
		r = must(w, "volume.list", "{}");
		assert_int_equal(
			json_array_size(json_object_get(r, "volumes")), 1);
		json_decref(r);
	}
	/* Exported, it is found but not opened until it is imported. */
	must_do(w, "pool.export", "{\"name\":\"tank\"}");
	r = must(w, "pool.status", "{}");
	assert_string_equal(reply_str(r, "state"), "none");
	json_decref(r);
	refused(w, "volume.list", "{}", "ENODEV", "no pool is open");
	r = must(w, "pool.export", "{\"name\":\"tank\"}");
	assert_true(json_is_true(json_object_get(r, "already")));
	json_decref(r);
	refused(w, "pool.export", "{\"name\":\"pond\"}", "ENODEV",
		"no pool is open");
	refused(w, "pool.import", "{\"name\":\"pond\"}", "ENOENT",
		"'pond' was not found");
	must_do(w, "pool.import", "{\"read_only\":true}");
	tank_wait_state(w, "read-only");
	refused(w, "volume.create", "{\"name\":\"x\",\"size\":1048576}",
		"EROFS", "read-only");
	must_do(w, "pool.export", "{}");
	must_do(w, "pool.import", "{\"name\":\"tank\"}");
	must_do(w, "volume.delete", "{\"name\":\"v\"}");
	assert_int_equal(tarnd_stop(w, SIGINT), 0);
}

static void test_refusals(void **state)
{
	struct world *w = *state;
	char          p[900];
	const char   *a, *b;

	tarnd_start(w);
	a = w->disk[0];
	b = w->disk[1];
#define CREATE(name, red, more, fmt, ...)                                  \
	text(p, sizeof(p),                                                 \
	     "{\"name\":\"" name "\",\"redundancy\":\"" red "\"" more     \
	     ",\"disks\":[" fmt "]}", ##__VA_ARGS__)
#define BY_DISK ",\"domain\":\"disk\""
	CREATE("t", "1+1", "", "\"%s\",\"%s\"", a, b);
	refused(w, "pool.create", p, "EINVAL", "--domain disk");
	CREATE("t", "2+1", BY_DISK, "\"%s\",\"%s\"", a, b);
	refused(w, "pool.create", p, "EINVAL", "at least 3 disks");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s\"", a, a);
	refused(w, "pool.create", p, "EEXIST", "twice");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s/./%s\"", a, w->dir,
	       a + strlen(w->dir) + 1);
	refused(w, "pool.create", p, "EEXIST", "same disk");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s\"", a, w->disk[3]);
	refused(w, "pool.create", p, "EINVAL", "too small");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"%s/none\"", a, w->dir);
	refused(w, "pool.create", p, "ENOTCONN", "none");
	CREATE("t", "1+1", BY_DISK, "\"%s\",\"ftp://x/\"", a);
	refused(w, "pool.create", p, "EINVAL", "no place");
	CREATE("t", "1+9", BY_DISK, "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "1+9");
	CREATE("t", "1+1", BY_DISK, "");
	refused(w, "pool.create", p, "EINVAL", "no disks");
	CREATE("t/u", "1+0", BY_DISK, "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "name");
	CREATE("t", "1+0", ",\"domain\":\"rack\"", "\"%s\"", a);
	refused(w, "pool.create", p, "EINVAL", "rack");
	refused(w, "pool.export", "{}", "ENODEV", "no pool is open");
	/* Nothing of that was written. */
	tank_create(w, "1+1", 2);
	CREATE("other", "1+0", BY_DISK, "\"%s\"", w->disk[2]);
	refused(w, "pool.create", p, "EBUSY", "'tank' is open");
	refused(w, "pool.import", "{\"name\":\"other\"}", "EBUSY",
		"'tank' is open");
	refused(w, "pool.export", "{\"name\":\"other\"}", "ENOENT",
		"'other' is not open");
	must_do(w, "pool.export", "{}");
	/* Somebody's disks are not taken. */
	CREATE("other", "1+1", BY_DISK, "\"%s\",\"%s\"", a, w->disk[2]);
	refused(w, "pool.create", p, "EEXIST", "'tank'");
}

static void test_foreign_data(void **state)
{
	struct world *w = *state;
	char          p[400];
	int           fd = open(w->disk[0], O_WRONLY);
	json_t       *r;

	/* One byte in the last block is somebody's. */
	assert_int_equal(pwrite(fd, "x", 1, (256 << 20) - 1), 1);
	close(fd);
	tarnd_start(w);
	text(p, sizeof(p), "{\"name\":\"t\",\"redundancy\":\"1+0\",\"domain\":"
			   "\"disk\",\"disks\":[\"%s\"]}", w->disk[0]);
	refused(w, "pool.create", p, "EEXIST", "unknown data");
	text(p, sizeof(p), "{\"name\":\"t\",\"redundancy\":\"1+0\",\"domain\":"
			   "\"disk\",\"force\":true,\"disks\":[\"%s\"]}",
	     w->disk[0]);
	r = must(w, "pool.create", p);
	assert_int_equal(json_array_size(json_object_get(r, "warnings")), 1);
	json_decref(r);
}

static void test_missing_disk(void **state)
{
	struct world *w = *state;
	char          hidden[128];

	tarnd_start(w);
	tank_create(w, "2+1", 3);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	text(hidden, sizeof(hidden), "%s.away", w->disk[1]);
	assert_int_equal(rename(w->disk[1], hidden), 0);
	tarnd_start(w);
	tank_wait_state(w, "degraded");
	must_do(w, "volume.create", "{\"name\":\"u\",\"size\":1048576}");
	/* It turns up again, and is taken back without being asked for. */
	assert_int_equal(rename(hidden, w->disk[1]), 0);
	tank_wait_disks(w, 3);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	/* With too few, it says so, and opens when they are back. */
	assert_int_equal(rename(w->disk[1], hidden), 0);
	text(hidden, sizeof(hidden), "%s.away", w->disk[2]);
	assert_int_equal(rename(w->disk[2], hidden), 0);
	tarnd_start(w);
	tank_wait_state(w, "waiting");
	refused(w, "volume.list", "{}", "ENODEV", "not open yet");
	refused(w, "pool.import", "{\"name\":\"tank\"}", "EAGAIN",
		"bring them back");
	assert_int_equal(rename(hidden, w->disk[2]), 0);
	tank_wait_state(w, "degraded");
}

/* Attach to volume v. */
static struct nbd_handle *attach(const struct world *w)
{
	struct nbd_handle *nbd = nbd_create();
	char path[100];

	assert_non_null(nbd);
	text(path, sizeof(path), "%s/nbd", w->dir);
	nbd_set_export_name(nbd, "v");
	if (nbd_connect_unix(nbd, path) == 0)
		return nbd;
	nbd_close(nbd);
	return NULL;
}

static void test_in_use(void **state)
{
	struct world      *w = *state;
	struct nbd_handle *nbd;
	char               buf[4096];
	json_t            *r;

	tarnd_start(w);
	tank_create(w, "1+1", 2);
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	nbd = attach(w);
	assert_non_null(nbd);
	memset(buf, 'x', sizeof(buf));
	assert_int_equal(nbd_pwrite(nbd, buf, sizeof(buf), 0, 0), 0);
	r = must(w, "volume.show", "{\"name\":\"v\"}");
	assert_int_equal(json_integer_value(json_object_get(r, "clients")), 1);
	json_decref(r);
	refused(w, "volume.delete", "{\"name\":\"v\"}", "EBUSY", "use");
	refused(w, "pool.export", "{}", "EBUSY", "--force");
	/* Cut off by force; the pool is closed and can be opened again. */
	must_do(w, "pool.export", "{\"force\":true}");
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), -1);
	nbd_close(nbd);
	assert_null(attach(w));
	must_do(w, "pool.import", "{}");
	nbd = attach(w);
	assert_non_null(nbd);
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), 0);
	assert_int_equal(buf[4095], 'x');
	must_do(w, "volume.delete", "{\"name\":\"v\",\"force\":true}");
	assert_int_equal(nbd_pread(nbd, buf, sizeof(buf), 0, 0), -1);
	nbd_close(nbd);
	/* A client that is attached does not hold up the end. */
	must_do(w, "volume.create", "{\"name\":\"v\",\"size\":1048576}");
	nbd = attach(w);
	assert_non_null(nbd);
	assert_int_equal(tarnd_stop(w, SIGTERM), 0);
	nbd_close(nbd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		T(test_life),         T(test_restart),
		T(test_refusals),     T(test_foreign_data),
		T(test_missing_disk), T(test_in_use),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
