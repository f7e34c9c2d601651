/* tests/server/test_nbd_requests.c - the transmission phase of a whole
 * connection, without sockets: every command in every mode, cut everywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"
#include "tests/server/nbd_talk.h"

/* --- sound clients ------------------------------------------------------ */

static void run_basic(int mode, size_t recv_max, size_t send_max)
{
	struct talk *t = talk_new(mode, "mem");

	t->w.recv_max = recv_max;
	t->w.send_max = send_max;
	put_write(t, 0, 1, 4096, 8192, 0x11);
	put_write(t, F_FUA, 2, 100, 50, 0x22);
	req(t, 0, 0, 3, 0, 16384);
	req(t, 3, 0, 4, 0, 0);
	req(t, 4, 0, 5, 4096, 4096);
	req(t, 6, F_NO_HOLE, 6, 8192, 4096);
	req(t, 5, 0, 7, 0, MB);
	req(t, 0, 0, 8, 1, 12287);
	req(t, 2, 0, 9, 0, 0);
	talk_run(t);
	expect_end(t, 1, 0);
	expect_end(t, 2, 0);
	expect_read(t, 3, 0, 16384);
	for (unsigned i = 0; i < 16384; i++) {
		uint8_t want = i >= 100 && i < 150 ? 0x22 :
			       i >= 4096 && i < 12288 ? 0x11 : 0;

		assert_int_equal(image[i], want);
	}
	for (unsigned i = 4; i <= 7; i++)
		expect_end(t, i, 0);
	expect_read(t, 8, 1, 12287);
	for (unsigned i = 1; i < 12288; i++)
		assert_int_equal(image[i], i >= 100 && i < 150 ? 0x22 : 0);
	assert_int_equal(t->rd.len, 0);
	assert_true(t->w.closed);
	assert_int_equal(ctl->fua, 1);
	assert_int_equal(ctl->flushes, 1);
	assert_int_equal(t->w.nlog, 0);
	talk_end(t);
}

static void test_basic(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		run_basic(mode, 0, 0);
		for (size_t cut = 1; cut < 70; cut++)
			run_basic(mode, cut, 0);
		run_basic(mode, 0, 1);
		run_basic(mode, 1000, 33);
		run_basic(mode, 4097, 4095);
	}
}

/* The client dies after each byte: nothing half done, nothing leaks. */
static void test_dies_anywhere(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		size_t total = SIZE_MAX;

		for (size_t cut = 0; cut <= total; cut++) {
			struct talk *t = talk_new(mode, "mem");
			size_t       before = t->in.len;
			uint32_t     head = mode == 2 ? 32 : 28;

			put_write(t, 0, 1, 0, 64, 0x33);
			req(t, 0, 0, 2, 0, 64);
			total = t->in.len;
			t->in.len = cut;
			t->w.in = t->in.p;
			t->w.in_len = cut;
			wire_open(&t->w, ctl, NULL);
			wire_run(&t->w);
			assert_true(t->w.closed);
			assert_int_equal(ctl->writes,
					 cut >= before + head + 64 ? 1 : 0);
			talk_end(t);
		}
	}
}

/* Large writes arrive in their own buffers, whatever comes before and after
 * them in the same receive. */
static void run_large(int mode, size_t recv_max)
{
	static const uint32_t lens[] = { 32768, 32769, 100000, 1 << 20, 3000000,
					 4096 };
	struct talk *t = talk_new(mode, "mem");
	uint64_t     off = 0;

	t->w.recv_max = recv_max;
	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		put_write(t, 0, i, off, lens[i], (uint8_t)(i + 1));
		req(t, 0, F_DF * (mode > 0), 100 + i, off, lens[i]);
		off += lens[i] + 1000;
	}
	talk_run(t);
	off = 0;
	for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
		expect_end(t, i, 0);
		assert_int_equal(expect_read(t, 100 + i, off, lens[i]), 1);
		for (uint32_t k = 0; k < lens[i]; k++)
			assert_int_equal(image[off + k], i + 1);
		off += lens[i] + 1000;
	}
	assert_int_equal(t->rd.len, 0);
	talk_end(t);
}

static void test_large(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		run_large(mode, 0);
		run_large(mode, 1000);
		run_large(mode, 5000);
		run_large(mode, 70000);
	}
}

/* After a large write headers are received one by one, so that the next one's
 * data need not be copied; but only as long as there are large writes. */
static void test_receives(void **state)
{
	struct nbd_server_stats st;
	struct talk            *t = talk_new(1, "mem");

	(void)state;
	t->w.hang = true;
	put_write(t, 0, 1, 0, MB, 1);
	talk_run(t);
	nbd_server_stats(t->w.srv, &st);
	assert_true(st.recv_calls < 10);
	for (unsigned i = 0; i < 1000; i++)
		req(t, 0, 0, i, 0, 4096);
	talk_run(t);
	nbd_server_stats(t->w.srv, &st);
	assert_true(st.recv_calls < 25);
	assert_int_equal(st.requests, 1001);
	talk_end(t);
}

/* The client dies within a large write: some of its first parts are carried
 * out, it is not answered, and nothing stays behind. */
static void test_dies_in_large(void **state)
{
	(void)state;
	for (size_t cut = 1; cut < 3000000; cut += 99991) {
		struct talk *t = talk_new(1, "mem");

		t->w.recv_max = cut % 5 ? 30000 : 0;
		put_write(t, 0, 1, MB / 2, 3000000, 0x33);
		t->in.len -= cut;
		talk_run(t);
		assert_true(t->w.closed);
		assert_int_equal(t->rd.len, 0);
		assert_int_equal(ctl->writes,
				 (3000000 - cut + MB / 2) / MB);
		talk_end(t);
	}
}

/* Parts of a read fail, and only that read. */
static void test_split_fails(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "mem");

		ctl->fail_at = 3;
		req(t, 0, 0, 1, 12345, 5 * MB);
		put_write(t, 0, 2, 10 * MB + 1, 5 * MB, 0x66);
		req(t, 0, 0, 3, 10 * MB + 1, 5 * MB);
		talk_run(t);
		expect_end(t, 1, 5);
		expect_end(t, 2, 0);
		expect_read(t, 3, 10 * MB + 1, 5 * MB);
		assert_int_equal(image[12 * MB], 0x66);
		talk_end(t);
	}
}

/* The largest read and write there may be. */
static void test_largest(void **state)
{
	(void)state;
	for (int mode = 0; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "mem");

		t->w.hang = true;
		put_write(t, 0, 1, MB, 32 * MB, 0x44);
		req(t, 0, 0, 2, MB, 32 * MB);
		req(t, 0, 0, 3, MB - 1, 32 * MB);
		talk_run(t);
		req(t, 0, 0, 4, MB, 32 * MB + 1);
		req(t, 0, 0, 5, 0, 0xffffffff);
		talk_run(t);
		expect_end(t, 1, 0);
		expect_read(t, 2, MB, 32 * MB);
		assert_int_equal(image[33 * MB - 1], 0x44);
		expect_read(t, 3, MB - 1, 32 * MB);
		assert_int_equal(image[MB - 1], 0);
		assert_int_equal(image[MB], 0x44);
		expect_end(t, 4, mode == 0 ? 22 : 75);
		expect_end(t, 5, 22);
		talk_end(t);
	}
}

/* --- holes -------------------------------------------------------------- */

static void run_holes(int mode, uint16_t flags, uint64_t seed)
{
	struct talk *t = talk_new(mode, "mem");
	struct prng  p;
	uint64_t     blocks, off, len;
	unsigned     n, runs = 1, want = 0, pieces = 1;
	bool         split;

	prng_init(&p, seed);
	blocks = 1 + prng_below(&p, seed % 3 == 0 ? 700 : 20);
	for (uint64_t b = 0; b <= blocks; b++) {
		ctl->mapped[b] = prng_below(&p, 4) < seed % 5;
		memset(ctl->data + b * 4096, (int)(b % 251 + 1), 4096);
	}
	off = prng_below(&p, 3) ? prng_below(&p, 4096) : 0;
	len = 1 + prng_below(&p, blocks * 4096 - 1);
	split = vol_read_buf_bytes(off, len) > MB;
	req(t, 0, flags, 7, off, len);
	talk_run(t);
	n = expect_read(t, 7, off, len);
	for (uint64_t i = off; i < off + len; i++) {
		uint64_t b = i / 4096;

		assert_int_equal(image[i], ctl->mapped[b] ? b % 251 + 1 : 0);
		if (i > off && split && i % MB == 0) {
			pieces += ctl->mapped[b] == ctl->mapped[b - 1];
			want += min_u32(runs, 32);
			runs = 1;
		} else if (i > off && i % 4096 == 0 &&
			   ctl->mapped[b] != ctl->mapped[b - 1]) {
			runs++;
		}
	}
	want += min_u32(runs, 32);
	if (mode == 0 || flags & F_DF || want == pieces)
		want = 1;
	assert_int_equal(n, want);
	talk_end(t);
}

static void test_holes(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 120; seed++) {
		run_holes(0, 0, seed);
		run_holes(1, 0, seed);
		run_holes(1, F_DF, seed);
		run_holes(2, 0, seed);
	}
}

/* --- block status ------------------------------------------------------- */

struct extents {
	unsigned n;
	uint64_t len[4096];
	uint64_t state[4096];
};

static void expect_status(struct talk *t, uint64_t cookie, struct extents *e)
{
	struct rd_reply r;
	struct rd       d;
	uint32_t        count;

	assert_true(rd_reply(&t->rd, t->mode, 0, &r));
	assert_int_equal(r.cookie, cookie);
	assert_int_equal(r.flags, 1);
	assert_int_equal(r.type, t->mode == 2 ? 6 : 5);
	d = (struct rd){ .p = r.data, .len = r.len };
	assert_int_equal(rd_u32(&d), 1);
	count = t->mode == 2 ? rd_u32(&d) : (uint32_t)(d.len / 8);
	assert_true(count > 0 && count <= 4096);
	assert_int_equal(d.len, count * (t->mode == 2 ? 16u : 8u));
	e->n = count;
	for (uint32_t i = 0; i < count; i++) {
		e->len[i] = t->mode == 2 ? rd_u64(&d) : rd_u32(&d);
		e->state[i] = t->mode == 2 ? rd_u64(&d) : rd_u32(&d);
		assert_true(e->len[i] > 0);
		assert_true(e->state[i] == 0 || e->state[i] == 3);
		if (i > 0)
			assert_true(e->state[i] != e->state[i - 1]);
	}
}

static void test_status(void **state)
{
	static struct extents e;

	(void)state;
	for (int mode = 1; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "mem");

		ctl->mapped[1] = ctl->mapped[2] = ctl->mapped[9] = 1;
		req(t, 7, 0, 1, 0, MEM_BYTES);
		req(t, 7, F_ONE, 2, 4096, 4096);
		req(t, 7, F_ONE, 3, 4096, MEM_BYTES - 4096);
		req(t, 7, 0, 4, 8000, 200);
		req(t, 7, 0, 5, MEM_BYTES - 1, 1);
		talk_run(t);
		expect_status(t, 1, &e);
		assert_int_equal(e.n, 5);
		assert_int_equal(e.len[0], 4096);
		assert_int_equal(e.state[0], 3);
		assert_int_equal(e.len[1], 8192);
		assert_int_equal(e.state[1], 0);
		assert_int_equal(e.len[4], MEM_BYTES - 10 * 4096);
		expect_status(t, 2, &e);
		assert_int_equal(e.n, 1);
		assert_int_equal(e.len[0], 4096);
		expect_status(t, 3, &e);
		assert_int_equal(e.n, 1);
		assert_int_equal(e.len[0], 8192);
		expect_status(t, 4, &e);
		assert_int_equal(e.n, 1);
		assert_int_equal(e.len[0], 200);
		expect_status(t, 5, &e);
		assert_int_equal(e.state[0], 3);
		assert_int_equal(t->rd.len, 0);
		talk_end(t);
	}
}

/* More extents than one reply holds. */
static void test_status_many(void **state)
{
	static struct extents e;

	(void)state;
	for (int mode = 1; mode < 3; mode++) {
		struct talk *t = talk_new(mode, "mem");

		for (unsigned i = 0; i < MEM_BLOCKS; i += 2)
			ctl->mapped[i] = 1;
		req(t, 7, 0, 1, 0, MEM_BYTES);
		talk_run(t);
		expect_status(t, 1, &e);
		assert_int_equal(e.n, 4096);
		for (unsigned i = 0; i < e.n; i++) {
			assert_int_equal(e.len[i], 4096);
			assert_int_equal(e.state[i], i % 2 ? 3 : 0);
		}
		talk_end(t);
	}
}

static void put_filter(struct talk *t, uint64_t cookie, uint64_t off,
		       uint64_t len, unsigned n, uint32_t id)
{
	req(t, 7, F_LEN, cookie, off, 8 + 4 * n);
	raw_u64(&t->in, len);
	for (unsigned i = 0; i < n; i++)
		raw_u32(&t->in, id);
}

static void test_status_filter(void **state)
{
	static struct extents e;
	struct talk          *t = talk_new(2, "big");
	uint64_t              huge = MEM_BIG_BYTES - MEM_BYTES;

	(void)state;
	put_filter(t, 1, MEM_BYTES, huge, 1, 1);
	put_filter(t, 2, 0, 4096, 1, 2);         /* no such context */
	put_filter(t, 3, 0, 4096, 1, 0);
	put_filter(t, 4, 0, 4096, 2, 1);         /* twice */
	put_filter(t, 5, 0, 4096, 0, 1);         /* none */
	put_filter(t, 6, 0, 4096, 100000, 1);    /* too many: skipped */
	put_filter(t, 7, 4096, MEM_BIG_BYTES, 1, 1); /* beyond the end */
	req(t, 7, F_LEN, 8, 0, 3);
	raw_fill(&t->in, 0, 3);
	req(t, 7, F_LEN, 9, 0, 0);
	req(t, 7, 0, 10, 0, MEM_BIG_BYTES);
	req(t, 7, F_ONE, 11, MEM_BYTES + 5, huge - 5);
	put_filter(t, 12, 0, 0, 1, 1);
	t->w.recv_max = 11;
	talk_run(t);
	expect_status(t, 1, &e);
	assert_int_equal(e.n, 1);
	assert_true(e.len[0] == huge && e.state[0] == 3);
	for (uint64_t i = 2; i <= 9; i++)
		expect_end(t, i, 22);
	expect_status(t, 10, &e);
	assert_true(e.n == 1 && e.len[0] == MEM_BIG_BYTES);
	expect_status(t, 11, &e);
	assert_true(e.n == 1 && e.len[0] == huge - 5);
	expect_end(t, 12, 22);
	assert_int_equal(t->rd.len, 0);
	talk_end(t);
}

/* Lengths beyond 32 bits, of what carries no data. */
static void test_64_bit(void **state)
{
	struct talk *t = talk_new(2, "big");

	(void)state;
	ctl->mapped[0] = ctl->mapped[100] = 1;
	req(t, 4, 0, 1, 4096, MEM_BIG_BYTES - 4096);
	req(t, 6, F_FAST, 2, 0, MEM_BIG_BYTES);
	req(t, 6, F_FAST | F_NO_HOLE, 3, 0, MEM_BIG_BYTES);
	req(t, 5, 0, 4, 0, MEM_BIG_BYTES);
	req(t, 4, 0, 5, 1, MEM_BIG_BYTES);
	req(t, 6, 0, 6, 1, UINT64_MAX);
	req(t, 6, 0, 7, UINT64_MAX, UINT64_MAX);
	req(t, 0, 0, 8, 0, UINT64_MAX);
	req(t, 0, 0, 9, 0, 1ull << 33);
	req(t, 0, 0, 10, MEM_BIG_BYTES - 1, 1);
	talk_run(t);
	/* Those that are answered at once overtake the others. */
	expect_end(t, 3, 95);
	expect_end(t, 5, 22);
	expect_end(t, 6, 28);
	expect_end(t, 7, 28);
	expect_end(t, 8, 22);
	expect_end(t, 9, 75);
	expect_end(t, 1, 0);
	expect_end(t, 2, 0);
	expect_end(t, 4, 0);
	struct rd_reply r;

	assert_true(rd_reply(&t->rd, 2, 0, &r));
	assert_int_equal(r.type, 2);
	assert_int_equal(ctl->mapped[0], 0);
	assert_int_equal(ctl->mapped[100], 0);
	talk_end(t);
}

/* --- anything ----------------------------------------------------------- */

/* Random sound requests in random pieces, against a model that carries them
 * out in order. */
struct model {
	uint8_t *data;
	uint8_t *want;  /* of each READ, one after another */
	size_t   want_len;
};

struct asked {
	uint64_t off;
	size_t   want; /* offset in model.want */
	uint32_t len;
	uint16_t type;
};

#define AREA (2u * MB)
#define ASKED 300

static void ask(struct talk *t, struct prng *p, struct model *m,
		struct asked *a, unsigned i)
{
	static const uint16_t types[] = { 0, 0, 1, 1, 4, 6, 3 };
	uint32_t max = prng_below(p, 20) == 0 ? 300000 : 20000;
	uint8_t  fill = (uint8_t)prng_u64(p);

	a->type = types[prng_below(p, ARRAY_LEN(types))];
	a->len = 1 + (uint32_t)prng_below(p, max);
	a->off = prng_below(p, AREA - a->len);
	if (prng_below(p, 2)) {
		a->off &= ~4095ull;
		a->len = (a->len + 4095) & ~4095u;
	}
	a->want = m->want_len;
	if (a->type == 3) {
		req(t, 3, 0, i, 0, 0);
	} else if (a->type == 1) {
		put_write(t, prng_below(p, 2), i, a->off, a->len, fill);
		memset(m->data + a->off, fill, a->len);
	} else {
		req(t, a->type, 0, i, a->off, a->len);
	}
	if (a->type == 4 || a->type == 6)
		memset(m->data + a->off, 0, a->len);
	if (a->type == 0) {
		memcpy(m->want + m->want_len, m->data + a->off, a->len);
		m->want_len += a->len;
	}
}

static void run_random(int mode, uint64_t seed)
{
	static struct asked asked[ASKED];
	struct talk        *t = talk_new(mode, "mem");
	struct model        m = { .data = calloc(1, AREA + 4096),
				  .want = malloc(ASKED * 310000ul) };
	struct prng         p;

	prng_init(&p, seed);
	t->w.recv_max = prng_below(&p, 3) ? 1 + prng_below(&p, 50000) : 0;
	t->w.send_max = prng_below(&p, 3) ? 1 + prng_below(&p, 50000) : 0;
	for (unsigned i = 0; i < ASKED; i++)
		ask(t, &p, &m, &asked[i], i);
	talk_run(t);
	for (unsigned i = 0; i < ASKED; i++) {
		struct asked *a = &asked[i];

		if (a->type != 0) {
			expect_end(t, i, 0);
			continue;
		}
		expect_read(t, i, a->off, a->len);
		assert_memory_equal(image + a->off, m.want + a->want, a->len);
	}
	assert_int_equal(t->rd.len, 0);
	assert_true(t->w.closed);
	free(m.data);
	free(m.want);
	talk_end(t);
}

static void test_random(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		for (int mode = 0; mode < 3; mode++)
			run_random(mode, seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_dies_anywhere),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_receives),
		cmocka_unit_test(test_dies_in_large),
		cmocka_unit_test(test_split_fails),
		cmocka_unit_test(test_largest),
		cmocka_unit_test(test_holes),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_many),
		cmocka_unit_test(test_status_filter),
		cmocka_unit_test(test_64_bit),
		cmocka_unit_test(test_random),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(ctl);
	return r;
}
