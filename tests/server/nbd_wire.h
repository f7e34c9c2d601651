/* tests/server/nbd_wire.h - one connection of the real NBD server without a
 * socket: an engine whose receives come from an array of bytes and whose
 * sends go into another.
 *
 * Deterministic and as fast as memory, so a test can cut a conversation at
 * every byte, and a fuzzer can talk to the whole server.
 */
#ifndef TESTS_SERVER_NBD_WIRE_H
#define TESTS_SERVER_NBD_WIRE_H

#include "server/nbd.h"
#include "tests/server/nbd_mem.h"

struct wire {
	/* Set by the test. */
	const uint8_t *in;      /* what the client sends */
	size_t         in_len;
	size_t         in_max;  /* available so far; ~0: all */
	size_t         recv_max; /* bytes in one receive; 0: any */
	size_t         send_max; /* bytes in one send; 0: any */
	bool           hang;    /* after `in` nothing, instead of its end */
	bool           stuck;   /* nothing can be sent */
	size_t         bufs_bytes; /* memory for requests; 0: 128 MiB */
	/* Result. */
	uint8_t       *out;     /* what the server sent */
	size_t         out_len;
	size_t         out_cap;
	bool           closed;  /* the server has ended the connection */
	unsigned       nlog;    /* lines in the log */
	char           log[400]; /* the last one */
	/* Inside. */
	struct io          io;
	size_t             in_pos;
	struct io_req     *recv;
	struct io_req     *send;
	struct list        cancelled; /* io_req.link */
	struct bufpool    *bufs;
	struct mem_source *mem;
	struct nbd_server *srv;
	bool               srv_closed;
};

/* One connection, from the greeting on.  ctl: of the exports.  params may be
 * NULL. */
void wire_open(struct wire *w, struct mem_ctl *ctl,
	       const struct nbd_server_params *params);
/* Turn the loop until nothing moves any more. */
void wire_run(struct wire *w);
/* Let time pass, then run. */
void wire_sleep(struct wire *w, uint64_t ns);
/* Close the server (in order) and free everything but `in`. */
void wire_close(struct wire *w);

#endif
