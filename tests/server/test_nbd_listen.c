/* tests/server/test_nbd_listen.c - where the NBD server listens: sockets that
 * are taken or stale, addresses and their text, TCP and its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <libnbd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/sockaddr.h"
#include "tests/server/disk_kit.h"
#include "tests/server/nbd_child.h"

#define MB (1u << 20)

/* --- sockets ------------------------------------------------------------- */

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
	snprintf(where, sizeof(where), "127.0.0.1:%u", kit_free_port());
	assert_int_equal(try_listen(where, err), 0);
	snprintf(where, sizeof(where), "[::1]:%u", kit_free_port());
	assert_int_equal(try_listen(where, err), 0);
	assert_true(try_listen("192.0.2.77:10809", err) < 0);
	assert_non_null(strstr(err, "192.0.2.77:10809"));
}

/* Over TCP, with the limit of handshakes from one address. */
static void test_tcp(void **state)
{
	struct child       c = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct timeval     tv = { .tv_sec = PATIENCE_S };
	int                fd[20], port = (int)kit_free_port();
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
	for (unsigned i = 0;; i++) {
		struct nbd_handle *h = nbd_create();
		int                r = nbd_connect_uri(h, c.uri);

		nbd_close(h);
		if (r == 0)
			break;
		assert_true(i < PATIENCE_S * 50);
		usleep(20000);
	}
	child_stop(&c, NULL);
}

/* --- addresses ----------------------------------------------------------- */

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stale_socket),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_address_text),
		cmocka_unit_test(test_address_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
