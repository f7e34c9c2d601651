/* tools/tarn/send_lane.h - reads of an export, many small ones at a time.
 *
 * libnbd takes three system calls for a reply and one for a request; an
 * increment is little else than these.  So libnbd connects and agrees on simple
 * replies, and then the socket is ours: all requests that there are go in one
 * send, all replies that are there come in one receive.  On the way out it is
 * libnbd's again.
 *
 * One thread uses it.
 */
#ifndef TARN_TOOLS_TARN_SEND_LANE_H
#define TARN_TOOLS_TARN_SEND_LANE_H

#include <libnbd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads in flight, which have numbers from 0. */
#define LANE_READS_MAX  128u
#define LANE_WIRE_BYTES 28u /* of a request */
#define LANE_IN_BYTES   (64u << 10)

struct lane_read {
	void    *buf;        /* the caller's; NULL: not in flight */
	uint32_t len_bytes;
	uint64_t sent_at;    /* it has been sent when lane.sent is that much */
};

struct send_lane {
	struct nbd_handle *nbd;
	int      fd;
	bool     cut;        /* the connection is no more */
	struct lane_read reads[LANE_READS_MAX];
	size_t   out_at, out_bytes; /* sent, and to be sent, of out */
	uint64_t sent;       /* bytes, ever */
	size_t   in_at, in_bytes;   /* taken, and received, of in */
	struct lane_read *now;      /* whose data comes next; or NULL */
	size_t   now_have;          /* bytes of it that are there */
	uint8_t  out[LANE_READS_MAX * LANE_WIRE_BYTES];
	uint8_t  in[LANE_IN_BYTES];
};

/* Read i has ended; error: 0 or an errno. */
typedef void (*send_lane_done_fn)(void *user, unsigned i, int error);

/* As send_connect().  -1: ret_error (SEND_ERROR_BYTES) says why;
 * send_lane_close() in any case. */
int send_lane_open(struct send_lane *lane, const char *listen,
		   const char *export_name, char *ret_error);
/* What is in flight is forgotten. */
void send_lane_close(struct send_lane *lane);
/* Read i, which is not in flight, into buf.  Leaves with send_lane_send(). */
void send_lane_read(struct send_lane *lane, unsigned i, uint64_t off_bytes,
		    void *buf, uint32_t len_bytes);
/* What poll() is to wait for. */
short send_lane_events(const struct send_lane *lane);
/* As much as goes without waiting.  -1: the connection is cut. */
int send_lane_send(struct send_lane *lane);
/* Take what has arrived and tell of each read that has ended.  -1: the
 * connection is cut, or *ret_nonsense. */
int send_lane_receive(struct send_lane *lane, send_lane_done_fn done,
		      void *user, bool *ret_nonsense);

#endif
