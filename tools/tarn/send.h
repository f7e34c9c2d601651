/* tools/tarn/send.h - a snapshot from the server's own NBD export to a stream.
 *
 *	cmd_send.c     what was asked for
 *	send_snapshot.c  the header of the stream, and the whole of it
 *	send_source.c  the export, and which extents of it are to be sent
 *	send_lane.c    a connection that reads much, or many
 *	send_pipe.c    reads them, several at once, and hands them on in order
 *	send_write.c   a thread that encodes and writes what was read
 *
 * The writer is a thread of its own so that replies are read from the server
 * however long the other end of the output takes: a client that does not read
 * its replies is disconnected.
 */
#ifndef TARN_TOOLS_TARN_SEND_H
#define TARN_TOOLS_TARN_SEND_H

#include <libnbd.h>
#include <pthread.h>

#include "snapshot/stream.h"
#include "tools/tarn/cli.h"
#include "tools/tarn/progress.h"
#include "tools/tarn/send_lane.h"

#define SEND_ERROR_BYTES 1024

/* --- send_snapshot.c ----------------------------------------------------- */

struct send_wish {
	const char *name;          /* VOL@SNAP */
	const char *from;          /* VOL@SNAP or VOL#CP; NULL: all of it */
	int         level;         /* of zstd; 0: none */
	uint64_t    rate_bytes_s;  /* 0: no bound */
	bool        resume;
	struct stream_token token;
	int         fd;            /* of the output */
	const char *advice;        /* of a stream that broke: what to do */
};

/* --compress, --no-compress, --rate.  What is wrong has been reported. */
enum cli_exit send_wish_options(const struct cli *cli, struct send_wish *w);
/* Failures have been reported.  ret_count: what was written. */
enum cli_exit send_snapshot(const struct cli *cli, const struct send_wish *w,
			    struct stream_count *ret_count);

/* --- send_source.c ------------------------------------------------------- */

struct send_extent {
	uint64_t off_bytes;
	uint64_t len_bytes;
	bool     zero; /* it reads as zeros */
};

#define SEND_SPANS_MAX 8192u

/* What a metadata context says of what comes next. */
struct send_context {
	char     name[300];
	unsigned n, at;     /* spans; the one that is next */
	bool     bad;       /* a span that cannot be */
	uint64_t gone;      /* bytes of span `at` that are done with */
	uint32_t spans[2 * SEND_SPANS_MAX]; /* length, flags, length... */
};

struct send_source {
	struct nbd_handle  *nbd;        /* asks what there is */
	struct send_lane    lane;       /* reads it */
	uint64_t            size_bytes;
	uint64_t            pos_bytes;  /* what is below has been given out */
	bool                changes;    /* only what has changed */
	struct send_context alloc;      /* base:allocation */
	struct send_context dirty;      /* changes: what differs from base */
	char                error[SEND_ERROR_BYTES];
};

/* Connect to the export by the address that the server listens on ("unix:PATH"
 * or "ADDR:PORT").  base: what has changed since this older one of the volume
 * (@SNAPSHOT or #CHECKPOINT), NULL: all.  -1: src->error says why.
 * send_source_close() in any case. */
int send_source_open(struct send_source *src, const char *listen,
		     const char *export_name, const char *base);
void send_source_close(struct send_source *src);
/* Connect to an export; ret_error: SEND_ERROR_BYTES.  -1. */
int send_connect(struct nbd_handle *nbd, const char *listen,
		 const char *export_name, char *ret_error);
/* The next extent at or above pos_bytes, in ascending order; without a base
 * they leave nothing out.  1; 0: there is none; -1: src->error. */
int send_source_next(struct send_source *src, struct send_extent *ret_extent);

/* --- send_pipe.c, send_write.c -------------------------------------------- */

#define SEND_SLOTS      LANE_READS_MAX
#define SEND_RING_BYTES (32u << 20)
#define SEND_BUF_BYTES  (256u << 10)

/* A piece of an extent between the reader and the writer. */
struct send_slot {
	uint64_t off_bytes;
	uint64_t len_bytes;
	bool     zero;
	bool     ready;     /* data is there, or error */
	int      error;     /* errno of the read */
	size_t   ring_bytes; /* of the ring, with what was skipped at its end */
	uint8_t *data;
};

struct send_pipe {
	struct send_source    *src;
	struct stream_encoder *enc;  /* the writer's alone meanwhile */
	uint64_t  rate_bytes_s;      /* 0: no bound */
	uint64_t  next_ns;           /* of the clock: no read before */
	int       fd;                /* of the output */
	int       wake_fd;           /* eventfd: the writer has made room */
	uint8_t  *ring;              /* SEND_RING_BYTES */
	size_t    ring_head;         /* next byte to be given out */
	uint8_t  *buf;               /* the writer's, SEND_BUF_BYTES */
	size_t    buf_bytes;         /* in buf */

	pthread_mutex_t lock;        /* of what follows, and slots */
	pthread_cond_t  more;        /* for the writer */
	size_t    ring_used;
	bool      waits;             /* the reader does, for room */
	uint64_t  head, tail;        /* slots taken and given back, ever */
	uint64_t  done_bytes;        /* of data, written */
	uint64_t  pos_bytes;         /* what is below has been written */
	bool      ended;             /* nothing will be added */
	bool      failed;            /* reading has; send what is there */
	bool      written;           /* the writer has ended */
	char      error[SEND_ERROR_BYTES]; /* of the writer */
	struct send_slot slots[SEND_SLOTS];
};

/* Everything from src to fd.  -1: ret_error (SEND_ERROR_BYTES) says why.
 * ret_count: what was written. */
int send_pipe_run(struct send_pipe *pipe, struct progress *progress,
		  char *ret_error);

/* The thread; arg: struct send_pipe. */
void *send_write(void *arg);

#endif
