/* io/uring.c - the real engine: one thread, one io_uring.
 *
 * One turn (io_run) is
 *   1. hand over queued requests and cancellations to the submission ring,
 *   2. one system call that submits everything and waits for the first
 *      completion or the nearest timer,
 *   3. read the clock, once,
 *   4. call done() of everything that completed,
 *   5. run due timers and deferred work.
 *
 * Receives go after everything else of a turn.  To take what a peer has sent
 * wakes it if it waits for more from us, and on a unix socket for nothing; but
 * not when it has been woken by what we sent it before.
 *
 * So a turn costs one system call however many requests it starts and ends.
 * When deferred work waits, turns follow each other without a system call, at
 * most TURNS_WITHOUT_ENTER of them: a chain of deferred steps ends in one
 * submission, and cannot starve the ring either.
 *
 * What can go wrong
 *   - the submission ring is full: requests wait in a list, in order;
 *   - the completion ring is full: the kernel keeps the rest (NODROP), the
 *     next system call fetches them;
 *   - EINTR, EBUSY, EAGAIN: the turn ends, the next one tries again;
 *   - a request is cancelled before it has reached the ring: it ends with
 *     -ECANCELED in the next turn.
 *
 * There is no wake-up without a cause: the wait has no bound but the nearest
 * timer and the caller's.
 *
 * Falling asleep and being woken takes longer than many a reply, in a virtual
 * machine above all.  So before it sleeps the loop looks for completions for a
 * short while, yielding the processor to whoever wants it, as long as that pays:
 * the while grows when a sleep turns out to have been short and shrinks when it
 * was long (KVM's halt polling and QEMU's poll-max-ns do likewise).
 *
 * That shortens the wait of a few requests.  While many are being served it
 * only takes the processor from those who work on them, and cuts into small
 * pieces what a sleep would have gathered: then the loop does not poll.  Their
 * number swings within a batch, so what counts is how many there were lately.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "io/io.h"

#define PUNCH_MODE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define ZERO_MODE  (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)

/* One request never moves more than this; a short result says so. */
#define TRANSFER_MAX_BYTES (1u << 30)

#define TURNS_WITHOUT_ENTER 4u

/* Pause after the kernel had no memory for a submission. */
#define RETRY_NS NS_PER_MS

/* Polling shorter than that is not worth while. */
#define POLL_MIN_NS (8 * NS_PER_US)

/* Nor is polling while so many requests of clients are being served. */
#define POLL_DEPTH_MAX 8u
/* Their number is followed in such fractions: up at once, and down by one part
 * in as many of the difference at each sleep. */
#define DEPTH_PARTS 16u

#define NEEDED_FEATURES (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG)

struct uring {
	struct io	io;
	struct io_uring ring;
	struct list	receives; /* io_req.link: last in this turn */
	struct list	waiting;  /* io_req.link: no room in the ring yet */
	struct list	cancels;  /* io_req.link: in the ring, to cancel */
	struct list	finished; /* io_req.link: res is set, done() is due */
	unsigned	inflight; /* requests whose done() is due sometime */
	unsigned	idle_turns; /* turns since the last system call */
	uint64_t	poll_max_ns; /* 0: never poll */
	uint64_t	poll_ns;     /* how long now */
	unsigned	depth_lately; /* io.depth, followed, in DEPTH_PARTS */
};

static struct uring *uring_of(struct io *io)
{
	return container_of(io, struct uring, io);
}

static void read_clock(struct uring *u)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	u->io.now_ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* --- submission ---------------------------------------------------------- */

static unsigned transfer_len(uint64_t len)
{
	return (unsigned)min_u64(len, TRANSFER_MAX_BYTES);
}

static void prepare(struct io_uring_sqe *sqe, struct io_req *req)
{
	/* Offsets and lengths beyond 2^63 become negative: the kernel says
	 * -EINVAL. */
	switch ((enum io_op)req->op) {
	case IO_ACCEPT:
		io_uring_prep_accept(sqe, req->fd, NULL, NULL, SOCK_CLOEXEC);
		break;
	case IO_CONNECT:
		io_uring_prep_connect(sqe, req->fd, req->addr, req->addrlen);
		break;
	case IO_RECV:
		io_uring_prep_recv(sqe, req->fd, req->buf,
				   transfer_len(req->len), 0);
		break;
	case IO_SEND:
		io_uring_prep_sendmsg(sqe, req->fd, &req->msg, MSG_NOSIGNAL);
		break;
	case IO_READ:
		io_uring_prep_read(sqe, req->fd, req->buf,
				   transfer_len(req->len), req->off);
		break;
	case IO_WRITE:
		io_uring_prep_write(sqe, req->fd, req->buf,
				    transfer_len(req->len), req->off);
		break;
	case IO_FSYNC:
		io_uring_prep_fsync(sqe, req->fd, IORING_FSYNC_DATASYNC);
		break;
	case IO_PUNCH:
		io_uring_prep_fallocate(sqe, req->fd, PUNCH_MODE,
					(off_t)req->off, (off_t)req->len);
		break;
	case IO_ZERO:
		io_uring_prep_fallocate(sqe, req->fd, ZERO_MODE,
					(off_t)req->off, (off_t)req->len);
		break;
	case IO_POLL:
		io_uring_prep_poll_add(sqe, req->fd, (unsigned)req->len);
		break;
	}
	io_uring_sqe_set_data(sqe, req);
}

/* True if the request is in the ring now. */
static bool try_prepare(struct uring *u, struct io_req *req)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe == NULL)
		return false;
	prepare(sqe, req);
	return true;
}

static bool try_prepare_cancel(struct uring *u, struct io_req *req)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

	if (sqe == NULL)
		return false;
	io_uring_prep_cancel(sqe, req, 0);
	io_uring_sqe_set_data(sqe, NULL);
	return true;
}

static void uring_submit(struct io *io, struct io_req *req)
{
	struct uring *u = uring_of(io);

	assert(req->done != NULL && req->op <= IO_POLL);
	u->inflight++;
	list_init(&req->link);
	if (req->op == IO_RECV)
		list_push(&u->receives, &req->link);
	else if (!list_empty(&u->waiting) || !try_prepare(u, req))
		list_push(&u->waiting, &req->link);
}

static bool is_in(const struct list *head, const struct list *link)
{
	for (const struct list *l = head->next; l != head; l = l->next)
		if (l == link)
			return true;
	return false;
}

static void uring_cancel(struct io *io, struct io_req *req)
{
	struct uring *u = uring_of(io);

	/* Not yet in the ring: it ends here, in the next turn. */
	if (is_in(&u->waiting, &req->link) || is_in(&u->receives, &req->link)) {
		list_remove(&req->link);
		req->res = -ECANCELED;
		list_push(&u->finished, &req->link);
		return;
	}
	/* In a list already: being cancelled, or finished. */
	if (!list_empty(&req->link))
		return;
	if (!try_prepare_cancel(u, req))
		list_push(&u->cancels, &req->link);
}

/* What had no room before, and the receives.  Cancellations last: their
 * requests went first. */
static void fill_ring(struct uring *u)
{
	list_splice(&u->waiting, &u->receives);
	while (!list_empty(&u->waiting)) {
		struct io_req *req =
			list_first(&u->waiting, struct io_req, link);

		if (!try_prepare(u, req))
			return;
		list_remove(&req->link);
	}
	while (!list_empty(&u->cancels)) {
		struct io_req *req =
			list_first(&u->cancels, struct io_req, link);

		if (!try_prepare_cancel(u, req))
			return;
		list_remove(&req->link);
	}
}

/* --- one turn ------------------------------------------------------------ */

static bool work_waits(const struct uring *u)
{
	return !list_empty(&u->io.deferred) || !list_empty(&u->finished) ||
	       !list_empty(&u->waiting) || !list_empty(&u->cancels);
}

/* How long this turn may wait, 0: not at all. */
static uint64_t wait_ns(const struct uring *u, uint64_t max_wait_ns)
{
	uint64_t next_ns = io_next_deadline_ns(&u->io);

	if (work_waits(u))
		return 0;
	if (next_ns == UINT64_MAX)
		return max_wait_ns;
	if (next_ns <= u->io.now_ns)
		return 0;
	return min_u64(next_ns - u->io.now_ns, max_wait_ns);
}

static int submit_and_wait(struct uring *u, uint64_t ns)
{
	struct io_uring_cqe	*cqe;
	struct __kernel_timespec ts;

	if (ns == 0)
		return io_uring_submit_and_get_events(&u->ring);
	if (ns == UINT64_MAX)
		return io_uring_submit_and_wait(&u->ring, 1);
	ts.tv_sec = (int64_t)(ns / NS_PER_S);
	ts.tv_nsec = (long long)(ns % NS_PER_S);
	return io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
}

/* Has anything ended, or would a system call say so? */
static bool something_ended(const struct uring *u)
{
	return io_uring_cq_ready(&u->ring) > 0 ||
	       (__atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED) &
		(IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Look for completions for as long as pays, at most ns.  True: there are some;
 * then everything has been submitted and nothing is left to wait for. */
static bool poll_ring(struct uring *u, uint64_t ns)
{
	uint64_t end_ns;

	if (io_uring_submit_and_get_events(&u->ring) < 0)
		return false; /* enter() sees the error again */
	read_clock(u);
	end_ns = u->io.now_ns + min_u64(u->poll_ns, ns);
	while (!something_ended(u)) {
		if (u->io.now_ns >= end_ns)
			return false;
		sched_yield();
		read_clock(u);
	}
	return io_uring_cq_ready(&u->ring) > 0 ||
	       (io_uring_get_events(&u->ring) >= 0 &&
		io_uring_cq_ready(&u->ring) > 0);
}

/* A sleep is over: would polling have spared it? */
static void adapt_poll(struct uring *u, uint64_t slept_ns)
{
	if (slept_ns < u->poll_max_ns)
		u->poll_ns = min_u64(max_u64(2 * u->poll_ns, POLL_MIN_NS),
				     u->poll_max_ns);
	else if (u->poll_ns > 2 * POLL_MIN_NS)
		u->poll_ns /= 2;
	else
		u->poll_ns = 0;
}

static void follow_depth(struct uring *u)
{
	unsigned depth = DEPTH_PARTS * u->io.depth;

	if (depth >= u->depth_lately)
		u->depth_lately = depth;
	else
		u->depth_lately -= (u->depth_lately - depth + DEPTH_PARTS - 1) /
				   DEPTH_PARTS;
}

static int sleep_for_events(struct uring *u, uint64_t ns)
{
	uint64_t began_ns = u->io.now_ns;
	int	 r;

	follow_depth(u);
	if (u->depth_lately >= DEPTH_PARTS * POLL_DEPTH_MAX)
		return submit_and_wait(u, ns);
	if (u->poll_ns > 0 && poll_ring(u, ns))
		return 0;
	if (u->poll_ns > 0) {
		uint64_t polled_ns = u->io.now_ns - began_ns;

		if (polled_ns >= ns)
			return 0;
		ns -= ns == UINT64_MAX ? 0 : polled_ns;
		began_ns = u->io.now_ns;
	}
	r = submit_and_wait(u, ns);
	if (u->poll_max_ns > 0) {
		read_clock(u);
		adapt_poll(u, u->io.now_ns - began_ns);
	}
	return r;
}

/* The system call of a turn.  0, or -errno when the ring is broken. */
static int enter(struct uring *u, uint64_t ns)
{
	int r = ns > 0 ? sleep_for_events(u, ns) : submit_and_wait(u, 0);

	u->idle_turns = 0;
	if (r >= 0 || r == -ETIME || r == -EINTR)
		return 0;
	if (r != -EAGAIN && r != -EBUSY)
		return r;
	/* No memory for a request, or completions to fetch first. */
	if (io_uring_cq_ready(&u->ring) == 0) {
		struct timespec ts = { 0, RETRY_NS };

		nanosleep(&ts, NULL);
	}
	return 0;
}

/* Is there anything that only a system call brings forward? */
static bool must_enter(struct uring *u, uint64_t ns)
{
	return ns > 0 || u->idle_turns >= TURNS_WITHOUT_ENTER ||
	       list_empty(&u->io.deferred);
}

static void finish(struct uring *u, struct io_req *req)
{
	assert(req->inflight && u->inflight > 0);
	list_remove(&req->link);
	req->inflight = false;
	u->inflight--;
	req->done(req);
}

static void reap(struct uring *u)
{
	struct io_uring_cqe *cqe;
	struct list	     batch;
	struct list	    *l;
	unsigned	     head;
	unsigned	     n = 0;
	unsigned	     n_max = io_uring_cq_ready(&u->ring);

	list_init(&batch);
	list_splice(&batch, &u->finished);

	io_uring_for_each_cqe(&u->ring, head, cqe) {
		struct io_req *req = io_uring_cqe_get_data(cqe);

		if (n == n_max)
			break;
		n++;
		if (req == NULL) /* the answer to a cancellation */
			continue;
		req->res = cqe->res;
		finish(u, req);
	}
	io_uring_cq_advance(&u->ring, n);

	while ((l = list_pop(&batch)) != NULL)
		finish(u, list_entry(l, struct io_req, link));
}

static int uring_run(struct io *io, uint64_t max_wait_ns)
{
	struct uring *u = uring_of(io);
	uint64_t      ns;
	int	      r;

	fill_ring(u);
	ns = wait_ns(u, max_wait_ns);
	if (must_enter(u, ns)) {
		r = enter(u, ns);
		if (r < 0)
			return r;
	} else {
		u->idle_turns++;
	}
	read_clock(u);
	reap(u);
	io_run_due(io);
	return 0;
}

/* --- opening and closing ------------------------------------------------- */

static const struct io_ops uring_ops = {
	.submit = uring_submit,
	.cancel = uring_cancel,
	.run = uring_run,
};

/* The best set of flags that this kernel knows. */
static int ring_open(struct io_uring *ring, unsigned entries)
{
	static const unsigned flags[] = {
		IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
			IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
			IORING_SETUP_COOP_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
		IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
			IORING_SETUP_SUBMIT_ALL |
			IORING_SETUP_COOP_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG, /* 5.19 */
		IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
	};
	int r = -EINVAL;

	for (unsigned i = 0; i < ARRAY_LEN(flags) && r == -EINVAL; i++) {
		struct io_uring_params p = {
			.flags = flags[i],
			.cq_entries = 4 * entries,
		};

		r = io_uring_queue_init_params(entries, ring, &p);
	}
	if (r < 0)
		return r;
	if ((ring->features & NEEDED_FEATURES) != NEEDED_FEATURES) {
		io_uring_queue_exit(ring);
		return -ENOSYS; /* older than 5.11 */
	}
	/* Saves a descriptor look-up per system call; no harm if refused. */
	io_uring_register_ring_fd(ring);
	return 0;
}

int io_uring_engine_open(unsigned entries, struct io **ret_io)
{
	struct uring *u;
	uint64_t      seed;
	int	      r;

	assert(is_pow2(entries));
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return -ENOSYS;
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return -ENOMEM;
	r = io_common_init(&u->io, &uring_ops, seed);
	if (r < 0)
		goto err_uring;
	r = ring_open(&u->ring, entries);
	if (r < 0)
		goto err_common;
	list_init(&u->receives);
	list_init(&u->waiting);
	list_init(&u->cancels);
	list_init(&u->finished);
	read_clock(u);
	*ret_io = &u->io;
	return 0;

err_common:
	io_common_fini(&u->io);
err_uring:
	free(u);
	return r;
}

void io_uring_engine_poll(struct io *io, uint64_t max_ns)
{
	struct uring *u = uring_of(io);

	u->poll_max_ns = max_ns;
	u->poll_ns = min_u64(u->poll_ns, max_ns);
}

/* What wakes the loop is mostly one of many: the disk server or the client that
 * sent it has more to send.  Preempting that one costs two switches and gives
 * the loop one completion where it would have had several.  A processor that
 * has nothing to do is taken at once all the same. */
void io_uring_engine_patient(void)
{
	static const struct sched_param none;

	if (sched_getscheduler(0) == SCHED_OTHER) /* nobody chose another */
		sched_setscheduler(0, SCHED_BATCH, &none);
}

void io_uring_engine_close(struct io *io)
{
	struct uring *u = uring_of(io);

	assert(u->inflight == 0 && u->io.depth == 0);
	io_uring_queue_exit(&u->ring);
	io_common_fini(io);
	free(u);
}
