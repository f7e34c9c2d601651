/* tests/server/test_nbd_negotiate.c - the handshake, byte for byte: what
 * sound clients get, and that nothing a hostile one sends does harm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server/nbd_proto.h"
#include "tests/server/nbd_mem.h"
#include "tests/server/nbd_raw.h"

#define UNSUP   0x80000001u
#define POLICY  0x80000002u
#define INVALID 0x80000003u
#define UNKNOWN 0x80000006u
#define EXT_REQ 0x8000000au

static struct mem_ctl ctl;

/* A negotiation, and all that the server said. */
struct talk {
	struct io          io;
	struct mem_source *mem;
	struct nbd_neg     neg;
	struct raw         in;
	size_t             used; /* of in */
	struct raw         out;
	struct rd          rd;   /* over out */
};

static struct talk *talk_open(void)
{
	struct talk *t = calloc(1, sizeof(*t));

	memset(&ctl, 0, offsetof(struct mem_ctl, mapped));
	list_init(&t->io.deferred);
	t->mem = mem_source_open(&t->io, &ctl);
	nbd_neg_init(&t->neg, mem_source_src(t->mem), true);
	return t;
}

/* Feed what is in t->in, at most `step` bytes more at a time. */
static void talk_run(struct talk *t, size_t step)
{
	size_t avail = t->used;

	for (;;) {
		size_t n;

		n = nbd_neg_feed(&t->neg, t->in.p + t->used, avail - t->used);
		assert_true(n <= avail - t->used);
		t->used += n;
		raw_bytes(&t->out, t->neg.out, t->neg.out_len);
		if (t->neg.out_len > 0) {
			t->neg.out_len = 0;
			continue;
		}
		if (t->neg.state >= NBD_NEG_READY || avail == t->in.len)
			break;
		avail = step < t->in.len - avail ? avail + step : t->in.len;
	}
	t->rd = (struct rd){ .p = t->out.p, .len = t->out.len };
}

static void talk_close(struct talk *t)
{
	if (t->neg.sess.exp != NULL)
		t->neg.sess.exp->ops->put(t->neg.sess.exp);
	mem_source_close(t->mem);
	raw_free(&t->in);
	raw_free(&t->out);
	free(t);
}

/* --- sound clients ------------------------------------------------------ */

static void test_go(void **state)
{
	struct talk  *t = talk_open();
	struct rd_opt o;
	bool          saw[4] = { false };

	(void)state;
	raw_connect(&t->in, 1, "mem");
	raw_u8(&t->in, 0xaa); /* belongs to the transmission phase */
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_READY);
	assert_int_equal(t->used, t->in.len - 1);
	assert_true(rd_greeting(&t->rd));
	assert_int_equal(rd_opt_final(&t->rd, 8), 1);
	assert_true(rd_opt(&t->rd, &o));
	assert_int_equal(o.type, 4);
	assert_int_equal(o.len, 4 + 15);
	assert_memory_equal(o.data, "\0\0\0\1base:allocation", 19);
	assert_int_equal(rd_opt_final(&t->rd, 10), 1);
	while (rd_opt(&t->rd, &o) && o.type == 3) {
		struct rd r = { .p = o.data, .len = o.len };
		uint16_t  type = rd_u16(&r);

		assert_true(type < 4 && !saw[type % 4]);
		saw[type % 4] = true;
		if (type == 0) {
			assert_int_equal(o.len, 12);
			assert_true(rd_u64(&r) == MEM_BYTES);
			assert_int_equal(rd_u16(&r), 0xded);
		} else if (type == 1) {
			assert_int_equal(o.len, 2 + 3);
			assert_memory_equal(r.p, "mem", 3);
		} else if (type == 2) {
			assert_memory_equal(r.p, "memory, mem", 11);
		} else {
			assert_int_equal(o.len, 14);
			assert_int_equal(rd_u32(&r), 1);
			assert_int_equal(rd_u32(&r), 4096);
			assert_int_equal(rd_u32(&r), 32 << 20);
		}
	}
	assert_int_equal(o.type, 1);
	assert_true(saw[0] && saw[1] && saw[2] && saw[3]);
	assert_int_equal(t->rd.len, 0);
	assert_int_equal(t->neg.sess.mode, NBD_MODE_STRUCTURED);
	assert_int_equal(t->neg.sess.contexts, 1);
	assert_int_equal(ctl.users, 1);
	talk_close(t);
}

/* The same bytes, cut anywhere, give the same answers. */
static void test_cuts(void **state)
{
	struct raw first = { 0 };
	size_t     n = SIZE_MAX;

	(void)state;
	for (size_t step = SIZE_MAX; step > 0; step = step > n ? n : step - 1) {
		struct talk *t = talk_open();

		raw_connect(&t->in, 2, "mem");
		n = t->in.len;
		talk_run(t, step);
		assert_int_equal(t->neg.state, NBD_NEG_READY);
		if (first.len == 0)
			raw_bytes(&first, t->out.p, t->out.len);
		assert_int_equal(t->out.len, first.len);
		assert_memory_equal(t->out.p, first.p, first.len);
		talk_close(t);
	}
	raw_free(&first);
}

static void export_name(uint32_t flags, const char *name, size_t expect)
{
	struct talk *t = talk_open();

	raw_hello(&t->in, flags);
	raw_opt(&t->in, 1, (uint32_t)strlen(name));
	raw_bytes(&t->in, name, strlen(name));
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	assert_int_equal(t->rd.len, expect);
	if (expect > 0) {
		assert_int_equal(t->neg.state, NBD_NEG_READY);
		assert_true(rd_u64(&t->rd) == MEM_BYTES);
		assert_int_equal(t->neg.sess.mode, NBD_MODE_SIMPLE);
	} else {
		assert_int_equal(t->neg.state, NBD_NEG_ENDED);
		assert_non_null(t->neg.why);
	}
	talk_close(t);
}

static void test_export_name(void **state)
{
	char long_name[4097];

	(void)state;
	export_name(3, "mem", 10);
	export_name(3, "", 10);
	export_name(1, "mem", 134);
	export_name(0, "ro", 134);
	export_name(2, "", 10);
	export_name(3, "nothing", 0);
	memset(long_name, 'n', sizeof(long_name));
	long_name[4096] = 0;
	export_name(3, long_name, 0);
	long_name[512] = 0;
	export_name(3, long_name, 0);
	long_name[511] = 0;
	export_name(3, long_name, 0);
	long_name[256] = 0;
	export_name(3, long_name, 0);
	long_name[255] = 0;
	export_name(3, long_name, 0);
}

static void test_list(void **state)
{
	struct talk  *t = talk_open();
	struct rd_opt o;
	unsigned      n = 0;

	(void)state;
	ctl.list_extra = 1000;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 3, 0);
	raw_opt(&t->in, 2, 0);
	talk_run(t, 7);
	assert_true(rd_greeting(&t->rd));
	while (rd_opt(&t->rd, &o) && o.type == 2) {
		struct rd r = { .p = o.data, .len = o.len };
		uint32_t  len = rd_u32(&r);

		assert_non_null(rd_bytes(&r, len));
		if (n >= 4)
			assert_int_equal(o.len, 4 + 511 + 255);
		n++;
	}
	assert_int_equal(n, 1004);
	assert_int_equal(o.opt, 3);
	assert_int_equal(o.type, 1);
	assert_int_equal(rd_opt_final(&t->rd, 2), 1);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_null(t->neg.why);
	talk_close(t);
}

/* --- state across options ----------------------------------------------- */

/* One final reply after another. */
static void expect(struct talk *t, uint32_t opt, uint32_t type)
{
	uint32_t got = rd_opt_final(&t->rd, opt);

	if (got != type)
		fail_msg("option %u: reply %#x, expected %#x", opt, got, type);
}

static void test_meta_state(void **state)
{
	static const struct {
		const char *set, *go;
		uint32_t    contexts;
	} cases[] = {
		{ "mem", "mem", 1 }, { "ro", "mem", 0 }, { "mem", "ro", 0 },
		{ "", "", 1 },       { "", "mem", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct talk *t = talk_open();

		raw_hello(&t->in, 3);
		raw_opt(&t->in, 8, 0);
		raw_meta(&t->in, 10, cases[i].set, "base:allocation");
		raw_go(&t->in, 6, cases[i].go);
		raw_go(&t->in, 7, cases[i].go);
		talk_run(t, SIZE_MAX);
		assert_int_equal(t->neg.state, NBD_NEG_READY);
		assert_int_equal(t->neg.sess.contexts, cases[i].contexts);
		talk_close(t);
	}
}

static void test_meta_replaced(void **state)
{
	static const char *const queries[] = {
		"base:", "base:nothing", "qemu:dirty-bitmap:x", "x:y", NULL,
		"nocolon", "",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
		struct talk *t = talk_open();

		raw_hello(&t->in, 3);
		raw_opt(&t->in, 8, 0);
		raw_meta(&t->in, 10, "mem", "base:allocation");
		raw_meta(&t->in, 10, "mem", queries[i]);
		raw_go(&t->in, 7, "mem");
		talk_run(t, SIZE_MAX);
		assert_true(rd_greeting(&t->rd));
		expect(t, 8, 1);
		expect(t, 10, 1);
		expect(t, 10, i < 5 ? 1 : INVALID);
		expect(t, 7, 1);
		assert_int_equal(t->neg.sess.contexts, 0);
		talk_close(t);
	}
}

static void test_list_meta(void **state)
{
	static const struct {
		const char *query;
		bool        found;
	} cases[] = {
		{ NULL, true },           { "base:", true },
		{ "base:allocation", true }, { "base:alloc", false },
		{ "other:", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct talk  *t = talk_open();
		struct rd_opt o;

		raw_hello(&t->in, 3);
		raw_opt(&t->in, 8, 0);
		raw_meta(&t->in, 9, "mem", cases[i].query);
		raw_go(&t->in, 7, "mem");
		talk_run(t, SIZE_MAX);
		assert_true(rd_greeting(&t->rd));
		expect(t, 8, 1);
		assert_true(rd_opt(&t->rd, &o));
		assert_int_equal(o.type, cases[i].found ? 4 : 1);
		/* Listing selects nothing. */
		assert_int_equal(t->neg.sess.contexts, 0);
		talk_close(t);
	}
}

static void test_modes(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	raw_meta(&t->in, 10, "mem", "base:allocation"); /* too early */
	raw_opt(&t->in, 8, 0);
	raw_opt(&t->in, 8, 0);
	raw_opt(&t->in, 11, 4);
	raw_u32(&t->in, 0);
	raw_opt(&t->in, 11, 0);
	raw_opt(&t->in, 11, 0);
	raw_opt(&t->in, 8, 0);
	raw_opt(&t->in, 5, 0);
	raw_opt(&t->in, 5, 1);
	raw_u8(&t->in, 0);
	raw_opt(&t->in, 4, 0);
	raw_opt(&t->in, 77, 3);
	raw_fill(&t->in, 'x', 3);
	raw_go(&t->in, 7, "none");
	raw_go(&t->in, 7, "ro");
	talk_run(t, 5);
	assert_true(rd_greeting(&t->rd));
	expect(t, 10, INVALID);
	expect(t, 8, 1);
	expect(t, 8, INVALID);
	expect(t, 11, INVALID);
	expect(t, 11, 1);
	expect(t, 11, INVALID);
	expect(t, 8, EXT_REQ);
	expect(t, 5, POLICY);
	expect(t, 5, INVALID);
	expect(t, 4, UNSUP);
	expect(t, 77, UNSUP);
	expect(t, 7, UNKNOWN);
	expect(t, 7, 1);
	assert_int_equal(t->neg.sess.mode, NBD_MODE_EXTENDED);
	assert_true(t->neg.sess.info.read_only);
	/* read-only, flush, fua, df, multi-conn, cache; nothing that writes */
	assert_int_equal(t->neg.sess.flags, 0x58f);
	talk_close(t);
}

static void test_no_extended(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	t->neg.extended = false;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 11, 0);
	raw_opt(&t->in, 8, 0);
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	expect(t, 11, UNSUP);
	expect(t, 8, 1);
	talk_close(t);
}

static void test_export_name_extended(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 11, 0);
	raw_opt(&t->in, 1, 3);
	raw_bytes(&t->in, "mem", 3);
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_int_equal(ctl.users, 0);
	talk_close(t);
}

/* INFO for one export, GO for another: the second is what counts. */
static void test_info_then_go(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	raw_go(&t->in, 6, "big");
	raw_go(&t->in, 6, "none");
	raw_go(&t->in, 6, "coarse");
	raw_go(&t->in, 7, "ro");
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	expect(t, 6, 1);
	expect(t, 6, UNKNOWN);
	expect(t, 6, 1);
	expect(t, 7, 1);
	assert_string_equal(t->neg.sess.info.name, "ro");
	assert_int_equal(ctl.users, 1);
	talk_close(t);
}

/* --- hostile clients ---------------------------------------------------- */

static const uint32_t lengths[] = { 0, 1, 3, 4, 5, 6, 8, 255, 4096, 4097, 8191,
				    8192, 8193, 65536, 0x80000000u, 0xfffffffeu,
				    0xffffffffu };

/* Every option with every length, its data all `fill`. */
static void hostile_length(uint32_t opt, uint32_t len, uint8_t fill)
{
	struct talk *t = talk_open();
	bool         too_long = len > 8192 || (opt == 1 && len > 4096);

	raw_hello(&t->in, 3);
	raw_opt(&t->in, 8, 0);
	raw_opt(&t->in, opt, len);
	raw_fill(&t->in, fill, len < 70000 ? len : 70000);
	raw_opt(&t->in, 2, 0);
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	expect(t, 8, 1);
	assert_true(t->neg.state >= NBD_NEG_READY);
	if (too_long) {
		/* At once: neither read nor answered. */
		assert_int_equal(t->used, 4 + 16);
		assert_int_equal(t->rd.len, 0);
		assert_non_null(t->neg.why);
	} else if (opt != 1 && opt != 2 && opt != 7) {
		assert_true(rd_opt_final(&t->rd, opt) != 0);
		expect(t, 2, 1);
	}
	talk_close(t);
}

static void test_hostile_lengths(void **state)
{
	(void)state;
	for (uint32_t opt = 0; opt <= 13; opt++) {
		for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
			hostile_length(opt, lengths[i], 0);
			hostile_length(opt, lengths[i], 0xff);
			hostile_length(opt, lengths[i], 1);
		}
	}
	hostile_length(0xffffffff, 5, 0);
}

/* Names whose length is a lie, in all options that have one. */
static void test_hostile_names(void **state)
{
	static const uint32_t name_lens[] = {
		0, 1, 254, 255, 256, 257, 510, 511, 512, 513, 4095,
		4096, 4097, 0x7fffffff, 0x80000000, 0xfffffffa, 0xfffffffe,
		0xffffffff,
	};
	static const uint32_t opts[] = { 6, 7, 9, 10 };

	(void)state;
	for (size_t o = 0; o < ARRAY_LEN(opts); o++) {
		for (size_t i = 0; i < ARRAY_LEN(name_lens); i++) {
			for (int real = 0; real < 3; real++) {
				struct talk *t = talk_open();
				uint32_t     n = name_lens[i];
				uint32_t     have = real == 0 ? 0 : 10;

				if (real == 1)
					have = min_u32(n, 8000);
				raw_hello(&t->in, 3);
				raw_opt(&t->in, 8, 0);
				raw_opt(&t->in, opts[o], 4 + have + 2);
				raw_u32(&t->in, n);
				raw_fill(&t->in, real == 2 ? 0 : 'n', have);
				raw_u16(&t->in, 0);
				raw_opt(&t->in, 2, 0);
				talk_run(t, SIZE_MAX);
				assert_true(rd_greeting(&t->rd));
				expect(t, 8, 1);
				assert_true(rd_opt_final(&t->rd, opts[o]) != 0);
				talk_close(t);
			}
		}
	}
}

/* The answer does not grow with what the client sends. */
static void test_bounded_errors(void **state)
{
	struct talk  *t = talk_open();
	struct rd_opt o;

	(void)state;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 7, 4 + 4096 + 2);
	raw_u32(&t->in, 4096);
	raw_fill(&t->in, '%', 4096);
	raw_u16(&t->in, 0);
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	assert_true(rd_opt(&t->rd, &o));
	assert_int_equal(o.type, UNKNOWN);
	assert_true(o.len < 100);
	talk_close(t);
}

static void test_infos(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	/* count says more than there is */
	raw_opt(&t->in, 6, 4 + 3 + 2 + 2);
	raw_u32(&t->in, 3);
	raw_bytes(&t->in, "mem", 3);
	raw_u16(&t->in, 65535);
	raw_u16(&t->in, 0);
	/* and less */
	raw_opt(&t->in, 6, 4 + 3 + 2 + 2);
	raw_u32(&t->in, 3);
	raw_bytes(&t->in, "mem", 3);
	raw_u16(&t->in, 0);
	raw_u16(&t->in, 0);
	/* the same ones, again and again, and unknown ones */
	raw_opt(&t->in, 6, 4 + 3 + 2 + 2 * 1000);
	raw_u32(&t->in, 3);
	raw_bytes(&t->in, "mem", 3);
	raw_u16(&t->in, 1000);
	for (unsigned i = 0; i < 1000; i++)
		raw_u16(&t->in, i % 2 ? 3 : (uint16_t)(i * 67));
	talk_run(t, SIZE_MAX);
	assert_true(rd_greeting(&t->rd));
	expect(t, 6, INVALID);
	expect(t, 6, INVALID);
	assert_true(t->rd.len < 1000);
	expect(t, 6, 1);
	talk_close(t);
}

static void test_many_queries(void **state)
{
	for (int sound = 0; sound < 2; sound++) {
		struct talk *t = talk_open();

		(void)state;
		raw_hello(&t->in, 3);
		raw_opt(&t->in, 8, 0);
		/* As many as fit, all but empty; then a lie about how many. */
		raw_opt(&t->in, 10, 4 + 3 + 4 + 1000 * 6);
		raw_u32(&t->in, 3);
		raw_bytes(&t->in, "mem", 3);
		raw_u32(&t->in, sound ? 1000 : 1000000);
		for (unsigned i = 0; i < 1000; i++) {
			raw_u32(&t->in, 2);
			raw_bytes(&t->in, "b:", 2);
		}
		talk_run(t, SIZE_MAX);
		assert_true(rd_greeting(&t->rd));
		expect(t, 8, 1);
		expect(t, 10, sound ? 1 : INVALID);
		talk_close(t);
	}
}

static void test_client_flags(void **state)
{
	static const uint32_t bad[] = { 4, 0x80000000u, 0x80000003u, 7,
					0xffffffffu, 0x47455420 /* GET */ };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct talk *t = talk_open();

		raw_hello(&t->in, bad[i]);
		raw_opt(&t->in, 3, 0);
		talk_run(t, SIZE_MAX);
		assert_int_equal(t->neg.state, NBD_NEG_ENDED);
		assert_non_null(t->neg.why);
		assert_int_equal(t->out.len, 18);
		talk_close(t);
	}
}

/* Without the flag of fixed newstyle there is EXPORT_NAME and nothing else. */
static void test_not_fixed(void **state)
{
	static const uint32_t opts[] = { 2, 3, 5, 6, 7, 8, 11, 99 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(opts); i++) {
		struct talk *t = talk_open();

		raw_hello(&t->in, 0);
		raw_opt(&t->in, opts[i], 0);
		talk_run(t, SIZE_MAX);
		assert_int_equal(t->neg.state, NBD_NEG_ENDED);
		assert_int_equal(t->out.len, 18);
		talk_close(t);
	}
}

static void test_bad_magic(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 3, 0);
	t->in.p[4 + 7] ^= 1;
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_non_null(t->neg.why);
	talk_close(t);
}

static void test_too_many_options(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	for (int i = 0; i < 33; i++)
		raw_opt(&t->in, 3, 0);
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_true(rd_greeting(&t->rd));
	for (int i = 0; i < 32; i++)
		expect(t, 3, 1);
	assert_int_equal(t->rd.len, 0);
	talk_close(t);

	t = talk_open();
	raw_hello(&t->in, 3);
	for (int i = 0; i < 8; i++) {
		raw_opt(&t->in, 99, 8192);
		raw_fill(&t->in, 0, 8192);
	}
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_true(rd_greeting(&t->rd));
	for (int i = 0; i < 7; i++)
		expect(t, 99, UNSUP);
	assert_int_equal(t->rd.len, 0);
	talk_close(t);
}

static void test_after_abort(void **state)
{
	struct talk *t = talk_open();

	(void)state;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, 2, 7);
	raw_fill(&t->in, 0, 7);
	raw_go(&t->in, 7, "mem");
	talk_run(t, SIZE_MAX);
	assert_int_equal(t->neg.state, NBD_NEG_ENDED);
	assert_null(t->neg.why);
	assert_int_equal(ctl.users, 0);
	assert_true(rd_greeting(&t->rd));
	expect(t, 2, 1);
	assert_int_equal(t->rd.len, 0);
	talk_close(t);
}

/* Two options after each other, all pairs, with sound data. */
static void put_sound(struct raw *r, uint32_t opt)
{
	if (opt == 6 || opt == 7)
		raw_go(r, opt, "mem");
	else if (opt == 9 || opt == 10)
		raw_meta(r, opt, "mem", "base:allocation");
	else
		raw_opt(r, opt, 0);
}

static void test_all_triples(void **state)
{
	(void)state;
	for (uint32_t a = 1; a <= 12; a++) {
		for (uint32_t b = 1; b <= 12; b++) {
			for (uint32_t c = 1; c <= 12; c++) {
				struct talk *t = talk_open();

				raw_hello(&t->in, 3);
				put_sound(&t->in, a);
				put_sound(&t->in, b);
				put_sound(&t->in, c);
				put_sound(&t->in, 7);
				talk_run(t, SIZE_MAX);
				assert_true(t->neg.state >= NBD_NEG_READY);
				talk_close(t);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_go),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_export_name),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_meta_state),
		cmocka_unit_test(test_meta_replaced),
		cmocka_unit_test(test_list_meta),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_no_extended),
		cmocka_unit_test(test_export_name_extended),
		cmocka_unit_test(test_info_then_go),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_bounded_errors),
		cmocka_unit_test(test_infos),
		cmocka_unit_test(test_many_queries),
		cmocka_unit_test(test_client_flags),
		cmocka_unit_test(test_not_fixed),
		cmocka_unit_test(test_bad_magic),
		cmocka_unit_test(test_too_many_options),
		cmocka_unit_test(test_after_abort),
		cmocka_unit_test(test_all_triples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
