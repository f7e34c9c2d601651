/* Reads on a socket of our own: replies in any order, in any pieces, with
 * errors among them, get to where they belong; nonsense and the end of the
 * connection end it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka needs the headers above first. */
#include <cmocka.h>

#include "base/prng.h"
#include "tools/tarn/send_lane.c"

#define BUF_BYTES (256u << 10)

int send_connect(struct nbd_handle *nbd, const char *listen,
		 const char *export_name, char *ret_error)
{
	(void)nbd;
	(void)listen;
	(void)export_name;
	(void)ret_error;
	abort(); /* these tests bring their own socket */
}

struct fixture {
	struct send_lane lane;
	int      server;                 /* the other end */
	uint8_t *bufs[LANE_READS_MAX];
	unsigned ended[LANE_READS_MAX];  /* times */
	int      error[LANE_READS_MAX];
	unsigned nended;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2], bytes = 4 << 20;

	assert_non_null(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	f->lane.fd = fds[0];
	f->server = fds[1];
	for (unsigned i = 0; i < LANE_READS_MAX; i++)
		f->bufs[i] = malloc(BUF_BYTES);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	close(f->lane.fd);
	close(f->server);
	for (unsigned i = 0; i < LANE_READS_MAX; i++)
		free(f->bufs[i]);
	free(f);
	return 0;
}

static void ended(void *user, unsigned i, int error)
{
	struct fixture *f = user;

	f->ended[i]++;
	f->error[i] = error;
	f->nended++;
}

/* What read i of len bytes at off is answered with. */
static void fill(uint8_t *buf, uint64_t off, uint32_t len)
{
	for (uint32_t k = 0; k < len; k++)
		buf[k] = (uint8_t)((off + k) * 7 + (off >> 9));
}

static void head(uint8_t *p, uint32_t magic, uint32_t error, uint64_t cookie)
{
	struct lane_reply r = { .magic = be32_of(magic),
				.error = be32_of(error),
				.cookie = be64_of(cookie) };

	memcpy(p, &r, sizeof(r));
}

static bool nonsense_after(struct fixture *f, const void *bytes, size_t n)
{
	bool nonsense = false;

	assert_int_equal(write(f->server, bytes, n), n);
	assert_int_equal(send_lane_receive(&f->lane, ended, f, &nonsense), -1);
	assert_true(f->lane.cut);
	return nonsense;
}

/* The requests, as they arrive. */
static unsigned requests(struct fixture *f, struct lane_request *reqs)
{
	ssize_t n;

	assert_int_equal(send_lane_send(&f->lane), 0);
	assert_int_equal(send_lane_events(&f->lane), POLLIN);
	n = read(f->server, reqs, LANE_READS_MAX * sizeof(*reqs));
	assert_true(n > 0 && n % (ssize_t)sizeof(*reqs) == 0);
	return (unsigned)n / (unsigned)sizeof(*reqs);
}

/* All of reqs in random order, one in eight with an error; returns bytes. */
static size_t replies(struct prng *rnd, struct lane_request *reqs, unsigned n,
		      uint8_t *out)
{
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = i + (unsigned)prng_below(rnd, n - i);
		struct lane_request q = reqs[k];
		uint32_t len = be32_get(q.len);
		bool     bad = prng_below(rnd, 8) == 0;

		reqs[k] = reqs[i];
		assert_int_equal(be32_get(q.magic), MAGIC_REQUEST);
		assert_int_equal(be16_get(q.type), CMD_READ);
		head(out + at, MAGIC_REPLY, bad ? ESHUTDOWN : 0,
		     be64_get(q.cookie));
		at += sizeof(struct lane_reply);
		if (bad)
			continue;
		fill(out + at, be64_get(q.off), len);
		at += len;
	}
	return at;
}

static void random_round(struct fixture *f, struct prng *rnd)
{
	static uint8_t out[LANE_READS_MAX * (BUF_BYTES + 16)];
	uint64_t off[LANE_READS_MAX];
	uint32_t len[LANE_READS_MAX];
	struct lane_request reqs[LANE_READS_MAX];
	unsigned n = 1 + (unsigned)prng_below(rnd, LANE_READS_MAX);
	size_t   bytes, at = 0;
	bool     nonsense = false;
	static uint8_t want[BUF_BYTES];

	memset(f->ended, 0, sizeof(f->ended));
	f->nended = 0;
	for (unsigned i = 0; i < n; i++) {
		off[i] = prng_below(rnd, 1ull << 40);
		len[i] = 1 + (uint32_t)prng_below(
				     rnd, prng_below(rnd, 8) == 0 ? BUF_BYTES :
								    5000);
		send_lane_read(&f->lane, i, off[i], f->bufs[i], len[i]);
	}
	assert_int_equal(requests(f, reqs), n);
	bytes = replies(rnd, reqs, n, out);
	while (at < bytes) {
		size_t part = min_u64(bytes - at,
				      1 + prng_below(rnd, 1u << 18));

		assert_int_equal(write(f->server, out + at, part), part);
		at += part;
		assert_int_equal(send_lane_receive(&f->lane, ended, f,
						   &nonsense), 0);
		/* One that was full may have left something. */
		while (recv(f->lane.fd, want, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			assert_int_equal(send_lane_receive(&f->lane, ended, f,
							   &nonsense), 0);
	}
	assert_int_equal(f->nended, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(f->ended[i], 1);
		fill(want, off[i], len[i]);
		if (f->error[i] == 0)
			assert_memory_equal(f->bufs[i], want, len[i]);
		else
			assert_int_equal(f->error[i], ESHUTDOWN);
	}
}

static void test_random(void **state)
{
	struct prng rnd;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		prng_init(&rnd, seed);
		random_round(*state, &rnd);
	}
}

/* Answered one by one, and asked anew while others wait: the requests never
 * need more room than there is. */
static void test_refill(void **state)
{
	struct fixture *f = *state;
	struct lane_request reqs[LANE_READS_MAX];
	uint8_t  reply[16 + 8];
	bool     nonsense = false;
	unsigned n;

	for (unsigned i = 0; i < LANE_READS_MAX; i++)
		send_lane_read(&f->lane, i, i * 8, f->bufs[i], 8);
	assert_int_equal(send_lane_events(&f->lane), POLLIN | POLLOUT);
	n = requests(f, reqs);
	assert_int_equal(n, LANE_READS_MAX);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned k = i * 37 % LANE_READS_MAX;

		head(reply, MAGIC_REPLY, 0, k);
		fill(reply + 16, k, 8);
		assert_int_equal(write(f->server, reply, sizeof(reply)),
				 sizeof(reply));
		assert_int_equal(send_lane_receive(&f->lane, ended, f,
						   &nonsense), 0);
		send_lane_read(&f->lane, k, k, f->bufs[k], 8);
		assert_int_equal(send_lane_send(&f->lane), 0);
		if (i % 5 == 0)
			requests(f, reqs);
	}
	assert_int_equal(f->nended, 1000);
}

static void test_nonsense_magic(void **state)
{
	struct fixture *f = *state;
	uint8_t reply[16];

	send_lane_read(&f->lane, 3, 0, f->bufs[3], 8);
	assert_int_equal(send_lane_send(&f->lane), 0);
	head(reply, MAGIC_REPLY + 1, 0, 3);
	assert_true(nonsense_after(f, reply, sizeof(reply)));
	assert_int_equal(f->nended, 0);
}

/* Of what was not asked, of what has been answered, beyond all numbers. */
static void test_nonsense_cookie(void **state)
{
	struct fixture *f = *state;
	static const uint64_t cookies[] = { 4, 3, LANE_READS_MAX, UINT64_MAX };
	uint8_t reply[16 + 8 + 16] = { 0 };

	for (unsigned i = 0; i < ARRAY_LEN(cookies); i++) {
		send_lane_read(&f->lane, 3, 0, f->bufs[3], 8);
		assert_int_equal(send_lane_send(&f->lane), 0);
		head(reply, MAGIC_REPLY, 0, 3);
		head(reply + 24, MAGIC_REPLY, 0, cookies[i]);
		assert_true(nonsense_after(f, reply, sizeof(reply)));
		assert_int_equal(f->nended, i + 1);
		f->lane.in_at = f->lane.in_bytes = 0;
		f->lane.cut = false;
	}
}

/* Of what has been asked for, but not yet of the server. */
static void test_nonsense_early(void **state)
{
	struct fixture *f = *state;
	uint8_t reply[16 + 8] = { 0 };

	send_lane_read(&f->lane, 3, 0, f->bufs[3], 8);
	head(reply, MAGIC_REPLY, 0, 3);
	assert_true(nonsense_after(f, reply, sizeof(reply)));
	assert_int_equal(f->nended, 0);
}

/* An error that NBD does not have is one, too. */
static void test_error(void **state)
{
	struct fixture *f = *state;
	uint8_t reply[16];
	bool    nonsense = false;

	send_lane_read(&f->lane, 0, 0, f->bufs[0], 8);
	assert_int_equal(send_lane_send(&f->lane), 0);
	head(reply, MAGIC_REPLY, 0xdeadbeef, 0);
	assert_int_equal(write(f->server, reply, 16), 16);
	assert_int_equal(send_lane_receive(&f->lane, ended, f, &nonsense), 0);
	assert_int_equal(f->error[0], EIO);
}

static void test_cut(void **state)
{
	struct fixture *f = *state;
	uint8_t reply[16 + 4] = { 0 };
	bool    nonsense = false;

	send_lane_read(&f->lane, 0, 0, f->bufs[0], 8);
	assert_int_equal(send_lane_send(&f->lane), 0);
	head(reply, MAGIC_REPLY, 0, 0);
	assert_int_equal(write(f->server, reply, sizeof(reply)),
			 sizeof(reply));
	shutdown(f->server, SHUT_RDWR);
	while (send_lane_receive(&f->lane, ended, f, &nonsense) == 0)
		;
	assert_true(f->lane.cut && !nonsense);
	assert_int_equal(f->nended, 0);
	send_lane_read(&f->lane, 1, 0, f->bufs[1], 8);
	assert_int_equal(send_lane_send(&f->lane), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_random),
		TEST(test_refill),
		TEST(test_nonsense_magic),
		TEST(test_nonsense_cookie),
		TEST(test_nonsense_early),
		TEST(test_error),
		TEST(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
