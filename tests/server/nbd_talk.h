/* tests/server/nbd_talk.h - a conversation with one connection of the NBD
 * server: requests are put together, the whole is played without a socket,
 * then the replies are looked at one by one.
 */
#ifndef TESTS_SERVER_NBD_TALK_H
#define TESTS_SERVER_NBD_TALK_H

#include "tests/server/nbd_raw.h"
#include "tests/server/nbd_wire.h"

#define MB (1u << 20)

/* Flags of commands. */
#define F_FUA     1
#define F_NO_HOLE 2
#define F_DF      4
#define F_ONE     8
#define F_FAST    16
#define F_LEN     32

struct talk {
	struct wire w;
	struct raw  in;
	size_t      nego; /* bytes of it that negotiate */
	int         mode;
	struct rd   rd;   /* replies not yet looked at */
};

extern struct mem_ctl *ctl;              /* of the exports */
extern uint8_t         image[MEM_BYTES]; /* what READs returned */

/* mode as in raw_connect(); resets the exports. */
struct talk *talk_new(int mode, const char *name);
/* The same with other contexts than base:allocation alone. */
struct talk *talk_new_with(int mode, const char *name,
			   const char *const *contexts, unsigned n);
/* Play what was put together so far; may be called again. */
void talk_run(struct talk *t);
/* Look at the replies from the first one on. */
void talk_rewind(struct talk *t);
void talk_end(struct talk *t);

void req(struct talk *t, uint16_t type, uint16_t flags, uint64_t cookie,
	 uint64_t off, uint64_t len);
/* A WRITE of len bytes that are `fill`. */
void put_write(struct talk *t, uint16_t flags, uint64_t cookie, uint64_t off,
	       uint32_t len, uint8_t fill);

/* The next reply ends request `cookie` with `error`. */
void expect_end(struct talk *t, uint64_t cookie, uint32_t error);
/* The replies to a READ, put together in image; returns the chunks. */
unsigned expect_read(struct talk *t, uint64_t cookie, uint64_t off,
		     uint64_t len);

#endif
