/* tests/server/nbd_raw.c - NBD by hand. */
#include "tests/server/nbd_raw.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void raw_free(struct raw *r)
{
	free(r->p);
	memset(r, 0, sizeof(*r));
}

static uint8_t *grow(struct raw *r, size_t n)
{
	uint8_t *p;

	if (r->len + n > r->cap) {
		r->cap = 2 * (r->len + n);
		r->p = realloc(r->p, r->cap);
		assert(r->p != NULL);
	}
	p = r->p + r->len;
	r->len += n;
	return p;
}

static void put_be(struct raw *r, uint64_t v, unsigned n)
{
	uint8_t *p = grow(r, n);

	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void raw_u8(struct raw *r, uint8_t v)
{
	put_be(r, v, 1);
}

void raw_u16(struct raw *r, uint16_t v)
{
	put_be(r, v, 2);
}

void raw_u32(struct raw *r, uint32_t v)
{
	put_be(r, v, 4);
}

void raw_u64(struct raw *r, uint64_t v)
{
	put_be(r, v, 8);
}

void raw_bytes(struct raw *r, const void *p, size_t n)
{
	if (n > 0)
		memcpy(grow(r, n), p, n);
}

void raw_fill(struct raw *r, uint8_t v, size_t n)
{
	memset(grow(r, n), v, n);
}

void raw_hello(struct raw *r, uint32_t flags)
{
	raw_u32(r, flags);
}

void raw_opt(struct raw *r, uint32_t opt, uint32_t len)
{
	raw_bytes(r, "IHAVEOPT", 8);
	raw_u32(r, opt);
	raw_u32(r, len);
}

void raw_go(struct raw *r, uint32_t opt, const char *name)
{
	size_t n = strlen(name);

	raw_opt(r, opt, (uint32_t)(4 + n + 2 + 6));
	raw_u32(r, (uint32_t)n);
	raw_bytes(r, name, n);
	raw_u16(r, 3);
	raw_u16(r, 1);
	raw_u16(r, 2);
	raw_u16(r, 3);
}

void raw_metas(struct raw *r, uint32_t opt, const char *name,
	       const char *const *queries, unsigned n)
{
	size_t len = 4 + strlen(name) + 4;

	for (unsigned i = 0; i < n; i++)
		len += 4 + strlen(queries[i]);
	raw_opt(r, opt, (uint32_t)len);
	raw_u32(r, (uint32_t)strlen(name));
	raw_bytes(r, name, strlen(name));
	raw_u32(r, n);
	for (unsigned i = 0; i < n; i++) {
		raw_u32(r, (uint32_t)strlen(queries[i]));
		raw_bytes(r, queries[i], strlen(queries[i]));
	}
}

void raw_meta(struct raw *r, uint32_t opt, const char *name,
	      const char *query)
{
	raw_metas(r, opt, name, &query, query != NULL ? 1 : 0);
}

void raw_connect(struct raw *r, int mode, const char *name)
{
	r->mode = mode;
	raw_hello(r, 3);
	if (mode > 0) {
		raw_opt(r, mode == 2 ? 11 : 8, 0);
		raw_meta(r, 10, name, "base:allocation");
	}
	raw_go(r, 7, name);
}

void raw_req(struct raw *r, uint16_t type, uint16_t flags, uint64_t cookie,
	     uint64_t off, uint64_t len)
{
	raw_u32(r, r->mode == 2 ? 0x21e41c71 : 0x25609513);
	raw_u16(r, flags);
	raw_u16(r, type);
	raw_u64(r, cookie);
	raw_u64(r, off);
	if (r->mode == 2)
		raw_u64(r, len);
	else
		raw_u32(r, (uint32_t)len);
}

/* --- reading ------------------------------------------------------------ */

const uint8_t *rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->len) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->len -= n;
	return p;
}

static uint64_t rd_be(struct rd *r, unsigned n)
{
	const uint8_t *p = rd_bytes(r, n);
	uint64_t       v = 0;

	for (unsigned i = 0; p != NULL && i < n; i++)
		v = v << 8 | p[i];
	return v;
}

uint16_t rd_u16(struct rd *r)
{
	return (uint16_t)rd_be(r, 2);
}

uint32_t rd_u32(struct rd *r)
{
	return (uint32_t)rd_be(r, 4);
}

uint64_t rd_u64(struct rd *r)
{
	return rd_be(r, 8);
}

bool rd_greeting(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 16);

	return p != NULL && memcmp(p, "NBDMAGICIHAVEOPT", 16) == 0 &&
	       rd_u16(r) == 3 && !r->bad;
}

bool rd_opt(struct rd *r, struct rd_opt *ret)
{
	if (rd_u64(r) != 0x3e889045565a9ull)
		return false;
	ret->opt = rd_u32(r);
	ret->type = rd_u32(r);
	ret->len = rd_u32(r);
	ret->data = rd_bytes(r, ret->len);
	return !r->bad;
}

uint32_t rd_opt_final(struct rd *r, uint32_t opt)
{
	struct rd_opt o;

	while (rd_opt(r, &o)) {
		if (o.opt != opt)
			return 0;
		if (o.type == 1 || o.type >= 0x80000000u)
			return o.type;
	}
	return 0;
}

bool rd_reply(struct rd *r, int mode, uint64_t read_len, struct rd_reply *ret)
{
	uint32_t magic = rd_u32(r);

	memset(ret, 0, sizeof(*ret));
	if (magic == 0x67446698 && mode < 2) {
		ret->simple = true;
		ret->flags = 1;
		ret->error = rd_u32(r);
		ret->cookie = rd_u64(r);
		ret->len = ret->error == 0 && mode == 0 ? read_len : 0;
		ret->data = rd_bytes(r, ret->len);
		return !r->bad;
	}
	if (magic != (mode == 2 ? 0x6e8a278c : 0x668e33ef) || mode == 0)
		return false;
	ret->flags = rd_u16(r);
	ret->type = rd_u16(r);
	ret->cookie = rd_u64(r);
	if (mode == 2)
		ret->off = rd_u64(r);
	ret->len = mode == 2 ? rd_u64(r) : rd_u32(r);
	if (ret->len > (64u << 20))
		return false;
	ret->data = rd_bytes(r, ret->len);
	if (!r->bad && ret->type & 0x8000 && ret->len >= 6) {
		struct rd e = { .p = ret->data, .len = ret->len };

		ret->error = rd_u32(&e);
	}
	return !r->bad;
}

bool rd_connect(struct rd *r, int mode)
{
	if (!rd_greeting(r))
		return false;
	if (mode > 0 && (rd_opt_final(r, mode == 2 ? 11 : 8) != 1 ||
			 rd_opt_final(r, 10) != 1))
		return false;
	return rd_opt_final(r, 7) == 1;
}
