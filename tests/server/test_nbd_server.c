/* tests/server/test_nbd_server.c - the NBD server on real sockets, with clients
 * that nobody would want to have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/server/nbd_child.h"

#define MB (1u << 20)

static void test_garbage(void **state)
{
	struct child c = { 0 };
	struct prng  p;
	int          good;

	(void)state;
	child_start(&c);
	good = dial_to(&c, 1, "mem");
	prng_init(&p, 77);
	for (unsigned i = 0; i < 200; i++) {
		uint8_t buf[500];
		int     fd = i % 2 ? dial(&c) : dial_to(&c, i % 3, "mem");

		for (unsigned k = 0; k < sizeof(buf); k++)
			buf[k] = (uint8_t)prng_u64(&p);
		put_all(fd, buf, sizeof(buf));
		assert_true(ends(fd));
		close(fd);
		assert_true(alive(good));
	}
	close(good);
	child_stop(&c, NULL);
}

/* Close a connection at each byte of a conversation, at once or after the
 * answers; and with a reset. */
static void test_close_anywhere(void **state)
{
	struct child c = { 0 };
	struct raw   in = { 0 };
	int          good;

	(void)state;
	child_start(&c);
	good = dial_to(&c, 1, "mem");
	raw_connect(&in, 2, "mem");
	raw_req(&in, 1, 32, 1, 0, 64);
	raw_fill(&in, 1, 64);
	raw_req(&in, 0, 0, 1, 0, 65536);
	for (size_t n = 0; n <= in.len; n++) {
		struct linger lg = { .l_onoff = 1 };
		int           fd = dial(&c);

		put_all(fd, in.p, n);
		if (n % 3 == 1)
			shutdown(fd, SHUT_WR);
		if (n % 3 == 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg));
		close(fd);
	}
	assert_true(alive(good));
	close(good);
	raw_free(&in);
	child_stop(&c, NULL);
}

/* Those who ask and do not listen are cut off; the others do not notice. */
static void test_never_reads(void **state)
{
	struct child c = { .params = { .send_stall_timeout_ns = NS_PER_S } };
	struct raw   in = { 0 };
	int          bad[8], good;

	(void)state;
	child_start(&c);
	memset(c.ctl->mapped, 1, MEM_BLOCKS / 2);
	for (unsigned i = 0; i < 1000; i++)
		raw_req(&in, 0, 0, i, 0, 8 * MB);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		bad[i] = dial_to(&c, 1, "mem");
		put_all(bad[i], in.p, in.len);
	}
	good = dial_to(&c, 1, "mem");
	for (unsigned i = 0; i < 100; i++)
		assert_true(alive(good));
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		/* Until the server has given up on it. */
		for (unsigned k = 0;
		     c.ctl->users > 1 && k < PATIENCE_S * 20; k++) {
			assert_true(alive(good));
			usleep(50000);
		}
		close(bad[i]);
	}
	assert_int_equal(c.ctl->users, 1);
	assert_true(alive(good));
	close(good);
	raw_free(&in);
	child_stop(&c, NULL);
}

static void test_slow_handshake(void **state)
{
	struct child c = { .params = { .handshake_timeout_ns =
					       200 * NS_PER_MS } };
	int          fd[20];

	(void)state;
	child_start(&c);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		fd[i] = dial(&c);
		put_all(fd[i], "\0\0\0\3IHAVEOPT\0\0\0\1", i % 17);
	}
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		assert_true(ends(fd[i]));
		close(fd[i]);
	}
	child_stop(&c, NULL);
}

static void test_too_many(void **state)
{
	struct child        c = { .params = { .connections_max = 10 } };
	struct child_report rep;
	int                 fd[10], extra;

	(void)state;
	child_start(&c);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = dial_to(&c, 1, "mem");
	for (unsigned i = 0; i < 5; i++) {
		extra = dial(&c);
		assert_true(ends(extra));
		close(extra);
	}
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		assert_true(alive(fd[i]));
	close(fd[0]);
	/* Its place is free as soon as the server has seen that. */
	for (unsigned i = 0; c.ctl->users == 10 && i < PATIENCE_S * 100; i++)
		usleep(10000);
	fd[0] = dial_to(&c, 1, "mem");
	assert_true(alive(fd[0]));
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	child_stop(&c, &rep);
	assert_int_equal(rep.stats.refused, 5);
}

/* Out of descriptors: nobody hangs, and it goes on when there are some. */
static void test_no_descriptors(void **state)
{
	struct child c = { .nofile = 40 };
	int          fd[100], good;
	unsigned     ended = 0;

	(void)state;
	child_start(&c);
	good = dial_to(&c, 1, "mem");
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		fd[i] = dial(&c);
	for (unsigned i = 60; i < ARRAY_LEN(fd); i++)
		ended += ends(fd[i]);
	assert_int_equal(ended, 40);
	assert_true(alive(good));
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	for (unsigned i = 0;; i++) {
		char b[18];
		int  again = dial(&c);
		bool served = get_all(again, b, sizeof(b));

		close(again);
		if (served)
			break;
		assert_true(i < PATIENCE_S * 20);
		usleep(50000);
	}
	assert_true(alive(good));
	close(good);
	child_stop(&c, NULL);
}

/* The server stops while its clients are in every state there is. */
static void test_stop_in_every_state(void **state)
{
	struct child c = { 0 };
	struct raw   in = { 0 };
	int          fd[64];

	(void)state;
	child_start(&c);
	memset(c.ctl->mapped, 1, MEM_BLOCKS / 2);
	raw_connect(&in, 1, "mem");
	raw_req(&in, 1, 0, 1, 0, 100000);
	raw_fill(&in, 1, 100000);
	raw_req(&in, 1, 0, 1, 0, 1000);
	raw_fill(&in, 1, 1000);
	for (unsigned i = 0; i < 50; i++)
		raw_req(&in, 0, 0, 1, 0, 2 * MB); /* not read */
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		size_t n = i < 40 ? in.len * i / 4000 : in.len * i / 63;

		if (i == 30)
			c.ctl->hold = 1;
		fd[i] = dial(&c);
		put_all(fd[i], in.p, n < in.len ? n : in.len);
	}
	c.ctl->hold = 0;
	child_stop(&c, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		assert_true(ends(fd[i]));
		close(fd[i]);
	}
	raw_free(&in);
}

/* The client closes its sending side and still gets its replies. */
static void test_half_close(void **state)
{
	struct child   c = { 0 };
	struct raw     in = { 0 };
	static uint8_t buf[50 * (20 + 8 + 65536)];
	int            fd;

	(void)state;
	child_start(&c);
	memset(c.ctl->mapped, 1, 100);
	fd = dial_to(&c, 1, "mem");
	for (unsigned i = 0; i < 50; i++)
		raw_req(&in, 0, 0, i, 0, 65536);
	assert_true(put_all(fd, in.p, in.len));
	shutdown(fd, SHUT_WR);
	assert_true(get_all(fd, buf, sizeof(buf)));
	assert_true(ends(fd));
	close(fd);
	raw_free(&in);
	child_stop(&c, NULL);
}

/* 16 connections at once, each on its own thread, connecting and leaving. */
static void *storm(void *arg)
{
	const struct child *c = arg;

	for (unsigned i = 0; i < 40; i++) {
		int fd = dial_to(c, (int)(i % 3), "mem");

		if (i % 3 == 1 && !alive(fd))
			return c->ctl;
		close(fd);
	}
	return NULL;
}

static void test_storm(void **state)
{
	struct child c = { 0 };
	pthread_t    th[16];
	void        *bad;

	(void)state;
	child_start(&c);
	for (unsigned i = 0; i < ARRAY_LEN(th); i++)
		assert_int_equal(pthread_create(&th[i], NULL, storm, &c), 0);
	for (unsigned i = 0; i < ARRAY_LEN(th); i++) {
		assert_int_equal(pthread_join(th[i], &bad), 0);
		assert_null(bad);
	}
	child_stop(&c, NULL);
}

/* One client as fast as it can, another one now and then: it is served. */
static void test_fair(void **state)
{
	struct child c = { 0 };
	struct raw   in = { 0 };
	int          busy, good;

	(void)state;
	child_start(&c);
	memset(c.ctl->mapped, 1, 1000);
	busy = dial_to(&c, 1, "mem");
	good = dial_to(&c, 1, "mem");
	for (unsigned i = 0; i < 2000; i++)
		raw_req(&in, 3, 0, i, 0, 0); /* flushes */
	for (unsigned i = 0; i < 20; i++) {
		static uint8_t sink[2000 * 16];

		assert_true(put_all(busy, in.p, in.len));
		assert_true(alive(good));
		assert_true(get_all(busy, sink, sizeof(sink)));
	}
	close(busy);
	close(good);
	raw_free(&in);
	child_stop(&c, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_close_anywhere),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_slow_handshake),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_no_descriptors),
		cmocka_unit_test(test_stop_in_every_state),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_fair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
