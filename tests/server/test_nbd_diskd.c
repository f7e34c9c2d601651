/* tests/server/test_nbd_diskd.c - the program tarn-diskd: its command line,
 * and that what clients do arrives in the files.
 *
 * The program is looked for in $BUILD, or two folders above this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <libnbd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "tests/lib/work_dir.h"

#define MB   (1u << 20)
#define ARGS 20
/* 60 s, so that a broken server ends the test. */
#define CONNECT_TRIES 1200u

static char program[600];
static char dir[200];

/* --- running it --------------------------------------------------------- */

struct diskd {
	pid_t pid;
	int   err;        /* its standard error */
	char  out[4096];  /* what it said there */
	char  sock[300];
	char  uri[400];
};

/* Start with these arguments (NULL at the end); "@X" means file X in dir. */
static void start(struct diskd *d, const char *const *args)
{
	static char text[ARGS][400];
	char       *argv[ARGS + 2] = { program };
	int         p[2];
	unsigned    n = 0;

	memset(d, 0, sizeof(*d));
	for (; args[n] != NULL && n < ARGS; n++) {
		const char *at = strchr(args[n], '@');

		if (at == NULL)
			snprintf(text[n], sizeof(text[n]), "%s", args[n]);
		else
			snprintf(text[n], sizeof(text[n]), "%.*s%s/%s",
				 (int)(at - args[n]), args[n], dir, at + 1);
		argv[n + 1] = text[n];
	}
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	d->pid = fork();
	assert_true(d->pid >= 0);
	if (d->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(p[1], 1);
		dup2(p[1], 2);
		execv(program, argv);
		_exit(126);
	}
	close(p[1]);
	d->err = p[0];
	snprintf(d->sock, sizeof(d->sock), "%s/sock", dir);
}

/* Its exit status, and in d->out what it said. */
static int finish(struct diskd *d)
{
	size_t  len = 0;
	ssize_t n;
	int     st;

	while ((n = read(d->err, d->out + len, sizeof(d->out) - 1 - len)) > 0)
		len += (size_t)n;
	d->out[len] = 0;
	close(d->err);
	assert_int_equal(waitpid(d->pid, &st, 0), d->pid);
	if (!WIFEXITED(st))
		fail_msg("it ended with %#x: %s", st, d->out);
	return WEXITSTATUS(st);
}

/* Run it to its end: it must exit with `status` and say `text`. */
static void expect(int status, const char *text, const char *const *args)
{
	struct diskd d;
	int          r;

	start(&d, args);
	r = finish(&d);
	if (r != status || strstr(d.out, text) == NULL)
		fail_msg("exit %d, expected %d and \"%s\": %s", r, status, text,
			 d.out);
}

#define EXPECT(status, text, ...) \
	expect(status, text, (const char *const[]){ __VA_ARGS__, NULL })

static void stop(struct diskd *d, int sig)
{
	int r;

	kill(d->pid, sig);
	r = finish(d);
	if (r != 0 || d->out[0] != 0)
		fail_msg("exit %d: %s", r, d->out);
}

static struct nbd_handle *client(struct diskd *d, const char *name)
{
	snprintf(d->uri, sizeof(d->uri), "nbd+unix:///%s?socket=%s", name,
		 d->sock);
	for (unsigned i = 0; i < CONNECT_TRIES; i++) {
		struct nbd_handle *h = nbd_create();

		assert_int_equal(nbd_add_meta_context(h, "base:allocation"), 0);
		if (nbd_connect_uri(h, d->uri) == 0)
			return h;
		nbd_close(h);
		usleep(50000);
	}
	fail_msg("cannot connect: %s", nbd_get_error());
	return NULL;
}

static void ok(int r)
{
	if (r < 0)
		fail_msg("%s", nbd_get_error());
}

static void bye(struct nbd_handle *h)
{
	ok(nbd_shutdown(h, 0));
	nbd_close(h);
}

static void make_file(const char *name, uint64_t size)
{
	char path[300];
	int  fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

static int open_file(const char *name)
{
	char path[300];
	int  fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

/* --- command line ------------------------------------------------------- */

static void test_usage(void **state)
{
	(void)state;
	make_file("u1", MB);
	EXPECT(0, "Usage: tarn-diskd", "--help");
	EXPECT(0, "tarn-diskd ", "--version");
	EXPECT(2, "no FILE to export", "--listen", "unix:@sock");
	EXPECT(2, "nowhere to listen", "@u1");
	EXPECT(2, "--help", "@u1", "--nonsense");
	EXPECT(2, "--help", "@u1", "--listen");
	EXPECT(2, "is no address", "@u1", "--listen", "here");
	EXPECT(2, "is no address", "@u1", "--listen", "127.0.0.1:99999");
	EXPECT(2, "lacks a path", "@u1", "--listen", "unix:");
	EXPECT(2, "--insecure", "@u1", "--listen", "0.0.0.0:39870");
	EXPECT(2, "--insecure", "@u1", "--listen", "[::]:39870");
	EXPECT(2, "2 names for 1 files", "@u1", "--listen", "unix:@sock",
	       "--name", "a", "--name", "b");
}

static void test_bad_files(void **state)
{
	char longer[300];

	(void)state;
	make_file("b1", MB);
	snprintf(longer, sizeof(longer), "%s/sub", dir);
	assert_int_equal(mkdir(longer, 0700), 0);
	EXPECT(1, "No such file", "@none", "--listen", "unix:@sock");
	EXPECT(1, "Is a directory", "@sub", "--listen", "unix:@sock");
	EXPECT(1, "neither a file nor", "/dev/null", "--listen", "unix:@sock");
	EXPECT(1, "two exports would be named", "@b1", "@b1", "--listen",
	       "unix:@sock");
	EXPECT(1, "is in use", "@b1", "@b1", "--name", "x", "--listen",
	       "unix:@sock");
	EXPECT(1, "must have 1 to 255 bytes", "@b1", "--name", "", "--listen",
	       "unix:@sock");
	memset(longer, 'n', 256);
	longer[256] = 0;
	EXPECT(1, "must have 1 to 255 bytes", "@b1", "--name", longer,
	       "--listen", "unix:@sock");
	EXPECT(1, "cannot listen", "@b1", "--listen", "unix:/nowhere/at/all");
}

static void test_lock(void **state)
{
	const char *const args[] = { "@l1", "--listen", "unix:@sock", NULL };
	const char *const ro[] = { "@l1", "--read-only", "--listen",
				   "unix:@sock", NULL };
	struct diskd      d;

	(void)state;
	make_file("l1", MB);
	start(&d, args);
	bye(client(&d, ""));
	EXPECT(1, "in use by another", "@l1", "--listen", "unix:@sock2");
	EXPECT(1, "in use by another", "@l1", "--read-only", "--listen",
	       "unix:@sock2");
	stop(&d, SIGTERM);
	start(&d, ro);
	bye(client(&d, ""));
	EXPECT(1, "in use by another", "@l1", "--listen", "unix:@sock2");
	/* The same socket: taken as well. */
	make_file("l2", MB);
	EXPECT(1, "another program listens", "@l2", "--listen", "unix:@sock");
	stop(&d, SIGINT);
	assert_int_equal(access(d.sock, F_OK), -1);
}

/* --- what it serves ----------------------------------------------------- */

static void test_names(void **state)
{
	const char *const args[] = { "@n1", "@n2", "@n3", "--name", "first",
				     "--listen", "unix:@sock", "--name",
				     "a/b c", "--listen", "unix:@other", NULL };
	struct diskd       d;
	struct nbd_handle *h;

	(void)state;
	make_file("n1", MB);
	make_file("n2", 2 * MB);
	make_file("n3", 3 * MB);
	start(&d, args);
	h = client(&d, "");
	assert_int_equal(nbd_get_size(h), MB);
	bye(h);
	h = client(&d, "first");
	assert_int_equal(nbd_get_size(h), MB);
	bye(h);
	h = client(&d, "a/b%20c");
	assert_int_equal(nbd_get_size(h), 2 * MB);
	bye(h);
	snprintf(d.sock, sizeof(d.sock), "%s/other", dir);
	h = client(&d, "n3");
	assert_int_equal(nbd_get_size(h), 3 * MB);
	bye(h);
	stop(&d, SIGTERM);
}

static int count_fn(void *arg, const char *ctx, uint64_t off,
		    uint32_t *entries, size_t n, int *error)
{
	uint64_t *data = arg;

	(void)ctx;
	(void)off;
	(void)error;
	for (size_t i = 0; i + 1 < n; i += 2)
		data[entries[i + 1] != 0] += entries[i];
	return 0;
}

/* Bytes of data and of holes. */
static void count(struct nbd_handle *h, uint64_t *ret)
{
	ret[0] = ret[1] = 0;
	ok(nbd_block_status(h, (uint64_t)nbd_get_size(h), 0,
			    (nbd_extent_callback){ .callback = count_fn,
						   .user_data = ret },
			    0));
}

static void test_data(void **state)
{
	const char *const  args[] = { "@d1", "--listen", "unix:@sock", NULL };
	uint64_t           size = 20 * MB + 777;
	struct diskd       d;
	struct nbd_handle *h;
	static uint8_t     a[5 * MB], b[5 * MB];
	uint64_t           c[2];
	int                fd;

	(void)state;
	make_file("d1", size);
	fd = open_file("d1");
	start(&d, args);
	h = client(&d, "d1");
	assert_true(nbd_get_size(h) == (int64_t)size);
	assert_int_equal(nbd_can_multi_conn(h), 1);
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 13 + i / 1000);
	/* Small and large, aligned and not, with and without FUA. */
	ok(nbd_pwrite(h, a, 4096, 0, 0));
	ok(nbd_pwrite(h, a + 1, 3, 4095, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_pwrite(h, a, sizeof(a), 10 * MB + 1, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_pwrite(h, a, 777, size - 777, 0));
	ok(nbd_flush(h, 0));
	assert_int_equal(pread(fd, b, 4095, 0), 4095);
	assert_memory_equal(a, b, 4095);
	assert_int_equal(pread(fd, b, 3, 4095), 3);
	assert_memory_equal(a + 1, b, 3);
	assert_int_equal(pread(fd, b, sizeof(b), 10 * MB + 1), sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
	memset(b, 1, sizeof(b));
	ok(nbd_pread(h, b, sizeof(b), 10 * MB + 1, 0));
	assert_memory_equal(a, b, sizeof(a));
	ok(nbd_pread(h, b, 777, size - 777, 0));
	assert_memory_equal(a, b, 777);
	assert_int_equal(nbd_pread(h, b, 778, size - 777, 0), -1);
	count(h, c);
	assert_true(c[0] + c[1] == size && c[1] > 10 * MB);

	/* Zeros of every sort. */
	ok(nbd_zero(h, 4096, 10 * MB + 4096, 0));
	ok(nbd_zero(h, 5000, 11 * MB + 3, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_zero(h, MB + 5, 12 * MB + 3, LIBNBD_CMD_FLAG_NO_HOLE));
	ok(nbd_trim(h, MB, 14 * MB, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_trim(h, 1, 14 * MB + 1, 0));
	ok(nbd_pread(h, b, sizeof(b), 10 * MB + 1, 0));
	memset(a + 4095, 0, 4096);
	memset(a + MB + 2, 0, 5000);
	memset(a + 2 * MB + 2, 0, MB + 5);
	assert_memory_equal(a, b, 4 * MB - 2);
	bye(h);
	stop(&d, SIGTERM);
	close(fd);
}

static void test_read_only(void **state)
{
	const char *const  args[] = { "@r1", "--listen", "unix:@sock",
				      "--read-only", NULL };
	struct diskd       d;
	struct nbd_handle *h;
	uint8_t            b[512];

	(void)state;
	make_file("r1", MB);
	start(&d, args);
	h = client(&d, "");
	assert_int_equal(nbd_is_read_only(h), 1);
	ok(nbd_pread(h, b, sizeof(b), 0, 0));
	ok(nbd_set_strict_mode(h, 0));
	assert_int_equal(nbd_pwrite(h, b, sizeof(b), 0, 0), -1);
	assert_int_equal(nbd_get_errno(), EPERM);
	assert_int_equal(nbd_zero(h, 512, 0, 0), -1);
	assert_int_equal(nbd_trim(h, 512, 0, 0), -1);
	bye(h);
	stop(&d, SIGTERM);
}

/* Made shorter behind our back: an error, nothing worse. */
static void test_shrunk(void **state)
{
	const char *const  args[] = { "@s1", "--listen", "unix:@sock", NULL };
	struct diskd       d;
	struct nbd_handle *h;
	uint8_t            b[8192];
	int                fd;

	(void)state;
	make_file("s1", MB);
	start(&d, args);
	h = client(&d, "");
	fd = open_file("s1");
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(nbd_pread(h, b, 8192, 0, 0), -1);
	assert_int_equal(nbd_get_errno(), EIO);
	ok(nbd_pread(h, b, 100, 0, 0));
	bye(h);
	close(fd);
	stop(&d, SIGTERM);
}

/* Stopped with requests in flight: those that it took are carried out. */
static void test_stop_busy(void **state)
{
	const char *const  args[] = { "@t1", "--listen", "unix:@sock", NULL };
	struct diskd       d;
	struct nbd_handle *h;
	static uint8_t     b[64][65536];

	(void)state;
	make_file("t1", 16 * MB);
	for (unsigned round = 0; round < 10; round++) {
		start(&d, args);
		h = client(&d, "");
		for (unsigned i = 0; i < 64; i++) {
			memset(b[i], (int)i, sizeof(b[i]));
			if (nbd_aio_pwrite(h, b[i], sizeof(b[i]), i * 65536,
					   NBD_NULL_COMPLETION, 0) < 0)
				break;
			if (i == round * 6)
				kill(d.pid, SIGTERM);
		}
		while (nbd_aio_in_flight(h) > 0 && nbd_poll(h, 20000) >= 0)
			;
		nbd_close(h);
		stop(&d, SIGTERM);
	}
}

/* --- running the tests -------------------------------------------------- */

static void find_program(char *self)
{
	const char *build = getenv("BUILD");

	if (build != NULL)
		snprintf(program, sizeof(program), "%s/tarn-diskd", build);
	else
		snprintf(program, sizeof(program), "%s/../../tarn-diskd",
			 dirname(self));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_lock),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_data),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_shrunk),
		cmocka_unit_test(test_stop_busy),
	};
	int r;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	find_program(argv[0]);
	if (access(program, X_OK) != 0) {
		fprintf(stderr, "%s was not built\n", program);
		return 77;
	}
	if (work_dir_make(dir, sizeof(dir)) != 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)work_dir_remove(dir);
	return r;
}
