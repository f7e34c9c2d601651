/* tests/server/nbd_raw.h - NBD messages put together and taken apart by hand,
 * written apart from the server's own code.
 */
#ifndef TESTS_SERVER_NBD_RAW_H
#define TESTS_SERVER_NBD_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- what a client sends: a growing array of bytes ---------------------- */

struct raw {
	uint8_t *p;
	size_t   len;
	size_t   cap;
	int      mode; /* of requests; set by raw_connect() */
};

void raw_free(struct raw *r);
void raw_u8(struct raw *r, uint8_t v);
void raw_u16(struct raw *r, uint16_t v);
void raw_u32(struct raw *r, uint32_t v);
void raw_u64(struct raw *r, uint64_t v);
void raw_bytes(struct raw *r, const void *p, size_t n);
void raw_fill(struct raw *r, uint8_t v, size_t n);

/* Client flags: 3 is fixed newstyle without zeroes. */
void raw_hello(struct raw *r, uint32_t flags);
/* Header of an option. */
void raw_opt(struct raw *r, uint32_t opt, uint32_t len);
/* INFO (6) or GO (7) for a name, asking for everything. */
void raw_go(struct raw *r, uint32_t opt, const char *name);
/* LIST (9) or SET (10) META_CONTEXT with one query, or none (NULL). */
void raw_meta(struct raw *r, uint32_t opt, const char *name,
	      const char *query);
/* The same with n queries. */
void raw_metas(struct raw *r, uint32_t opt, const char *name,
	       const char *const *queries, unsigned n);
/* Hello, then what leads to mode 0 simple, 1 structured, 2 extended, with
 * base:allocation where possible, then GO. */
void raw_connect(struct raw *r, int mode, const char *name);
/* A request header; r->mode 2 uses the extended form. */
void raw_req(struct raw *r, uint16_t type, uint16_t flags, uint64_t cookie,
	     uint64_t off, uint64_t len);

/* --- what a server sends ------------------------------------------------ */

/* A cursor over bytes; reading beyond the end sets bad. */
struct rd {
	const uint8_t *p;
	size_t         len;
	bool           bad;
};

uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
const uint8_t *rd_bytes(struct rd *r, size_t n);

/* True if the greeting is there. */
bool rd_greeting(struct rd *r);

struct rd_opt {
	uint32_t       opt;
	uint32_t       type;
	uint32_t       len;
	const uint8_t *data;
};
/* Next reply to an option; false at the end or if it is none. */
bool rd_opt(struct rd *r, struct rd_opt *ret);
/* Skip replies to opt until the final one; returns its type. */
uint32_t rd_opt_final(struct rd *r, uint32_t opt);

struct rd_reply {
	bool           simple;
	uint16_t       flags;  /* bit 0: done */
	uint16_t       type;
	uint32_t       error;  /* simple, and error chunks */
	uint64_t       cookie;
	uint64_t       off;    /* extended: of the request */
	uint64_t       len;    /* of the payload */
	const uint8_t *data;
};
/* Next reply; simple ones carry read_len bytes of data if without error. */
bool rd_reply(struct rd *r, int mode, uint64_t read_len, struct rd_reply *ret);

/* Skip everything up to the transmission phase of raw_connect(). */
bool rd_connect(struct rd *r, int mode);

#endif
