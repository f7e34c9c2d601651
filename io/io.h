/* io/io.h - the only door to time, sockets and files.  Two engines implement
 * it: the io_uring engine (io/uring.c) and the simulation (tests/sim).
 *
 * Rules of use
 *  - One engine, one thread.  Everything here is called from that thread.
 *  - Requests, timers and work items belong to the caller and are embedded in
 *    the caller's operation; they must stay where they are until done.
 *  - io_submit(), io_timer_arm() and io_defer() never call back.  Only
 *    io_run() does, so there is no recursion and no half-updated state.
 *  - Nothing is allocated per request.
 *
 * The core (pool, volume, snapshot and the NBD parser) uses only the part up
 * to "sockets and files"; the simulated engine offers no more than that.
 */
#ifndef TARN_IO_IO_H
#define TARN_IO_IO_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/list.h"
#include "base/prng.h"

struct io;

/* --- time and deferred work ---------------------------------------------- */

struct io_timer {
	uint64_t deadline_ns; /* on the engine's clock */
	uint32_t heap_pos;    /* 1-based place in the engine's heap; 0: idle */
	void (*fn)(struct io_timer *t); /* called once, when due */
};

struct io_work {
	struct list link;             /* in the engine's queue, or empty */
	void (*fn)(struct io_work *w); /* called once, in a later turn */
};

static inline void io_timer_init(struct io_timer *t,
				 void (*fn)(struct io_timer *t))
{
	t->deadline_ns = 0;
	t->heap_pos = 0;
	t->fn = fn;
}

static inline bool io_timer_armed(const struct io_timer *t)
{
	return t->heap_pos != 0;
}

static inline void io_work_init(struct io_work *w,
				void (*fn)(struct io_work *w))
{
	list_init(&w->link);
	w->fn = fn;
}

/* (Re)arm; a deadline in the past fires in the next turn.  Never fails: the
 * heap grows at io_reserve_timers() or, rarely, here (abort when out of
 * memory). */
void io_timer_arm(struct io *io, struct io_timer *t, uint64_t deadline_ns);
/* Harmless when not armed. */
void io_timer_cancel(struct io *io, struct io_timer *t);
/* Run w->fn in the next turn of the loop; harmless when already queued. */
void io_defer(struct io *io, struct io_work *w);
/* Take w out of the queue; harmless when not queued. */
static inline void io_undefer(struct io_work *w)
{
	list_remove(&w->link);
}

/* --- sockets and files (io_uring engine only) ---------------------------- */

enum io_op {
	IO_ACCEPT,  /* fd: listening socket; res: new descriptor */
	IO_CONNECT, /* fd, addr, addrlen */
	IO_RECV,    /* fd, buf, len; res: bytes, 0 at end of stream */
	IO_SEND,    /* fd, iov, niov; res: bytes sent, may be short */
	IO_READ,    /* fd, buf, len, off; res: bytes, may be short */
	IO_WRITE,   /* fd, buf, len, off; res: bytes, may be short */
	IO_FSYNC,   /* fd; data only (fdatasync) */
	IO_PUNCH,   /* fd, off, len: fallocate punch hole, keep size */
	IO_ZERO,    /* fd, off, len: fallocate zero range, keep size */
	IO_POLL,    /* fd, len = poll events; one shot; res: returned events */
};

struct io_req;
typedef void (*io_done_fn)(struct io_req *req);

struct io_req {
	uint8_t          op;       /* enum io_op */
	bool             inflight; /* set by io_submit(), cleared before done */
	int              fd;
	void            *buf;      /* IO_RECV, IO_READ, IO_WRITE */
	uint64_t         len;      /* bytes; IO_POLL: events */
	uint64_t         off;      /* bytes */
	struct msghdr    msg;      /* IO_SEND: msg_iov, msg_iovlen by caller */
	struct sockaddr *addr;     /* IO_CONNECT */
	socklen_t        addrlen;
	int              res;      /* >= 0, or -errno; valid once done() runs */
	io_done_fn       done;
	struct list      link;     /* the engine's: waiting for a ring slot */
};

struct io_ops {
	void (*submit)(struct io *io, struct io_req *req);
	/* Ask that an in-flight request end soon (with -ECANCELED, or as it
	 * would have); its done() is still called exactly once. */
	void (*cancel)(struct io *io, struct io_req *req);
	/* One turn: submit what is queued, wait for a completion, a timer or
	 * deferred work, and run what is due.  At most max_wait_ns (~0 for no
	 * bound).  Returns 0, or -errno when the engine is broken. */
	int (*run)(struct io *io, uint64_t max_wait_ns);
};

struct io {
	const struct io_ops *ops;
	uint64_t             now_ns;   /* monotonic (CLOCK_BOOTTIME), read once
					* a turn */
	struct io_timer    **timers;   /* binary heap, 1-based */
	uint32_t             timers_len;
	uint32_t             timers_cap;
	struct list          deferred; /* struct io_work */
	struct prng          prng;     /* identities, back-off jitter */
	unsigned             depth;    /* requests of clients being served, as
					* the server counts them: the engine
					* polls only while they are few */
};

/* The engine's clock as of this turn: monotonic nanoseconds, counts suspend. */
static inline uint64_t io_now_ns(const struct io *io)
{
	return io->now_ns;
}

static inline void io_submit(struct io *io, struct io_req *req)
{
	assert(!req->inflight);
	req->inflight = true;
	io->ops->submit(io, req);
}

static inline void io_cancel(struct io *io, struct io_req *req)
{
	if (req->inflight)
		io->ops->cancel(io, req);
}

static inline int io_run(struct io *io, uint64_t max_wait_ns)
{
	return io->ops->run(io, max_wait_ns);
}

/* For engines (io/timer.c): set up and tear down the common part, the
 * deadline of the nearest timer (~0: none), and run all that is due.
 * io_run_due() returns how many callbacks it ran. */
int io_common_init(struct io *io, const struct io_ops *ops, uint64_t seed);
void io_common_fini(struct io *io);
uint64_t io_next_deadline_ns(const struct io *io);
unsigned io_run_due(struct io *io);

/* io/uring.c: the real engine.  entries: ring size, a power of two.
 * -ENOSYS or -EPERM when the kernel has no io_uring or forbids it, -ENOMEM. */
int io_uring_engine_open(unsigned entries, struct io **ret_io);
/* Before it sleeps, look for completions for up to max_ns, if that is seen to
 * pay: less latency for more processor time.  0, as it begins: never. */
void io_uring_engine_poll(struct io *io, uint64_t max_ns);
/* From now on the calling thread, which is the engine's, does not preempt others
 * when it is woken (SCHED_BATCH). */
void io_uring_engine_patient(void);
/* Nothing may be in flight. */
void io_uring_engine_close(struct io *io);

#endif
