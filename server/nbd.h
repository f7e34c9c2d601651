/* server/nbd.h - the NBD server: listeners, connections, protocol.
 *
 * server/nbd_proto.* is the sans-I/O parser (bytes in, requests out; fuzzed);
 * server/nbd_conn.c moves bytes between it, the engine and an export.
 */
#ifndef TARN_SERVER_NBD_H
#define TARN_SERVER_NBD_H

#include "base/bufpool.h"
#include "io/io.h"
#include "server/export.h"

struct nbd_server;

struct nbd_server_params {
	unsigned connections_max;         /* 0: 256 */
	unsigned handshakes_max;          /* not yet negotiated; 0: 64 */
	uint64_t handshake_timeout_ns;    /* 0: 10 s */
	uint64_t send_stall_timeout_ns;   /* client reads no replies; 0: 30 s */
	unsigned inflight_max;            /* requests per connection, each MiB
					   * of a large one counts; 0: 128,
					   * not less than 66 */
	uint64_t inflight_bytes_max;      /* per connection; 0: 64 MiB */
	bool     extended_headers;        /* offer NBD_OPT_EXTENDED_HEADERS */
};

struct nbd_server_stats {
	uint64_t connections;      /* open now */
	uint64_t connections_ever;
	uint64_t requests;
	uint64_t bytes_read, bytes_written;
	uint64_t recv_calls, send_calls; /* for requests per system call */
	uint64_t refused;          /* connections over a limit */
	uint64_t protocol_errors;  /* connections ended for bad input */
};

/* bufs: where request buffers come from; shared, must outlive the server.
 * log: one line for the operator (connection refused, protocol error…). */
int nbd_server_open(struct io *io, struct bufpool *bufs,
		    struct export_source *src,
		    const struct nbd_server_params *params,
		    void (*log)(void *arg, const char *line), void *log_arg,
		    struct nbd_server **ret_srv);

/* ADDR:PORT, [ADDR6]:PORT or unix:PATH; several allowed.  A stale unix socket
 * (nobody listens) is replaced, a live one is -EADDRINUSE.  ret_err: 200
 * bytes, one sentence. */
int nbd_server_listen(struct nbd_server *srv, const char *where, char *ret_err);

/* Stop accepting, let requests in flight end (at most drain_ns), close all
 * connections, then call done() and free the server. */
void nbd_server_close(struct nbd_server *srv, uint64_t drain_ns,
		      void (*done)(void *arg), void *arg);

void nbd_server_stats(const struct nbd_server *srv,
		      struct nbd_server_stats *ret_stats);

#endif
