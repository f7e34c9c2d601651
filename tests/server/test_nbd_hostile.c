/* tests/server/test_nbd_hostile.c - what a client must not do, and what the
 * server does then: refusals, disconnections, limits; without sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/server/nbd_talk.h"

/* --- refusals ----------------------------------------------------------- */

static void test_refusals(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "mem");
		uint64_t     end = MEM_BYTES;

		req(t, 0, 0, 1, end, 1);
		req(t, 0, 0, 2, end - 1, 2);
		req(t, 0, 0, 3, UINT64_MAX, 0xffffffff);
		put_write(t, 0, 4, end - 1, 2, 0xff);
		put_write(t, 0, 5, UINT64_MAX - 3, 4, 0xff);
		req(t, 4, 0, 6, end - 1, 2);
		req(t, 6, 0, 7, end - 1, 2);
		req(t, 5, 0, 8, end, 0xffffffff);
		req(t, 3, 0, 9, 1, 0);
		req(t, 3, 0, 10, 0, 1);
		req(t, 9, 0, 11, 0, 1);
		req(t, 65535, 0, 12, 0, 1);
		req(t, 0, F_NO_HOLE, 13, 0, 1);
		req(t, 4, F_FAST, 14, 0, 1);
		req(t, 3, 0x8000, 15, 0, 0);
		put_write(t, 0x4000, 16, 0, 9, 0xff);
		req(t, 7, 0, 17, end, 1);
		req(t, 7, 0, 18, 0, 0);
		/* What is odd and allowed. */
		req(t, 0, F_FUA, 20, end - 1, 1);
		req(t, 4, 0, 21, 0, 0);
		put_write(t, 0, 22, end, 0, 0);
		talk_run(t);
		expect_end(t, 1, 22);
		expect_end(t, 2, 22);
		expect_end(t, 3, 22);
		expect_end(t, 4, 28);
		expect_end(t, 5, 28);
		expect_end(t, 6, 22);
		expect_end(t, 7, 28);
		for (unsigned i = 8; i <= 18; i++)
			expect_end(t, i, 22);
		/* Answered at once, those with an export a little later. */
		expect_end(t, 21, 0);
		expect_end(t, 22, 0);
		expect_read(t, 20, end - 1, 1);
		assert_int_equal(t->rd.len, 0);
		assert_int_equal(ctl->writes, 0);
		talk_end(t);
	}
}

static void test_read_only(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "ro");

		put_write(t, 0, 1, 0, 4096, 0xff);
		put_write(t, F_FUA, 2, 0, 32 * MB, 0xff);
		req(t, 4, 0, 3, 0, 4096);
		req(t, 6, 0, 4, 0, 4096);
		req(t, 3, 0, 5, 0, 0);
		talk_run(t);
		for (unsigned i = 1; i <= 4; i++)
			expect_end(t, i, 1);
		expect_end(t, 5, 0);
		assert_int_equal(ctl->writes, 0);
		talk_end(t);
	}
}

static void test_coarse(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "coarse");

		req(t, 0, 0, 1, 1, 512);
		req(t, 0, 0, 2, 512, 1);
		put_write(t, 0, 3, 512, 511, 0xff);
		req(t, 3, 0, 4, 0, 0);
		req(t, 4, 0, 5, 0, 512);
		req(t, 6, 0, 6, 0, 512);
		req(t, 5, 0, 7, 0, 512);
		req(t, 0, F_FUA, 8, 0, 512);
		put_write(t, 0, 9, 512, 512, 0x77);
		req(t, 0, 0, 10, 512, 1024);
		talk_run(t);
		for (unsigned i = 1; i <= 8; i++)
			expect_end(t, i, 22);
		expect_end(t, 9, 0);
		expect_read(t, 10, 512, 1024);
		assert_int_equal(image[1023], 0x77);
		assert_int_equal(image[1024], 0);
		talk_end(t);
	}
}

static void test_export_errors(void **state)
{
	static const struct {
		int      err;
		uint32_t nbd;
	} cases[] = {
		{ -EIO, 5 },       { -EBADMSG, 5 },   { -ENOSPC, 28 },
		{ -EROFS, 1 },     { -ENOMEM, 12 },   { -ESHUTDOWN, 108 },
		{ -ECANCELED, 108 }, { -EINVAL, 22 }, { -EOPNOTSUPP, 5 },
		{ -ENODATA, 5 },   { -1000, 5 },
	};

	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct talk *t = talk_new(mode, "mem");

			ctl->fail = cases[i].err;
			req(t, 0, 0, 1, 0, 4096);
			put_write(t, 0, 2, 0, 100000, 1);
			req(t, 3, 0, 3, 0, 0);
			if (mode > 0)
				req(t, 7, 0, 4, 0, 4096);
			talk_run(t);
			for (unsigned k = 1; k <= (mode > 0 ? 4 : 3); k++)
				expect_end(t, k, cases[i].nbd);
			talk_end(t);
		}
	}
}

/* All flags of all commands in all modes: each gets one whole reply, and what
 * follows is still understood. */
static void test_all_flags(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		for (uint16_t type = 0; type < 12; type++) {
			struct talk *t = talk_new(mode, "mem");
			unsigned     replies = 0, want = 0;

			if (type == 2)
				type++;
			for (uint16_t f = 0; f < 128; f++) {
				bool payload = mode == 2 ? f & F_LEN :
							   type == 1;

				if (mode == 2 && type == 1 && !payload)
					continue;
				req(t, type, f, f, 0, payload ? 12 : 4096);
				raw_fill(&t->in, 0x25, payload ? 12 : 0);
				want++;
			}
			talk_run(t);
			while (t->rd.len > 0) {
				struct rd_reply r;

				assert_true(rd_reply(&t->rd, mode,
						     type == 0 ? 4096 : 0, &r));
				replies += r.flags & 1;
			}
			assert_int_equal(replies, want);
			assert_int_equal(t->w.nlog, 0);
			talk_end(t);
		}
	}
}

/* --- disconnected ------------------------------------------------------- */

/* in: what follows a good write that must be the last thing carried out. */
static void expect_drop(struct talk *t, const char *why)
{
	talk_run(t);
	assert_true(t->w.closed);
	assert_int_equal(t->w.nlog, 1);
	assert_non_null(strstr(t->w.log, why));
	assert_int_equal(ctl->writes, 0);
	assert_int_equal(ctl->users, 0);
	talk_end(t);
}

static void test_drops(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		static const uint32_t lens[] = { 32 * MB + 1, 1u << 31,
						 0xffffffff };
		struct talk *t;

		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			t = talk_new(mode, "mem");
			req(t, 1, mode == 2 ? F_LEN : 0, 1, 0, lens[i]);
			/* Data that looks like a request. */
			put_write(t, 0, 2, 0, 4096, 1);
			expect_drop(t, "more than 32 MiB");
		}
		t = talk_new(mode, "mem");
		raw_fill(&t->in, 0x55, 500);
		expect_drop(t, "not a request");

		/* The other mode's requests. */
		t = talk_new(mode, "mem");
		t->in.mode = mode == 2 ? 1 : 2;
		raw_req(&t->in, 3, 0, 1, 0, 0);
		raw_fill(&t->in, 0, 64);
		expect_drop(t, "not a request");
	}
	struct talk *t = talk_new(2, "mem");

	req(t, 1, 0, 1, 0, 4096);
	put_write(t, 0, 2, 0, 4096, 1);
	expect_drop(t, "does not say how long");
	t = talk_new(2, "mem");
	req(t, 3, F_LEN, 1, 0, UINT64_MAX);
	expect_drop(t, "more than 32 MiB");
}

/* Good-bye and end of stream with requests in flight: they end, their replies
 * are still sent; what comes behind the good-bye is not looked at. */
static void test_goodbye(void **state)
{
	(void)state;
	for (int eof = 0; eof < 2; eof++) {
		struct talk *t = talk_new(1, "mem");

		ctl->hold = 1;
		put_write(t, 0, 1, 0, 4096, 0x5a);
		req(t, 0, 0, 2, 0, 4096);
		if (!eof) {
			req(t, 2, 0, 3, 0, 0);
			put_write(t, 0, 4, 0, 4096, 0xff);
		}
		talk_run(t);
		assert_false(t->w.closed);
		assert_int_equal(t->rd.len, 0);
		ctl->hold = 0;
		wire_sleep(&t->w, NS_PER_S);
		talk_rewind(t);
		expect_end(t, 1, 0);
		expect_read(t, 2, 0, 4096);
		assert_int_equal(image[0], 0x5a);
		assert_true(t->w.closed);
		assert_int_equal(ctl->writes, 1);
		talk_end(t);
	}
}

/* The export goes away with requests in flight. */
static void test_gone(void **state)
{
	struct talk *t = talk_new(1, "mem");

	(void)state;
	ctl->hold = 1;
	t->w.hang = true;
	for (unsigned i = 0; i < 10; i++)
		put_write(t, 0, i, 0, i % 2 ? 4096 : 100000, 1);
	talk_run(t);
	ctl->gone = 1;
	wire_sleep(&t->w, NS_PER_S);
	assert_int_equal(ctl->users, 1); /* requests still use it */
	ctl->hold = 0;
	wire_sleep(&t->w, NS_PER_S);
	assert_true(t->w.closed);
	assert_int_equal(ctl->users, 0);
	assert_int_equal(t->rd.len, 0);
	assert_non_null(strstr(t->w.log, "export has gone"));
	talk_end(t);
}

/* --- limits ------------------------------------------------------------- */

static void test_inflight(void **state)
{
	struct talk *t = talk_new(1, "mem");

	(void)state;
	ctl->hold = 1;
	t->w.hang = true;
	for (unsigned i = 0; i < 5000; i++)
		req(t, 0, 0, i, 0, 512);
	talk_run(t);
	assert_int_equal(ctl->submitted, 128);
	ctl->hold = 0;
	wire_sleep(&t->w, NS_PER_S);
	talk_rewind(t);
	for (unsigned i = 0; i < 5000; i++)
		expect_read(t, i, 0, 512);
	assert_int_equal(t->rd.len, 0);
	talk_end(t);
}

/* Requests with as much memory as the limit allows, and more to come. */
static void test_memory(void **state)
{
	(void)state;
	for (int rw = 0; rw < 2; rw++) {
		struct talk *t = talk_new(1, "mem");

		ctl->hold = 1;
		t->w.hang = true;
		for (unsigned i = 0; i < 20; i++) {
			if (rw)
				put_write(t, 0, i, 0, 8 * MB, (uint8_t)i);
			else
				req(t, 0, F_DF, i, 0, 8 * MB);
		}
		req(t, 0, F_DF, 99, 0, 1);
		talk_run(t);
		assert_true(ctl->submitted > 8 && ctl->submitted <= 64);
		assert_true(bufpool_used_bytes(t->w.bufs) <= 72 * MB);
		ctl->hold = 0;
		wire_sleep(&t->w, NS_PER_S);
		talk_rewind(t);
		for (unsigned i = 0; i < 20; i++) {
			if (rw)
				expect_end(t, i, 0);
			else
				expect_read(t, i, 0, 8 * MB);
		}
		expect_read(t, 99, 0, 1);
		assert_int_equal(image[0], rw ? 19 : 0);
		talk_end(t);
	}
}

/* A client that reads slowly waits for itself: that is no lack of memory. */
static void test_slow_reader(void **state)
{
	struct talk *t = talk_new(1, "mem");

	(void)state;
	t->w.hang = true;
	t->w.send_max = 65536;
	for (unsigned i = 0; i < 30; i++)
		req(t, 0, F_DF, i, 0, 8 * MB);
	talk_run(t);
	t->w.stuck = true;
	for (unsigned i = 30; i < 60; i++)
		req(t, 0, F_DF, i, 0, 8 * MB);
	talk_run(t);
	for (unsigned i = 0; i < 5; i++) {
		wire_sleep(&t->w, 25 * NS_PER_S);
		t->w.stuck = false;
		io_run(&t->w.io, 0);
		t->w.stuck = true;
	}
	t->w.stuck = false;
	talk_run(t);
	for (unsigned i = 0; i < 60; i++)
		expect_read(t, i, 0, 8 * MB);
	talk_end(t);
}

/* Memory that somebody else holds: wait; if it does not come, say so. */
static void test_no_memory(void **state)
{
	struct talk *t = talk_new(1, "mem");
	void        *hog;

	(void)state;
	t->w.hang = true;
	talk_run(t);
	hog = bufpool_get(t->w.bufs, bufpool_arena_bytes(t->w.bufs));
	assert_non_null(hog);
	req(t, 0, 0, 1, 0, 4096);
	put_write(t, 0, 2, 0, 100000, 7);
	req(t, 3, 0, 3, 0, 0);
	talk_run(t);
	assert_int_equal(t->rd.len, 0);
	wire_sleep(&t->w, 5 * NS_PER_S);
	bufpool_put(t->w.bufs, hog);
	wire_sleep(&t->w, NS_PER_S);
	talk_rewind(t);
	expect_read(t, 1, 0, 4096);
	expect_end(t, 2, 0);
	expect_end(t, 3, 0);

	/* Idle for a while: the receive buffer goes back. */
	wire_sleep(&t->w, 5 * NS_PER_S);
	hog = bufpool_get(t->w.bufs, bufpool_arena_bytes(t->w.bufs));
	assert_non_null(hog);
	req(t, 0, 0, 4, 0, 4096);
	put_write(t, 0, 5, 0, 100000, 7);
	put_write(t, 0, 6, 0, 4096, 8);
	talk_run(t);
	wire_sleep(&t->w, 30 * NS_PER_S);
	talk_rewind(t);
	expect_read(t, 1, 0, 4096);
	expect_end(t, 2, 0);
	expect_end(t, 3, 0);
	expect_end(t, 4, 12);
	expect_end(t, 5, 12);
	expect_end(t, 6, 0);
	bufpool_put(t->w.bufs, hog);
	talk_end(t);
}

static void test_time_limits(void **state)
{
	struct talk *t;

	(void)state;
	/* Never negotiates. */
	t = talk_new(1, "mem");
	t->in.len = 10;
	t->w.in = t->in.p;
	t->w.in_len = 10;
	t->w.hang = true;
	wire_open(&t->w, ctl, NULL);
	wire_sleep(&t->w, 9 * NS_PER_S);
	assert_false(t->w.closed);
	wire_sleep(&t->w, 2 * NS_PER_S);
	assert_true(t->w.closed);
	assert_non_null(strstr(t->w.log, "too long to negotiate"));
	talk_end(t);

	/* Stops in the middle of a request, or of its data. */
	for (int k = 0; k < 4; k++) {
		t = talk_new(1, "mem");
		t->w.hang = true;
		put_write(t, 0, 1, 0, k == 3 ? 100000 : 4096, 1);
		t->in.len -= k == 0 ? 4096 + 5 : 1;
		if (k == 2) {
			t->in.len = 0; /* a refused one's */
			raw_connect(&t->in, 1, "ro");
			put_write(t, 0, 1, 0, 4096, 1);
			t->in.len--;
		}
		talk_run(t);
		wire_sleep(&t->w, 25 * NS_PER_S);
		assert_false(t->w.closed);
		wire_sleep(&t->w, 10 * NS_PER_S);
		assert_true(t->w.closed);
		assert_non_null(strstr(t->w.log, "middle of a request"));
		assert_int_equal(ctl->writes, 0);
		talk_end(t);
	}

	/* Does not read its replies. */
	t = talk_new(1, "mem");
	t->w.hang = true;
	talk_run(t);
	t->w.stuck = true;
	for (unsigned i = 0; i < 1000; i++)
		req(t, 0, 0, i, 0, 65536);
	talk_run(t);
	wire_sleep(&t->w, 25 * NS_PER_S);
	assert_false(t->w.closed);
	assert_true(ctl->submitted <= 128);
	wire_sleep(&t->w, 10 * NS_PER_S);
	assert_true(t->w.closed);
	assert_non_null(strstr(t->w.log, "does not read"));
	assert_int_equal(bufpool_used_bytes(t->w.bufs), 0);
	talk_end(t);

	/* Idle is fine, and costs no wake-up. */
	t = talk_new(1, "mem");
	t->w.hang = true;
	req(t, 0, 0, 1, 0, 65536);
	talk_run(t);
	wire_sleep(&t->w, 3600 * NS_PER_S);
	assert_false(t->w.closed);
	assert_true(io_next_deadline_ns(&t->w.io) == UINT64_MAX);
	assert_int_equal(bufpool_used_bytes(t->w.bufs), 0);
	talk_end(t);
}

/* The server closes while requests are held: they end first, or time does. */
static void test_close(void **state)
{
	struct talk *t = talk_new(1, "mem");

	(void)state;
	t->w.hang = true;
	ctl->hold = 1;
	put_write(t, 0, 1, 0, 4096, 1);
	put_write(t, 0, 2, 0, 100000, 1);
	t->in.len -= 50000; /* arriving */
	talk_run(t);
	ctl->hold = 0;
	talk_end(t);
	assert_int_equal(ctl->writes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_coarse),
		cmocka_unit_test(test_export_errors),
		cmocka_unit_test(test_all_flags),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_goodbye),
		cmocka_unit_test(test_gone),
		cmocka_unit_test(test_inflight),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_time_limits),
		cmocka_unit_test(test_close),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(ctl);
	return r;
}
