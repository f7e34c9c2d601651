/* io/offload.h - one piece of blocking work (name resolution, a connection, a
 * probe) in a helper thread, that ends as a completion on the loop.
 *
 * For the control path only.  A job has two holders, the thread and the loop;
 * the last one to let go calls release().  So the loop can lose interest
 * (offload_abandon) in a job whose thread hangs in a name server: done() comes
 * soon, the thread ends when it ends and cleans up after itself.
 *
 * The job is embedded in an allocated object that release() frees.  Until
 * done() is called only the thread touches the object's results; after it, if
 * `finished`, only the loop; otherwise nobody but release().
 */
#ifndef TARN_IO_OFFLOAD_H
#define TARN_IO_OFFLOAD_H

#include <stdatomic.h>
#include <stdbool.h>

#include "io/io.h"

struct offload {
	/* In the thread; may block; never touches anything of the loop. */
	void (*work)(struct offload *job);
	/* On the loop, once.  finished: work() is over and its results are
	 * the loop's to take until done() returns. */
	void (*done)(struct offload *job, bool finished);
	/* Free the object and what was not taken; any thread. */
	void (*release)(struct offload *job);
	/* Private: */
	struct io    *io;
	struct io_req poll;     /* of event_fd */
	int           event_fd; /* written when work() is over */
	atomic_int    refs;     /* the thread's and the loop's */
	atomic_bool   finished; /* work() is over */
};

/* Starts the thread.  work, done and release must be set.  -EAGAIN or -EMFILE
 * when there are no more threads or descriptors: nothing was started, neither
 * done() nor release() will be called. */
int offload_start(struct io *io, struct offload *job);
/* done() comes in one of the next turns, whatever the thread does. */
void offload_abandon(struct offload *job);

/* A detached thread with all signals blocked and a small stack. */
int offload_thread(void *(*fn)(void *arg), void *arg);

#endif
