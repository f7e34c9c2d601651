/* volume/vol_request.h - the life of a request: checked, ordered against
 * overlapping ones, cut into parts, finished.
 *
 * A READ or WRITE is cut into parts of at most 1 MiB; one of up to 1 MiB is
 * one part, whatever its alignment.  TRIM, ZERO, STATUS, DIFF and CACHE are
 * done by a span: a walk over leaves in slices.
 *
 * Parts and spans are a fixed number; what finds none waits in order.  Reads
 * have parts of their own, and all that is not a ZERO spans of its own: a
 * WRITE or ZERO may keep one for seconds, waiting for space (vol_trash.h) or
 * for a commit.
 */
#ifndef TARN_VOLUME_VOL_REQUEST_H
#define TARN_VOLUME_VOL_REQUEST_H

#include "volume/map_load.h"
#include "volume/vol_trash.h"
#include "volume/volume.h"

/* Parts of one request in flight. */
#define PARTS_A_REQUEST 8u
#define PART_BYTES      (1u << 20)
#define PART_LEAVES     2u
#define SPAN_LEAVES     64u
/* Spans of one volume and kind at a time, so that others find some. */
#define SPANS_A_VOLUME  4u
/* A slice of a TRIM looks at no more leaves than this: 1 GiB. */
#define SLICE_LEAVES    1024u
/* Pieces of a part's payload: zeros come in pieces of 64 KiB. */
#define PART_IOVS       20u

/* One pool_read of a part. */
struct part_read {
	struct pool_read rd;
	struct vol_part *part;
	uint32_t         at, n;  /* what was asked for: blocks of the part */
	struct around_slot *around; /* read_around.h; NULL */
	uint8_t          bad[ROW_PAYLOAD_MAX]; /* for rd */
};

struct vol_part {
	struct list       link;     /* throttled, or waiting for part_reads */
	struct vol_req   *req;
	uint64_t          block;    /* first block */
	uint32_t          n;        /* blocks */
	uint32_t          head_bytes; /* of the first block, not covered */
	uint32_t          tail_bytes; /* of the last block, not covered */
	const uint8_t    *src;      /* WRITE: data; NULL: zeros */
	bool              only_mapped; /* zeros, nothing to do on a hole */
	uint8_t           tries;    /* times read again */
	bool              again;    /* a block could not be had */
	uint32_t          issued;   /* READ: blocks that reads were sent for */
	uint32_t          pending;  /* reads in flight */
	int               res;
	struct space_wait space;    /* waits for it */
	uint64_t          reserved; /* blocks of space */
	uint64_t          wanted;   /* … that it could not have */
	bool              reserves; /* vol_space_reserved() */
	uint64_t          reserved_nodes; /* of these, for new nodes */
	struct map_load   load;
	struct node_waiter slots[PART_LEAVES];
	struct log_append append;
	uint8_t          *bounce[2]; /* head, tail: partial blocks */
	struct part_read  reads[2];
	unsigned          reads_busy; /* bit i: reads[i] is in use */
	struct iovec      iov[PART_IOVS];
	place_t           places[ROW_PAYLOAD_MAX];
	uint32_t          crcs[ROW_PAYLOAD_MAX];
	uint64_t          lost[ROW_PAYLOAD_MAX / 64 + 1]; /* bit: it could not
						* be had, the last time */
};

/* A walk of one request over leaves. */
struct vol_span {
	struct vol_req    *req;
	struct volume     *vol;
	uint64_t           block;   /* done up to here */
	uint64_t           end;     /* behind the last block */
	uint64_t           slice_block, slice_end; /* of the record in flight */
	struct map_load    load;
	struct node_waiter slots[SPAN_LEAVES];
	struct map_gap     gaps[SPAN_LEAVES]; /* STATUS, DIFF */
	struct log_append  append;
	struct io_work     work;
	struct space_wait  space;    /* waits for it */
	uint64_t           reserved; /* blocks of space for new nodes */
	uint64_t           wanted;   /* … that it could not have */
	int                res;
	void (*done)(struct vol_span *s);
};

/* A fixed number of objects, and who waits for one.  When one is given back
 * it is promised to the first in the queue, which runs in the next turn:
 * nobody who comes meanwhile takes it. */
struct vol_pool {
	struct objpool objs;
	struct list    wait;     /* struct vol_req */
	uint32_t       promised; /* requests that were woken for one */
};

/* Does it wait long: for space? */
enum req_kind {
	REQ_BRISK,   /* no */
	REQ_PATIENT, /* perhaps */
	REQ_KINDS,   /* so many */
};

struct vol_requests {
	struct vol_pool parts[REQ_KINDS]; /* struct vol_part: reads; writes */
	struct vol_pool spans[REQ_KINDS]; /* struct vol_span; ZERO */
	struct objpool reads;      /* struct part_read, a hard limit */
	struct list    wait_reads; /* struct vol_part: need part_reads */
	struct list    throttled;  /* struct vol_part: too much is dirty */
	struct io_timer throttle_timer; /* armed while some are */
	struct list    runnable;   /* struct vol_req: their range is free now,
				    * or there is a part again */
	struct io_work work;       /* runs what is runnable */
	uint8_t       *zeros;      /* ZERO_BYTES of them */
};

#define ZERO_BYTES (64u << 10)

/* req->state. */
enum req_state {
	REQ_INTERNAL   = 1 << 1, /* not a client's: past the size, reserve */
	REQ_HEAD_DONE  = 1 << 2, /* ZERO: partial first block is done */
	REQ_BODY_DONE  = 1 << 3, /* TRIM, ZERO: whole blocks are done */
	REQ_TAIL_DONE  = 1 << 4, /* ZERO: partial last block is done */
	REQ_SYNC_DONE  = 1 << 5, /* TRIM, ZERO with FUA: flushed */
	REQ_QUEUED     = 1 << 6, /* in a list of struct vol_requests */
	REQ_STEPPING   = 1 << 7, /* inside of req_step() */
	REQ_AGAIN      = 1 << 8, /* … which is to be done once more */
	REQ_PART_MINE  = 1 << 9, /* a part is promised to it */
	REQ_SPAN_MINE  = 1 << 10, /* a span is promised to it */
	REQ_PAUSING    = 1 << 11, /* it is held, or will be (vol_pause.h) */
	REQ_WAS_HELD   = 1 << 12, /* it is, or was: counts in npaused */
};

int  vol_requests_init(struct volumes *vols);
void vol_requests_fini(struct volumes *vols);

/* A request of our own: may reach past the size, uses the reserve. */
void vol_submit_internal(struct vol_req *req);

/* One more holder of the request; the last one to put it ends it.  Holders are
 * vol_submit() while it runs, each part, span and sync, and a queue that the
 * request waits in. */
static inline void req_get(struct vol_req *req)
{
	req->pending++;
}

/* First error sticks. */
void req_put(struct vol_req *req, int res);
/* Go on with the request: cut the next parts, or the next step. */
void req_step(struct vol_req *req);

/* NULL: the request waits for one, req_step() will be called. */
struct vol_part *part_get(struct vol_req *req);
/* The end of a part. */
void part_end(struct vol_part *p, int res);
struct vol_span *span_get(struct vol_req *req);
void span_put(struct vol_span *s);

/* The request did not want what was promised to it, having failed. */
void req_promises_return(struct volumes *vols, struct vol_req *req);

/* True: too much is dirty, the part waits in a list. */
bool vol_part_throttle(struct vol_part *p);
/* The same for what the cleaner moves: vol_relocs_kick() will be called. */
bool vol_relocs_throttle(struct volumes *vols);
void vol_requests_unthrottle(struct volumes *vols);
void vol_throttle_look(struct io_timer *t);
/* log_client_ops.commit_blocked */
void vols_commit_blocked(void *arg);

/* vol_range.c: order of overlapping requests. */
/* True: held; false: req_step() is called when it is. */
bool range_add(struct volume *v, struct vol_range *r, uint64_t first,
	       uint64_t end);
/* Blocks before first are free for others. */
void range_advance(struct volume *v, struct vol_range *r, uint64_t first);
void range_remove(struct volume *v, struct vol_range *r);

/* vol_read.c, vol_write.c: run a part that part_get() gave. */
void part_read_start(struct vol_part *p);
void part_write_start(struct vol_part *p);
uint64_t vol_nodes_needed(const struct mnode *leaf);
/* part_reads are free again. */
void part_reads_wake(struct volumes *vols);
/* Get a read for a part: NULL if there is none now. */
struct part_read *part_read_get(struct vol_part *p);
void part_read_put(struct part_read *pr);

/* vol_unmap.c: unmap s->block .. s->end in slices, then s->done(). */
void span_unmap_start(struct vol_span *s);
/* vol_status.c */
void span_status_start(struct vol_span *s);
void span_cache_start(struct vol_span *s);

#endif
