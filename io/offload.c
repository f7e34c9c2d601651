/* io/offload.c - helper threads that report through an eventfd polled on the
 * loop.  See offload.h.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "io/offload.h"

/* Enough for getaddrinfo, a TLS handshake and libblkid. */
#define STACK_BYTES (512u << 10)

int offload_thread(void *(*fn)(void *arg), void *arg)
{
	pthread_attr_t attr;
	pthread_t      thread;
	sigset_t       all;
	sigset_t       old;
	int	       r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	/* Signals are the loop's business. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -r;
}

static void offload_put(struct offload *job)
{
	if (atomic_fetch_sub(&job->refs, 1) > 1)
		return;
	close(job->event_fd);
	job->release(job);
}

static void *thread_main(void *arg)
{
	struct offload *job = arg;
	uint64_t	one = 1;
	ssize_t		n;

	job->work(job);
	atomic_store(&job->finished, true);
	n = write(job->event_fd, &one, sizeof(one));
	assert(n == (ssize_t)sizeof(one));
	(void)n;
	offload_put(job);
	return NULL;
}

static void poll_done(struct io_req *req)
{
	struct offload *job = container_of(req, struct offload, poll);

	job->done(job, atomic_load(&job->finished));
	offload_put(job);
}

int offload_start(struct io *io, struct offload *job)
{
	int r;

	job->io = io;
	atomic_init(&job->refs, 2);
	atomic_init(&job->finished, false);
	job->event_fd = eventfd(0, EFD_CLOEXEC);
	if (job->event_fd < 0)
		return -errno;
	memset(&job->poll, 0, sizeof(job->poll));
	job->poll.op = IO_POLL;
	job->poll.fd = job->event_fd;
	job->poll.len = POLLIN;
	job->poll.done = poll_done;

	r = offload_thread(thread_main, job);
	if (r < 0) {
		close(job->event_fd);
		return r;
	}
	io_submit(io, &job->poll);
	return 0;
}

void offload_abandon(struct offload *job)
{
	io_cancel(job->io, &job->poll);
}
