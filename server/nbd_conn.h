/* server/nbd_conn.h - the inside of the NBD server: one server, its listeners
 * and its connections.  Private to server/nbd_*.c.
 *
 * A connection
 *
 *   HANDSHAKE --> OPEN --> DRAIN --> DEAD
 *
 * HANDSHAKE and OPEN may go to any state on the right.  DRAIN: nothing more
 * is read (good-bye, end of stream, server closing); what is in flight ends,
 * replies are sent.  DEAD: the socket is shut down, replies are dropped; the
 * connection is freed when the last request and socket operation has ended.
 *
 * Files
 *   nbd_server.c  open, close, limits in time, who waits for memory
 *   nbd_listen.c  sockets to listen on, accepting
 *   nbd_conn.c    life and death of a connection, negotiation
 *   nbd_receive.c receive buffers
 *   nbd_intake.c  bytes received -> requests -> the export
 *   nbd_status.c  BLOCK_STATUS, whose reply has a chunk for each context
 *   nbd_reply.c   requests done -> replies -> bytes sent
 *
 * Bytes in.  A connection receives into its small buffer, which it always
 * has, or into a large one from the pool, which it takes when the small one
 * was filled and gives back when it has been idle for a while.  One receive
 * brings in many requests.  Data of small writes stays where it is: the
 * request holds a reference to the buffer.  Data of large writes is received
 * into the request's own buffer.
 *
 * Bytes out.  Requests that are done queue up; once a turn, when no send is
 * in flight, all of them go into one send.
 *
 * Memory.  What a connection takes from the pool is limited by a number, and
 * by what is free: it may never hold more than remains for others.  When it
 * may not, or there is none, it stops reading and waits in the server's queue.
 */
#ifndef TARN_SERVER_NBD_CONN_H
#define TARN_SERVER_NBD_CONN_H

#include "base/bitmap.h"
#include "server/nbd.h"
#include "server/nbd_proto.h"

/* Receive buffers: the one that is part of a connection, one from the pool,
 * and how many at once (older ones are held by writes in flight). */
#define NBD_RX_SMALL 12288u
#define NBD_RX_LARGE (256u << 10)
#define NBD_RX_MAX   8u

/* A write with more data than this gets a buffer of its own. */
#define NBD_INPLACE_MAX (32u << 10)

/* One send: iovecs, and bytes of reply heads. */
#define NBD_TX_IOV   256u
#define NBD_TX_HEADS 8192u

/* Extents of one STATUS, of all contexts: what fits into 64 KiB. */
#define NBD_EXTENTS_MAX 4096u

/* Reads and writes that need more memory than this in one piece are cut in
 * parts where the export's offset is a multiple of it; and how many parts
 * there can be. */
#define NBD_PART_MAX  (1u << 20)
#define NBD_PARTS_MAX (REQUEST_DATA_MAX / NBD_PART_MAX + 1)

/* The reply to a read, or to one part of it, has at most so many pieces. */
#define NBD_PIECES_MAX 32u
/* Blocks of a read buffer. */
#define NBD_HOLES_MAX (NBD_PART_MAX / TARN_BLOCK)
/* Head of a data or hole chunk. */
#define NBD_PIECE_HEAD_MAX \
	(sizeof(struct nbd_chunk_ext) + sizeof(struct nbd_chunk_hole))

/* How long a request waits for memory before it is answered with ENOMEM. */
#define NBD_MEMORY_WAIT_NS (10 * NS_PER_S)

static_assert(NBD_RX_SMALL >= NBD_NEG_INPUT_MAX, "an option fits");
static_assert(NBD_RX_LARGE >= 2 * (NBD_INPLACE_MAX + 64), "a write fits");
static_assert(NBD_TX_HEADS >= NBD_NEG_OUT_MAX, "answers to options fit");

struct nbd_conn;

/* A buffer that is received into. */
struct nbd_rx {
	uint8_t *buf;  /* NULL: not in use */
	uint32_t cap;  /* bytes */
	uint32_t refs; /* writes in flight whose data is in it */
};

/* A part of a reply: a head, then data. */
struct nbd_piece {
	const uint8_t *head;
	const uint8_t *data;     /* NULL: none */
	uint32_t       head_len; /* bytes */
	uint32_t       data_len; /* bytes */
};

/* What a STATUS has found of one context. */
struct nbd_found {
	struct vol_extent *extents;
	uint32_t           n;
	struct vol_extent  one;      /* room with REQ_ONE */
};

/* What a request needs only when its read has data and holes, or for a STATUS;
 * from the pool. */
struct nbd_aux {
	struct nbd_piece pieces[NBD_PIECES_MAX];
	uint8_t          heads[NBD_PIECES_MAX][NBD_PIECE_HEAD_MAX];
	struct nbd_found found[NBD_CTX_MAX]; /* STATUS: of each context */
	unsigned         context;    /* … the one that is asked for */
};
static_assert(sizeof(struct nbd_aux) <= TARN_BLOCK, "one block");

/* A request in flight, from its header to the end of its reply; or a part of
 * a large one, whose parent then gives nothing to the export itself. */
struct nbd_task {
	struct export_req req;        /* of this part */
	struct nbd_conn  *conn;
	struct nbd_cmd    cmd;        /* of the whole */
	struct list       link;       /* conn's free, ready or sending;
				       * parent's parts */
	struct nbd_task  *parent;     /* of a part, else NULL */
	struct list       parts;      /* of a parent, in order */
	unsigned          left;       /* of a parent: parts not yet done, and
				       * one while it gets more */
	int               res;        /* of a parent: first error */
	void             *buf;        /* from the pool, or NULL */
	uint32_t          buf_bytes;  /* its size */
	uint32_t          got_bytes;  /* data of a large write so far; of a
				       * parent: given to parts */
	struct nbd_rx    *rx;         /* where the data of a small write is */
	struct nbd_aux   *aux;        /* from the pool, or NULL */
	struct nbd_piece *pieces;     /* the reply: &one or aux->pieces */
	uint32_t          npieces;
	uint32_t          next_piece; /* first one not yet in a send */
	struct nbd_piece  one;
	uint64_t          holes[BITMAP_WORDS(NBD_HOLES_MAX)];
	uint8_t           head[NBD_HEAD_MAX];
};

enum nbd_conn_state {
	NBD_CONN_HANDSHAKE,
	NBD_CONN_OPEN,
	NBD_CONN_DRAIN,
	NBD_CONN_DEAD,
};

struct nbd_server;

struct nbd_conn {
	struct nbd_server *srv;
	struct list        link;      /* in srv->conns, oldest first */
	struct list        wait_link; /* in srv->waiters, or empty */
	struct io_work     turn;      /* once a turn, when there is cause */
	int                fd;
	uint8_t            state;     /* enum nbd_conn_state */
	char               peer[80];  /* who it is, for the log */
	uint8_t            addr[16];  /* peer's address, to count handshakes */
	bool               addr_known;
	uint64_t           born_ns;
	struct nbd_neg    *neg;       /* HANDSHAKE only */
	struct nbd_session sess;      /* from OPEN on */

	/* In. */
	struct io_req      recv;
	struct nbd_rx      rxs[NBD_RX_MAX]; /* rxs[0] is the small one */
	struct nbd_rx     *rx;        /* being received into */
	uint32_t           rx_pos;    /* first byte not consumed */
	uint32_t           rx_end;    /* behind the last byte received */
	uint32_t           rx_want;   /* bytes that the next step needs */
	bool               rx_full;   /* the last receive filled the buffer */
	bool               rx_direct; /* recv goes to filling->buf */
	bool               rx_large;  /* the last request was a large write */
	bool               rx_shrink; /* recv is cancelled to go to rxs[0] */
	bool               blocked;   /* at a limit: nothing is received */
	bool               alone;     /* what takes memory now is for the only
				       * request in flight */
	uint32_t           skip_bytes; /* of a refused payload, to come */
	struct nbd_task   *filling;   /* large write, its data arriving */
	struct nbd_task   *split;     /* parent that is to get more parts */
	uint64_t           rx_ns;     /* last time that bytes came in */
	uint64_t           wait_ns;   /* waits for memory since; 0: does not */

	/* Requests. */
	struct nbd_task   *tasks;     /* srv->params.inflight_max of them */
	struct list        free;      /* tasks that were used before */
	unsigned           tasks_used; /* tasks[i] from here are untouched */
	unsigned           inflight;  /* tasks taken */
	unsigned           running;   /* of them, with the export */
	uint64_t           pool_bytes; /* taken from the pool */

	/* Out. */
	struct io_req      send;
	struct list        ready;     /* done, reply not (wholly) in a send */
	struct list        sending;   /* reply in the send in flight */
	uint64_t           tx_ns;     /* send in flight moved on last */
	uint32_t           tx_first;  /* first iovec not wholly sent */
	uint32_t           tx_count;  /* iovecs in use */
	struct iovec       tx_iov[NBD_TX_IOV];
	uint8_t            tx_heads[NBD_TX_HEADS];

	uint8_t            small[NBD_RX_SMALL];
};

struct nbd_listener {
	struct nbd_server *srv;
	struct list        link;     /* in srv->listeners */
	struct io_req      accept;
	struct io_timer    retry;    /* after EMFILE and the like */
	int                fd;
	char               path[108]; /* unix socket to remove, or "" */
	char               where[200]; /* as it was given, for the log */
	uint64_t           ino;      /* of path: remove only our own */
};

struct nbd_server {
	struct io               *io;
	struct bufpool          *bufs;
	struct export_source    *src;
	struct nbd_server_params params; /* defaults filled in */
	void (*log)(void *arg, const char *line);
	void                    *log_arg;
	struct nbd_server_stats  stats;
	struct list              listeners;
	struct list              conns;
	struct list              waiters;    /* nbd_conn.wait_link: memory */
	struct io_work           wake;       /* lets waiters try again */
	struct io_timer          wait_timer; /* likewise, for memory that
					      * others gave back */
	struct io_timer          sweep;      /* looks for what takes too long */
	struct io_timer          drain;      /* end of nbd_server_close() */
	struct io_work           closed;     /* last step of closing */
	uint64_t                 sweep_ns;   /* interval */
	unsigned                 nconns;
	unsigned                 nhandshakes;
	int                      spare_fd;   /* given up on EMFILE, or -1 */
	bool                     closing;
	uint64_t                 log_window_ns; /* start of this second */
	unsigned                 log_lines;  /* in it */
	unsigned                 log_lost;   /* lines left out */
	void (*done)(void *arg);
	void                    *done_arg;
};

/* nbd_server.c */
/* One line to the operator, at most LOG_LINES_MAX a second. */
void nbd_log(struct nbd_server *srv, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* There is something that time limits apply to. */
void nbd_sweep_arm(struct nbd_server *srv);
/* A connection or listener has gone. */
void nbd_server_check(struct nbd_server *srv);
/* May c take so many bytes from the pool now? */
void *nbd_pool_get(struct nbd_conn *c, size_t len_bytes);
void nbd_pool_put(struct nbd_conn *c, void *buf, size_t len_bytes);
/* c needs memory: let it try again when there is some. */
void nbd_pool_wait(struct nbd_conn *c);

/* nbd_listen.c */
/* Take back a listening socket; freed when its accept has ended. */
void nbd_listener_close(struct nbd_listener *l);

/* nbd_conn.c */
void nbd_conn_start(struct nbd_server *srv, int fd);
/* Something happened: io_defer() the turn. */
void nbd_conn_wake(struct nbd_conn *c);
/* The client broke the rules: log and end. */
void nbd_conn_offence(struct nbd_conn *c, const char *why);
/* No more input. */
void nbd_conn_drain(struct nbd_conn *c);
/* End it now.  why: for the log, NULL: not worth a line. */
void nbd_conn_kill(struct nbd_conn *c, const char *why);

/* nbd_intake.c */
/* Act on what has been received. */
void nbd_intake(struct nbd_conn *c);

/* Give it to the export. */
void nbd_task_run(struct nbd_task *t);

/* nbd_status.c */
/* The memory that a STATUS needs, and its first context.  False: there is
 * none now. */
bool nbd_status_prepare(struct nbd_task *t);
/* The export has answered for a context: the next one, or the reply. */
void nbd_status_done(struct nbd_task *t);

/* nbd_receive.c */
/* Bytes received and not consumed. */
static inline uint32_t nbd_rx_avail(const struct nbd_conn *c)
{
	return c->rx_end - c->rx_pos;
}
/* Data that a large write, or this part of it, still lacks. */
static inline uint32_t nbd_fill_left(const struct nbd_task *t)
{
	return (uint32_t)t->req.len_bytes - t->got_bytes;
}
/* Receive more, unless there is a reason not to. */
void nbd_receive(struct nbd_conn *c);
/* done() of c->recv. */
void nbd_receive_done(struct io_req *req);
/* Give the large receive buffer back if the connection is idle. */
void nbd_receive_shrink(struct nbd_conn *c);
/* Give everything back, at the end. */
void nbd_receive_free(struct nbd_conn *c);

/* nbd_reply.c */
/* Queue the reply to a task that was not given to the export. */
void nbd_reply_end(struct nbd_task *t, uint32_t error, const char *why);
/* A part of t is done, or it gets no more: reply if that was the last. */
void nbd_reply_part(struct nbd_task *t, int res);
/* t->pieces and npieces are the reply. */
void nbd_reply_ready(struct nbd_task *t);
/* done() of the export's request. */
void nbd_reply_done(struct export_req *req);
/* Send what is ready, unless a send is in flight. */
void nbd_reply_send(struct nbd_conn *c);
/* Send the first len bytes of tx_heads (answers to options). */
void nbd_reply_send_heads(struct nbd_conn *c, uint32_t len);
/* done() of c->send. */
void nbd_reply_sent(struct io_req *req);
/* Return a task and what it holds. */
void nbd_task_free(struct nbd_task *t);

#endif
