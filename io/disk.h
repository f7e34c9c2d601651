/* io/disk.h - a disk as the pool sees it: asynchronous reads, writes, flushes
 * and trims of 4096-byte blocks, over a local file, a block device, an NBD
 * export or the simulation.
 *
 * Rules of use
 *  - Requests are the caller's and stay where they are until done().
 *  - disk_submit() never calls done(); the engine's loop does.
 *  - Every request ends, within the disk's request timeout.  A request that
 *    does not end in time breaks the connection (so that its buffer is free)
 *    and ends with -ETIMEDOUT.
 *  - When a connection breaks, everything in flight on it ends with an error,
 *    the disk goes DOWN (event), new requests end with -ENOTCONN, and the disk
 *    reconnects by itself with back-off.  Then it goes UP (event) with a new
 *    `epoch`, after size and flags have been read anew.  What was written and
 *    not flushed in an earlier epoch is unknown.  The owner of the disk must
 *    check its identity (label) before it writes to it again.
 *  - Reads, writes and trims are multiples of 4096 bytes; buffers are aligned
 *    to 4096.  A short transfer is an error (-EIO), never a short result.
 */
#ifndef TARN_IO_DISK_H
#define TARN_IO_DISK_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/util.h"
#include "io/io.h"

struct disk;
struct disk_req;

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH, /* makes all writes that ended before it was submitted
		     * durable */
	DISK_TRIM,  /* contents undefined afterwards (a hint) */
};

struct disk_req {
	uint8_t      op;        /* enum disk_op */
	uint64_t     off_bytes; /* multiple of 4096 */
	uint32_t     len_bytes; /* multiple of 4096; 0 for a flush */
	void        *buf;       /* aligned to 4096; the caller's until done */
	int          res;       /* 0 or -errno, valid in done() */
	void (*done)(struct disk_req *req);
	/* The disk's own, untouched by the caller while in flight: */
	struct disk *disk;
	struct list  link;
	uint64_t     sent_ns;   /* when it was submitted, engine's clock */
	uint64_t     deadline_ns;
	uint64_t     cookie;
	uint32_t     lane;      /* connection index, or similar */
	uint32_t     progress_bytes;
	struct io_req io;       /* used by file disks */
};

enum disk_event {
	DISK_EV_UP,   /* (re)connected: epoch, size and flags are fresh */
	DISK_EV_DOWN, /* connection lost; disk->error says why */
};

struct disk_ops {
	void (*submit)(struct disk *d, struct disk_req *req);
	/* Ends everything in flight (-ECANCELED), disconnects cleanly, then
	 * calls closed() in a later turn and frees the disk. */
	void (*close)(struct disk *d, void (*closed)(void *arg), void *arg);
	/* See disk_rescan(); NULL: it cannot. */
	int  (*rescan)(struct disk *d);
};

struct disk {
	const struct disk_ops *ops;
	struct io             *io;
	char     place[512];      /* how it was named: URI or path */
	char     host[64];        /* failure domain by default: host name or
				   * address; "local" for files, block devices
				   * and unix sockets */
	uint64_t size_bytes;      /* as the server says; may be no multiple of
				   * 4096 (the rest is not used) */
	uint64_t epoch;           /* +1 at every (re)connection; 0: never up */
	bool     up;
	bool     read_only;
	bool     can_flush;
	bool     can_trim;
	unsigned inflight;        /* requests not yet done */
	unsigned lanes;           /* connections in use; 1 unless the server
				   * says CAN_MULTI_CONN */
	int      error;           /* -errno of the last loss of connection */
	char     error_text[200]; /* one sentence for people */
	void (*event)(struct disk *d, enum disk_event ev, void *arg);
	void    *event_arg;
};

static inline void disk_submit(struct disk *d, struct disk_req *req)
{
	assert((req->off_bytes | req->len_bytes) % TARN_BLOCK == 0);
	assert(req->done != NULL);
	req->disk = d;
	req->sent_ns = io_now_ns(d->io);
	d->ops->submit(d, req);
}

/* Look anew at its size.  0: size_bytes is fresh; 1: the connection is made
 * anew for that, and the disk goes DOWN, at once, and UP; -errno. */
static inline int disk_rescan(struct disk *d)
{
	if (d->ops->rescan == NULL)
		return -EOPNOTSUPP;
	return d->up ? d->ops->rescan(d) : -ENOTCONN;
}

static inline void disk_close(struct disk *d, void (*closed)(void *arg),
			      void *arg)
{
	d->ops->close(d, closed, arg);
}

#endif
