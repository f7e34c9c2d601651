/* tests/server/test_disk_file.c - disks that are files: contents, limits,
 * locks, and files that change underneath.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "disk_kit.h"

#define SIZE	 (8u << 20)
#define REQUESTS 200u

static char path[128];

static int make_file(void **state)
{
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", kit_dir());
	unlink(path);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	return 0;
}

static void test_contents(void **state)
{
	struct rig r;
	char	  *out = rig_buf(1 << 20);
	char	  *in = rig_buf(1 << 20);

	(void)state;
	rig_open(&r, path, NULL);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->size_bytes, SIZE);
	assert_string_equal(r.disk->host, "local");
	assert_true(r.disk->can_flush);
	memset(out, 0x5a, 1 << 20);
	assert_int_equal(rig_do(&r, DISK_WRITE, 4096, 1 << 20, out), 0);
	assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(rig_do(&r, DISK_READ, 4096, 1 << 20, in), 0);
	assert_memory_equal(in, out, 1 << 20);
	assert_int_equal(rig_do(&r, DISK_TRIM, 8192, 8192, NULL), 0);
	assert_int_equal(rig_do(&r, DISK_READ, SIZE - 4096, 4096, in), 0);
	assert_int_equal(in[0], 0);
	rig_close(&r);
	free(out);
	free(in);
}

static void test_many(void **state)
{
	struct rig	r;
	struct rig_req *q = calloc(REQUESTS, sizeof(*q));
	char	       *buf = rig_buf(REQUESTS * 4096);
	char	       *in = rig_buf(REQUESTS * 4096);

	(void)state;
	rig_open(&r, path, NULL);
	rig_wait_ups(&r, 1);
	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(buf + i * 4096, (int)i, 4096);
		rig_submit(&r, &q[i], DISK_WRITE, i * 4096, 4096,
			   buf + i * 4096);
	}
	assert_int_equal(r.disk->inflight, REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(&r, &q[i]), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		rig_submit(&r, &q[i], DISK_READ, i * 4096, 4096,
			   in + i * 4096);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(&r, &q[i]), 0);
	assert_memory_equal(in, buf, REQUESTS * 4096);
	assert_int_equal(r.disk->inflight, 0);
	rig_close(&r);
	free(q);
	free(buf);
	free(in);
}

static void test_ranges(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(8192);

	(void)state;
	rig_open(&r, path, NULL);
	/* Not up yet. */
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), -ENOTCONN);
	rig_wait_ups(&r, 1);
	assert_int_equal(rig_do(&r, DISK_READ, SIZE, 4096, buf), -EINVAL);
	assert_int_equal(rig_do(&r, DISK_READ, SIZE - 4096, 8192, buf),
			 -EINVAL);
	assert_int_equal(rig_do(&r, DISK_WRITE, UINT64_MAX - 4095, 4096, buf),
			 -EINVAL);
	assert_int_equal(rig_do(&r, DISK_TRIM, 0, 0, NULL), -EINVAL);
	assert_int_equal(rig_do(&r, DISK_READ, SIZE - 4096, 4096, buf), 0);
	rig_close(&r);
	free(buf);
}

static void test_read_only(void **state)
{
	struct disk_params params = { .read_only = true };
	struct rig	   r;
	char		  *buf = rig_buf(4096);

	(void)state;
	rig_open(&r, path, &params);
	rig_wait_ups(&r, 1);
	assert_true(r.disk->read_only);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), -EROFS);
	assert_int_equal(rig_do(&r, DISK_TRIM, 0, 4096, NULL), -EROFS);
	rig_close(&r);
	free(buf);
}

/* Two users of one file: the second waits, and says why. */
static void test_lock(void **state)
{
	struct disk_params ro = { .read_only = true };
	struct rig	   r;
	int		   fd = open(path, O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(flock(fd, LOCK_SH), 0);
	rig_open(&r, path, NULL);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -EBUSY);
	assert_non_null(strstr(r.disk->error_text, "locked"));
	/* It comes up by itself, once. */
	close(fd);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.downs, 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	rig_close(&r);

	/* Readers share. */
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
	rig_open(&r, path, &ro);
	rig_wait_ups(&r, 1);
	rig_close(&r);
	close(fd);
}

static void test_shrunk(void **state)
{
	struct rig r;
	char	  *buf = rig_buf(8192);

	(void)state;
	rig_open(&r, path, NULL);
	rig_wait_ups(&r, 1);
	assert_int_equal(truncate(path, SIZE / 2 + 4096), 0);
	assert_int_equal(rig_do(&r, DISK_READ, SIZE - 4096, 4096, buf), -EIO);
	/* Half of it is there: no short result. */
	assert_int_equal(rig_do(&r, DISK_READ, SIZE / 2, 8192, buf), -EIO);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	assert_true(r.disk->up);
	rig_close(&r);
	free(buf);
}

static void expect_refusal(const char *place, int error)
{
	struct rig r;

	rig_open(&r, place, NULL);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, error);
	rig_close(&r);
}

static void test_refused(void **state)
{
	char place[160];
	int  fd;

	(void)state;
	expect_refusal(kit_dir(), -EINVAL); /* a directory */
	expect_refusal("/dev/null", -EINVAL);
	snprintf(place, sizeof(place), "%s/none", kit_dir());
	expect_refusal(place, -ENOENT);
	snprintf(place, sizeof(place), "%s/fifo", kit_dir());
	assert_int_equal(mkfifo(place, 0600), 0);
	expect_refusal(place, -EINVAL);
	snprintf(place, sizeof(place), "%s/small", kit_dir());
	fd = open(place, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4095), 0);
	close(fd);
	expect_refusal(place, -EINVAL);
}

/* A file that appears later, and one that grows while it is away. */
static void test_appears(void **state)
{
	struct rig r;
	char	   place[160];
	int	   fd;

	(void)state;
	snprintf(place, sizeof(place), "%s/later", kit_dir());
	rig_open(&r, place, NULL);
	rig_wait_downs(&r, 1);
	fd = open(place, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 4096 + 17), 0);
	close(fd);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->size_bytes, 4096 + 17);
	assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), 0);
	rig_close(&r);
}

static void test_close_with_requests(void **state)
{
	struct rig	r;
	struct rig_req *q = calloc(REQUESTS, sizeof(*q));
	char	       *buf = rig_buf(REQUESTS * 4096);

	(void)state;
	rig_open(&r, path, NULL);
	rig_wait_ups(&r, 1);
	for (unsigned i = 0; i < REQUESTS; i++)
		rig_submit(&r, &q[i], DISK_READ, i * 4096, 4096,
			   buf + i * 4096);
	rig_close(&r);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(q[i].done, 1);
	free(q);
	free(buf);

	/* Closed before it was ever opened. */
	rig_open(&r, path, NULL);
	rig_close(&r);
	assert_int_equal(r.ups + r.downs, 0);
}

static void no_event(struct disk *d, enum disk_event ev, void *arg)
{
	(void)d;
	(void)ev;
	(void)arg;
	fail();
}

static void test_bad_places(void **state)
{
	static const char *const bads[] = {
		"", "http://x/", "nbd+ssh://-oProxyCommand=x/y", "somehost",
		"nbd://:1/", "nbd+unix:///x",
	};
	struct disk *d = NULL;
	struct io   *io;
	char	     err[200];

	(void)state;
	assert_int_equal(io_uring_engine_open(8, &io), 0);
	for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
		err[0] = '\0';
		assert_int_equal(disk_open(io, bads[i], NULL, no_event, NULL,
					   &d, err),
				 -EINVAL);
		assert_null(d);
		assert_true(strlen(err) > 10);
	}
	io_uring_engine_close(io);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup(f, make_file)
	const struct CMUnitTest tests[] = {
		T(test_contents),  T(test_many),
		T(test_ranges),	   T(test_read_only),
		T(test_lock),	   T(test_shrunk),
		T(test_refused),   T(test_appears),
		T(test_bad_places), T(test_close_with_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
