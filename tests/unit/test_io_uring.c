/* tests/unit/test_io_uring.c - the io_uring engine over socket pairs and
 * files.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/io.h"

/* More requests than a ring of RING entries and its completions hold. */
#define RING  8u
#define CROWD 200u
/* A turn waits this long at most; nothing here depends on how long it is. */
#define TURN_NS   (100 * NS_PER_MS)
#define TURNS_MAX 1000

struct op {
	struct io_req req;
	unsigned      done;  /* times */
	struct io    *io;
	bool	      again; /* submit it again from done() */
};

static void op_done(struct io_req *req)
{
	struct op *op = container_of(req, struct op, req);

	assert_false(req->inflight);
	op->done++;
	if (op->again) {
		op->again = false;
		io_submit(op->io, req);
		assert_int_equal(op->done, 1); /* submit does not call back */
	}
}

static void op_init(struct op *op, struct io *io, enum io_op code, int fd)
{
	memset(op, 0, sizeof(*op));
	op->io = io;
	op->req.op = (uint8_t)code;
	op->req.fd = fd;
	op->req.done = op_done;
}

static void turn_until(struct io *io, const unsigned *count, unsigned want)
{
	for (int i = 0; i < TURNS_MAX && *count < want; i++)
		assert_int_equal(io_run(io, TURN_NS), 0);
	assert_int_equal(*count, want);
}

static int setup(void **state)
{
	struct io *io;

	assert_int_equal(io_uring_engine_open(RING, &io), 0);
	*state = io;
	return 0;
}

/* The same, with a loop that polls before it sleeps. */
static int setup_polling(void **state)
{
	int r = setup(state);

	io_uring_engine_poll(*state, NS_PER_MS);
	return r;
}

static int teardown(void **state)
{
	io_uring_engine_close(*state);
	return 0;
}

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void test_send_recv(void **state)
{
	struct io   *io = *state;
	struct op    recv_op;
	struct op    send_op;
	struct iovec iov[2] = { { "hello ", 6 }, { "world", 5 } };
	char	     buf[32];
	int	     fds[2];

	make_pair(fds);
	op_init(&recv_op, io, IO_RECV, fds[0]);
	recv_op.req.buf = buf;
	recv_op.req.len = sizeof(buf);
	op_init(&send_op, io, IO_SEND, fds[1]);
	send_op.req.msg.msg_iov = iov;
	send_op.req.msg.msg_iovlen = 2;
	io_submit(io, &recv_op.req);
	io_submit(io, &send_op.req);
	assert_int_equal(recv_op.done + send_op.done, 0);
	turn_until(io, &recv_op.done, 1);
	turn_until(io, &send_op.done, 1);
	assert_int_equal(send_op.req.res, 11);
	assert_int_equal(recv_op.req.res, 11);
	assert_memory_equal(buf, "hello world", 11);

	/* End of stream, and a peer that is gone: no signal. */
	close(fds[1]);
	io_submit(io, &recv_op.req);
	turn_until(io, &recv_op.done, 2);
	assert_int_equal(recv_op.req.res, 0);
	send_op.req.fd = fds[0];
	io_submit(io, &send_op.req);
	turn_until(io, &send_op.done, 2);
	assert_int_equal(send_op.req.res, -EPIPE);
	close(fds[0]);
}

static void test_accept_connect(void **state)
{
	struct io	  *io = *state;
	struct op	   accept_op;
	struct op	   connect_op;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t	   len = sizeof(addr.sun_family);
	int		   listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int		   client = socket(AF_UNIX, SOCK_STREAM, 0);

	/* The kernel picks an abstract name. */
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(listener, 4), 0);
	len = sizeof(addr);
	getsockname(listener, (struct sockaddr *)&addr, &len);

	op_init(&accept_op, io, IO_ACCEPT, listener);
	op_init(&connect_op, io, IO_CONNECT, client);
	connect_op.req.addr = (struct sockaddr *)&addr;
	connect_op.req.addrlen = len;
	io_submit(io, &accept_op.req);
	io_submit(io, &connect_op.req);
	turn_until(io, &accept_op.done, 1);
	turn_until(io, &connect_op.done, 1);
	assert_int_equal(connect_op.req.res, 0);
	assert_true(accept_op.req.res >= 0);
	close(accept_op.req.res);
	close(client);
	close(listener);
}

static void test_file(void **state)
{
	struct io *io = *state;
	struct op  op;
	char	   out[4096];
	char	   in[4096];
	int	   fd = memfd_create("test", MFD_CLOEXEC);

	memset(out, 'x', sizeof(out));
	op_init(&op, io, IO_WRITE, fd);
	op.req.buf = out;
	op.req.len = sizeof(out);
	op.req.off = 4096;
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_int_equal(op.req.res, 4096);

	op_init(&op, io, IO_READ, fd);
	op.req.buf = in;
	op.req.len = 4096;
	op.req.off = 6144; /* half of it is there */
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_int_equal(op.req.res, 2048);
	assert_memory_equal(in, out, 2048);

	op_init(&op, io, IO_FSYNC, fd);
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_int_equal(op.req.res, 0);

	op_init(&op, io, IO_PUNCH, fd);
	op.req.off = 4096;
	op.req.len = 4096;
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_int_equal(op.req.res, 0);
	assert_int_equal(pread(fd, in, 4096, 4096), 4096);
	memset(out, 0, sizeof(out));
	assert_memory_equal(in, out, 4096);

	/* Refused by the file system or done, but never stuck. */
	op_init(&op, io, IO_ZERO, fd);
	op.req.len = 4096;
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_true(op.req.res == 0 || op.req.res == -EOPNOTSUPP);

	/* Lengths that are none. */
	op_init(&op, io, IO_PUNCH, fd);
	op.req.off = UINT64_MAX - 4095;
	op.req.len = 4096;
	io_submit(io, &op.req);
	turn_until(io, &op.done, 1);
	assert_int_equal(op.req.res, -EINVAL);
	close(fd);
}

/* Many more than the ring has room for, all of which complete at once. */
static void test_crowd(void **state)
{
	struct io *io = *state;
	struct op *ops = calloc(CROWD, sizeof(*ops));
	unsigned   done = 0;
	int	   fds[2];

	make_pair(fds);
	for (unsigned i = 0; i < CROWD; i++) {
		op_init(&ops[i], io, IO_POLL, fds[0]);
		ops[i].req.len = POLLIN;
		ops[i].again = true;
		io_submit(io, &ops[i].req);
	}
	assert_int_equal(io_run(io, 0), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	for (int t = 0; t < TURNS_MAX && done < 2 * CROWD; t++) {
		assert_int_equal(io_run(io, TURN_NS), 0);
		done = 0;
		for (unsigned i = 0; i < CROWD; i++)
			done += ops[i].done;
	}
	assert_int_equal(done, 2 * CROWD);
	for (unsigned i = 0; i < CROWD; i++)
		assert_true((ops[i].req.res & POLLIN) != 0);
	close(fds[0]);
	close(fds[1]);
	free(ops);
}

/* Some are in the ring, the others wait for it; some are cancelled twice. */
static void test_cancel_crowd(void **state)
{
	struct io *io = *state;
	struct op *ops = calloc(CROWD, sizeof(*ops));
	char	   buf[1];
	int	   fds[2];

	make_pair(fds);
	for (unsigned i = 0; i < CROWD; i++) {
		op_init(&ops[i], io, i % 2 ? IO_RECV : IO_POLL, fds[0]);
		ops[i].req.buf = buf;
		ops[i].req.len = i % 2 ? 1 : POLLIN;
		io_submit(io, &ops[i].req);
		if (i == CROWD / 2)
			assert_int_equal(io_run(io, 0), 0);
	}
	for (unsigned i = 0; i < CROWD; i++)
		io_cancel(io, &ops[i].req);
	for (unsigned i = 0; i < CROWD; i += 3)
		io_cancel(io, &ops[i].req);
	for (unsigned i = 0; i < CROWD; i++) {
		turn_until(io, &ops[i].done, 1);
		assert_int_equal(ops[i].req.res, -ECANCELED);
		io_cancel(io, &ops[i].req); /* harmless */
	}
	close(fds[0]);
	close(fds[1]);
	free(ops);
}

struct alarm {
	struct io_timer timer;
	struct io_work	work;
	struct io      *io;
	unsigned	fired;
	unsigned	chain; /* turns of deferred work still to come */
};

static void alarm_fired(struct io_timer *t)
{
	container_of(t, struct alarm, timer)->fired++;
}

static void alarm_worked(struct io_work *w)
{
	struct alarm *a = container_of(w, struct alarm, work);

	a->fired++;
	if (a->chain > 0) {
		a->chain--;
		io_defer(a->io, w);
	}
}

static void test_timer(void **state)
{
	struct io   *io = *state;
	struct alarm a = { .io = io };
	uint64_t     start_ns = io_now_ns(io);

	io_timer_init(&a.timer, alarm_fired);
	io_timer_arm(io, &a.timer, start_ns + 20 * NS_PER_MS);
	turn_until(io, &a.fired, 1);
	assert_true(io_now_ns(io) >= start_ns + 20 * NS_PER_MS);
	/* One in the past is due at once, even when nothing else is. */
	io_timer_arm(io, &a.timer, 0);
	for (int i = 0; i < TURNS_MAX && a.fired < 2; i++)
		assert_int_equal(io_run(io, UINT64_MAX), 0);
	assert_int_equal(a.fired, 2);
}

/* A long chain of deferred work neither waits nor starves the ring. */
static void test_deferred_chain(void **state)
{
	struct io   *io = *state;
	struct alarm a = { .io = io, .chain = 100 };
	struct op    op;
	int	     fds[2];
	unsigned     turns = 0;

	make_pair(fds);
	op_init(&op, io, IO_POLL, fds[0]);
	op.req.len = POLLOUT;
	io_work_init(&a.work, alarm_worked);
	io_defer(io, &a.work);
	io_submit(io, &op.req);
	for (; turns < TURNS_MAX && op.done == 0; turns++)
		assert_int_equal(io_run(io, UINT64_MAX), 0);
	assert_int_equal(op.done, 1);
	assert_true(a.chain > 0);
	turn_until(io, &a.fired, 101);
	close(fds[0]);
	close(fds[1]);
}

/* Waiting has a bound, and a turn with nothing to do is no error. */
static void test_idle_turn(void **state)
{
	struct io *io = *state;
	uint64_t   start_ns = io_now_ns(io);

	assert_int_equal(io_run(io, 0), 0);
	assert_int_equal(io_run(io, 10 * NS_PER_MS), 0);
	assert_true(io_now_ns(io) >= start_ns);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define P(f) cmocka_unit_test_setup_teardown(f, setup_polling, teardown)
	const struct CMUnitTest tests[] = {
		T(test_send_recv),    T(test_accept_connect),
		T(test_file),	      T(test_crowd),
		T(test_cancel_crowd), T(test_timer),
		T(test_deferred_chain), T(test_idle_turn),
		P(test_send_recv),    P(test_accept_connect),
		P(test_file),	      P(test_crowd),
		P(test_cancel_crowd), P(test_timer),
		P(test_deferred_chain), P(test_idle_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
