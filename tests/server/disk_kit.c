/* tests/server/disk_kit.c - see disk_kit.h. */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disk_kit.h"
#include "tests/lib/work_dir.h"

#define TURN_NS	     (50 * NS_PER_MS)
#define CHILDREN_MAX 64u

/* --- the rig ------------------------------------------------------------- */

static void on_closed(void *arg)
{
	struct rig *r = arg;

	assert_false(r->closed);
	r->closed = true;
}

void rig_begin_close(struct rig *r)
{
	struct disk *disk = r->disk;

	assert_false(r->closing);
	r->closing = true;
	r->disk = NULL;
	disk_close(disk, on_closed, r);
	assert_false(r->closed);
}

static void on_event(struct disk *d, enum disk_event ev, void *arg)
{
	struct rig *r = arg;

	assert_false(r->in_call);
	assert_false(r->closed);
	if (ev == DISK_EV_UP) {
		r->ups++;
		assert_true(d->up);
		assert_int_equal(d->epoch, r->ups);
		assert_int_equal(d->error, 0);
		assert_true(d->size_bytes >= TARN_BLOCK);
		return;
	}
	r->downs++;
	assert_false(d->up);
	assert_true(d->error < 0);
	assert_true(strlen(d->error_text) > 10);
	if (r->close_at_down)
		rig_begin_close(r);
}

void rig_open(struct rig *r, const char *place,
	      const struct disk_params *params)
{
	/* How fast the machine is has no say. */
	static const struct disk_params patient = { .timeout_ns = WAIT_NS };
	char err[200] = "";

	if (params == NULL)
		params = &patient;
	memset(r, 0, sizeof(*r));
	assert_int_equal(io_uring_engine_open(64, &r->io), 0);
	r->in_call = true;
	if (disk_open(r->io, place, params, on_event, r, &r->disk, err) < 0)
		fail_msg("%s", err);
	r->in_call = false;
	assert_string_equal(r->disk->place, place);
	assert_false(r->disk->up);
}

void rig_turn(struct rig *r)
{
	assert_int_equal(io_run(r->io, TURN_NS), 0);
}

static void wait_count(struct rig *r, const unsigned *count, unsigned want,
		       const char *what)
{
	uint64_t end_ns = io_now_ns(r->io) + WAIT_NS;

	while (*count < want) {
		if (io_now_ns(r->io) > end_ns)
			fail_msg("%s: %u of %u; %s", what, *count, want,
				 r->disk ? r->disk->error_text : "");
		rig_turn(r);
	}
}

void rig_wait_ups(struct rig *r, unsigned ups)
{
	wait_count(r, &r->ups, ups, "up");
}

void rig_wait_downs(struct rig *r, unsigned downs)
{
	wait_count(r, &r->downs, downs, "down");
}

void rig_close(struct rig *r)
{
	uint64_t end_ns = io_now_ns(r->io) + WAIT_NS;

	if (!r->closing)
		rig_begin_close(r);
	while (!r->closed) {
		assert_true(io_now_ns(r->io) <= end_ns);
		rig_turn(r);
	}
	io_uring_engine_close(r->io); /* nothing is in flight */
}

static void on_done(struct disk_req *req)
{
	struct rig_req *q = container_of(req, struct rig_req, req);

	assert_false(q->rig->in_call);
	q->done++;
	assert_int_equal(q->done, 1);
	if (q->then != NULL)
		q->then(q);
}

void rig_submit(struct rig *r, struct rig_req *q, enum disk_op op,
		uint64_t off, uint32_t len, void *buf)
{
	/* What is the disk's own may hold anything. */
	memset(&q->req, 0xa5, sizeof(q->req));
	q->rig = r;
	q->done = 0;
	q->req.op = (uint8_t)op;
	q->req.off_bytes = off;
	q->req.len_bytes = len;
	q->req.buf = buf;
	q->req.done = on_done;
	r->in_call = true;
	disk_submit(r->disk, &q->req);
	r->in_call = false;
}

int rig_wait(struct rig *r, struct rig_req *q)
{
	wait_count(r, &q->done, 1, "request");
	assert_true(q->req.res <= 0);
	return q->req.res;
}

int rig_do(struct rig *r, enum disk_op op, uint64_t off, uint32_t len,
	   void *buf)
{
	struct rig_req q = { .then = NULL };

	rig_submit(r, &q, op, off, len, buf);
	return rig_wait(r, &q);
}

void *rig_buf(uint32_t len)
{
	void *buf = aligned_alloc(TARN_BLOCK, len);

	assert_non_null(buf);
	memset(buf, 0, len);
	return buf;
}

/* --- files and programs -------------------------------------------------- */

static char  work_dir[80];
static pid_t children[CHILDREN_MAX];

static void clean_up(void)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] > 0)
			kit_kill(children[i]);
	}
	if (work_dir[0] != '\0')
		work_dir_remove(work_dir);
}

const char *kit_dir(void)
{
	if (work_dir[0] == '\0') {
		assert_int_equal(work_dir_make(work_dir, sizeof(work_dir)), 0);
		atexit(clean_up);
	}
	return work_dir;
}

void kit_need(const char *program)
{
	const char *env = getenv("PATH");
	char	   *path = strdup(env != NULL ? env : "");
	char	   *save = NULL;
	char	    file[512];
	struct stat st;
	bool	    found = false;

	for (char *dir = strtok_r(path, ":", &save); dir != NULL && !found;
	     dir = strtok_r(NULL, ":", &save)) {
		snprintf(file, sizeof(file), "%s/%s", dir, program);
		found = stat(file, &st) == 0;
	}
	free(path);
	if (!found) {
		print_message("there is no %s here\n", program);
		skip();
	}
}

void kit_adopt(pid_t pid)
{
	assert_true(pid > 1);
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] == 0) {
			children[i] = pid;
			return;
		}
	}
	fail_msg("too many children");
}

pid_t kit_spawn(const char *const *argv)
{
	pid_t parent = getpid();
	pid_t pid;

	kit_dir(); /* sees to the cleaning up */
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* It must not outlive a test that was killed. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	kit_adopt(pid);
	return pid;
}

void kit_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] == pid)
			children[i] = 0;
	}
}

bool kit_alive(pid_t pid)
{
	struct timespec ts = { 0, 200 * 1000 * 1000 };
	siginfo_t	info = { .si_pid = 0 };

	nanosleep(&ts, NULL);
	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
	return info.si_pid == 0;
}

/* Try to connect until it works. */
static void wait_connect(const struct sockaddr *addr, socklen_t len)
{
	for (int i = 0; i < 3000; i++) {
		struct timespec ts = { 0, 10 * 1000 * 1000 };
		int fd = socket(addr->sa_family, SOCK_STREAM, 0);
		int r = connect(fd, addr, len);

		close(fd);
		if (r == 0)
			return;
		nanosleep(&ts, NULL);
	}
	fail_msg("the server does not listen");
}

void kit_wait_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	wait_connect((struct sockaddr *)&addr, sizeof(addr));
}

static struct sockaddr_in loopback(unsigned port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	return addr;
}

unsigned kit_free_port(void)
{
	struct sockaddr_in addr = loopback(0);
	socklen_t	   len = sizeof(addr);
	int		   fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

void kit_wait_port(unsigned port)
{
	struct sockaddr_in addr = loopback(port);

	wait_connect((struct sockaddr *)&addr, sizeof(addr));
}
