/* tests/server/nbd_talk.c - conversations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/server/nbd_talk.h"

struct mem_ctl *ctl;
uint8_t         image[MEM_BYTES];

static void ctl_reset(void)
{
	if (ctl == NULL)
		ctl = calloc(1, sizeof(*ctl));
	memset(ctl, 0, offsetof(struct mem_ctl, mapped));
	memset(ctl->mapped, 0, sizeof(ctl->mapped));
}

struct talk *talk_new(int mode, const char *name)
{
	struct talk *t = calloc(1, sizeof(*t));

	ctl_reset();
	t->mode = mode;
	raw_connect(&t->in, mode, name);
	t->nego = t->in.len;
	return t;
}

struct talk *talk_new_with(int mode, const char *name,
			   const char *const *contexts, unsigned n)
{
	struct talk *t = calloc(1, sizeof(*t));

	ctl_reset();
	t->mode = t->in.mode = mode;
	raw_hello(&t->in, 3);
	raw_opt(&t->in, mode == 2 ? 11 : 8, 0);
	raw_metas(&t->in, 10, name, contexts, n);
	raw_go(&t->in, 7, name);
	t->nego = t->in.len;
	return t;
}

void talk_run(struct talk *t)
{
	t->w.in = t->in.p;
	t->w.in_len = t->in.len;
	if (t->w.srv == NULL) {
		/* The answers to options first: who breaks the rules loses
		 * what is still to be sent. */
		t->w.in_max = t->nego;
		wire_open(&t->w, ctl, NULL);
		wire_run(&t->w);
		t->w.in_max = SIZE_MAX;
	}
	wire_run(&t->w);
	talk_rewind(t);
}

void talk_rewind(struct talk *t)
{
	t->rd = (struct rd){ .p = t->w.out, .len = t->w.out_len };
	assert_true(rd_connect(&t->rd, t->mode));
}

void talk_end(struct talk *t)
{
	wire_close(&t->w);
	raw_free(&t->in);
	free(t);
}

void req(struct talk *t, uint16_t type, uint16_t flags, uint64_t cookie,
	 uint64_t off, uint64_t len)
{
	raw_req(&t->in, type, flags, cookie, off, len);
}

void put_write(struct talk *t, uint16_t flags, uint64_t cookie, uint64_t off,
	       uint32_t len, uint8_t fill)
{
	req(t, 1, flags | (t->mode == 2 ? F_LEN : 0), cookie, off, len);
	raw_fill(&t->in, fill, len);
}

void expect_end(struct talk *t, uint64_t cookie, uint32_t error)
{
	struct rd_reply r;

	assert_true(rd_reply(&t->rd, t->mode, 0, &r));
	assert_int_equal(r.cookie, cookie);
	assert_int_equal(r.error, error);
	assert_int_equal(r.flags, 1);
	if (!r.simple)
		assert_int_equal(r.type, error ? 0x8001 : 0);
}

unsigned expect_read(struct talk *t, uint64_t cookie, uint64_t off,
		     uint64_t len)
{
	struct rd_reply r;
	unsigned        n = 0;
	uint64_t        total = 0;

	memset(image + off, 0xdd, len);
	do {
		assert_true(rd_reply(&t->rd, t->mode, len, &r));
		assert_int_equal(r.cookie, cookie);
		assert_int_equal(r.error, 0);
		if (r.simple) {
			assert_int_equal(t->mode, 0);
			memcpy(image + off, r.data, len);
			return 1;
		}
		struct rd d = { .p = r.data, .len = r.len };
		uint64_t  at = rd_u64(&d);
		uint64_t  size = r.type == 2 ? rd_u32(&d) : r.len - 8;

		assert_true(r.type == 1 || r.type == 2);
		assert_true(size > 0 && at >= off && at + size <= off + len);
		if (t->mode == 2)
			assert_int_equal(r.off, off);
		if (r.type == 2)
			memset(image + at, 0, size);
		else
			memcpy(image + at, d.p, size);
		total += size;
		n++;
	} while (!(r.flags & 1));
	assert_int_equal(total, len);
	return n;
}
