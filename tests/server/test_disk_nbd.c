/* tests/server/test_disk_nbd.c - disks behind real NBD servers: nbdkit,
 * qemu-nbd, nbd-server, tarn-diskd, over unix sockets and TCP; and what happens
 * when those die, stop, come back different, or answer with errors.
 *
 * tarn-diskd is looked for in $BUILD, or two folders above this program.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/prng.h"
#include "disk_kit.h"
#include "io/disk_nbd.h"

#define SIZE	 (64u << 20)
#define REQUESTS 300u

/* exercise_mixed(): so many requests at a time, each in a region of its own. */
#define MIXED	     24u
#define MIXED_BYTES  (2u << 20)
#define MIXED_ROUNDS 12u

static char sock[128];  /* of the server */
static char place[200]; /* of its default export */

/* nbdkit with these arguments behind -U. */
static pid_t start_nbdkit(const char *const *args)
{
	const char *argv[32] = { "nbdkit", "-f", "-U", sock };
	unsigned    n = 4;
	pid_t	    pid;

	unlink(sock);
	for (; *args != NULL; args++)
		argv[n++] = *args;
	pid = kit_spawn(argv);
	kit_wait_socket(sock);
	return pid;
}

#define NBDKIT(...) start_nbdkit((const char *const[]){ __VA_ARGS__, NULL })

static int setup(void **state)
{
	(void)state;
	snprintf(sock, sizeof(sock), "%s/sock", kit_dir());
	snprintf(place, sizeof(place), "nbd+unix:///?socket=%s", sock);
	return 0;
}

/* A disk of SIZE bytes in a file. */
static void make_file(char *path, size_t len, const char *name)
{
	int fd;

	snprintf(path, len, "%s/%s", kit_dir(), name);
	fd = open(path, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
}

/* Requests of all sizes, many in flight; in each region of the disk now a
 * write, now a read, which must find what was written there. */
static void exercise_mixed(struct rig *r)
{
	struct rig_req *q = calloc(MIXED, sizeof(*q));
	char	       *out = rig_buf(MIXED * MIXED_BYTES);
	char	       *in = rig_buf(MIXED * MIXED_BYTES);
	struct prng	prng;

	assert_true(r->disk->size_bytes >= MIXED * MIXED_BYTES);
	prng_init(&prng, 4096);
	for (uint32_t i = 0; i < MIXED * MIXED_BYTES; i++)
		out[i] = (char)(i * 2654435761u >> 24);
	for (unsigned i = 0; i < MIXED; i++)
		rig_submit(r, &q[i], DISK_WRITE, (uint64_t)i * MIXED_BYTES,
			   MIXED_BYTES, out + (size_t)i * MIXED_BYTES);
	for (unsigned i = 0; i < MIXED; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	for (unsigned n = 0; n < MIXED * MIXED_ROUNDS; n++) {
		unsigned i = n % MIXED;
		uint32_t len = (uint32_t)(1 + prng_below(&prng, 64)) * 4096;
		uint32_t skew = (uint32_t)prng_below(&prng, 64) * 4096;
		size_t	 at = (size_t)i * MIXED_BYTES + skew;

		if (n >= MIXED)
			assert_int_equal(rig_wait(r, &q[i]), 0);
		if (prng_below(&prng, 4) == 0)
			len = MIXED_BYTES - skew;
		if (prng_below(&prng, 3) == 0) {
			memset(out + at, (int)n, len);
			rig_submit(r, &q[i], DISK_WRITE, at, len, out + at);
		} else {
			rig_submit(r, &q[i], DISK_READ, at, len, in + at);
		}
	}
	for (unsigned i = 0; i < MIXED; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	for (unsigned i = 0; i < MIXED; i++)
		rig_submit(r, &q[i], DISK_READ, (uint64_t)i * MIXED_BYTES,
			   MIXED_BYTES, in + (size_t)i * MIXED_BYTES);
	for (unsigned i = 0; i < MIXED; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	assert_memory_equal(in, out, MIXED * MIXED_BYTES);
	free(q);
	free(out);
	free(in);
}

/* Write, flush, read back, trim, all over the disk. */
static void exercise(struct rig *r)
{
	struct rig_req *q = calloc(REQUESTS, sizeof(*q));
	char	       *out = rig_buf(REQUESTS * 4096);
	char	       *in = rig_buf(REQUESTS * 4096);
	uint64_t	step = r->disk->size_bytes / REQUESTS & ~4095ull;

	for (unsigned i = 0; i < REQUESTS; i++) {
		memset(out + i * 4096, (int)(i + 1), 4096);
		rig_submit(r, &q[i], DISK_WRITE, i * step, 4096,
			   out + i * 4096);
	}
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	assert_int_equal(rig_do(r, DISK_FLUSH, 0, 0, NULL), 0);
	for (unsigned i = 0; i < REQUESTS; i++)
		rig_submit(r, &q[i], DISK_READ, i * step, 4096,
			   in + i * 4096);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig_wait(r, &q[i]), 0);
	assert_memory_equal(in, out, REQUESTS * 4096);
	assert_int_equal(rig_do(r, DISK_TRIM, 0, 1 << 20, NULL), 0);
	assert_int_equal(rig_do(r, DISK_READ, r->disk->size_bytes, 4096, in),
			 -EINVAL);
	assert_int_equal(r->disk->inflight, 0);
	free(q);
	free(out);
	free(in);
}

/* --- servers ------------------------------------------------------------ */

static void test_nbdkit(void **state)
{
	struct rig r;
	pid_t	   pid;

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("memory", "64M");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->size_bytes, SIZE);
	assert_int_equal(r.disk->lanes, 2); /* it can multi-conn */
	assert_true(r.disk->can_flush && r.disk->can_trim);
	assert_string_equal(r.disk->host, "local");
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
	kit_kill(pid);
}

static void test_lanes(void **state)
{
	struct disk_params params = { .lanes = 1 };
	struct rig	   r;
	pid_t		   pid;

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("memory", "64M");
	for (unsigned lanes = 1; lanes <= 5; lanes += 2) {
		params.lanes = lanes;
		rig_open(&r, place, &params);
		rig_wait_ups(&r, 1);
		assert_int_equal(r.disk->lanes, lanes);
		exercise(&r);
		rig_close(&r);
	}
	kit_kill(pid);

	/* A server that does not promise it gets one connection. */
	pid = NBDKIT("--filter=multi-conn", "memory", "64M",
		     "multi-conn-mode=disable");
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->lanes, 1);
	exercise(&r);
	rig_close(&r);
	kit_kill(pid);

	/* One that promises it, but takes one client only. */
	pid = NBDKIT("--filter=limit", "memory", "64M", "limit=1");
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->lanes, 1);
	exercise(&r);
	rig_close(&r);
	kit_kill(pid);
}

/* Requests larger than the server takes at once, and odd sizes. */
static void test_block_sizes(void **state)
{
	struct rig r;
	pid_t	   pid;
	uint32_t   len = (256u << 10) + 4096;
	char	  *out = rig_buf(len);
	char	  *in = rig_buf(len);

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("--filter=blocksize-policy", "memory", "1000001",
		     "blocksize-minimum=1", "blocksize-preferred=4096",
		     "blocksize-maximum=64K",
		     "blocksize-error-policy=error");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_int_equal(r.disk->size_bytes, 1000001);
	for (uint32_t i = 0; i < len; i++)
		out[i] = (char)(i * 2654435761u >> 24);
	assert_int_equal(rig_do(&r, DISK_WRITE, 4096, len, out), 0);
	assert_int_equal(rig_do(&r, DISK_READ, 4096, len, in), 0);
	assert_memory_equal(in, out, len);
	/* Its tail is no whole block. */
	assert_int_equal(rig_do(&r, DISK_READ, 999424, 4096, in), -EINVAL);
	rig_close(&r);
	kit_kill(pid);

	pid = NBDKIT("--filter=blocksize-policy", "memory", "64M",
		     "blocksize-minimum=8192", "blocksize-preferred=8192",
		     "blocksize-maximum=64K");
	rig_open(&r, place, NULL);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -EINVAL);
	assert_non_null(strstr(r.disk->error_text, "8192"));
	rig_close(&r);
	kit_kill(pid);
	free(out);
	free(in);
}

static void test_what_it_cannot(void **state)
{
	struct rig r;
	pid_t	   pid;
	char	  *buf = rig_buf(4096);

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("-r", "memory", "64M");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_true(r.disk->read_only);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), -EROFS);
	rig_close(&r);
	kit_kill(pid);

	pid = NBDKIT("eval", "get_size=echo 64M",
		     "pread=dd if=/dev/zero count=$3 iflag=count_bytes",
		     "can_write=exit 0", "pwrite=cat > /dev/null");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_false(r.disk->can_flush);
	assert_false(r.disk->can_trim);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), 0);
	assert_int_equal(rig_do(&r, DISK_TRIM, 0, 4096, NULL), 0);
	rig_close(&r);
	kit_kill(pid);
	free(buf);
}

/* qemu-nbd, which stays when its clients go and has one export of this name. */
static pid_t start_qemu_nbd(const char *name)
{
	const char *argv[] = { "qemu-nbd", "-f", "raw", "-t", "-e", "8",
			       "-x", name, "-k", sock, "--discard=unmap",
			       NULL, NULL };
	char  file[160];
	pid_t pid;

	make_file(file, sizeof(file), "qemu.img");
	unlink(sock);
	argv[11] = file;
	pid = kit_spawn(argv);
	kit_wait_socket(sock);
	return pid;
}

static void test_qemu_nbd(void **state)
{
	struct rig r;
	pid_t	   pid;

	(void)state;
	kit_need("qemu-nbd");
	pid = start_qemu_nbd("disk one");

	/* It has no default export. */
	rig_open(&r, place, NULL);
	rig_wait_downs(&r, 1);
	rig_close(&r);
	snprintf(place, sizeof(place), "nbd+unix:///disk%%20one?socket=%s",
		 sock);
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
	kit_kill(pid);
}

static void test_nbd_server(void **state)
{
	const char *argv[] = { "nbd-server", "-C", NULL, "-p", NULL, NULL };
	char	    config[160];
	char	    file[160];
	char	    pid_file[160];
	struct rig  r;
	int	    pid = 0;
	unsigned    port = kit_free_port();
	FILE	   *f;

	(void)state;
	kit_need("nbd-server");
	snprintf(config, sizeof(config), "%s/nbd.conf", kit_dir());
	make_file(file, sizeof(file), "nbd.img");
	f = fopen(config, "w");
	fprintf(f,
		"[generic]\n listenaddr = 127.0.0.1\n port = %u\n"
		" allowlist = true\n"
		"[disk]\n exportname = %s\n flush = true\n trim = true\n",
		port, file);
	fclose(f);
	snprintf(pid_file, sizeof(pid_file), "%s/nbd.pid", kit_dir());
	argv[2] = config;
	argv[4] = pid_file;
	kit_spawn(argv); /* it goes into the background */
	kit_wait_port(port);
	f = fopen(pid_file, "r");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &pid), 1);
	fclose(f);
	kit_adopt(pid);
	snprintf(place, sizeof(place), "nbd://127.0.0.1:%u/disk", port);
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
	kit_kill(pid);
}

/* What libnbd does with TLS, without it. */
static void test_through_libnbd(void **state)
{
	struct rig r;
	pid_t	   pid;

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("memory", "64M");
	rig_open(&r, place, NULL);
	nbd_disk_of(r.disk)->through_libnbd = true;
	rig_wait_ups(&r, 1);
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
	kit_kill(pid);
}

/* The server that is to listen on this port. */
static void exercise_port(unsigned port, const char *export)
{
	struct rig r;

	kit_wait_port(port);
	snprintf(place, sizeof(place), "nbd://127.0.0.1:%u/%s", port, export);
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_string_equal(r.disk->host, "127.0.0.1");
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
}

static void test_tcp(void **state)
{
	unsigned    port = kit_free_port();
	char	    text[16];
	char	    file[160];
	const char *nbdkit[] = { "nbdkit", "-f",   "-i",     "127.0.0.1", "-p",
				 text,	   "memory", "64M", NULL };
	const char *qemu[] = { "qemu-nbd", "-f", "raw", "-t", "-e", "8",
			       "-x", "d", "-b", "127.0.0.1", "-p", text,
			       file, NULL };
	pid_t	    pid;

	(void)state;
	kit_need("nbdkit");
	kit_need("qemu-nbd");
	snprintf(text, sizeof(text), "%u", port);
	pid = kit_spawn(nbdkit);
	exercise_port(port, "");
	kit_kill(pid);

	make_file(file, sizeof(file), "tcp.img");
	port = kit_free_port();
	snprintf(text, sizeof(text), "%u", port);
	pid = kit_spawn(qemu);
	exercise_port(port, "d");
	kit_kill(pid);
}

static char diskd[600]; /* where tarn-diskd is */

static void find_diskd(const char *self)
{
	const char *build = getenv("BUILD");
	char	    path[500];

	snprintf(path, sizeof(path), "%s", self);
	if (build != NULL)
		snprintf(diskd, sizeof(diskd), "%s/tarn-diskd", build);
	else
		snprintf(diskd, sizeof(diskd), "%s/../../tarn-diskd",
			 dirname(path));
}

static void test_diskd(void **state)
{
	unsigned    port = kit_free_port();
	char	    file[160];
	char	    unix_listen[160];
	char	    tcp_listen[160];
	const char *argv[] = { diskd, file, "--name", "d",
			       "--listen", unix_listen, NULL };
	struct rig  r;
	pid_t	    pid;

	(void)state;
	make_file(file, sizeof(file), "diskd.img");
	snprintf(unix_listen, sizeof(unix_listen), "unix:%s", sock);
	snprintf(tcp_listen, sizeof(tcp_listen), "127.0.0.1:%u", port);
	unlink(sock);
	pid = kit_spawn(argv);
	kit_wait_socket(sock);
	snprintf(place, sizeof(place), "nbd+unix:///d?socket=%s", sock);
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	exercise(&r);
	exercise_mixed(&r);
	rig_close(&r);
	kit_kill(pid);

	argv[5] = tcp_listen;
	pid = kit_spawn(argv);
	exercise_port(port, "d");
	kit_kill(pid);
}

/* --- trouble ------------------------------------------------------------ */

static void test_errors(void **state)
{
	struct rig r;
	pid_t	   pid;
	char	  *buf = rig_buf(4096);

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("--filter=error", "memory", "64M",
		     "error-pread=EIO", "error-pread-rate=100%",
		     "error-pwrite=ENOSPC", "error-pwrite-rate=100%",
		     "error-trim=EIO", "error-trim-rate=100%");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), -EIO);
	assert_int_equal(rig_do(&r, DISK_WRITE, 0, 4096, buf), -ENOSPC);
	assert_int_equal(rig_do(&r, DISK_TRIM, 0, 4096, buf), -EIO);
	/* Of the request alone. */
	assert_int_equal(rig_do(&r, DISK_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(r.downs, 0);
	rig_close(&r);
	kit_kill(pid);
	free(buf);
}

struct crowd {
	struct rig_req *q;
	char	       *buf;
};

static void submit_crowd(struct rig *r, struct crowd *c)
{
	c->q = calloc(REQUESTS, sizeof(*c->q));
	c->buf = rig_buf(REQUESTS * 4096);
	for (unsigned i = 0; i < REQUESTS; i++)
		rig_submit(r, &c->q[i], i % 2 ? DISK_READ : DISK_WRITE,
			   i * 4096, 4096, c->buf + i * 4096);
}

/* Each ends once; how many with an error. */
static unsigned end_crowd(struct rig *r, struct crowd *c, int error)
{
	unsigned failed = 0;

	for (unsigned i = 0; i < REQUESTS; i++) {
		int res = rig_wait(r, &c->q[i]);

		if (res == 0)
			continue;
		assert_int_equal(res, error);
		failed++;
	}
	free(c->q);
	free(c->buf);
	return failed;
}

static void test_kill_and_restart(void **state)
{
	struct rig   r;
	struct crowd c;
	pid_t	     pid;
	char	    *buf = rig_buf(4096);

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("--filter=delay", "memory", "64M", "wdelay=10");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	for (unsigned round = 1; round <= 3; round++) {
		submit_crowd(&r, &c);
		rig_turn(&r);
		kit_kill(pid);
		rig_wait_downs(&r, round);
		assert_true(end_crowd(&r, &c, -ENOTCONN) > 0);
		assert_int_equal(r.disk->inflight, 0);
		assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf),
				 -ENOTCONN);
		/* It comes back as something else. */
		if (round % 2 == 1)
			pid = NBDKIT("memory", "32M");
		else
			pid = NBDKIT("--filter=delay", "memory", "64M",
				     "wdelay=10");
		rig_wait_ups(&r, round + 1);
		assert_int_equal(r.disk->epoch, round + 1);
		assert_int_equal(r.disk->size_bytes,
				 round % 2 ? SIZE / 2 : SIZE);
		assert_int_equal(rig_do(&r, DISK_READ, 0, 4096, buf), 0);
	}
	rig_close(&r);
	kit_kill(pid);
	free(buf);
}

/* A server that is stopped: everything ends in time, the buffers are free.
 * Not nbdkit: it may not survive that all its clients leave while it is
 * stopped. */
static void test_hang(void **state)
{
	struct disk_params params = {
		.timeout_ns = NS_PER_S,
		.connect_timeout_ns = NS_PER_S,
	};
	struct rig   r;
	struct crowd c;
	pid_t	     pid;

	(void)state;
	kit_need("qemu-nbd");
	pid = start_qemu_nbd("");
	rig_open(&r, place, &params);
	rig_wait_ups(&r, 1);
	kill(pid, SIGSTOP);
	submit_crowd(&r, &c);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -ETIMEDOUT);
	assert_int_equal(end_crowd(&r, &c, -ETIMEDOUT), REQUESTS);
	/* It does not come up while the server hangs. */
	for (unsigned i = 0; i < 10; i++)
		rig_turn(&r);
	assert_int_equal(r.ups, 1);
	kill(pid, SIGCONT);
	rig_wait_ups(&r, 2);
	exercise(&r);
	rig_close(&r);
	kit_kill(pid);
}

/* Writes that fill the socket, to a server that does not read: they wait for
 * room, and go on when there is some. */
static void test_full_socket(void **state)
{
	struct rig	r;
	struct rig_req *q = calloc(64, sizeof(*q));
	char	       *buf = rig_buf(1 << 20);
	char	       *in = rig_buf(1 << 20);
	pid_t		pid;

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("memory", "64M");
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	memset(buf, 7, 1 << 20);
	kill(pid, SIGSTOP);
	for (unsigned i = 0; i < 64; i++)
		rig_submit(&r, &q[i], DISK_WRITE, (uint64_t)i << 20, 1 << 20,
			   buf);
	rig_turn(&r);
	rig_turn(&r);
	kill(pid, SIGCONT);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(rig_wait(&r, &q[i]), 0);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(rig_do(&r, DISK_READ, (uint64_t)i << 20,
					1 << 20, in),
				 0);
		assert_memory_equal(in, buf, 1 << 20);
	}
	rig_close(&r);
	kit_kill(pid);
	free(q);
	free(buf);
	free(in);
}

static void test_close(void **state)
{
	struct rig   r;
	struct crowd c;
	pid_t	     pid;

	(void)state;
	kit_need("nbdkit");
	pid = NBDKIT("memory", "64M");
	/* At once; while connecting; with requests in flight. */
	rig_open(&r, place, NULL);
	rig_close(&r);
	rig_open(&r, place, NULL);
	rig_turn(&r);
	rig_close(&r);
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	submit_crowd(&r, &c);
	rig_turn(&r);
	rig_close(&r);
	for (unsigned i = 0; i < REQUESTS; i++) {
		assert_int_equal(c.q[i].done, 1);
		assert_true(c.q[i].req.res == 0 ||
			    c.q[i].req.res == -ECANCELED);
	}
	free(c.q);
	free(c.buf);
	/* nbdkit may not survive it: see test_hang. */
	kit_kill(pid);
	pid = NBDKIT("memory", "64M");

	/* From inside the event that it is down. */
	rig_open(&r, place, NULL);
	rig_wait_ups(&r, 1);
	submit_crowd(&r, &c);
	r.close_at_down = true;
	kit_kill(pid);
	rig_wait_downs(&r, 1);
	rig_close(&r);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(c.q[i].done, 1);
	free(c.q);
	free(c.buf);

	/* While nobody is there. */
	rig_open(&r, place, NULL);
	rig_wait_downs(&r, 1);
	rig_close(&r);
}

/* A host name is looked up without stopping the loop. */
static void test_names(void **state)
{
	struct rig r;

	(void)state;
	rig_open(&r, "nbd://no-such-host.invalid/x", NULL);
	rig_wait_downs(&r, 1);
	rig_close(&r);
	rig_open(&r, "nbd://127.0.0.1:1/x", NULL);
	rig_wait_downs(&r, 1);
	assert_int_equal(r.disk->error, -ECONNREFUSED);
	assert_string_equal(r.disk->host, "127.0.0.1");
	rig_close(&r);
}

/* An argument names the one test to run. */
int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		T(test_nbdkit),	     T(test_lanes),
		T(test_block_sizes), T(test_what_it_cannot),
		T(test_qemu_nbd),    T(test_nbd_server),
		T(test_tcp),	     T(test_diskd),
		T(test_through_libnbd),
		T(test_errors),	     T(test_kill_and_restart),
		T(test_hang),	     T(test_full_socket),
		T(test_close),	     T(test_names),
	};

	find_diskd(argv[0]);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
