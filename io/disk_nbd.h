/* io/disk_nbd.h - the inside of an NBD disk; private to disk_nbd*.c.
 *
 *          dialled                 broken              polls have ended
 *   DIAL ----------> UP -------------------> DRAIN ---------------+
 *     ^  \ failed                                                  |
 *     |   +------------------------------> PAUSE <----------------+
 *     +------------------------ back-off ----+
 *
 * A disk has one or more lanes (connections) that live and die together: they
 * share an epoch, since what is unknown after a break is unknown for all.
 */
#ifndef TARN_IO_DISK_NBD_H
#define TARN_IO_DISK_NBD_H

#include <libnbd.h>

#include "io/disk_impl.h"
#include "io/nbd_dial.h"
#include "io/offload.h"

struct nbd_disk;

struct nbd_lane {
	struct nbd_disk	  *disk;
	struct nbd_handle *h;        /* NULL: not connected */
	int		   fd;       /* libnbd's */
	bool		   tls;      /* what the socket has says little */
	bool		   corks;    /* TCP: small sends can be gathered */
	uint64_t	   load_bytes; /* of requests queued or in libnbd */
	unsigned	   commands; /* requests in libnbd */
	uint64_t	   taken_bytes; /* of whole replies, so far */
	struct list	   queued;   /* disk_req.io.link: to be issued */
	struct io_req	   in;       /* POLLIN, always armed while up */
	struct io_req	   out;      /* POLLOUT, armed when libnbd waits */
};

enum nbd_state {
	NBD_DIAL,  /* a helper thread connects */
	NBD_UP,	   /* every lane works */
	NBD_DRAIN, /* handles are closed, polls are being cancelled */
	NBD_PAUSE, /* waiting for the next attempt, or for the end */
};

/* One attempt to connect; the thread's until it is done. */
struct nbd_attempt {
	struct offload	   job;
	struct nbd_dial	   dial;
	uint64_t	   timeout_ns;
	unsigned	   lanes_wanted;
	struct nbd_disk	  *disk;      /* the loop's alone */
	struct nbd_handle *handles[DISK_LANES_MAX]; /* NULL when taken */
	unsigned	   nhandles;
	struct nbd_facts   facts;     /* of every handle */
	int		   error;     /* 0, or why there are no handles */
	char		   error_text[PLACE_ERR_BYTES];
};

struct nbd_disk {
	struct disk	    disk;
	enum nbd_state	    state;
	bool		    closing;  /* disk_close() was called */
	bool		    reported; /* DOWN was said since the last UP */
	bool		    want_read_only; /* as opened */
	unsigned	    lanes_wanted;
	unsigned	    polls;    /* of lanes, in flight */
	uint32_t	    payload_bytes; /* largest request */
	uint64_t	    connect_timeout_ns;
	uint64_t	    backoff_ns;  /* last one used */
	uint64_t	    up_since_ns; /* of this epoch */
	struct nbd_dial	    dial;     /* what to connect to */
	struct nbd_attempt *attempt;  /* in state DIAL */
	struct nbd_lane	    lanes[DISK_LANES_MAX];
	struct disk_watch   watch;    /* all requests of all lanes */
	struct list	    ended;    /* disk_req.io.link: libnbd is done with
				       * it, res is set */
	struct disk_ender   ender;    /* refused and lost requests */
	struct io_work	    issue;    /* hands queued requests to libnbd */
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
 * why.  Everything in flight ends with `res`, in the next turn. */
void nbd_disk_break(struct nbd_disk *nd, int res);
/* A poll request of a lane has ended. */
void nbd_disk_poll_ended(struct nbd_disk *nd);

/* disk_nbd_lane.c */

void nbd_disk_submit(struct disk *d, struct disk_req *req);
/* Was what libnbd has just ended, without an error, only a piece of req? */
bool nbd_disk_req_has_more(const struct nbd_disk *nd,
			   const struct disk_req *req);
/* struct io_work: issue what is queued in all lanes. */
void nbd_disk_issue(struct io_work *w);
/* Take over a connected handle. */
void nbd_lane_start(struct nbd_lane *lane, struct nbd_disk *nd,
		    struct nbd_handle *h);
/* Close the handle and cancel its polls.  polite: say goodbye first. */
void nbd_lane_stop(struct nbd_lane *lane, bool polite);

#endif
