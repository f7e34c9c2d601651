/* tests/server/test_nbd_context.c - metadata contexts: which a client gets, and
 * what BLOCK_STATUS says with several of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/server/nbd_talk.h"

#define TOO_BIG 0x80000009u
#define POLICY  0x80000002u

#define BITMAP "qemu:dirty-bitmap:"

/* --- negotiation --------------------------------------------------------- */

/* Names in the answer to the option, with blanks between; returns the type of
 * the final reply. */
static uint32_t answer(struct rd *rd, uint32_t opt, char *ret, bool ids)
{
	struct rd_opt o;

	ret[0] = '\0';
	while (rd_opt(rd, &o) && o.opt == opt && o.type == 4) {
		uint32_t id = o.data[3];

		assert_memory_equal(o.data, "\0\0\0", 3);
		assert_int_equal(id != 0, ids);
		if (ids)
			sprintf(ret + strlen(ret), "%u=", id);
		sprintf(ret + strlen(ret), "%.*s ", (int)o.len - 4,
			(const char *)o.data + 4);
	}
	assert_int_equal(o.opt, opt);
	return o.type;
}

static struct talk *converse(uint32_t opt, const char *name,
			     const char *const *queries, unsigned n)
{
	struct talk *t = talk_new(0, name);

	t->in.len = 0;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 8, 0);
	raw_metas(&t->in, opt, name, queries, n);
	t->nego = t->in.len;
	t->w.in = t->in.p;
	t->w.in_len = t->in.len;
	wire_open(&t->w, ctl, NULL);
	wire_run(&t->w);
	t->rd = (struct rd){ .p = t->w.out, .len = t->w.out_len };
	assert_true(rd_greeting(&t->rd));
	assert_int_equal(rd_opt_final(&t->rd, 8), 1);
	return t;
}

static void expect(uint32_t opt, const char *name, const char *query,
		   const char *want)
{
	struct talk *t = converse(opt, name, &query, query != NULL);
	char         got[4096];

	assert_int_equal(answer(&t->rd, opt, got, opt == 10), 1);
	assert_string_equal(got, want);
	talk_end(t);
}

static void test_list(void **state)
{
	(void)state;
	expect(9, "ro", NULL, "base:allocation " BITMAP "b1 ");
	expect(9, "ro", "qemu:", BITMAP "b1 ");
	expect(9, "ro", BITMAP, BITMAP "b1 ");
	expect(9, "ro", BITMAP "b7", BITMAP "b7 ");
	expect(9, "ro", BITMAP "b21", "");
	expect(9, "ro", BITMAP "b1 ", "");
	expect(9, "ro", "qemu:dirty-bitmap", "");
	expect(9, "ro", "qemu:allocation-depth", "");
	expect(9, "ro", "base:", "base:allocation ");
	expect(9, "mem", NULL, "base:allocation ");
	expect(9, "mem", BITMAP, "");
}

static void test_set(void **state)
{
	static const char *const several[] = {
		BITMAP "b3", "base:allocation", BITMAP "b3", BITMAP "b12",
		BITMAP "none", "other:x", BITMAP "b1",
	};
	struct talk *t;
	char         got[4096];

	(void)state;
	expect(10, "ro", NULL, "");
	expect(10, "ro", "qemu:", "");
	expect(10, "ro", BITMAP, "");
	expect(10, "ro", BITMAP "b20", "2=" BITMAP "b20 ");
	expect(10, "mem", BITMAP "b20", "");
	t = converse(10, "ro", several, ARRAY_LEN(several));
	assert_int_equal(answer(&t->rd, 10, got, true), 1);
	assert_string_equal(got, "1=base:allocation 2=" BITMAP "b3 3=" BITMAP
				 "b12 4=" BITMAP "b1 ");
	talk_end(t);
}

/* More than there may be, and more than may be asked for. */
static void test_too_many(void **state)
{
	static char        text[300][40];
	const char        *queries[300];
	struct talk       *t;
	char               got[4096];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(text[i], sizeof(text[i]), BITMAP "b%u", i % 8 + 1);
		queries[i] = text[i];
	}
	t = converse(10, "ro", queries, 7);
	assert_int_equal(answer(&t->rd, 10, got, true), 1);
	talk_end(t);
	t = converse(10, "ro", queries, 8);
	assert_int_equal(answer(&t->rd, 10, got, true), TOO_BIG);
	assert_string_equal(got, "");
	talk_end(t);
	for (unsigned i = 0; i < 300; i++)
		snprintf(text[i], sizeof(text[i]), BITMAP "x%u", i);
	t = converse(9, "ro", queries, 300);
	assert_int_equal(answer(&t->rd, 9, got, false), TOO_BIG);
	assert_in_range(ctl->lookups, 1, 20);
	talk_end(t);
}

/* Another export has the name by the time that it is opened. */
static void test_changed(void **state)
{
	static const char *const query = BITMAP "b1";
	struct talk *t = talk_new(0, "ro");
	struct rd    rd;

	(void)state;
	t->in.len = 0;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 8, 0);
	raw_metas(&t->in, 10, "ro", &query, 1);
	raw_go(&t->in, 7, "ro");
	raw_go(&t->in, 7, "ro");
	ctl->changed = 1;
	t->w.in = t->in.p;
	t->w.in_len = t->in.len;
	wire_open(&t->w, ctl, NULL);
	wire_run(&t->w);
	rd = (struct rd){ .p = t->w.out, .len = t->w.out_len };
	assert_true(rd_greeting(&rd));
	assert_int_equal(rd_opt_final(&rd, 8), 1);
	assert_int_equal(rd_opt_final(&rd, 10), 1);
	assert_int_equal(rd_opt_final(&rd, 7), POLICY);
	/* Without contexts it can be had. */
	assert_int_equal(rd_opt_final(&rd, 7), 1);
	talk_end(t);
	assert_int_equal(ctl->users, 0);
}

/* --- block status -------------------------------------------------------- */

struct walk {
	uint64_t len; /* that was told */
	unsigned n;   /* extents */
};

/* One chunk: context `id` from block `first` on, as it should be. */
static struct walk chunk(struct talk *t, uint64_t cookie, uint32_t id,
			 bool last, uint64_t off)
{
	static const unsigned bitmap_of[] = { 0, 0, 3, 12 };
	struct walk     w = { 0, 0 };
	struct rd_reply r;
	struct rd       d;

	assert_true(rd_reply(&t->rd, t->mode, 0, &r));
	assert_int_equal(r.cookie, cookie);
	assert_int_equal(r.flags, last);
	assert_int_equal(r.type, t->mode == 2 ? 6 : 5);
	d = (struct rd){ .p = r.data, .len = r.len };
	assert_int_equal(rd_u32(&d), id);
	if (t->mode == 2)
		w.n = rd_u32(&d);
	else
		w.n = (unsigned)(d.len / 8);
	assert_int_equal(d.len, w.n * (t->mode == 2 ? 16u : 8u));
	for (unsigned i = 0; i < w.n; i++) {
		uint64_t len = t->mode == 2 ? rd_u64(&d) : rd_u32(&d);
		uint64_t state = t->mode == 2 ? rd_u64(&d) : rd_u32(&d);
		uint64_t b = (off + w.len) / 4096;

		assert_true(len > 0);
		w.len += len;
		for (; b * 4096 < off + w.len; b++) {
			bool hole = b >= MEM_BLOCKS || !ctl->mapped[b];
			/* The oldest bitmap decides. */
			bool was = mem_changed(12, b);

			if (id > 1)
				assert_int_equal(state,
						 mem_changed(bitmap_of[id], b));
			else
				assert_int_equal(state, !hole ? 0 : was ? 2 :
								  3);
		}
	}
	return w;
}

/* All three, over the same ground; returns its length. */
static uint64_t all_three(struct talk *t, uint64_t cookie, uint64_t off)
{
	struct walk a = chunk(t, cookie, 1, false, off);
	struct walk b = chunk(t, cookie, 2, false, off);
	struct walk c = chunk(t, cookie, 3, true, off);

	assert_true(a.len == b.len && b.len == c.len && a.len > 0);
	return a.len;
}

static const char *const three[] = { BITMAP "b3", BITMAP "b12",
				     "base:allocation" };

static struct talk *three_new(int mode)
{
	struct talk *t = talk_new_with(mode, "ro", three, 3);

	for (unsigned i = 0; i < MEM_BLOCKS; i++)
		ctl->mapped[i] = i / 3 % 2;
	return t;
}

/* One request; returns how much is told. */
static uint64_t ask(int mode, uint16_t flags, uint64_t off, uint64_t len,
		    uint32_t extents_max)
{
	struct talk *t = three_new(mode);
	uint64_t     got;

	ctl->extents_max = extents_max;
	req(t, 7, flags, 1, off, len);
	talk_run(t);
	got = all_three(t, 1, off);
	assert_int_equal(t->rd.len, 0);
	talk_end(t);
	return got;
}

static void test_status(void **state)
{
	(void)state;
	for (int mode = 1; mode < 3; mode++) {
		uint64_t got;

		assert_int_equal(ask(mode, 0, 0, MB, 0), MB);
		assert_int_equal(ask(mode, 0, 8000, 200, 0), 200);
		assert_int_equal(ask(mode, F_ONE, 8192, MB, 0), 4096);
		assert_int_equal(ask(mode, F_ONE, 12288, 100, 0), 100);
		/* As many extents as there is room for. */
		got = ask(mode, 0, 0, MEM_BYTES, 0);
		assert_in_range(got, MEM_BYTES / 8, MEM_BYTES - 1);
		/* An export that says little at a time. */
		for (uint32_t max = 1; max < 4; max++) {
			got = ask(mode, 0, 4096, MB, max);
			assert_in_range(got, 4096, 3 * max * 4096);
		}
	}
}

static void put_filter(struct talk *t, unsigned n, uint32_t a, uint32_t b)
{
	req(t, 7, F_LEN, 1, 4096, 8 + 4 * n);
	raw_u64(&t->in, MB);
	raw_u32(&t->in, a);
	if (n > 1)
		raw_u32(&t->in, b);
	talk_run(t);
}

/* Extended headers: only some of the contexts. */
static void test_filter(void **state)
{
	struct talk *t = three_new(2);

	(void)state;
	put_filter(t, 2, 3, 1);
	assert_int_equal(chunk(t, 1, 1, false, 4096).len, MB);
	assert_int_equal(chunk(t, 1, 3, true, 4096).len, MB);
	talk_end(t);
	t = three_new(2);
	put_filter(t, 1, 2, 0);
	assert_int_equal(chunk(t, 1, 2, true, 4096).len, MB);
	talk_end(t);
	t = three_new(2);
	put_filter(t, 1, 4, 0); /* not selected */
	expect_end(t, 1, 22);
	talk_end(t);
}

/* The export fails for the second context, or the client goes. */
static void test_error(void **state)
{
	struct talk *t = three_new(1);

	(void)state;
	ctl->fail_at = 2;
	req(t, 7, 0, 1, 0, MB);
	talk_run(t);
	expect_end(t, 1, 5);
	talk_end(t);
	for (uint32_t n = 1; n < 4; n++) {
		t = three_new(1);
		for (unsigned i = 0; i < n * 40; i++)
			req(t, 7, i % 2 ? F_ONE : 0, i, 0, MB);
		talk_run(t);
		talk_end(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
