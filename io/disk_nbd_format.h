/* io/disk_nbd_format.h - what a client sends to and receives from an NBD
 * server once an export has been chosen, where only simple replies were agreed
 * on.  Big-endian, without alignment; the NBD project's proto.md has it all.
 */
#ifndef TARN_IO_DISK_NBD_FORMAT_H
#define TARN_IO_DISK_NBD_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/endian.h"

#define DNBD_MAGIC_REQUEST 0x25609513u
#define DNBD_MAGIC_REPLY   0x67446698u
#define DNBD_MAGIC_CHUNK   0x668e33efu /* of a structured reply: a fault */

enum dnbd_cmd {
	DNBD_READ = 0,
	DNBD_WRITE = 1,
	DNBD_DISC = 2,
	DNBD_FLUSH = 3,
	DNBD_TRIM = 4,
};

/* Followed by len bytes if it is a write. */
struct dnbd_request {
	be32 magic;  /* DNBD_MAGIC_REQUEST */
	be16 flags;  /* none of them is used */
	be16 type;   /* enum dnbd_cmd */
	be64 cookie; /* comes back in the reply */
	be64 off;    /* bytes */
	be32 len;    /* bytes */
};
static_assert(sizeof(struct dnbd_request) == 28, "dnbd_request");
static_assert(offsetof(struct dnbd_request, cookie) == 8, "cookie");
static_assert(offsetof(struct dnbd_request, len) == 24, "len");

/* Followed by the data if it is to a read, and without error. */
struct dnbd_reply {
	be32 magic;  /* DNBD_MAGIC_REPLY */
	be32 error;  /* 0, or the number of an errno that NBD has */
	be64 cookie; /* of the request */
};
static_assert(sizeof(struct dnbd_reply) == 16, "dnbd_reply");
static_assert(offsetof(struct dnbd_reply, cookie) == 8, "cookie");

#endif
