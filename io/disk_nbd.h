/* io/disk_nbd.h - the inside of an NBD disk; private to disk_nbd*.c.
 *
 *          dialled                 broken          operations have ended
 *   DIAL ----------> UP -------------------> DRAIN ---------------+
 *     ^  \ failed                                                  |
 *     |   +------------------------------> PAUSE <----------------+
 *     +------------------------ back-off ----+
 *
 * A disk has one or more lanes (connections) that live and die together: they
 * share an epoch, since what is unknown after a break is unknown for all.
 *
 * libnbd connects and negotiates.  After that a lane is one of two kinds:
 * plain sockets are read and written by ourselves on the ring, many requests
 * and replies with one system call (disk_nbd_send.c, disk_nbd_recv.c); with
 * TLS every request goes through libnbd (disk_nbd_libnbd.c).
 *
 * Files
 *   disk_nbd.c         life: connecting, breaking, closing
 *   disk_nbd_lane.c    requests in, requests done; what both kinds share
 *   disk_nbd_ring.c    a plain lane's life and its table of requests
 *   disk_nbd_send.c    requests -> one send
 *   disk_nbd_recv.c    bytes received -> replies
 *   disk_nbd_libnbd.c  a lane with TLS
 */
#ifndef TARN_IO_DISK_NBD_H
#define TARN_IO_DISK_NBD_H

#include <libnbd.h>

#include "io/disk_impl.h"
#include "io/nbd_dial.h"
#include "io/offload.h"

struct nbd_disk;
struct nbd_lane;
struct nbd_ring;

/* What the two kinds of lane do differently. */
struct nbd_lane_ops {
	/* Send what is queued, or see that it is sent when it can be.  False
	 * when the lane broke: nbd_lane_break() has been called. */
	bool (*issue)(struct nbd_lane *lane);
	/* Shut the connection down and cancel what is in flight on it.
	 * polite: nothing is being asked, so say goodbye first. */
	void (*stop)(struct nbd_lane *lane, bool polite);
};

struct nbd_lane {
	struct nbd_disk		  *disk;
	const struct nbd_lane_ops *ops;
	struct nbd_handle	  *h; /* NULL: not connected */
	int			   fd; /* of h */
	uint64_t		   load_bytes; /* of requests not yet done */
	struct list		   queued; /* disk_req.io.link: to be issued */
	struct io_req		   in; /* receives, or waits for input;
					* always armed while up */
	struct io_req		   out; /* sends, or waits for room */
	/* Plain lanes: */
	struct nbd_ring		  *ring; /* NULL: libnbd has the data path */
	/* Lanes of libnbd: */
	bool			   corks; /* TCP: sends can be gathered */
};

enum nbd_state {
	NBD_DIAL,  /* a helper thread connects */
	NBD_UP,	   /* every lane works */
	NBD_DRAIN, /* sockets are shut down, operations on them are ending */
	NBD_PAUSE, /* waiting for the next attempt, or for the end */
};

/* One attempt to connect; the thread's until it is done. */
struct nbd_attempt {
	struct offload	   job;
	struct nbd_dial	   dial;
	uint64_t	   timeout_ns;
	unsigned	   lanes_wanted;
	bool		   through_libnbd; /* no rings */
	struct nbd_disk	  *disk;      /* the loop's alone */
	struct nbd_handle *handles[DISK_LANES_MAX]; /* NULL when taken */
	struct nbd_ring	  *rings[DISK_LANES_MAX]; /* likewise; NULL: none */
	unsigned	   nhandles;
	struct nbd_facts   facts;     /* of every handle */
	int		   error;     /* 0, or why there are no handles */
	char		   error_text[PLACE_ERR_BYTES];
};

struct nbd_disk {
	struct disk	    disk;
	enum nbd_state	    state;
	bool		    closing;  /* disk_close() was called */
	bool		     anew; /* being left to be connected again */
	bool		    reported; /* DOWN was said since the last UP */
	bool		    want_read_only; /* as opened */
	unsigned	    lanes_wanted;
	bool		    through_libnbd; /* also when up: with TLS; set by
					     * tests */
	unsigned	    operations; /* of lanes, in flight */
	uint32_t	    payload_bytes; /* largest request */
	uint64_t	    connect_timeout_ns;
	uint64_t	    backoff_ns;  /* last one used */
	uint64_t	    up_since_ns; /* of this epoch */
	struct nbd_dial	    dial;     /* what to connect to */
	struct nbd_attempt *attempt;  /* in state DIAL */
	struct nbd_lane	    lanes[DISK_LANES_MAX];
	struct disk_watch   watch;    /* all requests of all lanes */
	struct list	    ended;    /* disk_req.io.link: a lane is done with
				       * it, res is set */
	struct list	    lost;     /* disk_req.link: to end with lost_res
				       * when DRAIN does */
	int		    lost_res;
	struct disk_ender   ender;    /* refused and lost requests */
	struct io_work	    issue;    /* lets lanes send what is queued */
	struct io_timer	    pause;    /* PAUSE: next attempt; DIAL: say that
				       * it takes long */
	struct io_work	    finish;   /* the last step of closing */
	void (*closed)(void *arg);    /* of disk_close() */
	void *closed_arg;
};

static inline struct nbd_disk *nbd_disk_of(struct disk *d)
{
	return container_of(d, struct nbd_disk, disk);
}

/* disk_nbd.c */

/* The connection is of no use any more: error and error_text of the disk say
 * why.  Everything in flight ends with `res` soon. */
void nbd_disk_break(struct nbd_disk *nd, int res);
/* An operation of a lane is to be submitted; has ended. */
void nbd_disk_operation(struct nbd_disk *nd, struct io_req *req);
void nbd_disk_operation_ended(struct nbd_disk *nd);

/* disk_nbd_lane.c */

void nbd_disk_submit(struct disk *d, struct disk_req *req);
/* struct io_work: issue what is queued in all lanes. */
void nbd_disk_issue(struct io_work *w);
/* Bytes of the piece of req that is (to be) sent now. */
uint32_t nbd_piece_bytes(const struct nbd_disk *nd,
			 const struct disk_req *req);
/* Was what has just ended, without an error, only a piece of req? */
bool nbd_disk_req_has_more(const struct nbd_disk *nd,
			   const struct disk_req *req);
/* Call the owners of what is in nd->ended. */
void nbd_disk_end_requests(struct nbd_disk *nd);
/* Take over a connected handle, and a ring if the lane is to be plain. */
void nbd_lane_start(struct nbd_lane *lane, struct nbd_disk *nd,
		    struct nbd_handle *h, struct nbd_ring *ring);
/* Nothing is in flight on it any more: give everything back. */
void nbd_lane_fini(struct nbd_lane *lane);
/* Break the disk because of this lane: error is a -errno, the rest says why in
 * a few words. */
void nbd_lane_break(struct nbd_lane *lane, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* disk_nbd_libnbd.c */

void nbd_libnbd_start(struct nbd_lane *lane);

/* disk_nbd_ring.c */

/* In the helper thread: what a plain lane needs besides its socket, which is
 * made ready for it.  -ENOMEM, or what fcntl() says. */
int  nbd_ring_open(struct nbd_handle *h, struct nbd_ring **ret_ring);
void nbd_ring_close(struct nbd_ring *ring);
void nbd_ring_start(struct nbd_lane *lane);

#endif
