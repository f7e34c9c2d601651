/* tests/server/test_nbd_server.c - the NBD server on real sockets: with
 * libnbd, and with clients that nobody would want to have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/prng.h"
#include "server/sockaddr.h"
#include "tests/server/nbd_child.h"

#define MB (1u << 20)

static struct nbd_handle *client(const struct child *c)
{
	struct nbd_handle *h = nbd_create();

	assert_non_null(h);
	assert_int_equal(nbd_add_meta_context(h, "base:allocation"), 0);
	assert_int_equal(nbd_set_full_info(h, true), 0);
	if (nbd_connect_uri(h, c->uri) < 0)
		fail_msg("%s", nbd_get_error());
	return h;
}

static void ok(int r)
{
	if (r < 0)
		fail_msg("%s", nbd_get_error());
}

/* --- libnbd ------------------------------------------------------------- */

struct seen {
	unsigned n;
	uint32_t entries[64];
};

static int extent_fn(void *arg, const char *ctx, uint64_t off,
		     uint32_t *entries, size_t n, int *error)
{
	struct seen *s = arg;

	(void)off;
	(void)error;
	assert(strcmp(ctx, "base:allocation") == 0);
	for (size_t i = 0; i < n && s->n < 64; i++)
		s->entries[s->n++] = entries[i];
	return 0;
}

static void test_libnbd(void **state)
{
	struct child       c = { 0 };
	struct nbd_handle *h;
	struct seen        s = { 0 };
	static uint8_t     a[MB], b[MB];
	char              *name;

	(void)state;
	child_start(&c);
	h = client(&c);
	assert_int_equal(nbd_get_size(h), MEM_BYTES);
	assert_int_equal(nbd_can_multi_conn(h), 1);
	assert_int_equal(nbd_can_fast_zero(h), 1);
	assert_int_equal(nbd_can_df(h), 1);
	assert_int_equal(nbd_get_block_size(h, LIBNBD_SIZE_MAXIMUM), 32 * MB);
	name = nbd_get_canonical_export_name(h);
	assert_string_equal(name, "mem");
	free(name);
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = (uint8_t)(i * 7 + i / 4096);
	ok(nbd_pwrite(h, a, sizeof(a), 12345, 0));
	ok(nbd_pread(h, b, sizeof(b), 12345, 0));
	assert_memory_equal(a, b, sizeof(a));
	ok(nbd_pread(h, b, 20000, 0, 0));
	for (unsigned i = 0; i < 12345; i++)
		assert_int_equal(b[i], 0);
	assert_memory_equal(b + 12345, a, 20000 - 12345);
	ok(nbd_pwrite(h, a, 4096, 8 * MB, LIBNBD_CMD_FLAG_FUA));
	ok(nbd_flush(h, 0));
	ok(nbd_zero(h, 16384, 16384, LIBNBD_CMD_FLAG_FAST_ZERO));
	ok(nbd_zero(h, 4096, 65536, LIBNBD_CMD_FLAG_NO_HOLE));
	ok(nbd_trim(h, 4096, 8 * MB, 0));
	ok(nbd_cache(h, 40 * MB, 0, 0));
	ok(nbd_block_status(h, 40 * MB, 0,
			    (nbd_extent_callback){ .callback = extent_fn,
						   .user_data = &s },
			    0));
	assert_true(s.n >= 4);
	assert_int_equal(s.entries[1], 3);
	assert_int_equal(nbd_pread(h, b, 512, MEM_BYTES, 0), -1);
	ok(nbd_shutdown(h, 0));
	nbd_close(h);
	child_stop(&c, NULL);
}

/* Many requests in flight, from several connections at once. */
#define LANES 4
#define DEPTH 48

static void test_libnbd_deep(void **state)
{
	struct child        c = { 0 };
	struct nbd_handle  *h[LANES];
	struct child_report rep;
	static uint8_t      bufs[LANES][DEPTH][8192];
	struct prng         p;
	unsigned            rounds = 30;

	(void)state;
	child_start(&c);
	prng_init(&p, 5);
	for (unsigned l = 0; l < LANES; l++)
		h[l] = client(&c);
	for (unsigned round = 0; round < rounds; round++) {
		bool read = round % 2;

		for (unsigned l = 0; l < LANES; l++) {
			for (unsigned i = 0; i < DEPTH; i++) {
				uint64_t off = (l * DEPTH + i) * 8192ul + l;

				memset(bufs[l][i], (int)(l + i + round), 8192);
				if (read)
					ok((int)nbd_aio_pread(
						h[l], bufs[l][i], 8192, off,
						NBD_NULL_COMPLETION, 0));
				else
					ok((int)nbd_aio_pwrite(
						h[l], bufs[l][i], 8192, off,
						NBD_NULL_COMPLETION, 0));
			}
		}
		for (unsigned l = 0; l < LANES; l++) {
			while (nbd_aio_in_flight(h[l]) > 0) {
				int64_t k;

				ok(nbd_poll(h[l], 20000));
				while ((k = nbd_aio_peek_command_completed(
						h[l])) > 0)
					ok(nbd_aio_command_completed(
						h[l], (uint64_t)k));
			}
		}
		for (unsigned l = 0; read && l < LANES; l++) {
			for (unsigned i = 0; i < DEPTH; i++) {
				uint8_t want = (uint8_t)(l + i + round - 1);

				/* Edges are shared between connections. */
				assert_int_equal(bufs[l][i][100], want);
				assert_int_equal(bufs[l][i][8000], want);
			}
		}
	}
	for (unsigned l = 0; l < LANES; l++) {
		ok(nbd_shutdown(h[l], 0));
		nbd_close(h[l]);
	}
	child_stop(&c, &rep);
	assert_int_equal(rep.stats.requests, rounds * LANES * DEPTH);
	assert_int_equal(rep.stats.protocol_errors, 0);
	/* Many replies a send, many requests a receive. */
	assert_true(rep.stats.send_calls < rep.stats.requests / 2);
}

static int list_fn(void *arg, const char *name, const char *description)
{
	assert(name[0] != 0 && description != NULL);
	++*(unsigned *)arg;
	return 0;
}

static void test_libnbd_list(void **state)
{
	unsigned           n = 0;
	struct child       c = { 0 };
	struct nbd_handle *h = nbd_create();

	(void)state;
	child_start(&c);
	c.ctl->list_extra = 500;
	ok(nbd_set_opt_mode(h, true));
	ok(nbd_connect_uri(h, c.uri));
	assert_int_equal(nbd_opt_list(h, (nbd_list_callback){
						 .callback = list_fn,
						 .user_data = &n }),
			 504);
	assert_int_equal(n, 504);
	ok(nbd_set_export_name(h, "ro"));
	ok(nbd_opt_info(h));
	assert_int_equal(nbd_is_read_only(h), 1);
	ok(nbd_set_export_name(h, "nothing"));
	assert_int_equal(nbd_opt_info(h), -1);
	assert_int_equal(nbd_get_errno(), ENOENT);
	ok(nbd_set_export_name(h, "coarse"));
	ok(nbd_opt_go(h));
	assert_int_equal(nbd_can_flush(h), 0);
	nbd_close(h);
	child_stop(&c, NULL);
}

/* --- bad clients -------------------------------------------------------- */

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
		for (unsigned k = 0; c.ctl->users > 1 && k < 200; k++) {
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
	for (unsigned i = 0; c.ctl->users == 10 && i < 400; i++)
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
	for (unsigned i = 0; i < 100; i++) {
		char b[18];
		int  again = dial(&c);
		bool served = get_all(again, b, sizeof(b));

		close(again);
		if (served)
			break;
		assert_true(i < 99);
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

/* --- listening ---------------------------------------------------------- */

static void test_stale_socket(void **state)
{
	struct child a = { 0 };
	struct stat  st;
	int          fd;

	(void)state;
	child_start(&a);
	child_kill(&a); /* its socket stays behind */
	assert_int_equal(stat(a.path, &st), 0);
	child_start(&a);
	fd = dial_to(&a, 1, "mem");
	assert_true(alive(fd));
	close(fd);
	child_stop(&a, NULL);
	assert_int_equal(stat(a.path, &st), -1);
}

struct listen_try {
	struct io         *io;
	struct bufpool    *bufs;
	struct mem_source *mem;
	struct nbd_server *srv;
	bool               closed;
};

static void try_closed(void *arg)
{
	((struct listen_try *)arg)->closed = true;
}

static int try_listen(const char *where, char *err)
{
	static struct mem_ctl    ctl;
	struct nbd_server_params params = { 0 };
	struct listen_try        t = { 0 };
	int                      r;

	err[0] = 0;
	assert_int_equal(io_uring_engine_open(8, &t.io), 0);
	assert_int_equal(bufpool_open(MB, &t.bufs), 0);
	t.mem = mem_source_open(t.io, &ctl);
	assert_int_equal(nbd_server_open(t.io, t.bufs, mem_source_src(t.mem),
					 &params, NULL, NULL, &t.srv),
			 0);
	r = nbd_server_listen(t.srv, where, err);
	if (r == 0) /* twice: taken */
		assert_int_equal(nbd_server_listen(t.srv, where, err),
				 -EADDRINUSE);
	nbd_server_close(t.srv, 0, try_closed, &t);
	while (!t.closed)
		assert_int_equal(io_run(t.io, NS_PER_S), 0);
	mem_source_close(t.mem);
	bufpool_close(t.bufs);
	io_uring_engine_close(t.io);
	return r;
}

static void test_listen(void **state)
{
	struct child c = { 0 };
	char         err[200], path[200], where[220];
	FILE        *f;

	(void)state;
	child_start(&c);
	assert_int_equal(try_listen(c.where, err), -EADDRINUSE);
	assert_non_null(strstr(err, "another program listens"));
	child_stop(&c, NULL);

	snprintf(path, sizeof(path), "%s.txt", c.path);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	snprintf(where, sizeof(where), "unix:%s", path);
	assert_int_equal(try_listen(where, err), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(try_listen(where, err), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(try_listen("127.0.0.1:39871", err), 0);
	assert_int_equal(try_listen("[::1]:39871", err), 0);
	assert_true(try_listen("192.0.2.77:39871", err) < 0);
	assert_non_null(strstr(err, "192.0.2.77:39871"));
}

static void test_addresses(void **state)
{
	static const struct {
		const char *where;
		int         r;
		bool        local;
	} cases[] = {
		{ "127.0.0.1:10809", 0, true },  { "127.9.9.9:1", 0, true },
		{ "[::1]:65535", 0, true },      { "unix:/a/b", 0, true },
		{ "[::ffff:127.0.0.1]:1", 0, true },
		{ "0.0.0.0:10809", 0, false },   { "[::]:10809", 0, false },
		{ "192.0.2.1:1", 0, false },
		{ "[2001:db8::1]:1", 0, false },
		{ "", -EINVAL, false },
		{ "127.0.0.1", -EINVAL, false },
		{ "127.0.0.1:", -EINVAL, false },
		{ ":1", -EINVAL, false },
		{ "127.0.0.1:0", -EINVAL, false },
		{ "127.0.0.1:65536", -EINVAL, false },
		{ "127.0.0.1:1x", -EINVAL, false },
		{ "127.0.0.1:-1", -EINVAL, false },
		{ "::1:5", -EINVAL, false },
		{ "[::1]", -EINVAL, false },
		{ "[::1]5", -EINVAL, false },
		{ "unix:", -EINVAL, false },
	};
	struct sockaddr_place p;
	char                  err[SOCKADDR_ERR_BYTES], longer[200] = "unix:";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = sockaddr_parse(cases[i].where, &p, err);

		if (r != cases[i].r)
			fail_msg("%s: %d", cases[i].where, r);
		if (r == 0)
			assert_int_equal(sockaddr_is_local(&p), cases[i].local);
	}
	memset(longer + 5, 'x', 150);
	assert_int_equal(sockaddr_parse(longer, &p, err), -ENAMETOOLONG);
	longer[5 + 107] = 0;
	assert_int_equal(sockaddr_parse(longer, &p, err), 0);
}

static void test_address_text(void **state)
{
	struct sockaddr_place p;
	char                  err[SOCKADDR_ERR_BYTES], text[80];
	static const char *const cases[][2] = {
		{ "127.0.0.1:80", "127.0.0.1:80" },
		{ "[::1]:80", "[::1]:80" },
		{ "unix:/a/b", "unix:/a/b" },
		{ "unix:/a\n\033[2J\xff%s", "unix:/a??[2J?%s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(sockaddr_parse(cases[i][0], &p, err), 0);
		sockaddr_text((struct sockaddr *)&p.ss, p.len, text,
			      sizeof(text));
		assert_string_equal(text, cases[i][1]);
	}
	p.len = sizeof(sa_family_t); /* a client that is bound to nothing */
	sockaddr_text((struct sockaddr *)&p.ss, p.len, text, sizeof(text));
	assert_string_equal(text, "unix");
}

/* An IPv4 address and its IPv6-mapped form count as one, others do not. */
static void test_address_keys(void **state)
{
	static const char *const same[] = { "1.2.3.4:1", "1.2.3.4:2",
					    "[::ffff:1.2.3.4]:3" };
	static const char *const other[] = { "1.2.3.40:1", "[::1.2.3.4]:1" };
	struct sockaddr_place    p;
	char                     err[SOCKADDR_ERR_BYTES];
	uint8_t                  a[16], b[16];

	(void)state;
	assert_int_equal(sockaddr_parse(same[0], &p, err), 0);
	sockaddr_key((struct sockaddr *)&p.ss, a);
	for (size_t i = 1; i < ARRAY_LEN(same); i++) {
		assert_int_equal(sockaddr_parse(same[i], &p, err), 0);
		sockaddr_key((struct sockaddr *)&p.ss, b);
		assert_memory_equal(a, b, 16);
	}
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		assert_int_equal(sockaddr_parse(other[i], &p, err), 0);
		sockaddr_key((struct sockaddr *)&p.ss, b);
		assert_memory_not_equal(a, b, 16);
	}
}

/* Over TCP, with the limit of handshakes from one address. */
static void test_tcp(void **state)
{
	struct child       c = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct timeval     tv = { .tv_sec = 20 };
	int                fd[20], port = 30000 + (int)(getpid() % 20000);
	unsigned           refused = 0;

	(void)state;
	snprintf(c.where, sizeof(c.where), "127.0.0.1:%d", port);
	child_start(&c);
	in.sin_port = htons((uint16_t)port);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		char b[18];

		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd[i], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		assert_int_equal(connect(fd[i], (struct sockaddr *)&in,
					 sizeof(in)),
				 0);
		refused += !get_all(fd[i], b, sizeof(b));
	}
	assert_int_equal(refused, 4);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++)
		close(fd[i]);
	snprintf(c.uri, sizeof(c.uri), "nbd://127.0.0.1:%d/", port);
	/* The server may not have seen yet that those have gone. */
	for (unsigned i = 0; i < 100; i++) {
		struct nbd_handle *h = nbd_create();
		int                r = nbd_connect_uri(h, c.uri);

		nbd_close(h);
		if (r == 0)
			break;
		assert_true(i < 99);
		usleep(20000);
	}
	child_stop(&c, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_libnbd),
		cmocka_unit_test(test_libnbd_deep),
		cmocka_unit_test(test_libnbd_list),
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
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_text),
		cmocka_unit_test(test_address_keys),
		cmocka_unit_test(test_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
