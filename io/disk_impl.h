/* io/disk_impl.h - what the real disks (file, NBD) share; private to io/.
 */
#ifndef TARN_IO_DISK_IMPL_H
#define TARN_IO_DISK_IMPL_H

#include "io/disk.h"
#include "io/place.h"
#include "io/place_parse.h"

#define DISK_TIMEOUT_NS		4000000000ull /* a request */
#define DISK_CONNECT_TIMEOUT_NS 3000000000ull /* a connection attempt */
#define DISK_LANES		2u
#define DISK_LANES_MAX		8u
#define DISK_PKI_DIR		"/etc/tarn/pki"

/* Back-off between attempts: doubling between these, with jitter. */
#define DISK_BACKOFF_MIN_NS 100000000ull
#define DISK_BACKOFF_MAX_NS 5000000000ull
/* Up for this long, and the back-off starts at its minimum again. */
#define DISK_STEADY_NS 10000000000ull

/* Requests that end without having been started: refused, cancelled, lost.
 * Their done() is called in the next turn. */
struct disk_ender {
	struct io     *io;
	struct list    ended; /* struct disk_req, res set */
	struct io_work work;
};

void disk_ender_init(struct disk_ender *e, struct io *io);
/* req ends with res in the next turn; req->link must be in no list. */
void disk_ender_add(struct disk_ender *e, struct disk_req *req, int res);
/* Done with a request: count it off and call its owner. */
void disk_req_end(struct disk_req *req, int res);

/* Requests in flight and their deadlines.  All have the same timeout, so the
 * list is in the order of deadlines and one lazy timer does: it is armed for
 * the first request, and set again only when it fires. */
struct disk_watch {
	struct io     *io;
	struct list    inflight;   /* disk_req.link */
	struct io_timer timer;     /* armed while anything is in flight */
	uint64_t       timeout_ns; /* of a request */
	void (*late)(struct disk_watch *w); /* the first request is late */
};

void disk_watch_init(struct disk_watch *w, struct io *io, uint64_t timeout_ns,
		     void (*late)(struct disk_watch *w));

static inline void disk_watch_add(struct disk_watch *w, struct disk_req *req)
{
	req->deadline_ns = io_now_ns(w->io) + w->timeout_ns;
	list_push(&w->inflight, &req->link);
	if (!io_timer_armed(&w->timer))
		io_timer_arm(w->io, &w->timer, req->deadline_ns);
}

static inline void disk_watch_remove(struct disk_watch *w,
				     struct disk_req *req)
{
	list_remove(&req->link);
	if (list_empty(&w->inflight))
		io_timer_cancel(w->io, &w->timer);
}

/* May `req` go to `d` as it is now?  0, or the error that it ends with:
 * -ENOTCONN, -EROFS, -EINVAL (outside of the disk or malformed). */
int disk_req_check(const struct disk *d, const struct disk_req *req);

/* How long to wait before the next attempt; *backoff_ns is what was used
 * last (0: nothing yet) and is updated. */
uint64_t disk_backoff_ns(struct io *io, uint64_t *backoff_ns);

/* The two kinds of disk.  `params` is complete: no zeros, no NULL. */
int disk_file_open(struct io *io, const struct place_addr *addr,
		   const struct disk_params *params, struct disk **ret_disk);
int disk_nbd_open(struct io *io, const struct place_addr *addr,
		  const struct disk_params *params, struct disk **ret_disk);

#endif
