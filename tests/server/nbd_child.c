/* tests/server/nbd_child.c - a server in another process. */
#include "tests/server/nbd_child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUFS_BYTES (256u << 20)

/* --- the child ---------------------------------------------------------- */

struct serving {
	struct io          *io;
	struct nbd_server  *srv;
	struct io_req       poll;
	struct child_report report;
	bool                closed;
};

static void closed_fn(void *arg)
{
	((struct serving *)arg)->closed = true;
}

static void stop_fn(struct io_req *req)
{
	struct serving *s = container_of(req, struct serving, poll);

	nbd_server_stats(s->srv, &s->report.stats);
	nbd_server_close(s->srv, NS_PER_S, closed_fn, s);
}

static void log_fn(void *arg, const char *line)
{
	(void)arg;
	if (getenv("TARN_TEST_LOG") != NULL)
		fprintf(stderr, "server: %s\n", line);
}

static void serve(const struct child *c, int life, int report)
{
	struct serving     s = { 0 };
	struct bufpool    *bufs;
	struct mem_source *mem;
	char               err[200];

	if (io_uring_engine_open(256, &s.io) < 0 ||
	    bufpool_open(BUFS_BYTES, &bufs) < 0)
		exit(1);
	if (c->nofile != 0) {
		struct rlimit rl = { c->nofile, c->nofile };

		setrlimit(RLIMIT_NOFILE, &rl);
	}
	mem = mem_source_open(s.io, c->ctl);
	if (nbd_server_open(s.io, bufs, mem_source_src(mem), &c->params, log_fn,
			    NULL, &s.srv) < 0)
		exit(1);
	if (nbd_server_listen(s.srv, c->where, err) < 0) {
		fprintf(stderr, "%s\n", err);
		exit(1);
	}
	if (write(report, "", 1) != 1)
		exit(1);
	s.poll.op = IO_POLL;
	s.poll.fd = life;
	s.poll.len = POLLIN | POLLHUP;
	s.poll.done = stop_fn;
	io_submit(s.io, &s.poll);
	while (!s.closed && io_run(s.io, UINT64_MAX) == 0)
		s.report.turns++;
	if (!s.closed)
		exit(1);
	mem_source_close(mem);
	bufpool_close(bufs);
	io_uring_engine_close(s.io);
	if (write(report, &s.report, sizeof(s.report)) !=
	    (ssize_t)sizeof(s.report))
		exit(1);
	exit(0);
}

/* --- its parent --------------------------------------------------------- */

void child_start(struct child *c)
{
	static int  number;
	const char *dir = getenv("TMPDIR");
	int         life[2], report[2];
	char        ready;

	signal(SIGPIPE, SIG_IGN);
	c->params.extended_headers = true;
	if (c->ctl == NULL)
		c->ctl = mmap(NULL, sizeof(*c->ctl), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(c->ctl != MAP_FAILED);
	if (c->path[0] == 0)
		snprintf(c->path, sizeof(c->path), "%.60s/nbd-%d-%d.sock",
			 dir != NULL ? dir : "/tmp", (int)getpid(), number++);
	if (c->where[0] == 0)
		snprintf(c->where, sizeof(c->where), "unix:%s", c->path);
	snprintf(c->uri, sizeof(c->uri), "nbd+unix:///?socket=%s", c->path);
	assert(pipe(life) == 0 && pipe(report) == 0);
	fflush(NULL);
	c->pid = fork();
	assert(c->pid >= 0);
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(life[1]);
		close(report[0]);
		serve(c, life[0], report[1]);
	}
	close(life[0]);
	close(report[1]);
	c->life = life[1];
	c->report = report[0];
	assert(read(c->report, &ready, 1) == 1);
}

void child_stop(struct child *c, struct child_report *ret_report)
{
	struct child_report r = { 0 };
	ssize_t             n;
	int                 st;

	close(c->life);
	n = read(c->report, &r, sizeof(r));
	assert(waitpid(c->pid, &st, 0) == c->pid);
	if (!WIFEXITED(st) || WEXITSTATUS(st) != 0 || n != sizeof(r)) {
		fprintf(stderr, "the server ended with %#x\n", st);
		abort();
	}
	close(c->report);
	munmap(c->ctl, sizeof(*c->ctl));
	c->ctl = NULL;
	if (ret_report != NULL)
		*ret_report = r;
}

void child_kill(struct child *c)
{
	int st;

	kill(c->pid, SIGKILL);
	assert(waitpid(c->pid, &st, 0) == c->pid);
	close(c->life);
	close(c->report);
}

int dial(const struct child *c)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct timeval     tv = { .tv_sec = PATIENCE_S };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(fd >= 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", c->path);
	assert(connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	return fd;
}

bool put_all(int fd, const void *p, size_t n)
{
	while (n > 0) {
		ssize_t r = send(fd, p, n, MSG_NOSIGNAL);

		if (r <= 0)
			return false;
		p = (const uint8_t *)p + r;
		n -= (size_t)r;
	}
	return true;
}

bool get_all(int fd, void *p, size_t n)
{
	while (n > 0) {
		ssize_t r = recv(fd, p, n, 0);

		if (r <= 0)
			return false;
		p = (uint8_t *)p + r;
		n -= (size_t)r;
	}
	return true;
}

bool ends(int fd)
{
	static uint8_t buf[65536];

	for (;;) {
		ssize_t r = recv(fd, buf, sizeof(buf), 0);

		if (r == 0 || (r < 0 && errno == ECONNRESET))
			return true;
		if (r < 0)
			return false;
	}
}

int dial_to(const struct child *c, int mode, const char *name)
{
	struct raw     in = { 0 };
	uint8_t        head[20], data[2048];
	const unsigned finals = mode > 0 ? 3 : 1;
	int            fd = dial(c);

	raw_connect(&in, mode, name);
	assert(get_all(fd, head, 18));
	assert(put_all(fd, in.p, in.len));
	raw_free(&in);
	for (unsigned n = 0; n < finals;) {
		struct rd r = { .p = head + 8, .len = 12 };
		uint32_t  type, len;

		assert(get_all(fd, head, 20));
		rd_u32(&r);
		type = rd_u32(&r);
		len = rd_u32(&r);
		assert(len <= sizeof(data) && type < 0x80000000u);
		assert(get_all(fd, data, len));
		n += type == 1;
	}
	return fd;
}

bool alive(int fd)
{
	struct raw in = { 0 };
	uint8_t    reply[20 + 12];
	bool       ok;

	/* Of a place that is a hole in every test. */
	raw_req(&in, 0, 0, 0x616c697665, MEM_BYTES - 4096, 4096);
	ok = put_all(fd, in.p, in.len) && get_all(fd, reply, sizeof(reply));
	raw_free(&in);
	return ok && memcmp(reply, "\x66\x8e\x33\xef\0\1\0\2\0\0\0alive", 16) ==
			     0;
}
